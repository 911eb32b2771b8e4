package store

import (
	"context"

	"github.com/kuranty/kuranty/internal/chat"
)

const (
	rooms = `SELECT ` + chatColumns + ` FROM chats AS c WHERE c.id > $1 AND c.state = 'active' AND (CAST($2 AS TEXT) = '' OR c.kind = $2)
		AND (CAST($3 AS BIGINT) = 0 OR EXISTS (SELECT 1 FROM members AS i WHERE i.chat_id = c.id AND i.user_id = $3 AND i.state = 'active'))
		ORDER BY c.id LIMIT $4`
	leader = `SELECT i.user_id FROM members AS i WHERE i.chat_id = $1 AND i.state = 'active' ORDER BY ` + roleRank + `, i.joined_at, i.user_id LIMIT 1`
)

// Rooms implements chat's overview.
func (tx chatTx) Rooms(ctx context.Context, q chat.RoomsQuery) (list []chat.Chat, err error) {
	err = tx.query(ctx, rooms, args(q.After, q.Kind, q.Member, q.Limit), func(r row) error {
		var c chat.Chat
		f := chatFields{c: &c}
		if err := r.Scan(f.dest()...); err != nil {
			return err
		}
		err := f.finish()
		list = append(list, c)
		return err
	})
	return list, err
}

// Room implements chat's overview.
func (tx chatTx) Room(ctx context.Context, id int64) (c chat.Chat, err error) {
	f := chatFields{c: &c}
	if err := tx.queryRow(ctx, room, args(id), f.dest()...); err != nil {
		return c, noRow(err, chat.ErrNotFound)
	}
	return c, f.finish()
}

// Leader implements chat's overview.
func (tx chatTx) Leader(ctx context.Context, id int64) (user int64, err error) {
	err = tx.queryRow(ctx, leader, args(id), &user)
	return user, noRow(err, chat.ErrNotFound)
}
