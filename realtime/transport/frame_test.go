package transport_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/klauspost/compress/flate"

	"github.com/kuranty/kuranty/realtime/transport"
)

// limit is the message limit of the tests here.
const limit = 64 << 10

// findings is what a reader made of a stream, in a form that can be compared.
type findings struct {
	got  []string
	code uint32 // of the failure, 0 if there is none
}

// read feeds stream in pieces whose sizes next returns.
func read(deflate bool, stream []byte, next func() int) findings {
	var f findings
	r := transport.NewReader(deflate)
	defer r.Release()
	found := &transport.Found{
		Limit: limit,
		Message: func(p []byte) bool {
			f.got = append(f.got, "message "+brief(p))
			return true
		},
		Control: func(op ws.OpCode, p []byte) bool {
			f.got = append(f.got, fmt.Sprintf("%x %s", op, brief(p)))
			return op != ws.OpClose
		},
	}
	for len(stream) > 0 {
		n := min(next(), len(stream))
		more, fail := r.Feed(bytes.Clone(stream[:n]), found)
		stream = stream[n:]
		if fail != nil {
			f.code = fail.Code
		}
		if !more || fail != nil {
			break
		}
	}
	return f
}

func brief(p []byte) string {
	if len(p) > 40 {
		return fmt.Sprintf("%d bytes, %q…", len(p), p[:8])
	}
	return fmt.Sprintf("%q", p)
}

// frame is one frame of a client; op may have the bits 0x40, 0x20 and 0x10 of RSV, and
// more says that it is not the last of its message.
func frame(op byte, payload string, more ...bool) []byte {
	p := masked(ws.OpCode(op&0x0f), len(more) == 0, []byte(payload))
	p[0] |= op & 0x70
	return p
}

func closing(code uint16, reason string) []byte {
	return frame(0x8, string(binary.BigEndian.AppendUint16(nil, code))+reason)
}

func packed(s string) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, 6)
	_, _ = w.Write([]byte(s))
	_ = w.Flush()
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\x00\x00\xff\xff")))
}

func times(n int, s string) string { return strings.Repeat(s, n) }

