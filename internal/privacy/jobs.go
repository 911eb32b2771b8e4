package privacy

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Kinds of jobs. Each kind has a lane of its own: a large export does not keep an erasure
// waiting, nor an erasure retention.
const (
	kindExport    = "export"
	kindErasure   = "erasure"
	kindRetention = "retention"
)

var kinds = []string{kindExport, kindErasure, kindRetention}

// States of a [Job].
const (
	Waiting   = "waiting"
	Running   = "running"
	Done      = "done"
	Failed    = "failed"
	Cancelled = "cancelled"
)

// Job is work that is done later. Times are in milliseconds since 1970, 0 is never.
type Job struct {
	// ID is "j_" and 26 characters of base32.
	ID   string
	Kind string
	// User is whom it is about, 0 for nobody.
	User  int64
	State string
	// Detail is JSON: what was asked for and how far it is.
	Detail string
	// DueAt is when it may begin, or begin again.
	DueAt, CreatedAt, EndedAt int64
	// Attempts is how often it went wrong since it last went well.
	Attempts int
}

const (
	// lease is how long a job is its holder's without a word from it; every step says one.
	lease = 2 * time.Minute
	// pollEvery is how often a lane looks for jobs of other nodes.
	pollEvery = time.Minute
	// firstRetry doubles with each failure up to lastRetry.
	firstRetry, lastRetry = 30 * time.Second, time.Hour
	// maxAttempts is after how many failures an export is given up. Nothing else is: what
	// the law asks for is tried until it works.
	maxAttempts = 6
)

// errLost means that the job is somebody else's meanwhile.
var errLost = errors.New("the job has another holder")

// postponed means that a job cannot go on now, through no fault of its own.
type postponed struct {
	until  int64
	reason string
}

func (e *postponed) Error() string { return "postponed: " + e.reason }

// jobTx keeps jobs. What is not there is [ErrNotFound].
type jobTx interface {
	// AddJob adds a job, unless there is a live one of its kind and user.
	AddJob(ctx context.Context, j *Job) (added bool, err error)
	// AskAgain gives a waiting job another detail and time; it returns whether there is one.
	AskAgain(ctx context.Context, kind string, user int64, detail string, due int64) (bool, error)
	// LiveJob returns the job of a kind and user that is waiting or running.
	LiveJob(ctx context.Context, kind string, user int64) (Job, error)
	// Job returns a job.
	Job(ctx context.Context, id string) (Job, error)
	// JobsOf returns the finished jobs of a kind and user.
	JobsOf(ctx context.Context, kind string, user int64) ([]Job, error)
	// Claim gives a due job that nobody holds to holder, until a time.
	Claim(ctx context.Context, kind, holder string, now, until int64) (Job, error)
	// KeepJob holds a job longer and stores how far it is; held is false if it is not
	// holder's any more.
	KeepJob(ctx context.Context, id, holder, detail string, until int64) (held bool, err error)
	// SettleJob stores what became of a job and gives it up.
	SettleJob(ctx context.Context, j *Job, holder string) (held bool, err error)
	// CancelJob cancels a waiting job; it returns whether there was one.
	CancelJob(ctx context.Context, kind string, user, now int64) (bool, error)
	// NextDue returns when the next job of a kind may begin.
	NextDue(ctx context.Context, kind string) (int64, error)
}

var encoding = base32.StdEncoding.WithPadding(base32.NoPadding)

func newID(prefix string) string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	return prefix + strings.ToLower(encoding.EncodeToString(b[:]))
}

