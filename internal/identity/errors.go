package identity

import (
	"errors"
	"fmt"
	"time"
)

// The errors of [Accounts]. Those of the storage and of the context are passed on, and
// so is [ErrKeysUnavailable]; all others are one of these or a type below.
var (
	// ErrUnauthorized means that what the caller shows of itself is missing, wrong,
	// expired or revoked. The text says why, for logs only.
	ErrUnauthorized = errors.New("not authenticated")
	// ErrInvalidCredentials means that login and password do not go together, whichever
	// of them is wrong.
	ErrInvalidCredentials = errors.New("login or password is wrong")
	// ErrTokenReused means that a refresh token was used after its replacement. Its
	// session has been revoked: one of the two who had it is a thief.
	ErrTokenReused = errors.New("refresh token was used twice; the session is revoked")
	// ErrSuspended means that the account is suspended. Who asked had the right
	// credentials.
	ErrSuspended = errors.New("account is suspended")
	// ErrUnverified means that the account waits for the e-mail that was sent to it to
	// be confirmed.
	ErrUnverified = errors.New("e-mail address is not verified")
	// ErrBusy means that too many passwords wait to be hashed. It may be tried again at
	// once.
	ErrBusy = errors.New("too many passwords are being checked")
	// ErrNotFound means that there is no such account, session or key, or that it is
	// somebody else's.
	ErrNotFound = errors.New("not found")
	// ErrToken means that a single-use token (invite, reset, verification, first
	// administrator) does not exist, is used up or has expired.
	ErrToken = errors.New("token is not valid any more")
	// ErrForbidden means that the caller is known but may not do this.
	ErrForbidden = errors.New("not allowed")
	// ErrRegistration means that this server does not let the person register: it is
	// closed, or by invitation, or for other addresses.
	ErrRegistration = errors.New("registration is not open")
	// ErrDisabled means that the configuration has switched off what was asked for.
	ErrDisabled = errors.New("switched off by configuration")
	// ErrAdminExists means that there is an administrator already, so no first one is made.
	ErrAdminExists = errors.New("there is an administrator already")
	// ErrLastAdmin means that the last active administrator would be lost.
	ErrLastAdmin = errors.New("it is the last administrator")
)

// FieldError is a value that a person typed and that cannot be taken.
type FieldError struct {
	// Field is the name of the value in the API: name, username, email, password, …
	Field string
	// Reason is required, invalid, too_short, too_long or common.
	Reason string
}

func (e *FieldError) Error() string { return fmt.Sprintf("%s is %s", e.Field, e.Reason) }

// TakenError is a value that must be unique and belongs to another account.
type TakenError struct {
	// Field is username, email, external_id or id.
	Field string
}

func (e *TakenError) Error() string { return e.Field + " is taken" }

// LimitedError means that it was tried too often.
type LimitedError struct {
	// RetryAfter is how long to wait, at least a second.
	RetryAfter time.Duration
	// Limit is how many attempts are free in Window.
	Limit  int
	Window time.Duration
}

func (e *LimitedError) Error() string {
	return fmt.Sprintf("tried too often; again in %v", e.RetryAfter)
}
