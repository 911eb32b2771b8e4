package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/gateway"
	"github.com/kuranty/kuranty/realtime/transport"
)

// people are accounts that tests change.
type people struct {
	mu     sync.Mutex
	caller gateway.Caller
	err    error // of Refresh
	panics bool
}

func (p *people) Authenticate(_ context.Context, credential string) (gateway.Caller, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.panics {
		panic("on purpose")
	}
	if credential == "bad" {
		return gateway.Caller{}, gateway.ErrInvalid
	}
	return p.caller, nil
}

func (p *people) Refresh(_ context.Context, c gateway.Caller) (gateway.Caller, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.Permissions = p.caller.Permissions
	return c, p.err
}

// book is a log in memory, and who is in its chats.
type book struct {
	gateway.Store // what is not asked for here

	mu      sync.Mutex
	events  []event.Event
	members map[int64]bool
	between func() // called when a page was read
}

func (b *book) Newest(context.Context) (string, int64, error) { return "", 0, nil }
func (b *book) Oldest(context.Context) (string, int64, error) {
	if len(b.events) == 0 {
		return "", 0, nil
	}
	return b.events[0].ID, b.events[0].Pos, nil
}
func (b *book) ForgetConsumers(context.Context, int64) error { return nil }

func (b *book) Place(_ context.Context, id string) (int64, bool, error) {
	for _, e := range b.events {
		if e.ID == id {
			return e.Pos, true, nil
		}
	}
	return 0, false, nil
}

func (b *book) Between(_ context.Context, after, upTo int64, types []string, limit int) (found []event.Event, err error) {
	for _, e := range b.events {
		if e.Pos > after && e.Pos <= upTo && len(found) < limit && strings.Contains(strings.Join(types, " ")+" ", e.Type+" ") {
			found = append(found, e)
		}
	}
	if b.between != nil {
		b.between()
	}
	return found, nil
}

func (b *book) Members(_ context.Context, _ int64, users []int64) (in []int64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, user := range users {
		if b.members[user] {
			in = append(in, user)
		}
	}
	return in, nil
}

func (b *book) set(user int64, in bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.members[user] = in
}

// house is a gateway for tests in a bubble.
type house struct {
	*gateway.Gateway
	t    *testing.T
	book *book
	who  *people
}

func open(t *testing.T, b *book, who *people) *house {
	t.Helper()
	catalogue, err := event.NewCatalogue()
	if err != nil {
		t.Fatal(err)
	}
	g := gateway.New(gateway.Options{Store: b, Accounts: who, Catalogue: catalogue})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return &house{g, t, b, who}
}

// connect opens a session of who shows token.
func (h *house) connect(token string) (transport.Session, *line) {
	h.t.Helper()
	s := &sockets{conn: &line{room: 1 << 30}}
	r := httptest.NewRequestWithContext(h.t.Context(), http.MethodGet, "/v1/ws", http.NoBody)
	if token != "" {
		r.Header.Set("X-API-Key", token)
	}
	w := httptest.NewRecorder()
	h.ServeEvents(s).ServeHTTP(w, r)
	if s.session == nil {
		h.t.Fatalf("refused with %d", w.Code)
	}
	s.session.Start()
	synctest.Wait()
	return s.session, s.conn
}

// says sends a message and returns what comes.
func says(s transport.Session, c *line, text string) string {
	s.Receive([]byte(text))
	synctest.Wait()
	return strings.Join(c.take(), "")
}

