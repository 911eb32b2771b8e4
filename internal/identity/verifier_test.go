package identity_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/kuranty/kuranty/internal/identity"
)

const secret = "a secret of the tests"

// keys are private keys by the option that takes their public half.
var keys = sync.OnceValue(func() map[string]crypto.Signer {
	must := func(k crypto.Signer, err error) crypto.Signer {
		if err != nil {
			panic(err)
		}
		return k
	}
	ec := func(c elliptic.Curve) crypto.Signer {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		return must(k, err)
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	_, ed, err2 := ed25519.GenerateKey(rand.Reader)
	return map[string]crypto.Signer{
		"rsa": must(r, err), "ed": must(ed, err2),
		"p256": ec(elliptic.P256()), "p384": ec(elliptic.P384()), "p521": ec(elliptic.P521()),
	}
})

func publicPEM(tb testing.TB, k crypto.Signer) string {
	tb.Helper()
	der, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		tb.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func newVerifier(tb testing.TB, o identity.VerifierOptions) *identity.Verifier {
	tb.Helper()
	v, err := identity.NewVerifier(o)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// token signs header and claims, both JSON, with another implementation than ours
// where it can be asked to. key is what that implementation wants for alg.
func token(tb testing.TB, alg string, key any, header, claims string) string {
	tb.Helper()
	signed := b64(header) + "." + b64(claims)
	method := jwt.GetSigningMethod(alg)
	sig, err := method.Sign(signed, key)
	if err != nil {
		tb.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(sig)
}

// hs signs claims with HS256 and the tests' secret.
func hs(tb testing.TB, claims string) string {
	return token(tb, "HS256", []byte(secret), `{"alg":"HS256","typ":"JWT"}`, claims)
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// is tells whether err is want; nil wants no error.
func is(err, want error) bool {
	return err == nil && want == nil || want != nil && errors.Is(err, want)
}

func TestAlgorithmMatrix(t *testing.T) {
	k := keys()
	verifiers := map[string]identity.VerifierOptions{
		"hmac": {HMACSecret: secret},
		"rsa":  {RSAPublicKey: publicPEM(t, k["rsa"])},
		"p256": {ECDSAPublicKey: publicPEM(t, k["p256"])},
		"p384": {ECDSAPublicKey: publicPEM(t, k["p384"])},
		"p521": {ECDSAPublicKey: publicPEM(t, k["p521"])},
		"ed":   {EdDSAPublicKey: publicPEM(t, k["ed"])},
		"none": {},
		"all": {
			HMACSecret: secret, RSAPublicKey: publicPEM(t, k["rsa"]), ECDSAPublicKey: publicPEM(t, k["p384"]),
			EdDSAPublicKey: publicPEM(t, k["ed"]),
		},
	}
	algs := map[string]string{ // and the verifier that takes it
		"HS256": "hmac", "HS384": "hmac", "HS512": "hmac",
		"RS256": "rsa", "RS384": "rsa", "RS512": "rsa", "PS256": "rsa", "PS384": "rsa", "PS512": "rsa",
		"ES256": "p256", "ES384": "p384", "ES512": "p521", "EdDSA": "ed",
	}
	for name, o := range verifiers {
		v := newVerifier(t, o)
		for alg, of := range algs {
			var key any = []byte(secret)
			if of != "hmac" {
				key = k[of]
			}
			raw := token(t, alg, key, `{"alg":"`+alg+`"}`, `{"sub":"42"}`)
			takes := of == name || name == "all" && of != "p256" && of != "p521"
			c, err := v.ConnectionToken(t.Context(), raw)
			switch {
			case takes && (err != nil || c.User != "42"):
				t.Errorf("%s refuses %s: %v", name, alg, err)
			case !takes && !errors.Is(err, identity.ErrInvalid):
				t.Errorf("%s takes %s: %v", name, alg, err)
			}
			// The same with one bit of the signature changed, and with other claims.
			last := strings.LastIndexByte(raw, '.')
			sig, _ := base64.RawURLEncoding.DecodeString(raw[last+1:])
			sig[len(sig)/2] ^= 1
			parts := strings.Split(raw, ".")
			for _, forged := range []string{
				raw[:last+1] + base64.RawURLEncoding.EncodeToString(sig),
				parts[0] + "." + b64(`{"sub":"43"}`) + "." + parts[2],
				raw[:last+1],
			} {
				if _, err := v.ConnectionToken(t.Context(), forged); !errors.Is(err, identity.ErrInvalid) {
					t.Errorf("%s takes a forged %s: %v", name, alg, err)
				}
			}
		}
	}
}

func TestS2_AlgorithmConfusionAndKeyHeaders(t *testing.T) {
	k := keys()
	pub := publicPEM(t, k["rsa"])
	v := newVerifier(t, identity.VerifierOptions{HMACSecret: secret, RSAPublicKey: pub})
	onlyRSA := newVerifier(t, identity.VerifierOptions{RSAPublicKey: pub})
	claims := `{"sub":"42"}`
	refused := map[string]string{
		"public key as HMAC secret": token(t, "HS256", []byte(pub), `{"alg":"HS256"}`, claims),
		"none":                      b64(`{"alg":"none"}`) + "." + b64(claims) + ".",
		"none, signed":              token(t, "HS256", []byte(secret), `{"alg":"none"}`, claims),
		"None":                      b64(`{"alg":"None"}`) + "." + b64(claims) + ".",
		"lower case":                token(t, "HS256", []byte(secret), `{"alg":"hs256"}`, claims),
		"no alg":                    token(t, "HS256", []byte(secret), `{}`, claims),
		"null alg":                  token(t, "HS256", []byte(secret), `{"alg":null}`, claims),
		"list alg":                  token(t, "HS256", []byte(secret), `{"alg":["HS256"]}`, claims),
		"two algs":                  token(t, "HS256", []byte(secret), `{"alg":"none","alg":"HS256"}`, claims),
		"header is null":            token(t, "HS256", []byte(secret), `null`, claims),
		"empty secret":              token(t, "HS256", []byte{}, `{"alg":"HS256"}`, claims),
		"jku":                       token(t, "HS256", []byte(secret), `{"alg":"HS256","jku":"http://127.0.0.1/"}`, claims),
		"jku null":                  token(t, "HS256", []byte(secret), `{"alg":"HS256","jku":null}`, claims),
		"x5u":                       token(t, "HS256", []byte(secret), `{"alg":"HS256","x5u":"http://127.0.0.1/"}`, claims),
		"jwk":                       token(t, "HS256", []byte(secret), `{"alg":"HS256","jwk":{"kty":"oct","k":"AA"}}`, claims),
		"crit":                      token(t, "HS256", []byte(secret), `{"alg":"HS256","crit":["exp"]}`, claims),
	}
	for name, raw := range refused {
		for _, v := range []*identity.Verifier{v, onlyRSA} {
			if _, err := v.ConnectionToken(t.Context(), raw); !errors.Is(err, identity.ErrInvalid) {
				t.Errorf("%s: connection token: %v", name, err)
			}
			if _, err := v.SubscriptionToken(t.Context(), raw); !errors.Is(err, identity.ErrInvalid) {
				t.Errorf("%s: subscription token: %v", name, err)
			}
		}
	}
	// What the header may have: any typ, and members nobody knows.
	if _, err := v.ConnectionToken(t.Context(), token(t, "HS256", []byte(secret), `{"typ":"x","alg":"HS256","y":1}`, claims)); err != nil {
		t.Error(err)
	}
}

func TestS2_TokenSizeAndShape(t *testing.T) {
	v := newVerifier(t, identity.VerifierOptions{HMACSecret: secret})
	sized := func(size int) string {
		for pad := size * 3 / 4; ; pad-- {
			raw := hs(t, `{"sub":"42","pad":"`+strings.Repeat("x", pad)+`"}`)
			if len(raw) <= size {
				return raw
			}
		}
	}
	largest := sized(identity.MaxTokenSize)
	if len(largest) < identity.MaxTokenSize-2 {
		t.Fatalf("the test's token has %d bytes", len(largest))
	}
	if _, err := v.ConnectionToken(t.Context(), largest); err != nil {
		t.Errorf("%d bytes: %v", len(largest), err)
	}
	good := hs(t, `{"sub":"42"}`)
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	spare := good[:len(good)-1] + string(digits[strings.IndexByte(digits, good[len(good)-1])|1])
	tooLarge := hs(t, `{"sub":"42","pad":"`+strings.Repeat("x", identity.MaxTokenSize*3/4)+`"}`)
	for _, raw := range []string{
		tooLarge, "", ".", "..", "a.b", "a.b.c", "a.b.c.d", good + ".", "." + good, good + " ", " " + good, good + "\n",
		good + "=", strings.Replace(good, ".", ".\r\n", 1), strings.ToUpper(good),
		spare, // the same signature with bits behind it
	} {
		if _, err := v.ConnectionToken(t.Context(), raw); !errors.Is(err, identity.ErrInvalid) {
			t.Errorf("%.60q: %v", raw, err)
		}
	}
}

// In a bubble the clock stands at this time until somebody waits.
const now = 946684800 // 2000-01-01T00:00:00Z

func TestConnectionClaims(t *testing.T) {
	yes, no := true, false
	const year = 365 * 24 * 3600
	tests := []struct {
		claims string
		want   identity.ConnectionClaims
		err    error
	}{
		{claims: `{}`},
		{claims: `{"sub":"42"}`, want: identity.ConnectionClaims{User: "42"}},
		{claims: `{"sub":null}`},
		{claims: `{"sub":""}`},
		{claims: `{"sub":42}`, err: identity.ErrInvalid},
		{claims: `{"sub":true}`, err: identity.ErrInvalid},
		{claims: `{"sub":["42"]}`, err: identity.ErrInvalid},
		{claims: `{"sub":"\u0436"}`, want: identity.ConnectionClaims{User: "ж"}},
		{claims: `{"sub":"1","sub":"2"}`, err: identity.ErrInvalid},
		{claims: "{\"sub\":\"\xff\"}", err: identity.ErrInvalid},
		{claims: ``, err: identity.ErrInvalid},
		{claims: `null`, err: identity.ErrInvalid},
		{claims: `[]`, err: identity.ErrInvalid},
		{claims: `{"sub":"42"} x`, err: identity.ErrInvalid},

		{claims: `{"exp":946684860}`, want: identity.ConnectionClaims{ExpireAt: now + 60}},
		{claims: `{"exp":946684801.9}`, want: identity.ConnectionClaims{ExpireAt: now + 1}},
		{claims: `{"exp":"946684860"}`, want: identity.ConnectionClaims{ExpireAt: now + 60}},
		{claims: `{"exp":9.4668486e8}`, want: identity.ConnectionClaims{ExpireAt: now + 60}},
		{claims: `{"exp":946684800}`, err: identity.ErrExpired},
		{claims: `{"exp":946684800.9}`, err: identity.ErrExpired},
		{claims: `{"exp":0}`, err: identity.ErrExpired},
		{claims: `{"exp":-1}`, err: identity.ErrExpired},
		{claims: `{"exp":-1e400}`, err: identity.ErrExpired},
		{claims: `{"exp":null}`},
		{claims: `{"exp":1e400}`, want: identity.ConnectionClaims{ExpireAt: now + year}},
		{claims: `{"exp":99999999999}`, want: identity.ConnectionClaims{ExpireAt: now + year}},
		{claims: `{"exp":"soon"}`, err: identity.ErrInvalid},
		{claims: `{"exp":"NaN"}`, err: identity.ErrInvalid},
		{claims: `{"exp":""}`, err: identity.ErrInvalid},
		{claims: `{"exp":{}}`, err: identity.ErrInvalid},
		{claims: `{"exp":[1]}`, err: identity.ErrInvalid},
		{claims: `{"exp":true}`, err: identity.ErrInvalid},

		{claims: `{"exp":946684860,"expire_at":946684900}`, want: identity.ConnectionClaims{ExpireAt: now + 100}},
		{claims: `{"exp":946684860,"expire_at":0}`},
		{claims: `{"exp":946684860,"expire_at":-5}`},
		{claims: `{"exp":946684860,"expire_at":null}`, want: identity.ConnectionClaims{ExpireAt: now + 60}},
		{claims: `{"exp":946684860,"expire_at":5}`, want: identity.ConnectionClaims{ExpireAt: 5}},
		{claims: `{"expire_at":946684900}`, want: identity.ConnectionClaims{ExpireAt: now + 100}},
		{claims: `{"exp":1,"expire_at":946684900}`, err: identity.ErrExpired},
		{claims: `{"expire_at":1.5}`, err: identity.ErrInvalid},
		{claims: `{"expire_at":"946684900"}`, err: identity.ErrInvalid},

		{claims: `{"nbf":946684800,"iat":946684800}`},
		{claims: `{"nbf":946684860}`}, // R28: 60 s of skew
		{claims: `{"nbf":946684861}`, err: identity.ErrExpired},
		{claims: `{"nbf":null,"iat":null}`},
		{claims: `{"nbf":"x"}`, err: identity.ErrInvalid},
		{claims: `{"iat":"x"}`, err: identity.ErrInvalid},

		{claims: `{"info":{"a":[1, 2]}}`, want: identity.ConnectionClaims{Info: []byte(`{"a":[1, 2]}`)}},
		{claims: `{"info":null,"meta":null}`},
		{claims: `{"info":0}`, want: identity.ConnectionClaims{Info: []byte(`0`)}},
		{claims: `{"info":1,"b64info":"eyJhIjoxfQ=="}`, want: identity.ConnectionClaims{Info: []byte(`{"a":1}`)}},
		{claims: `{"b64info":"!"}`, err: identity.ErrInfo},
		{claims: `{"exp":1,"b64info":"!"}`, err: identity.ErrExpired},
		{claims: `{"meta":{"t":7}}`, want: identity.ConnectionClaims{Meta: []byte(`{"t":7}`)}},
		{claims: `{"meta":7}`, err: identity.ErrInvalid},
		{claims: `{"meta":[]}`, err: identity.ErrInvalid},

		{claims: `{"channels":["a","$b","#42"]}`, want: identity.ConnectionClaims{Channels: []string{"a", "$b", "#42"}}},
		{claims: `{"channels":null,"subs":null}`},
		{claims: `{"channels":"a"}`, err: identity.ErrInvalid},
		{claims: `{"channels":[1]}`, err: identity.ErrInvalid},
		{claims: `{"channels":["a"],"subs":{}}`, want: identity.ConnectionClaims{Channels: []string{"a"}}},
		{claims: `{"subs":[]}`, err: identity.ErrInvalid},
		{
			claims: `{"channels":["a"],"subs":{"b":null,"c":{"info":{"x":1},"b64data":"eyJhIjoxfQ==",
				"override":{"presence":{"value":true},"join_leave":{"value":false},"force_recovery":{},"force_positioning":null}}}}`,
			want: identity.ConnectionClaims{Subs: map[string]identity.SubClaims{"b": {}, "c": {
				Info: []byte(`{"x":1}`), Data: []byte(`{"a":1}`),
				Override: identity.Override{Presence: &yes, JoinLeave: &no},
			}}},
		},
		{claims: `{"subs":{"c":{"b64info":"!"}}}`, err: identity.ErrInvalid},
		{claims: `{"subs":{"c":{"override":{"presence":true}}}}`, err: identity.ErrInvalid},

		{claims: `{"channel":"a"}`, err: identity.ErrInvalid},
		{claims: `{"channel":"a","exp":1}`, err: identity.ErrInvalid}, // that before the time
		{claims: `{"channel":""}`},
		{claims: `{"jti":"x","caps":[],"labels":{},"other":{"deep":[{}]}}`},
	}
	for _, tt := range tests {
		t.Run(tt.claims, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVerifier(t, identity.VerifierOptions{HMACSecret: secret})
				got, err := v.ConnectionToken(t.Context(), hs(t, tt.claims))
				if !is(err, tt.err) {
					t.Fatalf("error = %v, want %v", err, tt.err)
				}
				if err == nil {
					if diff := cmp.Diff(tt.want, got); diff != "" {
						t.Error(diff)
					}
				}
				if errors.Is(tt.err, identity.ErrInfo) && !errors.Is(err, identity.ErrInvalid) {
					t.Error("the error is not ErrInvalid")
				}
				if errors.Is(tt.err, identity.ErrInvalid) && errors.Is(err, identity.ErrInfo) {
					t.Error("the error is ErrInfo")
				}
				// With a wrong signature nothing else counts.
				forged := token(t, "HS256", []byte("another"), `{"alg":"HS256"}`, tt.claims)
				if _, err := v.ConnectionToken(t.Context(), forged); !errors.Is(err, identity.ErrInvalid) || errors.Is(err, identity.ErrInfo) {
					t.Errorf("forged: %v", err)
				}
			})
		})
	}
}

func TestSubscriptionClaims(t *testing.T) {
	yes := true
	tests := []struct {
		claims string
		want   identity.SubscriptionClaims
		err    error
	}{
		{claims: `{"channel":"a"}`, want: identity.SubscriptionClaims{Channel: "a"}},
		{
			claims: `{"sub":"42","channel":"$a","client":"c","exp":946684860,"info":{"x":1},"data":[],"override":{"force_push_join_leave":{"value":true}}}`,
			want: identity.SubscriptionClaims{
				User: "42", Channel: "$a", Client: "c", ExpireAt: now + 60, Info: []byte(`{"x":1}`), Data: []byte(`[]`),
				Override: identity.Override{ForcePushJoinLeave: &yes},
			},
		},
		{claims: `{"channel":"a","exp":946684860,"expire_at":1}`, want: identity.SubscriptionClaims{Channel: "a", ExpireAt: 1}},
		{claims: `{"channel":"a","exp":946684860,"expire_at":0}`, want: identity.SubscriptionClaims{Channel: "a"}},
		{claims: `{"channel":"a","b64info":"MQ==","b64data":"Mg=="}`, want: identity.SubscriptionClaims{Channel: "a", Info: []byte("1"), Data: []byte("2")}},
		{claims: `{"sub":"42"}`, err: identity.ErrInvalid},
		{claims: `{"sub":"42","exp":1}`, err: identity.ErrExpired}, // that before the channel
		{claims: `{"channel":"a","exp":1}`, err: identity.ErrExpired},
		{claims: `{"channel":"a","nbf":946685000}`, err: identity.ErrExpired},
		{claims: `{"channel":1}`, err: identity.ErrInvalid},
		{claims: `{"channel":"a","sub":1}`, err: identity.ErrInvalid},
		{claims: `{"channel":"a","client":1}`, err: identity.ErrInvalid},
		{claims: `{"channel":"a","b64data":"!"}`, err: identity.ErrInfo},
	}
	for _, tt := range tests {
		t.Run(tt.claims, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVerifier(t, identity.VerifierOptions{HMACSecret: secret})
				got, err := v.SubscriptionToken(t.Context(), hs(t, tt.claims))
				if !is(err, tt.err) {
					t.Fatalf("error = %v, want %v", err, tt.err)
				}
				if diff := cmp.Diff(tt.want, got); err == nil && diff != "" {
					t.Error(diff)
				}
				if errors.Is(tt.err, identity.ErrInfo) && got.Channel != "a" {
					t.Error("the claims are not returned")
				}
			})
		})
	}
}

