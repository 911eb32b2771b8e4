package dispatch_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/delivery"
)

// A webhook gets what happens from when it was made, also if who sends has not been told of
// it, because another process made it, and wanted nothing of the kind before.
func TestR20_AWebhookMissesNothingFromItsFirstMoment(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		rc := receive(t, nil)
		r.run()
		for i := range int64(10) {
			c, err := delivery.ParseCreate([]byte(`{"name":"new","url":"`+rc.URL+`","event_type":"ticket.*","filter":{"payload.ticket_id":`+strconv.FormatInt(i, 10)+`}}`), delivery.Rules{})
			if err != nil {
				t.Fatal(err)
			}
			w := c.Webhook(time.Now().UTC())
			if err := r.hooks.Create(t.Context(), &w, 1000); err != nil {
				t.Fatal(err)
			}
			r.ticket(i)
			if i%2 == 0 {
				r.state(w.ID, delivery.StateSucceeded)
			}
		}
		r.await("all", func() bool { return rc.count() == 10 })
	})
}
