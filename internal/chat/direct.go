package chat

import (
	"context"

	"github.com/kuranty/kuranty/event"
)

// pairTx is what direct and saved chats need.
type pairTx interface {
	// FindPair returns the direct chat of two users, or the saved chat of one given twice;
	// 0 if there is none.
	FindPair(ctx context.Context, a, b int64) (chat int64, err error)
	// AddPair adds that chat with its members, unless it is there; made tells. The members
	// are user, who sees it, and other, from whom it is hidden until somebody writes.
	AddPair(ctx context.Context, user, other, now int64) (chat int64, made bool, err error)
	// Unhide shows a chat in a member's list; changed tells whether it was hidden.
	Unhide(ctx context.Context, chat, user int64) (changed bool, err error)
}

// OpenDirect finds or makes the direct chat of user and other; created tells which. Of a
// new one the other person hears with its first message only. The errors are
// [*FieldError] for oneself, or for somebody who is not there, [ErrCannotMessage], and
// [*RateError].
func (s *Service) OpenDirect(ctx context.Context, user, other int64) (v View, created bool, err error) {
	if err := s.mayOpen(ctx, user, other); err != nil {
		return View{}, false, err
	}
	shown := false
	err = s.store.Update(ctx, func(tx Tx) error {
		var id int64
		if id, created, err = s.openDirect(ctx, tx, user, other); err != nil {
			return err
		}
		if shown, err = s.unhide(ctx, tx, id, user); err != nil {
			return err
		}
		v, err = s.view(ctx, tx, user, id)
		return err
	})
	if err != nil {
		return View{}, false, err
	}
	if created || shown {
		s.o.Live.ListChanged(user)
	}
	return v, created, nil
}

// mayOpen takes from the rates if a direct chat would have to be made.
func (s *Service) mayOpen(ctx context.Context, user, other int64) error {
	var there int64
	err := s.store.View(ctx, func(tx Tx) (err error) {
		there, err = tx.FindPair(ctx, user, other)
		return err
	})
	if err != nil || there != 0 {
		return err
	}
	return s.mayMake(user)
}

// mayMake takes a new chat from the rates of user.
func (s *Service) mayMake(user int64) error {
	now := s.o.Clock()
	if err := s.rates.open.take(user, now); err != nil {
		return err
	}
	return s.rates.daily.take(user, now)
}

// openDirect finds or makes the direct chat of user and other. For who makes one it is
// in the list at once, one that user hid stays hidden until something is written.
func (s *Service) openDirect(ctx context.Context, tx Tx, user, other int64) (id int64, created bool, err error) {
	if user == other {
		return 0, false, &FieldError{"user_id", "must be somebody else"}
	}
	people, err := tx.PeopleOf(ctx, user, []int64{other})
	if err != nil {
		return 0, false, err
	}
	if len(people) == 0 || people[0].State != personActive {
		return 0, false, &FieldError{"user_id", "is nobody who can be written to"}
	}
	if ok, err := tx.Writable(ctx, user, other); err != nil || !ok {
		return 0, false, or(err, ErrCannotMessage)
	}
	return s.makePair(ctx, tx, user, other)
}

// makePair finds or makes a direct or saved chat and announces a new one.
func (s *Service) makePair(ctx context.Context, tx Tx, user, other int64) (id int64, created bool, err error) {
	id, created, err = tx.AddPair(ctx, user, other, s.now())
	if err != nil || !created {
		return id, false, err
	}
	_, c, err := tx.MemberOf(ctx, user, id)
	if err != nil {
		return 0, false, err
	}
	if err := s.announceRoom(ctx, tx, event.RoomCreated, &c, user, nil, nil); err != nil {
		return 0, false, err
	}
	return id, true, s.notify(ctx, tx, user, "chat_added", 0, user, ChatAdded{id})
}

// unhide shows a chat in the user's list again.
func (s *Service) unhide(ctx context.Context, tx Tx, chat, user int64) (bool, error) {
	shown, err := tx.Unhide(ctx, chat, user)
	if err != nil || !shown {
		return false, err
	}
	return true, s.notify(ctx, tx, user, "chat_added", 0, user, ChatAdded{chat})
}

// Saved returns the chat in which the user keeps messages for himself, made if need be.
func (s *Service) Saved(ctx context.Context, user int64) (v View, err error) {
	var id int64
	err = s.store.View(ctx, func(tx Tx) error {
		if id, err = tx.FindPair(ctx, user, user); err != nil || id == 0 {
			return err
		}
		v, err = s.view(ctx, tx, user, id)
		return err
	})
	if err != nil || id != 0 && !v.Member.Hidden {
		return v, err
	}
	err = s.store.Update(ctx, func(tx Tx) error {
		if id, _, err = s.makePair(ctx, tx, user, user); err != nil {
			return err
		}
		if _, err = s.unhide(ctx, tx, id, user); err != nil {
			return err
		}
		v, err = s.view(ctx, tx, user, id)
		return err
	})
	return v, err
}

// or returns err if there is one, else the other.
func or(err, other error) error {
	if err != nil {
		return err
	}
	return other
}
