package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kuranty/kuranty/event"
)

const (
	// pageLength is how many events are read from the log at a time.
	pageLength = 256
	// maxReaders is how many pages of the log are read at the same time; others wait.
	maxReaders = 8
)

// Store is the log, and what consumers have of it.
type Store interface {
	// Between returns up to limit numbered events after one position and up to another, in
	// order, of these types.
	Between(ctx context.Context, after, upTo int64, types []string, limit int) ([]event.Event, error)
	// Place returns the position of an event, known false if it is not kept; Newest and
	// Oldest the places where the log ends and begins, with an empty id without events.
	Place(ctx context.Context, id string) (pos int64, known bool, err error)
	Newest(ctx context.Context) (id string, pos int64, err error)
	Oldest(ctx context.Context) (id string, pos int64, err error)
	// Members returns which of users are members of a chat now.
	Members(ctx context.Context, chat int64, users []int64) ([]int64, error)

	// TakeConsumer makes holder the one who reads for a consumer of a subject and returns
	// up to where it has acknowledged; known is false if it is new.
	TakeConsumer(ctx context.Context, subject, name, holder string, now int64) (pos int64, known bool, err error)
	// Acknowledge moves a consumer forward; held is false if another holder took it.
	Acknowledge(ctx context.Context, subject, name, holder string, pos, now int64) (held bool, err error)
	// Holders returns who reads for consumers, in any order, as far as these are known.
	Holders(ctx context.Context, consumers []ConsumerName) ([]string, error)
	// ForgetConsumers removes those that nobody used since.
	ForgetConsumers(ctx context.Context, since int64) error
}

// ConsumerName names a durable consumer: those of each subject are its own.
type ConsumerName struct {
	Subject string `json:"subject"`
	Name    string `json:"name"`
}

// resumed says how far the past was given (event-gateway.md §10).
type resumed struct {
	Status   string `json:"status"` // complete or lost
	From     string `json:"from,omitempty"`
	Replayed int    `json:"replayed"`
	To       string `json:"to,omitempty"`
	Earliest string `json:"earliest,omitempty"`
}

// wake lets a goroutine read the log for the session, if it is behind and its socket
// takes something. s.mu is held.
func (s *session) wake() {
	if s.mode != modeReader || s.reading || s.out.bytes > lowQueue || s.out.closing {
		return
	}
	s.reading = s.spawn(s.read)
}

// read sends what the log has after s.pos until the socket takes no more or the session
// is live again.
func (s *session) read(ctx context.Context) {
	for {
		s.mu.Lock()
		if s.caughtUp() || s.mode != modeReader || s.out.bytes > lowQueue || s.out.closing || ctx.Err() != nil {
			s.reading = false
			s.mu.Unlock()
			return
		}
		pos, turn, types := s.pos, s.turn, s.types()
		s.mu.Unlock()
		upTo := s.g.hub.begun.Load().pos
		page, err := s.g.page(ctx, pos, upTo, types, s.user.Load())
		if err == nil && len(page) < pageLength {
			err = s.lost(ctx, pos)
		}
		if errors.Is(err, errLost) {
			s.mu.Lock()
			s.reading = false
			s.end(closeSlow, "the log does not go back so far any more")
			s.mu.Unlock()
			return
		}
		if err != nil {
			s.g.o.Logger.Warn("read the log for a connection", "connection", s.id, "error", err)
			if !s.g.pause(ctx, time.Second) {
				s.mu.Lock()
				s.reading = false
				s.mu.Unlock()
				return
			}
			continue
		}
		if len(page) == pageLength {
			upTo = page[len(page)-1].event.Pos
		}
		s.send(page, turn, upTo)
	}
}

// errLost says that events after a position are not kept any more.
var errLost = errors.New("the log does not go back so far")

