package api

import (
	"net/http"
	"strconv"

	"github.com/klauspost/compress/gzhttp"

	"github.com/kuranty/kuranty/internal/apierror"
)

// User counts a call of a user, of whichever contract: all are bounded together. The
// error is an [*apierror.Error].
func (a *API) User(id int64) error { return a.perUser.take(strconv.FormatInt(id, 10)) }

// Stranger counts a call from an address without a token that is good.
func (a *API) Stranger(address string) error { return a.perAddress.take(network(address)) }

// Allowed tells whether a web page may have sent a request: by its Origin, which is the
// server's own or one of [Options.Origins]; one that names two is of neither (guarantees.md S21).
func (a *API) Allowed(r *http.Request) bool {
	said := r.Header["Origin"]
	return len(said) == 1 && a.origins.allow(r, said[0])
}

// Around puts around the handler of another contract what all have in common: the id of
// the request, calls from other origins, and compression (chat-api.md §0.12).
func (a *API) Around(next http.Handler) http.Handler {
	wrap, err := gzhttp.NewWrapper(gzhttp.MinSize(compressed), gzhttp.ContentTypes([]string{"application/json"}))
	if err != nil {
		panic(err) // the options are constants
	}
	zipped := wrap(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(apierror.HeaderRequestID, apierror.RequestID(r))
		w.Header().Set("X-Content-Type-Options", "nosniff")
		defer receive(w, r)()
		if !a.origins.cors(w, r) {
			zipped.ServeHTTP(w, r)
		}
	})
}

// AroundStream is [API.Around] for a reply that goes on and on: nothing gathers what it says.
func (a *API) AroundStream(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(apierror.HeaderRequestID, apierror.RequestID(r))
		if !a.origins.cors(w, r) {
			next.ServeHTTP(w, r)
		}
	})
}
