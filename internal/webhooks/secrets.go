package webhooks

import (
	"context"
	"time"

	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/webhook"
)

// The bounds of how long the old secret stays good (spec/webhooks.md §4.4).
const (
	DefaultGrace = 24 * time.Hour
	MaxGrace     = 7 * 24 * time.Hour
)

// Secrets are what a webhook's requests are signed with. Previous is empty unless the secret
// is being replaced; then it is good until the time Until.
type Secrets struct {
	Secret, Previous string
	Until            time.Time
}

// Secret tells the secrets of a webhook, which is on record.
func (s *Service) Secret(ctx context.Context, by By, id int64) (Secrets, error) {
	w, err := s.unlocked(ctx, id)
	if err != nil {
		return Secrets{}, err
	}
	if err := s.record(ctx, by, "webhook.secret.read", id, nil); err != nil {
		return Secrets{}, err
	}
	return secretsOf(&w, s.Now()), nil
}

func secretsOf(w *delivery.Webhook, now time.Time) Secrets {
	all := Secrets{Secret: w.Secret.Reveal()}
	if Rotating(w, now) {
		all.Previous, all.Until = w.PreviousSecret.Reveal(), w.PreviousUntil
	}
	return all
}

// Rotating tells whether the secret before this one is still good.
func Rotating(w *delivery.Webhook, now time.Time) bool {
	return w.PreviousSecret.Reveal() != "" && now.Before(w.PreviousUntil)
}

// Rotate gives a webhook a new secret, which is made if it is the zero value. The old one, if
// there is one, stays good for grace. The error may be [ErrRotating].
func (s *Service) Rotate(ctx context.Context, by By, id int64, secret webhook.Secret, grace time.Duration) (Secrets, error) {
	if was, err := s.unlocked(ctx, id); err != nil {
		return Secrets{}, err
	} else if Rotating(&was, s.Now()) { // again below; what is refused is not on record
		return Secrets{}, ErrRotating
	}
	if err := s.record(ctx, by, "webhook.secret.rotate", id, map[string]any{"grace_seconds": int64(grace / time.Second)}); err != nil {
		return Secrets{}, err
	}
	if secret.Reveal() == "" {
		secret = webhook.NewSecret()
	}
	now := s.Now()
	w, err := s.o.Store.Change(ctx, id, func(w *delivery.Webhook) error {
		if Rotating(w, now) {
			return ErrRotating
		}
		w.PreviousSecret, w.PreviousUntil = webhook.Secret{}, time.Time{}
		if w.HasSecret() && grace > 0 {
			w.PreviousSecret, w.PreviousUntil = w.Secret, now.Add(grace)
		}
		w.Secret, w.UpdatedAt = secret, now
		return nil
	})
	if err != nil {
		return Secrets{}, err
	}
	s.o.Poke()
	return secretsOf(&w, now), nil
}

// EndRotation makes the old secret of a webhook useless at once, if there is one.
func (s *Service) EndRotation(ctx context.Context, by By, id int64) error {
	if was, err := s.unlocked(ctx, id); err != nil || !Rotating(&was, s.Now()) {
		return err
	}
	if err := s.record(ctx, by, "webhook.secret.drop_previous", id, nil); err != nil {
		return err
	}
	now := s.Now()
	_, err := s.o.Store.Change(ctx, id, func(w *delivery.Webhook) error {
		if Rotating(w, now) {
			w.UpdatedAt = now
		}
		w.PreviousSecret, w.PreviousUntil = webhook.Secret{}, time.Time{}
		return nil
	})
	s.o.Poke()
	return err
}
