package webhook

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Compact writes a JSON object as ECMAScript's JSON.stringify(JSON.parse(payload)) does
// (webhooks.md §4.15): no spaces, members in their order but names that are array indexes
// first, text unescaped, the shortest numbers. Integers beyond ±2^53 keep their digits,
// which ECMAScript would round.
//
// Errors are [ErrPayload]. How long a payload may be is a matter of its canonical form.
func Compact(payload []byte) ([]byte, error) {
	o, err := parse(payload)
	if err != nil {
		return nil, err
	}
	return appendCompact(make([]byte, 0, len(payload)), o), nil
}

func appendCompact(b []byte, v any) []byte {
	switch v := v.(type) {
	case object:
		b = append(b, '{')
		for i, m := range v.unique().scriptOrder() {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendText(b, m.name), ':')
			b = appendCompact(b, m.value)
		}
		return append(b, '}')
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendCompact(b, e)
		}
		return append(b, ']')
	case string:
		return appendText(b, v)
	case json.Number:
		return appendScriptNumber(b, string(v))
	default:
		return appendLiteral(b, v)
	}
}

// unique lets a name that comes again take the new value and keep its place, as ECMAScript does.
func (o object) unique() object {
	kept := o[:0]
	places := make(map[string]int, len(o))
	for _, m := range o {
		if i, again := places[m.name]; again {
			kept[i].value = m.value
			continue
		}
		places[m.name] = len(kept)
		kept = append(kept, m)
	}
	return kept
}

// scriptOrder puts names that are array indexes first, ascending (ECMA-262, OrdinaryOwnPropertyKeys).
func (o object) scriptOrder() object {
	index := func(m member) (uint64, bool) {
		n, err := strconv.ParseUint(m.name, 10, 32)
		return n, err == nil && n < 1<<32-1 && strconv.FormatUint(n, 10) == m.name
	}
	slices.SortStableFunc(o, func(x, y member) int {
		m, mIs := index(x)
		n, nIs := index(y)
		switch {
		case mIs && nIs && m < n, mIs && !nIs:
			return -1
		case mIs && nIs && m > n, nIs && !mIs:
			return 1
		}
		return 0
	})
	return o
}

func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r < utf8.RuneSelf && escapes[r] != 0:
			b = append(b, '\\', escapes[r])
		case r < ' ':
			b = appendUnit(b, r)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

func appendScriptNumber(b []byte, n string) []byte {
	if isInteger(n) && n != "-0" {
		return append(b, n...)
	}
	f, _ := parseFloat(n) // checked when it was read
	if f == 0 {
		return append(b, '0')
	}
	scientific := strconv.FormatFloat(f, 'e', -1, 64)
	x := exponent(scientific)
	if x > -7 && x < 21 {
		return strconv.AppendFloat(b, f, 'f', -1, 64)
	}
	digits, _, _ := strings.Cut(scientific, "e")
	b = append(append(b, digits...), 'e')
	if x > 0 {
		b = append(b, '+')
	}
	return strconv.AppendInt(b, int64(x), 10)
}
