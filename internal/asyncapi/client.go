package asyncapi

import "maps"

// addClient adds what clients of the gateway send, and what is answered.
func (s *set) addClient() {
	text := object{"type": "string"}
	session := []string{"session"}
	request := func(typ string, required []string, fields object) object {
		p := object{"type": object{"const": typ}, "id": ref("schemas", "requestId")}
		maps.Copy(p, fields)
		return object{"type": "object", "required": append([]string{"type"}, required...), "properties": p}
	}
	for _, m := range []message{
		{
			name: "auth", title: "Credential", summary: "Says who is there, or gives a new credential to an open connection.",
			payload:  request("auth", []string{"token"}, object{"token": text}),
			examples: []any{object{"type": "auth", "token": "kur_example"}, object{"type": "auth", "id": "a-1", "token": "kur_example"}},
		},
		{
			name: "subscribe", title: "Subscribe", summary: "Asks for channels, types of events, or patterns of types.",
			payload: object{
				"allOf": []object{request("subscribe", nil, object{
					"channels": ref("schemas", "names"), "events": ref("schemas", "names"),
					"filter":      object{"type": "object", "description": "Conditions by path, like data.roomId, for the names of this message; up to 2 KiB."},
					"lastEventId": ref("schemas", "eventId"), "onLost": object{"const": "earliest", "description": "Replay all that is kept if lastEventId is not kept any more."},
					"consumer": object{"type": "string", "maxLength": 64, "description": "Name of a durable consumer: the server remembers what it has acknowledged."},
					"overflow": object{"const": "latest", "description": "While the reader is slow, keep only the newest event of each key."},
				})},
				"anyOf": []object{{"required": []string{"channels"}}, {"required": []string{"events"}}},
			},
			examples: []any{
				object{"type": "subscribe", "channels": []string{"messages", "rooms"}},
				object{"type": "subscribe", "id": "s-1", "channels": []string{"alerts"}, "events": []string{"trust.*", "message.created"}},
				object{"type": "subscribe", "id": 2, "channels": "messages", "filter": object{"data.roomId": "31", "data.messageType": object{"$in": []string{"text", "image"}}}},
				object{"type": "subscribe", "id": "s-3", "channels": []string{"*"}, "lastEventId": sampleEvent, "onLost": "earliest"},
				object{"type": "subscribe", "id": "s-4", "channels": []string{"tickets"}, "consumer": "crm-1"},
				object{"type": "subscribe", "id": "s-5", "channels": []string{"metrics"}, "overflow": "latest"},
			},
		},
		{
			name: "unsubscribe", title: "Unsubscribe", summary: "Ends subscriptions; names that are none are ignored.",
			payload: request("unsubscribe", nil, object{"channels": ref("schemas", "names"), "events": ref("schemas", "names"), "all": object{"type": "boolean"}}),
			examples: []any{
				object{"type": "unsubscribe", "channels": []string{"messages"}},
				object{"type": "unsubscribe", "id": "u-1", "events": []string{"trust.*"}},
				object{"type": "unsubscribe", "id": "u-2", "all": true},
			},
		},
		{
			name: "resume", title: "Resume", summary: "Restores the subscriptions of a connection that was lost within 5 minutes, and brings what was missed.",
			payload:  request("resume", []string{"token"}, object{"token": text, "lastEventId": ref("schemas", "eventId")}),
			examples: []any{object{"type": "resume", "id": "r-1", "token": "rsm_example", "lastEventId": sampleEvent}},
		},
		{
			name: "ack", title: "Acknowledge", summary: "Says, for a durable consumer, that all events up to this one are done with.",
			payload:  object{"type": "object", "required": []string{"type", "id"}, "properties": object{"type": object{"const": "ack"}, "id": ref("schemas", "eventId")}},
			examples: []any{object{"type": "ack", "id": sampleEvent}},
		},
		{
			name: "list", title: "List", summary: "Asks for the subscriptions and the counters of the connection.",
			payload: request("list", nil, nil), examples: []any{object{"type": "list", "id": "l-1"}},
		},
		{
			name: "clientPing", title: "Ping", summary: "Asks for a pong.",
			payload: request("ping", nil, nil), examples: []any{object{"type": "ping"}, object{"type": "ping", "id": "p-1"}},
		},
		{
			name: "clientPong", title: "Pong", summary: "Answers a ping.",
			payload: request("pong", nil, object{"timestamp": text}), examples: []any{object{"type": "pong"}},
		},
	} {
		m.tags, m.correlated = session, m.name != "ack" && m.name != "clientPong"
		s.add(gatewayPath, m)
	}
	failures := []string{"error.4003", "error.5001", "error.5002"}
	reply := func(name string, more ...string) []string {
		return append(append([]string{"response." + name}, more...), failures...)
	}
	for _, op := range []struct {
		name, summary string
		reply         []string
	}{
		{"auth", "Say who is there.", reply("auth", "error.4001", "error.4004")},
		{"subscribe", "Ask for events.", reply("subscribe", "error.4001", "error.4002", "error.4004", "error.4005")},
		{"unsubscribe", "Ask for events no more.", reply("unsubscribe", "error.4001")},
		{"resume", "Go on where another connection ended.", reply("resume", "error.4001")},
		{"list", "See the subscriptions.", reply("list", "error.4001")},
		{"ack", "Be done with events.", nil},
	} {
		s.operation(op.name, "send", gatewayPath, op.summary, session, []string{op.name}, op.reply)
	}
	s.operation("ping", "send", gatewayPath, "See whether the server is there.", session, []string{"clientPing"}, []string{"pong"})
	s.operation("pong", "send", gatewayPath, "Answer the server's ping.", session, []string{"clientPong"}, nil)
}

