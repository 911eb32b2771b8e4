package webhooks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/kuranty/kuranty/internal/delivery"
)

// View is a webhook as its owner sees it.
type View struct {
	delivery.Webhook // Timeout is the one that holds

	// Pending counts its deliveries that are not final.
	Pending int
	// Warnings are what its owner should look at.
	Warnings []string
	// Made is a secret that was made for it just now; it is told this once.
	Made string
}

// views completes webhooks that were read.
func (s *Service) views(ctx context.Context, all []delivery.Webhook) ([]View, error) {
	ids := make([]int64, len(all))
	for i := range all {
		ids[i] = all[i].ID
	}
	pending := map[int64]int{}
	if len(ids) > 0 {
		var err error
		if pending, err = s.o.Store.Unfinished(ctx, ids); err != nil {
			return nil, err
		}
	}
	views := make([]View, len(all))
	for i, w := range all {
		w.Timeout = cmp.Or(w.Timeout, s.o.Timeout)
		views[i] = View{Webhook: w, Pending: pending[w.ID], Warnings: w.Warnings(s.o.Catalogue)}
		if w.Locked {
			views[i].Warnings = append(views[i].Warnings, "the server has no key for its secrets: nothing is sent until it is given in webhooks.secret_encryption_key or webhooks.previous_encryption_keys")
		}
	}
	return views, nil
}

// unlocked returns a webhook, [ErrNotFound] or [ErrLocked].
func (s *Service) unlocked(ctx context.Context, id int64) (delivery.Webhook, error) {
	w, err := s.o.Store.Webhook(ctx, id)
	if err == nil && w.Locked {
		err = ErrLocked
	}
	return w, err
}

// view is views for one webhook, with what else its owner is warned of.
func (s *Service) view(ctx context.Context, w delivery.Webhook, warnings ...string) (View, error) {
	views, err := s.views(ctx, []delivery.Webhook{w})
	if err != nil {
		return View{}, err
	}
	views[0].Warnings = append(views[0].Warnings, warnings...)
	return views[0], nil
}

// Create makes a webhook as a body wants it. If that asks for verification the receiver is
// asked before Create returns; one that does not agree leaves the webhook inactive, with a
// warning that says why. The error may be an [*delivery.InvalidError] or [ErrTooMany].
func (s *Service) Create(ctx context.Context, by By, body []byte) (View, error) {
	t := target{s: s, ctx: ctx}
	c, err := delivery.ParseCreate(body, t.rules())
	if err != nil {
		return View{}, err
	}
	w := c.Webhook(s.Now())
	if err := s.o.Store.Create(ctx, &w, s.o.Limit); err != nil {
		return View{}, err
	}
	if err := s.record(ctx, by, "webhook.create", w.ID, map[string]any{"name": w.Name}); err != nil {
		return View{}, errors.Join(err, s.o.Store.Delete(ctx, w.ID))
	}
	warnings := t.warnings
	if w.Verify != delivery.VerifyNone {
		refused := ""
		if w, refused, err = s.challenge(ctx, w); err != nil {
			return View{}, err
		}
		warnings = append(warnings, reasons(refused)...)
	}
	s.o.Poke()
	v, err := s.view(ctx, w, warnings...)
	if c.GenerateSecret {
		v.Made = c.Secret.Reveal()
	}
	return v, err
}

// Webhook returns a webhook, or [ErrNotFound].
func (s *Service) Webhook(ctx context.Context, id int64) (View, error) {
	w, err := s.o.Store.Webhook(ctx, id)
	if err != nil {
		return View{}, err
	}
	return s.view(ctx, w)
}

// List returns a page of webhooks, newest first, and how many match at all. If matches is
// not empty, only those match that would get an event of that type, whatever their filters
// say of its payload.
func (s *Service) List(ctx context.Context, q Query, matches string) (page []View, total int, err error) {
	if matches != "" {
		if q.IDs, err = s.matching(ctx, matches); err != nil {
			return nil, 0, err
		}
	}
	all, total, err := s.o.Store.List(ctx, q)
	if err != nil {
		return nil, 0, err
	}
	page, err = s.views(ctx, all)
	return page, total, err
}

