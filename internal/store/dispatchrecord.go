package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/delivery/dispatch"
)

const (
	webhooksByID = `SELECT ` + webhookColumns + ` FROM webhooks WHERE id IN `
	theseSQLite  = `(SELECT value FROM json_each($1)) ORDER BY id`
	thesePG      = `(SELECT value::bigint FROM jsonb_array_elements_text($1::jsonb)) ORDER BY id FOR UPDATE`

	deliveriesByID = `SELECT ` + deliveryColumns + `, d.lane FROM webhook_deliveries AS d WHERE d.id IN `

	recordSet = `UPDATE webhook_deliveries AS d SET caused_by = j.value ->> 1, state = j.value ->> 2, phase = CASE WHEN CAST(j.value ->> 3 AS BIGINT) = 0 THEN ` + behindOrDue + ` ELSE CAST(j.value ->> 3 AS BIGINT) END, attempts = CAST(j.value ->> 4 AS BIGINT),
		failed = CAST(j.value ->> 5 AS BIGINT), cycle = CAST(j.value ->> 6 AS BIGINT), cycle_start = CAST(j.value ->> 7 AS BIGINT), last_attempt_at = CAST(j.value ->> 8 AS BIGINT),
		delivered_at = CAST(j.value ->> 9 AS BIGINT), next_at = CAST(j.value ->> 10 AS BIGINT), response_status = CAST(j.value ->> 11 AS BIGINT), response_body = j.value ->> 12,
		error_code = j.value ->> 13, error_message = j.value ->> 14, duration = CAST(j.value ->> 15 AS BIGINT), lease_until = 0, job = coalesce(j.value ->> 16, d.job)`
	recordWhere    = ` WHERE d.id = CAST(j.value ->> 0 AS BIGINT)`
	recordSQLite   = recordSet + rowsSQLite + recordWhere
	recordPostgres = recordSet + rowsPostgres + recordWhere

	// Most deliveries succeed, and that changes few of their columns.
	succeedSet = `UPDATE webhook_deliveries AS d SET state = 'succeeded', phase = 3, attempts = CAST(j.value ->> 1 AS BIGINT), last_attempt_at = CAST(j.value ->> 2 AS BIGINT),
		delivered_at = CAST(j.value ->> 2 AS BIGINT), next_at = 0, response_status = CAST(j.value ->> 3 AS BIGINT), response_body = j.value ->> 4, error_code = '', error_message = '',
		duration = CAST(j.value ->> 5 AS BIGINT), lease_until = 0`
	succeedSQLite   = succeedSet + rowsSQLite + recordWhere
	succeedPostgres = succeedSet + rowsPostgres + recordWhere

	addAttempts = `INSERT INTO webhook_attempts (id, webhook_id, started_at, duration, error_code, detail)
		SELECT CAST(j.value ->> 0 AS BIGINT), CAST(j.value ->> 1 AS BIGINT), CAST(j.value ->> 2 AS BIGINT), CAST(j.value ->> 3 AS BIGINT), j.value ->> 4, j.value ->> 5`
	addAttemptsSQLite   = addAttempts + rowsSQLite + once
	addAttemptsPostgres = addAttempts + rowsPostgres + once

	doneByHand         = `UPDATE webhook_deliveries SET by_hand = 0 WHERE id IN `
	doneByHandSQLite   = doneByHand + `(SELECT value FROM json_each($1))`
	doneByHandPostgres = doneByHand + `(SELECT value::bigint FROM jsonb_array_elements_text($1::jsonb))`
)

// Record implements dispatch.Store.
func (p dispatchStore) Record(ctx context.Context, webhooks, deliveries []int64, decide func(*dispatch.Batch) error) error {
	return p.s.Update(ctx, func(tx *Tx) error {
		b := &dispatch.Batch{Webhooks: map[int64]*delivery.Webhook{}, Deliveries: map[int64]*delivery.Delivery{}}
		l, err := p.load(ctx, tx, b, webhooks, deliveries)
		if err != nil {
			return err
		}
		if err := decide(b); err != nil {
			return err
		}
		if err := p.save(ctx, tx, b); err != nil {
			return err
		}
		return tx.settle(ctx, l)
	})
}

