package asyncapi

// What is said about codes stands in event-gateway.md §§6, 6.1 and 10.
var (
	errorCodes = object{
		"4001": errorCode("Invalid authentication token", "closed with 4001, but for the reason required", false),
		"4002": errorCode("Not allowed to subscribe, or not any more", "open", false),
		"4003": errorCode("Malformed message", "open; after 10 in a minute closed with 4003", false),
		"4004": errorCode("Limit of subscriptions or connections exceeded", "open; closed with 4030 for connections", false),
		"4005": errorCode("Channel or type of events does not exist", "open", false),
		"5001": errorCode("Internal server error", "open; closed with 1011 if the connection is affected", true),
		"5002": errorCode("Service unavailable", "open; closed with 1012 or 1013 if the connection is affected", true),
	}
	closeCodes = object{
		"1000": closeCode("The client said goodbye, or the server ended the connection on purpose", "no", false),
		"1001": closeCode("The node goes away", "yes, within 0 to 5 s", true),
		"1003": closeCode("Binary frame", "no: mend the client", false),
		"1007": closeCode("Text that is not UTF-8", "no: mend the client", false),
		"1008": closeCode("Admin socket: the credential is not good, or too many messages make no sense", "only with another credential", false),
		"1009": closeCode("Frame above the limit", "no: mend the client", false),
		"1011": closeCode("Internal error", "yes, with backoff", true),
		"1012": closeCode("Restart, after an error 5002 with reconnectAfter in milliseconds", "yes, as told", true),
		"1013": closeCode("Overload", "yes, after 10 s or more", true),
		"4001": closeCode("Authentication", "only with a new token", true),
		"4003": closeCode("Too many malformed messages", "no: mend the client", false),
		"4008": closeCode("Consumer too slow", "yes", true),
		"4009": closeCode("No sign of life", "yes", true),
		"4029": closeCode("Too many messages", "yes, after 60 s or more", true),
		"4030": closeCode("Too many connections of the subject", "no: close another first", false),
	}
	guarantee = object{
		"withResume":    "at-least-once",
		"withoutResume": "at-most-once",
		"order":         "per connection, that of the log: seq rises",
		"duplicates":    "have the same id",
		"description": "A client that comes back with the id of the last event it has done with gets all that came after, as long as the log keeps it; " +
			"on one connection an event comes once, however many subscriptions match it.",
	}
	securitySchemes = object{
		"bearer":       object{"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer <token or API key>` on the handshake."},
		"apiKeyHeader": object{"type": "httpApiKey", "name": "X-API-Key", "in": "header", "description": "An API key."},
		"apiKeyQuery":  object{"type": "httpApiKey", "name": "api_key", "in": "query", "description": "An API key in the address."},
		"tokenQuery":   object{"type": "httpApiKey", "name": "token", "in": "query", "description": "A token or an API key in the address, for browsers."},
		"ticketQuery": object{
			"type": "httpApiKey", "name": "ticket", "in": "query",
			"description": "A ticket of `POST /v1/ws/tickets`: good for one connection within 30 s.",
		},
		"inBand": object{
			"type": "apiKey", "in": "password",
			"description": "Connect without a credential and send it in the first message, `auth`; within 10 s.",
		},
		"subprotocol": object{
			"type": "httpApiKey", "name": "Sec-WebSocket-Protocol", "in": "header",
			"description": "`events.v1, bearer.<token>`: the server selects `events.v1`.",
		},
	}
)

func errorCode(what, socket string, retryable bool) object {
	return object{"meaning": what, "socket": socket, "retryable": retryable}
}

func closeCode(what, reconnect string, resume bool) object {
	return object{"meaning": what, "reconnect": reconnect, "resume": resume}
}
