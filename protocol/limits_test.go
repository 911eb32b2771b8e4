package protocol_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/kuranty/kuranty/protocol"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// TestS23_DepthIsBoundedExactly: 32 levels of JSON are read, 33 are not.
func TestS23_DepthIsBoundedExactly(t *testing.T) {
	arrays := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	objects := func(n int) string { return strings.Repeat(`{"":`, n) + "0" + strings.Repeat("}", n) }
	flat := "[" + strings.Repeat(`{},[],"[[{{\"[",`, 100) + "0]"
	for _, nest := range []func(int) string{arrays, objects} {
		if !protocol.ValidJSON([]byte(nest(32))) || protocol.ValidJSON([]byte(nest(33))) || protocol.ValidJSON([]byte(nest(50_000))) {
			t.Errorf("ValidJSON does not end at 32 levels: %.20s", nest(32))
		}
		for frame, levels := range map[string]int{ // with as many levels around the payload
			`{"id":1,"publish":{"channel":"c","data":%s}}`: 2, `{"later":%s}`: 1, `{"connect":{"subs":{"c":{"data":%s}}}}`: 4,
		} {
			for _, n := range []int{32, 33} {
				d := protocol.NewCommandDecoder(protocol.JSON, fmt.Appendf(nil, frame, nest(n-levels)))
				if err := d.Next(new(protocol.Command)); (err == nil) != (n == 32) {
					t.Errorf("%d levels of "+frame+": %v", n, "", err)
				}
			}
		}
		// Whatever a server may embed, a client can read.
		pub := []*protocol.Publication{{Info: &protocol.ClientInfo{ConnInfo: protocol.Raw(nest(32))}}}
		deep := &protocol.Reply{Connect: &protocol.ConnectResult{Subs: map[string]*protocol.SubscribeResult{"c": {Publications: pub}}}}
		if got := replies(t, protocol.JSON, protocol.AppendReply(nil, protocol.JSON, deep)); !cmp.Equal(got[0], deep) {
			t.Error(cmp.Diff(deep, got[0]))
		}
	}
	if !protocol.ValidJSON([]byte(flat)) {
		t.Error("what stands side by side or in strings is no depth")
	}
	wide := &protocol.Reply{History: &protocol.HistoryResult{Publications: slices.Repeat([]*protocol.Publication{{Data: protocol.Raw("[{}]")}}, 100)}}
	for _, f := range formats {
		if got := replies(t, f, protocol.AppendReply(nil, f, wide)); !cmp.Equal(got[0], wide) {
			t.Errorf("%v: messages side by side are no depth either", f)
		}
	}
	for n, want := range map[int]bool{29: true, 30: false} { // below command, subscribe and tf
		tf := &protocol.FilterNode{}
		for range n {
			tf = &protocol.FilterNode{Nodes: []*protocol.FilterNode{tf}}
		}
		frame := protocol.AppendCommand(nil, protocol.Protobuf, &protocol.Command{Subscribe: &protocol.SubscribeRequest{TF: tf}})
		d := protocol.NewCommandDecoder(protocol.Protobuf, frame)
		if err := d.Next(new(protocol.Command)); (err == nil) != want {
			t.Errorf("filter of %d levels in Protobuf: %v", n, err)
		}
	}
}

// TestS24_ElementsAreBounded: nobody makes much memory of little input.
func TestS24_ElementsAreBounded(t *testing.T) {
	keys := func(n int) map[string]string {
		m := map[string]string{}
		for i := range n {
			m[fmt.Sprint(i)] = ""
		}
		return m
	}
	for what, c := range map[string]func(n int) *protocol.Command{
		"nodes": func(n int) *protocol.Command {
			return &protocol.Command{Subscribe: &protocol.SubscribeRequest{TF: &protocol.FilterNode{Nodes: slices.Repeat([]*protocol.FilterNode{{}}, n)}}}
		},
		"vals": func(n int) *protocol.Command {
			return &protocol.Command{Subscribe: &protocol.SubscribeRequest{TF: &protocol.FilterNode{Vals: make([]string, n)}}}
		},
		"headers": func(n int) *protocol.Command {
			return &protocol.Command{Connect: &protocol.ConnectRequest{Headers: keys(n)}}
		},
		"subs and headers": func(n int) *protocol.Command {
			return &protocol.Command{Connect: &protocol.ConnectRequest{Headers: keys(n - 1), Subs: map[string]*protocol.SubscribeRequest{"": {}}}}
		},
	} {
		for _, f := range formats {
			for n, want := range map[int]bool{4096: true, 4097: false} {
				_, err := decode(f, wholes["Command"], protocol.AppendCommand(nil, f, c(n)))
				if (err == nil) != want || err != nil && !errors.Is(err, protocol.ErrMalformed) {
					t.Errorf("%v: %d %s: %v", f, n, what, err)
				}
			}
		}
	}
}

