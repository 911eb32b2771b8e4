package store

import (
	"context"
	"fmt"
	"time"

	"github.com/kuranty/kuranty/internal/delivery/dispatch"
)

const (
	oneRemoved  = `SELECT webhook_id FROM webhook_removed ORDER BY webhook_id LIMIT 1`
	forgetOne   = `DELETE FROM webhook_removed WHERE webhook_id = $1`
	removeSome  = `SELECT id FROM webhook_deliveries WHERE webhook_id = $1 ORDER BY created_at, id LIMIT $2`
	outlived    = `SELECT id FROM webhook_deliveries WHERE webhook_id = $1 AND created_at < $2 AND phase = 3 AND by_hand = 0 AND (state <> 'exhausted' OR created_at < $3) ORDER BY created_at, id LIMIT $4`
	webhookIDs  = `SELECT id FROM webhooks ORDER BY id`
	cancelStale = `UPDATE webhook_deliveries SET state = 'canceled', phase = 3, next_at = 0 WHERE id IN (SELECT id FROM webhook_deliveries WHERE webhook_id = $1 AND phase = 2 AND phase < 3
		AND +created_at < $2 LIMIT $3) RETURNING webhook_id, lane`
	// The sign keeps SQLite from looking at all that is old.
	anyStale = `SELECT id FROM webhook_deliveries WHERE webhook_id = $1 AND phase = 2 AND phase < 3 AND +created_at < $2 LIMIT 1`

	dropAttempts   = `DELETE FROM webhook_attempts WHERE id IN (SELECT a.id FROM ` + withAttempts + ` WHERE d.id IN `
	dropDeliveries = `DELETE FROM webhook_deliveries WHERE id IN `
	listSQLite     = `(SELECT value FROM json_each($1))`
	listPostgres   = `(SELECT value::bigint FROM jsonb_array_elements_text($1::jsonb))`
	expirePayloads = `UPDATE webhook_events SET payload = NULL WHERE event_id IN (SELECT event_id FROM webhook_events WHERE created_at < $1 AND payload IS NOT NULL LIMIT $2)`
	dropEvents     = `DELETE FROM webhook_events WHERE event_id IN (SELECT e.event_id FROM webhook_events AS e WHERE e.created_at < $1
		AND NOT EXISTS (SELECT 1 FROM webhook_deliveries AS d WHERE d.event_id = e.event_id) ORDER BY e.created_at LIMIT $2)`
	forgetWebhookJobs = `DELETE FROM webhook_jobs WHERE updated_at < $1 AND state <> 'running'`
)

// Prune implements dispatch.Store.
func (p dispatchStore) Prune(ctx context.Context, now time.Time, keep dispatch.Retention, limit int) (total int, err error) {
	ids, err := p.pruneRemoved(ctx, limit)
	if err != nil {
		return 0, fmt.Errorf("remove deliveries of removed webhooks: %w", err)
	}
	total += ids
	var all []int64
	err = p.s.View(ctx, func(tx *Tx) (err error) {
		all, err = column[int64](ctx, tx, webhookIDs)
		return err
	})
	if err != nil {
		return total, err
	}
	for _, webhook := range all {
		n, err := p.pruneWebhook(ctx, webhook, now, keep, limit)
		if total += n; err != nil {
			return total, err
		}
	}
	cutoff := micro(now.Add(-keep.Deliveries))
	for _, step := range []struct {
		query string
		args  []any
	}{{dropEvents, args(cutoff, limit)}, {expirePayloads, args(cutoff, limit)}, {forgetWebhookJobs, args(cutoff)}} {
		n, err := p.some(ctx, step.query, step.args...)
		if total += n; err != nil {
			return total, err
		}
	}
	return total, nil
}

// pruneRemoved removes deliveries of a webhook that is no more.
func (p dispatchStore) pruneRemoved(ctx context.Context, limit int) (n int, err error) {
	var gone []int64
	err = p.s.View(ctx, func(tx *Tx) (err error) {
		gone, err = column[int64](ctx, tx, oneRemoved)
		return err
	})
	if err != nil || len(gone) == 0 {
		return 0, err
	}
	err = p.s.Update(ctx, func(tx *Tx) error {
		if n, err = p.drop(ctx, tx, removeSome, gone[0], limit); err != nil || n > 0 {
			return err
		}
		_, err = tx.exec(ctx, forgetOne, gone[0])
		return err
	})
	return n, err
}

// pruneWebhook removes what a webhook's deliveries have outlived. It looks before it writes:
// mostly there is nothing.
func (p dispatchStore) pruneWebhook(ctx context.Context, webhook int64, now time.Time, keep dispatch.Retention, limit int) (n int, err error) {
	old, oldest := micro(now.Add(-keep.Deliveries)), micro(now.Add(-keep.Exhausted))
	var found, stale []int64
	err = p.s.View(ctx, func(tx *Tx) (err error) {
		if found, err = column[int64](ctx, tx, outlived, webhook, old, oldest, 1); err != nil {
			return err
		}
		stale, err = column[int64](ctx, tx, anyStale, webhook, micro(now.Add(-keep.Paused)))
		return err
	})
	if err != nil || len(found)+len(stale) == 0 {
		return 0, err
	}
	err = p.s.Update(ctx, func(tx *Tx) error {
		if n, err = p.drop(ctx, tx, outlived, webhook, old, oldest, limit); err != nil {
			return err
		}
		canceled, err := tx.changeSome(ctx, cancelStale, webhook, micro(now.Add(-keep.Paused)), limit)
		n += canceled
		return err
	})
	return n, err
}

// drop removes the deliveries that a query finds, with their attempts.
func (p dispatchStore) drop(ctx context.Context, tx *Tx, query string, a ...any) (int, error) {
	ids, err := column[int64](ctx, tx, query, a...)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	list, err := idList(ids)
	if err != nil {
		return 0, err
	}
	if _, err := tx.exec(ctx, tx.text(dropAttempts+listSQLite+`)`, dropAttempts+listPostgres+`)`), list); err != nil {
		return 0, err
	}
	_, err = tx.exec(ctx, tx.text(dropDeliveries+listSQLite, dropDeliveries+listPostgres), list)
	return len(ids), err
}
