package transport

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/kuranty/kuranty/realtime"
)

// Every connection waits for these events, edge-triggered; writable is added only when
// something waits to be written.
const (
	readable = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET&0xffffffff
	writable = readable | unix.EPOLLOUT
)

// Phases of a connection, known to the goroutine that serves it.
const (
	phaseHead = iota // of the request
	phaseOpen        // it has a session
	phaseOver        // what still comes is thrown away
)

// pollConn is a [realtime.Conn] on a descriptor of its own.
type pollConn struct {
	link
	poller *poller
	fd     int
	early  []byte // the part of a request's head that has come

	phase uint8
	// state says that somebody serves the connection, and what happened to it since.
	state atomic.Uint32
	// refs counts those using fd, plus fdClosed once nobody else may begin to.
	refs atomic.Int32
	// awaiting is the stamp of the call of AwaitWritable that waits, 0 if none does.
	awaiting atomic.Uint32
	stamp    uint32
	unsent   atomic.Int32 // bytes the peer had still to take, for a foreign session that waits
	admitted atomic.Bool  // it counts as open
}

// Bits of pollConn.state.
const (
	stateInput  = 1 << iota // there may be something to read
	stateHangUp             // the peer has closed its side
	stateServed             // a goroutine reads
)

const fdClosed = 1 << 30

// acquire makes fd stay open until release. It reports false if it is closed.
func (c *pollConn) acquire() bool {
	for {
		n := c.refs.Load()
		if n&fdClosed != 0 {
			return false
		}
		if c.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (c *pollConn) release() {
	if c.refs.Add(-1) == fdClosed {
		c.closeFD()
	}
}

// closeFD closes the descriptor, which nobody uses any more.
func (c *pollConn) closeFD() {
	c.poller.engine.leave(c)
	closeSocket(c.fd)
}

// finish closes the connection at once; what the kernel has taken is still sent.
func (c *pollConn) finish() {
	for {
		n := c.refs.Load()
		if n&fdClosed != 0 {
			return
		}
		if c.refs.CompareAndSwap(n, n|fdClosed) {
			if c.admitted.Load() {
				c.server.leave()
			}
			if n == 0 {
				c.closeFD()
			}
			return
		}
	}
}

// arm tells the poller which events to wait for. What is already so counts as an event.
func (c *pollConn) arm(op int, events uint32) error {
	if !c.acquire() {
		return net.ErrClosed
	}
	defer c.release()
	return c.poller.ctl(op, c.fd, events)
}

// shutdown ends one or both directions.
func (c *pollConn) shutdown(how int) {
	if c.acquire() {
		_ = unix.Shutdown(c.fd, how) // fails if the peer was faster
		c.release()
	}
}

// hangUp makes the goroutine that serves the connection see its end.
func (c *pollConn) hangUp() { c.shutdown(unix.SHUT_RDWR) }

// TryWrite implements [realtime.Conn].
func (c *pollConn) TryWrite(p []byte) (int, error) {
	if !c.acquire() {
		return 0, net.ErrClosed
	}
	defer c.release()
	for done := 0; ; {
		n, errno := send(c.fd, p[done:])
		switch errno {
		case 0:
			if done += n; done == len(p) {
				return done, nil
			}
		case unix.EAGAIN:
			return done, nil
		case unix.EINTR:
		default:
			return done, os.NewSyscallError("send", errno)
		}
	}
}

// AwaitWritable implements [realtime.Conn].
func (c *pollConn) AwaitWritable() {
	c.stamp = max(c.stamp+1, 1)
	if c.framing.late == lateForeign {
		c.progress()
	}
	c.awaiting.Store(c.stamp)
	c.server.clock.add(c.framing.late, c, c.stamp)
	if err := c.arm(unix.EPOLL_CTL_MOD, writable); err != nil && !errors.Is(err, net.ErrClosed) {
		c.hangUp()
	}
}

// Close implements [realtime.Conn].
func (c *pollConn) Close(graceful bool) {
	if !graceful {
		c.finish()
		return
	}
	c.server.clock.add(lateClose, c, 0)
	c.shutdown(unix.SHUT_WR)
}

// expire implements timed.
func (c *pollConn) expire(kind int, stamp uint32) {
	switch kind {
	case lateHead:
		if !c.admitted.Load() && c.acquire() {
			c.release()
			c.server.refused(refusedSlow)
			c.hangUp()
		}
	case lateForeign:
		// The kernel says that it takes bytes only when a good part of its own are gone.
		if c.awaiting.Load() == stamp && c.progress() {
			c.server.clock.add(kind, c, stamp)
			return
		}
		fallthrough
	case lateRead:
		if c.awaiting.CompareAndSwap(stamp, 0) {
			c.server.spawn(c.stalled)
		}
	case lateClose:
		c.hangUp()
	default:
		if !c.pingDue(kind, stamp, c) {
			c.hangUp()
		}
	}
}

// progress tells whether the peer has taken bytes since the last call.
func (c *pollConn) progress() bool {
	if !c.acquire() {
		return false
	}
	defer c.release()
	n, err := unix.IoctlGetInt(c.fd, unix.SIOCOUTQ)
	return err == nil && c.unsent.Swap(int32(n)) > int32(n)
}

// ready handles events. Whoever is served already is told to look again.
func (c *pollConn) ready(events uint32, buf []byte) {
	if events&unix.EPOLLOUT != 0 {
		c.writeOn()
	}
	state := uint32(stateInput | stateServed)
	if events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		state |= stateHangUp
	}
	if c.state.Or(state)&stateServed == 0 {
		c.serve(buf)
	}
}

// stalled tells the session that its peer takes nothing.
func (c *pollConn) stalled() {
	c.tell(c.session.Stalled)
}

// writeOn tells the session that the kernel may take bytes again.
func (c *pollConn) writeOn() {
	if stamp := c.awaiting.Load(); stamp != 0 && c.awaiting.CompareAndSwap(stamp, 0) {
		c.tell(c.session.Writable)
	}
}

// serve reads as long as there is something new.
func (c *pollConn) serve(buf []byte) {
	for {
		state := c.state.And(stateServed)
		c.readOn(state&stateHangUp != 0, buf)
		if c.state.CompareAndSwap(stateServed, 0) {
			return
		}
	}
}

// readOn reads what has come, up to a bound.
func (c *pollConn) readOn(hungUp bool, buf []byte) {
	for range readsPerTurn {
		if !c.acquire() {
			c.over()
			return
		}
		n, errno := receive(c.fd, buf)
		c.release()
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN:
			return
		case errno != 0 || n == 0 || !c.takeBytes(buf[:n]):
			c.over()
			return
		case n < len(buf) && !hungUp:
			return // all of it; more is another event
		}
	}
	_ = c.arm(unix.EPOLL_CTL_MOD, writable) // the rest is an event behind those of others
}

