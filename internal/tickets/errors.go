package tickets

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrNotFound means that there is no such ticket, or that it is not the caller's to see.
	ErrNotFound = errors.New("no such ticket")
	// ErrForbidden means that only operators may do this.
	ErrForbidden = errors.New("only operators may do this")
)

// FieldError is about one field of what the caller gave; Reason completes a sentence that
// begins with it.
type FieldError struct{ Field, Reason string }

func (e *FieldError) Error() string { return e.Field + ": " + e.Reason }

// LimitError reports a value above a limit.
type LimitError struct {
	Field string
	Limit int
	// Unit is what is counted: "characters" or "files".
	Unit string
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%s: at most %d %s", e.Field, e.Limit, e.Unit)
}

// RateError means that a person did this too often: Limit times in Window.
type RateError struct {
	Limit              int
	Window, RetryAfter time.Duration
}

func (e *RateError) Error() string { return "too many tickets or replies" }

// BlockedError means that the ticket's owner cannot reply until a time, in milliseconds
// since 1970.
type BlockedError struct {
	Until      int64
	RetryAfter time.Duration
}

func (e *BlockedError) Error() string { return "replies are blocked for a time" }
