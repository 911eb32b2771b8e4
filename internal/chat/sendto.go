package chat

import (
	"context"
	"errors"
)

// SendToUser is [Service.Send] to the direct chat with another user, which is made in
// the same transaction if there is none: either both are there afterwards or neither.
func (s *Service) SendToUser(ctx context.Context, user, other int64, in Sending) (m Message, replayed bool, err error) {
	if in, err = s.checkSending(in); err != nil {
		return Message{}, false, err
	}
	hash := in.hash()
	var there int64
	err = s.store.View(ctx, func(tx Tx) error {
		there, err = tx.FindPair(ctx, user, other)
		return err
	})
	if err != nil {
		return Message{}, false, err
	}
	if there != 0 && user != other {
		return s.Send(ctx, user, there, in)
	}
	if !in.Unlimited {
		if err := s.rates.send.take(user, s.o.Clock()); err != nil {
			return Message{}, false, err
		}
		if err := s.mayMake(user); err != nil {
			return Message{}, false, err
		}
	}
	in.words = s.store.Words(in.Text)
	err = s.store.Update(ctx, func(tx Tx) error {
		if there, _, err = s.openDirect(ctx, tx, user, other); err != nil {
			return err
		}
		m, err = s.post(ctx, tx, user, there, in, hash)
		return err
	})
	if errors.Is(err, errReplayed) { // the same call has been faster
		m, replayed, err = s.sentBefore(ctx, user, there, in.ClientID, hash)
		return m, replayed && err == nil, err
	}
	if err != nil {
		return Message{}, false, err
	}
	return m, false, nil
}
