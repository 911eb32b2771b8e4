package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Codes of an [Error] that a caller may act on.
const (
	CodeInternal        = 100 // the server could not do it now; it may be tried again
	CodeUnknownChannel  = 102 // no namespace of that name
	CodeForbidden       = 103 // the server lets nobody do it
	CodeUnknownMethod   = 104
	CodeBadRequest      = 107 // an empty name, or data of a form that the channel refuses
	CodeNotAvailable    = 108 // the channel has no history, or no presence
	CodeUnknownPosition = 112 // [HistoryOptions.Since] is of another stream than the present one
	CodeConflict        = 113
)

// ErrUnauthorized means that the server does not take [Options.APIKey].
var ErrUnauthorized = errors.New("the server refuses the API key")

// ErrNoUser means that the user is empty where that would mean every anonymous user.
var ErrNoUser = errors.New("the user is empty")

// Error is a refusal of the server; what was refused has not been done.
type Error struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// Error has code and message.
func (e *Error) Error() string { return fmt.Sprintf("error %d: %s", e.Code, e.Message) }

// StatusError is an answer that is not one of the API: a path that does not exist, a
// request that is too large, a proxy in between.
type StatusError struct {
	Status int
	// Text is the beginning of the answer, at most one line of it.
	Text string
	// RetryAfter is how long the server asks to wait; 0 if it does not.
	RetryAfter time.Duration
}

// Error has status and text.
func (e *StatusError) Error() string {
	text := fmt.Sprintf("status %d %s", e.Status, http.StatusText(e.Status))
	if e.Text != "" {
		text += ": " + e.Text
	}
	return text
}

// newStatusError is the error of resp. In the transport error mode of the API its body
// is an [Error] (server-api.md §1.2).
func newStatusError(resp *http.Response, answer []byte) error {
	var refused Error
	if err := json.Unmarshal(answer, &refused); err == nil && refused.Code != 0 {
		return &refused
	}
	e := &StatusError{Status: resp.StatusCode, Text: line(answer)}
	if s, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 31); err == nil {
		e.RetryAfter = time.Duration(s) * time.Second
	}
	return e
}
