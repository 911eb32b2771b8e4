package store

import (
	"context"
	"testing"
)

// MustExec runs a statement of a test.
func (s *Store) MustExec(t testing.TB, query string, args ...any) {
	t.Helper()
	err := s.Update(context.Background(), func(tx *Tx) error {
		_, err := tx.exec(context.Background(), query, args...)
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}
