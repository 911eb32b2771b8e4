package delivery

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/kuranty/kuranty/webhook"
)

// Input reads the values of a request about webhooks, one by one. What is wrong with them
// is gathered, so that all of it is told at once: see [Invalid]. A value that is absent, or
// null, is the zero value of its kind.
type Input struct {
	// where the values are: "body", "query" or "path".
	where   string
	members map[string]json.RawMessage
	errs    []FieldError
}

// Body reads a JSON object. A body with nothing in it is one without members. The error is
// an [*InvalidError].
func Body(raw []byte) (*Input, error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		raw = []byte("{}")
	}
	b, err := open(raw)
	if err != nil {
		return nil, err
	}
	return &Input{where: "body", members: b.members}, nil
}

// Query reads the parameters of an address. Of one that is given twice the last counts.
func Query(values url.Values) *Input {
	in := &Input{where: "query", members: map[string]json.RawMessage{}}
	for name, all := range values {
		in.members[name] = quoted(all[len(all)-1])
	}
	return in
}

// Path reads a part of a path.
func Path(name, value string) *Input {
	return &Input{where: "path", members: map[string]json.RawMessage{name: quoted(value)}}
}

func quoted(s string) json.RawMessage {
	b, _ := json.Marshal(s) // of a string
	return b
}

// Invalid returns what is wrong with inputs, in their order, as an [*InvalidError]; nil if
// nothing is.
func Invalid(inputs ...*Input) error {
	var all []FieldError
	for _, in := range inputs {
		all = append(all, in.errs...)
	}
	if len(all) == 0 {
		return nil
	}
	return &InvalidError{all}
}

// Refuse records that a value is wrong for a reason that its reader does not know.
func (in *Input) Refuse(name, reason string) {
	in.fail(name, wrong("%s", reason), in.members[name])
}

func (in *Input) fail(name string, p *problem, input json.RawMessage) {
	in.errs = append(in.errs, FieldError{Type: p.typ, Loc: append([]any{in.where, name}, p.at...), Msg: p.msg, Input: repeated(input), Ctx: p.ctx})
}

// repeated is what was sent as an answer can say it again.
func repeated(input json.RawMessage) json.RawMessage {
	if input == nil {
		return nil
	}
	return bytes.ToValidUTF8(input, []byte("\ufffd"))
}

// Given tells whether a value is there and not null.
func (in *Input) Given(name string) bool {
	raw, ok := in.members[name]
	return ok && !isNull(raw)
}

// Require records which of the values are not given.
func (in *Input) Require(names ...string) {
	for _, name := range names {
		if !in.Given(name) {
			in.fail(name, missing(), nil)
		}
	}
}

// take reads a value that is given, and records what is wrong with it.
func take[T any](in *Input, name string, read func(json.RawMessage) (T, *problem)) (v T) {
	if !in.Given(name) {
		return v
	}
	v, p := read(in.members[name])
	if p != nil {
		in.fail(name, p, in.members[name])
	}
	return v
}

// Text reads a string of least to most characters.
func (in *Input) Text(name string, least, most int) string {
	return take(in, name, func(raw json.RawMessage) (string, *problem) { return text(raw, least, most) })
}

// Integer reads a whole number from least to most, which is absent if it is not given.
func (in *Input) Integer(name string, least, most, absent int) int {
	if !in.Given(name) {
		return absent
	}
	return take(in, name, func(raw json.RawMessage) (int, *problem) { return integer(raw, least, most) })
}

// ID reads the number of something. One that is larger than any is 0, which nothing has.
func (in *Input) ID(name string) int64 {
	const most = math.MaxInt
	return take(in, name, func(raw json.RawMessage) (int64, *problem) {
		n, p := integer(raw, -most, most)
		if p != nil && (p.typ == tooBig(most).typ || p.typ == tooSmall(0).typ) {
			return 0, nil
		}
		return int64(n), p
	})
}

// Bool reads true or false; nil if it is not given.
func (in *Input) Bool(name string) *bool {
	return take(in, name, func(raw json.RawMessage) (*bool, *problem) {
		v, p := boolean(raw)
		return &v, p
	})
}

// Time reads a time like 2026-03-02T08:15:30Z.
func (in *Input) Time(name string) time.Time {
	return take(in, name, func(raw json.RawMessage) (time.Time, *problem) {
		var s string
		_ = json.Unmarshal(raw, &s) // what is no string is no time
		t, err := time.Parse(time.RFC3339Nano, s)
		if err != nil || t.Year() < 1970 || t.Year() > 9999 {
			return time.Time{}, &problem{typ: "datetime_parsing", msg: "Input should be a valid datetime, like 2026-03-02T08:15:30Z"}
		}
		return t.UTC().Truncate(time.Microsecond), nil
	})
}

// Texts reads a list of up to most strings, each of 1 to longest characters.
func (in *Input) Texts(name string, most, longest int) []string {
	return in.list(name, most, func(raw json.RawMessage) (string, *problem) { return text(raw, 1, longest) })
}

// Patterns reads a list of types and patterns.
func (in *Input) Patterns(name string) []string {
	return in.list(name, maxEventTypes, func(raw json.RawMessage) (string, *problem) { return pattern(raw, nil) })
}

func (in *Input) list(name string, most int, read func(json.RawMessage) (string, *problem)) []string {
	return take(in, name, func(raw json.RawMessage) ([]string, *problem) {
		elements, p := list(raw, 0, most)
		if p != nil {
			return nil, p
		}
		all := make([]string, len(elements))
		for i, element := range elements {
			if all[i], p = read(element); p != nil {
				return nil, p.below(i)
			}
		}
		return all, nil
	})
}

// Object reads a JSON object, as it is written.
func (in *Input) Object(name string) json.RawMessage {
	return take(in, name, func(raw json.RawMessage) (json.RawMessage, *problem) {
		if raw[0] != '{' {
			return nil, notObject()
		}
		return slices.Clone(raw), nil
	})
}

// Headers reads an object of strings; the names are in lower case. What is wrong with it is told
// without it.
func (in *Input) Headers(name string) map[string]string {
	if !in.Given(name) {
		return nil
	}
	members, p := object(in.members[name])
	all := make(map[string]string, len(members))
	for _, key := range slices.Sorted(maps.Keys(members)) {
		s, wrong := text(members[key], 0, 0)
		if wrong != nil {
			p = wrong.below(key)
			break
		}
		all[strings.ToLower(key)] = s
	}
	if p != nil {
		in.fail(name, p, nil)
	}
	return all
}

// Secret reads a secret; what is wrong with it is told without it.
func (in *Input) Secret(name string) (s webhook.Secret) {
	if !in.Given(name) || isEmptyString(in.members[name]) {
		return s
	}
	s, p := secret(in.members[name], nil)
	if p != nil {
		in.fail(name, p, nil)
	}
	return s
}
