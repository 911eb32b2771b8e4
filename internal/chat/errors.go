package chat

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrNotFound means that there is no such chat, message or person, or that it is not
	// the caller's to see: which of them is not told.
	ErrNotFound = errors.New("not found")
	// ErrForbidden means that the caller sees the thing but may not do that with it.
	ErrForbidden = errors.New("not allowed")
	// ErrCannotMessage means that one of the two does not take messages of the other;
	// which, and why, is not told.
	ErrCannotMessage = errors.New("this person cannot be written to")
	// ErrBanned means that the user was banned from the chat.
	ErrBanned = errors.New("banned from the chat")
	// ErrOwnerMustTransfer means that the owner of a group with other members must hand
	// it over before leaving.
	ErrOwnerMustTransfer = errors.New("the owner must transfer the chat first")
	// ErrVersion means that the message has been edited since the version given.
	ErrVersion = errors.New("the message has changed meanwhile")
	// ErrTooLate means that the time in which this could be done is over.
	ErrTooLate = errors.New("the time for this is over")
)

// FieldError is about one field of what the caller gave; Field has the name of
// contract C, and Reason completes a sentence that begins with it.
type FieldError struct{ Field, Reason string }

func (e *FieldError) Error() string { return e.Field + ": " + e.Reason }

// UnknownUsersError means that some of the users named are not there.
type UnknownUsersError struct{ Users []int64 }

func (e *UnknownUsersError) Error() string {
	return fmt.Sprintf("user_ids: has somebody who is not there: %d", e.Users)
}

// LimitError reports a value above a limit.
type LimitError struct {
	Field      string
	Got, Limit int
	// Unit is what is counted: "characters", "bytes", "files", …
	Unit string
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%s: %d %s, %d are allowed", e.Field, e.Got, e.Unit, e.Limit)
}

// ConflictError means that the client id was used for another content.
type ConflictError struct{ Message int64 }

func (e *ConflictError) Error() string {
	return "this client id was used for another message"
}

// SlowModeError means that the member may write again after a while.
type SlowModeError struct{ RetryAfter time.Duration }

func (e *SlowModeError) Error() string { return "slow mode: wait before the next message" }

// RateError means that the caller did this too often.
type RateError struct {
	// Limit is how many are allowed per Window, Remaining how many are left.
	Limit, Remaining int
	Window           time.Duration
	RetryAfter       time.Duration
}

func (e *RateError) Error() string { return "too many requests" }
