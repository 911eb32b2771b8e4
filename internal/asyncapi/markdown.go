package asyncapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/kuranty/kuranty/event"
)

const head = `# Types of events

<!-- Made from the catalogue of events (event/kinds.go) by UPDATE=1 go test ./internal/asyncapi; do not edit. -->

Everything that a server tells of what happens, by the channel it belongs to. [gateway.md](gateway.md)
says how to get it; a running server lists its types, with JSON Schemas, at ` + "`GET /event-types`" + `, and describes
its sockets at ` + "`/v1/asyncapi.json`" + `.

- A subscription to a channel brings its types but for those marked *by name only*: those come to who names
  them, or a pattern that matches them.
- A payload may have more fields in later versions; receivers must tolerate them. Ids of messages, rooms and
  their people are decimal strings. Times are RFC 3339.
- Operators register types of their own under ` + "`events.types`" + ` ([configuration.md](configuration.md)); they
  belong to the channel ` + "`events`" + `.

`

// Markdown writes the reference of a catalogue for people. The error is that of w.
func Markdown(w io.Writer, c *event.Catalogue) error {
	var b bytes.Buffer
	b.WriteString(head)
	b.WriteString("| channel | brings | one of these permissions is needed |\n|---|---|---|\n")
	for i := range event.Channels {
		ch := &event.Channels[i]
		seen := code(ch.Permissions)
		if len(ch.Permissions) == 0 {
			seen = "none"
		}
		if ch.Rooms {
			seen += "; only events of rooms one is a member of at that moment, unless one moderates (`moderate:messages`)"
		}
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s | %s |\n", ch.Name, ch.Name, ch.Summary, seen)
	}
	b.WriteString("\nNames that stand for others, taken wherever a channel or a type is:\n\n| name | stands for |\n|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(event.ChannelAliases)) {
		fmt.Fprintf(&b, "| channel `%s` | %s |\n", name, code(event.ChannelAliases[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(event.TypeAliases)) {
		fmt.Fprintf(&b, "| type `%s` | `%s` |\n", name, event.TypeAliases[name])
	}
	for i := range event.Channels {
		ch := &event.Channels[i]
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", ch.Name, ch.Summary)
		for _, k := range c.Kinds() {
			if k.Channel == ch.Name {
				kind(&b, k)
			}
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

func code(names []string) string { return "`" + strings.Join(names, "`, `") + "`" }

func kind(b *bytes.Buffer, k *event.Kind) {
	fmt.Fprintf(b, "\n### %s\n\n%s Appended by `%s`.", k.Type, k.Summary, k.Producer)
	if k.Named {
		b.WriteString(" *By name only.*")
	}
	if len(k.Latest) > 0 {
		fmt.Fprintf(b, " With `overflow: latest` a slow reader gets the newest for each %s.", code(k.Latest))
	}
	b.WriteString("\n\n")
	schema := embedded(k)
	if properties, ok := schema["properties"].(map[string]any); ok {
		b.WriteString("| field | type | |\n|---|---|---|\n")
		fields(b, schema, properties, k.Sample, "")
	}
	if len(k.Sample) > 0 {
		var pretty bytes.Buffer
		if json.Indent(&pretty, k.Sample, "", "  ") == nil {
			fmt.Fprintf(b, "\n```json\n%s\n```\n", &pretty)
		}
	}
}

// fields writes a row for each property, in the order of the sample as far as that has them.
func fields(b *bytes.Buffer, schema, properties map[string]any, sample json.RawMessage, at string) {
	names := keys(sample)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	required, _ := schema["required"].([]any)
	for _, name := range names {
		p, ok := properties[name].(map[string]any)
		if !ok {
			continue
		}
		typ, nullable := typeOf(p)
		notes := []string{}
		if !slices.Contains(required, any(name)) {
			notes = append(notes, "may be missing")
		}
		if nullable {
			notes = append(notes, "may be null")
		}
		if values, ok := p["enum"].([]any); ok {
			var words []string
			for _, v := range values {
				if v != nil {
					words = append(words, fmt.Sprintf("`%v`", v))
				}
			}
			notes = append(notes, strings.Join(words, ", "))
		}
		for _, bound := range [][2]string{{"minimum", "at least"}, {"maximum", "at most"}, {"maxLength", "characters at most"}} {
			if v, ok := p[bound[0]]; ok {
				notes = append(notes, fmt.Sprintf("%s %v", bound[1], v))
			}
		}
		if doc, ok := p["description"].(string); ok {
			notes = append(notes, doc)
		}
		fmt.Fprintf(b, "| `%s%s` | %s | %s |\n", at, name, typ, strings.Join(notes, "; "))
		inner, at := p, at+name+"."
		if items, ok := p["items"].(map[string]any); ok {
			inner, at = items, at[:len(at)-1]+"[]."
		}
		if properties, ok := inner["properties"].(map[string]any); ok {
			fields(b, inner, properties, nil, at)
		}
	}
}

// typeOf is the type of a property in a word or two.
func typeOf(p map[string]any) (name string, nullable bool) {
	switch t := p["type"].(type) {
	case string:
		name = t
	case []any:
		name, nullable = fmt.Sprint(t[0]), slices.Contains(t, any("null"))
	}
	if p["format"] == "date-time" {
		name = "time"
	}
	if items, ok := p["items"].(map[string]any); ok {
		inner, _ := typeOf(items)
		name = "list of " + inner + "s"
	}
	return name, nullable
}

// keys are those of an object, in its order.
func keys(object json.RawMessage) (names []string) {
	d := json.NewDecoder(bytes.NewReader(object))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	for d.More() {
		name, err := d.Token()
		var value json.RawMessage
		if err != nil || d.Decode(&value) != nil {
			return names
		}
		names = append(names, fmt.Sprint(name))
	}
	return names
}
