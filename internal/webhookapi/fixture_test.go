package webhookapi_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/apierror"
	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/delivery/dispatch"
	"github.com/kuranty/kuranty/internal/delivery/egress"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/outbox"
	"github.com/kuranty/kuranty/internal/seal"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/webhookapi"
	"github.com/kuranty/kuranty/internal/webhooks"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// key is the credential of who may do everything.
const key = "kur_all"

// rig is a server of the endpoints on a real database.
type rig struct {
	t          *testing.T
	url        string
	store      *store.Store
	hooks      webhooks.Store
	log        *outbox.Log
	requests   *dispatch.Requests
	dispatcher *dispatch.Dispatcher
	accounts   *accounts
	kept       *keeper
	document   *document

	mu      sync.Mutex
	entries []webhooks.Entry // on record
}

type options struct {
	limit int
	// sending says that deliveries are sent.
	sending bool
}

func start(t *testing.T, o options) *rig {
	t.Helper()
	r := &rig{t: t, accounts: newAccounts(), kept: &keeper{answers: map[string]kept{}}, document: newDocument(t)}
	ready := make(chan struct{})
	var err error
	r.store, err = store.Open(t.Context(), store.Options{
		Path: filepath.Join(t.TempDir(), "k.db"), Committed: func(events []event.Event) { <-ready; r.log.Committed(events) },
	})
	if err != nil {
		t.Fatal(err)
	}
	r.log = outbox.New(r.store, outbox.Options{})
	close(ready)
	if err := r.log.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ring, err := seal.New(bytes.Repeat([]byte{7}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	client, err := egress.NewClient(egress.Options{Policy: egress.Policy{
		AllowHTTP: true, AllowNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	catalogue, err := event.NewCatalogue()
	if err != nil {
		t.Fatal(err)
	}
	signer := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, ed25519.SeedSize))
	logger := slog.New(slog.NewTextHandler(testWriter{t}, nil))
	r.requests = &dispatch.Requests{Client: client, Key: signer, Source: "test:kuranty", UserAgent: "Kuranty-Webhooks/test"}
	retries := delivery.Retries{}
	r.hooks = r.store.Webhooks(ring)
	r.dispatcher = dispatch.New(dispatch.Options{
		Store: r.store.Dispatch(ring), Log: r.log, Requests: r.requests, Catalogue: catalogue, Retries: retries, Grace: time.Second, Logger: logger,
	})
	if err := r.dispatcher.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	service := webhooks.New(webhooks.Options{
		Store: r.hooks, Catalogue: catalogue, Guard: client.Guard(), Sender: r.requests, Poke: r.dispatcher.Poke, Retries: retries, Limit: o.limit,
		PublicKey: signer.Public().(ed25519.PublicKey), Origin: "events.example.com", UserAgent: r.requests.UserAgent,
		SourceIPs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Audit: r.audit, Logger: logger,
	})
	server := httptest.NewServer(webhookapi.New(webhookapi.Options{
		Service: service, Accounts: r.accounts, Limits: r.accounts, Watch: r.accounts, Keep: r.kept.keep, Seal: ring, Logger: logger,
	}))
	r.url = server.URL
	ctx, cancel := context.WithCancel(context.Background())
	runs := []func(context.Context) error{r.log.Run}
	if o.sending {
		runs = append(runs, r.dispatcher.Run)
	}
	ended := make(chan error, len(runs))
	for _, run := range runs {
		go func() { ended <- run(ctx) }()
	}
	t.Cleanup(func() {
		server.Close()
		cancel()
		for range runs {
			if err := <-ended; err != nil {
				t.Errorf("run: %v", err)
			}
		}
		client.Close()
		if err := r.store.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// testWriter shows the log of a test that fails.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s", bytes.TrimSpace(b))
	return len(b), nil
}

func (r *rig) audit(_ context.Context, e webhooks.Entry) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries = append(r.entries, e)
	return nil
}

// recorded are the actions on record.
func (r *rig) recorded() (actions []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.entries {
		if e.Address != "127.0.0.1" {
			r.t.Errorf("%s was done from %q", e.Action, e.Address)
		}
		actions = append(actions, fmt.Sprintf("%s %d %s", e.Action, e.Webhook, e.Actor))
	}
	return actions
}

// accounts know some credentials; they also count calls and refusals.
type accounts struct {
	callers map[string]identity.Caller

	mu      sync.Mutex
	away    error
	refused int
	limited bool
}

func newAccounts() *accounts {
	service := func(id string, scopes ...string) identity.Caller {
		return identity.Caller{Service: true, Key: id, Scopes: scopes}
	}
	return &accounts{callers: map[string]identity.Caller{
		key: service("k_all", "*"), "kur_other": service("k_other", "*"),
		"kur_read": service("k_read", "webhooks:read"), "kur_write": service("k_write", "webhooks:write"),
		"kur_log": service("k_log", "webhooks:deliveries"), "kur_none": service("k_none", "events:read"),
		"admin": {User: 1, Role: identity.RoleAdmin, Session: "s_1"}, "person": {User: 2, Role: identity.RoleUser, Session: "s_2"},
	}}
}

func (a *accounts) Authenticate(_ context.Context, credential string) (identity.Caller, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.away != nil {
		return identity.Caller{}, a.away
	}
	c, ok := a.callers[credential]
	if !ok {
		return c, fmt.Errorf("%w: not known", identity.ErrUnauthorized)
	}
	return c, nil
}

func (a *accounts) User(int64) error { return a.limit() }

func (a *accounts) Stranger(string) error { return a.limit() }

func (a *accounts) limit() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.limited {
		return &apierror.Error{Code: apierror.RateLimited, RetryAfter: 7 * time.Second}
	}
	return nil
}

func (a *accounts) TokenRefused(string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refused++
}

// set changes what the accounts do.
func (a *accounts) set(change func(*accounts)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(a)
}

// keeper keeps answers as api.API.Keep does, in memory.
type keeper struct {
	mu      sync.Mutex
	answers map[string]kept
}

type kept struct {
	request string
	status  int
	body    string
}

func (k *keeper) keep(w http.ResponseWriter, r *http.Request, who string, _ bool, next func(http.ResponseWriter)) error {
	name := who + " " + r.Header.Get("Idempotency-Key")
	if strings.Contains(name, "\t") {
		return apierror.NewField("Idempotency-Key", apierror.Invalid)
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return fmt.Errorf("read body: %w", err)
	}
	request := r.Method + " " + r.URL.Path + " " + string(b)
	k.mu.Lock()
	was, known := k.answers[name]
	k.mu.Unlock()
	switch {
	case known && was.request != request:
		return apierror.New(apierror.IdempotencyConflict, nil)
	case known:
		w.Header().Set("Idempotency-Replayed", "true")
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(was.status)
		_, err := io.WriteString(w, was.body)
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(b))
	first := &recorder{ResponseWriter: w}
	next(first)
	if first.status < 300 {
		k.mu.Lock()
		k.answers[name] = kept{request, first.status, first.body.String()}
		k.mu.Unlock()
	}
	return nil
}

type recorder struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (r *recorder) WriteHeader(status int) { r.status = status; r.ResponseWriter.WriteHeader(status) }

func (r *recorder) Write(b []byte) (int, error) { r.body.Write(b); return r.ResponseWriter.Write(b) }

// got is an answer.
type got struct {
	t      *testing.T
	status int
	header http.Header
	raw    string
	body   map[string]any
}

// call makes a request with the key of who may do everything, unless header names another.
// The answer must be as the document says.
func (r *rig) call(method, path, body string, header ...string) *got {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", key)
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Authorization" {
			req.Header.Del("X-Api-Key")
		}
		if header[i+1] == "" {
			req.Header.Del(header[i])
		} else {
			req.Header.Set(header[i], header[i+1])
		}
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	g := &got{t: r.t, status: resp.StatusCode, header: resp.Header, raw: strings.TrimSpace(string(raw))}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &g.body); err != nil {
			r.t.Errorf("%s %s: %v: %q", method, path, err, raw)
		}
	}
	r.document.check(r.t, req, g)
	return g
}

