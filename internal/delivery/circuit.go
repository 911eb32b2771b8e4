package delivery

import (
	"slices"
	"time"
)

// The figures of spec/webhooks.md §4.7.
const (
	circuitFailures = 10
	circuitWindow   = 5 * time.Minute
	firstOpening    = 30 * time.Second
	maxOpening      = 10 * time.Minute
	drainStep       = 10 // successes after which the drain doubles
)

// Circuit keeps a webhook whose receiver does not answer from being tried in vain. It is
// closed at first; ten failures within five minutes open it for 30 s. Then one attempt is
// let through, the probe: success closes the circuit, failure opens it for twice as long, up
// to 10 min. After closing, attempts are let through one at a time, then two, four and so
// on, until the webhook's own limit is reached.
//
// Who sends asks [Circuit.Room], calls [Circuit.Begin] for each attempt on schedule, and
// [Circuit.Done] when it is over. Attempts by hand pass it by. The zero Circuit is closed.
type Circuit struct {
	// Failures are the times of the last failures in a row, oldest first, at most ten.
	Failures []time.Time
	// OpenUntil is when the probe is due; zero means that the circuit is closed.
	OpenUntil time.Time
	// Opening is how long it is open this time.
	Opening time.Duration
	// Probing says that the probe is under way. It ends with the process that sends: see
	// [Circuit.Restart].
	Probing bool
	// Drain is how many attempts are let through at once after closing, 0 for as many as the
	// webhook has; Successes are those since it was raised.
	Drain, Successes int
}

// Open tells whether due deliveries wait.
func (c *Circuit) Open() bool { return !c.OpenUntil.IsZero() }

// Room is how many attempts can begin now, when inFlight are under way and the webhook
// allows limit at once.
func (c *Circuit) Room(now time.Time, inFlight, limit int) int {
	if c.Open() {
		if c.Probing || now.Before(c.OpenUntil) {
			return 0
		}
		limit = min(limit, inFlight+1)
	}
	if c.Drain > 0 {
		limit = min(limit, c.Drain)
	}
	return max(limit-inFlight, 0)
}

// Begin notes that an attempt begins which Room had a place for. It tells whether that is
// the probe; Done wants to know.
func (c *Circuit) Begin() (probe bool) {
	c.Probing = c.Open()
	return c.Probing
}

// Done notes what became of an attempt. limit is how many the webhook allows at once.
func (c *Circuit) Done(now time.Time, probe bool, v Verdict, limit int) {
	switch {
	case probe && v.Failed():
		c.open(now, min(2*c.Opening, maxOpening))
	case probe:
		*c = Circuit{Drain: 1}
	case c.Open(): // begun before it opened, so it says nothing of the receiver now
	case !v.Failed():
		c.Failures = nil
		c.drained(limit)
	case !v.Unavailable: // it answered
		c.Failures = nil
	default:
		c.Failures = append(slices.Clone(c.Failures), now)
		if n := len(c.Failures); n > circuitFailures {
			c.Failures = c.Failures[n-circuitFailures:]
		}
		if len(c.Failures) == circuitFailures && now.Sub(c.Failures[0]) <= circuitWindow {
			c.open(now, firstOpening)
		}
	}
}

// Restart forgets a probe whose end will not be told, because the process that sent it
// is gone.
func (c *Circuit) Restart() { c.Probing = false }

func (c *Circuit) open(now time.Time, opening time.Duration) {
	*c = Circuit{OpenUntil: now.Add(opening), Opening: opening}
}

// drained counts a success while deliveries that were held go out.
func (c *Circuit) drained(limit int) {
	if c.Drain == 0 {
		return
	}
	if c.Successes++; c.Successes < drainStep {
		return
	}
	c.Drain, c.Successes = 2*c.Drain, 0
	if c.Drain >= limit {
		c.Drain = 0
	}
}
