package chat

import "context"

// MayPublish lets user publish something that is not stored: into a chat, where everybody
// may who may write there, or with chat 0 to the user's own devices. It counts like a
// message. The errors are [ErrNotFound], [ErrForbidden], [ErrCannotMessage] and
// [*RateError].
func (s *Service) MayPublish(ctx context.Context, user, chat int64) error {
	if err := s.rates.send.take(user, s.o.Clock()); err != nil || chat == 0 {
		return err
	}
	return s.store.View(ctx, func(tx Tx) error {
		m, c, err := tx.MemberOf(ctx, user, chat)
		switch {
		case err != nil:
			return err
		case c.Kind == Group && !(&View{Chat: c, Member: m}).Permissions().Post:
			return ErrForbidden
		case c.Kind != Direct:
			return nil
		}
		ok, err := tx.Writable(ctx, user, c.Companion(user))
		if err == nil && !ok {
			err = ErrCannotMessage
		}
		return err
	})
}

// MayUpload lets user upload a file; the error is a [*RateError].
func (s *Service) MayUpload(user int64) error { return s.rates.load.take(user, s.o.Clock()) }