func TestS2_AudienceIssuerAndRequiredExp(t *testing.T) {
	tests := []struct {
		o      identity.VerifierOptions
		claims string
		ok     bool
	}{
		{identity.VerifierOptions{}, `{"aud":"x","iss":"y"}`, true},
		{identity.VerifierOptions{Audience: "a"}, `{"aud":"a"}`, true},
		{identity.VerifierOptions{Audience: "a"}, `{"aud":["b","a"]}`, true},
		{identity.VerifierOptions{Audience: "a"}, `{"aud":["b"]}`, false},
		{identity.VerifierOptions{Audience: "a"}, `{"aud":"ab"}`, false},
		{identity.VerifierOptions{Audience: "a"}, `{"aud":null}`, false},
		{identity.VerifierOptions{Audience: "a"}, `{"aud":[]}`, false},
		{identity.VerifierOptions{Audience: "a"}, `{"aud":{"a":1}}`, false},
		{identity.VerifierOptions{Audience: "a"}, `{}`, false},
		{identity.VerifierOptions{AudienceRegex: "^te"}, `{"aud":["x","test"]}`, true},
		{identity.VerifierOptions{AudienceRegex: "es"}, `{"aud":"test"}`, true}, // not anchored
		{identity.VerifierOptions{AudienceRegex: "^es"}, `{"aud":"test"}`, false},
		{identity.VerifierOptions{AudienceRegex: ""}, `{}`, true},
		{identity.VerifierOptions{AudienceRegex: ".*"}, `{}`, false}, // none at all
		{identity.VerifierOptions{Issuer: "i"}, `{"iss":"i"}`, true},
		{identity.VerifierOptions{Issuer: "i"}, `{"iss":"ii"}`, false},
		{identity.VerifierOptions{Issuer: "i"}, `{"iss":["i"]}`, false},
		{identity.VerifierOptions{Issuer: "i"}, `{}`, false},
		{identity.VerifierOptions{IssuerRegex: "^https://(a|b)$"}, `{"iss":"https://b"}`, true},
		{identity.VerifierOptions{IssuerRegex: "^https://(a|b)$"}, `{"iss":"https://c"}`, false},
		{identity.VerifierOptions{RequireExp: true}, `{}`, false},
		{identity.VerifierOptions{RequireExp: true}, `{"expire_at":99999999999}`, false},
		{identity.VerifierOptions{RequireExp: true}, `{"exp":99999999999}`, true},
		{identity.VerifierOptions{UserIDClaim: "uid"}, `{"sub":5,"uid":"42"}`, true},
	}
	for _, tt := range tests {
		tt.o.HMACSecret = secret
		v := newVerifier(t, tt.o)
		_, err := v.ConnectionToken(t.Context(), hs(t, tt.claims))
		if ok := err == nil; ok != tt.ok || !ok && !errors.Is(err, identity.ErrInvalid) {
			t.Errorf("%+v %s: %v", tt.o, tt.claims, err)
		}
	}
	// Wrong audience and expired: the audience is looked at first.
	v := newVerifier(t, identity.VerifierOptions{HMACSecret: secret, Audience: "a"})
	if _, err := v.ConnectionToken(t.Context(), hs(t, `{"exp":1}`)); !errors.Is(err, identity.ErrInvalid) {
		t.Errorf("expired for another audience: %v", err)
	}
	if v.WithoutExp() != 0 {
		t.Errorf("%d tokens without exp counted", v.WithoutExp())
	}
	_, _ = v.ConnectionToken(t.Context(), hs(t, `{"aud":"a"}`))
	_, _ = v.ConnectionToken(t.Context(), hs(t, `{"aud":"a","exp":99999999999}`))
	if v.WithoutExp() != 1 {
		t.Errorf("%d tokens without exp counted, want 1", v.WithoutExp())
	}
}

