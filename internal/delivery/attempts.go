package delivery

import "time"

// Trigger is what a delivery or an attempt was made for (spec/webhooks.md §4.10).
type Trigger string

// The triggers.
const (
	TriggerEvent   Trigger = "event"
	TriggerManual  Trigger = "manual"
	TriggerRecover Trigger = "recover"
	TriggerReplay  Trigger = "replay"
	TriggerTest    Trigger = "test"
)

// Delivery is one event for one webhook.
type Delivery struct {
	ID, WebhookID      int64
	EventID, EventType string
	Trigger            Trigger
	State              State

	// Attempts are the attempts that are over. Failed are those of this cycle that failed
	// on schedule; Cycle counts from 0 and began at CycleStart.
	Attempts, Failed, Cycle int
	CycleStart              time.Time

	// CreatedAt is when the event was matched; the others are zero if there is no such time.
	CreatedAt, LastAttemptAt, DeliveredAt, NextRetryAt time.Time

	// What the last attempt came to.
	ResponseStatus int
	ResponseBody   string
	ErrorCode      string
	ErrorMessage   string
	Duration       time.Duration
}

// New returns the delivery of an event to a webhook whose [Intake] is not Ignore.
func New(webhook int64, eventID, eventType string, trigger Trigger, intake Intake, now time.Time) Delivery {
	d := Delivery{
		WebhookID: webhook, EventID: eventID, EventType: eventType, Trigger: trigger,
		State: StateQueued, CreatedAt: now, CycleStart: now,
	}
	if intake == Hold {
		d.State = StatePaused
	}
	return d
}

// Status is how d stands for clients of the reference.
func (d *Delivery) Status() Status { return d.State.Status(d.Attempts) }

// AttemptNumber is the number of the last attempt, 1 if there was none.
func (d *Delivery) AttemptNumber() int { return max(d.Attempts, 1) }

// Due tells whether an attempt is to begin by now.
func (d *Delivery) Due(now time.Time) bool {
	return (d.State == StateQueued || d.State == StateRetrying) && !d.NextRetryAt.After(now)
}

// Begin notes that an attempt on schedule begins. It returns false if d is not due, or if
// it has become too old while it waited: then it is given up, which is to be announced.
func (d *Delivery) Begin(now time.Time, retries Retries) bool {
	if !d.Due(now) {
		return false
	}
	if retries.Expired(d.CycleStart, now) {
		d.end(StateExhausted)
		return false
	}
	d.State, d.NextRetryAt = StateSending, time.Time{}
	return true
}

// Abandon notes that an attempt began and nobody will tell how it ended: its lease is
// over. It is made again.
func (d *Delivery) Abandon() {
	if d.State == StateSending {
		d.wait(time.Time{})
	}
}

// Finish notes how an attempt ended that [Delivery.Begin] began, and decides whether there
// is another; roll is a random number from 0 to below 1. A delivery that was paused or
// canceled meanwhile stays so, unless the attempt succeeded. exhausted tells that it was
// given up just now, which is to be announced.
func (d *Delivery) Finish(s *Settings, r Result, v Verdict, retries Retries, roll float64) (exhausted bool) {
	d.note(r)
	if !v.Failed() {
		d.succeed(r.Ended)
		return false
	}
	d.Failed++
	switch {
	case d.State.Final():
		return false
	case v.Outcome == Canceled:
		d.end(StateCanceled)
		return false
	case v.Outcome == Retry:
		if at, ok := retries.Next(s, d.Failed, d.CycleStart, r.Ended, v.Hold, roll); ok {
			if d.State != StatePaused {
				d.wait(at)
			}
			return false
		}
	}
	d.end(StateExhausted)
	return true
}

// FinishManual notes how an attempt ended that was made by hand. It takes nothing from the
// schedule: a failure leaves d as it was, and one that had succeeded is given up, since the
// last attempt is what counts (spec/webhooks.md §1.5).
func (d *Delivery) FinishManual(r Result, v Verdict) {
	d.note(r)
	switch {
	case !v.Failed():
		d.succeed(r.Ended)
	case d.State == StateSucceeded:
		d.end(StateExhausted)
	}
}

// Pause keeps d until the webhook is enabled again. It returns false if d is final or
// paused already.
func (d *Delivery) Pause() bool {
	if d.State.Final() || d.State == StatePaused {
		return false
	}
	d.State, d.NextRetryAt = StatePaused, time.Time{}
	return true
}

// Release lets a paused delivery go at a time, see [ReleaseAt]. The time it was paused
// does not make it older.
func (d *Delivery) Release(at time.Time) bool {
	if d.State != StatePaused {
		return false
	}
	d.CycleStart = at
	d.wait(at)
	return true
}

// Cancel ends d. It returns false if d is final already.
func (d *Delivery) Cancel() bool {
	if d.State.Final() {
		return false
	}
	d.end(StateCanceled)
	return true
}

// Requeue begins the schedule anew for a delivery that is final: one that failed, or with
// again any. Attempts go on counting.
func (d *Delivery) Requeue(now time.Time, trigger Trigger, again bool) bool {
	if !d.State.Final() || d.State == StateSucceeded && !again {
		return false
	}
	d.Cycle++
	d.Failed, d.CycleStart, d.Trigger = 0, now, trigger
	d.DeliveredAt = time.Time{}
	d.wait(time.Time{})
	return true
}

// note records an attempt that is over.
func (d *Delivery) note(r Result) {
	d.Attempts++
	d.LastAttemptAt, d.Duration = r.Ended, r.Duration
	d.ResponseStatus, d.ResponseBody = r.Status, r.Body
	d.ErrorCode, d.ErrorMessage = r.Code, r.Message
}

func (d *Delivery) succeed(at time.Time) {
	d.end(StateSucceeded)
	d.DeliveredAt = at
}

func (d *Delivery) end(s State) {
	d.State, d.NextRetryAt, d.DeliveredAt = s, time.Time{}, time.Time{}
}

// wait makes d due at a time, at once if it is zero.
func (d *Delivery) wait(at time.Time) {
	d.State, d.NextRetryAt = StateQueued, at
	if d.Failed > 0 {
		d.State = StateRetrying
	}
}
