package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"
)

func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		args string
		want int
	}{
		{"version", 0},
		{"config check", 0},
		{"nonsense", 2},
		{"--version", 0},
		{"publish", 2},
		{"publish news {", 2},
		{"serve --no.such.key 1", 2},
		{"serve --config " + dir + "/none.json", 2},
		{"config check --log.level loud", 2},
		{"config show --log.level loud", 2},
		{"publish news 1 --url http://127.0.0.1:1", 1},
		{"healthcheck --url http://127.0.0.1:1", 1},
		{"healthcheck --url nonsense", 1},
		{"api-key --data-dir " + dir, 1},
		{"token decode x", 1},
	} {
		var stdout, stderr bytes.Buffer
		if got := run(strings.Fields(c.args), &stdout, &stderr); got != c.want {
			t.Errorf("kuranty %s exits with %d, want %d\n%s%s", c.args, got, c.want, &stdout, &stderr)
		}
		if c.want == 0 && stderr.Len() > 0 {
			t.Errorf("kuranty %s complains: %s", c.args, &stderr)
		}
		if c.want != 0 && !strings.HasPrefix(stderr.String(), "kuranty: ") {
			t.Errorf("kuranty %s says %q", c.args, &stderr)
		}
	}
}

func TestSplitFlags(t *testing.T) {
	for _, c := range []struct{ args, rest, flags string }{
		{"serve", "serve", ""},
		{"serve --log.level debug", "serve", "log.level=debug"},
		{"--log.level=debug serve", "serve", "log.level=debug"},
		{"serve --log.level=", "serve", "log.level="},
		{"serve --client.insecure", "serve", "client.insecure=true"},
		{"serve --client.insecure --log.level info", "serve", "client.insecure=true log.level=info"},
		{"serve --config c.json --data-dir d", "serve --config c.json --data-dir d", ""},
		{"serve --config=a.b.json", "serve --config=a.b.json", ""},
		{"publish -t news a.b", "publish -t news a.b", ""},
		{"publish news -- --log.level x", "publish news -- --log.level x", ""},
	} {
		rest, flags, err := splitFlags(strings.Fields(c.args))
		var got []string
		for _, f := range flags {
			got = append(got, f[0]+"="+f[1])
		}
		if err != nil || !slices.Equal(rest, strings.Fields(c.rest)) || strings.Join(got, " ") != c.flags {
			t.Errorf("splitFlags(%s) = %q, %q, %v", c.args, rest, got, err)
		}
	}
	if _, _, err := splitFlags([]string{"--log.level", "info", "--log.level=debug"}); err == nil {
		t.Error("a repeated key is no error")
	}
}

func FuzzSplitFlags(f *testing.F) {
	f.Add("serve --log.level debug -- --x.y")
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Fields(line)
		rest, flags, err := splitFlags(args)
		if err == nil && len(rest)+len(flags) > len(args) {
			t.Errorf("%q became %q and %q", args, rest, flags)
		}
	})
}

func TestCommandsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	parser, err := newParser(new(cli))
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range parser.Model.Leaves(true) {
		name := command.Path()
		if strings.HasPrefix(name, "bench ") {
			name = "bench" // has a page of its own
		}
		if command.Help == "" {
			t.Errorf("kuranty %s has no help", name)
		}
		if !strings.Contains(string(page), "`kuranty "+name) {
			t.Errorf("docs/cli.md says nothing of kuranty %s", name)
		}
	}
}

// S33: what others wrote does not move the cursor of who prints it, and stays the same JSON.
func TestS33_JSONOnATerminal(t *testing.T) {
	for _, text := range []string{`{"a":"plain, Анна, 🙂"}`, "{\"a\":\"\u009b31m\u007f\u0085\"}", "[\"\u202eevil\u2066\u200f\"]"} {
		var out bytes.Buffer
		if err := printLines(&out, []json.RawMessage{json.RawMessage(text)}); err != nil {
			t.Fatal(err)
		}
		if err := printIndented(&out, []byte(text)); err != nil {
			t.Fatal(err)
		}
		for _, r := range out.String() {
			if r != '\n' && unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
				t.Errorf("%q: printed %q", text, out.String())
			}
		}
		var want any
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatal(err)
		}
		for d := json.NewDecoder(&out); ; {
			var got any
			if err := d.Decode(&got); errors.Is(err, io.EOF) {
				break
			} else if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%q: %v, %v", text, got, err)
				break
			}
		}
	}
}
