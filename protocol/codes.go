package protocol

import "fmt"

// Error is a refusal of one command; the connection lives on. It is sent as it is.
type Error struct {
	Code      uint32
	Message   string
	Temporary bool
}

// Error returns code and message.
func (e *Error) Error() string { return fmt.Sprintf("%d: %s", e.Code, e.Message) }

// Is makes errors equal that have the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// The errors a server may answer (client-protocol.md §20.1). They are shared: copy
// one before changing it.
var (
	ErrInternal             = &Error{Code: 100, Message: "internal server error", Temporary: true}
	ErrUnauthorized         = &Error{Code: 101, Message: "unauthorized"}
	ErrUnknownChannel       = &Error{Code: 102, Message: "unknown channel"}
	ErrPermissionDenied     = &Error{Code: 103, Message: "permission denied"}
	ErrMethodNotFound       = &Error{Code: 104, Message: "method not found"}
	ErrAlreadySubscribed    = &Error{Code: 105, Message: "already subscribed"}
	ErrLimitExceeded        = &Error{Code: 106, Message: "limit exceeded"}
	ErrBadRequest           = &Error{Code: 107, Message: "bad request"}
	ErrNotAvailable         = &Error{Code: 108, Message: "not available"}
	ErrTokenExpired         = &Error{Code: 109, Message: "token expired"}
	ErrExpired              = &Error{Code: 110, Message: "expired"}
	ErrTooManyRequests      = &Error{Code: 111, Message: "too many requests", Temporary: true}
	ErrUnrecoverable        = &Error{Code: 112, Message: "unrecoverable position"}
	ErrConcurrentPagination = &Error{Code: 113, Message: "concurrent pagination", Temporary: true}
)

// Close ends a connection: the code and reason of the WebSocket close frame, or of
// the disconnect push where there is no such frame. It is an error so that a
// handler can return it.
type Close struct {
	Code   uint32
	Reason string
}

// Error returns code and reason.
func (c *Close) Error() string { return fmt.Sprintf("close %d: %s", c.Code, c.Reason) }

// Is makes closes equal that have the same code.
func (c *Close) Is(target error) bool {
	t, ok := target.(*Close)
	return ok && t.Code == c.Code
}

// Reconnect tells whether clients come back after this code (client-protocol.md
// §20.2).
func (c *Close) Reconnect() bool {
	return c.Code < 3500 || (c.Code >= 4000 && c.Code < 4500) || c.Code >= 5000
}

// The reasons for which a server closes a connection (client-protocol.md §20.2).
var (
	CloseNormal           = &Close{3000, "connection closed"}
	CloseShutdown         = &Close{3001, "shutdown"}
	CloseInternal         = &Close{3004, "internal server error"}
	CloseExpired          = &Close{3005, "connection expired"}
	CloseSubExpired       = &Close{3006, "subscription expired"}
	CloseSlow             = &Close{3008, "slow"}
	CloseWriteError       = &Close{3009, "write error"}
	CloseInsufficient     = &Close{3010, "insufficient state"}
	CloseForceReconnect   = &Close{3011, "force reconnect"}
	CloseNoPong           = &Close{3012, "no pong"}
	CloseTooManyRequests  = &Close{3013, "too many requests"}
	CloseStateInvalidated = &Close{3014, "state invalidated"}
	CloseInvalidToken     = &Close{3500, "invalid token"}
	CloseBadRequest       = &Close{3501, "bad request"}
	CloseStale            = &Close{3502, "stale"}
	CloseForceDisconnect  = &Close{3503, "force disconnect"}
	CloseConnectionLimit  = &Close{3504, "connection limit"}
	CloseChannelLimit     = &Close{3505, "channel limit"}
	CloseInappropriate    = &Close{3506, "inappropriate protocol"}
	ClosePermissionDenied = &Close{3507, "permission denied"}
	CloseNotAvailable     = &Close{3508, "not available"}
	CloseTooManyErrors    = &Close{3509, "too many errors"}
)

// The reasons for which a server ends one subscription (client-protocol.md §20.3).
// Clients resubscribe by themselves from code 2500 on.
var (
	UnsubscribeServer       = UnsubscribePush{2000, "server unsubscribe"}
	UnsubscribeInsufficient = UnsubscribePush{2500, "insufficient state"}
	UnsubscribeExpired      = UnsubscribePush{2501, "subscription expired"}
	UnsubscribeInvalidated  = UnsubscribePush{2502, "state invalidated"}
)
