package analytics

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kuranty/kuranty/event"
)

const (
	// lease is how long a job is its holder's without a word from it, of which it says one
	// every keepEvery.
	lease, keepEvery = 20 * time.Second, 5 * time.Second
	// pollEvery is how often jobs of other nodes are looked for.
	pollEvery = time.Minute
	// firstRetry doubles with each failure; after maxAttempts of them a report is given up.
	firstRetry  = 5 * time.Second
	maxAttempts = 6
)

// errLost means that the job is somebody else's meanwhile.
var errLost = errors.New("the job has another holder")

// Work makes reports that were asked for, until ctx ends.
func (s *Service) Work(ctx context.Context) error {
	for ctx.Err() == nil {
		did, err := s.next(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.Warn("look for reports to make", "error", err)
		}
		if !did || err != nil {
			s.rest(ctx)
		}
	}
	return nil
}

// rest ends when a job is due, one is asked for, or a while has passed.
func (s *Service) rest(ctx context.Context) {
	pause := pollEvery
	_ = s.store.View(ctx, func(tx Tx) error { // without an answer the pause is the longest
		due, err := tx.NextJob(ctx)
		if err == nil {
			pause = min(pause, max(time.Duration(due-s.now())*time.Millisecond, time.Second))
		}
		return err
	})
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-s.wake:
	}
}

// job is one in our hands.
type job struct {
	id, holder string
	attempts   int
}

// next makes one report; did tells whether there was one to make.
func (s *Service) next(ctx context.Context) (did bool, err error) {
	j := job{holder: newID("")}
	err = s.store.Update(ctx, func(tx Tx) error {
		now := s.now()
		j.id, j.attempts, err = tx.ClaimJob(ctx, j.holder, now, now+lease.Milliseconds())
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("claim a job: %w", err)
	}
	var r Report
	var content string
	err = s.held(ctx, &j, func(ctx context.Context) error {
		if r, err = s.Get(ctx, j.id); err != nil {
			return err
		}
		content, err = s.compose(ctx, &r)
		return err
	})
	return true, s.settle(ctx, &j, &r, content, err)
}

// held does something as long as the job is ours, and says so meanwhile.
func (s *Service) held(ctx context.Context, j *job, do func(context.Context) error) error {
	ctx, lose := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(keepEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := s.keep(ctx, j); errors.Is(err, errLost) {
				lose(err)
			}
		}
	}()
	err := contained(func() error { return do(ctx) })
	lost := errors.Is(context.Cause(ctx), errLost)
	lose(nil)
	<-ended
	if lost {
		return errLost
	}
	return err
}

// settle stores what became of a report.
func (s *Service) settle(ctx context.Context, j *job, r *Report, content string, result error) error {
	interrupted := ctx.Err() != nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	now := s.now()
	switch {
	case errors.Is(result, errLost):
		return nil
	case result == nil:
		return s.end(ctx, j, r, content, Completed)
	case errors.Is(result, ErrNotFound): // removed meanwhile
		return s.store.Update(ctx, func(tx Tx) error {
			_, err := tx.EndJob(ctx, j.id, j.holder, true, now, j.attempts)
			return err
		})
	case interrupted: // whoever comes next begins at once
		return s.store.Update(ctx, func(tx Tx) error { return tx.RetryJob(ctx, j.id, j.holder, now, j.attempts) })
	}
	j.attempts++
	s.log.Error("report was not made", "report", j.id, "attempt", j.attempts, "error", result)
	if j.attempts < maxAttempts {
		due := now + (firstRetry << (j.attempts - 1)).Milliseconds()
		return s.store.Update(ctx, func(tx Tx) error { return tx.RetryJob(ctx, j.id, j.holder, due, j.attempts) })
	}
	return s.end(ctx, j, r, "", Failed)
}

// end stores a report that is completed or failed, ends its job and announces it.
func (s *Service) end(ctx context.Context, j *job, r *Report, content, status string) error {
	now := s.now()
	r.Status, r.CompletedAt = status, now
	done := event.CompletedReport{ID: j.id, ReportType: r.Type, Status: status, CompletedAt: time.UnixMilli(now).UTC()}
	if status == Completed {
		done.URL = FilePath(r.ID)
	}
	e, err := event.New(event.ReportCompleted, time.UnixMilli(now), done)
	if err != nil {
		return err
	}
	return s.store.Update(ctx, func(tx Tx) error {
		held, err := tx.EndJob(ctx, j.id, j.holder, status == Failed, now, j.attempts)
		if err != nil || !held { // whoever has it now makes the report
			return err
		}
		if err := tx.EndReport(ctx, r, content); err != nil {
			return err
		}
		return tx.Append(ctx, e)
	})
}

// FilePath is where the file of a report is.
func FilePath(id string) string { return "/api/v2/reports/" + id + "/file" }

// keep says that a job is still ours.
func (s *Service) keep(ctx context.Context, j *job) error {
	return s.store.Update(ctx, func(tx Tx) error {
		held, err := tx.KeepJob(ctx, j.id, j.holder, s.now()+lease.Milliseconds())
		if err == nil && !held {
			err = errLost
		}
		return err
	})
}
