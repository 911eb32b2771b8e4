package store_test

import (
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/delivery/dispatch"
	"github.com/kuranty/kuranty/webhook"
)

func TestFillDeliveries(t *testing.T) {
	onHooks(t, func(t *testing.T, h *hooks) {
		one, two := h.webhook(), h.webhook()
		h.must(h.store.FillDeliveries(t.Context(), 20, 250))
		now := time.Now()
		got, err := h.sending.Claim(t.Context(), now, now.Add(time.Minute), []dispatch.Want{{Webhook: one.ID, Limit: 100}, {Webhook: two.ID, Limit: 5}})
		if err != nil || len(got) != 25 {
			t.Fatalf("%d deliveries claimed, %v; want 25", len(got), err)
		}
		e, ok, err := h.kept(got[0].EventID)
		if err != nil || !ok {
			t.Fatalf("event %s: %t, %v", got[0].EventID, ok, err)
		}
		if body, err := webhook.Canonical(e.Payload); err != nil || len(e.Payload) != 250 {
			t.Errorf("payload of %d bytes is %s, %v; want 250", len(e.Payload), body, err)
		}
		if got[0].CreatedAt.Before(now.Add(-time.Minute)) {
			t.Errorf("a delivery of %v, which is old", got[0].CreatedAt)
		}
		if faults, err := h.store.Check(t.Context(), nil); err != nil || len(faults) > 0 {
			t.Errorf("faults %q, %v", faults, err)
		}
	})
}
