package transport

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/kuranty/kuranty/realtime"
)

// streamConn is a [realtime.Conn] on a [net.Conn], with a goroutine that reads. What is
// to be written is copied for a goroutine that exists only while there is something.
type streamConn struct {
	link
	conn net.Conn

	mu       sync.Mutex
	writing  bool   // the writing goroutine is there
	outgoing []byte // what it writes next
	awaiting bool   // it is to call Writable
	ending   bool   // it is to end our side when all is written
	writer   sync.WaitGroup
}

// readChunk and writeChunk are how much of a stream is read and written at a time.
const (
	readChunk  = 4 << 10
	writeChunk = 64 << 10
)

// serveStream runs a connection whose client has sent early after its request.
func (s *Server) serveStream(conn net.Conn, early []byte, h hello, newSession func(realtime.Conn) Session) {
	c := &streamConn{link: link{server: s, hello: h, addr: addrOf(conn)}, conn: conn}
	c.reader = h.framing.reader()
	s.mu.Lock()
	known := s.streams != nil
	if known {
		s.streams[c] = struct{}{}
	}
	s.mu.Unlock()
	if !known {
		c.forget()
		return
	}
	c.tell(func() { c.session = newSession(c) })
	if c.session == nil || !s.spawn(func() { c.run(early) }) {
		c.end()
		c.forget()
	}
}

// addrOf returns the other end of conn.
func addrOf(conn net.Conn) netip.AddrPort {
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort()
	}
	return netip.AddrPort{}
}

// forget is the end of the connection.
func (c *streamConn) forget() {
	_ = c.conn.Close() // there is nobody left to tell
	s := c.server
	s.mu.Lock()
	delete(s.streams, c)
	s.mu.Unlock()
	s.leave()
}

// run reads until the peer is gone.
func (c *streamConn) run(early []byte) {
	defer c.forget()
	c.server.count.accepted.Add(1)
	c.tell(c.open)
	buf := make([]byte, readChunk)
	for more := c.take(early); more; {
		n, err := c.conn.Read(buf)
		more = c.take(buf[:n]) && err == nil
	}
	c.end()
	c.writer.Wait() // at most the write timeout
}

// open begins the session.
func (c *streamConn) open() {
	c.startPings(c)
	c.session.Start()
}

// TryWrite implements [realtime.Conn].
func (c *streamConn) TryWrite(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p = p[:min(len(p), writeChunk-len(c.outgoing))]
	if len(p) == 0 {
		return 0, nil
	}
	c.outgoing = append(c.outgoing, p...)
	return len(p), c.write()
}

// write makes sure that there is a writing goroutine. c.mu is held.
func (c *streamConn) write() error {
	if c.writing {
		return nil
	}
	c.writer.Add(1)
	if !c.server.spawn(c.writeAll) {
		c.writer.Done()
		return net.ErrClosed
	}
	c.writing = true
	return nil
}

// AwaitWritable implements [realtime.Conn].
func (c *streamConn) AwaitWritable() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.awaiting = true
	_ = c.write() // the session ends anyway if the server has
}

// Close implements [realtime.Conn].
func (c *streamConn) Close(graceful bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !graceful {
		_ = c.conn.SetReadDeadline(time.Now()) // the reader notices
		return
	}
	c.ending = true
	_ = c.write() // if the server has ended, so has the connection
}

// writeAll writes until nothing is left to be done.
func (c *streamConn) writeAll() {
	defer c.writer.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case len(c.outgoing) > 0:
			c.writeOut()
		case c.awaiting:
			c.awaiting = false
			c.mu.Unlock()
			c.tell(c.session.Writable)
			c.mu.Lock()
		default:
			if c.ending {
				c.closeWrite()
			}
			c.writing = false
			return
		}
	}
}

// writeOut writes what is to go out. c.mu is held, but not while writing.
func (c *streamConn) writeOut() {
	p := c.outgoing
	c.outgoing = nil
	c.mu.Unlock()
	_ = c.conn.SetWriteDeadline(time.Now().Add(c.server.clock.delays[c.framing.late])) // fails as the write will
	_, err := c.conn.Write(p)
	c.mu.Lock()
	if err == nil {
		return
	}
	c.outgoing = nil
	c.mu.Unlock()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.tell(c.session.Stalled)
	}
	_ = c.conn.SetReadDeadline(time.Now()) // after a failed write a stream cannot go on
	c.mu.Lock()
	c.awaiting = false
}

// closeWrite ends our side and bounds the wait for the peer's. c.mu is held.
func (c *streamConn) closeWrite() {
	_ = c.conn.SetReadDeadline(time.Now().Add(c.server.o.CloseTimeout))
	if half, ok := c.conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // the peer is waited for in any case
	}
}

// expire implements timed, for native pings.
func (c *streamConn) expire(kind int, stamp uint32) {
	if !c.pingDue(kind, stamp, c) {
		_ = c.conn.Close() // the reader notices
	}
}
