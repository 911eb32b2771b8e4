package store

import (
	"context"
	"fmt"
)

const memberIDs = `SELECT user_id FROM members WHERE chat_id = $1 AND state = 'active' ORDER BY user_id`

// MemberIDsOf implements chat's audience.
func (tx chatTx) MemberIDsOf(ctx context.Context, id int64) (users []int64, err error) {
	err = tx.query(ctx, memberIDs, args(id), func(r row) error {
		var user int64
		if err := r.Scan(&user); err != nil {
			return fmt.Errorf("scan member: %w", err)
		}
		users = append(users, user)
		return nil
	})
	return users, err
}
