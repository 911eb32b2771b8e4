package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/kuranty/kuranty/internal/identity"
)

const (
	insertKey = `INSERT INTO api_keys (id, hash, name, hint, scopes, created_by, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
	keyColumns = `id, hash, name, hint, scopes, coalesce(created_by, 0), created_at, coalesce(expires_at, 0), coalesce(last_used_at, 0), last_used_ip, coalesce(revoked_at, 0)`
	keyByHash  = `SELECT ` + keyColumns + ` FROM api_keys WHERE hash = $1`
	allKeys    = `SELECT ` + keyColumns + ` FROM api_keys ORDER BY created_at DESC, id`
	revokeKey  = `UPDATE api_keys SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL RETURNING ` + keyColumns
	touchKey   = `UPDATE api_keys SET last_used_at = $1, last_used_ip = CASE WHEN $2 = '' THEN last_used_ip ELSE $2 END
		WHERE id = $3 AND (last_used_at IS NULL OR last_used_at < $1)`
)

func scanKey(r row, k *identity.Key) error {
	var scopes string
	err := r.Scan(&k.ID, &k.Hash, &k.Name, &k.Hint, &scopes, &k.CreatedBy, &k.CreatedAt, &k.ExpiresAt, &k.LastUsedAt, &k.LastUsedIP, &k.RevokedAt)
	k.Scopes = identity.DecodeScopes(scopes)
	return err
}

// AddKey stores an API key.
func (tx accountTx) AddKey(ctx context.Context, k identity.Key) error {
	_, err := tx.exec(ctx, insertKey, k.ID, k.Hash, k.Name, k.Hint, identity.EncodeScopes(k.Scopes), nullNumber(k.CreatedBy), k.CreatedAt, nullNumber(k.ExpiresAt))
	if err != nil {
		return fmt.Errorf("add API key: %w", err)
	}
	return nil
}

func (tx accountTx) key(ctx context.Context, query string, a ...any) (k identity.Key, err error) {
	err = classify(scanKey(tx.row(ctx, query, a...), &k))
	if errors.Is(err, sql.ErrNoRows) {
		return identity.Key{}, identity.ErrNotFound
	}
	if err != nil {
		return identity.Key{}, fmt.Errorf("read API key: %w", err)
	}
	return k, nil
}

// KeyByHash returns the API key with a hash.
func (tx accountTx) KeyByHash(ctx context.Context, hash string) (identity.Key, error) {
	return tx.key(ctx, keyByHash, hash)
}

// RevokeKey revokes an API key that is not revoked.
func (tx accountTx) RevokeKey(ctx context.Context, id string, now int64) (identity.Key, error) {
	return tx.key(ctx, revokeKey, now, id)
}

// Keys returns all API keys, the newest first.
func (tx accountTx) Keys(ctx context.Context) (list []identity.Key, err error) {
	err = tx.query(ctx, allKeys, nil, func(r row) error {
		var k identity.Key
		if err := scanKey(r, &k); err != nil {
			return err
		}
		list = append(list, k)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list API keys: %w", err)
	}
	return list, nil
}

// TouchKey notes when an API key was used, and from where if that is known.
func (tx accountTx) TouchKey(ctx context.Context, id string, last identity.Use) error {
	if _, err := tx.exec(ctx, touchKey, last.At, last.IP, id); err != nil {
		return fmt.Errorf("note use of API key: %w", err)
	}
	return nil
}
