package identity_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"

	"github.com/kuranty/kuranty/internal/identity"
)

// keyServer serves key sets over real sockets. It runs outside of bubbles, whose clock
// therefore moves only while nobody waits for it.
type keyServer struct {
	*httptest.Server
	requests atomic.Int64
	mu       sync.Mutex
	handler  http.HandlerFunc
	paths    []string
}

func serveKeys(t *testing.T, keys ...jose.JSONWebKey) *keyServer {
	t.Helper()
	s := &keyServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		s.mu.Lock()
		h := s.handler
		s.paths = append(s.paths, r.URL.EscapedPath())
		s.mu.Unlock()
		h(w, r)
	}))
	t.Cleanup(s.Close)
	s.serve(t, keys...)
	return s
}

// serve replaces the keys.
func (s *keyServer) serve(t *testing.T, keys ...jose.JSONWebKey) {
	t.Helper()
	body, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	s.answer(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })
}

func (s *keyServer) answer(h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler = h
}

// wantRequests checks the number of requests since the last call.
func (s *keyServer) wantRequests(t *testing.T, want int64) {
	t.Helper()
	if got := s.requests.Swap(0); got != want {
		t.Errorf("%d requests for keys, want %d", got, want)
	}
}

func jwk(kid, use, alg string, k any) jose.JSONWebKey {
	return jose.JSONWebKey{KeyID: kid, Use: use, Algorithm: alg, Key: k}
}

func signed(t *testing.T, alg, kid string, k any, claims string) string {
	t.Helper()
	return token(t, alg, k, fmt.Sprintf(`{"alg":%q,"kid":%q}`, alg, kid), claims)
}

func wantError(t *testing.T, v *identity.Verifier, raw string, want error) {
	t.Helper()
	if _, err := v.ConnectionToken(t.Context(), raw); !is(err, want) {
		t.Errorf("error = %v, want %v", err, want)
	}
}

func TestJWKSFamilies(t *testing.T) {
	k := keys()
	s := serveKeys(
		t, jwk("r", "sig", "", k["rsa"].Public()), jwk("r256", "sig", "RS256", k["rsa"].Public()),
		jwk("p256", "sig", "", k["p256"].Public()), jwk("p521", "sig", "ES512", k["p521"].Public()),
		jwk("ed", "sig", "", k["ed"].Public()), jwk("enc", "enc", "", k["rsa"].Public()), jwk("nouse", "", "", k["rsa"].Public()),
		jwk("", "sig", "", k["rsa"].Public()), jwk("oct", "sig", "", []byte(secret)), jwk("private", "sig", "", k["rsa"]),
		// Two keys of one kid: either may be it.
		jwk("twice", "sig", "", k["p384"].Public()), jwk("twice", "sig", "", k["rsa"].Public()), jwk("twice", "enc", "", k["ed"].Public()),
	)
	// A key no library knows does not spoil the others.
	s.mu.Lock()
	old := s.handler
	s.mu.Unlock()
	s.answer(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		old(rec, r)
		_, _ = w.Write([]byte(strings.Replace(rec.Body.String(), `[`, `[{"kty":"AKP","kid":"new","use":"sig"},null,7,`, 1)))
	})
	// The static keys do not count beside a key set.
	v := newVerifier(t, identity.VerifierOptions{JWKSEndpoint: s.URL + "/keys", HMACSecret: secret, RSAPublicKey: publicPEM(t, k["rsa"])})
	tests := []struct {
		alg, kid string
		key      any
		want     error
	}{
		{"RS256", "r", k["rsa"], nil},
		{"RS512", "r", k["rsa"], nil},
		{"PS384", "r", k["rsa"], nil},
		{"RS256", "r256", k["rsa"], nil},
		{"RS384", "r256", k["rsa"], identity.ErrInvalid},
		{"PS256", "r256", k["rsa"], identity.ErrInvalid},
		{"ES256", "p256", k["p256"], nil},
		{"ES512", "p521", k["p521"], nil},
		{"EdDSA", "ed", k["ed"], nil},
		{"ES384", "twice", k["p384"], nil},
		{"RS256", "twice", k["rsa"], nil},
		{"EdDSA", "twice", k["ed"], identity.ErrInvalid},
		{"RS256", "p256", k["rsa"], identity.ErrInvalid},
		{"RS256", "", k["rsa"], identity.ErrInvalid},
		{"HS256", "oct", []byte(secret), identity.ErrInvalid},
		{"HS256", "r", []byte(secret), identity.ErrInvalid},
	}
	for _, tt := range tests {
		if _, err := v.ConnectionToken(t.Context(), signed(t, tt.alg, tt.kid, tt.key, `{}`)); !is(err, tt.want) {
			t.Errorf("%s with key %q: %v, want %v", tt.alg, tt.kid, err, tt.want)
		}
	}
	s.wantRequests(t, 1)
	for _, kid := range []string{"enc", "nouse", "private", "new"} { // known to the set, but not usable
		if _, err := v.ConnectionToken(t.Context(), signed(t, "RS256", kid, k["rsa"], `{}`)); err == nil {
			t.Errorf("key %q is used", kid)
		}
	}
	if _, err := v.ConnectionToken(t.Context(), token(t, "RS256", k["rsa"], `{"alg":"RS256"}`, `{}`)); !errors.Is(err, identity.ErrInvalid) {
		t.Errorf("without kid: %v", err)
	}
}

