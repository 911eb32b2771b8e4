package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/kuranty/kuranty/internal/apierror"
)

// prefix begins all paths of the contract.
const prefix = "/api/v2"

// Access is who may call an operation at all; what they may do with whom is decided by
// the domain.
type Access string

// The kinds of access.
const (
	// Public operations need no token, and take none into account.
	Public Access = "public"
	// People have accounts; services have none and are refused.
	People Access = "people"
	// Admins are administrators and services with the scope "admin".
	Admins Access = "admins"
	// FreshAdmins are those who logged in during the last 15 minutes, and services
	// (guarantees.md S20).
	FreshAdmins Access = "fresh_admins"

	// orKey comes between who may call beside a service and the scope that it needs.
	orKey          = " or key:"
	anyone         = "people"
	operators      = "admins"
	freshOperators = "fresh_admins"
)

// AnyoneOr are people, who see what is theirs, and services with a scope, who see all.
func AnyoneOr(scope string) Access { return Access(anyone + orKey + scope) }

// AdminsOr are administrators, and services with a scope.
func AdminsOr(scope string) Access { return Access(operators + orKey + scope) }

// FreshAdminsOr are administrators who logged in during the last 15 minutes, and services
// with a scope.
func FreshAdminsOr(scope string) Access { return Access(freshOperators + orKey + scope) }

// freshLogin is how long a login is fresh.
const freshLogin = 15 * time.Minute

// Operation is a route as it was registered.
type Operation struct {
	Method, Path, ID string
	Access           Access
}

// Operations returns all routes, in the order of the document.
func (a *API) Operations() []Operation { return a.operations }

// op describes an operation.
type op struct {
	method, path string // below the prefix
	access       Access
	summary      string
	// status of success; zero means 200, or 204 without a body.
	status int
	// more are other statuses of success that have the same body.
	more []int
	// kept says that the reply is kept for a repeated request with the header
	// Idempotency-Key (chat-api.md §0.12).
	kept bool
}

// group is the first part of the path, by which the document is ordered.
func (o *op) group() string {
	first, _, _ := strings.Cut(strings.TrimPrefix(o.path, "/"), "/")
	return first
}

// id names an operation after its method and path.
func (o *op) id() string {
	words := strings.FieldsFunc(o.path, func(r rune) bool { return r == '/' || r == '-' || r == '.' })
	id := strings.ToLower(o.method)
	for _, w := range words {
		w = strings.Trim(w, "{}")
		id += strings.ToUpper(w[:1]) + w[1:]
	}
	return strings.ReplaceAll(id, "_", "")
}

// handle registers an operation. Its handler gets the call and the decoded request.
func handle[I, O any](a *API, o op, h func(context.Context, *call, *I) (*O, error)) {
	middlewares := huma.Middlewares{a.admit(o.access)}
	if o.kept {
		middlewares = append(middlewares, a.keep)
	}
	described := huma.Operation{
		OperationID: o.id(), Method: o.method, Path: prefix + o.path, Summary: o.summary, DefaultStatus: o.status,
		Tags: []string{o.group()}, Middlewares: middlewares, MaxBodyBytes: -1, BodyReadTimeout: 30 * time.Second,
	}
	if o.access != Public {
		described.Security = []map[string][]string{{"bearer": {}}}
	}
	huma.Register(a.huma, described, func(ctx context.Context, in *I) (*O, error) {
		c := callOf(ctx)
		out, err := h(ctx, c, in)
		if err != nil {
			return nil, a.refuse(c, err)
		}
		return out, nil
	})
	a.operations = append(a.operations, Operation{o.method, prefix + o.path, o.id(), o.access})
	a.repeatResponses(prefix+o.path, o)
}

// repeatResponses describes the other statuses of success as the first one.
func (a *API) repeatResponses(path string, o op) {
	described := operationOf(a.huma.OpenAPI(), o.method, path)
	first := described.Responses[strconv.Itoa(described.DefaultStatus)]
	for _, status := range o.more {
		again := *first
		again.Description = http.StatusText(status)
		described.Responses[strconv.Itoa(status)] = &again
	}
}

