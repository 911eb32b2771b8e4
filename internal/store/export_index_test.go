package store

import (
	"context"

	"github.com/kuranty/kuranty/internal/chat"
)

// WaitingFor is how long a new message waits for the index.
const WaitingFor = waitingFor

// Indexed has the full-text index know every message that is stored.
func (s *Store) Indexed(ctx context.Context) { s.indexed(ctx) }

// IndexNew puts n new messages from an id on into the full-text index, in one transaction.
func (s *Store) IndexNew(ctx context.Context, from int64, n int, words string) error {
	return s.Update(ctx, func(tx *Tx) error {
		for i := range int64(n) {
			if err := (chatTx{Tx: tx}).Index(ctx, &chat.Message{ID: from + i, Chat: 1}, words); err != nil {
				return err
			}
		}
		return nil
	})
}
