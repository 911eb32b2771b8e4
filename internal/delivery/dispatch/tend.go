package dispatch

import (
	"context"
	"time"
)

const (
	tendEvery  = time.Second
	countEvery = time.Minute
	// releasePerTend is how many paused deliveries of a webhook are released each time: 10 per
	// second (spec/webhooks.md §4.8).
	releasePerTend = 10
	pausePerTend   = 500
	maxManual      = 50
	pruneStep      = 500
	pruneEvery     = time.Minute
	prunePause     = 50 * time.Millisecond
)

// tend looks after what no event and no attempt brings about, until ctx ends.
func (s *sending) tend(ctx context.Context) {
	tick, count := time.NewTicker(tendEvery), time.NewTicker(countEvery)
	defer tick.Stop()
	defer count.Stop()
	again := true
	for {
		if again {
			var err error
			again, err = s.look(ctx)
			s.report(ctx, "look at webhooks", err)
		}
		select {
		case <-s.poke:
			again = true
		case <-tick.C:
			s.report(ctx, "release deliveries", s.move(ctx))
		case <-count.C:
			s.report(ctx, "count deliveries", s.recount(ctx))
		case <-ctx.Done():
			return
		}
	}
}

func (s *sending) report(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		s.o.Logger.Warn("webhooks wait", "for", what, "error", err)
	}
}

// look finds out what was changed or asked for, here or elsewhere, and whether there may be
// more of it without a poke.
func (s *sending) look(ctx context.Context) (again bool, err error) {
	version, err := s.o.Store.Version(ctx)
	if err != nil {
		return true, err
	}
	manual, jobs, err := s.o.Store.Asked(ctx)
	if err != nil {
		return true, err
	}
	s.mu.Lock()
	stale := version != s.version
	waiting := manual > len(s.manual)
	except := make([]int64, 0, len(s.manual))
	for id := range s.manual {
		except = append(except, id)
	}
	s.mu.Unlock()
	if stale {
		s.reread(ctx)
	}
	if jobs > 0 {
		signal(s.jobs)
	}
	again = manual > 0 || jobs > 0 || !s.o.Store.Alone()
	if !waiting || len(except) >= maxManual {
		return again, nil
	}
	asked, err := s.o.Store.ClaimManual(ctx, maxManual-len(except), except)
	if err != nil {
		return true, err
	}
	for _, c := range asked {
		s.byHand(c)
	}
	return again, nil
}

// byHand begins an attempt that somebody asked for, whatever the webhook's state is.
func (s *sending) byHand(c Claimed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lanes[c.WebhookID]
	if l == nil || l.w.Locked || s.stopped {
		return
	}
	s.manual[c.ID] = true
	s.slots.busy++
	s.attempts.Add(1)
	go s.launch(start{lane: l, webhook: l.asSet, host: l.host, claimed: c, manual: true, begun: time.Now()})
}

// move pauses deliveries of disabled webhooks, and releases those of active ones.
func (s *sending) move(ctx context.Context) error {
	var pause, release []int64
	s.mu.Lock()
	for id, l := range s.lanes {
		switch {
		case !l.w.IsActive && l.waiting.Due > 0:
			pause = append(pause, id)
		case l.w.IsActive && l.waiting.Paused > 0:
			release = append(release, id)
		}
	}
	s.mu.Unlock()
	for _, id := range pause {
		n, err := s.o.Store.Pause(ctx, id, pausePerTend)
		if err != nil {
			return err
		}
		s.moved(id, n, 0)
	}
	for _, id := range release {
		n, err := s.o.Store.Release(ctx, id, time.Now(), releasePerTend)
		if err != nil {
			return err
		}
		s.moved(id, 0, n)
	}
	return nil
}

// moved corrects the counts of a lane; none moved means that they were wrong.
func (s *sending) moved(webhook int64, paused, released int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lanes[webhook]
	switch {
	case l == nil:
	case paused > 0:
		l.waiting.Due -= paused
		l.waiting.Paused += paused
	case released > 0:
		l.waiting.Paused -= released
		l.waiting.Due += released
		l.stir(time.Now())
		signal(s.wake)
	case l.w.IsActive:
		l.waiting.Paused = 0
	default:
		l.waiting.Due = l.inFlight
	}
}

// recount counts what waits, so that errors of counting do not add up, and makes due again
// what nobody has said the end of.
func (s *sending) recount(ctx context.Context) error {
	if _, err := s.o.Store.Abandon(ctx, time.Now(), pruneStep); err != nil {
		return err
	}
	waiting, err := s.o.Store.Waiting(ctx)
	if err != nil {
		return err
	}
	var full []*result
	now := time.Now()
	s.mu.Lock()
	for id, l := range s.lanes {
		l.waiting = waiting[id]
		l.stir(now)
		if l.w.IsActive && l.waiting.Due > 0 {
			r := &result{end: overfull}
			r.claimed.WebhookID, r.claimed.Attempts = id, l.waiting.Due
			full = append(full, r)
		}
	}
	s.mu.Unlock()
	signal(s.wake)
	for _, r := range full {
		select {
		case s.results <- r:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// prune removes what has outlived its retention, a little at a time, until ctx ends.
func (s *sending) prune(ctx context.Context) {
	for {
		n, err := s.o.Store.Prune(ctx, time.Now(), s.o.Retention, pruneStep)
		s.report(ctx, "remove old deliveries", err)
		wait := pruneEvery
		if n > 0 && err == nil {
			wait = prunePause // the writer is there for others, too
		}
		if !pause(ctx, wait) {
			return
		}
	}
}

// stats returns how sending stands.
func (s *sending) stats(now time.Time) Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{Leading: true, Busy: s.slots.busy, Position: s.position, Trouble: s.trouble, Circuits: map[int64]int{}}
	for id, l := range s.lanes {
		st.Pending += max(l.waiting.Due, 0)
		st.Paused += max(l.waiting.Paused, 0)
		if c := &l.w.Circuit; c.Open() {
			st.Circuits[id] = 1
		} else if len(c.Failures) > 0 || l.w.Health.ConsecutiveFailures > 0 {
			st.Circuits[id] = 0
		}
		if l.credit(now) > 0 && !l.next.IsZero() && l.next.Before(now) {
			st.OldestDue = max(st.OldestDue, now.Sub(l.next))
		}
	}
	return st
}
