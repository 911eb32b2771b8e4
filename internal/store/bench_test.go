package store_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/store"
)

// BenchmarkSend is what one process stores per second without HTTP: 64 writers, each in
// a chat of its own.
func BenchmarkSend(b *testing.B) {
	s := openBench(b)
	svc := chat.New(chat.Options{Store: s.Chat(), Limits: chat.Limits{SendPerSecond: -1, ChatPerSecond: -1}})
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range 64 {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				_, _, err := svc.Send(context.Background(), 1, 1, chat.Sending{ClientID: fmt.Sprint(n), Text: "Привет, это сообщение обычной длины, как пишут люди"})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "sends/s")
}

func openBench(b *testing.B) *store.Store {
	s, err := store.Open(b.Context(), store.Options{Path: filepath.Join(b.TempDir(), "kuranty.db")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	s.MustExec(b, `INSERT INTO users (id, name, role, kind, state, privacy, search_name, created_at, updated_at) VALUES (1, 'Пётр', 'user', 'human', 'active', '{}', 'петр', 0, 0)`)
	s.MustExec(b, `INSERT INTO chats (id, kind, last_activity_at, created_by, created_at, updated_at) VALUES (1, 'group', 0, 1, 0, 0)`)
	s.MustExec(b, `INSERT INTO members (chat_id, user_id, joined_at) VALUES (1, 1, 0)`)
	return s
}
