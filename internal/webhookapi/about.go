package webhookapi

import (
	"encoding/json"
	"net/http"

	"github.com/kuranty/kuranty/internal/delivery"
)

// about is what the document says of an endpoint.
type about struct {
	summary string
	query   []parameter
	// request and response are examples; their types are the schemas. Without a response the
	// answer has no body.
	request, response any
	status            int
	// refused are statuses of refusals beside those that follow from the route.
	refused []int
}

// parameter is one of the query.
type parameter struct {
	name, kind, says string
}

// limitParameter and offsetParameter are those of pages.
var (
	limitParameter  = parameter{"limit", "integer", "How many at most, 1 to 200; 50 if absent"}
	offsetParameter = parameter{"offset", "integer", "How many to leave out"}
)

// SettingsBody are the fields that making and changing a webhook have in common.
type SettingsBody struct {
	EventTypes      []string            `json:"event_types,omitempty" doc:"1 to 50 types and patterns; instead of event_type"`
	GenerateSecret  bool                `json:"generate_secret,omitempty" doc:"Makes a secret, which the answer tells once"`
	Secret          string              `json:"secret,omitempty" doc:"At most 128 characters; whsec_ and base64 of 24 to 64 bytes, or any text"`
	Description     string              `json:"description,omitempty"`
	Filter          json.RawMessage     `json:"filter,omitempty" doc:"Condition on {\"type\", \"payload\"}"`
	PayloadFormat   string              `json:"payload_format,omitempty" enum:"plain,compact,envelope,cloudevents"`
	CEHeaders       bool                `json:"ce_headers,omitempty"`
	Headers         map[string]string   `json:"headers,omitempty" doc:"At most 20 extra request headers"`
	SignatureScheme string              `json:"signature_scheme,omitempty" enum:"hmac,ed25519,both"`
	TimeoutMS       int                 `json:"timeout_ms,omitempty" minimum:"1000" maximum:"30000"`
	RateLimit       *delivery.RateLimit `json:"rate_limit,omitempty"`
	MaxInFlight     int                 `json:"max_in_flight,omitempty" minimum:"1" maximum:"100"`
	Ordering        string              `json:"ordering,omitempty" enum:"none,key,strict"`
	OnExhausted     string              `json:"on_exhausted,omitempty" enum:"continue,block"`
	RetrySchedule   []int64             `json:"retry_schedule,omitempty" doc:"Up to 20 waits of 1 to 86400 seconds; [] is one attempt only"`
	TLS             *delivery.TLS       `json:"tls,omitempty" doc:"PEM"`
	Metadata        json.RawMessage     `json:"metadata,omitempty" doc:"An object of at most 4 KiB"`
	Verify          string              `json:"verify,omitempty" enum:"none,ping,cloudevents"`
}

type createBody struct {
	Name      string `json:"name" minLength:"1" maxLength:"255"`
	URL       string `json:"url" minLength:"1" maxLength:"2048"`
	EventType string `json:"event_type,omitempty" doc:"A type or a pattern; required without event_types" maxLength:"50"`
	SettingsBody
}

type patchBody struct {
	Name      string `json:"name,omitempty" maxLength:"255"`
	URL       string `json:"url,omitempty" maxLength:"2048"`
	EventType string `json:"event_type,omitempty" maxLength:"50"`
	IsActive  *bool  `json:"is_active,omitempty"`
	SettingsBody

	Force  bool   `json:"force,omitempty" doc:"Switches on what was disabled three times in seven days"`
	Resume string `json:"resume,omitempty" enum:"all,none" doc:"What happens to deliveries that were paused meanwhile"`
}

type (
	redeliverBody struct {
		NewID bool `json:"new_id,omitempty" doc:"Makes a new delivery with a fresh webhook-id"`
	}
	recoverBody struct {
		Since      string   `json:"since" format:"date-time"`
		Until      string   `json:"until,omitempty" format:"date-time"`
		ErrorCodes []string `json:"error_codes,omitempty"`
	}
	replayBody struct {
		Since       string   `json:"since" format:"date-time"`
		Until       string   `json:"until,omitempty" format:"date-time"`
		EventTypes  []string `json:"event_types,omitempty" doc:"Types and patterns"`
		OnlyMissing *bool    `json:"only_missing,omitempty" doc:"True if absent; false sends again what was delivered, too"`
	}
	testBody struct {
		EventType string          `json:"event_type,omitempty" maxLength:"50" doc:"webhook.test if absent"`
		Payload   json.RawMessage `json:"payload,omitempty" doc:"An object; if absent the sample of the type"`
	}
	matchBody struct {
		Type    string          `json:"type" minLength:"1"`
		Payload json.RawMessage `json:"payload,omitempty"`
	}
	rotateBody struct {
		Secret       string `json:"secret,omitempty" doc:"Made if absent"`
		GraceSeconds int    `json:"grace_seconds,omitempty" minimum:"0" maximum:"604800" doc:"How long the old one stays good; a day if absent"`
	}
	checkBody struct {
		WebhookID  int64             `json:"webhook_id"`
		Headers    map[string]string `json:"headers"`
		Body       string            `json:"body" doc:"Exactly as it came"`
		ReceivedAt string            `json:"received_at,omitempty" format:"date-time" doc:"Now if absent"`
	}
)

