package transport

import (
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// handoff is the listener through which net/http gets its connections.
type handoff struct {
	addr        net.Addr
	headerBytes int // see Options
	conns       chan net.Conn
	closed      chan struct{}
	once        sync.Once

	mu   sync.Mutex
	open map[*handedConn]struct{}
}

func newHandoff(addr net.Addr, headerBytes int) *handoff {
	return &handoff{
		addr: addr, headerBytes: headerBytes, conns: make(chan net.Conn), closed: make(chan struct{}),
		open: make(map[*handedConn]struct{}),
	}
}

// wrap returns conn, of which early has been read already, as net/http gets it.
func (h *handoff) wrap(conn *net.TCPConn, early []byte) *handedConn {
	c := &handedConn{TCPConn: conn, early: early, from: h, filter: filter{strict: strict{limit: h.headerBytes}}}
	h.mu.Lock()
	h.open[c] = struct{}{}
	h.mu.Unlock()
	return c
}

// advance ends the waits whose deadline has passed.
func (h *handoff) advance(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.open {
		c.mu.Lock()
		c.read.advance(now, c.TCPConn.SetReadDeadline)
		c.write.advance(now, c.TCPConn.SetWriteDeadline)
		c.mu.Unlock()
	}
}

// give hands conn to net/http. It reports false if that has ended.
func (h *handoff) give(conn net.Conn) bool {
	select {
	case h.conns <- conn:
		return true
	case <-h.closed:
		return false
	}
}

// Accept implements [net.Listener].
func (h *handoff) Accept() (net.Conn, error) {
	select {
	case conn := <-h.conns:
		return conn, nil
	case <-h.closed:
		return nil, http.ErrServerClosed
	}
}

// Close implements [net.Listener].
func (h *handoff) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Addr implements [net.Listener].
func (h *handoff) Addr() net.Addr { return h.addr }

// handedConn is a connection of which some bytes have been read already. Its deadlines
// are noticed by the server's clock, up to a tick late: net/http sets five for each
// request, and the runtime's timers take half a microsecond for every one.
type handedConn struct {
	*net.TCPConn // net/http half-closes it
	early        []byte
	from         *handoff
	filter       filter // of who reads

	mu          sync.Mutex
	read, write lateness
}

// lateness is a deadline; the socket knows of it only once it has passed.
type lateness struct {
	at     time.Time // zero is never
	passed bool
}

// set changes the deadline. tell tells the socket.
func (l *lateness) set(at time.Time, tell func(time.Time) error) error {
	l.at = at
	switch passed := !at.IsZero() && !at.After(time.Now()); {
	case passed:
		l.passed = true
		return tell(at)
	case l.passed:
		l.passed = false
		return tell(time.Time{})
	default:
		return nil
	}
}

func (l *lateness) advance(now time.Time, tell func(time.Time) error) {
	if !l.passed && !l.at.IsZero() && !l.at.After(now) {
		l.passed = true
		_ = tell(l.at) // fails if the connection is closed, which ends the wait too
	}
}

// SetReadDeadline implements [net.Conn].
func (c *handedConn) SetReadDeadline(at time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read.set(at, c.TCPConn.SetReadDeadline)
}

// SetWriteDeadline implements [net.Conn].
func (c *handedConn) SetWriteDeadline(at time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.write.set(at, c.TCPConn.SetWriteDeadline)
}

// SetDeadline implements [net.Conn].
func (c *handedConn) SetDeadline(at time.Time) error {
	return errors.Join(c.SetReadDeadline(at), c.SetWriteDeadline(at))
}

// Close implements [net.Conn].
func (c *handedConn) Close() error {
	c.from.mu.Lock()
	delete(c.from.open, c)
	c.from.mu.Unlock()
	return c.TCPConn.Close()
}

// Read implements [net.Conn].
func (c *handedConn) Read(p []byte) (int, error) {
	if c.filter.bad {
		return 0, errAmbiguous
	}
	if len(c.early) == 0 {
		n, err := c.TCPConn.Read(p)
		return c.filter.pass(p[:n], err)
	}
	n := copy(p, c.early)
	if c.early = c.early[n:]; len(c.early) == 0 {
		c.early = nil
	}
	return c.filter.pass(p[:n], nil)
}

// unfiltered ends the filter, once the connection is no longer one of requests, and
// returns what was not read yet.
func (c *handedConn) unfiltered() (net.Conn, []byte) {
	rest := append(c.filter.held, c.early...)
	c.filter, c.early = filter{strict: strict{blind: true}}, nil
	return c, rest
}
