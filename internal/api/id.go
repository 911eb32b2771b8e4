package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
)

// ID is the number of a user, chat or message. A decimal string is taken as well
// (chat-api.md §0.1).
type ID int64

// maxID is the greatest integer that every JSON reader keeps exact.
const maxID = 1<<53 - 1

var errID = errors.New("is not an id")

// UnmarshalJSON reads a positive integer, or one in quotes.
func (id *ID) UnmarshalJSON(b []byte) error {
	if len(b) >= 2 && b[0] == '"' && b[len(b)-1] == '"' {
		b = b[1 : len(b)-1]
	} else if bytes.Equal(b, []byte("null")) {
		return nil
	}
	return id.UnmarshalText(b)
}

// UnmarshalText reads a positive decimal integer, without a sign or leading zeros.
func (id *ID) UnmarshalText(b []byte) error {
	if len(b) == 0 || len(b) > 16 || b[0] < '1' || b[0] > '9' {
		return errID
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil || n > maxID {
		return errID
	}
	*id = ID(n)
	return nil
}

// Schema describes both ways of writing.
func (ID) Schema(huma.Registry) *huma.Schema {
	lowest, highest := 1.0, float64(maxID)
	s := &huma.Schema{OneOf: []*huma.Schema{
		{Type: huma.TypeInteger, Format: "int64", Minimum: &lowest, Maximum: &highest},
		{Type: huma.TypeString, Pattern: "^[1-9][0-9]{0,15}$"},
	}}
	for _, one := range s.OneOf {
		one.PrecomputeMessages()
	}
	s.PrecomputeMessages()
	return s
}

func numbers(ids []ID) []int64 {
	out := make([]int64, len(ids))
	for i, id := range ids {
		out[i] = int64(id)
	}
	return out
}

// maybe is a member that may be left out, which keeps what is there, or null, which is
// the zero value.
type maybe[T any] struct {
	given bool
	value T
}

// UnmarshalJSON is called for null too.
func (m *maybe[T]) UnmarshalJSON(b []byte) error {
	m.given = true
	if bytes.Equal(b, []byte("null")) {
		return nil
	}
	return json.Unmarshal(b, &m.value)
}

// pointer is nil for what was left out.
func (m *maybe[T]) pointer() *T {
	if !m.given {
		return nil
	}
	return &m.value
}

// Schema is that of T, or null.
func (maybe[T]) Schema(r huma.Registry) *huma.Schema {
	s := *r.Schema(reflect.TypeFor[T](), true, "")
	if len(s.OneOf) > 0 {
		null := &huma.Schema{Enum: []any{nil}} // the library does not know the type null
		null.PrecomputeMessages()
		s.OneOf = append(slices.Clone(s.OneOf), null)
		return &s
	}
	s.Nullable = s.Type != "" // what may be anything may be null
	return &s
}
