package protocol

import "google.golang.org/protobuf/encoding/protowire"

// message is a struct that shows its fields, in the order of their numbers, to a
// visitor. This one statement of each message serves all four codecs.
type message interface{ fields(v visitor) }

// messagePtr is the pointer type of a message struct T.
type messagePtr[T any] interface {
	*T
	message
}

// A visitor is one of the four codecs. An encoder writes each field it is shown. A
// decoder shows itself to a message once per field it has read, and the one method
// called with that field's number or name takes the value.
//
// Encoders must only read through the pointers: messages are encoded concurrently.
type visitor interface {
	str(n protowire.Number, name string, p *string)
	raw(n protowire.Number, name string, p *Raw)
	flag(n protowire.Number, name string, p *bool)
	u32(n protowire.Number, name string, p *uint32)
	u64(n protowire.Number, name string, p *uint64)
	i32(n protowire.Number, name string, p *int32)
	i64(n protowire.Number, name string, p *int64)
	s64(n protowire.Number, name string, p *int64) // sint64: zigzag in Protobuf
	strs(n protowire.Number, name string, p *[]string)
	pairs(n protowire.Number, name string, p *map[string]string)

	// always makes the next field appear in JSON even when it is zero
	// (client-protocol.md §2).
	always() visitor
}

// one shows a field that is a message.
func one[T any, M messagePtr[T]](v visitor, n protowire.Number, name string, p **T) {
	switch v := v.(type) {
	case *jsonEncoder:
		if *p != nil {
			v.key(name)
			v.object(M(*p))
		}
	case *protoEncoder:
		if *p != nil {
			v.tag(n, protowire.BytesType)
			v.sized(M(*p))
		}
	case *jsonDecoder:
		if v.match(n, name) {
			*p = new(T)
			v.object(name, M(*p))
		}
	case *protoDecoder:
		if v.match(n, protowire.BytesType) {
			if *p == nil {
				*p = new(T)
			}
			v.sized(M(*p))
		}
	}
}

// list shows a field that is a list of messages, none of them nil.
func list[T any, M messagePtr[T]](v visitor, n protowire.Number, name string, p *[]*T) {
	switch v := v.(type) {
	case *jsonEncoder:
		if v.keeps(len(*p) > 0) {
			v.key(name)
			v.buf = append(v.buf, '[')
			for i, e := range *p {
				if i > 0 {
					v.buf = append(v.buf, ',')
				}
				v.object(M(e))
			}
			v.buf = append(v.buf, ']')
		}
	case *protoEncoder:
		for _, e := range *p {
			v.tag(n, protowire.BytesType)
			v.sized(M(e))
		}
	case *jsonDecoder:
		if v.match(n, name) && v.into('[', name) {
			for v.more(']') && v.element(name) {
				if !v.null() {
					e := new(T)
					v.object(name, M(e))
					*p = append(*p, e)
				}
			}
		}
	case *protoDecoder:
		if v.element(n) {
			e := new(T)
			v.sized(M(e))
			*p = append(*p, e)
		}
	}
}

// dict shows a field that maps strings to messages, none of them nil.
func dict[T any, M messagePtr[T]](v visitor, n protowire.Number, name string, p *map[string]*T) {
	switch v := v.(type) {
	case *jsonEncoder:
		if v.keeps(len(*p) > 0) {
			v.key(name)
			v.buf = append(v.buf, '{')
			keys := pushKeys(&v.keys, *p)
			for _, k := range keys {
				v.member(k)
				v.object(M((*p)[k]))
			}
			popKeys(&v.keys, keys)
			v.buf = append(v.buf, '}')
		}
	case *protoEncoder:
		keys := pushKeys(&v.keys, *p)
		for _, k := range keys {
			v.tag(n, protowire.BytesType)
			entry := v.open()
			v.str(1, "", &k)
			v.tag(2, protowire.BytesType)
			v.sized(M((*p)[k]))
			v.close(entry)
		}
		popKeys(&v.keys, keys)
	case *jsonDecoder:
		if v.match(n, name) && v.into('{', name) {
			for v.more('}') && v.element(name) {
				if k := v.memberName(); !v.null() {
					e := new(T)
					v.object(name, M(e))
					putOnce(v, name, p, k, e)
				}
			}
		}
	case *protoDecoder:
		if v.element(n) {
			e := entry[T, M]{value: new(T)}
			v.sized(&e)
			put(p, e.key, e.value)
		}
	}
}

// entry is what Protobuf makes of one member of a map.
type entry[T any, M messagePtr[T]] struct {
	key   string
	value *T
}

func (e *entry[T, M]) fields(v visitor) {
	v.str(1, "", &e.key)
	one[T, M](v, 2, "", &e.value)
}

// pair is the entry of a map of strings.
type pair struct{ key, value string }

func (e *pair) fields(v visitor) {
	v.str(1, "", &e.key)
	v.str(2, "", &e.value)
}

func put[V any](m *map[string]V, k string, v V) {
	if *m == nil {
		*m = make(map[string]V)
	}
	(*m)[k] = v
}
