package serverapi

import (
	"bytes"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/kuranty/kuranty/protocol"
)

// decoder takes parameters out of a body. It does not stop at the first mistake but
// remembers it; nothing is taken afterwards. Null stands for an absent value.
type decoder struct {
	json jsontext.Decoder
	buf  bytes.Buffer
	bad  bool
}

// object is something whose members a decoder can take.
type object interface {
	// member takes the value of the member name, by exactly one call of d; [decoder.skip]
	// if there is no such member.
	member(d *decoder, name []byte)
}

// reset starts a body, which must stay as it is until the decoder is released.
func (d *decoder) reset(body []byte) {
	d.buf = *bytes.NewBuffer(body)
	d.json.Reset(&d.buf, jsontext.AllowDuplicateNames(true))
	d.bad = false
}

func (d *decoder) release() { d.buf = bytes.Buffer{} }

// ended tells whether everything was well formed and nothing is left.
func (d *decoder) ended() bool { return !d.bad && d.rest() == 0 }

// rest returns how many bytes are left, white space apart.
func (d *decoder) rest() int { return len(bytes.TrimLeft(d.json.UnreadBuffer(), " \t\r\n")) }

func (d *decoder) fail() { d.bad = true }

// value takes any value; it is valid until the next is taken.
func (d *decoder) value() []byte {
	if d.bad {
		return nil
	}
	v, err := d.json.ReadValue()
	if err != nil {
		d.fail()
		return nil
	}
	return v
}

func (d *decoder) skip() { d.value() }

// null takes a null, if there is one.
func (d *decoder) null() bool {
	if d.bad || d.json.PeekKind() != 'n' {
		return d.bad
	}
	d.skip()
	return true
}

// enter steps into an object or array.
func (d *decoder) enter(open jsontext.Kind) bool {
	if d.json.PeekKind() != open {
		d.fail()
	}
	d.token()
	return !d.bad
}

func (d *decoder) token() {
	if d.bad {
		return
	}
	if _, err := d.json.ReadToken(); err != nil {
		d.fail()
	}
}

// more tells whether an object or array has another element, and steps out of it if
// not.
func (d *decoder) more() bool {
	if d.bad {
		return false
	}
	switch d.json.PeekKind() {
	case '}', ']':
		d.token()
		return false
	}
	return true
}

// object takes an object. A name that occurs again overwrites.
func (d *decoder) object(o object) {
	if d.null() || !d.enter('{') {
		return
	}
	for d.more() {
		if name := unquote(d.value()); !d.bad {
			o.member(d, name)
		}
	}
}

// unquote returns the text of a JSON string, which may alias it.
func unquote(s []byte) []byte {
	if bytes.IndexByte(s, '\\') >= 0 {
		s, _ = jsontext.AppendUnquote([]byte(nil), s) // no error: it has been read
		return s
	}
	if len(s) < 2 {
		return nil
	}
	return s[1 : len(s)-1]
}

// str takes a string.
func (d *decoder) str(p *string) {
	switch v := d.value(); {
	case d.bad || v[0] == 'n':
	case v[0] == '"':
		*p = string(unquote(v))
	default:
		d.fail()
	}
}

func (d *decoder) flag(p *bool) {
	switch v := d.value(); {
	case d.bad || v[0] == 'n':
	case v[0] == 't' || v[0] == 'f':
		*p = v[0] == 't'
	default:
		d.fail()
	}
}

func (d *decoder) unsigned(p *uint64, bits int) {
	if v := d.value(); !d.bad && v[0] != 'n' {
		i, err := strconv.ParseUint(string(v), 10, bits)
		if err != nil {
			d.fail()
			return
		}
		*p = i
	}
}

func (d *decoder) signed(p *int64, bits int) {
	if v := d.value(); !d.bad && v[0] != 'n' {
		i, err := strconv.ParseInt(string(v), 10, bits)
		if err != nil {
			d.fail()
			return
		}
		*p = i
	}
}

// raw takes an embedded value, null included, as it is written.
func (d *decoder) raw(p *[]byte) { *p = bytes.Clone(d.value()) }

// payload is raw for what clients get, which must not be nested deeper than
// [protocol.ValidJSON] allows (guarantees.md S23).
func (d *decoder) payload(p *[]byte) {
	d.raw(p)
	const surelyFlat = 32 // brackets in all
	if bytes.Count(*p, []byte{'['})+bytes.Count(*p, []byte{'{'}) > surelyFlat && !protocol.ValidJSON(*p) {
		d.fail()
	}
}

// strs takes an array of strings.
func (d *decoder) strs(p *[]string) {
	if d.null() || !d.enter('[') {
		return
	}
	*p = nil
	for d.more() {
		var s string
		d.str(&s)
		*p = append(*p, s)
	}
}

// pairs takes an object of strings.
func (d *decoder) pairs(p *map[string]string) {
	if d.null() || !d.enter('{') {
		return
	}
	*p = make(map[string]string)
	for d.more() {
		name, s := string(unquote(d.value())), ""
		d.str(&s)
		(*p)[name] = s
	}
}
