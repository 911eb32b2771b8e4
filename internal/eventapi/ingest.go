package eventapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/apierror"
	"github.com/kuranty/kuranty/internal/gateway"
	"github.com/kuranty/kuranty/webhook"
)

// Bounds of what is appended.
const (
	maxBody  = 1 << 20
	maxBatch = 100
	maxID    = 128 // bytes
	maxKey   = 128 // bytes of an ordering key
	// maxAhead is how far clocks may differ.
	maxAhead = 5 * time.Minute
)

// submitted is an event as it is sent.
type submitted struct {
	Type        jsontext.Value `json:"type"`
	Data        jsontext.Value `json:"data"`
	Payload     jsontext.Value `json:"payload"`
	ID          jsontext.Value `json:"id"`
	OccurredAt  jsontext.Value `json:"occurred_at"`
	OrderingKey jsontext.Value `json:"ordering_key"`
	Sample      jsontext.Value `json:"sample"`
}

// taken is what is answered of an event.
type taken struct {
	EventID   string `json:"event_id"`
	Duplicate bool   `json:"duplicate"`
}

// ingest answers POST /v1/events: one event or a list of them, all of which are stored, or
// nothing.
func (a *API) ingest(w http.ResponseWriter, r *http.Request) error {
	if r.Header.Get("Origin") != "" && !a.o.Allowed(r) {
		return apierror.New(apierror.Forbidden, nil)
	}
	c, err := a.g.Identify(r, false)
	if err != nil {
		return err
	}
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	events, list, err := parseBody(body)
	if err != nil {
		return err
	}
	batch := make([]gateway.Submission, len(events))
	for i := range events {
		at := ""
		if list {
			at = fmt.Sprintf("%d.", i)
		}
		if batch[i], err = a.submission(&c, &events[i], at); err != nil {
			return err
		}
	}
	duplicate, err := a.o.Log.Ingest(r.Context(), batch)
	var conflict *gateway.ConflictError
	if errors.As(err, &conflict) && !list {
		return &apierror.Error{Code: apierror.IdempotencyConflict, Fields: []apierror.Field{{Name: "id", Reason: apierror.Taken}}, Cause: err}
	}
	if err != nil {
		return err
	}
	out := make([]taken, len(batch))
	for i := range batch {
		out[i] = taken{batch[i].ID, duplicate[i]}
	}
	if !list {
		return send(w, http.StatusAccepted, out[0])
	}
	return send(w, http.StatusAccepted, struct {
		Events []taken `json:"events"`
	}{out})
}

// readBody reads a body of JSON.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" { // what forms of other sites can send is not (guarantees.md S21)
		return nil, apierror.New(apierror.UnsupportedMedia, fmt.Errorf("body of type %q", kind))
	}
	if r.ContentLength > maxBody {
		return nil, &http.MaxBytesError{Limit: maxBody}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, err
	}
	return body, nil
}

// parseBody reads one event, or a list.
func parseBody(body []byte) (events []submitted, list bool, err error) {
	malformed := func(detail string) error {
		return &apierror.Error{Code: apierror.BadRequest, Fields: []apierror.Field{{Name: "body", Reason: apierror.Invalid, Text: detail}}}
	}
	body = bytes.TrimLeft(body, " \t\r\n")
	if gateway.TooDeep(body) {
		return nil, false, malformed(fmt.Sprintf("is nested deeper than %d", gateway.MaxDepth))
	}
	list = len(body) > 0 && body[0] == '['
	if list {
		var raw []jsontext.Value
		if json.Unmarshal(body, &raw) != nil {
			return nil, true, malformed("is not JSON, or names something twice")
		}
		if n := len(raw); n == 0 || n > maxBatch {
			return nil, true, &apierror.Error{Code: apierror.Validation, Fields: []apierror.Field{{
				Name: "body", Reason: apierror.TooMany, Text: fmt.Sprintf("must have 1 to %d events", maxBatch), Limit: maxBatch,
			}}}
		}
		events = make([]submitted, len(raw))
		for i, v := range raw {
			if err := events[i].read(v, fmt.Sprintf("%d.", i)); err != nil {
				return nil, true, err
			}
		}
		return events, true, nil
	}
	if !jsontext.Value(body).IsValid() {
		return nil, false, malformed("is not JSON, or names something twice")
	}
	events = make([]submitted, 1)
	return events, false, events[0].read(body, "")
}