func TestJWKSRotation(t *testing.T) {
	k := keys()
	s := serveKeys(t, jwk("a", "sig", "", k["p256"].Public()))
	synctest.Test(t, func(t *testing.T) {
		v := newVerifier(t, identity.VerifierOptions{JWKSEndpoint: s.URL})
		a, b := signed(t, "ES256", "a", k["p256"], `{}`), signed(t, "EdDSA", "b", k["ed"], `{}`)
		wantError(t, v, a, nil)
		wantError(t, v, a, nil)
		s.wantRequests(t, 1)

		// b is published: unknown while a fetch would be too early, then fetched.
		s.serve(t, jwk("a", "sig", "", k["p256"].Public()), jwk("b", "sig", "", k["ed"].Public()))
		time.Sleep(9 * time.Second)
		wantError(t, v, b, identity.ErrKeysUnavailable)
		s.wantRequests(t, 0)
		time.Sleep(time.Second)
		wantError(t, v, b, nil)
		s.wantRequests(t, 1)

		// b is withdrawn: it lives on until its hour ends, however often it is used.
		s.serve(t, jwk("a", "sig", "", k["p256"].Public()))
		for range 59 {
			time.Sleep(time.Minute)
			wantError(t, v, b, nil)
		}
		s.wantRequests(t, 0)
		time.Sleep(time.Minute)
		wantError(t, v, b, identity.ErrInvalid)
		wantError(t, v, a, nil)
		s.wantRequests(t, 1)

		// Or until the next fetch, whatever caused it.
		s.serve(t, jwk("b", "sig", "", k["ed"].Public()))
		time.Sleep(time.Minute)
		wantError(t, v, b, nil)
		s.wantRequests(t, 1)
		time.Sleep(time.Minute)
		wantError(t, v, a, identity.ErrInvalid)
		s.wantRequests(t, 1)
	})
}

