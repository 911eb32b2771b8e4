package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/realtime"
)

// occurrence is an event while it is looked at: everything that is made of it is made once.
type occurrence struct {
	event    *event.Event
	kind     *event.Kind
	payload  []byte
	document event.Document
	// members are the users who may see the event of a room; open says that it is none.
	members map[int64]bool
	open    bool
	replay  bool
	frames  []framed
	newest  string // see key
}

// framed is an event laid out for connections of one kind.
type framed struct {
	as      form
	framing realtime.Framing
	bytes   []byte
}

// form is how a connection wants its events.
type form uint8

const (
	formEvent       form = iota // as documented
	formCloud                   // as CloudEvents
	formAdmin                   // as the admin socket has them
	formStream                  // as documented, in a stream of HTTP
	formStreamCloud             // as CloudEvents, in a stream of HTTP
)

// streams tells whether the connection is no socket but a stream of HTTP.
func (f form) streams() bool { return f == formStream || f == formStreamCloud }

// newOccurrence returns nil for an event that no reader is to see.
func (g *Gateway) newOccurrence(e *event.Event) (*occurrence, error) {
	k := g.catalogue.Kind(e.Type)
	if k == nil {
		return nil, nil //nolint:nilnil // nothing, and no mistake
	}
	payload, err := k.Public(e)
	if err != nil {
		return nil, err
	}
	o := &occurrence{event: e, kind: k, payload: payload}
	ch := event.ChannelNamed(k.Channel)
	o.open = ch == nil || !ch.Rooms
	return o, nil
}

// room is the chat that the event is of, 0 if it is none's.
func (o *occurrence) room() int64 {
	if o.open {
		return 0
	}
	chat, _ := event.StreamOf(o.event.Stream)
	return chat
}

// passes tells whether a filter lets the event pass.
func (o *occurrence) passes(f *event.Filter) bool {
	if f.Empty() {
		return true
	}
	if o.document == nil {
		doc, err := event.NewDocument(o.kind, o.event, o.payload)
		if err != nil {
			return false
		}
		o.document = doc
	}
	return f.Pass(o.document)
}

// visible tells whether a caller may see the event.
func (o *occurrence) visible(c *Caller) bool { return o.open || c.Moderator || o.members[c.User] }

// frame returns the event as one kind of connection gets it. The bytes are shared.
func (o *occurrence) frame(as form, framing realtime.Framing, source string) []byte {
	for i := range o.frames {
		if f := &o.frames[i]; f.as == as && f.framing == framing {
			return f.bytes
		}
	}
	var text []byte
	payload := fitting(o.event, o.payload)
	switch as {
	case formCloud:
		text = appendCloudEvent(nil, o.kind, o.event, payload, source)
	case formAdmin:
		text = appendAdminEvent(nil, o.kind, o.event, payload)
	case formStream:
		text = appendStreamed(o.event, appendEvent(nil, o.kind, o.event, payload, o.replay))
	case formStreamCloud:
		text = appendStreamed(o.event, appendCloudEvent(nil, o.kind, o.event, payload, source))
	default:
		text = appendEvent(make([]byte, 0, len(payload)+256), o.kind, o.event, payload, o.replay)
	}
	b := framing.AppendFrame(make([]byte, 0, len(text)+10), text)
	o.frames = append(o.frames, framed{as, framing, b})
	return b
}

// key says of what an event is the newest state.
func (o *occurrence) key() string {
	if o.newest != "" {
		return o.newest
	}
	var m map[string]any
	if json.Unmarshal(o.payload, &m) != nil {
		return ""
	}
	o.newest = o.kind.Type
	for _, path := range o.kind.Latest {
		o.newest += "\x00" + fmt.Sprint(at(m, path))
	}
	return o.newest
}

func at(m map[string]any, path string) any {
	for i := range len(path) {
		if path[i] == '.' {
			inner, _ := m[path[:i]].(map[string]any)
			return at(inner, path[i+1:])
		}
	}
	return m[path]
}

// Name implements outbox.Sink.
func (g *Gateway) Name() string { return g.o.Sink }

// burst is how many events are offered together: as many as a session has bits for.
const burst = 64

