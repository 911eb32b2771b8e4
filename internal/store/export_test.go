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

// Queued is how many writes wait for the writer of SQLite.
func (s *Store) Queued() int { return len(s.writer.queue) }

// Add runs a statement in a transaction that then ends as after says.
func (s *Store) Add(ctx context.Context, query string, after func() error) error {
	return s.Update(ctx, func(tx *Tx) error {
		if _, err := tx.exec(ctx, query); err != nil {
			return err
		}
		return after()
	})
}

// Patience is how long a call may take with that statement_timeout in the DSN.
var Patience = patience
