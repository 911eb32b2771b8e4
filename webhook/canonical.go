package webhook

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// Canonical writes a JSON object as CPython's json.dumps(json.loads(payload), sort_keys=True)
// does (webhooks.md §2.2): names sorted by code point, ", " and ": " between, ASCII only,
// numbers as repr. Integers stay integers of any size, floats stay floats (150.0). What is
// canonical comes out as it went in.
//
// Errors are [ErrPayload], with what is wrong behind it, and [ErrTooLarge].
func Canonical(payload []byte) ([]byte, error) {
	o, err := parse(payload)
	if err != nil {
		return nil, err
	}
	body := appendCanonical(make([]byte, 0, len(payload)+len(payload)/4), o)
	if len(body) > MaxPayload {
		return nil, ErrTooLarge
	}
	return body, nil
}

func appendCanonical(b []byte, v any) []byte {
	switch v := v.(type) {
	case object:
		b = append(b, '{')
		for i, m := range v.sorted() {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = append(appendASCII(b, m.name), ": "...)
			b = appendCanonical(b, m.value)
		}
		return append(b, '}')
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = appendCanonical(b, e)
		}
		return append(b, ']')
	case string:
		return appendASCII(b, v)
	case json.Number:
		return appendPythonNumber(b, string(v))
	default:
		return appendLiteral(b, v)
	}
}

// sorted puts the members in order by name. Of those with the same name the last remains, as
// in Python.
func (o object) sorted() object {
	slices.Reverse(o)
	slices.SortStableFunc(o, func(x, y member) int { return strings.Compare(x.name, y.name) }) // bytes of UTF-8 sort as code points do
	return slices.CompactFunc(o, func(x, y member) bool { return x.name == y.name })
}

func appendLiteral(b []byte, v any) []byte {
	if v == nil {
		return append(b, "null"...)
	}
	return strconv.AppendBool(b, v.(bool))
}

// escapes are the short ones, which Python and ECMAScript share.
var escapes = [utf8.RuneSelf]byte{'"': '"', '\\': '\\', '\b': 'b', '\t': 't', '\n': 'n', '\f': 'f', '\r': 'r'}

func appendASCII(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r < utf8.RuneSelf && escapes[r] != 0:
			b = append(b, '\\', escapes[r])
		case r >= ' ' && r < 0x7f:
			b = append(b, byte(r))
		case r > 0xffff: // a pair of surrogates
			r -= 0x10000
			b = appendUnit(appendUnit(b, 0xd800+r>>10), 0xdc00+r&0x3ff)
		default:
			b = appendUnit(b, r)
		}
	}
	return append(b, '"')
}

// appendUnit writes one unit of UTF-16.
func appendUnit(b []byte, r rune) []byte {
	return append(b, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}

func isInteger(n string) bool { return !strings.ContainsAny(n, ".eE") }

func parseFloat(n string) (float64, error) {
	f, err := strconv.ParseFloat(n, 64)
	if err != nil {
		return 0, fmt.Errorf("the number %.20s is out of range", n)
	}
	return f, nil
}

func appendPythonNumber(b []byte, n string) []byte {
	if n == "-0" {
		return append(b, '0')
	}
	if isInteger(n) {
		return append(b, n...)
	}
	f, _ := parseFloat(n) // checked when it was read
	scientific := strconv.FormatFloat(f, 'e', -1, 64)
	if x := exponent(scientific); x < -4 || x >= 16 {
		return append(b, scientific...)
	}
	at := len(b)
	b = strconv.AppendFloat(b, f, 'f', -1, 64)
	if isInteger(string(b[at:])) {
		b = append(b, ".0"...)
	}
	return b
}

// exponent is that of a number as strconv writes it: digits, e, sign, two digits or more.
func exponent(scientific string) int {
	_, x, _ := strings.Cut(scientific, "e")
	n, _ := strconv.Atoi(x)
	return n
}