func TestJWKSOutage(t *testing.T) {
	k := keys()
	good := jwk("a", "sig", "", k["p256"].Public())
	s := serveKeys(t, good)
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	outages := map[string]http.HandlerFunc{
		"500":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"204":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) },
		"no JSON":  func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"null":     func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("null")) },
		"no keys":  func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) },
		"too large": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"keys":[]` + strings.Repeat(" ", 1<<20) + `}`))
		},
		"broken off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte(`{"keys":[]}`))
		},
	}
	for name, outage := range outages {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVerifier(t, identity.VerifierOptions{JWKSEndpoint: s.URL})
				a := signed(t, "ES256", "a", k["p256"], `{}`)
				s.serve(t, good)
				s.requests.Store(0)
				wantError(t, v, a, nil)
				s.answer(outage)
				time.Sleep(59 * time.Minute)
				wantError(t, v, signed(t, "ES256", "b", k["p256"], `{}`), identity.ErrKeysUnavailable)
				wantError(t, v, a, nil) // what is known lives on
				s.wantRequests(t, 3)    // two of them attempts of one fetch
				time.Sleep(time.Minute)
				wantError(t, v, a, identity.ErrKeysUnavailable)
				wantError(t, v, a, identity.ErrKeysUnavailable)
				s.wantRequests(t, 2)
				s.serve(t, good)
				time.Sleep(10 * time.Second)
				wantError(t, v, a, nil)
				s.wantRequests(t, 1)
			})
		})
	}
	if elsewhere.Load() != 0 {
		t.Error("a redirect was followed")
	}
	t.Run("second attempt", func(t *testing.T) {
		v := newVerifier(t, identity.VerifierOptions{JWKSEndpoint: s.URL})
		s.serve(t, good)
		s.mu.Lock()
		serve := s.handler
		s.mu.Unlock()
		var first atomic.Bool
		s.answer(func(w http.ResponseWriter, r *http.Request) {
			if first.CompareAndSwap(false, true) {
				panic(http.ErrAbortHandler)
			}
			serve(w, r)
		})
		wantError(t, v, signed(t, "ES256", "a", k["p256"], `{}`), nil)
	})
	t.Run("nobody listens", func(t *testing.T) {
		gone := httptest.NewServer(nil)
		gone.Close()
		v := newVerifier(t, identity.VerifierOptions{JWKSEndpoint: gone.URL})
		wantError(t, v, signed(t, "ES256", "a", k["p256"], `{}`), identity.ErrKeysUnavailable)
	})
	t.Run("no answer", func(t *testing.T) { // takes the two seconds of two attempts
		release := make(chan struct{})
		s.answer(func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-release:
			}
		})
		defer close(release)
		v := newVerifier(t, identity.VerifierOptions{JWKSEndpoint: s.URL})
		raw := signed(t, "ES256", "a", k["p256"], `{}`)
		first := make(chan error)
		go func() {
			_, err := v.ConnectionToken(context.Background(), raw)
			first <- err
		}()
		// Who has less patience than the fetch needs leaves earlier.
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		for s.requests.Load() == 0 {
			<-time.After(time.Millisecond)
		}
		if _, err := v.ConnectionToken(ctx, raw); !errors.Is(err, identity.ErrKeysUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("impatient: %v", err)
		}
		if err := <-first; !errors.Is(err, identity.ErrKeysUnavailable) {
			t.Errorf("patient: %v", err)
		}
	})
}

func TestS3_UnverifiedTokensCauseOneFetchInTenSeconds(t *testing.T) {
	k := keys()
	s := serveKeys(t, jwk("a", "sig", "", k["p256"].Public()))
	t.Run("at once", func(t *testing.T) {
		v := newVerifier(t, identity.VerifierOptions{JWKSEndpoint: s.URL})
		good := signed(t, "ES256", "a", k["p256"], `{}`)
		var wg sync.WaitGroup
		for i := range 50 {
			raw := good
			if i%2 == 1 {
				raw = signed(t, "ES256", fmt.Sprint("guess", i), k["p256"], `{}`)
			}
			wg.Go(func() {
				_, err := v.ConnectionToken(t.Context(), raw)
				if i%2 == 0 && err != nil || i%2 == 1 && err == nil {
					t.Errorf("token %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		s.wantRequests(t, 1)
	})
	t.Run("for long", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			v := newVerifier(t, identity.VerifierOptions{JWKSEndpoint: s.URL})
			stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			good := signed(t, "ES256", "a", k["p256"], `{}`)
			for i := range 100 { // two a second
				if _, err := v.ConnectionToken(t.Context(), signed(t, "ES256", fmt.Sprint("guess", i), stranger, `{}`)); err == nil {
					t.Error("a stranger's token is taken")
				}
				wantError(t, v, good, nil)
				time.Sleep(500 * time.Millisecond)
			}
			s.wantRequests(t, 5)
			// What needs no keys asks for none.
			time.Sleep(time.Minute)
			for _, raw := range []string{
				token(t, "HS256", []byte(secret), `{"alg":"HS256","kid":"x"}`, `{}`),
				b64(`{"alg":"none","kid":"x"}`) + "." + b64(`{}`) + ".",
				token(t, "ES256", stranger, `{"alg":"ES256"}`, `{}`),
				token(t, "ES256", stranger, `{"alg":"ES256","kid":"x","jku":"`+s.URL+`"}`, `{}`),
			} {
				wantError(t, v, raw, identity.ErrInvalid)
			}
			s.wantRequests(t, 0)
		})
	})
}

func TestS3_TemplateTakesListedValuesOnly(t *testing.T) {
	k := keys()
	s := serveKeys(t, jwk("a", "sig", "", k["p256"].Public()))
	v := newVerifier(t, identity.VerifierOptions{
		JWKSEndpoint:  s.URL + "/{{tenant}}/{{env}}/keys",
		IssuerRegex:   `^https://idp\.example\.com/(?P<tenant>acme|a b|globex)$`,
		AudienceRegex: `^app-(?P<env>test|live)$`,
	})
	tests := []struct {
		claims, path string
		want         error
	}{
		{`{"iss":"https://idp.example.com/acme","aud":"app-live"}`, "/acme/live/keys", nil},
		{`{"iss":"https://idp.example.com/a b","aud":["x","app-test"]}`, "/a%20b/test/keys", nil},
		{`{"iss":"https://idp.example.com/evil","aud":"app-live"}`, "", identity.ErrInvalid},
		{`{"iss":"https://idp.example.com/acme","aud":"app-../../x"}`, "", identity.ErrInvalid},
		{`{"iss":"https://idp.example.com/acme/../evil","aud":"app-live"}`, "", identity.ErrInvalid},
		{`{"iss":"https://idp.example.com/acme"}`, "", identity.ErrInvalid},
		{`{"aud":"app-live"}`, "", identity.ErrInvalid},
		{`{"iss":7}`, "", identity.ErrInvalid},
	}
	for _, tt := range tests {
		s.mu.Lock()
		s.paths = nil
		s.mu.Unlock()
		if _, err := v.ConnectionToken(t.Context(), signed(t, "ES256", "a", k["p256"], tt.claims)); !is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.claims, err, tt.want)
		}
		s.mu.Lock()
		if got := strings.Join(s.paths, " "); got != tt.path {
			t.Errorf("%s: asked for %q, want %q", tt.claims, got, tt.path)
		}
		s.mu.Unlock()
	}
}

