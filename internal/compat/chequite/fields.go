package chequite

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/kuranty/kuranty/internal/apierror"
)

// fields are what a body says, whichever form it has: names and values, which are
// string, number, bool, nil, []any or map[string]any. Of a form all are strings.
type fields map[string]any

// number is a number of JSON as it is written.
type number string

// id reads an id: a number, or its decimal digits as text. It is 0 if there is none.
func (f fields) id(name string) (int64, error) {
	switch v := f[name].(type) {
	case nil:
		return 0, nil
	case number:
		if id, ok := parseID(string(v)); ok {
			return id, nil
		}
	case string:
		if v == "" {
			return 0, nil
		}
		if id, ok := parseID(v); ok {
			return id, nil
		}
	}
	return 0, wrongType(name)
}

// text reads a text; it is empty if there is none.
func (f fields) text(name string) (string, error) {
	switch v := f[name].(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	}
	return "", wrongType(name)
}

// flag reads a boolean; given is false if there is none.
func (f fields) flag(name string) (value, given bool, err error) {
	var ok bool
	switch v := f[name].(type) {
	case nil:
		return false, false, nil
	case bool:
		return v, true, nil
	case number:
		value, ok = parseFlag(string(v))
	case string:
		if v == "" {
			return false, false, nil
		}
		value, ok = parseFlag(v)
	}
	if !ok {
		return false, false, wrongType(name)
	}
	return value, true, nil
}

// list reads a list of objects, or nil.
func (f fields) list(name string) ([]fields, error) {
	var values []any
	switch v := f[name].(type) {
	case nil:
		return nil, nil
	case []any:
		values = v
	case string:
		if v != "" {
			return nil, wrongType(name)
		}
	default:
		return nil, wrongType(name)
	}
	objects := make([]fields, len(values))
	for i, v := range values {
		o, ok := v.(map[string]any)
		if !ok {
			return nil, wrongType(fmt.Sprintf("%s.%d", name, i))
		}
		objects[i] = o
	}
	return objects, nil
}

// parseID reads an id: decimal digits, no sign, no leading zero, below 2^53.
func parseID(s string) (int64, bool) {
	if s == "" || len(s) > 16 || s[0] < '1' || s[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n < 1<<53
}

// parseFlag reads a boolean as forms and queries write it.
func parseFlag(s string) (value, ok bool) {
	switch strings.ToLower(s) {
	case "1", "true":
		return true, true
	case "0", "false":
		return false, true
	}
	return false, false
}

// wrongType is the error of a value of another type than the field's.
func wrongType(name string) error {
	return &apierror.Error{Code: apierror.BadRequest, Fields: []apierror.Field{{Name: name, Reason: apierror.Type}}}
}

// malformed is the error of a body that cannot be read, unless it is too large.
func malformed(err error) error {
	var size *http.MaxBytesError
	if errors.As(err, &size) {
		return err
	}
	return apierror.New(apierror.BadRequest, err)
}
