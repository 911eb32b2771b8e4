package store

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Events get ids like evt_0000000000000000 and ten digits, and payloads that say the digits
// and a time, because that is what `kuranty bench webhook` finds in webhooks.
const (
	fillNumbers = `WITH RECURSIVE n(i) AS (SELECT CAST($1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < CAST($2 AS BIGINT)) `
	fillEvents  = fillNumbers + `INSERT INTO webhook_events (event_id, type, pos, payload, ordering_key, occurred_at, created_at)
		SELECT 'evt_0000000000000000' || i, 'bench.due', 0, '{"stamp":"' || i || ' 1000000000000000000","text":"' || $3 || '"}', '', CAST($4 AS BIGINT), $4 FROM n`
	fillDue = fillNumbers + `INSERT INTO webhook_deliveries (webhook_id, event_id, event_type, caused_by, state, phase, cycle_start, created_at, next_at)
		SELECT CAST($3 AS BIGINT), 'evt_0000000000000000' || i, 'bench.due', 'event', 'queued', 0, CAST($4 AS BIGINT), $4, $4 FROM n`
)

// FillDeliveries gives every webhook n deliveries that are due, for measuring: of the same n
// events, with payloads of about size bytes. It can be done to a database once, while nobody
// else is at work on it.
func (s *Store) FillDeliveries(ctx context.Context, n, size int) error {
	const first = 1_000_000_000
	last := first + n - 1
	now := micro(time.Now())
	text := strings.Repeat("x", max(size-len(`{"stamp":"1000000000 1000000000000000000","text":""}`), 0))
	var webhooks []int64
	err := s.Update(ctx, func(tx *Tx) (err error) {
		if webhooks, err = column[int64](ctx, tx, webhookIDs); err != nil {
			return err
		}
		_, err = tx.exec(ctx, fillEvents, first, last, text, now)
		return err
	})
	if err != nil {
		return fmt.Errorf("fill with events: %w", err)
	}
	for _, id := range webhooks {
		err := s.Update(ctx, func(tx *Tx) error {
			_, err := tx.exec(ctx, fillDue, first, last, id, now)
			return err
		})
		if err != nil {
			return fmt.Errorf("fill webhook %d with deliveries: %w", id, err)
		}
	}
	return nil
}
