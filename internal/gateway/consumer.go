package gateway

import (
	"context"
	"fmt"
	"time"

	"github.com/kuranty/kuranty/event"
)

const (
	// keepConsumers is how long a consumer that nobody uses is kept.
	keepConsumers = 7 * 24 * time.Hour
	// sentPlaces is how many of the events sent last are known by position without asking
	// the log.
	sentPlaces = 1024
)

// consumer is a durable reader of the log: what it has acknowledged is stored. It belongs to
// its session.
type consumer struct {
	name string
	// places are the newest events sent, as a ring.
	places []position
	next   int
	// acked is what was acknowledged last, saving says that a goroutine stores it.
	acked  int64
	asked  string // an event whose position must be asked for
	saving bool
}

// sent remembers where an event is.
func (c *consumer) sent(e *event.Event) {
	if len(c.places) < sentPlaces {
		c.places = append(c.places, itself(e))
		return
	}
	c.places[c.next] = itself(e)
	c.next = (c.next + 1) % sentPlaces
}

func (c *consumer) place(id string) (int64, bool) {
	for i := range c.places {
		if c.places[i].id == id {
			return c.places[i].pos, true
		}
	}
	return 0, false
}

// takeConsumer makes the session the one that reads for a consumer, and returns up to where
// it has acknowledged, or -1 if it is new. Whoever read for it before is told and closed.
func (s *session) takeConsumer(ctx context.Context, text string) (int64, error) {
	s.mu.Lock()
	subject := s.caller.Subject
	s.mu.Unlock()
	pos, known, err := s.g.o.Store.TakeConsumer(ctx, subject, text, s.id, s.g.now().UnixMilli())
	if err != nil {
		return 0, fmt.Errorf("take consumer %s: %w", text, err)
	}
	s.mu.Lock()
	s.consumer = &consumer{name: text}
	s.mu.Unlock()
	if before := s.g.consumers.swap(subject+"\x00"+text, s); before != nil && before != s {
		before.replaced()
	}
	if !known {
		return -1, nil
	}
	return pos, nil
}

// replaced ends a session whose consumer is another's now. It is a close after which
// documented clients do not come back.
func (s *session) replaced() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out.closing || s.consumer == nil {
		return
	}
	s.say("response", "", map[string]any{"action": "consumer", "status": "replaced", "consumer": s.consumer.name})
	s.end(closeNormal, "consumer replaced")
}

// acknowledge notes that all events up to one are done with; s.mu is held.
func (s *session) acknowledge(f *frame) {
	c := s.consumer
	if c == nil || !isEventID(f.EventID) {
		s.strike("", "ack needs a consumer and the id of an event")
		return
	}
	if pos, ok := c.place(f.EventID); ok {
		c.acked, c.asked = max(c.acked, pos), ""
	} else {
		c.asked = f.EventID
	}
	if !c.saving {
		c.saving = s.g.spawn(s.saveAcks)
	}
}

// saveAcks stores what was acknowledged, until nothing new is.
func (s *session) saveAcks(ctx context.Context) {
	saved := int64(0)
	for {
		s.mu.Lock()
		c := s.consumer
		pos, id, subject := c.acked, c.asked, s.caller.Subject
		if pos <= saved && id == "" || ctx.Err() != nil {
			c.saving = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		if id != "" {
			at, known, err := s.g.o.Store.Place(ctx, id)
			s.mu.Lock()
			if err == nil {
				if c.asked == id {
					c.asked = ""
				}
				if known && at <= max(s.lastSent, s.pos) {
					c.acked = max(c.acked, at)
				}
			}
			pos = c.acked
			s.mu.Unlock()
			if err != nil && !s.g.pause(ctx, time.Second) {
				continue
			}
		}
		if pos <= saved {
			continue
		}
		held, err := s.g.o.Store.Acknowledge(ctx, subject, c.name, s.id, pos, s.g.now().UnixMilli())
		switch {
		case err != nil:
			s.g.o.Logger.Warn("store an acknowledgement", "consumer", c.name, "error", err)
			s.g.pause(ctx, time.Second)
		case !held:
			s.replaced()
			return
		default:
			saved = pos
		}
	}
}
