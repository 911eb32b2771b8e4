package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
	"github.com/kuranty/kuranty/realtime/transport"
)

// Streams are sessions that an HTTP response carries (Server-Sent Events): they are told
// nothing by the client, and one goroutine of the request writes what the session sends.

const (
	// maxPipe bounds what is on its way from a session to the request's goroutine.
	maxPipe = 64 << 10
	// streamChunk is how much is written at a time, streamStall how long the peer may take
	// none of it (event-gateway.md §8). The kernel takes more only when a third of its own
	// is gone, so that is bounded.
	streamChunk  = 4 << 10
	streamStall  = 10 * time.Second
	streamUnsent = 64 << 10
)

// ErrTooMany means that the caller has too many connections.
var ErrTooMany = errors.New("too many connections of the subject")

// ErrEnding means that the server stops.
var ErrEnding = errors.New("the server stops")

// Stream answers r with events as they happen, until the client goes away, the caller is no
// caller any more, or the gateway ends. An error is returned only if nothing has been
// answered: a [*QueryError], [ErrTooMany] or the storage's.
func (g *Gateway) Stream(w http.ResponseWriter, r *http.Request, c Caller, q *Query) error {
	f, filter, err := g.understand(&c, q)
	if err != nil {
		return err
	}
	if g.stopped() {
		return ErrEnding
	}
	if err := transport.LimitUnsent(r.Context(), streamUnsent); err != nil {
		return err // the client has gone
	}
	rc := http.NewResponseController(w)
	p := &pipe{wake: make(chan struct{}, 1)}
	s := &session{g: g, conn: p, framing: streamFraming{}, id: newID("con_"), peer: peerOf(r, credential{}), form: formStream}
	if q.Cloud {
		s.form = formStreamCloud
	}
	g.guard.connecting(s.peer.addr)
	g.begin(s)
	defer s.Gone()
	s.heard.Store(math.MaxInt64 / 2) // who cannot speak is not waited for
	s.mu.Lock()
	s.admit("", c)
	open := s.state == stateOpen
	s.mu.Unlock()
	if !open {
		return ErrTooMany
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // of proxies
	w.WriteHeader(http.StatusOK)
	_, _ = io.WriteString(w, ":\n\n") // so that the client hears that it is connected
	_ = rc.Flush()
	if f.LastEventID == "" {
		s.locked(func() { s.subscribe(f, filter, -1) })
	} else {
		s.resumeSubscribe(r.Context(), f, filter)
		s.locked(func() {
			if len(s.subs) == 0 { // the database could not be asked, which the client has been told
				s.end(closeOverload, "service unavailable")
			}
		})
	}
	p.carry(r.Context(), w, rc, s)
	return nil
}

// stopped tells whether connections are being closed.
func (g *Gateway) stopped() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ending || g.draining.Load()
}

// pipe is the connection of a stream.
type pipe struct {
	wake chan struct{}

	mu       sync.Mutex
	buf      []byte
	awaiting bool
	closed   bool
}

var _ realtime.Conn = (*pipe)(nil)

// Framing implements realtime.Conn.
func (p *pipe) Framing() realtime.Framing { return streamFraming{} }

// Peer implements realtime.Conn.
func (p *pipe) Peer() realtime.Peer { return realtime.Peer{Transport: "sse"} }

// TryWrite implements realtime.Conn.
func (p *pipe) TryWrite(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0, io.ErrClosedPipe
	}
	n := min(len(b), maxPipe-len(p.buf))
	p.buf = append(p.buf, b[:n]...)
	p.signal()
	return n, nil
}

// AwaitWritable implements realtime.Conn.
func (p *pipe) AwaitWritable() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.awaiting = true
	p.signal()
}

// Close implements realtime.Conn.
func (p *pipe) Close(graceful bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if !graceful {
		p.buf = nil
	}
	p.signal()
}

func (p *pipe) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// carry writes what the session sends until one of the ends is closed.
func (p *pipe) carry(ctx context.Context, w io.Writer, rc *http.ResponseController, s *session) {
	var spare []byte
	for {
		select {
		case <-p.wake:
		case <-ctx.Done():
			return
		}
		p.mu.Lock()
		b, awaiting, closed := p.buf, p.awaiting, p.closed
		p.buf, p.awaiting = spare[:0], false
		p.mu.Unlock()
		if write(w, rc, b) != nil {
			return
		}
		if spare = b; cap(spare) > 4<<10 {
			spare = nil // an idle stream holds no more than it needs
		}
		if closed {
			return
		}
		if awaiting {
			s.Writable()
		}
	}
}

func write(w io.Writer, rc *http.ResponseController, b []byte) error {
	if len(b) == 0 {
		return nil
	}
	for len(b) > 0 {
		n := min(len(b), streamChunk)
		if err := rc.SetWriteDeadline(time.Now().Add(streamStall)); err != nil {
			return err
		}
		if _, err := w.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return rc.Flush()
}

// streamFraming lays out what is framed already: events of a stream end by themselves.
type streamFraming struct{}

func (streamFraming) Format() protocol.Format                          { return protocol.JSON }
func (streamFraming) AppendFrame(dst, units []byte) []byte             { return append(dst, units...) }
func (streamFraming) AppendClose(dst []byte, _ *protocol.Close) []byte { return dst }

// appendStreamed makes the message of an event one of a stream.
func appendStreamed(e *event.Event, message []byte) []byte {
	if bytes.ContainsAny(message, "\r\n") {
		var compact bytes.Buffer
		if json.Compact(&compact, message) == nil {
			message = compact.Bytes()
		}
	}
	b := make([]byte, 0, len(message)+128)
	b = append(append(b, "id: "...), e.ID...)
	b = append(append(b, "\nevent: "...), e.Type...)
	b = append(append(b, "\ndata: "...), message...)
	return append(b, "\n\n"...)
}

// streamSay says to the client of a stream what there are words for: errors, that the past
// is lost, and in the place of a ping a comment. s.mu is held.
func (s *session) streamSay(data any) {
	var b []byte
	switch v := data.(type) {
	case *problem:
		b = append(append([]byte("event: error\ndata: "), encode(v)...), "\n\n"...)
	case *subscribed:
		if v.Resume == nil || v.Resume.Status != "lost" {
			return
		}
		b = append(append([]byte("event: lost\ndata: "), encode(v.Resume)...), "\n\n"...)
	case map[string]any: // a ping, or a warning that the credential will expire
		b = []byte(":\n\n")
	default:
		return
	}
	s.write(b, 0, "")
}
