package serverapi

import (
	"bytes"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/kuranty/kuranty/protocol"
)

// depth is how deep a body may be nested, what is published apart (guarantees.md S23).
const depth = 32

// decoder takes parameters out of a body. It does not stop at the first mistake but
// remembers it; nothing is taken afterwards. Null stands for an absent value.
type decoder struct {
	json protocol.Scanner
	// publishes are parameters of publish, empty still.
	publishes []publishRequest
}

// request returns the empty parameters of m. Batches have many publishes; several of
// them share an allocation.
func (d *decoder) request(m *method) request {
	if m.index > 0 {
		return m.request()
	}
	if len(d.publishes) == 0 {
		d.publishes = make([]publishRequest, 16)
	}
	r := &d.publishes[0]
	d.publishes = d.publishes[1:]
	return r
}

// object is something whose members a decoder can take.
type object interface {
	// member takes the value of the member name, by exactly one call of d; [decoder.skip]
	// if there is no such member.
	member(d *decoder, name []byte)
}

// reset starts a body, which must stay as it is while values of it are used.
func (d *decoder) reset(body []byte) { d.json = protocol.NewScanner(body, depth) }

// ended tells whether everything was well formed and nothing is left.
func (d *decoder) ended() bool { return d.json.Done() }

func (d *decoder) failed() bool { return d.json.Failed() }

func (d *decoder) fail() { d.json.Fail() }

// value takes any value; it is nil after a mistake.
func (d *decoder) value() []byte { return d.json.Value() }

func (d *decoder) skip() { d.value() }

// null takes a null, if there is one.
func (d *decoder) null() bool {
	if d.json.Kind() != 'n' {
		return false
	}
	d.skip()
	return true
}

// object takes an object. A name that occurs again overwrites.
func (d *decoder) object(o object) {
	if d.null() || !d.json.Enter('{') {
		return
	}
	for d.json.More('}') {
		if name := d.json.Name(); !d.failed() {
			o.member(d, unquote(name))
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
	case v == nil || v[0] == 'n':
	case v[0] == '"':
		*p = string(unquote(v))
	default:
		d.fail()
	}
}

func (d *decoder) flag(p *bool) {
	switch v := d.value(); {
	case v == nil || v[0] == 'n':
	case v[0] == 't' || v[0] == 'f':
		*p = v[0] == 't'
	default:
		d.fail()
	}
}

func (d *decoder) unsigned(p *uint64, bits int) {
	if v := d.value(); v != nil && v[0] != 'n' {
		i, err := strconv.ParseUint(string(v), 10, bits)
		if err != nil {
			d.fail()
			return
		}
		*p = i
	}
}

func (d *decoder) signed(p *int64, bits int) {
	if v := d.value(); v != nil && v[0] != 'n' {
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

// payload is raw for what clients get, within the bounds of [protocol.ValidJSON]
// (guarantees.md S23).
func (d *decoder) payload(p *[]byte) { *p = bytes.Clone(d.json.Payload()) }

// strs takes an array of strings.
func (d *decoder) strs(p *[]string) {
	if d.null() || !d.json.Enter('[') {
		return
	}
	*p = nil
	for d.json.More(']') {
		var s string
		d.str(&s)
		*p = append(*p, s)
	}
}

// pairs takes an object of strings.
func (d *decoder) pairs(p *map[string]string) {
	if d.null() || !d.json.Enter('{') {
		return
	}
	*p = make(map[string]string)
	for d.json.More('}') {
		name, s := string(unquote(d.json.Name())), ""
		d.str(&s)
		(*p)[name] = s
	}
}
