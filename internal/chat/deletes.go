package chat

import (
	"context"
	"slices"

	"github.com/kuranty/kuranty/event"
)

// maxDeleted is how many messages one call deletes at most (chat-api.md §C.4).
const maxDeleted = 100

// deleteTx is what deleting needs.
type deleteTx interface {
	// Hide hides a message from one user, for whom it is no mention any more; hidden
	// tells whether it was not hidden before.
	Hide(ctx context.Context, user int64, m *Message) (hidden bool, err error)
	// HiddenIn returns the chat of a message that an active member has hidden, or
	// [ErrNotFound].
	HiddenIn(ctx context.Context, user, message int64) (chat int64, err error)
	// Erase makes a message a tombstone with the number, time and author of the deletion
	// that m has; text, files, reactions, mentions and earlier versions are gone.
	Erase(ctx context.Context, m *Message) error
	// RoleOf returns the role of somebody in a chat, [NoRole] for who is no active member.
	RoleOf(ctx context.Context, chat, user int64) (string, error)
	// Answers returns the messages that answer one.
	Answers(ctx context.Context, message int64) ([]int64, error)
	// TouchAnswers lets the newest answers to a message that was edited or deleted be part
	// of the same change, so that who asks for what changed gets them with the quote as it
	// is now.
	TouchAnswers(ctx context.Context, message, eventSeq int64, limit int) error
	// Redact passes every event whose payload shows a message through redact and keeps
	// what that returns.
	Redact(ctx context.Context, message int64, redact func(event.Event) ([]byte, error)) error
}

// Delete deletes messages: with forAll for everybody, else for the user alone. For all
// may delete the author, within the window for that, and owner and admins of a group,
// these only what plain members wrote. What is left is a tombstone: content is gone from
// the database, also from events and from the quotes of answers, in the same
// transaction. Either all are deleted or none; one that is deleted already is no error.
// The errors are [ErrNotFound], [ErrForbidden], [ErrTooLate] and [*LimitError].
func (s *Service) Delete(ctx context.Context, user int64, messages []int64, forAll bool) error {
	return s.DeleteIn(ctx, user, 0, messages, forAll)
}

// DeleteIn is [Service.Delete] for messages of one chat, unless that is 0: one of another
// chat is [ErrNotFound].
func (s *Service) DeleteIn(ctx context.Context, user, chat int64, messages []int64, forAll bool) error {
	messages = slices.Clone(messages)
	slices.Sort(messages)
	messages = slices.Compact(messages)
	switch {
	case len(messages) == 0:
		return &FieldError{"ids", "must not be empty"}
	case len(messages) > maxDeleted:
		return &LimitError{Field: "ids", Got: len(messages), Limit: maxDeleted, Unit: "messages"}
	}
	if forAll {
		return s.store.Update(ctx, func(tx Tx) error {
			for _, id := range messages {
				if err := s.deleteForAll(ctx, tx, user, chat, id); err != nil {
					return err
				}
			}
			return nil
		})
	}
	var chats []int64
	err := s.store.Update(ctx, func(tx Tx) (err error) {
		chats, err = s.hide(ctx, tx, user, chat, messages)
		return err
	})
	if err != nil {
		return err
	}
	for _, chat := range chats {
		s.o.Live.ChatState(user, chat)
		s.o.Live.ListChanged(user)
	}
	return nil
}

// hide hides messages from a user and returns the chats in which that changed something.
func (s *Service) hide(ctx context.Context, tx Tx, user, chat int64, messages []int64) (chats []int64, err error) {
	for _, id := range messages {
		m, err := tx.Seen(ctx, user, id)
		already := isNotFound(err)
		if already { // what is hidden is no longer seen, but may be hidden again
			m.Chat, err = tx.HiddenIn(ctx, user, id)
		}
		if err != nil {
			return nil, err
		}
		if chat != 0 && m.Chat != chat {
			return nil, ErrNotFound
		}
		if already {
			continue
		}
		hidden, err := tx.Hide(ctx, user, &m)
		if err != nil {
			return nil, err
		}
		if hidden && !slices.Contains(chats, m.Chat) {
			chats = append(chats, m.Chat)
		}
	}
	return chats, nil
}

func (s *Service) deleteForAll(ctx context.Context, tx Tx, user, chat, message int64) error {
	g, err := s.holdMessage(ctx, tx, user, message)
	if err == nil && chat != 0 && g.Chat != chat {
		err = ErrNotFound
	}
	if err != nil || g.Deleted() {
		return err
	}
	if err := s.mayDelete(ctx, tx, &g, user); err != nil {
		return err
	}
	m := g.Message.tombstone()
	m.DeletedAt, m.DeletedBy = max(s.now(), m.CreatedAt), user
	if m.EventSeq, err = tx.NextEvent(ctx, m.Chat); err != nil {
		return err
	}
	if err := tx.Erase(ctx, &m); err != nil {
		return err
	}
	if err := tx.Unindex(ctx, []int64{m.ID}); err != nil {
		return err
	}
	if err := s.redact(ctx, tx, &m); err != nil {
		return err
	}
	if err := tx.TouchAnswers(ctx, m.ID, m.EventSeq, maxRequoted); err != nil {
		return err
	}
	return s.announce(ctx, tx, event.MessageDeleted, m.Chat, m.EventSeq, m.ID, user, MessagePayload{Message: m, By: user})
}

// mayDelete checks the rules for deleting a message for all.
func (s *Service) mayDelete(ctx context.Context, tx Tx, g *changing, user int64) error {
	own := g.Sender.ID == user
	switch {
	case own && (g.chat.Kind == Saved || !expired(s.now()-g.CreatedAt, s.o.DeleteWindow)):
		return nil
	case leads(&g.chat, &g.member):
	case own:
		return ErrTooLate
	default:
		return ErrForbidden
	}
	if own || g.member.Role == Owner {
		return nil
	}
	role, err := tx.RoleOf(ctx, g.chat.ID, g.Sender.ID)
	if err == nil && (role == Owner || role == Admin) {
		err = ErrForbidden
	}
	return err
}

// tombstone is what is left of a deleted message: who sent it when, and that it was.
func (m *Message) tombstone() Message {
	return Message{
		ID: m.ID, Chat: m.Chat, Seq: m.Seq, Type: m.Type, Sender: m.Sender, ClientID: m.ClientID, CreatedAt: m.CreatedAt,
		EditedAt: m.EditedAt, Version: m.Version, DeletedAt: m.DeletedAt, DeletedBy: m.DeletedBy, EventSeq: m.EventSeq,
	}
}
