package store

import (
	"context"
	"fmt"
	"time"

	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/webhooks"
)

// The phases of deliveries: their states, as sending asks for them. One that is due but
// behind another one in its lane is in phase -1.
const (
	phaseDue = iota
	phaseSending
	phasePaused
	phaseFinal
)

func phaseOf(s delivery.State) int {
	switch {
	case s.Final():
		return phaseFinal
	case s == delivery.StatePaused:
		return phasePaused
	case s == delivery.StateSending:
		return phaseSending
	}
	return phaseDue
}

const (
	deliveryColumns = `d.id, d.webhook_id, d.event_id, d.event_type, d.caused_by, d.state, d.attempts, d.failed, d.cycle, d.cycle_start, d.created_at,
		d.last_attempt_at, d.delivered_at, d.next_at, d.response_status, d.response_body, d.error_code, d.error_message, d.duration`
	// ownColumns are the same where nothing is joined; SQLite knows no other name of a table in RETURNING.
	ownColumns = `id, webhook_id, event_id, event_type, caused_by, state, attempts, failed, cycle, cycle_start, created_at,
		last_attempt_at, delivered_at, next_at, response_status, response_body, error_code, error_message, duration`
	shownColumns = deliveryColumns + `, coalesce(d.job, ''), coalesce(e.type, ''), coalesce(e.pos, 0), e.payload, coalesce(e.ordering_key, ''), coalesce(e.occurred_at, 0)`
	shownFrom    = ` FROM webhook_deliveries AS d LEFT JOIN webhook_events AS e ON e.event_id = d.event_id `
	shownByID    = `SELECT ` + shownColumns + shownFrom + `JOIN webhooks AS w ON w.id = d.webhook_id WHERE d.webhook_id = $1 AND d.id = $2`

	// A filter that is not asked for is empty. Status is that of webhooks.md §1.5.
	deliveryFilter = `d.webhook_id = $1 AND ($2 = '' OR d.state = $2) AND ($3 = '' OR d.event_type = $3) AND ($4 = '' OR d.event_id = $4) AND ($5 = '' OR d.error_code = $5)
		AND d.created_at >= $6 AND d.created_at < $7
		AND ($8 = '' OR $8 = CASE WHEN d.state = 'succeeded' THEN 'success' WHEN d.state IN ('retrying', 'exhausted', 'canceled') OR d.attempts > 0 THEN 'failed' ELSE 'pending' END)`
	deliveryTotal = `SELECT count(*) FROM webhook_deliveries AS d WHERE ` + deliveryFilter
	// Of an index alone, for that is what is asked for mostly.
	deliveriesOf = `SELECT count(*) FROM webhook_deliveries WHERE webhook_id = $1`
	deliveryPage = `SELECT ` + shownColumns + shownFrom + `WHERE ` + deliveryFilter + ` AND (d.created_at, d.id) < ($9, $10)
		ORDER BY d.created_at DESC, d.id DESC LIMIT $11 OFFSET $12`
)

// deliveryScan is what deliveryColumns are scanned into.
type deliveryScan struct {
	d                                                          *delivery.Delivery
	cycleStart, created, attempted, delivered, next, durations int64
}

func (s *deliveryScan) dest() []any {
	d := s.d
	return []any{
		&d.ID, &d.WebhookID, &d.EventID, &d.EventType, &d.Trigger, &d.State, &d.Attempts, &d.Failed, &d.Cycle, &s.cycleStart, &s.created,
		&s.attempted, &s.delivered, &s.next, &d.ResponseStatus, &d.ResponseBody, &d.ErrorCode, &d.ErrorMessage, &s.durations,
	}
}

func (s *deliveryScan) finish() {
	d := s.d
	d.CycleStart, d.CreatedAt, d.LastAttemptAt = fromMicro(s.cycleStart), fromMicro(s.created), fromMicro(s.attempted)
	d.DeliveredAt, d.NextRetryAt = fromMicro(s.delivered), fromMicro(s.next)
	d.Duration = time.Duration(s.durations) * time.Microsecond
}

func scanDelivery(r row, d *delivery.Delivery, more ...any) error {
	s := deliveryScan{d: d}
	if err := r.Scan(append(s.dest(), more...)...); err != nil {
		return err
	}
	s.finish()
	return nil
}

