package dispatch

import (
	"log/slog"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/delivery"
)

// notice is something that the owner of a webhook is told: an event.
type notice struct {
	typ     string
	payload any
	webhook int64
	reason  delivery.Reason
	detail  string
	at      time.Time
	// echo says that it tells of such a notice, which makes no event: two webhooks that get
	// them would tell of each other without end.
	echo bool
}

// about is a notice of how a webhook does; detail is how the last attempt failed.
func about(now time.Time, w *delivery.Webhook, n delivery.Notice, detail string) notice {
	typ := map[delivery.Notice]string{
		delivery.NoticeFailing: event.WebhookFailing, delivery.NoticeDisabled: event.WebhookDisabled, delivery.NoticeRecovered: event.WebhookRecovered,
	}[n]
	payload := event.Webhook{WebhookID: w.ID, Name: w.Name, Failures: w.Health.ConsecutiveFailures}
	switch n {
	case delivery.NoticeFailing:
		payload.Reason = detail
	case delivery.NoticeDisabled:
		payload.Reason = string(w.Health.Reason)
	}
	return notice{typ: typ, payload: payload, webhook: w.ID, reason: w.Health.Reason, detail: detail, at: now}
}

// exhausted is the notice of a delivery that was given up.
func exhausted(now time.Time, w *delivery.Webhook, d *delivery.Delivery) notice {
	return notice{
		typ: event.DeliveryExhausted, webhook: w.ID, detail: delivery.Brief(d.ErrorMessage), at: now, echo: d.EventType == event.DeliveryExhausted,
		payload: event.Exhausted{
			DeliveryID: d.ID, WebhookID: w.ID, EventID: d.EventID, EventType: d.EventType, Attempts: d.Attempts, Error: delivery.Brief(d.ErrorMessage),
		},
	}
}

// announce puts the events of notices into the batch.
func (t *tally) announce(b *Batch) error {
	for _, n := range t.notices {
		if n.echo {
			continue
		}
		e, err := event.New(n.typ, n.at, n.payload)
		if err != nil {
			return err
		}
		b.Events = append(b.Events, e)
	}
	return nil
}

// tell logs and counts a notice that was stored.
func (n *notice) tell(o Observer, logger *slog.Logger) {
	switch n.typ {
	case event.WebhookDisabled:
		o.Disabled(n.reason)
		logger.Warn("webhook disabled", "webhook", n.webhook, "reason", n.reason, "detail", n.detail)
	case event.WebhookFailing:
		logger.Warn("webhook failing", "webhook", n.webhook, "detail", n.detail)
	case event.WebhookRecovered:
		logger.Info("webhook recovered", "webhook", n.webhook)
	case event.DeliveryExhausted:
		logger.Warn("webhook delivery given up", "webhook", n.webhook, "detail", n.detail)
	}
}
