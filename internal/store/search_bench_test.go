package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/store"
)

// BenchmarkSearch is a search in 1,000,000 messages of 2,000 chats on SQLite: user 1 is
// in 1,000 of them, user 2 in 10, user 3 in 100. Words are in every message, in one of a hundred, in
// one of 100,000, and in every message of chats that users 2 and 3 are not in. It reports the 95th
// percentile.
func BenchmarkSearch(b *testing.B) {
	c := openChats(b, store.SQLite, chat.Options{})
	c.store.MustExec(b, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20)
		INSERT INTO users (id, name, username, role, kind, state, privacy, search_name, created_at, updated_at)
		SELECT i, 'Человек ' || i, 'user' || i, 'user', 'human', 'active', '{}', 'человек ' || i, 0, 0 FROM n`)
	c.store.MustExec(b, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
		INSERT INTO chats (id, kind, title, last_seq, last_event_seq, last_activity_at, member_count, created_by, created_at, updated_at)
		SELECT i, 'group', 'Чат ' || i, 500, 500, i, 3, 1, 0, 0 FROM n`)
	c.store.MustExec(b, `INSERT INTO members (chat_id, user_id, joined_at) SELECT id, 1, 0 FROM chats WHERE id % 2 = 0`)
	c.store.MustExec(b, `INSERT INTO members (chat_id, user_id, joined_at) SELECT id, 2, 0 FROM chats WHERE id % 200 = 0`)
	c.store.MustExec(b, `INSERT INTO members (chat_id, user_id, joined_at) SELECT id, 3, 0 FROM chats WHERE id % 20 = 0`)
	// Message by message the chats take turns, as in life.
	for part := range 10 {
		c.store.MustExec(b, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)
			INSERT INTO messages (chat_id, seq, sender_id, message_type, text, created_at, event_seq)
			SELECT c.id, $1 * 50 + i, 1 + (c.id + i) % 20, 'text', 'Привет, это сообщение обычной длины слово' || CAST((c.id * 7919 + i * 104729) % 5000 AS TEXT)
				|| CASE WHEN (c.id * 31 + i * 17 + $1) % 100 = 0 THEN ' встреча' ELSE '' END
				|| CASE WHEN (c.id + i * 2000 + $1 * 100000) % 100000 = 200 THEN ' жемчуг' ELSE '' END
				|| CASE WHEN c.id % 20 = 1 THEN ' чужое' ELSE '' END, 0, 0
			FROM n, chats AS c ORDER BY i, c.id`, part)
	}
	start := time.Now()
	b.Logf("%d messages indexed in %v", c.reindex(), time.Since(start))
	for _, q := range []string{"сообщение", "встреча", "жемчуг", "чужое", "сообщение встреча", "сооб", `"обычной длины"`, "has:link", "before:2000-01-01", "from:@user1 сообщение"} {
		for _, sort := range []string{chat.NewestFirst, chat.ByRelevance} {
			for user, chats := range map[int64]int{1: 1000, 2: 10, 3: 100} {
				b.Run(fmt.Sprintf("q=%s,sort=%s,chats=%d", q, sort, chats), func(b *testing.B) {
					var took []time.Duration
					found := 0
					for b.Loop() {
						start := time.Now()
						r, err := c.SearchMessages(b.Context(), user, chat.SearchQuery{Q: q, Sort: sort})
						if err != nil {
							b.Fatal(err)
						}
						took = append(took, time.Since(start))
						found = r.TotalEstimate
					}
					if nowhere := q == "чужое" || q == "has:link"; (found == 0) != nowhere {
						b.Fatalf("%d messages found", found)
					}
					slices.Sort(took)
					b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
					b.ReportMetric(float64(found), "found")
				})
			}
		}
	}
}
