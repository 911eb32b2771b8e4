package store

import (
	"context"
	"database/sql"
	"maps"
	"slices"
)

// lane is what deliveries of a webhook are in order with: all of them, or those about the
// same thing. Of those that are not final only the first has its turn; the others are behind
// it, whatever their state says. So what can be sent is found as fast as where there is no
// order. A webhook whose ordering is changed keeps what it has in the lanes it was put in.
//
// Whatever makes a delivery due that has a lane puts it behind, and then, in the same
// transaction, settles the lane.
type lane struct {
	webhook int64
	key     string
}

const (
	// behindOrDue is the phase of a delivery that is made due.
	behindOrDue = `CASE WHEN lane IS NULL THEN 0 ELSE -1 END`

	inLane = ` FROM webhook_deliveries AS d WHERE d.webhook_id = l.webhook_id AND d.lane = l.lane AND d.lane IS NOT NULL AND d.phase < 3`
	// One that is paused has its turn when it is released.
	settleLanes = `UPDATE webhook_deliveries SET phase = 0 WHERE id IN (SELECT t.first FROM (
			SELECT (SELECT min(d.id)` + inLane + ` AND d.phase = -1) AS first, (SELECT min(d.id)` + inLane + ` AND d.phase = 2) AS paused
			FROM (SELECT CAST(j.value ->> 0 AS BIGINT) AS webhook_id, j.value ->> 1 AS lane`
	haveTheirTurn = `) AS l WHERE NOT EXISTS (SELECT 1` + inLane + ` AND d.phase = 0) AND NOT EXISTS (SELECT 1` + inLane + ` AND d.phase = 1)) AS t
		WHERE t.first IS NOT NULL AND (t.paused IS NULL OR t.first < t.paused))`
	settleSQLite   = settleLanes + rowsSQLite + haveTheirTurn
	settlePostgres = settleLanes + rowsPostgres + haveTheirTurn

	// Who settles lanes of a webhook must see what others have done to them before.
	holdWebhooks = `SELECT id FROM webhooks WHERE id IN (SELECT value::bigint FROM jsonb_array_elements_text($1::jsonb)) ORDER BY id FOR NO KEY UPDATE`
)

// lanes are those to be settled.
type lanes map[lane]bool

// add notes the lane of a delivery, unless it has none.
func (l lanes) add(webhook int64, key sql.NullString) {
	if key.Valid {
		l[lane{webhook, key.String}] = true
	}
}

// holdWebhooks holds the rows of webhooks. SQLite's one writer needs no lock.
func (tx *Tx) holdWebhooks(ctx context.Context, ids ...int64) error {
	if tx.dialect != Postgres {
		return nil
	}
	list, err := idList(ids)
	if err != nil {
		return err
	}
	_, err = column[int64](ctx, tx, holdWebhooks, list)
	return err
}

// settle gives the first of each lane its turn, unless another one has it.
func (tx *Tx) settle(ctx context.Context, l lanes) error {
	if len(l) == 0 {
		return nil
	}
	webhooks := map[int64]bool{}
	var rows rowList
	for lane := range l {
		webhooks[lane.webhook] = true
		rows.row().int(lane.webhook).str(lane.key)
	}
	if err := tx.holdWebhooks(ctx, slices.Collect(maps.Keys(webhooks))...); err != nil {
		return err
	}
	_, err := tx.exec(ctx, tx.text(settleSQLite, settlePostgres), rows.String())
	return err
}

// changeSome runs a statement that returns the webhook and lane of each delivery it changes,
// settles the lanes, and returns how many there were.
func (tx *Tx) changeSome(ctx context.Context, query string, a ...any) (n int, err error) {
	l := lanes{}
	err = tx.query(ctx, query, a, func(r row) error {
		var webhook int64
		var key sql.NullString
		err := r.Scan(&webhook, &key)
		l.add(webhook, key)
		n++
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, tx.settle(ctx, l)
}
