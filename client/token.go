package client

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// DefaultTTL is how long a token is valid that states no other time.
	DefaultTTL = time.Hour
	// maxTTL is the longest that the server takes.
	maxTTL = 365 * 24 * time.Hour
	// maxToken is the most bytes of a token that the server takes.
	maxToken = 8 << 10
)

// ConnectionToken lets a user connect for ttl: 1 s to 365 days, 0 means [DefaultTTL]. An
// empty user is an anonymous one. Info, unless nil, is encoded as JSON and seen by others
// in presence and with what the user publishes.
//
// The error is about a ttl, an info or a secret that cannot be.
func (c *Client) ConnectionToken(user string, info any, ttl time.Duration) (string, error) {
	return c.token(ttl, info, jwt.MapClaims{"sub": user})
}

// SubscriptionToken lets a user who is connected subscribe to one channel, like
// [Client.ConnectionToken] lets one connect; info is seen beside that of the connection.
func (c *Client) SubscriptionToken(user, channel string, info any, ttl time.Duration) (string, error) {
	if channel == "" {
		return "", errors.New("client: make token: the channel is empty")
	}
	return c.token(ttl, info, jwt.MapClaims{"sub": user, "channel": channel})
}

func (c *Client) token(ttl time.Duration, info any, claims jwt.MapClaims) (string, error) {
	ttl = cmp.Or(ttl, DefaultTTL)
	switch {
	case c.o.TokenSecret == "":
		return "", errors.New("client: make token: Options.TokenSecret is empty")
	case ttl < time.Second || ttl > maxTTL:
		return "", fmt.Errorf("client: make token: valid for %v, must be from 1s to %v", ttl, maxTTL)
	}
	if info != nil {
		encoded, err := encode(info)
		if err != nil {
			return "", fmt.Errorf("client: make token: encode info: %w", err)
		}
		claims["info"] = json.RawMessage(encoded)
	}
	now := time.Now()
	claims["iat"], claims["exp"] = now.Unix(), now.Add(ttl).Unix()
	claims["aud"] = cmp.Or(c.o.Audience, "kuranty")
	if c.o.Issuer != "" {
		claims["iss"] = c.o.Issuer
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(c.o.TokenSecret))
	if err != nil {
		return "", fmt.Errorf("client: make token: %w", err)
	}
	if len(token) > maxToken {
		return "", fmt.Errorf("client: make token: %d bytes, %d are allowed", len(token), maxToken)
	}
	return token, nil
}
