package identity

import (
	"regexp"
	"strings"
	"testing"
)

func FuzzKeySet(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"EC","kid":"a","use":"sig","crv":"P-256","x":"AA","y":"AA"},null,7]}`))
	f.Add([]byte(`{"keys":[{"kty":"OKP","kid":"a","use":"sig","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","kid":"a","use":"sig","n":"AQAB","e":"AQAB","x5c":["AA"]}]}`))
	f.Add([]byte(`{"keys":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		keys, err := parseKeySet(body)
		if err != nil && keys != nil {
			t.Fatal("keys beside an error")
		}
		for kid, list := range keys {
			for _, k := range list {
				if kid == "" || fits(k.public, "HS256") || fits(k.public, "none") {
					t.Fatalf("key %q of type %T", kid, k.public)
				}
			}
		}
	})
}

// Whatever a group that passes matches, it is one of the values that were listed.
func FuzzFiniteGroup(f *testing.F) {
	f.Add(`^https://(?P<t>acme|globex)\.example$`, "https://acme.example")
	f.Add(`(?P<t>a|ab|abc?)`, "abc")
	f.Add(`(?P<t>[a-f]x|(y|z)?)`, "ex")
	f.Fuzz(func(t *testing.T, expr, s string) {
		r, err := regexp.Compile(expr)
		if err != nil || !groupIn(r, "t") || finiteGroup("k", r, "t") != nil {
			return
		}
		tpl := template{texts: []string{"http://x/", ""}, names: []string{"t"}}
		if len(s) > 1000 || strings.ContainsAny(s, "\"\\") {
			return
		}
		m := r.FindStringSubmatch(s)
		if m == nil {
			return
		}
		v := m[r.SubexpIndex("t")]
		if v == "." || v == ".." {
			t.Fatalf("%q takes the value %q", expr, v)
		}
		if u, err := tpl.fill([]byte(`{"iss":"`+s+`"}`), r, nil); err == nil && strings.Count(u, "/") != 3 {
			t.Fatalf("%q and %q give %q", expr, s, u)
		}
	})
}
