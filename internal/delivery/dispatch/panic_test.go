package dispatch_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/delivery/dispatch"
)

// panicky is a store of which each call that sending makes panics once.
type panicky struct {
	dispatch.Store
	fanOut, claim, record, asked, jobs, prune sync.Once
}

func (p *panicky) FanOut(ctx context.Context, version, pos int64, lease time.Time, matched []dispatch.Matched) error {
	p.fanOut.Do(func() { panic("planted") })
	return p.Store.FanOut(ctx, version, pos, lease, matched)
}

func (p *panicky) Claim(ctx context.Context, now, lease time.Time, wants []dispatch.Want) ([]dispatch.Claimed, error) {
	p.claim.Do(func() { panic("planted") })
	return p.Store.Claim(ctx, now, lease, wants)
}

func (p *panicky) Record(ctx context.Context, webhooks, deliveries []int64, decide func(*dispatch.Batch) error) error {
	p.record.Do(func() { panic("planted") })
	return p.Store.Record(ctx, webhooks, deliveries, decide)
}

func (p *panicky) Asked(ctx context.Context) (manual, jobs int, err error) {
	p.asked.Do(func() { panic("planted") })
	return p.Store.Asked(ctx)
}

func (p *panicky) Jobs(ctx context.Context) ([]dispatch.Job, error) {
	p.jobs.Do(func() { panic("planted") })
	return p.Store.Jobs(ctx)
}

func (p *panicky) Prune(ctx context.Context, now time.Time, keep dispatch.Retention, limit int) (int, error) {
	p.prune.Do(func() { panic("planted") })
	return p.Store.Prune(ctx, now, keep, limit)
}

// A panic in any part of sending is contained: all of it begins anew, and nothing is lost.
func TestR35_SendingSurvivesPanics(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		rc := receive(t, nil)
		wh := r.webhook(rc.URL)
		r.options.Store = &panicky{Store: r.options.Store}
		var panics atomic.Int64
		r.options.Panicked = func() { panics.Add(1) }
		r.run()
		r.ticket(1)
		d := r.state(wh.ID, delivery.StateSucceeded)
		r.job(wh.ID, dispatch.JobRecover, time.Now().Add(-time.Minute))
		r.await("all parts", func() bool { return panics.Load() == 6 })
		r.ticket(2)
		r.await("the next", func() bool { return r.deliveries(wh.ID)[0].State == delivery.StateSucceeded })
		for _, e := range rc.all()[:rc.count()-1] {
			if e.header.Get("Webhook-Id") != d.EventID {
				t.Errorf("a repetition has the id %s", e.header.Get("Webhook-Id"))
			}
		}
	})
}

// A panic while a request is made is a failed attempt by our fault.
func TestR35_AnAttemptThatPanics(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		wh := r.webhook("http://127.0.0.1:1/")
		r.options.Requests.Client = nil
		troubled := make(chan string, 10)
		r.options.Troubled = func(_ *delivery.Webhook, res delivery.Result) { troubled <- res.Message }
		r.run()
		r.ticket(1)
		d := r.state(wh.ID, delivery.StateExhausted)
		if d.ErrorCode != "internal" || d.ErrorMessage != "Internal error" || <-troubled != "Internal error" {
			t.Errorf("delivery %+v", d)
		}
	})
}
