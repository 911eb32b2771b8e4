package apierror

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/kuranty/kuranty/internal/alerts"
	"github.com/kuranty/kuranty/internal/analytics"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/files"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/payments"
	"github.com/kuranty/kuranty/internal/privacy"
	"github.com/kuranty/kuranty/internal/status"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/tickets"
	"github.com/kuranty/kuranty/internal/trust"
)

// sentinels are errors that mean the same wherever they come from.
var sentinels = []struct {
	err  error
	code Code
}{
	{store.ErrUnavailable, Unavailable},
	{store.ErrBroken, Unavailable},
	{store.ErrClosed, Unavailable},
	{store.ErrText, BadRequest},

	{chat.ErrNotFound, NotFound},
	{chat.ErrForbidden, Forbidden},
	{chat.ErrCannotMessage, CannotMessage},
	{chat.ErrBanned, Banned},
	{chat.ErrOwnerMustTransfer, OwnerMustTransfer},
	{chat.ErrVersion, VersionConflict},
	{chat.ErrTooLate, TooLate},

	{identity.ErrUnauthorized, Unauthorized},
	{identity.ErrKeysUnavailable, Unavailable},
	{identity.ErrInvalidCredentials, InvalidCredentials},
	{identity.ErrTokenReused, TokenReused},
	{identity.ErrSuspended, Suspended},
	{identity.ErrUnverified, Unverified},
	{identity.ErrBusy, Unavailable},
	{identity.ErrNotFound, NotFound},
	{identity.ErrToken, InvalidToken},
	{identity.ErrForbidden, Forbidden},
	{identity.ErrRegistration, RegistrationClosed},
	{identity.ErrDisabled, Disabled},
	{identity.ErrAdminExists, AdminExists},
	{identity.ErrLastAdmin, LastAdmin},

	{files.ErrNotFound, NotFound},
	{files.ErrLink, NotFound},
	{files.ErrUnsupported, UnsupportedMedia},
	{files.ErrIncomplete, UploadIncomplete},
	{files.ErrUnavailable, Unavailable},

	{tickets.ErrNotFound, NotFound},
	{tickets.ErrForbidden, Forbidden},

	{alerts.ErrNotFound, NotFound},
	{alerts.ErrResolved, AlreadyDecided},

	{analytics.ErrNotFound, NotFound},
	{analytics.ErrNotReady, NotReady},
	{analytics.ErrBusy, RateLimited},

	{privacy.ErrNotFound, NotFound},
	{privacy.ErrNotReady, NotReady},
	{privacy.ErrUnderWay, TooLate},
	{privacy.ErrLastAdmin, LastAdmin},
	{privacy.ErrMode, BadRequest},

	{trust.ErrNotFound, NotFound},
	{trust.ErrForbidden, Forbidden},
	{trust.ErrExists, AlreadyExists},
	{trust.ErrState, AlreadyDecided},
	{trust.ErrExpired, InvalidToken},
	{trust.ErrNoMailer, NoMailer},
	{trust.ErrMail, Unavailable},

	{payments.ErrNotFound, NotFound},
	{payments.ErrInsufficient, Insufficient},
	{payments.ErrOverflow, BalanceLimit},

	{status.ErrNotFound, NotFound},

	{context.DeadlineExceeded, Unavailable},
	{context.Canceled, Unavailable},

	{files.ErrCutOff, BadRequest}, // unless one of the above is why
}

// From returns what err, which is not nil, means to a caller.
func From(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	e = &Error{Code: Internal, Cause: err}
	if e.Fields = fields(err, nil); len(e.Fields) > 0 {
		e.Code = Validation
		return e
	}
	if e.typed(err) {
		return e
	}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			e.Code = s.code
			break
		}
	}
	switch {
	case e.Code == Unavailable:
		e.RetryAfter = time.Second
	case e.Code == RateLimited && e.RetryAfter == 0:
		e.RetryAfter = 10 * time.Second
	}
	return e
}

