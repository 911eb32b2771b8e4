package webhooks_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/delivery/egress"
	"github.com/kuranty/kuranty/internal/seal"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/storetest"
	"github.com/kuranty/kuranty/internal/webhooks"
	"github.com/kuranty/kuranty/webhook"
)

// receiver is a sender whose receiver answers as it is told.
type receiver struct {
	asked func()
	code  string
}

func (r *receiver) Attempt(_ context.Context, w *delivery.Webhook, _ delivery.Event, _ int64, number int, trigger delivery.Trigger) delivery.Attempt {
	if r.asked != nil {
		r.asked()
	}
	return delivery.Attempt{WebhookID: w.ID, Number: number, Trigger: trigger, Code: r.code, Message: r.code}
}

func (r *receiver) Body(w *delivery.Webhook, e delivery.Event) ([]byte, error) {
	return w.PayloadFormat.Body(&webhook.Event{Payload: e.Payload})
}

func (r *receiver) Ask(ctx context.Context, w *delivery.Webhook, _ string) delivery.Attempt {
	return r.Attempt(ctx, w, delivery.Event{}, 0, 1, delivery.TriggerTest)
}

// rig is a service on a real database.
type rig struct {
	*webhooks.Service

	t        *testing.T
	store    webhooks.Store
	receiver *receiver
	pokes    int
	audit    error
	resolved map[string][]netip.Addr

	mu  sync.Mutex
	now time.Time
}

var somebody = webhooks.By{Actor: "user:1", Address: "192.0.2.9"}

func onBoth(t *testing.T, test func(t *testing.T, r *rig)) {
	for _, driver := range []string{store.SQLite, store.Postgres} {
		t.Run(driver, func(t *testing.T) { test(t, newRig(t, storetest.Options(t, driver))) })
	}
}

func newRig(t *testing.T, o store.Options) *rig {
	t.Helper()
	db, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	ring, err := seal.New(bytes.Repeat([]byte{7}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	guard, err := egress.NewGuard(egress.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	catalogue, err := event.NewCatalogue()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, store: db.Webhooks(ring), receiver: &receiver{}, now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	r.Service = webhooks.New(webhooks.Options{
		Store: r.store, Catalogue: catalogue, Guard: guard, Sender: r.receiver, Poke: func() { r.pokes++ },
		Timeout: 7 * time.Second, Resolve: r.resolve, Audit: func(context.Context, webhooks.Entry) error { return r.audit },
		Now: r.clock, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	return r
}

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *rig) pass(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

func (r *rig) resolve(_ context.Context, host string) ([]netip.Addr, error) {
	if host == "hooks.example.net" {
		return []netip.Addr{netip.MustParseAddr("93.184.216.34")}, nil
	}
	found, ok := r.resolved[host]
	if !ok {
		return nil, errors.New("no such host")
	}
	return found, nil
}

func (r *rig) create(fields string) webhooks.View {
	r.t.Helper()
	v, err := r.Create(r.t.Context(), somebody, []byte(`{"name":"n","url":"https://hooks.example.net/in","event_type":"user.created"`+fields+`}`))
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

// What cannot be put on record is not done.
func TestWhatIsNotOnRecordIsNotDone(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		turning := r.create(`,"secret":"another-secret-of-some-length"`)
		ctx, w := t.Context(), r.create(`,"secret":"a-secret-of-some-length"`)
		if _, err := r.Rotate(ctx, somebody, turning.ID, webhook.Secret{}, time.Hour); err != nil {
			t.Fatal(err)
		}
		refused := errors.New("the audit log is full")
		r.audit, r.pokes = refused, 0
		for name, do := range map[string]func() error{
			"create": func() error {
				_, err := r.Create(ctx, somebody, []byte(`{"name":"other","url":"https://hooks.example.net/in","event_type":"user.created"}`))
				return err
			},
			"patch":  func() error { _, err := r.Patch(ctx, somebody, w.ID, []byte(`{"name":"other"}`)); return err },
			"delete": func() error { return r.Delete(ctx, somebody, w.ID) },
			"secret": func() error { _, err := r.Secret(ctx, somebody, w.ID); return err },
			"rotate": func() error { _, err := r.Rotate(ctx, somebody, w.ID, webhook.Secret{}, 0); return err },
			"end":    func() error { return r.EndRotation(ctx, somebody, turning.ID) },
			"try":    func() error { _, err := r.Try(ctx, somebody, w.ID, "", nil); return err },
		} {
			if err := do(); !errors.Is(err, refused) {
				t.Errorf("%s: %v", name, err)
			}
		}
		page, total, err := r.List(ctx, webhooks.Query{Limit: 10}, "")
		if err != nil || total != 2 || page[0].Name != "n" || page[0].Secret.Reveal() != "a-secret-of-some-length" || r.pokes != 0 {
			t.Errorf("%d webhooks %v, %d pokes: %v", total, page, r.pokes, err)
		}
	})
}

// Hosts are looked up once for a quick answer; that it fails is a warning.
func TestHostsAreLookedUp(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		private, public := netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("93.184.216.34")
		r.resolved = map[string][]netip.Addr{"inside.example.net": {private}, "both.example.net": {private, public}}
		post := func(host string) (webhooks.View, error) {
			return r.Create(t.Context(), somebody, []byte(`{"name":"n","event_type":"user.created","url":"https://`+host+`/"}`))
		}
		var invalid *delivery.InvalidError
		if _, err := post("inside.example.net"); !errors.As(err, &invalid) || strings.Contains(err.Error(), "10.0.0") {
			t.Errorf("a private host: %v", err)
		}
		if v, err := post("both.example.net"); err != nil || len(v.Warnings) != 0 {
			t.Errorf("a host that can be reached: %v, %v", v.Warnings, err)
		}
		if v, err := post("93.184.55394"); err != nil || len(v.Warnings) != 0 {
			t.Errorf("an address is looked up: %v, %v", v.Warnings, err)
		}
		if v, err := post("nowhere.example.net"); err != nil || !slices.Equal(v.Warnings, []string{`the host "nowhere.example.net" cannot be resolved now`}) {
			t.Errorf("a host that is not there: %v, %v", v.Warnings, err)
		}
	})
}

// A webhook without a time of its own has the configuration's, which owners are told, too.
func TestTimeoutOfTheConfiguration(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		own := r.create(`,"timeout_ms":3000`)
		if w := r.create(``); w.Timeout != 7*time.Second || own.Timeout != 3*time.Second || r.Meta().Timeout != 7*time.Second {
			t.Errorf("%v, its own %v, told %v", w.Timeout, own.Timeout, r.Meta().Timeout)
		}
		if w, err := r.Patch(t.Context(), somebody, own.ID, []byte(`{"timeout_ms":""}`)); err != nil || w.Timeout != 7*time.Second {
			t.Errorf("%v, %v", w.Timeout, err)
		}
	})
}

