package status_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/status"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/storetest"
)

// onBoth runs a test on both databases.
func onBoth(t *testing.T, test func(t *testing.T, o store.Options)) {
	for _, driver := range []string{store.SQLite, store.Postgres} {
		t.Run(driver, func(t *testing.T) { test(t, storetest.Options(t, driver)) })
	}
}

// node is a process with a status of its own.
type node struct {
	*status.Service
	t     testing.TB
	store *store.Store
	probe map[string]*component

	mu     sync.Mutex
	now    time.Time
	events []event.Event
}

// component is a probe that says what it is told to.
type component struct {
	name   string
	state  status.State
	detail string
}

func (c *component) Name() string                                  { return c.name }
func (c *component) Status(context.Context) (status.State, string) { return c.state, c.detail }

func start(t testing.TB, o store.Options) *node {
	t.Helper()
	n := &node{t: t, now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), probe: make(map[string]*component)}
	o.Clock, o.Logger = n.clock, slog.New(slog.DiscardHandler)
	o.Committed = func(es []event.Event) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.events = append(n.events, es...)
	}
	var err error
	if n.store, err = store.Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.store.Close() })
	n.Service = status.New(n.options(n.store.StatusPage()))
	return n
}

// options have three components, which are as the node's probe says.
func (n *node) options(s status.Store) status.Options {
	var probes []status.Probe
	for _, name := range []string{"database", "broker", "log"} {
		n.probe[name] = &component{name: name, state: status.Operational}
		probes = append(probes, n.probe[name])
	}
	return status.Options{Store: s, Probes: probes, Clock: n.clock}
}

func (n *node) clock() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.now
}

func (n *node) advance(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.now = n.now.Add(d)
}

// sample lets 5 s pass before each of some samples.
func (n *node) sample(times int) {
	for range times {
		n.advance(5 * time.Second)
		n.Sample(n.t.Context())
	}
}

// told returns the events since it was called last, each as its payload with its type and
// actor, after a check against the catalogue.
func (n *node) told() []map[string]any {
	n.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	catalogue, err := event.NewCatalogue()
	if err != nil {
		n.t.Fatal(err)
	}
	told := []map[string]any{}
	for _, e := range n.events {
		public, err := catalogue.Kind(e.Type).Public(&e)
		if err != nil {
			n.t.Fatal(err)
		}
		if err := catalogue.Kind(e.Type).Check(public); err != nil {
			n.t.Errorf("%s: %v", e.Type, err)
		}
		m := map[string]any{}
		if err := json.Unmarshal(public, &m); err != nil {
			n.t.Fatal(err)
		}
		m["type"], m["actor"], m["at"] = e.Type, e.Actor, e.At
		told = append(told, m)
	}
	n.events = nil
	return told
}

func (n *node) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}
