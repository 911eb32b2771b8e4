package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Kind is a type of event as readers know it: everything that is said of it anywhere, the
// schema, the AsyncAPI message, the documentation and the sample, is said by its one
// declaration in kinds.go.
type Kind struct {
	// Type is the name, like ticket.created; Channel the gateway's channel it belongs to.
	Type, Channel string
	// Summary says in one sentence when it happens, Producer which package appends it.
	Summary, Producer string
	// Named says that a subscription to the channel does not bring it, only one that names
	// it: the documented channels bring what they are documented to bring.
	Named bool
	// Latest are the paths in the payload that say of what an event is the newest state;
	// of such events only the newest matters (event-gateway.md §9).
	Latest []string
	// Sample is a payload, Schema the JSON Schema (draft 2020-12) of all.
	Sample, Schema json.RawMessage

	// compiled is Schema, compiled when the first payload is checked; nil if any object will do.
	compiled func() (*jsonschema.Schema, error)
	// view makes what readers see of what is stored; nil if that is the same.
	view func(*Event) (any, error)
}

// PayloadError says that a payload is not as the schema of its type wants it.
type PayloadError struct {
	Type string
	// Detail names the place in the payload and what is wrong there.
	Detail string
}

func (e *PayloadError) Error() string { return fmt.Sprintf("payload of %s: %s", e.Type, e.Detail) }

// declaration is what a kind is declared by, beside its name and channel.
type declaration struct {
	summary, producer string
	named             bool
	latest            []string
}

// declare makes a kind whose payloads are of type P. A mistake in it is one in the program.
func declare[P any](typ, channel string, sample P, d declaration) *Kind {
	k := &Kind{Type: typ, Channel: channel, Summary: d.summary, Producer: d.producer, Named: d.named, Latest: d.latest}
	s, err := schemaOf(reflect.TypeFor[P]())
	if err == nil {
		s.Dialect, s.Title, s.Description = "https://json-schema.org/draft/2020-12/schema", typ, d.summary
		k.Schema, err = json.Marshal(s)
	}
	if err == nil {
		k.Sample, err = json.Marshal(sample)
	}
	if err != nil {
		panic(fmt.Sprintf("declaration of %s: %v", typ, err))
	}
	k.compiled = sync.OnceValues(k.compile)
	return k
}

// viewed is declare for a kind that is stored in another form than readers see.
func viewed[P any](typ, channel string, sample P, view func(*Event) (P, error), d declaration) *Kind {
	k := declare(typ, channel, sample, d)
	k.view = func(e *Event) (any, error) { return view(e) }
	return k
}

// acted are channels whose events the server itself acts upon, by whoever they were said.
var acted = []string{"messages", "rooms", "users"}

// Inert tells whether events of the kind are only for others to read: the server does
// nothing when one is in its log, so that one that tells of nothing, a sample, does no harm
// to it.
func (k *Kind) Inert() bool { return k.view == nil && !slices.Contains(acted, k.Channel) }

func (k *Kind) compile() (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(k.Schema))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(nowhere{})
	c.AssertFormat()
	const name = "payload.json"
	if err := c.AddResource(name, doc); err != nil {
		return nil, err
	}
	return c.Compile(name)
}

// nowhere loads no schema from anywhere: references to others are mistakes.
type nowhere struct{}

func (nowhere) Load(url string) (any, error) {
	return nil, fmt.Errorf("schema %s: references to others are not followed", url)
}

// Check tells whether a payload is as the schema wants it. The error is a [*PayloadError].
func (k *Kind) Check(payload []byte) error {
	if k.compiled == nil && isObject(payload) {
		return nil
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(payload))
	if err != nil {
		return &PayloadError{k.Type, "is not JSON: " + err.Error()}
	}
	if _, ok := doc.(map[string]any); !ok {
		return &PayloadError{k.Type, "must be a JSON object"}
	}
	if k.compiled == nil {
		return nil
	}
	schema, err := k.compiled()
	if err != nil {
		return fmt.Errorf("schema of %s: %w", k.Type, err)
	}
	err = schema.Validate(doc)
	var invalid *jsonschema.ValidationError
	if errors.As(err, &invalid) {
		return &PayloadError{k.Type, describe(invalid)}
	}
	return err
}

func isObject(text []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte{'{'}) && json.Valid(text)
}

// Public returns what readers see of the payload of e, which is of this kind.
func (k *Kind) Public(e *Event) (json.RawMessage, error) {
	if k.view == nil {
		return e.Payload, nil
	}
	v, err := k.view(e)
	if err != nil {
		return nil, fmt.Errorf("payload of %s %s: %w", e.Type, e.ID, err)
	}
	return json.Marshal(v)
}
