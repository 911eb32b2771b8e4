// Package asyncapi describes the event gateway for programs: an AsyncAPI 3.0 document of
// both sockets, made from the catalogue of events (event-gateway.md §13); and the catalogue
// for people, docs/events.md.
//
// What it says of types of events, channels, permissions and aliases is what the catalogue
// says; limits are those of the running server. Operations are from the client's point of
// view. Every message has an example, and a test replays them all against a server.
//
// It owns no goroutine, and keeps nothing.
package asyncapi

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/kuranty/kuranty/event"
)

// Options are what a document says of the server beside its catalogue.
type Options struct {
	// Version is the server's.
	Version string
	// Host is where the server is reached, and Local where on its own machine, both with a
	// port if it is not the usual one. Without Host an example stands there.
	Host, Local string
	// Insecure says that Host is reached without TLS, LocalTLS that Local is with.
	Insecure, LocalTLS bool
	Limits             Limits
}

// Limits are those of connections (event-gateway.md §8).
type Limits struct {
	Subscriptions, FrameBytes, MessagesPerMinute, ConnectionsPerSubject int
	PingInterval, PongTimeout, AuthTimeout                              time.Duration
}

// object is a JSON object; encoding sorts its keys, so a document is always the same.
type object map[string]any

// document is the order in which a document is read.
type document struct {
	AsyncAPI    string `json:"asyncapi"`
	ID          string `json:"id"`
	Info        object `json:"info"`
	ContentType string `json:"defaultContentType"`
	Servers     object `json:"servers"`
	Channels    object `json:"channels"`
	Operations  object `json:"operations"`
	Components  object `json:"components"`

	ErrorCodes  object `json:"x-error-codes"`
	CloseCodes  object `json:"x-close-codes"`
	Limits      object `json:"x-limits"`
	Permissions object `json:"x-permissions"`
	Aliases     object `json:"x-aliases"`
	Guarantee   object `json:"x-delivery-guarantee"`
}

// JSON returns the document as JSON.
func JSON(c *event.Catalogue, o Options) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(newDocument(c, o))
	return b.Bytes(), err
}

// YAML returns the document as YAML.
func YAML(c *event.Catalogue, o Options) ([]byte, error) {
	b, err := JSON(c, o)
	if err != nil {
		return nil, err
	}
	return yaml.JSONToYAML(b)
}

func newDocument(c *event.Catalogue, o Options) *document {
	set := newSet()
	set.addEvents(c)
	set.addClient()
	set.addServer()
	set.addAdmin(c)
	set.components["correlationIds"] = object{"request": object{
		"description": "The answer has the id of the request. Requests without one get an answer with an id that the server makes.",
		"location":    "$message.payload#/id",
	}}
	set.components["securitySchemes"] = securitySchemes
	set.components["messages"], set.components["schemas"], set.components["tags"] = set.messages, set.schemas, tags()
	return &document{
		AsyncAPI: "3.0.0", ID: "urn:kuranty:event-gateway", Info: info(o), ContentType: "application/json",
		Servers: servers(o), Channels: set.channels(), Operations: set.operations, Components: set.components,
		ErrorCodes: errorCodes, CloseCodes: closeCodes, Limits: limits(o.Limits), Permissions: permissions(),
		Aliases:   object{"channels": event.ChannelAliases, "events": event.TypeAliases},
		Guarantee: guarantee,
	}
}

func info(o Options) object {
	return object{
		"title": "Kuranty event gateway", "version": o.Version,
		"description": "Everything that happens, as a stream of events over WebSocket: `/v1/ws` for services and bots, `/ws` for operators.\n\n" +
			"`pathname` of a server and `address` of its channel are the same, whole path.",
		"contact": object{"name": "The Kuranty authors", "url": "https://github.com/kuranty/kuranty"},
		"license": object{"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
		"tags":    refs("tags", slices.Sorted(maps.Keys(tags()))),
		"externalDocs": object{
			"description": "The event gateway, for people", "url": "https://github.com/kuranty/kuranty/blob/main/docs/gateway.md",
		},
	}
}

func servers(o Options) object {
	host, local := o.Host, o.Local
	if host == "" {
		host = "kuranty.example.com"
	}
	if local == "" {
		local = "127.0.0.1:8000"
	}
	protocol := func(tls bool) string {
		if tls {
			return "wss"
		}
		return "ws"
	}
	one := func(host, path string, tls bool, what string) object {
		schemes := []string{"bearer", "apiKeyHeader", "apiKeyQuery", "tokenQuery", "ticketQuery"}
		if path == gatewayPath {
			schemes = append(schemes, "inBand", "subprotocol")
		}
		return object{"host": host, "pathname": path, "protocol": protocol(tls), "protocolVersion": "13", "description": what, "security": refs("securitySchemes", schemes)}
	}
	return object{
		"production":      one(host, gatewayPath, !o.Insecure, "The event gateway."),
		"local":           one(local, gatewayPath, o.LocalTLS, "The event gateway, on its own machine."),
		"productionAdmin": one(host, adminPath, !o.Insecure, "The admin socket."),
		"localAdmin":      one(local, adminPath, o.LocalTLS, "The admin socket, on its own machine."),
	}
}

// ref refers to a component.
func ref(kind, name string) object { return object{"$ref": "#/components/" + kind + "/" + name} }

func refs(kind string, names []string) []object {
	list := make([]object, len(names))
	for i, name := range names {
		list[i] = ref(kind, name)
	}
	return list
}

// tags are one for each channel of the gateway, and one for what is about none.
func tags() object {
	all := object{
		"session": object{"name": "session", "description": "Credentials, signs of life and errors."},
		"admin":   object{"name": "admin", "description": "The admin socket."},
	}
	for i := range event.Channels {
		ch := &event.Channels[i]
		all[ch.Name] = object{"name": ch.Name, "description": ch.Summary}
	}
	return all
}

func permissions() object {
	all := make(object, len(event.Channels))
	for i := range event.Channels {
		ch := &event.Channels[i]
		all[ch.Name] = append([]string{}, ch.Permissions...) // an empty list, not null: everybody
	}
	return all
}

func limits(l Limits) object {
	return object{
		"subscriptionsPerConnection": l.Subscriptions, "inboundFrameBytes": l.FrameBytes, "messagesPerMinute": l.MessagesPerMinute,
		"connectionsPerSubject": l.ConnectionsPerSubject, "unauthenticatedConnectionsPerAddress": 20,
		"namesPerMessage": 100, "nameCharacters": 128, "filterBytes": 2048, "outboundFrameBytes": 512 << 10,
		"outboundBufferMessages": 1024, "outboundBufferBytes": 1 << 20, "writeProgressSeconds": 10,
		"pingIntervalSeconds": seconds(l.PingInterval), "pongTimeoutSeconds": seconds(l.PongTimeout), "authTimeoutSeconds": seconds(l.AuthTimeout),
		"resumeSeconds": 300, "consumerDays": 7,
	}
}

func seconds(d time.Duration) int { return int(d / time.Second) }
