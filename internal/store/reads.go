package store

import (
	"context"
	"fmt"

	"github.com/kuranty/kuranty/internal/chat"
)

const (
	unread = `SELECT ` + unreadCount + `, ` + unreadMentions + ` FROM members AS i JOIN chats AS c ON c.id = i.chat_id
		WHERE i.chat_id = $1 AND i.user_id = $2 AND i.state = 'active' AND c.state = 'active'`

	unreadChats = `SELECT c.id, c.last_seq, ` + unreadCount + `, ` + unreadMentions + `, i.manual_unread_seq > 0, i.muted_until
		FROM members AS i JOIN chats AS c ON c.id = i.chat_id
		WHERE i.user_id = $1 AND i.state = 'active' AND c.state = 'active' AND NOT i.hidden
		AND (c.last_seq > i.read_seq OR i.manual_unread_seq > 0) ORDER BY c.id`
)

// Unread implements chat's marking.
func (tx chatTx) Unread(ctx context.Context, user, id int64) (messages, mentions int, err error) {
	if err := tx.queryRow(ctx, unread, args(id, user), &messages, &mentions); err != nil {
		return 0, 0, noRow(err, chat.ErrNotFound)
	}
	return min(messages, chat.MaxUnread), mentions, nil
}

// UnreadChats implements chat's marking.
func (tx chatTx) UnreadChats(ctx context.Context, user int64) (found []chat.UnreadChat, err error) {
	err = tx.query(ctx, unreadChats, args(user), func(r row) error {
		var u chat.UnreadChat
		if err := r.Scan(&u.Chat, &u.LastSeq, &u.Messages, &u.Mentions, &u.Marked, &u.MutedUntil); err != nil {
			return fmt.Errorf("scan unread chat: %w", err)
		}
		u.Messages = min(u.Messages, chat.MaxUnread)
		found = append(found, u)
		return nil
	})
	return found, err
}

const (
	// Reading implies delivery (chat-api.md §0.3, I5).
	advanceRead = `UPDATE members SET read_seq = $1, read_at = $2,
		delivered_at = CASE WHEN delivered_seq < $1 THEN $2 ELSE delivered_at END,
		delivered_seq = CASE WHEN delivered_seq < $1 THEN $1 ELSE delivered_seq END
		WHERE chat_id = $3 AND user_id = $4 AND state = 'active' AND read_seq < $1`
	advanceDelivered = `UPDATE members SET delivered_seq = $1, delivered_at = $2
		WHERE chat_id = $3 AND user_id = $4 AND state = 'active' AND delivered_seq < $1`
	logRead   = `INSERT INTO read_log (chat_id, user_id, seq, at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`
	setUnread = `UPDATE members SET manual_unread_seq = $1 WHERE chat_id = $2 AND user_id = $3 AND state = 'active' AND manual_unread_seq <> $1`
	messageAt = `SELECT coalesce(max(id), 0) FROM messages WHERE chat_id = $1 AND seq = $2`
)

// noteRead keeps what has been read by whom has read furthest, and by the others: so that
// nobody looks through the members of a chat for it. Before the member's row, because
// sending takes the chat's row first too.
const noteRead = `UPDATE chats SET
	next_read = CASE WHEN top_reader = $2 THEN next_read WHEN top_read < $1 THEN top_read ELSE $1 END,
	top_reader = CASE WHEN top_read < $1 THEN $2 ELSE top_reader END,
	top_read = CASE WHEN top_read < $1 THEN $1 ELSE top_read END
	WHERE id = $3 AND CASE WHEN top_reader = $2 THEN top_read ELSE next_read END < $1
	AND EXISTS (SELECT 1 FROM members WHERE chat_id = $3 AND user_id = $2 AND state = 'active')`

// AdvanceRead implements chat's marking.
func (tx chatTx) AdvanceRead(ctx context.Context, id, user, seq, now int64) (bool, error) {
	if _, err := tx.exec(ctx, noteRead, seq, user, id); err != nil {
		return false, err
	}
	n, err := tx.exec(ctx, advanceRead, seq, now, id, user)
	return n > 0, err
}

// AdvanceDelivered implements chat's marking.
func (tx chatTx) AdvanceDelivered(ctx context.Context, id, user, seq, now int64) (bool, error) {
	n, err := tx.exec(ctx, advanceDelivered, seq, now, id, user)
	return n > 0, err
}

// LogRead implements chat's marking.
func (tx chatTx) LogRead(ctx context.Context, id, user, seq, at int64) error {
	_, err := tx.exec(ctx, logRead, id, user, seq, at)
	return err
}

// SetUnread implements chat's marking.
func (tx chatTx) SetUnread(ctx context.Context, id, user, seq int64) (bool, error) {
	n, err := tx.exec(ctx, setUnread, seq, id, user)
	return n > 0, err
}

// MessageAt implements chat's marking.
func (tx chatTx) MessageAt(ctx context.Context, id, seq int64) (message int64, err error) {
	err = tx.queryRow(ctx, messageAt, args(id, seq), &message)
	return message, err
}

const privacyOf = `SELECT privacy FROM users WHERE id = $1 OR id = $2`

// ReceiptsShared implements chat's marking.
func (tx chatTx) ReceiptsShared(ctx context.Context, a, b int64) (bool, error) {
	shared := true
	err := tx.query(ctx, privacyOf, args(a, b), func(r row) error {
		var column []byte
		if err := r.Scan(&column); err != nil {
			return fmt.Errorf("scan privacy: %w", err)
		}
		var p chat.Privacy
		if err := fromJSON(column, &p); err != nil {
			return fmt.Errorf("privacy: %w", err)
		}
		shared = shared && p.ShowsReceipts()
		return nil
	})
	return shared, err
}

const (
	marks = `SELECT user_id, read_seq, delivered_seq, read_at, delivered_at, visible_from_seq FROM members
		WHERE chat_id = $1 AND user_id <> $2 AND state = 'active' ORDER BY user_id`
	highestRead = `SELECT CASE WHEN top_reader = $2 THEN next_read ELSE top_read END FROM chats WHERE id = $1`
	readTimes   = `SELECT user_id, min(at) FROM read_log WHERE chat_id = $1 AND seq >= $2 GROUP BY user_id`
)

// Marks implements chat's receipts.
func (tx chatTx) Marks(ctx context.Context, id, user int64) (found []chat.Mark, err error) {
	err = tx.query(ctx, marks, args(id, user), func(r row) error {
		var m chat.Mark
		if err := r.Scan(&m.User, &m.ReadSeq, &m.DeliveredSeq, &m.ReadAt, &m.DeliveredAt, &m.VisibleFromSeq); err != nil {
			return fmt.Errorf("scan marks: %w", err)
		}
		found = append(found, m)
		return nil
	})
	return found, err
}

// HighestRead implements chat's receipts.
func (tx chatTx) HighestRead(ctx context.Context, id, user int64) (seq int64, err error) {
	err = tx.queryRow(ctx, highestRead, args(id, user), &seq)
	return seq, err
}

// ReadTimes implements chat's receipts.
func (tx chatTx) ReadTimes(ctx context.Context, id, seq int64) (map[int64]int64, error) {
	found := make(map[int64]int64)
	err := tx.query(ctx, readTimes, args(id, seq), func(r row) error {
		var user, at int64
		if err := r.Scan(&user, &at); err != nil {
			return fmt.Errorf("scan time of reading: %w", err)
		}
		found[user] = at
		return nil
	})
	return found, err
}
