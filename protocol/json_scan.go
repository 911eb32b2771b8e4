package protocol

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// scanner walks once over a JSON text it does not trust. It knows the structure and
// the usual strings; strings with escapes are jsontext's matter. Any fault moves it
// to the end, where nothing more is found. (A walk after jsontext's own validation
// took twice as long; fuzzing compares the verdicts of both.)
type scanner struct {
	buf    []byte
	pos    int
	levels int  // arrays and objects that may still be opened
	fresh  bool // just inside an array or object
	fault  string
	at     int // where the fault was
}

// fail records the first fault and ends the walk.
func (s *scanner) fail(fault string) {
	if s.fault == "" {
		s.fault, s.at = fault, s.pos
	}
	s.pos = len(s.buf)
}

// peek returns the byte at hand, 0 at the end.
func (s *scanner) peek() byte {
	if s.pos < len(s.buf) {
		return s.buf[s.pos]
	}
	return 0
}

func (s *scanner) space() {
	for s.pos < len(s.buf) && s.buf[s.pos] <= ' ' {
		switch s.buf[s.pos] {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return
		}
	}
}

// end makes sure that nothing follows.
func (s *scanner) end() {
	s.space()
	if s.pos < len(s.buf) {
		s.fail("text after the value")
	}
}

// enter steps into the array or object at hand, fault tells it is none.
func (s *scanner) enter(open byte) bool {
	if s.peek() != open {
		return false
	}
	if s.levels--; s.levels < 0 {
		s.fail("nested too deeply")
		return false
	}
	s.pos++
	s.fresh = true
	return true
}

// more steps to the next element of an array or object, or out of it.
func (s *scanner) more(end byte) bool {
	fresh := s.fresh
	s.fresh = false
	s.space()
	switch s.peek() {
	case end:
		s.pos++
		s.levels++
		return false
	case ',':
		if !fresh {
			s.pos++
			s.space()
			return true
		}
	}
	if !fresh {
		s.fail("no comma or end")
	}
	return fresh
}

func (s *scanner) colon() {
	s.space()
	if s.peek() != ':' {
		s.fail("no colon")
		return
	}
	s.pos++
	s.space()
}

// value steps over the value at hand, whatever it is.
func (s *scanner) value() {
	switch s.peek() {
	case '"':
		s.quoted()
	case '{':
		if s.enter('{') {
			for s.more('}') {
				s.quoted()
				s.colon()
				s.value()
			}
		}
	case '[':
		if s.enter('[') {
			for s.more(']') {
				s.value()
			}
		}
	default:
		if s.literal() == nil {
			s.fail("no value")
		}
	}
}

// literal takes a number, true, false or null; nil if there is none of them.
func (s *scanner) literal() []byte {
	start := s.pos
	for s.pos < len(s.buf) && inLiteral[s.buf[s.pos]] {
		s.pos++
	}
	lit := s.buf[start:s.pos]
	switch string(lit) {
	case "true", "false", "null":
	default:
		if !isNumber(lit) {
			s.pos = start
			return nil
		}
	}
	return lit
}

// inLiteral holds the bytes that numbers and the three words are made of.
var inLiteral = func() (set [256]bool) {
	for _, c := range "+-.0123456789Eaeflnrstu" {
		set[c] = true
	}
	return set
}()

func isNumber(b []byte) bool {
	if len(b) > 0 && b[0] == '-' {
		b = b[1:]
	}
	whole := digits(b)
	if whole == 0 || whole > 1 && b[0] == '0' {
		return false
	}
	b = b[whole:]
	if len(b) > 0 && b[0] == '.' {
		n := digits(b[1:])
		if n == 0 {
			return false
		}
		b = b[1+n:]
	}
	if len(b) > 0 && (b[0] == 'e' || b[0] == 'E') {
		if b = b[1:]; len(b) > 0 && (b[0] == '+' || b[0] == '-') {
			b = b[1:]
		}
		n := digits(b)
		if n == 0 {
			return false
		}
		b = b[n:]
	}
	return len(b) == 0
}

// digits counts the digits b begins with.
func digits(b []byte) int {
	for i, c := range b {
		if c < '0' || c > '9' {
			return i
		}
	}
	return len(b)
}

// quoted steps over the string at hand and returns it with its quotes.
func (s *scanner) quoted() (str []byte, escapes bool) {
	if s.peek() != '"' {
		s.fail("no string")
		return nil, false
	}
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	start, high := s.pos, uint64(0)
	i := start + 1
	for {
		// Eight bytes at a time, until there is a quote, backslash or control
		// character among them: their top bits are then set in stop, and
		// the lowest of these is exact.
		for i+8 <= len(s.buf) {
			x := binary.LittleEndian.Uint64(s.buf[i:])
			quote, backslash := x^ones*'"', x^ones*'\\'
			stop := ((quote-ones)&^quote | (backslash-ones)&^backslash | (x-ones*' ')&^x) & tops
			high |= x & tops
			if stop != 0 {
				i += bits.TrailingZeros64(stop) / 8
				break
			}
			i += 8
		}
		if i >= len(s.buf) {
			s.fail("string without end")
			return nil, false
		}
		switch c := s.buf[i]; {
		case c == '"':
			s.pos = i + 1
			str = s.buf[start:s.pos]
			switch {
			case escapes && !jsontext.Value(str).IsValid():
				s.pos = start
				s.fail("bad escape or UTF-8 in a string")
			case high != 0 && !escapes && !utf8.Valid(str):
				s.pos = start
				s.fail("bad UTF-8 in a string")
			default:
				return str, escapes
			}
			return nil, false
		case c == '\\':
			escapes = true
			i += 2
		case c < ' ':
			s.pos = i
			s.fail("control character in a string")
			return nil, false
		default: // in the last seven bytes
			high |= uint64(c & utf8.RuneSelf)
			i++
		}
	}
}

func validJSON(data []byte, depth int) bool {
	s := scanner{buf: data, levels: depth}
	s.space()
	s.value()
	s.end()
	return s.fault == ""
}
