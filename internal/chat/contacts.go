package chat

import "context"

// States of a [Contact].
const (
	// Outgoing is somebody whom the user has asked, Incoming somebody who has asked.
	Outgoing = "outgoing"
	Incoming = "incoming"
	Accepted = "accepted"
)

// Contact is somebody to whom the user is a contact, or may become one.
type Contact struct {
	Person PersonView
	State  string
	// Since is when it came to that, in milliseconds since 1970.
	Since int64
}

// ContactData is the data of the notices "friend_request" and "friend_accepted".
type ContactData struct {
	User Person `json:"user"`
}

// Contacts returns the user's contacts and requests both ways, the oldest first.
func (s *Service) Contacts(ctx context.Context, user int64) (list []Contact, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		list, err = tx.ContactsOf(ctx, user)
		return err
	})
	for i := range list {
		s.present(&list[i].Person, user)
	}
	return list, err
}

// RequestContact asks other to be a contact. If other has asked before, that accepts;
// asking again does nothing. The errors are [*FieldError] for oneself or for somebody
// who is not there, and [ErrCannotMessage] where one blocks the other.
func (s *Service) RequestContact(ctx context.Context, user, other int64) error {
	if user == other {
		return &FieldError{"user_id", "must be somebody else"}
	}
	return s.store.Update(ctx, func(tx Tx) error {
		who, err := s.known(ctx, tx, user, other)
		if err != nil && !isNotFound(err) {
			return err
		}
		if err != nil || who.State != personActive {
			return &FieldError{"user_id", "is nobody who can be asked"}
		}
		if err := tx.HoldPair(ctx, user, other); err != nil {
			return err
		}
		state, err := tx.ContactState(ctx, user, other)
		if err != nil {
			return err
		}
		switch state {
		case Outgoing, Accepted:
			return nil
		case Incoming:
			return s.accept(ctx, tx, user, other)
		}
		if blocked, err := tx.Blocked(ctx, user, other); err != nil || blocked {
			return or(err, ErrCannotMessage)
		}
		return s.relate(ctx, tx, user, other, Outgoing, Incoming, "friend_request")
	})
}

// relate sets what two are to each other and tells other.
func (s *Service) relate(ctx context.Context, tx Tx, user, other int64, mine, theirs, notice string) error {
	self, err := s.self(ctx, tx, user)
	if err != nil {
		return err
	}
	now := s.now()
	if err := tx.SetContact(ctx, user, other, mine, now); err != nil {
		return err
	}
	if err := tx.SetContact(ctx, other, user, theirs, now); err != nil {
		return err
	}
	return s.notify(ctx, tx, other, notice, 0, user, ContactData{self})
}

func (s *Service) accept(ctx context.Context, tx Tx, user, other int64) error {
	return s.relate(ctx, tx, user, other, Accepted, Accepted, "friend_accepted")
}

// AcceptContact agrees to the request of other. Without one it is [ErrNotFound].
func (s *Service) AcceptContact(ctx context.Context, user, other int64) error {
	return s.answer(ctx, user, other, s.accept)
}

// DeclineContact turns the request of other down, who is not told. Without one it is
// [ErrNotFound].
func (s *Service) DeclineContact(ctx context.Context, user, other int64) error {
	return s.answer(ctx, user, other, s.part)
}

func (s *Service) answer(ctx context.Context, user, other int64, do func(context.Context, Tx, int64, int64) error) error {
	return s.store.Update(ctx, func(tx Tx) error {
		if err := tx.HoldPair(ctx, user, other); err != nil {
			return err
		}
		state, err := tx.ContactState(ctx, user, other)
		if err != nil {
			return err
		}
		if state != Incoming {
			return ErrNotFound
		}
		return do(ctx, tx, user, other)
	})
}

// RemoveContact ends contact with other, or takes a request back; without either it does
// nothing. The other is not told.
func (s *Service) RemoveContact(ctx context.Context, user, other int64) error {
	return s.store.Update(ctx, func(tx Tx) error {
		if err := tx.HoldPair(ctx, user, other); err != nil {
			return err
		}
		return s.part(ctx, tx, user, other)
	})
}

// part makes two strangers to each other.
func (s *Service) part(ctx context.Context, tx Tx, user, other int64) error {
	if err := tx.SetContact(ctx, user, other, "", 0); err != nil {
		return err
	}
	return tx.SetContact(ctx, other, user, "", 0)
}
