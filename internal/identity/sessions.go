package identity

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kuranty/kuranty/event"
)

// grace is how long a replaced refresh token still works, for clients that lost the
// reply (guarantees.md S7); maxReplaced is how often a session is refreshed in it.
const (
	grace       = 30 * time.Second
	maxReplaced = 20
)

// Grant is what somebody gets who has logged in.
type Grant struct {
	// AccessToken is a bearer token, valid until AccessExpires.
	AccessToken   string
	AccessExpires time.Time
	// RefreshToken gets the next Grant, once.
	RefreshToken string
	Session      Session
	Account      Account
}

// A refresh token is "kr_" and, in base64, 16 bytes that stay the same for the session
// (its family) and 32 that each refresh replaces. The family is only told to who logged
// in, so whoever shows it with a replaced rest has, or had, a genuine token.
const (
	refreshPrefix = "kr_"
	familySize    = 16
	restSize      = 32
)

type refreshToken struct {
	family [familySize]byte
	rest   [restSize]byte
}

func newRefreshToken() (t refreshToken) {
	_, _ = rand.Read(t.family[:]) // documented never to fail
	_, _ = rand.Read(t.rest[:])
	return t
}

func parseRefreshToken(s string) (t refreshToken, ok bool) {
	s, ok = strings.CutPrefix(s, refreshPrefix)
	if !ok || strings.ContainsAny(s, "\r\n") {
		return t, false
	}
	b, err := segment.DecodeString(s)
	if err != nil || len(b) != familySize+restSize {
		return t, false
	}
	copy(t.family[:], b)
	copy(t.rest[:], b[familySize:])
	return t, true
}

func (t refreshToken) String() string {
	return refreshPrefix + base64.RawURLEncoding.EncodeToString(append(t.family[:], t.rest[:]...))
}

func (t refreshToken) familyHash() string { return hashSecret(string(t.family[:])) }
func (t refreshToken) restHash() string   { return hashSecret(string(t.rest[:])) }

// next returns the token that replaces t. It follows from t and a secret of the server,
// so that a repeated refresh, whose first reply was lost or is still on its way to
// another tab, gets the same token and neither throws the other out.
func (a *Accounts) next(t refreshToken) refreshToken {
	m := hmac.New(sha256.New, a.refreshKey)
	m.Write(t.family[:])
	m.Write(t.rest[:])
	copy(t.rest[:], m.Sum(nil))
	return t
}

// newGrant begins a session on a device; its user is not known yet.
func newGrant(a *Accounts, d Device) Grant {
	t, now := newRefreshToken(), a.now()
	return Grant{RefreshToken: t.String(), Session: Session{
		ID: newID("s_"), Family: t.familyHash(), Refresh: t.restHash(),
		Device: cut(d.Name, 100), Platform: cut(d.Platform, 100), Address: cut(d.Address, 64), UserAgent: cut(d.UserAgent, 300),
		CreatedAt: now, LastUsedAt: now, ExpiresAt: now + a.o.RefreshTTL.Milliseconds(),
	}}
}

// complete adds the access token to a grant whose session has been stored.
func (a *Accounts) complete(g Grant, acc Account) (Grant, error) {
	var err error
	g.Account = acc
	g.AccessToken, g.AccessExpires, err = a.newAccessToken(g.Session, acc)
	return g, err
}

// Refresh takes a refresh token and returns a new one with an access token. A token that
// was replaced works for 30 s more and then gets what its replacement was; used later it
// revokes the session, whose thief or owner is thrown out with it: [ErrTokenReused].
// Other errors are [ErrUnauthorized], [ErrSuspended], [*LimitedError] and [ErrDisabled].
func (a *Accounts) Refresh(ctx context.Context, raw string, d Device) (Grant, error) {
	if err := a.builtin(); err != nil {
		return Grant{}, err
	}
	t, ok := parseRefreshToken(raw)
	if !ok {
		return Grant{}, fmt.Errorf("%w: no refresh token", ErrUnauthorized)
	}
	var found Session
	err := a.store.View(ctx, func(tx Tx) (err error) {
		found, err = tx.SessionByFamily(ctx, t.familyHash())
		return err
	})
	if err != nil {
		return Grant{}, unauthorized(err, "session")
	}
	var g Grant
	var acc Account
	var refused error // what is stored although the caller is refused
	err = a.store.Update(ctx, func(tx Tx) (err error) {
		refused = nil
		if acc, err = tx.LockAccount(ctx, found.User); err != nil {
			return unauthorized(err, "account")
		}
		s, err := tx.Session(ctx, found.ID)
		if err != nil {
			return unauthorized(err, "session")
		}
		now := a.now()
		switch {
		case acc.State == StateSuspended:
			return ErrSuspended
		case s.RevokeReason == ReasonReused:
			return ErrTokenReused
		case acc.State != StateActive || !s.live(now):
			return fmt.Errorf("%w: session is over", ErrUnauthorized)
		}
		current, err := a.rotate(&s, t, now)
		switch {
		case errors.Is(err, ErrTokenReused):
			refused = err
			return a.revoke(ctx, tx, acc.ID, []string{s.ID}, "", ReasonReused)
		case err != nil:
			return err
		}
		s.LastUsedAt = now
		s.ExpiresAt = min(now+a.o.RefreshTTL.Milliseconds(), s.CreatedAt+a.o.SessionTTL.Milliseconds())
		if d.Address != "" {
			s.Address = cut(d.Address, 64)
		}
		if d.UserAgent != "" {
			s.UserAgent = cut(d.UserAgent, 300)
		}
		g = Grant{RefreshToken: current.String(), Session: s}
		return tx.SaveRefresh(ctx, s)
	})
	if errors.Is(errors.Join(err, refused), ErrTokenReused) {
		a.o.Watch.TokenReused(found.User, addressKey(d.Address))
	}
	if err != nil {
		return Grant{}, err
	}
	if refused != nil {
		a.Forget(found.ID)
		return Grant{}, refused
	}
	return a.complete(g, acc)
}

