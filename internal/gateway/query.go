package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/kuranty/kuranty/event"
)

// Query says which events are asked for over HTTP.
type Query struct {
	// After is the id of the event after which to begin; empty is the oldest that is kept
	// for [Gateway.List], and now for [Gateway.Stream].
	After string
	// Channels, and Events, which may be patterns, are as in subscriptions; without any, all
	// that the caller may read.
	Channels, Events []string
	Filter           string
	// Earliest makes a stream begin with what is kept, if what was after After is not.
	Earliest bool
	// Limit bounds a page. Newest wants the last events that there are, not the first; After
	// is not looked at then.
	Limit  int
	Newest bool
	// Cloud wants CloudEvents.
	Cloud bool
}

// QueryError says what is wrong with a field of a query.
type QueryError struct {
	Field, Detail string
	// Forbidden means that the caller may not read what is named, not that it is not there.
	Forbidden bool
}

func (e *QueryError) Error() string { return e.Field + " " + e.Detail }

// LostError means that what was asked for is not kept any more. Earliest is the oldest
// event that is, if there is one.
type LostError struct{ Earliest string }

func (e *LostError) Error() string { return "the log does not go back so far" }

// understand reads a query as if it were a subscribe frame. The error is a [*QueryError].
func (g *Gateway) understand(c *Caller, q *Query) (*frame, event.Filter, error) {
	f := &frame{Type: "subscribe", Channels: q.Channels, Events: q.Events, LastEventID: q.After}
	if q.Filter != "" {
		f.Filter = json.RawMessage(q.Filter)
	}
	if q.Earliest {
		f.OnLost = "earliest"
	}
	if len(f.Channels)+len(f.Events) == 0 {
		f.Channels = []string{"*"}
	}
	if q.After != "" && !isEventID(q.After) {
		return nil, event.Filter{}, &QueryError{Field: "after", Detail: "is not the id of an event"}
	}
	for _, n := range asked(f) {
		field := "channels"
		if n.events {
			field = "events"
		}
		if len(f.Channels)+len(f.Events) > maxNames {
			return nil, event.Filter{}, &QueryError{Field: field, Detail: fmt.Sprintf("have more than %d names", maxNames)}
		}
		switch _, code := g.resolve(n, c); code {
		case codeUnknown:
			return nil, event.Filter{}, &QueryError{Field: field, Detail: fmt.Sprintf("name nothing that exists: %.128q", n.text)}
		case codeForbidden:
			return nil, event.Filter{}, &QueryError{Field: field, Detail: fmt.Sprintf("name what you may not read: %.128q", n.text), Forbidden: true}
		}
	}
	filter, err := checkSubscribe(f)
	var wrong *malformed
	if errors.As(err, &wrong) {
		return nil, filter, &QueryError{Field: "filter", Detail: "is not one: " + wrong.detail}
	}
	return f, filter, err
}

// Page is a part of the log.
type Page struct {
	// Events are as on the socket, in the order of the log.
	Events []json.RawMessage
	// Next is up to where the log has been read: the After of the next page. It is empty only
	// if the log is.
	Next string
	// More tells that the log goes on after it.
	More bool
}

// maxScanned bounds how many events are looked at for one page.
const maxScanned = 5000

