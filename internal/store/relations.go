package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/kuranty/kuranty/internal/chat"
)

const (
	pair = `SELECT id FROM users WHERE id IN ($1, $2) ORDER BY id`
	// The one writer of SQLite needs no lock.
	holdPair = pair + ` FOR NO KEY UPDATE`
)

// HoldPair implements chat's relations.
func (tx chatTx) HoldPair(ctx context.Context, a, b int64) error {
	return tx.query(ctx, tx.text(pair, holdPair), args(a, b), func(row) error { return nil })
}

const (
	addBlock    = `INSERT INTO blocks (user_id, blocked_id, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`
	partPair    = `DELETE FROM contacts WHERE (user_id = $1 AND contact_id = $2) OR (user_id = $2 AND contact_id = $1)`
	removeBlock = `DELETE FROM blocks WHERE user_id = $1 AND blocked_id = $2`
	isBlocked   = `SELECT EXISTS (SELECT 1 FROM blocks WHERE (user_id = $1 AND blocked_id = $2) OR (user_id = $2 AND blocked_id = $1))`
	blockedBy   = `SELECT ` + personViewColumns + ` FROM blocks AS s JOIN users AS w ON w.id = s.blocked_id JOIN users AS me ON me.id = s.user_id
		WHERE s.user_id = $1 ORDER BY s.created_at DESC, s.blocked_id`
)

// AddBlock implements chat's relations.
func (tx chatTx) AddBlock(ctx context.Context, user, other, now int64) (added bool, err error) {
	n, err := tx.exec(ctx, addBlock, user, other, now)
	if err != nil {
		return false, fmt.Errorf("store block: %w", err)
	}
	if _, err := tx.exec(ctx, partPair, user, other); err != nil {
		return false, fmt.Errorf("remove contact: %w", err)
	}
	return n > 0, nil
}

// RemoveBlock implements chat's relations.
func (tx chatTx) RemoveBlock(ctx context.Context, user, other int64) (removed bool, err error) {
	n, err := tx.exec(ctx, removeBlock, user, other)
	return n > 0, err
}

// Blocked implements chat's relations.
func (tx chatTx) Blocked(ctx context.Context, a, b int64) (blocked bool, err error) {
	err = tx.queryRow(ctx, isBlocked, args(a, b), &blocked)
	return blocked, err
}

// BlockedBy implements chat's relations.
func (tx chatTx) BlockedBy(ctx context.Context, user int64) ([]chat.PersonView, error) {
	return tx.readPeople(ctx, blockedBy, user)
}

const (
	contactState  = `SELECT state FROM contacts WHERE user_id = $1 AND contact_id = $2`
	removeContact = `DELETE FROM contacts WHERE user_id = $1 AND contact_id = $2`
	setContact    = `INSERT INTO contacts (user_id, contact_id, state, created_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (user_id, contact_id) DO UPDATE SET state = excluded.state, created_at = excluded.created_at`
	contactsOf = `SELECT ` + personViewColumns + `, s.state, s.created_at FROM contacts AS s JOIN users AS w ON w.id = s.contact_id
		JOIN users AS me ON me.id = s.user_id WHERE s.user_id = $1 ORDER BY s.created_at, s.contact_id`
)

// ContactState implements chat's relations.
func (tx chatTx) ContactState(ctx context.Context, user, other int64) (state string, err error) {
	err = tx.queryRow(ctx, contactState, args(user, other), &state)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return state, err
}

// SetContact implements chat's relations.
func (tx chatTx) SetContact(ctx context.Context, user, other int64, state string, now int64) error {
	var err error
	if state == "" {
		_, err = tx.exec(ctx, removeContact, user, other)
	} else {
		_, err = tx.exec(ctx, setContact, user, other, state, now)
	}
	if err != nil {
		return fmt.Errorf("store contact: %w", err)
	}
	return nil
}

// ContactsOf implements chat's relations.
func (tx chatTx) ContactsOf(ctx context.Context, user int64) ([]chat.Contact, error) {
	var found []chat.Contact
	err := tx.query(ctx, contactsOf, args(user), func(r row) error {
		var c chat.Contact
		f := personFields{p: &c.Person}
		if err := r.Scan(append(f.dest(), &c.State, &c.Since)...); err != nil {
			return fmt.Errorf("scan contact: %w", err)
		}
		if err := f.finish(); err != nil {
			return err
		}
		found = append(found, c)
		return nil
	})
	return found, err
}