// An answer counts for what was asked: who changed the URL meanwhile asks again.
func TestVerificationIsOfWhatWasAsked(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		r.receiver.asked = func() {
			r.receiver.asked = nil
			page, _, err := r.store.List(ctx, webhooks.Query{Limit: 1})
			if err == nil {
				_, err = r.store.Change(ctx, page[0].ID, func(w *delivery.Webhook) error { w.URL += "/moved"; return nil })
			}
			if err != nil {
				t.Error(err)
			}
		}
		v := r.create(`,"verify":"ping"`)
		if v.IsActive || !strings.HasSuffix(v.URL, "/moved") || len(v.Warnings) != 1 || !strings.Contains(v.Warnings[0], "changed meanwhile") {
			t.Errorf("active %v at %s, %v", v.IsActive, v.URL, v.Warnings)
		}
		v, err := r.Patch(ctx, somebody, v.ID, []byte(`{"is_active":true}`))
		if err != nil || !v.IsActive || len(v.Warnings) != 0 {
			t.Errorf("asked again: %v, %v, %v", v.IsActive, v.Warnings, err)
		}
	})
}

// The clock decides when the test button and a rotation are over.
func TestTheClock(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx, w := t.Context(), r.create(`,"secret":"a-secret-of-some-length"`)
		if _, err := r.Try(ctx, somebody, w.ID, "", nil); err != nil {
			t.Fatal(err)
		}
		r.pass(999 * time.Millisecond)
		if _, err := r.Try(ctx, somebody, w.ID, "", nil); !errors.Is(err, webhooks.ErrTooSoon) {
			t.Errorf("within a second: %v", err)
		}
		r.pass(time.Millisecond)
		if _, err := r.Try(ctx, somebody, w.ID, "", nil); err != nil {
			t.Errorf("after a second: %v", err)
		}
		first, err := r.Rotate(ctx, somebody, w.ID, webhook.Secret{}, time.Hour)
		if err != nil || first.Previous != "a-secret-of-some-length" || !first.Until.Equal(r.clock().Add(time.Hour)) {
			t.Errorf("rotated: %+v, %v", first, err)
		}
		r.pass(time.Hour - time.Second)
		if _, err := r.Rotate(ctx, somebody, w.ID, webhook.Secret{}, time.Hour); !errors.Is(err, webhooks.ErrRotating) {
			t.Errorf("before the end: %v", err)
		}
		r.pass(time.Second)
		if s, err := r.Secret(ctx, somebody, w.ID); err != nil || s.Secret != first.Secret || s.Previous != "" {
			t.Errorf("at the end: %+v, %v", s, err)
		}
		if s, err := r.Rotate(ctx, somebody, w.ID, webhook.Secret{}, 0); err != nil || s.Previous != "" || s.Secret == first.Secret {
			t.Errorf("after the end: %+v, %v", s, err)
		}
	})
}
