package store_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/delivery/dispatch"
	"github.com/kuranty/kuranty/internal/seal"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/storetest"
	"github.com/kuranty/kuranty/internal/webhooks"
	"github.com/kuranty/kuranty/webhook"
)

// hooks is a database with webhooks, as their owners and as sending see it.
type hooks struct {
	t       testing.TB
	store   *store.Store
	options store.Options
	owners  webhooks.Store
	sending dispatch.Store
	now     time.Time
	events  int64 // made
}

// ringOf returns the ring of keys that are one byte repeated.
func ringOf(t testing.TB, keys ...byte) *seal.Ring {
	t.Helper()
	all := make([][]byte, 0, len(keys))
	for _, k := range keys {
		all = append(all, bytes.Repeat([]byte{k}, seal.KeySize))
	}
	r, err := seal.New(all...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func onHooks(t *testing.T, f func(t *testing.T, h *hooks)) {
	for _, driver := range []string{store.SQLite, store.Postgres} {
		t.Run(driver, func(t *testing.T) { f(t, openHooks(t, driver)) })
	}
}

func openHooks(t testing.TB, driver string) *hooks {
	t.Helper()
	o := storetest.Options(t, driver)
	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	ring := ringOf(t, 1)
	return &hooks{
		t: t, store: s, options: o, owners: s.Webhooks(ring), sending: s.Dispatch(ring),
		now: time.Date(2026, 5, 1, 12, 0, 0, 123456000, time.UTC),
	}
}

// webhook stores one after changes.
func (h *hooks) webhook(changes ...func(*delivery.Webhook)) *delivery.Webhook {
	h.t.Helper()
	c, err := delivery.ParseCreate([]byte(`{"name":"test","url":"https://hooks.example.net/in","event_type":"ticket.*"}`), delivery.Rules{})
	if err != nil {
		h.t.Fatal(err)
	}
	w := c.Webhook(h.now)
	for _, change := range changes {
		change(&w)
	}
	if err := h.owners.Create(h.t.Context(), &w, 1000); err != nil {
		h.t.Fatal(err)
	}
	return &w
}

func ordered(ordering string) func(*delivery.Webhook) {
	return func(w *delivery.Webhook) { w.Ordering = ordering }
}

func secret(t testing.TB, text string) webhook.Secret {
	t.Helper()
	s, err := webhook.ParseSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// event makes the next event.
func (h *hooks) event(orderingKey string) delivery.Event {
	h.events++
	return delivery.Event{
		ID: fmt.Sprintf("evt_%026d", h.events), Type: "ticket.created", Pos: h.events,
		Payload: json.RawMessage(fmt.Sprintf(`{"ticket_id":%d,"title":"Привет, «мир» \u0000"}`, h.events)), OrderingKey: orderingKey, At: h.now,
	}
}

// matched is an event with a delivery to each of some webhooks, in a state.
func (h *hooks) matched(e delivery.Event, state delivery.State, ids ...int64) dispatch.Matched {
	m := dispatch.Matched{Event: e}
	for _, id := range ids {
		d := delivery.New(id, e.ID, e.Type, delivery.TriggerEvent, delivery.Accept, h.now)
		d.State = state
		m.Deliveries = append(m.Deliveries, &d)
	}
	return m
}

// version is that of the webhooks.
func (h *hooks) version() int64 {
	h.t.Helper()
	_, version, err := h.sending.Webhooks(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return version
}

// deliver stores a delivery of a new event to a webhook for each ordering key.
func (h *hooks) deliver(id int64, state delivery.State, orderingKeys ...string) (made []*delivery.Delivery) {
	h.t.Helper()
	var all []dispatch.Matched
	for _, key := range orderingKeys {
		m := h.matched(h.event(key), state, id)
		all = append(all, m)
		made = append(made, m.Deliveries...)
	}
	h.must(h.sending.FanOut(h.t.Context(), h.version(), h.events, h.now.Add(time.Minute), all))
	return made
}

// kept returns what is kept of an event.
func (h *hooks) kept(id string) (e delivery.Event, ok bool, err error) {
	h.t.Helper()
	found, err := h.sending.Events(h.t.Context(), []string{id}, 1)
	e, ok = found[id]
	return e, ok, err
}

// claim claims up to limit deliveries of a webhook.
func (h *hooks) claim(w *delivery.Webhook, limit int) []dispatch.Claimed {
	h.t.Helper()
	got, err := h.sending.Claim(h.t.Context(), h.now, h.now.Add(time.Minute), []dispatch.Want{{Webhook: w.ID, Limit: limit, Ordering: w.Ordering}})
	h.must(err)
	return got
}

// finish records one attempt of each delivery, with a code.
func (h *hooks) finish(code string, ids ...int64) {
	h.t.Helper()
	h.must(h.sending.Record(h.t.Context(), nil, ids, func(b *dispatch.Batch) error {
		for _, id := range ids {
			d := b.Deliveries[id]
			if d == nil {
				continue
			}
			a := delivery.Attempt{
				DeliveryID: id, WebhookID: d.WebhookID, Number: d.Attempts + 1, Trigger: d.Trigger, Started: h.now, Duration: 5 * time.Millisecond,
				DNS: time.Millisecond, Connect: time.Millisecond, FirstByte: 4 * time.Millisecond, RemoteIP: "192.0.2.7", HTTPVersion: "HTTP/1.1",
				RequestHeaders: map[string][]string{"Webhook-Id": {d.EventID}}, ResponseHeaders: map[string][]string{"Server": {"x"}},
				ResponseStatus: 200, ResponseBody: "ok", Code: code,
			}
			if code != "" {
				a.ResponseStatus, a.ResponseBody, a.Message = 500, "oops", "HTTP 500: oops"
			}
			b.Attempts = append(b.Attempts, a)
			r := a.Result()
			d.Finish(&delivery.Settings{Ordering: delivery.OrderNone}, r, delivery.Judge(r), delivery.Retries{}, 0.5)
		}
		return nil
	}))
}

// delivery returns one as it is stored.
func (h *hooks) delivery(d *delivery.Delivery) webhooks.Delivery {
	h.t.Helper()
	got, err := h.owners.Delivery(h.t.Context(), d.WebhookID, d.ID)
	h.must(err)
	return got
}

func (h *hooks) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func claimedIDs(all []dispatch.Claimed) []int64 {
	ids := make([]int64, 0, len(all))
	for _, c := range all {
		ids = append(ids, c.ID)
	}
	return ids
}

// wants asks for ten deliveries of each webhook.
func wants(all ...*delivery.Webhook) (list []dispatch.Want) {
	for _, w := range all {
		list = append(list, dispatch.Want{Webhook: w.ID, Limit: 10, Ordering: w.Ordering})
	}
	return list
}

// unzipped is the text of all files of an archive.
func unzipped(t testing.TB, archive []byte) string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, f := range z.File {
		r, err := f.Open()
		if err == nil {
			_, err = io.Copy(&all, r)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}
