package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/webhook"
)

const (
	// maxFanOut is about how many deliveries are stored in one transaction.
	maxFanOut = 500
	// saveEvery is how often the cursor is saved while no event is for anybody.
	saveEvery = time.Second
)

// fanOut makes deliveries of what the log brings until ctx ends.
func (s *sending) fanOut(ctx context.Context) {
	var pos, saved int64
	read := s.insist(ctx, "read cursor", func() (err error) {
		saved, _, err = s.o.Store.Cursor(ctx)
		pos = saved
		return err
	})
	if !read {
		return
	}
	defer func() {
		if pos > saved {
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
			defer cancel()
			if err := s.o.Store.SaveCursor(last, pos); err != nil { // these events are matched again
				s.o.Logger.Warn("save cursor of webhooks", "error", err)
			}
		}
	}()
	lastSave := time.Now()
	for ctx.Err() == nil {
		events, reached, err := s.o.Log.Follow(ctx, pos)
		if err != nil {
			if ctx.Err() == nil {
				s.o.Logger.Warn("webhooks wait", "for", "the log", "error", err)
				pause(ctx, time.Second)
			}
			continue
		}
		stored, ok := s.spread(ctx, events)
		if !ok {
			return
		}
		pos, saved = reached, max(saved, stored)
		s.at(pos)
		if now := time.Now(); pos > saved && now.Sub(lastSave) >= saveEvery {
			lastSave = now
			if err := s.o.Store.SaveCursor(ctx, pos); err == nil {
				saved = pos
			}
		}
	}
}

func (s *sending) at(pos int64) {
	s.mu.Lock()
	s.position = pos
	s.mu.Unlock()
}

// spread stores the deliveries of events. It returns the position that was stored with them,
// 0 if there were none, and false if ctx ended before.
func (s *sending) spread(ctx context.Context, events []event.Event) (stored int64, ok bool) {
	for len(events) > 0 {
		var matched []Matched
		var taken int
		done := s.insist(ctx, "make deliveries", func() error {
			for {
				now := time.Now().UTC()
				var version int64
				matched, taken, version = s.match(events, now)
				var err error
				if len(matched) == 0 {
					err = s.current(ctx, version)
				} else {
					for i := range matched {
						s.render(&matched[i].Event, matched[i].Deliveries, now)
					}
					err = s.o.Store.FanOut(ctx, version, events[taken-1].Pos, now.Add(lease), matched)
					s.accept(matched, now, err == nil)
				}
				if !errors.Is(err, ErrStale) {
					return err
				}
				if s.reread(ctx); ctx.Err() != nil {
					return ctx.Err()
				}
			}
		})
		if !done {
			return stored, false
		}
		if len(matched) > 0 {
			stored = events[taken-1].Pos
			s.dispatch()
		}
		events = events[taken:]
	}
	return stored, true
}

// current returns ErrStale if version is not that of the webhooks any more: somebody may have
// made one that wants what nobody wanted.
func (s *sending) current(ctx context.Context, version int64) error {
	now, err := s.o.Store.Version(ctx)
	if err == nil && now != version {
		err = ErrStale
	}
	return err
}

// match makes deliveries of events, as far as one transaction should have them: of the first
// taken. Those that can be sent at once are in state sending, which takes their lane's credit.
func (s *sending) match(events []event.Event, now time.Time) (matched []Matched, taken int, version int64) {
	s.mu.Lock()
	index, version := s.index, s.version
	s.mu.Unlock()
	made := 0
	for i := range events {
		if made >= maxFanOut {
			break
		}
		taken++
		kept, ids := s.wanted(index, &events[i])
		if len(ids) == 0 {
			continue
		}
		m := Matched{Event: kept}
		s.mu.Lock()
		for _, id := range ids {
			if d := s.open(id, &kept, delivery.TriggerEvent, now); d != nil {
				m.Deliveries = append(m.Deliveries, d)
			}
		}
		s.mu.Unlock()
		if len(m.Deliveries) > 0 {
			made += len(m.Deliveries)
			matched = append(matched, m)
		}
	}
	return matched, taken, version
}

// wanted returns what is kept of an event, and the webhooks that it is for.
func (s *sending) wanted(index *delivery.Index, e *event.Event) (kept delivery.Event, ids []int64) {
	of := index.Of(e.Type)
	if len(of) == 0 {
		return kept, nil
	}
	kept, err := s.public(e)
	if err == nil {
		ids, err = delivery.Told(of, kept.Type, kept.Payload)
	}
	if err != nil {
		s.o.Logger.Error("event left out of webhooks", "event", e.ID, "type", e.Type, "error", err)
		return kept, nil
	}
	return kept, ids
}

// public is an event as receivers see it.
func (s *sending) public(e *event.Event) (delivery.Event, error) {
	kept := delivery.Event{ID: e.ID, Type: e.Type, Pos: e.Pos, Payload: e.Payload, OrderingKey: e.Stream, Ref: e.Ref, At: time.UnixMilli(e.At).UTC()}
	k := s.o.Catalogue.Kind(e.Type)
	if k == nil {
		return kept, nil
	}
	payload, err := k.Public(e)
	kept.Payload = payload
	return kept, err
}

// open makes the delivery of an event to a webhook, nil if it gets none; s.mu is held.
func (s *sending) open(id int64, e *delivery.Event, trigger delivery.Trigger, now time.Time) *delivery.Delivery {
	l := s.lanes[id]
	if l == nil {
		return nil
	}
	intake := l.w.Intake(l.waiting.Paused)
	if intake == delivery.Ignore {
		return nil
	}
	d := delivery.New(id, e.ID, e.Type, trigger, intake, now)
	if intake == delivery.Accept && l.queued()+l.reserved < maxClaimed-s.claimed && l.handsOver(now) {
		d.State = delivery.StateSending
		l.reserved++
		s.claimed++
	}
	return &d
}

// render makes the bodies of an event for those of its deliveries that are sent at once.
func (s *sending) render(e *delivery.Event, all []*delivery.Delivery, now time.Time) {
	for format := range s.formats(all) {
		if _, ok := s.bodies.get(e.ID, format, now); ok {
			continue
		}
		if text, err := s.o.Requests.body(format, e); err == nil { // otherwise the attempt says it
			s.bodies.put(*e, format, text, now)
		}
	}
}

// formats are those in which deliveries are sent at once.
func (s *sending) formats(all []*delivery.Delivery) map[webhook.Format]bool {
	wanted := map[webhook.Format]bool{}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range all {
		if l := s.lanes[d.WebhookID]; l != nil && d.State == delivery.StateSending {
			wanted[l.w.PayloadFormat] = true
		}
	}
	return wanted
}

// accept queues deliveries that were stored, and gives credit back for others.
func (s *sending) accept(matched []Matched, now time.Time, stored bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range matched {
		m := &matched[i]
		if stored {
			s.o.Observer.Matched(m.Event.Type)
		}
		for _, d := range m.Deliveries {
			l := s.lanes[d.WebhookID]
			direct := d.State == delivery.StateSending
			if direct {
				s.claimed--
			}
			if l == nil {
				continue
			}
			if direct {
				l.reserved--
			}
			if !stored || d.ID == 0 {
				continue
			}
			switch {
			case direct:
				l.waiting.Due++
				l.add(Claimed{Delivery: *d, OrderingKey: m.Event.OrderingKey})
				s.claimed++
				s.prepare(l)
			case d.State == delivery.StatePaused:
				l.waiting.Paused++
			default:
				l.waiting.Due++
				l.stir(now)
			}
		}
	}
	signal(s.wake)
}
