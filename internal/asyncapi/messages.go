package asyncapi

import (
	"encoding/json"
	"fmt"
	"maps"

	"github.com/kuranty/kuranty/event"
)

// The sockets; the one of a channel is also the pathname of its servers.
const (
	gatewayPath = "/v1/ws"
	adminPath   = "/ws"
)

// Samples that stand in many examples.
const (
	sampleEvent = "evt_01JNB3C7Q9V5T2M8K4X6Z0R1WD"
	sampleTime  = "2026-03-02T08:16:02.000Z"
)

// set collects the parts of a document.
type set struct {
	components, messages, schemas, operations object
	sockets                                   map[string][]string // names of messages by socket
}

func newSet() *set {
	return &set{
		components: object{}, messages: object{}, operations: object{}, sockets: map[string][]string{},
		schemas: object{
			"noHeaders": object{
				"type": "object", "additionalProperties": false,
				"description": "Frames of a WebSocket have no headers: all there is to say is in the payload.",
			},
			"names": object{
				"description": "Names; one string is a list of one.",
				"oneOf":       []object{{"type": "array", "items": ref("schemas", "name"), "maxItems": 100}, ref("schemas", "name")},
			},
			"name":      object{"type": "string", "minLength": 1, "maxLength": 128},
			"requestId": object{"description": "Repeated by the answer.", "type": []string{"string", "integer"}, "maxLength": 64},
			"eventId":   object{"type": "string", "pattern": "^evt_[0-9A-HJKMNP-TV-Z]{26}$", "description": "evt_ and a ULID."},
		},
	}
}

// message adds one to a socket.
type message struct {
	name, title, summary string
	tags                 []string
	payload              object
	correlated           bool
	// examples are payloads; the first one is the one that tools show.
	examples []any
}

func (s *set) add(socket string, m message) {
	examples := make([]object, len(m.examples))
	for i, e := range m.examples {
		examples[i] = object{"name": fmt.Sprint(m.name, i+1), "payload": e}
	}
	out := object{
		"name": m.name, "title": m.title, "summary": m.summary, "contentType": "application/json",
		"headers": ref("schemas", "noHeaders"), "payload": m.payload,
	}
	if len(examples) > 0 {
		out["examples"] = examples
	}
	if m.correlated {
		out["correlationId"] = ref("correlationIds", "request")
	}
	out["tags"] = refs("tags", m.tags)
	s.messages[m.name] = out
	s.sockets[socket] = append(s.sockets[socket], m.name)
}

// of refers to messages of a socket, as operations want it.
func of(socket string, names ...string) []object {
	refs := make([]object, len(names))
	for i, name := range names {
		refs[i] = object{"$ref": "#/channels/" + channelName(socket) + "/messages/" + name}
	}
	return refs
}

func channelName(socket string) string {
	if socket == adminPath {
		return "admin"
	}
	return "gateway"
}

// operation adds one; reply are the names of the answers, if there are any.
func (s *set) operation(name, action, socket, summary string, tags, messages, reply []string) {
	channel := object{"$ref": "#/channels/" + channelName(socket)}
	op := object{"action": action, "channel": channel, "summary": summary, "messages": of(socket, messages...)}
	op["tags"] = refs("tags", tags)
	if len(reply) > 0 {
		op["reply"] = object{"channel": channel, "messages": of(socket, reply...)}
	}
	s.operations[name] = op
}

// addEvents adds the messages of all types, and the schemas of their payloads.
func (s *set) addEvents(c *event.Catalogue) {
	byChannel := map[string][]string{}
	for _, k := range c.Kinds() {
		s.schemas[k.Type] = embedded(k)
		data := ref("schemas", k.Type)
		m := message{
			name: "event." + k.Type, title: k.Type, summary: k.Summary, tags: []string{k.Channel},
			payload: envelope("event", []string{"event", "channel", "seq"}, object{
				"id": ref("schemas", "eventId"), "event": object{"const": k.Type}, "channel": object{"const": k.Channel},
				"seq":      object{"type": "integer", "description": "Place in the log."},
				"replayed": object{"type": "boolean", "description": "It was missed, and comes from the log."},
				"data":     data,
			}),
		}
		if sample := sampleOf(k); sample != nil {
			m.examples = []any{object{
				"type": "event", "id": sampleEvent, "timestamp": sampleTime, "event": k.Type, "channel": k.Channel, "seq": 48211, "data": sample,
			}}
		}
		s.add(gatewayPath, m)
		s.messages[m.name].(object)["x-channel"] = k.Channel
		s.messages[m.name].(object)["x-by-name-only"] = k.Named
		byChannel[k.Channel] = append(byChannel[k.Channel], m.name)
	}
	for i := range event.Channels {
		ch := &event.Channels[i]
		if names := byChannel[ch.Name]; len(names) > 0 {
			name := "receive." + ch.Name
			s.operation(name, "receive", gatewayPath, "Events of the channel "+ch.Name+". "+ch.Summary, []string{ch.Name}, names, nil)
			s.operations[name].(object)["x-permissions"] = append([]string{}, ch.Permissions...)
		}
	}
}