// TestS24_NullAndMissingValues takes every value of messages that have all fields set,
// and puts null or a value of each other type in its place, or nothing.
func TestS24_NullAndMissingValues(t *testing.T) {
	for name, typ := range wholes {
		t.Run(name, func(t *testing.T) {
			m := whole(typ)
			text := encode(nil, protocol.JSON, m)
			root := tree(t, text).(map[string]any)
			positions := 0
			walk(root, func(path string, get func() any, set func(any), remove func()) {
				positions++
				raw, was := isPayload(path), get()
				decodeTree := func() (any, error) {
					text, err := json.Marshal(root)
					if err != nil {
						t.Fatal(err)
					}
					return decode(protocol.JSON, typ, text)
				}
				set(nil)
				null, err := decodeTree()
				if err != nil {
					t.Errorf("%s: null: %v", path, err)
				}
				for _, other := range []any{true, 1.5, "x", []any{}, map[string]any{}} {
					set(other)
					if _, err := decodeTree(); !raw && reflect.TypeOf(other) != reflect.TypeOf(was) && !errors.Is(err, protocol.ErrMalformed) {
						t.Errorf("%s: %v: %v, want ErrMalformed", path, other, err)
					}
				}
				remove()
				missing, err := decodeTree()
				if err != nil {
					t.Errorf("%s: missing: %v", path, err)
				}
				if same := cmp.Equal(null, missing); same == raw {
					t.Errorf("%s: null is the same as nothing: %v", path, same)
				}
				set(was)
			})
			if positions < 50 {
				t.Errorf("only %d positions tried", positions)
			}
			if got, err := decode(protocol.JSON, typ, text); err != nil || !cmp.Equal(got, m) {
				t.Errorf("%v\n%s", err, cmp.Diff(m, got))
			}
		})
	}
}

// TestS24_CutAndCorrupted: a message cut anywhere, or with a byte changed, is decoded
// or refused, and what is decoded can be encoded again.
func TestS24_CutAndCorrupted(t *testing.T) {
	for name, typ := range wholes {
		for _, f := range formats {
			frame := encode(nil, f, whole(typ))
			if got, err := decode(f, typ, frame); err != nil || !cmp.Equal(got, whole(typ)) {
				t.Fatalf("%s in %v: %v\n%s", name, f, err, cmp.Diff(whole(typ), got))
			}
			for i := range frame {
				if _, err := decode(f, typ, frame[:i]); !errors.Is(err, protocol.ErrMalformed) {
					t.Errorf("%s in %v cut at %d: %v", name, f, i, err)
				}
				was := frame[i]
				frame[i] = [...]byte{0, 0x7f, 0xff, '"', '{', ' ', was ^ 1, was ^ 0x80}[i%8]
				if m, err := decode(f, typ, frame); err == nil {
					encode(nil, f, m)
				} else if !errors.Is(err, protocol.ErrMalformed) {
					t.Errorf("%s in %v with %x at %d: %v", name, f, frame[i], i, err)
				}
				frame[i] = was
			}
		}
	}
}

