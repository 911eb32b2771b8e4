package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/webhooks"
)

const (
	attemptsOf         = `SELECT id, webhook_id, started_at, duration, error_code, detail FROM webhook_attempts WHERE id BETWEEN $1 * 10000 AND $1 * 10000 + 9999 ORDER BY id LIMIT 1000`
	unfinishedSQLite   = `SELECT webhook_id, count(*) FROM webhook_deliveries WHERE phase < 3 AND webhook_id IN (SELECT value FROM json_each($1)) GROUP BY webhook_id`
	unfinishedPostgres = `SELECT webhook_id, count(*) FROM webhook_deliveries WHERE phase < 3 AND webhook_id IN (SELECT value::bigint FROM jsonb_array_elements_text($1::jsonb)) GROUP BY webhook_id`
	totalsOfWebhooks   = `SELECT count(*), coalesce(sum(is_active), 0) FROM webhooks`
	totalsOfDeliveries = `SELECT count(*), coalesce(sum(CASE WHEN d.state = 'succeeded' THEN 1 ELSE 0 END), 0),
			coalesce(sum(CASE WHEN d.state IN ('retrying', 'exhausted', 'canceled') OR d.state <> 'succeeded' AND d.attempts > 0 THEN 1 ELSE 0 END), 0)
		FROM webhook_deliveries AS d JOIN webhooks AS w ON w.id = d.webhook_id`
	outcomesOf = `SELECT error_code, count(*) FROM webhook_attempts WHERE webhook_id = $1 AND started_at >= $2 GROUP BY error_code`
	hoursOf    = `SELECT started_at / 3600000000 AS hour, count(*), sum(CASE WHEN error_code = '' THEN 1 ELSE 0 END)
		FROM webhook_attempts WHERE webhook_id = $1 AND started_at >= $2 GROUP BY started_at / 3600000000 ORDER BY hour`
	durationAt = `SELECT duration FROM webhook_attempts WHERE webhook_id = $1 AND started_at >= $2 ORDER BY duration LIMIT 1 OFFSET $3`
)

// Attempts implements webhooks.Store.
func (h webhookStore) Attempts(ctx context.Context, id int64) (all []delivery.Attempt, err error) {
	err = h.s.View(ctx, func(tx *Tx) error {
		return tx.query(ctx, attemptsOf, args(id), func(r row) error {
			var a delivery.Attempt
			var started, took int64
			var detail []byte
			if err := r.Scan(&a.ID, &a.WebhookID, &started, &took, &a.Code, &detail); err != nil {
				return err
			}
			var d attemptDetail
			if err := json.Unmarshal(detail, &d); err != nil {
				return fmt.Errorf("decode attempt %d: %w", a.ID, err)
			}
			a.DeliveryID, a.Number = id, int(a.ID%idsPerDelivery)
			a.Started, a.Duration = fromMicro(started), micros(took)
			a.Trigger, a.RemoteIP, a.HTTPVersion = d.Trigger, d.RemoteIP, d.HTTPVersion
			a.DNS, a.Connect, a.TLS, a.FirstByte = micros(d.DNS), micros(d.Connect), micros(d.TLS), micros(d.FirstByte)
			a.RequestHeaders, a.ResponseHeaders = d.RequestHeaders, d.ResponseHeaders
			a.ResponseStatus, a.ResponseBody, a.ResponseTruncated, a.Message = d.Status, d.Body, d.Truncated, d.Message
			all = append(all, a)
			return nil
		})
	})
	return all, err
}

func micros(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

// Unfinished implements webhooks.Store.
func (h webhookStore) Unfinished(ctx context.Context, ids []int64) (map[int64]int, error) {
	list, err := idList(ids)
	if err != nil {
		return nil, err
	}
	all := map[int64]int{}
	err = h.s.View(ctx, func(tx *Tx) error {
		return tx.query(ctx, tx.text(unfinishedSQLite, unfinishedPostgres), args(list), func(r row) error {
			var id int64
			var n int
			err := r.Scan(&id, &n)
			all[id] = n
			return err
		})
	})
	return all, err
}

// Totals implements webhooks.Store.
func (h webhookStore) Totals(ctx context.Context) (t webhooks.Totals, err error) {
	err = h.s.View(ctx, func(tx *Tx) error {
		if err := tx.queryRow(ctx, totalsOfWebhooks, nil, &t.Webhooks, &t.Active); err != nil {
			return err
		}
		return tx.queryRow(ctx, totalsOfDeliveries, nil, &t.Deliveries, &t.Successful, &t.Failed)
	})
	return t, err
}

// Stats implements webhooks.Store.
func (h webhookStore) Stats(ctx context.Context, webhook int64, since time.Time) (st webhooks.Stats, err error) {
	at := micro(since)
	err = h.s.View(ctx, func(tx *Tx) error {
		st = webhooks.Stats{Outcomes: map[string]int{}}
		total := 0
		err := tx.query(ctx, outcomesOf, args(webhook, at), func(r row) error {
			var code string
			var n int
			err := r.Scan(&code, &n)
			if code == "" {
				code = "success"
			}
			st.Outcomes[code] = n
			total += n
			return err
		})
		if err != nil || total == 0 {
			return err
		}
		for _, p := range []struct {
			part float64
			into *time.Duration
		}{{0.50, &st.P50}, {0.95, &st.P95}, {0.99, &st.P99}} {
			var took int64
			if err := tx.queryRow(ctx, durationAt, args(webhook, at, min(int(p.part*float64(total)), total-1)), &took); err != nil {
				return err
			}
			*p.into = time.Duration(took) * time.Microsecond
		}
		return tx.query(ctx, hoursOf, args(webhook, at), func(r row) error {
			var hour int64
			var n webhooks.Hour
			err := r.Scan(&hour, &n.Attempts, &n.Succeeded)
			n.Start = time.Unix(hour*3600, 0).UTC()
			st.Hours = append(st.Hours, n)
			return err
		})
	})
	return st, err
}
