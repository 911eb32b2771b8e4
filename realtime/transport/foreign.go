package transport

import (
	"net/http"

	"github.com/gobwas/ws"

	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
)

// Session is what a [Server] needs of whoever talks to a peer: a [realtime.Session], or a
// session of another kind, which is called foreign here and connected by [Server.Accept].
//
// Start, MessageLimit, Receive and Flush are called by one goroutine at a time, the one that
// reads; the others by any, and at the same time. Whoever calls may have other peers to
// serve, so methods should not block.
//
// A session may also have a method Alive(). It is called like Receive, for each ping and
// pong frame of the peer; pings are answered by the transport.
type Session interface {
	// Start is called once, first. From then on the session may use its connection.
	Start()
	// MessageLimit returns how many bytes the next message may have. A larger one ends in
	// Close with code 1009. For foreign sessions this is its size when inflated.
	MessageLimit() int
	// Receive takes one message, which is valid during the call only: for a foreign session
	// text, which is UTF-8. If it returns false, the session is closing and gets no more.
	Receive(message []byte) bool
	// Flush is called after the last Receive of what one read brought; what the session has to
	// say may wait until then.
	Flush()
	// WriteControl sends frames that are laid out, such as the answer to a ping, in order with
	// what the session itself sends. framed is the session's.
	WriteControl(framed []byte)
	// Writable and Stalled are what [realtime.Conn.AwaitWritable] leads to. After Stalled
	// the session closes, or waits again if it has reason to.
	Writable()
	Stalled()
	// Close asks the session to send what waits, a close frame that tells c
	// ([realtime.Framing]), and to end the connection ([realtime.Conn.Close]). It is called if
	// the peer broke a rule (codes 1002, 1003, 1007, 1009), and after a panic (3004 for the
	// node's sessions, 1011 for foreign ones). Only the first call counts.
	Close(c *protocol.Close)
	// Gone tells that the peer is: it has closed, which the transport has answered, or the
	// connection broke. The session then calls [realtime.Conn.Close] unless it has. Gone may
	// be called more than once, and not at all after the session has closed the connection
	// without grace, so whoever does that releases what it holds itself.
	Gone()
}

var _ Session = (*realtime.Session)(nil)

// foreignBroken is what the panic of a foreign session ends in (RFC 6455 §7.4.1).
var foreignBroken = &protocol.Close{Code: 1011, Reason: "internal error"}

// Accept makes the connection of r, a request for a WebSocket connection, one of a foreign
// session. It is to be called by an HTTP handler, which does nothing more with w and r.
//
// Accept answers the request itself, and newSession is not called, if r is no proper upgrade,
// and at the gates that the node's sessions pass too ([Options], [Stats]). Refusals of its
// own the handler answers before. subprotocol is confirmed if the client offers it; none
// is if it is empty.
//
// newSession gets the connection, on which nothing may be called before [Session.Start]. If
// it has not been called when Accept returns, it never will be.
// What it should know of the request, of which [realtime.Peer] tells the socket's address
// only, is the handler's to tell. The connection's framing is for text messages, and its
// value the same for all foreign sessions with the same compression. The server pings no
// foreign session; one that wants to sends what [AppendPing] returns.
//
// The connection counts in [Stats] and holds up the end of [Server.Serve] like those of the
// node; closing it is the business of whoever made the session.
func (s *Server) Accept(
	w http.ResponseWriter, r *http.Request, subprotocol string, newSession func(realtime.Conn) Session,
) {
	n := newNegotiation("")
	chosen := func(offered string) bool { return offered == subprotocol }
	conn, early, ok := s.takeOver(w, r, chosen, n.extensions(s.o.Foreign.Compression))
	if !ok {
		return
	}
	_, deflate := n.deflate.Accepted()
	s.adopt(conn, early, hello{framing: s.framings.foreign(deflate)}, newSession)
}

// AppendPing appends a ping frame to dst.
func AppendPing(dst []byte) []byte { return appendControl(dst, ws.OpPing, nil) }
