package gateway

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kuranty/kuranty/event"
)

// name is what can be subscribed to: a channel, or a type of events or a pattern of such.
type name struct {
	events bool
	text   string
}

// subscription is an active name of a session.
type subscription struct {
	name
	kinds  []*event.Kind
	filter event.Filter
	// latest keeps only the newest event of each key when the reader is slow.
	latest bool
	// Events up to done need no more be looked at for this subscription: those after from
	// were sent if they matched, those up to from were never asked for.
	from, done int64
}

// resolve returns the types that a name stands for and that the caller may read, or the
// code of the error.
func (g *Gateway) resolve(n name, c *Caller) (found []*event.Kind, code string) {
	if !n.events {
		return g.resolveChannel(n.text, c)
	}
	all := g.catalogue.Matching(n.text)
	if len(all) == 0 {
		return nil, codeUnknown
	}
	for _, k := range all {
		if c.reads(event.ChannelNamed(k.Channel)) {
			found = append(found, k)
		}
	}
	if len(found) == 0 {
		return nil, codeForbidden
	}
	return found, ""
}

func (g *Gateway) resolveChannel(text string, c *Caller) (found []*event.Kind, code string) {
	if types := event.ChannelAliases[text]; types != nil {
		for _, typ := range types {
			found = append(found, g.catalogue.Kind(typ))
		}
		if !c.reads(event.ChannelNamed(found[0].Channel)) {
			return nil, codeForbidden
		}
		return found, ""
	}
	if ch := event.ChannelNamed(text); text != "*" {
		switch {
		case ch == nil:
			return nil, codeUnknown
		case !c.reads(ch):
			return nil, codeForbidden
		}
		return g.channels[text], ""
	}
	for i := range event.Channels {
		if ch := &event.Channels[i]; c.reads(ch) {
			found = append(found, g.channels[ch.Name]...)
		}
	}
	return found, ""
}

// subscribed is the data of the answer to subscribe, unsubscribe, resume and list.
type subscribed struct {
	Action    string              `json:"action"`
	Status    string              `json:"status"`
	RequestID string              `json:"requestId,omitempty"`
	Channels  []string            `json:"channels,omitempty"`
	Events    []string            `json:"events,omitempty"`
	Ignored   []string            `json:"ignored,omitempty"`
	Rejected  []rejected          `json:"rejected,omitempty"`
	Resolved  map[string][]string `json:"resolved,omitempty"`
	Active    active              `json:"active"`
	Count     int                 `json:"count"`
	Resume    *resumed            `json:"resume,omitempty"`
	Consumer  string              `json:"consumer,omitempty"`
	Stats     *traffic            `json:"stats,omitempty"`
}

type rejected struct {
	Name string `json:"name"`
	Code string `json:"code"`
}

type active struct {
	Channels []string `json:"channels"`
	Events   []string `json:"events"`
}

// traffic is what a client may want to know of its own connection.
type traffic struct {
	ConnectedAt string `json:"connectedAt"`
	MessagesIn  uint64 `json:"messagesIn"`
	MessagesOut uint64 `json:"messagesOut"`
	BytesIn     uint64 `json:"bytesIn"`
	BytesOut    uint64 `json:"bytesOut"`
}

// put puts a name in its list.
func (s *subscribed) put(n name) {
	if n.events {
		s.Events = append(s.Events, n.text)
	} else {
		s.Channels = append(s.Channels, n.text)
	}
}

// asked are the names of a frame, each once.
func asked(f *frame) []name {
	list := make([]name, 0, len(f.Channels)+len(f.Events))
	for _, text := range f.Channels {
		list = append(list, name{false, text})
	}
	for _, text := range f.Events {
		list = append(list, name{true, text})
	}
	seen := make(map[name]bool, len(list))
	return slices.DeleteFunc(list, func(n name) bool {
		again := seen[n]
		seen[n] = true
		return again
	})
}

// The texts of rejections, in the order in which they are told (event-gateway.md §3.1).
var rejections = []struct{ code, text string }{
	{codeUnknown, "Channel does not exist"},
	{codeForbidden, "Not allowed to subscribe"},
	{codeLimit, "Subscription limit exceeded"},
}

// subscribe makes the names of a frame active, from position from on or, if it is
// negative, from now on. s.mu is held. It returns the answer; errors of names are sent.
func (s *session) subscribe(f *frame, filter event.Filter, from int64) *subscribed {
	answer := &subscribed{Action: "subscribe", RequestID: f.ID, Resolved: make(map[string][]string)}
	if from >= 0 {
		s.settle()
	}
	codes := make(map[string]*problem)
	list := asked(f)
	accepted := 0
	var added []*subscription
	for _, n := range list {
		kinds, code := s.g.resolve(n, &s.caller)
		at := s.find(n)
		if code == "" && at < 0 && len(s.subs) >= s.g.o.Subscriptions {
			code = codeLimit
		}
		if code != "" {
			answer.Rejected = append(answer.Rejected, rejected{n.text, code})
			p := codes[code]
			if p == nil {
				p = &problem{Code: code, RequestID: f.ID}
				codes[code] = p
			}
			if n.events {
				p.Events = append(p.Events, n.text)
			} else {
				p.Channels = append(p.Channels, n.text)
			}
			continue
		}
		accepted++
		answer.put(n)
		if !n.events && (event.ChannelNamed(n.text) == nil) || event.IsPattern(n.text) || event.TypeAliases[n.text] != "" {
			answer.Resolved[n.text] = typesOf(kinds)
		}
		sub := &subscription{name: n, kinds: kinds, filter: filter, latest: f.Overflow == "latest"}
		switch {
		case at < 0:
			s.subs, added = append(s.subs, sub), append(added, sub)
		case from < 0:
			old := s.subs[at]
			sub.from, sub.done = old.from, old.done
			s.subs[at] = sub
		default:
			s.subs[at], added = sub, append(added, sub)
		}
	}
	for _, r := range rejections {
		if p := codes[r.code]; p != nil {
			p.Message = r.text
			s.fail(f.ID, p)
		}
	}
	switch {
	case accepted == len(list):
		answer.Status = "ok"
	case accepted > 0:
		answer.Status = "partial"
	default:
		answer.Status = "error"
	}
	s.index()
	if from < 0 {
		from = s.g.hub.begun.Load().pos // after index: what begins later is offered to the session
	}
	for _, sub := range added {
		sub.from, sub.done = from, from
	}
	answer.Active, answer.Count = s.active(), len(s.subs)
	return answer
}

