package protocol_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/kuranty/kuranty/protocol"
)

func FuzzCommandJSON(f *testing.F)     { fuzz(f, protocol.JSON, wholes["Command"]) }
func FuzzCommandProtobuf(f *testing.F) { fuzz(f, protocol.Protobuf, wholes["Command"]) }
func FuzzReplyJSON(f *testing.F)       { fuzz(f, protocol.JSON, wholes["Reply"]) }
func FuzzReplyProtobuf(f *testing.F)   { fuzz(f, protocol.Protobuf, wholes["Reply"]) }

// fuzz decodes frames. What is decoded must survive being encoded and decoded again;
// in JSON it must be what jsontext calls JSON, too.
func fuzz(f *testing.F, format protocol.Format, typ reflect.Type) {
	all := reflect.ValueOf(whole(typ)).Elem()
	for _, i := range wireFields(typ) { // one at a time: small inputs are found out faster
		m := reflect.New(typ)
		m.Elem().Field(i).Set(all.Field(i))
		f.Add(encode(nil, format, m.Interface()))
	}
	for _, x := range examples {
		if x.cmd != nil && typ == wholes["Command"] {
			f.Add(encode(nil, format, x.cmd))
		} else if x.reply != nil && typ == wholes["Reply"] {
			f.Add(encode(encode(nil, format, x.reply), format, x.reply))
		}
	}
	for _, s := range []string{"", "\n", "{}\n{}\n", `{"id":null}`, `{"id":1,"id":1}`, `{"publish":{"data":{"a":1,"a":[]}}}`, "\x00", "\x02\x08\x01\x00", "\xff\xff\xff\xff\x0f"} {
		f.Add([]byte(s))
	}
	var equal cmp.Options
	if format == protocol.JSON {
		equal = cmp.Options{withoutBreaks}
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		before := string(frame)
		next := decoder(format, typ, frame)
		lines := bytes.Split(frame, []byte("\n"))
		for i := 0; ; i++ {
			m, err := next()
			if string(frame) != before {
				t.Fatal("the frame was changed")
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				if _, again := next(); !errors.Is(err, protocol.ErrMalformed) || again.Error() != err.Error() {
					t.Fatalf("first %v, then %v", err, again)
				}
				break
			}
			if format == protocol.JSON && !jsontext.Value(lines[i]).IsValid(jsontext.AllowDuplicateNames(true)) {
				t.Fatalf("taken for JSON: %q", lines[i])
			}
			again, err := decoder(format, typ, encode(nil, format, m))()
			if err != nil || !cmp.Equal(again, m, equal) {
				t.Fatalf("%v\n%s", err, cmp.Diff(m, again, equal))
			}
		}
	})
}

// withoutBreaks compares payloads as they are sent in JSON.
var withoutBreaks = cmp.Transformer("withoutBreaks", func(r protocol.Raw) string {
	return strings.NewReplacer("\n", "", "\r", "").Replace(string(r))
})

// decoder returns the Next of a decoder over frame.
func decoder(f protocol.Format, typ reflect.Type, frame []byte) func() (any, error) {
	if typ == wholes["Command"] {
		d := protocol.NewCommandDecoder(f, frame)
		return func() (any, error) {
			c := new(protocol.Command)
			return c, d.Next(c)
		}
	}
	d := protocol.NewReplyDecoder(f, frame)
	return func() (any, error) {
		r := new(protocol.Reply)
		return r, d.Next(r)
	}
}

// FuzzValidJSON compares the verdict with those of jsontext, which must be the same,
// and of the standard library, which also takes text that is not UTF-8.
func FuzzValidJSON(f *testing.F) {
	for _, s := range []string{
		"", " ", "null", "true", "false", "nul", "truefalse", "0", "-0", "01", "-", "1.", ".5", "1.5e", "1E+2", "1e-0", "+1", "Infinity", "0x1", "1_0",
		`""`, `"`, `"\`, `"\"`, `"\u12"`, `"\u00e9\ud83d\ude00"`, `"\ud83d"`, `"\ude00\ud83d"`, `"\x"`, "\"\x00\"", "\"\x7f\"", "\"\xff\"", "\"\xed\xa0\x80\"", `"01234567\n01234567"`, `"01234567ж"`, "\"0123456\x01\"",
		"{}", "{", "}", `{"a":1,"a":2}`, `{"a":1,}`, `{,}`, `{"a"}`, `{"a":}`, `{a:1}`, "{\"\xff\":1}", "[]", "[,]", "[1,]", "[1 2]", "[1,2", "[}", "\xef\xbb\xbf1", "1 \t\r\n", "\v1", "1\x00",
		strings.Repeat("[", 32) + strings.Repeat("]", 32), strings.Repeat("[", 33) + strings.Repeat("]", 33),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got := protocol.ValidJSON(data)
		want := jsontext.Value(data).IsValid(jsontext.AllowDuplicateNames(true)) && depth(data) <= 32
		if got != want {
			t.Errorf("ValidJSON(%q) = %v", data, got)
		}
		if got && !(json.Valid(data) && utf8.Valid(data)) || !got && json.Valid(data) && utf8.Valid(data) && !bytes.Contains(data, []byte(`\u`)) && depth(data) <= 32 {
			t.Errorf("ValidJSON(%q) = %v, but not for encoding/json", data, got)
		}
	})
}

// depth counts the levels of data, as far as it is JSON.
func depth(data []byte) (deepest int) {
	for d, n := json.NewDecoder(bytes.NewReader(data)), 0; ; {
		switch tok, err := d.Token(); {
		case err != nil:
			return deepest
		case tok == json.Delim('{') || tok == json.Delim('['):
			n++
			deepest = max(deepest, n)
		case tok == json.Delim('}') || tok == json.Delim(']'):
			n--
		}
	}
}
