package windi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/identity"
)

// proxyReply is what a separate realtime server is answered, always with HTTP status 200:
// it takes any other for a failure of ours. It looks at disconnect, then error, then
// result, and lets in who has none of them; status is there for people who read the
// guide and makes no server refuse (auth-and-channels.md §7).
type proxyReply struct {
	Status     int              `json:"status"`
	Result     any              `json:"result,omitempty"`
	Error      *proxyError      `json:"error,omitempty"`
	Disconnect *proxyDisconnect `json:"disconnect,omitempty"`
}

type proxyError struct {
	Code      int    `json:"code"`
	Message   string `json:"message"`
	Temporary bool   `json:"temporary,omitempty"`
}

type proxyDisconnect struct {
	Code   int    `json:"code"`
	Reason string `json:"reason"`
}

type proxyConnected struct {
	User     string    `json:"user"`
	ExpireAt int64     `json:"expire_at"`
	Info     proxyInfo `json:"info"`
}

// proxyInfo is what others see of the connection: no address of any kind.
type proxyInfo struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
}

// The answers that refuse.
var (
	proxyFailed   = proxyReply{Status: 500, Error: &proxyError{1000, "internal error", true}}
	proxyBad      = proxyReply{Status: 400, Error: &proxyError{400, "bad request", false}}
	connectNobody = proxyReply{Status: 401, Disconnect: &proxyDisconnect{4501, "unauthorized"}}
	connectDenied = proxyReply{Status: 403, Disconnect: &proxyDisconnect{4503, "forbidden"}}

	subscribeNobody  = proxyReply{Status: 401, Error: &proxyError{401, "unauthorized", false}}
	subscribeDenied  = proxyReply{Status: 403, Error: &proxyError{403, "permission denied", false}}
	subscribeUnknown = proxyReply{Status: 404, Error: &proxyError{404, "unknown channel", false}}
)

// asked is a question of a realtime server, in any of the shapes there are.
type asked struct {
	user, channel, token string
}

// parseAsked reads a question. Fields of other types than expected are as if absent.
func parseAsked(body []byte) (asked, error) {
	if err := checkJSON(body); err != nil {
		return asked{}, err
	}
	var in struct {
		Client  json.RawMessage `json:"client"`
		User    json.RawMessage `json:"user"`
		Channel json.RawMessage `json:"channel"`
		Data    json.RawMessage `json:"data"`
	}
	if err := decode(jsontext.Value(body), &in, "body"); err != nil {
		return asked{}, err
	}
	out := asked{channel: asText(in.Channel), token: asText(member(in.Data, "token"))}
	for _, v := range []json.RawMessage{in.User, member(in.User, "user_id"), member(in.User, "id"), member(in.Client, "user")} {
		if out.user = asText(v); out.user != "" {
			break
		}
	}
	return out, nil
}

// member returns a member of an object, nil if v is no object or has none.
func member(v json.RawMessage, name string) json.RawMessage {
	var o map[string]json.RawMessage
	if json.Unmarshal(v, &o) != nil {
		return nil
	}
	return o[name]
}

// asText returns a text, or a number as it is written; of anything else "".
func asText(v json.RawMessage) string {
	var s string
	if json.Unmarshal(v, &s) == nil {
		return s
	}
	var n json.Number
	if json.Unmarshal(v, &n) == nil {
		return n.String()
	}
	return ""
}

// mayAsk tells whether a caller may ask, and whether it has shown the secret. A proxy
// before us would make everybody a neighbour, so who comes through one needs the secret.
func (c *Contract) mayAsk(r *http.Request) (may, trusted bool) {
	if c.o.NoProxyEndpoints {
		return false, false
	}
	if s := c.o.ProxySecret; s != "" && identity.EqualSecret(r.Header.Get("X-Proxy-Secret"), s) {
		return true, true
	}
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip"} {
		if r.Header.Get(name) != "" {
			return false, false
		}
	}
	a, err := netip.ParseAddr(peer(r))
	if err != nil {
		return false, false
	}
	a = a.Unmap().WithZone("")
	for _, network := range c.o.ProxyAllow {
		if network.Contains(a) {
			return true, false
		}
	}
	return false, false
}

// question reads what a realtime server asks.
func question(r *request) (asked, error) {
	body, err := r.body()
	if err != nil {
		return asked{}, err
	}
	return parseAsked(body)
}

