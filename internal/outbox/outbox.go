// Package outbox carries committed events to the parts of the server that announce
// them: realtime channels now, gateway streams and webhooks later.
//
// Each sink sees every event at least once, in the order of positions, which for one
// chat is the order of commits. A failing sink is retried from its own cursor and holds
// back no other; an event that it refuses for good ([Refuse]) is set aside with the
// reason. What was just committed is handed over in memory; a sink that fell behind
// reads the database until it has caught up. The memory for that is bounded in bytes.
//
// [Log.Run] owns all goroutines and returns after the last has ended. [Log.Committed]
// may be called from anywhere and never blocks.
package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kuranty/kuranty/event"
)

// Store is where the log is kept.
type Store interface {
	// Events returns up to limit numbered events after a position, in order.
	Events(ctx context.Context, after int64, limit int) ([]event.Event, error)
	// Head returns the position of the newest numbered event.
	Head(ctx context.Context) (int64, error)
	// Cursor returns up to where a sink has read; SaveCursor remembers it.
	Cursor(ctx context.Context, sink string) (pos int64, known bool, err error)
	SaveCursor(ctx context.Context, sink string, pos int64) error
	// Refuse keeps an event aside that a sink refused.
	Refuse(ctx context.Context, sink string, e event.Event, reason error) error
	// PruneEvents removes up to limit events older than age that are not among the
	// keep newest and that every cursor has passed.
	PruneEvents(ctx context.Context, age time.Duration, keep int64, limit int) (int64, error)
	// Lead calls f while this process is the one that numbers events; Number does
	// it for some and returns how many. Where events are numbered when they are
	// stored, Lead only waits for ctx.
	Lead(ctx context.Context, f func(context.Context) error) error
	NumberEvents(ctx context.Context) (map[int64]int64, error)
	// Tell tells other processes that the log has grown; Hear calls told when one does.
	Tell(ctx context.Context) error
	Hear(ctx context.Context, told func()) error
}

// Sink announces events.
type Sink interface {
	// Name names the sink's cursor.
	Name() string
	// Deliver announces events, which are in order and follow each other. It returns
	// how many were announced; the rest come again. An error that is [Refuse]'s is
	// about the event after those.
	Deliver(ctx context.Context, events []event.Event) (int, error)
}

// Refuse returns an error of [Sink.Deliver] that sets the event aside.
func Refuse(reason error) error { return &refusal{reason} }

type refusal struct{ reason error }

func (r *refusal) Error() string { return r.reason.Error() }
func (r *refusal) Unwrap() error { return r.reason }