// value is the sum of a metric of the gateway.
func (h *house) value(name string) (sum float64) {
	h.t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(h.Collectors()...)
	families, err := r.Gather()
	if err != nil {
		h.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "kuranty_gateway_"+name {
			for _, m := range f.GetMetric() {
				sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func message(pos int) event.Event {
	return event.Event{
		ID: fmt.Sprintf("evt_%026d", pos), Pos: int64(pos), Type: event.MessageCreated, Stream: "chat:7", At: 1_700_000_000_000,
		Payload: fmt.Appendf(nil, `{"message":{"id":%d,"chat_id":7,"text":"secret %d","sender":{"id":1,"name":"Anna"},"created_at":1700000000000}}`, pos, pos),
	}
}

var reader = gateway.Caller{Subject: "user:8", User: 8, Permissions: []string{"read:messages"}}

// Who left a room between the commit and the delivery, or while the past is being sent, gets
// nothing from then on (S16; event-gateway.md §5).
func TestS16_GatewayAsksWhoIsThereWhenItDelivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &book{members: map[int64]bool{8: true}}
		h := open(t, b, &people{caller: reader})
		s, c := h.connect("key")
		says(s, c, `{"type":"subscribe","channels":["messages"]}`)
		deliver := func(e event.Event) string {
			b.events = append(b.events, e)
			if _, err := h.Deliver(t.Context(), []event.Event{e}); err != nil {
				t.Fatal(err)
			}
			return strings.Join(c.take(), "")
		}
		if got := deliver(message(1)); !strings.Contains(got, "secret 1") {
			t.Fatalf("a member gets %q", got)
		}
		b.set(8, false) // after the commit of the next
		if got := deliver(message(2)); got != "" {
			t.Errorf("who has left gets %s", got)
		}
		b.set(8, true)
		if got := deliver(message(3)); !strings.Contains(got, "secret 3") {
			t.Errorf("who is back gets %q", got)
		}
		for pos := 4; pos <= 1000; pos++ {
			b.events = append(b.events, message(pos))
		}
		if _, err := h.Deliver(t.Context(), b.events[3:]); err != nil {
			t.Fatal(err)
		}
		s2, c2 := h.connect("key")
		c2.take()
		pages := 0
		b.between = func() {
			if pages++; pages == 6 { // four pages are counted, then the second one is sent
				b.set(8, false)
			}
		}
		got := says(s2, c2, `{"type":"subscribe","channels":["messages"],"lastEventId":"`+message(1).ID+`"}`)
		if n := strings.Count(got, "secret"); n != 256 || !strings.Contains(got, `"status":"complete"`) {
			t.Errorf("%d messages are replayed, %d pages read", n, pages)
		}
	})
}

// Lost permissions end a subscription (event-gateway.md §5).
func TestS14_GatewayPermissionLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		who := &people{caller: reader}
		h := open(t, &book{members: map[int64]bool{8: true}}, who)
		s, c := h.connect("key")
		says(s, c, `{"type":"subscribe","channels":["messages","system"]}`)
		who.mu.Lock()
		who.caller.Permissions = nil
		who.mu.Unlock()
		changed := event.Event{ID: message(1).ID, Pos: 1, Type: event.UserUpdated, Payload: []byte(`{"user_id":8}`)}
		if _, err := h.Deliver(t.Context(), []event.Event{changed, message(2)}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		c.take()
		if _, err := h.Deliver(t.Context(), []event.Event{message(3)}); err != nil {
			t.Fatal(err)
		}
		if got := says(s, c, `{"type":"list"}`); strings.Contains(got, "secret") || !strings.Contains(got, `"active":{"channels":["system"]`) {
			t.Errorf("%s", got)
		}
	})
}

// A panic ends the connection it is about and nothing else (R35).
func TestR35_GatewayPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		who := &people{caller: reader}
		h := open(t, &book{}, who)
		well, c := h.connect("key")
		who.mu.Lock()
		who.panics = true
		who.mu.Unlock()
		_, broken := h.connect("key")
		if got := strings.Join(broken.take(), ""); !strings.Contains(got, `"code":"5001"`) || !strings.HasSuffix(got, "closed\n") {
			t.Errorf("%q", got)
		}
		if got := says(well, c, `{"type":"ping"}`); !strings.Contains(got, `"pong"`) {
			t.Errorf("%q", got)
		}
	})
}

