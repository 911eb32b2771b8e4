package transport

import (
	"encoding/binary"
	"sync"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/kuranty/kuranty/protocol"
)

// The reasons for which a reader fails a connection (RFC 6455 §7.4.1).
var (
	failProtocol = &protocol.Close{Code: 1002, Reason: "protocol error"}
	failUTF8     = &protocol.Close{Code: 1007, Reason: "invalid UTF-8"}
	failDeflate  = &protocol.Close{Code: 1007, Reason: "invalid compressed data"}
	failBinary   = &protocol.Close{Code: 1003, Reason: "binary messages are not taken"}
	failTooBig   = &protocol.Close{Code: 1009, Reason: "message too big"}
)

// maxFragments bounds the frames of one message (guarantees.md S23), maxHead is the
// longest head of a frame and maxControl the longest payload of a control frame
// (RFC 6455 §5.2, §5.5).
const (
	maxFragments = 128
	maxHead      = 14
	maxControl   = 125
)

// inflateFactor times the limit of a message is how large a message for a session of the
// node may be inflated (guarantees.md S23).
const inflateFactor = 10

// frameHead is what stands before the payload of a client's frame.
type frameHead struct {
	op     ws.OpCode
	fin    bool
	packed bool // RSV1: the message is compressed
	mask   [4]byte
	length uint64
}

// parseHead reads a head from the start of p and returns its size, 0 if p holds
// only a part of it. Whatever RFC 6455 §5.2 forbids a client is an error.
func parseHead(p []byte) (h frameHead, size int, fail *protocol.Close) {
	if len(p) < 2 {
		return h, 0, nil
	}
	h.fin, h.packed, h.op = p[0]&0x80 != 0, p[0]&0x40 != 0, ws.OpCode(p[0]&0x0f)
	switch {
	case p[0]&0x30 != 0, // RSV2, RSV3
		p[1]&0x80 == 0, // clients must mask
		h.op.IsReserved(),
		h.op.IsControl() && (!h.fin || h.packed || p[1]&0x7f > maxControl),
		h.op == ws.OpContinuation && h.packed: // RFC 7692 §6.1
		return h, 0, failProtocol
	}
	size = 2
	switch h.length = uint64(p[1] & 0x7f); h.length {
	case 126:
		if len(p) < 4 {
			return h, 0, nil
		}
		size, h.length = 4, uint64(binary.BigEndian.Uint16(p[2:]))
		if h.length < 126 { // not the shortest form
			return h, 0, failProtocol
		}
	case 127:
		if len(p) < 10 {
			return h, 0, nil
		}
		size, h.length = 10, binary.BigEndian.Uint64(p[2:])
		if h.length < 1<<16 || h.length>>63 != 0 {
			return h, 0, failProtocol
		}
	}
	if len(p) < size+4 {
		return h, 0, nil
	}
	copy(h.mask[:], p[size:])
	return h, size + 4, nil
}

// receiver takes what a reader finds. The bytes are valid during the call only. A
// false return ends the reading.
type receiver interface {
	// messageLimit returns how many bytes the next message may have.
	messageLimit() int
	message(p []byte) bool
	control(op ws.OpCode, payload []byte) bool
}

// reader takes apart the bytes a client sends. Between messages it holds no memory.
type reader struct {
	// deflate says that permessage-deflate was negotiated, textOnly that binary messages
	// fail the connection.
	deflate, textOnly bool
	inflate           uint8 // times the limit of a message is how large it may be inflated
	part              *partial
}

// partial is what a reader knows of frames and messages that have not arrived whole.
type partial struct {
	head  [maxHead]byte
	nhead int // bytes of head, while it is not whole

	frame   frameHead
	inFrame bool // the head was read, the payload is not whole
	got     int  // bytes of the payload read so far

	control []byte // of a control frame

	open      bool // a message has begun; the frames so far are in body
	text      bool
	packed    bool
	fragments int
	body      []byte
	checked   int // bytes of body known to be UTF-8
}

var partials = sync.Pool{New: func() any { return new(partial) }}

// keepBody is the largest buffer that goes back to the pool. It is small, because
// whoever begins a message gets such a buffer and may never go on.
const keepBody = 2 << 10

// state returns the partial, making one if there is none.
func (r *reader) state() *partial {
	if r.part == nil {
		r.part = partials.Get().(*partial)
	}
	return r.part
}

// release gives back what the reader holds.
func (r *reader) release() {
	p := r.part
	if p == nil {
		return
	}
	r.part = nil
	body := p.body[:0]
	if cap(body) > keepBody {
		body = nil
	}
	*p = partial{control: p.control[:0], body: body}
	partials.Put(p)
}

