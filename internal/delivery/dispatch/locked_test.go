package dispatch_test

import (
	"bytes"
	"testing"

	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/seal"
)

// A server without the key of a webhook's secrets makes deliveries and sends none; with the
// key they go out, signed.
func TestDeliveriesOfLockedWebhooksWait(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		rc := receive(t, nil)
		wh := r.webhook(rc.URL, signedBy("optional-secret-for-signing"))
		stranger, err := seal.New(bytes.Repeat([]byte{8}, 32))
		if err != nil {
			t.Fatal(err)
		}
		with := r.options.Store
		r.options.Store = r.store.Dispatch(stranger)
		r.run()
		other := receive(t, nil)
		hooks := r.store.Webhooks(stranger)
		open := *wh
		open.URL = other.URL
		if err := hooks.Create(t.Context(), &open, 1000); err != nil {
			t.Fatal(err)
		}
		r.dispatcher.Poke()
		r.ticket(1)
		r.state(open.ID, delivery.StateSucceeded)
		d := r.state(wh.ID, delivery.StateQueued)
		if _, err := hooks.ChangeDelivery(t.Context(), wh.ID, d.ID, true, func(*delivery.Delivery) error { return nil }); err != nil {
			t.Fatal(err)
		}
		r.dispatcher.Poke()
		r.ticket(2)
		r.await("the other's second", func() bool { return other.count() == 2 })
		r.halt()
		if n := rc.count(); n != 0 {
			t.Errorf("%d requests without the secret", n)
		}
		r.options.Store = with
		r.run()
		r.await("both deliveries", func() bool { return rc.count() >= 2 })
		for _, e := range rc.all() {
			if e.header.Get("X-Webhook-Signature") == "" {
				t.Error("a request is not signed")
			}
		}
	})
}
