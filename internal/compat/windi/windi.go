package windi

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/chatjson"
	"github.com/kuranty/kuranty/internal/files"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
)

// Realtime is the part of [realtime.Node] that the contract drives.
type Realtime interface {
	Publish(ctx context.Context, channel string, data []byte, o realtime.PublishOptions) (protocol.StreamPosition, error)
	Presence(ctx context.Context, channel string) (map[string]*protocol.ClientInfo, error)
	PresenceStats(ctx context.Context, channel string) (clients, users int, err error)
	Info() realtime.Info
}

// Limits bounds how often callers may call (chat-api.md §0.11); its errors are what they are
// told.
type Limits interface {
	// User counts a call of a user, Stranger one of an address without a token that is good.
	User(id int64) error
	Stranger(address string) error
}

// Watcher is told of requests that may be an attack. Its methods must not block.
type Watcher interface {
	// TokenRefused tells of a token or key that is forged, expired or revoked.
	TokenRefused(address string)
	// RateLimited tells of a request of a user that the domain refused because there were
	// too many; what [Limits] refuses is told by these.
	RateLimited(user int64, address string)
}

// nobody watches.
type nobody struct{}

func (nobody) TokenRefused(string)       {}
func (nobody) RateLimited(int64, string) {}

// What becomes of messages that the server API publishes into a chat's channel
// (chat-api.md §B.10).
const (
	GuardStore = "store"
	GuardAllow = "allow"
	GuardDeny  = "deny"
)

// Options configure a [Contract]. Chats, Typing, Presence, Accounts, Files, Build and
// Realtime must be given; zero elsewhere means the default.
type Options struct {
	Chats    *chat.Service
	Typing   *chat.Typing
	Presence *chat.Presence
	Accounts *identity.Accounts
	Files    *files.Service
	Build    *chatjson.Builder
	Realtime Realtime
	// Epoch names the history that the numbers of messages and notices are of: that of
	// the database.
	Epoch string
	// Verifier checks connection tokens that the proxy endpoints are shown; without it
	// they take access tokens only. Signer makes subscription tokens; without it there are
	// none.
	Verifier *identity.Verifier
	Signer   *identity.Signer
	// TokenTTL is how long tokens are valid; zero means 24 h.
	TokenTTL time.Duration
	// PublicURL is where clients reach the server, as https://chat.example.com; empty is
	// taken from each request.
	PublicURL string
	// WebSocketPath is the path of the WebSocket; empty means /connection/websocket.
	WebSocketPath string
	// CustomEvents are the types of their own that members may publish, each beginning
	// with "custom."; one that ends with "*" stands for any.
	CustomEvents []string
	// Guard is [GuardStore], which empty means, [GuardAllow] or [GuardDeny].
	Guard string
	// NoProxyEndpoints switches them off. ProxySecret, if not empty, opens them to callers
	// from anywhere; ProxyAllow are the networks whose callers need none, of which nil
	// means this machine and private networks.
	NoProxyEndpoints bool
	ProxySecret      string
	ProxyAllow       []netip.Prefix
	// Limits may be nil: then there are none.
	Limits Limits
	// Watch, if not nil, is told of what may be an attack.
	Watch Watcher
	// Keep answers a request with an Idempotency-Key of who: with the reply that the first
	// with that key got, or by next; nil serves every request. The key of a message is its
	// client id and has nothing to do with it.
	Keep func(w http.ResponseWriter, r *http.Request, who string, upload bool, next func(http.ResponseWriter)) error
	// Address returns the IP address of who makes a request; nil means its peer's.
	Address func(*http.Request) string
	// Version is told by the endpoint health.
	Version string
	// Ready tells whether the server takes requests; nil means always.
	Ready func() bool
	// Clock defaults to time.Now, Logger to slog.Default().
	Clock  func() time.Time
	Logger *slog.Logger
}

// privateNetworks are this machine and private networks.
var privateNetworks = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("fc00::/7"),
}

// Contract serves the contract. It also is a [realtime.Watcher], to know since when the
// connections of this node exist.
type Contract struct {
	o        Options
	arrivals arrivals
}

// New returns a contract with the options o.
func New(o Options) *Contract {
	setDefault(&o.TokenTTL, 24*time.Hour)
	setDefault(&o.WebSocketPath, "/connection/websocket")
	setDefault(&o.Guard, GuardStore)
	if o.ProxyAllow == nil {
		o.ProxyAllow = privateNetworks
	}
	if o.Address == nil {
		o.Address = peer
	}
	if o.Watch == nil {
		o.Watch = nobody{}
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Contract{o: o, arrivals: arrivals{since: make(map[string]int64)}}
}

func setDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}
