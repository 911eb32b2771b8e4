package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	maxDepth  = 64   // of objects and arrays within each other
	maxDigits = 1000 // of an integer
)

// Errors of a payload that makes no body; what is wrong stands behind them.
var (
	ErrPayload  = errors.New("not a payload")
	ErrTooLarge = fmt.Errorf("a payload of more than %d bytes", MaxPayload)
)

// object keeps its members in the order they came in. A name that comes again takes the
// new value and keeps its place, as in Python and ECMAScript.
type object []member

type member struct {
	name  string
	value any // object, []any, string, json.Number, bool or nil
}

// parse reads an object. Numbers keep their spelling; what is not UTF-8 and halves of
// surrogate pairs become U+FFFD.
func parse(payload []byte) (object, error) {
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	v, err := parseValue(d, 0)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("%w: %w", ErrPayload, err)
	}
	o, ok := v.(object)
	if !ok {
		return nil, fmt.Errorf("%w: it must be an object", ErrPayload)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: something follows the object", ErrPayload)
	}
	return o, nil
}

func parseValue(d *json.Decoder, depth int) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'), json.Delim('['):
		if depth++; depth > maxDepth {
			return nil, fmt.Errorf("more than %d objects and arrays within each other", maxDepth)
		}
	}
	switch t := token.(type) {
	case json.Delim:
		if t == '{' {
			return parseObject(d, depth)
		}
		return parseArray(d, depth)
	case json.Number:
		return t, checkNumber(string(t))
	default:
		return t, nil
	}
}

func parseObject(d *json.Decoder, depth int) (object, error) {
	o := object{}
	places := map[string]int{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		name := token.(string) // the decoder takes nothing else for a name
		value, err := parseValue(d, depth)
		if err != nil {
			return nil, err
		}
		if i, again := places[name]; again {
			o[i].value = value
			continue
		}
		places[name] = len(o)
		o = append(o, member{name, value})
	}
	_, err := d.Token()
	return o, err
}

func parseArray(d *json.Decoder, depth int) ([]any, error) {
	a := []any{}
	for d.More() {
		value, err := parseValue(d, depth)
		if err != nil {
			return nil, err
		}
		a = append(a, value)
	}
	_, err := d.Token()
	return a, err
}

func checkNumber(n string) error {
	if !isInteger(n) {
		_, err := parseFloat(n)
		return err
	}
	if digits := len(strings.TrimPrefix(n, "-")); digits > maxDigits {
		return fmt.Errorf("an integer of %d digits, the most is %d", digits, maxDigits)
	}
	return nil
}
