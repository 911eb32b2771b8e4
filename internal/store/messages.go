package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/kuranty/kuranty/internal/chat"
)

const (
	// seenBy joins messages m with what lets a user, the first parameter, see them.
	seenBy = ` JOIN members AS i ON i.chat_id = m.chat_id AND i.user_id = $1 AND i.state = 'active'
	JOIN chats AS c ON c.id = m.chat_id AND c.state = 'active'`
	// unhidden is what that user did not hide.
	unhidden = `NOT EXISTS (SELECT 1 FROM message_hidden AS h WHERE h.user_id = $1 AND h.chat_id = m.chat_id AND h.seq = m.seq)`

	find = `SELECT m.chat_id FROM messages AS m` + seenBy + ` WHERE m.id = $2 AND m.seq > i.visible_from_seq AND ` + unhidden
	seen = `SELECT ` + messageColumns + ` FROM messages AS m` + seenBy + messageJoins + `
	WHERE m.id = $2 AND m.seq > i.visible_from_seq AND ` + unhidden
)

// Find implements chat's messages.
func (tx chatTx) Find(ctx context.Context, user, message int64) (id int64, err error) {
	if err := tx.queryRow(ctx, find, args(user, message), &id); err != nil {
		return 0, noRow(err, chat.ErrNotFound)
	}
	return id, nil
}

// Seen implements chat's messages.
func (tx chatTx) Seen(ctx context.Context, user, message int64) (m chat.Message, err error) {
	f := messageFields{m: &m}
	if err := tx.queryRow(ctx, seen, args(user, message), f.dest()...); err != nil {
		return chat.Message{}, noRow(err, chat.ErrNotFound)
	}
	return m, f.finish()
}

const editsOf = `SELECT version, text, entities, edited_at FROM message_edits WHERE message_id = $1 ORDER BY version`

// EditsOf implements chat's messages.
func (tx chatTx) EditsOf(ctx context.Context, message int64) (edits []chat.Edit, err error) {
	err = tx.query(ctx, editsOf, args(message), func(r row) error {
		var e chat.Edit
		var entities []byte
		if err := r.Scan(&e.Version, &e.Text, &entities, &e.EditedAt); err != nil {
			return fmt.Errorf("scan version of message: %w", err)
		}
		edits = append(edits, e)
		return fromJSON(entities, &edits[len(edits)-1].Entities)
	})
	return edits, err
}

const keepVersion = `INSERT INTO message_edits (message_id, version, text, entities, edited_at) VALUES ($1, $2, $3, $4, $5)`

// KeepVersion implements chat's editing.
func (tx chatTx) KeepVersion(ctx context.Context, m *chat.Message) error {
	entities, err := toJSON(m.Entities)
	if err != nil {
		return err
	}
	if _, err := tx.exec(ctx, keepVersion, m.ID, m.Version, m.Text, entities, max(m.CreatedAt, m.EditedAt)); err != nil {
		return fmt.Errorf("keep version of message: %w", err)
	}
	return nil
}

const saveEdit = `UPDATE messages SET text = $1, entities = $2, attachments = $3, mentions = $4, edited_at = $5, version = $6, event_seq = $7 WHERE id = $8`

// SaveEdit implements chat's editing.
func (tx chatTx) SaveEdit(ctx context.Context, m *chat.Message) error {
	entities, err1 := toJSON(m.Entities)
	files, err2 := toJSON(m.Files)
	mentions, err3 := mentionsColumn(m)
	if err := errors.Join(err1, err2, err3); err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	if _, err := tx.exec(ctx, saveEdit, m.Text, entities, files, mentions, m.EditedAt, m.Version, m.EventSeq, m.ID); err != nil {
		return fmt.Errorf("store edit: %w", err)
	}
	return nil
}

const detach = `DELETE FROM message_files WHERE message_id = $1`

// Detach implements chat's editing.
func (tx chatTx) Detach(ctx context.Context, message int64) error {
	_, err := tx.exec(ctx, detach, message)
	return err
}

const dropMention = `DELETE FROM mentions WHERE message_id = $1 AND user_id = $2`

// DropMentions implements chat's editing.
func (tx chatTx) DropMentions(ctx context.Context, message int64, users []int64) error {
	for _, user := range users {
		if _, err := tx.exec(ctx, dropMention, message, user); err != nil {
			return fmt.Errorf("drop mention: %w", err)
		}
	}
	return nil
}