// TestS25_Conformance holds the cases of the public conformance suite for WebSocket
// servers (sections 1 to 7, 9, 12 and 13; the performance ones of 9 and 12 apart), each
// fed at once, in random pieces and one byte at a time.
func TestS25_Conformance(t *testing.T) {
	const (
		euro  = "κόσμε"
		bad   = "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited"
		utf8s = "Hello-µ@ßöäüàá-UTF-8!!"
	)
	more := true
	cases := []struct {
		name    string
		stream  [][]byte
		want    []string
		code    uint32
		deflate bool
	}{
		// 1 framing
		{"1.1.1 empty text", [][]byte{frame(1, "")}, []string{`message ""`}, 0, false},
		{"1.1.2 text 125", [][]byte{frame(1, times(125, "*"))}, []string{`message 125 bytes, "********"…`}, 0, false},
		{"1.1.3 text 126", [][]byte{frame(1, times(126, "*"))}, []string{`message 126 bytes, "********"…`}, 0, false},
		{"1.1.4 text 127", [][]byte{frame(1, times(127, "*"))}, []string{`message 127 bytes, "********"…`}, 0, false},
		{"1.1.6 text 65535", [][]byte{frame(1, times(65535, "*"))}, []string{`message 65535 bytes, "********"…`}, 0, false},
		{"1.1.7 text 65536", [][]byte{frame(1, times(65536, "*"))}, []string{`message 65536 bytes, "********"…`}, 0, false},
		{"1.2.1 empty binary", [][]byte{frame(2, "")}, []string{`message ""`}, 0, false},
		{"1.2.7 binary 65536", [][]byte{frame(2, times(65536, "\xfe"))}, []string{`message 65536 bytes, "\xfe\xfe\xfe\xfe\xfe\xfe\xfe\xfe"…`}, 0, false},
		// 2 pings and pongs
		{"2.1 ping", [][]byte{frame(9, "")}, []string{`9 ""`}, 0, false},
		{"2.3 ping with binary", [][]byte{frame(9, "\x00\xff\xfe")}, []string{`9 "\x00\xff\xfe"`}, 0, false},
		{"2.4 ping 125", [][]byte{frame(9, times(125, "\xfe"))}, []string{`9 125 bytes, "\xfe\xfe\xfe\xfe\xfe\xfe\xfe\xfe"…`}, 0, false},
		{"2.5 ping 126", [][]byte{frame(9, times(126, "\xfe"))}, nil, 1002, false},
		{"2.7 pong", [][]byte{frame(10, "")}, []string{`a ""`}, 0, false},
		{"2.9 pong, ping", [][]byte{frame(10, "u"), frame(9, "p")}, []string{`a "u"`, `9 "p"`}, 0, false},
		{"2.10 pings", [][]byte{frame(9, "1"), frame(9, "2"), frame(9, "3")}, []string{`9 "1"`, `9 "2"`, `9 "3"`}, 0, false},
		// 3 reserved bits
		{"3.1 RSV3", [][]byte{frame(0x11, "x")}, nil, 1002, false},
		{"3.2 RSV2 after text", [][]byte{frame(1, "x"), frame(0x21, "y"), frame(9, "")}, []string{`message "x"`}, 1002, false},
		{"3.4 RSV1", [][]byte{frame(1, "x"), frame(0x41, "y")}, []string{`message "x"`}, 1002, false},
		{"3.6 all with binary", [][]byte{frame(0x72, "y")}, nil, 1002, false},
		{"3.7 all with close", [][]byte{frame(0x78, "")}, nil, 1002, false},
		// 4 opcodes
		{"4.1.1 opcode 3", [][]byte{frame(3, "")}, nil, 1002, false},
		{"4.1.5 opcode 7", [][]byte{frame(7, "x")}, nil, 1002, false},
		{"4.2.1 opcode 11", [][]byte{frame(11, "")}, nil, 1002, false},
		{"4.2.5 opcode 15", [][]byte{frame(15, "x")}, nil, 1002, false},
		// 5 fragmentation
		{"5.1 ping in two", [][]byte{frame(9, "a", more), frame(0, "b")}, nil, 1002, false},
		{"5.2 pong in two", [][]byte{frame(10, "a", more), frame(0, "b")}, nil, 1002, false},
		{"5.3 text in two", [][]byte{frame(1, "a", more), frame(0, "b")}, []string{`message "ab"`}, 0, false},
		{"5.6 with a ping between", [][]byte{frame(1, "a", more), frame(9, "p"), frame(0, "b")}, []string{`9 "p"`, `message "ab"`}, 0, false},
		{"5.9 continuation of nothing", [][]byte{frame(0, "x"), frame(1, "y")}, nil, 1002, false},
		{"5.12 unfinished continuation of nothing", [][]byte{frame(0, "x", more), frame(1, "y")}, nil, 1002, false},
		{"5.15 continuation after the end", [][]byte{frame(1, "a", more), frame(0, "b"), frame(0, "c", more), frame(1, "d")}, []string{`message "ab"`}, 1002, false},
		{"5.18 text in text", [][]byte{frame(1, "a", more), frame(1, "b")}, nil, 1002, false},
		{"5.19 many, pings between", [][]byte{
			frame(1, "1", more), frame(0, "2", more), frame(9, "p"), frame(0, "3", more),
			frame(0, "4", more), frame(9, "q"), frame(0, "5"),
		}, []string{`9 "p"`, `9 "q"`, `message "12345"`}, 0, false},
		{"6.1.2 empty fragments", [][]byte{frame(1, "", more), frame(0, "", more), frame(0, "")}, []string{`message ""`}, 0, false},
		{"6.1.3 empty but one", [][]byte{frame(1, "", more), frame(0, "middle", more), frame(0, "")}, []string{`message "middle"`}, 0, false},
		// 6 UTF-8
		{"6.2.1 valid", [][]byte{frame(1, utf8s)}, []string{fmt.Sprintf("message %q", utf8s)}, 0, false},
		{"6.2.2 split at a character", [][]byte{frame(1, utf8s[:7], more), frame(0, utf8s[7:])}, []string{fmt.Sprintf("message %q", utf8s)}, 0, false},
		{"6.2.3 a frame per byte", perByte(euro), []string{fmt.Sprintf("message %q", euro)}, 0, false},
		{"6.3.1 invalid", [][]byte{frame(1, bad)}, nil, 1007, false},
		{"6.3.2 invalid, a frame per byte", perByte(bad), nil, 1007, false},
		{"6.4.1 fails at once", [][]byte{frame(1, euro, more), frame(0, "\xf4\x90\x80\x80", more)}, nil, 1007, false},
		{"6.4.2 fails as soon as it cannot be", [][]byte{frame(1, euro+"\xf4", more), frame(0, "\x90", more)}, nil, 1007, false},
		{"6.6.1 cut character", [][]byte{frame(1, "\xce")}, nil, 1007, false},
		{"6.8.1 five bytes", [][]byte{frame(1, "\xf8\x88\x80\x80\x80")}, nil, 1007, false},
		{"6.9.4 last of four bytes", [][]byte{frame(1, "\xf4\x8f\xbf\xbf")}, []string{`message "\U0010ffff"`}, 0, false},
		{"6.10.2 above", [][]byte{frame(1, "\xf4\x90\x80\x80")}, nil, 1007, false},
		{"6.12.1 lone continuation", [][]byte{frame(1, "\x80")}, nil, 1007, false},
		{"6.14.1 lone start", [][]byte{frame(1, "\xc0 ")}, nil, 1007, false},
		{"6.15.1 overlong", [][]byte{frame(1, "\xc0\xaf")}, nil, 1007, false},
		{"6.18.1 surrogate", [][]byte{frame(1, "\xed\xa0\x80")}, nil, 1007, false},
		{"6.22.1 noncharacter", [][]byte{frame(1, "\xef\xbf\xbe")}, []string{"message \"\\ufffe\""}, 0, false},
		{"binary need not be", [][]byte{frame(2, "\xff\xfe")}, []string{`message "\xff\xfe"`}, 0, false},
		// 7 closing
		{"7.1.1 text, close", [][]byte{frame(1, "x"), closing(1000, "")}, []string{`message "x"`, `8 "\x03\xe8"`}, 0, false},
		{"7.1.3 ping after close", [][]byte{closing(1000, ""), frame(9, "")}, []string{`8 "\x03\xe8"`}, 0, false},
		{"7.1.6 close within a message", [][]byte{frame(1, "x", more), closing(1000, ""), frame(0, "y")}, []string{`8 "\x03\xe8"`}, 0, false},
		{"7.3.1 no code", [][]byte{frame(8, "")}, []string{`8 ""`}, 0, false},
		{"7.3.2 half a code", [][]byte{frame(8, "a")}, nil, 1002, false},
		{"7.3.4 reason", [][]byte{closing(1000, "Hello World!")}, []string{`8 "\x03\xe8Hello World!"`}, 0, false},
		{"7.3.5 reason 123", [][]byte{closing(1000, times(123, "*"))}, []string{`8 125 bytes, "\x03\xe8******"…`}, 0, false},
		{"7.3.6 reason 124", [][]byte{closing(1000, times(124, "*"))}, nil, 1002, false},
		{"7.5.1 reason not UTF-8", [][]byte{closing(1000, bad)}, nil, 1007, false},
		// 9 limits
		{"9.1 above the limit", [][]byte{frame(1, times(limit+1, "*"))}, nil, 1009, false},
		{"9.3 fragments at the limit", [][]byte{frame(1, times(limit-1, "*"), more), frame(0, "*")}, []string{`message 65536 bytes, "********"…`}, 0, false},
		{"9.3 fragments above", [][]byte{frame(1, times(limit, "*"), more), frame(0, "*")}, nil, 1009, false},
		// masks and lengths (RFC 6455 §5.1, §5.2)
		{"unmasked", [][]byte{{0x81, 0x01, 'x'}}, nil, 1002, false},
		{"16 bits for 125", [][]byte{{0x81, 0xfe, 0, 125}}, nil, 1002, false},
		{"64 bits for 65535", [][]byte{{0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff}}, nil, 1002, false},
		{"64 bits, the first set", [][]byte{{0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0}}, nil, 1002, false},
		// 12, 13 compression
		{"12 packed", [][]byte{frame(0x41, packed("hello hello hello"))}, []string{`message "hello hello hello"`}, 0, true},
		{"12 packed empty", [][]byte{frame(0x41, "\x00")}, []string{`message ""`}, 0, true},
		{"12 packed then plain", [][]byte{frame(0x41, packed("a")), frame(1, "b"), frame(0x42, packed("\xff"))}, []string{`message "a"`, `message "b"`, `message "\xff"`}, 0, true},
		{"12 packed fragments", [][]byte{frame(0x41, packed("abcabc")[:2], more), frame(9, "p"), frame(0, packed("abcabc")[2:])}, []string{`9 "p"`, `message "abcabc"`}, 0, true},
		{"RSV1 on a continuation", [][]byte{frame(0x41, "a", more), frame(0x40, "b")}, nil, 1002, true},
		{"RSV1 on a ping", [][]byte{frame(0x49, "a")}, nil, 1002, true},
		{"packed without agreement", [][]byte{frame(0x41, packed("x"))}, nil, 1002, false},
		{"packed invalid UTF-8", [][]byte{frame(0x41, packed("\xff"))}, nil, 1007, true},
		{"broken packing", [][]byte{frame(0x41, "\xff\xff\xff\xff")}, nil, 1007, true},
		{"inflated at the limit", [][]byte{frame(0x41, packed(times(10*limit, "*")))}, []string{`message 655360 bytes, "********"…`}, 0, true},
		{"inflated above", [][]byte{frame(0x41, packed(times(10*limit+1, "*")))}, nil, 1009, true},
		{"a bomb", [][]byte{frame(0x41, packed(times(limit*100, "*")))}, nil, 1009, true},
	}
	for code := range uint16(5000) {
		c := cases[0]
		c.name, c.stream = fmt.Sprint("7.7, 7.9 close ", code), [][]byte{closing(code, "")}
		switch {
		case code >= 3000, code >= 1000 && code <= 1003, code >= 1007 && code <= 1014:
			if code > 3005 && code < 4995 {
				continue
			}
			c.want, c.code = []string{fmt.Sprintf("8 %q", string(binary.BigEndian.AppendUint16(nil, code)))}, 0
		default:
			if code > 1020 && code < 2995 || code > 5 && code < 995 {
				continue
			}
			c.want, c.code = nil, 1002
		}
		cases = append(cases, c)
	}
	for _, c := range cases {
		stream := slices.Concat(c.stream...)
		for how, next := range map[string]func() int{
			"at once":        func() int { return len(stream) },
			"in pieces":      func() int { return 1 + rand.IntN(50+len(stream)/20) },
			"byte for byte":  func() int { return 1 + len(stream)/8000 },
			"as read before": func() int { return 4096 },
		} {
			got := read(c.deflate, stream, next)
			if !slices.Equal(got.got, c.want) || got.code != c.code {
				t.Errorf("%s, %s: got %q, failed with %d, want %q, %d", c.name, how, got.got, got.code, c.want, c.code)
			}
		}
	}
}

