package dispatch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/delivery/dispatch"
	"github.com/kuranty/kuranty/internal/delivery/egress"
	"github.com/kuranty/kuranty/internal/outbox"
	"github.com/kuranty/kuranty/internal/seal"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/storetest"
	"github.com/kuranty/kuranty/internal/webhooks"
	"github.com/kuranty/kuranty/webhook"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// rig is a database with a log and a dispatcher on it.
type rig struct {
	t          testing.TB
	store      *store.Store
	hooks      webhooks.Store
	log        *outbox.Log
	options    dispatch.Options
	dispatcher *dispatch.Dispatcher
	stop       func()
	ring       *seal.Ring
}

func onBoth(t *testing.T, test func(t *testing.T, r *rig)) {
	for _, driver := range []string{store.SQLite, store.Postgres} {
		t.Run(driver, func(t *testing.T) { test(t, newRig(t, storetest.Options(t, driver))) })
	}
}

func newRig(t testing.TB, o store.Options) *rig {
	t.Helper()
	r := &rig{t: t}
	ready := make(chan struct{})
	o.Committed = func(events []event.Event) { <-ready; r.log.Committed(events) }
	var err error
	if r.store, err = store.Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	r.log = outbox.New(r.store, outbox.Options{})
	close(ready)
	if err := r.log.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.log.Run(ctx) }()
	t.Cleanup(func() {
		r.halt()
		cancel()
		if err := errors.Join(<-ended, r.store.Close()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	if r.ring, err = seal.New(bytes.Repeat([]byte{7}, 32)); err != nil {
		t.Fatal(err)
	}
	r.hooks = r.store.Webhooks(r.ring)
	client, err := egress.NewClient(egress.Options{Policy: egress.Policy{
		AllowHTTP: true, AllowNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	catalogue, err := event.NewCatalogue()
	if err != nil {
		t.Fatal(err)
	}
	r.options = dispatch.Options{
		Store: r.store.Dispatch(r.ring), Log: r.log, Catalogue: catalogue,
		Requests: &dispatch.Requests{Client: client, Source: "test:kuranty", UserAgent: "Kuranty-Webhooks/test"},
		Grace:    time.Second, Logger: slog.New(slog.NewTextHandler(testWriter{t}, nil)),
	}
	return r
}

// testWriter shows the log of a test that fails.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s", bytes.TrimSpace(b))
	return len(b), nil
}

// run starts sending.
func (r *rig) run() {
	r.dispatcher = dispatch.New(r.options)
	if err := r.dispatcher.Load(context.Background()); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.dispatcher.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Errorf("run: %v", err)
		}
	})
}

// halt stops sending.
func (r *rig) halt() {
	if r.stop != nil {
		r.stop()
		r.stop = nil
	}
}

// webhook stores a webhook to a URL, after changes.
func (r *rig) webhook(url string, changes ...func(*delivery.Webhook)) *delivery.Webhook {
	r.t.Helper()
	c, err := delivery.ParseCreate([]byte(`{"name":"test","url":"`+url+`","event_type":"ticket.*"}`), delivery.Rules{})
	if err != nil {
		r.t.Fatal(err)
	}
	w := c.Webhook(time.Now().UTC())
	w.RetrySchedule = delivery.Schedule{20 * time.Millisecond, 20 * time.Millisecond}
	for _, change := range changes {
		change(&w)
	}
	if err := r.hooks.Create(r.t.Context(), &w, 1000); err != nil {
		r.t.Fatal(err)
	}
	if r.dispatcher != nil {
		r.dispatcher.Poke()
	}
	return &w
}

// change changes a webhook as its owner would.
func (r *rig) change(id int64, change func(*delivery.Webhook)) {
	r.t.Helper()
	if _, err := r.hooks.Change(r.t.Context(), id, func(w *delivery.Webhook) error { change(w); return nil }); err != nil {
		r.t.Fatal(err)
	}
	r.dispatcher.Poke()
}

func types(all ...string) func(*delivery.Webhook) {
	return func(w *delivery.Webhook) { w.EventTypes = all }
}

func signedBy(secret string) func(*delivery.Webhook) {
	return func(w *delivery.Webhook) { w.Secret, _ = webhook.ParseSecret(secret) }
}

// ticket appends the event of a ticket and returns the event's id.
func (r *rig) ticket(n int64) string {
	r.t.Helper()
	e, err := event.New(event.TicketCreated, time.Now(), event.Ticket{TicketID: n, UserID: 8, Title: "Привет", Status: "open", Priority: "normal"})
	if err != nil {
		r.t.Fatal(err)
	}
	e.Stream = event.TicketStream(n)
	if err := r.store.Update(r.t.Context(), func(tx *store.Tx) error { return tx.Append(r.t.Context(), e) }); err != nil {
		r.t.Fatal(err)
	}
	return e.ID
}

// deliveries returns those of a webhook, newest first.
func (r *rig) deliveries(id int64) []webhooks.Delivery {
	r.t.Helper()
	return r.deliveriesIn(id, "")
}

// deliveriesIn returns those in a state.
func (r *rig) deliveriesIn(id int64, state delivery.State) []webhooks.Delivery {
	r.t.Helper()
	all, _, err := r.hooks.Deliveries(r.t.Context(), id, webhooks.DeliveryQuery{State: state, Limit: 200})
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

// await waits until a condition holds.
func (r *rig) await(what string, holds func() bool) {
	r.t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// state waits until the only delivery of a webhook is in a state, and returns it.
func (r *rig) state(id int64, want delivery.State) (d webhooks.Delivery) {
	r.t.Helper()
	r.await("delivery "+string(want), func() bool {
		all := r.deliveries(id)
		if len(all) == 1 {
			d = all[0]
		}
		return d.State == want
	})
	return d
}

// exchange is a request that a receiver got.
type exchange struct {
	header http.Header
	body   []byte
	at     time.Time
}

func (e *exchange) ticket() int64 {
	var p struct {
		ID int64 `json:"ticket_id"`
	}
	_ = json.Unmarshal(e.body, &p)
	return p.ID
}

// receiver is a server that keeps what it gets.
type receiver struct {
	*httptest.Server
	mu  sync.Mutex
	got []exchange
}

// receive starts a receiver whose answers are those of answer; nil answers 200.
func receive(t *testing.T, answer func(n int, w http.ResponseWriter, req *http.Request)) *receiver {
	t.Helper()
	rc := &receiver{}
	rc.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		rc.mu.Lock()
		rc.got = append(rc.got, exchange{req.Header.Clone(), body, time.Now()})
		n := len(rc.got)
		rc.mu.Unlock()
		if answer != nil {
			answer(n, w, req)
		}
	}))
	t.Cleanup(rc.Close)
	return rc
}

// refuse starts a receiver that answers with a status until it is mended.
func refuse(t *testing.T, code int) (rc *receiver, mend func()) {
	t.Helper()
	var mended atomic.Bool
	rc = receive(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		if !mended.Load() {
			w.WriteHeader(code)
		}
	})
	return rc, func() { mended.Store(true) }
}

func (rc *receiver) all() []exchange {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	return append([]exchange(nil), rc.got...)
}

func (rc *receiver) count() int { return len(rc.all()) }
