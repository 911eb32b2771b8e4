package identity_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/clocktest"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/storetest"
)

// cheap is the least that passwords may cost.
var cheap = identity.PasswordOptions{Memory: 19 << 10}

const goodPassword = "верная лошадь-скрепка"

// harness is accounts in a real database, with a clock of its own.
type harness struct {
	*identity.Accounts
	t     *testing.T
	store *store.Store

	mu     sync.Mutex
	now    time.Time
	events []event.Event
	mail   chan identity.Mail
}

// each runs a test on both databases. o may be nil.
func each(t *testing.T, o func(*identity.Options), f func(*testing.T, *harness)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); f(t, newHarness(t, store.SQLite, o)) })
	t.Run("postgres", func(t *testing.T) { t.Parallel(); f(t, newHarness(t, store.Postgres, o)) })
}

func newHarness(t *testing.T, driver string, change func(*identity.Options)) *harness {
	t.Helper()
	h := &harness{t: t, now: time.Now(), mail: make(chan identity.Mail, 100)}
	so := storetest.Options(t, driver)
	so.Clock, so.Logger = h.clock, slog.New(slog.NewTextHandler(io.Discard, nil))
	so.Committed = func(events []event.Event) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.events = append(h.events, events...)
	}
	var err error
	if h.store, err = store.Open(t.Context(), so); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.store.Close() })
	h.Accounts = h.node(change)
	return h
}

// node is another server on the same database.
func (h *harness) node(change func(*identity.Options)) *identity.Accounts {
	h.t.Helper()
	o := identity.Options{
		Now: h.clock, Passwords: cheap, Secret: strings.Repeat("s", 32), Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Mailer: func(_ context.Context, m identity.Mail) error { h.mail <- m; return nil },
	}
	if change != nil {
		change(&o)
	}
	a, err := identity.NewAccounts(h.store.Accounts(), o)
	if err != nil {
		h.t.Fatal(err)
	}
	return a
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

// set puts the date forth or back, as somebody does who sets the machine's clock.
func (h *harness) set(by time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = clocktest.Set(h.t, h.now, by)
}

// run has mail sent until the test ends.
func (h *harness) run() {
	ctx, cancel := context.WithCancel(h.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = h.Run(ctx) })
	h.t.Cleanup(func() { cancel(); wg.Wait() })
}

// flush has written what Run writes when it ends.
func (h *harness) flush() {
	h.t.Helper()
	ctx, cancel := context.WithCancel(h.t.Context())
	cancel()
	if err := h.Run(ctx); err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) register(username string) identity.Grant {
	h.t.Helper()
	g, err := h.Register(h.t.Context(), identity.NewAccount{
		Name: username, Username: username, Email: username + "@example.com", Password: goodPassword,
		Device: identity.Device{Name: "phone", Platform: "ios", Address: "192.0.2." + fmt.Sprint(len(username)), UserAgent: "test"},
	})
	if err != nil {
		h.t.Fatalf("register %s: %v", username, err)
	}
	return g
}

func (h *harness) login(username string) identity.Grant {
	h.t.Helper()
	g, err := h.Login(h.t.Context(), username, goodPassword, identity.Device{})
	if err != nil {
		h.t.Fatalf("log in %s: %v", username, err)
	}
	return g
}

func (h *harness) admin() identity.Caller {
	h.t.Helper()
	acc, _, err := h.EnsureAdmin(h.t.Context(), identity.NewAccount{Username: "root", Password: goodPassword})
	if err != nil {
		h.t.Fatal(err)
	}
	if acc.ID == 0 {
		h.t.Fatal("there is an administrator already")
	}
	return h.caller(h.login("root"))
}

func (h *harness) caller(g identity.Grant) identity.Caller {
	h.t.Helper()
	c, err := h.Authenticate(h.t.Context(), g.AccessToken)
	if err != nil {
		h.t.Fatalf("access token of %s: %v", g.Account.Name, err)
	}
	return c
}

// want fails the test unless err is want; nil wants none.
func (h *harness) want(what string, err, want error) {
	h.t.Helper()
	if !is(err, want) {
		h.t.Errorf("%s: error %v, want %v", what, err, want)
	}
}

func (h *harness) wantField(what string, err error, field, reason string) {
	h.t.Helper()
	var f *identity.FieldError
	if !errors.As(err, &f) || f.Field != field || f.Reason != reason {
		h.t.Errorf("%s: error %v, want %s %s", what, err, field, reason)
	}
}

func (h *harness) wantTaken(what string, err error, field string) {
	h.t.Helper()
	var f *identity.TakenError
	if !errors.As(err, &f) || f.Field != field {
		h.t.Errorf("%s: error %v, want %s is taken", what, err, field)
	}
}

// limited tells whether err is a *LimitedError, and for how long.
func limited(err error) time.Duration {
	var l *identity.LimitedError
	if errors.As(err, &l) {
		return l.RetryAfter
	}
	return 0
}

// take returns the events since the last call, as "type stream#seq actor payload".
func (h *harness) take() (list []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		list = append(list, fmt.Sprintf("%s %s#%d %s %s", e.Type, e.Stream, e.Seq, e.Actor, e.Payload))
	}
	h.events = nil
	return list
}

// payloads returns the payloads of the events of one type since the last take.
func (h *harness) payloads(typ string) (list []map[string]any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		if e.Type != typ {
			continue
		}
		var p map[string]any
		if err := json.Unmarshal(e.Payload, &p); err != nil {
			h.t.Fatal(err)
		}
		list = append(list, p)
	}
	return list
}

func text(s string) *string { return &s }
