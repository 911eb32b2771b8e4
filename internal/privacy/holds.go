package privacy

import (
	"context"
	"fmt"
)

// holdTx sets legal holds. Whoever is not there is [ErrNotFound].
type holdTx interface {
	HoldUser(ctx context.Context, user int64, held bool) error
	HoldChat(ctx context.Context, chat int64, held bool) error
}

// HoldUser puts a person under legal hold, or lifts it: as long as it lasts neither is the
// person erased, nor is anything purged from chats they are or were in. An erasure that
// waits for the end of a hold begins within the hour. That it is an administrator who asks,
// its caller has made sure. The error may be [ErrNotFound].
func (s *Service) HoldUser(ctx context.Context, user int64, held bool) error {
	if err := s.store.Update(ctx, func(tx Tx) error { return tx.HoldUser(ctx, user, held) }); err != nil {
		return fmt.Errorf("legal hold on user %d: %w", user, err)
	}
	return nil
}

// HoldChat does the same for a chat, of which nothing is purged and whose messages outlast
// the erasure of who wrote them.
func (s *Service) HoldChat(ctx context.Context, chat int64, held bool) error {
	if err := s.store.Update(ctx, func(tx Tx) error { return tx.HoldChat(ctx, chat, held) }); err != nil {
		return fmt.Errorf("legal hold on chat %d: %w", chat, err)
	}
	return nil
}

// UserHeld tells whether a person is under legal hold. The error may be [ErrNotFound].
func (s *Service) UserHeld(ctx context.Context, user int64) (held bool, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		st, err := tx.Standing(ctx, user)
		held = st.Held
		return err
	})
	return held, err
}
