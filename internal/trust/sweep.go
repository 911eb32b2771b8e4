package trust

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// sweepTx finds what time has ended.
type sweepTx interface {
	// Due returns up to limit ids of verifications that are pending or verified and expire
	// until now, the earliest first.
	Due(ctx context.Context, now int64, limit int) ([]string, error)
	// Ownerless returns up to limit people whose accounts are deleted, and who have an identity.
	Ownerless(ctx context.Context, limit int) ([]int64, error)
	// ForgetEnded removes up to limit failed or expired ones that ended before a time.
	ForgetEnded(ctx context.Context, before int64, limit int) (n int64, err error)
}

const (
	sweepEvery = 15 * time.Second
	// eraseEvery is in sweeps: an hour.
	eraseEvery = 240
	batch      = 200
)

// Run lets verifications expire until ctx ends, and erases identities whose owners'
// accounts were deleted when the process ended before it had done that.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		if n%eraseEvery == 0 {
			if err := s.eraseOwnerless(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("identities of deleted accounts were not erased; they will be", "error", err)
			}
		}
		if _, err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("verifications did not expire; they will", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Sweep lets verifications expire whose time is over, each in a transaction of its own, and
// forgets those that ended long ago. It returns how many expired.
func (s *Service) Sweep(ctx context.Context) (n int, err error) {
	for {
		var due []string
		err := s.store.View(ctx, func(tx Tx) (err error) {
			due, err = tx.Due(ctx, s.now(), batch)
			return err
		})
		if err != nil {
			return n, fmt.Errorf("find verifications that expire: %w", err)
		}
		if len(due) == 0 {
			return n, s.forget(ctx)
		}
		for _, id := range due {
			if err := s.expire(ctx, id); err != nil {
				return n, fmt.Errorf("let verification %s expire: %w", id, err)
			}
			n++
		}
	}
}

// expire looks again at what was due: another node may have been faster.
func (s *Service) expire(ctx context.Context, id string) error {
	err := s.store.Update(ctx, func(tx Tx) error {
		i, v, err := locked(ctx, tx, id)
		if err != nil || v.Status != Pending && v.Status != Verified || v.ExpiresAt > s.now() {
			return err
		}
		return s.settle(ctx, tx, "", &i, &v, Expired, 0)
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

func (s *Service) eraseOwnerless(ctx context.Context) error {
	for {
		var gone []int64
		err := s.store.View(ctx, func(tx Tx) (err error) {
			gone, err = tx.Ownerless(ctx, batch)
			return err
		})
		if err != nil || len(gone) == 0 {
			return err
		}
		for _, user := range gone {
			if err := s.Personal().Erase(ctx, user); err != nil {
				return err
			}
		}
	}
}

func (s *Service) forget(ctx context.Context) error {
	before := s.now() - s.o.KeptFor.Milliseconds()
	for {
		var n int64
		err := s.store.Update(ctx, func(tx Tx) (err error) {
			n, err = tx.ForgetEnded(ctx, before, batch)
			return err
		})
		if err != nil {
			return fmt.Errorf("forget verifications: %w", err)
		}
		if n < batch {
			return nil
		}
	}
}
