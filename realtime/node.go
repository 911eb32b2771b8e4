package realtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kuranty/kuranty/protocol"
)

// Node is one server's realtime core. Its methods are safe for concurrent use.
//
// The errors of its methods are [*protocol.Error] where the caller is to blame:
// [protocol.ErrUnknownChannel], [protocol.ErrBadRequest], [protocol.ErrNotAvailable]
// (the channel lacks the feature), [protocol.ErrUnrecoverable]; others are the broker's.
type Node struct {
	o        Options
	uid      string
	hub      *hub
	wheel    *wheel
	registry *registry
	draining atomic.Bool

	// ctx ends after Run has closed the sessions; work of theirs uses it.
	ctx    context.Context
	cancel context.CancelFunc
	// spawned counts the short-lived goroutines: shard workers and clean-up.
	spawned sync.WaitGroup

	queuedBytes atomic.Int64
	count       counters
}

type counters struct {
	connects, publications, deliveries atomic.Uint64
	recovered, unrecovered             atomic.Uint64
	insufficient, slowCloses, panics   atomic.Uint64
}

// New returns a node that serves sessions once [Node.Run] is called.
func New(o Options) (*Node, error) {
	if o.Channels == nil || o.Authorizer == nil {
		return nil, errors.New("realtime: Options.Channels and Options.Authorizer must be set")
	}
	o = o.withDefaults()
	ctx, cancel := context.WithCancel(context.Background())
	n := &Node{o: o, uid: newID(), wheel: newWheel(), registry: newRegistry(), ctx: ctx, cancel: cancel}
	n.hub = newHub(n)
	o.Broker.Attach(n.hub)
	return n, nil
}

// withDefaults fills in what is zero.
func (o Options) withDefaults() Options {
	if o.Name == "" {
		o.Name, _ = os.Hostname()
	}
	if o.Broker == nil {
		o.Broker = NewMemoryBroker(MemoryOptions{})
	}
	if o.Presence == nil {
		o.Presence = NewMemoryPresence()
	}
	o.Logger = cmp.Or(o.Logger, slog.Default())
	o.PingInterval = cmp.Or(o.PingInterval, 25*time.Second)
	o.PongTimeout = cmp.Or(o.PongTimeout, 8*time.Second)
	o.StaleCloseDelay = cmp.Or(o.StaleCloseDelay, 10*time.Second)
	o.ExpiredCloseDelay = cmp.Or(o.ExpiredCloseDelay, 25*time.Second)
	o.ExpiredSubCloseDelay = cmp.Or(o.ExpiredSubCloseDelay, 25*time.Second)
	o.PresenceUpdateInterval = cmp.Or(o.PresenceUpdateInterval, 27*time.Second)
	o.PositionCheckDelay = cmp.Or(o.PositionCheckDelay, 2*time.Second)
	o.QueueBytes = cmp.Or(o.QueueBytes, 1<<20)
	o.MessageBytes = cmp.Or(o.MessageBytes, 64<<10)
	o.FirstMessageBytes = min(cmp.Or(o.FirstMessageBytes, 16<<10), o.MessageBytes)
	o.CommandLimit = cmp.Or(o.CommandLimit, 64)
	o.ChannelLimit = cmp.Or(o.ChannelLimit, 128)
	o.ServerChannelLimit = cmp.Or(o.ServerChannelLimit, o.ChannelLimit)
	o.ChannelMaxLength = cmp.Or(o.ChannelMaxLength, 255)
	o.HistoryLimit = cmp.Or(o.HistoryLimit, 300)
	o.RecoveryLimit = cmp.Or(o.RecoveryLimit, 300)
	return o
}

