package identity_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/kuranty/kuranty/internal/identity"
)

func TestSignedTokensAreValid(t *testing.T) {
	for _, o := range []identity.VerifierOptions{
		{}, {Audience: "app", Issuer: "us", RequireExp: true}, {UserIDClaim: "uid", RequireExp: true},
	} {
		o.HMACSecret = secret
		v := newVerifier(t, o)
		s, err := identity.NewSigner(identity.SignerOptions{HMACSecret: secret, Audience: o.Audience, Issuer: o.Issuer, UserIDClaim: o.UserIDClaim})
		if err != nil {
			t.Fatal(err)
		}
		raw, err := s.CreateConnectionToken(identity.ConnectionTokenOptions{
			User: "42", TTL: time.Hour, Info: []byte(`{"a":1}`), Meta: []byte(`{"b":2}`), Channels: []string{"x"},
		})
		if err != nil {
			t.Fatal(err)
		}
		c, err := v.ConnectionToken(t.Context(), raw)
		if err != nil || c.User != "42" || string(c.Info) != `{"a":1}` || string(c.Meta) != `{"b":2}` || len(c.Channels) != 1 ||
			c.ExpireAt < time.Now().Unix()+3590 || c.ExpireAt > time.Now().Unix()+3600 {
			t.Errorf("%+v, %v", c, err)
		}
		raw, err = s.CreateSubscriptionToken(identity.SubscriptionTokenOptions{User: "42", Channel: "$x", Data: []byte(`1`)})
		if err != nil {
			t.Fatal(err)
		}
		sub, err := v.SubscriptionToken(t.Context(), raw)
		if err != nil || sub.User != "42" || sub.Channel != "$x" || string(sub.Data) != `1` ||
			sub.ExpireAt < time.Now().Unix()+int64(identity.DefaultTTL/time.Second)-10 {
			t.Errorf("%+v, %v", sub, err)
		}
	}
}

func TestS2_TokensWeMakeHaveExpiryAndAudienceAndOneKind(t *testing.T) {
	s, err := identity.NewSigner(identity.SignerOptions{HMACSecret: secret})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := s.CreateConnectionToken(identity.ConnectionTokenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sub, err := s.CreateSubscriptionToken(identity.SubscriptionTokenOptions{Channel: "x"})
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range []string{conn, sub} {
		// The judge is another implementation.
		claims := jwt.MapClaims{}
		_, err := jwt.ParseWithClaims(raw, claims, func(*jwt.Token) (any, error) { return []byte(secret), nil },
			jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired(), jwt.WithAudience("kuranty"))
		if err != nil {
			t.Errorf("%v: %v", claims, err)
		}
	}
	v := newVerifier(t, identity.VerifierOptions{HMACSecret: secret})
	if _, err := v.ConnectionToken(t.Context(), sub); !errors.Is(err, identity.ErrInvalid) {
		t.Errorf("a subscription token connects: %v", err)
	}
	if _, err := v.SubscriptionToken(t.Context(), conn); !errors.Is(err, identity.ErrInvalid) {
		t.Errorf("a connection token subscribes: %v", err)
	}
	for _, ttl := range []time.Duration{-1, time.Millisecond, 366 * 24 * time.Hour} {
		if _, err := s.CreateConnectionToken(identity.ConnectionTokenOptions{TTL: ttl}); err == nil {
			t.Errorf("a token is made that lives %v", ttl)
		}
	}
}

func TestSignerRefuses(t *testing.T) {
	if _, err := identity.NewSigner(identity.SignerOptions{}); err == nil {
		t.Error("no secret")
	}
	s, err := identity.NewSigner(identity.SignerOptions{HMACSecret: secret})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []identity.ConnectionTokenOptions{
		{Info: []byte(`{`)}, {Info: []byte(`1 2`)}, {Meta: []byte(`7`)}, {User: strings.Repeat("x", 9000)}, {User: "\xff"},
	} {
		if raw, err := s.CreateConnectionToken(o); err == nil {
			t.Errorf("%.60q is made of %.60v", raw, o)
		}
	}
	if _, err := s.CreateSubscriptionToken(identity.SubscriptionTokenOptions{}); err == nil {
		t.Error("a subscription token without channel is made")
	}
}

func TestDecodeToken(t *testing.T) {
	head, claims, err := identity.DecodeToken(hs(t, `{"sub":42}`))
	if err != nil || string(head) != `{"alg":"HS256","typ":"JWT"}` || string(claims) != `{"sub":42}` {
		t.Errorf("%s %s %v", head, claims, err)
	}
	for _, raw := range []string{"", "a.b", "a.b.c", b64(`{}`) + "." + b64(`x`) + "."} {
		if _, _, err := identity.DecodeToken(raw); err == nil {
			t.Errorf("%q is decoded", raw)
		}
	}
	// Also what no verifier takes can be shown.
	if _, _, err := identity.DecodeToken(b64(`{"alg":"none","jku":"x"}`) + "." + b64(`{}`) + "."); err != nil {
		t.Error(err)
	}
}
