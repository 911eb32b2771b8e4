package identity

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"
)

// DefaultTTL is how long a token is valid that states no other time.
const DefaultTTL = 7 * 24 * time.Hour

// defaultAudience is whom tokens are for when nothing else is configured.
const defaultAudience = "kuranty"

// SignerOptions say how tokens are made.
type SignerOptions struct {
	// HMACSecret signs them, with HS256. It must not be empty.
	HMACSecret string
	// Audience and Issuer are those the verifier wants. An empty Audience means
	// "kuranty": every token made here has an audience.
	Audience, Issuer string
	// UserIDClaim names the claim that is the user; empty means sub.
	UserIDClaim string
}

// Signer makes tokens. It is safe for concurrent use.
type Signer struct{ o SignerOptions }

// NewSigner returns a signer with the options o; the error is about a missing secret.
func NewSigner(o SignerOptions) (*Signer, error) {
	if o.HMACSecret == "" {
		return nil, errors.New("make tokens: there is no HMAC secret (client.token.hmac_secret_key)")
	}
	if o.Audience == "" {
		o.Audience = defaultAudience
	}
	if o.UserIDClaim == "" {
		o.UserIDClaim = "sub"
	}
	return &Signer{o: o}, nil
}

// ConnectionTokenOptions are the claims of a connection token.
type ConnectionTokenOptions struct {
	// User is empty for an anonymous connection.
	User string
	// TTL is how long token and connection are valid, at most 365 days. Zero means
	// [DefaultTTL].
	TTL time.Duration
	// Info and Meta are JSON or empty, Meta an object.
	Info, Meta []byte
	// Channels are server-side subscriptions.
	Channels []string
}

// SubscriptionTokenOptions are the claims of a subscription token.
type SubscriptionTokenOptions struct {
	// User is the user of the connection that may subscribe, Channel the whole name.
	User, Channel string
	// TTL is how long token and subscription are valid, at most 365 days. Zero means
	// [DefaultTTL].
	TTL time.Duration
	// Info and Data are JSON or empty.
	Info, Data []byte
}

// CreateConnectionToken makes a connection token.
func (s *Signer) CreateConnectionToken(o ConnectionTokenOptions) (string, error) {
	if o.Meta != nil && jsontext.Value(o.Meta).Kind() != '{' {
		return "", errors.New("make token: meta is not a JSON object")
	}
	return s.sign(o.TTL, member{s.o.UserIDClaim, o.User}, member{"channels", o.Channels},
		member{"info", jsontext.Value(o.Info)}, member{"meta", jsontext.Value(o.Meta)})
}

// CreateSubscriptionToken makes a subscription token.
func (s *Signer) CreateSubscriptionToken(o SubscriptionTokenOptions) (string, error) {
	if o.Channel == "" {
		return "", errors.New("make token: the channel is empty")
	}
	return s.sign(o.TTL, member{s.o.UserIDClaim, o.User}, member{"channel", o.Channel},
		member{"info", jsontext.Value(o.Info)}, member{"data", jsontext.Value(o.Data)})
}

// member is a claim, left out if its value is empty.
type member struct {
	name  string
	value any
}

func (s *Signer) sign(ttl time.Duration, claims ...member) (string, error) {
	return s.signAt(time.Now(), ttl, claims...)
}

func (s *Signer) signAt(at time.Time, ttl time.Duration, claims ...member) (string, error) {
	if ttl == 0 {
		ttl = DefaultTTL
	}
	if ttl < time.Second || ttl > maxValidity {
		return "", fmt.Errorf("make token: valid for %v, must be from 1s to %v: every token expires", ttl, maxValidity)
	}
	now := at.Unix()
	claims = append(claims, member{"iat", now}, member{"exp", now + int64(ttl/time.Second)}, member{"aud", s.o.Audience})
	if s.o.Issuer != "" {
		claims = append(claims, member{"iss", s.o.Issuer})
	}
	var b bytes.Buffer
	e := jsontext.NewEncoder(&b)
	if err := encode(e, claims); err != nil {
		return "", fmt.Errorf("make token: %w", err)
	}
	signed := segment.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." +
		segment.EncodeToString(bytes.TrimRight(b.Bytes(), "\n"))
	signature, err := jwt.SigningMethodHS256.Sign(signed, []byte(s.o.HMACSecret))
	if err != nil {
		return "", fmt.Errorf("make token: %w", err)
	}
	raw := signed + "." + segment.EncodeToString(signature)
	if len(raw) > MaxTokenSize {
		return "", fmt.Errorf("make token: %d bytes, %d are allowed", len(raw), MaxTokenSize)
	}
	return raw, nil
}

func encode(e *jsontext.Encoder, claims []member) error {
	if err := e.WriteToken(jsontext.BeginObject); err != nil {
		return err
	}
	for _, c := range claims {
		switch v := c.value.(type) {
		case jsontext.Value:
			if len(v) == 0 {
				continue
			}
		case []string:
			if len(v) == 0 {
				continue
			}
		}
		if err := e.WriteToken(jsontext.String(c.name)); err != nil {
			return err
		}
		if err := json.MarshalEncode(e, c.value); err != nil {
			return fmt.Errorf("claim %s: %w", c.name, err)
		}
	}
	return e.WriteToken(jsontext.EndObject)
}

// DecodeToken returns the header and the claims of raw as JSON, without verifying
// anything: for showing to people.
func DecodeToken(raw string) (head, payload []byte, err error) {
	t, err := parse(raw)
	if err != nil && t.payload == nil {
		return nil, nil, fmt.Errorf("decode token: %w", err)
	}
	head, _ = segment.DecodeString(raw[:bytes.IndexByte([]byte(raw), '.')])
	if !jsontext.Value(head).IsValid() || !jsontext.Value(t.payload).IsValid() {
		return nil, nil, errors.New("decode token: header or claims are no JSON")
	}
	return head, t.payload, nil
}
