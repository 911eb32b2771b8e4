package delivery_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kuranty/kuranty/internal/delivery"
)

// §1.5: the statuses that the finer states are for clients of the reference.
func TestSection1_5_Statuses(t *testing.T) {
	for _, c := range []struct {
		state    delivery.State
		attempts int
		want     delivery.Status
		final    bool
	}{
		{delivery.StateQueued, 0, delivery.StatusPending, false},
		{delivery.StateSending, 0, delivery.StatusPending, false},
		{delivery.StatePaused, 0, delivery.StatusPending, false},
		{delivery.StatePaused, 1, delivery.StatusFailed, false},
		{delivery.StateSending, 1, delivery.StatusFailed, false},
		{delivery.StateQueued, 10, delivery.StatusFailed, false},
		{delivery.StateRetrying, 1, delivery.StatusFailed, false},
		{delivery.StateSucceeded, 1, delivery.StatusSuccess, true},
		{delivery.StateExhausted, 10, delivery.StatusFailed, true},
		{delivery.StateExhausted, 0, delivery.StatusFailed, true},
		{delivery.StateCanceled, 0, delivery.StatusFailed, true},
		{delivery.StateCanceled, 1, delivery.StatusFailed, true},
	} {
		if got := c.state.Status(c.attempts); got != c.want || c.state.Final() != c.final {
			t.Errorf("%s after %d attempts: %s, final %v", c.state, c.attempts, got, c.state.Final())
		}
	}
}

var (
	plain   = delivery.Settings{Ordering: delivery.OrderNone}
	success = delivery.Result{Status: 200, Body: "ok", Ended: now}
	failure = delivery.Result{Code: "http_500", Message: "HTTP 500: oops", Status: 500, Body: "oops", Ended: now, Duration: time.Second}
)

func fresh() delivery.Delivery {
	return delivery.New(14, "evt_1", "ticket.created", delivery.TriggerEvent, delivery.Accept, now)
}

// attempt makes one attempt on schedule.
func attempt(d *delivery.Delivery, r delivery.Result) (exhausted bool) {
	d.Begin(d.NextRetryAt, delivery.Retries{})
	return d.Finish(&plain, r, delivery.Judge(r), delivery.Retries{}, 0.5)
}

// §1.4, §1.5: what a delivery shows after each attempt is that of the last one.
func TestSection1_5_LastAttemptCounts(t *testing.T) {
	d := fresh()
	if d.AttemptNumber() != 1 || d.Attempts != 0 || d.Status() != delivery.StatusPending {
		t.Errorf("new: %+v", d)
	}
	attempt(&d, failure)
	if d.AttemptNumber() != 1 || d.ResponseStatus != 500 || d.ResponseBody != "oops" || d.ErrorMessage != "HTTP 500: oops" ||
		d.ErrorCode != "http_500" || d.NextRetryAt.IsZero() || !d.DeliveredAt.IsZero() || d.Status() != delivery.StatusFailed {
		t.Errorf("failed: %+v", d)
	}
	attempt(&d, success)
	if d.AttemptNumber() != 2 || d.ResponseStatus != 200 || d.ErrorMessage != "" || d.ErrorCode != "" || !d.NextRetryAt.IsZero() ||
		!d.DeliveredAt.Equal(now) || d.Status() != delivery.StatusSuccess {
		t.Errorf("succeeded: %+v", d)
	}
}

// §4.5: final outcomes and the receiver's wish end a delivery.
func TestR20_FinalOutcomes(t *testing.T) {
	for _, c := range []struct {
		r         delivery.Result
		want      delivery.State
		exhausted bool
	}{
		{delivery.Result{Code: "gone", Status: 410, Ended: now}, delivery.StateExhausted, true},
		{delivery.Result{Code: "target_blocked", Ended: now}, delivery.StateExhausted, true},
		{delivery.Result{Code: "internal", Ended: now}, delivery.StateExhausted, true},
		{delivery.Result{Code: "http_500", Control: "abort-message", Ended: now}, delivery.StateCanceled, false},
		{delivery.Result{Code: "http_500", Control: "disable", Ended: now}, delivery.StateRetrying, false},
		{delivery.Result{Code: "redirect", Status: 302, Ended: now}, delivery.StateRetrying, false},
	} {
		d := fresh()
		if got := attempt(&d, c.r); got != c.exhausted || d.State != c.want {
			t.Errorf("%+v: %s, exhausted %v", c.r, d.State, got)
		}
	}
}