// perByte is a text message with a frame for each byte.
func perByte(s string) (frames [][]byte) {
	for i := range len(s) {
		switch {
		case i == 0:
			frames = append(frames, frame(1, s[:1], true))
		case i < len(s)-1:
			frames = append(frames, frame(0, s[i:i+1], true))
		default:
			frames = append(frames, frame(0, s[i:]))
		}
	}
	return frames
}

func TestS23_Fragments(t *testing.T) {
	for n, code := range map[int]uint32{128: 0, 129: 1009} {
		got := read(false, slices.Concat(perByte(times(n, "x"))...), func() int { return 1 << 20 })
		if got.code != code || (len(got.got) == 1) != (code == 0) {
			t.Errorf("%d fragments: %q, %d, want code %d", n, got.got, got.code, code)
		}
	}
}

// A length that is only declared takes no memory, neither above the limit nor below.
func TestS23_DeclaredLength(t *testing.T) {
	found := &transport.Found{Limit: limit}
	for _, head := range [][]byte{
		{0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4},
		{0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 1, 1, 2, 3, 4},
		{0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4},
	} {
		r := transport.NewReader(false)
		_, fail := r.Feed(bytes.Clone(head), found)
		if tooBig := !bytes.HasSuffix(head, []byte{1, 0, 0, 1, 2, 3, 4}); (fail != nil) != tooBig {
			t.Errorf("% x: fail = %v", head, fail)
		}
		if n := r.Holds(); n > 4<<10 {
			t.Errorf("% x: %d bytes held", head, n)
		}
		r.Release()
	}
}

