package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
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

// object has its members in the order they came in, those with names that come again too.
type object []member

type member struct {
	name  string
	value any // object, []any, string, json.Number, bool or nil
}

// parse reads an object. Numbers keep their spelling; what is not UTF-8 and halves of
// surrogate pairs become U+FFFD.
func parse(payload []byte) (object, error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(payload), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	v, err := parseValue(d)
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
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: something follows the object", ErrPayload)
	}
	return o, nil
}

func parseValue(d *jsontext.Decoder) (any, error) {
	t, err := d.ReadToken()
	if err != nil {
		return nil, err
	}
	if d.StackDepth() > maxDepth {
		return nil, fmt.Errorf("more than %d objects and arrays within each other", maxDepth)
	}
	switch t.Kind() {
	case '{':
		return parseObject(d)
	case '[':
		return parseArray(d)
	case '"':
		return t.String(), nil
	case '0':
		n := json.Number(t.String())
		return n, checkNumber(string(n))
	case 'n':
		return nil, nil
	default:
		return t.Bool(), nil
	}
}

func parseObject(d *jsontext.Decoder) (object, error) {
	o := object{}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken() // the decoder takes nothing but a string here
		if err != nil {
			return nil, err
		}
		m := member{name: name.String()}
		if m.value, err = parseValue(d); err != nil {
			return nil, err
		}
		o = append(o, m)
	}
	_, err := d.ReadToken()
	return o, err
}

func parseArray(d *jsontext.Decoder) ([]any, error) {
	a := []any{}
	for d.PeekKind() != ']' {
		value, err := parseValue(d)
		if err != nil {
			return nil, err
		}
		a = append(a, value)
	}
	_, err := d.ReadToken()
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