// rotate replaces s's token, if t is the current one, and returns the current one.
func (a *Accounts) rotate(s *Session, t refreshToken, now int64) (refreshToken, error) {
	kept := s.Replaced[:0:0]
	for _, r := range s.Replaced {
		if a.rotated.age(r.Hash, a.ticks(), now-r.At) <= grace.Milliseconds() {
			kept = append(kept, r)
		}
	}
	s.Replaced = kept
	hash := t.restHash()
	if EqualSecret(hash, s.Refresh) {
		if len(kept) >= maxReplaced {
			return t, &LimitedError{grace, maxReplaced, grace}
		}
		t = a.next(t)
		s.Replaced, s.Refresh = append(kept, Replaced{hash, now}), t.restHash()
		a.rotated.note(hash, a.ticks())
		return t, nil
	}
	known := false
	for _, r := range kept {
		known = known || EqualSecret(hash, r.Hash)
	}
	for range kept {
		if t = a.next(t); known && EqualSecret(t.restHash(), s.Refresh) {
			return t, nil
		}
	}
	if known { // by a server with another secret: the replacement is lost
		return t, fmt.Errorf("%w: replaced refresh token", ErrUnauthorized)
	}
	return t, ErrTokenReused
}

// unauthorized makes "not found" what it means to who shows a token.
func unauthorized(err error, what string) error {
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w: no such %s", ErrUnauthorized, what)
	}
	return err
}

// revoke revokes sessions of a locked account and announces it. Those that are over are
// left as they are.
func (a *Accounts) revoke(ctx context.Context, tx Tx, user int64, sessions []string, actor, reason string) error {
	var done []string
	for _, id := range sessions {
		ok, err := tx.RevokeSession(ctx, id, a.now(), reason)
		if err != nil {
			return err
		}
		if ok {
			done = append(done, id)
		}
	}
	return a.announceRevoked(ctx, tx, user, done, actor, reason)
}

// revokeAll revokes the sessions of a locked account but one, and announces it.
func (a *Accounts) revokeAll(ctx context.Context, tx Tx, user int64, except, actor, reason string) (n int, err error) {
	done, err := tx.RevokeSessions(ctx, user, except, a.now(), reason)
	if err != nil {
		return 0, err
	}
	return len(done), a.announceRevoked(ctx, tx, user, done, actor, reason)
}

func (a *Accounts) announceRevoked(ctx context.Context, tx Tx, user int64, sessions []string, actor, reason string) error {
	if len(sessions) == 0 {
		return nil
	}
	return a.append(ctx, tx, event.SessionRevoked, actor, user, sessionRevoked{user, sessions, reason})
}

// change runs f on the locked account and forgets afterwards what is remembered of it.
func (a *Accounts) change(ctx context.Context, id int64, f func(Tx, *Account) error) error {
	err := a.store.Update(ctx, func(tx Tx) error {
		acc, err := tx.LockAccount(ctx, id)
		if err != nil {
			return err
		}
		return f(tx, &acc)
	})
	a.ForgetUser(id)
	return err
}

// Logout revokes the caller's session. It is no error if there is none.
func (a *Accounts) Logout(ctx context.Context, by Caller) error {
	if by.Session == "" {
		return nil
	}
	return a.change(ctx, by.User, func(tx Tx, acc *Account) error {
		return a.revoke(ctx, tx, acc.ID, []string{by.Session}, by.Actor(), ReasonLogout)
	})
}

// LogoutRefresh revokes the session of a refresh token: a web client may log out when its
// access token has expired. A token that is unknown, or over, is no error.
func (a *Accounts) LogoutRefresh(ctx context.Context, raw string) error {
	t, ok := parseRefreshToken(raw)
	if !ok {
		return nil
	}
	var s Session
	err := a.store.View(ctx, func(tx Tx) (err error) {
		s, err = tx.SessionByFamily(ctx, t.familyHash())
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return a.change(ctx, s.User, func(tx Tx, acc *Account) error {
		return a.revoke(ctx, tx, acc.ID, []string{s.ID}, event.User(acc.ID), ReasonLogout)
	})
}

// LogoutAll revokes the caller's sessions, all or all but this one, and returns how many
// there were.
func (a *Accounts) LogoutAll(ctx context.Context, by Caller, exceptCurrent bool) (n int, err error) {
	except := ""
	if exceptCurrent {
		except = by.Session
	}
	err = a.change(ctx, by.User, func(tx Tx, acc *Account) error {
		n, err = a.revokeAll(ctx, tx, acc.ID, except, by.Actor(), ReasonLogout)
		return err
	})
	return n, err
}

// Sessions returns the sessions in which the caller is logged in, the one used last
// first. The current one is that with the id by.Session.
func (a *Accounts) Sessions(ctx context.Context, by Caller) (list []Session, err error) {
	err = a.store.View(ctx, func(tx Tx) error {
		list, err = tx.LiveSessions(ctx, by.User, a.now())
		return err
	})
	return list, err
}

// Terminate revokes one of the caller's sessions. One that is not there, not live or
// somebody else's is [ErrNotFound].
func (a *Accounts) Terminate(ctx context.Context, by Caller, session string) error {
	return a.change(ctx, by.User, func(tx Tx, acc *Account) error {
		s, err := tx.Session(ctx, session)
		if err != nil {
			return err
		}
		if s.User != acc.ID || !s.live(a.now()) {
			return ErrNotFound
		}
		return a.revoke(ctx, tx, acc.ID, []string{s.ID}, by.Actor(), ReasonTerminate)
	})
}