// read reads one event.
func (s *submitted) read(v jsontext.Value, at string) error {
	if v.Kind() != '{' {
		return invalid(strings.TrimSuffix(at+"event", "."), apierror.Type, "must be an object")
	}
	var unknown *json.SemanticError
	err := json.Unmarshal(v, s, json.RejectUnknownMembers(true))
	switch {
	case errors.As(err, &unknown) && errors.Is(err, json.ErrUnknownName):
		return invalid(at+strings.TrimPrefix(string(unknown.JSONPointer), "/"), apierror.Invalid, "is not a field of an event")
	case err != nil:
		return apierror.New(apierror.BadRequest, err)
	}
	return nil
}

func invalid(field, reason, text string) error {
	return &apierror.Error{Code: apierror.Validation, Fields: []apierror.Field{{Name: field, Reason: reason, Text: text}}}
}

// submission checks an event; at begins the names of its fields.
func (a *API) submission(c *gateway.Caller, in *submitted, at string) (s gateway.Submission, err error) {
	now := a.o.Clock()
	typ, err := in.text(in.Type, at+"type", 128)
	if err != nil {
		return s, err
	}
	if typ == "" {
		return s, apierror.NewField(at+"type", apierror.Required)
	}
	k := a.g.Catalogue().Kind(typ)
	switch {
	case !c.MayPublish(typ):
		return s, &apierror.Error{Code: apierror.Forbidden, Details: map[string]any{"scope": "events:publish:" + typ}}
	case k == nil:
		return s, invalid(at+"type", apierror.Invalid, "is not registered (events.types in the configuration)")
	}
	sample, err := in.flag(in.Sample, at+"sample")
	switch {
	case err != nil:
		return s, err
	case publishable(k):
	case !sample:
		return s, invalid(at+"type", apierror.Invalid, "is the server's own: only it says that this happened")
	case !c.Admin:
		return s, &apierror.Error{Code: apierror.Forbidden, Details: map[string]any{"scope": "admin"}}
	case !k.Inert():
		return s, invalid(at+"type", apierror.Invalid, "is one that the server acts upon, so that a sample would not be one")
	}
	data, name := in.Data, "data"
	switch {
	case in.Payload != nil && in.Data != nil:
		return s, invalid(at+"payload", apierror.Invalid, "is another name of data; give one of them")
	case in.Payload != nil:
		data, name = in.Payload, "payload"
	case in.Data == nil:
		return s, apierror.NewField(at+"data", apierror.Required)
	}
	if data.Kind() != '{' {
		return s, invalid(at+name, apierror.Type, "must be an object")
	}
	if err := data.Compact(jsontext.PreserveRawStrings(false)); err != nil { // text is stored as it is meant
		return s, fmt.Errorf("compact payload: %w", err)
	}
	if n := unusable(data); n != "" {
		return s, invalid(at+name, apierror.Invalid, fmt.Sprintf("has a number that readers cannot take: %.20s", n))
	}
	if err := a.fits(data, at+name); err != nil {
		return s, err
	}
	if err := k.Check(data); err != nil {
		var wrong *event.PayloadError
		if errors.As(err, &wrong) {
			return s, invalid(at+name, apierror.Invalid, "is not as the schema of the type wants it: "+wrong.Detail)
		}
		return s, err
	}
	s.Event = event.Event{Type: k.Type, Actor: c.Subject, Payload: []byte(data), At: now.UnixMilli()}
	if s.At, s.Dated, err = in.time(at+"occurred_at", now); err != nil {
		return s, err
	}
	key, err := in.text(in.OrderingKey, at+"ordering_key", maxKey)
	if err != nil {
		return s, err
	}
	if s.Stream = gateway.Stream(key); s.Stream == "" && sample {
		s.Stream = sampleStream
	}
	id, err := in.text(in.ID, at+"id", maxID)
	switch {
	case err != nil:
		return s, err
	case id == "":
		s.ID = event.NewID(now)
	case strings.HasPrefix(id, "evt_") && !gateway.IsEventID(id):
		return s, invalid(at+"id", apierror.Invalid, "begins with evt_, but no ULID follows")
	default:
		s.ID = gateway.EventID(c.Subject, id)
	}
	return s, nil
}

