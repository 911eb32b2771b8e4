// Package apierror is what can go wrong with a call, as those who call hear of it: the
// table of chat-api.md §0.10, shared by the three contracts.
//
// [From] finds out what an error of the domain packages or the storage means to a
// caller; [Error.Write] answers it in the form, with the status and in the language of
// the call. What the table does not know is an internal error, of which a stranger
// learns the request's id and nothing else (guarantees.md S33).
package apierror

import (
	"fmt"
	"time"
)

// Contract is whose form an error takes.
type Contract int

// The contracts of chat-api.md.
const (
	A Contract = iota
	B
	C
)

// Code names a situation. Codes do not change.
type Code string

// The codes. Those of chat-api.md §0.10 come first; the others refine them.
const (
	Unauthorized        Code = "unauthorized"
	Suspended           Code = "suspended"
	BadRequest          Code = "bad_request"
	Validation          Code = "validation"
	NotFound            Code = "not_found"
	Forbidden           Code = "forbidden"
	SlowMode            Code = "slow_mode"
	CannotMessage       Code = "cannot_message"
	IdempotencyConflict Code = "idempotency_conflict"
	TooLarge            Code = "too_large"
	UnsupportedMedia    Code = "unsupported_media"
	RateLimited         Code = "rate_limited"
	Unavailable         Code = "unavailable"

	Internal           Code = "internal"
	MethodNotAllowed   Code = "method_not_allowed"
	InvalidCredentials Code = "invalid_credentials" //nolint:gosec // the name of an error
	TokenReused        Code = "token_reused"
	Unverified         Code = "unverified"
	InvalidToken       Code = "invalid_token"
	RegistrationClosed Code = "registration_closed"
	LoginTooOld        Code = "login_too_old"
	Disabled           Code = "disabled"
	Banned             Code = "banned"
	TooLate            Code = "too_late"
	OwnerMustTransfer  Code = "owner_must_transfer"
	VersionConflict    Code = "version_conflict"
	LastAdmin          Code = "last_admin"
	LegalHold          Code = "legal_hold"
	AdminExists        Code = "admin_exists"
	UploadIncomplete   Code = "upload_incomplete"
	NotReady           Code = "not_ready"
	UploadOffset       Code = "upload_offset"
	MaintenanceState   Code = "maintenance_state"
	RepliesBlocked     Code = "replies_blocked"
	Insufficient       Code = "insufficient_balance"
	BalanceLimit       Code = "balance_limit"
	AlreadyExists      Code = "already_exists"
	AlreadyDecided     Code = "already_decided"
	NoMailer           Code = "no_mailer"
	EventsLost         Code = "events_lost"
)

// statuses are the HTTP statuses in contracts A, B and C.
var statuses = map[Code][3]int{
	Unauthorized:        {401, 401, 401},
	Suspended:           {403, 403, 403},
	BadRequest:          {400, 422, 400},
	Validation:          {422, 422, 422}, // B: 400 about the text of a message, see Status
	NotFound:            {404, 403, 404},
	Forbidden:           {403, 403, 403},
	SlowMode:            {403, 403, 403},
	CannotMessage:       {403, 403, 403},
	IdempotencyConflict: {409, 409, 409},
	TooLarge:            {413, 413, 413},
	UnsupportedMedia:    {415, 415, 415},
	RateLimited:         {429, 429, 429},
	Unavailable:         {503, 503, 503},

	Internal:           {500, 500, 500},
	MethodNotAllowed:   {405, 405, 405},
	InvalidCredentials: {401, 401, 401},
	TokenReused:        {401, 401, 401},
	Unverified:         {403, 403, 403},
	InvalidToken:       {422, 422, 422},
	RegistrationClosed: {403, 403, 403},
	LoginTooOld:        {403, 403, 403},
	Disabled:           {403, 403, 403},
	Banned:             {403, 403, 403},
	TooLate:            {403, 403, 403},
	OwnerMustTransfer:  {409, 409, 409},
	VersionConflict:    {409, 409, 409},
	LastAdmin:          {409, 409, 409},
	LegalHold:          {409, 409, 409},
	AdminExists:        {409, 409, 409},
	UploadIncomplete:   {409, 409, 409},
	NotReady:           {409, 409, 409},
	UploadOffset:       {409, 409, 409},
	MaintenanceState:   {409, 409, 409},
	RepliesBlocked:     {403, 403, 403},
	Insufficient:       {409, 409, 409},
	BalanceLimit:       {409, 409, 409},
	AlreadyExists:      {409, 409, 409},
	AlreadyDecided:     {409, 409, 409},
	NoMailer:           {403, 403, 403},
	EventsLost:         {410, 410, 410},
}

// Codes returns every code there is.
func Codes() []Code {
	all := make([]Code, 0, len(statuses))
	for c := range statuses {
		all = append(all, c)
	}
	return all
}

// Reasons why a field cannot be taken, in [Field.Reason].
const (
	Required = "required"
	Invalid  = "invalid"
	TooShort = "too_short"
	TooLong  = "too_long"
	TooMany  = "too_many"
	Common   = "common"
	Taken    = "taken"
	Type     = "type"
)

// Field is a value of the request that cannot be taken.
type Field struct {
	// Name is the name of contract C, Reason one of the constants.
	Name, Reason string
	// Text, if not empty, says in English what is wrong; it completes a sentence that
	// begins with the name. Limit, if not 0, is what was exceeded.
	Text  string
	Limit int64
}

// Error is what a caller is told.
type Error struct {
	Code Code
	// Fields are the values of the request that are wrong, with [Validation] and [BadRequest].
	Fields []Field
	// Details is what else contract C shows of it.
	Details map[string]any
	// RetryAfter is when it may be tried again, 0 if that is not said.
	RetryAfter time.Duration
	// Limit calls per Window were allowed, and Remaining are left, if Limit is not 0.
	Limit, Remaining int
	Window           time.Duration
	// Cause is for the log only.
	Cause error
}

// New returns an error with the code. cause may be nil.
func New(code Code, cause error) *Error { return &Error{Code: code, Cause: cause} }

// NewField returns a [Validation] error about one field.
func NewField(name, reason string) *Error {
	return &Error{Code: Validation, Fields: []Field{{Name: name, Reason: reason}}}
}

func (e *Error) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("%s: %v", e.Code, e.Cause)
	}
	return string(e.Code)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Status is the HTTP status in the contract. In B, a text that is empty or too long is
// 400 (chat-api.md §B.5).
func (e *Error) Status(c Contract) int {
	if c == B && e.Code == Validation && len(e.Fields) == 1 && (e.Fields[0].Name == "text" || e.Fields[0].Name == "content") {
		return 400
	}
	return statuses[e.Code][c]
}
