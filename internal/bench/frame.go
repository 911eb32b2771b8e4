package bench

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// WebSocket opcodes (RFC 6455 §5.2).
const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10
)

// errFrame means bytes that no server may send.
var errFrame = errors.New("malformed WebSocket frame")

// parseFrame reads the frame at the start of b, as a server sends it: whole and
// unmasked. size is the length of the frame, 0 while b holds only part of it.
func parseFrame(b []byte) (op byte, payload []byte, size int, err error) {
	if len(b) < 2 {
		return 0, nil, 0, nil
	}
	if b[0]&0xf0 != 0x80 || b[1]&0x80 != 0 {
		return 0, nil, 0, fmt.Errorf("%w: header % x (fragments, extensions and masks are not expected)", errFrame, b[:2])
	}
	head, n := 2, uint64(b[1])
	switch n {
	case 126:
		head = 4
		if len(b) < head {
			return 0, nil, 0, nil
		}
		n = uint64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		head = 10
		if len(b) < head {
			return 0, nil, 0, nil
		}
		n = binary.BigEndian.Uint64(b[2:])
	}
	if n > 1<<30 {
		return 0, nil, 0, fmt.Errorf("%w: %d bytes", errFrame, n)
	}
	size = head + int(n)
	if len(b) < size {
		return 0, nil, 0, nil
	}
	return b[0] & 0x0f, b[head:size], size, nil
}

// appendHead appends the header of a frame with n bytes of payload.
func appendHead(dst []byte, op byte, masked bool, n int) []byte {
	bit := byte(0)
	if masked {
		bit = 0x80
	}
	dst = append(dst, 0x80|op)
	switch {
	case n < 126:
		return append(dst, bit|byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, bit|126), uint16(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, bit|127), uint64(n))
	}
}

// appendMasked appends a client's frame. The mask is constant: it protects proxies
// from scripts in browsers, and there are neither here.
func appendMasked(dst []byte, op byte, payload []byte) []byte {
	mask := [4]byte{0x4b, 0x75, 0x72, 0x61}
	dst = append(appendHead(dst, op, true, len(payload)), mask[:]...)
	for i, b := range payload {
		dst = append(dst, b^mask[i&3])
	}
	return dst
}

// A payload of a benchmark begins with its number and the time it was sent:
//
//	{"n":1000000042,"t":1795316768123456789,"p":"xxxx…"}
//
// Both have a fixed width, so they are found in a frame without parsing JSON.
const (
	stampMark   = `{"n":`
	stampTime   = `,"t":`
	stampPad    = `,"p":"`
	stampEnd    = `"}`
	firstNumber = 1_000_000_000 // numbers have ten digits, times nineteen
	minPayload  = len(stampMark) + 10 + len(stampTime) + 19 + len(stampPad) + len(stampEnd)
)

// appendPayload appends a payload of size bytes, at least minPayload.
func appendPayload(dst []byte, n, at int64, size int) []byte {
	dst = appendDigits(append(dst, stampMark...), n, 10)
	dst = appendDigits(append(dst, stampTime...), at, 19)
	dst = append(dst, stampPad...)
	for range size - minPayload {
		dst = append(dst, 'x')
	}
	return append(dst, stampEnd...)
}

func appendDigits(dst []byte, v int64, width int) []byte {
	i := len(dst) + width
	for range width {
		dst = append(dst, '0')
	}
	for ; v > 0 && width > 0; width-- {
		i--
		dst[i] = byte('0' + v%10)
		v /= 10
	}
	return dst
}

// nextStamp finds the first payload in b and returns what follows its stamp.
func nextStamp(b []byte) (n, at int64, rest []byte, ok bool) {
	i := bytes.Index(b, []byte(stampMark))
	if i < 0 {
		return 0, 0, nil, false
	}
	b = b[i+len(stampMark):]
	if len(b) < 10+len(stampTime)+19 || string(b[10:10+len(stampTime)]) != stampTime {
		return 0, 0, nil, false
	}
	n, ok = parseDigits(b[:10])
	b = b[10+len(stampTime):]
	at, okTime := parseDigits(b[:19])
	return n, at, b[19:], ok && okTime
}

func parseDigits(b []byte) (v int64, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + int64(c-'0')
	}
	return v, true
}

var started = time.Now()

// now is the time in payloads: Unix nanoseconds that never jump.
func now() int64 { return started.UnixNano() + int64(time.Since(started)) }
