package chat

import "context"

// purgeTx is what removing old messages needs.
type purgeTx interface {
	// HoldToPurge holds a chat, closed or not, for this transaction. One under legal hold,
	// or with a member, present or past, who is, is [ErrNotFound].
	HoldToPurge(ctx context.Context, chat int64) (c Chat, closed bool, err error)
	// Oldest returns the oldest messages of a chat that are left, in order.
	Oldest(ctx context.Context, chat int64, limit int) ([]Message, error)
	// Purge removes the messages of a chat with numbers below one, and what hangs on them,
	// and remembers that number.
	Purge(ctx context.Context, chat, below int64) error
	// Blank takes title and description of a chat that has ended.
	Blank(ctx context.Context, chat int64) error
}

// Purged is what one call of [Service.Purge] removed.
type Purged struct {
	// Messages is how many messages it were, Files the ids of the files they had.
	Messages int
	Files    []string
	// More tells that there is more to remove.
	More bool
}

// Purge removes the oldest messages of a chat, at most limit, if they were sent before a
// time in milliseconds, of a closed chat whenever they were sent, and at last its title: rows, versions,
// reactions, mentions, index entries, and what events and quotes show of them. Of the
// chat nothing changes but the number below which messages are gone; nothing is
// announced, for what is too old to be kept is nobody's news. It removes nothing under
// legal hold.
func (s *Service) Purge(ctx context.Context, chat, before int64, limit int) (p Purged, err error) {
	err = s.store.Update(ctx, func(tx Tx) error {
		p = Purged{}
		_, closed, err := tx.HoldToPurge(ctx, chat)
		if isNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		old, err := tx.Oldest(ctx, chat, limit)
		if err != nil {
			return err
		}
		for i := range old {
			m := &old[i]
			if !closed && m.CreatedAt >= before {
				break
			}
			if err := s.purge(ctx, tx, m); err != nil {
				return err
			}
			p.Messages++
			p.Files = append(p.Files, fileIDs(m.Files)...)
		}
		if p.More = p.Messages == limit; p.Messages > 0 {
			if err := tx.Purge(ctx, chat, old[p.Messages-1].Seq+1); err != nil {
				return err
			}
		}
		if closed && !p.More {
			return tx.Blank(ctx, chat)
		}
		return nil
	})
	return p, err
}

// purge takes a message out of the index and of what shows it.
func (s *Service) purge(ctx context.Context, tx Tx, m *Message) error {
	if m.Text != "" {
		if err := tx.Unindex(ctx, []int64{m.ID}); err != nil {
			return err
		}
	}
	gone := m.tombstone()
	if !m.Deleted() {
		gone.DeletedAt = s.now()
	}
	return s.redact(ctx, tx, &gone)
}
