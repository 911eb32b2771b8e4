package analytics

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// foldEvery is how often points are computed, sweepEvery how often what is too old is
	// looked for.
	foldEvery  = 10 * time.Second
	sweepEvery = time.Minute
	// perStep is what one transaction computes or removes, so that writers are not held up.
	perStep = 200
)

// Run takes samples, computes coarser points, removes what is too old and makes reports,
// until ctx ends. Any number of nodes may do so.
func (s *Service) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.Work(ctx) })
	if s.o.Source != nil && s.o.Interval > 0 {
		g.Go(func() error {
			if err := contained(func() error { return s.begin(ctx) }); err != nil && ctx.Err() == nil {
				s.log.Warn("rates are sampled from the second time on", "error", err)
			}
			s.repeat(ctx, s.o.Interval, "take samples", s.Sample)
			return nil
		})
	}
	g.Go(func() error { s.repeat(ctx, foldEvery, "compute points of metrics", s.Fold); return nil })
	g.Go(func() error { s.repeat(ctx, sweepEvery, "remove old metrics and reports", s.Sweep); return nil })
	return g.Wait()
}

// repeat does something every so often, and says once when it begins to go wrong.
func (s *Service) repeat(ctx context.Context, every time.Duration, what string, do func(context.Context) error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		err := contained(func() error { return do(ctx) })
		if err != nil && !failing && ctx.Err() == nil {
			s.log.Warn(what+": it is tried again", "error", err)
		}
		failing = err != nil
	}
}

// Fold computes the points of minutes and hours that are over and have changed.
func (s *Service) Fold(ctx context.Context) error {
	for _, step := range []struct{ finer, step, coarser int64 }{{raw, minute, hour}, {minute, hour, 0}} {
		for n := perStep; n == perStep; {
			err := s.store.Update(ctx, func(tx Tx) error {
				// The note is taken before the values are read: who adds one later notes it again.
				list, err := tx.TakeChanges(ctx, step.step, s.now()-step.step+1, perStep)
				n = len(list)
				if err != nil {
					return err
				}
				for _, c := range list {
					if err := foldOne(ctx, tx, c, step.finer, step.step, step.coarser); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// foldOne computes a point anew, and notes that the coarser one it belongs to has changed.
func foldOne(ctx context.Context, tx Tx, c Change, finer, step, coarser int64) error {
	p, err := tx.Summary(ctx, c.Series, finer, c.At, c.At+step)
	if err != nil || p.N == 0 {
		return err
	}
	p.At = c.At
	if err := tx.PutSummary(ctx, c.Series, step, &p); err != nil || coarser == 0 {
		return err
	}
	return tx.Change(ctx, c.Series, coarser, c.At-c.At%coarser)
}

// Sweep removes what is too old.
func (s *Service) Sweep(ctx context.Context) error {
	now := s.now()
	const day = 24 * hour
	for _, sweep := range []func(Tx) (int64, error){
		func(tx Tx) (int64, error) {
			return tx.SweepPoints(ctx, raw, minute, now-s.o.Raw.Milliseconds(), perStep)
		},
		func(tx Tx) (int64, error) {
			return tx.SweepPoints(ctx, minute, hour, now-s.o.Minutes.Milliseconds(), perStep)
		},
		func(tx Tx) (int64, error) {
			// Nothing is coarser than an hour; of no day notes are taken.
			return tx.SweepPoints(ctx, hour, day, now-s.o.Hours.Milliseconds(), perStep)
		},
		func(tx Tx) (int64, error) { return tx.SweepSeries(ctx, now-s.o.Hours.Milliseconds(), perStep) },
		func(tx Tx) (int64, error) { return tx.SweepReports(ctx, now-s.o.Reports.Milliseconds(), perStep) },
	} {
		for n := int64(perStep); n == perStep; {
			err := s.store.Update(ctx, func(tx Tx) (err error) {
				n, err = sweep(tx)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
