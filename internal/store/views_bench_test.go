package store_test

import (
	"fmt"
	"testing"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/store"
)

// BenchmarkChats is the list of chats of a user who has 1,000 of them, half of them
// groups of twenty, with 1,000,000 messages. Every third chat has unread messages.
func BenchmarkChats(b *testing.B) {
	c := openChats(b, store.SQLite, chat.Options{})
	c.store.MustExec(b, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1020)
		INSERT INTO users (id, name, username, role, kind, state, privacy, search_name, created_at, updated_at)
		SELECT i, 'Человек ' || i, 'user' || i, 'user', 'human', 'active', '{}', 'человек ' || i, 0, 0 FROM n`)
	c.store.MustExec(b, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
		INSERT INTO chats (id, kind, direct_key, title, last_seq, last_event_seq, last_message_at, last_activity_at, member_count, created_by, created_at, updated_at)
		SELECT i, CASE WHEN i % 2 = 0 THEN 'direct' ELSE 'group' END, CASE WHEN i % 2 = 0 THEN '1:' || (i + 1) END, 'Чат ' || i, 1000, 1000, i * 37 % 1000, i * 37 % 1000,
			CASE WHEN i % 2 = 0 THEN 2 ELSE 20 END, 1, 0, 0 FROM n`)
	c.store.MustExec(b, `INSERT INTO members (chat_id, user_id, joined_at, read_seq, delivered_seq) SELECT id, 1, 0, CASE WHEN id % 3 = 0 THEN 1000 - id % 200 ELSE 1000 END, 1000 FROM chats`)
	c.store.MustExec(b, `INSERT INTO members (chat_id, user_id, joined_at, read_seq, delivered_seq) SELECT id, id + 1, 0, 990, 1000 FROM chats WHERE kind = 'direct'`)
	c.store.MustExec(b, `WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 20)
		INSERT INTO members (chat_id, user_id, joined_at, read_seq, delivered_seq) SELECT id, i, 0, 900 + i, 1000 FROM chats, n WHERE kind = 'group'`)
	for part := range 10 {
		c.store.MustExec(b, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
			INSERT INTO messages (chat_id, seq, sender_id, message_type, text, client_id, created_at, event_seq, deleted_at)
			SELECT c.id, i, CASE WHEN c.kind = 'direct' THEN c.id + 1 ELSE 2 + i % 19 END, CASE WHEN i % 50 = 0 THEN 'system' ELSE 'text' END,
				'Привет, это сообщение обычной длины, как пишут люди', 'c' || i, i, i, CASE WHEN i % 40 = 0 THEN 1 ELSE 0 END
			FROM chats AS c, n WHERE c.id > $1 AND c.id <= $2`, part*100, (part+1)*100)
	}
	for _, q := range []chat.ChatsQuery{{}, {Limit: 1000}, {Filter: chat.UnreadChats}} {
		b.Run(fmt.Sprintf("limit=%d,filter=%s", max(q.Limit, 50), q.Filter), func(b *testing.B) {
			for b.Loop() {
				list, err := c.Chats(b.Context(), 1, q)
				if err != nil || len(list.Views) == 0 {
					b.Fatal(err, len(list.Views))
				}
			}
		})
	}
}
