package delivery

// Status is how a delivery stands, as clients of the reference know it (spec/webhooks.md
// §1.5).
type Status string

// The statuses.
const (
	StatusPending Status = "pending" // no attempt is over
	StatusSuccess Status = "success" // the last attempt was answered 200–299
	StatusFailed  Status = "failed"  // the last attempt failed, or there will be none
)

// State is how a delivery stands, exactly.
type State string

// The states. Succeeded, exhausted and canceled are final: only its owner's wish brings
// such a delivery back.
const (
	StateQueued    State = "queued"    // due
	StateSending   State = "sending"   // an attempt is under way
	StateRetrying  State = "retrying"  // due at NextRetryAt, after a failure
	StateSucceeded State = "succeeded" // answered 200–299
	StateExhausted State = "exhausted" // given up
	StatePaused    State = "paused"    // kept while the webhook is disabled
	StateCanceled  State = "canceled"  // not wanted any more
)

// Final tells whether no attempt will be made by itself.
func (s State) Final() bool {
	return s == StateSucceeded || s == StateExhausted || s == StateCanceled
}

// Status is the status of a delivery in state s of which attempts are over. The table of
// §1.5 decides: a second attempt that is under way does not make a failed delivery pending.
func (s State) Status(attempts int) Status {
	switch {
	case s == StateSucceeded:
		return StatusSuccess
	case s == StateRetrying || s.Final() || attempts > 0:
		return StatusFailed
	}
	return StatusPending
}
