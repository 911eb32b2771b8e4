package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/gateway"
	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
	"github.com/kuranty/kuranty/realtime/transport"
)

// anyone is everybody's account: a service that may read everything.
type anyone struct{}

func (anyone) Authenticate(context.Context, string) (gateway.Caller, error) {
	return gateway.Caller{Subject: "key:1", Key: "1", Permissions: []string{"*"}}, nil
}
func (anyone) Refresh(_ context.Context, c gateway.Caller) (gateway.Caller, error) { return c, nil }

// shortLog is a log in memory; what it does not have is not asked for.
type shortLog struct {
	gateway.Store

	events []event.Event
}

func (l *shortLog) Newest(context.Context) (string, int64, error) { return "", 0, nil }
func (l *shortLog) Oldest(context.Context) (string, int64, error) { return "", 0, nil }
func (l *shortLog) ForgetConsumers(context.Context, int64) error  { return nil }

func (l *shortLog) Between(_ context.Context, after, upTo int64, _ []string, limit int) ([]event.Event, error) {
	found := l.events[min(int(after), len(l.events)):min(int(upTo), len(l.events))]
	return found[:min(limit, len(found))], nil
}

// line is a connection that takes so many bytes and remembers each write.
type line struct {
	mu      sync.Mutex
	writes  []string
	room    int
	waiting bool
}

func (*line) Framing() realtime.Framing { return lines{} }
func (*line) Peer() realtime.Peer       { return realtime.Peer{Transport: "websocket"} }
func (*line) Close(bool)                {}

func (c *line) TryWrite(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(len(p), c.room)
	c.room -= n
	if n > 0 {
		c.writes = append(c.writes, string(p[:n]))
	}
	return n, nil
}

func (c *line) AwaitWritable() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = true
}

// take returns what was written since the last call.
func (c *line) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.writes
	c.writes = nil
	return w
}

// lines ends each message with a line break.
type lines struct{}

func (lines) Format() protocol.Format                          { return protocol.JSON }
func (lines) AppendFrame(dst, units []byte) []byte             { return append(append(dst, units...), '\n') }
func (lines) AppendClose(dst []byte, _ *protocol.Close) []byte { return append(dst, "closed\n"...) }

// sockets makes sessions on lines.
type sockets struct {
	conn    *line
	session transport.Session
}

func (s *sockets) Accept(_ http.ResponseWriter, _ *http.Request, _ string, newSession func(realtime.Conn) transport.Session) {
	s.session = newSession(s.conn)
}

// listen returns a running gateway on a log, and a session of it with a subscription.
func listen(t *testing.T, log *shortLog, subscribe string) (*gateway.Gateway, transport.Session, *line) {
	t.Helper()
	catalogue, err := event.NewCatalogue()
	if err != nil {
		t.Fatal(err)
	}
	g := gateway.New(gateway.Options{Store: log, Accounts: anyone{}, Catalogue: catalogue})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	s := &sockets{conn: &line{room: 1 << 30}}
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/ws", http.NoBody)
	r.Header.Set("X-API-Key", "secret")
	for began := false; !began; time.Sleep(time.Millisecond) { // until Run has
		g.ServeEvents(s).ServeHTTP(httptest.NewRecorder(), r)
		s.session.Start()
		s.session.Receive([]byte(subscribe))
		for range 100 {
			if said := strings.Join(s.conn.take(), ""); strings.Contains(said, `"action":"subscribe"`) {
				began = true
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
	return g, s.session, s.conn
}

// happened are n events, numbered from pos on, of two types in turn.
func happened(t *testing.T, pos, n int) (events []event.Event) {
	t.Helper()
	for i := pos; i < pos+n; i++ {
		typ, payload := event.TicketCreated, any(event.Ticket{TicketID: int64(i), Title: "t", Status: "open", Priority: "low"})
		if i%2 == 0 {
			typ, payload = event.UserSuspended, event.GoneUser{UserID: int64(i)}
		}
		e, err := event.New(typ, time.Now(), payload)
		if err != nil {
			t.Fatal(err)
		}
		e.Pos = int64(i)
		events = append(events, e)
	}
	return events
}

// numbers are the positions in what was written.
func numbers(t *testing.T, writes []string) (pos []int) {
	t.Helper()
	for text := range strings.Lines(strings.Join(writes, "")) {
		_, after, _ := strings.Cut(text, `"seq":`)
		digits, _, ok := strings.Cut(after, ",")
		n, err := strconv.Atoi(digits)
		if !ok || err != nil {
			t.Fatalf("no event: %q", text)
		}
		pos = append(pos, n)
	}
	return pos
}

const both = `{"type":"subscribe","channels":["tickets"],"events":["user.*"]}`

func TestEventsThatComeTogetherAreOneWrite(t *testing.T) {
	g, _, conn := listen(t, &shortLog{}, both)
	next := 1
	for _, n := range []int{1, 2, 10, 64, 100} {
		if done, err := g.Deliver(t.Context(), happened(t, next, n)); done != n || err != nil {
			t.Fatal(done, err)
		}
		writes := conn.take()
		if want := (n + 63) / 64; len(writes) != want {
			t.Errorf("%d events were %d writes, want %d", n, len(writes), want)
		}
		got := numbers(t, writes)
		if len(got) != n || got[0] != next || got[n-1] != next+n-1 || !slices.IsSorted(got) {
			t.Errorf("events %v, want %d from %d on", got, n, next)
		}
		next += n
	}
}

// A session that wants one type of a burst gets no other, and none twice if they come again.
func TestBurstOfTypes(t *testing.T) {
	g, _, conn := listen(t, &shortLog{}, `{"type":"subscribe","channels":["tickets"]}`)
	events := happened(t, 1, 10)
	for range 2 {
		if _, err := g.Deliver(t.Context(), events); err != nil {
			t.Fatal(err)
		}
	}
	if got := fmt.Sprint(numbers(t, conn.take())); got != "[1 3 5 7 9]" {
		t.Errorf("events %s", got)
	}
}

// A peer that takes a part of a burst gets the rest when it takes more, in order; one that
// takes nothing for long gets it from the log.
func TestBurstForASlowPeer(t *testing.T) {
	for _, c := range []struct{ room, events int }{{0, 10}, {1, 10}, {500, 10}, {5000, 1000}, {50_000, 3000}} {
		log := &shortLog{events: happened(t, 1, c.events)}
		g, s, conn := listen(t, log, both)
		conn.room = c.room
		for i := 0; i < c.events; i += 10 {
			if _, err := g.Deliver(t.Context(), log.events[i:i+10]); err != nil {
				t.Fatal(err)
			}
		}
		var all []string
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			all = append(all, conn.take()...)
			if strings.Count(strings.Join(all, ""), "\n") >= c.events || time.Now().After(deadline) {
				break
			}
			conn.mu.Lock()
			conn.room += 3000
			wanted := conn.waiting
			conn.waiting = false
			conn.mu.Unlock()
			if wanted {
				s.Writable()
			}
		}
		got := numbers(t, all)
		for i, pos := range got {
			if pos != i+1 {
				t.Fatalf("room for %d: event %d came as the %dth", c.room, pos, i+1)
			}
		}
		if len(got) != c.events {
			t.Errorf("room for %d: %d of %d events came", c.room, len(got), c.events)
		}
	}
}
