package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/delivery/dispatch"
	"github.com/kuranty/kuranty/internal/seal"
)

// Dispatch returns webhooks as sending asks for them; ring opens what is sealed of them.
func (s *Store) Dispatch(ring *seal.Ring) dispatch.Store {
	return dispatchStore{s, webhookStore{s, ring}}
}

type dispatchStore struct {
	s     *Store
	hooks webhookStore
}

// sendLock is the advisory lock of the process that sends webhooks.
const sendLock = 4702394921427291

// dispatchSink names the cursor of webhooks in the log.
const dispatchSink = "delivery"

// Lead implements dispatch.Store. On SQLite there is one process.
func (p dispatchStore) Lead(ctx context.Context, f func(context.Context) error) error {
	if p.s.o.Driver != Postgres {
		return f(ctx)
	}
	return p.s.leadAs(ctx, sendLock, f)
}

const (
	allWebhooks  = `SELECT ` + webhookColumns + ` FROM webhooks ORDER BY id`
	readVersion  = `SELECT version FROM webhook_version`
	countAsked   = `SELECT (SELECT count(*) FROM webhook_deliveries WHERE by_hand > 0), (SELECT count(*) FROM webhook_jobs WHERE state = 'running')`
	keptEvents   = `SELECT event_id, type, pos, payload, ordering_key, coalesce(ref, 0), occurred_at FROM webhook_events WHERE event_id IN `
	keptSQLite   = keptEvents + `(SELECT value FROM json_each($1))`
	keptPostgres = keptEvents + `(SELECT jsonb_array_elements_text($1::jsonb))`
	countWaiting = `SELECT webhook_id, phase, count(*) FROM webhook_deliveries WHERE phase < 3 GROUP BY webhook_id, phase`
	pauseSome    = `UPDATE webhook_deliveries SET state = 'paused', phase = 2, next_at = 0 WHERE id IN (SELECT id FROM webhook_deliveries WHERE webhook_id = $1 AND phase < 1 AND phase < 3
		ORDER BY phase, next_at, id LIMIT $2) RETURNING webhook_id, lane`
	releaseSome = `UPDATE webhook_deliveries SET state = CASE WHEN failed > 0 THEN 'retrying' ELSE 'queued' END, phase = ` + behindOrDue + `, cycle_start = $1, next_at = $1
		WHERE id IN (SELECT id FROM webhook_deliveries WHERE webhook_id = $2 AND phase = 2 AND phase < 3 ORDER BY next_at, id LIMIT $3) RETURNING webhook_id, lane`
	abandonSome = `UPDATE webhook_deliveries SET state = CASE WHEN failed > 0 THEN 'retrying' ELSE 'queued' END, phase = ` + behindOrDue + `, lease_until = 0
		WHERE id IN (SELECT d.id FROM webhooks AS w JOIN webhook_deliveries AS d ON d.webhook_id = w.id AND d.phase = 1 AND d.phase < 3 AND d.lease_until < $1
			ORDER BY d.id LIMIT $2) RETURNING webhook_id, lane`
)

// Webhooks implements dispatch.Store. The version is read first: what is changed after it
// makes the caller read again.
func (p dispatchStore) Webhooks(ctx context.Context) (all []delivery.Webhook, version int64, err error) {
	err = p.s.View(ctx, func(tx *Tx) error {
		if err := tx.queryRow(ctx, readVersion, nil, &version); err != nil {
			return err
		}
		return tx.query(ctx, allWebhooks, nil, func(r row) error {
			var w delivery.Webhook
			err := p.hooks.scan(r, &w)
			all = append(all, w)
			return err
		})
	})
	return all, version, err
}

// Version implements dispatch.Store.
func (p dispatchStore) Version(ctx context.Context) (version int64, err error) {
	err = p.s.View(ctx, func(tx *Tx) error { return tx.queryRow(ctx, readVersion, nil, &version) })
	return version, err
}

// Asked implements dispatch.Store.
func (p dispatchStore) Asked(ctx context.Context) (manual, jobs int, err error) {
	err = p.s.View(ctx, func(tx *Tx) error { return tx.queryRow(ctx, countAsked, nil, &manual, &jobs) })
	return manual, jobs, err
}

// Alone implements dispatch.Store.
func (p dispatchStore) Alone() bool { return p.s.o.Driver != Postgres }

// Cursor implements dispatch.Store.
func (p dispatchStore) Cursor(ctx context.Context) (int64, bool, error) {
	return p.s.Cursor(ctx, dispatchSink)
}

