// Package api is our own contract, /api/v2 (chat-api.md part C), with its OpenAPI
// document at /openapi.json and a page that lists the operations at /docs/.
//
// Every operation stands in one list, [API.routes], in the order of the specification,
// with who may call it. A handler decodes, calls one method of a domain package and
// encodes; it has no rules of its own, and neither have the calls of [API.RPC], which
// modern clients make over their connection.
//
// Around every operation, once: an id for the request, bounds of the body and of how often
// a caller may ask, who is calling, replies kept for repeated requests, errors in the form
// of the contract, compression, and headers for other origins. A panic is answered as an
// internal error.
//
// The package starts no goroutines.
package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/kuranty/kuranty/internal/alerts"
	"github.com/kuranty/kuranty/internal/analytics"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/chatjson"
	"github.com/kuranty/kuranty/internal/files"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/payments"
	"github.com/kuranty/kuranty/internal/privacy"
	"github.com/kuranty/kuranty/internal/status"
	"github.com/kuranty/kuranty/internal/tickets"
	"github.com/kuranty/kuranty/internal/trust"
)

// Presence tells who is there.
type Presence interface {
	Status(ctx context.Context, viewer int64, users []int64) (map[int64]chat.Status, error)
}

// Typing is told who types.
type Typing interface {
	Set(ctx context.Context, user, chat int64, typing bool) error
}

// Replies keeps the first replies of requests that may come again.
type Replies interface {
	// ClaimReply takes a key of a principal for a request. If it was taken after oldest,
	// claimed is false and what was taken is returned: its status is 0 as long as there is
	// no reply. Keys taken before oldest are forgotten.
	ClaimReply(ctx context.Context, principal, key, request string, now, oldest int64) (claimed bool, was string, status int, reply string, err error)
	// KeepReply keeps the reply of a claimed key, DropReply gives the key back.
	KeepReply(ctx context.Context, principal, key string, status int, reply string) error
	DropReply(ctx context.Context, principal, key string) error
}

// Watcher is told of requests that may be an attack. Its methods must not block.
type Watcher interface {
	// TokenRefused tells of a token or key that is forged, expired or revoked.
	TokenRefused(address string)
	// RateLimited tells of a request that was refused because there were too many, of a user
	// or, if that is 0, from an address.
	RateLimited(user int64, address string)
}

// nobody watches.
type nobody struct{}

func (nobody) TokenRefused(string)       {}
func (nobody) RateLimited(int64, string) {}

// Options configure an [API]. What has no default must be given.
type Options struct {
	Chats    *chat.Service
	Accounts *identity.Accounts
	// Files is nil if there are no files; the operations about them then answer 403.
	Files    *files.Service
	Presence Presence
	Typing   Typing
	// Tickets is nil if there are none; the operations about them then answer 403.
	Tickets *tickets.Service
	Replies Replies
	Links   chatjson.Links
	// NoAdminReads keeps administrators from reading messages of chats.
	NoAdminReads bool
	// Privacy keeps the record of what administrators do; nil keeps none.
	Privacy *privacy.Service
	// Payments keeps transactions of money; without it the operations about them answer 403.
	Payments *payments.Service
	// Status is how the service is; without it the operations about that and maintenance answer 403.
	Status *status.Service
	// Trust keeps identities and their verifications; without it the operations about them
	// answer 403.
	Trust *trust.Service
	// Alerts keeps what should be looked at; without it the operations about it answer 403.
	Alerts *alerts.Service
	// Analytics keeps metrics and makes reports; without it the operations about them answer 403.
	Analytics *analytics.Service
	// ErasureGrace is how long the end of an account can be taken back.
	ErasureGrace time.Duration
	// Stats adds to the statistics that administrators see; nil adds nothing.
	Stats func(context.Context) (map[string]any, error)

	// Describe, if it is there, adds to the document what others serve beside this API.
	Describe func(*huma.OpenAPI)
	// PublicURL returns the address of the server as the client of r sees it, without a
	// slash at its end. Nil takes it from the request.
	PublicURL func(r *http.Request) string
	// Address returns the IP address of the client of r. Nil is that of the connection.
	Address func(r *http.Request) string
	// Origins are patterns of web origins, beside the server's own, that may call
	// (path.Match, in lower case).
	Origins []string
	// RequestsPerMinute bounds the calls of one user (600), AnonymousPerMinute those of
	// one address without a valid token (100). Services are not limited. Negative is no limit.
	RequestsPerMinute, AnonymousPerMinute int
	// BodyBytes bounds the body of a request other than an upload; zero means 1 MiB.
	BodyBytes int64
	// UploadBytes bounds the body of an upload; zero means 26 MiB.
	UploadBytes int64
	// Watch, if not nil, is told of what may be an attack.
	Watch Watcher
	// Version is shown in the document.
	Version string
	// Clock defaults to time.Now, Logger to slog.Default().
	Clock  func() time.Time
	Logger *slog.Logger
}

// API serves the contract. It is safe for concurrent use.
type API struct {
	o          Options
	log        *slog.Logger
	json       *chatjson.Builder
	mux        *http.ServeMux
	huma       huma.API
	handler    http.Handler
	origins    origins // that may call, and read the replies
	perUser    *limiter
	perAddress *limiter
	// procedures are the calls of RPC.
	procedures map[string]procedure
	// operations are the routes as they were registered, for the table of S14.
	operations []Operation
}

// New returns the API of what o names. The error says what is missing.
func New(o Options) (*API, error) {
	if o.Chats == nil || o.Accounts == nil || o.Links == nil || o.Presence == nil || o.Typing == nil || o.Replies == nil {
		return nil, errors.New("api: chats, accounts, links, presence, typing and replies must be given")
	}
	defaults(&o)
	a := &API{o: o, log: o.Logger, json: chatjson.New(o.Links).WithEmails(o.Chats.Options().EmailVisibility), mux: http.NewServeMux()}
	a.perUser = newLimiter(o.RequestsPerMinute, o.Clock)
	a.perAddress = newLimiter(o.AnonymousPerMinute, o.Clock)
	a.perUser.refused = func(who string) {
		if user, err := strconv.ParseInt(who, 10, 64); err == nil {
			o.Watch.RateLimited(user, "")
		}
	}
	a.perAddress.refused = func(who string) { o.Watch.RateLimited(0, who) }
	var err error
	if a.origins, err = newOrigins(o.Origins); err != nil {
		return nil, err
	}
	a.huma = humago.New(a.mux, configuration(o.Version))
	a.routes()
	a.procedures = a.calls()
	a.describe()
	a.handler = a.around(a.mux)
	return a, nil
}

func defaults(o *Options) {
	if o.Watch == nil {
		o.Watch = nobody{}
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.RequestsPerMinute == 0 {
		o.RequestsPerMinute = 600
	}
	if o.AnonymousPerMinute == 0 {
		o.AnonymousPerMinute = 100
	}
	if o.BodyBytes == 0 {
		o.BodyBytes = 1 << 20
	}
	if o.UploadBytes == 0 {
		o.UploadBytes = 26 << 20
	}
	if o.PublicURL == nil {
		o.PublicURL = ownURL
	}
	if o.Address == nil {
		o.Address = peer
	}
}

// Handler serves the paths below /api/v2/, /openapi.json and /docs/.
func (a *API) Handler() http.Handler { return a.handler }
