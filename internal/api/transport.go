package api

import (
	"context"
	"fmt"
	"mime"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/klauspost/compress/gzhttp"

	"github.com/kuranty/kuranty/internal/apierror"
	"github.com/kuranty/kuranty/internal/identity"
)

// call is what is known of one request. Its caller is filled in once it is known.
type call struct {
	identity.Caller
	// id is the request's, lang the language of the answer, address the client's.
	id, lang, address string
	// base is the server's address as the client sees it.
	base string
	r    *http.Request
	// cookied tells that a refresh token was taken from the cookie.
	cookied bool
}

type callKey struct{}

func callOf(ctx context.Context) *call {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c
	}
	return &call{lang: apierror.English}
}

// compressed bounds what is compressed: replies above 1 KiB (chat-api.md §0.12).
const compressed = 1 << 10

// around puts around every request what does not depend on its operation.
func (a *API) around(next http.Handler) http.Handler {
	wrap, err := gzhttp.NewWrapper(gzhttp.MinSize(compressed), gzhttp.ContentTypes([]string{"application/json", "application/openapi+json", "text/html"}))
	if err != nil {
		panic(err) // the options are constants
	}
	zipped := wrap(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{
			id: apierror.RequestID(r), lang: apierror.Language(r.Header.Get("Accept-Language")),
			address: a.o.Address(r), base: strings.TrimRight(a.o.PublicURL(r), "/"), r: r,
		}
		w.Header().Set(apierror.HeaderRequestID, c.id)
		if a.origins.cors(w, r) {
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		r = r.WithContext(context.WithValue(r.Context(), callKey{}, c))
		c.r = r
		defer receive(w, r)()
		defer a.contain(w, r)
		if err := a.checkBody(w, r); err != nil {
			apierror.From(err).Write(w, r, apierror.C)
			return
		}
		if strings.HasPrefix(r.URL.Path, prefix+"/auth/") || strings.HasPrefix(r.URL.Path, prefix+"/files/") {
			// Secrets are not mixed with what others can choose and then compressed; files
			// are compressed already.
			a.find(next, w, r)
			return
		}
		a.find(zipped, w, r)
	})
}

// find answers what no operation matches in the form of the contract.
func (a *API) find(next http.Handler, w http.ResponseWriter, r *http.Request) {
	if _, pattern := a.mux.Handler(r); pattern != "" {
		next.ServeHTTP(w, r)
		return
	}
	e := apierror.New(apierror.NotFound, nil)
	if methods := a.methods(r); len(methods) > 0 {
		w.Header().Set("Allow", strings.Join(methods, ", "))
		e = apierror.New(apierror.MethodNotAllowed, nil)
	}
	e.Write(w, r, apierror.C)
}

// methods are those that the path of r has operations for.
func (a *API) methods(r *http.Request) (found []string) {
	for _, m := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		other := *r
		other.Method = m
		if _, pattern := a.mux.Handler(&other); pattern != "" {
			found = append(found, m)
		}
	}
	return found
}

// checkBody bounds the body and wants it to be what it says. A body of another type is
// what a form of another site could send (guarantees.md S21).
func (a *API) checkBody(w http.ResponseWriter, r *http.Request) error {
	if r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	limit := a.o.BodyBytes
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch upload := uploading(r); {
	case err == nil && kind == "application/json" && !upload:
	case partOf(r), upload && err == nil && kind == "multipart/form-data":
		limit = a.o.UploadBytes
	default:
		return apierror.New(apierror.UnsupportedMedia, fmt.Errorf("body of type %q", kind))
	}
	if r.ContentLength > limit {
		return &http.MaxBytesError{Limit: limit}
	}
	r.Body = http.MaxBytesReader(w, r.Body, limit)
	return nil
}

// uploading tells whether the body of r is a file, or a part of one.
func uploading(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Path == prefix+"/files" || r.Method == http.MethodPut && r.URL.Path == prefix+"/me/avatar" || partOf(r)
}

// partOf tells whether the body of r is a part of a file. Clients send it with the type of
// the whole, or none; no form of another site can send it at all.
func partOf(r *http.Request) bool {
	return r.Method == http.MethodPut && strings.HasPrefix(r.URL.Path, prefix+"/files/uploads/")
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
	a.log.Error("panic", "where", r.Method+" "+r.Pattern, "request_id", callOf(r.Context()).id, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	apierror.New(apierror.Internal, nil).Write(w, r, apierror.C)
}
