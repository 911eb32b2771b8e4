package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
)

// Bounds of a filter.
const (
	maxFilterBytes = 2048
	maxFilterDepth = 8
)

// Filter is a condition on events (event-gateway.md §11): all of its keys hold. A key is a
// path such as data.roomId; its value a scalar, which the event must have there, a list, of
// which it must have one, or an object of operators, all of which hold:
//
//	$eq $ne $in $nin      equal to, one of; numbers by value, $ne and $nin also where nothing is
//	$gt $gte $lt $lte     of numbers by value, of strings by code points; false for anything else
//	$prefix $suffix       of strings
//	$exists               true or false: whether there is something, null included
//
// Beside paths there are $or, a list of conditions of which one holds, and $not, a
// condition that does not. Where a path meets a list, one of its elements is enough. The
// zero Filter passes everything. Filters are safe for concurrent use.
type Filter struct{ all []test }

// test is one condition on an event.
type test func(doc map[string]any) bool

// FilterError says what is wrong in a filter, at the place Path.
type FilterError struct{ Path, Detail string }

func (e *FilterError) Error() string {
	if e.Path == "" {
		return "filter: " + e.Detail
	}
	return "filter: " + e.Path + ": " + e.Detail
}

// ParseFilter reads a filter of at most 2 KiB. If roots are given, each path begins with one of
// them. The error is a [*FilterError].
func ParseFilter(b []byte, roots ...string) (Filter, error) {
	if len(b) > maxFilterBytes {
		return Filter{}, &FilterError{"", fmt.Sprintf("has %d bytes; %d are allowed", len(b), maxFilterBytes)}
	}
	v, err := decode(b)
	if err != nil {
		return Filter{}, &FilterError{"", "is not JSON"}
	}
	m, ok := v.(map[string]any)
	if !ok {
		return Filter{}, &FilterError{"", "must be an object"}
	}
	all, err := paths(roots).conditions("", m, 0)
	return Filter{all}, err
}

// decode reads JSON with numbers as they are written.
func decode(b []byte) (v any, err error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one value")
	}
	return v, nil
}

// Document is what filters look at: an event's fields by the names readers know them by.
type Document map[string]any

// Empty tells whether the filter passes everything.
func (f Filter) Empty() bool { return len(f.all) == 0 }

// Pass tells whether an event passes.
func (f Filter) Pass(doc Document) bool { return holds(f.all, doc) }

func holds(all []test, doc map[string]any) bool {
	for _, t := range all {
		if !t(doc) {
			return false
		}
	}
	return true
}

// paths are how paths may begin; any way if there are none.
type paths []string

