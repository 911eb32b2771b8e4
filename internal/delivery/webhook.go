package delivery

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/webhook"
)

// Webhook is an owner's wish to be told of events, and how that goes.
type Webhook struct {
	ID int64
	Settings

	// IsActive says whether events are delivered; Health.Disabled says who switched
	// it off, if it was not its owner.
	IsActive             bool
	CreatedAt, UpdatedAt time.Time

	// PreviousSecret signs beside Secret until PreviousUntil (spec/webhooks.md §4.4).
	PreviousSecret webhook.Secret
	PreviousUntil  time.Time

	// LastTriggeredAt is when the last attempt ended, zero if there was none.
	LastTriggeredAt            time.Time
	SuccessCount, FailureCount int64
	// HeldUntil is when the receiver wants to be asked again (Retry-After); until then
	// nothing is sent.
	HeldUntil time.Time

	Health  Health
	Circuit Circuit

	// Locked means that the server has no key for what is sealed of it, so that it has no
	// secrets, headers and certificates here: its deliveries wait until the key is given, and
	// it cannot be changed.
	Locked bool
}

// Settings are what the owner of a webhook decides (spec/webhooks.md §1.3 and §4.1).
type Settings struct {
	Name, URL string
	// Description is empty if there is none.
	Description string
	// EventTypes are types and patterns, 1 to 50; "event_type" of the API is the first.
	EventTypes []string
	// Filter is the condition as its owner wrote it, empty if there is none.
	Filter json.RawMessage `json:",omitempty"`
	// Secret is the zero value if deliveries are not signed.
	Secret          webhook.Secret
	SignatureScheme string
	PayloadFormat   webhook.Format
	CEHeaders       bool
	// Headers are sent in addition.
	Headers map[string]string
	// Timeout bounds a whole attempt. Zero leaves that to the configuration (webhooks.timeout_ms).
	Timeout   time.Duration
	RateLimit *RateLimit
	// MaxInFlight is how many attempts may be under way at once; where Ordering is
	// OrderStrict it has no effect.
	MaxInFlight int
	Ordering    string
	// OnExhausted says what an ordered webhook does when its head is given up.
	OnExhausted string
	// RetrySchedule is nil for the server's own; empty means a single attempt.
	RetrySchedule Schedule
	TLS           *TLS
	// Metadata is a JSON object for the owner's use.
	Metadata json.RawMessage
	Verify   string
}

// RateLimit allows Max attempts per period, and as many at once.
type RateLimit struct {
	Max        int `json:"max"`
	PerSeconds int `json:"per_seconds"`
}

// TLS is how a webhook proves who we are, and whom it trusts; all is PEM.
type TLS struct {
	ClientCert string `json:"client_cert,omitempty"`
	ClientKey  string `json:"client_key,omitempty"`
	CA         string `json:"ca,omitempty"`
}

// The words of Settings.SignatureScheme, .Ordering, .OnExhausted and .Verify.
const (
	SchemeHMAC    = "hmac"
	SchemeEd25519 = "ed25519"
	SchemeBoth    = "both"

	OrderNone   = "none"
	OrderKey    = "key"
	OrderStrict = "strict"

	ExhaustedContinue = "continue"
	ExhaustedBlock    = "block" // the webhook is disabled instead

	VerifyNone        = "none"
	VerifyPing        = "ping"
	VerifyCloudEvents = "cloudevents"
)

// DefaultMaxInFlight is how many attempts are under way where an owner does not say.
const DefaultMaxInFlight = 10

// defaults are the settings of a body that has none.
func defaults() Settings {
	return Settings{
		SignatureScheme: SchemeHMAC, PayloadFormat: webhook.FormatPlain, Headers: map[string]string{},
		MaxInFlight: DefaultMaxInFlight, Ordering: OrderNone, OnExhausted: ExhaustedContinue,
		Metadata: json.RawMessage(`{}`), Verify: VerifyNone,
	}
}

// EventType is the first type or pattern, which clients of the reference see.
func (s *Settings) EventType() string {
	if len(s.EventTypes) == 0 {
		return ""
	}
	return s.EventTypes[0]
}

// HasSecret tells whether deliveries are signed.
func (s *Settings) HasSecret() bool { return s.Secret.Reveal() != "" }

// shortSecret is the length below which a secret is warned of.
const shortSecret = 16

// SecretHint is the end of the secret, by which its owner tells it from another. Of a
// short one it is empty, because the end would be too much of it.
func (s *Settings) SecretHint() string {
	text := []rune(s.Secret.Reveal())
	if len(text) < shortSecret {
		return ""
	}
	return string(text[len(text)-4:])
}

// InFlight is how many attempts the owner lets be under way at once.
func (s *Settings) InFlight() int {
	if s.Ordering == OrderStrict {
		return 1
	}
	return s.MaxInFlight
}

// Ordered tells whether a delivery waits for those before it.
func (s *Settings) Ordered() bool { return s.Ordering == OrderKey || s.Ordering == OrderStrict }

// Warnings are what the owner should look at, though it is allowed: event types that do
// not exist, and a secret that can be guessed.
func (s *Settings) Warnings(known *event.Catalogue) (all []string) {
	for _, typ := range s.EventTypes {
		switch {
		case event.IsPattern(typ) && len(known.Matching(typ)) == 0:
			all = append(all, fmt.Sprintf("event type pattern %q matches nothing in the registry", typ))
		case !event.IsPattern(typ) && known.Kind(typ) == nil && !slices.Contains(ownTypes, typ):
			all = append(all, fmt.Sprintf("event type %q is not in the registry", typ))
		}
	}
	if n := utf8.RuneCountInString(s.Secret.Reveal()); n > 0 && n < shortSecret {
		all = append(all, fmt.Sprintf("secret has %d %s; use at least %d", n, plural(n, "character"), shortSecret))
	}
	return all
}

// ownTypes are sent by the server to one webhook, so they are in no log and no registry
// (spec/webhooks.md §4.11, §4.15).
var ownTypes = []string{"webhook.test", "webhook.ping"}
