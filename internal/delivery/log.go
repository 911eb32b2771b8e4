package delivery

import "time"

// Event is what is kept of an event for the deliveries of it. It outlives the event in the
// log, until the retention of payloads is over.
type Event struct {
	// ID, Type and Pos are those of the log.
	ID, Type string
	Pos      int64
	// Payload is the JSON object that readers see; nil once it has expired or was erased.
	Payload []byte
	// OrderingKey is what the event is about, like ticket:55; deliveries of one key are in
	// order where Settings.Ordering is OrderKey. It may be empty.
	OrderingKey string
	// Ref is the message whose content the payload shows, 0 if none: its deletion reaches the
	// payload by it.
	Ref int64
	// At is when it happened.
	At time.Time
}

// Attempt is one request of a delivery, as the delivery log keeps it (spec/webhooks.md §4.14).
type Attempt struct {
	ID, DeliveryID, WebhookID int64
	// Number counts the attempts of the delivery from 1.
	Number  int
	Trigger Trigger
	Started time.Time
	// Duration is that of the whole attempt; the others are 0 where that part did not take
	// place. FirstByte is counted from the start.
	Duration, DNS, Connect, TLS, FirstByte time.Duration
	RemoteIP, HTTPVersion                  string
	// RequestHeaders are without secrets.
	RequestHeaders, ResponseHeaders map[string][]string
	// ResponseStatus is 0 without a response. ResponseBody is all that was read of it.
	ResponseStatus    int
	ResponseBody      string
	ResponseTruncated bool
	// Code is empty if and only if the attempt succeeded.
	Code, Message string
}

// Result is what a means for the delivery. RetryAfter and Control are not kept with an
// attempt, so they are not in it.
func (a *Attempt) Result() Result {
	return Result{
		Code: a.Code, Message: a.Message, Status: a.ResponseStatus, Body: a.ResponseBody,
		Ended: a.Started.Add(a.Duration), Duration: a.Duration,
	}
}
