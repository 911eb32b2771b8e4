package protocol

import (
	"fmt"
	"sync"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// protoDecoder takes messages out of one Protobuf unit. Scalars given twice keep the
// last value, messages given twice are merged, unknown fields are skipped; a known
// field of another wire type is an error.
type protoDecoder struct {
	buf      []byte           // the rest of the message at hand
	num      protowire.Number // of the field at hand, 0 once it has been taken
	typ      protowire.Type
	depth    int   // messages that may still be nested
	elements int   // of lists and maps that may still come
	err      error // ends everything
}

var protoDecoders = sync.Pool{New: func() any { return new(protoDecoder) }}

func decodeProto(unit []byte, m message, lim limits) error {
	d := protoDecoders.Get().(*protoDecoder)
	*d = protoDecoder{buf: unit, depth: lim.depth, elements: lim.elements}
	d.message(m)
	err := d.err
	*d = protoDecoder{}
	protoDecoders.Put(d)
	return err
}

// message takes all of d.buf into m.
func (d *protoDecoder) message(m message) {
	if d.depth--; d.depth < 0 {
		d.err = fmt.Errorf("%w: nested too deeply", ErrMalformed)
	}
	for d.err == nil && len(d.buf) > 0 {
		num, typ, n := protowire.ConsumeTag(d.buf)
		if !d.step(n) {
			break
		}
		d.num, d.typ = num, typ
		m.fields(d)
		if d.num != 0 {
			d.step(protowire.ConsumeFieldValue(num, typ, d.buf))
			d.num = 0
		}
	}
	d.depth++
}

// step goes on by n bytes, or records the error n stands for.
func (d *protoDecoder) step(n int) bool {
	if n < 0 {
		d.err = fmt.Errorf("%w: %v", ErrMalformed, protowire.ParseError(n))
		return false
	}
	d.buf = d.buf[n:]
	return true
}

// match tells whether field n is the one at hand. Most are not, so this much is inlined.
func (d *protoDecoder) match(n protowire.Number, t protowire.Type) bool {
	return d.num == n && d.claim(n, t)
}

// claim takes the field at hand, which must have wire type t.
func (d *protoDecoder) claim(n protowire.Number, t protowire.Type) bool {
	d.num = 0
	if d.typ != t {
		d.err = fmt.Errorf("%w: field %d has wire type %d, not %d", ErrMalformed, n, d.typ, t)
		return false
	}
	return true
}

// element is match for a list or map.
func (d *protoDecoder) element(n protowire.Number) bool {
	if !d.match(n, protowire.BytesType) {
		return false
	}
	if d.elements--; d.elements < 0 {
		d.err = fmt.Errorf("%w: field %d has too many elements", ErrMalformed, n)
	}
	return d.err == nil
}

func (d *protoDecoder) bytes() []byte {
	b, n := protowire.ConsumeBytes(d.buf)
	d.step(n)
	return b
}

func (d *protoDecoder) varint() uint64 {
	i, n := protowire.ConsumeVarint(d.buf)
	d.step(n)
	return i
}

func (d *protoDecoder) text(n protowire.Number) string {
	b := d.bytes()
	if !utf8.Valid(b) && d.err == nil {
		d.err = fmt.Errorf("%w: field %d is not UTF-8", ErrMalformed, n)
	}
	return string(b)
}

// sized takes the message at hand into m.
func (d *protoDecoder) sized(m message) {
	inner := d.bytes()
	rest := d.buf
	d.buf = inner
	d.message(m)
	d.buf = rest
}

func (d *protoDecoder) always() visitor { return d }

func (d *protoDecoder) str(n protowire.Number, _ string, p *string) {
	if d.match(n, protowire.BytesType) {
		*p = d.text(n)
	}
}

func (d *protoDecoder) raw(n protowire.Number, _ string, p *Raw) {
	if d.match(n, protowire.BytesType) {
		*p = nil
		if b := d.bytes(); len(b) > 0 {
			*p = b[:len(b):len(b)]
		}
	}
}

func (d *protoDecoder) flag(n protowire.Number, _ string, p *bool) {
	if d.match(n, protowire.VarintType) {
		*p = d.varint() != 0
	}
}

func (d *protoDecoder) u32(n protowire.Number, _ string, p *uint32) {
	if d.match(n, protowire.VarintType) {
		*p = uint32(d.varint())
	}
}

func (d *protoDecoder) u64(n protowire.Number, _ string, p *uint64) {
	if d.match(n, protowire.VarintType) {
		*p = d.varint()
	}
}

func (d *protoDecoder) i32(n protowire.Number, _ string, p *int32) {
	if d.match(n, protowire.VarintType) {
		*p = int32(d.varint())
	}
}

func (d *protoDecoder) i64(n protowire.Number, _ string, p *int64) {
	if d.match(n, protowire.VarintType) {
		*p = int64(d.varint())
	}
}

func (d *protoDecoder) s64(n protowire.Number, _ string, p *int64) {
	if d.match(n, protowire.VarintType) {
		*p = protowire.DecodeZigZag(d.varint())
	}
}

func (d *protoDecoder) strs(n protowire.Number, _ string, p *[]string) {
	if d.element(n) {
		*p = append(*p, d.text(n))
	}
}

func (d *protoDecoder) pairs(n protowire.Number, _ string, p *map[string]string) {
	if d.element(n) {
		var e pair
		d.sized(&e)
		put(p, e.key, e.value)
	}
}
