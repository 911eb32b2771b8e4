package windi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/kuranty/kuranty/internal/apierror"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/identity"
)

// request is a request and who makes it; by is nobody where the endpoint is public.
type request struct {
	*http.Request
	w  http.ResponseWriter
	by identity.Caller
}

// user is the id of the caller; services, which are nobody in a chat, are refused.
func (r *request) user() (int64, error) {
	if r.by.User == 0 {
		return 0, chat.ErrForbidden
	}
	return r.by.User, nil
}

// body reads the body as JSON, decode reads it into a struct.
func (r *request) body() (jsontext.Value, error) { return readBody(r.w, r.Request) }

func (r *request) decode(into any) error {
	v, err := r.body()
	if err != nil {
		return err
	}
	return decode(v, into, "body")
}

// path reads an id in the path.
func (r *request) path(name string) (int64, error) {
	id, ok := parseID(r.PathValue(name))
	if !ok {
		return 0, &invalid{loc: []any{"path", name + "_id"}, msg: "must be a positive integer"}
	}
	return id, nil
}

// reply is what an endpoint answers.
type reply struct {
	// status is 200 if 0.
	status int
	body   any
	// replayed says that the same request was carried out before.
	replayed bool
}

// keyHeader makes repetitions of a request harmless (chat-api.md §0.12).
const keyHeader = "Idempotency-Key"

// serve answers requests to a route: it recognizes the caller, counts the call, and writes
// what the endpoint returns, or the error.
func (c *Contract) serve(route Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(apierror.HeaderRequestID, apierror.RequestID(r))
		w.Header().Set("Cache-Control", "no-store")
		in := &request{Request: r, w: w}
		err := c.admit(in, route.Access)
		switch {
		case err != nil:
		case c.o.Keep != nil && r.Header.Get(keyHeader) != "" && slices.Contains(creating, r.Pattern):
			upload := r.Pattern == uploads
			if !upload {
				r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			}
			err = c.o.Keep(w, r, in.by.Actor(), upload, func(w http.ResponseWriter) {
				in.w = w
				c.answer(route, in)
			})
		default:
			c.answer(route, in)
		}
		if err != nil {
			c.refuse(w, r, err)
		}
	})
}

// answer writes what an endpoint returns.
func (c *Contract) answer(route Route, r *request) {
	out, err := route.serve(c, r)
	if err != nil {
		if apierror.From(err).Code == apierror.RateLimited {
			c.o.Watch.RateLimited(r.by.User, c.o.Address(r.Request))
		}
		c.refuse(r.w, r.Request, err)
		return
	}
	if out.replayed {
		r.w.Header().Set("Idempotency-Replayed", "true")
	}
	setDefault(&out.status, http.StatusOK)
	send(r.w, out.status, out.body)
}

// admit finds out who calls, counts the call, and checks that the route is for them.
func (c *Contract) admit(r *request, access Access) (err error) {
	switch access {
	case Public:
		return c.countStranger(r)
	case Proxies:
		if may, _ := c.mayAsk(r.Request); !may {
			return errForbidden
		}
		return nil // one server asks for all of its clients
	}
	shown := credential(r.Header)
	r.by, err = c.o.Accounts.Authenticate(r.Context(), shown)
	if errors.Is(err, identity.ErrUnauthorized) {
		if shown != "" {
			c.o.Watch.TokenRefused(c.o.Address(r.Request))
		}
		if limited := c.countStranger(r); limited != nil {
			return limited
		}
	}
	if err != nil {
		return err
	}
	if user := r.by.User; user != 0 {
		if c.o.Limits != nil {
			if err := c.o.Limits.User(user); err != nil {
				return err
			}
		}
		c.o.Presence.Active(user) // these clients may have no connection (chat-api.md §0.9)
	}
	if access == Admins && !r.by.Admin() {
		return errForbidden
	}
	return nil
}

func (c *Contract) countStranger(r *request) error {
	if c.o.Limits == nil {
		return nil
	}
	return c.o.Limits.Stranger(c.o.Address(r.Request))
}

// credential is what a caller shows: a bearer token or an API key.
func credential(h http.Header) string {
	scheme, token, _ := strings.Cut(h.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "bearer") || strings.EqualFold(scheme, "apikey") {
		return strings.TrimSpace(token)
	}
	return h.Get("X-Api-Key")
}

func send(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(body) // who reads has gone, nobody to tell
}

// The codes of errors that are found here.
const (
	badRequest = apierror.BadRequest
	validation = apierror.Validation
)

// invalid is a value of the request that cannot be taken.
type invalid struct {
	// loc is where it stands: "body", "query" or "path", then names and indexes.
	loc []any
	// msg says what it must be; it completes a sentence that begins with its name.
	msg string
	// code is [validation] if empty.
	code apierror.Code
}

