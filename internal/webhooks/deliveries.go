package webhooks

import (
	"context"
	"strings"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/delivery/dispatch"
)

// DeliveryView is a delivery as the owner of its webhook sees it.
type DeliveryView struct {
	Delivery

	// MaxAttempts is how many attempts it has in one cycle.
	MaxAttempts int
	// Attempts are those that are kept; only [Service.Delivery] tells them.
	Attempts []delivery.Attempt
}

// Totals returns the figures of all webhooks.
func (s *Service) Totals(ctx context.Context) (Totals, error) { return s.o.Store.Totals(ctx) }

// Stats returns how the attempts of a webhook went since a time.
func (s *Service) Stats(ctx context.Context, id int64, since time.Time) (Stats, error) {
	if _, err := s.o.Store.Webhook(ctx, id); err != nil {
		return Stats{}, err
	}
	return s.o.Store.Stats(ctx, id, since)
}

// Deliveries returns a page of a webhook's deliveries, newest first, and how many match at
// all. more tells whether there is a next page.
func (s *Service) Deliveries(ctx context.Context, id int64, q DeliveryQuery) (page []DeliveryView, total int, more bool, err error) {
	w, err := s.o.Store.Webhook(ctx, id)
	if err != nil {
		return nil, 0, false, err
	}
	wanted := q.Limit
	q.Limit++ // one more, to know whether there is one
	all, total, err := s.o.Store.Deliveries(ctx, id, q)
	if err != nil {
		return nil, 0, false, err
	}
	if more = len(all) > wanted; more {
		all = all[:wanted]
	}
	page = make([]DeliveryView, len(all))
	for i := range all {
		page[i] = s.delivery(&w, all[i])
	}
	return page, total, more, nil
}

func (s *Service) delivery(w *delivery.Webhook, d Delivery) DeliveryView {
	return DeliveryView{Delivery: d, MaxAttempts: s.o.Retries.MaxAttempts(&w.Settings)}
}

// Delivery returns a delivery with its attempts. The error may be [ErrNotFound] or
// [ErrNoDelivery], as with all that follow.
func (s *Service) Delivery(ctx context.Context, webhook, id int64) (DeliveryView, error) {
	w, err := s.o.Store.Webhook(ctx, webhook)
	if err != nil {
		return DeliveryView{}, err
	}
	d, err := s.o.Store.Delivery(ctx, webhook, id)
	if err != nil {
		return DeliveryView{}, err
	}
	v := s.delivery(&w, d)
	v.Attempts, err = s.o.Store.Attempts(ctx, id)
	return v, err
}

// Redeliver asks for one attempt by hand, whatever the delivery's state. The error may be
// [ErrExpired].
func (s *Service) Redeliver(ctx context.Context, by By, webhook, id int64) (DeliveryView, error) {
	w, err := s.kept(ctx, by, "webhook.redeliver", webhook, id)
	if err != nil {
		return DeliveryView{}, err
	}
	d, err := s.o.Store.ChangeDelivery(ctx, webhook, id, true, func(*delivery.Delivery) error { return nil })
	s.o.Poke()
	return s.delivery(w, d), err
}

// Copy makes a new delivery of the same event under a fresh id, for receivers that would
// know the old one, and asks for an attempt by hand. The error may be [ErrExpired].
func (s *Service) Copy(ctx context.Context, by By, webhook, id int64) (DeliveryView, error) {
	w, err := s.kept(ctx, by, "webhook.redeliver", webhook, id)
	if err != nil {
		return DeliveryView{}, err
	}
	now := s.Now()
	d, err := s.o.Store.Copy(ctx, webhook, id, event.NewID(now), now)
	s.o.Poke()
	return s.delivery(w, d), err
}

// kept makes sure that there is something to be sent again, and puts that on record.
func (s *Service) kept(ctx context.Context, by By, action string, webhook, id int64) (*delivery.Webhook, error) {
	w, err := s.unlocked(ctx, webhook)
	if err != nil {
		return nil, err
	}
	d, err := s.o.Store.Delivery(ctx, webhook, id)
	switch {
	case err != nil:
		return nil, err
	case d.Event.Payload == nil:
		return nil, ErrExpired
	}
	return &w, s.record(ctx, by, action, webhook, map[string]any{"delivery_id": id})
}

// Cancel stops a delivery from being tried again. One that is final stays as it is.
func (s *Service) Cancel(ctx context.Context, by By, webhook, id int64) (DeliveryView, error) {
	w, err := s.o.Store.Webhook(ctx, webhook)
	if err != nil {
		return DeliveryView{}, err
	}
	if _, err := s.o.Store.Delivery(ctx, webhook, id); err != nil {
		return DeliveryView{}, err
	}
	if err := s.record(ctx, by, "webhook.delivery.cancel", webhook, map[string]any{"delivery_id": id}); err != nil {
		return DeliveryView{}, err
	}
	d, err := s.o.Store.ChangeDelivery(ctx, webhook, id, false, func(d *delivery.Delivery) error {
		d.Cancel()
		return nil
	})
	s.o.Poke()
	return s.delivery(&w, d), err
}

// ErasePayload removes what a delivery's event says, for all webhooks, and the answers to it.
func (s *Service) ErasePayload(ctx context.Context, by By, webhook, id int64) error {
	if _, err := s.o.Store.Webhook(ctx, webhook); err != nil {
		return err
	}
	d, err := s.o.Store.Delivery(ctx, webhook, id)
	if err != nil {
		return err
	}
	detail := map[string]any{"delivery_id": id, "event_id": d.EventID}
	if err := s.record(ctx, by, "webhook.payload.erase", webhook, detail); err != nil {
		return err
	}
	return s.o.Store.ErasePayload(ctx, webhook, id)
}

// Start begins a job that j describes: its webhook, kind, window and what narrows it. The
// rest is filled in. An Until of zero is now.
func (s *Service) Start(ctx context.Context, by By, j dispatch.Job) (dispatch.Job, error) {
	if _, err := s.o.Store.Webhook(ctx, j.Webhook); err != nil {
		return dispatch.Job{}, err
	}
	now := s.Now()
	if j.Until.IsZero() {
		j.Until = now
	}
	j.ID = "whj_" + strings.TrimPrefix(event.NewID(now), "evt_")
	j.State, j.CreatedAt, j.UpdatedAt = dispatch.JobRunning, now, now
	detail := map[string]any{"job_id": j.ID, "since": j.Since, "until": j.Until}
	if err := s.record(ctx, by, "webhook."+j.Kind, j.Webhook, detail); err != nil {
		return dispatch.Job{}, err
	}
	if err := s.o.Store.AddJob(ctx, &j); err != nil {
		return dispatch.Job{}, err
	}
	s.o.Poke()
	return j, nil
}

// Job returns a job, or [ErrNoJob].
func (s *Service) Job(ctx context.Context, id string) (dispatch.Job, error) {
	return s.o.Store.Job(ctx, id)
}

// CancelJob stops a job. What it has queued stays queued; one that is over stays as it is.
func (s *Service) CancelJob(ctx context.Context, by By, id string) (dispatch.Job, error) {
	j, err := s.o.Store.Job(ctx, id)
	if err != nil {
		return dispatch.Job{}, err
	}
	if err := s.record(ctx, by, "webhook.job.cancel", j.Webhook, map[string]any{"job_id": id}); err != nil {
		return dispatch.Job{}, err
	}
	if err := s.o.Store.CancelJob(ctx, id); err != nil {
		return dispatch.Job{}, err
	}
	s.o.Poke()
	return s.o.Store.Job(ctx, id)
}
