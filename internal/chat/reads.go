package chat

import (
	"context"
	"errors"
	"maps"
	"slices"
)

// readTx is what marking needs. All of it is about active members only.
type readTx interface {
	// MemberOf returns an active member's place and the chat.
	MemberOf(ctx context.Context, user, chat int64) (Member, Chat, error)
	// AdvanceRead moves a member's read mark up to seq, delivery with it; moved is false,
	// and nothing happened, if it was there already.
	AdvanceRead(ctx context.Context, chat, user, seq, now int64) (moved bool, err error)
	// AdvanceDelivered does the same with the mark of delivery alone.
	AdvanceDelivered(ctx context.Context, chat, user, seq, now int64) (moved bool, err error)
	// LogRead remembers when the read mark came to seq, unless that is known.
	LogRead(ctx context.Context, chat, user, seq, now int64) error
	// SetUnread marks a chat unread from a message on, or with 0 no longer; changed tells
	// whether it was otherwise.
	SetUnread(ctx context.Context, chat, user, seq int64) (changed bool, err error)
	// MessageAt returns the message with a number, 0 if there is none.
	MessageAt(ctx context.Context, chat, seq int64) (message int64, err error)
	// Unread counts the unread messages of one chat of a user, up to [MaxUnread], and the
	// mentions among them.
	Unread(ctx context.Context, user, chat int64) (messages, mentions int, err error)
	// UnreadChats counts the same for every chat of a user's list that has any, or is
	// marked unread.
	UnreadChats(ctx context.Context, user int64) ([]UnreadChat, error)
	// ReceiptsShared tells whether both users exchange read receipts.
	ReceiptsShared(ctx context.Context, a, b int64) (bool, error)
}

// UnreadChat is a chat of a user that is not read to its end.
type UnreadChat struct {
	Chat               int64
	LastSeq            int64
	Messages, Mentions int
	// Marked says that the user marked it unread.
	Marked     bool
	MutedUntil int64
}

// ReadMark is what a read mark led to.
type ReadMark struct {
	// Moved is false if the chat was read that far already.
	Moved                  bool
	ReadSeq                int64
	Unread, UnreadMentions int
	Capped                 bool
	// UnreadChats is how many chats with unread messages the user still has, as in [Totals].
	UnreadChats int
}

// moved is a mark that moved, to be told of after the transaction.
type moved struct {
	chat           Chat
	user, seq      int64
	message        int64
	read           bool // or delivered
	shown, changed bool // shown to others; changed something for the user
}

// MarkRead marks everything in a chat up to seq as read. A mark never goes back: a lower
// seq only takes away a mark made by [Service.MarkUnread]. The error is a [*FieldError]
// above the newest message.
func (s *Service) MarkRead(ctx context.Context, user, chat, seq int64) (mark ReadMark, err error) {
	var news moved
	err = s.store.Update(ctx, func(tx Tx) error {
		mark, news, err = s.markRead(ctx, tx, user, chat, seq)
		return err
	})
	if err != nil {
		return ReadMark{}, err
	}
	s.tell(news)
	return mark, nil
}

// MarkReadMessage is [Service.MarkRead] for the seq of a message, which it returns; it is
// [ErrNotFound] in another chat than the one given, unless that is 0.
func (s *Service) MarkReadMessage(ctx context.Context, user, chat, message int64) (m Message, mark ReadMark, err error) {
	var news moved
	err = s.store.Update(ctx, func(tx Tx) error {
		if m, err = tx.Seen(ctx, user, message); err != nil {
			return err
		}
		if chat != 0 && m.Chat != chat {
			return ErrNotFound
		}
		if err := withReactions(ctx, tx, &m); err != nil {
			return err
		}
		mark, news, err = s.markRead(ctx, tx, user, m.Chat, m.Seq)
		return err
	})
	if err != nil {
		return Message{}, ReadMark{}, err
	}
	s.tell(news)
	return m, mark, nil
}

