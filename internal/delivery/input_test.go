package delivery_test

import (
	"errors"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/delivery"
)

func TestInput(t *testing.T) {
	in, err := delivery.Body([]byte(`{"text":"ü","number":"7","yes":"on","none":null,"at":"2026-03-02T10:15:30.1234567+02:00","list":["a","b"],
		"types":["ticket.*"],"object":{"a":1.50},"headers":{"Webhook-ID":"evt"},"secret":"s","id":9007199254740993}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := in.Text("text", 1, 1); got != "ü" {
		t.Errorf("text %q", got)
	}
	if got := in.Integer("number", 0, 10, 5); got != 7 {
		t.Errorf("number %d", got)
	}
	if got := in.Integer("none", 0, 10, 5); got != 5 {
		t.Errorf("number that is absent %d", got)
	}
	if got := in.ID("id"); got != 9007199254740993 {
		t.Errorf("id %d", got)
	}
	if got := in.Bool("yes"); got == nil || !*got || in.Bool("none") != nil {
		t.Errorf("yes %v", got)
	}
	if got := in.Time("at"); !got.Equal(time.Date(2026, 3, 2, 8, 15, 30, 123456000, time.UTC)) || got.Location() != time.UTC {
		t.Errorf("at %v", got)
	}
	if got := in.Texts("list", 2, 1); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("list %v", got)
	}
	if got := in.Patterns("types"); !slices.Equal(got, []string{"ticket.*"}) {
		t.Errorf("types %v", got)
	}
	if got := in.Object("object"); string(got) != `{"a":1.50}` {
		t.Errorf("object %s", got)
	}
	if got := in.Headers("headers"); got["webhook-id"] != "evt" {
		t.Errorf("headers %v", got)
	}
	if got := in.Secret("secret"); got.Reveal() != "s" {
		t.Errorf("secret %s", got.Reveal())
	}
	in.Require("text", "id")
	if err := delivery.Invalid(in, delivery.Query(nil)); err != nil {
		t.Errorf("all is right, but: %v", err)
	}
	if empty, err := delivery.Body(nil); err != nil || empty.Given("text") {
		t.Errorf("an empty body: %v", err)
	}
}

func TestInputTellsAllMistakes(t *testing.T) {
	path, query := delivery.Path("id", "x"), delivery.Query(url.Values{"limit": {"1", "900"}, "at": {"now"}})
	body, err := delivery.Body([]byte(`{"text":"","list":["a",1],"types":["a*"],"object":[],"headers":{"a":7},"secret":"whsec_my own","none":null}`))
	if err != nil {
		t.Fatal(err)
	}
	path.ID("id")
	query.Integer("limit", 1, 200, 50)
	query.Time("at")
	body.Text("text", 1, 9)
	body.Texts("list", 9, 9)
	body.Patterns("types")
	body.Object("object")
	body.Headers("headers")
	body.Secret("secret")
	body.Require("none", "more")
	body.Refuse("text", "is no good")
	var invalid *delivery.InvalidError
	if !errors.As(delivery.Invalid(path, query, body), &invalid) {
		t.Fatal("nothing is wrong")
	}
	const want = `id: Input should be a valid integer, unable to parse string as an integer; limit: Input should be less than or equal to 200; ` +
		`at: Input should be a valid datetime, like 2026-03-02T08:15:30Z; text: String should have at least 1 character; list.1: Input should be a valid string; ` +
		`types.0: Value error, a pattern is words with dots between, and * stands for a whole word; object: Input should be a valid dictionary; ` +
		`headers.a: Input should be a valid string; secret: Value error, not a secret: what follows whsec_ must be standard base64; ` +
		`none: Field required; more: Field required; text: Value error, is no good`
	if got := invalid.Error(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, f := range invalid.Fields {
		if name := f.Loc[1]; (name == "secret" || name == "headers") && f.Input != nil {
			t.Errorf("%s is repeated: %s", name, f.Input)
		}
	}
	if id := delivery.Path("id", "99999999999999999999"); id.ID("id") != 0 || delivery.Invalid(id) != nil {
		t.Error("an id that is too large is one that nothing has")
	}
}

// Whatever a body is, reading it ends, and what is read is within its bounds.
func FuzzInput(f *testing.F) {
	for _, seed := range []string{
		`{"v":"a"}`, `{"v":1e99}`, `{"v":[["a"]]}`, `{"v":{"a":"b"}}`, `{"v":null}`, `[`, ``, `{"v":"2026-03-02T08:15:30Z"}`, `{"v":"-9223372036854775809"}`, `{"v":"\u0000"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		in, err := delivery.Body(raw)
		if err != nil {
			var invalid *delivery.InvalidError
			if !errors.As(err, &invalid) || len(invalid.Fields) == 0 {
				t.Errorf("%q: %v", raw, err)
			}
			return
		}
		if s := in.Text("v", 1, 3); len([]rune(s)) > 3 {
			t.Errorf("%q: text %q", raw, s)
		}
		if n := in.Integer("v", 1, 9, 1); n != 0 && (n < 1 || n > 9) {
			t.Errorf("%q: number %d", raw, n)
		}
		if at := in.Time("v"); !at.IsZero() && (at.Year() < 1969 || at.Year() > 10000) {
			t.Errorf("%q: time %v", raw, at)
		}
		in.ID("v")
		in.Bool("v")
		in.Texts("v", 2, 3)
		in.Patterns("v")
		in.Object("v")
		in.Headers("v")
		in.Secret("v")
		_ = delivery.Invalid(in)
	})
}
