package chat

import (
	"context"
	"time"
)

// readLogAge is how long it is known when somebody read a message (chat-api.md §C.5).
const readLogAge = 7 * 24 * time.Hour

// receiptTx reads how far others have read.
type receiptTx interface {
	readTx
	// Marks returns the marks of the active members of a chat but user.
	Marks(ctx context.Context, chat, user int64) ([]Mark, error)
	// HighestRead returns the highest read mark of them.
	HighestRead(ctx context.Context, chat, user int64) (int64, error)
	// ReadTimes returns when members' read marks came to seq or above first, by user, as
	// far as that was noted.
	ReadTimes(ctx context.Context, chat, seq int64) (map[int64]int64, error)
}

// Mark is how far a member has read a chat.
type Mark struct {
	User                  int64
	ReadSeq, DeliveredSeq int64
	// ReadAt and DeliveredAt are when the marks moved last; VisibleFromSeq is the newest
	// message that the member does not see.
	ReadAt, DeliveredAt, VisibleFromSeq int64
}

// readState returns how far a chat has been read, for a member, and the marks of each
// other member in chats that are small enough. Who exchanges no receipts in a direct
// chat sees none there.
func (s *Service) readState(ctx context.Context, tx receiptTx, c *Chat, m *Member) (r ReadState, marks []Mark, err error) {
	r.Own = m.ReadSeq
	shown, err := s.receiptsShown(ctx, tx, c, m.User)
	switch {
	case err != nil:
		return r, nil, err
	case shown:
		marks, err = tx.Marks(ctx, c.ID, m.User)
		for _, mark := range marks {
			r.Others, r.OthersDelivered = max(r.Others, mark.ReadSeq), max(r.OthersDelivered, mark.DeliveredSeq)
		}
	case c.Kind != Direct:
		r.Others, err = tx.HighestRead(ctx, c.ID, m.User)
	}
	return r, marks, err
}

// MessageReceipts tells who has read a message, to whom it was delivered only, and who
// has neither. Its sender is in none of them.
type MessageReceipts struct {
	Read, Delivered []Receipt
	Pending         []int64
}

// Receipt is one person's; At is in milliseconds since 1970 and 0 if it is not known any
// more. That of a delivery is the time of the newest message delivered.
type Receipt struct{ User, At int64 }

// MessageReceipts returns who has read a message. Of chats above
// Options.ReceiptsMaxMembers it is [ErrForbidden], of a direct chat without receipts
// empty.
func (s *Service) MessageReceipts(ctx context.Context, user, message int64) (r MessageReceipts, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		m, err := tx.Seen(ctx, user, message)
		if err != nil {
			return err
		}
		member, c, err := tx.MemberOf(ctx, user, m.Chat)
		if err != nil {
			return err
		}
		if c.MemberCount > s.o.ReceiptsMaxMembers {
			return ErrForbidden
		}
		shown, err := s.receiptsShown(ctx, tx, &c, member.User)
		if err != nil || !shown {
			return err
		}
		marks, err := tx.Marks(ctx, c.ID, m.Sender.ID)
		if err != nil {
			return err
		}
		times, err := s.readTimes(ctx, tx, &m)
		if err != nil {
			return err
		}
		for _, mark := range marks {
			switch {
			case mark.VisibleFromSeq >= m.Seq: // never saw it
			case mark.ReadSeq >= m.Seq:
				r.Read = append(r.Read, Receipt{mark.User, times(&mark)})
			case mark.DeliveredSeq >= m.Seq:
				r.Delivered = append(r.Delivered, Receipt{mark.User, mark.DeliveredAt})
			default:
				r.Pending = append(r.Pending, mark.User)
			}
		}
		return nil
	})
	if err != nil {
		return MessageReceipts{}, err
	}
	return r, nil
}

// readTimes returns what tells when a member read m. Of old messages the log may have
// lost that, and only that, so none of it is believed.
func (s *Service) readTimes(ctx context.Context, tx receiptTx, m *Message) (func(*Mark) int64, error) {
	if expired(s.now()-m.CreatedAt, readLogAge) {
		return func(*Mark) int64 { return 0 }, nil
	}
	times, err := tx.ReadTimes(ctx, m.Chat, m.Seq)
	return func(mark *Mark) int64 {
		if at, ok := times[mark.User]; ok {
			return at
		}
		return mark.ReadAt // sending moved the mark, which is not logged
	}, err
}