// proxyConnect answers whether a connection may be opened, and whose it is.
func (c *Contract) proxyConnect(r *request) (reply, error) {
	q, err := question(r)
	if err != nil {
		return reply{body: proxyBad}, nil //nolint:nilerr // the answer tells
	}
	by, until, err := c.whoConnects(r.Request, q)
	switch {
	case err == nil:
		return reply{body: proxyReply{Status: 200, Result: proxyConnected{
			User: decimal(by.User), ExpireAt: until, Info: proxyInfo{by.User, by.Name},
		}}}, nil
	case errors.Is(err, identity.ErrUnauthorized):
		return reply{body: connectNobody}, nil
	case errors.Is(err, identity.ErrSuspended):
		return reply{body: connectDenied}, nil
	}
	c.o.Logger.Error("answer a realtime server", "path", r.URL.Path, "error", err)
	return reply{body: proxyFailed}, nil
}

// sessionCookies may hold an access token, with or without "Bearer " before it.
var sessionCookies = []string{"access_token", "session"}

// whoConnects looks for an identity in the order of chat-api.md §B.2. The first that
// is there decides: a bad one does not become somebody else's. A cookie that is no token
// of ours is not there: others have cookies of these names too.
func (c *Contract) whoConnects(r *http.Request, q asked) (by identity.Caller, until int64, err error) {
	ctx := r.Context()
	until = c.o.Clock().Add(c.o.TokenTTL).Unix()
	if token, ok := bearer(r.Header.Get("Authorization")); ok {
		by, err = c.accessCaller(ctx, token)
		return by, until, err
	}
	for _, name := range sessionCookies {
		if cookie, err := r.Cookie(name); err == nil && cookie.Value != "" {
			token := cookie.Value
			if bare, ok := bearer(token); ok {
				token = bare
			}
			if by, err := c.accessCaller(ctx, token); !errors.Is(err, identity.ErrUnauthorized) {
				return by, until, err
			}
		}
	}
	if q.token != "" {
		return c.byToken(ctx, q.token, until)
	}
	if id, ok := parseID(q.user); ok {
		if _, trusted := c.mayAsk(r); trusted {
			by, err = c.o.Accounts.UserCaller(ctx, id)
			return by, until, err
		}
	}
	return by, 0, identity.ErrUnauthorized
}

func bearer(header string) (token string, ok bool) {
	scheme, token, _ := strings.Cut(strings.Trim(header, `"`), " ")
	token = strings.TrimSpace(token)
	return token, strings.EqualFold(scheme, "bearer") && token != ""
}

// accessCaller is the user whose access token it is; services are nobody who chats.
func (c *Contract) accessCaller(ctx context.Context, token string) (identity.Caller, error) {
	by, err := c.o.Accounts.Authenticate(ctx, token)
	if err == nil && by.User == 0 {
		err = identity.ErrUnauthorized
	}
	return by, err
}

// byToken takes an access token or a connection token. Whose session has ended is nobody.
func (c *Contract) byToken(ctx context.Context, token string, until int64) (by identity.Caller, _ int64, err error) {
	if c.o.Verifier != nil {
		if claims, err := c.o.Verifier.ConnectionToken(ctx, token); err == nil {
			return c.byClaims(ctx, &claims, until)
		}
	}
	by, err = c.accessCaller(ctx, token)
	return by, until, err
}

func (c *Contract) byClaims(ctx context.Context, claims *identity.ConnectionClaims, until int64) (by identity.Caller, _ int64, err error) {
	id, ok := parseID(claims.User)
	if !ok {
		return by, 0, identity.ErrUnauthorized
	}
	if session := identity.SessionOf(claims.Meta); session != "" {
		by, err = c.o.Accounts.SessionCaller(ctx, session)
	} else {
		by, err = c.o.Accounts.UserCaller(ctx, id)
	}
	if err == nil && by.User != id {
		err = identity.ErrUnauthorized
	}
	if claims.ExpireAt > 0 {
		until = min(until, claims.ExpireAt)
	}
	return by, until, err
}

// proxySubscribe answers whether a user may subscribe to a channel.
func (c *Contract) proxySubscribe(r *request) (reply, error) {
	q, err := question(r)
	if err != nil {
		return reply{body: proxyBad}, nil //nolint:nilerr // the answer tells
	}
	err = identity.ErrUnauthorized
	if user, ok := parseID(q.user); ok {
		if _, err = c.o.Accounts.UserCaller(r.Context(), user); err == nil {
			err = c.maySubscribe(r.Context(), user, q.channel)
		}
	}
	answer := proxyFailed
	switch {
	case err == nil:
		answer = proxyReply{Status: 200, Result: struct{}{}}
	case errors.Is(err, identity.ErrUnauthorized):
		answer = subscribeNobody
	case errors.Is(err, chat.ErrNotFound), errors.Is(err, identity.ErrSuspended):
		answer = subscribeDenied
	case errors.Is(err, errChannel):
		answer = subscribeUnknown
	default:
		c.o.Logger.Error("answer a realtime server", "path", r.URL.Path, "error", err)
	}
	return reply{body: answer}, nil
}