// A key of one tenant's set does not verify a token that says it is another's.
func TestS3_KeysBelongToTheirURL(t *testing.T) {
	k := keys()
	mine := map[string]crypto.Signer{"/one": k["p256"], "/two": k["ed"]}
	s := serveKeys(t)
	s.answer(func(w http.ResponseWriter, r *http.Request) {
		body, _ := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{jwk("a", "sig", "", mine[r.URL.Path].Public())}})
		_, _ = w.Write(body)
	})
	v := newVerifier(t, identity.VerifierOptions{JWKSEndpoint: s.URL + "/{{t}}", IssuerRegex: "^(?P<t>one|two)$"})
	wantError(t, v, signed(t, "ES256", "a", k["p256"], `{"iss":"one"}`), nil)
	wantError(t, v, signed(t, "EdDSA", "a", k["ed"], `{"iss":"two"}`), nil)
	wantError(t, v, signed(t, "ES256", "a", k["p256"], `{"iss":"two"}`), identity.ErrInvalid)
	wantError(t, v, signed(t, "EdDSA", "a", k["ed"], `{"iss":"one"}`), identity.ErrInvalid)
}

func TestTemplateMustBeFinite(t *testing.T) {
	tests := []struct{ endpoint, issuer, audience, want string }{
		{"https://x/{{t}}", `(?P<t>a|b|cde|cdf|g?)`, "", ""},
		{"https://x/{{t}}", `(?P<t>tenant[1-9])`, "", ""},
		{"https://x/{{t}}", "", `^(x(?P<t>(a|b)(c|d)))$`, ""},
		{"https://x/k-{{t}}-{{t}}.json", `(?P<t>a|b)`, "", ""},
		{"https://x/{{t}}", `(?P<t>.+)`, "", "issuer_regex"},
		{"https://x/{{t}}", `(?P<t>a*)`, "", "issuer_regex"},
		{"https://x/{{t}}", `(?P<t>a{2})`, "", "issuer_regex"},
		{"https://x/{{t}}", `(?P<t>\w)(?P<u>x)`, "", ""},
		{"https://x/{{t}}", `(?P<t>\w\w)`, "", "issuer_regex"}, // more than a thousand
		{"https://x/{{t}}", `(?P<t>(?i)ab|c)`, "", "issuer_regex"},
		{"https://x/{{t}}", `(?P<t>[^/])`, "", "issuer_regex"},
		{"https://x/{{t}}", "", `(?P<t>a|.*)`, "audience_regex"},
		{"https://x/{{t}}", `(?P<t>a|\.\.)`, "", `".."`},
		{"https://x/{{t}}", `(?P<u>a)`, "", "neither"},
		{"https://x/{{t}}", "", "", "neither"},
		{"https://x/{{}}", `(a)`, "", "neither"},
		{"https://x/{{t}}", `(?P<t>a)`, `(?P<t>a)`, "both"},
		{"https://{{t}}/x", `(?P<t>a)`, "", "path"},
		{"https://{{t}}.example.com/x", `(?P<t>a)`, "", "path"},
		{"https://x?{{t}}", `(?P<t>a)`, "", "path"},
		{"https://x/?k={{t}}", `(?P<t>a)`, "", "path"},
		{"{{t}}://x/", `(?P<t>https)`, "", "http"},
		{"https://x/\x7f", "", "", "URL"},
	}
	for _, tt := range tests {
		_, err := identity.NewVerifier(identity.VerifierOptions{JWKSEndpoint: tt.endpoint, IssuerRegex: tt.issuer, AudienceRegex: tt.audience})
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s with %s %s: %v, want %q", tt.endpoint, tt.issuer, tt.audience, err, tt.want)
		}
	}
}
