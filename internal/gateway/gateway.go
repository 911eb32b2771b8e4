package gateway

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	mathrand "math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kuranty/kuranty/event"
)

// Options configure a [Gateway]. Store, Accounts and Catalogue must be given.
type Options struct {
	Store     Store
	Accounts  Accounts
	Catalogue *event.Catalogue
	// Sink is the name under which the log knows the gateway. Empty means "gateway".
	Sink string
	// Source is the source of CloudEvents, a URI. Empty means "/kuranty".
	Source string
	// Subscriptions bounds those of a connection; zero means 100.
	Subscriptions int
	// FrameBytes bounds a message of a client; zero means 64 KiB.
	FrameBytes int
	// MessagesPerMinute bounds how many a client sends, half of them at once; zero means 120.
	MessagesPerMinute int
	// ConnectionsPerSubject bounds those of one account or key; zero means 100.
	ConnectionsPerSubject int
	// PingInterval is the time between pings, PongTimeout how long a client may be silent
	// and AuthTimeout how long it may take to say who it is. Zero means 30 s, 75 s and 10 s.
	PingInterval, PongTimeout, AuthTimeout time.Duration
	// StrictPong takes only pong messages for a sign of life.
	StrictPong bool
	// NoQueryToken refuses credentials in the address (design.md §3.11).
	NoQueryToken bool
	// Watch, if not nil, is told of what may be an attack.
	Watch Watcher
	// Clock tells the time; nil means time.Now.
	Clock  func() time.Time
	Logger *slog.Logger
}

func setDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// Gateway is the event gateway of one node. Its methods are safe for concurrent use.
type Gateway struct {
	o         Options
	catalogue *event.Catalogue
	channels  map[string][]*event.Kind
	hub       *hub
	guard     *guard
	memory    memory
	consumers holders
	tickets   tickets
	metrics   *metrics
	due       []*session // belongs to Deliver
	// tick counts seconds.
	tick    atomic.Int64
	readers chan struct{}

	// revoked counts events that speak of callers, draining says that connections are closed.
	revoked  atomic.Int64
	draining atomic.Bool
	taking   chan struct{} // held by who takes a consumer

	ctx    context.Context //nolint:containedctx // until Run ends, for goroutines that connections start
	cancel context.CancelFunc
	mu     sync.Mutex
	group  errgroup.Group
	ending bool
}

// New returns a gateway.
func New(o Options) *Gateway {
	setDefault(&o.Sink, "gateway")
	setDefault(&o.Source, "/kuranty")
	setDefault(&o.Subscriptions, 100)
	setDefault(&o.FrameBytes, 64<<10)
	setDefault(&o.MessagesPerMinute, 120)
	setDefault(&o.ConnectionsPerSubject, 100)
	setDefault(&o.PingInterval, 30*time.Second)
	setDefault(&o.PongTimeout, 75*time.Second)
	setDefault(&o.AuthTimeout, 10*time.Second)
	if o.Watch == nil {
		o.Watch = nobody{}
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	g := &Gateway{
		o: o, catalogue: o.Catalogue, channels: make(map[string][]*event.Kind), hub: newHub(), guard: newGuard(),
		memory: memory{kept: make(map[string]remembered), live: make(map[string]*session)}, consumers: holders{by: make(map[ConsumerName]*session)},
		tickets: tickets{kept: make(map[string]ticket)}, readers: make(chan struct{}, maxReaders),
	}
	names := make([]string, 0, len(event.Channels))
	for i := range event.Channels {
		names = append(names, event.Channels[i].Name)
	}
	for _, k := range o.Catalogue.Kinds() {
		if !k.Named {
			g.channels[k.Channel] = append(g.channels[k.Channel], k)
		}
	}
	g.metrics = newMetrics(names)
	g.taking = make(chan struct{}, 1)
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g
}

// Load reads where the log ends. It is called before anything is written, and before Run.
func (g *Gateway) Load(ctx context.Context) error {
	id, pos, err := g.o.Store.Newest(ctx)
	if err != nil {
		return fmt.Errorf("read the end of the log: %w", err)
	}
	g.hub.begun.Store(&position{id, pos})
	g.hub.finished.Store(&position{id, pos})
	return nil
}

// Run looks after connections until ctx ends; then it returns once all goroutines of the
// gateway have ended. Connections are closed by [Gateway.Drain] before.
func (g *Gateway) Run(ctx context.Context) error {
	g.spawn(g.beat)
	g.spawn(g.watchConsumers)
	<-ctx.Done()
	g.mu.Lock()
	g.ending = true
	g.mu.Unlock()
	g.cancel()
	return g.group.Wait()
}

// spawn runs f in a goroutine that Run waits for; connections may come before Run does. It
// reports false when the gateway ends.
func (g *Gateway) spawn(f func(ctx context.Context)) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ending {
		return false
	}
	g.group.Go(func() error {
		defer g.contain()
		f(g.ctx)
		return nil
	})
	return true
}

// contain ends a panic with the work that raised it.
func (g *Gateway) contain() {
	if r := recover(); r != nil {
		g.o.Logger.Error("panic", "where", "gateway", "panic", fmt.Sprint(r))
		g.metrics.errors.WithLabelValues(codeInternal).Inc()
	}
}

// pause waits, and reports false when the gateway ends.
func (g *Gateway) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// beat looks after each connection when it is due.
func (g *Gateway) beat(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := g.tick.Add(1)
		for _, s := range g.hub.all() {
			s.tend(now)
		}
		if now%30 == 0 {
			at := g.now()
			g.memory.sweep(at)
			g.guard.sweep(at)
			g.tickets.sweep(at)
		}
		if now%60 == 1 {
			g.spawn(g.tendConsumers)
		}
	}
}

