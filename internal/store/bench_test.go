//go:build unix

package store_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/store"
)

// BenchmarkSend is what one process stores per second without HTTP: 64 people who send
// to 64 groups of all of them. It reports the CPU time of a send too, which holds on a
// busy machine.
func BenchmarkSend(b *testing.B) {
	s, err := store.Open(b.Context(), store.Options{Path: filepath.Join(b.TempDir(), "kuranty.db"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	const people = 64
	made, err := s.Fill(b.Context(), store.Filling{People: people, Groups: []store.FilledGroups{{Count: people, Members: people}}})
	if err != nil {
		b.Fatal(err)
	}
	svc := chat.New(chat.Options{Store: s.Chat(), Limits: chat.Limits{SendPerSecond: -1, ChatPerSecond: -1}})
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	begun, before := cpu(), s.Stats()
	for i := range int64(people) {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				_, _, err := svc.Send(context.Background(), made.People+i, made.Groups[0]+n*7%people,
					chat.Sending{ClientID: fmt.Sprint("c", n), Text: fmt.Sprint(n, " Привет, это сообщение обычной длины, как пишут люди")})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	after := s.Stats()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "sends/s")
	b.ReportMetric(float64(b.N)/float64(after.Groups-before.Groups), "sends/commit")
	b.ReportMetric(float64((after.CommitTime-before.CommitTime).Microseconds())/float64(b.N), "commit-µs/op")
	b.ReportMetric(float64((cpu()-begun).Microseconds())/float64(b.N), "cpu-µs/op")
}

// cpu is the time this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
