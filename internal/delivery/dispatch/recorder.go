package dispatch

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/kuranty/kuranty/internal/delivery"
)

const (
	// maxRecorded is how many results are stored in one transaction.
	maxRecorded = 256
	// linger is how long results wait for others that are stored with them. A transaction
	// costs as much as some ten results.
	linger = 20 * time.Millisecond
)

// record stores results until there will be none, and reads the webhooks when asked to. What
// cannot be stored is tried until ctx ends; then its lease makes it due again.
func (s *sending) record(ctx context.Context) {
	for {
		select {
		case first, ok := <-s.results:
			if !ok {
				return
			}
			s.store(ctx, s.gather(first))
			s.giveBack(ctx)
		case done := <-s.reload:
			s.insist(ctx, "read webhooks", func() error { return s.refresh(ctx, false) })
			s.giveBack(ctx)
			close(done)
		}
		s.dispatch()
	}
}

// gather returns first and what else comes while nothing waits for any of it, or has come
// already.
func (s *sending) gather(first *result) []*result {
	batch := []*result{first}
	waited := time.NewTimer(linger)
	defer waited.Stop()
	for pressing := false; len(batch) < maxRecorded; {
		pressing = pressing || batch[len(batch)-1].pressing
		if pressing && len(s.results) == 0 { // nobody else takes any
			return batch
		}
		select {
		case r, ok := <-s.results:
			if !ok {
				return batch
			}
			batch = append(batch, r)
		case <-waited.C:
			return batch
		}
	}
	return batch
}