func (s *Service) markRead(ctx context.Context, tx Tx, user, chat, seq int64) (mark ReadMark, news moved, err error) {
	if news, err = s.advanceRead(ctx, tx, user, chat, seq); err != nil {
		return mark, news, err
	}
	mark.Moved = news.seq != 0
	m, _, err := tx.MemberOf(ctx, user, chat)
	if err != nil {
		return mark, news, err
	}
	mark.ReadSeq = m.ReadSeq
	if mark.Unread, mark.UnreadMentions, err = tx.Unread(ctx, user, chat); err != nil {
		return mark, news, err
	}
	mark.Capped = mark.Unread >= MaxUnread
	totals, err := s.totals(ctx, tx, user)
	mark.UnreadChats = totals.Chats
	return mark, news, err
}

// advanceRead moves the read mark. The seq of what it returns is 0 if it did not move.
func (s *Service) advanceRead(ctx context.Context, tx Tx, user, chat, seq int64) (news moved, err error) {
	m, c, err := tx.MemberOf(ctx, user, chat)
	if err != nil {
		return news, err
	}
	if seq < 0 || seq > c.LastSeq {
		return news, &FieldError{"seq", "is above the newest message"}
	}
	news = moved{chat: c, user: user, read: true}
	did, err := tx.AdvanceRead(ctx, chat, user, seq, s.now())
	if err != nil {
		return news, err
	}
	unmarked, err := tx.SetUnread(ctx, chat, user, 0)
	if err != nil {
		return news, err
	}
	news.changed = did || unmarked
	if !did {
		return news, nil
	}
	news.seq = seq
	if c.MemberCount > s.o.ReceiptsMaxMembers {
		return news, nil
	}
	// The place before too: sending may have moved the mark there, which is not logged.
	if m.ReadSeq > 0 {
		if err := tx.LogRead(ctx, chat, user, m.ReadSeq, m.ReadAt); err != nil {
			return news, err
		}
	}
	if err := tx.LogRead(ctx, chat, user, seq, s.now()); err != nil {
		return news, err
	}
	if news.message, err = tx.MessageAt(ctx, chat, seq); err != nil {
		return news, err
	}
	news.shown, err = s.receiptsShown(ctx, tx, &c, user)
	return news, err
}

// receiptsShown tells whether the members of a chat see how far the others have read it
// (chat-api.md §0.7).
func (s *Service) receiptsShown(ctx context.Context, tx readTx, c *Chat, user int64) (bool, error) {
	if c.MemberCount > s.o.ReceiptsMaxMembers {
		return false, nil
	}
	if c.Kind != Direct {
		return true, nil
	}
	return tx.ReceiptsShared(ctx, user, c.Companion(user))
}

// tell tells of a mark that moved.
func (s *Service) tell(news moved) {
	live, c := s.o.Live, &news.chat
	switch {
	case !news.shown || news.seq == 0:
	case news.read:
		live.Read(c.ID, news.user, news.seq, news.message, c.MemberCount)
	default:
		live.Delivered(c.ID, news.user, news.seq, c.MemberCount)
	}
	if !news.changed {
		return
	}
	live.ChatState(news.user, c.ID)
	live.ListChanged(news.user)
	if other := c.Companion(news.user); other != 0 && other != news.user && news.shown {
		live.ListChanged(other)
	}
}

// MarkDelivered marks everything in a chat up to seq as delivered to one of the user's
// devices. The error is a [*FieldError] above the newest message.
func (s *Service) MarkDelivered(ctx context.Context, user, chat, seq int64) error {
	var news moved
	err := s.store.Update(ctx, func(tx Tx) (err error) {
		news, err = s.advanceDelivered(ctx, tx, user, chat, seq)
		return err
	})
	if err != nil {
		return err
	}
	s.tell(news)
	return nil
}

func (s *Service) advanceDelivered(ctx context.Context, tx Tx, user, chat, seq int64) (news moved, err error) {
	_, c, err := tx.MemberOf(ctx, user, chat)
	if err != nil {
		return news, err
	}
	if seq < 0 || seq > c.LastSeq {
		return news, &FieldError{"seq", "is above the newest message"}
	}
	news = moved{chat: c, user: user}
	did, err := tx.AdvanceDelivered(ctx, chat, user, seq, s.now())
	if err != nil || !did {
		return news, err
	}
	news.seq = seq
	news.shown, err = s.receiptsShown(ctx, tx, &c, user)
	return news, err
}