func (e *invalid) name() string {
	if len(e.loc) == 0 {
		return "body"
	}
	return fmt.Sprint(e.loc[len(e.loc)-1])
}

func (e *invalid) Error() string { return e.name() + " " + e.msg }

// in is msg in English; in Russian it names the value and says less.
func (e *invalid) in(lang string) string {
	if lang == apierror.English {
		return e.msg
	}
	f := apierror.Field{Name: e.name(), Reason: apierror.Invalid}
	switch {
	case strings.HasPrefix(e.msg, "is required"):
		f.Reason = apierror.Required
	case e.code == badRequest:
		f.Reason = apierror.Type
	}
	return f.Message(lang)
}

// refusal is an error with a status that is this contract's own.
type refusal struct {
	status int
	en, ru string
}

func (e *refusal) Error() string { return e.en }

func (e *refusal) in(lang string) string {
	if lang == apierror.Russian {
		return e.ru
	}
	return e.en
}

// detail is the body of an error reply: a text, or a list of [problem].
type detail struct {
	Detail any `json:"detail"`
}

type problem struct {
	Loc  []any  `json:"loc"`
	Msg  string `json:"msg"`
	Type string `json:"type"`
}

// required says that a field of the body is missing.
func required(name string) error { return &invalid{loc: []any{"body", name}, msg: "is required"} }

// refuse answers an error (chat-api.md §0.10).
func (c *Contract) refuse(w http.ResponseWriter, r *http.Request, err error) {
	lang := apierror.Language(r.Header.Get("Accept-Language"))
	var wrong *invalid
	if errors.As(err, &wrong) {
		e := apierror.New(wrong.code, nil)
		setDefault(&e.Code, validation)
		e.Header(w.Header(), apierror.B)
		send(w, e.Status(apierror.B), detail{[]problem{{wrong.loc, wrong.in(lang), "value_error"}}})
		return
	}
	if own := refused(err); own != nil {
		code := badRequest
		if own.status == http.StatusNotFound {
			code = apierror.NotFound
		}
		w.Header().Set(apierror.HeaderCode, string(code))
		send(w, own.status, detail{own.in(lang)})
		return
	}
	e := apierror.From(err)
	if e.Code == apierror.Internal && r.Context().Err() == nil {
		c.o.Logger.Error("request of contract B", "method", r.Method, "path", r.URL.Path,
			"request_id", w.Header().Get(apierror.HeaderRequestID), "error", err)
	}
	if len(e.Fields) > 0 && e.Status(apierror.B) == http.StatusUnprocessableEntity {
		e.Header(w.Header(), apierror.B)
		send(w, http.StatusUnprocessableEntity, detail{problems(e, r, lang)})
		return
	}
	e.Write(w, r, apierror.B)
}

// names are what this contract calls fields that the domain calls otherwise.
var names = map[string]string{"title": "name", "user_id": "user_ids", "q": "query", "file": "files"}

// problems tells of fields of the domain, which stand in the query or in the body.
func problems(e *apierror.Error, r *http.Request, lang string) []problem {
	where := "body"
	if r.Method == http.MethodGet {
		where = "query"
	}
	out := make([]problem, len(e.Fields))
	for i, f := range e.Fields {
		if name := names[f.Name]; name != "" {
			f.Name = name
		}
		in := where
		if f.Name == keyHeader {
			in = "header"
		}
		out[i] = problem{[]any{in, f.Name}, f.Message(lang), "value_error"}
	}
	return out
}

// refused returns what of err is this contract's own, nil if nothing is.
func refused(err error) *refusal {
	var own *refusal
	if errors.Is(err, errChannel) {
		return &refusal{http.StatusBadRequest, errChannel.Error(), "нужно 'chat:id' или 'user:id'"}
	}
	errors.As(err, &own)
	return own
}

// explain is refuse where there is no reply of its own: the status and what is wrong.
func (c *Contract) explain(err error, lang string) (status int, text string) {
	var wrong *invalid
	if errors.As(err, &wrong) {
		if lang == apierror.English {
			return http.StatusUnprocessableEntity, wrong.Error()
		}
		return http.StatusUnprocessableEntity, wrong.in(lang)
	}
	if own := refused(err); own != nil {
		return own.status, own.in(lang)
	}
	e := apierror.From(err)
	if e.Code == apierror.Internal {
		c.o.Logger.Error("publish for contract B", "error", err)
	}
	if len(e.Fields) > 0 {
		return e.Status(apierror.B), e.Fields[0].Message(lang)
	}
	return e.Status(apierror.B), e.Message(lang)
}
