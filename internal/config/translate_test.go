package config_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kuranty/kuranty/internal/config"
)

// What the keys of testdata/flat.txt need beside them, by present name.
var companions = map[string]any{
	"channel.without_namespace.history_size":    5,
	"channel.without_namespace.history_ttl":     "5s",
	"channel.without_namespace.presence":        true,
	"channel.namespaces":                        []any{map[string]any{"name": "none"}},
	"client.token.hmac_secret_key":              "a",
	"client.subscription_token.hmac_secret_key": "a",
	"http_server.tls.cert_pem":                  "testdata/cert.pem",
	"http_server.tls.key_pem":                   "testdata/key.pem",
}

// file is a JSON file of one key and its companions.
func file(t *testing.T, key string, v any, path string) config.Source {
	t.Helper()
	all := map[string]any{key: v}
	for k, c := range companions {
		if k != path {
			all[k] = c
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return config.Source{File: "c.json", Text: text}
}

// Every flat key has the effect of the present one; those we do not support are refused
// by name or, if that is right, change nothing. testdata/flat.txt has them all.
func TestEveryFlatKey(t *testing.T) {
	table, err := os.ReadFile("testdata/flat.txt")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := config.Load(file(t, "log.level", "info", ""))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(strings.TrimSpace(line), " | ")
		old, path, outcome := f[0], f[2], f[3]
		var v any
		if err := json.Unmarshal([]byte(f[1]), &v); err != nil {
			t.Fatalf("%s: %v", old, err)
		}
		res, err := config.Load(file(t, old, v, path))
		switch outcome {
		case "set":
			want, err2 := config.Load(file(t, path, v, path))
			if err != nil || err2 != nil {
				t.Errorf("%s: %v, %s: %v", old, err, path, err2)
				continue
			}
			got, want2 := *res.Config, *want.Config
			if old == "history_meta_ttl" {
				want2.Channel.HistoryMetaTTL = got.Channel.WithoutNamespace.HistoryMetaTTL // both, §10.2
			}
			if diff := cmp.Diff(want2, got); diff != "" {
				t.Errorf("%s is not %s:\n%s", old, path, diff)
			}
			if cmp.Equal(got, *plain.Config) && f[1] != "true" {
				t.Errorf("%s changes nothing", old)
			}
			if res.Origins[path] != "file c.json:1" {
				t.Errorf("%s: origin of %s = %q", old, path, res.Origins[path])
			}
			if n := fmt.Sprintf("%s (file c.json:1): translated from %s\n", path, old); strings.Count(notes(res), n) != 1 {
				t.Errorf("%s: notes =\n%swant once %s", old, notes(res), n)
			}
		case "refused":
			if err == nil {
				t.Errorf("%s: taken", old)
				continue
			}
			want := path + " (file c.json:1): known to Centrifugo, not supported by this version"
			if old != path {
				want += " (written as " + old + ")"
			}
			if got := err.Error(); got != "configuration: "+want {
				t.Errorf("%s: %s\nwant %s", old, got, want)
			}
		case "ignored", "console":
			if err != nil {
				t.Errorf("%s: %v", old, err)
				continue
			}
			if diff := cmp.Diff(plain.Config, res.Config); diff != "" {
				t.Errorf("%s changes something:\n%s", old, diff)
			}
			want := old + " (file c.json:1): known to Centrifugo, changes nothing in this version\n"
			if outcome == "console" {
				want = "admin (file c.json:1): taken, but the operator console comes in a later version\n"
			}
			if notes(res) != want {
				t.Errorf("%s: notes =\n%swant %s", old, notes(res), want)
			}
		default:
			t.Errorf("%s: outcome %q", old, outcome)
		}
	}
}
