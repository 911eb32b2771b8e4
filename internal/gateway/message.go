package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/kuranty/kuranty/event"
)

// Codes of errors (event-gateway.md §6) and of closes (§6.1).
const (
	codeAuth        = "4001"
	codeForbidden   = "4002"
	codeMalformed   = "4003"
	codeLimit       = "4004"
	codeUnknown     = "4005"
	codeInternal    = "5001"
	codeUnavailable = "5002"

	closeNormal    = 1000
	closeInternal  = 1011
	closeRestart   = 1012
	closeOverload  = 1013
	closeAuth      = 4001
	closeMalformed = 4003
	closeSlow      = 4008
	closeSilent    = 4009
	closeRate      = 4029
	closeTooMany   = 4030
)

// Bounds of what a client says.
const (
	maxNames    = 100 // in one frame
	maxName     = 128 // characters
	maxID       = 64
	maxConsumer = 64

	// MaxDepth is how many brackets may be within each other.
	MaxDepth = 32
)

// frame is a message of a client. Its fields stand at the top, or in data.
type frame struct {
	Type string
	ID   string

	Token       string
	Channels    []string
	Events      []string
	Filter      json.RawMessage
	LastEventID string
	OnLost      string
	Consumer    string
	Overflow    string
	All         bool
	EventID     string // of ack
}

// malformed is a message that cannot be understood; it says which field is wrong.
type malformed struct{ detail string }

func (m *malformed) Error() string { return m.detail }

// parseFrame reads a message. The error is a [*malformed]; the frame has the id even so, if
// it could be read.
func parseFrame(b []byte) (f frame, err error) {
	if TooDeep(b) {
		return f, &malformed{fmt.Sprintf("the message is nested deeper than %d", MaxDepth)}
	}
	var top map[string]json.RawMessage
	if err := json.Unmarshal(b, &top); err != nil || top == nil {
		return f, &malformed{"the message is not a JSON object"}
	}
	var data map[string]json.RawMessage
	_ = json.Unmarshal(top["data"], &data) // whatever else data is, it has no fields
	at := func(name string) json.RawMessage {
		if v, ok := top[name]; ok {
			return v
		}
		return data[name]
	}
	if err := text(top["type"], "type", &f.Type); err != nil {
		return f, err
	}
	if f.Type == "ack" { // its id is the event's
		return f, text(at("id"), "id", &f.EventID)
	}
	if f.ID, err = requestID(top["id"]); err != nil {
		return f, err
	}
	if f.Channels, err = names(at("channels"), "channels"); err != nil {
		return f, err
	}
	if f.Events, err = names(at("events"), "events"); err != nil {
		return f, err
	}
	if n := len(f.Channels) + len(f.Events); n > maxNames {
		return f, &malformed{fmt.Sprintf("channels and events have %d names; %d are allowed in a message", n, maxNames)}
	}
	if f.Type == "resume" {
		if err := text(at("token"), "token", &f.Token); err != nil {
			return f, err
		}
		return f, text(at("lastEventId"), "lastEventId", &f.LastEventID)
	}
	if all := at("all"); len(all) > 0 && json.Unmarshal(all, &f.All) != nil {
		return f, &malformed{"all must be true or false"}
	}
	f.Filter = at("filter")
	return f, errors.Join(
		text(at("token"), "token", &f.Token), text(at("lastEventId"), "lastEventId", &f.LastEventID), text(at("onLost"), "onLost", &f.OnLost),
		text(at("consumer"), "consumer", &f.Consumer), text(at("overflow"), "overflow", &f.Overflow))
}

// text reads a string that may be missing or null.
func text(b json.RawMessage, name string, into *string) error {
	if len(b) == 0 {
		return nil
	}
	var s *string
	if json.Unmarshal(b, &s) != nil {
		return &malformed{name + " must be a string"}
	}
	if s != nil {
		*into = *s
	}
	return nil
}

// requestID reads the id of a request: a string or an integer.
func requestID(b json.RawMessage) (string, error) {
	if len(b) == 0 || string(b) == "null" {
		return "", nil
	}
	if s := string(b); s[0] != '"' {
		if _, err := strconv.ParseInt(s, 10, 64); err != nil {
			return "", &malformed{"id must be a string or an integer"}
		}
		return s, nil
	}
	var s string
	if json.Unmarshal(b, &s) != nil || utf8.RuneCountInString(s) > maxID {
		return "", &malformed{fmt.Sprintf("id must have at most %d characters", maxID)}
	}
	return s, nil
}

