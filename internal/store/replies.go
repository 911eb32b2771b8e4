package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

const (
	forgetReplies = `DELETE FROM idempotency WHERE created_at < $1`
	claimReply    = `INSERT INTO idempotency (principal, key, request, status, response, created_at)
		VALUES ($1, $2, $3, 0, '', $4)
		ON CONFLICT (principal, key) DO UPDATE SET request = $3, created_at = $4 WHERE idempotency.status = 0 AND idempotency.created_at < $5
		RETURNING status`
	claimedReply = `SELECT request, status, response FROM idempotency WHERE principal = $1 AND key = $2`
	keepReply    = `UPDATE idempotency SET status = $1, response = $2 WHERE principal = $3 AND key = $4`
	dropReply    = `DELETE FROM idempotency WHERE principal = $1 AND key = $2 AND status = 0`
)

// claimTTL is how long a request without a reply holds its key, in milliseconds: after
// that, its node has died.
const claimTTL = 60_000

// ClaimReply takes the idempotency key of a principal for a request, unless it was taken
// after oldest: then claimed is false and what was taken is returned, with status 0 as
// long as there is no reply. Times are in milliseconds since 1970. Of two who claim the
// same key at once one gets it.
func (s *Store) ClaimReply(ctx context.Context, principal, key, request string, now, oldest int64) (claimed bool, was string, status int, reply string, err error) {
	err = s.Update(ctx, func(tx *Tx) error {
		claimed = false
		if _, err := tx.exec(ctx, forgetReplies, oldest); err != nil {
			return fmt.Errorf("forget old replies: %w", err)
		}
		err := tx.queryRow(ctx, claimReply, args(principal, key, request, now, now-claimTTL), &status)
		if err == nil {
			claimed = true
			return nil
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("claim idempotency key: %w", err)
		}
		return tx.queryRow(ctx, claimedReply, args(principal, key), &was, &status, &reply)
	})
	return claimed, was, status, reply, err
}

// KeepReply keeps the reply of a claimed key.
func (s *Store) KeepReply(ctx context.Context, principal, key string, status int, reply string) error {
	return s.Update(ctx, func(tx *Tx) error {
		_, err := tx.exec(ctx, keepReply, status, reply, principal, key)
		return err
	})
}

// DropReply gives a claimed key back that has no reply.
func (s *Store) DropReply(ctx context.Context, principal, key string) error {
	return s.Update(ctx, func(tx *Tx) error {
		_, err := tx.exec(ctx, dropReply, principal, key)
		return err
	})
}
