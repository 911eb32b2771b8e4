package store

import (
	"path/filepath"
	"strings"
	"testing"
)

// planOf is how SQLite answers a query.
func planOf(t *testing.T, s *Store, query string, args ...any) string {
	t.Helper()
	var plan []string
	err := s.View(t.Context(), func(tx *Tx) error {
		return tx.query(t.Context(), `EXPLAIN QUERY PLAN `+query, args, func(r row) error {
			var id, parent, unused int
			var step string
			err := r.Scan(&id, &parent, &unused, &step)
			plan = append(plan, step)
			return err
		})
	})
	if err != nil {
		t.Errorf("%s: %v", query, err)
	}
	return strings.Join(plan, "\n")
}

func openPlain(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{Path: filepath.Join(t.TempDir(), "kuranty.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// What somebody sent is found chat by chat, in the index that has one entry for each.
func TestSendersAreFoundByIndex(t *testing.T) {
	s := openPlain(t)
	for name, plan := range map[string]string{
		"search": planOf(t, s, findBySenderSQLite, 1, "[]", 2, 0, 9, false, false, false, false, 9, "", 1, 1),
		"erase":  planOf(t, s, sentBy, 1, 1, 1, 1),
	} {
		if !strings.Contains(plan, "INDEX messages_client (chat_id=? AND sender_id=?)") || strings.Contains(plan, "SCAN m") {
			t.Errorf("%s:\n%s", name, plan)
		}
	}
}

// SQLite finds what is due through the indexes that only have what is not final: neither what
// was delivered nor what waits behind is looked at, and nothing is sorted.
func TestWaitingDeliveriesAreFoundByIndex(t *testing.T) {
	s := openPlain(t)
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
		plan := planOf(t, s, c.query, c.args...)
		if !strings.Contains(plan, c.index) || strings.Contains(plan, "SCAN webhook_deliveries\n") || strings.Contains(plan, "TEMP B-TREE") {
			t.Errorf("%s:\n%s", c.name, plan)
		}
	}
}
