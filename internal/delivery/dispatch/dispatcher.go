package dispatch

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/delivery"
)

// Log is the log of events.
type Log interface {
	// Follow waits until there are events after a position and returns some, in order, and
	// the position up to which nothing else is left.
	Follow(ctx context.Context, after int64) (events []event.Event, reached int64, err error)
	// Head returns the position of the newest event.
	Head() int64
}

// Observer counts; its methods must not block.
type Observer interface {
	// Matched is told of each event that at least one webhook gets.
	Matched(typ string)
	// Attempted is told of each attempt that is over, and for how long its delivery had been
	// due when it began.
	Attempted(code string, lag, took time.Duration)
	// Ended is told of each delivery that has become final.
	Ended(state delivery.State)
	// Disabled is told of each webhook that was switched off by the server.
	Disabled(reason delivery.Reason)
}

// Options configure a [Dispatcher]. Store, Log, Requests and Catalogue are required.
type Options struct {
	Store    Store
	Log      Log
	Requests *Requests
	// Catalogue says what readers see of an event.
	Catalogue *event.Catalogue
	Retries   delivery.Retries
	Limits    delivery.Limits
	// Slots is how many attempts are made at once, of which Reserve (0 to 1) is the part that
	// retries leave to first attempts. Zero means 500; Reserve below zero means none, zero 0.25.
	Slots   int
	Reserve float64
	// PerHost is how many attempts are made to one host and port at once. Zero means 50.
	PerHost int
	// Grace is how long running attempts are awaited at the end. Zero means 20 s.
	Grace     time.Duration
	Retention Retention
	Logger    *slog.Logger
	// Observer may be nil.
	Observer Observer
	// Failed, if it is there, is told of attempts that failed, Troubled of faults of ours,
	// which the operator has to know. Neither may block.
	Failed   func(w *delivery.Webhook, r delivery.Result)
	Troubled func(w *delivery.Webhook, r delivery.Result)
	// Panicked, if it is there, counts panics that were contained.
	Panicked func()
}

// Dispatcher sends webhooks.
type Dispatcher struct {
	o      Options
	bodies *bodies
	poke   chan struct{}
	// sending is nil while another process leads.
	sending atomic.Pointer[sending]
}

// New returns a dispatcher; Run makes it send.
func New(o Options) *Dispatcher {
	if o.Slots <= 0 {
		o.Slots = 500
	}
	if o.Reserve == 0 {
		o.Reserve = 0.25
	}
	if o.PerHost <= 0 {
		o.PerHost = 50
	}
	if o.Grace <= 0 {
		o.Grace = 20 * time.Second
	}
	if o.Retention.Deliveries <= 0 {
		o.Retention.Deliveries = 30 * 24 * time.Hour
	}
	if o.Retention.Exhausted <= 0 {
		o.Retention.Exhausted = 90 * 24 * time.Hour
	}
	if o.Retention.Paused <= 0 {
		o.Retention.Paused = delivery.MaxPausedAge
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Observer == nil {
		o.Observer = silent{}
	}
	return &Dispatcher{o: o, bodies: newBodies(), poke: make(chan struct{}, 1)}
}

// Load sets the beginning: what is in the log before the first Load is nobody's. It is called
// before anything is written, and before Run.
func (d *Dispatcher) Load(ctx context.Context) error {
	_, known, err := d.o.Store.Cursor(ctx)
	if err == nil && !known {
		err = d.o.Store.SaveCursor(ctx, d.o.Log.Head())
	}
	if err != nil {
		return fmt.Errorf("read how far webhooks are: %w", err)
	}
	return nil
}

// Run sends until ctx ends, and then waits for what is under way.
func (d *Dispatcher) Run(ctx context.Context) error {
	return d.o.Store.Lead(ctx, func(ctx context.Context) error {
		defer d.sending.Store(nil)
		for ctx.Err() == nil { // it ends before only if a part panicked
			s := newSending(d)
			d.sending.Store(s)
			s.run(ctx)
			pause(ctx, restartAfter)
		}
		return nil
	})
}

// Poke tells that a webhook was changed, or that somebody asked for an attempt or a job. It
// never blocks. Other processes find out within a second.
func (d *Dispatcher) Poke() { signal(d.poke) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Stats is how sending stands.
type Stats struct {
	// Leading says whether this process sends; without it the rest is zero.
	Leading bool
	// Busy are the slots that attempts take, Pending the deliveries that are due or being
	// sent, Paused those of disabled webhooks.
	Busy, Pending, Paused int
	// OldestDue is for how long the oldest delivery has been due that nothing keeps waiting.
	OldestDue time.Duration
	// Position is up to where of the log deliveries were made.
	Position int64
	// Circuits are the states of webhooks that have had a failure: 0 closed, 1 open.
	Circuits map[int64]int
	// Trouble is why the database was not reached last, empty if it is.
	Trouble string
}

// Stats returns how sending stands.
func (d *Dispatcher) Stats() Stats {
	s := d.sending.Load()
	if s == nil {
		return Stats{}
	}
	return s.stats(time.Now())
}

type silent struct{}

func (silent) Matched(string)                                 {}
func (silent) Attempted(string, time.Duration, time.Duration) {}
func (silent) Ended(delivery.State)                           {}
func (silent) Disabled(delivery.Reason)                       {}
