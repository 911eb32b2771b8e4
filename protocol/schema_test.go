package protocol_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/kuranty/kuranty/protocol"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"pgregory.net/rapid"
)

// The schema file is read here and given to the reflection-based Protobuf library,
// which then judges the codecs: it must read what they write and the other way round.

func TestSchemaNamesEveryField(t *testing.T) {
	file := schema(t)
	for name, typ := range map[string]reflect.Type{
		"Command": reflect.TypeFor[protocol.Command](), "Reply": reflect.TypeFor[protocol.Reply](),
	} {
		sameFields(t, file.Messages().ByName(protoreflect.Name(name)), typ, map[reflect.Type]bool{})
	}
}

// sameFields compares the fields of md with those of the struct typ, and so on inwards.
func sameFields(t *testing.T, md protoreflect.MessageDescriptor, typ reflect.Type, seen map[reflect.Type]bool) {
	if seen[typ] {
		return
	}
	seen[typ] = true
	if got, want := len(wireFields(typ)), md.Fields().Len(); got != want {
		t.Errorf("%v has %d fields, %s has %d", typ, got, md.Name(), want)
	}
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		f, ok := typ.FieldByNameFunc(func(s string) bool { return goName(fd, s) })
		if !ok {
			t.Errorf("%v lacks %s", typ, fd.Name())
			continue
		}
		elem := f.Type
		if fd.IsMap() {
			fd, elem = fd.MapValue(), elem.Elem()
		} else if fd.IsList() {
			elem = elem.Elem()
		}
		if fd.Message() != nil {
			sameFields(t, fd.Message(), elem.Elem(), seen)
		}
	}
}

// wireFields returns the indices of the fields that are sent: all but Publication.Binary.
func wireFields(typ reflect.Type) (is []int) {
	for i := range typ.NumField() {
		if typ.Field(i).Name != "Binary" {
			is = append(is, i)
		}
	}
	return is
}

func TestProtobufJudge(t *testing.T) {
	file := schema(t)
	judge := func(name protoreflect.Name) func(*rapid.T, any, []byte) (*dynamicpb.Message, []byte) {
		md := file.Messages().ByName(name)
		return func(rt *rapid.T, m any, unit []byte) (*dynamicpb.Message, []byte) {
			want := toDynamic(reflect.ValueOf(m).Elem(), md)
			body, n := protowire.ConsumeBytes(unit)
			if n != len(unit) {
				rt.Fatalf("unit %x: length %d of %d", unit, n, len(unit))
			}
			got := dynamicpb.NewMessage(md)
			if err := proto.Unmarshal(body, got); err != nil {
				rt.Fatalf("the library cannot read %x: %v", body, err)
			}
			if !proto.Equal(got, want) {
				rt.Fatalf("the library reads %v, not %v", got, want)
			}
			theirs, err := proto.Marshal(want)
			if err != nil {
				rt.Fatal(err)
			}
			return want, protowire.AppendBytes(nil, theirs)
		}
	}
	command, reply := judge("Command"), judge("Reply")
	rapid.Check(t, func(rt *rapid.T) {
		c := draw[protocol.Command](rt, anyBytes)
		_, theirs := command(rt, c, protocol.AppendCommand(nil, protocol.Protobuf, c))
		var got protocol.Command
		d := protocol.NewCommandDecoder(protocol.Protobuf, theirs)
		if err := d.Next(&got); err != nil || !cmp.Equal(&got, c, cmpopts.EquateEmpty()) {
			rt.Fatalf("%v\n%s", err, cmp.Diff(c, &got, cmpopts.EquateEmpty()))
		}
	})
	rapid.Check(t, func(rt *rapid.T) {
		r := draw[protocol.Reply](rt, anyBytes)
		_, theirs := reply(rt, r, protocol.AppendReply(nil, protocol.Protobuf, r))
		var got protocol.Reply
		d := protocol.NewReplyDecoder(protocol.Protobuf, theirs)
		if err := d.Next(&got); err != nil || !cmp.Equal(&got, r, cmpopts.EquateEmpty()) {
			rt.Fatalf("%v\n%s", err, cmp.Diff(r, &got, cmpopts.EquateEmpty()))
		}
	})
}

