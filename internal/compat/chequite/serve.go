package chequite

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kuranty/kuranty/internal/apierror"
	"github.com/kuranty/kuranty/internal/identity"
)

// call is one request of somebody who has been recognized.
type call struct {
	*http.Request
	header http.Header // of the answer
	caller identity.Caller
	// zone is that of the times in the answer.
	zone *time.Location
	body fields // of POST requests
}

// user is who calls.
func (r *call) user() int64 { return r.caller.User }

// methods are the endpoints of one path.
type methods map[string]func(*Contract, *call) (any, error)

// handle answers requests for a path: it recognizes the caller, reads the body, and
// writes what the endpoint returns, or the error.
func (c *Contract) handle(m methods) http.Handler {
	allow := strings.Join(slices.Sorted(maps.Keys(m)), ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, err := c.answer(w, r, m, allow)
		var body []byte
		if err == nil {
			body, err = encode(answer)
		}
		if err != nil {
			c.refuse(w, r, err)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(body) //nolint:gosec // JSON by its header; the client may have gone
	})
}

func (c *Contract) answer(w http.ResponseWriter, r *http.Request, m methods, allow string) (any, error) {
	if m == nil {
		return nil, apierror.New(apierror.NotFound, nil)
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	serve := m[method]
	if serve == nil {
		w.Header().Set("Allow", allow)
		return nil, apierror.New(apierror.MethodNotAllowed, nil)
	}
	in := &call{Request: r, header: w.Header(), zone: c.o.Location}
	var err error
	if in.caller, err = c.authenticate(r.Context(), r); err != nil {
		return nil, err
	}
	c.o.Presence.Active(in.user())
	if name := r.Header.Get("X-Timezone"); name != "" {
		var ok bool
		if in.zone, ok = c.zones.find(name); !ok {
			return nil, apierror.NewField("X-Timezone", apierror.Invalid)
		}
	}
	if method == http.MethodPost {
		if in.body, err = readFields(w, r, c.o.BodyBytes); err != nil {
			return nil, err
		}
	}
	answer, err := serve(c.as(r), in)
	if err != nil && apierror.From(err).Code == apierror.RateLimited {
		c.o.Watch.RateLimited(in.user(), c.o.Address(r))
	}
	return answer, err
}

// as returns c with addresses of files as the client of r can follow them: it may be a
// page of another host.
func (c *Contract) as(r *http.Request) *Contract {
	if c.o.PublicURL == nil {
		return c
	}
	own := *c
	own.o.Links = absolute{c.o.Links, c.o.PublicURL(r)}
	return &own
}

// absolute are links with a host, unless they have one.
type absolute struct {
	Links
	base string
}

// File implements [Links].
func (a absolute) File(id, variant string) (url string, expires time.Time) {
	url, expires = a.Links.File(id, variant)
	return a.url(url), expires
}

// Avatar implements [Links].
func (a absolute) Avatar(ref string) (url, thumb string) {
	url, thumb = a.Links.Avatar(ref)
	return a.url(url), a.url(thumb)
}

func (a absolute) url(path string) string {
	if strings.HasPrefix(path, "/") {
		return a.base + path
	}
	return path
}

// authenticate tells who calls, a person, for services have no chats, and counts the call.
func (c *Contract) authenticate(ctx context.Context, r *http.Request) (identity.Caller, error) {
	caller, err := identity.Caller{}, identity.ErrUnauthorized
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if len(r.Header.Values("Authorization")) == 1 && strings.EqualFold(scheme, "Bearer") {
		token = strings.TrimSpace(token)
		if caller, err = c.o.Authenticate(ctx, token); token != "" && errors.Is(err, identity.ErrUnauthorized) {
			c.o.Watch.TokenRefused(c.o.Address(r))
		}
	}
	switch limits := c.o.Limits; {
	case errors.Is(err, identity.ErrUnauthorized) && limits != nil:
		if limited := limits.Stranger(c.o.Address(r)); limited != nil {
			err = limited
		}
	case err == nil && caller.User == 0:
		err = identity.ErrForbidden
	case err == nil && limits != nil:
		err = limits.User(caller.User)
	}
	return caller, err
}

// peer is the address of the connection of r.
func peer(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// refuse answers an error. What is not the caller's business goes to the log, with the
// id by which the caller can ask.
func (c *Contract) refuse(w http.ResponseWriter, r *http.Request, err error) {
	e := renamed(apierror.From(err))
	id := cmp.Or(w.Header().Get(apierror.HeaderRequestID), apierror.RequestID(r))
	w.Header().Set(apierror.HeaderRequestID, id)
	if e.Code == apierror.Internal || e.Code == apierror.Unavailable && r.Context().Err() == nil {
		c.o.Logger.Error("request failed", "request_id", id, "method", r.Method, "path", r.URL.Path, "error", err)
	}
	e.Write(w, r, apierror.A)
}

// names are what this contract calls fields that the domain calls otherwise.
var names = map[string]string{"user_id": "companionId", "q": "search", "before_id": "before"}

// renamed returns e with the names of this contract.
func renamed(e *apierror.Error) *apierror.Error {
	if len(e.Fields) == 0 {
		return e
	}
	out := *e
	out.Fields = slices.Clone(e.Fields)
	for i := range out.Fields {
		if name := names[out.Fields[i].Name]; name != "" {
			out.Fields[i].Name = name
		}
	}
	return &out
}

// pathID reads an id of the path. What is none is no chat or message either.
func (r *call) pathID(name string) (int64, error) {
	id, ok := parseID(r.PathValue(name))
	if !ok {
		return 0, apierror.New(apierror.NotFound, nil)
	}
	return id, nil
}

// queryInt reads a number of the query from least to most; without one it is otherwise.
func (r *call) queryInt(name string, least, most, otherwise int) (int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, &apierror.Error{Code: apierror.Validation, Fields: []apierror.Field{{
			Name: name, Reason: apierror.Invalid, Text: "must be " + strconv.Itoa(least) + " to " + strconv.Itoa(most),
		}}}
	}
	return n, nil
}

// queryFlag reads a boolean of the query; without one it is otherwise.
func (r *call) queryFlag(name string, otherwise bool) (bool, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return otherwise, nil
	}
	flag, ok := parseFlag(text)
	if !ok {
		return false, apierror.NewField(name, apierror.Invalid)
	}
	return flag, nil
}
