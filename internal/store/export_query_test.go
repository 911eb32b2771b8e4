package store

import (
	"context"
	"testing"

	"github.com/kuranty/kuranty/event"
)

// MustQuery scans the first row of a query of a test into dest.
func (s *Store) MustQuery(t testing.TB, query string, args []any, dest ...any) {
	t.Helper()
	err := s.View(context.Background(), func(tx *Tx) error { return tx.queryRow(context.Background(), query, args, dest...) })
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// MustEvents returns the events of a stream whose numbers are above since, in order,
// whether they have positions yet or not.
func (s *Store) MustEvents(t testing.TB, stream string, since int64) (found []event.Event) {
	t.Helper()
	err := s.View(context.Background(), func(tx *Tx) (err error) {
		found, err = tx.readEvents(context.Background(), `SELECT `+eventColumns+` FROM events WHERE stream = $1 AND stream_seq > $2 ORDER BY stream_seq`, stream, since)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Ask runs a query of a test.
func (s *Store) Ask(ctx context.Context, query string, dest ...any) error {
	return s.View(ctx, func(tx *Tx) error { return tx.queryRow(ctx, query, nil, dest...) })
}

// MustRows calls scan for each row of a query of a test.
func (s *Store) MustRows(t testing.TB, query string, args []any, scan func(scan func(dest ...any))) {
	t.Helper()
	err := s.View(context.Background(), func(tx *Tx) error {
		return tx.query(context.Background(), query, args, func(r row) (err error) {
			scan(func(dest ...any) { err = r.Scan(dest...) })
			return err
		})
	})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}
