package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/kuranty/kuranty/internal/identity"
)

const insertSession = `INSERT INTO sessions (id, user_id, family, refresh_hash, replaced, device, platform, ip, user_agent,
		created_at, last_used_at, expires_at)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`

// AddSession stores a session.
func (tx accountTx) AddSession(ctx context.Context, s identity.Session) error {
	replaced, err := encodeReplaced(s.Replaced)
	if err != nil {
		return err
	}
	_, err = tx.exec(ctx, insertSession, s.ID, s.User, s.Family, s.Refresh, replaced, s.Device, s.Platform, s.Address, s.UserAgent,
		s.CreatedAt, s.LastUsedAt, s.ExpiresAt)
	if err != nil {
		return fmt.Errorf("add session: %w", err)
	}
	return nil
}

func encodeReplaced(list []identity.Replaced) (string, error) {
	if list == nil {
		list = []identity.Replaced{}
	}
	b, err := json.Marshal(list)
	if err != nil {
		return "", fmt.Errorf("encode replaced tokens: %w", err)
	}
	return string(b), nil
}

const sessionColumns = `id, user_id, family, refresh_hash, replaced, device, platform, ip, user_agent, created_at, last_used_at,
	expires_at, coalesce(revoked_at, 0), coalesce(revoke_reason, '')`

func scanSession(r row, s *identity.Session) error {
	var replaced []byte
	err := r.Scan(&s.ID, &s.User, &s.Family, &s.Refresh, &replaced, &s.Device, &s.Platform, &s.Address, &s.UserAgent,
		&s.CreatedAt, &s.LastUsedAt, &s.ExpiresAt, &s.RevokedAt, &s.RevokeReason)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(replaced, &s.Replaced); err != nil {
		return fmt.Errorf("decode replaced tokens of session %s: %w", s.ID, err)
	}
	return nil
}

func (tx accountTx) session(ctx context.Context, query, key string) (s identity.Session, err error) {
	err = classify(scanSession(tx.row(ctx, query, key), &s))
	if errors.Is(err, sql.ErrNoRows) {
		return identity.Session{}, identity.ErrNotFound
	}
	if err != nil {
		return identity.Session{}, fmt.Errorf("read session: %w", err)
	}
	return s, nil
}

const (
	sessionByID     = `SELECT ` + sessionColumns + ` FROM sessions WHERE id = $1`
	sessionByFamily = `SELECT ` + sessionColumns + ` FROM sessions WHERE family = $1`
)

// Session returns a session.
func (tx accountTx) Session(ctx context.Context, id string) (identity.Session, error) {
	return tx.session(ctx, sessionByID, id)
}

// SessionByFamily returns the session that a refresh token is of.
func (tx accountTx) SessionByFamily(ctx context.Context, family string) (identity.Session, error) {
	return tx.session(ctx, sessionByFamily, family)
}

const updateRefresh = `UPDATE sessions SET refresh_hash = $1, replaced = $2, ip = $3, user_agent = $4, last_used_at = $5, expires_at = $6
	WHERE id = $7`

// SaveRefresh stores what a refresh changes.
func (tx accountTx) SaveRefresh(ctx context.Context, s identity.Session) error {
	replaced, err := encodeReplaced(s.Replaced)
	if err != nil {
		return err
	}
	if _, err := tx.exec(ctx, updateRefresh, s.Refresh, replaced, s.Address, s.UserAgent, s.LastUsedAt, s.ExpiresAt, s.ID); err != nil {
		return fmt.Errorf("refresh session: %w", err)
	}
	return nil
}

const liveSessions = `SELECT ` + sessionColumns + ` FROM sessions
	WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2 ORDER BY last_used_at DESC, id`

