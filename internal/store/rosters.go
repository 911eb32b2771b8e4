package store

import (
	"context"
	"encoding/json"
	"fmt"
)

const (
	rostersSQLite = `SELECT chat_id, user_id FROM (SELECT ` + rosterRow + ` FROM json_each($1) AS j
		JOIN members AS i ON i.chat_id = j.value AND i.user_id = $2 AND i.state = 'active' ` + rosterMembers
	rostersPostgres = `SELECT chat_id, user_id FROM (SELECT ` + rosterRow + ` FROM jsonb_array_elements_text($1::jsonb) AS j(value)
		JOIN members AS i ON i.chat_id = j.value::bigint AND i.user_id = $2 AND i.state = 'active' ` + rosterMembers

	rosterRow = `m.chat_id, m.user_id, row_number() OVER (PARTITION BY m.chat_id
		ORDER BY CASE m.role WHEN 'owner' THEN 0 WHEN 'admin' THEN 1 ELSE 2 END, m.joined_at, m.user_id) AS n`
	rosterMembers = `JOIN members AS m ON m.chat_id = i.chat_id AND m.state = 'active') AS r WHERE n <= $3 ORDER BY chat_id, n`
)

// RostersOf implements chat's rosters.
func (tx chatTx) RostersOf(ctx context.Context, viewer int64, chats []int64, each int) (map[int64][]int64, error) {
	list, err := json.Marshal(chats)
	if err != nil {
		return nil, fmt.Errorf("encode chats: %w", err)
	}
	found := make(map[int64][]int64, len(chats))
	err = tx.query(ctx, tx.text(rostersSQLite, rostersPostgres), args(string(list), viewer, each), func(r row) error {
		var id, user int64
		if err := r.Scan(&id, &user); err != nil {
			return fmt.Errorf("scan member: %w", err)
		}
		found[id] = append(found[id], user)
		return nil
	})
	return found, err
}