// maxReceipts is how many chats one call marks at most.
const maxReceipts = 1000

// Receipts marks several chats, which are the keys, as read or delivered up to the
// numbers given, in one transaction. Chats that are not the user's any more are passed
// over. The errors are [*FieldError] and [*LimitError]; then no chat is marked.
func (s *Service) Receipts(ctx context.Context, user int64, read, delivered map[int64]int64) error {
	if n := len(read) + len(delivered); n > maxReceipts {
		return &LimitError{Field: "read", Got: n, Limit: maxReceipts, Unit: "chats"}
	}
	var news []moved
	err := s.store.Update(ctx, func(tx Tx) error {
		news = news[:0]
		mark := func(marks map[int64]int64, advance func(context.Context, Tx, int64, int64, int64) (moved, error)) error {
			for _, chat := range slices.Sorted(maps.Keys(marks)) {
				m, err := advance(ctx, tx, user, chat, marks[chat])
				if errors.Is(err, ErrNotFound) {
					continue
				}
				if err != nil {
					return err
				}
				news = append(news, m)
			}
			return nil
		}
		if err := mark(read, s.advanceRead); err != nil {
			return err
		}
		return mark(delivered, s.advanceDelivered)
	})
	if err != nil {
		return err
	}
	for _, m := range news {
		s.tell(m)
	}
	return nil
}

// MarkUnread marks a chat as unread from a message on, for the user alone: how far it
// was read does not change for others. The error is a [*FieldError] for a seq that the
// user sees no message with.
func (s *Service) MarkUnread(ctx context.Context, user, chat, seq int64) error {
	var changed bool
	err := s.store.Update(ctx, func(tx Tx) error {
		m, c, err := tx.MemberOf(ctx, user, chat)
		if err != nil {
			return err
		}
		if seq <= m.VisibleFromSeq || seq < 1 || seq > c.LastSeq {
			return &FieldError{"seq", "is no message of this chat"}
		}
		changed, err = tx.SetUnread(ctx, chat, user, seq)
		return err
	})
	if err != nil {
		return err
	}
	if changed {
		s.o.Live.ChatState(user, chat)
		s.o.Live.ListChanged(user)
	}
	return nil
}

// ReadAll marks all of the user's chats as read and returns how many were not.
func (s *Service) ReadAll(ctx context.Context, user int64) (chats int, err error) {
	var news []moved
	err = s.store.Update(ctx, func(tx Tx) error {
		news = news[:0]
		unread, err := tx.UnreadChats(ctx, user)
		if err != nil {
			return err
		}
		for _, u := range unread {
			m, err := s.advanceRead(ctx, tx, user, u.Chat, u.LastSeq)
			if err != nil {
				return err
			}
			news = append(news, m)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for _, m := range news {
		s.tell(m)
	}
	return len(news), nil
}

// Totals are the unread messages of a user. Of muted chats only mentions count.
type Totals struct {
	// Chats have unread messages or are marked unread.
	Chats, Messages, Mentions int
	// Capped says that at least one chat has more than are counted.
	Capped bool
}

// UnreadTotals counts the user's unread messages.
func (s *Service) UnreadTotals(ctx context.Context, user int64) (t Totals, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		t, err = s.totals(ctx, tx, user)
		return err
	})
	return t, err
}

func (s *Service) totals(ctx context.Context, tx readTx, user int64) (t Totals, err error) {
	unread, err := tx.UnreadChats(ctx, user)
	if err != nil {
		return t, err
	}
	now := s.now()
	for _, u := range unread {
		t.Mentions += u.Mentions
		if u.MutedUntil > now {
			if u.Mentions > 0 {
				t.Chats++
			}
			continue
		}
		if u.Messages == 0 && !u.Marked {
			continue // only what does not count, such as system messages
		}
		t.Chats++
		t.Messages += u.Messages
		t.Capped = t.Capped || u.Messages >= MaxUnread
	}
	return t, nil
}
