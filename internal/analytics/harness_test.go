package analytics_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/analytics"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/storetest"
)

// stand is a service on a fresh database, with a clock that tests move.
type stand struct {
	*analytics.Service
	t     *testing.T
	store *store.Store

	mu       sync.Mutex
	now      time.Time
	events   []event.Event
	readings []analytics.Reading
}

// onBoth runs a test on SQLite and on PostgreSQL.
func onBoth(t *testing.T, o analytics.Options, f func(t *testing.T, s *stand)) {
	for _, driver := range []string{store.SQLite, store.Postgres} {
		t.Run(driver, func(t *testing.T) { f(t, newStand(t, driver, o)) })
	}
}

func newStand(t *testing.T, driver string, o analytics.Options) *stand {
	t.Helper()
	s := &stand{t: t, now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	so := storetest.Options(t, driver)
	so.Clock, so.Logger = s.clock, slog.New(slog.DiscardHandler)
	so.Committed = func(es []event.Event) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.events = append(s.events, es...)
	}
	var err error
	if s.store, err = store.Open(t.Context(), so); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.store.Close() })
	s.Service = s.another(o)
	return s
}

// another is a service as that of another node, on the same database.
func (s *stand) another(o analytics.Options) *analytics.Service {
	if o.Store == nil {
		o.Store = s.store.Analytics()
	}
	o.Clock, o.Source, o.Server, o.Logger = s.clock, s, "node-1", slog.New(slog.DiscardHandler)
	return analytics.New(o)
}

func (s *stand) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *stand) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

// Read implements analytics.Source.
func (s *stand) Read(context.Context) ([]analytics.Reading, error) { return s.readings, nil }

func (s *stand) push(values ...analytics.Value) {
	s.t.Helper()
	if err := s.Push(s.t.Context(), "key:k_1", values); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stand) fold() {
	s.t.Helper()
	if err := errors.Join(s.Fold(s.t.Context()), s.Sweep(s.t.Context())); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stand) points(q analytics.PointsQuery) []analytics.Point {
	s.t.Helper()
	list, _, err := s.Points(s.t.Context(), q)
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}

// told returns the payloads of the events since the last call with their types, in the
// order of the log; each must be as its schema says.
func (s *stand) told() (list []map[string]any) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	catalogue, err := event.NewCatalogue()
	if err != nil {
		s.t.Fatal(err)
	}
	for i := range s.events {
		e := &s.events[i]
		k := catalogue.Kind(e.Type)
		if k == nil {
			s.t.Fatalf("event %s is not in the catalogue", e.Type)
		}
		if err := k.Check(e.Payload); err != nil {
			s.t.Error(err)
		}
		m := map[string]any{}
		if err := json.Unmarshal(e.Payload, &m); err != nil {
			s.t.Fatal(err)
		}
		m["type"], m["actor"] = e.Type, e.Actor
		list = append(list, m)
	}
	s.events = nil
	return list
}

// broken is a store whose transactions fail after everything was done in them, while it
// is on.
type broken struct {
	analytics.Store
	on *bool
}

var errPlanted = errors.New("planted")

func (b broken) Update(ctx context.Context, f func(analytics.Tx) error) error {
	return b.Store.Update(ctx, func(tx analytics.Tx) error {
		if err := f(tx); err != nil || !*b.on {
			return err
		}
		return errPlanted
	})
}
