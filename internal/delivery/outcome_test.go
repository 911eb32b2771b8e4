package delivery_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kuranty/kuranty/internal/delivery"
)

// §4.5: what each outcome of an attempt means.
func TestR21_Outcomes(t *testing.T) {
	const minute = time.Minute
	retry := delivery.Verdict{Outcome: delivery.Retry}
	away := delivery.Verdict{Outcome: delivery.Retry, Unavailable: true}
	held := delivery.Verdict{Outcome: delivery.Retry, Unavailable: true, Hold: minute}
	for _, c := range []struct {
		result delivery.Result
		want   delivery.Verdict
	}{
		{delivery.Result{Status: 204}, delivery.Verdict{Outcome: delivery.Succeeded}},
		{delivery.Result{Status: 200, RetryAfter: minute}, delivery.Verdict{Outcome: delivery.Succeeded}},
		{delivery.Result{Status: 200, Control: "abort-message"}, delivery.Verdict{Outcome: delivery.Succeeded}},
		{delivery.Result{Status: 200, Control: "disable"}, delivery.Verdict{Outcome: delivery.Succeeded, Disable: delivery.ReasonReceiver}},
		{delivery.Result{Code: "redirect", Status: 302, RetryAfter: minute}, retry},
		{delivery.Result{Code: "gone", Status: 410}, delivery.Verdict{Outcome: delivery.Final, Disable: delivery.ReasonGone}},
		{delivery.Result{Code: "gone", Status: 410, Control: "disable"}, delivery.Verdict{Outcome: delivery.Final, Disable: delivery.ReasonGone}},
		{delivery.Result{Code: "gone", Status: 410, Control: "abort-message"}, delivery.Verdict{Outcome: delivery.Canceled, Disable: delivery.ReasonGone}},
		{delivery.Result{Code: "http_429", Status: 429, RetryAfter: minute}, held},
		{delivery.Result{Code: "http_503", Status: 503, RetryAfter: minute}, held},
		{delivery.Result{Code: "http_503", Status: 503}, away},
		{delivery.Result{Code: "http_503", Status: 503, RetryAfter: -minute}, away},
		{delivery.Result{Code: "http_429", RetryAfter: 1000 * time.Hour}, delivery.Verdict{Outcome: delivery.Retry, Unavailable: true, Hold: 24 * time.Hour}},
		{delivery.Result{Code: "http_500", Status: 500, RetryAfter: minute}, away},
		{delivery.Result{Code: "http_404", Status: 404}, retry},
		{delivery.Result{Code: "http_400", Control: "abort-message"}, delivery.Verdict{Outcome: delivery.Canceled}},
		{delivery.Result{Code: "http_500", Control: "disable"}, delivery.Verdict{Outcome: delivery.Retry, Unavailable: true, Disable: delivery.ReasonReceiver}},
		{delivery.Result{Code: "timeout"}, away},
		{delivery.Result{Code: "dns"}, away},
		{delivery.Result{Code: "connect"}, away},
		{delivery.Result{Code: "reset"}, away},
		{delivery.Result{Code: "tls"}, away},
		{delivery.Result{Code: "target_blocked"}, delivery.Verdict{Outcome: delivery.Final, Blocked: true}},
		{delivery.Result{Code: "internal"}, delivery.Verdict{Outcome: delivery.Final, Internal: true}},
	} {
		if diff := cmp.Diff(c.want, delivery.Judge(c.result)); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c.result, diff)
		}
	}
}

// §4.6: the default schedule is the documented one, and spans 75 h.
func TestR21_DefaultScheduleSpans75Hours(t *testing.T) {
	var total time.Duration
	for _, wait := range delivery.DefaultSchedule {
		total += wait
	}
	if got, want := fmt.Sprint(total.Truncate(time.Minute)), "75h35m0s"; got != want {
		t.Errorf("it spans %s, want %s", got, want)
	}
	if got := (delivery.Retries{}).MaxAttempts(&delivery.Settings{}); got != 10 {
		t.Errorf("%d attempts", got)
	}
}

// §4.6: a delivery that always fails is attempted exactly as the schedule says, each
// wait within a tenth of its own, and then given up.
func TestR21_ScheduleIsFollowedWithJitter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := delivery.New(14, "evt_1", "a.b", delivery.TriggerEvent, delivery.Accept, now)
		settings, retries, at := delivery.Settings{Ordering: delivery.OrderNone}, delivery.Retries{}, now
		for n, wait := range delivery.DefaultSchedule {
			if !d.Begin(at, retries) {
				rt.Fatalf("attempt %d does not begin when it is due", n+1)
			}
			ended := at.Add(time.Duration(rapid.Int64Range(0, int64(15*time.Second)).Draw(rt, "took")))
			r := delivery.Result{Code: "timeout", Message: "Request timeout", Ended: ended}
			if d.Finish(&settings, r, delivery.Judge(r), retries, rapid.Float64Range(0, 1).Draw(rt, "roll")) {
				rt.Fatalf("given up after attempt %d", n+1)
			}
			got := d.NextRetryAt.Sub(ended)
			if off := math.Abs(float64(got - wait)); off > 0.1*float64(wait)+1 {
				rt.Fatalf("wait %d is %v, not %v", n+1, got, wait)
			}
			if d.State != delivery.StateRetrying || d.Due(d.NextRetryAt.Add(-1)) || !d.Due(d.NextRetryAt) {
				rt.Fatalf("after attempt %d: %+v", n+1, d)
			}
			at = d.NextRetryAt
		}
		d.Begin(at, retries)
		r := delivery.Result{Code: "timeout", Ended: at}
		if !d.Finish(&settings, r, delivery.Judge(r), retries, 0.5) || d.State != delivery.StateExhausted || !d.NextRetryAt.IsZero() || d.Attempts != 10 {
			rt.Fatalf("at the end: %+v", d)
		}
	})
}