// is checks the status, and that the answer has parts in it.
func (g *got) is(status int, parts ...string) *got {
	g.t.Helper()
	if g.status != status {
		g.t.Errorf("status %d, want %d: %s", g.status, status, g.raw)
	}
	for _, part := range parts {
		if !strings.Contains(g.raw, part) {
			g.t.Errorf("no %s in %s", part, g.raw)
		}
	}
	return g
}

// exactly checks the whole answer.
func (g *got) exactly(status int, body string) {
	g.t.Helper()
	if g.status != status || g.raw != body {
		g.t.Errorf("%d %s\nwant %d %s", g.status, g.raw, status, body)
	}
}

func (g *got) text(name string) string { s, _ := g.body[name].(string); return s }

func (g *got) id() int64 { n, _ := g.body["id"].(float64); return int64(n) }

// items are the elements of a page.
func (g *got) items() (all []map[string]any) {
	list, _ := g.body["items"].([]any)
	for _, v := range list {
		all = append(all, v.(map[string]any))
	}
	return all
}

// make makes a webhook with further fields, like `"secret": "s"`.
func (r *rig) make(url string, fields ...string) int64 {
	r.t.Helper()
	all := append([]string{`"name":"CRM sync"`, `"url":"` + url + `"`, `"event_type":"ticket.created"`}, fields...)
	return r.call("POST", "/webhooks", "{"+strings.Join(all, ",")+"}").is(201).id()
}