// TestJSONJudge compares the JSON of any reply with what the schema and the omission
// rules make of it, and reads it back.
func TestJSONJudge(t *testing.T) {
	file := schema(t)
	check := func(rt *rapid.T, name protoreflect.Name, m any, unit []byte) {
		if bytes.ContainsAny(unit, "\n\r") {
			rt.Fatalf("line break in %s", unit)
		}
		want, err := json.Marshal(toTree(reflect.ValueOf(m).Elem(), file.Messages().ByName(name)))
		if err != nil {
			rt.Fatal(err)
		}
		if got, want := tree(rt, unit), tree(rt, want); !cmp.Equal(got, want) {
			rt.Fatalf("got %s\n%s", unit, cmp.Diff(want, got))
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		c := draw[protocol.Command](rt, anyJSON)
		unit := protocol.AppendCommand(nil, protocol.JSON, c)
		check(rt, "Command", c, unit)
		var got protocol.Command
		d := protocol.NewCommandDecoder(protocol.JSON, unit)
		if err := d.Next(&got); err != nil || !cmp.Equal(&got, c, cmpopts.EquateEmpty()) {
			rt.Fatalf("%v\n%s", err, cmp.Diff(c, &got, cmpopts.EquateEmpty()))
		}
	})
	rapid.Check(t, func(rt *rapid.T) {
		r := draw[protocol.Reply](rt, anyJSON)
		unit := protocol.AppendReply(nil, protocol.JSON, r)
		check(rt, "Reply", r, unit)
		var got protocol.Reply
		d := protocol.NewReplyDecoder(protocol.JSON, unit)
		if err := d.Next(&got); err != nil || !cmp.Equal(&got, r, cmpopts.EquateEmpty()) {
			rt.Fatalf("%v\n%s", err, cmp.Diff(r, &got, cmpopts.EquateEmpty()))
		}
	})
}

// TestPublicationIsAReply: the short way of a publication leads where the long one does.
func TestPublicationIsAReply(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		for _, f := range formats {
			payloads := anyJSON
			if f == protocol.Protobuf {
				payloads = anyBytes
			}
			pub := draw[protocol.Publication](rt, payloads)
			if i := rapid.SampledFrom(append(wireFields(reflect.TypeOf(*pub)), -1)).Draw(rt, "only"); i >= 0 {
				only := &protocol.Publication{Data: pub.Data, Offset: pub.Offset} // and one more
				reflect.ValueOf(only).Elem().Field(i).Set(reflect.ValueOf(pub).Elem().Field(i))
				pub = only
			}
			channel := rapid.String().Draw(rt, "channel")
			want := protocol.AppendReply([]byte("x"), f, &protocol.Reply{Push: &protocol.Push{Channel: channel, Pub: pub}})
			if got := protocol.AppendPublication([]byte("x"), f, channel, pub); !bytes.Equal(got, want) {
				rt.Fatalf("%v:\ngot  %q\nwant %q", f, got, want)
			}
		}
	})
}

// alwaysInJSON are the fields written even when zero (client-protocol.md §2).
var alwaysInJSON = map[string]bool{
	"ClientInfo.user": true, "ClientInfo.client": true, "PresenceResult.presence": true,
	"PresenceStatsResult.num_clients": true, "PresenceStatsResult.num_users": true,
	"HistoryResult.publications": true, "HistoryResult.epoch": true, "HistoryResult.offset": true,
}

// toTree makes of the struct v what its JSON has to say.
func toTree(v reflect.Value, md protoreflect.MessageDescriptor) map[string]any {
	out := map[string]any{}
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		f := field(v, fd)
		zero := f.IsZero() || f.Kind() != reflect.Pointer && (f.Kind() == reflect.Slice || f.Kind() == reflect.Map) && f.Len() == 0
		if zero && !alwaysInJSON[fmt.Sprintf("%s.%s", md.Name(), fd.Name())] {
			continue
		}
		switch {
		case fd.IsMap():
			m := map[string]any{}
			for it := f.MapRange(); it.Next(); {
				m[it.Key().String()] = leaf(it.Value(), fd.MapValue())
			}
			out[string(fd.Name())] = m
		case fd.IsList():
			l := []any{}
			for i := range f.Len() {
				l = append(l, leaf(f.Index(i), fd))
			}
			out[string(fd.Name())] = l
		default:
			out[string(fd.Name())] = leaf(f, fd)
		}
	}
	return out
}

