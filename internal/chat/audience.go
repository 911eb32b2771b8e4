package chat

import "context"

// audienceTx reads who sees a chat.
type audienceTx interface {
	// MemberIDsOf returns the active members of a chat, in the order of their ids.
	MemberIDsOf(ctx context.Context, chat int64) ([]int64, error)
}

// MemberIDs returns the active members of a chat, in the order of their ids; none if
// there is no such chat. It is for who has news for them: nobody is asked who wants to know.
func (s *Service) MemberIDs(ctx context.Context, chat int64) (users []int64, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		users, err = tx.MemberIDsOf(ctx, chat)
		return err
	})
	return users, err
}