// feed takes the next bytes, which it changes (they are unmasked in place), and
// hands what is complete to the receiver. It returns why the connection is to be failed,
// and false if the receiver wants no more; after either, feed must not be called again.
func (r *reader) feed(p []byte, to receiver) (more bool, fail *protocol.Close) {
	for {
		if r.part == nil || !r.part.inFrame {
			if len(p) == 0 {
				return true, nil
			}
			var whole bool
			if p, whole, fail = r.readHead(p, to); fail != nil || !whole {
				return fail == nil, fail
			}
		}
		f := r.part
		chunk := p[:min(uint64(len(p)), f.frame.length-uint64(f.got))]
		p = p[len(chunk):]
		ws.Cipher(chunk, f.frame.mask, f.got)
		direct := f.got == 0
		f.got += len(chunk)
		whole := uint64(f.got) == f.frame.length
		f.inFrame = !whole
		if f.frame.op.IsControl() {
			more, fail = r.controlChunk(chunk, direct && whole, whole, to)
		} else {
			more, fail = r.dataChunk(chunk, direct && whole, whole, to)
		}
		if !whole || !more || fail != nil {
			return more, fail
		}
	}
}

// readHead reads the head of a frame, which may have begun in earlier bytes, and
// returns what follows it. A length that is too large fails here, before anything
// is allocated for it.
func (r *reader) readHead(p []byte, to receiver) (rest []byte, whole bool, fail *protocol.Close) {
	src, before := p, 0
	if r.part != nil && r.part.nhead > 0 {
		before = r.part.nhead
		n := copy(r.part.head[before:], p)
		src = r.part.head[:before+n]
	}
	h, size, fail := parseHead(src)
	if fail != nil {
		return nil, false, fail
	}
	f := r.state()
	if size == 0 {
		f.nhead = copy(f.head[:], src)
		return nil, false, nil
	}
	f.nhead = 0
	f.frame, f.inFrame, f.got = h, true, 0
	rest = p[size-before:]
	if h.op.IsControl() {
		return rest, true, nil
	}
	if (h.op == ws.OpContinuation) != f.open || h.packed && !r.deflate {
		return nil, false, failProtocol
	}
	if r.textOnly && h.op == ws.OpBinary {
		return nil, false, failBinary
	}
	if h.op != ws.OpContinuation {
		f.open, f.text, f.packed, f.fragments = true, h.op == ws.OpText, h.packed, 0
	}
	f.fragments++
	limit := uint64(max(to.messageLimit(), 0))
	if have := uint64(len(f.body)); h.length > limit || have+h.length > limit || f.fragments > maxFragments {
		return nil, false, failTooBig
	}
	return rest, true, nil
}

// controlChunk takes a part of a control frame's payload.
func (r *reader) controlChunk(chunk []byte, direct, whole bool, to receiver) (bool, *protocol.Close) {
	f := r.part
	payload := chunk
	if !direct {
		f.control = append(f.control, chunk...)
		payload = f.control
	}
	if !whole {
		return true, nil
	}
	op := f.frame.op
	if op == ws.OpClose {
		if fail := checkClose(payload); fail != nil {
			return false, fail
		}
	}
	more := to.control(op, payload)
	f.control = f.control[:0]
	if !f.open {
		r.release()
	}
	return more, nil
}

// dataChunk takes a part of a message. A frame that is a whole message is not copied.
func (r *reader) dataChunk(chunk []byte, direct, whole bool, to receiver) (bool, *protocol.Close) {
	f := r.part
	body := chunk
	if !direct || !f.frame.fin || f.fragments > 1 {
		f.body = append(f.body, chunk...)
		body = f.body
	}
	whole = whole && f.frame.fin
	if f.text && !f.packed {
		n, ok := validPrefix(body[f.checked:])
		f.checked += n
		if !ok || whole && f.checked != len(body) {
			return false, failUTF8
		}
	}
	if !whole {
		return true, nil
	}
	f.open, f.checked = false, 0
	if f.packed {
		return r.unpack(body, to)
	}
	more := to.message(body)
	r.release()
	return more, nil
}

// unpack hands on a compressed message.
func (r *reader) unpack(body []byte, to receiver) (bool, *protocol.Close) {
	message, err := inflate(body, to.messageLimit()*int(r.inflate))
	switch {
	case err == errInflatedTooBig:
		return false, failTooBig
	case err != nil:
		return false, failDeflate
	case r.part.text && !utf8.Valid(message.Bytes()):
		return false, failUTF8
	}
	more := to.message(message.Bytes())
	releaseBuffer(message)
	r.release()
	return more, nil
}

// validPrefix returns how many bytes of p are whole, valid characters; it is not ok
// if what follows them cannot become one.
func validPrefix(p []byte) (n int, ok bool) {
	for len(p)-n >= 8 && binary.LittleEndian.Uint64(p[n:])&0x8080808080808080 == 0 {
		n += 8
	}
	for n < len(p) {
		if p[n] < utf8.RuneSelf {
			n++
			continue
		}
		c, size := utf8.DecodeRune(p[n:])
		if c == utf8.RuneError && size == 1 {
			return n, !utf8.FullRune(p[n:])
		}
		n += size
	}
	return n, true
}

// checkClose tells what is wrong with the payload of a close frame (RFC 6455 §5.5.1,
// §7.4).
func checkClose(payload []byte) *protocol.Close {
	if len(payload) == 0 {
		return nil
	}
	if len(payload) == 1 {
		return failProtocol
	}
	code := ws.StatusCode(binary.BigEndian.Uint16(payload))
	switch {
	case code < 1000, code >= 5000, code > 1014 && code < 3000, code == 1004, code == 1005, code == 1006:
		return failProtocol
	case !utf8.Valid(payload[2:]):
		return failUTF8
	}
	return nil
}
