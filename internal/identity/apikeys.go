package identity

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kuranty/kuranty/event"
)

// keyPrefix begins every API key, so that scanners of leaked secrets know it
// (guarantees.md S35).
const keyPrefix = "kur_"

// Key is the API key of a service. Times are milliseconds since 1970, 0 is never.
type Key struct {
	// ID is "k_" and 26 characters of base32.
	ID string
	// Hash is SHA-256 of the key, in hex. Hint is how the key begins, for people.
	Hash       string `json:"-"`
	Hint, Name string
	// Scopes are what it may do; see [Caller.Can].
	Scopes                                      []string
	CreatedBy                                   int64
	CreatedAt, ExpiresAt, LastUsedAt, RevokedAt int64
	// LastUsedIP is from where, empty if that is not known.
	LastUsedIP string
}

// Use is when an API key was used, and from which address if that is known.
type Use struct {
	At int64
	IP string
}

type peerKey struct{}

// WithPeer returns a context for calls of who is at an address, which may have a port.
func WithPeer(ctx context.Context, address string) context.Context {
	return context.WithValue(ctx, peerKey{}, address)
}

// use is one that happens now.
func (a *Accounts) use(ctx context.Context) Use {
	address, _ := ctx.Value(peerKey{}).(string)
	if host, _, err := net.SplitHostPort(address); err == nil {
		address = host
	}
	return Use{a.now(), address}
}

// scopePattern is the form of a scope: a group, what in it, and of what: events:publish:order.*
// is a right to a pattern of types.
var scopePattern = regexp.MustCompile(`^(\*|[a-z][a-z_]{0,30}(:(\*|[a-z][a-z_]{0,30}(:[a-z0-9_.*]{1,128})?))?)$`)

// CreateKey makes an API key and returns it; it is not kept and cannot be shown again.
// Without scopes it may do everything (webhooks.md). A zero ttl never expires. by must
// be an administrator and may do all that the key may do. The error is [ErrForbidden] or
// a [*FieldError].
func (a *Accounts) CreateKey(ctx context.Context, by Caller, name string, scopes []string, ttl time.Duration) (key string, k Key, err error) {
	if !by.Admin() {
		return "", Key{}, ErrForbidden
	}
	if name = cleanLine(name); name == "" {
		return "", Key{}, &FieldError{"name", "required"}
	}
	if utf8.RuneCountInString(name) > maxName {
		return "", Key{}, &FieldError{"name", "too_long"}
	}
	if len(scopes) == 0 {
		scopes = []string{"*"}
	}
	if len(scopes) > 50 {
		return "", Key{}, &FieldError{"scopes", "too_long"}
	}
	for _, s := range scopes {
		if !scopePattern.MatchString(s) {
			return "", Key{}, &FieldError{"scopes", "invalid"}
		}
		if !by.Can(s) {
			return "", Key{}, ErrForbidden
		}
	}
	if ttl < 0 || ttl != 0 && ttl < time.Second {
		return "", Key{}, &FieldError{"ttl", "invalid"}
	}
	key = keyPrefix + NewSecret()
	k = Key{
		ID: newID("k_"), Hash: hashSecret(key), Hint: key[:len(keyPrefix)+4], Name: name, Scopes: scopes,
		CreatedBy: by.User, CreatedAt: a.now(),
	}
	if ttl != 0 {
		k.ExpiresAt = k.CreatedAt + ttl.Milliseconds()
	}
	err = a.store.Update(ctx, func(tx Tx) error {
		if err := tx.AddKey(ctx, k); err != nil {
			return err
		}
		return a.append(ctx, tx, event.TokenCreated, by.Actor(), 0, k.payload())
	})
	if err != nil {
		return "", Key{}, fmt.Errorf("create API key: %w", err)
	}
	return key, k, nil
}

func (k *Key) payload() keyChanged {
	return keyChanged{k.ID, k.Name, k.Scopes, optional(k.ExpiresAt)}
}

// Keys returns all API keys, the newest first. by must be an administrator.
func (a *Accounts) Keys(ctx context.Context, by Caller) (list []Key, err error) {
	if !by.Admin() {
		return nil, ErrForbidden
	}
	err = a.store.View(ctx, func(tx Tx) error {
		list, err = tx.Keys(ctx)
		return err
	})
	return list, err
}

