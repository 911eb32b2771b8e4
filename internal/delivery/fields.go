package delivery

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The kinds of values in a body. Strings that spell a number or a boolean are taken for
// it, as the reference does.

// text reads a string of least to most characters; most 0 sets no limit.
func text(raw json.RawMessage, least, most int) (string, *problem) {
	var s string
	if raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return "", notString()
	}
	switch n := utf8.RuneCountInString(s); {
	case n < least:
		return "", tooShort(least)
	case most > 0 && n > most:
		return "", tooLong(most)
	case strings.Contains(s, "\x00"): // PostgreSQL keeps no such text
		return "", wrong("must not contain the character U+0000")
	}
	return s, nil
}

// integer reads a whole number from least to most.
func integer(raw json.RawMessage, least, most int) (int, *problem) {
	written, quoted := string(raw), raw[0] == '"'
	if quoted {
		var s string
		_ = json.Unmarshal(raw, &s) // raw is valid JSON
		written = strings.TrimSpace(s)
	}
	n, err := strconv.Atoi(written)
	digits := strings.TrimPrefix(written, "-")
	number := raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9'
	switch {
	case err != nil && digits != "" && strings.Trim(digits, "0123456789") == "": // more than an int holds
		if digits != written {
			return 0, tooSmall(least)
		}
		return 0, tooBig(most)
	case err != nil && quoted:
		return 0, unparsableInt()
	case err != nil && number:
		return 0, &problem{typ: "int_from_float", msg: "Input should be a valid integer, got a number with a fractional part"}
	case err != nil:
		return 0, &problem{typ: "int_type", msg: "Input should be a valid integer"}
	case n < least:
		return 0, tooSmall(least)
	case n > most:
		return 0, tooBig(most)
	}
	return n, nil
}

// boolean reads true or false, in any of the words for them.
func boolean(raw json.RawMessage) (bool, *problem) {
	word := string(raw)
	if raw[0] == '"' {
		_ = json.Unmarshal(raw, &word) // raw is valid JSON
	}
	value, ok := ParseBool(word)
	if !ok {
		return false, unparsableBool()
	}
	return value, nil
}

// ParseBool reads a boolean as queries and bodies spell it (spec/webhooks.md §1.2).
func ParseBool(word string) (value, ok bool) {
	switch strings.ToLower(word) {
	case "true", "1", "yes", "on", "t", "y":
		return true, true
	case "false", "0", "no", "off", "f", "n":
		return false, true
	}
	return false, false
}

func choice(raw json.RawMessage, choices ...string) (string, *problem) {
	var s string
	if raw[0] != '"' || json.Unmarshal(raw, &s) != nil || !slices.Contains(choices, s) {
		return "", notOneOf(choices)
	}
	return s, nil
}

func list(raw json.RawMessage, least, most int) ([]json.RawMessage, *problem) {
	var all []json.RawMessage
	if raw[0] != '[' || json.Unmarshal(raw, &all) != nil {
		return nil, notList()
	}
	if len(all) < least {
		return nil, fewItems(least, len(all))
	}
	if len(all) > most {
		return nil, manyItems(most, len(all))
	}
	return all, nil
}

func object(raw json.RawMessage) (map[string]json.RawMessage, *problem) {
	var m map[string]json.RawMessage
	if raw[0] != '{' || json.Unmarshal(raw, &m) != nil {
		return nil, notObject()
	}
	return m, nil
}

// maxDepth is how deep a body may be (guarantees S23).
const maxDepth = 32

// tooDeep tells whether valid JSON has lists and objects in more than maxDepth others.
func tooDeep(body []byte) bool {
	depth, inString := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{', c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}', c == ']':
			depth--
		}
	}
	return false
}

func isNull(raw json.RawMessage) bool { return string(raw) == "null" }

// isEmptyString tells whether raw is "", which clears a field.
func isEmptyString(raw json.RawMessage) bool { return string(raw) == `""` }

// compact takes the white space out of valid JSON.
func compact(raw json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	_ = json.Compact(&b, raw) // raw is valid JSON
	return b.Bytes()
}
