package protocol

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// jsonEncoder appends messages as JSON, leaving out fields that are zero.
type jsonEncoder struct {
	buf  []byte
	keep bool     // write the next field even if it is zero
	keys []string // of the maps being written, a stack
}

var jsonEncoders = sync.Pool{New: func() any { return new(jsonEncoder) }}

// newJSONEncoder returns an encoder that appends one unit to dst; done ends it.
func newJSONEncoder(dst []byte) *jsonEncoder {
	e := jsonEncoders.Get().(*jsonEncoder)
	e.buf = appendSeparator(dst)
	return e
}

// appendSeparator sets the next unit apart from those that dst holds.
func appendSeparator(dst []byte) []byte {
	if len(dst) > 0 {
		dst = append(dst, '\n')
	}
	return dst
}

func (e *jsonEncoder) done() []byte {
	dst := e.buf
	e.buf = nil
	jsonEncoders.Put(e)
	return dst
}

func (e *jsonEncoder) object(m message) {
	e.buf = append(e.buf, '{')
	m.fields(e)
	e.buf = append(e.buf, '}')
}

// keeps tells whether to write a field that is or is not set.
func (e *jsonEncoder) keeps(set bool) bool { return set || e.keep }

// key begins a member of the current object; name needs no escaping.
func (e *jsonEncoder) key(name string) {
	e.keep = false
	e.comma()
	e.buf = append(append(append(e.buf, '"'), name...), '"', ':')
}

// member begins a member of a map.
func (e *jsonEncoder) member(key string) {
	e.comma()
	e.buf = append(appendString(e.buf, key), ':')
}

// comma separates members; no value ends with an opening brace.
func (e *jsonEncoder) comma() {
	if e.buf[len(e.buf)-1] != '{' {
		e.buf = append(e.buf, ',')
	}
}

func (e *jsonEncoder) always() visitor {
	e.keep = true
	return e
}

func (e *jsonEncoder) str(_ protowire.Number, name string, p *string) {
	if e.keeps(*p != "") {
		e.key(name)
		e.buf = appendString(e.buf, *p)
	}
}

func (e *jsonEncoder) raw(_ protowire.Number, name string, p *Raw) {
	if len(*p) > 0 {
		e.key(name)
		e.buf = appendPayload(e.buf, *p)
	}
}

func (e *jsonEncoder) flag(_ protowire.Number, name string, p *bool) {
	if *p {
		e.key(name)
		e.buf = append(e.buf, "true"...)
	}
}

func (e *jsonEncoder) u32(_ protowire.Number, name string, p *uint32) {
	e.unsigned(name, uint64(*p))
}

func (e *jsonEncoder) u64(_ protowire.Number, name string, p *uint64) { e.unsigned(name, *p) }

func (e *jsonEncoder) i32(_ protowire.Number, name string, p *int32) { e.signed(name, int64(*p)) }
func (e *jsonEncoder) i64(_ protowire.Number, name string, p *int64) { e.signed(name, *p) }
func (e *jsonEncoder) s64(_ protowire.Number, name string, p *int64) { e.signed(name, *p) }

func (e *jsonEncoder) unsigned(name string, i uint64) {
	if e.keeps(i != 0) {
		e.key(name)
		e.buf = strconv.AppendUint(e.buf, i, 10)
	}
}

func (e *jsonEncoder) signed(name string, i int64) {
	if e.keeps(i != 0) {
		e.key(name)
		e.buf = strconv.AppendInt(e.buf, i, 10)
	}
}

func (e *jsonEncoder) strs(_ protowire.Number, name string, p *[]string) {
	if len(*p) == 0 {
		return
	}
	e.key(name)
	sep := byte('[')
	for _, s := range *p {
		e.buf = appendString(append(e.buf, sep), s)
		sep = ','
	}
	e.buf = append(e.buf, ']')
}

func (e *jsonEncoder) pairs(_ protowire.Number, name string, p *map[string]string) {
	if len(*p) == 0 {
		return
	}
	e.key(name)
	e.buf = append(e.buf, '{')
	keys := pushKeys(&e.keys, *p)
	for _, k := range keys {
		e.member(k)
		e.buf = appendString(e.buf, (*p)[k])
	}
	popKeys(&e.keys, keys)
	e.buf = append(e.buf, '}')
}

// pushKeys puts the sorted keys of m on stack, whose top it returns.
func pushKeys[V any](stack *[]string, m map[string]V) []string {
	base := len(*stack)
	*stack = slices.AppendSeq(*stack, maps.Keys(m))
	keys := (*stack)[base:]
	slices.Sort(keys)
	return keys
}

// popKeys takes keys off again.
func popKeys(stack *[]string, keys []string) {
	clear(keys)
	*stack = (*stack)[:len(*stack)-len(keys)]
}

// appendPayload appends p without line breaks, which in JSON are never part of a
// string: LF separates units, and CR ends a line in SSE (client-protocol.md §2).
func appendPayload(dst []byte, p Raw) []byte {
	if bytes.IndexByte(p, '\n') < 0 && bytes.IndexByte(p, '\r') < 0 {
		return append(dst, p...)
	}
	for _, b := range p {
		if b != '\n' && b != '\r' {
			dst = append(dst, b)
		}
	}
	return dst
}

// appendString appends s as a JSON string, U+FFFD for each byte that is not UTF-8.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	done := 0 // bytes of s before this one are in dst
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		size := 1
		if c >= utf8.RuneSelf {
			var r rune
			if r, size = utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
		}
		dst = append(dst, s[done:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			if c < ' ' {
				dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			} else {
				dst = utf8.AppendRune(dst, utf8.RuneError)
			}
		}
		i += size
		done = i
	}
	return append(append(dst, s[done:]...), '"')
}
