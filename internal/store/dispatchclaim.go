package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/delivery/dispatch"
)

// What is due and has its turn is the beginning of an index, whatever waits behind it. On
// PostgreSQL rows that another process holds are left to it.
const (
	claimSet = `UPDATE webhook_deliveries SET state = 'sending', phase = 1, lease_until = $1 WHERE id IN (
		SELECT id FROM webhook_deliveries WHERE webhook_id = $2 AND phase = 0 AND phase < 3 AND next_at <= $3 ORDER BY next_at, id LIMIT $4`
	claimBack     = `) RETURNING ` + ownColumns + `, coalesce(lane, '')`
	claimSQLite   = claimSet + claimBack
	claimPostgres = claimSet + ` FOR UPDATE SKIP LOCKED` + claimBack

	byHandSQLite = `SELECT ` + deliveryColumns + `, coalesce(d.lane, '') FROM webhook_deliveries AS d JOIN webhooks AS w ON w.id = d.webhook_id
		WHERE d.by_hand > 0 AND d.id NOT IN (SELECT value FROM json_each($1)) ORDER BY d.id LIMIT $2`
	byHandPostgres = `SELECT ` + deliveryColumns + `, coalesce(d.lane, '') FROM webhook_deliveries AS d JOIN webhooks AS w ON w.id = d.webhook_id
		WHERE d.by_hand > 0 AND d.id NOT IN (SELECT value::bigint FROM jsonb_array_elements_text($1::jsonb)) ORDER BY d.id LIMIT $2`
	nextDueOf = `SELECT next_at FROM webhook_deliveries WHERE webhook_id = $1 AND phase = 0 AND phase < 3 ORDER BY next_at, id LIMIT 1`
)

// Claim implements dispatch.Store.
func (p dispatchStore) Claim(ctx context.Context, now, lease time.Time, wants []dispatch.Want) (got []dispatch.Claimed, err error) {
	most := 0
	for _, w := range wants {
		most += w.Limit
	}
	err = p.s.Update(ctx, func(tx *Tx) error {
		got = make([]dispatch.Claimed, 0, most)
		for _, w := range wants {
			from := len(got)
			err := tx.query(ctx, tx.text(claimSQLite, claimPostgres), args(micro(lease), w.Webhook, micro(now), w.Limit), func(r row) error {
				c, err := scanClaimed(r)
				c.State = delivery.StateSending
				got = append(got, c)
				return err
			})
			if err != nil {
				return fmt.Errorf("claim deliveries: %w", err)
			}
			slices.SortFunc(got[from:], func(a, b dispatch.Claimed) int { // RETURNING has no order
				if n := a.NextRetryAt.Compare(b.NextRetryAt); n != 0 {
					return n
				}
				return int(a.ID - b.ID)
			})
		}
		return nil
	})
	return got, err
}

func scanClaimed(r row) (c dispatch.Claimed, err error) {
	err = scanDelivery(r, &c.Delivery, &c.OrderingKey)
	return c, err
}

// ClaimManual implements dispatch.Store.
func (p dispatchStore) ClaimManual(ctx context.Context, limit int, except []int64) (got []dispatch.Claimed, err error) {
	list, err := idList(except)
	if err != nil {
		return nil, err
	}
	err = p.s.View(ctx, func(tx *Tx) error {
		return tx.query(ctx, tx.text(byHandSQLite, byHandPostgres), args(list, limit), func(r row) error {
			c, err := scanClaimed(r)
			got = append(got, c)
			return err
		})
	})
	return got, err
}

// Next implements dispatch.Store.
func (p dispatchStore) Next(ctx context.Context, webhooks []int64) (map[int64]time.Time, error) {
	next := map[int64]time.Time{}
	err := p.s.View(ctx, func(tx *Tx) error {
		for _, id := range webhooks {
			due, err := column[int64](ctx, tx, nextDueOf, id)
			if err != nil {
				return err
			}
			if len(due) > 0 {
				next[id] = time.UnixMicro(due[0]).UTC() // 0 is long ago, not never
			}
		}
		return nil
	})
	return next, err
}
