package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/delivery/dispatch"
	"github.com/kuranty/kuranty/internal/webhooks"
)

const (
	webhookJobColumns = `id, webhook_id, kind, state, error, detail, at, matched, queued, created_at, updated_at`
	addWebhookJob     = `INSERT INTO webhook_jobs (id, webhook_id, kind, state, detail, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`
	webhookJobByID    = `SELECT ` + webhookJobColumns + ` FROM webhook_jobs WHERE id = $1`
	runningJobs       = `SELECT ` + webhookJobColumns + ` FROM webhook_jobs WHERE state = 'running' ORDER BY created_at LIMIT 100`
	saveWebhookJob    = `UPDATE webhook_jobs SET state = $1, error = $2, at = $3, matched = $4, queued = $5, updated_at = $6 WHERE id = $7 AND state = 'running'`
	cancelWebhookJob  = `UPDATE webhook_jobs SET state = 'canceled', updated_at = $1 WHERE id = $2 AND state = 'running'`
	endsOfJob         = `SELECT state, count(*) FROM webhook_deliveries WHERE job = $1 GROUP BY state`

	failedOf = `SELECT id FROM webhook_deliveries WHERE webhook_id = $1 AND id > $2 AND state IN ('exhausted', 'canceled') AND created_at >= $3 AND created_at < $4`
	// Without codes all match.
	failedSQLite   = failedOf + ` AND ($5 = '' OR error_code IN (SELECT value FROM json_each(CASE WHEN $5 = '' THEN '[]' ELSE $5 END))) ORDER BY id LIMIT $6`
	failedPostgres = failedOf + ` AND ($5 = '' OR error_code IN (SELECT jsonb_array_elements_text(CASE WHEN $5 = '' THEN '[]' ELSE $5 END::jsonb))) ORDER BY id LIMIT $6`

	loggedBetween = `SELECT ` + eventColumns + ` FROM events WHERE pos > $1 AND occurred_at >= $2 AND occurred_at < $3 ORDER BY pos LIMIT $4`

	existingSQLite   = `SELECT id FROM webhook_deliveries WHERE webhook_id = $1 AND event_id IN (SELECT value FROM json_each($2))`
	existingPostgres = `SELECT id FROM webhook_deliveries WHERE webhook_id = $1 AND event_id IN (SELECT jsonb_array_elements_text($2::jsonb))`
)

// jobDetail is what a job is asked for.
type jobDetail struct {
	Since       time.Time `json:"since"`
	Until       time.Time `json:"until"`
	ErrorCodes  []string  `json:"error_codes,omitempty"`
	EventTypes  []string  `json:"event_types,omitempty"`
	OnlyMissing bool      `json:"only_missing"`
}

func scanWebhookJob(r row, j *dispatch.Job) error {
	var detail []byte
	var created, updated int64
	err := r.Scan(&j.ID, &j.Webhook, &j.Kind, &j.State, &j.Error, &detail, &j.At, &j.Matched, &j.Queued, &created, &updated)
	if err != nil {
		return err
	}
	var d jobDetail
	if err := json.Unmarshal(detail, &d); err != nil {
		return fmt.Errorf("decode job %s: %w", j.ID, err)
	}
	j.Since, j.Until, j.ErrorCodes, j.EventTypes, j.OnlyMissing = d.Since, d.Until, d.ErrorCodes, d.EventTypes, d.OnlyMissing
	j.CreatedAt, j.UpdatedAt = fromMicro(created), fromMicro(updated)
	return nil
}

// AddJob implements webhooks.Store.
func (h webhookStore) AddJob(ctx context.Context, j *dispatch.Job) error {
	detail, err := json.Marshal(jobDetail{j.Since, j.Until, j.ErrorCodes, j.EventTypes, j.OnlyMissing})
	if err != nil {
		return fmt.Errorf("encode job: %w", err)
	}
	return h.s.Update(ctx, func(tx *Tx) error {
		_, err := tx.exec(ctx, addWebhookJob, j.ID, j.Webhook, j.Kind, j.State, string(detail), micro(j.CreatedAt), micro(j.UpdatedAt))
		return err
	})
}

// Job implements webhooks.Store.
func (h webhookStore) Job(ctx context.Context, id string) (j dispatch.Job, err error) {
	err = h.s.View(ctx, func(tx *Tx) error {
		if err := noRow(classify(scanWebhookJob(tx.row(ctx, webhookJobByID, id), &j)), webhooks.ErrNoJob); err != nil {
			return err
		}
		return tx.query(ctx, endsOfJob, args(id), func(r row) error {
			var state delivery.State
			var n int
			err := r.Scan(&state, &n)
			switch state {
			case delivery.StateSucceeded:
				j.Succeeded = n
			case delivery.StateExhausted, delivery.StateCanceled:
				j.Failed += n
			}
			return err
		})
	})
	return j, err
}

