package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// Channel is one of the gateway's views of the log (event-gateway.md §5).
type Channel struct {
	Name, Summary string
	// Permissions are those of which one is needed; without any everybody who is
	// authenticated may read it.
	Permissions []string
	// Rooms says that events are delivered only to members of the room they are of.
	Rooms bool
}

// Channels are the channels there are, in the order of the documentation.
var Channels = []Channel{
	{Name: "messages", Summary: "Messages of rooms.", Permissions: []string{"read:messages"}, Rooms: true},
	{Name: "rooms", Summary: "Rooms and their members.", Permissions: []string{"read:rooms", "read:messages"}, Rooms: true},
	{Name: "trust", Summary: "Identities, verifications and reputation.", Permissions: []string{"read:trust_network"}},
	{Name: "analytics", Summary: "Metrics and reports.", Permissions: []string{"read:analytics"}},
	{Name: "security", Summary: "Alerts and scans.", Permissions: []string{"read:security", "read:admin"}},
	{Name: "system", Summary: "The state of the service and its maintenance."},
	{Name: "users", Summary: "Accounts.", Permissions: []string{"read:users"}},
	{Name: "payments", Summary: "Payments and other transactions.", Permissions: []string{"read:payments"}},
	{Name: "tickets", Summary: "Support tickets.", Permissions: []string{"read:tickets"}},
	{Name: "webhooks", Summary: "Webhooks and their deliveries.", Permissions: []string{"read:webhooks"}},
	{Name: customChannel, Summary: "What the operator's own services append.", Permissions: []string{"read:events"}},
}

// customChannel is the channel of types that an operator registers.
const customChannel = "events"

// Operator is the producer of those types.
const Operator = "operator"

// ChannelAliases are names that stand for types, TypeAliases older names of types
// (event-gateway.md §5). Events are delivered under their own names.
var (
	ChannelAliases = map[string][]string{
		"alerts":  {"security.alert.created", "security.alert.updated"},
		"metrics": {"analytics.metric.updated"},
	}
	TypeAliases = map[string]string{
		"message.new":    MessageCreated,
		"alert.created":  "security.alert.created",
		"metric.updated": "analytics.metric.updated",
	}
)

// Custom is a type that an operator registers (events.types).
type Custom struct {
	Type    string
	Summary string
	// Schema is the JSON Schema of its payloads; without one any JSON object will do.
	Schema json.RawMessage
	Sample json.RawMessage
}

// Catalogue is the types of events that a server knows. It never changes and is safe for
// concurrent use.
type Catalogue struct {
	kinds  []*Kind
	byType map[string]*Kind
}

// typeName is the form of a type: words of lower-case letters, digits and _, two or more,
// with dots between.
var typeName = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z0-9_]+)+$`)

// NewCatalogue returns the built-in types and those given. The error names a type that
// cannot be.
func NewCatalogue(custom ...Custom) (*Catalogue, error) {
	c := &Catalogue{kinds: slices.Clone(kinds), byType: maps.Clone(builtIn)}
	for _, own := range custom {
		k := &Kind{Type: own.Type, Channel: customChannel, Summary: own.Summary, Producer: Operator, Schema: own.Schema, Sample: own.Sample}
		switch {
		case len(own.Type) > 128 || !typeName.MatchString(own.Type):
			return nil, fmt.Errorf("type %q must be words of a-z, 0-9 and _ with dots between, up to 128 characters", own.Type)
		case c.byType[own.Type] != nil, internal[own.Type], TypeAliases[own.Type] != "":
			return nil, fmt.Errorf("type %q exists already", own.Type)
		}
		if len(k.Schema) > 0 {
			k.compiled = sync.OnceValues(k.compile)
			if _, err := k.compiled(); err != nil {
				return nil, fmt.Errorf("schema of type %s: %w", own.Type, err)
			}
		} else {
			k.Schema = json.RawMessage(`{"type":"object"}`)
		}
		if len(k.Sample) > 0 {
			if err := k.Check(k.Sample); err != nil {
				return nil, fmt.Errorf("sample of type %s: %w", own.Type, err)
			}
		}
		c.kinds, c.byType[k.Type] = append(c.kinds, k), k
	}
	return c, nil
}

// Kinds returns all types, in the order of the documentation. It must not be changed.
func (c *Catalogue) Kinds() []*Kind { return c.kinds }

// Kind returns the type with a name or older name, nil if there is none.
func (c *Catalogue) Kind(typ string) *Kind {
	if newer := TypeAliases[typ]; newer != "" {
		typ = newer
	}
	return c.byType[typ]
}

// ChannelNamed returns the channel with a name, nil if there is none.
func ChannelNamed(name string) *Channel {
	for i := range Channels {
		if Channels[i].Name == name {
			return &Channels[i]
		}
	}
	return nil
}

// describe says in one line what a schema does not like, and where.
func describe(e *jsonschema.ValidationError) string {
	for len(e.Causes) > 0 {
		e = e.Causes[0]
	}
	where := strings.Join(e.InstanceLocation, ".")
	if where == "" {
		where = "the payload"
	}
	return where + ": " + e.ErrorKind.LocalizedString(message.NewPrinter(language.English))
}

// object tells whether b is a JSON object.
func object(b []byte) bool {
	b = bytes.TrimSpace(b)
	return len(b) > 0 && b[0] == '{' && json.Valid(b)
}