// The examples of the document.
var (
	aTime    = "2026-03-02T08:15:30.123456Z"
	aWebhook = Webhook{
		ID: 14, Name: "CRM sync", URL: "https://hooks.example.net/in", EventType: "ticket.created", IsActive: true, CreatedAt: aTime, UpdatedAt: aTime,
		EventTypes: []string{"ticket.created"}, Filter: json.RawMessage("null"), PayloadFormat: "plain", Headers: map[string]string{}, SignatureScheme: "hmac",
		TimeoutMS: 15000, MaxInFlight: 10, Ordering: "none", OnExhausted: "continue", Metadata: json.RawMessage("{}"), Verify: "none", HasSecret: true,
		SecretHint: optional("Hh8="), Health: "ok", Warnings: []string{},
	}
	aStatus   = 500
	aDuration = int64(41)
	aDelivery = Delivery{
		ID: 9001, WebhookID: 14, EventType: "ticket.created",
		Payload:        json.RawMessage(`{"ticket_id": 55, "user_id": 8, "title": "Cannot pay", "status": "open", "priority": "normal", "has_media": false}`),
		ResponseStatus: &aStatus, ResponseBody: optional("oops"), Status: "failed", ErrorMessage: optional("HTTP 500: oops"), AttemptNumber: 1,
		CreatedAt: "2026-03-02T08:16:00Z", NextRetryAt: optional("2026-03-02T08:16:05.412Z"), EventID: "evt_01J9ZQ8T4W6X2N5B7C3D1F0GHK", State: "retrying",
		ErrorCode: optional("http_500"), Trigger: "event", MaxAttempts: 10, LastAttemptAt: optional("2026-03-02T08:16:00.341Z"), DurationMS: &aDuration,
	}
	anAttempt = Attempt{
		AttemptNumber: 1, Trigger: "test", StartedAt: aTime, DurationMS: &aDuration, FirstByteMS: &aDuration, RemoteIP: optional("192.0.2.7"),
		HTTPVersion: optional("HTTP/1.1"), RequestHeaders: map[string]string{"X-Webhook-Event": "webhook.test"}, ResponseStatus: &aStatus,
		ResponseHeaders: map[string]string{"Content-Type": "text/plain"}, ResponseBody: optional("oops"), ErrorCode: optional("http_500"), ErrorMessage: optional("HTTP 500: oops"),
	}
	aJob = Job{
		ID: "whj_01J9ZQ8T4W6X2N5B7C3D1F0GHK", Kind: "recover", State: "running", Matched: 120, Queued: 118, Succeeded: 90, CreatedAt: aTime, UpdatedAt: aTime,
		WebhookID: 14, Since: "2026-03-01T00:00:00Z", Until: "2026-03-02T00:00:00Z",
	}
	aSecret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" //nolint:gosec // the example of the specification
	one     = 1
)