func scanShown(r row, d *webhooks.Delivery) error {
	var at int64
	e := &d.Event
	if err := scanDelivery(r, &d.Delivery, &d.Job, &e.Type, &e.Pos, &e.Payload, &e.OrderingKey, &at); err != nil {
		return err
	}
	e.ID, e.At = d.EventID, fromMicro(at)
	if e.Type == "" {
		e.Type = d.EventType
	}
	return nil
}

// endOfTime is later than every delivery.
const endOfTime = int64(1) << 62

// Deliveries implements webhooks.Store.
func (h webhookStore) Deliveries(ctx context.Context, webhook int64, q webhooks.DeliveryQuery) (page []webhooks.Delivery, total int, err error) {
	until, at, id := endOfTime, endOfTime, endOfTime
	if !q.Until.IsZero() {
		until = micro(q.Until)
	}
	if q.Cursor != 0 {
		at, id = micro(q.CursorCreatedAt), q.Cursor
		until = min(until, at+1) // says the same again, in a way that SQLite looks up
	}
	filter := args(webhook, q.State, q.EventType, q.EventID, q.ErrorCode, micro(q.Since), until, q.Status)
	err = h.s.View(ctx, func(tx *Tx) error {
		var known int64
		if err := noRow(tx.queryRow(ctx, `SELECT id FROM webhooks WHERE id = $1`, args(webhook), &known), webhooks.ErrNotFound); err != nil {
			return err
		}
		if err := countDeliveries(ctx, tx, &q, filter, &total); err != nil {
			return err
		}
		return tx.query(ctx, deliveryPage, append(filter, at, id, q.Limit, q.Offset), func(r row) error {
			var d webhooks.Delivery
			err := scanShown(r, &d)
			page = append(page, d)
			return err
		})
	})
	return page, total, err
}

// countDeliveries counts what matches a query, unless that goes on from a cursor.
func countDeliveries(ctx context.Context, tx *Tx, q *webhooks.DeliveryQuery, filter []any, total *int) error {
	chosen := *q
	chosen.Limit, chosen.Offset = 0, 0
	switch {
	case q.Cursor != 0:
		return nil
	case chosen == (webhooks.DeliveryQuery{}):
		return tx.queryRow(ctx, deliveriesOf, filter[:1], total)
	}
	return tx.queryRow(ctx, deliveryTotal, filter, total)
}

// Delivery implements webhooks.Store.
func (h webhookStore) Delivery(ctx context.Context, webhook, id int64) (d webhooks.Delivery, err error) {
	err = h.s.View(ctx, func(tx *Tx) error {
		return noRow(classify(scanShown(tx.row(ctx, shownByID, webhook, id), &d)), webhooks.ErrNoDelivery)
	})
	return d, err
}

const (
	holdDelivery = `SELECT id FROM webhook_deliveries WHERE id = $1 FOR UPDATE`
	setDelivery  = `UPDATE webhook_deliveries SET caused_by = $1, state = $2, phase = CASE WHEN $3 = 0 THEN ` + behindOrDue + ` ELSE $3 END, attempts = $4, failed = $5, cycle = $6, cycle_start = $7, last_attempt_at = $8,
			delivered_at = $9, next_at = $10, response_status = $11, response_body = $12, error_code = $13, error_message = $14, duration = $15,
			by_hand = CASE WHEN $16 = 1 THEN 1 ELSE by_hand END
		WHERE id = $17 RETURNING webhook_id, lane`
	copyEvent = `INSERT INTO webhook_events (event_id, type, pos, payload, ordering_key, ref, occurred_at, created_at, copied_from)
		SELECT $1, type, pos, payload, ordering_key, ref, occurred_at, $2, coalesce(copied_from, event_id) FROM webhook_events WHERE event_id = $3`
	// It is nobody's turn but that of the attempt by hand (phase 3); if that fails, the schedule goes on.
	copyDelivery = `INSERT INTO webhook_deliveries (webhook_id, event_id, event_type, caused_by, state, phase, cycle_start, created_at, by_hand)
		SELECT webhook_id, $1, event_type, 'manual', 'queued', 3, $2, $2, 1 FROM webhook_deliveries WHERE id = $3 RETURNING id`
	cancelSome = `UPDATE webhook_deliveries SET state = 'canceled', phase = 3, next_at = 0 WHERE id IN (SELECT id FROM webhook_deliveries WHERE webhook_id = $1 AND phase = 2 AND phase < 3
		ORDER BY next_at, id LIMIT $2) RETURNING webhook_id, lane`
	eraseBodies  = `UPDATE webhook_deliveries SET response_body = '', error_message = '' WHERE event_id IN ` + sameSource
	eraseAnswers = `UPDATE webhook_attempts SET detail = `
	ofSameSource = ` WHERE id IN (SELECT a.id FROM ` + withAttempts + ` WHERE d.event_id IN ` + sameSource + `)`
	// What was sent and answered goes, how it went stays.
	eraseAnswersSQLite   = eraseAnswers + `json_remove(detail, '$.request_headers', '$.response_headers', '$.body', '$.message')` + ofSameSource
	eraseAnswersPostgres = eraseAnswers + `(detail::jsonb - ARRAY['request_headers', 'response_headers', 'body', 'message'])::text` + ofSameSource
	erasePayload         = `UPDATE webhook_events SET payload = NULL WHERE ` + ofSource
	sameSource           = `(SELECT event_id FROM webhook_events WHERE ` + ofSource + `)`
	sourceOf             = `SELECT coalesce(copied_from, event_id) FROM webhook_events WHERE event_id = $1`
)