// addServer adds what the gateway sends beside events.
func (s *set) addServer() {
	texts := object{"type": "array", "items": object{"type": "string"}}
	number := object{"type": "integer"}
	text := object{"type": "string"}
	response := func(action string, statuses, required []string, more object) object {
		p := object{"action": object{"const": action}, "status": object{"enum": statuses}, "requestId": text}
		maps.Copy(p, more)
		return envelope("response", nil, object{"data": object{"type": "object", "required": append([]string{"action", "status"}, required...), "properties": p}})
	}
	says := func(id string, data object) object {
		return object{"type": "response", "id": id, "timestamp": sampleTime, "data": data}
	}
	subscribed := object{
		"channels": texts, "events": texts, "count": number, "consumer": text,
		"rejected": object{"type": "array", "items": object{"type": "object", "required": []string{"name", "code"}, "properties": object{"name": text, "code": text}}},
		"resolved": object{"type": "object", "additionalProperties": texts, "description": "The types that aliases and patterns stand for."},
		"active":   object{"type": "object", "required": []string{"channels", "events"}, "properties": object{"channels": texts, "events": texts}},
		"resume": object{"type": "object", "required": []string{"status"}, "properties": object{
			"status": object{"enum": []string{"complete", "lost"}}, "from": text, "replayed": number, "to": text, "earliest": text,
		}},
		"ignored": texts,
		"stats": object{"type": "object", "properties": object{
			"connectedAt": text, "messagesIn": number, "messagesOut": number, "bytesIn": number, "bytesOut": number,
		}},
	}
	both := []string{"active", "count"}
	active := object{"channels": []string{"alerts", "messages"}, "events": []string{"trust.verification.created"}}
	for _, m := range []message{
		{
			name: "response.auth", title: "Authenticated", summary: "The credential is good: what the connection may do. Also sent before a credential ends.", correlated: true,
			payload: response("auth", []string{"ok", "expiring"}, nil, object{
				"connectionId": text, "userId": text, "permissions": texts, "expiresAt": object{"type": "string", "format": "date-time"}, "expiresIn": number,
				"pingInterval": number, "resumeToken": text, "cursor": text,
				"limits": object{"type": "object", "properties": object{"subscriptions": number, "frameBytes": number, "messagesPerMinute": number}},
			}),
			examples: []any{
				says("msg_7q2", object{
					"action": "auth", "status": "ok", "connectionId": "con_5hx", "userId": "88", "permissions": []string{"read:messages", "read:rooms"}, "expiresAt": "2026-03-02T09:15:30Z",
					"pingInterval": 30, "resumeToken": "rsm_example", "cursor": sampleEvent, "limits": object{"subscriptions": 100, "frameBytes": 65536, "messagesPerMinute": 120},
				}),
				says("msg_7q3", object{"action": "auth", "status": "expiring", "expiresIn": 60}),
			},
		},
		{
			name: "response.subscribe", title: "Subscribed", summary: "What of a subscribe message is active, and all that is.", correlated: true,
			payload: response("subscribe", []string{"ok", "partial", "error"}, both, subscribed),
			examples: []any{
				says("s-1", object{
					"action": "subscribe", "status": "partial", "requestId": "s-1", "channels": []string{"messages", "alerts"}, "events": []string{"trust.verification.created"},
					"rejected": []object{{"name": "billing", "code": "4005"}}, "resolved": object{"alerts": []string{"security.alert.created", "security.alert.updated"}},
					"active": active, "count": 3,
				}),
				says("s-3", object{
					"action": "subscribe", "status": "ok", "requestId": "s-3", "channels": []string{"messages"}, "active": object{"channels": []string{"messages"}, "events": []string{}}, "count": 1,
					"resume": object{"status": "complete", "from": sampleEvent, "replayed": 12, "to": "evt_01JNB3D9V2R6C1H7S0N8B4Y5QT"},
				}),
			},
		},
		{
			name: "response.unsubscribe", title: "Unsubscribed", summary: "What is over, and what goes on.", correlated: true,
			payload: response("unsubscribe", []string{"ok"}, both, subscribed),
			examples: []any{says("u-1", object{
				"action": "unsubscribe", "status": "ok", "requestId": "u-1", "events": []string{"trust.*"}, "ignored": []string{"billing"}, "active": active, "count": 3,
			})},
		},
		{
			name: "response.resume", title: "Resumed", summary: "The subscriptions of the lost connection are active again, or it is not known any more.", correlated: true,
			payload: response("resume", []string{"ok", "lost"}, both, subscribed),
			examples: []any{
				says("r-1", object{
					"action": "resume", "status": "ok", "requestId": "r-1", "channels": []string{"messages", "alerts"}, "events": []string{"trust.verification.created"}, "active": active, "count": 3,
					"resume": object{"status": "complete", "from": sampleEvent, "replayed": 3, "to": "evt_01JNB3D9V2R6C1H7S0N8B4Y5QT"},
				}),
				says("r-2", object{
					"action": "resume", "status": "lost", "requestId": "r-2", "active": object{"channels": []string{}, "events": []string{}}, "count": 0,
					"resume": object{"status": "lost", "from": sampleEvent},
				}),
			},
		},
		{
			name: "response.list", title: "Subscriptions", summary: "The subscriptions and the counters of the connection.", correlated: true,
			payload: response("list", []string{"ok"}, both, subscribed),
			examples: []any{says("l-1", object{
				"action": "list", "status": "ok", "requestId": "l-1", "active": active, "count": 3,
				"stats": object{"connectedAt": sampleTime, "messagesIn": 3, "messagesOut": 41, "bytesIn": 210, "bytesOut": 17803},
			})},
		},
		{
			name: "response.consumer", title: "Consumer replaced", summary: "Another connection reads for this consumer now; a close with 1000 follows.",
			payload:  response("consumer", []string{"replaced"}, nil, object{"consumer": text}),
			examples: []any{says("msg_7q4", object{"action": "consumer", "status": "replaced", "consumer": "crm-1"})},
		},
		{
			name: "ping", title: "Ping", summary: "Asks for a pong, and says up to where the connection has got everything.",
			payload: envelope("ping", nil, object{"data": object{"type": "object", "properties": object{"cursor": text, "lag": number, "skipped": number}}}),
			examples: []any{
				object{"type": "ping", "id": "msg_7q5", "timestamp": sampleTime, "data": object{"cursor": sampleEvent}},
				object{"type": "ping", "id": "msg_7q6", "timestamp": sampleTime, "data": object{"lag": 1804, "skipped": 12}},
			},
		},
		{
			name: "pong", title: "Pong", summary: "Answers a ping of the client.", correlated: true,
			payload:  envelope("pong", nil, object{"data": object{"type": "object"}}),
			examples: []any{object{"type": "pong", "id": "p-1", "timestamp": sampleTime, "data": object{"requestId": "p-1"}}},
		},
		{
			name: "cloudevent", title: "CloudEvent", summary: "An event in the form of CloudEvents 1.0, for connections that want it.",
			payload: object{
				"type": "object", "required": []string{"specversion", "id", "source", "type", "time", "data"},
				"properties": object{
					"specversion": object{"const": "1.0"}, "id": ref("schemas", "eventId"), "source": text, "type": text, "subject": text,
					"time": object{"type": "string", "format": "date-time"}, "datacontenttype": object{"const": "application/json"}, "sequence": text, "data": object{"type": "object"},
				},
			},
			examples: []any{object{
				"specversion": "1.0", "id": sampleEvent, "source": "/kuranty", "type": "user.deleted", "time": sampleTime, "datacontenttype": "application/json",
				"sequence": "00000000000000048211", "data": object{"user_id": 123},
			}},
		},
	} {
		m.tags = []string{"session"}
		s.add(gatewayPath, m)
	}
	names := s.addErrors()
	session := []string{"session"}
	s.operation("receive.ping", "receive", gatewayPath, "Signs of life of the server.", session, []string{"ping"}, []string{"clientPong"})
	s.operation("receive.notices", "receive", gatewayPath, "What concerns the connection and was not asked for.", session, []string{"response.auth", "response.consumer"}, nil)
	s.operation("receive.errors", "receive", gatewayPath, "Errors; one always comes before the close it explains.", session, names, nil)
	s.operation("receive.cloudevents", "receive", gatewayPath, "Events as CloudEvents, with format=cloudevents.", session, []string{"cloudevent"}, nil)
}

