package transport

import (
	"cmp"
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/textproto"
	"runtime"
	"time"
)

// Options configure a [Server]. The zero value is ready to use.
type Options struct {
	// Handler answers every request that is no WebSocket upgrade. Nil answers 404.
	Handler http.Handler
	// Path is where WebSocket connections are made. Empty means /connection/websocket.
	Path string
	// Disabled answers 404 there.
	Disabled bool
	// AllowedOrigins are the patterns ([path.Match]: * is any run of characters without
	// a slash) of which one must match the whole lower-cased Origin of a request; the
	// pattern * alone allows all. Requests without an Origin always pass, so with an
	// empty list only they do.
	AllowedOrigins []string
	// ConnectionLimit bounds the WebSocket connections open at a time and
	// ConnectionRateLimit those opened in a second; above, 503 is answered. Zero means
	// no limit.
	ConnectionLimit, ConnectionRateLimit int
	// KeepHeaders names the request headers that sessions see ([realtime.Peer]).
	KeepHeaders []string
	// Compression is permessage-deflate.
	Compression Compression

	// Foreign are the settings that foreign sessions have of their own.
	Foreign ForeignOptions

	// WriteTimeout is how long a peer may take nothing while bytes wait for it. Zero
	// means 1 s.
	WriteTimeout time.Duration
	// CloseTimeout is how long a peer may take to answer a close frame. Zero means 5 s.
	CloseTimeout time.Duration
	// PingInterval is the time between the ping frames of connections that asked for
	// them instead of the protocol's pings, and PongTimeout how long an answer may take.
	// Zero means 25 s and 8 s; a negative interval sends none.
	PingInterval, PongTimeout time.Duration

	// HeaderBytes bounds the head of a request and HeaderTimeout the time in which it
	// must be complete. Zero means 16 KiB and 5 s.
	HeaderBytes   int
	HeaderTimeout time.Duration
	// ReadTimeout and ResponseTimeout bound one request for Handler, from its first byte to
	// its last and from there to the last of the response. Zero means 30 s and 10 s.
	ReadTimeout, ResponseTimeout time.Duration
	// StopTimeout is how long [Server.Serve] waits for sessions and requests once it is to
	// end. Zero means 25 s.
	StopTimeout time.Duration

	// TLSConfig, if not nil, makes the server speak TLS.
	TLSConfig *tls.Config
	// Pollers is how many goroutines serve connections without TLS on Linux. Zero means
	// half of GOMAXPROCS; more of them only wake up more often for less.
	Pollers int
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

// Compression configures permessage-deflate. Messages are compressed each on its own,
// once for all receivers.
type Compression struct {
	Enabled bool
	// MinSize is the size in bytes from which a message is compressed.
	MinSize int
	// Level is 1 (fastest) to 9 (smallest). Zero means 1.
	Level int
}

// ForeignOptions are those of connections that [Server.Accept] makes. The gates (origins,
// limits) and all other settings are shared with the sessions of the node.
type ForeignOptions struct {
	// Compression is permessage-deflate.
	Compression Compression
	// WriteTimeout is how long a peer may take nothing while bytes wait for it. Zero
	// means 10 s. With TLS, and elsewhere than on Linux, a peer that takes bytes, but fewer
	// than the kernel is handed at once (64 KiB), counts as one that takes nothing.
	WriteTimeout time.Duration
}

// minHeaderBytes is more than what net/http adds to its limit of a request's head.
const minHeaderBytes = 4097

// withDefaults fills in what is zero.
func (o Options) withDefaults() Options {
	if o.Handler == nil {
		o.Handler = http.NotFoundHandler()
	}
	o.Path = cmp.Or(o.Path, "/connection/websocket")
	o.WriteTimeout = cmp.Or(o.WriteTimeout, time.Second)
	o.CloseTimeout = cmp.Or(o.CloseTimeout, 5*time.Second)
	o.PingInterval = cmp.Or(o.PingInterval, 25*time.Second)
	o.PongTimeout = cmp.Or(o.PongTimeout, 8*time.Second)
	o.HeaderBytes = max(cmp.Or(o.HeaderBytes, 16<<10), minHeaderBytes)
	o.HeaderTimeout = cmp.Or(o.HeaderTimeout, 5*time.Second)
	o.ReadTimeout = cmp.Or(o.ReadTimeout, 30*time.Second)
	o.ResponseTimeout = cmp.Or(o.ResponseTimeout, 10*time.Second)
	o.StopTimeout = cmp.Or(o.StopTimeout, 25*time.Second)
	o.Pollers = cmp.Or(o.Pollers, (runtime.GOMAXPROCS(0)+1)/2)
	o.Compression.Level = cmp.Or(o.Compression.Level, 1)
	o.Foreign.Compression.Level = cmp.Or(o.Foreign.Compression.Level, 1)
	o.Foreign.WriteTimeout = cmp.Or(o.Foreign.WriteTimeout, 10*time.Second)
	keep := make([]string, len(o.KeepHeaders))
	for i, name := range o.KeepHeaders {
		keep[i] = textproto.CanonicalMIMEHeaderKey(name)
	}
	o.KeepHeaders = keep
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}
