// Package event is what happens: the envelope that every change of the server is
// announced in, and the names of what there is.
//
// An event is written in the transaction of the change it tells of, as one row of the
// log; realtime channels, gateway streams and webhooks are readers of that log. An
// event is never changed afterwards, with one exception: what a person deletes is
// taken out of the payloads that showed it.
package event

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
)

// Event is one row of the log.
type Event struct {
	// ID is "evt_" and a ULID; it is the same for every reader and every repetition.
	ID   string
	Type string
	// Stream, if not empty, is what the event belongs to (see [ChatStream]), and Seq
	// its number there: 1, 2, 3, … without a gap, or 0 if nobody counts (see [TicketStream]).
	Stream string
	Seq    int64
	// Ref is the message whose content the payload shows, 0 if none: its deletion
	// reaches the payload by it.
	Ref int64
	// Actor is who did it, see [User] and [Service]; empty is the server itself.
	Actor string
	// Payload is a JSON object.
	Payload json.RawMessage
	// At is when it happened, in milliseconds since 1970.
	At int64
	// Pos is the position in the log, 0 until the event has been numbered. Positions
	// rise in an order that every reader sees alike.
	Pos int64

	// row is the database's own number, by which an event is found again after commit.
	row int64
}

// New returns an event of the type with the payload, which is encoded to JSON. A payload of
// a type of the catalogue that is stored as readers see it must be as its schema wants it:
// the error is a [*PayloadError].
func New(typ string, at time.Time, payload any) (Event, error) {
	b, err := json.Marshal(payload)
	if err != nil {
		return Event{}, fmt.Errorf("encode payload of %s: %w", typ, err)
	}
	if k := builtIn[typ]; k != nil && k.view == nil {
		if err := k.Check(b); err != nil {
			return Event{}, err
		}
	}
	return Event{ID: NewID(at), Type: typ, Payload: b, At: at.UnixMilli()}, nil
}

// NewID returns a fresh event id for the time at.
func NewID(at time.Time) string {
	return "evt_" + ulid.MustNew(ulid.Timestamp(at), rand.Reader).String()
}

// WithRow returns e as the row of the log with that number; Row returns it. They are
// for who keeps the log.
func (e Event) WithRow(row int64) Event { e.row = row; return e }

// Row returns the number of the log's row, 0 if e has none.
func (e Event) Row() int64 { return e.row }

// Size is about what the event takes in memory, in bytes.
func (e *Event) Size() int { return len(e.Payload) + len(e.Stream) + len(e.Type) + len(e.Actor) + 128 }

// ChatStream is the stream of a chat.
func ChatStream(chat int64) string { return chatStream + strconv.FormatInt(chat, 10) }

// UserStream is the stream of what concerns one user.
func UserStream(user int64) string { return userStream + strconv.FormatInt(user, 10) }

// TicketStream is the stream of a ticket. Its events have no numbers: they are in the order
// of the log, and no realtime channel carries them.
func TicketStream(ticket int64) string { return "ticket:" + strconv.FormatInt(ticket, 10) }

// SystemStream is the stream of notices to everybody.
const SystemStream = "system:notifications"

const (
	chatStream = "chat:"
	userStream = "user:"
)

// StreamOf returns the chat or the user that a stream belongs to; both are 0 if it is
// neither's.
func StreamOf(stream string) (chat, user int64) {
	if id, ok := strings.CutPrefix(stream, chatStream); ok {
		return decimal(id), 0
	}
	if id, ok := strings.CutPrefix(stream, userStream); ok {
		return 0, decimal(id)
	}
	return 0, 0
}

// decimal reads an id as it is written in names: no sign, no leading zero. Anything
// else is 0.
func decimal(s string) int64 {
	if s == "" || s[0] < '1' || s[0] > '9' {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n >= 1<<53 {
		return 0
	}
	return n
}

// User is the actor that a user is.
func User(id int64) string { return "user:" + strconv.FormatInt(id, 10) }

// Service is the actor that the holder of an API key is.
func Service(key string) string { return "key:" + key }
