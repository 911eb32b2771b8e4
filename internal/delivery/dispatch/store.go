package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/delivery"
)

// ErrStale is of [Store.FanOut]: a webhook was made, changed or removed meanwhile.
var ErrStale = errors.New("the webhooks have changed")

// Store is where webhooks, their deliveries and the attempts are.
type Store interface {
	// Lead waits until this process is the one that sends and calls f, whose context ends
	// when it no longer is. It returns when ctx ends.
	Lead(ctx context.Context, f func(context.Context) error) error

	// Webhooks returns all webhooks, and a version that changes whenever one is made,
	// removed, or changed by anything but Record.
	Webhooks(ctx context.Context) (all []delivery.Webhook, version int64, err error)
	// Version returns that version.
	Version(ctx context.Context) (int64, error)
	// Asked returns how many manual attempts wait and how many jobs are running.
	Asked(ctx context.Context) (manual, jobs int, err error)
	// Alone tells whether no other process can change what is stored, so that nobody needs to
	// look for it.
	Alone() bool

	// Cursor returns up to which position of the log deliveries were made; known is false
	// before the first FanOut or SaveCursor.
	Cursor(ctx context.Context) (pos int64, known bool, err error)
	SaveCursor(ctx context.Context, pos int64) error
	// FanOut stores deliveries and the events they are of, and moves the cursor to pos, all
	// in one transaction. A delivery that is there already, of that event to that webhook,
	// is left as it is and keeps the ID 0 in matched; the others get theirs. If version is
	// not that of the webhooks any more, nothing is stored: [ErrStale]. Deliveries in state
	// sending get the lease.
	FanOut(ctx context.Context, version, pos int64, lease time.Time, matched []Matched) error

	// Claim marks due deliveries of webhooks as being sent until lease, oldest due first, and
	// returns them as they are then: State is sending, NextRetryAt still says since when they
	// are due. It never waits for another process.
	Claim(ctx context.Context, now, lease time.Time, wants []Want) ([]Claimed, error)
	// ClaimManual returns up to limit deliveries for which an attempt by hand was asked for,
	// but not those of which one is in except.
	ClaimManual(ctx context.Context, limit int, except []int64) ([]Claimed, error)
	// Next returns when each webhook's next delivery is due, as far as it has one in state
	// queued or retrying: one lookup per webhook.
	Next(ctx context.Context, webhooks []int64) (map[int64]time.Time, error)
	// Abandon makes deliveries due again whose lease ended before the time, at most limit. It
	// returns how many there were.
	Abandon(ctx context.Context, before time.Time, limit int) (int, error)
	// Events returns what is kept of events, by id. If their payloads are more than limit bytes
	// together, it returns some of them, at least one.
	Events(ctx context.Context, ids []string, limit int) (map[string]delivery.Event, error)

	// Record reads the webhooks and deliveries with these ids and holds their rows, calls
	// decide, and stores what it left in the batch: of webhooks only how they do, never
	// their settings. All is one transaction; decide may be called again if that has to be
	// repeated.
	Record(ctx context.Context, webhooks, deliveries []int64, decide func(*Batch) error) error

	// Pause pauses up to limit due deliveries of a webhook that is disabled. Release makes up
	// to limit paused ones of an active webhook due at now, oldest first; both return how many
	// there were.
	Pause(ctx context.Context, webhook int64, limit int) (int, error)
	Release(ctx context.Context, webhook int64, now time.Time, limit int) (int, error)
	// Waiting counts, per webhook, deliveries that are due or being sent, and paused ones.
	Waiting(ctx context.Context) (map[int64]Waiting, error)

	// Jobs returns the jobs that are running, oldest first. SaveJob stores how far one is;
	// it returns false if it was canceled meanwhile.
	Jobs(ctx context.Context) ([]Job, error)
	SaveJob(ctx context.Context, j *Job) (running bool, err error)
	// Failed returns up to limit ids of deliveries of the job's webhook, after an id and in
	// their order, that are final and failed, were made within the job's window and have one
	// of its error codes.
	Failed(ctx context.Context, j *Job, limit int) ([]int64, error)
	// Log returns up to limit events of the job's window, as the log has them, after the job's
	// position and in their order.
	Log(ctx context.Context, j *Job, limit int) ([]event.Event, error)
	// Replay stores deliveries that a job makes. Those that exist are made anew unless
	// the job is for missing ones only. It returns how many deliveries were queued.
	Replay(ctx context.Context, j *Job, now time.Time, matched []Matched) (int, error)

	// Prune removes what has outlived its retention, up to limit rows of each kind, and
	// what is left of removed webhooks. It returns how many rows there were.
	Prune(ctx context.Context, now time.Time, keep Retention, limit int) (int, error)
}

// Matched is an event with the deliveries that it gets.
type Matched struct {
	Event      delivery.Event
	Deliveries []*delivery.Delivery
}

// Claimed is a delivery to be sent, with what is asked of its event to order by.
type Claimed struct {
	delivery.Delivery

	OrderingKey string
}

// Want is how many deliveries of a webhook can be sent.
type Want struct {
	Webhook int64
	Limit   int
	// Ordering is that of the webhook's settings: where it is not none, a delivery that
	// waits for another one is not claimed.
	Ordering string
}

// Waiting counts deliveries that are not final.
type Waiting struct{ Due, Paused int }

// Batch is what [Store.Record] reads and stores.
type Batch struct {
	// Webhooks and Deliveries are those that are there, by id.
	Webhooks   map[int64]*delivery.Webhook
	Deliveries map[int64]*delivery.Delivery
	// Attempts are stored in addition, Events appended to the log.
	Attempts []delivery.Attempt
	Events   []event.Event
	// Manual are the deliveries whose attempt by hand was made.
	Manual []int64
	// Job, if it is not empty, is the job that queues the deliveries anew.
	Job string
}

// The kinds and states of jobs.
const (
	JobRecover = "recover"
	JobReplay  = "replay"

	JobRunning  = "running"
	JobDone     = "done"
	JobFailed   = "failed"
	JobCanceled = "canceled"
)

// Job queues deliveries anew, a few at a time (spec/webhooks.md §4.10).
type Job struct {
	ID      string // whj_ and a ULID
	Webhook int64
	Kind    string
	State   string
	// Error says why the job failed.
	Error string
	// Since and Until are the window. ErrorCodes (recover) and EventTypes (replay) narrow
	// it if they are not empty.
	Since, Until           time.Time
	ErrorCodes, EventTypes []string
	OnlyMissing            bool
	// At is the id (recover) or position (replay) up to which it is done.
	At int64
	// Matched and Queued count deliveries so far; Succeeded and Failed how those ended.
	Matched, Queued, Succeeded, Failed int
	CreatedAt, UpdatedAt               time.Time
}

// Retention is how long what is kept.
type Retention struct {
	// Deliveries is for final deliveries, their attempts and the payloads of events;
	// Exhausted for deliveries that were given up.
	Deliveries, Exhausted time.Duration
	// Paused is after how long a paused delivery is canceled.
	Paused time.Duration
}
