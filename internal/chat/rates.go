package chat

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// ratesKept bounds the buckets in memory; full ones are forgotten first, which
// changes nothing.
const ratesKept = 50_000

// rates limits how often one person, or one chat, does something.
type rates struct {
	clock func() time.Time
	send  buckets
	chat  buckets
	seek  buckets
	open  buckets
	daily buckets
	load  buckets
}

func newRates(l Limits, clock func() time.Time) rates {
	return rates{
		clock: clock,
		send:  newBuckets(l.SendPerSecond, time.Second, l.SendBurst),
		chat:  newBuckets(l.ChatPerSecond, time.Second, l.ChatPerSecond),
		seek:  newBuckets(l.SearchPerMinute, time.Minute, l.SearchPerMinute),
		open:  newBuckets(l.ChatsPerMinute, time.Minute, l.ChatsPerMinute),
		daily: newBuckets(l.ChatsPerDay, 24*time.Hour, l.ChatsPerDay),
		load:  newBuckets(l.UploadsPerMinute, time.Minute, l.UploadsPerMinute),
	}
}

// buckets hold one token bucket for each id.
type buckets struct {
	n      int // per window; negative is no limit
	window time.Duration
	burst  int

	mu   *sync.Mutex
	held map[int64]*rate.Limiter
}

func newBuckets(n int, window time.Duration, burst int) buckets {
	return buckets{n: n, window: window, burst: burst, mu: new(sync.Mutex), held: make(map[int64]*rate.Limiter)}
}

// take takes a token of id, or returns a [*RateError].
func (b *buckets) take(id int64, now time.Time) error {
	if b.n < 0 {
		return nil
	}
	b.mu.Lock()
	l := b.held[id]
	if l == nil {
		if len(b.held) >= ratesKept {
			b.forget(now)
		}
		l = rate.NewLimiter(rate.Limit(float64(b.n)/b.window.Seconds()), b.burst)
		b.held[id] = l
	}
	b.mu.Unlock()
	r := l.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	r.CancelAt(now)
	return &RateError{Limit: b.n, Window: b.window, RetryAfter: wait}
}

// forget drops the buckets that are full again, or any if none is.
func (b *buckets) forget(now time.Time) {
	for id, l := range b.held {
		if l.TokensAt(now) >= float64(b.burst) {
			delete(b.held, id)
		}
	}
	for id := range b.held {
		if len(b.held) < ratesKept {
			return
		}
		delete(b.held, id)
	}
}