// conditions reads an object of paths, $or and $not.
func (p paths) conditions(path string, m map[string]any, depth int) (all []test, err error) {
	if depth > maxFilterDepth {
		return nil, &FilterError{path, fmt.Sprintf("is deeper than %d", maxFilterDepth)}
	}
	for key, value := range m {
		at := strings.TrimPrefix(path+"."+key, ".")
		var t test
		switch {
		case key == "$or":
			t, err = p.either(at, value, depth)
		case key == "$not":
			inner, ok := value.(map[string]any)
			if !ok {
				return nil, &FilterError{at, "must be an object"}
			}
			not, failed := p.conditions(at, inner, depth+1)
			t, err = func(doc map[string]any) bool { return !holds(not, doc) }, failed
		case key == "" || strings.HasPrefix(key, "$") || slices.Contains(strings.Split(key, "."), ""):
			return nil, &FilterError{at, "is no path; besides paths there are $or and $not"}
		default:
			path := strings.Split(key, ".")
			if len(p) > 0 && !slices.Contains(p, path[0]) {
				return nil, &FilterError{at, "is nothing that events have here: paths begin with " + strings.Join(p, " or ")}
			}
			t, err = onPath(at, path, value)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

func (p paths) either(path string, value any, depth int) (test, error) {
	list, ok := value.([]any)
	if !ok || len(list) == 0 {
		return nil, &FilterError{path, "must be a list of conditions"}
	}
	ones := make([][]test, len(list))
	for i, v := range list {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, &FilterError{path, "must be a list of conditions"}
		}
		var err error
		if ones[i], err = p.conditions(fmt.Sprintf("%s.%d", path, i), m, depth+1); err != nil {
			return nil, err
		}
	}
	return func(doc map[string]any) bool {
		return slices.ContainsFunc(ones, func(all []test) bool { return holds(all, doc) })
	}, nil
}

// check is a condition on the values found at a path; there may be none.
type check func(found []any) bool

// onPath reads what must hold at a path.
func onPath(at string, path []string, value any) (test, error) {
	var checks []check
	switch v := value.(type) {
	case []any:
		c, err := operator(at, "$in", v)
		if err != nil {
			return nil, err
		}
		checks = []check{c}
	case map[string]any:
		if len(v) == 0 {
			return nil, &FilterError{at, "has no operator"}
		}
		for op, operand := range v {
			c, err := operator(at, op, operand)
			if err != nil {
				return nil, err
			}
			checks = append(checks, c)
		}
	default:
		checks = []check{some(func(got any) bool { return equal(got, v) })}
	}
	return func(doc map[string]any) bool {
		found := lookUp(nil, doc, path)
		for _, c := range checks {
			if !c(found) {
				return false
			}
		}
		return true
	}, nil
}

// lookUp appends the values at a path. A list stands for its elements, and for itself.
func lookUp(found []any, v any, path []string) []any {
	if len(path) == 0 {
		found = append(found, v)
		if list, ok := v.([]any); ok {
			found = append(found, list...)
		}
		return found
	}
	switch v := v.(type) {
	case map[string]any:
		if inner, ok := v[path[0]]; ok {
			return lookUp(found, inner, path[1:])
		}
	case Document:
		return lookUp(found, map[string]any(v), path)
	case []any:
		for _, element := range v {
			if _, ok := element.(map[string]any); ok {
				found = lookUp(found, element, path)
			}
		}
	}
	return found
}

func some(is func(any) bool) check {
	return func(found []any) bool { return slices.ContainsFunc(found, is) }
}

func none(is func(any) bool) check {
	return func(found []any) bool { return !slices.ContainsFunc(found, is) }
}

// operator reads one operator and its operand.
func operator(at, op string, operand any) (check, error) {
	at += "." + op
	switch op {
	case "$eq", "$ne":
		if !scalar(operand) {
			return nil, &FilterError{at, "must be a string, a number, true, false or null"}
		}
		is := func(got any) bool { return equal(got, operand) }
		if op == "$ne" {
			return none(is), nil
		}
		return some(is), nil
	case "$in", "$nin":
		list, ok := operand.([]any)
		if !ok || slices.ContainsFunc(list, func(v any) bool { return !scalar(v) }) {
			return nil, &FilterError{at, "must be a list of strings, numbers, true, false or null"}
		}
		is := func(got any) bool { return slices.ContainsFunc(list, func(v any) bool { return equal(got, v) }) }
		if op == "$nin" {
			return none(is), nil
		}
		return some(is), nil
	case "$gt", "$gte", "$lt", "$lte":
		if _, text := operand.(string); !text && number(operand) == nil {
			return nil, &FilterError{at, "must be a number or a string"}
		}
		return some(func(got any) bool {
			n, ok := compare(got, operand)
			return ok && (op == "$gt" && n > 0 || op == "$gte" && n >= 0 || op == "$lt" && n < 0 || op == "$lte" && n <= 0)
		}), nil
	case "$prefix", "$suffix":
		part, ok := operand.(string)
		if !ok {
			return nil, &FilterError{at, "must be a string"}
		}
		has := strings.HasPrefix
		if op == "$suffix" {
			has = strings.HasSuffix
		}
		return some(func(got any) bool {
			s, ok := got.(string)
			return ok && has(s, part)
		}), nil
	case "$exists":
		want, ok := operand.(bool)
		if !ok {
			return nil, &FilterError{at, "must be true or false"}
		}
		return func(found []any) bool { return (len(found) > 0) == want }, nil
	}
	return nil, &FilterError{at, "is no operator: use $eq, $ne, $in, $nin, $gt, $gte, $lt, $lte, $prefix, $suffix or $exists"}
}

func scalar(v any) bool {
	switch v.(type) {
	case nil, string, bool, json.Number:
		return true
	}
	return false
}

func equal(a, b any) bool {
	if x, y := number(a), number(b); x != nil && y != nil {
		return x.Cmp(y) == 0
	}
	return scalar(a) && scalar(b) && a == b
}

// compare orders two numbers or two strings.
func compare(a, b any) (n int, ok bool) {
	if x, y := number(a), number(b); x != nil && y != nil {
		return x.Cmp(y), true
	}
	x, okX := a.(string)
	y, okY := b.(string)
	return strings.Compare(x, y), okX && okY
}

// maxNumber bounds the digits of numbers that are compared; longer ones are none.
const maxNumber = 64

// number is the value of a number, exactly; nil for anything else.
func number(v any) *big.Float {
	n, ok := v.(json.Number)
	if !ok || len(n) > maxNumber {
		return nil
	}
	f, _, err := big.ParseFloat(string(n), 10, 256, big.ToNearestEven)
	if err != nil {
		return nil
	}
	return f
}

// NewDocument is what filters look at of an event: its own fields, and its payload under
// the names of both surfaces, data and payload.
func NewDocument(k *Kind, e *Event, payload []byte) (Document, error) {
	data, err := decode(payload)
	if err != nil {
		return nil, fmt.Errorf("payload of %s %s: %w", e.Type, e.ID, err)
	}
	return Document{
		"id": e.ID, "event": e.Type, "type": e.Type, "channel": k.Channel, "actor": e.Actor, "data": data, "payload": data,
	}, nil
}
