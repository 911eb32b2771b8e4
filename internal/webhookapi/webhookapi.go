// Package webhookapi serves webhooks over HTTP (spec/webhooks.md §1 and §4): /webhooks and
// what is below it, and the keys that receivers check signatures with.
//
// Clients of the reference find its answers here, to the letter: field sets, statuses, texts
// and lists of errors in the form {"detail": …}. What is ours beside it only adds. Handlers
// read, call one method of [webhooks.Service] and write; rules are elsewhere.
//
// Who calls is known before anything of a body is read. Services need a scope, people must be
// administrators. No answer has a secret in it, except to those who make one or ask for it;
// such answers are kept for repeated requests only sealed.
//
// The package starts no goroutines.
package webhookapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/kuranty/kuranty/internal/apierror"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/webhooks"
)

// maxBody bounds the body of a request, in bytes (spec/webhooks.md §4.16).
const maxBody = 1 << 20

// The scopes of services (spec/webhooks.md §1.1). Reading includes deliveries.
const (
	scopeRead       = "webhooks:read"
	scopeWrite      = "webhooks:write"
	scopeDeliveries = "webhooks:deliveries"
)

// Accounts tells who shows a credential; the errors are those of identity.Accounts.
type Accounts interface {
	Authenticate(ctx context.Context, credential string) (identity.Caller, error)
}

// Limits count calls; the errors are [*apierror.Error].
type Limits interface {
	User(id int64) error
	Stranger(address string) error
}

// Watcher is told of what may be an attack. It must not block.
type Watcher interface {
	TokenRefused(address string)
}

// Sealer encrypts what is kept; seal.Ring is one.
type Sealer interface {
	Seal(plain, context []byte) []byte
	Open(sealed, context []byte) ([]byte, error)
}

// Options configure an [API]. Service and Accounts are required.
type Options struct {
	Service  *webhooks.Service
	Accounts Accounts
	// Limits, if they are there, bound calls of people and of strangers; Watch is told of
	// bad credentials.
	Limits Limits
	Watch  Watcher
	// Keep answers a request that has an Idempotency-Key, as api.API.Keep does, and Seal seals
	// what it keeps of answers with secrets. Without both of them keys are not heeded.
	Keep func(w http.ResponseWriter, r *http.Request, who string, upload bool, next func(http.ResponseWriter)) error
	Seal Sealer
	// Address returns the IP address of the client. Nil is that of the connection.
	Address func(*http.Request) string
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

// API serves the endpoints. It is safe for concurrent use.
type API struct {
	o      Options
	log    *slog.Logger
	routes []route
}

// New returns the endpoints.
func New(o Options) *API {
	if o.Address == nil {
		o.Address = peer
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	a := &API{o: o, log: o.Logger}
	a.routes = a.table()
	return a
}

func peer(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// Paths are where the handler is to be mounted.
func (a *API) Paths() []string { return []string{"/webhooks", "/webhooks/", keysPath} }

// request is a request and who makes it.
type request struct {
	*http.Request
	by webhooks.By
	// parts are the parts of the path that the route names.
	parts map[string]string
}

// answer is what an endpoint answers; without a body there is none.
type answer struct {
	status int
	body   any
	// secret says that the body has a secret in it.
	secret bool
}

// ServeHTTP implements [http.Handler].
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	if h.Get(apierror.HeaderRequestID) == "" {
		h.Set(apierror.HeaderRequestID, apierror.RequestID(r))
	}
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	defer a.contain(w, r)
	if err := a.serve(w, r); err != nil {
		a.refuse(w, r, err)
	}
}

func (a *API) serve(w http.ResponseWriter, r *http.Request) error {
	path := r.URL.EscapedPath()
	if trimmed := strings.TrimRight(path, "/"); trimmed != path {
		if _, allow := a.find(r.Method, trimmed); len(allow) == 0 {
			return errPath
		}
		if r.URL.RawQuery != "" {
			trimmed += "?" + r.URL.RawQuery
		}
		w.Header().Set("Location", trimmed)
		w.WriteHeader(http.StatusTemporaryRedirect)
		return nil
	}
	found, allow := a.find(r.Method, path)
	switch {
	case len(allow) == 0:
		return errPath
	case found == nil:
		w.Header().Set("Allow", strings.Join(allow, ", "))
		return errMethod
	}
	in := &request{Request: r, parts: found.parts}
	if found.access != nil {
		actor, err := a.admit(r, found.access)
		if err != nil {
			return err
		}
		in.by = actor
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if found.repeatable && r.Header.Get(keyHeader) != "" && a.o.Keep != nil && a.o.Seal != nil {
		return a.keep(w, in, found.serve)
	}
	out, err := found.serve(in)
	if err != nil {
		return err
	}
	return send(w, out.status, out.body)
}

// match is a route that serves a path, with the parts of it.
type match struct {
	route

	parts map[string]string
}

// find returns the first route of a path and method, and the methods that the path has.
func (a *API) find(method, path string) (found *match, allow []string) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for i := range a.routes {
		parts, ok := a.routes[i].matches(path)
		if !ok {
			continue
		}
		if a.routes[i].method == method && found == nil {
			found = &match{a.routes[i], parts}
		}
		if !slices.Contains(allow, a.routes[i].method) {
			allow = append(allow, a.routes[i].method)
		}
	}
	return found, allow
}

// admit finds out who calls and checks that they have one of the scopes.
func (a *API) admit(r *http.Request, scopes []string) (webhooks.By, error) {
	shown, address := credential(r.Header), a.o.Address(r)
	if shown == "" {
		return webhooks.By{}, firstOf(a.stranger(address), errNoKey)
	}
	c, err := a.o.Accounts.Authenticate(r.Context(), shown)
	switch {
	case errors.Is(err, identity.ErrUnauthorized), errors.Is(err, identity.ErrSuspended):
		if a.o.Watch != nil {
			a.o.Watch.TokenRefused(address)
		}
		return webhooks.By{}, firstOf(a.stranger(address), errKey)
	case err != nil:
		return webhooks.By{}, err
	}
	if c.User != 0 && a.o.Limits != nil {
		if err := a.o.Limits.User(c.User); err != nil {
			return webhooks.By{}, err
		}
	}
	if !slices.ContainsFunc(scopes, c.Can) {
		return webhooks.By{}, errScope
	}
	return webhooks.By{Actor: c.Actor(), Address: address}, nil
}

func (a *API) stranger(address string) error {
	if a.o.Limits == nil {
		return nil
	}
	return a.o.Limits.Stranger(address)
}

// firstOf returns the first error that there is.
func firstOf(first, second error) error {
	if first != nil {
		return first
	}
	return second
}

// credential is what a caller shows: X-API-Key, or else a bearer token.
func credential(h http.Header) string {
	if key := strings.TrimSpace(h.Get("X-Api-Key")); key != "" {
		return key
	}
	scheme, token, _ := strings.Cut(strings.TrimSpace(h.Get("Authorization")), " ")
	if strings.EqualFold(scheme, "bearer") {
		return strings.TrimSpace(token)
	}
	return ""
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
	a.log.Error("panic", "where", r.Method+" "+r.URL.Path, "request_id", w.Header().Get(apierror.HeaderRequestID), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	_ = send(w, http.StatusInternalServerError, detail{"Internal server error"})
}
