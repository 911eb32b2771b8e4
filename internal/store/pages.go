package store

import (
	"context"
	"fmt"

	"github.com/kuranty/kuranty/internal/chat"
)

const (
	// The plus keeps a condition from being what SQLite looks up by: of two lower bounds it
	// takes the first, and there is a better one.
	ofPage   = `SELECT ` + messageColumns + ` FROM messages AS m` + seenBy + messageJoins + ` WHERE m.chat_id = $2`
	above    = ` AND m.seq > i.visible_from_seq`
	alsoSeen = ` AND +m.seq > i.visible_from_seq`
	filtered = ` AND ($4 OR m.deleted_at = 0) AND ($5 OR ` + unhidden + `)`

	pageBefore    = ofPage + above + ` AND m.seq < $3` + filtered + ` ORDER BY m.seq DESC LIMIT $6`
	pageFrom      = ofPage + alsoSeen + ` AND m.seq >= $3` + filtered + ` ORDER BY m.seq LIMIT $6`
	pageOfChanges = `SELECT ` + messageColumns + ` FROM (SELECT id FROM (` + changedAgain + `) AS a UNION ALL SELECT id FROM (` + changedOnce + `) AS b) AS p
		JOIN messages AS m ON m.id = p.id` + messageJoins + ` ORDER BY m.event_seq, m.seq LIMIT $5`
	ofChanges    = `SELECT m.id FROM messages AS m` + seenBy + ` WHERE m.chat_id = $2` + alsoSeen + ` AND ` + unhidden
	changedAgain = ofChanges + ` AND m.first_event_seq <> m.event_seq AND m.event_seq > $3 AND m.event_seq <= $4 ORDER BY m.event_seq LIMIT $5`
	// Messages that were only sent have their changes in their own order, and are no more
	// than the changes.
	changedOnce = ofChanges + ` AND m.first_event_seq = m.event_seq AND +m.event_seq > $3 AND +m.event_seq <= $4 AND m.seq > $6 ORDER BY m.seq LIMIT $5`
	pinnedPage  = ofPage + alsoSeen + ` AND m.pinned_at > 0 AND ` + unhidden + ` ORDER BY m.pinned_at DESC, m.seq DESC LIMIT $3`
)

// PageBefore implements chat's pages.
func (tx chatTx) PageBefore(ctx context.Context, user, id, seq int64, p chat.PageFilter) ([]chat.Message, error) {
	return tx.readMessages(ctx, pageBefore, user, id, seq, p.Deleted, p.Hidden, p.Limit)
}

// PageFrom implements chat's pages.
func (tx chatTx) PageFrom(ctx context.Context, user, id, seq int64, p chat.PageFilter) ([]chat.Message, error) {
	return tx.readMessages(ctx, pageFrom, user, id, seq, p.Deleted, p.Hidden, p.Limit)
}

// PageOfChanges implements chat's pages.
func (tx chatTx) PageOfChanges(ctx context.Context, user int64, c *chat.Chat, since int64, limit int) ([]chat.Message, error) {
	return tx.readMessages(ctx, pageOfChanges, user, c.ID, since, c.LastEventSeq, limit, c.LastSeq-(c.LastEventSeq-since))
}

// Pinned implements chat's pages.
func (tx chatTx) Pinned(ctx context.Context, user, id int64, limit int) ([]chat.Message, error) {
	return tx.readMessages(ctx, pinnedPage, user, id, limit)
}

// leftOut reads the exceptions among messages, not the messages (index messages_uncounted).
const leftOut = `SELECT
	CASE WHEN $1 THEN 0 ELSE (SELECT count(*) FROM messages AS m WHERE m.chat_id = $2 AND m.seq > $3 AND m.seq <= $4
		AND (m.deleted_at > 0 OR m.message_type = 'system') AND m.deleted_at > 0) END +
	CASE WHEN $5 THEN 0 ELSE (SELECT count(*) FROM message_hidden AS h WHERE h.user_id = $6 AND h.chat_id = $2 AND h.seq > $3 AND h.seq <= $4
		AND ($1 OR (SELECT m.deleted_at FROM messages AS m WHERE m.chat_id = h.chat_id AND m.seq = h.seq) = 0)) END`

// LeftOut implements chat's pages.
func (tx chatTx) LeftOut(ctx context.Context, user, id, after, upTo int64, p chat.PageFilter) (n int64, err error) {
	err = tx.queryRow(ctx, leftOut, args(p.Deleted, id, after, upTo, p.Hidden, user), &n)
	return n, err
}

const changedMembers = `SELECT i.user_id, i.role, i.state, i.joined_at, i.event_seq, ` + personColumns + `
	FROM members AS i LEFT JOIN users AS u ON u.id = i.user_id
	WHERE i.chat_id = $1 AND i.event_seq > $2 AND i.event_seq <= $3 ORDER BY i.event_seq, i.user_id LIMIT $4`

// ChangedMembers implements chat's pages.
func (tx chatTx) ChangedMembers(ctx context.Context, id, since, upTo int64, limit int) (found []chat.ChangedMember, err error) {
	err = tx.query(ctx, changedMembers, args(id, since, upTo, limit), func(r row) error {
		var m chat.ChangedMember
		m.Chat = id
		err := r.Scan(append([]any{&m.User, &m.Role, &m.State, &m.JoinedAt, &m.EventSeq}, personDest(&m.Person)...)...)
		if err != nil {
			return fmt.Errorf("scan member: %w", err)
		}
		found = append(found, m)
		return nil
	})
	return found, err
}
