package chat

import (
	"context"
	"slices"
)

const (
	// maxBehind is how many changes a client may be behind before it is told to begin
	// anew with the newest page.
	maxBehind = 10_000
	// membersPerPage bounds the changed members of one answer.
	membersPerPage = 1000
)

// ChangedMember is a member whose role or state changed: of Member, only these and the
// time of joining are known to others.
type ChangedMember struct {
	Member
	Person   Person
	EventSeq int64
}

// Changes is what happened in a chat, in its newest state.
type Changes struct {
	// Page has the changed messages, in the order of their newest change.
	Page
	Members []ChangedMember
	// LastEventSeq is what to ask from next.
	LastEventSeq int64
	// More says that there are more changes after LastEventSeq. Limited says that the
	// newest messages are returned instead of all that changed: the client drops what it
	// has below the first of them.
	More, Limited bool
}

// Changes returns what changed in a chat after the change with the number since, in the
// order of the changes: tombstones of what was deleted, but nothing of what the user
// does not see. limit is 1 to 200 messages; zero means 200.
func (s *Service) Changes(ctx context.Context, user, chat, since int64, limit int) (ch Changes, err error) {
	if limit <= 0 || limit > maxPage {
		limit = maxPage
	}
	err = s.store.View(ctx, func(tx Tx) error {
		ch = Changes{}
		// The chat first: what changes from here on has higher numbers and comes next time.
		if ch.Member, ch.Chat, err = tx.MemberOf(ctx, user, chat); err != nil {
			return err
		}
		ch.LastEventSeq = ch.Chat.LastEventSeq
		if ch.Limited = ch.LastEventSeq-since > maxBehind; ch.Limited {
			err = s.newest(ctx, tx, &ch.Page, limit)
		} else {
			err = s.changed(ctx, tx, &ch, since, limit)
		}
		if err != nil {
			return err
		}
		if ch.Read, ch.Marks, err = s.readState(ctx, tx, &ch.Chat, &ch.Member); err != nil {
			return err
		}
		return allWithReactions(ctx, tx, ch.Messages)
	})
	if err != nil {
		return Changes{}, err
	}
	return ch, nil
}

// newest reads the newest messages, in the order of their changes.
func (s *Service) newest(ctx context.Context, tx Tx, p *Page, limit int) error {
	if err := s.pageBefore(ctx, tx, p, p.Chat.LastSeq+1, PageFilter{Limit: limit, Deleted: true}); err != nil {
		return err
	}
	slices.SortFunc(p.Messages, func(a, b Message) int { return int(a.EventSeq - b.EventSeq) })
	return nil
}

// changed reads the messages and members that changed after since.
func (s *Service) changed(ctx context.Context, tx Tx, ch *Changes, since int64, limit int) error {
	if err := s.changedMessages(ctx, tx, ch, since, limit); err != nil {
		return err
	}
	members, err := tx.ChangedMembers(ctx, ch.Chat.ID, since, ch.LastEventSeq, membersPerPage+1)
	if err != nil {
		return err
	}
	if len(members) > membersPerPage {
		// Those of one change come together, so the last change is left for next time.
		last := members[membersPerPage].EventSeq
		members = slices.DeleteFunc(members, func(m ChangedMember) bool { return m.EventSeq == last })
		ch.LastEventSeq, ch.More = last-1, true
		ch.Messages = slices.DeleteFunc(ch.Messages, func(m Message) bool { return m.EventSeq >= last })
	}
	ch.Members = members
	return nil
}

// changedMessages reads the messages. Those of one change, which are a message and its
// answers, come together: the last of them that do not fit are left for next time, and if
// there are no others, all of them come.
func (s *Service) changedMessages(ctx context.Context, tx Tx, ch *Changes, since int64, limit int) error {
	found, err := tx.PageOfChanges(ctx, ch.Member.User, &ch.Chat, since, limit+1)
	if ch.Messages, ch.More = cut(found, limit); err != nil || !ch.More {
		return err
	}
	first, last := found[0].EventSeq, found[limit].EventSeq
	if first != last {
		ch.Messages = slices.DeleteFunc(ch.Messages, func(m Message) bool { return m.EventSeq == last })
	} else {
		if found, err = tx.PageOfChanges(ctx, ch.Member.User, &ch.Chat, since, maxRequoted+2); err != nil {
			return err
		}
		next := slices.IndexFunc(found, func(m Message) bool { return m.EventSeq != first })
		if ch.More = next > 0; !ch.More {
			next = len(found)
		}
		ch.Messages = found[:next]
	}
	if ch.More {
		ch.LastEventSeq = ch.Messages[len(ch.Messages)-1].EventSeq
	}
	return nil
}
