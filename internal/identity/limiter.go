package identity

import (
	"net/netip"
	"sync"
	"time"
)

// limiter counts attempts by key and says how long to wait for the next one. An attempt
// counts when it begins, so that many at once are not let through together; one that
// turns out to be fine is taken back.
//
// It is of this process: behind several nodes an attacker has as many tries as there are
// nodes. Keys are bounded; when there are too many, those without effect are forgotten
// first, and then any.
type limiter struct {
	// limit attempts are free in window. After that the next one is due after first,
	// doubled with each further attempt up to window; zero first means when the oldest
	// of the limit is as old as window.
	limit         int
	window, first int64 // milliseconds

	most int // keys

	mu   sync.Mutex
	keys map[string]*attempts
}

// attempts are the last ones of a key, at most limit of them, and how many made the next
// one wait.
type attempts struct {
	times []int64
	over  int
}

const maxLimiterKeys = 100_000

func newLimiter(limit int, window, first time.Duration) *limiter {
	return &limiter{limit: limit, window: window.Milliseconds(), first: first.Milliseconds(), most: maxLimiterKeys, keys: make(map[string]*attempts)}
}

// allow counts an attempt of key at now, in milliseconds of a clock that nobody sets
// (guarantees.md R28). If it comes too
// early, it is not counted and the error is a [*LimitedError].
func (l *limiter) allow(key string, now int64) error {
	if wait := l.take(key, now); wait > 0 {
		return &LimitedError{wait, l.limit, time.Duration(l.window) * time.Millisecond}
	}
	return nil
}

// take is allow that returns how long to wait. An empty key is not counted.
func (l *limiter) take(key string, now int64) (wait time.Duration) {
	if key == "" {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.keys[key]
	if a == nil {
		if len(l.keys) >= l.most {
			l.forget(now)
		}
		a = &attempts{}
		l.keys[key] = a
	}
	if ms := l.wait(a, now); ms > 0 {
		return max(time.Duration(ms)*time.Millisecond, time.Second)
	}
	if len(a.times) == l.limit {
		a.times = a.times[1:]
	}
	a.times = append(a.times, now)
	if l.first > 0 && (len(a.times) == l.limit || a.over > 0) {
		a.over++ // the next one waits
	}
	return 0
}

// wait returns the milliseconds until a's next attempt may be made.
func (l *limiter) wait(a *attempts, now int64) int64 {
	for len(a.times) > 0 && a.times[0] <= now-l.window {
		a.times = a.times[1:]
	}
	switch {
	case len(a.times) == 0:
		a.over = 0
		return 0
	case l.first == 0 && len(a.times) >= l.limit:
		return a.times[0] + l.window - now
	case l.first > 0 && a.over > 0:
		delay := min(l.first<<min(a.over-1, 20), l.window)
		return a.times[len(a.times)-1] + delay - now
	}
	return 0
}

// undo takes the newest attempt of key back.
func (l *limiter) undo(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a := l.keys[key]; a != nil && len(a.times) > 0 {
		a.times = a.times[:len(a.times)-1]
		a.over = max(a.over-1, 0)
	}
}

// clear forgets the attempts of key.
func (l *limiter) clear(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.keys, key)
}

// forget makes room: it drops what has no effect any more, and if that is not enough, any.
func (l *limiter) forget(now int64) {
	for key, a := range l.keys {
		if l.wait(a, now); len(a.times) == 0 {
			delete(l.keys, key)
		}
	}
	for key := range l.keys {
		if len(l.keys) < l.most*9/10 {
			return
		}
		delete(l.keys, key)
	}
}

// addressKey is what an address counts as: itself, or its network of 64 bits with
// IPv6, which one person has all of.
func addressKey(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	a = a.Unmap().WithZone("")
	if a.Is4() {
		return a.String()
	}
	p, err := a.Prefix(64)
	if err != nil {
		return address
	}
	return p.String()
}