// names reads a list of names; one string is a list of one.
func names(b json.RawMessage, field string) ([]string, error) {
	if len(b) == 0 || string(b) == "null" {
		return nil, nil
	}
	var list []json.RawMessage
	if b[0] == '"' {
		list = []json.RawMessage{b}
	} else if json.Unmarshal(b, &list) != nil {
		return nil, &malformed{field + " must be a list of strings"}
	}
	if len(list) > maxNames {
		return nil, &malformed{fmt.Sprintf("%s has %d names; %d are allowed in a message", field, len(list), maxNames)}
	}
	found := make([]string, 0, len(list))
	for _, v := range list {
		var s string
		if len(v) == 0 || v[0] != '"' || json.Unmarshal(v, &s) != nil {
			return nil, &malformed{field + " must be a list of strings"}
		}
		if n := utf8.RuneCountInString(s); n == 0 || n > maxName {
			return nil, &malformed{fmt.Sprintf("names in %s have 1 to %d characters", field, maxName)}
		}
		found = append(found, s)
	}
	return found, nil
}

// TooDeep counts brackets outside strings before anything is built of them: more than
// [MaxDepth] within each other are too many.
func TooDeep(b []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// timeFormat is that of all timestamps.
const timeFormat = "2006-01-02T15:04:05.000Z"

// encode is json.Marshal without escapes for HTML.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("gateway: %v", err)) // only our own types are encoded
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// message is the envelope of what is no event.
func message(typ, id string, now time.Time, data any) []byte {
	return encode(struct {
		Type      string `json:"type"`
		ID        string `json:"id"`
		Timestamp string `json:"timestamp"`
		Data      any    `json:"data"`
	}{typ, id, now.UTC().Format(timeFormat), data})
}

// problem is the data of an error message.
type problem struct {
	Code      string   `json:"code"`
	Message   string   `json:"message"`
	Reason    string   `json:"reason,omitempty"`
	RequestID string   `json:"requestId,omitempty"`
	Channels  []string `json:"channels,omitempty"`
	Events    []string `json:"events,omitempty"`
	Retryable bool     `json:"retryable"`
	// ReconnectAfter is in milliseconds.
	ReconnectAfter int64 `json:"reconnectAfter,omitempty"`
}

// maxMessage is how large an event's message may be; one of the documented clients takes
// up to 1 MiB.
const maxMessage = 512 << 10

// fitting is the payload of an event for a message: itself, or where it is shown whole.
func fitting(e *event.Event, payload []byte) []byte {
	if len(payload) <= maxMessage-1024 {
		return payload
	}
	return fmt.Appendf(nil, `{"truncated":true,"href":"/v1/events/%s"}`, e.ID)
}

// appendEvent appends the message of an event in the documented form.
func appendEvent(b []byte, k *event.Kind, e *event.Event, payload []byte, replayed bool) []byte {
	b = append(append(b, `{"type":"event","id":"`...), e.ID...)
	b = time.UnixMilli(e.At).UTC().AppendFormat(append(b, `","timestamp":"`...), timeFormat)
	b = append(append(append(append(b, `","event":"`...), k.Type...), `","channel":"`...), k.Channel...)
	b = strconv.AppendInt(append(b, `","seq":`...), e.Pos, 10)
	if replayed {
		b = append(b, `,"replayed":true`...)
	}
	return append(append(append(b, `,"data":`...), payload...), '}')
}

// appendCloudEvent appends an event as CloudEvents 1.0 in JSON.
func appendCloudEvent(b []byte, k *event.Kind, e *event.Event, payload []byte, source string) []byte {
	b = append(append(b, `{"specversion":"1.0","id":"`...), e.ID...)
	b = append(append(b, `","source":`...), encode(source)...)
	b = append(append(append(b, `,"type":"`...), k.Type...), `"`...)
	if e.Stream != "" {
		b = append(append(b, `,"subject":`...), encode(e.Stream)...)
	}
	b = time.UnixMilli(e.At).UTC().AppendFormat(append(b, `,"time":"`...), timeFormat)
	b = fmt.Appendf(b, `","datacontenttype":"application/json","sequence":"%020d","data":`, e.Pos)
	return append(append(b, payload...), '}')
}

// adminTime is the form of timestamps of the admin socket: UTC, seconds, no zone.
const adminTime = "2006-01-02T15:04:05"

// appendAdminEvent appends an event as the admin socket has it (event-gateway.md §15).
func appendAdminEvent(b []byte, k *event.Kind, e *event.Event, payload []byte) []byte {
	at := time.UnixMilli(e.At).UTC()
	b = append(append(b, `{"type":"`...), k.Type...)
	b = append(append(b, `","payload":`...), payload...)
	b = at.AppendFormat(append(b, `,"timestamp":"`...), adminTime)
	b = append(append(b, `","id":"`...), e.ID...)
	return append(at.AppendFormat(append(b, `","occurred_at":"`...), timeFormat), `"}`...)
}