const hide = `INSERT INTO message_hidden (user_id, chat_id, seq, message_id) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`

// Hide implements chat's deleting.
func (tx chatTx) Hide(ctx context.Context, user int64, m *chat.Message) (bool, error) {
	n, err := tx.exec(ctx, hide, user, m.Chat, m.Seq, m.ID)
	return n > 0, err
}

const hiddenIn = `SELECT h.chat_id FROM message_hidden AS h JOIN members AS i ON i.chat_id = h.chat_id AND i.user_id = h.user_id
	JOIN chats AS c ON c.id = h.chat_id WHERE h.user_id = $1 AND h.message_id = $2 AND i.state = 'active' AND c.state = 'active'`

// HiddenIn implements chat's deleting.
func (tx chatTx) HiddenIn(ctx context.Context, user, message int64) (id int64, err error) {
	err = tx.queryRow(ctx, hiddenIn, args(user, message), &id)
	return id, noRow(err, chat.ErrNotFound)
}

const (
	// The hash of what was sent stays: a repetition of the call that sent it is known by it.
	erase = `UPDATE messages SET text = '', entities = '', forward = '', system = '', metadata = '', attachments = '', mentions = '',
	reply_to_id = 0, pinned_at = 0, deleted_at = $1, deleted_by = $2, event_seq = $3 WHERE id = $4`
	eraseEdits     = `DELETE FROM message_edits WHERE message_id = $1`
	eraseReactions = `DELETE FROM reactions WHERE message_id = $1`
	eraseMentions  = `DELETE FROM mentions WHERE message_id = $1`
)

// Erase implements chat's deleting.
func (tx chatTx) Erase(ctx context.Context, m *chat.Message) error {
	if _, err := tx.exec(ctx, erase, m.DeletedAt, m.DeletedBy, m.EventSeq, m.ID); err != nil {
		return fmt.Errorf("erase message: %w", err)
	}
	for _, statement := range []string{eraseEdits, eraseReactions, eraseMentions, detach} {
		if _, err := tx.exec(ctx, statement, m.ID); err != nil {
			return fmt.Errorf("erase what hangs on a message: %w", err)
		}
	}
	return nil
}

const roleOf = `SELECT coalesce(max(role), '') FROM members WHERE chat_id = $1 AND user_id = $2 AND state = 'active'`

// RoleOf implements chat's deleting.
func (tx chatTx) RoleOf(ctx context.Context, id, user int64) (role string, err error) {
	err = tx.queryRow(ctx, roleOf, args(id, user), &role)
	return role, err
}

const (
	answers      = `SELECT id FROM messages WHERE reply_to_id = $1 AND reply_to_id > 0`
	touchAnswers = `UPDATE messages SET event_seq = $1 WHERE id IN (
		SELECT id FROM messages WHERE reply_to_id = $2 AND reply_to_id > 0 ORDER BY id DESC LIMIT $3)`
)

// Answers implements chat's deleting.
func (tx chatTx) Answers(ctx context.Context, message int64) (found []int64, err error) {
	err = tx.query(ctx, answers, args(message), func(r row) error {
		var id int64
		err := r.Scan(&id)
		found = append(found, id)
		return err
	})
	return found, err
}

// TouchAnswers implements chat's deleting.
func (tx chatTx) TouchAnswers(ctx context.Context, message, eventSeq int64, limit int) error {
	_, err := tx.exec(ctx, touchAnswers, eventSeq, message, limit)
	return err
}

const (
	savePin   = `UPDATE messages SET pinned_at = $1, event_seq = $2 WHERE id = $3`
	countPins = `SELECT count(*) FROM messages WHERE chat_id = $1 AND pinned_at > 0`
)

// SavePin implements chat's pinning.
func (tx chatTx) SavePin(ctx context.Context, m *chat.Message) error {
	_, err := tx.exec(ctx, savePin, m.PinnedAt, m.EventSeq, m.ID)
	return err
}

// CountPins implements chat's pinning.
func (tx chatTx) CountPins(ctx context.Context, id int64) (n int, err error) {
	err = tx.queryRow(ctx, countPins, args(id), &n)
	return n, err
}