// addErrors adds a message for each code.
func (s *set) addErrors() (names []string) {
	texts := object{"type": "array", "items": object{"type": "string"}}
	for _, e := range []struct {
		code     string
		examples []object
	}{
		{"4001", []object{{"code": "4001", "message": "Invalid authentication token", "reason": "invalid", "retryable": false}}},
		{"4002", []object{{"code": "4002", "message": "Not allowed to subscribe", "requestId": "s-1", "channels": []string{"security"}, "retryable": false}}},
		{"4003", []object{{"code": "4003", "message": "type must be a string", "requestId": "s-1", "retryable": false}}},
		{"4004", []object{{"code": "4004", "message": "Subscription limit exceeded", "requestId": "s-1", "events": []string{"message.created"}, "retryable": false}}},
		{"4005", []object{{"code": "4005", "message": "Channel does not exist", "requestId": "s-1", "channels": []string{"billing"}, "retryable": false}}},
		{"5001", []object{{"code": "5001", "message": "Internal server error", "requestId": "s-1", "retryable": true}}},
		{"5002", []object{{"code": "5002", "message": "The server restarts", "retryable": true, "reconnectAfter": 2500}}},
	} {
		m := message{
			name: "error." + e.code, title: "Error " + e.code, summary: errorCodes[e.code].(object)["meaning"].(string) + ".", tags: []string{"session"}, correlated: true,
			payload: envelope("error", nil, object{"data": object{
				"type": "object", "required": []string{"code", "message", "retryable"},
				"properties": object{
					"code": object{"const": e.code}, "message": object{"type": "string"}, "requestId": object{"type": "string"}, "channels": texts, "events": texts,
					"reason": object{"enum": []string{"invalid", "expired", "revoked", "timeout", "required", "rate"}}, "retryable": object{"type": "boolean"},
					"reconnectAfter": object{"type": "integer", "description": "Milliseconds."},
				},
			}}),
		}
		for _, data := range e.examples {
			id := data["requestId"]
			if id == nil {
				id = "msg_7q7"
			}
			m.examples = append(m.examples, object{"type": "error", "id": id, "timestamp": sampleTime, "data": data})
		}
		s.add(gatewayPath, m)
		names = append(names, m.name)
	}
	return names
}
