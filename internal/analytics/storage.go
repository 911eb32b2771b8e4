package analytics

import (
	"context"

	"github.com/kuranty/kuranty/event"
)

// Store keeps metrics, reports and their jobs. Update runs f in one transaction, perhaps
// several times; View runs it for reading only.
type Store interface {
	Update(ctx context.Context, f func(Tx) error) error
	View(ctx context.Context, f func(Tx) error) error
}

// Tx is what a transaction can do.
type Tx interface {
	metricTx
	foldTx
	reportTx
	// Append adds an event to the log.
	Append(ctx context.Context, e event.Event) error
}

type metricTx interface {
	// FindSeries returns the id of a series, 0 if there is none.
	FindSeries(ctx context.Context, name, server string) (int64, error)
	// LockSeries keeps others from adding series until the transaction ends.
	LockSeries(ctx context.Context) error
	CountSeries(ctx context.Context) (int, error)
	AddSeries(ctx context.Context, name, server string) (int64, error)
	// Tell stores what was last said of a series, unless something later was.
	Tell(ctx context.Context, series int64, unit, metadata string, value float64, at int64) error
	// PutPoint stores a value as it came; changed is false if it was there.
	PutPoint(ctx context.Context, series, at int64, value float64) (changed bool, err error)
	// Series returns series by name and server, those after a pair if there is one.
	Series(ctx context.Context, name, server string, after bool, afterName, afterServer string, limit int) ([]Series, error)
	// Points returns what the points of a step within [from, to) make together for each
	// time of every milliseconds, in order.
	Points(ctx context.Context, name, server string, step, every, from, to int64) ([]Point, error)
	// Summary is what the points of a step within [from, to) of one series make together;
	// its N is 0 if there are none.
	Summary(ctx context.Context, series, step, from, to int64) (Point, error)
	// Settled returns the first point of a step that is to be computed anew, of the series
	// of a name, or before if there is none; an empty name is every name.
	Settled(ctx context.Context, name string, step, before int64) (int64, error)
}

type foldTx interface {
	// Change notes that a point is to be computed anew.
	Change(ctx context.Context, series, step, at int64) error
	// TakeChanges takes up to limit of these notes, of points that begin before a time.
	TakeChanges(ctx context.Context, step, before int64, limit int) ([]Change, error)
	// PutSummary stores a point of a step.
	PutSummary(ctx context.Context, series, step int64, p *Point) error
	// SweepPoints removes up to limit points of a step that are older than a time and no
	// longer needed for those of the coarser one.
	SweepPoints(ctx context.Context, step, coarser, before int64, limit int) (int64, error)
	// SweepSeries removes up to limit series of which nothing was said since a time, and
	// which have no points.
	SweepSeries(ctx context.Context, before int64, limit int) (int64, error)
}

// Change is a note that a point is to be computed anew.
type Change struct{ Series, At int64 }

// reportTx keeps reports and their jobs. What is not there is [ErrNotFound].
type reportTx interface {
	AddReport(ctx context.Context, r *Report) error
	// Report returns a report without its content, Content the content.
	Report(ctx context.Context, id string) (Report, error)
	Content(ctx context.Context, id string) (string, error)
	// EndReport stores how a report ended.
	EndReport(ctx context.Context, r *Report, content string) error
	// Reports returns reports, the newest first, those older than a pair of time and id.
	// An empty status or requester is any.
	Reports(ctx context.Context, status, requestedBy string, createdAt int64, id string, limit int) ([]Report, error)
	// CountPending counts reports that are to be made.
	CountPending(ctx context.Context) (int, error)
	// SweepReports removes up to limit reports that ended before a time.
	SweepReports(ctx context.Context, before int64, limit int) (int64, error)
	// Unname takes away who asked for reports, of up to limit of them.
	Unname(ctx context.Context, requestedBy string, limit int) (int64, error)

	// Usage, Security and Trust count what happened from a time to another.
	Usage(ctx context.Context, from, to int64) ([]Row, error)
	Security(ctx context.Context, from, to int64) ([]Row, error)
	Trust(ctx context.Context, from, to int64) ([]Row, error)

	// AddJob adds the job of a report.
	AddJob(ctx context.Context, id string, now int64) error
	// ClaimJob gives a due job that nobody holds to holder, until a time, and returns its
	// report and how often it went wrong before.
	ClaimJob(ctx context.Context, holder string, now, until int64) (id string, attempts int, err error)
	// KeepJob holds a job longer; held is false if it is not holder's any more.
	KeepJob(ctx context.Context, id, holder string, until int64) (held bool, err error)
	// EndJob ends a job, RetryJob lets it begin again at a time.
	EndJob(ctx context.Context, id, holder string, failed bool, now int64, attempts int) (held bool, err error)
	RetryJob(ctx context.Context, id, holder string, due int64, attempts int) error
	// NextJob returns when the next job may begin.
	NextJob(ctx context.Context) (int64, error)
}
