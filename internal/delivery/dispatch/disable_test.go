package dispatch_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/webhooks"
)

// patch changes a webhook as a body of its owner's says.
func (r *rig) patch(id int64, body string) {
	r.t.Helper()
	p, err := delivery.ParsePatch([]byte(body), delivery.Rules{})
	if err != nil {
		r.t.Fatal(err)
	}
	r.change(id, func(w *delivery.Webhook) {
		if _, err := p.Apply(w, time.Now().UTC()); err != nil {
			r.t.Error(err)
		}
	})
}

// A webhook that fails for too long is switched off and told of; what happens then waits. Once
// its owner switches it on again that is sent oldest first, at most ten in a second. While
// it is off by hand nothing is recorded (spec/webhooks.md §7.9).
func TestR20_SwitchedOffForFailuresLosesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		rc, mend := refuse(t, http.StatusNotFound)
		about := receive(t, nil)
		wh := r.webhook(rc.URL)
		r.webhook(about.URL, types("webhook.disabled"))
		r.options.Limits = delivery.Limits{After: 300 * time.Millisecond}
		r.run()
		n := int64(0)
		r.await("switched off", func() bool {
			n++
			r.ticket(n)
			w, err := r.hooks.Webhook(t.Context(), wh.ID)
			return err == nil && !w.IsActive && w.Health.Reason == delivery.ReasonFailures && w.Health.ConsecutiveFailures >= 10
		})
		r.await("told", func() bool { return about.count() == 1 })
		const kept = 25
		for i := range int64(kept) {
			r.ticket(1000 + i)
		}
		late := func() int { return len(r.deliveriesIn(wh.ID, delivery.StatePaused)) }
		r.await("kept, and nothing is under way", func() bool {
			all := r.deliveries(wh.ID)
			return len(all) == int(n)+kept && !slices.ContainsFunc(all, func(d webhooks.Delivery) bool { return d.State != delivery.StatePaused && !d.State.Final() })
		})
		before, waiting := rc.count(), late()

		mend()
		began := time.Now()
		r.patch(wh.ID, `{"is_active":true}`)
		r.await("released", func() bool { return rc.count() == before+waiting && late() == 0 })
		got := rc.all()[before:]
		if took, least := time.Since(began), time.Duration((waiting-1)/10)*time.Second; took < least {
			t.Errorf("%d were sent in %v, want at least %v", waiting, took, least)
		}
		var tickets []int64
		for _, e := range got {
			tickets = append(tickets, e.ticket())
		}
		for i := 10; i < len(tickets); i++ { // those of one second may overtake each other
			if tickets[i] < slices.Min(tickets[:i-9]) {
				t.Errorf("released in the order %v", tickets)
				break
			}
		}
		r.await("recorded", func() bool {
			w, err := r.hooks.Webhook(t.Context(), wh.ID)
			return err == nil && w.Condition() == "ok" && w.Health.ConsecutiveFailures == 0
		})

		all := len(r.deliveries(wh.ID))
		r.patch(wh.ID, `{"is_active":false}`)
		r.ticket(2000)
		r.webhook(about.URL, types("ticket.created"))
		r.ticket(2001)
		r.await("what others get last", func() bool {
			return slices.ContainsFunc(about.all(), func(e exchange) bool { return e.ticket() == 2001 })
		})
		r.patch(wh.ID, `{"is_active":true}`)
		r.ticket(2002)
		r.await("what happens then", func() bool { return len(r.deliveries(wh.ID)) > all })
		if d := r.deliveries(wh.ID); len(d) != all+1 {
			t.Errorf("%d deliveries were recorded while it was off by hand", len(d)-all-1)
		}
	})
}