func leaf(v reflect.Value, fd protoreflect.FieldDescriptor) any {
	switch {
	case fd.Message() != nil:
		return toTree(v.Elem(), fd.Message())
	case fd.Kind() == protoreflect.BytesKind:
		return json.RawMessage(v.Bytes())
	}
	return v.Interface()
}

// tree is the content of a JSON text, numbers as they are spelled.
func tree(t interface{ Fatalf(string, ...any) }, text []byte) (x any) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&x); err != nil {
		t.Fatalf("decode %s: %v", text, err)
	}
	return x
}

// toDynamic copies the struct v into a message of the reflection-based library.
func toDynamic(v reflect.Value, md protoreflect.MessageDescriptor) *dynamicpb.Message {
	out := dynamicpb.NewMessage(md)
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		f := field(v, fd)
		if f.IsZero() || f.Kind() == reflect.Slice && f.Len() == 0 {
			continue
		}
		switch {
		case fd.IsMap():
			for it := f.MapRange(); it.Next(); {
				out.Mutable(fd).Map().Set(protoreflect.ValueOf(it.Key().String()).MapKey(), value(it.Value(), fd.MapValue()))
			}
		case fd.IsList():
			for i := range f.Len() {
				out.Mutable(fd).List().Append(value(f.Index(i), fd))
			}
		default:
			out.Set(fd, value(f, fd))
		}
	}
	return out
}

func value(v reflect.Value, fd protoreflect.FieldDescriptor) protoreflect.Value {
	switch {
	case fd.Message() != nil:
		return protoreflect.ValueOf(toDynamic(v.Elem(), fd.Message()))
	case fd.Kind() == protoreflect.BytesKind:
		return protoreflect.ValueOf(v.Bytes())
	}
	return protoreflect.ValueOf(v.Interface())
}

// field finds the field of the struct v that fd describes.
func field(v reflect.Value, fd protoreflect.FieldDescriptor) reflect.Value {
	return v.FieldByNameFunc(func(s string) bool { return goName(fd, s) })
}

// goName tells whether a Go field is named after fd: conn_info is ConnInfo.
func goName(fd protoreflect.FieldDescriptor, s string) bool {
	return strings.EqualFold(s, strings.ReplaceAll(string(fd.Name()), "_", ""))
}

// draw makes any message; payloads makes its payloads.
func draw[T any](t *rapid.T, payloads *rapid.Generator[[]byte]) *T {
	m := new(T)
	fill(t, reflect.ValueOf(m).Elem(), payloads, 5)
	return m
}

// anyBytes and anyJSON make payloads.
var (
	anyBytes = rapid.SliceOf(rapid.Byte())
	anyJSON  = rapid.Map(rapid.SampledFrom([]string{"", "null", "0", `""`, "-1.5e+3", `{"a":[1,{"b":"}\"]"}]}`, `[]`, `"ж\u0436"`}), func(s string) []byte { return []byte(s) })
)

func fill(t *rapid.T, v reflect.Value, payloads *rapid.Generator[[]byte], depth int) {
	switch v.Kind() {
	case reflect.Struct:
		for _, i := range wireFields(v.Type()) {
			if f := v.Field(i); f.Kind() != reflect.Pointer || rapid.IntRange(0, 3).Draw(t, "set") == 0 {
				fill(t, f, payloads, depth-1)
			}
		}
	case reflect.Pointer:
		if depth > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(t, v.Elem(), payloads, depth)
		}
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[protocol.Raw]() {
			v.SetBytes(payloads.Draw(t, "payload"))
			break
		}
		for range elements(t, v, depth) {
			e := reflect.New(v.Type().Elem()).Elem()
			fill(t, e, payloads, depth-1)
			v.Set(reflect.Append(v, e))
		}
	case reflect.Map:
		for range elements(t, v, depth) {
			e := reflect.New(v.Type().Elem()).Elem()
			fill(t, e, payloads, depth-1)
			if v.IsNil() {
				v.Set(reflect.MakeMap(v.Type()))
			}
			v.SetMapIndex(reflect.ValueOf(rapid.String().Draw(t, "key")), e)
		}
	case reflect.String:
		v.SetString(rapid.String().Draw(t, "string"))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.Uint32:
		v.SetUint(uint64(rapid.Uint32().Draw(t, "uint32")))
	case reflect.Uint64:
		v.SetUint(rapid.Uint64().Draw(t, "uint64"))
	case reflect.Int32:
		v.SetInt(int64(rapid.Int32().Draw(t, "int32")))
	case reflect.Int64:
		v.SetInt(rapid.Int64().Draw(t, "int64"))
	default:
		t.Fatalf("no value for %v", v.Type())
	}
}

