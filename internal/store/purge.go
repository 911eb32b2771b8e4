package store

import (
	"context"
	"fmt"

	"github.com/kuranty/kuranty/internal/chat"
)

const (
	anyRoom = `SELECT ` + chatColumns + `, c.state <> 'active' FROM chats AS c WHERE c.id = $1 AND NOT c.legal_hold`
	// heldPeople are members, present or past, under legal hold.
	noHeldPeople = ` AND NOT EXISTS (SELECT 1 FROM users AS u JOIN members AS i ON i.user_id = u.id WHERE u.legal_hold AND i.chat_id = c.id)`
	forUpdate    = ` FOR NO KEY UPDATE OF c`

	// The one writer of SQLite needs no lock.
	holdAnyRoom     = anyRoom + forUpdate
	roomToPurge     = anyRoom + noHeldPeople
	holdRoomToPurge = roomToPurge + forUpdate
	oldestMessages  = `SELECT ` + messageColumns + ` FROM messages AS m` + messageJoins + ` WHERE m.chat_id = $1 ORDER BY m.seq LIMIT $2`
	storedMessage   = `SELECT ` + messageColumns + ` FROM messages AS m` + messageJoins + ` WHERE m.id = $1`
	belowSeq        = ` WHERE message_id IN (SELECT id FROM messages WHERE chat_id = $1 AND seq < $2)`
	purgeEdits      = `DELETE FROM message_edits` + belowSeq
	purgeReactions  = `DELETE FROM reactions` + belowSeq
	purgeMentions   = `DELETE FROM mentions` + belowSeq
	purgeFiles      = `DELETE FROM message_files` + belowSeq
	purgeHidden     = `DELETE FROM message_hidden WHERE chat_id = $1 AND seq < $2`
	purgeMessages   = `DELETE FROM messages WHERE chat_id = $1 AND seq < $2`
	movePurged      = `UPDATE chats SET purged_below_seq = $1 WHERE id = $2 AND purged_below_seq < $1`
	rewriteMessage  = `UPDATE messages SET text = $1, entities = $2, attachments = $3, forward = $4, version = $5, event_seq = $6 WHERE id = $7`
	heir            = `SELECT i.user_id FROM members AS i JOIN users AS u ON u.id = i.user_id AND u.state = 'active'
		WHERE i.chat_id = $1 AND i.user_id <> $2 AND i.state = 'active'
		ORDER BY CASE u.kind WHEN 'bot' THEN 1 ELSE 0 END, ` + roleRank + `, i.joined_at, i.user_id LIMIT 1`
)

// HoldToPurge implements chat's purging.
func (tx chatTx) HoldToPurge(ctx context.Context, id int64) (chat.Chat, bool, error) {
	return tx.holdAny(ctx, tx.text(roomToPurge, holdRoomToPurge), id)
}

// HoldFor implements chat's erasing.
func (tx chatTx) HoldFor(ctx context.Context, id int64) (chat.Chat, bool, error) {
	return tx.holdAny(ctx, tx.text(anyRoom, holdAnyRoom), id)
}

func (tx chatTx) holdAny(ctx context.Context, query string, id int64) (c chat.Chat, closed bool, err error) {
	f := chatFields{c: &c}
	if err := tx.queryRow(ctx, query, args(id), append(f.dest(), &closed)...); err != nil {
		return c, false, noRow(err, chat.ErrNotFound)
	}
	return c, closed, f.finish()
}

// Oldest implements chat's purging.
func (tx chatTx) Oldest(ctx context.Context, id int64, limit int) ([]chat.Message, error) {
	return tx.readMessages(ctx, oldestMessages, id, limit)
}

// Purge implements chat's purging.
func (tx chatTx) Purge(ctx context.Context, id, below int64) error {
	for _, statement := range []string{
		purgeEdits, purgeReactions, purgeMentions, purgeFiles, purgeHidden, purgeMessages,
	} {
		if _, err := tx.exec(ctx, statement, id, below); err != nil {
			return fmt.Errorf("purge chat %d: %w", id, err)
		}
	}
	if _, err := tx.exec(ctx, movePurged, below, id); err != nil {
		return fmt.Errorf("purge chat %d: %w", id, err)
	}
	return nil
}

const blank = `UPDATE chats SET title = '', about = '', avatar_file_id = '' WHERE id = $1 AND (title <> '' OR about <> '' OR avatar_file_id <> '')`

// Blank implements chat's purging.
func (tx chatTx) Blank(ctx context.Context, id int64) error {
	_, err := tx.exec(ctx, blank, id)
	return err
}

// Stored implements chat's erasing.
func (tx chatTx) Stored(ctx context.Context, message int64) (chat.Message, error) {
	found, err := tx.readMessages(ctx, storedMessage, message)
	if err != nil {
		return chat.Message{}, err
	}
	if len(found) == 0 {
		return chat.Message{}, chat.ErrNotFound
	}
	return found[0], nil
}

// Heir implements chat's erasing.
func (tx chatTx) Heir(ctx context.Context, id, user int64) (next int64, err error) {
	if err := tx.queryRow(ctx, heir, args(id, user), &next); err != nil {
		return 0, noRow(err, nil)
	}
	return next, nil
}

// Rewrite implements chat's erasing.
func (tx chatTx) Rewrite(ctx context.Context, m *chat.Message) error {
	entities, err1 := toJSON(m.Entities)
	files, err2 := toJSON(m.Files)
	forward, err3 := toJSONObject(m.Forward)
	for _, err := range []error{err1, err2, err3} {
		if err != nil {
			return fmt.Errorf("encode message: %w", err)
		}
	}
	if _, err := tx.exec(ctx, rewriteMessage, m.Text, entities, files, forward, m.Version, m.EventSeq, m.ID); err != nil {
		return fmt.Errorf("rewrite message: %w", err)
	}
	return nil
}