// takeBytes handles bytes of the peer, which it changes. It returns false when the
// connection is to end.
func (c *pollConn) takeBytes(p []byte) bool {
	switch c.phase {
	case phaseHead:
		return c.takeHead(p)
	case phaseOpen:
		return c.take(p)
	default:
		return true
	}
}

// over ends the connection, which the peer has ended or broken.
func (c *pollConn) over() {
	if c.phase == phaseOpen {
		c.phase = phaseOver
		c.end()
	}
	c.phase = phaseOver
	c.early = nil
	c.finish()
}

var headEnd = []byte("\r\n\r\n")

// takeHead gathers the head of the request and acts on it when it is there.
func (c *pollConn) takeHead(p []byte) bool {
	defer c.contain()
	head, from, seen := p, 0, len(c.early)
	if seen > 0 {
		from = max(len(c.early)-len(headEnd)+1, 0)
		c.early = append(c.early, p...)
		head = c.early
	}
	limit := c.server.o.HeaderBytes
	end := bytes.Index(head[from:], headEnd)
	if end += from + len(headEnd); end < from+len(headEnd) {
		if ambiguous(head, seen) {
			c.early = nil
			c.server.refused(refusedBad)
			c.refuse(reply(http.StatusBadRequest, strayCharacter))
			return true
		}
		if len(head) < limit {
			if len(c.early) == 0 {
				c.early = append([]byte(nil), p...)
			}
			return true
		}
		end = limit + 1
	}
	c.early = nil
	switch {
	case end > limit:
		c.server.refused(refusedHead)
		c.refuse(reply(http.StatusRequestHeaderFieldsTooLarge, "request head too large"))
		return true
	case c.server.o.Disabled || !c.server.isUpgrade(head):
		return c.handOver(head)
	}
	response, h, ok := c.server.upgrade(head[:end])
	if !ok {
		c.refuse(response)
		return true
	}
	c.admitted.Store(true)
	if n, err := c.TryWrite(response); err != nil || n < len(response) {
		return false
	}
	c.hello = h
	c.open(c.server.newSession)
	return end == len(head) || c.take(head[end:])
}

// refuse answers and waits for the peer to close; closing at once could take the
// answer away from it.
func (c *pollConn) refuse(response []byte) {
	c.phase = phaseOver
	_, _ = c.TryWrite(response) // there is nothing else to tell the peer
	c.Close(true)
}

// open begins the session.
func (c *pollConn) open(newSession func(realtime.Conn) Session) {
	c.server.count.accepted.Add(1)
	c.phase = phaseOpen
	c.reader = c.framing.reader()
	c.session = newSession(c)
	c.startPings(c)
	c.session.Start()
}

// begin serves a connection that net/http has upgraded.
func (c *pollConn) begin(early []byte, newSession func(realtime.Conn) Session) {
	c.state.Store(stateServed)
	c.admitted.Store(true)
	// First, because the session may have to wait until it can write. What the poller sees
	// meanwhile is looked at below.
	if err := c.arm(unix.EPOLL_CTL_ADD, readable); err != nil {
		c.over()
		return
	}
	c.tell(func() { c.open(newSession) })
	if c.session == nil || !c.take(early) {
		c.over()
	}
	buf := pollBuffers.Get().(*[pollBuffer]byte)
	defer pollBuffers.Put(buf)
	c.serve(buf[:])
}

// handOver gives the connection to net/http, with what was read of it. It returns
// false if that cannot be: the connection is to end instead.
func (c *pollConn) handOver(read []byte) bool {
	conn, err := c.export()
	if err != nil {
		c.server.o.Logger.Warn("hand connection to the HTTP server", "error", err)
		return false
	}
	c.phase = phaseOver
	c.finish()
	handed := c.poller.engine.web.wrap(conn, bytes.Clone(read))
	if !c.poller.engine.web.give(handed) {
		_ = handed.Close() // the server ends
	}
	return true
}

// export returns the runtime's own connection of the same socket.
func (c *pollConn) export() (*net.TCPConn, error) {
	if !c.acquire() {
		return nil, net.ErrClosed
	}
	defer c.release()
	if err := c.poller.ctl(unix.EPOLL_CTL_DEL, c.fd, 0); err != nil {
		return nil, err
	}
	fd, err := unix.FcntlInt(uintptr(c.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	f := os.NewFile(uintptr(fd), "")
	defer func() { _ = f.Close() }() // the connection has another duplicate
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}