// RevokeKey makes an API key useless at once. One that is revoked or not there is
// [ErrNotFound]. by must be an administrator.
func (a *Accounts) RevokeKey(ctx context.Context, by Caller, id string) error {
	if !by.Admin() {
		return ErrForbidden
	}
	err := a.store.Update(ctx, func(tx Tx) error {
		k, err := tx.RevokeKey(ctx, id, a.now())
		if err != nil {
			return err
		}
		return a.append(ctx, tx, event.TokenRevoked, by.Actor(), 0, k.payload())
	})
	a.Forget(id)
	return err
}

// serviceKey tells whether raw is one of the configuration's keys. All are compared, in
// the same time.
func (a *Accounts) serviceKey(raw string) bool {
	found := false
	for _, k := range a.o.ServiceKeys {
		found = EqualSecret(k, raw) || found
	}
	return found
}

// apiKey returns who a stored API key is.
func (a *Accounts) apiKey(ctx context.Context, raw string) (Caller, error) {
	hash := hashSecret(raw)
	c, err := a.cache.get("key "+hash, func() (c Caller, until int64, err error) {
		var k Key
		err = a.store.View(ctx, func(tx Tx) (err error) {
			k, err = tx.KeyByHash(ctx, hash)
			return err
		})
		switch {
		case err != nil:
			return Caller{}, 0, unauthorized(err, "API key")
		case !EqualSecret(k.Hash, hash) || k.RevokedAt != 0 || k.ExpiresAt != 0 && a.now() >= k.ExpiresAt:
			a.o.Watch.KeyRefused(k.ID)
			return Caller{}, 0, fmt.Errorf("%w: API key is revoked or has expired", ErrUnauthorized)
		}
		return k.caller(), k.ExpiresAt, nil
	})
	if err == nil {
		a.usedMu.Lock()
		a.used[c.Key] = a.use(ctx)
		a.usedMu.Unlock()
	}
	return c, err
}

func (k Key) caller() Caller {
	return Caller{Service: true, Key: k.ID, Scopes: k.Scopes, Name: k.Name, KeyExpires: k.ExpiresAt}
}

// KeyCaller tells who the API key with an id is, for connections that were opened with it
// and have to be checked again. The error is [ErrUnauthorized] or the storage's.
func (a *Accounts) KeyCaller(ctx context.Context, id string) (Caller, error) {
	return a.cache.get("id of key "+id, func() (Caller, int64, error) {
		var keys []Key
		err := a.store.View(ctx, func(tx Tx) (err error) {
			keys, err = tx.Keys(ctx)
			return err
		})
		if err != nil {
			return Caller{}, 0, err
		}
		for _, k := range keys {
			if k.ID == id && k.RevokedAt == 0 && (k.ExpiresAt == 0 || a.now() < k.ExpiresAt) {
				return k.caller(), k.ExpiresAt, nil
			}
		}
		return Caller{}, 0, fmt.Errorf("%w: API key is revoked or has expired", ErrUnauthorized)
	})
}

// writeUsed stores when API keys were used. What cannot be stored is tried again.
func (a *Accounts) writeUsed(ctx context.Context) {
	a.usedMu.Lock()
	used := a.used
	a.used = make(map[string]Use)
	a.usedMu.Unlock()
	if len(used) == 0 {
		return
	}
	err := a.store.Update(ctx, func(tx Tx) error {
		for id, last := range used {
			if err := tx.TouchKey(ctx, id, last); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		return
	}
	if !errors.Is(err, context.Canceled) {
		a.log.Warn("last use of API keys was not stored", "error", err)
	}
	a.usedMu.Lock()
	defer a.usedMu.Unlock()
	for id, last := range used {
		if a.used[id].At < last.At {
			a.used[id] = last
		}
	}
}

// EncodeScopes and DecodeScopes are how scopes are kept in one column.
func EncodeScopes(scopes []string) string { return strings.Join(scopes, " ") }

// DecodeScopes is the inverse of [EncodeScopes].
func DecodeScopes(s string) []string { return strings.Fields(s) }
