package transport_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
	"github.com/kuranty/kuranty/realtime/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo is a session that sends every message back. Hooks change what it does.
type echo struct {
	conn  realtime.Conn
	hooks *hooks

	mu      sync.Mutex
	out     []byte
	writing bool // or waiting for the transport
	ending  bool
	closed  bool
	gone    bool
}

type hooks struct {
	limit   int
	receive func(e *echo, message []byte) (handled, more bool)
	opened  func(e *echo)
	ended   func(e *echo)
	stalled func(e *echo)
	wrap    func(e *echo) transport.Session
}

func (h *hooks) session(c realtime.Conn) transport.Session {
	e := &echo{conn: c, hooks: h}
	if h.opened != nil {
		h.opened(e)
	}
	if h.wrap != nil {
		return h.wrap(e)
	}
	return e
}

func (e *echo) Start() {}

func (e *echo) MessageLimit() int {
	if e.hooks.limit > 0 {
		return e.hooks.limit
	}
	return 64 << 10
}

func (e *echo) Receive(message []byte) bool {
	if e.hooks.receive != nil {
		if handled, more := e.hooks.receive(e, message); handled {
			return more
		}
	}
	e.send(message)
	return true
}

func (e *echo) send(message []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.out = e.conn.Framing().AppendFrame(e.out, message)
}

func (e *echo) WriteControl(framed []byte) {
	e.mu.Lock()
	e.out = append(e.out, framed...)
	e.mu.Unlock()
	e.Flush()
}

func (e *echo) Flush() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.writing {
		e.write()
	}
}

func (e *echo) Writable() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.writing = false
	e.write()
}

// write writes what it can. e.mu is held, as a stricter session would not.
func (e *echo) write() {
	for len(e.out) > 0 && !e.closed {
		n, err := e.conn.TryWrite(e.out)
		if err != nil {
			e.out = nil
			return
		}
		if n < len(e.out) {
			e.out = e.out[n:]
			e.writing = true
			e.conn.AwaitWritable()
			return
		}
		e.out = nil
	}
	if e.ending {
		e.close(true)
	}
}

func (e *echo) close(graceful bool) {
	if !e.closed {
		e.closed = true
		e.conn.Close(graceful)
	}
}

func (e *echo) Stalled() {
	if e.hooks.stalled != nil {
		e.hooks.stalled(e)
	}
	e.Gone()
}

func (e *echo) Close(c *protocol.Close) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ending {
		return
	}
	e.out = e.conn.Framing().AppendClose(e.out, c)
	e.ending = true
	if !e.writing {
		e.write()
	}
}

func (e *echo) Gone() {
	e.mu.Lock()
	first := !e.gone
	e.gone = true
	e.close(false)
	e.mu.Unlock()
	if first && e.hooks.ended != nil {
		e.hooks.ended(e)
	}
}

// server is a transport.Server that serves until the end of the test.
type server struct {
	*transport.Server
	addr string
	stop func()
}

func serve(t testing.TB, h *hooks, o transport.Options) *server {
	t.Helper()
	if h == nil {
		h = new(hooks)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if o.StopTimeout == 0 {
		o.StopTimeout = 100 * time.Millisecond
	}
	s, err := transport.NewWith(h.session, o)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, ln) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if open := s.Stats().Open; open != 0 {
			t.Errorf("%d connections open after Serve", open)
		}
	})
	t.Cleanup(stop)
	return &server{s, ln.Addr().String(), stop}
}

func (s *server) dial(t testing.TB, query string, o *websocket.DialOptions) *websocket.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, _, err := websocket.Dial(ctx, "ws://"+s.addr+"/connection/websocket"+query, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	return c
}
