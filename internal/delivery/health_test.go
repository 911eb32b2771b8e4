package delivery_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kuranty/kuranty/internal/delivery"
)

const hour = time.Hour

// fail records failures of w, the first at start and the last after that long.
func fail(w *delivery.Webhook, start time.Time, n int, within time.Duration) (notices []delivery.Notice) {
	for i := range n {
		at := start
		if n > 1 {
			at = start.Add(within * time.Duration(i) / time.Duration(n-1))
		}
		notices = append(notices, w.Record(at, absent, delivery.Limits{})...)
	}
	return notices
}

// §4.8: the number and the time of a threshold both have to be reached; at half of it and at
// four fifths the owner is told.
func TestSection4_8_Thresholds(t *testing.T) {
	failing, disabled := delivery.NoticeFailing, delivery.NoticeDisabled
	for _, c := range []struct {
		name   string
		n      int
		within time.Duration
		want   []delivery.Notice
		off    bool
	}{
		{"a: 100 in 24 h", 100, 24 * hour, []delivery.Notice{failing, failing, disabled}, true},
		{"a: too soon", 1000, 24*hour - time.Minute, []delivery.Notice{failing, failing}, false},
		{"a: too few", 99, 24 * hour, []delivery.Notice{failing, failing}, false},
		{"a: below half", 49, 11 * hour, nil, false},
		{"b: 10 in 120 h", 10, 120 * hour, []delivery.Notice{failing, failing, disabled}, true},
		{"b: too few", 9, 240 * hour, []delivery.Notice{failing, failing}, false},
		{"b: too soon", 10, 120*hour - time.Minute, []delivery.Notice{failing, failing}, false},
		{"b: half", 5, 60 * hour, []delivery.Notice{failing}, false},
		{"b: below half", 4, 240 * hour, nil, false},
		{"many at once", 10_000, 0, nil, false},
		{"one", 1, 0, nil, false},
	} {
		w := delivery.Webhook{IsActive: true}
		got := fail(&w, now, c.n, c.within)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: notices %s", c.name, diff)
		}
		if w.IsActive == c.off || (w.Health.Reason == delivery.ReasonFailures) != c.off || w.FailureCount != int64(c.n) {
			t.Errorf("%s: active %v, reason %q, %d failures", c.name, w.IsActive, w.Health.Reason, w.FailureCount)
		}
	}
}

// §4.8: any success resets, and is told if the webhook was failing.
func TestSection4_8_SuccessResets(t *testing.T) {
	w := delivery.Webhook{IsActive: true}
	if got := w.Record(now, up, delivery.Limits{}); got != nil {
		t.Errorf("a success at first: %v", got)
	}
	fail(&w, now, 9, 119*hour)
	if w.Condition() != "failing" {
		t.Errorf("condition %q", w.Condition())
	}
	if got := w.Record(now.Add(119*hour), up, delivery.Limits{}); !slices.Equal(got, []delivery.Notice{delivery.NoticeRecovered}) {
		t.Errorf("recovered: %v", got)
	}
	if w.Condition() != "ok" || w.Health.ConsecutiveFailures != 0 || !w.Health.FirstFailureAt.IsZero() {
		t.Errorf("after a success: %+v", w.Health)
	}
	if got := fail(&w, now.Add(120*hour), 9, hour); got != nil {
		t.Errorf("failures before a success count: %v", got)
	}
	if w.SuccessCount != 2 || w.FailureCount != 18 || !w.LastTriggeredAt.Equal(now.Add(121*hour)) {
		t.Errorf("counters %d %d %v", w.SuccessCount, w.FailureCount, w.LastTriggeredAt)
	}
}

// §4.8: the operator's own thresholds (§6: disable_after, disable_consecutive).
func TestSection4_8_OperatorsThresholds(t *testing.T) {
	w := delivery.Webhook{IsActive: true}
	limits := delivery.Limits{Consecutive: 3, After: 10 * hour}
	for _, at := range []time.Duration{0, hour, 24 * hour} {
		w.Record(now.Add(at), absent, limits)
	}
	if w.IsActive {
		t.Error("three failures in a day do not disable")
	}
	w = delivery.Webhook{IsActive: true}
	for i := range 10 {
		w.Record(now.Add(time.Duration(i)*10*hour/9), absent, delivery.Limits{Consecutive: 1000, After: 10 * hour})
	}
	if w.IsActive {
		t.Error("ten failures in ten hours do not disable")
	}
}

