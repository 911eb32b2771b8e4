package chat

import "context"

// relationTx is what blocks and contacts need.
type relationTx interface {
	// HoldPair holds two users for this transaction, so that what they are to each other
	// changes by one of them at a time.
	HoldPair(ctx context.Context, a, b int64) error
	// AddBlock adds a block and ends what contact there is; added is false if it was there.
	AddBlock(ctx context.Context, user, other, now int64) (added bool, err error)
	RemoveBlock(ctx context.Context, user, other int64) (removed bool, err error)
	// Blocked tells whether one of the two blocks the other.
	Blocked(ctx context.Context, a, b int64) (bool, error)
	// BlockedBy returns whom user blocks, the newest first.
	BlockedBy(ctx context.Context, user int64) ([]PersonView, error)
	// ContactState returns what other is to user: "", or a state of [Contact].
	ContactState(ctx context.Context, user, other int64) (string, error)
	// SetContact sets what other is to user; an empty state removes it.
	SetContact(ctx context.Context, user, other int64, state string, now int64) error
	// ContactsOf returns the contacts of user, in every state, by when they began.
	ContactsOf(ctx context.Context, user int64) ([]Contact, error)
}

// BlockData is the data of the notice "blocked", which only one's own devices get.
type BlockData struct {
	User    int64 `json:"user_id"`
	Blocked bool  `json:"blocked"`
}

// Block keeps other from writing to user and from seeing when user is there; contact
// between them ends. Groups they share go on. Blocking twice is blocking once. The
// errors are [ErrNotFound] and, for oneself, [*FieldError].
func (s *Service) Block(ctx context.Context, user, other int64) error {
	if user == other {
		return &FieldError{"user_id", "must be somebody else"}
	}
	return s.store.Update(ctx, func(tx Tx) error {
		if _, err := s.known(ctx, tx, user, other); err != nil {
			return err
		}
		if err := tx.HoldPair(ctx, user, other); err != nil {
			return err
		}
		added, err := tx.AddBlock(ctx, user, other, s.now())
		if err != nil || !added {
			return err
		}
		return s.notify(ctx, tx, user, "blocked", 0, user, BlockData{other, true})
	})
}

// Unblock takes a block back; without one it does nothing.
func (s *Service) Unblock(ctx context.Context, user, other int64) error {
	return s.store.Update(ctx, func(tx Tx) error {
		removed, err := tx.RemoveBlock(ctx, user, other)
		if err != nil || !removed {
			return err
		}
		return s.notify(ctx, tx, user, "blocked", 0, user, BlockData{other, false})
	})
}

// Blocks returns whom the user blocks, the newest first.
func (s *Service) Blocks(ctx context.Context, user int64) (people []PersonView, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		people, err = tx.BlockedBy(ctx, user)
		return err
	})
	for i := range people {
		s.present(&people[i], user)
	}
	return people, err
}