// lost tells whether the log begins after a position that was read from.
func (s *session) lost(ctx context.Context, pos int64) error {
	_, oldest, err := s.g.o.Store.Oldest(ctx)
	if err == nil && oldest > pos+1 {
		return errLost
	}
	return err
}

// caughtUp makes the session live if nothing that happened before is missing; s.mu is held.
func (s *session) caughtUp() bool {
	s.passing(s.pos + 1)
	if s.mode == modeReader && s.pos >= s.g.hub.begun.Load().pos {
		s.enter(modeLive)
	}
	return s.mode == modeLive
}

// send sends a page that goes up to upTo, unless the session was sent to the log again
// since it was read: then there may be subscriptions whose types it lacks. Events that find
// no room are read again.
func (s *session) send(page []*occurrence, turn uint32, upTo int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mode != modeReader || s.turn != turn {
		return
	}
	defer s.uncork(s.cork())
	newest := s.newest(page)
	for i, o := range page {
		s.pos = o.event.Pos
		wanted, latest := s.wants(o)
		if !wanted || !o.visible(&s.caller) {
			continue
		}
		if latest && newest[o.key()] != i {
			s.skipped++
			continue
		}
		s.passing(o.event.Pos)
		if !s.write(o.frame(s.form, s.framing, s.g.o.Source), o.event.Pos, "") {
			s.pos = o.event.Pos - 1
			return
		}
		s.sent(o, "replay")
	}
	s.pos = upTo
}

// newest finds, of events that are the newest state of something, the last in a page.
func (s *session) newest(page []*occurrence) map[string]int {
	last := make(map[string]int)
	for i, o := range page {
		if _, latest := s.wants(o); latest {
			last[o.key()] = i
		}
	}
	return last
}

// types are those that a session waits for; s.mu is held.
func (s *session) types() []string {
	var types []string
	for _, sub := range s.subs {
		types = append(types, typesOf(sub.kinds)...)
	}
	return types
}

// page reads events and who may see them: of rooms only what user may.
func (g *Gateway) page(ctx context.Context, pos, upTo int64, types []string, user int64) ([]*occurrence, error) {
	if len(types) == 0 || pos >= upTo {
		return nil, nil
	}
	select { // those who wait take turns, page by page
	case g.readers <- struct{}{}:
		defer func() { <-g.readers }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait to read the log: %w", ctx.Err())
	}
	events, err := g.o.Store.Between(ctx, pos, upTo, types, pageLength)
	if err != nil {
		return nil, fmt.Errorf("read the log after %d: %w", pos, err)
	}
	page := make([]*occurrence, 0, len(events))
	rooms := make(map[int64]map[int64]bool)
	for i := range events {
		o, err := g.newOccurrence(&events[i])
		if err != nil {
			g.o.Logger.Error("event cannot be shown", "event", events[i].ID, "type", events[i].Type, "error", err)
		}
		if o == nil {
			o = &occurrence{event: &events[i], kind: nothing}
		}
		o.replay = true
		if room := o.room(); room != 0 && user != 0 {
			members, known := rooms[room]
			if !known {
				if members, err = g.members(ctx, room, []int64{user}); err != nil {
					return nil, err
				}
				rooms[room] = members
			}
			o.members = members
		}
		page = append(page, o)
	}
	return page, nil
}

// nothing is the kind of what nobody asks for.
var nothing = new(event.Kind)

// count counts the events that a session like probe, which nobody else knows, would be
// sent of those after pos and up to upTo.
func (g *Gateway) count(ctx context.Context, probe *session, pos, upTo int64) (n int, err error) {
	for pos < upTo {
		page, err := g.page(ctx, pos, upTo, probe.types(), probe.caller.User)
		if err != nil {
			return 0, err
		}
		for _, o := range page {
			if wanted, _ := probe.wants(o); wanted && o.visible(&probe.caller) {
				n++
			}
		}
		if len(page) < pageLength {
			break
		}
		pos = page[len(page)-1].event.Pos
	}
	return n, nil
}