// Run serves until ctx ends, then closes what [Node.Shutdown] left and returns after
// all goroutines of the node have ended.
func (n *Node) Run(ctx context.Context) error {
	brokerCtx, stopBroker := context.WithCancel(context.WithoutCancel(ctx))
	broker := make(chan error, 1)
	go func() { broker <- n.o.Broker.Run(brokerCtx) }()
	ticks := time.NewTicker(wheelTick)
	defer ticks.Stop()
	n.spawn(func() { n.watchPositions(ctx) })

	var err error
	var due []*Session
	for running := true; running; {
		select {
		case <-ctx.Done():
			running = false
		case err = <-broker:
			broker <- nil
			running = false
		case <-ticks.C:
			due = n.wheel.due(due[:0])
			now := n.wheel.now()
			for _, s := range due {
				n.onTime(s, now)
			}
			clear(due)
		}
	}
	n.draining.Store(true)
	for _, s := range n.registry.all() {
		s.Close(protocol.CloseShutdown)
	}
	n.spawned.Wait()
	n.cancel()
	stopBroker()
	if brokerErr := <-broker; err == nil && !errors.Is(brokerErr, context.Canceled) {
		err = brokerErr
	}
	if err != nil {
		return fmt.Errorf("run broker: %w", err)
	}
	return nil
}

// onTime contains a panic to the session that raised it.
func (n *Node) onTime(s *Session, now time.Duration) {
	defer func() {
		if r := recover(); r != nil {
			n.panicked("time", r)
			s.Close(protocol.CloseInternal)
		}
	}()
	s.onTime(now)
}

// spawn runs f in a goroutine that Run waits for.
func (n *Node) spawn(f func()) {
	n.spawned.Go(func() {
		defer func() {
			if r := recover(); r != nil {
				n.panicked("background", r)
			}
		}()
		f()
	})
}

// panicked reports a panic that was contained.
func (n *Node) panicked(where string, r any) {
	n.count.panics.Add(1)
	n.o.Logger.Error("panic", "where", where, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
}

// asError is what a client is told of err; what is not its business is logged.
func (n *Node) asError(doing string, err error) *protocol.Error {
	var refusal *protocol.Error
	if errors.As(err, &refusal) {
		return refusal
	}
	n.o.Logger.Error(doing, "error", err)
	return protocol.ErrInternal
}

// Shutdown refuses new sessions and closes the existing ones with
// [protocol.CloseShutdown], evenly over drain; it returns when all have been told
// or ctx ends, and does not wait for their transports.
func (n *Node) Shutdown(ctx context.Context, drain time.Duration) error {
	n.draining.Store(true)
	sessions := n.registry.all()
	const steps = 50
	pause := time.NewTicker(max(drain/steps, time.Millisecond))
	defer pause.Stop()
	for step := range steps {
		from, to := len(sessions)*step/steps, len(sessions)*(step+1)/steps
		if from == to {
			continue
		}
		for _, s := range sessions[from:to] {
			s.Close(protocol.CloseShutdown)
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for _, s := range n.registry.all() { // those that came meanwhile
		s.Close(protocol.CloseShutdown)
	}
	return nil
}

// Info describes the node. Uptime is in seconds.
type Info struct {
	UID, Name, Version             string
	Clients, Users, Channels, Subs int
	Uptime                         uint32
}

// Info returns the node's figures as they are now.
func (n *Node) Info() Info {
	clients, users := n.registry.count()
	channels, subs := n.hub.count()
	return Info{
		UID: n.uid, Name: n.o.Name, Version: n.o.Version,
		Clients: clients, Users: users, Channels: channels, Subs: subs,
		Uptime: uint32(n.wheel.now() / time.Second),
	}
}

// Stats are counters since start and gauges, for metrics.
type Stats struct {
	Sessions, Subscriptions, Channels, Users int64 // gauges
	QueuedBytes                              int64 // gauge: bytes waiting for sockets
	Connects, Publications, Deliveries       uint64
	RecoveredTrue, RecoveredFalse            uint64
	InsufficientState, SlowCloses            uint64
	Panics                                   uint64
}

// Stats returns the node's counters.
func (n *Node) Stats() Stats {
	clients, users := n.registry.count()
	channels, subs := n.hub.count()
	c := &n.count
	return Stats{
		Sessions: int64(clients), Users: int64(users), Channels: int64(channels), Subscriptions: int64(subs),
		QueuedBytes: n.queuedBytes.Load(),
		Connects:    c.connects.Load(), Publications: c.publications.Load(), Deliveries: c.deliveries.Load(),
		RecoveredTrue: c.recovered.Load(), RecoveredFalse: c.unrecovered.Load(),
		InsufficientState: c.insufficient.Load(), SlowCloses: c.slowCloses.Load(), Panics: c.panics.Load(),
	}
}
