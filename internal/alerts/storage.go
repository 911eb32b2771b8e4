package alerts

import (
	"context"

	"github.com/kuranty/kuranty/event"
)

// Store keeps alerts and scans. Update runs f in one transaction, perhaps several times;
// View runs it for reading only.
type Store interface {
	Update(ctx context.Context, f func(Tx) error) error
	View(ctx context.Context, f func(Tx) error) error
}

// Tx is what a transaction can do.
type Tx interface {
	alertTx
	scanTx
	eraseTx
	// Append adds an event to the log.
	Append(ctx context.Context, e event.Event) error
}

type alertTx interface {
	// OpenAlert locks and returns the alert of a kind and a subject that is not resolved,
	// LockAlert the one with an id; both are [ErrNotFound] if there is none.
	OpenAlert(ctx context.Context, kind, subject string) (Alert, error)
	LockAlert(ctx context.Context, id int64) (Alert, error)
	// Alert returns an alert to read.
	Alert(ctx context.Context, id int64) (Alert, error)
	// AddAlert stores a new alert and sets its ID. added is false if somebody else has just
	// stored one of that kind and subject.
	AddAlert(ctx context.Context, a *Alert) (added bool, err error)
	SaveAlert(ctx context.Context, a *Alert) error
	// Alerts returns alerts with an id below the given one, the newest first.
	Alerts(ctx context.Context, q Query, below int64, limit int) ([]Alert, error)
	// Untold returns up to limit alerts that count more than was announced, and were not
	// announced after a time up to now.
	Untold(ctx context.Context, after, now int64, limit int) ([]int64, error)
	// SweepAlerts removes up to limit alerts that were last seen or resolved before a time.
	SweepAlerts(ctx context.Context, before int64, limit int) (int64, error)
}

type scanTx interface {
	// AddScan stores a new scan and sets its ID; SaveScan stores how one ended.
	AddScan(ctx context.Context, s *Scan) error
	SaveScan(ctx context.Context, s *Scan) error
	// Scan returns a scan, or [ErrNotFound]; LockScan locks it.
	Scan(ctx context.Context, id int64) (Scan, error)
	LockScan(ctx context.Context, id int64) (Scan, error)
	// Scans returns scans with an id below the given one, the newest first.
	Scans(ctx context.Context, below int64, limit int) ([]Scan, error)
	// Unfinished returns scans that began before a time and have not ended.
	Unfinished(ctx context.Context, before int64) ([]int64, error)
	// SweepScans removes up to limit scans that began before a time.
	SweepScans(ctx context.Context, before int64, limit int) (int64, error)
}

type eraseTx interface {
	// AlertsOf returns up to limit alerts about a person with an id above the given one.
	AlertsOf(ctx context.Context, user, above int64, limit int) ([]Alert, error)
	// AlertEvents returns up to limit events about alerts from rows of the log above the
	// given one; RewriteEvent replaces a payload.
	AlertEvents(ctx context.Context, above int64, limit int) ([]event.Event, error)
	RewriteEvent(ctx context.Context, row int64, payload []byte) error
	// ForgetReplies removes replies that are kept to be repeated and show alerts about a
	// person.
	ForgetReplies(ctx context.Context, user int64) error
}