// sampleOf is a payload of a type: of an operator's type without a sample, an empty one if
// that will do, else nil.
func sampleOf(k *event.Kind) json.RawMessage {
	if len(k.Sample) > 0 {
		return k.Sample
	}
	if empty := json.RawMessage(`{}`); k.Check(empty) == nil {
		return empty
	}
	return nil
}

// embedded is the schema of a type's payloads as a part of the document: it names no
// dialect of its own, and references in it are to places in the document.
func embedded(k *event.Kind) object {
	var schema object
	if err := json.Unmarshal(k.Schema, &schema); err != nil || schema == nil {
		schema = object{} // true, the schema of whatever there is
	}
	delete(schema, "$schema")
	delete(schema, "$id")
	if schema["title"] == nil {
		schema["title"] = k.Type
	}
	if schema["description"] == nil && k.Summary != "" {
		schema["description"] = k.Summary
	}
	rebase(map[string]any(schema), "#/components/schemas/"+k.Type)
	return schema
}

func rebase(v any, at string) {
	switch v := v.(type) {
	case map[string]any:
		if to, ok := v["$ref"].(string); ok && len(to) > 0 && to[0] == '#' {
			v["$ref"] = at + to[1:]
		}
		for _, inner := range v {
			rebase(inner, at)
		}
	case []any:
		for _, inner := range v {
			rebase(inner, at)
		}
	}
}

// envelope is the schema of what the gateway sends: all messages have these four fields.
func envelope(typ string, required []string, more object) object {
	p := object{
		"type": object{"const": typ}, "id": object{"type": "string"}, "timestamp": object{"type": "string", "format": "date-time"},
		"data": object{"type": "object"},
	}
	maps.Copy(p, more)
	return object{"type": "object", "required": append([]string{"type", "id", "timestamp", "data"}, required...), "properties": p}
}

// channels are the two sockets.
func (s *set) channels() object {
	texts := func(names ...string) object {
		p := object{}
		for _, name := range names {
			p[name] = object{"type": "string", "description": parameters[name]}
		}
		return object{"type": "object", "properties": p}
	}
	one := func(socket, title string, query, headers object, hosts ...string) object {
		messages := object{}
		for _, name := range s.sockets[socket] {
			messages[name] = ref("messages", name)
		}
		at := make([]object, len(hosts))
		for i, name := range hosts {
			at[i] = object{"$ref": "#/servers/" + name}
		}
		return object{
			"address": socket, "title": title, "messages": messages, "servers": at,
			"bindings": object{"ws": object{"bindingVersion": "0.1.0", "method": "GET", "query": query, "headers": headers}},
		}
	}
	query := texts("token", "api_key", "ticket", "lastEventId", "format")
	query["properties"].(object)["format"].(object)["enum"] = []string{"cloudevents"}
	return object{
		"gateway": one(gatewayPath, "The event gateway", query,
			texts("Authorization", "X-API-Key", "Sec-WebSocket-Protocol", "Last-Event-ID"), "production", "local"),
		"admin": one(adminPath, "The admin socket", texts("token", "api_key", "ticket"), texts("Authorization", "X-API-Key"), "productionAdmin", "localAdmin"),
	}
}

// parameters are those of the handshake.
var parameters = map[string]string{ //nolint:gosec // words about credentials, no credentials
	"token":                  "A token or an API key.",
	"api_key":                "An API key.",
	"ticket":                 "A ticket of POST /v1/ws/tickets.",
	"lastEventId":            "The id of the last event that was done with: the first subscribe brings what came after.",
	"format":                 "cloudevents: events arrive as CloudEvents 1.0.",
	"Authorization":          "Bearer and a token or an API key.",
	"X-API-Key":              "An API key.",
	"Sec-WebSocket-Protocol": "events.v1 with bearer.<token>; cloudevents.json for events as CloudEvents 1.0.",
	"Last-Event-ID":          "As lastEventId.",
}