func TestReaderHoldsNothingBetweenMessages(t *testing.T) {
	r := transport.NewReader(false)
	found := &transport.Found{Limit: limit, Message: func([]byte) bool { return true }}
	for _, p := range perByteFed(frame(1, times(1000, "x"))) {
		if _, fail := r.Feed(p, found); fail != nil {
			t.Fatal(fail)
		}
	}
	if n := r.Holds(); n != 0 {
		t.Errorf("%d bytes held", n)
	}
}

func perByteFed(p []byte) (pieces [][]byte) {
	for i := range p {
		pieces = append(pieces, p[i:i+1])
	}
	return pieces
}

// FuzzFrameReader checks that pieces do not matter, and the bounds of memory.
func FuzzFrameReader(f *testing.F) {
	f.Add(slices.Concat(frame(1, "hello"), frame(9, "p"), closing(1000, "bye")), false, byte(3))
	f.Add(slices.Concat(frame(1, "a", true), frame(9, "p"), frame(0, "b")), false, byte(1))
	f.Add(slices.Concat(frame(0x41, packed("hello hello")), frame(2, "\xff")), true, byte(2))
	f.Add([]byte{0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, false, byte(1))
	f.Add([]byte{0x81, 0xfe, 0xff, 0xff, 1, 2, 3, 4, 'x'}, false, byte(200))
	f.Fuzz(func(t *testing.T, stream []byte, deflate bool, piece byte) {
		whole := read(deflate, stream, func() int { return len(stream) })
		parts := read(deflate, stream, func() int { return 1 + int(piece) })
		// A failure may be seen before what precedes it in the same frame is complete, but
		// what was found must be the same.
		if !slices.Equal(whole.got, parts.got) || whole.code != parts.code {
			t.Errorf("whole: %q %d, in parts: %q %d", whole.got, whole.code, parts.got, parts.code)
		}
		r := transport.NewReader(deflate)
		defer r.Release()
		found := &transport.Found{Limit: 1 << 10, Message: func([]byte) bool { return true }, Control: func(ws.OpCode, []byte) bool { return true }}
		more, fail := r.Feed(bytes.Clone(stream), found)
		if n := r.Holds(); more && fail == nil && n > 4<<10 && n > 2*len(stream) {
			t.Errorf("%d bytes held", n)
		}
	})
}
