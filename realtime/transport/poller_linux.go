package transport

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// poller waits for what happens to its connections and lets them handle it, one after
// the other, in the goroutine whose turn it is. If one takes too long, watch gives the turn
// to a new goroutine; the old one ends when it comes back. So at any time exactly
// one goroutine owns the fields below turn.
type poller struct {
	engine *engine
	epfd   int
	file   *os.File // of epfd, watched by the runtime
	raw    syscall.RawConn

	// turn is the number of the event being handled, 0 between events. Whoever sets
	// it from a number to 0 has the turn.
	turn atomic.Uint64
	seen uint64 // turn when watch last looked; watch's own

	serial uint64
	events [batchSize]unix.EpollEvent
	conns  [batchSize]*pollConn
	at, n  int // the next event and their number
	wait   func(fd uintptr) bool
}

func newPoller(e *engine) (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create poller: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // makes os.NewFile hand it to the runtime
		return nil, errors.Join(fmt.Errorf("create poller: %w", err), unix.Close(fd))
	}
	p := &poller{engine: e, epfd: fd, file: os.NewFile(uintptr(fd), "epoll")}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		return nil, errors.Join(fmt.Errorf("create poller: %w", err), p.file.Close())
	}
	p.wait = func(fd uintptr) bool {
		p.n, _ = pollEvents(int(fd), p.events[:]) // there is no error that could be handled
		return p.n > 0
	}
	return p, nil
}

// close ends the poller.
func (p *poller) close() { _ = p.file.Close() } // fails only if it is closed already

// ctl changes what is polled.
func (p *poller) ctl(op, fd int, events uint32) error {
	var err error
	cerr := p.raw.Control(func(epfd uintptr) {
		err = unix.EpollCtl(int(epfd), op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
	})
	return errors.Join(cerr, err)
}

// drive handles events until the poller is closed or the turn is lost.
func (p *poller) drive() {
	buf := pollBuffers.Get().(*[pollBuffer]byte)
	defer pollBuffers.Put(buf)
	for {
		for p.at < p.n {
			c, events := p.conns[p.at], p.events[p.at].Events
			p.conns[p.at] = nil
			p.at++
			p.serial++
			serial := p.serial
			p.turn.Store(serial)
			if c != nil {
				c.ready(events, buf[:])
			} else {
				p.engine.accept()
			}
			if !p.turn.CompareAndSwap(serial, 0) {
				p.engine.held.Add(-1)
				return
			}
		}
		if err := p.raw.Read(p.wait); err != nil {
			return // closed
		}
		p.at = 0
		p.lookUp()
	}
}

// lookUp finds the connections of a batch. An event may be of a connection that is
// gone and whose descriptor is another's now; to that one it means nothing, as every
// event only says that it is worth trying.
func (p *poller) lookUp() {
	e := p.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, ev := range p.events[:p.n] {
		fd := int(ev.Fd)
		var c *pollConn
		if fd != e.listener || !e.listening.Load() {
			if fd >= len(e.table) || e.table[fd] == nil {
				continue
			}
			c = e.table[fd]
		}
		p.events[n], p.conns[n] = ev, c
		n++
	}
	p.n = n
}

// watch gives the turn to a new goroutine if the same event is being handled as at the
// last call, and tells so.
func (p *poller) watch() bool {
	turn := p.turn.Load()
	if turn == 0 || turn != p.seen {
		p.seen = turn
		return false
	}
	if p.engine.held.Add(1) > maxHeld || !p.turn.CompareAndSwap(turn, 0) {
		p.engine.held.Add(-1)
		return false
	}
	if !p.engine.server.spawn(p.drive) {
		p.engine.close()
	}
	return true
}
