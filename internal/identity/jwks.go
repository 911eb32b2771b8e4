package identity

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"
)

// Figures of auth-and-channels.md §2.1 and guarantees.md S3.
const (
	keyLifetime   = time.Hour        // of a fetched key, however often it is used
	fetchInterval = 10 * time.Second // between the fetches of one URL
	fetchAttempts = 2
	fetchTimeout  = time.Second // of one attempt
	keySetSize    = 1 << 20     // bytes
)

// keySets holds the key sets of one verifier: one, or one for each way to fill the
// template.
type keySets struct {
	template    template
	issuer, aud *regexp.Regexp
	client      *http.Client

	mu   sync.Mutex
	sets map[string]*keySet // by URL, which the template bounds
}

// keySet is one URL's keys. Those of a fetch replace all earlier ones, so that a
// withdrawn key is gone with the next fetch and at the latest after its hour.
type keySet struct {
	keys    map[string][]publicKey // by kid
	fetched time.Time              // when keys were
	tried   time.Time              // when the last fetch began
	flight  chan struct{}          // closed when the fetch under way has ended; nil if there is none
}

// publicKey is a key of a set; alg is the only algorithm it is for, or empty.
type publicKey struct {
	public any
	alg    string
}

func newKeySets(endpoint string, issuer, aud *regexp.Regexp) (*keySets, error) {
	t, err := parseTemplate(endpoint, issuer, aud)
	if err != nil {
		return nil, err
	}
	return &keySets{
		template: t, issuer: issuer, aud: aud,
		sets: make(map[string]*keySet),
		client: &http.Client{
			Timeout: fetchTimeout,
			// No proxy of the environment, and no connection that outlives its fetch.
			Transport:     &http.Transport{DisableKeepAlives: true, ForceAttemptHTTP2: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// verify checks t's signature with the keys of its kid.
func (s *keySets) verify(ctx context.Context, t *token) error {
	kid, alg := t.header.Kid, t.header.Alg
	if kid == "" {
		return fmt.Errorf("%w: it has no kid", ErrInvalid)
	}
	method := jwt.GetSigningMethod(alg)
	if method == nil || strings.HasPrefix(alg, "HS") || alg == "none" {
		return fmt.Errorf("%w: no key for algorithm %.20q", ErrInvalid, alg)
	}
	address, err := s.template.fill(t.payload, s.issuer, s.aud)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	keys, err := s.find(ctx, address, kid)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if fits(k.public, alg) && (k.alg == "" || k.alg == alg) && method.Verify(t.signed, t.signature, k.public) == nil {
			return nil
		}
	}
	return fmt.Errorf("%w: signature", ErrInvalid)
}

// find returns the keys named kid of the set at address, fetching the set if it is
// not known or has no such key. Where the last fetch is too fresh for another, nobody
// knows whether the key exists, and the error is [ErrKeysUnavailable].
func (s *keySets) find(ctx context.Context, address, kid string) ([]publicKey, error) {
	arrived := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	set := s.sets[address]
	if set == nil {
		set = &keySet{}
		s.sets[address] = set
	}
	for {
		now := time.Now()
		fresh := !set.fetched.IsZero() && now.Sub(set.fetched) < keyLifetime
		keys := set.keys[kid]
		switch {
		case fresh && keys != nil:
			return keys, nil
		case set.flight != nil:
			flight := set.flight
			s.mu.Unlock()
			select {
			case <-flight:
			case <-ctx.Done():
			}
			s.mu.Lock()
			if ctx.Err() != nil {
				return nil, fmt.Errorf("%w: %w", ErrKeysUnavailable, ctx.Err())
			}
		case !set.tried.IsZero() && !set.tried.Before(arrived):
			// A fetch that began after the call did has ended.
			if fresh && set.fetched.Equal(set.tried) {
				return nil, fmt.Errorf("%w: the key set has no key %.40q", ErrInvalid, kid)
			}
			return nil, fmt.Errorf("%w: fetching %s did not succeed", ErrKeysUnavailable, address)
		case !set.tried.IsZero() && now.Sub(set.tried) < fetchInterval:
			return nil, fmt.Errorf("%w: %s was fetched less than %v ago", ErrKeysUnavailable, address, fetchInterval)
		default:
			flight := make(chan struct{})
			set.flight, set.tried = flight, now
			s.mu.Unlock()
			// Others wait for this fetch too, so it does not end with this call.
			keys, err := s.fetch(context.WithoutCancel(ctx), address)
			s.mu.Lock()
			set.flight = nil
			close(flight)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrKeysUnavailable, err)
			}
			set.keys, set.fetched = keys, now
		}
	}
}

// fetch gets the key set at address, in at most two attempts of a second each.
func (s *keySets) fetch(ctx context.Context, address string) (keys map[string][]publicKey, err error) {
	defer func() { // callers wait for the end of this, whatever the set makes its parser do
		if p := recover(); p != nil {
			err = fmt.Errorf("fetch key set: panic: %v", p)
		}
	}()
	for range fetchAttempts {
		if keys, err = s.fetchOnce(ctx, address); err == nil {
			return keys, nil
		}
	}
	return nil, fmt.Errorf("fetch key set: %w", err)
}

func (s *keySets) fetchOnce(ctx context.Context, address string) (map[string][]publicKey, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", address, resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, keySetSize+1))
	if err != nil {
		return nil, err
	}
	if len(body) > keySetSize {
		return nil, fmt.Errorf("%s sent more than %d bytes", address, keySetSize)
	}
	return parseKeySet(body)
}

// parseKeySet returns the public signing keys of a set (RFC 7517 §5) by kid. Keys of
// other kinds and uses are passed over, also those that state no use.
func parseKeySet(body []byte) (map[string][]publicKey, error) {
	var set struct {
		Keys []jsontext.Value `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	if set.Keys == nil {
		return nil, errors.New("key set: it has no keys")
	}
	keys := make(map[string][]publicKey)
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(raw) != nil || k.KeyID == "" || k.Use != "sig" {
			continue
		}
		switch k.Key.(type) {
		case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
			keys[k.KeyID] = append(keys[k.KeyID], publicKey{k.Key, k.Algorithm})
		}
	}
	return keys, nil
}

// template is the URL of a key set: text, then alternately a value and text.
type template struct {
	texts []string
	names []string
}

var slot = regexp.MustCompile(`\{\{([^{}]*)\}\}`)

func parseTemplate(endpoint string, issuer, aud *regexp.Regexp) (template, error) {
	var t template
	end := 0
	for _, m := range slot.FindAllStringSubmatchIndex(endpoint, -1) {
		t.texts = append(t.texts, endpoint[end:m[0]])
		t.names = append(t.names, endpoint[m[2]:m[3]])
		end = m[1]
	}
	t.texts = append(t.texts, endpoint[end:])
	u, err := url.Parse(strings.Join(t.texts, "x"))
	if err != nil {
		return t, errors.New("it is no URL")
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return t, errors.New("it is no http or https URL")
	}
	if len(t.names) == 0 {
		return t, nil
	}
	// The text before the first slot must hold the whole host, and no slot may come
	// after the path.
	before := t.texts[0]
	if !strings.Contains(strings.TrimPrefix(strings.TrimPrefix(before, "https://"), "http://"), "/") ||
		strings.ContainsAny(strings.Join(t.texts[:len(t.names)], ""), "?#") {
		return t, errors.New("{{name}} may stand in the path only")
	}
	for _, name := range t.names {
		inIssuer, inAud := groupIn(issuer, name), groupIn(aud, name)
		switch {
		case inIssuer && inAud:
			return t, fmt.Errorf("{{%s}} is a group of both issuer_regex and audience_regex", name)
		case inIssuer:
			err = finiteGroup("issuer_regex", issuer, name)
		case inAud:
			err = finiteGroup("audience_regex", aud, name)
		default:
			err = fmt.Errorf("{{%s}} is a group of neither issuer_regex nor audience_regex", name)
		}
		if err != nil {
			return t, err
		}
	}
	return t, nil
}

func groupIn(r *regexp.Regexp, name string) bool { return r != nil && r.SubexpIndex(name) > 0 }

// fill returns the URL for a token with the given claims. They are not verified yet:
// all they do is to choose one of the values that the configuration lists.
func (t *template) fill(payload []byte, issuer, aud *regexp.Regexp) (string, error) {
	if len(t.names) == 0 {
		return t.texts[0], nil
	}
	var c struct {
		Iss string   `json:"iss"`
		Aud audience `json:"aud"`
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		return "", fmt.Errorf("claims: %v", err)
	}
	var b strings.Builder
	for i, name := range t.names {
		r, list := issuer, []string{c.Iss}
		if !groupIn(issuer, name) {
			r, list = aud, c.Aud
		}
		m := firstMatch(r, list)
		if m == nil || m[r.SubexpIndex(name)] == "" {
			return "", fmt.Errorf("issuer or audience has no %s", name)
		}
		b.WriteString(t.texts[i])
		b.WriteString(url.PathEscape(m[r.SubexpIndex(name)]))
	}
	b.WriteString(t.texts[len(t.names)])
	return b.String(), nil
}
