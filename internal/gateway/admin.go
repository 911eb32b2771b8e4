package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/realtime"
	"github.com/kuranty/kuranty/realtime/transport"
)

// The admin socket (event-gateway.md, part II) is a session that speaks another language:
// it says welcome, then events, and nothing else unless it is asked; errors are reasons of
// closes.

// adminTypes are the types that a connection gets which asks for no others.
var adminTypes = []string{
	event.UserCreated, event.PaymentCompleted, event.TransactionCreated, event.TicketCreated, event.TicketStatusChanged, event.TicketMessageAdded,
}

// Reasons of closes with code 1008 (event-gateway.md §15).
const (
	closePolicy    = 1008
	closeGoingAway = 1001

	adminNoToken = "Unauthorized: No token provided"
	adminInvalid = "Unauthorized: Invalid token"
	adminExpired = "Unauthorized: Token expired"
	adminGarbage = "Too many invalid messages"
)

// maxGarbage is how many messages in a minute may make no sense.
const maxGarbage = 100

// ServeAdmin answers a request for /ws.
func (g *Gateway) ServeAdmin(sockets Sockets) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := g.credentialOf(r)
		who := peerOf(r, c)
		if !g.enter(w, who) {
			return
		}
		accepted := false
		sockets.Accept(w, r, "", func(conn realtime.Conn) transport.Session {
			accepted = true
			return &session{g: g, conn: conn, framing: conn.Framing(), id: newID("con_"), peer: who, form: formAdmin, credential: c}
		})
		if !accepted {
			g.guard.identified(who)
		}
	})
}

// adminClose is how the admin socket ends where the other one ends with code; s.mu is held.
func (s *session) adminClose(code uint16, text string) (uint16, string) {
	switch code {
	case closeAuth:
		if s.state == stateOpen {
			return closePolicy, adminExpired
		}
		return closePolicy, adminInvalid
	case closeTooMany:
		return closePolicy, "Too many connections"
	case closeSilent:
		return closeGoingAway, text
	}
	return code, text
}

// greet opens the admin socket for a caller who has been admitted; s.mu is held.
func (s *session) greet() {
	if s.form != formAdmin {
		return
	}
	s.adminSay(struct {
		Type    string `json:"type"`
		Status  string `json:"status"`
		Message string `json:"message"`
	}{"connection", "connected", "WebSocket connection established"})
	s.subscribe(&frame{Events: adminTypes}, event.Filter{}, -1)
}

// concernsAdmins tells whether a caller has any business at the admin socket: keys have,
// people only if they may read something of what it is there for.
func (g *Gateway) concernsAdmins(c *Caller) bool {
	if c.User == 0 {
		return true
	}
	for _, typ := range adminTypes {
		if k := g.catalogue.Kind(typ); k != nil && c.reads(event.ChannelNamed(k.Channel)) {
			return true
		}
	}
	return false
}

// adminSay sends what is no event; s.mu is held.
func (s *session) adminSay(v any) {
	s.messagesOut++
	s.write(s.framing.AppendFrame(nil, encode(v)), 0, "")
}

// adminFrame is what is understood of a message on the admin socket.
type adminFrame struct {
	Type        string          `json:"type"`
	Events      json.RawMessage `json:"events"`
	Filter      json.RawMessage `json:"filter"`
	LastEventID json.RawMessage `json:"last_event_id"`
}

// receiveAdmin takes a message on the admin socket; s.mu is held.
func (s *session) receiveAdmin(b []byte) bool {
	s.heard.Store(s.g.tick.Load())
	var in adminFrame
	if TooDeep(b) || json.Unmarshal(b, &in) != nil {
		in.Type = ""
	}
	s.g.metrics.in(in.Type)
	switch in.Type {
	case "ping":
		if s.state == stateOpen {
			s.adminSay(struct {
				Type string `json:"type"`
			}{"pong"})
		}
	case "pong":
	case "subscribe", "resume":
		if s.counted() != paceOK || s.busy && s.full() {
			s.garbage()
			break
		}
		f := &frame{Type: in.Type, Filter: in.Filter}
		err := text(in.LastEventID, "last_event_id", &f.LastEventID)
		if f.Type == "subscribe" {
			f.LastEventID = ""
			if f.Events, err = names(in.Events, "events"); err == nil && f.Events == nil {
				err = &malformed{"events must be a list of types or patterns"}
			}
		}
		if err != nil {
			s.adminRefuse(err.Error())
			break
		}
		if s.busy {
			s.inbox = append(s.inbox, f)
			break
		}
		s.answerAdmin(f)
	default:
		s.garbage()
	}
	return !s.out.closing
}

// Strangers may have little on their way until it is known who they are (guarantees.md S22).
const (
	strangersMessage = 4 << 10
	strangersInbox   = 8
)

// full tells whether no more messages may wait; s.mu is held.
func (s *session) full() bool {
	return len(s.inbox) >= maxInbox || s.state != stateOpen && len(s.inbox) >= strangersInbox
}

// garbage counts a message that makes no sense; s.mu is held.
func (s *session) garbage() {
	now := s.g.now()
	if s.strikes.add(now); s.strikes.n > maxGarbage {
		s.end(closePolicy, adminGarbage)
	}
}

