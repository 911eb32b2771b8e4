package protocol_test

import (
	"strings"
	"testing"

	"github.com/kuranty/kuranty/protocol"
)

// scanAll goes through all of a text and returns its names and scalars as written.
func scanAll(sc *protocol.Scanner, out []string) []string {
	switch sc.Kind() {
	case '{':
		for more := sc.Enter('{') && sc.More('}'); more; more = sc.More('}') {
			out = append(out, string(sc.Name()))
			out = scanAll(sc, out)
		}
		return out
	case '[':
		for more := sc.Enter('[') && sc.More(']'); more; more = sc.More(']') {
			out = scanAll(sc, out)
		}
		return out
	default:
		return append(out, string(sc.Value()))
	}
}

func TestScanner(t *testing.T) {
	sc := protocol.NewScanner([]byte(` {"a" : [1, -2.5e3, null] ,"b":{"c\n":"é"},"d":[],"e":{}} `), 8)
	got := strings.Join(scanAll(&sc, nil), " ")
	if want := `"a" 1 -2.5e3 null "b" "c\n" "é" "d" "e"`; got != want || !sc.Done() {
		t.Errorf("scan = %s, done = %t; want %s", got, sc.Done(), want)
	}
	for _, text := range []string{``, ` `, `{`, `{"a"`, `{"a":}`, `{"a":1,}`, `[1 2]`, `[1,]`, `nul`, `01`, `1 2`, `"\x"`, "\"\xff\"", `{1:2}`, `[[[[1]]]]`} {
		sc := protocol.NewScanner([]byte(text), 3)
		if scanAll(&sc, nil); sc.Done() {
			t.Errorf("%q is taken for JSON", text)
		}
	}
	// A payload has its own depth, and values may follow each other.
	deep := strings.Repeat("[", 32) + strings.Repeat("]", 32)
	sc = protocol.NewScanner([]byte(`[`+deep+`] true`), 1)
	if !sc.Enter('[') || !sc.More(']') || string(sc.Payload()) != deep || sc.More(']') || sc.Done() || string(sc.Value()) != "true" || !sc.Done() {
		t.Error("a payload as deep as may be, and what follows, were not taken")
	}
	sc = protocol.NewScanner([]byte(`[`+deep+`]`), 32)
	if sc.Enter('['); !sc.More(']') || sc.Value() != nil || !sc.Failed() {
		t.Error("a value deeper than allowed was taken")
	}
	if sc = protocol.NewScanner([]byte(`1`), 1); sc.Enter('{') || !sc.Failed() {
		t.Error("a number was entered")
	}
	sc = protocol.NewScanner([]byte(`1`), 1)
	if sc.Fail(); sc.Done() || sc.Value() != nil {
		t.Error("after Fail something was taken")
	}
}
