package delivery_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/webhook"
)

func patch(t testing.TB, w *delivery.Webhook, body string, at time.Time) (delivery.Effects, error) {
	t.Helper()
	p, err := delivery.ParsePatch([]byte(body), delivery.Rules{})
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return p.Apply(w, at)
}

var secretsByText = cmp.Comparer(func(a, b webhook.Secret) bool { return a.Reveal() == b.Reveal() })

// full is a webhook with every setting that can be emptied.
func full(t testing.TB) delivery.Webhook {
	return create(t, with("secret", `"0123456789abcdef"`, "description", `"d"`, "filter", `{"payload.a":1}`, "rate_limit", `{"max":1,"per_seconds":1}`,
		"retry_schedule", "[5]", "headers", `{"A":"b"}`, "metadata", `{"a":1}`)).Webhook(now)
}

// §1.3: what is absent or null stays, "" empties; updated_at moves in any case.
func TestSection1_3_Patch(t *testing.T) {
	for _, body := range []string{
		`{}`, `{"colour":1}`,
		`{"name":null,"url":null,"secret":null,"description":null,"is_active":null,"event_type":null,"event_types":null,"filter":null,"headers":null,
			"timeout_ms":null,"rate_limit":null,"retry_schedule":null,"tls":null,"metadata":null,"verify":null,"force":null,"resume":null}`,
	} {
		w, want := full(t), full(t)
		if _, err := patch(t, &w, body, now.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		want.UpdatedAt = now.Add(time.Hour)
		if diff := cmp.Diff(want, w, secretsByText); diff != "" {
			t.Errorf("%s changed (-want +got):\n%s", body, diff)
		}
	}
	w := full(t)
	if _, err := patch(t, &w, `{"secret":"","description":"","filter":"","rate_limit":"","retry_schedule":"","tls":""}`, now); err != nil {
		t.Fatal(err)
	}
	if w.HasSecret() || w.Description != "" || w.Filter != nil || w.RateLimit != nil || w.RetrySchedule != nil || w.TLS != nil {
		t.Errorf("not emptied: %+v", w.Settings)
	}
	for _, body := range []string{`{"name":""}`, `{"url":""}`, `{"event_type":""}`, `{"event_types":[]}`, `{"is_active":"perhaps"}`, `{"resume":"some"}`, `{"force":7}`, `[]`, ``} {
		if _, err := delivery.ParsePatch([]byte(body), delivery.Rules{}); told(t, err) == nil {
			t.Errorf("%s is taken", body)
		}
	}
	if _, err := patch(t, &w, `{"event_type":"user.created","name":"n"}`, now); err != nil || w.EventType() != "user.created" || len(w.EventTypes) != 1 || w.Name != "n" {
		t.Errorf("not applied: %v, %+v", err, w.Settings)
	}
}

// §4.4: a secret that is patched has no grace; other changes leave the one before alone.
func TestSection4_4_PatchedSecretSwitchesAtOnce(t *testing.T) {
	w := full(t)
	w.PreviousSecret, w.PreviousUntil = w.Secret, now.Add(time.Hour)
	if _, err := patch(t, &w, `{"name":"x"}`, now); err != nil || w.PreviousSecret.Reveal() == "" {
		t.Errorf("a rotation ends by another change: %v", err)
	}
	if _, err := patch(t, &w, `{"secret":"fedcba9876543210"}`, now); err != nil || w.PreviousSecret.Reveal() != "" || !w.PreviousUntil.IsZero() {
		t.Errorf("the old secret stays: %v", err)
	}
}

// §4.8: switching on releases what was paused, or cancels it; what is so already stays.
func TestSection4_8_SwitchingOnAndOff(t *testing.T) {
	w := full(t)
	if e, err := patch(t, &w, `{"is_active":true}`, now); err != nil || e != (delivery.Effects{}) {
		t.Errorf("switched on twice: %v %v", e, err)
	}
	w.Disable(now, delivery.ReasonGone)
	if e, err := patch(t, &w, `{"is_active":false}`, now); err != nil || e != (delivery.Effects{}) || w.Health.Reason != delivery.ReasonGone {
		t.Errorf("switched off twice: %v %v, reason %q", e, err, w.Health.Reason)
	}
	w.Health.ConsecutiveFailures, w.Health.Warned = 70, 50
	w.Circuit.OpenUntil = now.Add(time.Minute)
	if e, err := patch(t, &w, `{"is_active":true}`, now); err != nil || e != (delivery.Effects{Release: true}) || !w.IsActive {
		t.Errorf("switched on: %v %v", e, err)
	}
	if h := w.Health; h.ConsecutiveFailures != 0 || h.Warned != 0 || h.Reason != "" || !h.DisabledAt.IsZero() {
		t.Errorf("health after switching on: %+v", h)
	}
	if w.Circuit.Open() {
		t.Error("the circuit is still open")
	}
	if _, err := patch(t, &w, `{"is_active":"no"}`, now); err != nil || w.IsActive || w.Health.Reason != "" {
		t.Errorf("switched off: %v %+v", err, w.Health)
	}
	if e, err := patch(t, &w, `{"is_active":true,"resume":"none"}`, now); err != nil || e != (delivery.Effects{Cancel: true}) {
		t.Errorf("resume none: %v %v", e, err)
	}
}

// §4.8: disabled three times in seven days needs force; a patch that is refused changes nothing.
func TestSection4_8_Flapping(t *testing.T) {
	w, at := full(t), now
	for range 3 {
		if !w.IsActive {
			if _, err := patch(t, &w, `{"is_active":true}`, at); err != nil {
				t.Fatal(err)
			}
		}
		w.Disable(at, delivery.ReasonFailures)
		at = at.Add(24 * time.Hour)
	}
	before := w
	if _, err := patch(t, &w, `{"is_active":true,"name":"other"}`, at); !errors.Is(err, delivery.ErrFlapping) {
		t.Fatalf("the third time: %v", err)
	}
	if diff := cmp.Diff(before, w, secretsByText); diff != "" {
		t.Error(diff)
	}
	later := w
	if _, err := patch(t, &later, `{"is_active":true}`, now.Add(7*24*time.Hour)); err != nil {
		t.Errorf("a week after the first: %v", err)
	}
	if _, err := patch(t, &w, `{"is_active":true,"force":true}`, at); err != nil || !w.IsActive {
		t.Errorf("with force: %v", err)
	}
}

// §4.15: a webhook is inactive until its receiver was asked, also after its URL changed.
func TestSection4_15_Verification(t *testing.T) {
	w := create(t, with("verify", `"ping"`)).Webhook(now)
	unverified := func(what string) {
		t.Helper()
		if w.IsActive || w.Health.Reason != delivery.ReasonUnverified || w.Intake(0) != delivery.Ignore {
			t.Errorf("%s: active %v, reason %q", what, w.IsActive, w.Health.Reason)
		}
	}
	unverified("created")
	e, err := patch(t, &w, `{"is_active":true}`, now)
	if err != nil || e != (delivery.Effects{Verify: true}) {
		t.Errorf("switched on: %v %v", e, err)
	}
	unverified("switched on")
	w.Verified(now)
	if !w.IsActive || w.Health.Reason != "" || len(w.Health.Flaps) != 0 {
		t.Errorf("verified: %v %+v", w.IsActive, w.Health)
	}
	if e, err := patch(t, &w, `{"url":"https://elsewhere.example/"}`, now); err != nil || e != (delivery.Effects{Verify: true}) {
		t.Errorf("another url: %v %v", e, err)
	}
	unverified("another url")
	if e, err := patch(t, &w, `{"verify":"none","is_active":true}`, now); err != nil || !w.IsActive || e.Verify {
		t.Errorf("verify none: %v %v", e, err)
	}
	w.Disable(now, delivery.ReasonGone)
	w.Verified(now)
	if w.IsActive {
		t.Error("verification switches on what was disabled")
	}
}
