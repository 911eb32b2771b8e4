package protocol

import (
	"sync"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// protoEncoder appends messages as Protobuf, leaving out fields that are zero.
type protoEncoder struct {
	buf  []byte
	keys []string // of the maps being written, a stack
}

var protoEncoders = sync.Pool{New: func() any { return new(protoEncoder) }}

// newProtoEncoder returns an encoder that appends to dst; done ends it.
func newProtoEncoder(dst []byte) *protoEncoder {
	e := protoEncoders.Get().(*protoEncoder)
	e.buf = dst
	return e
}

func (e *protoEncoder) done() []byte {
	dst := e.buf
	e.buf = nil
	protoEncoders.Put(e)
	return dst
}

// sized appends m after its length.
func (e *protoEncoder) sized(m message) {
	start := e.open()
	m.fields(e)
	e.close(start)
}

// open leaves room for the length of what follows, one byte, as most lengths need.
func (e *protoEncoder) open() (start int) {
	e.buf = append(e.buf, 0)
	return len(e.buf)
}

// close fills in the length of what was appended since start.
func (e *protoEncoder) close(start int) {
	size := len(e.buf) - start
	if size < 0x80 {
		e.buf[start-1] = byte(size)
		return
	}
	wide := protowire.SizeVarint(uint64(size)) - 1
	e.buf = append(e.buf, zeros[:wide]...)
	copy(e.buf[start+wide:], e.buf[start:start+size])
	protowire.AppendVarint(e.buf[:start-1], uint64(size))
}

var zeros [10]byte

func (e *protoEncoder) tag(n protowire.Number, t protowire.Type) {
	e.buf = protowire.AppendTag(e.buf, n, t)
}

func (e *protoEncoder) always() visitor { return e }

func (e *protoEncoder) str(n protowire.Number, _ string, p *string) {
	if *p != "" {
		e.text(n, *p)
	}
}

func (e *protoEncoder) text(n protowire.Number, s string) {
	if !utf8.ValidString(s) {
		s = string([]rune(s)) // U+FFFD for each bad byte
	}
	e.tag(n, protowire.BytesType)
	e.buf = protowire.AppendString(e.buf, s)
}

func (e *protoEncoder) raw(n protowire.Number, _ string, p *Raw) {
	if len(*p) > 0 {
		e.tag(n, protowire.BytesType)
		e.buf = protowire.AppendBytes(e.buf, *p)
	}
}

func (e *protoEncoder) flag(n protowire.Number, _ string, p *bool) {
	if *p {
		e.varint(n, 1)
	}
}

func (e *protoEncoder) u32(n protowire.Number, _ string, p *uint32) { e.varint(n, uint64(*p)) }
func (e *protoEncoder) u64(n protowire.Number, _ string, p *uint64) { e.varint(n, *p) }
func (e *protoEncoder) i32(n protowire.Number, _ string, p *int32)  { e.varint(n, uint64(int64(*p))) }
func (e *protoEncoder) i64(n protowire.Number, _ string, p *int64)  { e.varint(n, uint64(*p)) }

func (e *protoEncoder) s64(n protowire.Number, _ string, p *int64) {
	e.varint(n, protowire.EncodeZigZag(*p))
}

func (e *protoEncoder) varint(n protowire.Number, i uint64) {
	if i != 0 {
		e.tag(n, protowire.VarintType)
		e.buf = protowire.AppendVarint(e.buf, i)
	}
}

func (e *protoEncoder) strs(n protowire.Number, _ string, p *[]string) {
	for _, s := range *p {
		e.text(n, s)
	}
}

func (e *protoEncoder) pairs(n protowire.Number, _ string, p *map[string]string) {
	keys := pushKeys(&e.keys, *p)
	for _, k := range keys {
		e.tag(n, protowire.BytesType)
		entry := e.open()
		e.text(1, k)
		e.text(2, (*p)[k])
		e.close(entry)
	}
	popKeys(&e.keys, keys)
}
