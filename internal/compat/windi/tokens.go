package windi

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/kuranty/kuranty/internal/identity"
)

type tokenReply struct {
	Token     string `json:"token"`
	Channel   string `json:"channel,omitempty"`
	ExpiresAt int64  `json:"expires_at"`
}

// token gives a connection token, or for a channel a subscription token (chat-api.md §B.1).
func (c *Contract) token(r *request) (reply, error) {
	var in struct {
		Channel string `json:"channel"`
	}
	if r.Method == http.MethodPost {
		if err := r.decode(&in); err != nil {
			return reply{}, err
		}
	}
	if channel := r.URL.Query().Get("channel"); channel != "" {
		in.Channel = channel
	}
	if in.Channel != "" {
		return c.subscriptionToken(r, in.Channel)
	}
	token, expires, err := c.o.Accounts.ConnectionToken(r.Context(), r.by, c.o.TokenTTL)
	if err != nil {
		return reply{}, err
	}
	return reply{body: tokenReply{Token: token, ExpiresAt: expires.Unix()}}, nil
}

func (c *Contract) subscriptionToken(r *request, channel string) (reply, error) {
	user, err := r.user()
	if err != nil {
		return reply{}, err
	}
	if err := c.maySubscribe(r.Context(), user, channel); err != nil {
		return reply{}, err
	}
	if c.o.Signer == nil {
		return reply{}, identity.ErrDisabled
	}
	token, err := c.o.Signer.CreateSubscriptionToken(identity.SubscriptionTokenOptions{
		User: decimal(user), Channel: channel, TTL: c.o.TokenTTL,
	})
	if err != nil {
		return reply{}, err
	}
	return reply{body: tokenReply{token, channel, c.o.Clock().Add(c.o.TokenTTL).Unix()}}, nil
}

type connectionInfo struct {
	WebSocket  string `json:"ws_url"`
	HTTPStream string `json:"http_url"`
	Token      string `json:"token"`
	// Version is the same for ever; old clients look at it.
	Version   string `json:"version"`
	ExpiresAt int64  `json:"expires_at"`
}

func (c *Contract) connectionInfo(r *request) (reply, error) {
	token, expires, err := c.o.Accounts.ConnectionToken(r.Context(), r.by, c.o.TokenTTL)
	if err != nil {
		return reply{}, err
	}
	base := c.base(r.Request)
	stream := base.JoinPath("/connection/http_stream")
	socket := base.JoinPath(c.o.WebSocketPath)
	socket.Scheme = "ws" + strings.TrimPrefix(base.Scheme, "http")
	return reply{body: connectionInfo{socket.String(), stream.String(), token, "3.0", expires.Unix()}}, nil
}

// base is where clients reach the server.
func (c *Contract) base(r *http.Request) *url.URL {
	if u, err := url.Parse(c.o.PublicURL); err == nil && u.Host != "" {
		return u
	}
	u := &url.URL{Scheme: "http", Host: r.Host}
	if r.TLS != nil || r.URL.Scheme == "https" { // to us, or to a trusted proxy
		u.Scheme = "https"
	}
	return u
}
