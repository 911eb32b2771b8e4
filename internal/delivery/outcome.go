package delivery

import (
	"strings"
	"time"
)

// The codes of attempts that failed, beside "http_" and the status (spec/webhooks.md
// §4.5). They are what the sender reports.
const (
	codeTimeout  = "timeout"
	codeDNS      = "dns"
	codeConnect  = "connect"
	codeReset    = "reset"
	codeTLS      = "tls"
	codeGone     = "gone"
	codeBlocked  = "target_blocked"
	codeInternal = "internal"
)

// What a receiver may ask for with the header webhook-delivery.
const (
	controlAbort   = "abort-message"
	controlDisable = "disable"
)

// maxRetryAfter is the longest wait that a receiver can ask for.
const maxRetryAfter = 24 * time.Hour

// Brief is the message of a result without what the receiver answered, which may repeat what it
// was sent: for logs, alerts and events, which others read.
func Brief(message string) string {
	if status, _, answered := strings.Cut(message, ": "); answered && strings.HasPrefix(status, "HTTP ") {
		return status
	}
	return message
}

// Result is what the sender tells of an attempt.
type Result struct {
	// Code is empty if and only if the attempt succeeded; Message explains it.
	Code, Message string
	// Status is that of the answer, 0 if there was none; Body is its text.
	Status int
	Body   string
	// RetryAfter is how long the receiver wants to be left alone, 0 if it does not say.
	RetryAfter time.Duration
	// Control is the receiver's header webhook-delivery, empty if it has none.
	Control string
	// Ended is when the attempt was over, Duration how long it took.
	Ended    time.Time
	Duration time.Duration
}

// Outcome is what happens to a delivery after an attempt.
type Outcome int

// The outcomes.
const (
	Succeeded Outcome = iota
	Retry             // there is another attempt, if the schedule has one
	Final             // there is none
	Canceled          // there is none, because the receiver wants none
)

// Verdict is what a result means.
type Verdict struct {
	Outcome Outcome
	// Hold is how long nothing at all is to be sent to the webhook, 0 mostly.
	Hold time.Duration
	// Disable is why the webhook is to be disabled at once, empty if it is not.
	Disable Reason
	// Unavailable says that the failure counts against the circuit: the receiver was
	// not reached, was overloaded or broken.
	Unavailable bool
	// Blocked says that the target's address is refused.
	Blocked bool
	// Internal says that the fault is ours, which the operator has to know.
	Internal bool
}

// Failed tells whether the attempt failed.
func (v Verdict) Failed() bool { return v.Outcome != Succeeded }

// Judge says what a result means (spec/webhooks.md §4.5).
func Judge(r Result) Verdict {
	v := Verdict{Outcome: Retry}
	switch r.Code {
	case "":
		v.Outcome = Succeeded
	case codeGone:
		v.Outcome, v.Disable = Final, ReasonGone
	case codeBlocked:
		v.Outcome, v.Blocked = Final, true
	case codeInternal:
		v.Outcome, v.Internal = Final, true
	case "http_429", "http_503":
		v.Unavailable, v.Hold = true, min(max(r.RetryAfter, 0), maxRetryAfter)
	case codeTimeout, codeConnect, codeReset, codeDNS, codeTLS:
		v.Unavailable = true
	default:
		v.Unavailable = strings.HasPrefix(r.Code, "http_5")
	}
	switch {
	case r.Control == controlAbort && v.Failed():
		v.Outcome = Canceled
	case r.Control == controlDisable && v.Disable == "":
		v.Disable = ReasonReceiver
	}
	return v
}
