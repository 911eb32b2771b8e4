package tickets_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/files"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/storetest"
	"github.com/kuranty/kuranty/internal/tickets"
)

// harness is the rules on a real database with people in it.
type harness struct {
	t       *testing.T
	store   *store.Store
	raw     *sql.DB
	files   *files.Service
	tickets *tickets.Service

	mu   sync.Mutex
	now  time.Time
	told []event.Event
}

// People of the harness: anna and boris ask, vera answers; lena has been suspended.
const (
	anna int64 = iota + 1
	boris
	vera
	lena
)

var (
	byAnna  = tickets.Caller{User: anna, Actor: event.User(anna)}
	byBoris = tickets.Caller{User: boris, Actor: event.User(boris)}
	byVera  = tickets.Caller{User: vera, Operator: true, Actor: event.User(vera)}
	byKey   = tickets.Caller{Operator: true, Actor: event.Service("k_1")}
	// byNobody is a key without the scope, if it got so far.
	byNobody = tickets.Caller{Actor: event.Service("k_2")}
)

func each(t *testing.T, o tickets.Options, f func(t *testing.T, h *harness)) {
	t.Helper()
	for _, driver := range []string{store.SQLite, store.Postgres} {
		t.Run(driver, func(t *testing.T) { t.Parallel(); f(t, newHarness(t, driver, o)) })
	}
}

func newHarness(t *testing.T, driver string, o tickets.Options) *harness {
	t.Helper()
	h := &harness{t: t, now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	so := storetest.Options(t, driver)
	so.Clock, so.Logger = h.clock, slog.New(slog.DiscardHandler)
	so.Committed = func(es []event.Event) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.told = append(h.told, es...)
	}
	var err error
	if driver == store.Postgres {
		h.raw, err = sql.Open("pgx", so.DSN)
	} else {
		h.raw, err = sql.Open("sqlite", so.Path+"?_pragma=busy_timeout(5000)")
	}
	h.must(err)
	t.Cleanup(func() { h.raw.Close() })
	h.store, err = store.Open(t.Context(), so)
	h.must(err)
	t.Cleanup(func() { h.store.Close() })
	for i, name := range []string{"anna", "boris", "vera", "lena"} {
		role, state := "user", "active"
		switch name {
		case "vera":
			role = "admin"
		case "lena":
			state = "suspended"
		}
		h.exec(`INSERT INTO users (id, username, name, role, kind, state, privacy, search_name, created_at, updated_at)
			VALUES ($1, $2, $2, $3, 'human', $4, '{}', $2, 1, 1)`, i+1, name, role, state)
	}
	h.files, err = files.New(files.Options{
		Folder: filepath.Join(t.TempDir(), "files"), Store: h.store.Files(), Access: h.store.FileAccess(), Secret: []byte(strings.Repeat("s", 32)), Clock: h.clock,
	})
	h.must(err)
	t.Cleanup(func() { h.files.Close() })
	o.Store, o.Clock = h.store.Tickets(), h.clock
	h.tickets = tickets.NewService(o)
	return h
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

func (h *harness) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) exec(query string, args ...any) {
	h.t.Helper()
	if _, err := h.raw.ExecContext(h.t.Context(), query, args...); err != nil {
		h.t.Fatalf("%s: %v", query, err)
	}
}

func (h *harness) upload(user int64, name string) tickets.File {
	h.t.Helper()
	f, err := h.files.Upload(h.t.Context(), user, name, "", strings.NewReader("content of "+name))
	h.must(err)
	return tickets.File{ID: f.ID, Caption: "caption of " + name}
}

// opens makes a ticket of somebody.
func (h *harness) opens(by tickets.Caller, title, text string) int64 {
	h.t.Helper()
	th, err := h.tickets.Open(h.t.Context(), by, tickets.New{Title: title, Text: text})
	h.must(err)
	return th.Ticket.ID
}

func (h *harness) replies(by tickets.Caller, id int64, text string) tickets.Ticket {
	h.t.Helper()
	t, _, err := h.tickets.Reply(h.t.Context(), by, id, text, nil)
	h.must(err)
	return t
}

func (h *harness) changes(by tickets.Caller, id int64, c tickets.Change) tickets.Ticket {
	h.t.Helper()
	t, err := h.tickets.Change(h.t.Context(), by, id, c)
	h.must(err)
	return t
}

func to[T any](v T) *T { return &v }

// heard are the events since the last call, as "type actor payload". Each is checked
// against the catalogue.
func (h *harness) heard() (lines []string) {
	h.t.Helper()
	catalogue, err := event.NewCatalogue()
	h.must(err)
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.told {
		e := &h.told[i]
		h.must(catalogue.Kind(e.Type).Check(e.Payload))
		var p struct {
			Ticket int64 `json:"ticket_id"`
		}
		h.must(json.Unmarshal(e.Payload, &p))
		if e.Stream != event.TicketStream(p.Ticket) || e.Seq != 0 || e.At != h.now.UnixMilli() {
			h.t.Errorf("event %s has stream %s, number %d, time %d", e.Type, e.Stream, e.Seq, e.At)
		}
		lines = append(lines, fmt.Sprint(e.Type, " ", e.Actor, " ", string(e.Payload)))
	}
	h.told = nil
	return lines
}

// forget leaves out what has been told so far.
func (h *harness) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told = nil
}

// hears checks what is heard.
func (h *harness) hears(want ...string) {
	h.t.Helper()
	got := h.heard()
	if len(got) != len(want) {
		h.t.Errorf("heard %d events, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
		return
	}
	for i := range want {
		if got[i] != want[i] {
			h.t.Errorf("heard %s\nwant  %s", got[i], want[i])
		}
	}
}

// failing is a store on which appending the n-th event fails, and with it the transaction.
type failing struct {
	tickets.Store
	n int
}

var errPlanted = errors.New("planted")

func (f *failing) Update(ctx context.Context, do func(tickets.Tx) error) error {
	return f.Store.Update(ctx, func(tx tickets.Tx) error { // which may happen again
		left := f.n
		return do(&failingTx{tx, &left})
	})
}

type failingTx struct {
	tickets.Tx
	left *int
}

func (f *failingTx) Append(ctx context.Context, e event.Event) error {
	if err := f.Tx.Append(ctx, e); err != nil {
		return err
	}
	if *f.left--; *f.left == 0 {
		return errPlanted
	}
	return nil
}
