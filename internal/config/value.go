package config

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// value is what was written for a key, in any of the formats.
type value struct {
	kind    kind
	text    string  // of a scalar, as written
	items   []value // of a list
	entries []entry // of a section, in order
	line    int     // in the file, from 1; 0 outside files
}

// entry is a key of a section with its value.
type entry struct {
	key  string
	line int
	val  value
}

type kind uint8

const (
	null kind = iota
	text
	boolean
	number
	list
	section
)

func (k kind) String() string {
	return [...]string{"null", "text", "a boolean", "a number", "a list", "a section"}[k]
}

func textValue(s string) value { return value{kind: text, text: s} }

// zero tells whether v means "not set" for any type of key.
func (v value) zero() bool {
	switch v.kind {
	case list:
		return len(v.items) == 0
	case section:
		return !slices.ContainsFunc(v.entries, func(e entry) bool { return !e.val.zero() })
	case null:
		return true
	default:
		d, err := time.ParseDuration(v.text)
		return v.text == "" || v.text == "false" || (err == nil && d == 0)
	}
}

// get returns the value of a key of a section.
func (v value) get(key string) (value, bool) {
	for _, e := range v.entries {
		if e.key == key {
			return e.val, true
		}
	}
	return value{}, false
}

// The conversions below take what any format can write: "5" is a number and "true" a
// boolean, because the environment has nothing but text. Errors do not repeat the
// value, which may be a secret in the wrong place.

func (v value) asString() (string, error) {
	if v.kind != text && v.kind != number {
		return "", fmt.Errorf("must be text, not %v", v.kind)
	}
	return v.text, nil
}

func (v value) asBool() (bool, error) {
	if v.kind <= number {
		if b, err := strconv.ParseBool(v.text); err == nil {
			return b, nil
		}
	}
	return false, errors.New("must be true or false")
}

func (v value) asInt(bits int) (int64, error) {
	if v.kind == text || v.kind == number {
		base := 10
		if digits := strings.TrimLeft(v.text, "+-"); len(digits) > 1 && digits[0] == '0' && digits[1] > '9' {
			base = 0 // 0x, 0o and 0b of YAML and TOML
		}
		n, err := strconv.ParseInt(strings.ReplaceAll(v.text, "_", ""), base, bits)
		if err == nil {
			return n, nil
		}
		if errors.Is(err, strconv.ErrRange) {
			return 0, errors.New("is too large")
		}
	}
	return 0, errors.New("must be a whole number")
}

func (v value) asDuration() (time.Duration, error) {
	if v.kind == text || v.kind == number {
		if d, err := time.ParseDuration(v.text); err == nil {
			return d, nil
		}
		if _, err := strconv.ParseFloat(v.text, 64); err == nil {
			return 0, fmt.Errorf("needs a unit, as in \"%ss\"", v.text)
		}
	}
	return 0, errors.New(`must be a duration such as "300s" or "1h30m"`)
}

func (v value) asFloat() (float64, error) {
	if v.kind == text || v.kind == number {
		if x, err := strconv.ParseFloat(v.text, 64); err == nil && !math.IsNaN(x) && !math.IsInf(x, 0) {
			return x, nil
		}
	}
	return 0, errors.New("must be a number")
}

// asInts takes a list, or text with spaces between the elements; empty text is nil.
func (v value) asInts() ([]int, error) {
	if v.kind != text && v.kind != list {
		return nil, fmt.Errorf("must be a list of whole numbers, not %v", v.kind)
	}
	items, err := v.asStrings()
	if err != nil {
		return nil, errors.New("each element must be a whole number")
	}
	var out []int
	if v.kind == list {
		out = make([]int, 0, len(items))
	}
	for _, item := range items {
		n, err := textValue(item).asInt(strconv.IntSize)
		if err != nil {
			return nil, fmt.Errorf("each element %w", err)
		}
		out = append(out, int(n))
	}
	return out, nil
}

// asStrings takes a list, or text with spaces between the elements.
func (v value) asStrings() ([]string, error) {
	if v.kind == text {
		return strings.Fields(v.text), nil
	}
	if v.kind != list {
		return nil, fmt.Errorf("must be a list of texts, not %v", v.kind)
	}
	out := make([]string, 0, len(v.items))
	for _, item := range v.items {
		s, err := item.asString()
		if err != nil {
			return nil, fmt.Errorf("each element %w", err)
		}
		out = append(out, s)
	}
	return out, nil
}
