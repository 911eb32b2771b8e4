package privacy_test

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/store"
)

const fill = `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
	INSERT INTO messages (chat_id, seq, sender_id, message_type, text, created_at, event_seq)
	SELECT $2, 1000 + i, $3, 'text', 'some words that somebody wrote, of about the usual length ' || i, 1, 1000 + i FROM n`

// BenchmarkExport tells what memory an export takes at most: it does not grow with the
// number of messages.
func BenchmarkExport(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		b.Run(fmt.Sprintf("messages=%d", n), func(b *testing.B) {
			h := newHarness(b, store.SQLite, 0)
			users := h.users("anna", "boris")
			id := h.group(users[0], "G", users[1])
			h.exec(fill, n, id, users[1])
			h.exec(`UPDATE chats SET last_seq = $1, last_event_seq = $1 WHERE id = $2`, 1000+n, id)
			peak, base := new(atomic.Uint64), heap()
			stop := watch(peak)
			for b.Loop() {
				h.pass(time.Second)
				if _, err := h.privacy.RequestExport(b.Context(), users[0]); err != nil {
					b.Fatal(err)
				}
				h.work()
			}
			stop()
			b.ReportMetric(float64(int64(peak.Load())-int64(base))/(1<<20), "MiB-peak")
		})
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// watch notes the most that is on the heap until the returned function is called.
func watch(peak *atomic.Uint64) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
				peak.Store(max(peak.Load(), heap()))
			}
		}
	})
	return func() { close(done); wg.Wait() }
}
