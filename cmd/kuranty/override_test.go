package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

const (
	paidSample = `{"n":7,"rubles":150.0,"title":"Cannot pay","ok":true,"who":null,"age":null,"user":{"name":"anna","tags":["a"]},"meta":{"a":"b"}}`
	paidSchema = `{"type":"object","properties":{"who":{"type":["string","null"]},"age":{"type":["null","integer"]},"cost":{"type":"number"},"n":{"type":"integer"},"meta":{"type":"object"}}}`
)

func paid(t testing.TB) *payloadSchema {
	t.Helper()
	var s payloadSchema
	if err := json.Unmarshal([]byte(paidSchema), &s); err != nil {
		t.Fatal(err)
	}
	return &s
}

// A value has the type of its field, as the sample or the schema says, and numbers stay as
// they are written.
func TestOverride(t *testing.T) {
	for _, c := range []struct{ change, was, is string }{
		{"n=8", `"n":7`, `"n":8`},
		{"n=-12345678901234567890", `"n":7`, `"n":-12345678901234567890`},
		{"n:=1.50", `"n":7`, `"n":1.50`},
		{"rubles=200", `150.0`, `200.0`},
		{"rubles=2.50", `150.0`, `2.50`},
		{"rubles=-1e3", `150.0`, `-1e3`},
		{"title=5", `"Cannot pay"`, `"5"`},
		{"title=", `"Cannot pay"`, `""`},
		{"title=a=b", `"Cannot pay"`, `"a=b"`},
		{"title:=null", `"Cannot pay"`, `null`},
		{"ok=false", `"ok":true`, `"ok":false`},
		{"who=12", `"who":null`, `"who":"12"`},
		{"age=12", `"age":null`, `"age":12`},
		{"user.name=max", `"anna"`, `"max"`},
		{"user.tags.0=b", `["a"]`, `["b"]`},
		{"user.tags.1=b", `["a"]`, `["a","b"]`},
		{`user.tags:=["x", {"y": 2.0}]`, `["a"]`, `["x", {"y": 2.0}]`},
		{"meta.a=c", `{"a":"b"}`, `{"a":"c"}`},
		{"meta.new=c", `{"a":"b"}`, `{"a":"b","new":"c"}`},
		{"cost=12", `{"a":"b"}}`, `{"a":"b"},"cost":12.0}`},
	} {
		got, err := overridden(json.RawMessage(paidSample), paid(t), []string{c.change})
		if want := strings.Replace(paidSample, c.was, c.is, 1); err != nil || string(got) != want {
			t.Errorf("%s makes %s, %v\nwant %s", c.change, got, err, want)
		}
	}
	got, err := overridden(json.RawMessage("{}"), new(payloadSchema), []string{"a.b=1", "a.c:=1", "a.b=2"})
	if err != nil || string(got) != `{"a":{"b":"2","c":1}}` {
		t.Errorf("of nothing: %s, %v", got, err)
	}
}

func TestOverrideMistakes(t *testing.T) {
	for change, want := range map[string]string{
		"n":              `"n" must be FIELD=VALUE or FIELD:=JSON`,
		"=1":             `names no field`,
		"user..name=1":   `names no field`,
		"n:=x":           `n is not JSON: x`,
		"n=1.5":          `n must be a whole number, not "1.5"`,
		"n=007":          `n must be a whole number`,
		"age=old":        `age must be a whole number`,
		"rubles=many":    `rubles must be a number`,
		"rubles=NaN":     `rubles must be a number`,
		"ok=yes":         `ok must be true or false`,
		"user=max":       `user is an object: name a field of it, or write user:=JSON`,
		"user.tags=x":    `user.tags is an array`,
		"colour=red":     `there is no field "colour"; there are n, rubles, title, ok, who, age, user.name, user.tags, meta.a, cost`,
		"n.deep=1":       `there is no field "n.deep"`,
		"user.age=1":     `there is no field "user.age"`,
		"user.tags.2=b":  `there is no field "user.tags.2"`,
		"user.tags.-1=b": `there is no field "user.tags.-1"`,
	} {
		if _, err := overridden(json.RawMessage(paidSample), paid(t), []string{change}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", change, err, want)
		}
	}
}

// Whatever is given, the payload stays an object of JSON, or there is an error that tells
// which flag is wrong.
func FuzzOverride(f *testing.F) {
	for _, seed := range []string{"n=8", "title=\u2028", "a.b.c:={}", "user.tags.1=b", "=", "n:=1e999", "title=\xff", "meta.\x00=1", "user.tags:=[]", "ok=true"} {
		f.Add(seed, paidSample, paidSchema)
	}
	f.Add("a=1", `{"a":{"b":[1,{"c":null}]}}`, `{"type":[1],"properties":{"a":{"items":{}}}}`)
	f.Add("a.0.b=1", `{"a":[{"b":1.0}]}`, `{"properties":{"a":{"items":{"type":"x"}}}}`)
	f.Fuzz(func(t *testing.T, change, sample, described string) {
		var s payloadSchema
		if json.Unmarshal([]byte(described), &s) != nil || !json.Valid([]byte(sample)) || !strings.HasPrefix(sample, "{") {
			return
		}
		got, err := overridden(json.RawMessage(sample), &s, []string{change})
		switch {
		case err != nil && !strings.HasPrefix(err.Error(), "--override"):
			t.Errorf("%q: %v", change, err)
		case err == nil && (!json.Valid(got) || !bytes.HasPrefix(got, []byte("{"))):
			t.Errorf("%q makes %s", change, got)
		}
	})
}
