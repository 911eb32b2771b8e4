package protocol

import (
	"bytes"
	"fmt"
	"strconv"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/encoding/protowire"
)

// allowDuplicates: payloads may, and the decoder itself looks at the fields it knows.
var allowDuplicates = jsontext.AllowDuplicateNames(true)

func validJSON(data []byte, depth int) bool {
	return depthWithin(data, depth) && jsontext.Value(data).IsValid(allowDuplicates)
}

// depthWithin tells whether data nests at most limit deep, if it is JSON at all.
func depthWithin(data []byte, limit int) bool {
	if bytes.Count(data, brace)+bytes.Count(data, bracket) <= limit {
		return true
	}
	depth := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			i = stringEnd(data, i)
		case '{', '[':
			if depth++; depth > limit {
				return false
			}
		case '}', ']':
			depth--
		}
	}
	return true
}

var brace, bracket = []byte{'{'}, []byte{'['}

// stringEnd returns the index of the quote that ends the string begun at i, or
// len(data).
func stringEnd(data []byte, i int) int {
	for i++; i < len(data) && data[i] != '"'; i++ {
		if data[i] == '\\' {
			i++
		}
	}
	return min(i, len(data))
}

// jsonDecoder takes messages out of one unit that jsontext has found to be JSON, so
// it only looks where values begin and end. null stands for a missing value except
// in payloads.
type jsonDecoder struct {
	buf  []byte
	pos  int
	name []byte // of the member at hand, nil once a field has taken its value
	seen uint32 // numbers of the fields met in the current object
	err  error  // ends everything
}

var jsonDecoders = sync.Pool{New: func() any { return new(jsonDecoder) }}

func decodeJSON(unit []byte, m message, depth int) error {
	if !validJSON(unit, depth) {
		return fmt.Errorf("%w: not one JSON value of at most %d levels", ErrMalformed, depth)
	}
	d := jsonDecoders.Get().(*jsonDecoder)
	*d = jsonDecoder{buf: unit}
	d.space()
	d.object("unit", m)
	err := d.err
	*d = jsonDecoder{}
	jsonDecoders.Put(d)
	return err
}

// fail records that the value of the field name is not what it has to be.
func (d *jsonDecoder) fail(name, what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s at byte %d is not %s", ErrMalformed, name, d.pos, what)
	}
}

func (d *jsonDecoder) space() {
	for d.pos < len(d.buf) && d.buf[d.pos] <= ' ' {
		d.pos++
	}
}

// object takes the object at hand into m; name is for errors.
func (d *jsonDecoder) object(name string, m message) {
	if !d.enter('{', name) {
		return
	}
	outer := d.seen
	d.seen = 0
	for d.more('}') {
		d.name = d.text()
		d.colon()
		m.fields(d)
		if d.name != nil {
			d.skip()
			d.name = nil
		}
	}
	d.seen = outer
}

// enter steps into an array or object.
func (d *jsonDecoder) enter(open byte, name string) bool {
	if d.buf[d.pos] != open {
		d.fail(name, map[byte]string{'{': "an object", '[': "an array"}[open])
		return false
	}
	d.pos++
	return true
}

// more steps to the next element, or out of the array or object.
func (d *jsonDecoder) more(end byte) bool {
	if d.err != nil {
		return false
	}
	d.space()
	switch d.buf[d.pos] {
	case end:
		d.pos++
		return false
	case ',':
		d.pos++
		d.space()
	}
	return true
}

func (d *jsonDecoder) colon() {
	d.space()
	d.pos++
	d.space()
}

// memberName takes the name of a member of a map and steps to its value.
func (d *jsonDecoder) memberName() string {
	name := string(d.text())
	d.colon()
	return name
}

// text takes the string at hand. It aliases the unit unless it has escapes.
func (d *jsonDecoder) text() []byte {
	start := d.pos
	d.pos = stringEnd(d.buf, start) + 1
	s := d.buf[start+1 : d.pos-1]
	if bytes.IndexByte(s, '\\') >= 0 {
		s, _ = jsontext.AppendUnquote([]byte{}, d.buf[start:d.pos]) // valid, so no error
	}
	return s
}

// skip steps over the value at hand.
func (d *jsonDecoder) skip() {
	depth := 0
	for {
		switch d.buf[d.pos] {
		case '"':
			d.pos = stringEnd(d.buf, d.pos) + 1
		case '{', '[':
			depth++
			d.pos++
		case '}', ']':
			depth--
			d.pos++
		default: // of a literal or number, or between values
			d.pos++
			if depth == 0 {
				d.literal()
			}
		}
		if depth == 0 {
			return
		}
	}
}

