package webhookapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/kuranty/kuranty/internal/apierror"
	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/webhooks"
	"github.com/kuranty/kuranty/webhook"
)

// refusal is an error with its status and its text (spec/webhooks.md §1.2).
type refusal struct {
	status int
	text   string
}

func (e *refusal) Error() string { return e.text }

var (
	errNoKey  = &refusal{http.StatusUnauthorized, "Missing API key"}
	errKey    = &refusal{http.StatusUnauthorized, "Invalid or expired API key"}
	errScope  = &refusal{http.StatusForbidden, "Insufficient scope"}
	errPath   = &refusal{http.StatusNotFound, "Not Found"}
	errMethod = &refusal{http.StatusMethodNotAllowed, "Method Not Allowed"}
	errAway   = &refusal{http.StatusServiceUnavailable, "Service temporarily unavailable. Please try again later."}
	errRates  = &refusal{http.StatusTooManyRequests, "Too many requests"}
)

// refusals are errors that always mean the same.
var refusals = []struct {
	err error
	refusal
}{
	{webhooks.ErrNotFound, refusal{http.StatusNotFound, "Webhook not found"}},
	{webhooks.ErrNoDelivery, refusal{http.StatusNotFound, "Delivery not found"}},
	{webhooks.ErrNoJob, refusal{http.StatusNotFound, "Job not found"}},
	{webhooks.ErrExpired, refusal{http.StatusConflict, "The payload has expired and cannot be sent again"}},
	{webhooks.ErrLocked, refusal{http.StatusConflict, "The server has no key for the secrets of this webhook; its operator can give it in webhooks.secret_encryption_key or webhooks.previous_encryption_keys"}},
	{webhooks.ErrRotating, refusal{http.StatusConflict, "The secret is being replaced already; end that with DELETE …/secret/previous"}},
	{delivery.ErrFlapping, refusal{http.StatusConflict, `The webhook was disabled three times in seven days; send {"is_active": true, "force": true}`}},
	{webhook.ErrTooLarge, refusal{http.StatusRequestEntityTooLarge, "The payload is larger than 256 KiB"}},
}

// detail is the body of most refusals.
type detail struct {
	Detail string `json:"detail" doc:"What is wrong"`
}

// refuse answers with an error.
func (a *API) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var invalid *delivery.InvalidError
	if errors.As(err, &invalid) {
		_ = send(w, http.StatusUnprocessableEntity, struct {
			Detail []delivery.FieldError `json:"detail"`
		}{invalid.Fields})
		return
	}
	e, retry := a.translate(err)
	if e == nil {
		if !errors.Is(err, context.Canceled) {
			a.log.Error("request failed", "request_id", w.Header().Get(apierror.HeaderRequestID), "method", r.Method, "path", r.URL.Path, "error", err)
		}
		e = &refusal{http.StatusInternalServerError, "Internal server error"}
	}
	if e.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	if retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((retry+time.Second-1)/time.Second)))
	}
	_ = send(w, e.status, detail{e.text})
}

// translate finds the words for an error, nil for one that nobody should have, and after
// which time it is worth to try again.
func (a *API) translate(err error) (*refusal, time.Duration) {
	var said *refusal
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &said):
		return said, 0
	case errors.As(err, &tooLarge):
		return &refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("The body is larger than %d bytes", maxBody)}, 0
	case errors.Is(err, webhooks.ErrTooMany):
		return &refusal{http.StatusConflict, fmt.Sprintf("There are %d webhooks, which is the limit", a.o.Service.Limit())}, 0
	case errors.Is(err, webhooks.ErrTooSoon):
		return &refusal{http.StatusTooManyRequests, "A webhook can be tested once per second"}, time.Second
	}
	for i := range refusals {
		if errors.Is(err, refusals[i].err) {
			return &refusals[i].refusal, 0
		}
	}
	switch e := apierror.From(err); e.Code {
	case apierror.Unavailable:
		return errAway, e.RetryAfter
	case apierror.RateLimited:
		return errRates, max(e.RetryAfter, time.Second)
	case apierror.IdempotencyConflict:
		return &refusal{http.StatusConflict, "The Idempotency-Key was used for another request"}, 0
	case apierror.BadRequest: // text that no database keeps
		return &refusal{http.StatusBadRequest, "Bad request"}, 0
	}
	return nil, 0
}

// send answers with JSON; nothing follows a status without a body.
func send(w http.ResponseWriter, status int, body any) error {
	if body == nil {
		w.WriteHeader(status)
		return nil
	}
	b, err := encode(body)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b) // the peer may be gone
	return nil
}

func encode(body any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(body); err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	return b.Bytes(), nil
}