// Deliver implements outbox.Sink: it offers events to the sessions that wait for their
// types. It fails only when it cannot be known who may see an event.
func (g *Gateway) Deliver(ctx context.Context, events []event.Event) (done int, err error) {
	for done < len(events) && err == nil {
		var n int
		n, err = g.offer(ctx, events[done:min(done+burst, len(events))])
		done += n
	}
	return done, err
}

// offer offers events that follow each other and returns how many. A session gets all of
// them that it waits for by one write: alone, an event is sent at once, and many that come
// together cost little more than one.
func (g *Gateway) offer(ctx context.Context, events []event.Event) (n int, err error) {
	list, due := make([]*occurrence, len(events)), g.due[:0]
	defer func() { // after a panic, too
		for _, s := range due {
			s.offers = 0
		}
		clear(due)
		g.due = due
	}()
	for ; n < len(events); n++ {
		e := &events[n]
		g.watch(e)
		if e.Pos <= g.hub.finished.Load().pos {
			continue // again
		}
		// First: who begins to wait from here on has not asked for this one.
		last := itself(e)
		g.hub.begun.Store(&last)
		waiting := g.hub.waiting(e.Type)
		if len(waiting) == 0 {
			continue
		}
		if list[n], err = g.offering(ctx, e, waiting); err != nil {
			err = fmt.Errorf("offer %s: %w", e.Type, err)
			break
		}
		if list[n] == nil {
			continue
		}
		for _, s := range waiting {
			if s.offers == 0 {
				due = append(due, s)
			}
			s.offers |= 1 << n
		}
	}
	for _, s := range due {
		s.offered(list, s.offers)
	}
	if n > 0 && events[n-1].Pos > g.hub.finished.Load().pos {
		last := itself(&events[n-1])
		g.hub.finished.Store(&last)
	}
	for _, o := range list[:n] {
		if o != nil {
			g.metrics.fanout.Observe(max(time.Since(time.UnixMilli(o.event.At)).Seconds(), 0))
		}
	}
	return n, err
}

// offering makes of an event what is offered to those who wait for it, nil if nobody is to
// see it.
func (g *Gateway) offering(ctx context.Context, e *event.Event, waiting []*session) (*occurrence, error) {
	o, err := g.newOccurrence(e)
	if err != nil {
		g.o.Logger.Error("event cannot be shown", "event", e.ID, "type", e.Type, "error", err)
		return nil, nil //nolint:nilnil // others go on
	}
	if o == nil || o.open {
		return o, nil
	}
	users := make([]int64, 0, len(waiting))
	for _, s := range waiting {
		if user := s.user.Load(); user != 0 {
			users = append(users, user)
		}
	}
	o.members, err = g.members(ctx, o.room(), users)
	return o, err
}

// members returns which of users are in a chat now.
func (g *Gateway) members(ctx context.Context, chat int64, users []int64) (map[int64]bool, error) {
	if len(users) == 0 || chat == 0 {
		return nil, nil //nolint:nilnil // nobody
	}
	in, err := g.o.Store.Members(ctx, chat, users)
	if err != nil {
		return nil, fmt.Errorf("look who is in chat %d: %w", chat, err)
	}
	set := make(map[int64]bool, len(in))
	for _, user := range in {
		set[user] = true
	}
	return set, nil
}

// watch looks for what an event says of callers: who of them is still one is asked for all
// connections concerned.
func (g *Gateway) watch(e *event.Event) {
	var p struct {
		User  int64  `json:"user_id"`
		Token string `json:"token_id"`
	}
	switch e.Type {
	case event.SessionRevoked, event.UserSuspended, event.UserDeleted, event.UserUpdated, event.TokenRevoked:
	default:
		return
	}
	if json.Unmarshal(e.Payload, &p) != nil {
		return
	}
	g.revoked.Add(1) // before the look: who is being admitted looks at this
	for _, s := range g.hub.all() {
		s.mu.Lock()
		concerned := s.state == stateOpen && (p.User != 0 && s.caller.User == p.User || p.Token != "" && s.caller.Key == p.Token)
		s.mu.Unlock()
		if concerned {
			s.spawn(s.refresh)
		}
	}
}
