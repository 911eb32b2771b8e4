package chat

import (
	"context"
	"errors"
	"slices"
)

// PageQuery selects messages of a chat. At most one of Before, After, Around, BeforeID,
// AfterID, FirstUnread and Offset says where; without any it is the newest page.
type PageQuery struct {
	// Before, After and Around are numbers of messages; 0 is not given.
	Before, After, Around int64
	// BeforeID and AfterID are the same by the id of a message of the chat.
	BeforeID, AfterID int64
	// FirstUnread is around the first message that the user has not read.
	FirstUnread bool
	// Offset is how many messages to skip, counted from the oldest; -1 is not given.
	Offset int
	// Limit is 1 to 200; zero means 50.
	Limit int
	// Deleted includes tombstones, Hidden what the user deleted for himself.
	Deleted, Hidden bool
	// Count fills in [Page.Total], as an Offset does.
	Count bool
}

const maxPage = 200

// pageTx reads pages. All of it is about what user sees of a chat.
type pageTx interface {
	// PageBefore returns messages with numbers below seq, newest first; PageFrom from seq
	// on, which user should see, oldest first.
	PageBefore(ctx context.Context, user, chat, seq int64, p PageFilter) ([]Message, error)
	PageFrom(ctx context.Context, user, chat, seq int64, p PageFilter) ([]Message, error)
	// PageOfChanges returns messages whose newest change has a number above since, up to
	// that of the chat as it was read before, in the order of these.
	PageOfChanges(ctx context.Context, user int64, c *Chat, since int64, limit int) ([]Message, error)
	// Pinned returns the pinned messages in the order of pinning, the newest first.
	Pinned(ctx context.Context, user, chat int64, limit int) ([]Message, error)
	// LeftOut counts the messages after a number and up to another that a filter leaves
	// out.
	LeftOut(ctx context.Context, user, chat, after, upTo int64, p PageFilter) (int64, error)
	// ChangedMembers returns members whose newest change has a number above since, up to
	// upTo, in the order of these, whether they are active or not: role, state and times.
	ChangedMembers(ctx context.Context, chat, since, upTo int64, limit int) ([]ChangedMember, error)
}

// PageFilter is what a page shows beside ordinary messages.
type PageFilter struct {
	Limit           int
	Deleted, Hidden bool
}

// Messages returns a page of a chat's messages. Nothing is marked as read. The errors
// are [ErrNotFound] and, for an id that is no message of the chat, [*FieldError].
func (s *Service) Messages(ctx context.Context, user, chat int64, q PageQuery) (p Page, err error) {
	filter := PageFilter{Limit: q.Limit, Deleted: q.Deleted, Hidden: q.Hidden}
	if filter.Limit <= 0 {
		filter.Limit = 50
	}
	filter.Limit = min(filter.Limit, maxPage)
	err = s.store.View(ctx, func(tx Tx) error {
		p = Page{}
		if p.Member, p.Chat, err = tx.MemberOf(ctx, user, chat); err != nil {
			return err
		}
		if err := s.page(ctx, tx, &p, &q, filter); err != nil {
			return err
		}
		if p.Read, p.Marks, err = s.readState(ctx, tx, &p.Chat, &p.Member); err != nil {
			return err
		}
		if q.Count || q.Offset >= 0 {
			if p.Total, err = total(ctx, tx, &p, filter); err != nil {
				return err
			}
		}
		return allWithReactions(ctx, tx, p.Messages)
	})
	if err != nil {
		return Page{}, err
	}
	return p, nil
}

// page reads the messages of a page.
func (s *Service) page(ctx context.Context, tx Tx, p *Page, q *PageQuery, filter PageFilter) (err error) {
	user, chat := p.Member.User, p.Chat.ID
	before, after, around := q.Before, q.After, q.Around
	if q.BeforeID != 0 {
		before, err = seqOf(ctx, tx, user, chat, q.BeforeID, "before_id")
	} else if q.AfterID != 0 {
		after, err = seqOf(ctx, tx, user, chat, q.AfterID, "after_id")
	}
	if err != nil {
		return err
	}
	switch {
	case q.FirstUnread:
		around = p.Member.firstUnread(&p.Chat)
	case q.Offset >= 0:
		if after, err = skipped(ctx, tx, p, int64(q.Offset), filter); err != nil {
			return err
		}
		return s.pageAfter(ctx, tx, p, after, filter)
	}
	switch {
	case around > 0:
		return s.pageAround(ctx, tx, p, around, filter)
	case after > 0:
		return s.pageAfter(ctx, tx, p, after, filter)
	case before == 0:
		before = p.Chat.LastSeq + 1
	}
	return s.pageBefore(ctx, tx, p, before, filter)
}

