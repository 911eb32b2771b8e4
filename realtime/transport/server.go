package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
)

// Server carries the sessions of one node, and foreign ones. Its methods are safe for concurrent use.
type Server struct {
	o          Options
	newSession func(realtime.Conn) Session

	requestStart []byte // of an upgrade's request line
	origins      origins
	rate         *rate.Limiter
	framings     *framings
	clock        clock
	stopping     atomic.Bool
	serving      atomic.Bool
	stopWithin   atomic.Int64 // nanoseconds
	count        counters

	mu      sync.Mutex
	running int           // goroutines
	ending  bool          // Serve waits for the last of them
	ended   chan struct{} // closed after it
	streams map[*streamConn]struct{}
	engine  *engine // nil if connections are not polled
}

// Why connections are refused.
const (
	refusedOrigin   = iota
	refusedLimit    // ConnectionLimit
	refusedRate     // ConnectionRateLimit
	refusedBad      // not a proper upgrade
	refusedHead     // head too large
	refusedSlow     // head too late
	refusedStopping // the server is about to end
	reasons
)

// reasonNames are the keys of [Stats.Refused].
var reasonNames = [reasons]string{"origin", "limit", "rate", "bad_request", "header_size", "header_timeout", "shutdown"}

type counters struct {
	open     atomic.Int64
	accepted atomic.Uint64
	panics   atomic.Uint64
	refused  [reasons]atomic.Uint64
}

// Stats are figures for metrics.
type Stats struct {
	// Open is the number of WebSocket connections, Accepted how many there ever were.
	Open     int64
	Accepted uint64
	// Refused counts the requests that got none, by reason: origin, limit, rate, bad_request,
	// header_size, header_timeout, shutdown.
	Refused map[string]uint64
	// Panics counts connections that ended by a panic.
	Panics uint64
}

// Stats returns the server's figures.
func (s *Server) Stats() Stats {
	refused := make(map[string]uint64, reasons)
	for i, name := range reasonNames {
		refused[name] = s.count.refused[i].Load()
	}
	return Stats{
		Open:     s.count.open.Load(),
		Accepted: s.count.accepted.Load(),
		Refused:  refused,
		Panics:   s.count.panics.Load(),
	}
}

// framings are the ways in which a server lays out messages: for the node's sessions in
// either format, and for foreign ones.
type framings struct {
	plain, packed               [2]framing
	foreignPlain, foreignPacked framing
}

// get returns the framing of a connection; the same for the same arguments.
func (f *framings) get(format protocol.Format, deflate bool) *framing {
	if deflate {
		return &f.packed[format]
	}
	return &f.plain[format]
}

// foreign returns the framing of a foreign session.
func (f *framings) foreign(deflate bool) *framing {
	if deflate {
		return &f.foreignPacked
	}
	return &f.foreignPlain
}

// newFramings returns the framings that the options ask for.
func newFramings(o *Options) (*framings, error) {
	deflate, err := newDeflater(o.Compression.Level, o.Compression.MinSize)
	if err != nil {
		return nil, err
	}
	f := new(framings)
	for _, format := range []protocol.Format{protocol.JSON, protocol.Protobuf} {
		plain := framing{
			format: format, reason: "disconnect", broken: protocol.CloseInternal, late: lateRead, inflate: inflateFactor,
		}
		f.plain[format], f.packed[format] = plain, plain
		f.packed[format].deflate = deflate
	}
	if deflate, err = newDeflater(o.Foreign.Compression.Level, o.Foreign.Compression.MinSize); err != nil {
		return nil, fmt.Errorf("foreign sessions: %w", err)
	}
	f.foreignPlain = framing{format: protocol.JSON, broken: foreignBroken, late: lateForeign, textOnly: true, inflate: 1}
	f.foreignPacked = f.foreignPlain
	f.foreignPacked.deflate = deflate
	return f, nil
}

// New returns a server for the sessions of node, which may be nil if o.Disabled. The error
// is about a value of o.
func New(node *realtime.Node, o Options) (*Server, error) {
	return newServer(func(c realtime.Conn) Session { return node.NewSession(c) }, o)
}

func newServer(newSession func(realtime.Conn) Session, o Options) (*Server, error) {
	o = o.withDefaults()
	allowed, err := newOrigins(o.AllowedOrigins)
	if err != nil {
		return nil, err
	}
	framings, err := newFramings(&o)
	if err != nil {
		return nil, err
	}
	s := &Server{
		o:            o,
		newSession:   newSession,
		requestStart: []byte("GET " + o.Path),
		origins:      allowed,
		framings:     framings,
		ended:        make(chan struct{}),
		streams:      make(map[*streamConn]struct{}),
	}
	if n := o.ConnectionRateLimit; n > 0 {
		s.rate = rate.NewLimiter(rate.Limit(n), n)
	}
	s.StopWithin(o.StopTimeout)
	s.clock.delays = [kinds]time.Duration{
		lateHead:    o.HeaderTimeout,
		lateRead:    o.WriteTimeout,
		lateForeign: o.Foreign.WriteTimeout,
		lateClose:   o.CloseTimeout,
		duePing:     o.PingInterval,
		latePong:    o.PongTimeout,
	}
	return s, nil
}

