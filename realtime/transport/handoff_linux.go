package transport

import (
	"net"
	"net/http"
	"sync"
)

// handoff is the listener through which net/http gets its connections.
type handoff struct {
	addr   net.Addr
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newHandoff(addr net.Addr) *handoff {
	return &handoff{addr: addr, conns: make(chan net.Conn), closed: make(chan struct{})}
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

// handedConn is a connection of which some bytes have been read already.
type handedConn struct {
	*net.TCPConn // net/http half-closes it
	early        []byte
}

// Read implements [net.Conn].
func (c *handedConn) Read(p []byte) (int, error) {
	if len(c.early) == 0 {
		return c.TCPConn.Read(p)
	}
	n := copy(p, c.early)
	if c.early = c.early[n:]; len(c.early) == 0 {
		c.early = nil
	}
	return n, nil
}