// LiveSessions returns the sessions of a user that can be used.
func (tx accountTx) LiveSessions(ctx context.Context, user, now int64) ([]identity.Session, error) {
	var list []identity.Session
	err := tx.query(ctx, liveSessions, args(user, now), func(r row) error {
		var s identity.Session
		if err := scanSession(r, &s); err != nil {
			return err
		}
		list = append(list, s)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	return list, nil
}

const (
	revokeSessions = `UPDATE sessions SET revoked_at = $1, revoke_reason = $2
		WHERE user_id = $3 AND id <> $4 AND revoked_at IS NULL AND expires_at > $1 RETURNING id`
	revokeSession = `UPDATE sessions SET revoked_at = $1, revoke_reason = $2
		WHERE id = $3 AND revoked_at IS NULL AND expires_at > $1`
)

// RevokeSessions revokes the sessions of a user but one and returns their ids.
func (tx accountTx) RevokeSessions(ctx context.Context, user int64, except string, now int64, reason string) (ids []string, err error) {
	err = tx.query(ctx, revokeSessions, args(now, reason, user, except), func(r row) error {
		var id string
		if err := r.Scan(&id); err != nil {
			return err
		}
		ids = append(ids, id)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("revoke sessions: %w", err)
	}
	return ids, nil
}

// RevokeSession revokes one session, if it is live.
func (tx accountTx) RevokeSession(ctx context.Context, id string, now int64, reason string) (bool, error) {
	n, err := tx.exec(ctx, revokeSession, now, reason, id)
	if err != nil {
		return false, fmt.Errorf("revoke session: %w", err)
	}
	return n == 1, nil
}

const knownAddress = `SELECT EXISTS (SELECT 1 FROM sessions WHERE user_id = $1 AND ip = $2 AND last_used_at > $3)`

// KnownAddress tells whether a session of the user was used from an address.
func (tx accountTx) KnownAddress(ctx context.Context, user int64, address string, since int64) (known bool, err error) {
	if err := tx.queryRow(ctx, knownAddress, args(user, address, since), &known); err != nil {
		return false, fmt.Errorf("look for an address: %w", err)
	}
	return known, nil
}

const (
	insertOneTime = `INSERT INTO account_tokens (hash, purpose, user_id, email, max_uses, created_by, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
	oneTimeColumns = `hash, purpose, coalesce(user_id, 0), coalesce(email, ''), max_uses, uses, coalesce(created_by, 0), created_at, expires_at`
	oneTimeByHash  = `SELECT ` + oneTimeColumns + ` FROM account_tokens WHERE hash = $1 AND purpose = $2 AND uses < max_uses AND expires_at > $3`
	// The condition is checked on the locked row, so uses are exact.
	useOneTime = `UPDATE account_tokens SET uses = uses + 1 WHERE hash = $1 AND purpose = $2 AND uses < max_uses AND expires_at > $3
		RETURNING ` + oneTimeColumns
	dropOneTime  = `DELETE FROM account_tokens WHERE purpose = $1 AND user_id = $2`
	takeOneTime  = `DELETE FROM account_tokens WHERE purpose = $1 RETURNING ` + oneTimeColumns
	sweepOneTime = `DELETE FROM account_tokens WHERE expires_at <= $1`
	sweepExpired = `DELETE FROM sessions WHERE expires_at <= $1`
	sweepRevoked = `DELETE FROM sessions WHERE revoked_at <= $1`
)

// AddToken stores a token that is good for a number of uses.
func (tx accountTx) AddToken(ctx context.Context, t identity.OneTime) error {
	_, err := tx.exec(ctx, insertOneTime, t.Hash, t.Purpose, nullNumber(t.User), nullText(t.Email), t.MaxUses, nullNumber(t.CreatedBy), t.CreatedAt, t.ExpiresAt)
	if err != nil {
		return fmt.Errorf("add token: %w", err)
	}
	return nil
}

func scanToken(r row, t *identity.OneTime) error {
	return r.Scan(&t.Hash, &t.Purpose, &t.User, &t.Email, &t.MaxUses, &t.Uses, &t.CreatedBy, &t.CreatedAt, &t.ExpiresAt)
}

// Token returns a token that has uses left.
func (tx accountTx) Token(ctx context.Context, purpose, hash string, now int64) (identity.OneTime, error) {
	return tx.token(ctx, oneTimeByHash, purpose, hash, now)
}

// UseToken counts a use of a token that has uses left.
func (tx accountTx) UseToken(ctx context.Context, purpose, hash string, now int64) (identity.OneTime, error) {
	return tx.token(ctx, useOneTime, purpose, hash, now)
}

func (tx accountTx) token(ctx context.Context, query, purpose, hash string, now int64) (t identity.OneTime, err error) {
	err = classify(scanToken(tx.row(ctx, query, hash, purpose, now), &t))
	if errors.Is(err, sql.ErrNoRows) {
		return identity.OneTime{}, identity.ErrNotFound
	}
	if err != nil {
		return identity.OneTime{}, fmt.Errorf("read token: %w", err)
	}
	return t, nil
}

// DropTokens removes a user's tokens of one purpose.
func (tx accountTx) DropTokens(ctx context.Context, purpose string, user int64) error {
	if _, err := tx.exec(ctx, dropOneTime, purpose, user); err != nil {
		return fmt.Errorf("drop tokens: %w", err)
	}
	return nil
}

// TakeTokens removes all tokens of one purpose and returns those that have not expired.
func (tx accountTx) TakeTokens(ctx context.Context, purpose string, now int64) (list []identity.OneTime, err error) {
	err = tx.query(ctx, takeOneTime, args(purpose), func(r row) error {
		var t identity.OneTime
		if err := scanToken(r, &t); err != nil {
			return err
		}
		if t.ExpiresAt > now {
			list = append(list, t)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("take tokens: %w", err)
	}
	return list, nil
}

// Sweep removes tokens that have expired and sessions that ended before then.
func (tx accountTx) Sweep(ctx context.Context, now, then int64) error {
	for _, s := range []struct {
		query string
		at    int64
	}{{sweepOneTime, now}, {sweepExpired, then}, {sweepRevoked, then}} {
		if _, err := tx.exec(ctx, s.query, s.at); err != nil {
			return fmt.Errorf("remove expired sessions and tokens: %w", err)
		}
	}
	return nil
}