// ChangeDelivery implements webhooks.Store.
func (h webhookStore) ChangeDelivery(ctx context.Context, webhook, id int64, byHand bool, change func(*delivery.Delivery) error) (d webhooks.Delivery, err error) {
	err = h.s.Update(ctx, func(tx *Tx) error {
		d = webhooks.Delivery{}
		if err := tx.holdWebhooks(ctx, webhook); err != nil { // first, as Record does
			return err
		}
		if tx.dialect == Postgres {
			var held int64
			if err := noRow(tx.queryRow(ctx, holdDelivery, args(id), &held), webhooks.ErrNoDelivery); err != nil {
				return err
			}
		}
		if err := noRow(classify(scanShown(tx.row(ctx, shownByID, webhook, id), &d)), webhooks.ErrNoDelivery); err != nil {
			return err
		}
		if err := change(&d.Delivery); err != nil {
			return err
		}
		_, err := tx.changeSome(ctx, setDelivery, d.Trigger, d.State, phaseOf(d.State), d.Attempts, d.Failed, d.Cycle, micro(d.CycleStart), micro(d.LastAttemptAt),
			micro(d.DeliveredAt), micro(d.NextRetryAt), d.ResponseStatus, d.ResponseBody, d.ErrorCode, d.ErrorMessage, d.Duration.Microseconds(), number(byHand), id)
		return err
	})
	return d, err
}

// Copy implements webhooks.Store.
func (h webhookStore) Copy(ctx context.Context, webhook, id int64, eventID string, now time.Time) (d webhooks.Delivery, err error) {
	err = h.s.Update(ctx, func(tx *Tx) error {
		d = webhooks.Delivery{}
		if err := noRow(classify(scanShown(tx.row(ctx, shownByID, webhook, id), &d)), webhooks.ErrNoDelivery); err != nil {
			return err
		}
		if d.Event.Payload == nil {
			return webhooks.ErrExpired
		}
		if _, err := tx.exec(ctx, copyEvent, eventID, micro(now), d.EventID); err != nil {
			return fmt.Errorf("copy event: %w", err)
		}
		var made int64
		if err := tx.queryRow(ctx, copyDelivery, args(eventID, micro(now), id), &made); err != nil {
			return fmt.Errorf("copy delivery: %w", err)
		}
		d = webhooks.Delivery{}
		return classify(scanShown(tx.row(ctx, shownByID, webhook, made), &d))
	})
	return d, err
}

// CancelPaused implements webhooks.Store.
func (h webhookStore) CancelPaused(ctx context.Context, webhook int64, limit int) (int, error) {
	return dispatchStore{h.s, h}.moveSome(ctx, webhook, cancelSome, webhook, limit)
}

// ErasePayload implements webhooks.Store.
func (h webhookStore) ErasePayload(ctx context.Context, webhook, id int64) error {
	return h.s.Update(ctx, func(tx *Tx) error {
		var d webhooks.Delivery
		if err := noRow(classify(scanShown(tx.row(ctx, shownByID, webhook, id), &d)), webhooks.ErrNoDelivery); err != nil {
			return err
		}
		var source string
		if err := noRow(tx.queryRow(ctx, sourceOf, args(d.EventID), &source), nil); err != nil || source == "" {
			return err
		}
		for _, query := range []string{erasePayload, eraseBodies, tx.text(eraseAnswersSQLite, eraseAnswersPostgres)} {
			if _, err := tx.exec(ctx, query, source); err != nil {
				return err
			}
		}
		return nil
	})
}
