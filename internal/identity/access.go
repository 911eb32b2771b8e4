package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/golang-jwt/jwt/v5"

	"github.com/kuranty/kuranty/event"
)

// Caller is who makes a request.
type Caller struct {
	// User is the account's id, 0 for a service.
	User int64
	// Session is the login it belongs to, empty for services and for tokens of the
	// operator's application; Key the id of a stored API key.
	Session, Key string
	// Role is the account's, as it is now; empty for a service.
	Role string
	// Service tells that an API key was shown, with Scopes; see Can.
	Service bool
	Scopes  []string
	// Name is the account's or the key's.
	Name string
	// LoginAt is when the person logged in, in milliseconds since 1970; 0 for a service.
	LoginAt int64
	// Granted are permissions of the event gateway that a token of the operator's
	// application names, nil if it names none. Nothing else goes by them.
	Granted []string
	// KeyExpires is when the API key ends, in milliseconds since 1970; 0 is never.
	KeyExpires int64
}

// Operator is who owns the machine: a command run there, or the configuration.
func Operator(name string) Caller {
	return Caller{Service: true, Scopes: []string{"*"}, Name: name}
}

// Admin tells whether the caller may do what administrators may.
func (c Caller) Admin() bool {
	return c.User != 0 && c.Role == RoleAdmin || c.Service && c.Can("admin")
}

// Can tells whether a service has a scope: the very one, "*", or "read:*" for
// "read:users". A person with role admin has every scope, others have none.
func (c Caller) Can(scope string) bool {
	if !c.Service {
		return c.User != 0 && c.Role == RoleAdmin
	}
	for _, s := range c.Scopes {
		group, all := strings.CutSuffix(s, "*")
		if s == scope || all && strings.HasPrefix(scope, group) {
			return true
		}
	}
	return false
}

// Actor is the caller as events name it.
func (c Caller) Actor() string {
	switch {
	case c.User != 0:
		return event.User(c.User)
	case c.Key != "":
		return event.Service(c.Key)
	}
	return event.Service(c.Name)
}

// An access token is for this audience and of this kind, which no other token of ours
// has (guarantees.md S2).
const (
	accessAudience = "kuranty-access"
	accessKind     = "access"
)

func (a *Accounts) newAccessToken(s Session, acc Account) (raw string, expires time.Time, err error) {
	now := a.o.Now()
	raw, err = a.access.signAt(now, a.o.AccessTTL, member{"sub", strconv.FormatInt(acc.ID, 10)}, member{"sid", s.ID},
		member{"role", acc.Role}, member{"typ", accessKind})
	return raw, time.Unix(now.Unix(), 0).Add(a.o.AccessTTL.Truncate(time.Second)), err
}

// accessClaims are those of our access tokens.
type accessClaims struct {
	Sub string   `json:"sub"`
	Sid string   `json:"sid"`
	Typ string   `json:"typ"`
	Aud audience `json:"aud"`
	Exp unixTime `json:"exp"`
}

// accessToken verifies one of our access tokens. ours is false if the signature is not
// ours: it may be somebody else's token.
func (a *Accounts) accessToken(raw string) (c accessClaims, ours bool, err error) {
	t, err := parse(raw)
	if err != nil {
		return c, false, fmt.Errorf("%w: %w", ErrUnauthorized, err)
	}
	if t.header.Alg != "HS256" || jwt.SigningMethodHS256.Verify(t.signed, t.signature, a.accessKey) != nil {
		return c, false, fmt.Errorf("%w: signature of access token", ErrUnauthorized)
	}
	if err := jsonv2.Unmarshal(t.payload, &c); err != nil {
		return c, true, fmt.Errorf("%w: claims: %w", ErrUnauthorized, err)
	}
	switch {
	case c.Typ != accessKind || !c.Aud.has(accessAudience) || c.Sid == "":
		return c, true, fmt.Errorf("%w: token is no access token", ErrUnauthorized)
	case !c.Exp.set || c.Exp.at <= a.o.Now().Unix():
		return c, true, fmt.Errorf("%w: access %w", ErrUnauthorized, ErrExpired)
	}
	return c, true, nil
}

// Authenticate tells who shows a bearer token: an access token of ours or of the
// operator's application, as auth.mode has it, or an API key. What was revoked on this
// node is refused at once, what was revoked on another one within 5 s.
//
// The error is [ErrUnauthorized], [ErrSuspended], [ErrKeysUnavailable] or the storage's.
func (a *Accounts) Authenticate(ctx context.Context, bearer string) (Caller, error) {
	switch {
	case bearer == "" || len(bearer) > MaxTokenSize:
		return Caller{}, fmt.Errorf("%w: no token, or one of %d bytes", ErrUnauthorized, len(bearer))
	case a.serviceKey(bearer):
		return Operator("config"), nil
	case strings.HasPrefix(bearer, keyPrefix):
		return a.apiKey(ctx, bearer)
	}
	if a.o.Mode != External {
		c, ours, err := a.accessToken(bearer)
		if err == nil {
			return a.session(ctx, c.Sid, c.Sub)
		}
		if ours || a.o.Mode == Builtin {
			return Caller{}, err
		}
	}
	return a.external(ctx, bearer)
}

