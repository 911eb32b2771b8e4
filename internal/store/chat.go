package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/search"
)

// chatTx is what package chat does in a transaction.
type chatTx struct{ *Tx }

type chatStore struct{ s *Store }

// Chat returns the store of chats.
func (s *Store) Chat() chat.Store { return chatStore{s} }

func (c chatStore) Update(ctx context.Context, f func(chat.Tx) error) error {
	return c.s.Update(ctx, func(tx *Tx) error { return f(chatTx{tx}) })
}

func (c chatStore) View(ctx context.Context, f func(chat.Tx) error) error {
	return c.s.View(ctx, func(tx *Tx) error { return f(chatTx{tx}) })
}

// Words implements chat's search.
func (c chatStore) Words(text string) string {
	if c.s.o.Driver == Postgres {
		return search.TSVector(text)
	}
	return search.IndexText(text)
}

const nextUserSeq = `UPDATE users SET user_seq = user_seq + 1 WHERE id = $1 RETURNING user_seq`

// NextUserSeq takes the next number of the stream of a user.
func (tx chatTx) NextUserSeq(ctx context.Context, user int64) (seq int64, err error) {
	if err := tx.queryRow(ctx, nextUserSeq, args(user), &seq); err != nil {
		return 0, fmt.Errorf("take a number of user %d: %w", user, noRow(err, chat.ErrNotFound))
	}
	return seq, nil
}

// chatColumns are those of a chat, of a table called c.
const chatColumns = `c.id, c.kind, coalesce(c.direct_key, ''), c.title, c.about, c.avatar_file_id, c.owner_id, c.last_seq, c.last_event_seq,
	c.last_message_at, c.last_activity_at, c.member_count, c.settings, c.retention_days, c.purged_below_seq, c.legal_hold,
	c.created_by, c.created_at, c.updated_at`

// chatFields are where chatColumns are scanned to; finish then fills in the rest.
type chatFields struct {
	c         *chat.Chat
	directKey string
	settings  []byte
}

func (f *chatFields) dest() []any {
	c := f.c
	return []any{
		&c.ID, &c.Kind, &f.directKey, &c.Title, &c.About, &c.Avatar, &c.Owner, &c.LastSeq, &c.LastEventSeq,
		&c.LastMessageAt, &c.LastActivityAt, &c.MemberCount, &f.settings, &c.RetentionDays, &c.PurgedBelowSeq, &c.LegalHold,
		&c.CreatedBy, &c.CreatedAt, &c.UpdatedAt,
	}
}

func (f *chatFields) finish() error {
	if err := fromJSON(f.settings, &f.c.Settings); err != nil {
		return fmt.Errorf("settings of chat %d: %w", f.c.ID, err)
	}
	if a, b, ok := strings.Cut(f.directKey, ":"); ok {
		x, err := strconv.ParseInt(a, 10, 64)
		y, err2 := strconv.ParseInt(b, 10, 64)
		if err := errors.Join(err, err2); err != nil {
			return fmt.Errorf("key of chat %d: %w", f.c.ID, err)
		}
		*f.c = f.c.WithPair(x, y)
	}
	return nil
}

// personColumns are those of a person, of a table called u; without a row they are those
// of nobody. faceColumns are what a message shows of its sender beside the id.
const (
	faceColumns   = `coalesce(u.name, ''), coalesce(u.username, ''), coalesce(nullif(u.avatar_file_id, ''), u.picture, ''), coalesce(u.kind, '')`
	personColumns = faceColumns + `, coalesce(u.id, 0), coalesce(u.state, '')`
)

func faceDest(p *chat.Person) []any {
	return []any{&p.Name, &p.Username, &p.Avatar, &p.Kind}
}

func personDest(p *chat.Person) []any { return append(faceDest(p), &p.ID, &p.State) }

// fromJSON decodes a column that may be empty.
func fromJSON(b []byte, v any) error {
	if len(b) == 0 {
		return nil
	}
	return json.Unmarshal(b, v)
}

// toJSON encodes a column; what is empty is the empty text.
func toJSON[T any](list []T) (string, error) {
	if len(list) == 0 {
		return "", nil
	}
	b, err := json.Marshal(list)
	return string(b), err
}

func toJSONObject[T any](v *T) (string, error) {
	if v == nil {
		return "", nil
	}
	b, err := json.Marshal(v)
	return string(b), err
}
