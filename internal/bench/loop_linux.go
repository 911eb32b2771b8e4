package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

const readBufferSize = 256 << 10 // one read takes all a socket holds

// loop is the client side: every socket of a measure on one epoll instance, served
// by whichever goroutine is inside until. It is not safe for concurrent use.
type loop struct {
	epfd     int
	conns    []*conn // by descriptor
	gen      int32   // tells events of a reused descriptor from stale ones
	events   []unix.EpollEvent
	buf      []byte
	progress int   // grows with everything that a measure waits for
	err      error // what ended the measure, set by fail
}

// conn is one non-blocking socket of a loop. What the kernel does not take at once
// waits in out.
type conn struct {
	l    *loop
	h    handler
	fd   int
	gen  int32
	open bool
	out  []byte
}

func newLoop() (*loop, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create epoll: %w", err)
	}
	return &loop{epfd: fd, events: make([]unix.EpollEvent, 512), buf: make([]byte, readBufferSize)}, nil
}

// close closes every socket, without telling the handlers, and the loop itself.
func (l *loop) close() {
	for _, c := range l.conns {
		if c != nil {
			c.close()
		}
	}
	_ = unix.Close(l.epfd)
}

// fail ends the measure: until returns the first error given here.
func (l *loop) fail(err error) {
	if l.err == nil {
		l.err = err
	}
}

// dial begins to connect to addr; h learns the outcome. A valid source address is bound first.
func (l *loop) dial(addr netip.AddrPort, source netip.Addr, h handler) (*conn, error) {
	family := unix.AF_INET
	if addr.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open socket: %w", err)
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if source.IsValid() {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(source, 0))); err != nil {
			_ = unix.Close(fd)
			return nil, fmt.Errorf("bind to %s: %w", source, err)
		}
	}
	if err := unix.Connect(fd, sockaddr(addr)); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	return l.add(fd, h)
}

// add gives a non-blocking descriptor to the loop, which closes it in the end.
func (l *loop) add(fd int, h handler) (*conn, error) {
	for len(l.conns) <= fd {
		l.conns = append(l.conns, nil)
	}
	l.gen++
	c := &conn{l: l, h: h, fd: fd, gen: l.gen}
	// Edge-triggered, so that one registration serves for the connection's life.
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(fd), Pad: c.gen}
	if err := unix.EpollCtl(l.epfd, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("watch socket: %w", err)
	}
	l.conns[fd] = c
	return c, nil
}

// step serves the sockets that are ready, waiting up to wait for the first.
func (l *loop) step(ctx context.Context, wait time.Duration) error {
	n, err := unix.EpollWait(l.epfd, l.events, int(wait/time.Millisecond))
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("wait for sockets: %w", err)
	}
	for i := range max(n, 0) {
		l.dispatch(&l.events[i])
	}
	if l.err != nil {
		return l.err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

func (l *loop) dispatch(ev *unix.EpollEvent) {
	c := l.conns[ev.Fd]
	if c == nil || c.gen != ev.Pad {
		return
	}
	if !c.open {
		if errno, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR); err == nil && errno != 0 {
			c.lost(fmt.Errorf("connect: %w", unix.Errno(errno)))
			return
		}
		if ev.Events&unix.EPOLLOUT == 0 {
			return
		}
		c.open = true
		c.h.opened(c)
	} else if ev.Events&unix.EPOLLOUT != 0 && len(c.out) > 0 {
		c.flush()
	}
	if ev.Events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		c.read()
	}
}

func (c *conn) read() {
	for c.fd >= 0 {
		n, err := unix.Read(c.fd, c.l.buf)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return
		case errors.Is(err, unix.EINTR):
		case err != nil:
			c.lost(fmt.Errorf("read: %w", err))
			return
		case n == 0:
			c.lost(io.EOF)
			return
		default:
			c.h.data(c, c.l.buf[:n])
			if n < len(c.l.buf) {
				return // what comes later is a new edge
			}
		}
	}
}

// write sends b, at once as far as the kernel takes it.
func (c *conn) write(b []byte) {
	if c.fd < 0 {
		return
	}
	if len(c.out) > 0 {
		c.out = append(c.out, b...)
		return
	}
	for len(b) > 0 {
		n, err := unix.Write(c.fd, b)
		switch {
		case errors.Is(err, unix.EAGAIN):
			c.out = append(c.out, b...)
			return
		case errors.Is(err, unix.EINTR):
		case err != nil:
			c.lost(fmt.Errorf("write: %w", err))
			return
		default:
			b = b[n:]
		}
	}
}

func (c *conn) flush() {
	b := c.out
	c.out = nil
	c.write(b)
}

func (c *conn) lost(err error) {
	if c.fd >= 0 {
		c.close()
		c.h.closed(c, err)
	}
}

// close ends the connection with a reset, so that thousands of rounds leave no
// ports waiting; its handler is not told.
func (c *conn) close() {
	if c.fd < 0 {
		return
	}
	_ = unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	c.l.conns[c.fd] = nil
	_ = unix.Close(c.fd)
	c.fd = -1
}

// every calls f once per period (one call for several that were missed) until the ticker it returns is closed.
func (l *loop) every(period time.Duration, f func()) (*conn, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create timer: %w", err)
	}
	spec := unix.NsecToTimespec(period.Nanoseconds())
	if err := unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Interval: spec, Value: spec}, nil); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("set timer: %w", err)
	}
	c, err := l.add(fd, ticker(f))
	if err != nil {
		return nil, err
	}
	c.open = true
	return c, nil
}

// ticker is the handler of a timer.
type ticker func()

func (ticker) opened(*conn)         {}
func (ticker) closed(*conn, error)  {}
func (f ticker) data(*conn, []byte) { f() }

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is6() {
		return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
	}
	return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
}