// Sessions are released once, however they end and however often their end is told.
func TestSessionsAreReleasedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, &book{}, &people{caller: reader})
		var all []transport.Session
		for range 20 { // as many as may wait
			s, _ := h.connect("")
			all = append(all, s)
		}
		for _, s := range all {
			s.Gone()
			s.Gone()
		}
		if n := h.value("connections"); n != 0 {
			t.Errorf("%v connections", n)
		}
		stuck, c := h.connect("key")
		c.mu.Lock()
		c.room = 0
		c.mu.Unlock()
		stuck.Receive([]byte(`{"type":"ping"}`))
		stuck.Stalled() // takes nothing; the transport says nothing more
		time.Sleep(12 * time.Second)
		synctest.Wait()
		if n := h.value("connections"); n != 0 || h.Count() != 0 {
			t.Errorf("%v connections, %d", n, h.Count())
		}
		if n := h.value("closes_total"); n != 1 {
			t.Errorf("%v closes", n)
		}
	})
}

// What a peer asks for and does not take is bounded (R30).
func TestR30_GatewayAnswersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, &book{}, &people{caller: reader})
		s, c := h.connect("key")
		c.mu.Lock()
		c.room = 0
		c.mu.Unlock()
		for range 100_000 {
			s.WriteControl(make([]byte, 127))
		}
		if n := h.value("buffer_bytes"); n > 2<<20 {
			t.Errorf("%v bytes wait", n)
		}
		c.mu.Lock()
		c.room = 1 << 20
		c.mu.Unlock()
		s.Writable() // late, but in time to hear why
		if got := strings.Join(c.take(), ""); !strings.HasSuffix(got, "closed\n") {
			t.Errorf("%d bytes", len(got))
		}
	})
}

// A ping names no position that events which wait have not reached.
func TestPingNamesWhatWasSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &book{members: map[int64]bool{8: true}}
		h := open(t, b, &people{caller: reader})
		s, c := h.connect("key")
		says(s, c, `{"type":"subscribe","channels":["messages"]}`)
		b.events = []event.Event{message(1), message(2)}
		if _, err := h.Deliver(t.Context(), b.events[:1]); err != nil {
			t.Fatal(err)
		}
		c.take()
		time.Sleep(46 * time.Second)
		synctest.Wait()
		if got := strings.Join(c.take(), ""); !strings.Contains(got, `"cursor":"`+message(1).ID) {
			t.Errorf("%q", got)
		}
		c.mu.Lock()
		c.room = 0
		c.mu.Unlock()
		if _, err := h.Deliver(t.Context(), b.events[1:]); err != nil {
			t.Fatal(err)
		}
		s.Receive([]byte(`{"type":"ping"}`)) // a sign of life
		time.Sleep(31 * time.Second)
		synctest.Wait()
		c.mu.Lock()
		c.room = 1 << 20
		c.mu.Unlock()
		s.Writable()
		if got := strings.Join(c.take(), ""); !strings.Contains(got, `"type":"ping"`) || strings.Contains(got, `"cursor"`) {
			t.Errorf("%q", got)
		}
	})
}

// Messages are signs of life as pongs are; silence ends in 4009 (event-gateway.md §7).
func TestSignsOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, &book{}, &people{caller: reader})
		s, c := h.connect("key")
		time.Sleep(500 * time.Millisecond) // between two looks
		for range 10 {
			time.Sleep(30 * time.Second)
			if got := says(s, c, `{"type":"ping"}`); !strings.Contains(got, `"pong"`) {
				t.Fatalf("%q", got)
			}
		}
		time.Sleep(74 * time.Second)
		if h.Count() != 1 {
			t.Error("closed too early")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := strings.Join(c.take(), ""); !strings.HasSuffix(got, "closed\n") || h.Count() != 0 {
			t.Errorf("%q", got)
		}
	})
}

// event-gateway.md §1, rules 4 and 9.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		who := &people{caller: reader}
		who.caller.Expires = time.Now().Add(3 * time.Minute)
		h := open(t, &book{}, who)
		_, silent := h.connect("")
		s, c := h.connect("key")
		time.Sleep(9 * time.Second)
		if got := silent.take(); len(got) != 0 {
			t.Errorf("%q", got)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := strings.Join(silent.take(), ""); !strings.Contains(got, `"reason":"timeout"`) || !strings.HasSuffix(got, "closed\n") {
			t.Errorf("%q", got)
		}
		time.Sleep(50 * time.Second)
		says(s, c, `{"type":"pong"}`)
		time.Sleep(57 * time.Second)
		if got := says(s, c, `{"type":"pong"}`); strings.Contains(got, "expiring") {
			t.Errorf("too early: %q", got)
		}
		time.Sleep(4 * time.Second)
		if got := says(s, c, `{"type":"pong"}`); !strings.Contains(got, `"status":"expiring","expiresIn":`) && !strings.Contains(got, `"expiring"`) {
			t.Errorf("%q", got)
		}
		time.Sleep(60 * time.Second)
		synctest.Wait()
		if got := strings.Join(c.take(), ""); !strings.Contains(got, `"reason":"expired"`) || !strings.HasSuffix(got, "closed\n") {
			t.Errorf("%q", got)
		}
	})
}

