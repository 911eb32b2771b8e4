package store

import (
	"context"
	"fmt"

	"github.com/kuranty/kuranty/internal/privacy"
)

const (
	dayMS = `86400000`

	seenSince = `count(CASE WHEN u.state = 'active' AND u.kind = 'human' AND (u.last_seen_at >= `
	orLogin   = ` OR EXISTS (SELECT 1 FROM sessions AS s WHERE s.user_id = u.id AND s.last_used_at >= `

	countUsers = `SELECT count(CASE WHEN u.state = 'active' AND u.kind = 'human' THEN 1 END), count(CASE WHEN u.state = 'active' AND u.kind = 'bot' THEN 1 END),
		count(CASE WHEN u.state = 'suspended' THEN 1 END), count(CASE WHEN u.state = 'deleted' THEN 1 END),
		` + seenSince + `$1` + orLogin + `$1)) THEN 1 END), ` + seenSince + `$2` + orLogin + `$2)) THEN 1 END), ` + seenSince + `$3` + orLogin + `$3)) THEN 1 END)
		FROM users AS u`
	countChats = `SELECT count(CASE WHEN kind = 'direct' THEN 1 END), count(CASE WHEN kind = 'group' THEN 1 END), count(CASE WHEN kind = 'saved' THEN 1 END)
		FROM chats WHERE state = 'active'`
	countMessages = `SELECT count(*) FROM messages WHERE deleted_at = 0 AND message_type <> 'system'`
	countFiles    = `SELECT count(*), coalesce(sum(size), 0) FROM files`
	sizeSQLite    = `SELECT (SELECT page_count FROM pragma_page_count()) * (SELECT page_size FROM pragma_page_size())`
	sizePostgres  = `SELECT pg_database_size(current_database())`

	messagesByDay = `SELECT created_at / ` + dayMS + ` AS day, count(*) FROM messages
		WHERE created_at >= $1 AND deleted_at = 0 AND message_type <> 'system' GROUP BY created_at / ` + dayMS
	usersByDay = `SELECT created_at / ` + dayMS + ` AS day, count(*) FROM users WHERE created_at >= $1 AND kind = 'human' GROUP BY created_at / ` + dayMS
)

// Count implements privacy's statistics.
func (tx privacyTx) Count(ctx context.Context, now int64) (n privacy.Statistics, err error) {
	const day = 86_400_000
	err = tx.queryRow(ctx, countUsers, args(now-day, now-7*day, now-30*day),
		&n.Users, &n.Bots, &n.Suspended, &n.Deleted, &n.ActiveDay, &n.ActiveWeek, &n.ActiveMonth)
	if err != nil {
		return n, fmt.Errorf("count users: %w", err)
	}
	if err := tx.queryRow(ctx, countChats, nil, &n.Direct, &n.Groups, &n.Saved); err != nil {
		return n, fmt.Errorf("count chats: %w", err)
	}
	if err := tx.queryRow(ctx, countMessages, nil, &n.Messages); err != nil {
		return n, fmt.Errorf("count messages: %w", err)
	}
	if err := tx.queryRow(ctx, countFiles, nil, &n.Files, &n.FileBytes); err != nil {
		return n, fmt.Errorf("count files: %w", err)
	}
	if err := tx.queryRow(ctx, tx.text(sizeSQLite, sizePostgres), nil, &n.DatabaseBytes); err != nil {
		return n, fmt.Errorf("measure database: %w", err)
	}
	return n, nil
}

// MessagesByDay implements privacy's statistics.
func (tx privacyTx) MessagesByDay(ctx context.Context, since int64) (map[int64]int64, error) {
	return tx.byDay(ctx, messagesByDay, since)
}

// UsersByDay implements privacy's statistics.
func (tx privacyTx) UsersByDay(ctx context.Context, since int64) (map[int64]int64, error) {
	return tx.byDay(ctx, usersByDay, since)
}

func (tx privacyTx) byDay(ctx context.Context, query string, since int64) (map[int64]int64, error) {
	found := make(map[int64]int64)
	err := tx.query(ctx, query, args(since), func(r row) error {
		var day, n int64
		if err := r.Scan(&day, &n); err != nil {
			return fmt.Errorf("scan day: %w", err)
		}
		found[day] = n
		return nil
	})
	return found, err
}
