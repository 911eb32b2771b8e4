package store

import (
	"context"
	"fmt"

	"github.com/kuranty/kuranty/internal/privacy"
)

// privacyTx is what package privacy does in a transaction.
type privacyTx struct{ *Tx }

type privacyStore struct{ s *Store }

// Privacy returns the store of jobs, of the audit log and of what erasure looks for.
func (s *Store) Privacy() privacy.Store { return privacyStore{s} }

func (p privacyStore) Update(ctx context.Context, f func(privacy.Tx) error) error {
	return p.s.Update(ctx, func(tx *Tx) error { return f(privacyTx{tx}) })
}

func (p privacyStore) View(ctx context.Context, f func(privacy.Tx) error) error {
	return p.s.View(ctx, func(tx *Tx) error { return f(privacyTx{tx}) })
}

// Scrub writes SQLite's log of changes (the file with -wal) into the file and empties it:
// it still has what has been deleted. PostgreSQL recycles its own.
func (p privacyStore) Scrub(ctx context.Context) error { return p.s.truncateLog(ctx) }

const jobColumns = `id, kind, user_id, state, detail, due_at, created_at, ended_at, attempts`

func scanJob(r row, j *privacy.Job) error {
	return r.Scan(&j.ID, &j.Kind, &j.User, &j.State, &j.Detail, &j.DueAt, &j.CreatedAt, &j.EndedAt, &j.Attempts)
}

func (tx privacyTx) job(ctx context.Context, query string, a ...any) (j privacy.Job, err error) {
	if err := classify(scanJob(tx.row(ctx, query, a...), &j)); err != nil {
		return privacy.Job{}, noRow(err, privacy.ErrNotFound)
	}
	return j, nil
}

const (
	addJob = `INSERT INTO jobs (id, kind, user_id, state, detail, due_at, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (user_id, kind) WHERE state IN ('waiting', 'running') AND kind <> 'report' DO NOTHING`
	askAgain = `UPDATE jobs SET detail = $1, due_at = $2 WHERE kind = $3 AND user_id = $4 AND state = 'waiting'`
	liveJob  = `SELECT ` + jobColumns + ` FROM jobs WHERE kind = $1 AND user_id = $2 AND state IN ('waiting', 'running')`
	jobByID  = `SELECT ` + jobColumns + ` FROM jobs WHERE id = $1`
	doneJobs = `SELECT ` + jobColumns + ` FROM jobs WHERE kind = $1 AND user_id = $2 AND state = 'done' ORDER BY ended_at`

	// The conditions stand twice: on PostgreSQL two nodes may choose the same row, and the
	// second looks at it again once the first has it.
	claimJob = `UPDATE jobs SET state = 'running', holder = $1, lease_until = $2 WHERE id = (
			SELECT id FROM jobs WHERE kind = $3 AND state IN ('waiting', 'running') AND due_at <= $4 AND lease_until <= $4 ORDER BY due_at, id LIMIT 1)
		AND state IN ('waiting', 'running') AND lease_until <= $4 RETURNING ` + jobColumns
	keepJob   = `UPDATE jobs SET detail = $1, lease_until = $2 WHERE id = $3 AND holder = $4 AND state = 'running'`
	settleJob = `UPDATE jobs SET state = $1, detail = $2, due_at = $3, ended_at = $4, attempts = $5, holder = '', lease_until = 0
		WHERE id = $6 AND holder = $7 AND state = 'running'`
	cancelJob = `UPDATE jobs SET state = 'cancelled', ended_at = $1 WHERE kind = $2 AND user_id = $3 AND state = 'waiting'`
	nextDue   = `SELECT CASE WHEN lease_until > due_at THEN lease_until ELSE due_at END AS at FROM jobs
		WHERE kind = $1 AND state IN ('waiting', 'running') ORDER BY at LIMIT 1`
	forgetJobs = `DELETE FROM jobs WHERE kind = $1 AND user_id = $2`
)

// AddJob implements privacy's jobs.
func (tx privacyTx) AddJob(ctx context.Context, j *privacy.Job) (bool, error) {
	n, err := tx.exec(ctx, addJob, j.ID, j.Kind, j.User, j.State, j.Detail, j.DueAt, j.CreatedAt)
	if err != nil {
		return false, fmt.Errorf("add job: %w", err)
	}
	return n == 1, nil
}

// AskAgain implements privacy's jobs.
func (tx privacyTx) AskAgain(ctx context.Context, kind string, user int64, detail string, due int64) (bool, error) {
	n, err := tx.exec(ctx, askAgain, detail, due, kind, user)
	return n > 0, err
}

// LiveJob implements privacy's jobs.
func (tx privacyTx) LiveJob(ctx context.Context, kind string, user int64) (privacy.Job, error) {
	return tx.job(ctx, liveJob, kind, user)
}

// Job implements privacy's jobs.
func (tx privacyTx) Job(ctx context.Context, id string) (privacy.Job, error) {
	return tx.job(ctx, jobByID, id)
}

// JobsOf implements privacy's jobs.
func (tx privacyTx) JobsOf(ctx context.Context, kind string, user int64) (list []privacy.Job, err error) {
	err = tx.query(ctx, doneJobs, args(kind, user), func(r row) error {
		var j privacy.Job
		err := scanJob(r, &j)
		list = append(list, j)
		return err
	})
	return list, err
}

// Claim implements privacy's jobs.
func (tx privacyTx) Claim(ctx context.Context, kind, holder string, now, until int64) (privacy.Job, error) {
	return tx.job(ctx, claimJob, holder, until, kind, now)
}

// KeepJob implements privacy's jobs.
func (tx privacyTx) KeepJob(ctx context.Context, id, holder, detail string, until int64) (bool, error) {
	n, err := tx.exec(ctx, keepJob, detail, until, id, holder)
	return n > 0, err
}

// SettleJob implements privacy's jobs.
func (tx privacyTx) SettleJob(ctx context.Context, j *privacy.Job, holder string) (bool, error) {
	n, err := tx.exec(ctx, settleJob, j.State, j.Detail, j.DueAt, j.EndedAt, j.Attempts, j.ID, holder)
	return n > 0, err
}

// CancelJob implements privacy's jobs.
func (tx privacyTx) CancelJob(ctx context.Context, kind string, user, now int64) (bool, error) {
	n, err := tx.exec(ctx, cancelJob, now, kind, user)
	return n > 0, err
}

// NextDue implements privacy's jobs.
func (tx privacyTx) NextDue(ctx context.Context, kind string) (at int64, err error) {
	if err := tx.queryRow(ctx, nextDue, args(kind), &at); err != nil {
		return 0, noRow(err, privacy.ErrNotFound)
	}
	return at, nil
}

// ForgetJobs implements privacy's jobs.
func (tx privacyTx) ForgetJobs(ctx context.Context, kind string, user int64) error {
	_, err := tx.exec(ctx, forgetJobs, kind, user)
	return err
}
