package identity

import (
	"context"

	"github.com/kuranty/kuranty/event"
)

// Store keeps accounts. What change does happens as a whole or not at all; it may be run
// again, so it has no other effects. Errors of change and read are returned as they are.
type Store interface {
	Update(ctx context.Context, change func(Tx) error) error
	View(ctx context.Context, read func(Tx) error) error
}

// Tx is what a change or a reading may do. Whatever has no row is [ErrNotFound]; a value
// that another account has is a [*TakenError], after which the change must end.
type Tx interface {
	AccountTx
	SessionTx
	TokenTx
	KeyTx
	// Append adds e to the log, to be announced when the change is stored.
	Append(ctx context.Context, e event.Event) error
}

// AccountTx is the part of [Tx] about accounts.
type AccountTx interface {
	// AddAccount stores a and sets its ID, unless it has one: then it gets that one.
	AddAccount(ctx context.Context, a *Account) error
	// NumberAbove has AddAccount give numbers above n from now on.
	NumberAbove(ctx context.Context, n int64) error
	// SaveAccount stores all of a but ID, Seq, LastSeenAt and CreatedAt.
	SaveAccount(ctx context.Context, a Account) error
	Account(ctx context.Context, id int64) (Account, error)
	// LockAccount is Account, and nobody else changes it or its sessions before the
	// change ends. It comes before any other change of them.
	LockAccount(ctx context.Context, id int64) (Account, error)
	AccountByUsername(ctx context.Context, username string) (Account, error)
	AccountByEmail(ctx context.Context, email string) (Account, error)
	AccountByExternal(ctx context.Context, id string) (Account, error)
	// ListAccounts returns accounts by rising id.
	ListAccounts(ctx context.Context, q AccountQuery) ([]Account, error)
	// LockAdmins returns the ids of the active administrators; nobody else changes them.
	LockAdmins(ctx context.Context) ([]int64, error)
	// AnyAdmin tells whether there is an administrator that is not deleted.
	AnyAdmin(ctx context.Context) (bool, error)
	// NextSeq takes the next number of the account's stream.
	NextSeq(ctx context.Context, id int64) (int64, error)
}

// SessionTx is the part of [Tx] about sessions.
type SessionTx interface {
	AddSession(ctx context.Context, s Session) error
	Session(ctx context.Context, id string) (Session, error)
	SessionByFamily(ctx context.Context, family string) (Session, error)
	// SaveRefresh stores what a refresh changes: Refresh, Replaced, Address, UserAgent,
	// LastUsedAt and ExpiresAt.
	SaveRefresh(ctx context.Context, s Session) error
	// LiveSessions returns the user's sessions that can be used at now, the one used
	// last first.
	LiveSessions(ctx context.Context, user, now int64) ([]Session, error)
	// RevokeSessions revokes the sessions that LiveSessions returns but the one called
	// except, and returns their ids.
	RevokeSessions(ctx context.Context, user int64, except string, now int64, reason string) ([]string, error)
	// RevokeSession revokes one session, if it is live; done tells whether it was.
	RevokeSession(ctx context.Context, id string, now int64, reason string) (done bool, err error)
	// KnownAddress tells whether a session of the user was used from there after since.
	KnownAddress(ctx context.Context, user int64, address string, since int64) (bool, error)
}

// TokenTx is the part of [Tx] about tokens that are good for a number of uses.
type TokenTx interface {
	AddToken(ctx context.Context, t OneTime) error
	// Token returns a token that UseToken would take.
	Token(ctx context.Context, purpose, hash string, now int64) (OneTime, error)
	// UseToken counts one use of a token that has uses left and has not expired; its
	// uses are never more than allowed, however many ask at once.
	UseToken(ctx context.Context, purpose, hash string, now int64) (OneTime, error)
	// DropTokens removes the user's tokens of the purpose.
	DropTokens(ctx context.Context, purpose string, user int64) error
	// TakeTokens removes all tokens of the purpose and returns those that have not
	// expired. Of two who ask at once one gets them.
	TakeTokens(ctx context.Context, purpose string, now int64) ([]OneTime, error)
	// Sweep removes tokens that have expired and sessions that ended before then.
	Sweep(ctx context.Context, now, then int64) error
}

// KeyTx is the part of [Tx] about API keys.
type KeyTx interface {
	AddKey(ctx context.Context, k Key) error
	KeyByHash(ctx context.Context, hash string) (Key, error)
	// Keys returns all keys, the newest first.
	Keys(ctx context.Context) ([]Key, error)
	// RevokeKey revokes a key that is not revoked.
	RevokeKey(ctx context.Context, id string, now int64) (Key, error)
	// TouchKey notes the last use of the key.
	TouchKey(ctx context.Context, id string, last Use) error
}

// AccountQuery chooses accounts.
type AccountQuery struct {
	// Search is part of a name, username or e-mail address; State and Role are those of
	// the account. Empty is any.
	Search, State, Role string
	// After is the id after which to begin, Limit how many to return.
	After int64
	Limit int
}

// OneTime is a token that a person is sent or handed. Times are milliseconds since 1970.
type OneTime struct {
	// Hash is SHA-256 of the token, in hex.
	Hash, Purpose string
	// User and Email are whom it is for; 0 and empty if it is for nobody in particular.
	User  int64
	Email string
	// MaxUses is at least 1.
	MaxUses, Uses        int
	CreatedBy            int64
	CreatedAt, ExpiresAt int64
}

// The purposes of [OneTime] tokens: one is no use for another.
const (
	purposeReset      = "reset"
	purposeVerify     = "verify"
	purposeInvite     = "invite"
	purposeFirstAdmin = "first_admin"
)
