package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/kuranty/kuranty/internal/chat"
)

const (
	findPair = `SELECT id FROM chats WHERE direct_key = $1 AND state = 'active'`
	addPair  = `INSERT INTO chats (kind, direct_key, member_count, last_activity_at, created_by, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $4, $4) ON CONFLICT (direct_key) DO NOTHING RETURNING id`
	addPlace = `INSERT INTO members (chat_id, user_id, joined_at, hidden, event_seq) VALUES ($1, $2, $3, $4, 1)`
)

// FindPair implements chat's rooms.
func (tx chatTx) FindPair(ctx context.Context, a, b int64) (id int64, err error) {
	err = tx.queryRow(ctx, findPair, args(directKey(a, b)), &id)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return id, err
}

// AddPair implements chat's rooms.
func (tx chatTx) AddPair(ctx context.Context, user, other, now int64) (id int64, made bool, err error) {
	kind, members := chat.Direct, []int64{user, other}
	if user == other {
		kind, members = chat.Saved, members[:1]
	}
	err = tx.queryRow(ctx, addPair, args(kind, directKey(user, other), len(members), now, user), &id)
	if errors.Is(err, sql.ErrNoRows) {
		id, err = tx.FindPair(ctx, user, other)
		return id, false, err
	}
	if err != nil {
		return 0, false, fmt.Errorf("store chat: %w", err)
	}
	for _, who := range members {
		if _, err := tx.exec(ctx, addPlace, id, who, now, who != user); err != nil {
			return 0, false, fmt.Errorf("store member: %w", err)
		}
	}
	return id, true, nil
}

const unhide = `UPDATE members SET hidden = FALSE WHERE chat_id = $1 AND user_id = $2 AND hidden`

// Unhide implements chat's rooms.
func (tx chatTx) Unhide(ctx context.Context, id, user int64) (changed bool, err error) {
	n, err := tx.exec(ctx, unhide, id, user)
	return n > 0, err
}

const addGroup = `INSERT INTO chats (kind, title, about, avatar_file_id, owner_id, settings, last_activity_at, created_by, created_at, updated_at)
	VALUES ('group', $1, $2, $3, $4, $5, $6, $4, $6, $6) RETURNING id`

// AddGroup implements chat's rooms.
func (tx chatTx) AddGroup(ctx context.Context, c *chat.Chat, now int64) (id int64, err error) {
	settings, err := toJSONObject(&c.Settings)
	if err != nil {
		return 0, fmt.Errorf("encode settings: %w", err)
	}
	if err := tx.queryRow(ctx, addGroup, args(c.Title, c.About, c.Avatar, c.Owner, settings, now), &id); err != nil {
		return 0, fmt.Errorf("store group: %w", err)
	}
	return id, nil
}

const (
	room = `SELECT ` + chatColumns + ` FROM chats AS c WHERE c.id = $1 AND c.state = 'active'`
	// The one writer of SQLite needs no lock.
	holdRoom = room + ` FOR NO KEY UPDATE`

	isMember  = `SELECT 1 FROM members WHERE chat_id = $1 AND user_id = $2 AND state = 'active'`
	placeOf   = `SELECT ` + memberColumns + ` FROM members AS i WHERE i.chat_id = $1 AND i.user_id = $2`
	nextEvent = `UPDATE chats SET last_event_seq = last_event_seq + 1 WHERE id = $1 RETURNING last_event_seq`
	saveChat  = `UPDATE chats SET title = $1, about = $2, avatar_file_id = $3, owner_id = $4, settings = $5, retention_days = $6, updated_at = $7 WHERE id = $8`
)

// Hold implements chat's invites.
func (tx chatTx) Hold(ctx context.Context, id int64) (c chat.Chat, err error) {
	f := chatFields{c: &c}
	if err := tx.queryRow(ctx, tx.text(room, holdRoom), args(id), f.dest()...); err != nil {
		return c, noRow(err, chat.ErrNotFound)
	}
	return c, f.finish()
}

// Lock implements chat's rooms.
func (tx chatTx) Lock(ctx context.Context, id, user int64) (c chat.Chat, m chat.Member, err error) {
	// Who is no member does not even wait for the chat's row.
	var is int
	if err := tx.queryRow(ctx, isMember, args(id, user), &is); err != nil {
		return c, m, noRow(err, chat.ErrNotFound)
	}
	if c, err = tx.Hold(ctx, id); err != nil {
		return c, m, err
	}
	// Again, now that the chat is ours: a removal that came first has been stored.
	if m, err = tx.Place(ctx, id, user); err != nil {
		return c, m, err
	}
	if m.State != chat.Active {
		return c, m, chat.ErrNotFound
	}
	return c, m, nil
}

