package trust

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"time"

	"github.com/kuranty/kuranty/event"
)

// Store keeps identities and verifications. Update runs f in one transaction, perhaps
// several times; View runs it for reading only.
type Store interface {
	Update(ctx context.Context, f func(Tx) error) error
	View(ctx context.Context, f func(Tx) error) error
}

// Tx is what a transaction can do. What is not there is [ErrNotFound].
type Tx interface {
	identityTx
	verificationTx
	sweepTx
	erasureTx
	// Append appends e to the log; it is announced once the transaction is stored.
	Append(ctx context.Context, e event.Event) error
}

// Mail is a code to be sent. What the letter says is the mailer's.
type Mail struct {
	// To is the address, Name and Lang who is addressed and in which language (may be
	// empty).
	To, Name, Lang string
	// Code is valid until Expires.
	Code    string
	Expires time.Time
}

// Options configure a [Service]. Store and Secret must be given; zero elsewhere means the
// default.
type Options struct {
	Store Store
	// Secret is the key that codes are hashed with: who has the database alone must not be
	// able to try all of them.
	Secret []byte
	// Mailer sends codes; it may block, its context says for how long. Without it addresses
	// cannot be verified.
	Mailer func(context.Context, Mail) error
	// ProofTTL is how long a challenge or a code can be answered (10 min), DecisionTTL how
	// long operators may take (30 days), VerifiedTTL how long a verification stands (365
	// days), KeptFor how long a failed or expired one is still listed (90 days).
	ProofTTL, DecisionTTL, VerifiedTTL, KeptFor time.Duration
	// PerHour (60) is how many verifications a person may begin in an hour, MailsPerHour
	// (5) how many codes are sent for an identity; negative is no limit.
	PerHour, MailsPerHour int
	// Clock defaults to time.Now, Logger to slog.Default().
	Clock  func() time.Time
	Logger *slog.Logger
}

// Service is the rules.
type Service struct {
	o     Options
	store Store
	log   *slog.Logger
}

// New returns a service with the options o.
func New(o Options) (*Service, error) {
	if o.Store == nil || len(o.Secret) < sha256.Size {
		return nil, errors.New("trust: store and a secret of 32 bytes must be given")
	}
	setDefault(&o.ProofTTL, 10*time.Minute)
	setDefault(&o.DecisionTTL, 30*24*time.Hour)
	setDefault(&o.VerifiedTTL, 365*24*time.Hour)
	setDefault(&o.KeptFor, 90*24*time.Hour)
	setDefault(&o.PerHour, 60)
	setDefault(&o.MailsPerHour, 5)
	setDefault(&o.Logger, slog.Default())
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return &Service{o: o, store: o.Store, log: o.Logger}, nil
}

func setDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// now is the time in milliseconds since 1970.
func (s *Service) now() int64 { return s.o.Clock().UnixMilli() }

func at(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// hashed is the keyed hash of a code, which belongs to one verification and address.
func (s *Service) hashed(verification, address, code string) string {
	h := hmac.New(sha256.New, s.o.Secret)
	for _, part := range []string{"kuranty trust code v1", verification, address, code} {
		h.Write([]byte(part + "\n"))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Stream is the stream of an identity. Its events have no numbers: they are in the order
// of the log, and no realtime channel carries them.
func Stream(identity string) string { return "identity:" + identity }

// announce appends an event about an identity, of what actor did.
func (s *Service) announce(ctx context.Context, tx Tx, actor, identity, typ string, now int64, payload any) error {
	e, err := event.New(typ, at(now), payload)
	if err != nil {
		return err
	}
	e.Actor, e.Stream = actor, Stream(identity)
	return tx.Append(ctx, e)
}

func identityPayload(i *Identity) event.Identity {
	return event.Identity{ID: i.ID, Username: i.Username, DisplayName: i.DisplayName, VerificationLevel: i.Level, CreatedAt: at(i.CreatedAt)}
}

func verificationPayload(v *Verification) event.Verification {
	return event.Verification{
		ID: v.ID, IdentityID: v.Identity, VerifierID: v.Verifier, VerificationType: Documented(v.Type), Status: v.Status,
		Confidence: v.Confidence.Float(), CreatedAt: at(v.CreatedAt),
	}
}

// identityChanged stores i and announces which fields of it changed.
func (s *Service) identityChanged(ctx context.Context, tx Tx, actor string, i *Identity, changes ...string) error {
	if err := tx.SaveIdentity(ctx, i); err != nil {
		return err
	}
	return s.announce(ctx, tx, actor, i.ID, event.TrustIdentityUpdated, i.UpdatedAt, event.ChangedIdentity{
		Identity: identityPayload(i), UpdatedAt: at(i.UpdatedAt), Changes: changes,
	})
}

// settle gives a verification its state, tells of it, and computes anew what follows. The
// identity is locked.
func (s *Service) settle(ctx context.Context, tx Tx, actor string, i *Identity, v *Verification, status string, confidence Share) error {
	now := s.now()
	v.Status, v.Confidence, v.UpdatedAt, v.Challenge, v.Secret = status, confidence, now, "", ""
	if status == Verified {
		v.ExpiresAt = now + s.o.VerifiedTTL.Milliseconds()
	}
	if err := tx.SaveVerification(ctx, v); err != nil {
		return err
	}
	err := s.announce(ctx, tx, actor, i.ID, event.TrustVerificationUpdated, now, event.ChangedVerification{
		Verification: verificationPayload(v), UpdatedAt: at(now),
	})
	if err != nil {
		return err
	}
	return s.assess(ctx, tx, actor, i, v.Type+" "+status)
}

// assess computes level and reputation of a locked identity anew, and tells what of them is
// another.
func (s *Service) assess(ctx context.Context, tx Tx, actor string, i *Identity, reason string) error {
	evidence, err := tx.Evidence(ctx, i.ID)
	if err != nil {
		return err
	}
	level, score, before := evidence.Level(), evidence.Score(), i.Score
	_, i.KeyVerified = evidence[Challenge]
	if level == i.Level && score == before {
		return nil
	}
	now, leveled := s.now(), level != i.Level
	i.Level, i.Score, i.UpdatedAt = level, score, now
	if leveled {
		err = s.identityChanged(ctx, tx, actor, i, "verificationLevel")
	} else {
		err = tx.SaveIdentity(ctx, i)
	}
	if err != nil || score == before {
		return err
	}
	return s.announce(ctx, tx, actor, i.ID, event.TrustReputationUpdated, now, event.Reputation{
		IdentityID: i.ID, Score: score.Float(), PreviousScore: before.Float(), Level: ReputationLevel(score), Reason: reason, UpdatedAt: at(now),
	})
}
