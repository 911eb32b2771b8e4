// Package eventapi is the event log over HTTP (event-gateway.md §10, design.md §3.13): pages
// of it, one event, a stream (SSE), what types there are, and the way in for events of the
// operator's own services; and tickets for and an administrator's look at the gateway's
// connections.
//
// What is below /v1 answers errors in the form of our own contract; /events and
// /event-types, which are also documented with webhooks, in the form {"detail": …}
// (webhooks.md §1.2). Every reply has a request id, and none tells what is inside of us
// (guarantees.md S33).
//
// The package starts no goroutines; a stream is written by that of its request.
package eventapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/kuranty/kuranty/internal/apierror"
	"github.com/kuranty/kuranty/internal/gateway"
	"github.com/kuranty/kuranty/webhook"
)

// Options configure an [API]. Gateway, Log and Allowed must be given.
type Options struct {
	Gateway *gateway.Gateway
	Log     gateway.Log
	// Allowed tells whether a request of a web page may be served, by its Origin.
	Allowed func(*http.Request) bool
	// MaxPayload bounds payloads in their canonical form, in bytes. Zero, and more than it, is
	// webhook.MaxPayload.
	MaxPayload int
	// Clock defaults to time.Now, Logger to slog.Default().
	Clock  func() time.Time
	Logger *slog.Logger
}

// API serves the endpoints. It is safe for concurrent use.
type API struct {
	o   Options
	g   *gateway.Gateway
	log *slog.Logger
	// types is the answer of GET /event-types.
	types []byte
}

// New returns the endpoints.
func New(o Options) *API {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.MaxPayload <= 0 || o.MaxPayload > webhook.MaxPayload {
		o.MaxPayload = webhook.MaxPayload
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &API{o: o, g: o.Gateway, log: o.Logger, types: describe(o.Gateway.Catalogue())}
}

// Handlers are what is served, by path and method. The stream stands apart: it is to be
// wrapped by nothing that collects what it says.
func (a *API) Handlers() (plain, streams map[string]http.Handler) {
	plain = make(map[string]http.Handler)
	for _, path := range []string{"/v1/events", "/events"} {
		plain[path] = a.methods(map[string]handler{http.MethodPost: a.ingest, http.MethodGet: a.list})
	}
	plain["/v1/events/{id}"] = a.methods(map[string]handler{http.MethodGet: a.find})
	for _, path := range []string{"/v1/event-types", "/event-types"} {
		plain[path] = a.methods(map[string]handler{http.MethodGet: a.listTypes})
	}
	plain["/v1/ws/tickets"] = a.methods(map[string]handler{http.MethodPost: a.ticket})
	plain["/v1/ws/connections"] = a.methods(map[string]handler{http.MethodGet: a.connections})
	plain["/v1/ws/connections/{id}"] = a.methods(map[string]handler{http.MethodDelete: a.disconnect})
	return plain, map[string]http.Handler{"/v1/events/stream": a.methods(map[string]handler{http.MethodGet: a.stream})}
}

// handler answers a request, or returns why it cannot.
type handler func(w http.ResponseWriter, r *http.Request) error

// methods serves a path.
func (a *API) methods(by map[string]handler) http.Handler {
	allow := make([]string, 0, len(by)+1)
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		if by[m] != nil {
			allow = append(allow, m)
		}
	}
	if by[http.MethodGet] != nil {
		by[http.MethodHead] = by[http.MethodGet]
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		if h.Get(apierror.HeaderRequestID) == "" {
			h.Set(apierror.HeaderRequestID, apierror.RequestID(r))
		}
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		defer a.contain(w, r)
		serve := by[r.Method]
		if serve == nil {
			h.Set("Allow", strings.Join(allow, ", "))
			serve = func(http.ResponseWriter, *http.Request) error { return apierror.New(apierror.MethodNotAllowed, nil) }
		}
		if err := serve(w, r); err != nil {
			a.refuse(w, r, err)
		}
	})
}

// contract is the form of errors of a path.
func contract(r *http.Request) apierror.Contract {
	if strings.HasPrefix(r.URL.Path, "/v1/") {
		return apierror.C
	}
	return apierror.B
}

// refuse answers with an error.
func (a *API) refuse(w http.ResponseWriter, r *http.Request, err error) {
	e := translate(err)
	if e.Code == apierror.Internal && !errors.Is(err, context.Canceled) {
		a.log.Error("request failed", "request_id", w.Header().Get(apierror.HeaderRequestID), "method", r.Method, "path", r.URL.Path, "error", err)
	}
	e.Write(w, r, contract(r))
}

// translate says in the table's words what the gateway says.
func translate(err error) *apierror.Error {
	var said *apierror.Error
	if errors.As(err, &said) {
		return said
	}
	var query *gateway.QueryError
	var lost *gateway.LostError
	var storm *gateway.StormError
	var conflict *gateway.ConflictError
	switch {
	case errors.As(err, &query):
		e := apierror.New(apierror.Validation, err)
		if query.Forbidden {
			e.Code = apierror.Forbidden
		}
		e.Fields = []apierror.Field{{Name: query.Field, Reason: apierror.Invalid, Text: query.Detail}}
		return e
	case errors.As(err, &lost):
		e := apierror.New(apierror.EventsLost, err)
		e.Details = map[string]any{"earliest": lost.Earliest}
		return e
	case errors.As(err, &storm):
		return &apierror.Error{Code: apierror.RateLimited, RetryAfter: time.Duration(storm.Retry) * time.Second, Cause: err}
	case errors.As(err, &conflict):
		e := apierror.New(apierror.IdempotencyConflict, err)
		e.Fields = []apierror.Field{{Name: fmt.Sprintf("%d.id", conflict.Index), Reason: apierror.Taken}}
		return e
	case errors.Is(err, gateway.ErrNoCredential), errors.Is(err, gateway.ErrInvalid), errors.Is(err, gateway.ErrExpired), errors.Is(err, gateway.ErrRevoked):
		return apierror.New(apierror.Unauthorized, err)
	case errors.Is(err, gateway.ErrTooMany):
		return &apierror.Error{Code: apierror.RateLimited, RetryAfter: 10 * time.Second, Cause: err}
	case errors.Is(err, gateway.ErrEnding):
		return &apierror.Error{Code: apierror.Unavailable, RetryAfter: 5 * time.Second, Cause: err}
	}
	return apierror.From(err)
}

// contain answers a panic as an internal error (guarantees.md R35).
func (a *API) contain(w http.ResponseWriter, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler {
		panic(p)
	}
	a.log.Error("panic", "where", r.Method+" "+r.Pattern, "request_id", w.Header().Get(apierror.HeaderRequestID), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	apierror.New(apierror.Internal, nil).Write(w, r, contract(r))
}

// send answers with JSON.
func send(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	sendJSON(w, status, append(b, '\n'))
	return nil
}

func sendJSON(w http.ResponseWriter, status int, b []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b) //nolint:gosec // JSON by its header; the peer may be gone
}