// Options configure a [Log]. The zero value is ready to use.
type Options struct {
	// Retention is how long events are kept at least; zero means 72 h. Keep is how many
	// are kept at least; zero means 100,000.
	Retention time.Duration
	Keep      int64
	// Window bounds the events kept in memory for sinks, in bytes; zero means 16 MiB.
	Window int
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

// Log is the log of this process.
type Log struct {
	o     Options
	store Store
	sinks []*reader

	mu sync.Mutex
	// window are the newest events, gapless up to head.
	window []event.Event
	size   int
	head   int64
	grown  chan struct{} // closed and replaced when head grows
	// unnumbered are events committed here that have no position yet, by row.
	unnumbered map[int64]event.Event
	leading    bool

	due  chan struct{} // something waits to be numbered, here or elsewhere
	tell chan struct{} // something was committed that another process numbers
}

// reader is a sink and how far it is.
type reader struct {
	sink      Sink
	cursor    atomic.Int64
	delivered atomic.Uint64
	refused   atomic.Uint64
	failures  atomic.Uint64
	// since is when the oldest event not yet announced happened, in milliseconds.
	since atomic.Int64
	// saved is the cursor as it was last saved. It belongs to the goroutine of feed.
	saved int64
}

// New returns a log that is kept in store and read by sinks.
func New(store Store, o Options, sinks ...Sink) *Log {
	if o.Retention == 0 {
		o.Retention = 72 * time.Hour
	}
	if o.Keep == 0 {
		o.Keep = 100_000
	}
	if o.Window == 0 {
		o.Window = 16 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	l := &Log{
		o: o, store: store, grown: make(chan struct{}), unnumbered: make(map[int64]event.Event),
		due: make(chan struct{}, 1), tell: make(chan struct{}, 1),
	}
	for _, s := range sinks {
		l.sinks = append(l.sinks, &reader{sink: s})
	}
	return l
}

// Committed takes the events of a transaction that has just been stored, with their
// positions if they have any.
func (l *Log) Committed(events []event.Event) {
	l.mu.Lock()
	numbered := events[0].Pos != 0
	if numbered {
		l.append(events)
	} else if l.leading && len(l.unnumbered) < 4096 { // what does not fit is read again
		for _, e := range events {
			l.unnumbered[e.Row()] = e
		}
	}
	other := !numbered && !l.leading
	l.mu.Unlock()
	switch {
	case other:
		signal(l.tell)
	case !numbered:
		signal(l.due)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// append puts numbered events at the end of the window; l.mu is held.
func (l *Log) append(events []event.Event) {
	for i := range events {
		e := &events[i]
		if e.Pos <= l.head {
			continue
		}
		if e.Pos != l.head+1 {
			l.window, l.size = l.window[:0], 0 // a hole: sinks read the database up to here
		}
		l.window = append(l.window, *e)
		l.size += e.Size()
		l.head = e.Pos
	}
	drop := 0
	for l.size > l.o.Window && drop < len(l.window)-1 {
		l.size -= l.window[drop].Size()
		drop++
	}
	if drop > 0 {
		clear(l.window[:drop])
		l.window = l.window[drop:]
	}
	close(l.grown)
	l.grown = make(chan struct{})
}

// Load reads where the log ends and how far each sink is; one that never read begins at
// the end. It is called before anything is written, and before Run.
func (l *Log) Load(ctx context.Context) error {
	head, err := l.store.Head(ctx)
	if err != nil {
		return fmt.Errorf("read the end of the log: %w", err)
	}
	for _, r := range l.sinks {
		pos, known, err := l.store.Cursor(ctx, r.sink.Name())
		if err != nil {
			return fmt.Errorf("read cursor of %s: %w", r.sink.Name(), err)
		}
		if !known {
			pos = head
		}
		r.cursor.Store(pos)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reach(head)
	return nil
}

// Run carries events until ctx ends.
func (l *Log) Run(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error { return l.store.Lead(ctx, l.number) })
	g.Go(func() error { return l.store.Hear(ctx, func() { l.heard(ctx) }) })
	g.Go(func() error { l.telling(ctx); return nil })
	g.Go(func() error { l.prune(ctx); return nil })
	for _, r := range l.sinks {
		g.Go(func() error { l.feed(ctx, r); return nil })
	}
	return g.Wait()
}

// number gives positions to what is committed anywhere, while this process leads.
func (l *Log) number(ctx context.Context) error {
	l.lead(true)
	defer l.lead(false)
	// Who led before may have numbered some and died before it told anybody.
	if err := l.look(ctx); err != nil {
		return err
	}
	poll := time.NewTicker(200 * time.Millisecond) // what a process committed that then died
	defer poll.Stop()
	for {
		if err := l.numberAll(ctx); err != nil {
			return err
		}
		select {
		case <-l.due:
		case <-poll.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (l *Log) lead(leading bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leading = leading
	clear(l.unnumbered)
}

// numberAll numbers until nothing is due.
func (l *Log) numberAll(ctx context.Context) error {
	for ctx.Err() == nil {
		given, err := l.store.NumberEvents(ctx)
		if err != nil || len(given) == 0 {
			return err
		}
		l.numbered(given)
		signal(l.tell)
	}
	return nil
}

// numbered moves events that were given positions into the window, if all are at
// hand; otherwise sinks read them.
func (l *Log) numbered(given map[int64]int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	events := make([]event.Event, 0, len(given))
	last := int64(0)
	for row, pos := range given {
		last = max(last, pos)
		if e, ok := l.unnumbered[row]; ok {
			e.Pos = pos
			events = append(events, e)
			delete(l.unnumbered, row)
		}
	}
	if len(events) == len(given) {
		sortByPos(events)
		l.append(events)
	} else {
		l.reach(last)
	}
}

// reach notes that the database has events up to head that are not at hand; l.mu is held.
func (l *Log) reach(head int64) {
	if head <= l.head {
		return
	}
	l.window, l.size, l.head = l.window[:0], 0, head
	close(l.grown)
	l.grown = make(chan struct{})
}

// heard looks for what other processes have stored or numbered.
func (l *Log) heard(ctx context.Context) {
	l.mu.Lock()
	leading := l.leading
	l.mu.Unlock()
	if leading {
		signal(l.due)
		return
	}
	_ = l.look(ctx) // the next look comes within a second
}

// look looks how far the log has been numbered.
func (l *Log) look(ctx context.Context) error {
	head, err := l.store.Head(ctx)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reach(head)
	return nil
}

// telling tells other processes, one message for all that happened meanwhile.
func (l *Log) telling(ctx context.Context) {
	for {
		select {
		case <-l.tell:
			_ = l.store.Tell(ctx) // they look by themselves every second
		case <-ctx.Done():
			return
		}
	}
}

// prune removes old events, a little at a time.
func (l *Log) prune(ctx context.Context) {
	const step = 1000
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for ctx.Err() == nil {
			n, err := l.store.PruneEvents(ctx, l.o.Retention, l.o.Keep, step)
			if err != nil {
				l.o.Logger.Warn("prune the log", "error", err)
			}
			if n < step {
				break
			}
		}
	}
}

// Position returns up to where a sink has read.
func (l *Log) Position(sink string) int64 {
	for _, r := range l.sinks {
		if r.sink.Name() == sink {
			return r.cursor.Load()
		}
	}
	return 0
}

// Head returns the position of the newest event that this process knows of.
func (l *Log) Head() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
}

// Stats is how far a sink is.
type Stats struct {
	Sink string
	// Position is the sink's, Behind how many events follow it.
	Position, Behind int64
	// Lag is how long ago the oldest of those happened.
	Lag                          time.Duration
	Delivered, Refused, Failures uint64
}

// Stats returns how far the sinks are.
func (l *Log) Stats() []Stats {
	l.mu.Lock()
	head := l.head
	l.mu.Unlock()
	all := make([]Stats, 0, len(l.sinks))
	for _, r := range l.sinks {
		s := Stats{
			Sink: r.sink.Name(), Position: r.cursor.Load(),
			Delivered: r.delivered.Load(), Refused: r.refused.Load(), Failures: r.failures.Load(),
		}
		s.Behind = max(head-s.Position, 0)
		if since := r.since.Load(); since != 0 && s.Behind > 0 {
			s.Lag = max(time.Since(time.UnixMilli(since)), 0)
		}
		all = append(all, s)
	}
	return all
}

var errStopped = errors.New("stopped")
