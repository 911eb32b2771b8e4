package protocol

import (
	"fmt"
	"strconv"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/encoding/protowire"
)

// jsonDecoder takes messages out of one unit. null stands for a missing value except
// in payloads.
type jsonDecoder struct {
	scanner
	name     []byte // of the member at hand, nil once a field has taken its value
	seen     uint32 // numbers of the fields met in the current object
	elements int    // of lists and maps that may still come
}

var jsonDecoders = sync.Pool{New: func() any { return new(jsonDecoder) }}

func decodeJSON(unit []byte, m message, lim limits) error {
	d := jsonDecoders.Get().(*jsonDecoder)
	*d = jsonDecoder{scanner: scanner{buf: unit, levels: lim.depth}, elements: lim.elements}
	d.space()
	d.object("unit", m)
	d.end()
	fault, at := d.fault, d.at
	*d = jsonDecoder{}
	jsonDecoders.Put(d)
	if fault != "" {
		return fmt.Errorf("%w: %s at byte %d", ErrMalformed, fault, at)
	}
	return nil
}

// object takes the object at hand into m; name is for errors.
func (d *jsonDecoder) object(name string, m message) {
	if !d.into('{', name) {
		return
	}
	outer := d.seen
	d.seen = 0
	for d.more('}') {
		d.name = d.text()
		d.colon()
		m.fields(d)
		if d.name != nil {
			d.value()
			d.name = nil
		}
	}
	d.seen = outer
}

// into steps into the array or object that name must be.
func (d *jsonDecoder) into(open byte, name string) bool {
	if d.enter(open) {
		return true
	}
	if open == '{' {
		d.fail(name + " is not an object")
	} else {
		d.fail(name + " is not an array")
	}
	return false
}

// memberName takes the name of a member of a map and steps to its value.
func (d *jsonDecoder) memberName() string {
	name := string(d.text())
	d.colon()
	return name
}

// text takes the string at hand, nil if there is none. It aliases the unit unless it
// has escapes.
func (d *jsonDecoder) text() []byte {
	s, escapes := d.quoted()
	if escapes {
		s, _ = jsontext.AppendUnquote([]byte{}, s) // no error: the string is valid
		return s
	}
	if s == nil {
		return nil
	}
	return s[1 : len(s)-1]
}

// element counts an element of a list or map.
func (d *jsonDecoder) element(name string) bool {
	if d.elements--; d.elements < 0 {
		d.fail(name + " has too many elements")
		return false
	}
	return true
}

// null steps over a null, if there is one.
func (d *jsonDecoder) null() bool { return d.peek() == 'n' && d.literal() != nil }

// match tells whether the field is the member at hand and has a value. Most fields are
// not, so this much is inlined.
func (d *jsonDecoder) match(n protowire.Number, name string) bool {
	return string(d.name) == name && d.claim(n, name)
}

func (d *jsonDecoder) claim(n protowire.Number, name string) bool {
	return d.once(n, name) && !d.null()
}

// once takes the member at hand for a field, which may occur once only.
func (d *jsonDecoder) once(n protowire.Number, name string) bool {
	d.name = nil
	if d.seen&(1<<n) != 0 {
		d.fail(name + " is given twice")
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
	if d.peek() != '"' {
		d.fail(name + " is not a string")
		return false
	}
	return true
}

func (d *jsonDecoder) raw(n protowire.Number, name string, p *Raw) {
	if string(d.name) == name && d.once(n, name) {
		start := d.pos
		d.value()
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
		d.fail(name + " is not a boolean")
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
	start := d.pos
	i, err := strconv.ParseUint(string(d.literal()), 10, bits)
	if err != nil {
		d.pos = start
		d.fail(name + " is not an unsigned integer of " + strconv.Itoa(bits) + " bits")
	}
	return i
}

func (d *jsonDecoder) signed(name string, bits int) int64 {
	start := d.pos
	i, err := strconv.ParseInt(string(d.literal()), 10, bits)
	if err != nil {
		d.pos = start
		d.fail(name + " is not an integer of " + strconv.Itoa(bits) + " bits")
	}
	return i
}

func (d *jsonDecoder) strs(n protowire.Number, name string, p *[]string) {
	if d.match(n, name) && d.into('[', name) {
		for d.more(']') && d.element(name) {
			if !d.null() && d.isText(name) {
				*p = append(*p, string(d.text()))
			}
		}
	}
}

func (d *jsonDecoder) pairs(n protowire.Number, name string, p *map[string]string) {
	if d.match(n, name) && d.into('{', name) {
		for d.more('}') && d.element(name) {
			if k := d.memberName(); !d.null() && d.isText(name) {
				putOnce(d, name, p, k, string(d.text()))
			}
		}
	}
}

// putOnce adds a member to a map, in which it must be new.
func putOnce[V any](d *jsonDecoder, name string, m *map[string]V, k string, v V) {
	if _, ok := (*m)[k]; ok {
		d.fail(name + " repeats a name")
		return
	}
	put(m, k, v)
}