// seqOf returns the number of a message that a page is to begin or end at.
func seqOf(ctx context.Context, tx Tx, user, chat, id int64, field string) (int64, error) {
	m, err := tx.Seen(ctx, user, id)
	if errors.Is(err, ErrNotFound) || err == nil && m.Chat != chat {
		err = &FieldError{field, "is no message of this chat"}
	}
	return m.Seq, err
}

// firstUnread is the number of the first message that is not read, or of the newest.
func (m *Member) firstUnread(c *Chat) int64 {
	read := m.ReadSeq
	if m.ManualUnreadSeq > 0 {
		read = min(read, m.ManualUnreadSeq-1)
	}
	return min(max(read, m.VisibleFromSeq)+1, c.LastSeq)
}

func (s *Service) pageBefore(ctx context.Context, tx Tx, p *Page, seq int64, filter PageFilter) error {
	limit := filter.Limit
	filter.Limit++ // one more tells whether there are more
	found, err := tx.PageBefore(ctx, p.Member.User, p.Chat.ID, seq, filter)
	if err != nil {
		return err
	}
	p.Messages, p.Before = cut(found, limit)
	slices.Reverse(p.Messages)
	p.After = p.upTo(seq - 1)
	return nil
}

func (s *Service) pageAfter(ctx context.Context, tx Tx, p *Page, seq int64, filter PageFilter) error {
	seq = max(seq, p.floor())
	limit := filter.Limit
	filter.Limit++
	found, err := tx.PageFrom(ctx, p.Member.User, p.Chat.ID, seq+1, filter)
	if err != nil {
		return err
	}
	p.Messages, p.After = cut(found, limit)
	p.Before = seq > p.floor()
	return nil
}

// pageAround reads as many messages on both sides of seq, more on one if the other has
// too few.
func (s *Service) pageAround(ctx context.Context, tx Tx, p *Page, seq int64, filter PageFilter) error {
	seq = max(seq, p.floor()+1)
	limit := filter.Limit
	filter.Limit++
	older, err := tx.PageBefore(ctx, p.Member.User, p.Chat.ID, seq, filter)
	if err != nil {
		return err
	}
	newer, err := tx.PageFrom(ctx, p.Member.User, p.Chat.ID, seq, filter)
	if err != nil {
		return err
	}
	up := min(len(newer), limit-limit/2)
	older, p.Before = cut(older, limit-up)
	newer, p.After = cut(newer, limit-len(older))
	slices.Reverse(older)
	p.Messages = slices.Concat(older, newer)
	return nil
}

// cut returns the first n messages and whether there are more.
func cut(messages []Message, n int) ([]Message, bool) {
	return messages[:min(n, len(messages))], len(messages) > n
}

// floor is the newest number that the member does not see.
func (p *Page) floor() int64 { return max(p.Member.VisibleFromSeq, p.Chat.PurgedBelowSeq-1, 0) }

// upTo tells whether there may be messages above a number.
func (p *Page) upTo(seq int64) bool { return seq < p.Chat.LastSeq }

// total counts the messages that all pages together have.
func total(ctx context.Context, tx Tx, p *Page, filter PageFilter) (int, error) {
	floor := p.floor()
	out, err := tx.LeftOut(ctx, p.Member.User, p.Chat.ID, floor, p.Chat.LastSeq, filter)
	return int(max(p.Chat.LastSeq-floor-out, 0)), err
}

// skipped returns the number after which a page begins that leaves out the oldest
// messages, offset of them. It counts what does not count, so that a far page costs no
// more than a near one: numbers have no gaps.
func skipped(ctx context.Context, tx Tx, p *Page, offset int64, filter PageFilter) (int64, error) {
	from := p.floor()
	to := min(from+offset, p.Chat.LastSeq)
	for from < to {
		out, err := tx.LeftOut(ctx, p.Member.User, p.Chat.ID, from, to, filter)
		if err != nil {
			return 0, err
		}
		from, to = to, min(to+out, p.Chat.LastSeq)
	}
	return to, nil
}

// Pins returns the pinned messages of a chat, the one pinned last first.
func (s *Service) Pins(ctx context.Context, user, chat int64) (p Page, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		p = Page{}
		if p.Member, p.Chat, err = tx.MemberOf(ctx, user, chat); err != nil {
			return err
		}
		if p.Messages, err = tx.Pinned(ctx, user, chat, maxPinned); err != nil {
			return err
		}
		if p.Read, p.Marks, err = s.readState(ctx, tx, &p.Chat, &p.Member); err != nil {
			return err
		}
		return allWithReactions(ctx, tx, p.Messages)
	})
	if err != nil {
		return Page{}, err
	}
	return p, nil
}
