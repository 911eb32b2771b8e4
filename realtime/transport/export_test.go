package transport

import (
	"github.com/gobwas/ws"

	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
)

// NewWith returns a server whose sessions newSession makes.
func NewWith(newSession func(realtime.Conn) Session, o Options) (*Server, error) {
	return newServer(newSession, o)
}

// Found is what a Reader found.
type Found struct {
	Message func(p []byte) bool
	Control func(op ws.OpCode, payload []byte) bool
	Limit   int
}

func (f *Found) messageLimit() int                         { return f.Limit }
func (f *Found) message(p []byte) bool                     { return f.Message(p) }
func (f *Found) control(op ws.OpCode, payload []byte) bool { return f.Control(op, payload) }

// Reader is the frame reader.
type Reader struct{ r reader }

// NewReader returns one that does or does not take compressed messages.
func NewReader(deflate bool) *Reader {
	return &Reader{reader{deflate: deflate, inflate: inflateFactor}}
}

// Feed is reader.feed.
func (r *Reader) Feed(p []byte, to *Found) (bool, *protocol.Close) { return r.r.feed(p, to) }

// Holds tells how many bytes of messages the reader holds room for.
func (r *Reader) Holds() int {
	if r.r.part == nil {
		return 0
	}
	return cap(r.r.part.body) + cap(r.r.part.control)
}

// Release gives back what the reader holds.
func (r *Reader) Release() { r.r.release() }

// AppendPacked appends units as a compressed text message.
func AppendPacked(dst, units []byte) []byte {
	d, err := newDeflater(1, 0)
	if err != nil {
		panic(err)
	}
	return (&framing{format: protocol.JSON, deflate: d}).AppendFrame(dst, units)
}

// Framings returns the framings of a server, plain and packed.
func (s *Server) Framings() (plain, packed [2]realtime.Framing) {
	for i := range 2 {
		plain[i], packed[i] = &s.framings.plain[i], &s.framings.packed[i]
	}
	return plain, packed
}