// load reads webhooks and deliveries into a batch and holds their rows. It returns the lanes
// that the deliveries are in.
func (p dispatchStore) load(ctx context.Context, tx *Tx, b *dispatch.Batch, webhooks, deliveries []int64) (lanes, error) {
	if len(webhooks) > 0 {
		list, err := idList(webhooks)
		if err != nil {
			return nil, err
		}
		err = tx.query(ctx, tx.text(webhooksByID+theseSQLite, webhooksByID+thesePG), args(list), func(r row) error {
			w := &delivery.Webhook{}
			err := p.hooks.scan(r, w)
			b.Webhooks[w.ID] = w
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read webhooks: %w", err)
		}
	}
	list, err := idList(deliveries)
	if err != nil {
		return nil, err
	}
	l := lanes{}
	err = tx.query(ctx, tx.text(deliveriesByID+theseSQLite, deliveriesByID+thesePG), args(list), func(r row) error {
		d := &delivery.Delivery{}
		var in sql.NullString
		err := scanDelivery(r, d, &in)
		b.Deliveries[d.ID] = d
		l.add(d.WebhookID, in)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read deliveries: %w", err)
	}
	return l, nil
}

// save stores what was decided.
func (p dispatchStore) save(ctx context.Context, tx *Tx, b *dispatch.Batch) error {
	if err := tx.saveDeliveries(ctx, b); err != nil {
		return err
	}
	if err := tx.addAttempts(ctx, b.Attempts); err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(b.Webhooks)) {
		w := b.Webhooks[id]
		health, err := json.Marshal(w.Health)
		if err != nil {
			return fmt.Errorf("encode health: %w", err)
		}
		circuit, err := json.Marshal(w.Circuit)
		if err != nil {
			return fmt.Errorf("encode circuit: %w", err)
		}
		_, err = tx.exec(ctx, changeCondition, number(w.IsActive), micro(w.UpdatedAt), micro(w.LastTriggeredAt), w.SuccessCount, w.FailureCount,
			micro(w.HeldUntil), string(health), string(circuit), id)
		if err != nil {
			return fmt.Errorf("record webhook: %w", err)
		}
	}
	if len(b.Manual) > 0 {
		list, err := idList(b.Manual)
		if err != nil {
			return err
		}
		if _, err := tx.exec(ctx, tx.text(doneByHandSQLite, doneByHandPostgres), list); err != nil {
			return fmt.Errorf("record attempts by hand: %w", err)
		}
	}
	for _, e := range b.Events {
		if err := tx.Append(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

func (tx *Tx) saveDeliveries(ctx context.Context, b *dispatch.Batch) error {
	if len(b.Deliveries) == 0 {
		return nil
	}
	var succeeded, others rowList
	for _, id := range slices.Sorted(maps.Keys(b.Deliveries)) {
		d := b.Deliveries[id]
		if d.State == delivery.StateSucceeded && b.Job == "" {
			succeeded.row().int(id).int(int64(d.Attempts)).int(micro(d.DeliveredAt)).int(int64(d.ResponseStatus)).str(d.ResponseBody).int(d.Duration.Microseconds())
			continue
		}
		others.row().int(id).str(string(d.Trigger)).str(string(d.State)).int(int64(phaseOf(d.State))).int(int64(d.Attempts)).int(int64(d.Failed)).int(int64(d.Cycle)).
			int(micro(d.CycleStart)).int(micro(d.LastAttemptAt)).int(micro(d.DeliveredAt)).int(micro(d.NextRetryAt)).int(int64(d.ResponseStatus)).str(d.ResponseBody).
			str(d.ErrorCode).str(d.ErrorMessage).int(d.Duration.Microseconds()).strOrNull(b.Job)
	}
	if !succeeded.empty() {
		if _, err := tx.exec(ctx, tx.text(succeedSQLite, succeedPostgres), succeeded.String()); err != nil {
			return fmt.Errorf("record successes: %w", err)
		}
	}
	if !others.empty() {
		if _, err := tx.exec(ctx, tx.text(recordSQLite, recordPostgres), others.String()); err != nil {
			return fmt.Errorf("record deliveries: %w", err)
		}
	}
	return nil
}

// idsPerDelivery is how many attempts a delivery can have that are kept: as many as no schedule
// comes near. So they need no index to be found by their delivery.
const (
	idsPerDelivery = 10_000

	// withAttempts are deliveries d with their attempts a.
	withAttempts = `webhook_deliveries AS d JOIN webhook_attempts AS a ON a.id BETWEEN d.id * 10000 AND d.id * 10000 + 9999`
)

func attemptID(a *delivery.Attempt) int64 {
	return a.DeliveryID*idsPerDelivery + int64(min(a.Number, idsPerDelivery-1))
}

// attemptDetail is what is kept of an attempt besides what is asked for in statements.
type attemptDetail struct {
	Trigger         delivery.Trigger    `json:"trigger"`
	DNS             int64               `json:"dns,omitempty"` // these in microseconds
	Connect         int64               `json:"connect,omitempty"`
	TLS             int64               `json:"tls,omitempty"`
	FirstByte       int64               `json:"first_byte,omitempty"`
	RemoteIP        string              `json:"remote_ip,omitempty"`
	HTTPVersion     string              `json:"http_version,omitempty"`
	RequestHeaders  map[string][]string `json:"request_headers,omitempty"`
	ResponseHeaders map[string][]string `json:"response_headers,omitempty"`
	Status          int                 `json:"status,omitempty"`
	Body            string              `json:"body,omitempty"`
	Truncated       bool                `json:"truncated,omitempty"`
	Message         string              `json:"message,omitempty"`
}

// appendDetail appends what encoding an [attemptDetail] gives, without the way there.
func appendDetail(b []byte, a *delivery.Attempt) []byte {
	b = appendQuoted(append(b, `{"trigger":`...), a.Trigger)
	number := func(name string, n int64) {
		if n != 0 {
			b = append(append(b, name...), ':')
			b = strconv.AppendInt(b, n, 10)
		}
	}
	text := func(name, s string) {
		if s != "" {
			b = appendQuoted(append(append(b, name...), ':'), s)
		}
	}
	number(`,"dns"`, a.DNS.Microseconds())
	number(`,"connect"`, a.Connect.Microseconds())
	number(`,"tls"`, a.TLS.Microseconds())
	number(`,"first_byte"`, a.FirstByte.Microseconds())
	text(`,"remote_ip"`, a.RemoteIP)
	text(`,"http_version"`, a.HTTPVersion)
	b = appendHeaders(b, `,"request_headers":{`, a.RequestHeaders)
	b = appendHeaders(b, `,"response_headers":{`, a.ResponseHeaders)
	number(`,"status"`, int64(a.ResponseStatus))
	text(`,"body"`, a.ResponseBody)
	if a.ResponseTruncated {
		b = append(b, `,"truncated":true`...)
	}
	text(`,"message"`, a.Message)
	return append(b, '}')
}

func appendHeaders(b []byte, name string, headers map[string][]string) []byte {
	if len(headers) == 0 {
		return b
	}
	b = append(b, name...)
	for name, values := range headers {
		b = append(appendQuoted(b, name), ":["...)
		for _, v := range values {
			b = append(appendQuoted(b, v), ',')
		}
		b = append(bytes.TrimSuffix(b, []byte{','}), "],"...)
	}
	b[len(b)-1] = '}'
	return b
}

func (tx *Tx) addAttempts(ctx context.Context, attempts []delivery.Attempt) error {
	if len(attempts) == 0 {
		return nil
	}
	var rows rowList
	rows.text.Grow(1024 * len(attempts))
	var detail []byte
	for i := range attempts {
		a := &attempts[i]
		detail = appendDetail(detail[:0], a)
		rows.row().int(attemptID(a)).int(a.WebhookID).int(micro(a.Started)).int(a.Duration.Microseconds()).str(a.Code).bytes(detail)
	}
	if _, err := tx.exec(ctx, tx.text(addAttemptsSQLite, addAttemptsPostgres), rows.String()); err != nil {
		return fmt.Errorf("record attempts: %w", err)
	}
	return nil
}
