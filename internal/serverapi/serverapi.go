// Package serverapi is the HTTP API by which an application's backend drives the
// realtime core: POST /api/<method> with one JSON object, and the older POST /api
// with {"method", "params"} objects, both as Centrifugo has them (server-api.md §1–§4).
//
// A call does what it says or answers an error code; a body that is not well formed, or
// has a field of the wrong type anywhere, is refused as a whole before anything is done.
// Keys are compared in constant time and never logged.
//
// Calls run in the goroutine of their request. Broadcasts and parallel batches start at
// most [parallelLimit] more, which end before the answer is written.
package serverapi

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
)

const (
	// parallelLimit bounds what one request does at once (server-api.md §3.2, §3.12).
	parallelLimit = 1024
	// pooledBytes is up to which size buffers are kept for the next request.
	pooledBytes = 64 << 10
)

// Node is the part of [realtime.Node] that the API drives.
type Node interface {
	Publish(ctx context.Context, channel string, data []byte, o realtime.PublishOptions) (protocol.StreamPosition, error)
	Subscribe(ctx context.Context, t realtime.Target, channel string, o realtime.SubscribeOptions) error
	Unsubscribe(ctx context.Context, t realtime.Target, channel string, why protocol.UnsubscribePush) error
	Disconnect(ctx context.Context, t realtime.Target, why *protocol.Close, keep []string) error
	Refresh(ctx context.Context, t realtime.Target, o realtime.RefreshOptions) error
	Presence(ctx context.Context, channel string) (map[string]*protocol.ClientInfo, error)
	PresenceStats(ctx context.Context, channel string) (clients, users int, err error)
	History(ctx context.Context, channel string, f realtime.HistoryFilter) (realtime.Past, error)
	RemoveHistory(ctx context.Context, channel string) error
	Channels(match func(channel string) bool) map[string]int
	Info() realtime.Info
}

// Options configure an [API]. The zero value refuses every call, for want of a key.
type Options struct {
	// Key opens the API; while it is empty, nothing does.
	Key string
	// Insecure opens the API to everybody.
	Insecure bool
	// QueryKey takes the key from the query parameter api_key too.
	QueryKey bool
	// ErrorMode "transport" answers errors as HTTP status; the only other value is "".
	ErrorMode string
	// Prefix is the path of the API; a slash at its end is ignored. Empty means /api.
	Prefix string
	// BodyBytes bounds the body of a request. Zero means 1 MiB.
	BodyBytes int
	// RPC answers the method rpc with JSON or nothing; an error that is or wraps a
	// [*protocol.Error] is answered as it is. Nil answers all calls with error 104.
	RPC func(ctx context.Context, method string, params []byte) ([]byte, error)
	// Logger is told of internal errors. Nil means slog.Default().
	Logger *slog.Logger
}

// API answers the requests below its prefix. It is safe for concurrent use.
type API struct {
	node      Node
	o         Options
	transport bool
	count     counters
}

// New returns the API of node. An unknown error mode is an error.
func New(node Node, o Options) (*API, error) {
	if o.ErrorMode != "" && o.ErrorMode != "transport" {
		return nil, fmt.Errorf("server API: error mode %q is neither empty nor \"transport\"", o.ErrorMode)
	}
	o.Prefix = strings.TrimRight(cmp.Or(o.Prefix, "/api"), "/")
	o.BodyBytes = cmp.Or(o.BodyBytes, 1<<20)
	o.Logger = cmp.Or(o.Logger, slog.Default())
	return &API{node: node, o: o, transport: o.ErrorMode != ""}, nil
}

// call is the memory of one request; in and out are its body and answer, publish the
// parameters of the method that is called most.
type call struct {
	decoder
	in, out []byte
	publish publishRequest
}

var calls = sync.Pool{New: func() any { return new(call) }}

func (c *call) release() {
	c.decoder = decoder{}
	c.publish = publishRequest{}
	if cap(c.in) > pooledBytes {
		c.in = nil
	}
	if cap(c.out) > pooledBytes {
		c.out = nil
	}
	calls.Put(c)
}

// ServeHTTP implements [http.Handler].
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, below := strings.CutPrefix(r.URL.Path, a.o.Prefix)
	var m *method
	if path != "" {
		m = methods[path[1:]]
		below = below && path[0] == '/' && m != nil
	}
	switch {
	case !below:
		http.NotFound(w, r)
		return
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	case !a.authorized(r):
		a.count.unauthorized.Add(1)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	c := calls.Get().(*call)
	defer c.release()
	var err error
	if c.in, err = readBody(c.in[:0], r, a.o.BodyBytes); err != nil {
		a.refuseBody(w, err)
		return
	}
	if m == nil {
		a.legacy(w, r, c)
		return
	}
	c.reset(c.in)
	req := request(&c.publish)
	if m.index > 0 {
		req = m.request()
	}
	c.object(req)
	if !c.ended() {
		a.malformed(w)
		return
	}
	c.out, err = a.answer(r.Context(), m, req, c.out[:0])
	if err != nil {
		a.refuse(w, r, m, err, c)
		return
	}
	w.Header()["Content-Type"] = jsonType
	_, _ = w.Write(c.out) // the client may have gone
}

var jsonType = []string{"application/json"}

// answer carries req out and appends the whole answer to dst.
func (a *API) answer(ctx context.Context, m *method, req request, dst []byte) ([]byte, error) {
	if m.bare {
		return a.run(ctx, m, req, dst)
	}
	dst, err := a.run(ctx, m, req, append(dst, `{"result":`...))
	return append(dst, '}'), err
}

