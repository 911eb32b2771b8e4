package webhookapi

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/webhooks"
	"github.com/kuranty/kuranty/webhook"
)

// masked stands where a value is not told.
const masked = "***"

// Webhook is a webhook as clients see it (spec/webhooks.md §1.4): first what the reference
// has, then ours.
type Webhook struct {
	ID              int64   `json:"id" doc:"The value of X-Webhook-Id in requests to the receiver"`
	Name            string  `json:"name"`
	URL             string  `json:"url"`
	EventType       string  `json:"event_type" doc:"The first of event_types"`
	IsActive        bool    `json:"is_active"`
	Description     *string `json:"description"`
	CreatedAt       string  `json:"created_at" format:"date-time"`
	UpdatedAt       string  `json:"updated_at" format:"date-time"`
	LastTriggeredAt *string `json:"last_triggered_at" format:"date-time" doc:"When the last attempt ended"`
	FailureCount    int64   `json:"failure_count" doc:"Attempts that failed"`
	SuccessCount    int64   `json:"success_count" doc:"Attempts that were answered 2xx"`

	EventTypes          []string            `json:"event_types" nullable:"false" doc:"Types and patterns"`
	Filter              json.RawMessage     `json:"filter" doc:"Condition on events, or null"`
	PayloadFormat       string              `json:"payload_format" enum:"plain,compact,envelope,cloudevents"`
	CEHeaders           bool                `json:"ce_headers"`
	Headers             map[string]string   `json:"headers" doc:"Extra headers; their values are masked"`
	SignatureScheme     string              `json:"signature_scheme" enum:"hmac,ed25519,both"`
	TimeoutMS           int64               `json:"timeout_ms"`
	RateLimit           *delivery.RateLimit `json:"rate_limit"`
	MaxInFlight         int                 `json:"max_in_flight"`
	Ordering            string              `json:"ordering" enum:"none,key,strict"`
	OnExhausted         string              `json:"on_exhausted" enum:"continue,block"`
	RetrySchedule       []int64             `json:"retry_schedule" doc:"Seconds before each further attempt; null is the server's own"`
	TLS                 *TLSShown           `json:"tls"`
	Metadata            json.RawMessage     `json:"metadata" doc:"An object of the owner's"`
	Verify              string              `json:"verify" enum:"none,ping,cloudevents"`
	HasSecret           bool                `json:"has_secret"`
	SecretHint          *string             `json:"secret_hint" doc:"The last four characters of a long secret"`
	SecretRotation      *Rotation           `json:"secret_rotation"`
	Health              string              `json:"health" enum:"ok,failing,circuit_open,disabled"`
	DisabledAt          *string             `json:"disabled_at" format:"date-time"`
	DisabledReason      *string             `json:"disabled_reason" doc:"failures, gone, receiver_request, target_blocked, backlog, exhausted or unverified; null if the owner switched it off"`
	ConsecutiveFailures int                 `json:"consecutive_failures"`
	PendingDeliveries   int                 `json:"pending_deliveries"`
	Warnings            []string            `json:"warnings" nullable:"false"`

	// Secret is told once, by who makes it.
	Secret string `json:"secret,omitempty" doc:"Only in the answer to generate_secret"`
}

// TLSShown is what of a webhook's TLS is told.
type TLSShown struct {
	ClientCert *string `json:"client_cert"`
	ClientKey  *string `json:"client_key" doc:"Masked"`
	CA         *string `json:"ca"`
}

// Rotation is a secret that is being replaced.
type Rotation struct {
	PreviousExpiresAt string `json:"previous_expires_at" format:"date-time"`
}

