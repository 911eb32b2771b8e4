package trust_test

import (
	"context"
	"crypto/ed25519"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/storetest"
	"github.com/kuranty/kuranty/internal/trust"
)

// network is a service on a real database, with people who have accounts.
type network struct {
	*trust.Service
	t        *testing.T
	store    *store.Store
	accounts *identity.Accounts
	driver   string // of database/sql, with dsn
	dsn      string

	mu      sync.Mutex
	now     time.Time
	events  []event.Event
	mail    []trust.Mail
	mailing error
	made    int
}

// onBoth runs a test on SQLite and on PostgreSQL.
func onBoth(t *testing.T, test func(t *testing.T, n *network)) {
	for _, driver := range []string{store.SQLite, store.Postgres} {
		t.Run(driver, func(t *testing.T) { test(t, open(t, driver, trust.Options{})) })
	}
}

func open(t *testing.T, driver string, o trust.Options) *network {
	t.Helper()
	n := &network{t: t, now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), driver: "sqlite"}
	so := storetest.Options(t, driver)
	so.Clock, so.Logger = n.clock, slog.New(slog.DiscardHandler)
	so.Committed = func(es []event.Event) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.events = append(n.events, es...)
	}
	n.dsn = "file:" + so.Path + "?_pragma=busy_timeout(5000)"
	if driver == store.Postgres {
		n.driver, n.dsn = "pgx", so.DSN
	}
	var err error
	n.store, err = store.Open(t.Context(), so)
	n.must(err)
	t.Cleanup(func() { n.store.Close() })
	n.accounts, err = identity.NewAccounts(n.store.Accounts(), identity.Options{
		Now: n.clock, Secret: strings.Repeat("s", 32), Passwords: identity.PasswordOptions{Memory: 19 << 10}, Limits: identity.Limits{Registrations: 1000},
	})
	n.must(err)
	o.Store, o.Clock, o.Secret, o.Logger = n.store.Trust(), n.clock, []byte(strings.Repeat("t", 32)), slog.New(slog.DiscardHandler)
	o.Mailer = func(_ context.Context, m trust.Mail) error {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.mail = append(n.mail, m)
		return n.mailing
	}
	n.Service, err = trust.New(o)
	n.must(err)
	return n
}

func (n *network) clock() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.now
}

func (n *network) pass(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.now = n.now.Add(d)
}

func (n *network) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

// exec changes what no rule changes.
func (n *network) exec(query string, args ...any) {
	n.t.Helper()
	db, err := sql.Open(n.driver, n.dsn)
	n.must(err)
	defer db.Close()
	_, err = db.ExecContext(n.t.Context(), query, args...)
	n.must(err)
}

// member is somebody with an account and, once published, an identity.
type member struct {
	trust.Caller
	ID   string // of the identity
	name string
	key  ed25519.PrivateKey
}

// person makes an account.
func (n *network) person() *member {
	n.t.Helper()
	n.made++
	name := fmt.Sprintf("anna%d", n.made)
	g, err := n.accounts.Register(n.t.Context(), identity.NewAccount{Name: "Анна", Username: name, Email: name + "@example.org", Password: "correct horse battery"})
	n.must(err)
	seed := make([]byte, ed25519.SeedSize)
	copy(seed, name)
	id := g.Account.ID
	return &member{Caller: trust.Caller{User: id, Actor: event.User(id)}, name: name, key: ed25519.NewKeyFromSeed(seed)}
}

func (m *member) public() string {
	return base64.StdEncoding.EncodeToString(m.key.Public().(ed25519.PublicKey))
}

func (m *member) fingerprint() string { return trust.Fingerprint(m.key.Public().(ed25519.PublicKey)) }

// member makes an account with an identity.
func (n *network) member() *member {
	n.t.Helper()
	m := n.person()
	i, err := n.Create(n.t.Context(), m.Caller, trust.NewIdentity{Username: m.name, DisplayName: "Анна С.", PublicKey: m.public()})
	n.must(err)
	m.ID = i.ID
	return m
}

var operator = trust.Caller{Operator: true, Actor: event.Service("k_1")}

// begin begins a verification that must be possible.
func (n *network) begin(by trust.Caller, typ, of string) trust.Verification {
	n.t.Helper()
	v, err := n.Begin(n.t.Context(), by, trust.NewVerification{Type: typ, Identity: of})
	n.must(err)
	return v
}

// sign proves the key of m.
func (n *network) sign(m *member) trust.Verification {
	n.t.Helper()
	v := n.begin(m.Caller, trust.Challenge, "")
	v, err := n.Confirm(n.t.Context(), m.Caller, v.ID, trust.Proof{Signature: m.signature(v.Challenge)})
	n.must(err)
	return v
}

func (m *member) signature(text string) string {
	return base64.StdEncoding.EncodeToString(ed25519.Sign(m.key, []byte(text)))
}

// seen is how an identity is now.
func (n *network) seen(id string) trust.Identity {
	n.t.Helper()
	i, err := n.Identity(n.t.Context(), id)
	n.must(err)
	return i
}

// status is the state of a verification.
func (n *network) status(id string) string {
	n.t.Helper()
	v, err := n.Verification(n.t.Context(), operator, id)
	n.must(err)
	return v.Status
}

// happened are the trust events since the last call, checked against their schemas.
func (n *network) happened() (list []event.Event) {
	n.t.Helper()
	catalogue, err := event.NewCatalogue()
	n.must(err)
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.events {
		if !strings.HasPrefix(e.Type, "trust.") {
			continue
		}
		k := catalogue.Kind(e.Type)
		if err := k.Check(e.Payload); err != nil {
			n.t.Errorf("%s: %v", e.Type, err)
		}
		public, err := k.Public(&e)
		if err != nil || string(public) != string(e.Payload) {
			n.t.Errorf("%s is shown as %s, %v", e.Type, public, err)
		}
		list = append(list, e)
	}
	n.events = nil
	return list
}

// told compares the events since the last call: their types without "trust.", by whom, and
// members of the payload.
func (n *network) told(want ...string) {
	n.t.Helper()
	var got []string
	for _, e := range n.happened() {
		var p map[string]any
		n.must(json.Unmarshal(e.Payload, &p))
		line := strings.TrimPrefix(e.Type, "trust.") + " " + e.Actor
		for _, name := range []string{"verificationType", "status", "confidence", "verificationLevel", "changes", "previousScore", "score", "level", "reason"} {
			if v, there := p[name]; there {
				line += fmt.Sprintf(" %s=%v", name, v)
			}
		}
		got = append(got, line)
	}
	if !slices.Equal(got, want) {
		n.t.Errorf("told\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// wants checks which error it is.
func wants[E error](t *testing.T, what string, err error) (e E) {
	t.Helper()
	if !errors.As(err, &e) {
		t.Errorf("%s: %v, want %T", what, err, e)
	}
	return e
}

func is(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}
