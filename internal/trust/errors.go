package trust

import (
	"errors"
	"time"
)

var (
	// ErrNotFound means that there is no such identity or verification, or that it is not
	// the caller's to see.
	ErrNotFound = errors.New("no such identity or verification")
	// ErrForbidden means that this is for others to do: whose identity it is, or operators.
	ErrForbidden = errors.New("not for this caller")
	// ErrExists means that the caller has an identity, or has vouched for this one.
	ErrExists = errors.New("there is one already")
	// ErrState means that the verification is not pending any more.
	ErrState = errors.New("the verification is decided already")
	// ErrExpired means that the challenge or the code came too late.
	ErrExpired = errors.New("the challenge or code has expired")
	// ErrNoMailer means that this server cannot send mail.
	ErrNoMailer = errors.New("there is no mailer")
	// ErrMail means that the mailer did not send the code.
	ErrMail = errors.New("the code was not sent")
)

// FieldError is about one field of what the caller gave; Reason completes a sentence that
// begins with it.
type FieldError struct{ Field, Reason string }

func (e *FieldError) Error() string { return e.Field + ": " + e.Reason }

// TakenError means that somebody else has the value of the field.
type TakenError struct{ Field string }

func (e *TakenError) Error() string { return e.Field + ": is taken" }

// RateError means that somebody did this too often: Limit times in Window.
type RateError struct {
	Limit              int
	Window, RetryAfter time.Duration
}

func (e *RateError) Error() string { return "too many verifications" }
