package webhooks

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/delivery/egress"
)

// Errors of a [Service], beside those of its [Store], [delivery.ErrFlapping],
// [*delivery.InvalidError] and [webhook.ErrTooLarge].
var (
	// ErrRotating means that the secret before this one is still good.
	ErrRotating = errors.New("a secret is being replaced already")
	// ErrTooSoon means that the test button was pressed within the last second.
	ErrTooSoon = errors.New("tested a moment ago")
)

// Sender makes requests to receivers; dispatch.Requests is one.
type Sender interface {
	// Attempt makes one request of a delivery and waits for its end.
	Attempt(ctx context.Context, w *delivery.Webhook, e delivery.Event, deliveryID int64, number int, trigger delivery.Trigger) delivery.Attempt
	// Body returns the body of such a request. The error says what is wrong with the payload.
	Body(w *delivery.Webhook, e delivery.Event) ([]byte, error)
	// Ask asks the receiver whether it wants events of a sender with the name origin.
	Ask(ctx context.Context, w *delivery.Webhook, origin string) delivery.Attempt
}

// By is who does something, for the record.
type By struct {
	// Actor is as events name actors, Address the client's IP address.
	Actor, Address string
}

// Entry is a line for the record: somebody did something to a webhook.
type Entry struct {
	By
	// Action is a name like webhook.create, Detail what is to be kept besides; it has no
	// secret in it.
	Action  string
	Webhook int64
	Detail  map[string]any
}

// Options configure a [Service]. Store, Catalogue, Guard and Sender are required.
type Options struct {
	Store     Store
	Catalogue *event.Catalogue
	// Guard says which URLs may be called.
	Guard  *egress.Guard
	Sender Sender
	// Resolve, if it is there, looks up a host of a URL that somebody gives, once, to tell
	// at once what would be refused later. There is none where a proxy makes the connections.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// Poke, if it is there, is told of every change. It must not block.
	Poke func()
	// Retries are what the sending loop does.
	Retries delivery.Retries
	// Timeout is that of webhooks without one of their own. Zero means 15 s.
	Timeout time.Duration
	// Limit is how many webhooks there may be. Zero means 1000.
	Limit int
	// PublicKey is what receivers check Ed25519 signatures with.
	PublicKey ed25519.PublicKey
	// Origin is the name of this server that receivers are asked with (CloudEvents), like
	// events.example.com. Empty means "kuranty".
	Origin string
	// UserAgent and SourceIPs are what owners of firewalls are told.
	UserAgent string
	SourceIPs []netip.Addr
	// Audit, if it is there, keeps the record. What it cannot keep is not done, or taken back.
	Audit func(ctx context.Context, e Entry) error
	// Now defaults to time.Now, Logger to slog.Default().
	Now    func() time.Time
	Logger *slog.Logger
}

// Service is what owners can do.
type Service struct {
	o Options

	mu    sync.Mutex
	tried map[int64]time.Time // when webhooks were tested within the last second
}

// New returns a service.
func New(o Options) *Service {
	if o.Poke == nil {
		o.Poke = func() {}
	}
	if o.Timeout <= 0 {
		o.Timeout = 15 * time.Second
	}
	if o.Limit <= 0 {
		o.Limit = 1000
	}
	if o.Origin == "" {
		o.Origin = "kuranty"
	}
	if o.Audit == nil {
		o.Audit = func(context.Context, Entry) error { return nil }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Service{o: o, tried: map[int64]time.Time{}}
}

// Now is the time as it is stored: in UTC, with microseconds.
func (s *Service) Now() time.Time { return s.o.Now().UTC().Truncate(time.Microsecond) }

// Limit is how many webhooks there may be.
func (s *Service) Limit() int { return s.o.Limit }

// record keeps on record what is about to be done to a webhook.
func (s *Service) record(ctx context.Context, by By, action string, webhook int64, detail map[string]any) error {
	if err := s.o.Audit(ctx, Entry{by, action, webhook, detail}); err != nil {
		return fmt.Errorf("record %s of webhook %d: %w", action, webhook, err)
	}
	return nil
}

// Meta is what owners of receivers and firewalls have to know (spec/webhooks.md §4.13).
type Meta struct {
	SourceIPs        []netip.Addr
	UserAgent        string
	SignatureSchemes []string
	RetrySchedule    delivery.Schedule
	Timeout          time.Duration
	PublicKey        ed25519.PublicKey
}

// Meta returns what owners of receivers have to know.
func (s *Service) Meta() Meta {
	return Meta{
		SourceIPs: slices.Clone(s.o.SourceIPs), UserAgent: s.o.UserAgent, Timeout: s.o.Timeout,
		SignatureSchemes: []string{delivery.SchemeHMAC, delivery.SchemeEd25519, delivery.SchemeBoth},
		RetrySchedule:    s.o.Retries.Of(new(delivery.Settings)), PublicKey: s.o.PublicKey,
	}
}
