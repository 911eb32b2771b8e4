package alerts_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/alerts"
	"github.com/kuranty/kuranty/internal/clocktest"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/storetest"
)

// stand is a service on a fresh database, with a clock that tests move.
type stand struct {
	*alerts.Service
	t     *testing.T
	store *store.Store

	mu     sync.Mutex
	now    time.Time
	events []event.Event
	facts  *alerts.Facts
	fail   error
}

// onBoth runs a test on SQLite and on PostgreSQL.
func onBoth(t *testing.T, o alerts.Options, f func(t *testing.T, s *stand)) {
	for _, driver := range []string{store.SQLite, store.Postgres} {
		t.Run(driver, func(t *testing.T) { f(t, newStand(t, driver, o)) })
	}
}

func newStand(t *testing.T, driver string, o alerts.Options) *stand {
	t.Helper()
	return newStandAt(t, driver, o, time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC))
}

func newStandAt(t *testing.T, driver string, o alerts.Options, now time.Time) *stand {
	t.Helper()
	s := &stand{t: t, now: now, facts: &alerts.Facts{RetentionDays: 30}}
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
	if o.Store == nil {
		o.Store = s.store.Alerts()
	}
	o.Clock, o.Inspect, o.Logger = s.clock, s, slog.New(slog.DiscardHandler)
	if s.Service, err = alerts.New(o); err != nil {
		t.Fatal(err)
	}
	return s
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

// set puts the date forth or back, as somebody does who sets the machine's clock.
func (s *stand) set(by time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = clocktest.Set(s.t, s.now, by)
}

// Inspect implements alerts.Inspector.
func (s *stand) Inspect(context.Context, bool) (*alerts.Facts, error) {
	if s.facts == nil {
		panic("planted")
	}
	return s.facts, s.fail
}

// work lets Run do what waits, and ends it.
func (s *stand) work() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		s.t.Error(err)
	}
}

// told returns the events since the last call, in the order of the log; each must be as its schema
// says.
func (s *stand) told() (types []string) {
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
			s.t.Errorf("event %s is not in the catalogue", e.Type)
			continue
		}
		if err := k.Check(e.Payload); err != nil {
			s.t.Error(err)
		}
		types = append(types, e.Type)
	}
	s.events = nil
	return types
}

// last is the payload of the newest event.
func (s *stand) last() (m map[string]any) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.events) == 0 {
		s.t.Fatal("no event")
	}
	if err := json.Unmarshal(s.events[len(s.events)-1].Payload, &m); err != nil {
		s.t.Fatal(err)
	}
	return m
}

func (s *stand) list(q alerts.Query) []alerts.Alert {
	s.t.Helper()
	list, _, err := s.List(s.t.Context(), q)
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}

// only returns the one alert there is.
func (s *stand) only() alerts.Alert {
	s.t.Helper()
	list := s.list(alerts.Query{})
	if len(list) != 1 {
		s.t.Fatalf("%d alerts, want 1: %+v", len(list), list)
	}
	return list[0]
}

func (s *stand) raise(d alerts.Draft) alerts.Alert {
	s.t.Helper()
	if d.Severity == "" {
		d.Severity = alerts.High
	}
	a, _, err := s.Raise(s.t.Context(), "key:k_1", d)
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

func same(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// broken is a store whose transactions fail after everything was done in them.
type broken struct{ alerts.Store }

var errPlanted = errors.New("planted")

func (b broken) Update(ctx context.Context, f func(alerts.Tx) error) error {
	return b.Store.Update(ctx, func(tx alerts.Tx) error { return errors.Join(f(tx), errPlanted) })
}

const (
	created = event.AlertCreated
	updated = event.AlertUpdated
)
