package transport

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kuranty/kuranty/realtime"
)

// engine serves connections without a goroutine for each. Requests that are no upgrades
// go to net/http through web.
type engine struct {
	server  *Server
	web     *handoff
	pollers []*poller
	next    atomic.Uint32 // the poller of the next connection

	listener  int         // descriptor, polled by the first poller
	accepting sync.Mutex  // held while using or closing it
	listening atomic.Bool // until it is closed
	starved   atomic.Bool // accepting has to be tried again

	held atomic.Int32 // goroutines that lost their turn

	mu    sync.Mutex
	table []*pollConn // by descriptor
	shut  bool        // no connection is taken any more
}

const (
	// batchSize is how many events are taken at a time.
	batchSize = 128
	// acceptsPerTurn and readsPerTurn bound what one event does before others have
	// their turn.
	acceptsPerTurn, readsPerTurn = 64, 4
	// maxHeld bounds the goroutines that lost their turn. Beyond it pollers that are
	// held up are not replaced.
	maxHeld = 1024
	// pollBuffer is what a poller reads at a time.
	pollBuffer = 64 << 10
)

var pollBuffers = sync.Pool{New: func() any { return new([pollBuffer]byte) }}

// poll starts the engine for the connections of ln and returns the listener of what
// is left to net/http. Only plain TCP is polled.
func (s *Server) poll(ln net.Listener) (net.Listener, error) {
	tcp, ok := ln.(*net.TCPListener)
	if !ok {
		return s.filtered(ln), nil
	}
	// A duplicate, because the runtime would be woken by each connection as long as it
	// watches the listener too.
	fd, err := duplicate(tcp)
	if err != nil {
		return ln, err
	}
	if err := ln.Close(); err != nil {
		return ln, errors.Join(err, unix.Close(fd))
	}
	e := &engine{server: s, listener: fd, web: newHandoff(ln.Addr(), s.o.HeaderBytes)}
	e.listening.Store(true)
	for range s.o.Pollers {
		p, err := newPoller(e)
		if err != nil {
			e.close()
			return ln, errors.Join(err, unix.Close(fd))
		}
		e.pollers = append(e.pollers, p)
	}
	// Accepted sockets inherit this.
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // Nagle's delay is no failure
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 60)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 4)
	if err := e.pollers[0].ctl(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN|unix.EPOLLET); err != nil {
		e.close()
		return ln, errors.Join(err, unix.Close(fd))
	}
	s.mu.Lock()
	s.engine = e
	s.mu.Unlock()
	for _, p := range e.pollers {
		s.spawn(func() { p.drive() })
	}
	return e.web, nil
}

