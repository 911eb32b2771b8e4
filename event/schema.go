package event

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Amount is a sum of money in major units. It is always written as a float, also when it
// is whole: canonical webhook bodies keep the difference (webhooks.md §2.2, 7).
type Amount float64

// MarshalJSON implements [json.Marshaler].
func (a Amount) MarshalJSON() ([]byte, error) {
	b, err := json.Marshal(float64(a))
	if err == nil && !strings.ContainsAny(string(b), ".eE") {
		b = append(b, ".0"...)
	}
	return b, err
}

// schema is a JSON Schema (draft 2020-12), as far as payloads need it.
type schema struct {
	Dialect     string             `json:"$schema,omitempty"`
	Title       string             `json:"title,omitempty"`
	Description string             `json:"description,omitempty"`
	Type        any                `json:"type,omitempty"` // a name, or a list with "null"
	Format      string             `json:"format,omitempty"`
	Enum        []any              `json:"enum,omitempty"`
	Minimum     *float64           `json:"minimum,omitempty"`
	Maximum     *float64           `json:"maximum,omitempty"`
	MaxLength   *int               `json:"maxLength,omitempty"`
	Items       *schema            `json:"items,omitempty"`
	Properties  map[string]*schema `json:"properties,omitempty"`
	Required    []string           `json:"required,omitempty"`
	Additional  any                `json:"additionalProperties,omitempty"` // false or a schema
}

// schemaOf describes a payload type. A field is required unless it is omitempty or
// omitzero; a pointer may be null. Tags say the rest: doc a sentence, enum the values
// separated by |, min and max bounds of a number, maxlen that of a string in code points.
// Fields that are not described may come later: consumers must tolerate them.
func schemaOf(t reflect.Type) (*schema, error) {
	switch t {
	case reflect.TypeFor[time.Time]():
		return &schema{Type: "string", Format: "date-time"}, nil
	case reflect.TypeFor[json.RawMessage](), reflect.TypeFor[map[string]any]():
		return &schema{Type: "object"}, nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		s, err := schemaOf(t.Elem())
		if err == nil {
			s.Type = []any{s.Type, "null"}
		}
		return s, err
	case reflect.String:
		return &schema{Type: "string"}, nil
	case reflect.Bool:
		return &schema{Type: "boolean"}, nil
	case reflect.Int, reflect.Int64:
		return &schema{Type: "integer"}, nil
	case reflect.Float64:
		return &schema{Type: "number"}, nil
	case reflect.Slice:
		items, err := schemaOf(t.Elem())
		return &schema{Type: "array", Items: items}, err
	case reflect.Map:
		values, err := schemaOf(t.Elem())
		return &schema{Type: "object", Additional: values}, err
	case reflect.Struct:
		s := &schema{Type: "object", Properties: make(map[string]*schema, t.NumField())}
		return s, s.addFields(t)
	}
	return nil, fmt.Errorf("a payload cannot have a %s", t)
}

func (s *schema) addFields(t reflect.Type) error {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			if err := s.addFields(f.Type); err != nil {
				return err
			}
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			return fmt.Errorf("field %s of %s has no name in JSON", f.Name, t)
		}
		p, err := schemaOf(f.Type)
		if err != nil {
			return err
		}
		if err := p.read(f.Tag); err != nil {
			return fmt.Errorf("field %s of %s: %w", f.Name, t, err)
		}
		s.Properties[name] = p
		if !strings.Contains(options, "omit") {
			s.Required = append(s.Required, name)
		}
	}
	return nil
}

// read reads the tags of a field.
func (s *schema) read(tag reflect.StructTag) error {
	s.Description = tag.Get("doc")
	if values := tag.Get("enum"); values != "" {
		for v := range strings.SplitSeq(values, "|") {
			s.Enum = append(s.Enum, v)
		}
		if _, nullable := s.Type.([]any); nullable {
			s.Enum = append(s.Enum, nil)
		}
	}
	for name, bound := range map[string]**float64{"min": &s.Minimum, "max": &s.Maximum} {
		if text := tag.Get(name); text != "" {
			n, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return fmt.Errorf("tag %s: %w", name, err)
			}
			*bound = &n
		}
	}
	if text := tag.Get("maxlen"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("tag maxlen: %w", err)
		}
		s.MaxLength = &n
	}
	return nil
}