func typesOf(kinds []*event.Kind) []string {
	types := make([]string, len(kinds))
	for i, k := range kinds {
		types[i] = k.Type
	}
	return types
}

// unsubscribe ends the names of a frame; s.mu is held.
func (s *session) unsubscribe(f *frame) *subscribed {
	answer := &subscribed{Action: "unsubscribe", Status: "ok", RequestID: f.ID}
	if f.All {
		for _, sub := range s.subs {
			answer.put(sub.name)
		}
		s.subs = nil
	}
	for _, n := range asked(f) {
		at := s.find(n)
		if at < 0 {
			answer.Ignored = append(answer.Ignored, n.text)
			continue
		}
		s.subs = slices.Delete(s.subs, at, at+1)
		answer.put(n)
	}
	s.index()
	answer.Active, answer.Count = s.active(), len(s.subs)
	return answer
}

func (s *session) find(n name) int {
	return slices.IndexFunc(s.subs, func(sub *subscription) bool { return sub.name == n })
}

// active lists the active names in order.
func (s *session) active() active {
	a := active{Channels: []string{}, Events: []string{}}
	for _, sub := range s.subs {
		if sub.events {
			a.Events = append(a.Events, sub.text)
		} else {
			a.Channels = append(a.Channels, sub.text)
		}
	}
	slices.Sort(a.Channels)
	slices.Sort(a.Events)
	return a
}

// revise resolves all subscriptions anew for a caller whose permissions have changed, and
// tells of those that are lost; s.mu is held.
func (s *session) revise() {
	lost := &problem{Code: codeForbidden, Message: "Subscription revoked"}
	s.subs = slices.DeleteFunc(s.subs, func(sub *subscription) bool {
		kinds, code := s.g.resolve(sub.name, &s.caller)
		if code == "" {
			sub.kinds = kinds
			return false
		}
		if sub.events {
			lost.Events = append(lost.Events, sub.text)
		} else {
			lost.Channels = append(lost.Channels, sub.text)
		}
		return true
	})
	if len(lost.Channels)+len(lost.Events) > 0 {
		s.fail("", lost)
	}
	s.index()
}

// index tells the hub which types the session waits for; s.mu is held.
func (s *session) index() {
	kinds := make(map[string]*event.Kind)
	for _, sub := range s.subs {
		for _, k := range sub.kinds {
			kinds[k.Type] = k
		}
	}
	s.g.hub.follow(s, slices.Collect(maps.Keys(kinds)))
}

// wants tells whether a subscription asks for an event that was not sent for another.
// latest says that all that ask want only the newest state. s.mu is held.
func (s *session) wants(o *occurrence) (wanted, latest bool) {
	latest = true
	for _, sub := range s.subs {
		if !slices.Contains(sub.kinds, o.kind) || !o.passes(&sub.filter) {
			continue
		}
		switch pos := o.event.Pos; {
		case pos <= sub.from: // not asked for by this one
		case pos <= sub.done:
			return false, false // sent when it happened
		default:
			wanted = true
			latest = latest && sub.latest
		}
	}
	return wanted, latest && len(o.kind.Latest) > 0
}

// checkSubscribe reads what a subscribe frame says beside names. The error is about a field.
func checkSubscribe(f *frame) (filter event.Filter, err error) {
	switch {
	case len(f.Channels)+len(f.Events) == 0:
		return filter, &malformed{"channels or events must name something"}
	case f.OnLost != "" && f.OnLost != "earliest":
		return filter, &malformed{`onLost must be "earliest"`}
	case f.Overflow != "" && f.Overflow != "latest":
		return filter, &malformed{`overflow must be "latest"`}
	case f.LastEventID != "" && !isEventID(f.LastEventID):
		return filter, &malformed{"lastEventId is not the id of an event"}
	case len(f.Consumer) > maxConsumer || strings.ContainsFunc(f.Consumer, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return filter, &malformed{fmt.Sprintf("consumer must be a name of at most %d bytes without blanks", maxConsumer)}
	}
	if len(f.Filter) > 0 && string(f.Filter) != "null" {
		if filter, err = event.ParseFilter(f.Filter); err != nil {
			return filter, &malformed{err.Error()}
		}
	}
	return filter, nil
}

// isEventID tells whether an id has the form of an event's.
func isEventID(id string) bool {
	if len(id) != 4+26 || id[:4] != "evt_" {
		return false
	}
	return !strings.ContainsFunc(id[4:], func(r rune) bool { return (r < '0' || r > '9') && (r < 'A' || r > 'Z') })
}