// run carries req out, appends its result to dst and counts the call.
func (a *API) run(ctx context.Context, m *method, req request, dst []byte) ([]byte, error) {
	dst, err := req.run(ctx, a, dst)
	if err == nil {
		a.count.calls[m.index][0].Add(1)
		return dst, nil
	}
	code := protocol.ErrInternal.Code
	if refusal := (*protocol.Error)(nil); errors.As(err, &refusal) {
		code = refusal.Code
	}
	a.count.calls[m.index][bucket(code)].Add(1)
	return dst, err
}

// refuse answers the error of a call.
func (a *API) refuse(w http.ResponseWriter, r *http.Request, m *method, err error, c *call) {
	id := ""
	refusal := a.refusal(m, err, &id)
	if id != "" {
		w.Header().Set("X-Request-Id", id)
	}
	w.Header()["Content-Type"] = jsonType
	if mode := r.Header["X-Centrifugo-Error-Mode"]; a.transport || len(mode) > 0 && mode[0] == "transport" {
		w.WriteHeader(status(refusal.Code))
		_, _ = w.Write(appendErrorObject(c.out[:0], refusal))
		return
	}
	_, _ = w.Write(append(appendError(append(c.out[:0], '{'), refusal), '}'))
}

// refusal is what the caller is told of err. What is not its business is logged, with
// an id put into id, unless that is nil.
func (a *API) refusal(m *method, err error, id *string) *protocol.Error {
	if refusal := (*protocol.Error)(nil); errors.As(err, &refusal) {
		return refusal
	}
	log := a.o.Logger
	if id != nil {
		*id = rand.Text()[:12]
		log = log.With("request_id", *id)
	}
	log.Error("server API call failed", "method", m.name, "error", err)
	return protocol.ErrInternal
}

// status is the HTTP status of an error code in transport mode (server-api.md §1.2).
func status(code uint32) int {
	switch code {
	case protocol.ErrUnknownChannel.Code, protocol.ErrMethodNotFound.Code:
		return http.StatusNotFound
	case protocol.ErrBadRequest.Code, protocol.ErrNotAvailable.Code:
		return http.StatusBadRequest
	case protocol.ErrUnrecoverable.Code:
		return http.StatusRequestedRangeNotSatisfiable
	case protocol.ErrConcurrentPagination.Code:
		return http.StatusConflict
	default:
		return http.StatusInternalServerError
	}
}

// authorized checks the key in the places of server-api.md §1.1.
func (a *API) authorized(r *http.Request) bool {
	if a.o.Insecure {
		return true
	}
	if a.o.Key == "" {
		return false
	}
	key := first(r.Header["X-Api-Key"])
	if key == "" {
		if words := strings.Fields(first(r.Header["Authorization"])); len(words) == 2 && strings.EqualFold(words[0], "apikey") {
			key = words[1]
		}
	}
	return a.isKey(key) || a.o.QueryKey && r.URL.RawQuery != "" && a.isKey(r.URL.Query().Get("api_key"))
}

// isKey takes a time that depends on the lengths only. (Hashing both sides first would
// hide these too, and be an eighth of the time of a call.)
func (a *API) isKey(key string) bool {
	return subtle.ConstantTimeCompare([]byte(key), []byte(a.o.Key)) == 1
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// errTooLarge says that a body is above the limit.
var errTooLarge = errors.New("body is too large")

// readBody appends the request's body, of at most limit bytes, to dst.
func readBody(dst []byte, r *http.Request, limit int) ([]byte, error) {
	if r.ContentLength > int64(limit) {
		return dst, errTooLarge
	}
	dst = grow(dst, int(max(r.ContentLength+1, bytes.MinRead)))
	for {
		n, err := r.Body.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		switch {
		case len(dst) > limit:
			return dst, errTooLarge
		case err == io.EOF:
			return dst, nil
		case err != nil:
			return dst, err
		}
		if len(dst) == cap(dst) {
			dst = grow(dst, len(dst))
		}
	}
}

// grow makes room for n more bytes.
func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	return append(make([]byte, 0, len(b)+n), b...)
}

func (a *API) refuseBody(w http.ResponseWriter, err error) {
	if errors.Is(err, errTooLarge) {
		a.count.tooLarge.Add(1)
		http.Error(w, http.StatusText(http.StatusRequestEntityTooLarge), http.StatusRequestEntityTooLarge)
		return
	}
	id := rand.Text()[:12]
	a.o.Logger.Warn("read the body of a server API call", "request_id", id, "error", err)
	w.Header().Set("X-Request-Id", id)
	http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
}

func (a *API) malformed(w http.ResponseWriter) {
	a.count.malformed.Add(1)
	http.Error(w, http.StatusText(http.StatusBadRequest), http.StatusBadRequest)
}

// each calls f for 0 … n-1, up to limit at a time. A panic ends the one call.
func (a *API) each(n, limit int, f func(i int)) {
	if limit = min(n, limit); limit <= 1 {
		for i := range n {
			f(i)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range limit {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				a.contain(f, i)
			}
		})
	}
	wg.Wait()
}

func (a *API) contain(f func(i int), i int) {
	defer func() {
		if r := recover(); r != nil {
			a.count.panics.Add(1)
			a.o.Logger.Error("panic", "where", "server API", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		}
	}()
	f(i)
}
