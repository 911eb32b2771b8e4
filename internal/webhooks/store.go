package webhooks

import (
	"context"
	"errors"
	"time"

	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/delivery/dispatch"
)

// Errors of a [Store].
var (
	// ErrNotFound means that there is no such webhook, ErrNoDelivery no such delivery of the
	// webhook, ErrNoJob no such job.
	ErrNotFound   = errors.New("no such webhook")
	ErrNoDelivery = errors.New("no such delivery")
	ErrNoJob      = errors.New("no such job")
	// ErrExpired means that the payload is not kept any more.
	ErrExpired = errors.New("the payload has expired")
	// ErrLocked means that a webhook is locked ([delivery.Webhook]).
	ErrLocked = errors.New("the webhook's secrets cannot be read")
	// ErrTooMany means that there are as many webhooks as may be.
	ErrTooMany = errors.New("too many webhooks")
)

// Store is where webhooks and their deliveries are.
type Store interface {
	// Create stores w and sets its ID. If there are limit webhooks it is [ErrTooMany].
	Create(ctx context.Context, w *delivery.Webhook, limit int) error
	Webhook(ctx context.Context, id int64) (delivery.Webhook, error)
	// List returns a page of webhooks, newest first, and how many match at all.
	List(ctx context.Context, q Query) (page []delivery.Webhook, total int, err error)
	// Change reads a webhook and holds its row, calls change and stores what that made of it.
	// The error of change is returned as it is, and nothing is stored then. One that is locked
	// is [ErrLocked].
	Change(ctx context.Context, id int64, change func(*delivery.Webhook) error) (delivery.Webhook, error)
	// Delete removes a webhook. Its deliveries cannot be reached any more and are removed
	// soon.
	Delete(ctx context.Context, id int64) error
	// Unfinished counts deliveries that are not final, by webhook.
	Unfinished(ctx context.Context, webhooks []int64) (map[int64]int, error)
	Totals(ctx context.Context) (Totals, error)
	// Stats returns how the attempts of a webhook went since a time.
	Stats(ctx context.Context, webhook int64, since time.Time) (Stats, error)

	// Deliveries returns a page of a webhook's deliveries, newest first (created_at, then
	// id), and how many match at all. With q.Cursor total is not counted.
	Deliveries(ctx context.Context, webhook int64, q DeliveryQuery) (page []Delivery, total int, err error)
	Delivery(ctx context.Context, webhook, id int64) (Delivery, error)
	// Attempts returns those of a delivery, oldest first.
	Attempts(ctx context.Context, id int64) ([]delivery.Attempt, error)
	// ChangeDelivery is Change for a delivery. With manual an attempt by hand is asked for.
	ChangeDelivery(ctx context.Context, webhook, id int64, manual bool, change func(*delivery.Delivery) error) (Delivery, error)
	// Copy stores a new delivery of the same payload under a fresh event id, for which an
	// attempt by hand is asked for.
	Copy(ctx context.Context, webhook, id int64, eventID string, now time.Time) (Delivery, error)
	// CancelPaused cancels up to limit paused deliveries and returns how many there were.
	CancelPaused(ctx context.Context, webhook int64, limit int) (int, error)
	// ErasePayload removes the payload of a delivery's event, and the bodies of answers to it.
	ErasePayload(ctx context.Context, webhook, id int64) error

	AddJob(ctx context.Context, j *dispatch.Job) error
	Job(ctx context.Context, id string) (dispatch.Job, error)
	// CancelJob cancels a job that is running; another stays as it is.
	CancelJob(ctx context.Context, id string) error
}

// Query chooses webhooks. The zero value of a field chooses all.
type Query struct {
	// EventType is an event type or pattern that the webhook names, literally.
	EventType string
	IsActive  *bool
	// IDs, if not nil, are the webhooks to choose among.
	IDs           []int64
	Limit, Offset int
}

// DeliveryQuery chooses deliveries. The zero value of a field chooses all.
type DeliveryQuery struct {
	Status                        delivery.Status
	State                         delivery.State
	EventType, EventID, ErrorCode string
	Since, Until                  time.Time // of created_at: since ≤ created_at < until
	Limit, Offset                 int
	CursorCreatedAt               time.Time // with Cursor: only what comes after that delivery
	Cursor                        int64
}

// Delivery is a delivery with what is kept of its event: Event.Payload is nil if that has
// expired.
type Delivery struct {
	delivery.Delivery

	Event delivery.Event
	// Job is the id of the job that queued it last, empty if none did.
	Job string
}

// Totals are the figures of all webhooks (spec/webhooks.md §1.4).
type Totals struct {
	Webhooks, Active               int
	Deliveries, Successful, Failed int
}

// Stats is how attempts went (spec/webhooks.md §4.18).
type Stats struct {
	// Outcomes counts attempts by code; that of success is "success".
	Outcomes map[string]int
	// P50, P95 and P99 are of durations.
	P50, P95, P99 time.Duration
	Hours         []Hour
}

// Hour is how the attempts of one hour went.
type Hour struct {
	Start               time.Time
	Attempts, Succeeded int
}