// duplicate returns a descriptor of the same socket that is the caller's.
func duplicate(c syscall.Conn) (fd int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("reach socket: %w", err)
	}
	cerr := raw.Control(func(old uintptr) {
		fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err = errors.Join(cerr, err); err != nil {
		return 0, fmt.Errorf("duplicate socket: %w", err)
	}
	return fd, nil
}

// stopAccepting closes the listener.
func (s *Server) stopAccepting() {
	e := s.engine
	if e == nil {
		return
	}
	e.accepting.Lock()
	defer e.accepting.Unlock()
	if e.listening.Swap(false) {
		_ = e.pollers[0].ctl(unix.EPOLL_CTL_DEL, e.listener, 0) // closing removes it as well
		_ = unix.Close(e.listener)                              // the address is free either way
	}
}

// stopPolling closes all connections and ends the pollers once they are gone.
func (s *Server) stopPolling() {
	e := s.engine
	if e == nil {
		return
	}
	e.mu.Lock()
	e.shut = true
	e.mu.Unlock()
	e.shutdownAll()
}

// shutdownAll makes every connection look closed by its peer; when there is none, the
// pollers end. It is called again and again.
func (e *engine) shutdownAll() {
	e.mu.Lock()
	var all []*pollConn
	for _, c := range e.table {
		if c != nil {
			all = append(all, c)
		}
	}
	e.mu.Unlock()
	for _, c := range all {
		c.hangUp()
	}
	if len(all) == 0 {
		e.close()
	}
}

// close ends the pollers.
func (e *engine) close() {
	for _, p := range e.pollers {
		p.close()
	}
}

// watch replaces pollers that are held up, and does what has to be tried again.
// It tells whether a poller was replaced.
func (s *Server) watch(now time.Time) (replaced bool) {
	e := s.engine
	if e == nil {
		return false
	}
	e.web.advance(now)
	for _, p := range e.pollers {
		replaced = p.watch() || replaced
	}
	if e.starved.Swap(false) && e.listening.Load() {
		_ = e.pollers[0].ctl(unix.EPOLL_CTL_MOD, e.listener, unix.EPOLLIN|unix.EPOLLET) // raises the event anew
	}
	e.mu.Lock()
	shut := e.shut
	e.mu.Unlock()
	if shut {
		e.shutdownAll()
	}
	return replaced
}

// accept takes the connections that wait.
func (e *engine) accept() {
	for range acceptsPerTurn {
		fd, from, errno := e.acceptOne()
		switch errno {
		case 0:
			e.add(fd, from)
		case unix.EAGAIN:
			return
		case unix.EINTR, unix.ECONNABORTED:
		default: // out of descriptors or memory
			e.server.o.Logger.Warn("accept connection", "error", errno)
			e.starved.Store(true)
			return
		}
	}
	e.starved.Store(true) // the rest has its turn later
}

func (e *engine) acceptOne() (int, netip.AddrPort, syscall.Errno) {
	e.accepting.Lock()
	defer e.accepting.Unlock()
	if !e.listening.Load() {
		return 0, netip.AddrPort{}, unix.EAGAIN
	}
	return acceptSocket(e.listener)
}

// add begins to serve the connection fd.
func (e *engine) add(fd int, from netip.AddrPort) {
	c := e.newConn(fd, from, hello{})
	if !e.enter(c) {
		_ = unix.Close(fd) // the server ends
		return
	}
	e.server.clock.add(lateHead, c, 0)
	if err := c.arm(unix.EPOLL_CTL_ADD, readable); err != nil {
		e.server.o.Logger.Warn("poll connection", "error", err)
		c.finish()
	}
}

// newConn returns a connection for the next poller.
func (e *engine) newConn(fd int, addr netip.AddrPort, h hello) *pollConn {
	p := e.pollers[e.next.Add(1)%uint32(len(e.pollers))]
	return &pollConn{link: link{server: e.server, addr: addr, hello: h}, poller: p, fd: fd}
}

// enter puts c into the table. It reports false if the server ends.
func (e *engine) enter(c *pollConn) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.shut {
		return false
	}
	if c.fd >= len(e.table) {
		e.table = append(e.table, make([]*pollConn, c.fd+1-len(e.table))...)
	}
	e.table[c.fd] = c
	return true
}

// leave takes c out of the table; its descriptor is about to be closed.
func (e *engine) leave(c *pollConn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.table[c.fd] == c {
		e.table[c.fd] = nil
	}
}

// adopt serves a connection that net/http has upgraded.
func (s *Server) adopt(conn net.Conn, early []byte, h hello, newSession func(realtime.Conn) Session) {
	s.mu.Lock()
	e := s.engine
	s.mu.Unlock()
	tcp, ok := plain(conn)
	if e == nil || !ok {
		s.serveStream(conn, early, h, newSession)
		return
	}
	addr := addrOf(conn)
	fd, err := duplicate(tcp)
	if err == nil {
		err = errors.Join(unix.SetNonblock(fd, true), conn.Close())
	}
	if err != nil {
		s.o.Logger.Warn("take over connection", "error", err)
		s.leave()
		return
	}
	c := e.newConn(fd, addr, h)
	if !e.enter(c) {
		_ = unix.Close(fd) // the server ends
		s.leave()
		return
	}
	c.begin(early, newSession)
}

// plain returns the TCP connection behind conn unless TLS lies between.
func plain(conn net.Conn) (*net.TCPConn, bool) {
	switch c := conn.(type) {
	case *handedConn:
		return c.TCPConn, true
	case *net.TCPConn:
		return c, true
	default:
		return nil, false
	}
}
