package identity

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"
)

// MaxTokenSize bounds a token, in bytes (guarantees.md S2).
const MaxTokenSize = 8 << 10

// skew is what the clock of a token's issuer may be ahead of ours (guarantees.md R28).
// It is granted to nbf only: exp is also when the connection ends, which clients are
// told in seconds.
const skew = 60

var (
	// ErrExpired means that a token is valid but expired or not yet valid: the client
	// is to get another.
	ErrExpired = errors.New("token expired")
	// ErrInvalid means that a token is not valid; the text says why, for logs only.
	ErrInvalid = errors.New("invalid token")
	// ErrInfo means that an info or data of a valid token is no base64; such an error is
	// [ErrInvalid] too.
	ErrInfo = errors.New("malformed payload")
	// ErrKeysUnavailable means that the keys to verify a token with could not be
	// fetched now: the client is to come back later.
	ErrKeysUnavailable = errors.New("token keys unavailable")
)

// VerifierOptions are the keys of one kind of tokens and what their claims must be.
// With the zero value no token is valid.
type VerifierOptions struct {
	// HMACSecret verifies HS256, HS384 and HS512. HMACPrevious is accepted too, until
	// HMACPreviousUntil in seconds since 1970 (0 is for ever).
	HMACSecret, HMACPrevious string
	HMACPreviousUntil        int64
	// RSAPublicKey verifies RS and PS, ECDSAPublicKey the ES algorithm of its curve,
	// EdDSAPublicKey EdDSA (Ed25519): each PEM text, base64 of it, or the name of a
	// file with it.
	RSAPublicKey, ECDSAPublicKey, EdDSAPublicKey string
	// JWKSEndpoint is the URL of a key set, which then replaces all keys above. It may
	// hold {{name}} in its path, filled from the group of that name in IssuerRegex or
	// AudienceRegex; such a group must consist of literal alternatives.
	JWKSEndpoint string
	// Audience must be among the token's, or AudienceRegex match one of them; likewise
	// Issuer and IssuerRegex. The expressions are not anchored.
	Audience, AudienceRegex string
	Issuer, IssuerRegex     string
	// UserIDClaim names the claim that is the user; empty means sub.
	UserIDClaim string
	// RequireExp refuses tokens without exp.
	RequireExp bool
	// SkipSignature accepts any signature. It is for development on one's own machine.
	SkipSignature bool
}

// Verifier verifies tokens. It is safe for concurrent use.
type Verifier struct {
	o               VerifierOptions
	keys            map[string][]key // by algorithm
	sets            *keySets         // instead of keys, if not nil
	issuer, aud     *regexp.Regexp
	withoutExpCount atomic.Uint64
}

// key verifies signatures of one algorithm.
type key struct {
	method jwt.SigningMethod
	key    any
	until  int64 // in seconds since 1970; 0 is for ever
}

var userClaimName = regexp.MustCompile(`^[a-zA-Z_]+$`)