// sampleStream marks samples in the log: the server's own events of these types have
// another stream, or none.
const sampleStream = "sample"

// maxDigits bounds integers.
const maxDigits = 1000

// fits tells whether webhooks can send a payload, whose canonical form is what has a size
// (webhooks.md §4.16).
func (a *API) fits(data []byte, field string) error {
	body, err := webhook.Canonical(data)
	switch {
	case errors.Is(err, webhook.ErrTooLarge) || len(body) > a.o.MaxPayload:
		return &apierror.Error{Code: apierror.TooLarge, Details: map[string]any{"field": field, "limit": a.o.MaxPayload}}
	case err != nil:
		return invalid(field, apierror.Invalid, err.Error())
	}
	return nil
}

// unusable returns a number in v that is no double, or an integer with too many digits:
// readers could not take it, and for those that compute with it exactly it would be a load.
func unusable(v jsontext.Value) string {
	d := jsontext.NewDecoder(bytes.NewBuffer(v))
	for {
		t, err := d.ReadToken()
		if err != nil {
			return "" // the end: v is valid
		}
		if t.Kind() != '0' {
			continue
		}
		text := t.String()
		if strings.ContainsAny(text, ".eE") {
			_, power, _ := strings.Cut(strings.ToLower(text), "e")
			tiny, _ := strconv.Atoi(power) // a large one is no double
			if _, err := strconv.ParseFloat(text, 64); err != nil || len(text) > maxDigits || tiny < -maxDigits || len(power) > 5 {
				return text
			}
		} else if len(strings.TrimPrefix(text, "-")) > maxDigits {
			return text
		}
	}
}

// flag reads a boolean, false if it is missing or null.
func (s *submitted) flag(v jsontext.Value, field string) (bool, error) {
	switch v.Kind() {
	case 't':
		return true, nil
	case 'f', 'n', jsontext.KindInvalid:
		return false, nil
	}
	return false, invalid(field, apierror.Type, "must be true or false")
}

// text reads a string without control characters, empty if it is missing or null.
func (s *submitted) text(v jsontext.Value, field string, most int) (string, error) {
	if len(v) == 0 || v.Kind() == 'n' {
		return "", nil
	}
	if v.Kind() != '"' {
		return "", invalid(field, apierror.Type, "must be a string")
	}
	b, err := jsontext.AppendUnquote(nil, v)
	text := string(b)
	switch {
	case err != nil || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "", invalid(field, apierror.Invalid, "has characters that it cannot have")
	case text == "":
		return "", invalid(field, apierror.Invalid, "is empty")
	case len(text) > most:
		return "", &apierror.Error{Code: apierror.Validation, Fields: []apierror.Field{{Name: field, Reason: apierror.TooLong, Limit: int64(most)}}}
	}
	return text, nil
}

// time reads when it happened.
func (s *submitted) time(field string, now time.Time) (at int64, dated bool, err error) {
	text, err := s.text(s.OccurredAt, field, 64)
	if err != nil || text == "" {
		return now.UnixMilli(), false, err
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	switch {
	case err != nil:
		return 0, false, invalid(field, apierror.Invalid, "must be a time like 2026-03-02T08:16:02Z")
	case t.After(now.Add(maxAhead)):
		return 0, false, invalid(field, apierror.Invalid, "is in the future")
	case t.Year() < 2000:
		return 0, false, invalid(field, apierror.Invalid, "is before 2000")
	}
	return t.UnixMilli(), true, nil
}
