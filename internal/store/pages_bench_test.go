package store_test

import (
	"fmt"
	"testing"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/store"
)

const (
	manyPostgres = `INSERT INTO messages (chat_id, seq, sender_id, message_type, text, created_at, event_seq, deleted_at)
		SELECT $1, n, n % 2 + 1, 'text', 'message number ' || n, n, n, CASE WHEN n % 100 = 0 THEN 1 ELSE 0 END FROM generate_series($2::bigint, $3::bigint) AS s(n)`
	manySQLite = `WITH RECURSIVE s(n) AS (SELECT $2 UNION ALL SELECT n + 1 FROM s WHERE n < $3)
		INSERT INTO messages (chat_id, seq, sender_id, message_type, text, created_at, event_seq, deleted_at)
		SELECT $1, n, n % 2 + 1, 'text', 'message number ' || n, n, n, CASE WHEN n % 100 = 0 THEN 1 ELSE 0 END FROM s`
)

// BenchmarkPages reads pages of 50 from a chat of a million messages, one in a hundred
// deleted, and counts what is unread in it.
func BenchmarkPages(b *testing.B) {
	const messages = 1_000_000
	for _, driver := range []string{store.SQLite, store.Postgres} {
		b.Run("store="+driver, func(b *testing.B) {
			c := openChats(b, driver, chat.Options{})
			p := c.people(2)
			g := c.group(p...)
			many := manySQLite
			if driver == store.Postgres {
				many = manyPostgres
			}
			for n := 1; n < messages; n += 20_000 { // in steps, because no transaction may take long
				c.store.MustExec(b, many, g, n, n+20_000-1)
			}
			c.store.MustExec(b, `UPDATE chats SET last_seq = $1, last_event_seq = $1 WHERE id = $2`, messages, g)
			c.store.MustExec(b, `INSERT INTO reactions (message_id, user_id, emoji, created_at) SELECT id, $1, 'x', 0 FROM messages WHERE seq % 10 = 0`, p[0])
			c.store.MustExec(b, `ANALYZE`)
			for _, page := range []struct {
				name string
				q    chat.PageQuery
			}{
				{"newest", chat.PageQuery{Offset: -1, Deleted: true}},
				{"before", chat.PageQuery{Offset: -1, Before: messages / 2, Deleted: true}},
				{"around", chat.PageQuery{Offset: -1, Around: messages / 2}},
				{"count", chat.PageQuery{Offset: -1, Count: true}},
				{"offset", chat.PageQuery{Offset: messages / 2}},
			} {
				b.Run("page="+page.name, func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						if got, err := c.Messages(b.Context(), p[0], g, page.q); err != nil || len(got.Messages) != 50 {
							b.Fatal(len(got.Messages), err)
						}
					}
				})
			}
			for _, unread := range []int64{10, 10_000, messages} {
				c.setMember(g, p[1], "read_seq", messages-unread)
				b.Run(fmt.Sprintf("unread=%d", unread), func(b *testing.B) {
					for b.Loop() {
						if _, err := c.UnreadTotals(b.Context(), p[1]); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
			c.setMember(g, p[1], "manual_unread_seq", 1)
			b.Run("unread=marked", func(b *testing.B) {
				for b.Loop() {
					if _, err := c.UnreadTotals(b.Context(), p[1]); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}
