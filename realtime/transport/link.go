package transport

import (
	"fmt"
	"net/netip"
	"runtime/debug"
	"sync/atomic"

	"github.com/gobwas/ws"

	"github.com/kuranty/kuranty/realtime"
)

// hello is what a client asked for when it connected.
type hello struct {
	framing *framing
	native  bool // ping frames instead of the protocol's pings
	headers map[string][]string
}

// link is a connection between its bytes and its session, whichever way the bytes
// come. But for the methods of [realtime.Conn] it belongs to the goroutine that reads.
type link struct {
	server  *Server
	session Session
	hello
	addr   netip.AddrPort
	reader reader
	pongs  []byte // answers to the pings of what is being read
	ending bool   // the session wants no more messages

	deaf   atomic.Bool // what the peer sends is no longer understood
	gone   atomic.Bool
	ponged atomic.Uint32 // pongs seen
}

// Framing implements [realtime.Conn].
func (l *link) Framing() realtime.Framing { return l.framing }

// Peer implements [realtime.Conn].
func (l *link) Peer() realtime.Peer {
	return realtime.Peer{Transport: "websocket", Addr: l.addr, Headers: l.headers}
}

// NativePings tells that the transport sends ping frames and watches for their answers,
// so that the session must not send pings of its own (client-protocol.md §1.1).
func (l *link) NativePings() bool { return l.native }

// consume takes bytes the peer sent, which it changes. It returns false once the
// peer has closed.
func (l *link) consume(p []byte) bool {
	if l.deaf.Load() {
		return true
	}
	more, fail := l.reader.feed(p, l)
	if len(l.pongs) > 0 {
		l.session.WriteControl(l.pongs)
		l.pongs = nil
	}
	if fail != nil {
		l.deaf.Store(true)
		l.reader.release()
		l.session.Close(fail)
	}
	l.session.Flush()
	return more || fail != nil
}

func (l *link) messageLimit() int { return l.session.MessageLimit() }

func (l *link) message(p []byte) bool {
	if !l.ending {
		l.ending = !l.session.Receive(p)
	}
	return true // for the peer's close frame
}

func (l *link) control(op ws.OpCode, payload []byte) bool {
	switch {
	case op == ws.OpPong:
		l.ponged.Add(1)
		l.alive()
	case l.ending: // after the session's close frame nothing is sent
	case op == ws.OpPing:
		l.pongs = appendControl(l.pongs, ws.OpPong, payload)
		l.alive()
	default: // a close is answered with the same status (RFC 6455 §5.5.1)
		l.pongs = appendControl(l.pongs, ws.OpClose, payload[:min(2, len(payload))])
	}
	return op != ws.OpClose
}

// alive tells a session that asks for it of a ping or a pong.
func (l *link) alive() {
	if s, ok := l.session.(interface{ Alive() }); ok {
		s.Alive()
	}
}

// take is consume with panics contained.
func (l *link) take(p []byte) (more bool) {
	more = true
	defer l.contain()
	return l.consume(p)
}

// tell calls a method of the session with panics contained.
func (l *link) tell(f func()) {
	defer l.contain()
	f()
}

// end tells the session that the peer is gone.
func (l *link) end() {
	l.gone.Store(true)
	l.reader.release()
	if l.session == nil {
		return // making it panicked
	}
	defer l.contain()
	l.session.Gone()
}

// contain ends a panic that was raised by what the peer sent. It is deferred.
func (l *link) contain() {
	p := recover()
	if p == nil {
		return
	}
	l.server.count.panics.Add(1)
	l.server.o.Logger.Error("panic while serving a connection",
		"panic", fmt.Sprint(p), "peer", l.addr, "stack", string(debug.Stack()))
	l.deaf.Store(true)
	if l.session == nil {
		return
	}
	defer func() {
		if recover() != nil { // the session is past saving
			l.session.Gone()
		}
	}()
	l.session.Close(l.framing.broken)
}
