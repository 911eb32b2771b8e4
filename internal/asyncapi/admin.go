package asyncapi

import (
	"maps"

	"github.com/kuranty/kuranty/event"
)

// addAdmin adds the admin socket (event-gateway.md §15 and §16).
func (s *set) addAdmin(c *event.Catalogue) {
	admin := []string{"admin"}
	text := object{"type": "string"}
	texts := object{"type": "array", "items": text}
	shape := func(typ string, required []string, more object) object {
		p := object{"type": object{"const": typ}}
		maps.Copy(p, more)
		return object{"type": "object", "required": append([]string{"type"}, required...), "properties": p}
	}
	for _, m := range []message{
		{
			name: "admin.connection", title: "Welcome", summary: "The first message.",
			payload:  shape("connection", []string{"status", "message"}, object{"status": object{"const": "connected"}, "message": text}),
			examples: []any{object{"type": "connection", "status": "connected", "message": "WebSocket connection established"}},
		},
		{name: "admin.ping", title: "Ping", summary: "Asks for a pong.", payload: shape("ping", nil, nil), examples: []any{object{"type": "ping"}}},
		{name: "admin.pong", title: "Pong", summary: "Answers a ping.", payload: shape("pong", nil, nil), examples: []any{object{"type": "pong"}}},
		{
			name: "admin.subscribe", title: "Subscribe", summary: "Replaces the types the connection gets; an empty list mutes it.",
			payload: shape("subscribe", []string{"events"}, object{"events": texts, "filter": object{"type": "object", "description": "Conditions by path, like payload.status."}}),
			examples: []any{
				object{"type": "subscribe", "events": []string{"ticket.*", "webhook.*"}},
				object{"type": "subscribe", "events": []string{}},
				object{"type": "subscribe", "events": []string{"ticket.created"}, "filter": object{"payload.priority": object{"$in": []string{"high", "urgent"}}}},
			},
		},
		{
			name: "admin.subscribed", title: "Subscribed", summary: "The names that are active.",
			payload: shape("subscribed", []string{"events"}, object{"events": texts}), examples: []any{object{"type": "subscribed", "events": []string{"ticket.*", "webhook.*"}}},
		},
		{
			name: "admin.resume", title: "Resume", summary: "Asks for what came after an event.",
			payload:  shape("resume", []string{"last_event_id"}, object{"last_event_id": ref("schemas", "eventId")}),
			examples: []any{object{"type": "resume", "last_event_id": sampleEvent}},
		},
		{
			name: "admin.resumed", title: "Resumed", summary: "All that was missed has been sent, or is not kept any more.",
			payload: shape("resumed", []string{"status", "replayed"}, object{"status": object{"enum": []string{"complete", "lost"}}, "replayed": object{"type": "integer"}, "earliest": text}),
			examples: []any{
				object{"type": "resumed", "status": "complete", "replayed": 3}, object{"type": "resumed", "status": "lost", "replayed": 0, "earliest": sampleEvent},
			},
		},
		{
			name: "admin.error", title: "Error", summary: "A subscribe or resume message cannot be served.",
			payload:  shape("error", []string{"code", "message"}, object{"code": object{"const": "invalid_request"}, "message": text}),
			examples: []any{object{"type": "error", "code": "invalid_request", "message": "events: there is no type billing.*"}},
		},
	} {
		m.tags = admin
		s.add(adminPath, m)
	}
	names := make([]string, 0, len(c.Kinds()))
	for _, k := range c.Kinds() {
		m := message{
			name: "admin.event." + k.Type, title: k.Type, summary: k.Summary, tags: []string{"admin", k.Channel},
			payload: shape(k.Type, []string{"payload", "timestamp", "id", "occurred_at"}, object{
				"payload": ref("schemas", k.Type), "id": ref("schemas", "eventId"), "occurred_at": object{"type": "string", "format": "date-time"},
				"timestamp": object{"type": "string", "pattern": `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$`, "description": "UTC, seconds, no zone."},
			}),
		}
		if sample := sampleOf(k); sample != nil {
			m.examples = []any{object{"type": k.Type, "payload": sample, "timestamp": sampleTime[:19], "id": sampleEvent, "occurred_at": sampleTime}}
		}
		s.add(adminPath, m)
		names = append(names, m.name)
	}
	s.operation("admin.receive", "receive", adminPath, "The welcome, then events: by default accounts, payments and tickets.", admin, append([]string{"admin.connection"}, names...), nil)
	s.operation("admin.ping", "send", adminPath, "See whether the server is there.", admin, []string{"admin.ping"}, []string{"admin.pong"})
	s.operation("admin.subscribe", "send", adminPath, "Choose types.", admin, []string{"admin.subscribe"}, []string{"admin.subscribed", "admin.error"})
	s.operation("admin.resume", "send", adminPath, "Get what was missed.", admin, []string{"admin.resume"}, []string{"admin.resumed", "admin.error"})
}
