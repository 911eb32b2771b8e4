package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/delivery/dispatch"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/webhooks"
)

// BenchmarkDeliver is what a delivery costs the database that is sent at once and answered:
// batches of 100 events for one webhook are stored and recorded, one after the other.
func BenchmarkDeliver(b *testing.B) {
	for _, driver := range []string{store.SQLite, store.Postgres} {
		b.Run("db="+driver, func(b *testing.B) {
			h := openHooks(b, driver)
			w := h.webhook()
			version := h.version()
			const batch = 100
			var store, record time.Duration
			begun, before := cpu(), h.store.Stats()
			rounds := 0
			b.ResetTimer()
			for n := 0; n < b.N; n += batch {
				all := make([]dispatch.Matched, 0, batch)
				ids := make([]int64, 0, batch)
				for i := range batch {
					all = append(all, h.matched(h.event(fmt.Sprint("ticket:", i)), delivery.StateSending, w.ID))
				}
				start := time.Now()
				h.must(h.sending.FanOut(b.Context(), version, h.events, h.now.Add(time.Minute), all))
				store += time.Since(start)
				for i := range all {
					ids = append(ids, all[i].Deliveries[0].ID)
				}
				start = time.Now()
				h.must(h.sending.Record(b.Context(), []int64{w.ID}, ids, func(batch *dispatch.Batch) error {
					w := batch.Webhooks[w.ID]
					for _, id := range ids {
						d := batch.Deliveries[id]
						a := delivery.Attempt{
							DeliveryID: id, WebhookID: w.ID, Number: 1, Trigger: d.Trigger, Started: h.now, Duration: time.Millisecond, RemoteIP: "127.0.0.1",
							HTTPVersion: "HTTP/1.1", RequestHeaders: map[string][]string{
								"Content-Type": {"application/json"}, "User-Agent": {"Kuranty-Webhooks/1.0"}, "Webhook-Id": {d.EventID}, "X-Webhook-Event": {d.EventType},
								"Webhook-Signature": {"v1,pIx0iwLappK0Od/CW3A6VvVhQemcQaiA4hG2OKee/D4="}, "X-Webhook-Id": {"1"}, "X-Webhook-Delivery": {fmt.Sprint(id)},
							}, ResponseHeaders: map[string][]string{"Content-Length": {"2"}, "Date": {"Thu, 26 Nov 2026 12:00:00 GMT"}},
							ResponseStatus: 200, ResponseBody: "ok",
						}
						r := a.Result()
						v := delivery.Judge(r)
						batch.Attempts = append(batch.Attempts, a)
						w.Record(h.now, v, delivery.Limits{})
						d.Finish(&w.Settings, r, v, delivery.Retries{}, 0.5)
					}
					return nil
				}))
				record += time.Since(start)
				rounds++
			}
			n := float64(rounds * batch)
			after := h.store.Stats()
			b.ReportMetric(n/b.Elapsed().Seconds(), "deliveries/s")
			b.ReportMetric(float64(store.Microseconds())/n, "fanout-µs/delivery")
			b.ReportMetric(float64(record.Microseconds())/n, "record-µs/delivery")
			b.ReportMetric(float64((cpu()-begun).Microseconds())/n, "cpu-µs/delivery")
			b.ReportMetric(float64(after.Statements-before.Statements)/float64(rounds), "statements/batch")
		})
	}
}

// fillBacklog stores deliveries of a webhook that are due, the first oldest, in lanes.
func (h *hooks) fillBacklog(w *delivery.Webhook, n, lanes int) {
	h.t.Helper()
	const step = 20_000
	for from := 0; from < n; from += step {
		lane, turn := `NULL`, n
		switch w.Ordering {
		case delivery.OrderStrict:
			lane, turn = `''`, 1
		case delivery.OrderKey:
			lane, turn = fmt.Sprintf(`'ticket:' || (i %% %d)`, lanes), lanes
		}
		h.store.MustExec(h.t, fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT %d UNION ALL SELECT i + 1 FROM n WHERE i < %d)
			INSERT INTO webhook_deliveries (webhook_id, event_id, event_type, lane, caused_by, state, phase, cycle_start, created_at)
			SELECT %d, 'evt_' || i, 'ticket.created', %s, 'event', 'queued', CASE WHEN i < %d THEN 0 ELSE -1 END, 1, i FROM n`, from, from+step-1, w.ID, lane, turn))
	}
	if h.store.Driver() == store.Postgres {
		h.store.MustExec(h.t, `ANALYZE webhook_deliveries`)
	}
}

// BenchmarkClaim is a claim of 100 deliveries of a webhook while 1,000,000 of it are due, and
// of one whose deliveries are in order: what is claimed there is recorded, so that others
// have their turn.
func BenchmarkClaim(b *testing.B) {
	const backlog = 1_000_000
	for _, driver := range []string{store.SQLite, store.Postgres} {
		for _, ordering := range []string{delivery.OrderNone, delivery.OrderStrict, delivery.OrderKey} {
			b.Run(fmt.Sprintf("db=%s,ordering=%s", driver, ordering), func(b *testing.B) {
				h := openHooks(b, driver)
				w := h.webhook(ordered(ordering))
				h.fillBacklog(w, backlog, 1000)
				var took []time.Duration
				got := 0
				for b.Loop() {
					start := time.Now()
					ids := claimedIDs(h.claim(w, 100))
					took = append(took, time.Since(start))
					if got += len(ids); ordering != delivery.OrderNone {
						h.finish("", ids...)
					}
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
				b.ReportMetric(float64(got)/float64(len(took)), "claimed/op")
			})
		}
	}
}

// BenchmarkDeliveries is the first page of 1,000,000 deliveries of a webhook, with how many
// there are, and one that goes on from the middle.
func BenchmarkDeliveries(b *testing.B) {
	for _, driver := range []string{store.SQLite, store.Postgres} {
		h := openHooks(b, driver)
		w := h.webhook()
		h.fillBacklog(w, 1_000_000, 0)
		for name, q := range map[string]webhooks.DeliveryQuery{
			"first": {Limit: 50}, "status": {Limit: 50, Status: delivery.StatusPending}, "cursor": {Limit: 50, CursorCreatedAt: time.UnixMicro(500_000), Cursor: 500_000},
		} {
			b.Run(fmt.Sprintf("db=%s,page=%s", driver, name), func(b *testing.B) {
				for b.Loop() {
					if page, _, err := h.owners.Deliveries(b.Context(), w.ID, q); err != nil || len(page) != 50 {
						b.Fatalf("%d deliveries, %v", len(page), err)
					}
				}
			})
		}
	}
}
