package gateway

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/kuranty/kuranty/event"
)

// Caller is who a connection belongs to.
type Caller struct {
	// Subject names the caller: "user:7", or "key:" and the id of an API key.
	Subject string
	// User, Session and Key say whose account, login or API key it is, as far as there is one.
	User         int64
	Session, Key string
	// Permissions are names like read:messages; read:* and * are wildcards.
	Permissions []string
	// Granted tells that the permissions are those that a token names.
	Granted bool
	// Admin may look at and end the connections of others.
	Admin bool
	// Moderator sees the events of all rooms; others those of rooms they are members of.
	Moderator bool
	// Expires is when the credential ends; zero is never.
	Expires time.Time
}

// Why a credential is not taken (event-gateway.md §6).
const (
	reasonInvalid  = "invalid"
	reasonExpired  = "expired"
	reasonRevoked  = "revoked"
	reasonTimeout  = "timeout"
	reasonRequired = "required"
)

// The errors of [Accounts]; any other means that it is not known now.
var (
	ErrInvalid = errors.New("the credential is not good")
	ErrExpired = errors.New("the credential has expired")
	ErrRevoked = errors.New("the credential was revoked")
)

// Accounts knows who shows a credential.
type Accounts interface {
	// Authenticate returns the caller who shows a token or an API key. The errors are
	// [ErrInvalid], [ErrExpired], [ErrRevoked].
	Authenticate(ctx context.Context, credential string) (Caller, error)
	// Refresh returns the caller as it is now; the error is [ErrRevoked] if it is none
	// any more.
	Refresh(ctx context.Context, c Caller) (Caller, error)
}

// Watcher is told of what may be an attack. Its methods must not block.
type Watcher interface {
	// TokenRefused tells of a credential that is forged, expired or revoked.
	TokenRefused(address string)
	// RateLimited tells of a request, a message or a connection that was refused because
	// there were too many, of a user or, if that is 0, from an address.
	RateLimited(user int64, address string)
}

// nobody watches.
type nobody struct{}

func (nobody) TokenRefused(string)       {}
func (nobody) RateLimited(int64, string) {}

// may tells whether the caller has one of the permissions; nobody needs one of none.
func (c *Caller) may(permissions []string) bool {
	if len(permissions) == 0 {
		return true
	}
	for _, has := range c.Permissions {
		switch {
		case has == "*", slices.Contains(permissions, has):
			return true
		case has == "read:*" && slices.ContainsFunc(permissions, isRead):
			return true
		}
	}
	return false
}

func isRead(permission string) bool { return len(permission) > 5 && permission[:5] == "read:" }

// reads tells whether the caller may read a channel.
func (c *Caller) reads(ch *event.Channel) bool { return ch != nil && c.may(ch.Permissions) }

// reason is the documented word for an error of [Accounts].
func reason(err error) string {
	switch {
	case errors.Is(err, ErrExpired):
		return reasonExpired
	case errors.Is(err, ErrRevoked):
		return reasonRevoked
	}
	return reasonInvalid
}