// ticket appends the event of a ticket and returns the event's id.
func (r *rig) ticket(n int64) string {
	r.t.Helper()
	e, err := event.New(event.TicketCreated, time.Now(), event.Ticket{TicketID: n, UserID: 8, Title: "Cannot pay", Status: "open", Priority: "normal"})
	if err != nil {
		r.t.Fatal(err)
	}
	e.Stream = event.TicketStream(n)
	if err := r.store.Update(r.t.Context(), func(tx *store.Tx) error { return tx.Append(r.t.Context(), e) }); err != nil {
		r.t.Fatal(err)
	}
	return e.ID
}

// await asks for a path until its answer holds.
func (r *rig) await(path string, holds func(*got) bool) *got {
	r.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		g := r.call("GET", path, "")
		if holds(g) {
			return g
		}
		if time.Now().After(end) {
			r.t.Fatalf("GET %s: not within %s; last %s", path, patience, g.raw)
		}
	}
}

// delivered waits until the newest delivery of a webhook has a status.
func (r *rig) delivered(hook int64, status string) map[string]any {
	r.t.Helper()
	return r.await(fmt.Sprintf("/webhooks/%d/deliveries", hook), func(g *got) bool {
		items := g.items()
		return len(items) > 0 && items[0]["status"] == status
	}).items()[0]
}

// receiver is a server that keeps what it gets.
type receiver struct {
	*httptest.Server
	mu  sync.Mutex
	got []exchange
}

type exchange struct {
	method string
	header http.Header
	body   string
}

// receive starts a receiver with the answers of answer; nil answers 200.
func receive(t *testing.T, answer http.HandlerFunc) *receiver {
	t.Helper()
	rc := &receiver{}
	rc.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		rc.mu.Lock()
		rc.got = append(rc.got, exchange{req.Method, req.Header.Clone(), string(body)})
		rc.mu.Unlock()
		if answer != nil {
			answer(w, req)
		}
	}))
	t.Cleanup(rc.Close)
	return rc
}

func (rc *receiver) all() []exchange {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	return append([]exchange(nil), rc.got...)
}

func answers(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

var errAway = errors.New("the database is away")