// tend does what is due on a connection.
func (s *session) tend(now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.contain()
	if s.out.closed || now < s.due {
		return
	}
	if s.out.closing { // the peer had its time to take the rest
		s.shut(false)
		return
	}
	o := &s.g.o
	if s.state != stateOpen {
		if now >= s.authBy {
			s.g.metrics.auth.WithLabelValues("refused", reasonTimeout).Inc()
			s.fail("", &problem{Code: codeAuth, Message: "Authentication timeout", Reason: reasonTimeout})
			s.end(closeAuth, "authentication timeout")
			return
		}
		s.due = s.authBy
		return
	}
	if now-s.heard.Load() >= int64(o.PongTimeout/time.Second) {
		s.end(closeSilent, "no sign of life")
		return
	}
	s.due = s.pingAt
	if now >= s.pingAt {
		s.ping()
		s.pingAt = now + int64(o.PingInterval/time.Second)
		s.due = s.pingAt
	}
	s.expiry(now)
	s.due = min(s.due, s.heard.Load()+int64(o.PongTimeout/time.Second))
}

// ping sends a ping, which says how far the connection is; s.mu is held.
func (s *session) ping() {
	if s.form == formAdmin {
		s.write([]byte{0x89, 0}, 0, "")
		return
	}
	data := map[string]any{}
	if id := s.cursor(); id != "" {
		data["cursor"] = id
	}
	if s.mode == modeReader {
		data["lag"] = s.g.hub.begun.Load().pos - s.pos
	}
	if s.skipped > 0 {
		data["skipped"] = s.skipped
	}
	s.say("ping", "", data)
	if s.g.tick.Load()-s.heard.Load() >= 45 {
		s.write([]byte{0x89, 0}, 0, "") // a ping of the protocol, for who is silent
	}
}

// expiry warns of the end of the credential, and ends the session with it; s.mu is held.
func (s *session) expiry(now int64) {
	if s.caller.Expires.IsZero() {
		return
	}
	left := s.caller.Expires.Sub(s.g.now())
	switch {
	case left <= 0:
		s.expel(reasonExpired)
		return
	case left <= time.Minute && !s.warned:
		s.warned = true
		s.say("response", "", map[string]any{"action": "auth", "status": "expiring", "expiresIn": int(left.Seconds())})
	}
	next := left
	if !s.warned {
		next = left - time.Minute
	}
	s.due = min(s.due, now+int64(next/time.Second)+1)
}

// begin adds a connection.
func (g *Gateway) begin(s *session) {
	now := g.tick.Load()
	s.connected = g.now()
	s.heard.Store(now)
	s.authBy = now + int64(g.o.AuthTimeout/time.Second)
	ping := int64(g.o.PingInterval / time.Second)
	s.pingAt = now + ping/2 + mathrand.Int64N(ping+1)
	s.due = min(s.authBy, s.pingAt)
	g.metrics.connections.WithLabelValues("new").Inc()
	g.hub.join(s)
}

// release takes a connection away that has ended, once; s.mu is held.
func (s *session) release() {
	if s.released {
		return
	}
	s.released = true
	g := s.g
	g.hub.leave(s)
	if !s.admitted {
		g.metrics.connections.WithLabelValues("new").Dec()
		g.guard.identified(s.peer)
		return
	}
	g.metrics.connections.WithLabelValues("open").Dec()
	g.guard.exit(s.caller.Subject)
	if s.consumer != nil {
		g.consumers.drop(ConsumerName{s.caller.Subject, s.consumer.name}, s)
	}
	if s.resumeToken != "" {
		g.memory.keep(s.resumeToken, remembered{s.caller.Subject, g.now().Add(resumeFor), s.subs})
	}
	s.subs, s.resumeToken = nil, ""
}

// Drain closes all connections, spread over a time, and tells each when to come back.
func (g *Gateway) Drain(ctx context.Context, over time.Duration) {
	g.draining.Store(true)
	all := g.hub.all()
	if len(all) == 0 {
		return
	}
	step := over / time.Duration(len(all))
	for i, s := range all {
		s.restart(over - time.Duration(i)*step)
		if step > 0 && i+1 < len(all) && !g.pause(ctx, step) {
			step = 0
		}
	}
}

// restart ends a session that is to come back after a while.
func (s *session) restart(after time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.out.closing {
		s.fail("", &problem{Code: codeUnavailable, Message: "The server restarts", Retryable: true, ReconnectAfter: after.Milliseconds() + 1 + mathrand.Int64N(1000)})
		s.end(closeRestart, "restart")
	}
}

// Count returns how many connections there are.
func (g *Gateway) Count() int {
	g.hub.mu.Lock()
	defer g.hub.mu.Unlock()
	return len(g.hub.sessions)
}

func (g *Gateway) buffered() float64 {
	n := 0
	for _, s := range g.hub.all() {
		s.mu.Lock()
		n += s.out.bytes
		s.mu.Unlock()
	}
	return float64(n)
}

// holders are the sessions that read for consumers.
type holders struct {
	mu sync.Mutex
	by map[ConsumerName]*session
}

func (h *holders) swap(key ConsumerName, s *session) (before *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before, h.by[key] = h.by[key], s
	return before
}

func (h *holders) all() map[ConsumerName]*session {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.by)
}

func (h *holders) drop(key ConsumerName, s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.by[key] == s {
		delete(h.by, key)
	}
}

// newID returns a prefix and 128 random bits, in characters that need no escape anywhere.
func newID(prefix string) string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return prefix + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]))
}

// hashOf stands for a credential where it must not be kept.
func hashOf(credential string) string {
	sum := sha256.Sum256([]byte(credential))
	return hex.EncodeToString(sum[:16])
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
