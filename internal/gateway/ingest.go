package gateway

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/oklog/ulid/v2"

	"github.com/kuranty/kuranty/event"
)

// Submission is an event that a service of the operator appends.
type Submission struct {
	event.Event

	// Dated tells that the service said when it happened; else that is no part of what
	// must be the same when it is sent again.
	Dated bool
}

// Log takes what services append.
type Log interface {
	// Ingest appends all of batch or nothing. What is in the log already, by its id, is not
	// appended again, and told as a duplicate; if it is another event, the error is a
	// [*ConflictError].
	Ingest(ctx context.Context, batch []Submission) (duplicate []bool, err error)
}

// ConflictError says which of a batch has an id that belongs to another event.
type ConflictError struct{ Index int }

func (e *ConflictError) Error() string {
	return fmt.Sprintf("the id of event %d belongs to another event", e.Index)
}

// IsEventID tells whether an id has the form of an event's: evt_ and a ULID.
func IsEventID(id string) bool {
	if len(id) != 4+26 || id[:4] != "evt_" {
		return false
	}
	u, err := ulid.ParseStrict(id[4:])
	return err == nil && u.String() == id[4:]
}

// EventID is the id of the event that a producer calls id. Ids in the form of ours stay;
// others stand for one each, which no other producer's id does.
func EventID(producer, id string) string {
	if IsEventID(id) {
		return id
	}
	sum := sha256.Sum256([]byte("event of " + producer + "\x00" + id))
	var u ulid.ULID
	copy(u[:], sum[:])
	return "evt_" + u.String()
}

// Stream is the stream of events that a service wants in order.
func Stream(orderingKey string) string {
	if orderingKey == "" {
		return ""
	}
	return "key:" + orderingKey
}
