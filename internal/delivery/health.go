package delivery

import (
	"errors"
	"slices"
	"time"
)

// Reason is why a webhook is disabled.
type Reason string

// The reasons. A webhook that its owner switched off has none.
const (
	ReasonFailures   Reason = "failures"         // nothing but failures for too long
	ReasonGone       Reason = "gone"             // the receiver answered 410
	ReasonReceiver   Reason = "receiver_request" // the receiver asked for it
	ReasonBlocked    Reason = "target_blocked"   // its address is not allowed
	ReasonBacklog    Reason = "backlog"          // too many deliveries wait
	ReasonExhausted  Reason = "exhausted"        // the head of an ordered webhook was given up
	ReasonUnverified Reason = "unverified"       // the receiver was not asked yet whether it wants events
)

// The figures of spec/webhooks.md §4.8.
const (
	manyFailuresAfter = 24 * time.Hour
	fewFailures       = 10
	maxBlocked        = 5
	maxPending        = 100_000
	maxFlaps          = 3
	flapWindow        = 7 * 24 * time.Hour
	// MaxPaused bounds the deliveries that are kept for a disabled webhook, and
	// MaxPausedAge their age.
	MaxPaused    = 10_000
	MaxPausedAge = 7 * 24 * time.Hour
)

// The parts of a threshold, in percent, at which the owner is told.
const (
	firstWarning  = 50
	secondWarning = 80
)

// Limits is what the operator sets of disabling. The zero value is ready to use.
type Limits struct {
	// Consecutive failures disable after a day. Zero means 100.
	Consecutive int
	// After that long ten failures are enough. Zero means 120 h.
	After time.Duration
}

func (l Limits) consecutive() int {
	if l.Consecutive <= 0 {
		return 100
	}
	return l.Consecutive
}

func (l Limits) after() time.Duration {
	if l.After <= 0 {
		return 120 * time.Hour
	}
	return l.After
}

// Health is how a webhook's receiver has answered since its last success, and who
// switched the webhook off.
type Health struct {
	// ConsecutiveFailures are the failed attempts in a row, the first at FirstFailureAt.
	ConsecutiveFailures int
	FirstFailureAt      time.Time
	// Blocked are those of them whose address was refused.
	Blocked int
	// Warned is the percentage of a threshold that the owner was told of last, 0 if none.
	Warned int

	// DisabledAt and Reason are zero unless the server disabled the webhook.
	DisabledAt time.Time
	Reason     Reason
	// Flaps are the times it was disabled in the last seven days, at most three.
	Flaps []time.Time
}

// Notice is what the owner is told of; each becomes an event.
type Notice int

// The notices.
const (
	NoticeFailing   Notice = iota + 1 // webhook.failing
	NoticeDisabled                    // webhook.disabled
	NoticeRecovered                   // webhook.recovered
)

// ErrFlapping means that a webhook was disabled too often to be switched on just so.
var ErrFlapping = errors.New("the webhook was disabled three times in seven days; switch it on with force")

// Record notes an attempt's verdict on w and disables w if it has to be. Attempts of the
// test button are not recorded.
func (w *Webhook) Record(now time.Time, v Verdict, limits Limits) (notices []Notice) {
	h := &w.Health
	w.LastTriggeredAt = now
	if until := now.Add(v.Hold); v.Hold > 0 && until.After(w.HeldUntil) {
		w.HeldUntil = until
	}
	if v.Failed() {
		w.FailureCount++
		if h.ConsecutiveFailures++; h.ConsecutiveFailures == 1 {
			h.FirstFailureAt = now
		}
		if v.Blocked {
			h.Blocked++
		}
	} else {
		w.SuccessCount++
		if h.Warned > 0 && h.Reason == "" {
			notices = append(notices, NoticeRecovered)
		}
		h.reset()
	}
	reason, progress := v.Disable, h.progress(now, limits)
	switch {
	case reason != "":
	case h.Blocked >= maxBlocked:
		reason = ReasonBlocked
	case progress >= 100:
		reason = ReasonFailures
	}
	if reason != "" {
		return append(notices, w.Disable(now, reason)...)
	}
	for _, warning := range []int{secondWarning, firstWarning} {
		if progress >= warning && h.Warned < warning && w.IsActive {
			h.Warned = warning
			return append(notices, NoticeFailing)
		}
	}
	return notices
}

// Pending notes how many deliveries of w wait, and disables w if they are too many.
func (w *Webhook) Pending(now time.Time, deliveries int) []Notice {
	if deliveries <= maxPending {
		return nil
	}
	return w.Disable(now, ReasonBacklog)
}

// Disable switches w off for a reason. One that is off stays as it is.
func (w *Webhook) Disable(now time.Time, reason Reason) []Notice {
	if !w.IsActive {
		return nil
	}
	h := &w.Health
	w.IsActive, w.UpdatedAt = false, now
	h.DisabledAt, h.Reason = now, reason
	h.Flaps = append(h.recentFlaps(now), now)
	if n := len(h.Flaps); n > maxFlaps {
		h.Flaps = h.Flaps[n-maxFlaps:]
	}
	return []Notice{NoticeDisabled}
}

// Intake is what becomes of an event that matches a webhook.
type Intake int

// The intakes.
const (
	Ignore Intake = iota // nothing is recorded
	Hold                 // a paused delivery
	Accept               // a delivery that is due
)

// Intake says what becomes of new events for w (spec/webhooks.md §4.8): who was switched
// off by its owner, or never verified, misses them; who was disabled by us gets them
// later. paused are the deliveries that wait for that already.
func (w *Webhook) Intake(paused int) Intake {
	switch {
	case w.IsActive:
		return Accept
	case w.Health.Reason == "", w.Health.Reason == ReasonUnverified, paused >= MaxPaused:
		return Ignore
	}
	return Hold
}

// Condition is the field "health" of the API: ok, failing, circuit_open or disabled.
func (w *Webhook) Condition() string {
	switch {
	case !w.IsActive:
		return "disabled"
	case w.Circuit.Open():
		return "circuit_open"
	case w.Health.Warned > 0:
		return "failing"
	}
	return "ok"
}

// progress is how near to a threshold the failures are, in percent: both the number and
// the time have to be reached.
func (h *Health) progress(now time.Time, limits Limits) int {
	if h.ConsecutiveFailures == 0 {
		return 0
	}
	part := func(failures int, after time.Duration) int {
		return min(
			100*h.ConsecutiveFailures/failures,
			int(100*float64(now.Sub(h.FirstFailureAt))/float64(after)),
		)
	}
	return max(part(limits.consecutive(), manyFailuresAfter), part(fewFailures, limits.after()))
}

// reset forgets the failures.
func (h *Health) reset() {
	h.ConsecutiveFailures, h.FirstFailureAt, h.Blocked, h.Warned = 0, time.Time{}, 0, 0
}

func (h *Health) recentFlaps(now time.Time) (recent []time.Time) {
	for _, at := range h.Flaps {
		if now.Sub(at) < flapWindow {
			recent = append(recent, at)
		}
	}
	return recent
}

// enable makes what a webhook needs that is switched on again.
func (h *Health) enable(now time.Time, force bool) error {
	recent := h.recentFlaps(now)
	if len(recent) >= maxFlaps && h.Reason != "" && !force {
		return ErrFlapping
	}
	h.reset()
	h.DisabledAt, h.Reason = time.Time{}, ""
	h.Flaps = slices.Clip(recent)
	return nil
}