// Serve serves the connections ln accepts until ctx ends. Then it accepts no more,
// waits up to Options.StopTimeout for requests to be answered and sessions to be
// closed, which is the node's business ([realtime.Node.Shutdown]), closes the rest and
// returns nil once all goroutines have ended. It closes ln, and must be called once only.
//
// Connections of more are served by the standard library's server from the beginning:
// they are for few clients, such as those that know another port.
func (s *Server) Serve(ctx context.Context, ln net.Listener, more ...net.Listener) error {
	if s.serving.Swap(true) {
		return errors.New("serve: called twice")
	}
	ln, err := s.poll(s.secured(ln))
	if err != nil {
		return fmt.Errorf("serve %v: %w", ln.Addr(), err)
	}
	web := s.web()
	webEnded := make(chan struct{})
	var webErr error
	var others sync.WaitGroup
	defer others.Wait()
	for _, other := range more {
		others.Go(func() { _ = web.Serve(s.filtered(s.secured(other))) }) // it ends with the first
	}
	go func() {
		defer close(webEnded)
		webErr = web.Serve(ln)
	}()

	ticks := newPulse()
	defer ticks.Stop()
	for err == nil && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-webEnded:
			err = fmt.Errorf("serve %v: %w", ln.Addr(), webErr)
		case now := <-ticks.C:
			ticks.next(now, s.advance(now))
		}
	}
	ticks.Reset(alertTick)
	s.stop(context.WithoutCancel(ctx), web, ticks.C)
	<-webEnded
	return err
}

// secured is ln with TLS, if that is on.
func (s *Server) secured(ln net.Listener) net.Listener {
	if s.o.TLSConfig == nil {
		return ln
	}
	return tls.NewListener(ln, s.o.TLSConfig)
}

// StopWithin replaces Options.StopTimeout for the stop that is to come: a program that
// has to end does not wait as long.
func (s *Server) StopWithin(d time.Duration) { s.stopWithin.Store(int64(d)) }

// filtered is ln without ambiguous requests.
func (s *Server) filtered(ln net.Listener) net.Listener {
	return filtered{ln, s.o.HeaderBytes, s.o.HeaderTimeout}
}

// stop ends everything that Serve began.
func (s *Server) stop(ctx context.Context, web *http.Server, ticks <-chan time.Time) {
	s.stopping.Store(true)
	s.stopAccepting()
	ctx, cancel := context.WithTimeout(ctx, time.Duration(s.stopWithin.Load()))
	defer cancel()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		if web.Shutdown(ctx) != nil {
			_ = web.Close() // requests that took too long are cut off
		}
	}()
	for waiting := true; waiting; {
		s.advance(<-ticks)
		select {
		case <-answered:
			waiting = s.count.open.Load() > 0 && ctx.Err() == nil
		default:
		}
	}
	s.closeAll()
	// Handlers that are held up must not keep others from noticing that their
	// connection was closed, so the clock goes on.
	s.mu.Lock()
	s.ending = true
	s.settle()
	s.mu.Unlock()
	for {
		select {
		case <-s.ended:
			return
		case now := <-ticks:
			s.advance(now)
		}
	}
}

// closeAll closes every connection.
func (s *Server) closeAll() {
	s.mu.Lock()
	streams := s.streams
	s.streams = nil
	s.mu.Unlock()
	for c := range streams {
		_ = c.conn.Close() // its reader notices
	}
	s.stopPolling()
}

// advance looks at the clock. It tells whether a poller had to be replaced.
func (s *Server) advance(now time.Time) bool {
	s.clock.advance(now)
	return s.watch(now)
}

// spawn runs f in a goroutine that Serve waits for. It reports false, and does not,
// after Serve has ended.
func (s *Server) spawn(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending && s.running == 0 {
		return false
	}
	s.running++
	go func() {
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.running--
			s.settle()
		}()
		f()
	}()
	return true
}

// settle notes the end of the last goroutine. s.mu is held.
func (s *Server) settle() {
	if s.ending && s.running == 0 {
		close(s.ended)
	}
}

// idleTimeout is how long a kept connection may wait for its next request: longer than
// the clients of backends keep theirs, so that they do not meet a closed one.
const idleTimeout = 3 * time.Minute

// web returns the server of requests that are no upgrades.
func (s *Server) web() *http.Server {
	upgrades := s.WebSocketHandler()
	return &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == s.o.Path {
				upgrades.ServeHTTP(w, r)
				return
			}
			s.o.Handler.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: s.o.HeaderTimeout,
		ReadTimeout:       s.o.ReadTimeout,
		WriteTimeout:      s.o.ResponseTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    s.o.HeaderBytes - (minHeaderBytes - 1), // net/http adds this much
		ConnContext:       func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		ErrorLog:          slog.NewLogLogger(s.o.Logger.Handler(), slog.LevelDebug),
	}
}

// connKey is where the context of a request has its connection.
type connKey struct{}

// LimitUnsent bounds what the kernel holds of the response to a request that the client has
// not taken yet, given the context of the request: to about 2n bytes, instead of megabytes.
// A writer then notices within a third of that, not of megabytes, that the client goes on
// taking.
func LimitUnsent(ctx context.Context, n int) error {
	c := ctx.Value(connKey{})
	if t, ok := c.(interface{ NetConn() net.Conn }); ok { // TLS
		c = t.NetConn()
	}
	if t, ok := c.(interface{ SetWriteBuffer(bytes int) error }); ok {
		return t.SetWriteBuffer(n)
	}
	return nil
}
