package chat

import (
	"context"
	"errors"
)

// ReadStates returns how far each of several chats has been read, as user sees it; one that
// user is not an active member of is not there.
func (s *Service) ReadStates(ctx context.Context, user int64, chats []int64) (map[int64]ReadState, error) {
	states := make(map[int64]ReadState, len(chats))
	err := s.store.View(ctx, func(tx Tx) error {
		for _, id := range chats {
			if _, known := states[id]; known {
				continue
			}
			m, c, err := tx.MemberOf(ctx, user, id)
			if errors.Is(err, ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			if states[id], _, err = s.readState(ctx, tx, &c, &m); err != nil {
				return err
			}
		}
		return nil
	})
	return states, err
}