// refuse turns an error into the reply. What is our own fault is logged.
func (a *API) refuse(c *call, err error) error {
	e := apierror.From(err)
	if e.Code == apierror.RateLimited {
		a.o.Watch.RateLimited(c.User, network(c.address))
	}
	if e.Code == apierror.Internal && !errors.Is(err, context.Canceled) {
		a.log.Error("request failed", "request_id", c.id, "method", c.r.Method, "path", c.r.Pattern, "error", err)
	}
	return &problem{e.Envelope(c.lang, c.id), e}
}

// admit lets in who may call an operation.
func (a *API) admit(access Access) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		c := callOf(ctx.Context())
		if err := a.authenticate(ctx.Context(), c, access); err != nil {
			r, w := humago.Unwrap(ctx)
			e := apierror.From(err)
			if e.Code == apierror.Internal {
				a.log.Error("authentication failed", "request_id", c.id, "error", err)
			}
			e.Write(w, r, apierror.C)
			return
		}
		next(ctx)
	}
}

// authenticate finds out who calls, counts the call, and checks that the operation is
// for them.
func (a *API) authenticate(ctx context.Context, c *call, access Access) error {
	stranger := network(c.address)
	if access == Public {
		return a.perAddress.take(stranger)
	}
	token, ok := bearer(c.r)
	if !ok {
		if err := a.perAddress.take(stranger); err != nil {
			return err
		}
		return apierror.New(apierror.Unauthorized, nil)
	}
	who, err := a.o.Accounts.Authenticate(ctx, token)
	if err != nil {
		if e := apierror.From(err); e.Code == apierror.Unauthorized { // who guesses tokens is bounded like who has none
			a.o.Watch.TokenRefused(stranger)
			if limited := a.perAddress.take(stranger); limited != nil {
				return limited
			}
		}
		return err
	}
	c.Caller = who
	if !who.Service {
		if err := a.perUser.take(strconv.FormatInt(who.User, 10)); err != nil {
			return err
		}
	}
	return a.permit(c, access)
}

// permit checks the kind of the caller.
func (a *API) permit(c *call, access Access) error {
	switch access {
	case People:
		if c.User == 0 {
			return apierror.New(apierror.Forbidden, nil)
		}
	case Admins, FreshAdmins:
		if !c.Admin() {
			return apierror.New(apierror.Forbidden, nil)
		}
		if access == FreshAdmins {
			return a.fresh(c)
		}
	case Public:
	default:
		who, scope, keyed := strings.Cut(string(access), orKey)
		switch {
		case keyed && who == anyone && c.User != 0:
		case !keyed || !c.sees(scope):
			return apierror.New(apierror.Forbidden, nil)
		case who == freshOperators:
			return a.fresh(c)
		}
	}
	return nil
}

// fresh checks that an administrator has logged in lately; services do not log in.
func (a *API) fresh(c *call) error {
	if !c.Service && a.o.Clock().Sub(time.UnixMilli(c.LoginAt)) > freshLogin {
		return apierror.New(apierror.LoginTooOld, nil)
	}
	return nil
}

// sees tells whether the caller may see, or change, what is other people's of the kind that
// a scope is for.
func (c *call) sees(scope string) bool { return c.Admin() || c.Can(scope) }

// bearer returns the token of the header Authorization; as Centrifugo's keys, ours may
// also be named "apikey" there or come in X-API-Key (design.md §3.8).
func bearer(r *http.Request) (string, bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if ok && (strings.EqualFold(scheme, "Bearer") || strings.EqualFold(scheme, "apikey")) {
		token = strings.TrimSpace(token)
		return token, token != ""
	}
	key := r.Header.Get("X-API-Key")
	return key, key != ""
}

// enabled returns a service, or the error that it is switched off.
func enabled[T any](service *T) (*T, error) {
	if service == nil {
		return nil, apierror.New(apierror.Disabled, nil)
	}
	return service, nil
}

// none is the input, or the output, of operations that have none.
type none struct{}

// body is an output that is only a body.
type body[T any] struct{ Body T }

func reply[T any](v T) *body[T] { return &body[T]{v} }

// answer is a body with a status.
type answer[T any] struct {
	Status   int
	Replayed string `header:"Idempotency-Replayed" doc:"true if the reply is that of an earlier request"`
	Body     T
}