// What the document says, in the order of the table.
var (
	aboutCreate = about{
		summary: "Make a webhook", status: http.StatusCreated, response: aWebhook,
		request: createBody{Name: "CRM sync", URL: "https://hooks.example.net/in", EventType: "ticket.created", SettingsBody: SettingsBody{Secret: "optional-secret-for-signing"}},
		refused: []int{http.StatusConflict},
	}
	aboutList = about{
		summary: "List webhooks, newest first", response: List{Items: []Webhook{aWebhook}, Total: 1, Limit: 50},
		query: []parameter{
			{"event_type", "string", "Those that name exactly this type or pattern"},
			{"is_active", "boolean", "Those that are active, or are not"},
			limitParameter, offsetParameter,
			{"matches", "string", "Those that would get an event of this type"},
		},
	}
	aboutTotals = about{summary: "Get the figures of all webhooks", response: Totals{3, 2, 120, 111, 6, 92.5}}
	aboutMeta   = about{summary: "Get what receivers and firewalls have to know", response: Meta{
		SourceIPs: []string{"192.0.2.1"}, UserAgent: "Kuranty-Webhooks/1.0", SignatureSchemes: []string{"hmac", "ed25519", "both"},
		RetrySchedule: []int64{5, 300, 1800}, TimeoutMS: 15000,
	}}
	aboutCheckSignature = about{
		summary: "Find out why a receiver refuses a request",
		request: checkBody{
			WebhookID: 14, Body: "{}",
			Headers: map[string]string{"X-Webhook-Signature": "sha256=add853b103fbcc936a194f9eb15e29c4ff08af6e47d5d1bca4f20218e31e4fff"},
		},
		response: Checked{true, []Finding{{"X-Webhook-Signature", true, "signed with the secret"}}}, refused: []int{http.StatusNotFound, http.StatusConflict},
	}
	aboutJob       = about{summary: "Get a job", response: aJob}
	aboutCancelJob = about{summary: "Stop a job", response: aJob}
	aboutGet       = about{summary: "Get a webhook", response: aWebhook}
	aboutPatch     = about{
		summary: "Change a webhook", request: patchBody{Name: "CRM"}, response: aWebhook, refused: []int{http.StatusConflict},
	}
	aboutRemove     = about{summary: "Remove a webhook with its deliveries", status: http.StatusNoContent}
	aboutDeliveries = about{
		summary: "List deliveries, newest first", response: DeliveryList{Items: []Delivery{aDelivery}, Total: &one, Limit: 50},
		query: []parameter{
			{"status", "string", "pending, success or failed"},
			limitParameter, offsetParameter,
			{"event_type", "string", "Those of this type"},
			{"event_id", "string", "That of this event"},
			{"state", "string", "Those in this state"},
			{"error_code", "string", "Those whose last attempt failed so"},
			{"since", "time", "Those made then or later"},
			{"until", "time", "Those made before"},
			{"cursor", "string", "next_cursor of the page before"},
		},
	}
	aboutDelivery  = about{summary: "Get a delivery with its attempts", response: DeliveryDetail{aDelivery, []Attempt{anAttempt}}}
	aboutRedeliver = about{
		summary: "Attempt a delivery now, by hand", request: redeliverBody{NewID: true}, response: aDelivery, status: http.StatusAccepted, refused: []int{http.StatusConflict},
	}
	aboutCancel = about{summary: "Stop trying a delivery", response: aDelivery}
	aboutErase  = about{summary: "Erase what a delivery's event says", status: http.StatusNoContent}
	aboutStats  = about{
		summary: "Get how the attempts of a webhook went", query: []parameter{{"since", "time", "A day ago if absent"}},
		response: Stats{
			Since: aTime, Attempts: 1, Succeeded: 1, SuccessRate: 100, Outcomes: map[string]int{"success": 1},
			DurationMS: Durations{&aDuration, &aDuration, &aDuration}, Hours: []Hour{{"2026-03-02T08:00:00Z", 1, 1, 100}},
		},
	}
	aboutRecover = about{
		summary: "Queue failed deliveries of a time again", request: recoverBody{Since: aTime, ErrorCodes: []string{"timeout"}}, response: aJob, status: http.StatusAccepted,
	}
	aboutReplay = about{
		summary: "Deliver events of a time from the log", request: replayBody{Since: aTime, EventTypes: []string{"ticket.*"}}, response: aJob, status: http.StatusAccepted,
	}
	aboutTest = about{
		summary: "Send a test event and get the receiver's answer", request: testBody{EventType: "ticket.created"}, response: anAttempt,
		refused: []int{http.StatusTooManyRequests, http.StatusConflict},
	}
	aboutMatch = about{
		summary: "Find out whether an event is for a webhook", request: matchBody{"ticket.created", json.RawMessage(`{"user_id": 8}`)},
		response: Match{true, "event_types[0]"},
	}
	aboutSecret = about{summary: "Reveal the secret", response: Secret{Secret: &aSecret}, refused: []int{http.StatusConflict}}
	aboutRotate = about{
		summary: "Replace the secret", request: rotateBody{GraceSeconds: 86400}, response: Rotated{aSecret, &aTime}, refused: []int{http.StatusConflict},
	}
	aboutEndRotation = about{summary: "Make the old secret useless now", status: http.StatusNoContent, refused: []int{http.StatusConflict}}
	aboutKeys        = about{summary: "Get the keys that v1a signatures are checked with", response: Keys{[]Key{{
		"OKP", "Ed25519", "sig", "EdDSA", "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
		"whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
	}}}}
)
