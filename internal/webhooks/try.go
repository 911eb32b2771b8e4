package webhooks

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/webhook"
)

// tryEvery is how long the test button of a webhook rests.
const tryEvery = time.Second

// Try sends an event to a webhook at once and returns how that went, which is kept nowhere
// (spec/webhooks.md §4.11). An empty type is webhook.test; without a payload that of the
// catalogue is taken, or one that says that it is a test. The error may be [ErrNotFound], [ErrLocked],
// [ErrTooSoon], [webhook.ErrTooLarge] or an [*delivery.InvalidError].
func (s *Service) Try(ctx context.Context, by By, id int64, typ string, payload json.RawMessage) (delivery.Attempt, error) {
	w, err := s.unlocked(ctx, id)
	if err != nil {
		return delivery.Attempt{}, err
	}
	if typ == "" {
		typ = typeTest
	}
	if k := s.o.Catalogue.Kind(typ); payload == nil && k != nil && len(k.Sample) > 0 {
		payload = k.Sample
	}
	e := s.letter(&w, typ, payload)
	if payload == nil {
		e.Payload = s.letter(&w, typeTest, nil).Payload
	}
	if _, err := s.o.Sender.Body(&w, e); err != nil {
		if errors.Is(err, webhook.ErrTooLarge) {
			return delivery.Attempt{}, err
		}
		return delivery.Attempt{}, &delivery.InvalidError{Fields: []delivery.FieldError{{
			Type: "value_error", Loc: []any{"body", "payload"}, Msg: "Value error, " + err.Error(), Ctx: map[string]any{"error": err.Error()},
		}}}
	}
	if !s.mayTry(id) {
		return delivery.Attempt{}, ErrTooSoon
	}
	if err := s.record(ctx, by, "webhook.test", id, map[string]any{"event_type": typ}); err != nil {
		return delivery.Attempt{}, err
	}
	return s.o.Sender.Attempt(ctx, &w, e, 0, 1, delivery.TriggerTest), nil
}

// mayTry takes the turn of a webhook. It forgets all turns that are over, so there are never
// more than were taken within a second.
func (s *Service) mayTry(id int64) bool {
	now := s.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for other, at := range s.tried {
		if now.Sub(at) >= tryEvery || now.Before(at) {
			delete(s.tried, other)
		}
	}
	if _, resting := s.tried[id]; resting {
		return false
	}
	s.tried[id] = now
	return true
}