// typed takes over what the errors say that are types.
func (e *Error) typed(err error) bool {
	var (
		conflict *chat.ConflictError
		slow     *chat.SlowModeError
		rate     *chat.RateError
		limited  *identity.LimitedError
		size     *files.LimitError
		offset   *files.OffsetError
		body     *http.MaxBytesError
		missing  *chat.UnknownUsersError
		phase    *status.PhaseError
		blocked  *tickets.BlockedError
		often    *tickets.RateError
		paid     *payments.ConflictError
		begun    *trust.RateError
	)
	switch {
	case errors.As(err, &conflict):
		e.Code, e.Details = IdempotencyConflict, map[string]any{"message_id": conflict.Message}
	case errors.As(err, &paid):
		e.Code, e.Details = IdempotencyConflict, map[string]any{"transaction_id": paid.Transaction}
	case errors.As(err, &slow):
		e.Code, e.RetryAfter = SlowMode, slow.RetryAfter
		e.Details = map[string]any{"retry_after": seconds(slow.RetryAfter)}
	case errors.As(err, &rate):
		e.Code, e.RetryAfter = RateLimited, rate.RetryAfter
		e.Limit, e.Remaining, e.Window = rate.Limit, rate.Remaining, rate.Window
	case errors.As(err, &limited):
		e.Code, e.RetryAfter, e.Limit, e.Window = RateLimited, limited.RetryAfter, limited.Limit, limited.Window
	case errors.As(err, &size):
		e.Code, e.Details = TooLarge, map[string]any{"field": size.Field, "limit": size.Limit}
	case errors.As(err, &offset):
		e.Code, e.Details = UploadOffset, map[string]any{"offset": offset.Offset}
	case errors.As(err, &body):
		e.Code, e.Details = TooLarge, map[string]any{"field": "body", "limit": body.Limit}
	case errors.As(err, &missing):
		e.Code, e.Details = Validation, map[string]any{"user_ids": missing.Users}
		e.Fields = []Field{{Name: "user_ids", Reason: Invalid, Text: "has somebody who is not there"}}
	case errors.As(err, &blocked):
		e.Code, e.RetryAfter = RepliesBlocked, blocked.RetryAfter
		e.Details = map[string]any{"replies_blocked_until": time.UnixMilli(blocked.Until).UTC(), "retry_after": seconds(blocked.RetryAfter)}
	case errors.As(err, &often):
		e.Code, e.RetryAfter, e.Limit, e.Window = RateLimited, often.RetryAfter, often.Limit, often.Window
	case errors.As(err, &begun):
		e.Code, e.RetryAfter, e.Limit, e.Window = RateLimited, begun.RetryAfter, begun.Limit, begun.Window
	case errors.As(err, &phase):
		e.Code, e.Details = MaintenanceState, map[string]any{"state": string(phase.Phase)}
	default:
		return false
	}
	return true
}

// fields collects what err, which may be several errors joined, says of fields.
func fields(err error, found []Field) []Field {
	switch e := err.(type) { //nolint:errorlint // walks the tree itself, to find all of them
	case *chat.FieldError:
		return append(found, sentence(e.Field, e.Reason))
	case *chat.LimitError:
		reason := TooMany
		if e.Unit == "characters" || e.Unit == "bytes" {
			reason = TooLong
		}
		return append(found, Field{Name: e.Field, Reason: reason, Limit: int64(e.Limit)})
	case *tickets.FieldError:
		return append(found, sentence(e.Field, e.Reason))
	case *tickets.LimitError:
		reason := TooMany
		if e.Unit == "characters" {
			reason = TooLong
		}
		return append(found, Field{Name: e.Field, Reason: reason, Limit: int64(e.Limit)})
	case *trust.FieldError:
		return append(found, sentence(e.Field, e.Reason))
	case *trust.TakenError:
		return append(found, Field{Name: e.Field, Reason: Taken})
	case *status.FieldError:
		return append(found, sentence(e.Field, e.Reason))
	case *alerts.FieldError:
		return append(found, sentence(e.Field, e.Reason))
	case *analytics.FieldError:
		return append(found, sentence(e.Field, e.Reason))
	case *identity.FieldError:
		return append(found, Field{Name: e.Field, Reason: e.Reason})
	case *payments.FieldError:
		return append(found, Field{Name: e.Field, Reason: e.Reason, Limit: e.Limit})
	case *identity.TakenError:
		return append(found, Field{Name: e.Field, Reason: Taken})
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			found = fields(one, found)
		}
		return found
	}
	switch err {
	case files.ErrEmpty:
		return append(found, Field{Name: "file", Reason: Required})
	case files.ErrKind:
		return append(found, Field{Name: "kind", Reason: Invalid})
	case alerts.ErrCursor, analytics.ErrCursor, payments.ErrCursor, privacy.ErrCursor, status.ErrCursor:
		return append(found, Field{Name: "cursor", Reason: Invalid, Text: "is none of ours"})
	}
	if inner := errors.Unwrap(err); inner != nil {
		return fields(inner, found)
	}
	return found
}

// sentence is a field of which a domain package says in English what is wrong.
func sentence(name, text string) Field {
	if text == reasons[Required].en {
		return Field{Name: name, Reason: Required}
	}
	return Field{Name: name, Reason: Invalid, Text: text}
}

// seconds rounds up: who waits that long has waited long enough.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
