package dispatch

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/kuranty/kuranty/internal/delivery"
)

const (
	// maxWant bounds what is claimed of one webhook at once.
	maxWant = 100
	// A lane whose due deliveries cannot be claimed, because another process has them or
	// they wait for others, asks again after these.
	askAgain, askAgainOrdered = 20 * time.Millisecond, time.Second
	// idle is the longest time between two looks at the lanes.
	idle = time.Minute
)

// claim claims due deliveries whenever lanes have room.
func (s *sending) claim(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-s.wake:
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		if wants, stirred := s.wants(time.Now()); len(wants) > 0 {
			if !s.insist(ctx, "claim deliveries", func() error { return s.claimThese(ctx, wants, stirred) }) {
				return
			}
		}
		wake := s.nextWake(time.Now())
		s.dispatch()
		timer.Reset(wake)
	}
}

// wants are the lanes with room whose deliveries are due, and how often each was stirred.
func (s *sending) wants(now time.Time) (wants []Want, stirred map[int64]uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := maxClaimed - s.claimed
	stirred = map[int64]uint64{}
	for id, l := range s.lanes { // in no order, so that none is always the last
		if left <= 0 {
			break
		}
		if l.next.IsZero() || l.next.After(now) {
			continue
		}
		n := min(l.credit(now), maxWant, left-l.queued()-l.reserved)
		if n <= 0 {
			continue
		}
		wants = append(wants, Want{Webhook: id, Limit: n, Ordering: l.w.Ordering})
		stirred[id] = l.stirred
		left -= n
	}
	return wants, stirred
}

// claimThese claims and queues; lanes that got less than they wanted learn when there will be
// more.
func (s *sending) claimThese(ctx context.Context, wants []Want, stirred map[int64]uint64) error {
	now := time.Now()
	got, err := s.o.Store.Claim(ctx, now, now.Add(lease), wants)
	if err != nil {
		return err
	}
	s.fetch(ctx, got, now)
	count := map[int64]int{}
	s.mu.Lock()
	for _, c := range got {
		count[c.WebhookID]++
		if l := s.lanes[c.WebhookID]; l != nil {
			l.add(c)
			s.claimed++
			s.prepare(l)
		}
	}
	s.mu.Unlock()
	var short []int64
	for _, w := range wants {
		if count[w.Webhook] < w.Limit {
			short = append(short, w.Webhook)
		}
	}
	if len(short) == 0 {
		return nil
	}
	next, err := s.o.Store.Next(ctx, short)
	if err != nil {
		s.o.Logger.Warn("webhooks wait", "for", "next deliveries", "error", err)
		return nil // they are asked again as soon as something stirs, at the latest by the next look
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range short {
		l := s.lanes[id]
		if l == nil || l.stirred != stirred[id] {
			continue
		}
		l.next = next[id]
		if !l.next.IsZero() && !l.next.After(now) {
			l.next = now.Add(askAgain)
			if l.w.Ordering != delivery.OrderNone {
				l.next = now.Add(askAgainOrdered)
			}
		}
	}
	return nil
}

// fetch makes the bodies of claimed deliveries, as far as there is room for them: one lookup
// for all. What it leaves, or fails at, each attempt reads for itself.
func (s *sending) fetch(ctx context.Context, claimed []Claimed, now time.Time) {
	of := map[string][]*delivery.Delivery{}
	for i := range claimed {
		if d := &claimed[i].Delivery; d.Attempts == 0 {
			of[d.EventID] = append(of[d.EventID], d)
		}
	}
	if len(of) == 0 {
		return
	}
	kept, err := s.o.Store.Events(ctx, slices.Collect(maps.Keys(of)), maxBodies/2)
	if err != nil {
		return
	}
	for id, e := range kept {
		s.render(&e, of[id], now)
	}
}

// nextWake prepares lanes that time has made free, and is after how long a lane can do
// something that it cannot do now.
func (s *sending) nextWake(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	soonest := now.Add(idle)
	for _, l := range s.lanes {
		if at := l.wakes(now); !at.IsZero() && at.Before(soonest) && (at.After(now) || s.claimed < maxClaimed) {
			soonest = at
		}
		if l.queued() > 0 && l.free(now) {
			s.prepare(l)
		}
	}
	return max(soonest.Sub(now), time.Millisecond)
}
