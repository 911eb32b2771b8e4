package chat

import (
	"context"

	"github.com/kuranty/kuranty/event"
)

// maxPinned is how many messages of a chat are pinned at most (chat-api.md §C.4).
const maxPinned = 50

// pinTx is what pinning needs.
type pinTx interface {
	// SavePin stores when a message was pinned, or 0, with the number of the change.
	SavePin(ctx context.Context, m *Message) error
	// CountPins counts the pinned messages of a chat.
	CountPins(ctx context.Context, chat int64) (int, error)
}

// PinPayload is the payload of [event.MessagePinned].
type PinPayload struct {
	Message MessageRef `json:"message"`
	Pinned  bool       `json:"pinned"`
	By      int64      `json:"by"`
}

// Pin pins a message for all members of its chat, or takes the pin away. In a group that
// is for those who may change its title. What is so already is no error. The errors are
// [ErrNotFound], also for a deleted message, [ErrForbidden] and [*LimitError].
func (s *Service) Pin(ctx context.Context, user, message int64, pinned bool) error {
	return s.store.Update(ctx, func(tx Tx) error {
		g, err := s.holdMessage(ctx, tx, user, message)
		if err != nil {
			return err
		}
		if g.Deleted() {
			return ErrNotFound
		}
		if g.chat.Kind == Group && g.member.Role == Plain && g.chat.Settings.WhoCanEdit != Everyone {
			return ErrForbidden
		}
		if pinned == (g.PinnedAt != 0) {
			return nil
		}
		g.PinnedAt = 0
		if pinned {
			n, err := tx.CountPins(ctx, g.Chat)
			if err != nil {
				return err
			}
			if n >= maxPinned {
				return &LimitError{Field: "pins", Got: n + 1, Limit: maxPinned, Unit: "pinned messages"}
			}
			g.PinnedAt = s.now()
		}
		if g.EventSeq, err = tx.NextEvent(ctx, g.Chat); err != nil {
			return err
		}
		if err := tx.SavePin(ctx, &g.Message); err != nil {
			return err
		}
		return s.announce(ctx, tx, event.MessagePinned, g.Chat, g.EventSeq, 0, user, PinPayload{Message: g.ref(), Pinned: pinned, By: user})
	})
}
