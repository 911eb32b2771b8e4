package gateway

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/kuranty/kuranty/event"
)

const (
	// keepConsumers is how long a consumer that nobody uses is kept.
	keepConsumers = 7 * 24 * time.Hour
	// sentPlaces is how many of the events sent last are known by position without asking
	// the log.
	sentPlaces = 1024
	// watchConsumersEvery is how often it is looked whether other nodes took consumers: whoever
	// read for one before is to stop within 2 s.
	watchConsumersEvery = time.Second
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

// takeConsumer makes the session the one that reads for a consumer, and returns from where
// on. One that nobody has used begins at first, or now if first is negative; where it begins
// is kept, so that nothing is lost to who goes before anything was acknowledged. Whoever
// read for it before is told and closed.
func (s *session) takeConsumer(ctx context.Context, text string, first int64) (pos int64, err error) {
	g := s.g
	select { // one at a time, so that here and in the database the same session comes last
	case g.taking <- struct{}{}:
		defer func() { <-g.taking }()
	case <-ctx.Done():
		return 0, fmt.Errorf("take consumer %s: %w", text, ctx.Err())
	}
	s.mu.Lock()
	subject := s.caller.Subject
	s.mu.Unlock()
	now := g.now().UnixMilli()
	pos, known, err := g.o.Store.TakeConsumer(ctx, subject, text, s.id, now)
	if err == nil && !known {
		if pos = first; pos < 0 {
			pos = g.hub.begun.Load().pos
		}
		_, err = g.o.Store.Acknowledge(ctx, subject, text, s.id, pos, now)
	}
	if err != nil {
		return 0, fmt.Errorf("take consumer %s: %w", text, err)
	}
	var before *session
	s.locked(func() {
		if s.consumer == nil || s.consumer.name != text {
			if s.consumer != nil {
				g.consumers.drop(ConsumerName{subject, s.consumer.name}, s)
			}
			s.consumer = &consumer{name: text}
		}
		before = g.consumers.swap(ConsumerName{subject, text}, s)
	})
	if before != nil && before != s {
		before.replaced()
	}
	return pos, nil
}

// watchConsumers ends sessions whose consumers other nodes took, until ctx ends.
func (g *Gateway) watchConsumers(ctx context.Context) {
	failing := false // which is said once
	for g.pause(ctx, watchConsumersEvery) {
		err := g.endReplaced(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			g.o.Logger.Warn("look who reads for consumers", "error", err)
		}
		failing = err != nil
	}
}

// endReplaced ends sessions that do not read for their consumers any more.
func (g *Gateway) endReplaced(ctx context.Context) error {
	select { // nobody here takes one back before who lost it has been told
	case g.taking <- struct{}{}:
		defer func() { <-g.taking }()
	case <-ctx.Done():
		return ctx.Err()
	}
	reading := g.consumers.all()
	if len(reading) == 0 {
		return nil
	}
	holders, err := g.o.Store.Holders(ctx, slices.Collect(maps.Keys(reading)))
	if err != nil {
		return err
	}
	held := make(map[string]bool, len(holders))
	for _, id := range holders {
		held[id] = true
	}
	for _, s := range reading {
		if !held[s.id] {
			s.replaced()
		}
	}
	return nil
}

// tendConsumers keeps consumers that are in use, and forgets the others.
func (g *Gateway) tendConsumers(ctx context.Context) {
	for c, s := range g.consumers.all() {
		if _, err := g.o.Store.Acknowledge(ctx, c.Subject, c.Name, s.id, -1, g.now().UnixMilli()); err != nil {
			g.o.Logger.Warn("look after consumers", "error", err)
			return
		}
	}
	if err := g.o.Store.ForgetConsumers(ctx, g.now().Add(-keepConsumers).UnixMilli()); err != nil {
		g.o.Logger.Warn("forget consumers", "error", err)
	}
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
		c.saving = s.spawn(s.saveAcks)
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
				if known && at <= s.served() {
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