// NewVerifier returns a verifier with the options o. Its error names each option that
// is wrong, as the configuration file does.
func NewVerifier(o VerifierOptions) (*Verifier, error) {
	v := &Verifier{o: o}
	var errs []error
	wrong := func(name string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	var err error
	v.issuer, err = pattern(o.Issuer, o.IssuerRegex)
	wrong("issuer_regex", err)
	v.aud, err = pattern(o.Audience, o.AudienceRegex)
	wrong("audience_regex", err)
	if o.UserIDClaim != "" && !userClaimName.MatchString(o.UserIDClaim) {
		wrong("user_id_claim", fmt.Errorf("%q is not a name of letters and underscores", o.UserIDClaim))
	}
	if o.JWKSEndpoint != "" {
		v.sets, err = newKeySets(o.JWKSEndpoint, v.issuer, v.aud)
		wrong("jwks_public_endpoint", err)
	} else {
		v.keys = make(map[string][]key)
		if o.HMACSecret != "" {
			v.addHMAC(o.HMACSecret, 0)
		}
		if o.HMACPrevious != "" {
			v.addHMAC(o.HMACPrevious, o.HMACPreviousUntil)
		}
		wrong("rsa_public_key", v.addPublic(o.RSAPublicKey, "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"))
		wrong("ecdsa_public_key", v.addPublic(o.ECDSAPublicKey, "ES256", "ES384", "ES512"))
		wrong("eddsa_public_key", v.addPublic(o.EdDSAPublicKey, "EdDSA"))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return v, nil
}

// pattern compiles expr, which may not stand beside exact.
func pattern(exact, expr string) (*regexp.Regexp, error) {
	switch {
	case expr == "":
		return nil, nil
	case exact != "":
		return nil, errors.New("may not be set together with the exact value")
	}
	return regexp.Compile(expr)
}

func (v *Verifier) addHMAC(secret string, until int64) {
	for _, m := range []jwt.SigningMethod{jwt.SigningMethodHS256, jwt.SigningMethodHS384, jwt.SigningMethodHS512} {
		v.keys[m.Alg()] = append(v.keys[m.Alg()], key{m, []byte(secret), until})
	}
}

// addPublic adds the public key that value names, if any, for those of algs it fits.
func (v *Verifier) addPublic(value string, algs ...string) error {
	if value == "" {
		return nil
	}
	public, err := loadPublicKey(value)
	if err != nil {
		return err
	}
	useful := false
	for _, alg := range algs {
		if fits(public, alg) {
			v.keys[alg] = []key{{jwt.GetSigningMethod(alg), public, 0}}
			useful = true
		}
	}
	if !useful {
		return fmt.Errorf("a key of type %T fits none of %s", public, strings.Join(algs, ", "))
	}
	return nil
}

// ConnectionToken verifies a connection token. The error is [ErrInvalid], [ErrInfo],
// [ErrExpired] or [ErrKeysUnavailable].
func (v *Verifier) ConnectionToken(ctx context.Context, raw string) (ConnectionClaims, error) {
	var c claims
	user, err := v.verify(ctx, raw, &c)
	if err != nil {
		return ConnectionClaims{}, err
	}
	if c.Channel != "" {
		return ConnectionClaims{}, fmt.Errorf("%w: it is a subscription token", ErrInvalid)
	}
	now := time.Now().Unix()
	if err := v.current(&c, now); err != nil {
		return ConnectionClaims{}, err
	}
	out := ConnectionClaims{User: user, ExpireAt: c.expiry(now), Meta: present(c.Meta), Channels: c.Channels}
	if len(c.Subs) > 0 {
		out.Channels, out.Subs = nil, make(map[string]SubClaims, len(c.Subs))
	}
	for channel, s := range c.Subs {
		sub := SubClaims{Override: s.Overrides.override()}
		if sub.Info, sub.Data, err = payloads(s.Info, s.B64Info, s.Data, s.B64Data); err != nil {
			return ConnectionClaims{}, fmt.Errorf("%w: claim subs: %v", ErrInvalid, err)
		}
		out.Subs[channel] = sub
	}
	if out.Info, err = payload(c.Info, c.B64Info, "info"); err != nil {
		return out, fmt.Errorf("%w: %w: %v", ErrInvalid, ErrInfo, err)
	}
	return out, nil
}

// SubscriptionToken verifies a subscription token, but not that its user, channel and
// client are the right ones. The errors are those of ConnectionToken; with [ErrInfo]
// the claims are returned too.
func (v *Verifier) SubscriptionToken(ctx context.Context, raw string) (SubscriptionClaims, error) {
	var c claims
	user, err := v.verify(ctx, raw, &c)
	if err != nil {
		return SubscriptionClaims{}, err
	}
	now := time.Now().Unix()
	if err := v.current(&c, now); err != nil {
		return SubscriptionClaims{}, err
	}
	if c.Channel == "" {
		return SubscriptionClaims{}, fmt.Errorf("%w: it has no claim channel", ErrInvalid)
	}
	out := SubscriptionClaims{
		User: user, Channel: c.Channel, Client: c.Client, ExpireAt: c.expiry(now), Override: c.Overrides.override(),
	}
	if out.Info, out.Data, err = payloads(c.Info, c.B64Info, c.Data, c.B64Data); err != nil {
		return out, fmt.Errorf("%w: %w: %v", ErrInvalid, ErrInfo, err)
	}
	return out, nil
}

// WithoutExp returns how many valid tokens without exp have been accepted.
func (v *Verifier) WithoutExp() uint64 { return v.withoutExpCount.Load() }

// verify checks raw's structure, signature, audience and issuer, in this order, and
// decodes its claims into c.
func (v *Verifier) verify(ctx context.Context, raw string, c *claims) (user string, err error) {
	t, err := parse(raw)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if !v.o.SkipSignature {
		if err := v.checkSignature(ctx, &t); err != nil {
			return "", err
		}
	}
	if user, err = c.decode(t.payload, v.o.UserIDClaim); err != nil {
		return "", fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return user, v.checkParties(c)
}

// checkParties checks whom a verified token is for and of.
func (v *Verifier) checkParties(c *claims) error {
	if v.o.Audience != "" && !c.Aud.has(v.o.Audience) || v.aud != nil && firstMatch(v.aud, c.Aud) == nil {
		return fmt.Errorf("%w: audience", ErrInvalid)
	}
	if v.o.Issuer != "" && c.Iss != v.o.Issuer || v.issuer != nil && !v.issuer.MatchString(c.Iss) {
		return fmt.Errorf("%w: issuer", ErrInvalid)
	}
	return nil
}

// current checks the times of a verified token.
func (v *Verifier) current(c *claims, now int64) error {
	switch {
	case !c.Exp.set && v.o.RequireExp:
		return fmt.Errorf("%w: it has no claim exp", ErrInvalid)
	case c.Exp.set && c.Exp.at <= now, c.Nbf.set && c.Nbf.at > now+skew:
		return ErrExpired
	case !c.Exp.set:
		v.withoutExpCount.Add(1)
	}
	return nil
}

// checkSignature verifies t with a key that is configured for its algorithm.
func (v *Verifier) checkSignature(ctx context.Context, t *token) error {
	if v.sets != nil {
		return v.sets.verify(ctx, t)
	}
	keys := v.keys[t.header.Alg]
	if len(keys) == 0 {
		return fmt.Errorf("%w: no key for algorithm %.20q", ErrInvalid, t.header.Alg)
	}
	for _, k := range keys {
		if k.until != 0 && time.Now().Unix() >= k.until {
			continue
		}
		if k.method.Verify(t.signed, t.signature, k.key) == nil {
			return nil
		}
	}
	return fmt.Errorf("%w: signature", ErrInvalid)
}

// token is a token taken apart; nothing in it has been verified.
type token struct {
	header    header
	payload   []byte
	signed    string // header and payload as they are signed
	signature []byte
}

// header is a token's header. The members after Kid would let a token bring its own
// keys, or ask for extensions we do not know; such a token is refused.
type header struct {
	Alg  string         `json:"alg"`
	Kid  string         `json:"kid"`
	JKU  jsontext.Value `json:"jku"`
	JWK  jsontext.Value `json:"jwk"`
	X5U  jsontext.Value `json:"x5u"`
	Crit jsontext.Value `json:"crit"`
}

// parse takes raw apart.
func parse(raw string) (t token, err error) {
	if len(raw) > MaxTokenSize {
		return t, fmt.Errorf("%d bytes, %d are allowed", len(raw), MaxTokenSize)
	}
	if strings.ContainsAny(raw, "\r\n") { // which the base64 decoder would skip
		return t, errors.New("line break")
	}
	last := strings.LastIndexByte(raw, '.')
	first := strings.IndexByte(raw, '.')
	if first == last {
		return t, errors.New("not three parts")
	}
	t.signed = raw[:last]
	if t.signature, err = segment.DecodeString(raw[last+1:]); err != nil {
		return t, fmt.Errorf("signature: %v", err)
	}
	head, err := segment.DecodeString(raw[:first])
	if err != nil {
		return t, fmt.Errorf("header: %v", err)
	}
	if t.payload, err = segment.DecodeString(raw[first+1 : last]); err != nil {
		return t, fmt.Errorf("claims: %v", err)
	}
	if err := json.Unmarshal(head, &t.header); err != nil {
		return t, fmt.Errorf("header: %v", err)
	}
	h := &t.header
	if h.JKU != nil || h.JWK != nil || h.X5U != nil || h.Crit != nil {
		return t, errors.New("a header member that names keys or critical extensions")
	}
	return t, nil
}

var segment = base64.RawURLEncoding.Strict()

// firstMatch returns the submatches of the first of list that r matches, or nil.
func firstMatch(r *regexp.Regexp, list []string) []string {
	for _, s := range list {
		if m := r.FindStringSubmatch(s); m != nil {
			return m
		}
	}
	return nil
}
