package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// override is one field of a sample that is to be another: "a.b=c", whose value has the
// type of the field, or "a.b:=JSON", whose value is what is written.
type override struct {
	path  []string
	text  string
	exact bool
}

func (o *override) name() string { return strings.Join(o.path, ".") }

// parseOverride reads one.
func parseOverride(text string) (override, error) {
	path, value, found := strings.Cut(text, "=")
	if !found {
		return override{}, fmt.Errorf("%q must be FIELD=VALUE or FIELD:=JSON", excerpt([]byte(text)))
	}
	o := override{text: value}
	path, o.exact = strings.CutSuffix(path, ":")
	if o.path = strings.Split(path, "."); slices.Contains(o.path, "") {
		return o, fmt.Errorf("%q names no field; it looks like title=VALUE or findings.high=VALUE", excerpt([]byte(text)))
	}
	if o.exact && !json.Valid([]byte(value)) {
		return o, fmt.Errorf("%s is not JSON: %s", o.name(), excerpt([]byte(value)))
	}
	return o, nil
}

// payloadSchema is what has to be known of the JSON Schema of a payload.
type payloadSchema struct {
	Type       oneOrMore                 `json:"type"`
	Properties map[string]*payloadSchema `json:"properties"`
	Items      *payloadSchema            `json:"items"`
}

// oneOrMore is a name, or a list of them.
type oneOrMore []string

// UnmarshalJSON implements json.Unmarshaler. What is neither says nothing.
func (o *oneOrMore) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*o = oneOrMore{one}
		return nil
	}
	var many []string
	if json.Unmarshal(b, &many) == nil {
		*o = many
	}
	return nil
}

// member is a member of an object.
type member struct {
	name  string
	value json.RawMessage
}

// members reads an object, in its order; numbers stay as they are written.
func members(object json.RawMessage) (list []member, err error) {
	d := json.NewDecoder(bytes.NewReader(object))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("is no object")
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		m := member{name: fmt.Sprint(t)}
		if err := d.Decode(&m.value); err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	_, err = d.Token()
	return list, err
}

// appendMembers writes an object.
func appendMembers(b []byte, list []member) ([]byte, error) {
	b = append(b, '{')
	for i, m := range list {
		if i > 0 {
			b = append(b, ',')
		}
		name, err := json.Marshal(m.name)
		if err != nil {
			return nil, err
		}
		b = append(append(append(b, name...), ':'), m.value...)
	}
	return append(b, '}'), nil
}

// errNoField means that a path leads nowhere.
var errNoField = errors.New("no such field")

// descend replaces what path leads to in v, of which s is the schema, nil if none is known.
// In what is open, neither sample nor schema says which fields there are. The error is
// errNoField, or says what is wrong with the value.
func (o *override) descend(path []string, v json.RawMessage, s *payloadSchema, open bool) (json.RawMessage, error) {
	v = bytes.TrimSpace(v)
	if s == nil {
		s = new(payloadSchema)
	}
	if len(path) == 0 {
		return o.value(v, s)
	}
	open = open || len(path) < len(o.path) && len(s.Properties) == 0 && slices.Contains(s.Type, "object")
	switch {
	case len(v) == 0 || v[0] == 'n':
		v, open = json.RawMessage("{}"), open || len(s.Type)+len(s.Properties) == 0
	case v[0] == '[':
		return o.element(path, v, s)
	case v[0] != '{':
		return nil, errNoField
	}
	list, err := members(v)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(list, func(m member) bool { return m.name == path[0] })
	below := s.Properties[path[0]]
	if at < 0 {
		if below == nil && !open {
			return nil, errNoField
		}
		at = len(list)
		list = append(list, member{name: path[0]})
	}
	if list[at].value, err = o.descend(path[1:], list[at].value, below, open && below == nil); err != nil {
		return nil, err
	}
	return appendMembers(nil, list)
}