// List returns the events of a query that the caller may see. The error is a
// [*QueryError], a [*LostError] or the storage's.
func (g *Gateway) List(ctx context.Context, c Caller, q *Query) (*Page, error) {
	f, filter, err := g.understand(&c, q)
	if err != nil {
		return nil, err
	}
	headID, head, err := g.o.Store.Newest(ctx)
	if err != nil {
		return nil, err
	}
	earliest, oldest, err := g.o.Store.Oldest(ctx)
	if err != nil {
		return nil, err
	}
	pos := max(oldest-1, 0)
	if q.After != "" && !q.Newest {
		known := false
		if pos, known, err = g.o.Store.Place(ctx, q.After); err != nil {
			return nil, err
		}
		if !known || oldest > pos+1 {
			return nil, &LostError{earliest}
		}
	}
	reader := &session{g: g, caller: c}
	for _, n := range asked(f) {
		kinds, _ := g.resolve(n, &c)
		reader.subs = append(reader.subs, &subscription{name: n, kinds: kinds, filter: filter, from: pos, done: pos})
	}
	if q.Newest {
		found, err := g.newest(ctx, reader, q, pos, head)
		return &Page{Events: found, Next: headID}, err
	}
	page := &Page{Events: []json.RawMessage{}, Next: q.After}
	for scanned := 0; pos < head; {
		found, err := g.page(ctx, pos, head, reader.types(), c.User)
		if err != nil {
			return nil, err
		}
		for _, o := range found {
			if len(page.Events) >= q.Limit {
				page.More = true
				return page, nil
			}
			page.Next, pos = o.event.ID, o.event.Pos
			if wanted, _ := reader.wants(o); wanted && o.visible(&c) {
				page.Events = append(page.Events, g.render(o, fitting(o.event, o.payload), q.Cloud))
			}
		}
		if len(found) < pageLength {
			break
		}
		if scanned += len(found); scanned >= maxScanned {
			page.More = true
			return page, nil
		}
	}
	page.Next = headID
	return page, nil
}

// newest reads the log backwards from head, not below first, until it has what a query
// wants. It looks at the last 100,000 events only.
func (g *Gateway) newest(ctx context.Context, reader *session, q *Query, first, head int64) ([]json.RawMessage, error) {
	events := []json.RawMessage{}
	for n := 0; n < 20*maxScanned/pageLength && head > first && len(events) < q.Limit; n++ {
		after := max(head-pageLength, first)
		found, err := g.page(ctx, after, head, reader.types(), reader.caller.User)
		if err != nil {
			return nil, err
		}
		head = after
		for _, o := range slices.Backward(found) {
			if wanted, _ := reader.wants(o); wanted && o.visible(&reader.caller) && len(events) < q.Limit {
				events = append(events, g.render(o, fitting(o.event, o.payload), q.Cloud))
			}
		}
	}
	slices.Reverse(events)
	return events, nil
}

// render returns an event with a payload as it is shown alone.
func (g *Gateway) render(o *occurrence, payload []byte, cloud bool) json.RawMessage {
	if cloud {
		return appendCloudEvent(nil, o.kind, o.event, payload, g.o.Source)
	}
	return appendEvent(nil, o.kind, o.event, payload, false)
}

// Find returns an event that the caller may see; found is false if there is none.
func (g *Gateway) Find(ctx context.Context, c Caller, id string, cloud bool) (shown json.RawMessage, found bool, err error) {
	if !isEventID(id) {
		return nil, false, nil
	}
	pos, known, err := g.o.Store.Place(ctx, id)
	if err != nil || !known {
		return nil, false, err
	}
	var types []string
	for _, k := range g.catalogue.Kinds() {
		if c.reads(event.ChannelNamed(k.Channel)) {
			types = append(types, k.Type)
		}
	}
	page, err := g.page(ctx, pos-1, pos, types, c.User)
	if err != nil || len(page) == 0 || page[0].kind == nothing || !page[0].visible(&c) {
		return nil, false, err
	}
	return g.render(page[0], page[0].payload, cloud), true, nil // whole, however large
}

// Identify returns who makes a request: by its headers, and if address is true also by what
// its address says. The errors are those of [Accounts], [ErrNoCredential], and a
// [*StormError] for one more that is not good of an address that has shown too many.
func (g *Gateway) Identify(r *http.Request, address bool) (Caller, error) {
	c := g.credentialOf(r)
	if !address {
		c = headerCredential(r)
	}
	if c.text == "" {
		return Caller{}, ErrNoCredential
	}
	who := peerOf(r, c)
	status, retry := g.guard.refuses(who.addr, who.hash, g.now())
	if status == http.StatusUnauthorized {
		g.o.Watch.TokenRefused(who.addr)
		return Caller{}, ErrInvalid
	}
	var caller Caller
	var err error
	if !c.ticket {
		caller, err = g.o.Accounts.Authenticate(r.Context(), c.text)
	} else if ticket, ok := g.tickets.take(c.text, g.now()); ok {
		caller, err = g.o.Accounts.Refresh(r.Context(), ticket)
	} else {
		err = ErrInvalid
	}
	switch {
	case err == nil:
		g.guard.passed(who.addr, who.hash)
	case known(err):
		g.o.Watch.TokenRefused(who.addr)
		g.guard.failed(who.addr, who.hash, g.now())
		if status != 0 { // one good credential is not held up by others of its address that are not
			g.o.Watch.RateLimited(0, who.addr)
			return Caller{}, &StormError{retry}
		}
	}
	return caller, err
}