// CancelJob implements webhooks.Store.
func (h webhookStore) CancelJob(ctx context.Context, id string) error {
	return h.s.Update(ctx, func(tx *Tx) error {
		var j dispatch.Job
		if err := noRow(classify(scanWebhookJob(tx.row(ctx, webhookJobByID, id), &j)), webhooks.ErrNoJob); err != nil {
			return err
		}
		_, err := tx.exec(ctx, cancelWebhookJob, micro(time.UnixMilli(tx.Now())), id)
		return err
	})
}

// Jobs implements dispatch.Store.
func (p dispatchStore) Jobs(ctx context.Context) (all []dispatch.Job, err error) {
	err = p.s.View(ctx, func(tx *Tx) error {
		return tx.query(ctx, runningJobs, nil, func(r row) error {
			var j dispatch.Job
			err := scanWebhookJob(r, &j)
			all = append(all, j)
			return err
		})
	})
	return all, err
}

// SaveJob implements dispatch.Store.
func (p dispatchStore) SaveJob(ctx context.Context, j *dispatch.Job) (running bool, err error) {
	n, err := p.some(ctx, saveWebhookJob, j.State, j.Error, j.At, j.Matched, j.Queued, micro(j.UpdatedAt), j.ID)
	return n > 0 && j.State == dispatch.JobRunning, err
}

// Failed implements dispatch.Store.
func (p dispatchStore) Failed(ctx context.Context, j *dispatch.Job, limit int) (ids []int64, err error) {
	codes, err := toJSON(j.ErrorCodes)
	if err != nil {
		return nil, err
	}
	err = p.s.View(ctx, func(tx *Tx) error {
		ids, err = column[int64](ctx, tx, tx.text(failedSQLite, failedPostgres), j.Webhook, j.At, micro(j.Since), micro(j.Until), codes, limit)
		return err
	})
	return ids, err
}

// Log implements dispatch.Store.
func (p dispatchStore) Log(ctx context.Context, j *dispatch.Job, limit int) (found []event.Event, err error) {
	err = p.s.View(ctx, func(tx *Tx) error {
		found, err = tx.readEvents(ctx, loggedBetween, j.At, j.Since.UnixMilli(), j.Until.UnixMilli(), limit)
		return err
	})
	return found, err
}

// Replay implements dispatch.Store.
func (p dispatchStore) Replay(ctx context.Context, j *dispatch.Job, now time.Time, matched []dispatch.Matched) (queued int, err error) {
	err = p.s.Update(ctx, func(tx *Tx) error {
		if queued, err = tx.addMatched(ctx, j.ID, time.Time{}, matched); err != nil {
			return err
		}
		if !j.OnlyMissing {
			n, err := p.requeue(ctx, tx, j, now, matched)
			if queued += n; err != nil {
				return err
			}
		}
		if queued == 0 {
			return nil
		}
		_, err = tx.exec(ctx, tx.text(takePayloadsSQLite, takePayloadsPostgres), tx.rowsOfEvents(matched), j.Webhook, j.ID)
		return err
	})
	return queued, err
}

// requeue begins the schedule anew for what was matched and was there before.
func (p dispatchStore) requeue(ctx context.Context, tx *Tx, j *dispatch.Job, now time.Time, matched []dispatch.Matched) (n int, err error) {
	var events []string
	for _, m := range matched {
		for _, d := range m.Deliveries {
			if d.ID == 0 {
				events = append(events, d.EventID)
			}
		}
	}
	if len(events) == 0 {
		return 0, nil
	}
	list, err := toJSON(events)
	if err != nil {
		return 0, err
	}
	ids, err := column[int64](ctx, tx, tx.text(existingSQLite, existingPostgres), j.Webhook, list)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	b := &dispatch.Batch{Webhooks: map[int64]*delivery.Webhook{}, Deliveries: map[int64]*delivery.Delivery{}, Job: j.ID}
	slices.Sort(ids)
	l, err := p.load(ctx, tx, b, nil, ids)
	if err != nil {
		return 0, err
	}
	for id, d := range b.Deliveries {
		if d.Requeue(now, delivery.TriggerReplay, true) {
			n++
		} else {
			delete(b.Deliveries, id)
		}
	}
	if err := tx.saveDeliveries(ctx, b); err != nil {
		return 0, err
	}
	return n, tx.settle(ctx, l)
}