// ExpiryOf returns when a token that was taken ends, zero for what is no token or has no
// end. It does not look whether the token is good: [Accounts.Authenticate] has.
func ExpiryOf(token string) time.Time {
	var c struct {
		Exp unixTime `json:"exp"`
	}
	t, err := parse(token)
	if err != nil || jsonv2.Unmarshal(t.payload, &c) != nil || !c.Exp.set {
		return time.Time{}
	}
	return time.Unix(c.Exp.at, 0)
}

// SessionCaller tells who a session belongs to, for connections that were opened with a
// token that names one and have to be checked again. The errors are those of
// Authenticate.
func (a *Accounts) SessionCaller(ctx context.Context, session string) (Caller, error) {
	return a.session(ctx, session, "")
}

// UserCaller is SessionCaller for connections of users without a session of ours.
func (a *Accounts) UserCaller(ctx context.Context, user int64) (Caller, error) {
	return a.cache.get("user "+strconv.FormatInt(user, 10), func() (Caller, int64, error) {
		acc, err := a.Account(ctx, user)
		if err != nil {
			return Caller{}, 0, unauthorized(err, "account")
		}
		c, err := callerOf(acc)
		return c, 0, err
	})
}

// session returns who a session is, which must be the user sub's unless that is empty.
func (a *Accounts) session(ctx context.Context, id, sub string) (Caller, error) {
	c, err := a.cache.get("session "+id, func() (Caller, int64, error) {
		var s Session
		var acc Account
		err := a.store.View(ctx, func(tx Tx) (err error) {
			if s, err = tx.Session(ctx, id); err != nil {
				return err
			}
			acc, err = tx.Account(ctx, s.User)
			return err
		})
		if err != nil {
			return Caller{}, 0, unauthorized(err, "session")
		}
		if acc.State == StateSuspended {
			return Caller{}, 0, ErrSuspended
		}
		if !s.live(a.now()) {
			return Caller{}, 0, fmt.Errorf("%w: session is over", ErrUnauthorized)
		}
		c, err := callerOf(acc)
		c.Session, c.LoginAt = s.ID, s.CreatedAt
		return c, s.ExpiresAt, err
	})
	if err == nil && sub != "" && sub != strconv.FormatInt(c.User, 10) {
		return Caller{}, fmt.Errorf("%w: session of somebody else", ErrUnauthorized)
	}
	return c, err
}

func callerOf(acc Account) (Caller, error) {
	switch acc.State {
	case StateActive:
		return Caller{User: acc.ID, Role: acc.Role, Name: acc.Name}, nil
	case StateSuspended:
		return Caller{}, ErrSuspended
	}
	return Caller{}, fmt.Errorf("%w: account is deleted", ErrUnauthorized)
}

// ConnectionToken makes a token with which the caller connects to the realtime server
// (chat-api.md §0.4). A zero ttl means Options.ConnectionTTL. The error is
// [ErrForbidden] for services and [ErrDisabled] without a signer.
func (a *Accounts) ConnectionToken(ctx context.Context, by Caller, ttl time.Duration) (token string, expires time.Time, err error) {
	if a.o.Signer == nil {
		return "", time.Time{}, fmt.Errorf("%w: there is no key for connection tokens (client.token.hmac_secret_key)", ErrDisabled)
	}
	acc, err := a.own(ctx, by)
	if err != nil {
		return "", time.Time{}, err
	}
	setDefault(&ttl, a.o.ConnectionTTL)
	avatar := acc.Picture
	if acc.AvatarFile != "" && a.o.AvatarURL != nil {
		avatar = a.o.AvatarURL(acc.AvatarFile)
	}
	info, err := json.Marshal(connectionInfo{acc.ID, acc.Name, optional(avatar)})
	if err != nil {
		return "", time.Time{}, errors.New("encode info of connection token")
	}
	meta, err := json.Marshal(connectionMeta{by.Session})
	if err != nil {
		return "", time.Time{}, errors.New("encode meta of connection token")
	}
	now := time.Now()
	token, err = a.o.Signer.CreateConnectionToken(ConnectionTokenOptions{
		User: strconv.FormatInt(acc.ID, 10), TTL: ttl, Info: info, Meta: meta,
	})
	return token, time.Unix(now.Unix(), 0).Add(ttl), err
}

type connectionInfo struct {
	ID     int64   `json:"id"`
	Name   string  `json:"name"`
	Avatar *string `json:"avatar"`
}

// connectionMeta is what only the server sees of a connection.
type connectionMeta struct {
	Session string `json:"sid,omitempty"`
}

// SessionOf returns the session that the meta of a connection token names, empty if it
// names none.
func SessionOf(meta []byte) string {
	var m connectionMeta
	if json.Unmarshal(meta, &m) != nil {
		return ""
	}
	return m.Session
}
