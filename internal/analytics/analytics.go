package analytics

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"
)

var (
	// ErrNotFound means that there is no such report, or job.
	ErrNotFound = errors.New("no such report")
	// ErrNotReady means that a report is still being made, or could not be made.
	ErrNotReady = errors.New("the report is not ready")
	// ErrBusy means that as many reports as may wait do wait.
	ErrBusy = errors.New("too many reports wait to be made")
	// ErrCursor means that a cursor is none of ours.
	ErrCursor = errors.New("unknown cursor")
)

// FieldError says that a value cannot be taken.
type FieldError struct {
	Field string
	// Reason completes a sentence that begins with the name of the field.
	Reason string
}

func (e *FieldError) Error() string { return e.Field + " " + e.Reason }

// MaxSeries is how many series there may be: a name on a server is one.
const MaxSeries = 10_000

// Options configure a [Service]. Store must be given; zero elsewhere means the default.
type Options struct {
	Store Store
	// Source tells of this server; without it nothing is sampled. Server is the name that
	// its samples are stored under.
	Source Source
	Server string
	// Interval is how often samples are taken. Zero means 10 s, negative never.
	Interval time.Duration
	// Announced are the samples that events tell of, by name; "*" is all. Nil means
	// [Announced].
	Announced []string
	// Raw, Minutes and Hours are how long values are kept as they came, by the minute and
	// by the hour. Zero means 24 h, 30 days and 730 days. Raw is at least 2 h, and each is
	// as long as the one before or longer.
	Raw, Minutes, Hours time.Duration
	// Reports is how long a report is kept; zero means 30 days.
	Reports time.Duration
	// Clock defaults to time.Now, Logger to slog.Default().
	Clock  func() time.Time
	Logger *slog.Logger
}

// Announced are the samples that events tell of by default.
var Announced = []string{"connections", "messages_per_second", "cpu_usage", "memory_bytes"}

// Service keeps metrics and makes reports. It is safe for concurrent use.
type Service struct {
	o     Options
	store Store
	log   *slog.Logger
	wake  chan struct{}
	// before is what the last sample saw; it belongs to whoever takes samples.
	before map[string]reading
}

// New returns a service. It does nothing by itself before [Service.Run].
func New(o Options) *Service {
	o.Interval = cmp.Or(o.Interval, 10*time.Second)
	o.Raw, o.Minutes, o.Hours = cmp.Or(o.Raw, 24*time.Hour), cmp.Or(o.Minutes, 30*24*time.Hour), cmp.Or(o.Hours, 730*24*time.Hour)
	o.Reports = cmp.Or(o.Reports, 30*24*time.Hour)
	if o.Announced == nil {
		o.Announced = Announced
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Service{o: o, store: o.Store, log: o.Logger, wake: make(chan struct{}, 1), before: map[string]reading{}}
}

func (s *Service) now() int64 { return s.o.Clock().UnixMilli() }

// announces tells whether events tell of a sample.
func (s *Service) announces(name string) bool {
	return slices.Contains(s.o.Announced, name) || slices.Contains(s.o.Announced, "*")
}

// Value is what a metric was at a time, in milliseconds since 1970; 0 is now.
type Value struct {
	Name  string
	Value float64
	Unit  string
	At    int64
	// Metadata is what else there is to say: server, a text, makes it another series;
	// region and whatever else is told to readers.
	Metadata map[string]any
}

// Series is a metric on a server, which is empty if it is on none, as it was last.
type Series struct {
	ID           int64
	Name, Server string
	Unit         string
	Metadata     json.RawMessage
	Value        float64
	UpdatedAt    int64
}

// SeriesQuery asks for series, by name and server.
type SeriesQuery struct {
	// Name and Server are of which; empty is of all.
	Name, Server string
	// Cursor is that of the page before; Limit zero means 50, 200 is the most.
	Cursor string
	Limit  int
}

const maxPage = 200

func pageSize(limit int) int { return min(cmp.Or(max(limit, 0), 50), maxPage) }

// between comes between name and server in cursors; names do not have it.
const between = "|"

// Series returns a page of series and the cursor of the next one, which is empty at the end.
func (s *Service) Series(ctx context.Context, q SeriesQuery) (list []Series, next string, err error) {
	name, server, ok := strings.Cut(q.Cursor, between)
	if q.Cursor != "" && !ok || !storable(q.Cursor) {
		return nil, "", ErrCursor
	}
	if !storable(q.Name) || !storable(q.Server) {
		return nil, "", nil // no series has such a name
	}
	limit := pageSize(q.Limit)
	err = s.store.View(ctx, func(tx Tx) error {
		list, err = tx.Series(ctx, q.Name, q.Server, q.Cursor != "", name, server, limit+1)
		return err
	})
	if len(list) > limit {
		list = list[:limit]
		last := &list[limit-1]
		next = last.Name + between + last.Server
	}
	return list, next, err
}