// elements draws how many elements a list or map gets; no message may stay nil in one.
func elements(t *rapid.T, v reflect.Value, depth int) int {
	if depth <= 1 && v.Type().Elem().Kind() == reflect.Pointer {
		return 0
	}
	return rapid.IntRange(0, 2).Draw(t, "elements")
}

// schema compiles protocol.proto, of whose language it knows as much as is used there.
func schema(t *testing.T) protoreflect.FileDescriptor {
	t.Helper()
	text, err := os.ReadFile("protocol.proto")
	if err != nil {
		t.Fatal(err)
	}
	scalars := map[string]descriptorpb.FieldDescriptorProto_Type{
		"string": descriptorpb.FieldDescriptorProto_TYPE_STRING, "bytes": descriptorpb.FieldDescriptorProto_TYPE_BYTES,
		"bool": descriptorpb.FieldDescriptorProto_TYPE_BOOL, "uint32": descriptorpb.FieldDescriptorProto_TYPE_UINT32,
		"uint64": descriptorpb.FieldDescriptorProto_TYPE_UINT64, "int32": descriptorpb.FieldDescriptorProto_TYPE_INT32,
		"int64": descriptorpb.FieldDescriptorProto_TYPE_INT64, "sint64": descriptorpb.FieldDescriptorProto_TYPE_SINT64,
	}
	file := &descriptorpb.FileDescriptorProto{Name: proto.String("protocol.proto")}
	newField := func(name, typ string, number int64, label descriptorpb.FieldDescriptorProto_Label) *descriptorpb.FieldDescriptorProto {
		f := &descriptorpb.FieldDescriptorProto{Name: &name, Number: proto.Int32(int32(number)), Label: &label}
		if s, ok := scalars[typ]; ok {
			f.Type = &s
		} else {
			f.Type, f.TypeName = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), proto.String("."+file.GetPackage()+"."+typ)
		}
		return f
	}
	const optional, repeated = descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL, descriptorpb.FieldDescriptorProto_LABEL_REPEATED
	statement := regexp.MustCompile(`(?m)^//.*$|syntax = "(\w+)";|package ([\w.]+);|message (\w+) \{|reserved ([\d, ]+);|map<string, (\w+)> (\w+) = (\d+);|(repeated )?(\w+) (\w+) = (\d+);|\}|\s+`)
	var m *descriptorpb.DescriptorProto
	for rest := string(text); rest != ""; {
		at := statement.FindStringSubmatchIndex(rest)
		if at == nil || at[0] != 0 {
			t.Fatalf("protocol.proto: cannot read %.60q", rest)
		}
		s := statement.FindStringSubmatch(rest)
		rest = rest[at[1]:]
		switch {
		case s[1] != "":
			file.Syntax = &s[1]
		case s[2] != "":
			file.Package = &s[2]
		case s[3] != "":
			m = &descriptorpb.DescriptorProto{Name: &s[3]}
			file.MessageType = append(file.MessageType, m)
		case s[4] != "":
			for n := range strings.SplitSeq(s[4], ", ") {
				i := int32(number(t, n))
				m.ReservedRange = append(m.ReservedRange, &descriptorpb.DescriptorProto_ReservedRange{Start: &i, End: proto.Int32(i + 1)})
			}
		case s[5] != "":
			entry := strings.ToUpper(s[6][:1]) + s[6][1:] + "Entry"
			m.NestedType = append(m.NestedType, &descriptorpb.DescriptorProto{
				Name: &entry, Options: &descriptorpb.MessageOptions{MapEntry: proto.Bool(true)},
				Field: []*descriptorpb.FieldDescriptorProto{newField("key", "string", 1, optional), newField("value", s[5], 2, optional)},
			})
			m.Field = append(m.Field, newField(s[6], m.GetName()+"."+entry, number(t, s[7]), repeated))
		case s[9] != "":
			label := optional
			if s[8] != "" {
				label = repeated
			}
			m.Field = append(m.Field, newField(s[10], s[9], number(t, s[11]), label))
		}
	}
	fd, err := protodesc.NewFile(file, nil)
	if err != nil {
		t.Fatalf("protocol.proto: %v", err)
	}
	return fd
}

func number(t *testing.T, s string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
