package privacy_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/delivery/dispatch"
	"github.com/kuranty/kuranty/internal/privacy"
	"github.com/kuranty/kuranty/internal/seal"
	"github.com/kuranty/kuranty/internal/store"
)

// deliverAll makes a delivery of each event of the log, so that webhooks have a copy of it.
func (h *harness) deliverAll() {
	h.t.Helper()
	ctx := h.t.Context()
	ring, err := seal.New(bytes.Repeat([]byte{1}, seal.KeySize))
	h.must(err)
	c, err := delivery.ParseCreate([]byte(`{"name":"all","url":"https://hooks.example.net","event_type":"*"}`), delivery.Rules{})
	h.must(err)
	w := c.Webhook(h.clock())
	h.must(h.store.Webhooks(ring).Create(ctx, &w, 1))
	sending := h.store.Dispatch(ring)
	_, version, err := sending.Webhooks(ctx)
	h.must(err)
	known, err := event.NewCatalogue()
	h.must(err)
	for n := 1; n > 0 && h.driver == store.Postgres; {
		given, err := h.store.NumberEvents(ctx)
		h.must(err)
		n = len(given)
	}
	events, err := h.store.Events(ctx, 0, 10_000)
	h.must(err)
	var all []dispatch.Matched
	for i := range events {
		e := &events[i]
		payload := e.Payload
		if k := known.Kind(e.Type); k != nil {
			payload, err = k.Public(e)
			h.must(err)
		}
		d := delivery.New(w.ID, e.ID, e.Type, delivery.TriggerEvent, delivery.Accept, h.clock())
		all = append(all, dispatch.Matched{
			Event:      delivery.Event{ID: e.ID, Type: e.Type, Pos: e.Pos, Payload: payload, OrderingKey: e.Stream, Ref: e.Ref, At: time.UnixMilli(e.At)},
			Deliveries: []*delivery.Delivery{&d},
		})
	}
	h.must(sending.FanOut(ctx, version, 0, h.clock(), all))
}

// Who is erased is erased from what is kept of events for webhooks, whether the log still has
// the events or not.
func TestErasureReachesWebhooks(t *testing.T) {
	for name, prune := range map[string]bool{"events in the log": false, "events that the log has forgotten": true} {
		t.Run(name, func(t *testing.T) {
			each(t, 0, func(t *testing.T, h *harness) {
				s := set(h)
				h.deliverAll()
				if h.count(`SELECT count(*) FROM webhook_events WHERE payload LIKE $1`, "%"+self+"%") == 0 {
					t.Fatal("webhooks have nothing of the person")
				}
				whole := h.count(`SELECT count(*) FROM webhook_events WHERE payload IS NOT NULL`)
				if prune {
					h.exec(`DELETE FROM events`)
				}
				_, err := h.privacy.RequestErasure(t.Context(), s.vera, privacy.Erase, 0)
				h.must(err)
				h.work()
				h.must(h.chats.Delete(t.Context(), s.anna, []int64{s.forwarded.ID}, true))
				h.gone(self)
				h.gone(wrote)
				left := h.count(`SELECT count(*) FROM webhook_events WHERE payload IS NOT NULL`)
				if prune == (left == whole) || left == 0 {
					t.Errorf("%d of %d payloads are left", left, whole)
				}
				if !prune && h.count(`SELECT count(*) FROM webhook_events WHERE payload LIKE '%"Deleted account"%'`) == 0 {
					t.Error("nothing tells of a deleted account")
				}
			})
		})
	}
}
