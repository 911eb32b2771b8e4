package realtime

import (
	"net/netip"

	"github.com/kuranty/kuranty/protocol"
)

// Conn is a transport's side of one [Session]. The session calls it from any
// goroutine, but never two methods at once except Peer.
type Conn interface {
	// Framing says how this connection's bytes are laid out; it never changes.
	Framing() Framing
	// TryWrite hands p to the kernel without blocking and returns how much was
	// taken; less than len(p) with a nil error means that the kernel takes no more
	// for now. It must not retain p.
	TryWrite(p []byte) (int, error)
	// AwaitWritable makes the transport call [Session.Writable], once, when the
	// kernel takes bytes again. It is called after a short TryWrite and does not
	// block. If the peer takes nothing within the transport's write timeout, the
	// transport calls [Session.Stalled] instead.
	AwaitWritable()
	// Close ends the connection. It is called once, after everything that could be
	// written was written, the close frame included when graceful is true: then the
	// transport waits a bounded time for the peer's side of the closing handshake.
	// It does not block. No write is tried after it; an AwaitWritable that was on its
	// way may still come, and does nothing then.
	Close(graceful bool)
	// Peer says who is at the other end; it is called while connecting only.
	Peer() Peer
}

// Peer is what a transport knows of the other end of a connection.
type Peer struct {
	// Transport is the name backends and metrics know: "websocket", "sse", …
	Transport string
	// Addr is the address of the socket's other end.
	Addr netip.AddrPort
	// Headers are those of the request's headers the transport was told to keep,
	// by canonical name.
	Headers map[string][]string
}

// Framing lays encoded units on the wire. Values are compared with ==: all
// connections with the same value share one encoding and one frame of every
// publication.
type Framing interface {
	// Format is the encoding of the units.
	Format() protocol.Format
	// AppendFrame appends to dst one transport message that holds units, one or
	// several as [protocol.AppendReply] joins them.
	AppendFrame(dst, units []byte) []byte
	// AppendClose appends to dst what tells the peer why the connection ends.
	AppendClose(dst []byte, c *protocol.Close) []byte
}