// SaveCursor implements dispatch.Store.
func (p dispatchStore) SaveCursor(ctx context.Context, pos int64) error {
	return p.s.SaveCursor(ctx, dispatchSink, pos)
}

// errEnough ends a query whose other rows are not wanted.
var errEnough = errors.New("enough")

// Events implements dispatch.Store.
func (p dispatchStore) Events(ctx context.Context, ids []string, limit int) (map[string]delivery.Event, error) {
	found := make(map[string]delivery.Event, len(ids))
	list, err := toJSON(ids)
	if err != nil || list == "" {
		return found, err
	}
	err = p.s.View(ctx, func(tx *Tx) error {
		size := 0
		return tx.query(ctx, tx.text(keptSQLite, keptPostgres), args(list), func(r row) error {
			var e delivery.Event
			var at int64
			if err := r.Scan(&e.ID, &e.Type, &e.Pos, &e.Payload, &e.OrderingKey, &e.Ref, &at); err != nil {
				return err
			}
			e.At = fromMicro(at)
			found[e.ID] = e
			if size += len(e.Payload); size > limit {
				return errEnough
			}
			return nil
		})
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return found, err
}

// Pause implements dispatch.Store.
func (p dispatchStore) Pause(ctx context.Context, webhook int64, limit int) (int, error) {
	return p.moveSome(ctx, webhook, pauseSome, webhook, limit)
}

// Release implements dispatch.Store.
func (p dispatchStore) Release(ctx context.Context, webhook int64, now time.Time, limit int) (int, error) {
	return p.moveSome(ctx, webhook, releaseSome, micro(now), webhook, limit)
}

// Abandon implements dispatch.Store.
func (p dispatchStore) Abandon(ctx context.Context, before time.Time, limit int) (int, error) {
	var n int
	err := p.s.Update(ctx, func(tx *Tx) (err error) {
		n, err = tx.changeSome(ctx, abandonSome, micro(before), limit)
		return err
	})
	return n, err
}

// moveSome runs a statement on deliveries of a webhook, as [Tx.changeSome].
func (p dispatchStore) moveSome(ctx context.Context, webhook int64, query string, a ...any) (n int, err error) {
	err = p.s.Update(ctx, func(tx *Tx) error {
		if err := tx.holdWebhooks(ctx, webhook); err != nil {
			return err
		}
		n, err = tx.changeSome(ctx, query, a...)
		return err
	})
	return n, err
}

func (p dispatchStore) some(ctx context.Context, query string, a ...any) (int, error) {
	var n int64
	err := p.s.Update(ctx, func(tx *Tx) (err error) {
		n, err = tx.exec(ctx, query, a...)
		return err
	})
	return int(n), err
}

// Waiting implements dispatch.Store.
func (p dispatchStore) Waiting(ctx context.Context) (map[int64]dispatch.Waiting, error) {
	all := map[int64]dispatch.Waiting{}
	err := p.s.View(ctx, func(tx *Tx) error {
		return tx.query(ctx, countWaiting, nil, func(r row) error {
			var webhook int64
			var phase, n int
			if err := r.Scan(&webhook, &phase, &n); err != nil {
				return err
			}
			w := all[webhook]
			if phase == phasePaused {
				w.Paused += n
			} else {
				w.Due += n
			}
			all[webhook] = w
			return nil
		})
	})
	return all, err
}

// Parts of statements that take a [rowList].
const (
	rowsSQLite   = ` FROM jsonb_each($1) AS j`
	rowsPostgres = ` FROM jsonb_array_elements($1::jsonb) AS j(value)`

	keepEvents = `INSERT INTO webhook_events (event_id, type, pos, payload, ordering_key, ref, occurred_at, created_at)
		SELECT j.value ->> 0, j.value ->> 1, CAST(j.value ->> 2 AS BIGINT), j.value ->> 3, j.value ->> 4, CAST(j.value ->> 5 AS BIGINT), CAST(j.value ->> 6 AS BIGINT), CAST(j.value ->> 7 AS BIGINT)`
	once = ` WHERE true ON CONFLICT DO NOTHING`

	// What a job queued has its payload from the log again, should it be gone.
	takePayloads = `UPDATE webhook_events SET payload = j.value ->> 3, created_at = CAST(j.value ->> 7 AS BIGINT)`
	ofJob        = ` WHERE event_id = j.value ->> 0 AND payload IS NULL
		AND EXISTS (SELECT 1 FROM webhook_deliveries AS d WHERE d.webhook_id = $2 AND d.event_id = webhook_events.event_id AND d.job = $3)`

	addDeliveries = `INSERT INTO webhook_deliveries (webhook_id, event_id, event_type, lane, caused_by, state, phase, cycle_start, created_at, lease_until, job)
		SELECT w.id, j.value ->> 1, j.value ->> 2, CASE w.ordering WHEN 'strict' THEN '' WHEN 'key' THEN nullif(j.value ->> 3, '') END, j.value ->> 4, j.value ->> 5,
			CASE WHEN CAST(j.value ->> 6 AS BIGINT) = 0 AND (w.ordering = 'strict' OR w.ordering = 'key' AND j.value ->> 3 <> '') THEN -1 ELSE CAST(j.value ->> 6 AS BIGINT) END,
			CAST(j.value ->> 7 AS BIGINT), CAST(j.value ->> 7 AS BIGINT), CAST(j.value ->> 8 AS BIGINT), j.value ->> 9`
	ofWebhooks = ` JOIN webhooks AS w ON w.id = CAST(j.value ->> 0 AS BIGINT)`
	newIDs     = ` RETURNING id, webhook_id, event_id, lane`

	keepEventsSQLite      = keepEvents + rowsSQLite + once
	keepEventsPostgres    = keepEvents + rowsPostgres + once
	takePayloadsSQLite    = takePayloads + rowsSQLite + ofJob
	takePayloadsPostgres  = takePayloads + rowsPostgres + ofJob
	addDeliveriesSQLite   = addDeliveries + rowsSQLite + ofWebhooks + once + newIDs
	addDeliveriesPostgres = addDeliveries + rowsPostgres + ofWebhooks + once + newIDs
)

// FanOut implements dispatch.Store.
func (p dispatchStore) FanOut(ctx context.Context, version, pos int64, lease time.Time, matched []dispatch.Matched) error {
	return p.s.Update(ctx, func(tx *Tx) error {
		var now int64
		if err := tx.queryRow(ctx, tx.text(readVersion, readVersion+` FOR SHARE`), nil, &now); err != nil {
			return err
		}
		if now != version {
			return dispatch.ErrStale
		}
		if _, err := tx.addMatched(ctx, "", lease, matched); err != nil {
			return err
		}
		_, err := tx.exec(ctx, writeCursor, dispatchSink, pos, tx.Now())
		return err
	})
}

// addMatched stores events and their deliveries, which get their ids. It returns how many
// deliveries were not there before.
func (tx *Tx) addMatched(ctx context.Context, job string, lease time.Time, matched []dispatch.Matched) (made int, err error) {
	type key struct {
		event   string
		webhook int64
	}
	wanted := map[key]*delivery.Delivery{}
	var deliveries rowList
	for i := range matched {
		e := &matched[i].Event
		for _, d := range matched[i].Deliveries {
			until := int64(0)
			if d.State == delivery.StateSending {
				until = micro(lease)
			}
			d.ID = 0
			wanted[key{d.EventID, d.WebhookID}] = d
			deliveries.row().int(d.WebhookID).str(d.EventID).str(d.EventType).str(e.OrderingKey).str(string(d.Trigger)).str(string(d.State)).
				int(int64(phaseOf(d.State))).int(micro(d.CreatedAt)).int(until).strOrNull(job)
		}
	}
	if _, err := tx.exec(ctx, tx.text(keepEventsSQLite, keepEventsPostgres), tx.rowsOfEvents(matched)); err != nil {
		return 0, fmt.Errorf("keep events: %w", err)
	}
	l := lanes{}
	err = tx.query(ctx, tx.text(addDeliveriesSQLite, addDeliveriesPostgres), args(deliveries.String()), func(r row) error {
		var id int64
		var k key
		var in sql.NullString
		if err := r.Scan(&id, &k.webhook, &k.event, &in); err != nil {
			return err
		}
		l.add(k.webhook, in)
		if d := wanted[k]; d != nil {
			d.ID = id
			made++
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("add deliveries: %w", err)
	}
	return made, tx.settle(ctx, l)
}

// rowsOfEvents are the events as the statements take them that keep them.
func (tx *Tx) rowsOfEvents(matched []dispatch.Matched) string {
	var rows rowList
	for i := range matched {
		e := &matched[i].Event
		rows.row().str(e.ID).str(e.Type).int(e.Pos).bytes(e.Payload).str(e.OrderingKey).intOrNull(e.Ref).int(micro(e.At)).int(tx.Now() * 1000)
	}
	return rows.String()
}
