package payments_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/payments"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/storetest"
)

// harness is the rules on a real database.
type harness struct {
	*payments.Service
	t      *testing.T
	driver string
	store  *store.Store
	raw    *sql.DB
	fail   *failing

	mu     sync.Mutex
	now    time.Time
	events []event.Event
}

// each runs a test on both databases.
func each(t *testing.T, f func(t *testing.T, h *harness)) {
	t.Helper()
	for _, driver := range []string{store.SQLite, store.Postgres} {
		t.Run(driver, func(t *testing.T) { t.Parallel(); f(t, newHarness(t, driver)) })
	}
}

func newHarness(t *testing.T, driver string) *harness {
	t.Helper()
	h := &harness{t: t, driver: driver, now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	o := storetest.Options(t, driver)
	o.Clock, o.Logger = h.clock, slog.New(slog.NewTextHandler(io.Discard, nil))
	o.Committed = func(events []event.Event) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.events = append(h.events, events...)
	}
	var err error
	if driver == store.Postgres {
		h.raw, err = sql.Open("pgx", o.DSN)
	} else {
		h.raw, err = sql.Open("sqlite", o.Path+"?_pragma=busy_timeout(5000)")
	}
	h.must(err)
	t.Cleanup(func() { h.raw.Close() })
	h.store, err = store.Open(t.Context(), o)
	h.must(err)
	t.Cleanup(func() { h.store.Close() })
	h.fail = &failing{Store: h.store.Payments()}
	h.Service = payments.New(payments.Options{Store: h.fail, Clock: h.clock})
	return h
}

func (h *harness) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *harness) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

// user makes an account.
func (h *harness) user(id int64) int64 {
	h.t.Helper()
	h.exec(`INSERT INTO users (id, name, role, kind, state, privacy, search_name, created_at, updated_at)
		VALUES ($1, 'Anna', 'user', 'human', 'active', '{}', 'anna', 1, 1)`, id)
	return id
}

func (h *harness) exec(query string, args ...any) {
	h.t.Helper()
	_, err := h.raw.ExecContext(h.t.Context(), query, args...)
	h.must(err)
}

func (h *harness) create(n payments.NewTransaction) payments.Transaction {
	h.t.Helper()
	t, _, err := h.Create(h.t.Context(), "key:test", n)
	if err != nil {
		h.t.Fatalf("%+v: %v", n, err)
	}
	return t
}

// owns checks a balance.
func (h *harness) owns(user, want int64) {
	h.t.Helper()
	got, err := h.Balance(h.t.Context(), user)
	if err != nil || got != want {
		h.t.Errorf("the balance of user %d is %d, %v; want %d", user, got, err, want)
	}
}

// happened returns what was announced since the last call, as "type id completed".
func (h *harness) happened() (list []string) {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		t := h.payload(e)
		list = append(list, fmt.Sprintf("%s %d %v", e.Type, t.TransactionID, t.IsCompleted))
	}
	h.events = nil
	return list
}

// sound checks what kuranty db check does.
func (h *harness) sound() {
	h.t.Helper()
	faults, err := h.store.Check(h.t.Context(), nil)
	if err != nil || len(faults) > 0 {
		h.t.Errorf("check: %q, %v", faults, err)
	}
}

// failing is a store whose transactions fail after everything was done.
type failing struct {
	payments.Store
	err error
}

var errPlanted = errors.New("planted")

func (f *failing) Update(ctx context.Context, do func(payments.Tx) error) error {
	return f.Store.Update(ctx, func(tx payments.Tx) error { return errors.Join(do(tx), f.err) })
}