// Place implements chat's members.
func (tx chatTx) Place(ctx context.Context, id, user int64) (m chat.Member, err error) {
	f := memberFields{m: &m}
	if err := tx.queryRow(ctx, placeOf, args(id, user), f.dest()...); err != nil {
		return m, noRow(err, chat.ErrNotFound)
	}
	f.finish()
	return m, nil
}

// NextEvent implements chat's rooms.
func (tx chatTx) NextEvent(ctx context.Context, id int64) (seq int64, err error) {
	if err := tx.queryRow(ctx, nextEvent, args(id), &seq); err != nil {
		return 0, fmt.Errorf("take a number of chat %d: %w", id, noRow(err, chat.ErrNotFound))
	}
	return seq, nil
}

// SaveChat implements chat's rooms.
func (tx chatTx) SaveChat(ctx context.Context, c *chat.Chat, now int64) error {
	settings, err := toJSONObject(&c.Settings)
	if err != nil {
		return fmt.Errorf("encode settings: %w", err)
	}
	if _, err := tx.exec(ctx, saveChat, c.Title, c.About, c.Avatar, c.Owner, settings, c.RetentionDays, now, c.ID); err != nil {
		return fmt.Errorf("store chat: %w", err)
	}
	return nil
}

const (
	closeChat    = `UPDATE chats SET state = 'deleted', direct_key = NULL, member_count = 0, updated_at = $1 WHERE id = $2`
	closeMembers = `UPDATE members SET state = 'left' WHERE chat_id = $1 AND state = 'active'`
	closeInvites = `UPDATE invites SET revoked_at = $1 WHERE chat_id = $2 AND revoked_at = 0`
)

// CloseChat implements chat's rooms.
func (tx chatTx) CloseChat(ctx context.Context, id, now int64) error {
	_, err1 := tx.exec(ctx, closeChat, now, id)
	_, err2 := tx.exec(ctx, closeMembers, id)
	_, err3 := tx.exec(ctx, closeInvites, now, id)
	return errors.Join(err1, err2, err3)
}

const saveState = `UPDATE members SET muted_until = $1, pin_order = $2, archived = $3, draft = $4 WHERE chat_id = $5 AND user_id = $6`

// SaveState implements chat's rooms.
func (tx chatTx) SaveState(ctx context.Context, m *chat.Member) error {
	_, err := tx.exec(ctx, saveState, m.MutedUntil, m.PinOrder, m.Archived, string(m.Draft), m.Chat, m.User)
	return err
}

const (
	lastOf   = `UPDATE chats SET last_seq = last_seq WHERE id = $1 RETURNING last_seq` // and holds the row
	clearFor = `UPDATE members SET visible_from_seq = $1, read_seq = $1, read_at = $2, delivered_seq = $1, delivered_at = $2,
		manual_unread_seq = 0 WHERE chat_id = $3 AND user_id = $4`
	hideFor = `UPDATE members SET hidden = TRUE, pin_order = 0, archived = FALSE, draft = '' WHERE chat_id = $1 AND user_id = $2`
)

// ClearFor implements chat's rooms.
func (tx chatTx) ClearFor(ctx context.Context, id, user int64, hide bool, now int64) error {
	var last int64
	if err := tx.queryRow(ctx, lastOf, args(id), &last); err != nil {
		return fmt.Errorf("clear chat %d: %w", id, noRow(err, chat.ErrNotFound))
	}
	_, err1 := tx.exec(ctx, noteRead, last, user, id)
	_, err2 := tx.exec(ctx, clearFor, last, now, id, user)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("clear chat %d: %w", id, err)
	}
	if !hide {
		return nil
	}
	_, err := tx.exec(ctx, hideFor, id, user)
	return err
}

const ownAvatar = `SELECT EXISTS (SELECT 1 FROM files WHERE id = $1 AND owner_id = $2 AND kind = 'avatar')`

// OwnAvatar implements chat's rooms.
func (tx chatTx) OwnAvatar(ctx context.Context, user int64, file string) (own bool, err error) {
	err = tx.queryRow(ctx, ownAvatar, args(file, user), &own)
	return own, err
}
