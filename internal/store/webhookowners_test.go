package store_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/seal"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/webhooks"
	"github.com/kuranty/kuranty/webhook"
)

// A webhook is read as it was stored: absent, empty and full settings, secrets, and how it
// does.
func TestAWebhookIsKeptAsItWas(t *testing.T) {
	onHooks(t, func(t *testing.T, h *hooks) {
		text := cmp.Comparer(func(a, b webhook.Secret) bool { return a.Reveal() == b.Reveal() })
		same := func(w *delivery.Webhook) {
			t.Helper()
			got, err := h.owners.Webhook(t.Context(), w.ID)
			if diff := cmp.Diff(*w, got, text); err != nil || diff != "" {
				t.Errorf("webhook %d is read otherwise (%v):\n%s", w.ID, err, diff)
			}
			if _, err := delivery.NewMatcher(&got); err != nil {
				t.Errorf("webhook %d: %v", w.ID, err)
			}
		}
		plain := h.webhook()
		same(plain)
		full := h.webhook(func(w *delivery.Webhook) {
			w.Name, w.Description, w.EventTypes = "Касса «1»", "line\nbreak", []string{"payment.*", "*.created"}
			w.Filter = []byte(`{"payload.user_id":{"$in":[1,2.0]}}`)
			w.Secret, w.PreviousSecret, w.PreviousUntil = webhook.NewSecret(), secret(t, "x"), h.now.Add(time.Hour)
			w.SignatureScheme, w.PayloadFormat, w.CEHeaders = delivery.SchemeBoth, webhook.FormatCloudEvents, true
			w.Headers = map[string]string{"X-Pass": "word", "X-Other": ""}
			w.Timeout, w.RateLimit, w.MaxInFlight = 3*time.Second, &delivery.RateLimit{Max: 5, PerSeconds: 60}, 7
			w.Ordering, w.OnExhausted, w.RetrySchedule = delivery.OrderKey, delivery.ExhaustedBlock, delivery.Schedule{}
			w.TLS = &delivery.TLS{ClientCert: "cert", ClientKey: "key", CA: "ca"}
			w.Metadata, w.Verify = []byte(`{"a":150.0}`), delivery.VerifyPing
		})
		same(full)
		changed, err := h.owners.Change(t.Context(), full.ID, func(w *delivery.Webhook) error {
			w.RetrySchedule = delivery.Schedule{time.Second, 0, time.Hour}
			w.Secret, w.Headers, w.TLS, w.Filter = webhook.Secret{}, map[string]string{}, nil, nil
			w.SuccessCount, w.FailureCount, w.LastTriggeredAt, w.HeldUntil = 3, 4, h.now, h.now.Add(time.Minute)
			w.IsActive, w.UpdatedAt = false, h.now.Add(time.Second)
			w.Health = delivery.Health{
				ConsecutiveFailures: 9, FirstFailureAt: h.now, Blocked: 1, Warned: 50, DisabledAt: h.now, Reason: delivery.ReasonGone, Flaps: []time.Time{h.now},
			}
			w.Circuit = delivery.Circuit{Failures: []time.Time{h.now}, OpenUntil: h.now.Add(time.Minute), Opening: 30 * time.Second, Drain: 2, Successes: 3}
			return nil
		})
		h.must(err)
		same(&changed)
		same(plain)
		refused := errors.New("refused")
		if _, err := h.owners.Change(t.Context(), plain.ID, func(w *delivery.Webhook) error { w.Name = "other"; return refused }); !errors.Is(err, refused) {
			t.Errorf("a refused change returned %v", err)
		}
		same(plain)
	})
}