// adminRefuse answers a request that cannot be served; s.mu is held.
func (s *session) adminRefuse(detail string) {
	s.adminSay(struct {
		Type    string `json:"type"`
		Code    string `json:"code"`
		Message string `json:"message"`
	}{"error", "invalid_request", detail})
}

// answerAdmin answers subscribe and resume; s.mu is held.
func (s *session) answerAdmin(f *frame) {
	switch {
	case s.state != stateOpen:
	case f.Type == "subscribe":
		s.adminSubscribe(f)
	case !isEventID(f.LastEventID):
		s.adminRefuse("last_event_id is not the id of an event")
	default:
		s.later(func(ctx context.Context) { s.adminResume(ctx, f.LastEventID) })
	}
}

// adminSubscribe replaces what the connection gets; s.mu is held.
func (s *session) adminSubscribe(f *frame) {
	var filter event.Filter
	if len(f.Filter) > 0 && string(f.Filter) != "null" {
		var err error
		if filter, err = event.ParseFilter(f.Filter); err != nil {
			s.adminRefuse(err.Error())
			return
		}
	}
	asks := asked(f)
	for _, n := range asks {
		switch _, code := s.g.resolve(n, &s.caller); code {
		case codeUnknown:
			s.adminRefuse("events: there is no type " + n.text)
			return
		case codeForbidden:
			s.adminRefuse("events: you may not read " + n.text)
			return
		}
	}
	if len(f.Events) > s.g.o.Subscriptions {
		s.adminRefuse("events: too many")
		return
	}
	s.subs = slices.DeleteFunc(s.subs, func(sub *subscription) bool { return !slices.Contains(asks, sub.name) })
	s.subscribe(f, filter, -1)
	list := slices.Compact(s.active().Events)
	s.adminSay(struct {
		Type   string   `json:"type"`
		Events []string `json:"events"`
	}{"subscribed", list})
}

// adminResumed answers resume once the past has been sent.
type adminResumed struct {
	Type     string `json:"type"`
	Status   string `json:"status"`
	Replayed int    `json:"replayed"`
	Earliest string `json:"earliest,omitempty"`
}

// notice is what the session says when it has sent the log up to a position.
type notice struct {
	pos  int64
	text any
}

// adminResume sends what happened after an event and before the connection was there.
func (s *session) adminResume(ctx context.Context, id string) {
	pos, known, err := s.g.o.Store.Place(ctx, id)
	var earliest string
	var oldest int64
	if err == nil {
		earliest, oldest, err = s.g.o.Store.Oldest(ctx)
	}
	if err != nil {
		s.g.o.Logger.Warn("answer a connection", "connection", s.id, "error", err)
		s.locked(func() { s.end(closeOverload, "service unavailable") })
		return
	}
	if !known || oldest > pos+1 {
		s.locked(func() { s.adminSay(adminResumed{"resumed", "lost", 0, earliest}) })
		return
	}
	head := s.g.hub.begun.Load()
	probe := &session{g: s.g}
	s.mu.Lock()
	probe.caller, probe.form = s.caller, s.form
	probe.subs = s.resumeSubs(pos)
	s.mu.Unlock()
	n, err := s.g.count(ctx, probe, pos, head.pos)
	if err != nil {
		s.g.o.Logger.Warn("answer a connection", "connection", s.id, "error", err)
		s.locked(func() { s.end(closeOverload, "service unavailable") })
		return
	}
	s.locked(func() {
		if s.notice != nil {
			s.adminRefuse("resume: one is being answered")
			return
		}
		s.settle()
		s.notice = &notice{head.pos, adminResumed{"resumed", "complete", n, ""}}
		s.subs = s.resumeSubs(pos)
		s.g.metrics.replayed.Add(float64(n))
		s.rewind(pos)
	})
}

// resumeSubs are the subscriptions together with others like them that begin at pos and
// get what the first ones have not; s.mu is held.
func (s *session) resumeSubs(pos int64) []*subscription {
	mark := s.served()
	all := make([]*subscription, 0, 2*len(s.subs))
	for _, sub := range s.subs {
		old := *sub
		old.done = max(old.done, mark)
		all = append(all, &old)
	}
	for _, sub := range s.subs {
		again := *sub
		again.from, again.done = min(pos, sub.from), pos
		all = append(all, &again)
	}
	return all
}

// passing is called before an event at a position is sent, and when all up to it have been:
// it says what was to be said before. s.mu is held.
func (s *session) passing(pos int64) {
	n := s.notice
	if n == nil || pos <= n.pos {
		return
	}
	s.notice = nil
	merged := s.subs[:0:0]
	for _, sub := range s.subs { // those that began earlier have got it all now, as the first ones have
		if at := slices.IndexFunc(merged, func(m *subscription) bool { return m.name == sub.name }); at >= 0 {
			merged[at].from, merged[at].done = min(merged[at].from, sub.from), max(merged[at].done, n.pos)
			continue
		}
		merged = append(merged, sub)
	}
	s.subs = merged
	s.adminSay(n.text)
}