func TestUserIDClaim(t *testing.T) {
	v := newVerifier(t, identity.VerifierOptions{HMACSecret: secret, UserIDClaim: "uid"})
	for claims, want := range map[string]string{
		`{"uid":"42","sub":"1"}`: "42", `{"uid":42}`: "42", `{"uid":4.5e3}`: "4.5e3", `{"sub":"1"}`: "", `{"uid":null}`: "",
		`{"uid":"a\"b"}`: `a"b`,
	} {
		if c, err := v.ConnectionToken(t.Context(), hs(t, claims)); err != nil || c.User != want {
			t.Errorf("%s: %q, %v", claims, c.User, err)
		}
	}
	for _, claims := range []string{`{"uid":true}`, `{"uid":{}}`, `{"uid":["42"]}`} {
		if _, err := v.ConnectionToken(t.Context(), hs(t, claims)); !errors.Is(err, identity.ErrInvalid) {
			t.Errorf("%s: %v", claims, err)
		}
	}
}

func TestPreviousSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVerifier(t, identity.VerifierOptions{HMACSecret: secret, HMACPrevious: "old", HMACPreviousUntil: now + 60})
		old := token(t, "HS512", []byte("old"), `{"alg":"HS512"}`, `{}`)
		if _, err := v.ConnectionToken(t.Context(), old); err != nil {
			t.Errorf("before the deadline: %v", err)
		}
		time.Sleep(time.Minute)
		if _, err := v.ConnectionToken(t.Context(), old); !errors.Is(err, identity.ErrInvalid) {
			t.Errorf("at the deadline: %v", err)
		}
		if _, err := v.ConnectionToken(t.Context(), hs(t, `{}`)); err != nil {
			t.Errorf("the secret of today: %v", err)
		}
		v = newVerifier(t, identity.VerifierOptions{HMACPrevious: "old"})
		if _, err := v.ConnectionToken(t.Context(), old); err != nil {
			t.Errorf("without a deadline: %v", err)
		}
	})
}