// element is descend into an array.
func (o *override) element(path []string, v json.RawMessage, s *payloadSchema) (json.RawMessage, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(v, &list); err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(path[0])
	if err != nil || n < 0 || n > len(list) {
		return nil, errNoField
	}
	if n == len(list) { // one more
		list = append(list, nil)
	}
	if list[n], err = o.descend(path[1:], list[n], s.Items, false); err != nil {
		return nil, err
	}
	b := []byte{'['}
	for i, v := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, v...)
	}
	return append(b, ']'), nil
}

// Numbers of JSON.
var (
	wholeNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)
	anyNumber   = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)
)

// value is what the field becomes that was old.
func (o *override) value(old json.RawMessage, s *payloadSchema) (json.RawMessage, error) {
	if o.exact {
		return json.RawMessage(o.text), nil
	}
	switch kind := kindOf(old, s); kind {
	case "boolean":
		if o.text != "true" && o.text != "false" {
			return nil, fmt.Errorf("must be true or false, not %q", excerpt([]byte(o.text)))
		}
		return json.RawMessage(o.text), nil
	case "integer":
		if !wholeNumber.MatchString(o.text) {
			return nil, fmt.Errorf("must be a whole number, not %q", excerpt([]byte(o.text)))
		}
		return json.RawMessage(o.text), nil
	case "number":
		if !anyNumber.MatchString(o.text) {
			return nil, fmt.Errorf("must be a number, not %q", excerpt([]byte(o.text)))
		}
		if !strings.ContainsAny(o.text, ".eE") {
			return json.RawMessage(o.text + ".0"), nil
		}
		return json.RawMessage(o.text), nil
	case "object", "array":
		return nil, fmt.Errorf("is an %s: name a field of it, or write %s:=JSON", kind, o.name())
	}
	return json.Marshal(o.text)
}

// kindOf is the type of a field: what the schema says, or else what the sample has. A
// field that is null in the sample, and of which nothing is known, takes text.
func kindOf(old json.RawMessage, s *payloadSchema) string {
	var said []string
	for _, t := range s.Type {
		if t != "null" {
			said = append(said, t)
		}
	}
	if len(said) == 1 {
		return said[0]
	}
	if len(old) == 0 {
		return "string"
	}
	switch c := old[0]; {
	case c == '{':
		return "object"
	case c == '[':
		return "array"
	case c == 't' || c == 'f':
		return "boolean"
	case wholeNumber.Match(old):
		return "integer"
	case c == '-' || c >= '0' && c <= '9':
		return "number"
	}
	return "string"
}

// fieldsOf lists the paths there are in a payload, in its order, and then those that only
// the schema knows.
func fieldsOf(payload json.RawMessage, s *payloadSchema) []string {
	list, _ := members(payload)
	var names []string
	if s == nil {
		s = new(payloadSchema)
	}
	for _, m := range list {
		below := fieldsOf(m.value, s.Properties[m.name])
		if len(below) == 0 {
			names = append(names, m.name)
		}
		for _, b := range below {
			names = append(names, m.name+"."+b)
		}
	}
	var more []string
	for name := range s.Properties {
		if !slices.ContainsFunc(list, func(m member) bool { return m.name == name }) {
			more = append(more, name)
		}
	}
	slices.Sort(more)
	return append(names, more...)
}

// overridden returns a sample with all that is given in the place of what it has.
func overridden(sample json.RawMessage, s *payloadSchema, given []string) (json.RawMessage, error) {
	list, err := members(sample)
	if err != nil {
		return nil, fmt.Errorf("--override: the sample %w", err)
	}
	open, payload := len(list)+len(s.Properties) == 0, sample
	for _, text := range given {
		o, err := parseOverride(text)
		if err != nil {
			return nil, fmt.Errorf("--override %w", err)
		}
		changed, err := o.descend(o.path, payload, s, open)
		if errors.Is(err, errNoField) {
			return nil, fmt.Errorf("--override: there is no field %q; there are %s", o.name(), strings.Join(fieldsOf(sample, s), ", "))
		}
		if err != nil {
			return nil, fmt.Errorf("--override: %s %w", o.name(), err)
		}
		payload = changed
	}
	return payload, nil
}
