package store

import (
	"path/filepath"
	"strings"
	"testing"
)

// SQLite finds what is due through the indexes that only have what is not final: neither what
// was delivered nor what waits behind is looked at, and nothing is sorted.
func TestWaitingDeliveriesAreFoundByIndex(t *testing.T) {
	ctx := t.Context()
	s, err := Open(ctx, Options{Path: filepath.Join(t.TempDir(), "kuranty.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	for _, c := range []struct {
		name, query string
		args        []any
		index       string
	}{
		{"claim", claimSQLite, args(1, 1, 1, 1), "webhook_deliveries_waiting"},
		{"next", nextDueOf, args(1), "webhook_deliveries_waiting"},
		{"pause", pauseSome, args(1, 1), "webhook_deliveries_waiting"},
		{"release", releaseSome, args(1, 1, 1), "webhook_deliveries_waiting"},
		{"cancel", cancelSome, args(1, 1), "webhook_deliveries_waiting"},
		{"stale", anyStale, args(1, 1), "webhook_deliveries_waiting"},
		{"waiting", countWaiting, nil, "webhook_deliveries_waiting"},
		{"lanes", settleSQLite, args(`[[1,""]]`), "webhook_deliveries_lanes"},
		{"page", deliveryPage, args(1, "", "", "", "", 0, 1, "", 1, 1, 1, 0), "webhook_deliveries_listed"},
		{"count", deliveriesOf, args(1), "COVERING INDEX webhook_deliveries"},
		{"by hand", countAsked, nil, "webhook_deliveries_by_hand"},
		{"jobs", countAsked, nil, "webhook_jobs_running"},
	} {
		var plan []string
		err := s.View(ctx, func(tx *Tx) error {
			return tx.query(ctx, `EXPLAIN QUERY PLAN `+c.query, c.args, func(r row) error {
				var id, parent, unused int
				var step string
				err := r.Scan(&id, &parent, &unused, &step)
				plan = append(plan, step)
				return err
			})
		})
		text := strings.Join(plan, "\n")
		if err != nil || !strings.Contains(text, c.index) || strings.Contains(text, "SCAN webhook_deliveries\n") || strings.Contains(text, "TEMP B-TREE") {
			t.Errorf("%s (%v):\n%s", c.name, err, text)
		}
	}
}