// §4.8: the other reasons.
func TestSection4_8_Reasons(t *testing.T) {
	blocked := delivery.Judge(delivery.Result{Code: "target_blocked"})
	for _, c := range []struct {
		name string
		what func(w *delivery.Webhook) []delivery.Notice
		want delivery.Reason
	}{
		{"gone", func(w *delivery.Webhook) []delivery.Notice {
			return w.Record(now, delivery.Judge(delivery.Result{Code: "gone"}), delivery.Limits{})
		}, delivery.ReasonGone},
		{"disable header", func(w *delivery.Webhook) []delivery.Notice {
			return w.Record(now, delivery.Judge(delivery.Result{Status: 200, Control: "disable"}), delivery.Limits{})
		}, delivery.ReasonReceiver},
		{"four blocked", func(w *delivery.Webhook) (n []delivery.Notice) {
			for range 4 {
				n = append(n, w.Record(now, blocked, delivery.Limits{})...)
			}
			return n
		}, ""},
		{"five blocked", func(w *delivery.Webhook) (n []delivery.Notice) {
			for range 5 {
				n = append(n, w.Record(now, blocked, delivery.Limits{})...)
			}
			return n
		}, delivery.ReasonBlocked},
		{"five blocked, a success between", func(w *delivery.Webhook) (n []delivery.Notice) {
			for _, v := range []delivery.Verdict{blocked, blocked, blocked, blocked, up, blocked} {
				n = append(n, w.Record(now, v, delivery.Limits{})...)
			}
			return n
		}, ""},
		{"100,000 pending", func(w *delivery.Webhook) []delivery.Notice { return w.Pending(now, 100_000) }, ""},
		{"more pending", func(w *delivery.Webhook) []delivery.Notice { return w.Pending(now, 100_001) }, delivery.ReasonBacklog},
	} {
		w := delivery.Webhook{IsActive: true}
		notices := c.what(&w)
		disabled := slices.Equal(notices, []delivery.Notice{delivery.NoticeDisabled})
		if w.Health.Reason != c.want || w.IsActive != (c.want == "") || disabled != (c.want != "") {
			t.Errorf("%s: reason %q, active %v, notices %v", c.name, w.Health.Reason, w.IsActive, notices)
		}
		if again := w.Disable(now.Add(hour), delivery.ReasonBacklog); c.want != "" && (again != nil || w.Health.Reason != c.want) {
			t.Errorf("%s: disabled twice, for %q", c.name, w.Health.Reason)
		}
	}
}

// §4.8: who records events of a webhook that is off.
func TestSection4_8_Intake(t *testing.T) {
	disabled := delivery.Webhook{IsActive: true}
	disabled.Disable(now, delivery.ReasonGone)
	for _, c := range []struct {
		name   string
		w      delivery.Webhook
		paused int
		want   delivery.Intake
	}{
		{"active", delivery.Webhook{IsActive: true}, 1 << 20, delivery.Accept},
		{"switched off by hand", delivery.Webhook{}, 0, delivery.Ignore},
		{"disabled", disabled, 0, delivery.Hold},
		{"disabled, almost full", disabled, 9_999, delivery.Hold},
		{"disabled, full", disabled, 10_000, delivery.Ignore},
	} {
		if got := c.w.Intake(c.paused); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// §1.4: the field health.
func TestSection1_4_Health(t *testing.T) {
	w := delivery.Webhook{IsActive: true}
	for _, step := range []struct {
		want string
		do   func()
	}{
		{"ok", func() {}},
		{"failing", func() { w.Health.Warned = 50 }},
		{"circuit_open", func() { w.Circuit = opened(t) }},
		{"disabled", func() { w.Disable(now, delivery.ReasonGone) }},
	} {
		if step.do(); w.Condition() != step.want {
			t.Errorf("health is %q, want %q", w.Condition(), step.want)
		}
	}
}

// Whatever the results: a webhook is disabled only by failures since its last success, told
// of once, and each recovery follows a failing.
func TestSection4_8_HealthInvariants(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w, at := delivery.Webhook{IsActive: true}, now
		since, first, failing := 0, now, 0
		for range rapid.IntRange(1, 300).Draw(rt, "attempts") {
			at = at.Add(time.Duration(rapid.IntRange(0, 12).Draw(rt, "hours")) * hour)
			v := absent
			if rapid.IntRange(0, 20).Draw(rt, "luck") == 0 {
				v = up
			}
			active := w.IsActive
			notices := w.Record(at, v, delivery.Limits{})
			if v.Failed() {
				if since++; since == 1 {
					first = at
				}
			} else {
				since = 0
			}
			for _, n := range notices {
				switch n {
				case delivery.NoticeFailing:
					if failing++; failing > 2 || since < 5 {
						rt.Fatalf("told of failing the %d. time after %d failures", failing, since)
					}
				case delivery.NoticeRecovered:
					if failing == 0 || v.Failed() {
						rt.Fatal("recovered from nothing")
					}
				case delivery.NoticeDisabled:
					passed := at.Sub(first)
					if (since < 100 || passed < 24*hour) && (since < 10 || passed < 120*hour) {
						rt.Fatalf("disabled after %d failures in %v", since, passed)
					}
				}
			}
			if !v.Failed() {
				failing = 0
			}
			if !active && (w.IsActive || notices != nil) {
				rt.Fatalf("a disabled webhook: active %v, notices %v", w.IsActive, notices)
			}
		}
	})
}
