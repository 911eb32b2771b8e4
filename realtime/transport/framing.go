package transport

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/kuranty/kuranty/protocol"
)

// framing is a [realtime.Framing]: WebSocket messages of one format, text for JSON
// and binary for Protobuf, compressed by deflater if that is not nil. It is used
// through pointers, of which a server has one for each combination. It also says how
// these connections are treated.
type framing struct {
	format  protocol.Format
	deflate *deflater
	reason  string          // of a close that gives none
	broken  *protocol.Close // is what a panic ends in

	late     int  // lateRead or lateForeign
	textOnly bool // the peer may send no binary messages
	inflate  int  // times the limit of a message is how large it may be inflated
}

// reader returns one for a connection.
func (f *framing) reader() reader {
	return reader{deflate: f.deflate != nil, textOnly: f.textOnly, inflate: uint8(f.inflate)}
}

// Format returns the encoding of the units.
func (f *framing) Format() protocol.Format { return f.format }

// AppendFrame appends a message that holds units.
func (f *framing) AppendFrame(dst, units []byte) []byte {
	op := byte(ws.OpText)
	if f.format == protocol.Protobuf {
		op = byte(ws.OpBinary)
	}
	if f.deflate != nil && len(units) >= f.deflate.minSize {
		return f.deflate.appendFrame(dst, op, units)
	}
	return append(appendHead(dst, op, len(units)), units...)
}

// AppendClose appends a close frame with the code and reason of c. The reason fits the
// frame and, for the node's sessions, is never empty (client-protocol.md §20.2).
func (f *framing) AppendClose(dst []byte, c *protocol.Close) []byte {
	reason := c.Reason
	if reason == "" {
		reason = f.reason
	}
	reason = cut(reason, maxControl-2)
	dst = appendHead(dst, byte(ws.OpClose), 2+len(reason))
	dst = binary.BigEndian.AppendUint16(dst, uint16(min(max(c.Code, 1000), 4999)))
	return append(dst, reason...)
}

// cut returns the longest start of s that has at most n bytes and ends between characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// rsv1 marks the first frame of a compressed message (RFC 7692 §6).
const rsv1 = 0x40

// appendHead appends the head of a final frame of a server.
func appendHead(dst []byte, op byte, length int) []byte {
	op |= 0x80
	switch {
	case length < 126:
		return append(dst, op, byte(length))
	case length < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, op, 126), uint16(length))
	default:
		return binary.BigEndian.AppendUint64(append(dst, op, 127), uint64(length))
	}
}

// appendControl appends a control frame of a server.
func appendControl(dst []byte, op ws.OpCode, payload []byte) []byte {
	return append(appendHead(dst, byte(op), len(payload)), payload...)
}