// §4.6: retry_schedule [] is one attempt only, as in the reference.
func TestSection4_6_SingleAttempt(t *testing.T) {
	d, once := fresh(), delivery.Settings{RetrySchedule: delivery.Schedule{}}
	d.Begin(now, delivery.Retries{})
	if !d.Finish(&once, failure, delivery.Judge(failure), delivery.Retries{}, 0.5) || d.State != delivery.StateExhausted || !d.NextRetryAt.IsZero() {
		t.Errorf("%+v", d)
	}
}

// §4.8, §4.10: what is paused or canceled while an attempt is under way stays so, unless it
// was delivered.
func TestSection4_8_ChangesDuringAnAttempt(t *testing.T) {
	for _, c := range []struct {
		change func(*delivery.Delivery) bool
		want   delivery.State
	}{{(*delivery.Delivery).Pause, delivery.StatePaused}, {(*delivery.Delivery).Cancel, delivery.StateCanceled}} {
		d := fresh()
		d.Begin(now, delivery.Retries{})
		c.change(&d)
		ok := d
		if d.Finish(&plain, failure, delivery.Judge(failure), delivery.Retries{}, 0.5) || d.State != c.want || d.Attempts != 1 || !d.NextRetryAt.IsZero() {
			t.Errorf("failed: %+v", d)
		}
		if ok.Finish(&plain, success, delivery.Judge(success), delivery.Retries{}, 0.5); ok.State != delivery.StateSucceeded {
			t.Errorf("delivered: %+v", ok)
		}
	}
}

// §4.8, §4.10: pausing, releasing, canceling, recovering and attempts by hand.
func TestSection4_10_Transitions(t *testing.T) {
	waiting := fresh()
	attempt(&waiting, failure)
	done := fresh()
	attempt(&done, success)
	over := fresh()
	attempt(&over, delivery.Result{Code: "gone", Ended: now})

	d := waiting
	if !d.Pause() || d.Pause() || d.State != delivery.StatePaused || d.Due(now.Add(100*hour)) || d.Status() != delivery.StatusFailed {
		t.Errorf("paused: %+v", d)
	}
	if !d.Release(now.Add(hour)) || d.Release(now) || d.State != delivery.StateRetrying || d.Due(now) || !d.Due(now.Add(hour)) {
		t.Errorf("released: %+v", d)
	}
	d = fresh()
	if d.Pause(); !d.Release(now) || d.State != delivery.StateQueued {
		t.Errorf("released before the first attempt: %+v", d)
	}
	for _, final := range []delivery.Delivery{done, over} {
		if d := final; d.Pause() || d.Cancel() || d != final {
			t.Errorf("%s is changed to %s", final.State, d.State)
		}
	}
	if d = waiting; !d.Cancel() || d.State != delivery.StateCanceled || !d.NextRetryAt.IsZero() || d.Due(now.Add(100*hour)) {
		t.Errorf("canceled: %+v", d)
	}

	if d = over; !d.Requeue(now, delivery.TriggerRecover, false) || d.Cycle != 1 || d.Failed != 0 || d.Attempts != 1 || !d.Due(now) || d.Trigger != delivery.TriggerRecover {
		t.Errorf("recovered: %+v", d)
	}
	if attempt(&d, failure); d.AttemptNumber() != 2 || d.NextRetryAt.Sub(now) != 5*time.Second {
		t.Errorf("the schedule does not start over: %+v", d)
	}
	if d = done; d.Requeue(now, delivery.TriggerRecover, false) || !d.Requeue(now, delivery.TriggerReplay, true) || !d.DeliveredAt.IsZero() {
		t.Errorf("replayed: %+v", d)
	}
	if d = waiting; d.Requeue(now, delivery.TriggerRecover, true) {
		t.Error("what waits is recovered")
	}

	// By hand, "whatever the state".
	for _, c := range []struct {
		before delivery.Delivery
		failed delivery.State
	}{
		{fresh(), delivery.StateQueued}, {waiting, delivery.StateRetrying}, {done, delivery.StateExhausted}, {over, delivery.StateExhausted},
	} {
		d := c.before
		d.FinishManual(failure, delivery.Judge(failure))
		if d.State != c.failed || d.Attempts != c.before.Attempts+1 || d.Failed != c.before.Failed || !d.NextRetryAt.Equal(c.before.NextRetryAt) || !d.DeliveredAt.IsZero() {
			t.Errorf("by hand, failed: %s becomes %+v", c.before.State, d)
		}
		d = c.before
		if d.FinishManual(success, delivery.Judge(success)); d.State != delivery.StateSucceeded || !d.DeliveredAt.Equal(now) {
			t.Errorf("by hand, succeeded: %s becomes %+v", c.before.State, d)
		}
	}
}

