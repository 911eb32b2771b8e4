package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/kuranty/kuranty/internal/chat"
)

// The list of messages is JSON, so that it is one parameter.
const (
	reactionsToSQLite = `SELECT r.message_id, r.emoji, r.user_id FROM reactions AS r
		WHERE r.message_id IN (SELECT value FROM json_each($1)) ORDER BY r.message_id, r.created_at, r.user_id, r.emoji`
	reactionsToPostgres = `SELECT r.message_id, r.emoji, r.user_id FROM reactions AS r
		WHERE r.message_id IN (SELECT value::bigint FROM json_array_elements_text($1::text::json)) ORDER BY r.message_id, r.created_at, r.user_id, r.emoji`
)

// ReactionsTo implements chat's messages.
func (tx chatTx) ReactionsTo(ctx context.Context, messages []int64) (map[int64][]chat.Reaction, error) {
	ids, err := json.Marshal(messages)
	if err != nil {
		return nil, err
	}
	found := make(map[int64][]chat.Reaction)
	err = tx.query(ctx, tx.text(reactionsToSQLite, reactionsToPostgres), args(string(ids)), func(r row) error {
		var message, user int64
		var emoji string
		if err := r.Scan(&message, &emoji, &user); err != nil {
			return fmt.Errorf("scan reaction: %w", err)
		}
		of := found[message]
		at := slices.IndexFunc(of, func(r chat.Reaction) bool { return r.Emoji == emoji })
		if at < 0 {
			at = len(of)
			of = append(of, chat.Reaction{Emoji: emoji})
		}
		of[at].Count++
		of[at].Users = append(of[at].Users, user)
		found[message] = of
		return nil
	})
	return found, err
}

const (
	addReaction  = `INSERT INTO reactions (message_id, user_id, emoji, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`
	dropReaction = `DELETE FROM reactions WHERE message_id = $1 AND user_id = $2 AND emoji = $3`
	touch        = `UPDATE messages SET event_seq = $1 WHERE id = $2`
)

// AddReaction implements chat's reacting.
func (tx chatTx) AddReaction(ctx context.Context, message, user int64, emoji string, now int64) error {
	if _, err := tx.exec(ctx, addReaction, message, user, emoji, now); err != nil {
		return fmt.Errorf("store reaction: %w", err)
	}
	return nil
}

// DropReaction implements chat's reacting.
func (tx chatTx) DropReaction(ctx context.Context, message, user int64, emoji string) error {
	if _, err := tx.exec(ctx, dropReaction, message, user, emoji); err != nil {
		return fmt.Errorf("drop reaction: %w", err)
	}
	return nil
}

// Touch implements chat's reacting.
func (tx chatTx) Touch(ctx context.Context, message, eventSeq int64) error {
	_, err := tx.exec(ctx, touch, eventSeq, message)
	return err
}

const reacted = `SELECT r.emoji, r.created_at, ` + personColumns + ` FROM reactions AS r LEFT JOIN users AS u ON u.id = r.user_id
	WHERE r.message_id = $1 AND ($2 = '' OR r.emoji = $2) ORDER BY r.created_at, r.user_id, r.emoji`

// Reacted implements chat's reacting.
func (tx chatTx) Reacted(ctx context.Context, message int64, emoji string) (found []chat.Reacted, err error) {
	err = tx.query(ctx, reacted, args(message, emoji), func(r row) error {
		var one chat.Reacted
		if err := r.Scan(append([]any{&one.Emoji, &one.At}, personDest(&one.Person)...)...); err != nil {
			return fmt.Errorf("scan reaction: %w", err)
		}
		found = append(found, one)
		return nil
	})
	return found, err
}
