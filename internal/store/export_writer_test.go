package store

import (
	"context"
	"testing"
)

// MustQueryWriter is [Store.MustQuery] on the connection that writes.
func (s *Store) MustQueryWriter(t testing.TB, query string, dest ...any) {
	t.Helper()
	err := s.Update(context.Background(), func(tx *Tx) error { return tx.queryRow(context.Background(), query, nil, dest...) })
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}
