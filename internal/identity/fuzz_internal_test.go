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

func FuzzPasswordHash(f *testing.F) {
	f.Add("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$RdescudvJCsgt3ub+b5dWRWJTmaaJObGRdescudvJCs")
	f.Add("$argon2id$v=19$m=4294967295,t=99,p=255$c29tZXNhbHQ$AAAA")
	f.Add("$argon2i$v=19$m=8,t=1,p=1$$")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parsePHC(s)
		if err != nil {
			return
		}
		if p.String() != s {
			t.Fatalf("%q is read as %q", s, p)
		}
		if p.memory > maxMemory || p.passes > maxPasses || p.lanes > maxLanes {
			t.Fatalf("%q costs too much", s)
		}
	})
}

func FuzzRefreshToken(f *testing.F) {
	f.Add(newRefreshToken().String())
	f.Add("kr_AAAA\n")
	f.Fuzz(func(t *testing.T, s string) {
		if r, ok := parseRefreshToken(s); ok && r.String() != s {
			t.Fatalf("%q is read as %q", s, r)
		}
	})
}

// No text but what was signed is an access token.
func FuzzAccessToken(f *testing.F) {
	a, err := NewAccounts(nil, Options{Secret: strings.Repeat("s", 32)})
	if err != nil {
		f.Fatal(err)
	}
	raw, _, err := a.newAccessToken(Session{ID: "s_x"}, Account{ID: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, s string) {
		if _, _, err := a.accessToken(s); err == nil && s != raw {
			t.Fatalf("%q is taken", s)
		}
	})
}

func FuzzFields(f *testing.F) {
	f.Add("Ann@Example.com", "ann", "Ann")
	f.Add("a@b.c\r\nBcc: x@y.z", "\xff", "\u0000\u202e")
	f.Fuzz(func(t *testing.T, email, username, name string) {
		if e, err := emailField(email); err == nil {
			if again, err := emailField(e); err != nil || again != e || strings.ContainsAny(e, "\r\n ") {
				t.Fatalf("address %q is kept as %q, then %q (%v)", email, e, again, err)
			}
		}
		if u, err := usernameField(username); err == nil {
			if again, err := usernameField(u); err != nil || again != u || strings.Contains(u, "@") {
				t.Fatalf("username %q is kept as %q, then %q (%v)", username, u, again, err)
			}
		}
		if n, err := nameField(name); err == nil {
			if again, err := nameField(n); err != nil || again != n || strings.ContainsAny(n, "\n\x00") {
				t.Fatalf("name %q is kept as %q, then %q (%v)", name, n, again, err)
			}
		}
	})
}