func newWebhook(v *webhooks.View, now time.Time) Webhook {
	w := &v.Webhook
	out := Webhook{
		ID: w.ID, Name: w.Name, URL: w.URL, EventType: w.EventType(), IsActive: w.IsActive, Description: optional(w.Description),
		CreatedAt: webhook.FormatTime(w.CreatedAt), UpdatedAt: webhook.FormatTime(w.UpdatedAt), LastTriggeredAt: stamp(w.LastTriggeredAt),
		FailureCount: w.FailureCount, SuccessCount: w.SuccessCount,

		EventTypes: w.EventTypes, Filter: w.Filter, PayloadFormat: string(w.PayloadFormat), CEHeaders: w.CEHeaders, Headers: map[string]string{},
		SignatureScheme: w.SignatureScheme, TimeoutMS: w.Timeout.Milliseconds(), RateLimit: w.RateLimit, MaxInFlight: w.MaxInFlight,
		Ordering: w.Ordering, OnExhausted: w.OnExhausted, RetrySchedule: seconds(w.RetrySchedule), Metadata: w.Metadata, Verify: w.Verify,
		HasSecret: w.HasSecret(), SecretHint: optional(w.SecretHint()), Health: w.Condition(),
		DisabledAt: stamp(w.Health.DisabledAt), DisabledReason: optional(string(w.Health.Reason)),
		ConsecutiveFailures: w.Health.ConsecutiveFailures, PendingDeliveries: v.Pending, Warnings: v.Warnings, Secret: v.Made,
	}
	for name := range w.Headers {
		out.Headers[name] = masked
	}
	if t := w.Settings.TLS; t != nil {
		out.TLS = &TLSShown{ClientCert: optional(t.ClientCert), CA: optional(t.CA)}
		if t.ClientKey != "" {
			out.TLS.ClientKey = optional(masked)
		}
	}
	if webhooks.Rotating(w, now) {
		out.SecretRotation = &Rotation{webhook.FormatTime(w.PreviousUntil)}
	}
	if out.Warnings == nil {
		out.Warnings = []string{}
	}
	return out
}

// Delivery is a delivery as clients see it.
type Delivery struct {
	ID             int64           `json:"id"`
	WebhookID      int64           `json:"webhook_id"`
	EventType      string          `json:"event_type"`
	Payload        json.RawMessage `json:"payload" doc:"What the event says; null once that is not kept any more"`
	ResponseStatus *int            `json:"response_status" doc:"Of the last attempt, as all about the answer"`
	ResponseBody   *string         `json:"response_body" doc:"At most 1000 characters, then \"... (truncated)\""`
	Status         string          `json:"status" enum:"pending,success,failed"`
	ErrorMessage   *string         `json:"error_message"`
	AttemptNumber  int             `json:"attempt_number" doc:"Attempts so far, at least 1"`
	CreatedAt      string          `json:"created_at" format:"date-time"`
	DeliveredAt    *string         `json:"delivered_at" format:"date-time" doc:"Only after a success"`
	NextRetryAt    *string         `json:"next_retry_at" format:"date-time" doc:"A failed delivery without it is not tried again"`

	EventID       string  `json:"event_id" doc:"The value of webhook-id"`
	State         string  `json:"state" enum:"queued,sending,retrying,succeeded,exhausted,paused,canceled"`
	ErrorCode     *string `json:"error_code"`
	Trigger       string  `json:"trigger" enum:"event,manual,recover,replay,test"`
	MaxAttempts   int     `json:"max_attempts"`
	LastAttemptAt *string `json:"last_attempt_at" format:"date-time"`
	DurationMS    *int64  `json:"duration_ms"`
	JobID         *string `json:"job_id" doc:"The job that queued it last"`
	// PayloadExpired is told where there is no payload, and only there.
	PayloadExpired bool `json:"payload_expired,omitempty" doc:"True if the payload is not kept any more"`
}

// DeliveryDetail is a delivery with its attempts.
type DeliveryDetail struct {
	Delivery

	Attempts []Attempt `json:"attempts" nullable:"false" doc:"Oldest first"`
}

func newDelivery(v *webhooks.DeliveryView, now time.Time) Delivery {
	d := &v.Delivery
	out := Delivery{
		ID: d.ID, WebhookID: d.WebhookID, EventType: d.EventType, Payload: d.Event.Payload, Status: string(d.Status()),
		ErrorMessage: optional(d.ErrorMessage), AttemptNumber: d.AttemptNumber(), CreatedAt: webhook.FormatTime(d.CreatedAt),
		DeliveredAt: stamp(d.DeliveredAt), NextRetryAt: stamp(nextRetry(d, now)),

		EventID: d.EventID, State: string(d.State), ErrorCode: optional(d.ErrorCode), Trigger: string(d.Trigger), MaxAttempts: v.MaxAttempts,
		LastAttemptAt: stamp(d.LastAttemptAt), JobID: optional(d.Job), PayloadExpired: d.Event.Payload == nil,
	}
	if d.ResponseStatus != 0 {
		body := cut(d.ResponseBody)
		out.ResponseStatus, out.ResponseBody = &d.ResponseStatus, &body
	}
	if d.Delivery.Attempts > 0 {
		out.DurationMS = milliseconds(d.Duration)
	}
	return out
}

