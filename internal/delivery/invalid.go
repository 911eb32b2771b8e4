package delivery

import (
	"encoding/json"
	"fmt"
	"strings"
)

// InvalidError reports what is wrong with a body, one entry per field (spec/webhooks.md §1.2).
type InvalidError struct {
	Fields []FieldError
}

func (e *InvalidError) Error() string {
	texts := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		texts[i] = f.String()
	}
	return strings.Join(texts, "; ")
}

// FieldError is an entry of the list "detail" of answer 422.
type FieldError struct {
	Type string `json:"type"`
	// Loc is "body" and the way to the value: names, and numbers of elements.
	Loc []any  `json:"loc"`
	Msg string `json:"msg"`
	// Input is what was given; empty where that may be a secret.
	Input json.RawMessage `json:"input,omitempty"`
	Ctx   map[string]any  `json:"ctx,omitempty"`
}

func (f FieldError) String() string {
	names := make([]string, 0, len(f.Loc))
	for _, part := range f.Loc[min(1, len(f.Loc)):] {
		names = append(names, fmt.Sprint(part))
	}
	if len(names) == 0 {
		return f.Msg
	}
	return strings.Join(names, ".") + ": " + f.Msg
}

// problem is what is wrong with a value, at the place below its field.
type problem struct {
	typ, msg string
	ctx      map[string]any
	at       []any
}

// below puts p further down.
func (p *problem) below(at any) *problem {
	p.at = append([]any{at}, p.at...)
	return p
}

// The problems that clients of the reference know (spec/webhooks.md §1.2).

func missing() *problem { return &problem{typ: "missing", msg: "Field required"} }

func notString() *problem {
	return &problem{typ: "string_type", msg: "Input should be a valid string"}
}

func tooShort(least int) *problem {
	return &problem{
		typ: "string_too_short", msg: fmt.Sprintf("String should have at least %d %s", least, plural(least, "character")),
		ctx: map[string]any{"min_length": least},
	}
}

func tooLong(most int) *problem {
	return &problem{
		typ: "string_too_long", msg: fmt.Sprintf("String should have at most %d %s", most, plural(most, "character")),
		ctx: map[string]any{"max_length": most},
	}
}

func unparsableInt() *problem {
	return &problem{typ: "int_parsing", msg: "Input should be a valid integer, unable to parse string as an integer"}
}

func tooSmall(least int) *problem {
	return &problem{
		typ: "greater_than_equal", msg: fmt.Sprintf("Input should be greater than or equal to %d", least),
		ctx: map[string]any{"ge": least},
	}
}

func tooBig(most int) *problem {
	return &problem{
		typ: "less_than_equal", msg: fmt.Sprintf("Input should be less than or equal to %d", most),
		ctx: map[string]any{"le": most},
	}
}

func unparsableBool() *problem {
	return &problem{typ: "bool_parsing", msg: "Input should be a valid boolean, unable to interpret input"}
}

func notJSON() *problem { return &problem{typ: "json_invalid", msg: "JSON decode error"} }

// The problems of fields that only we have, in the same language.

func notObject() *problem {
	return &problem{typ: "dict_type", msg: "Input should be a valid dictionary"}
}

func notList() *problem {
	return &problem{typ: "list_type", msg: "Input should be a valid list"}
}

func fewItems(least, got int) *problem {
	return &problem{
		typ: "too_short", msg: fmt.Sprintf("List should have at least %d %s after validation, not %d", least, plural(least, "item"), got),
		ctx: map[string]any{"field_type": "List", "min_length": least, "actual_length": got},
	}
}

func manyItems(most, got int) *problem {
	return &problem{
		typ: "too_long", msg: fmt.Sprintf("List should have at most %d %s after validation, not %d", most, plural(most, "item"), got),
		ctx: map[string]any{"field_type": "List", "max_length": most, "actual_length": got},
	}
}

func notOneOf(choices []string) *problem {
	quoted := make([]string, len(choices))
	for i, c := range choices {
		quoted[i] = "'" + c + "'"
	}
	last := len(quoted) - 1
	expected := strings.Join(quoted[:last], ", ") + " or " + quoted[last]
	return &problem{typ: "literal_error", msg: "Input should be " + expected, ctx: map[string]any{"expected": expected}}
}

// wrong is a value whose mistake has no type of its own.
func wrong(format string, args ...any) *problem {
	text := fmt.Sprintf(format, args...)
	return &problem{typ: "value_error", msg: "Value error, " + text, ctx: map[string]any{"error": text}}
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}