// literal takes the rest of a number, true, false or null.
func (d *jsonDecoder) literal() []byte {
	start := d.pos
	for d.pos < len(d.buf) {
		switch d.buf[d.pos] {
		case ',', '}', ']', ' ', '\t', '\r', '\n':
			return d.buf[start:d.pos]
		}
		d.pos++
	}
	return d.buf[start:d.pos]
}

// null steps over a null, if there is one.
func (d *jsonDecoder) null() bool {
	if d.buf[d.pos] != 'n' {
		return false
	}
	d.pos += len("null")
	return true
}

// match tells whether the field is the member at hand and has a value.
func (d *jsonDecoder) match(n protowire.Number, name string) bool {
	return string(d.name) == name && d.first(n, name) && !d.null()
}

// first claims the member at hand for a field, which may occur once only.
func (d *jsonDecoder) first(n protowire.Number, name string) bool {
	d.name = nil
	if d.seen&(1<<n) != 0 {
		d.fail(name, "its first value")
		return false
	}
	d.seen |= 1 << n
	return true
}

func (d *jsonDecoder) always() visitor { return d }

func (d *jsonDecoder) str(n protowire.Number, name string, p *string) {
	if d.match(n, name) && d.isText(name) {
		*p = string(d.text())
	}
}

func (d *jsonDecoder) isText(name string) bool {
	if d.buf[d.pos] != '"' {
		d.fail(name, "a string")
		return false
	}
	return true
}

func (d *jsonDecoder) raw(n protowire.Number, name string, p *Raw) {
	if string(d.name) == name && d.first(n, name) {
		start := d.pos
		d.skip()
		*p = d.buf[start:d.pos:d.pos]
	}
}

func (d *jsonDecoder) flag(n protowire.Number, name string, p *bool) {
	if !d.match(n, name) {
		return
	}
	switch string(d.literal()) {
	case "true":
		*p = true
	case "false":
	default:
		d.fail(name, "a boolean")
	}
}

func (d *jsonDecoder) u32(n protowire.Number, name string, p *uint32) {
	if d.match(n, name) {
		*p = uint32(d.unsigned(name, 32))
	}
}

func (d *jsonDecoder) u64(n protowire.Number, name string, p *uint64) {
	if d.match(n, name) {
		*p = d.unsigned(name, 64)
	}
}

func (d *jsonDecoder) i32(n protowire.Number, name string, p *int32) {
	if d.match(n, name) {
		*p = int32(d.signed(name, 32))
	}
}

func (d *jsonDecoder) i64(n protowire.Number, name string, p *int64) {
	if d.match(n, name) {
		*p = d.signed(name, 64)
	}
}

func (d *jsonDecoder) s64(n protowire.Number, name string, p *int64) { d.i64(n, name, p) }

func (d *jsonDecoder) unsigned(name string, bits int) uint64 {
	i, err := strconv.ParseUint(string(d.literal()), 10, bits)
	if err != nil {
		d.fail(name, "an unsigned integer of "+strconv.Itoa(bits)+" bits")
	}
	return i
}

func (d *jsonDecoder) signed(name string, bits int) int64 {
	i, err := strconv.ParseInt(string(d.literal()), 10, bits)
	if err != nil {
		d.fail(name, "an integer of "+strconv.Itoa(bits)+" bits")
	}
	return i
}

func (d *jsonDecoder) strs(n protowire.Number, name string, p *[]string) {
	if d.match(n, name) && d.enter('[', name) {
		for d.more(']') {
			if !d.null() && d.isText(name) {
				*p = append(*p, string(d.text()))
			}
		}
	}
}

func (d *jsonDecoder) pairs(n protowire.Number, name string, p *map[string]string) {
	if d.match(n, name) && d.enter('{', name) {
		for d.more('}') {
			if k := d.memberName(); !d.null() && d.isText(name) {
				putOnce(d, name, p, k, string(d.text()))
			}
		}
	}
}

// putOnce adds a member to a map, in which it must be new.
func putOnce[V any](d *jsonDecoder, name string, m *map[string]V, k string, v V) {
	if _, ok := (*m)[k]; ok {
		d.fail(name, "without repeated names")
		return
	}
	put(m, k, v)
}
