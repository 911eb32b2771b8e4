package delivery

import "time"

// Schedule holds the waits after failed attempts 1, 2, …; after the last there is one
// more attempt. Empty means a single attempt.
type Schedule []time.Duration

// DefaultSchedule is ten attempts over about 75 h 35 min (spec/webhooks.md §4.6).
var DefaultSchedule = Schedule{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
	10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

// maxOrderedDelay bounds the waits where others wait, too (spec/webhooks.md §4.9).
const maxOrderedDelay = 10 * time.Minute

// Retries is what the operator sets of retrying. The zero value is ready to use.
type Retries struct {
	// Schedule is for webhooks without their own. Nil means DefaultSchedule.
	Schedule Schedule
	// Jitter is the part of a wait that it may be shorter or longer by. Zero means 0.1,
	// below zero none.
	Jitter float64
	// MaxAge is how old a delivery may be when it is attempted. Zero means 168 h.
	MaxAge time.Duration
}

func (r Retries) jitter() float64 {
	switch {
	case r.Jitter == 0:
		return 0.1
	case r.Jitter < 0:
		return 0
	}
	return min(r.Jitter, 1)
}

func (r Retries) maxAge() time.Duration {
	if r.MaxAge <= 0 {
		return 7 * 24 * time.Hour
	}
	return r.MaxAge
}

// Of returns the schedule of a webhook.
func (r Retries) Of(s *Settings) Schedule {
	switch {
	case s.RetrySchedule != nil:
		return s.RetrySchedule
	case r.Schedule != nil:
		return r.Schedule
	}
	return DefaultSchedule
}

// MaxAttempts is how many attempts a delivery of a webhook has in one cycle.
func (r Retries) MaxAttempts(s *Settings) int { return len(r.Of(s)) + 1 }

// Expired tells whether a delivery whose cycle began at start is too old to be
// attempted at the time at.
func (r Retries) Expired(start, at time.Time) bool { return at.Sub(start) > r.maxAge() }

// Next returns when a delivery is attempted again whose attempt number failed, counted
// from 1 in the cycle that began at start, was over at ended. ok is false if it is not.
// hold is how long the receiver wants to be left alone, and roll a random number from 0
// to below 1.
func (r Retries) Next(s *Settings, failed int, start, ended time.Time, hold time.Duration, roll float64) (at time.Time, ok bool) {
	schedule := r.Of(s)
	if failed < 1 || failed > len(schedule) {
		return time.Time{}, false
	}
	base := schedule[failed-1]
	delay := base + time.Duration(float64(base)*r.jitter()*(2*roll-1))
	if s.Ordered() {
		delay = min(delay, maxOrderedDelay)
	}
	at = ended.Add(max(delay, hold))
	if r.Expired(start, at) {
		return time.Time{}, false
	}
	return at, true
}

// releaseEvery is the time between paused deliveries that are released: 10 per second
// (spec/webhooks.md §4.8).
const releaseEvery = 100 * time.Millisecond

// ReleaseAt is when the n-th of the deliveries, oldest first and counted from 0, is due
// that were paused until start.
func ReleaseAt(start time.Time, n int) time.Time {
	return start.Add(time.Duration(n) * releaseEvery)
}