func TestSkipSignature(t *testing.T) {
	v := newVerifier(t, identity.VerifierOptions{SkipSignature: true, Audience: "a"})
	raw := b64(`{"alg":"none"}`) + "." + b64(`{"sub":"42","aud":"a"}`) + "."
	if c, err := v.ConnectionToken(t.Context(), raw); err != nil || c.User != "42" {
		t.Errorf("%+v, %v", c, err)
	}
	for _, claims := range []string{`{"aud":"b"}`, `{"aud":"a","sub":1}`, `{"aud":"a","channel":"c"}`} {
		if _, err := v.ConnectionToken(t.Context(), b64(`{"alg":"none"}`)+"."+b64(claims)+"."); !errors.Is(err, identity.ErrInvalid) {
			t.Errorf("%s: %v", claims, err)
		}
	}
	if _, err := v.ConnectionToken(t.Context(), b64(`{"alg":"none"}`)+"."+b64(`{"aud":"a","exp":1}`)+"."); !errors.Is(err, identity.ErrExpired) {
		t.Errorf("expired: %v", err)
	}
}

func TestKeyForms(t *testing.T) {
	k := keys()["rsa"].(*rsa.PrivateKey)
	text := publicPEM(t, k)
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	pkcs1 := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&k.PublicKey)}))
	raw := token(t, "RS256", k, `{"alg":"RS256"}`, `{}`)
	for _, value := range []string{text, base64.StdEncoding.EncodeToString([]byte(text)), file, pkcs1, "\n" + text} {
		if _, err := newVerifier(t, identity.VerifierOptions{RSAPublicKey: value}).ConnectionToken(t.Context(), raw); err != nil {
			t.Errorf("%.30q: %v", value, err)
		}
	}
}