// TestS24_WireTypes gives every field of every message in each wire type but its own.
func TestS24_WireTypes(t *testing.T) {
	file := schema(t)
	values := map[protowire.Type]string{protowire.VarintType: "\x01", protowire.Fixed64Type: "12345678", protowire.BytesType: "\x00", protowire.Fixed32Type: "1234"}
	var try func(name string, md protoreflect.MessageDescriptor, wrap func([]byte) []byte, depth int)
	try = func(name string, md protoreflect.MessageDescriptor, wrap func([]byte) []byte, depth int) {
		for i := range md.Fields().Len() {
			fd := md.Fields().Get(i)
			own := protowire.VarintType
			if fd.Kind() == protoreflect.StringKind || fd.Kind() == protoreflect.BytesKind || fd.Kind() == protoreflect.MessageKind {
				own = protowire.BytesType
			}
			for typ, v := range values {
				frame := wrap(append(protowire.AppendTag(nil, fd.Number(), typ), v...))
				if _, err := decode(protocol.Protobuf, wholes[name], protowire.AppendBytes(nil, frame)); (err == nil) != (typ == own) {
					t.Errorf("%s in wire type %d: %v", fd.FullName(), typ, err)
				}
			}
			if fd.Message() != nil && depth > 0 {
				try(name, fd.Message(), func(b []byte) []byte {
					return wrap(protowire.AppendBytes(protowire.AppendTag(nil, fd.Number(), protowire.BytesType), b))
				}, depth-1)
			}
		}
	}
	for name := range wholes {
		try(name, file.Messages().ByName(protoreflect.Name(name)), func(b []byte) []byte { return b }, 5)
	}
}

var wholes = map[string]reflect.Type{"Command": reflect.TypeFor[protocol.Command](), "Reply": reflect.TypeFor[protocol.Reply]()}

// whole makes a message in which everything is set.
func whole(typ reflect.Type) any {
	m := reflect.New(typ)
	set(m.Elem(), 4)
	return m.Interface()
}

func set(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Struct:
		for _, i := range wireFields(v.Type()) {
			set(v.Field(i), depth-1)
		}
	case reflect.Pointer:
		if depth > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			set(v.Elem(), depth)
		}
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[protocol.Raw]() {
			v.SetBytes([]byte("7"))
		} else if depth > 1 {
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
			set(v.Index(0), depth-1)
			set(v.Index(1), depth-1)
		}
	case reflect.Map:
		if depth > 1 {
			v.Set(reflect.MakeMap(v.Type()))
			e := reflect.New(v.Type().Elem()).Elem()
			set(e, depth-1)
			v.SetMapIndex(reflect.ValueOf("key"), e)
		}
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint32, reflect.Uint64:
		v.SetUint(300)
	default:
		v.SetInt(-300)
	}
}

func encode(dst []byte, f protocol.Format, m any) []byte {
	if c, ok := m.(*protocol.Command); ok {
		return protocol.AppendCommand(dst, f, c)
	}
	return protocol.AppendReply(dst, f, m.(*protocol.Reply))
}

// decode decodes the first unit of frame.
func decode(f protocol.Format, typ reflect.Type, frame []byte) (any, error) {
	if typ == wholes["Command"] {
		c, d := new(protocol.Command), protocol.NewCommandDecoder(f, frame)
		return c, d.Next(c)
	}
	r, d := new(protocol.Reply), protocol.NewReplyDecoder(f, frame)
	return r, d.Next(r)
}

// walk visits everything inside of x.
func walk(x any, visit func(path string, get func() any, set func(any), remove func())) {
	var in func(path string, x any, replace func(any))
	in = func(path string, x any, replace func(any)) {
		switch x := x.(type) {
		case map[string]any:
			for _, k := range slices.Sorted(maps.Keys(x)) {
				in(path+"."+k, x[k], func(v any) { x[k] = v })
				visit(path+"."+k, func() any { return x[k] }, func(v any) { x[k] = v }, func() { delete(x, k) })
			}
		case []any:
			for i := range x {
				in(path+"[]", x[i], func(v any) { x[i] = v })
				visit(path+"[]", func() any { return x[i] }, func(v any) { x[i] = v; replace(x) }, func() {
					replace(slices.Delete(slices.Clone(x), i, i+1))
				})
			}
		}
	}
	in("", x, nil)
}

// isPayload tells whether at path the protocol carries any value.
func isPayload(path string) bool {
	switch path[strings.LastIndexByte(path, '.')+1:] {
	case "data", "prev_data", "conn_info", "chan_info":
		return true
	}
	return false
}