// matching returns the webhooks that get events of a type.
func (s *Service) matching(ctx context.Context, typ string) ([]int64, error) {
	ids := []int64{}
	for {
		q := Query{Limit: 500, Offset: len(ids)}
		all, total, err := s.o.Store.List(ctx, q)
		if err != nil {
			return nil, err
		}
		for i := range all {
			ids = append(ids, 0)
			if m, err := delivery.NewMatcher(&all[i]); err != nil {
				s.o.Logger.Warn("a webhook cannot be matched", "error", err)
			} else if m.MatchesType(typ) && all[i].Intake(0) != delivery.Ignore {
				ids[len(ids)-1] = all[i].ID
			}
		}
		if len(all) == 0 || len(ids) >= total {
			return slices.DeleteFunc(ids, func(id int64) bool { return id == 0 }), nil
		}
	}
}

// cancelAtOnce is how many deliveries are canceled in one transaction.
const cancelAtOnce = 1000

// Patch changes a webhook as a body wants it. The error may be an [*delivery.InvalidError],
// [ErrNotFound], [ErrLocked] or [delivery.ErrFlapping].
func (s *Service) Patch(ctx context.Context, by By, id int64, body []byte) (View, error) {
	t := target{s: s, ctx: ctx}
	p, err := delivery.ParsePatch(body, t.rules())
	if err != nil {
		return View{}, err
	}
	w, err := s.unlocked(ctx, id)
	if err != nil {
		return View{}, err
	}
	now := s.Now()
	effects, err := p.Apply(&w, now) // to a copy, which tells what will have to be done
	if err != nil {
		return View{}, err
	}
	detail := map[string]any{"fields": p.Fields()}
	if p.IsActive != nil {
		detail["is_active"] = *p.IsActive
	}
	if err := s.record(ctx, by, "webhook.update", id, detail); err != nil {
		return View{}, err
	}
	if effects.Cancel { // before the webhook is active: the sending loop releases what is paused then
		if err := s.cancelPaused(ctx, id); err != nil {
			return View{}, err
		}
	}
	w, err = s.o.Store.Change(ctx, id, func(w *delivery.Webhook) (err error) {
		effects, err = p.Apply(w, now)
		return err
	})
	if err == nil && effects.Cancel { // what came between
		err = s.cancelPaused(ctx, id)
	}
	if err != nil {
		return View{}, err
	}
	warnings := t.warnings
	if effects.Verify {
		refused := ""
		if w, refused, err = s.challenge(ctx, w); err != nil {
			return View{}, err
		}
		warnings = append(warnings, reasons(refused)...)
	}
	s.o.Poke()
	v, err := s.view(ctx, w, warnings...)
	v.Made = p.Made.Reveal()
	return v, err
}

func (s *Service) cancelPaused(ctx context.Context, id int64) error {
	for {
		n, err := s.o.Store.CancelPaused(ctx, id, cancelAtOnce)
		if err != nil || n < cancelAtOnce {
			return err
		}
	}
}

// Delete removes a webhook with its deliveries, or returns [ErrNotFound].
func (s *Service) Delete(ctx context.Context, by By, id int64) error {
	w, err := s.o.Store.Webhook(ctx, id)
	if err != nil {
		return err
	}
	if err := s.record(ctx, by, "webhook.delete", id, map[string]any{"name": w.Name}); err != nil {
		return err
	}
	defer s.o.Poke()
	return s.o.Store.Delete(ctx, id)
}

// Match tells whether a webhook would get an event, and why, or what keeps it away. The
// payload is a JSON object.
func (s *Service) Match(ctx context.Context, id int64, typ string, payload []byte) (reason string, ok bool, err error) {
	w, err := s.o.Store.Webhook(ctx, id)
	if err != nil {
		return "", false, err
	}
	m, err := delivery.NewMatcher(&w)
	if err != nil {
		return "", false, err
	}
	doc, err := delivery.Document(typ, payload)
	if err != nil {
		return "", false, fmt.Errorf("match webhook %d: %w", id, err)
	}
	if reason, ok = m.Match(doc); ok && w.Intake(0) == delivery.Ignore {
		return "is_active", false, nil
	}
	return reason, ok, nil
}

func reasons(refused string) []string {
	if refused == "" {
		return nil
	}
	return []string{"the receiver was not verified, so the webhook is not active: " + refused}
}
