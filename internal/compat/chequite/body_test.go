package chequite_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kuranty/kuranty/internal/apierror"
	"github.com/kuranty/kuranty/internal/compat/chequite"
)

const (
	jsonBody = "application/json; charset=utf-8"
	formBody = "application/x-www-form-urlencoded"
	partBody = "multipart/form-data; boundary=XX"
)

// part is a field of a multipart body.
func part(name, value string) string {
	return "--XX\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n"
}

func TestBodies(t *testing.T) {
	type object = map[string]any
	for _, c := range []struct {
		name, kind, body string
		want             object
	}{
		{"nothing", "", "", object{}},
		{"null", jsonBody, "null", object{}},
		{"json without a type", "", `{"a":1}`, object{"a": chequite.Number("1")}},
		{"json", jsonBody, `{"a":"x","b":[1,"2",{"c":null}],"d":true}`, object{
			"a": "x", "b": []any{chequite.Number("1"), "2", object{"c": nil}}, "d": true,
		}},
		{"large number", jsonBody, `{"a":9007199254740993}`, object{"a": chequite.Number("9007199254740993")}},
		{"form", formBody, "a=x+y%21&b=&c", object{"a": "x y!", "b": "", "c": ""}},
		{"form of lists and objects", formBody, "f[0][id]=p&f[1][id]=q&g[]=1&g[]=2&h[k]=v", object{
			"f": []any{object{"id": "p"}, object{"id": "q"}}, "g": []any{"1", "2"}, "h": object{"k": "v"},
		}},
		{"form list with a hole is an object", formBody, "a[1]=x", object{"a": object{"1": "x"}}},
		{"form name with odd brackets", formBody, "a[=1&[b]=2", object{"a[": "1", "[b]": "2"}},
		{"form, the later wins", formBody, "a=1&a=2&b=1&b[c]=2", object{"a": "2", "b": object{"c": "2"}}},
		{"parts", partBody, part("a", "x\ny") + part("f[0][id]", "p") + "--XX--\r\n", object{
			"a": "x\ny", "f": []any{object{"id": "p"}},
		}},
		{"parts without files", partBody, "--XX\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.png\"\r\n\r\nPNG\r\n" + part("a", "x") + "--XX--\r\n", object{"a": "x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := chequite.DecodeBody(c.kind, []byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestS23_BodiesRefused(t *testing.T) {
	nested := func(open, shut string, n int) string { return strings.Repeat(open, n) + "1" + strings.Repeat(shut, n) }
	for _, c := range []struct {
		name, kind, body string
		code             apierror.Code
	}{
		{"no json", jsonBody, `{"a":`, apierror.BadRequest},
		{"something behind", jsonBody, `{} {}`, apierror.BadRequest},
		{"a list", jsonBody, `[]`, apierror.BadRequest},
		{"a text", jsonBody, `"x"`, apierror.BadRequest},
		{"a name twice", jsonBody, `{"a":1,"a":2}`, apierror.BadRequest},
		{"no UTF-8", jsonBody, "{\"a\":\"\xff\"}", apierror.BadRequest},
		{"deep json", jsonBody, `{"a":` + nested("[", "]", 32) + `}`, apierror.BadRequest},
		{"bad escape", formBody, "a=%zz", apierror.BadRequest},
		{"form, no UTF-8", formBody, "a=%FF", apierror.BadRequest},
		{"form, a name of no UTF-8", formBody, "%FF=a", apierror.BadRequest},
		{"parts, no UTF-8", partBody, part("a", "\xff") + "--XX--\r\n", apierror.BadRequest},
		{"deep form", formBody, "a" + strings.Repeat("[b]", 32) + "=1", apierror.BadRequest},
		{"many fields", formBody, strings.Repeat("a=1&", 1000), apierror.BadRequest},
		{"many parts", partBody, strings.Repeat(part("a", ""), 1001) + "--XX--\r\n", apierror.BadRequest},
		{"no boundary", "multipart/form-data", "x", apierror.BadRequest},
		{"cut parts", partBody, part("a", "x"), apierror.BadRequest},
		{"another type", "text/plain", "a=1", apierror.UnsupportedMedia},
		{"no type at all", ";", "a=1", apierror.UnsupportedMedia},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := chequite.DecodeBody(c.kind, []byte(c.body))
			var e *apierror.Error
			if !errors.As(err, &e) || e.Code != c.code {
				t.Errorf("error = %v, want %s", err, c.code)
			}
		})
	}
	for _, c := range []struct{ kind, body string }{
		{jsonBody, `{"a":` + nested("[", "]", 31) + `}`},
		{formBody, "a" + strings.Repeat("[b]", 31) + "=1"},
		{formBody, strings.Repeat("a=1&", 999)},
	} {
		if _, err := chequite.DecodeBody(c.kind, []byte(c.body)); err != nil {
			t.Errorf("at the limit: %v", err)
		}
	}
}

// FuzzBody holds the decoder against the standard library's, which know no limits.
func FuzzBody(f *testing.F) {
	for i, kind := range []string{jsonBody, formBody, partBody} {
		for _, body := range []string{
			`{"a":"x","b":[1,"2",{"c":null}],"d":true}`, "a=x+y%21&f[0][id]=p&g[]=1&g[]=2&h[k]=v", part("a", "x") + "--XX--\r\n", "", "{}", "[[]]",
		} {
			f.Add(i, []byte(body))
			_ = kind
		}
	}
	kinds := []string{jsonBody, formBody, partBody}
	f.Fuzz(func(t *testing.T, which int, body []byte) {
		kind := kinds[uint(which)%3]
		got, err := chequite.DecodeBody(kind, body)
		if err != nil {
			return
		}
		if d := depth(got); d > 33 {
			t.Errorf("%d levels deep", d)
		}
		switch {
		case len(body) == 0:
		case kind == jsonBody:
			d := json.NewDecoder(bytes.NewReader(body))
			d.UseNumber()
			var want map[string]any
			if err := d.Decode(&want); err != nil {
				t.Fatalf("encoding/json refuses it: %v", err)
			}
			if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w && want != nil {
				t.Errorf("%s, encoding/json has %s", g, w)
			}
		case kind == formBody && !bytes.ContainsAny(body, ";[") && !bytes.Contains(bytes.ToLower(body), []byte("%5b")):
			values, err := url.ParseQuery(string(body))
			if err != nil {
				t.Fatalf("net/url refuses it: %v", err)
			}
			want := make(map[string]any, len(values))
			for name, all := range values {
				if want[name] = all[len(all)-1]; name == "" {
					return // the name of the next element of a list
				}
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%v, net/url has %v", got, want)
			}
		}
	})
}

func depth(v any) (most int) {
	switch v := v.(type) {
	case map[string]any:
		for _, inner := range v {
			most = max(most, depth(inner))
		}
	case []any:
		for _, inner := range v {
			most = max(most, depth(inner))
		}
	default:
		return 0
	}
	return most + 1
}