// reread makes the recorder read the webhooks and waits for it.
func (s *sending) reread(ctx context.Context) {
	done := make(chan struct{})
	select {
	case s.reload <- done:
	case <-ctx.Done():
		return
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// store stores a batch of results and takes over what became of webhooks.
func (s *sending) store(ctx context.Context, results []*result) {
	slices.SortStableFunc(results, func(a, b *result) int { return a.result.Ended.Compare(b.result.Ended) })
	var webhooks, deliveries []int64
	for _, r := range results {
		webhooks = append(webhooks, r.claimed.WebhookID)
		if r.end != overfull {
			deliveries = append(deliveries, r.claimed.ID)
		}
	}
	slices.Sort(webhooks)
	webhooks = slices.Compact(webhooks)
	slices.Sort(deliveries)
	deliveries = slices.Compact(deliveries)
	var t *tally
	stored := s.insist(ctx, "record attempts", func() error {
		return s.o.Store.Record(ctx, webhooks, deliveries, func(b *Batch) error {
			t = s.judge(b, results)
			return t.announce(b)
		})
	})
	if !stored {
		t = &tally{}
	}
	s.settle(results, t)
}

// giveBack stores that claimed deliveries will not be sent now: their webhook is disabled or
// locked, or nothing may be sent to it for a while.
func (s *sending) giveBack(ctx context.Context) {
	now := time.Now()
	var left []*result
	s.mu.Lock()
	for _, l := range s.lanes {
		if l.queued() > 0 && (!l.sends() || !l.held(now).IsZero()) {
			for _, c := range slices.Concat(l.fresh, l.again) {
				left = append(left, &result{claimed: *c, end: unsent})
			}
			s.claimed -= l.queued()
			l.fresh, l.again = nil, nil
		}
	}
	s.mu.Unlock()
	for batch := range slices.Chunk(left, maxRecorded) {
		s.store(ctx, batch)
	}
}

// tally is what a batch of results came to.
type tally struct {
	now      time.Time
	webhooks map[int64]*delivery.Webhook
	probed   map[int64]bool
	// due are when deliveries that were not final after all are due, by webhook.
	due     map[int64]time.Time
	waiting map[int64]Waiting // change
	ended   []delivery.State
	notices []notice
}

// judge applies results to the batch.
func (s *sending) judge(b *Batch, results []*result) *tally {
	t := &tally{
		now: time.Now().UTC(), webhooks: b.Webhooks, probed: map[int64]bool{}, due: map[int64]time.Time{}, waiting: map[int64]Waiting{},
	}
	for _, r := range results {
		w, d := b.Webhooks[r.claimed.WebhookID], b.Deliveries[r.claimed.ID]
		if w != nil && r.end == overfull {
			t.tell(w, w.Pending(t.now, r.claimed.Attempts), "too many deliveries wait")
			continue
		}
		if w == nil || d == nil { // removed meanwhile
			continue
		}
		before := d.State
		switch r.end {
		case unsent:
			d.Abandon()
			if !w.IsActive {
				d.Pause()
			}
		case tooOld:
			d.Abandon()
			if !d.Begin(t.now, s.o.Retries) && d.State == delivery.StateExhausted {
				t.notices = append(t.notices, exhausted(t.now, w, d))
			} else {
				d.Abandon()
			}
		case attempted:
			s.apply(t, b, w, d, r)
		}
		t.count(w.ID, before, d)
	}
	return t
}

// apply notes an attempt on its delivery and webhook.
func (s *sending) apply(t *tally, b *Batch, w *delivery.Webhook, d *delivery.Delivery, r *result) {
	a := r.attempt
	a.Number = d.Attempts + 1
	b.Attempts = append(b.Attempts, a)
	t.tell(w, w.Record(t.now, r.verdict, s.o.Limits), delivery.Brief(r.result.Message))
	if r.manual {
		b.Manual = append(b.Manual, d.ID)
		d.FinishManual(r.result, r.verdict)
		return
	}
	w.Circuit.Done(t.now, r.probe, r.verdict, w.InFlight())
	t.probed[w.ID] = t.probed[w.ID] || r.probe
	if !d.Finish(&w.Settings, r.result, r.verdict, s.o.Retries, rand.Float64()) {
		return
	}
	t.notices = append(t.notices, exhausted(t.now, w, d))
	if w.Ordered() && w.OnExhausted == delivery.ExhaustedBlock {
		t.tell(w, w.Disable(t.now, delivery.ReasonExhausted), "the head of the queue was given up")
	}
}

// tell adds notices about a webhook; detail is how the last attempt failed.
func (t *tally) tell(w *delivery.Webhook, all []delivery.Notice, detail string) {
	for _, n := range all {
		t.notices = append(t.notices, about(t.now, w, n, detail))
	}
}

// count notes how the numbers of waiting deliveries change, and when d is due.
func (t *tally) count(webhook int64, before delivery.State, d *delivery.Delivery) {
	if d.State == before {
		return
	}
	change := t.waiting[webhook]
	if !before.Final() && before != delivery.StatePaused {
		change.Due--
	}
	switch {
	case d.State.Final():
		t.ended = append(t.ended, d.State)
	case d.State == delivery.StatePaused:
		change.Paused++
	default:
		change.Due++
		if at, ok := t.due[webhook]; !ok || d.NextRetryAt.Before(at) {
			t.due[webhook] = d.NextRetryAt
		}
	}
	t.waiting[webhook] = change
}

// settle takes over what was stored: how webhooks do now, and that lanes go on.
func (s *sending) settle(results []*result, t *tally) {
	s.mu.Lock()
	for id, w := range t.webhooks {
		l := s.lanes[id]
		if l == nil {
			continue
		}
		l.update(w, t.probed[id])
		l.waiting.Due += t.waiting[id].Due
		l.waiting.Paused += t.waiting[id].Paused
		if at, ok := t.due[id]; ok {
			l.stir(at)
		}
		if l.w.Ordered() { // the next may go
			l.stir(t.now)
		}
	}
	for _, r := range results {
		if r.end == attempted {
			s.bytes -= r.size()
		}
		if r.manual {
			delete(s.manual, r.claimed.ID)
		}
		l := s.lanes[r.claimed.WebhookID]
		if l == nil {
			continue
		}
		switch {
		case r.holding:
			l.inFlight--
		case r.end == attempted && !r.manual:
			l.unrecorded--
		}
		s.prepare(l)
	}
	s.mu.Unlock()
	signal(s.wake)
	for _, state := range t.ended {
		s.o.Observer.Ended(state)
	}
	for _, n := range t.notices {
		n.tell(s.o.Observer, s.o.Logger)
	}
}