// A database that is down says nothing of a credential.
func TestRevocationUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		who := &people{caller: reader, err: errors.New("down")}
		h := open(t, &book{}, who)
		_, c := h.connect("key")
		c.take()
		if _, err := h.Deliver(t.Context(), []event.Event{{ID: message(1).ID, Pos: 1, Type: event.UserUpdated, Payload: []byte(`{"user_id":8}`)}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := strings.Join(c.take(), ""); !strings.Contains(got, `"code":"5002"`) || !strings.HasSuffix(got, "closed\n") {
			t.Errorf("%q", got)
		}
	})
}

// Who asks for more of the past while a page of it is read gets all of both.
func TestMoreIsAskedForWhileTheLogIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &book{}
		who := &people{caller: gateway.Caller{Subject: "key:1", Permissions: []string{"*"}, Moderator: true}}
		h := open(t, b, who)
		for pos := 1; pos <= 20; pos++ {
			e := message(pos)
			if pos%2 == 0 {
				e.Type = event.MessageDeleted
				e.Payload = fmt.Appendf(nil, `{"chat_id":7,"message_ids":[%d],"deleted_at":1700000000000}`, pos)
			}
			b.events = append(b.events, e)
		}
		if _, err := h.Deliver(t.Context(), b.events); err != nil {
			t.Fatal(err)
		}
		s, c := h.connect("key")
		c.take()
		pages := 0
		b.between = func() {
			if pages++; pages == 2 { // one was counted; the page that is to be sent was read
				s.Receive([]byte(`{"type":"subscribe","events":["message.deleted"],"lastEventId":"` + message(4).ID + `"}`))
				time.Sleep(time.Second) // until that was answered
			}
		}
		got := says(s, c, `{"type":"subscribe","events":["message.created"],"lastEventId":"`+message(1).ID+`"}`)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		got += strings.Join(c.take(), "")
		created, deleted := strings.Count(got, `"event":"message.created"`), strings.Count(got, `"event":"message.deleted"`)
		if created != 9 || deleted != 8 {
			t.Errorf("%d created, %d deleted in %s", created, deleted, got)
		}
	})
}

// An event that is too large for a message is told by where it is shown whole, in either
// form (event-gateway.md §8).
func TestLargeEventsAreShownWholeAtTheirAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := message(1)
		e.Type, e.Stream, e.Payload = event.MetricUpdated, "", fmt.Appendf(nil, `{"name":"%s"}`, strings.Repeat("x", 600<<10))
		b := &book{events: []event.Event{e}}
		who := gateway.Caller{Subject: "key:1", Permissions: []string{"*"}}
		h := open(t, b, &people{caller: who})
		s, c := h.connect("key")
		says(s, c, `{"type":"subscribe","channels":["analytics"]}`)
		if _, err := h.Deliver(t.Context(), b.events); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(c.take(), ""); !strings.Contains(got, `"data":{"truncated":true,"href":"/v1/events/`+e.ID+`"}}`) {
			t.Errorf("the socket gets %.200s", got)
		}
		for _, cloud := range []bool{false, true} {
			shown, found, err := h.Find(t.Context(), who, e.ID, cloud)
			if err != nil || !found || !strings.HasSuffix(string(shown), `"data":`+string(e.Payload)+"}") || strings.Contains(string(shown), `"specversion":"1.0"`) != cloud {
				t.Errorf("found %t, %v, as a CloudEvent %t: %.200s", found, err, cloud, shown)
			}
		}
	})
}