func TestWebhooksAreBoundedAndRemoved(t *testing.T) {
	onHooks(t, func(t *testing.T, h *hooks) {
		ctx := t.Context()
		version := h.version()
		moved := func(what string) {
			t.Helper()
			now := h.version()
			if now == version {
				t.Errorf("%s: the version stays %d", what, now)
			}
			if alone, err := h.sending.Version(ctx); err != nil || alone != now {
				t.Errorf("%s: version %d, by itself %d (%v)", what, now, alone, err)
			}
			version = now
		}
		a, b := h.webhook(), h.webhook()
		moved("made")
		extra := *a
		if err := h.owners.Create(ctx, &extra, 2); !errors.Is(err, webhooks.ErrTooMany) {
			t.Errorf("a third of two: %v", err)
		}
		if _, err := h.owners.Change(ctx, a.ID, func(w *delivery.Webhook) error { w.Name = "new"; return nil }); err != nil {
			t.Error(err)
		}
		moved("changed")
		d := h.deliver(a.ID, delivery.StateQueued, "")[0]
		h.must(h.owners.Delete(ctx, a.ID))
		moved("removed")
		_, errGet := h.owners.Webhook(ctx, a.ID)
		_, errChange := h.owners.Change(ctx, a.ID, func(*delivery.Webhook) error { return nil })
		_, _, errList := h.owners.Deliveries(ctx, a.ID, webhooks.DeliveryQuery{Limit: 10})
		for what, err := range map[string]error{"read": errGet, "change": errChange, "list": errList, "remove": h.owners.Delete(ctx, a.ID)} {
			if !errors.Is(err, webhooks.ErrNotFound) {
				t.Errorf("%s a removed webhook: %v", what, err)
			}
		}
		if _, err := h.owners.Delivery(ctx, a.ID, d.ID); !errors.Is(err, webhooks.ErrNoDelivery) {
			t.Errorf("a delivery of a removed webhook: %v", err)
		}
		if totals, err := h.owners.Totals(ctx); err != nil || totals != (webhooks.Totals{Webhooks: 1, Active: 1}) {
			t.Errorf("totals %+v, %v", totals, err)
		}
		all, _, err := h.sending.Webhooks(ctx)
		if err != nil || len(all) != 1 || all[0].ID != b.ID {
			t.Errorf("webhooks %v, %v", all, err)
		}
		next := h.webhook()
		if next.ID <= b.ID {
			t.Errorf("webhook %d is made after %d", next.ID, b.ID)
		}
	})
}

func TestWebhooksAreListed(t *testing.T) {
	onHooks(t, func(t *testing.T, h *hooks) {
		a := h.webhook(func(w *delivery.Webhook) { w.EventTypes = []string{"ticket.*", "user.created"} })
		h.now = h.now.Add(time.Second)
		b := h.webhook(func(w *delivery.Webhook) { w.EventTypes, w.IsActive = []string{"user.created"}, false })
		c := h.webhook(func(w *delivery.Webhook) { w.EventTypes = []string{`a"b`} }) // at the same time as b
		yes, no := true, false
		for _, q := range []struct {
			webhooks.Query
			want  []int64
			total int
		}{
			{webhooks.Query{}, []int64{c.ID, b.ID, a.ID}, 3},
			{webhooks.Query{Limit: 1, Offset: 1}, []int64{b.ID}, 3},
			{webhooks.Query{Offset: 3}, nil, 3},
			{webhooks.Query{EventType: "user.created"}, []int64{b.ID, a.ID}, 2},
			{webhooks.Query{EventType: "user.%"}, nil, 0},
			{webhooks.Query{EventType: `a"b`}, []int64{c.ID}, 1},
			{webhooks.Query{IsActive: &yes}, []int64{c.ID, a.ID}, 2},
			{webhooks.Query{IsActive: &no, EventType: "user.created"}, []int64{b.ID}, 1},
			{webhooks.Query{IDs: []int64{a.ID, c.ID, 99}}, []int64{c.ID, a.ID}, 2},
			{webhooks.Query{IDs: []int64{}}, nil, 0},
		} {
			if q.Limit == 0 {
				q.Limit = 50
			}
			page, total, err := h.owners.List(t.Context(), q.Query)
			var got []int64
			for _, w := range page {
				got = append(got, w.ID)
			}
			if err != nil || !slices.Equal(got, q.want) || total != q.total {
				t.Errorf("%+v: %v of %d (%v), want %v of %d", q.Query, got, total, err, q.want, q.total)
			}
		}
	})
}

// canary is what must not be found.
const canary = "zebrafinch"

func secretive(t testing.TB) func(*delivery.Webhook) {
	return func(w *delivery.Webhook) {
		w.Secret, w.PreviousSecret, w.PreviousUntil = secret(t, canary+"-now"), secret(t, canary+"-before"), w.CreatedAt.Add(time.Hour)
		w.Headers = map[string]string{"Authorization": "Bearer " + canary}
		w.TLS = &delivery.TLS{ClientKey: canary}
	}
}