// Run does jobs that are due until ctx ends. One that ctx interrupts is free for others
// at once.
func (s *Service) Run(ctx context.Context) error {
	if err := s.plan(ctx); err != nil {
		s.log.Warn("retention was not planned; it will be", "error", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, kind := range kinds {
		g.Go(func() error { s.lane(ctx, kind); return nil })
	}
	return g.Wait()
}

// plan sees to it that there is the job that repeats itself.
func (s *Service) plan(ctx context.Context) error {
	return s.store.Update(ctx, func(tx Tx) error {
		_, err := tx.AddJob(ctx, &Job{ID: newID("j_"), Kind: kindRetention, State: Waiting, CreatedAt: s.now(), DueAt: s.now()})
		return err
	})
}

// lane does the jobs of one kind, one after the other.
func (s *Service) lane(ctx context.Context, kind string) {
	var swept time.Time
	for ctx.Err() == nil {
		if kind == kindExport && time.Since(swept) > time.Hour {
			swept = time.Now()
			if err := s.sweepExports(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("old exports were not removed; they will be", "error", err)
			}
		}
		did, err := s.next(ctx, kind)
		if err != nil && ctx.Err() == nil {
			s.log.Warn("look for jobs", "kind", kind, "error", err)
		}
		if !did {
			s.wait(ctx, kind)
		}
	}
}

// wait ends when a job is due, somebody calls, or a while has passed.
func (s *Service) wait(ctx context.Context, kind string) {
	pause := pollEvery
	err := s.store.View(ctx, func(tx Tx) error {
		due, err := tx.NextDue(ctx, kind)
		if err == nil {
			pause = min(pause, max(time.Duration(due-s.now())*time.Millisecond, time.Second))
		}
		return err
	})
	if errors.Is(err, ErrNotFound) && kind == kindRetention {
		err = s.plan(ctx)
	}
	_ = err // the pause is the longest then, and the next look tells
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-s.wake[kind]:
	}
}

// call ends the wait of a lane.
func (s *Service) call(kind string) {
	select {
	case s.wake[kind] <- struct{}{}:
	default: // it has been called
	}
}

// running is a job in our hands.
type running struct {
	Job
	holder string
}

// next does one due job; did tells whether there was one.
func (s *Service) next(ctx context.Context, kind string) (did bool, err error) {
	r := running{holder: newID("")}
	err = s.store.Update(ctx, func(tx Tx) error {
		now := s.now()
		r.Job, err = tx.Claim(ctx, kind, r.holder, now, now+lease.Milliseconds())
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("claim a job: %w", err)
	}
	return true, s.settle(ctx, &r, s.perform(ctx, &r))
}

func (s *Service) perform(ctx context.Context, r *running) error {
	switch r.Kind {
	case kindExport:
		return s.export(ctx, r)
	case kindErasure:
		return s.erase(ctx, r)
	default:
		return s.expire(ctx, r)
	}
}

// settle stores what became of a job.
func (s *Service) settle(ctx context.Context, r *running, result error) error {
	now := s.now()
	var wait *postponed
	switch {
	case errors.Is(result, errLost):
		return nil
	case result == nil:
		r.State, r.EndedAt, r.Attempts = Done, now, 0
	case errors.As(result, &wait):
		r.State, r.DueAt, r.Attempts = Waiting, wait.until, 0
	case ctx.Err() != nil:
		r.State = Running // whoever comes next goes on
	default:
		s.log.Error("job went wrong", "kind", r.Kind, "job", r.ID, "attempt", r.Attempts+1, "error", result)
		r.State, r.DueAt = Waiting, now+min(firstRetry<<min(r.Attempts, 10), lastRetry).Milliseconds()
		if r.Attempts++; r.Kind == kindExport && r.Attempts >= maxAttempts {
			r.State, r.EndedAt = Failed, now
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return s.store.Update(ctx, func(tx Tx) error {
		_, err := tx.SettleJob(ctx, &r.Job, r.holder)
		return err
	})
}

// keep stores how far a job is, and that it is still ours.
func (s *Service) keep(ctx context.Context, r *running, detail any) error {
	b, err := json.Marshal(detail)
	if err != nil {
		return fmt.Errorf("encode detail of job: %w", err)
	}
	r.Detail = string(b)
	return s.store.Update(ctx, func(tx Tx) error {
		held, err := tx.KeepJob(ctx, r.ID, r.holder, r.Detail, s.now()+lease.Milliseconds())
		if err == nil && !held {
			err = errLost
		}
		return err
	})
}