// §3: whatever happens to a delivery, it ends in exactly one state: delivered, given up
// or canceled; nothing of itself leaves that again, and what is not final has a way on.
func TestR20_EveryDeliveryEndsOnce(t *testing.T) {
	results := []delivery.Result{
		success, failure,
		{Code: "timeout"},
		{Code: "http_429", RetryAfter: 24 * time.Hour},
		{Code: "gone"},
		{Code: "http_500", Control: "abort-message"},
	}
	rapid.Check(t, func(rt *rapid.T) {
		d, at := fresh(), now
		settings := delivery.Settings{Ordering: rapid.SampledFrom([]string{delivery.OrderNone, delivery.OrderKey}).Draw(rt, "ordering")}
		ends := 0
		for range 200 {
			before := d
			switch rapid.SampledFrom([]string{"attempt", "attempt", "attempt", "lose", "pause", "release", "cancel"}).Draw(rt, "step") {
			case "attempt", "lose":
				if d.NextRetryAt.After(at) {
					at = d.NextRetryAt
				}
				if !d.Begin(at, delivery.Retries{}) {
					break
				}
				if rapid.Bool().Draw(rt, "lost") {
					d.Abandon()
					break
				}
				r := rapid.SampledFrom(results).Draw(rt, "result")
				if r.Ended = at.Add(time.Second); rapid.IntRange(0, 9).Draw(rt, "paused meanwhile") == 0 {
					d.Pause()
				}
				exhausted := d.Finish(&settings, r, delivery.Judge(r), delivery.Retries{}, rapid.Float64Range(0, 1).Draw(rt, "roll"))
				if exhausted != (d.State == delivery.StateExhausted) {
					rt.Fatalf("exhausted is %v in state %s", exhausted, d.State)
				}
			case "pause":
				d.Pause()
			case "release":
				d.Release(at)
			case "cancel":
				if rapid.IntRange(0, 20).Draw(rt, "really") == 0 {
					d.Cancel()
				}
			}
			if before.State.Final() && d != before {
				rt.Fatalf("%s becomes %s", before.State, d.State)
			}
			if !before.State.Final() && d.State.Final() {
				ends++
			}
			if (d.State == delivery.StateSucceeded) != !d.DeliveredAt.IsZero() {
				rt.Fatalf("%s, delivered at %v", d.State, d.DeliveredAt)
			}
			if d.State.Final() && !d.NextRetryAt.IsZero() {
				rt.Fatalf("%s, next attempt at %v", d.State, d.NextRetryAt)
			}
		}
		d.Release(at)
		for n := 0; !d.State.Final(); n++ { // left alone it comes to its end within one schedule
			if d.NextRetryAt.After(at) {
				at = d.NextRetryAt
			}
			if n > 10 {
				rt.Fatalf("no end: %+v", d)
			}
			d.Begin(at, delivery.Retries{})
			r := delivery.Result{Code: "timeout", Ended: at}
			if d.State == delivery.StateSending {
				d.Finish(&settings, r, delivery.Judge(r), delivery.Retries{}, 0.5)
			}
			if d.State.Final() {
				ends++
			}
		}
		if ends != 1 {
			rt.Fatalf("it ended %d times", ends)
		}
	})
}