// ErrNoCredential means that a request shows none.
var ErrNoCredential = errors.New("no credential")

// StormError means that too many credentials were not good; Retry is in seconds.
type StormError struct{ Retry int }

func (e *StormError) Error() string { return "too many failed authentications" }

// headerCredential is what the headers of a request show.
func headerCredential(r *http.Request) credential {
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return credential{text: strings.TrimSpace(token)}
	}
	return credential{text: strings.TrimSpace(r.Header.Get("X-API-Key"))}
}

// Catalogue returns the types there are.
func (g *Gateway) Catalogue() *event.Catalogue { return g.catalogue }

// Connection is what an administrator sees of one.
type Connection struct {
	ID string `json:"id"`
	// Kind is events, admin or stream.
	Kind          string   `json:"kind"`
	Subject       string   `json:"subject"`
	Address       string   `json:"address"`
	ConnectedAt   string   `json:"connectedAt"`
	Age           int64    `json:"age"` // seconds
	State         string   `json:"state"`
	Channels      []string `json:"channels"`
	Events        []string `json:"events"`
	Subscriptions int      `json:"subscriptions"`
	Lag           int64    `json:"lag"`
	BytesIn       uint64   `json:"bytesIn"`
	BytesOut      uint64   `json:"bytesOut"`
	Buffered      int      `json:"buffered"`
}

// Describe returns all connections of this node, the oldest first.
func (g *Gateway) Describe() []Connection {
	now := g.now()
	list := []Connection{}
	for _, s := range g.hub.all() {
		s.mu.Lock()
		a := s.active()
		c := Connection{
			ID: s.id, Kind: "events", Subject: s.caller.Subject, Address: s.peer.addr, State: "open",
			ConnectedAt: s.connected.UTC().Format(timeFormat), Age: int64(now.Sub(s.connected).Seconds()),
			Channels: a.Channels, Events: a.Events, Subscriptions: len(s.subs), BytesIn: s.bytesIn, BytesOut: s.bytesOut, Buffered: s.out.bytes,
		}
		switch {
		case s.form == formAdmin:
			c.Kind = "admin"
		case s.form.streams():
			c.Kind = "stream"
		}
		if s.state != stateOpen {
			c.State = "new"
		}
		if s.mode == modeReader {
			c.Lag = max(g.hub.begun.Load().pos-s.pos, 0)
		}
		s.mu.Unlock()
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b Connection) int {
		return cmp.Or(cmp.Compare(a.ConnectedAt, b.ConnectedAt), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// Disconnect closes a connection for good (code 1000); found is false if there is none.
func (g *Gateway) Disconnect(id string) (found bool) {
	for _, s := range g.hub.all() {
		if s.id == id {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.out.closing { // it is as good as gone
				return false
			}
			s.end(closeNormal, "closed by an administrator")
			return true
		}
	}
	return false
}

// MayPublish tells whether the caller may append events of a type: the permission is
// events:publish for all, or events:publish: and a type or pattern.
func (c *Caller) MayPublish(typ string) bool {
	for _, has := range c.Permissions {
		switch has {
		case "*", "events:*", publish, publish + ":*":
			return true
		}
		if len(has) > len(publish)+1 && has[:len(publish)+1] == publish+":" && event.Matches(has[len(publish)+1:], typ) {
			return true
		}
	}
	return false
}

const publish = "events:publish"