// nextRetry is when a delivery is tried again. One that has failed and is due at once, or
// being sent, must not look as if it were given up: it is due now.
func nextRetry(d *webhooks.Delivery, now time.Time) time.Time {
	if d.State.Final() || d.State == delivery.StatePaused {
		return time.Time{}
	}
	if d.NextRetryAt.IsZero() && d.Status() == delivery.StatusFailed {
		return now
	}
	return d.NextRetryAt
}

// What is shown of an answer (spec/webhooks.md §4.14).
const (
	maxShown  = 1000 // characters
	truncated = "... (truncated)"
)

// cut shortens an answer, unless whoever stored it has.
func cut(body string) string {
	if utf8.RuneCountInString(strings.TrimSuffix(body, truncated)) <= maxShown {
		return body
	}
	n := 0
	for i := range body {
		if n == maxShown {
			return body[:i] + truncated
		}
		n++
	}
	return body
}

// Attempt is one request to a receiver. Times are in milliseconds, null where that part did
// not take place.
type Attempt struct {
	ID                *int64            `json:"id" doc:"Null for a test, which is not kept"`
	AttemptNumber     int               `json:"attempt_number"`
	Trigger           string            `json:"trigger" enum:"event,manual,recover,replay,test"`
	StartedAt         string            `json:"started_at" format:"date-time"`
	DurationMS        *int64            `json:"duration_ms"`
	DNSMS             *int64            `json:"dns_ms"`
	ConnectMS         *int64            `json:"connect_ms"`
	TLSMS             *int64            `json:"tls_ms"`
	FirstByteMS       *int64            `json:"first_byte_ms"`
	RemoteIP          *string           `json:"remote_ip"`
	HTTPVersion       *string           `json:"http_version"`
	RequestHeaders    map[string]string `json:"request_headers" doc:"What the owner added is masked"`
	ResponseStatus    *int              `json:"response_status"`
	ResponseHeaders   map[string]string `json:"response_headers"`
	ResponseBody      *string           `json:"response_body" doc:"At most 64 KiB"`
	ResponseTruncated bool              `json:"response_truncated"`
	ErrorCode         *string           `json:"error_code" doc:"Null if and only if the attempt succeeded"`
	ErrorMessage      *string           `json:"error_message"`
}

func newAttempt(a *delivery.Attempt) Attempt {
	out := Attempt{
		AttemptNumber: a.Number, Trigger: string(a.Trigger), StartedAt: webhook.FormatTime(a.Started), DurationMS: milliseconds(a.Duration),
		DNSMS: milliseconds(a.DNS), ConnectMS: milliseconds(a.Connect), TLSMS: milliseconds(a.TLS), FirstByteMS: milliseconds(a.FirstByte),
		RemoteIP: optional(a.RemoteIP), HTTPVersion: optional(a.HTTPVersion), RequestHeaders: flat(a.RequestHeaders), ResponseHeaders: flat(a.ResponseHeaders),
		ResponseTruncated: a.ResponseTruncated, ErrorCode: optional(a.Code), ErrorMessage: optional(a.Message),
	}
	if a.ID != 0 {
		out.ID = &a.ID
	}
	if a.ResponseStatus != 0 {
		out.ResponseStatus, out.ResponseBody = &a.ResponseStatus, &a.ResponseBody
	}
	return out
}

// Rate is a percentage with two decimals; it is written with a point, as a fraction is.
type Rate float64

func rateOf(part, all int) Rate {
	if all == 0 {
		return 0
	}
	return Rate(math.Round(10000*float64(part)/float64(all)) / 100)
}

// MarshalJSON implements [json.Marshaler].
func (r Rate) MarshalJSON() ([]byte, error) {
	s := strconv.FormatFloat(float64(r), 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return []byte(s), nil
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func stamp(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	return optional(webhook.FormatTime(t))
}

// milliseconds rounds up, so that what took place is not nothing.
func milliseconds(d time.Duration) *int64 {
	if d <= 0 {
		return nil
	}
	n := int64((d + time.Millisecond - 1) / time.Millisecond)
	return &n
}

func seconds(s delivery.Schedule) []int64 {
	if s == nil {
		return nil
	}
	all := make([]int64, len(s))
	for i, d := range s {
		all[i] = int64(d / time.Second)
	}
	return all
}

func flat(h map[string][]string) map[string]string {
	all := make(map[string]string, len(h))
	for name, values := range h {
		all[name] = strings.Join(values, ", ")
	}
	return all
}
