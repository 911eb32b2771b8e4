package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// A Format is how an event becomes a body (webhooks.md §4.15).
type Format string

// The formats. All but FormatCompact are canonical.
const (
	FormatPlain       Format = "plain"       // the payload itself
	FormatCompact     Format = "compact"     // the payload, as JSON.stringify writes it
	FormatEnvelope    Format = "envelope"    // {"data", "id", "timestamp", "type"}
	FormatCloudEvents Format = "cloudevents" // CloudEvents 1.0, structured mode
)

// An Event is what a body tells of.
type Event struct {
	ID         string
	Type       string
	OccurredAt time.Time
	Payload    json.RawMessage // an object
	Source     string          // CloudEvents: the URI of who sends
	Subject    string          // CloudEvents: what events are ordered by; may be empty
	Sequence   int64           // CloudEvents: position in the log; not told when 0
}

// sequenceDigits make the text of a sequence sort as its number does.
const sequenceDigits = 20

// ErrFormat is returned for a format that does not exist.
var ErrFormat = errors.New("not a format")

// ContentType returns the media type of the bodies of a format.
func (f Format) ContentType() string {
	if f == FormatCloudEvents {
		return "application/cloudevents+json"
	}
	return "application/json"
}

// Body writes the body of an event. The same event always gives the same bytes. Errors are
// [ErrPayload], [ErrFormat], and for FormatPlain [ErrTooLarge].
func (f Format) Body(e *Event) ([]byte, error) {
	switch f {
	case FormatPlain:
		return Canonical(e.Payload)
	case FormatCompact:
		return Compact(e.Payload)
	case FormatEnvelope, FormatCloudEvents:
		payload, err := parse(e.Payload)
		if err != nil {
			return nil, err
		}
		return appendCanonical(nil, f.wrap(e, payload)), nil
	}
	return nil, fmt.Errorf("%w: %q", ErrFormat, string(f))
}

func (f Format) wrap(e *Event, payload object) object {
	if f == FormatEnvelope {
		return object{{"data", payload}, {"id", e.ID}, {"timestamp", FormatTime(e.OccurredAt)}, {"type", e.Type}}
	}
	o := object{
		{"data", payload},
		{"datacontenttype", "application/json"},
		{"id", e.ID},
		{"source", e.Source},
		{"specversion", "1.0"},
		{"time", FormatTime(e.OccurredAt)},
		{"type", e.Type},
	}
	if e.Sequence > 0 {
		o = append(o, member{"sequence", FormatSequence(e.Sequence)})
	}
	if e.Subject != "" {
		o = append(o, member{"subject", e.Subject})
	}
	return o
}

// Describe adds the attributes of an event to the header of a request whose body is the payload
// alone (CloudEvents HTTP binding 1.0.2, section 3.1).
func (e *Event) Describe(h http.Header) {
	h["Ce-Specversion"] = []string{"1.0"}
	h["Ce-Id"] = []string{e.ID}
	h["Ce-Source"] = []string{e.Source}
	h["Ce-Type"] = []string{e.Type}
	h["Ce-Time"] = []string{FormatTime(e.OccurredAt)}
	if e.Sequence > 0 {
		h["Ce-Sequence"] = []string{FormatSequence(e.Sequence)}
	}
	if e.Subject != "" {
		h["Ce-Subject"] = []string{percentEncoded(e.Subject)}
	}
}

// percentEncoded is a text as such a header has it (section 3.1.3.2).
func percentEncoded(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c < '!' || c > '~' || c == '"' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// FormatSequence writes a position so that texts sort as positions do: 20 digits.
func FormatSequence(n int64) string { return fmt.Sprintf("%0*d", sequenceDigits, n) }

// FormatTime writes a time as bodies and the API do: RFC 3339 in UTC, no fraction when
// it is zero, otherwise three digits or six (webhooks.md §1.4).
func FormatTime(t time.Time) string {
	t = t.UTC().Truncate(time.Microsecond)
	layout := "2006-01-02T15:04:05.000000Z"
	switch {
	case t.Nanosecond() == 0:
		layout = "2006-01-02T15:04:05Z"
	case t.Nanosecond()%int(time.Millisecond) == 0:
		layout = "2006-01-02T15:04:05.000Z"
	}
	return t.Format(layout)
}