// Nothing that signs or opens a receiver is readable in a backup, nor what seals it; and who
// restores one on either database has all of it, with the key.
func TestS34_SecretsOfWebhooksAreSealed(t *testing.T) {
	onHooks(t, func(t *testing.T, h *hooks) {
		w := h.webhook(secretive(t))
		h.deliver(w.ID, delivery.StateQueued, "ticket:1")
		var archive bytes.Buffer
		if _, err := h.store.Backup(t.Context(), &archive, nil); err != nil {
			t.Fatal(err)
		}
		if text := unzipped(t, archive.Bytes()); strings.Contains(text, canary) || !strings.Contains(text, w.URL) {
			t.Error("the backup reveals a secret, or has no webhook")
		}
		onBoth(t, func(t *testing.T, o store.Options) {
			to := open(t, o)
			if _, err := to.Restore(t.Context(), bytes.NewReader(archive.Bytes()), int64(archive.Len()), t.TempDir()); err != nil {
				t.Fatal(err)
			}
			got, err := to.Webhooks(ringOf(t, 1)).Webhook(t.Context(), w.ID)
			if err != nil || got.Secret.Reveal() != canary+"-now" || got.TLS.ClientKey != canary {
				t.Errorf("restored %+v, %v", got, err)
			}
			fresh := got
			h.must(to.Webhooks(ringOf(t, 1)).Create(t.Context(), &fresh, 10))
			if fresh.ID <= w.ID {
				t.Errorf("the next webhook has id %d after %d", fresh.ID, w.ID)
			}
			if got, err := to.Dispatch(ringOf(t, 1)).Claim(t.Context(), h.now, h.now, wants(&fresh, w)); err != nil || len(got) != 1 {
				t.Errorf("claimed %v, %v", got, err)
			}
		})
	})
}

// The key is replaced while everything runs: what the old one sealed can be read as long as
// it is given, and without it once all has been sealed again.
func TestS34_KeysOfWebhooksAreReplaced(t *testing.T) {
	onHooks(t, func(t *testing.T, h *hooks) {
		ctx := t.Context()
		for range 5 {
			h.webhook(secretive(t))
		}
		before, newer, both := ringOf(t, 1), ringOf(t, 2), ringOf(t, 2, 1)
		readable := func(what string, ring *seal.Ring, want int) {
			t.Helper()
			n := 0
			for id := int64(1); id <= 5; id++ {
				if w, err := h.store.Webhooks(ring).Webhook(ctx, id); err == nil && w.Secret.Reveal() == canary+"-now" {
					n++
				}
			}
			if n != want {
				t.Errorf("%s: %d webhooks can be read, want %d", what, n, want)
			}
		}
		readable("the new key, before", newer, 0)
		readable("both keys, before", both, 5)
		version := h.version()
		for _, want := range []int{2, 2, 1, 0} {
			if n, err := h.store.Reseal(ctx, both, 2); err != nil || n != want {
				t.Errorf("%d were sealed again (%v), want %d", n, err, want)
			}
		}
		if _, now, err := h.store.Dispatch(both).Webhooks(ctx); err != nil || now != version {
			t.Errorf("version %d, was %d (%v): nothing was changed for anybody", now, version, err)
		}
		stranger := h.store.Webhooks(ringOf(t, 9)) // whose webhooks keep nobody from the others
		for range 3 {
			w := delivery.Webhook{Settings: delivery.Settings{Name: "lost", EventTypes: []string{"a"}}}
			h.must(stranger.Create(ctx, &w, 100))
		}
		h.webhook(secretive(t))
		if n, err := h.store.Reseal(ctx, both, 2); err != nil || n != 1 {
			t.Errorf("%d were sealed again behind those that cannot be opened (%v)", n, err)
		}
		all, _, err := h.store.Dispatch(both).Webhooks(ctx)
		locked := 0
		for i := range all {
			if all[i].Locked {
				locked++
			}
		}
		if err != nil || len(all) != 9 || locked != 3 {
			t.Errorf("%d webhooks, %d locked (%v), want 9 and the 3 that cannot be opened", len(all), locked, err)
		}
		sealed := func() (text string) {
			h.store.MustQuery(t, `SELECT sealed FROM webhooks WHERE id = 6`, nil, &text)
			return text
		}
		before6 := sealed()
		if _, err := h.store.Webhooks(both).Change(ctx, 6, func(w *delivery.Webhook) error { w.Name = "changed"; return nil }); !errors.Is(err, webhooks.ErrLocked) || sealed() != before6 {
			t.Errorf("a locked webhook was changed: %v", err)
		}
		readable("the new key", newer, 5)
		readable("the old key", before, 0)
	})
}
