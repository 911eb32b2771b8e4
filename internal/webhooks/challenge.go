package webhooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/delivery"
)

// The types of events that one webhook gets and no log has.
const (
	typeTest = "webhook.test"
	typePing = "webhook.ping"
)

// errOvertaken means that a webhook is not any more what its receiver was asked about.
var errOvertaken = errors.New("the webhook was changed meanwhile")

// challenge asks the receiver of a webhook whether it wants events, and switches the webhook
// on if it does (spec/webhooks.md §4.15). refused says why it is not.
func (s *Service) challenge(ctx context.Context, w delivery.Webhook) (now delivery.Webhook, refused string, err error) {
	var rate *delivery.RateLimit
	if w.Verify == delivery.VerifyCloudEvents {
		rate, err = s.handshake(ctx, &w)
	} else {
		err = s.ping(ctx, &w)
	}
	if err != nil {
		return w, err.Error(), nil //nolint:nilerr // it is what the owner is told
	}
	now, err = s.o.Store.Change(ctx, w.ID, func(now *delivery.Webhook) error {
		if now.URL != w.URL || now.Verify != w.Verify {
			return errOvertaken
		}
		now.Verified(s.Now())
		if rate != nil {
			now.RateLimit = rate
		}
		return nil
	})
	if errors.Is(err, errOvertaken) {
		now, err = s.o.Store.Webhook(ctx, w.ID)
		return now, errOvertaken.Error(), err
	}
	return now, "", err
}

// ping sends a signed webhook.ping. The error says, in words for the owner, what kept it
// from being answered 2xx.
func (s *Service) ping(ctx context.Context, w *delivery.Webhook) error {
	return failure(s.o.Sender.Attempt(ctx, w, s.letter(w, typePing, nil), 0, 1, delivery.TriggerTest))
}

// handshake asks as CloudEvents does. A receiver that allows a rate gets that.
func (s *Service) handshake(ctx context.Context, w *delivery.Webhook) (*delivery.RateLimit, error) {
	a := s.o.Sender.Ask(ctx, w, s.o.Origin)
	if err := failure(a); err != nil {
		return nil, err
	}
	h := http.Header(a.ResponseHeaders)
	allowed := strings.TrimSpace(h.Get("Webhook-Allowed-Origin"))
	if allowed != "*" && !strings.EqualFold(allowed, s.o.Origin) {
		return nil, fmt.Errorf("the answer to OPTIONS has no WebHook-Allowed-Origin of %q or *", s.o.Origin)
	}
	var rate *delivery.RateLimit
	if n, err := strconv.Atoi(strings.TrimSpace(h.Get("Webhook-Allowed-Rate"))); err == nil && n > 0 { // otherwise "*", or nothing
		rate = &delivery.RateLimit{Max: n, PerSeconds: 60}
	}
	return rate, nil
}

// failure is what went wrong in an attempt.
func failure(a delivery.Attempt) error {
	if a.Code == "" {
		return nil
	}
	return errors.New(a.Message)
}

// letter is an event that only w gets. Without a payload it says what it is.
func (s *Service) letter(w *delivery.Webhook, typ string, payload json.RawMessage) delivery.Event {
	if payload == nil {
		_, word, _ := strings.Cut(typ, ".")
		payload = json.RawMessage(fmt.Sprintf(`{"message":%q,"webhook_id":%d}`, word, w.ID))
	}
	now := s.Now()
	return delivery.Event{ID: event.NewID(now), Type: typ, Payload: payload, At: now}
}
