package chat

import (
	"context"

	"github.com/kuranty/kuranty/event"
)

// messageTx reads messages for somebody. What user may not see is not there: messages of
// chats user is no active member of, those before the place from which user sees the
// chat, and those user deleted for himself.
type messageTx interface {
	// Find returns the chat of a message.
	Find(ctx context.Context, user, message int64) (chat int64, err error)
	// Seen returns a message, without its reactions.
	Seen(ctx context.Context, user, message int64) (Message, error)
	// ReactionsTo returns the reactions to messages, by message, oldest first.
	ReactionsTo(ctx context.Context, messages []int64) (map[int64][]Reaction, error)
	// MemberOf returns an active member's place and the chat.
	MemberOf(ctx context.Context, user, chat int64) (Member, Chat, error)
	// Lock holds a chat for this transaction and returns it with the place of user, who
	// must be an active member.
	Lock(ctx context.Context, chat, user int64) (Chat, Member, error)
	// NextEvent takes the next number of the changes of a chat.
	NextEvent(ctx context.Context, chat int64) (int64, error)
	// EditsOf returns the earlier versions of a message, oldest first.
	EditsOf(ctx context.Context, message int64) ([]Edit, error)
}

// MessageRef names a message in payloads that do not show it.
type MessageRef struct {
	ID   int64 `json:"id"`
	Chat int64 `json:"chat_id"`
	Seq  int64 `json:"seq"`
}

func (m *Message) ref() MessageRef { return MessageRef{ID: m.ID, Chat: m.Chat, Seq: m.Seq} }

// Message returns a message, which may be the tombstone of a deleted one, and how far
// its chat has been read.
func (s *Service) Message(ctx context.Context, user, message int64) (m Message, read ReadState, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		if m, err = tx.Seen(ctx, user, message); err != nil {
			return err
		}
		member, c, err := tx.MemberOf(ctx, user, m.Chat)
		if err != nil {
			return err
		}
		if read, _, err = s.readState(ctx, tx, &c, &member); err != nil {
			return err
		}
		return withReactions(ctx, tx, &m)
	})
	if err != nil {
		return Message{}, ReadState{}, err
	}
	return m, read, nil
}

// withReactions fills in the reactions to a message.
func withReactions(ctx context.Context, tx messageTx, m *Message) error {
	if m.Deleted() {
		return nil
	}
	found, err := tx.ReactionsTo(ctx, []int64{m.ID})
	m.Reactions = found[m.ID]
	return err
}

// allWithReactions fills in the reactions to messages.
func allWithReactions(ctx context.Context, tx messageTx, messages []Message) error {
	ids := make([]int64, 0, len(messages))
	for i := range messages {
		if !messages[i].Deleted() {
			ids = append(ids, messages[i].ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	found, err := tx.ReactionsTo(ctx, ids)
	if err != nil {
		return err
	}
	for i := range messages {
		messages[i].Reactions = found[messages[i].ID]
	}
	return nil
}

// changing is a message that is about to be changed, with its chat, which is held, and
// the member who does it.
type changing struct {
	Message
	chat   Chat
	member Member
}

// holdMessage holds the chat of a message and returns it as it is now.
func (s *Service) holdMessage(ctx context.Context, tx Tx, user, message int64) (g changing, err error) {
	chat, err := tx.Find(ctx, user, message)
	if err != nil {
		return g, err
	}
	if g.chat, g.member, err = tx.Lock(ctx, chat, user); err != nil {
		return g, err
	}
	// Only now: what was read before may have changed while the chat was held by others.
	g.Message, err = tx.Seen(ctx, user, message)
	return g, err
}

// Edit is an earlier version of a message.
type Edit struct {
	// Version is 1 for the message as it was sent.
	Version  int
	Text     string
	Entities []Entity
	// EditedAt is when this version was written, in milliseconds since 1970.
	EditedAt int64
}

// Edits returns the earlier versions of a message, oldest first: to its author, to owner
// and admins of its group, and to all members if the group is set so. To others it is
// [ErrForbidden]. A deleted message has none.
func (s *Service) Edits(ctx context.Context, user, message int64) (edits []Edit, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		m, err := tx.Seen(ctx, user, message)
		if err != nil {
			return err
		}
		member, c, err := tx.MemberOf(ctx, user, m.Chat)
		if err != nil {
			return err
		}
		if m.Sender.ID != user && !leads(&c, &member) && !c.Settings.EditsVisible {
			return ErrForbidden
		}
		edits, err = tx.EditsOf(ctx, message)
		return err
	})
	return edits, err
}

// leads tells whether a member is owner or admin of a group.
func leads(c *Chat, m *Member) bool {
	return c.Kind == Group && (m.Role == Owner || m.Role == Admin)
}

// SystemMessage stores a message that comes from nobody, for actor: owner or admin of a
// group, or with asAdmin anybody the caller has checked to run the server; others get
// [ErrForbidden] or [ErrNotFound].
func (s *Service) SystemMessage(ctx context.Context, actor, chat int64, text string, asAdmin bool) (m Message, err error) {
	if text, err = s.text(text); err != nil {
		return Message{}, err
	}
	if text == "" {
		return Message{}, &FieldError{"text", "must not be empty"}
	}
	if err := s.rates.chat.take(chat, s.o.Clock()); err != nil {
		return Message{}, err
	}
	err = s.store.Update(ctx, func(tx Tx) error {
		if !asAdmin {
			c, member, err := tx.Lock(ctx, chat, actor)
			if err != nil {
				return err
			}
			if !leads(&c, &member) {
				return ErrForbidden
			}
		}
		c, err := tx.PostSystem(ctx, chat, s.now())
		if err != nil {
			return err
		}
		m = Message{
			Chat: chat, Seq: c.LastSeq, Type: SystemMessage, Text: text, System: &System{Event: "notice", Actor: actor},
			CreatedAt: c.LastMessageAt, Version: 1, EventSeq: c.LastEventSeq,
		}
		if m.ID, _, err = tx.AddMessage(ctx, &m, ""); err != nil {
			return err
		}
		return s.announce(ctx, tx, event.MessageCreated, chat, m.EventSeq, m.ID, actor, MessagePayload{Message: m})
	})
	if err != nil {
		return Message{}, err
	}
	return m, nil
}
