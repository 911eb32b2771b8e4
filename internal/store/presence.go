package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/kuranty/kuranty/internal/chat"
)

// Who may know when somebody was last there (chat-api.md §0.9): everybody, or who shares
// a direct chat or is an accepted contact; nobody who is blocked, either way. privacy is
// JSON that only we write, without blanks.
const (
	lastSeenSQLite = `SELECT u.id, coalesce(u.last_seen_at, 0) FROM json_each($1) AS j JOIN users AS u ON u.id = j.value
	WHERE u.id = $2 OR (` + lastSeenShown
	lastSeenPostgres = `SELECT u.id, coalesce(u.last_seen_at, 0) FROM jsonb_array_elements_text($1::jsonb) AS j(value) JOIN users AS u ON u.id = j.value::bigint
	WHERE u.id = $2 OR (` + lastSeenShown

	lastSeenShown = `u.state <> 'deleted'
	AND NOT EXISTS (SELECT 1 FROM blocks AS b WHERE b.user_id = u.id AND b.blocked_id = $2)
	AND NOT EXISTS (SELECT 1 FROM blocks AS b WHERE b.user_id = $2 AND b.blocked_id = u.id)
	AND (u.privacy LIKE '%"last_seen":"everyone"%'
		OR (u.privacy NOT LIKE '%"last_seen":"nobody"%' AND (
			EXISTS (SELECT 1 FROM contacts AS k WHERE k.user_id = u.id AND k.contact_id = $2 AND k.state = 'accepted')
			OR EXISTS (SELECT 1 FROM chats AS c WHERE c.direct_key =
				CASE WHEN u.id < $2 THEN CAST(u.id AS TEXT) || ':' || CAST($2 AS TEXT) ELSE CAST($2 AS TEXT) || ':' || CAST(u.id AS TEXT) END)))))`
)

// LastSeen implements chat's presence.
func (tx chatTx) LastSeen(ctx context.Context, viewer int64, users []int64) (map[int64]int64, error) {
	list, err := json.Marshal(users)
	if err != nil {
		return nil, fmt.Errorf("encode users: %w", err)
	}
	found := make(map[int64]int64, len(users))
	err = tx.query(ctx, tx.text(lastSeenSQLite, lastSeenPostgres), args(string(list), viewer), func(r row) error {
		var user, at int64
		if err := r.Scan(&user, &at); err != nil {
			return fmt.Errorf("scan last seen: %w", err)
		}
		found[user] = at
		return nil
	})
	return found, err
}

const setLastSeen = `UPDATE users SET last_seen_at = $1 WHERE id = $2 AND coalesce(last_seen_at, 0) < $1 AND state <> 'deleted'`

// SetLastSeen implements chat's presence.
func (tx chatTx) SetLastSeen(ctx context.Context, at map[int64]int64) error {
	for user, when := range at {
		if _, err := tx.exec(ctx, setLastSeen, when, user); err != nil {
			return fmt.Errorf("store last seen of user %d: %w", user, err)
		}
	}
	return nil
}

var _ chat.Tx = chatTx{}