func TestWrongOptionsAreNamed(t *testing.T) {
	private, err := x509.MarshalPKCS8PrivateKey(keys()["rsa"])
	if err != nil {
		t.Fatal(err)
	}
	privatePEM := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	tests := []struct {
		o    identity.VerifierOptions
		want string
	}{
		{identity.VerifierOptions{Audience: "a", AudienceRegex: "b"}, "audience_regex: "},
		{identity.VerifierOptions{AudienceRegex: "("}, "audience_regex: "},
		{identity.VerifierOptions{Issuer: "a", IssuerRegex: "b"}, "issuer_regex: "},
		{identity.VerifierOptions{UserIDClaim: "a.b"}, "user_id_claim: "},
		{identity.VerifierOptions{RSAPublicKey: "/no/such/file"}, "rsa_public_key: "},
		{identity.VerifierOptions{RSAPublicKey: privatePEM}, `rsa_public_key: the PEM block is a "PRIVATE KEY"`},
		{identity.VerifierOptions{RSAPublicKey: publicPEM(t, keys()["p256"])}, "rsa_public_key: "},
		{identity.VerifierOptions{ECDSAPublicKey: publicPEM(t, keys()["rsa"])}, "ecdsa_public_key: "},
		{identity.VerifierOptions{EdDSAPublicKey: "-----BEGIN nothing"}, "eddsa_public_key: no PEM block"},
		{identity.VerifierOptions{JWKSEndpoint: "ftp://x/y"}, "jwks_public_endpoint: "},
		{identity.VerifierOptions{JWKSEndpoint: "/keys"}, "jwks_public_endpoint: "},
	}
	for _, tt := range tests {
		_, err := identity.NewVerifier(tt.o)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error = %v, want %q in it", err, tt.want)
		}
	}
	_, err = identity.NewVerifier(identity.VerifierOptions{IssuerRegex: "(", UserIDClaim: "1"})
	if err == nil || !strings.Contains(err.Error(), "issuer_regex") || !strings.Contains(err.Error(), "user_id_claim") {
		t.Errorf("not all mistakes are named: %v", err)
	}
}