// §4.5: Retry-After up to 24 h puts the attempt off, never forward.
func TestR21_RetryAfterIsRespected(t *testing.T) {
	for _, c := range []struct{ hold, want time.Duration }{
		{0, 5 * time.Second},
		{time.Second, 5 * time.Second},
		{time.Hour, time.Hour},
		{24 * time.Hour, 24 * time.Hour},
		{9999 * time.Hour, 24 * time.Hour},
	} {
		v := delivery.Judge(delivery.Result{Code: "http_429", Status: 429, RetryAfter: c.hold})
		at, ok := delivery.Retries{}.Next(&delivery.Settings{}, 1, now, now, v.Hold, 0.5)
		if !ok || at.Sub(now) != c.want {
			t.Errorf("Retry-After %v: attempt after %v, want %v", c.hold, at.Sub(now), c.want)
		}
		w := delivery.Webhook{IsActive: true}
		w.Record(now, v, delivery.Limits{})
		if got := w.HeldUntil; c.hold > 0 && got.Sub(now) != min(c.hold, 24*time.Hour) || c.hold == 0 && !got.IsZero() {
			t.Errorf("Retry-After %v: the webhook is held until %v", c.hold, got)
		}
		w.Record(now, delivery.Judge(delivery.Result{Code: "http_429", RetryAfter: 1}), delivery.Limits{})
		if c.hold > 0 && w.HeldUntil.Sub(now) != min(c.hold, 24*time.Hour) {
			t.Errorf("a shorter Retry-After ends the hold of %v", c.hold)
		}
	}
}

// §4.6: whose schedule counts, and what the operator sets.
func TestSection4_6_Schedules(t *testing.T) {
	own := delivery.Schedule{time.Minute}
	operator := delivery.Retries{Schedule: delivery.Schedule{time.Hour, time.Hour}, Jitter: 0.5}
	next := func(r delivery.Retries, s delivery.Settings, failed int, roll float64) time.Duration {
		at, ok := r.Next(&s, failed, now, now, 0, roll)
		if !ok {
			return 0
		}
		return at.Sub(now)
	}
	for _, c := range []struct {
		name      string
		got, want time.Duration
	}{
		{"default", next(delivery.Retries{}, delivery.Settings{}, 2, 0.5), 5 * time.Minute},
		{"lowest roll", next(delivery.Retries{}, delivery.Settings{}, 2, 0), 270 * time.Second},
		{"no jitter", next(delivery.Retries{Jitter: -1}, delivery.Settings{}, 2, 0), 5 * time.Minute},
		{"operator", next(operator, delivery.Settings{}, 1, 0), 30 * time.Minute},
		{"own", next(operator, delivery.Settings{RetrySchedule: own}, 1, 0.5), time.Minute},
		{"own is over", next(operator, delivery.Settings{RetrySchedule: own}, 2, 0.5), 0},
		{"single attempt", next(operator, delivery.Settings{RetrySchedule: delivery.Schedule{}}, 1, 0.5), 0},
		{"operator is over", next(operator, delivery.Settings{}, 3, 0.5), 0},
		{"ordered, short", next(delivery.Retries{}, delivery.Settings{Ordering: delivery.OrderKey}, 2, 0.5), 5 * time.Minute},
		{"ordered, long", next(delivery.Retries{}, delivery.Settings{Ordering: delivery.OrderStrict}, 9, 0.99), 10 * time.Minute},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
}

// §4.6: no attempt after max_delivery_age, neither planned nor by waiting; the age counts
// from the cycle, so what is recovered or released has its time.
func TestSection4_6_Age(t *testing.T) {
	week := 7 * 24 * time.Hour
	s := delivery.Settings{RetrySchedule: delivery.Schedule{time.Hour, time.Hour}}
	if _, ok := (delivery.Retries{}).Next(&s, 1, now, now.Add(week-time.Hour), 0, 0.5); !ok {
		t.Error("no attempt at exactly a week")
	}
	if _, ok := (delivery.Retries{}).Next(&s, 1, now, now.Add(week-time.Hour+1), 0, 0.5); ok {
		t.Error("an attempt after a week")
	}
	if _, ok := (delivery.Retries{MaxAge: time.Minute}).Next(&s, 1, now, now, 0, 0.5); ok {
		t.Error("an attempt after the operator's limit")
	}
	d := delivery.New(14, "evt_1", "a.b", delivery.TriggerEvent, delivery.Accept, now)
	if d.Begin(now.Add(week+1), delivery.Retries{}) || d.State != delivery.StateExhausted {
		t.Errorf("a delivery that waited a week: %s", d.State)
	}
	if !d.Requeue(now.Add(2*week), delivery.TriggerRecover, false) || !d.Begin(now.Add(2*week), delivery.Retries{}) {
		t.Errorf("a recovered delivery is too old: %s", d.State)
	}
	p := delivery.New(14, "evt_1", "a.b", delivery.TriggerEvent, delivery.Hold, now)
	if !p.Release(now.Add(week)) || !p.Begin(now.Add(week+time.Hour), delivery.Retries{}) {
		t.Errorf("a released delivery is too old: %s", p.State)
	}
}

// §4.8: at most ten paused deliveries per second are released, oldest first.
func TestSection4_8_ReleaseRate(t *testing.T) {
	for n := range 100 {
		if got := delivery.ReleaseAt(now, n+10).Sub(delivery.ReleaseAt(now, n)); got < time.Second {
			t.Fatalf("eleven within %v", got)
		}
	}
	if !delivery.ReleaseAt(now, 0).Equal(now) {
		t.Error("the oldest waits")
	}
}