func FuzzConnectionToken(f *testing.F) {
	for _, claims := range []string{
		`{"sub":"42","exp":99999999999,"info":{"a":1},"meta":{}}`, `{"sub":null,"aud":["a"],"iss":"b","exp":"1.5"}`,
		`{"subs":{"a":{"b64info":"MQ==","override":{"presence":{"value":true}}}},"channels":["x"]}`,
		`{"channel":"a","client":"b","expire_at":-1,"nbf":1e400}`, `null`, `[]`, ``,
	} {
		f.Add(`{"alg":"HS256"}`, claims)
	}
	f.Add(`{"alg":"none","kid":"x","jku":null}`, `{}`)
	strict, err := identity.NewVerifier(identity.VerifierOptions{HMACSecret: secret})
	if err != nil {
		f.Fatal(err)
	}
	lax, err := identity.NewVerifier(identity.VerifierOptions{SkipSignature: true, AudienceRegex: "a|^$", UserIDClaim: "sub"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, header, claims string) {
		unsigned := b64(header) + "." + b64(claims)
		sig, err := jwt.SigningMethodHS256.Sign(unsigned, []byte("another secret"))
		if err != nil {
			t.Fatal(err)
		}
		raw := unsigned + "." + base64.RawURLEncoding.EncodeToString(sig)
		for _, raw := range []string{raw, header, claims, header + "." + claims + "."} {
			if _, err := strict.ConnectionToken(t.Context(), raw); !errors.Is(err, identity.ErrInvalid) {
				t.Fatalf("a token signed by somebody else: %v", err)
			}
		}
		c, err := lax.ConnectionToken(t.Context(), raw)
		if err == nil && c.ExpireAt > time.Now().Unix()+365*24*3600 {
			t.Fatalf("expires at %d", c.ExpireAt)
		}
		s, err := lax.SubscriptionToken(t.Context(), raw)
		if err == nil && s.Channel == "" {
			t.Fatal("a subscription token without channel")
		}
		_, _, _ = identity.DecodeToken(raw)
	})
}

func BenchmarkConnectionToken(b *testing.B) {
	k := keys()
	o := identity.VerifierOptions{
		HMACSecret: secret, RSAPublicKey: publicPEM(b, k["rsa"]), ECDSAPublicKey: publicPEM(b, k["p256"]),
		EdDSAPublicKey: publicPEM(b, k["ed"]),
	}
	v := newVerifier(b, o)
	claims := fmt.Sprintf(`{"sub":"42","exp":%d,"info":{"name":"Ann"}}`, time.Now().Unix()+3600)
	for alg, key := range map[string]any{"HS256": []byte(secret), "RS256": k["rsa"], "ES256": k["p256"], "EdDSA": k["ed"]} {
		raw := token(b, alg, key, `{"alg":"`+alg+`","typ":"JWT"}`, claims)
		b.Run("alg="+alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.ConnectionToken(b.Context(), raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
