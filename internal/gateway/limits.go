package gateway

import (
	"sync"
	"time"
)

// bucket counts the messages of a connection (event-gateway.md §8): so many in a minute
// and half as many at once.
type bucket struct {
	left  float64
	last  time.Time
	n     int // messages in this minute, which began at since
	since time.Time
	told  bool // that there were too many
}

// What becomes of a message.
const (
	paceOK     = iota
	paceOver   // the first above the rate: the client is told
	paceIgnore // further ones are not answered
	paceClose  // twice the rate
)

func (b *bucket) take(now time.Time, perMinute int) int {
	burst := float64(perMinute) / 2
	if b.last.IsZero() {
		b.left, b.since = burst, now
	}
	b.left = min(burst, b.left+now.Sub(b.last).Minutes()*float64(perMinute))
	b.last = now
	if now.Sub(b.since) >= time.Minute {
		b.n, b.since, b.told = 0, now, false
	}
	b.n++
	switch {
	case b.left >= 1:
		b.left--
		return paceOK
	case b.n >= 2*perMinute:
		return paceClose
	case !b.told:
		b.told = true
		return paceOver
	}
	return paceIgnore
}

// strikes counts messages that cannot be understood: ten in a minute are too many.
type strikes struct {
	n     int
	since time.Time
}

const maxStrikes = 10

func (s *strikes) add(now time.Time) (tooMany bool) {
	if s.n == 0 || now.Sub(s.since) > time.Minute {
		s.n, s.since = 0, now
	}
	s.n++
	return s.n >= maxStrikes
}

// Bounds of the storm guard (event-gateway.md §1, rule 6). Documented clients retry for ever
// when a socket opens, so a credential that keeps failing gets no socket.
const (
	guardWindow    = time.Minute
	maxPairFailed  = 5
	maxAddrFailed  = 50
	maxAddrWaiting = 20
	maxGuarded     = 100_000 // addresses and pairs
)

// guard counts who connects and who fails.
type guard struct {
	mu       sync.Mutex
	failures map[string]*failures // by address, and by address and hash
	waiting  map[string]int       // connections that are not authenticated, by address
	subjects map[string]int       // connections by subject
}

type failures struct {
	n     int
	since time.Time
}

func newGuard() *guard {
	return &guard{failures: make(map[string]*failures), waiting: make(map[string]int), subjects: make(map[string]int)}
}

// unsaid stands for the credential of who says none in the request.
const unsaid = "-"

func pair(addr, hash string) string {
	if hash == "" {
		hash = unsaid
	}
	return addr + "\x00" + hash
}

// connect takes a connection in, which may wait for its authentication. It returns 0, or
// the status to refuse it with and after how many seconds it may be tried again.
func (g *guard) connect(addr, hash string, now time.Time) (status, retryAfter int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if status, retryAfter := g.refusesLocked(addr, hash, now); status != 0 {
		return status, retryAfter
	}
	if hash != "" { // says who it is at once
		return 0, 0
	}
	if g.waiting[addr] >= maxAddrWaiting {
		return 429, 10
	}
	g.waiting[addr]++
	return 0, 0
}

// refuses is connect for who does not wait: a request.
func (g *guard) refuses(addr, hash string, now time.Time) (status, retryAfter int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.refusesLocked(addr, hash, now)
}

func (g *guard) refusesLocked(addr, hash string, now time.Time) (status, retryAfter int) {
	if f := g.failures[addr]; f != nil && f.n >= maxAddrFailed && now.Sub(f.since) < guardWindow {
		return 429, int((guardWindow - now.Sub(f.since)).Seconds()) + 1
	}
	if f := g.failures[pair(addr, hash)]; f != nil && f.n >= maxPairFailed && now.Sub(f.since) < guardWindow {
		if hash != "" { // whoever goes on gets no socket: on one, it would forget how often it has tried
			f.since = now
		}
		return 401, 0
	}
	return 0, 0
}

// connecting takes in a connection whose caller is known already.
func (g *guard) connecting(addr string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting[addr]++
}

// identified says that a connection waits no more, because it is authenticated or gone.
func (g *guard) identified(who peer) {
	if who.hash != "" {
		return // did not wait
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.waiting[who.addr]--; g.waiting[who.addr] <= 0 {
		delete(g.waiting, who.addr)
	}
}

// failed counts a credential that was not good; hash is that of the credential.
func (g *guard) failed(addr, hash string, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, key := range []string{addr, pair(addr, hash)} {
		f := g.failures[key]
		if f == nil || now.Sub(f.since) >= guardWindow {
			if f == nil && len(g.failures) >= maxGuarded {
				continue
			}
			f = &failures{since: now}
			g.failures[key] = f
		}
		f.n++
	}
}

// said makes the failures of a credential that is said over open sockets count for the
// requests of its address that show none: nothing else tells who would say it again. Other
// credentials do not add to them.
func (g *guard) said(addr, hash string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f := g.failures[pair(addr, hash)]; f != nil && f.n >= maxPairFailed {
		g.failures[pair(addr, unsaid)] = f
	}
}

// passed forgets the failures of a credential that is good now; hash is that of the
// request.
func (g *guard) passed(addr, hash string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.failures, pair(addr, hash))
}

// enter counts a connection of a subject, unless it has too many; exit takes it back.
func (g *guard) enter(subject string, limit int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.subjects[subject] >= limit {
		return false
	}
	g.subjects[subject]++
	return true
}

func (g *guard) exit(subject string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.subjects[subject]--; g.subjects[subject] <= 0 {
		delete(g.subjects, subject)
	}
}

func (g *guard) sweep(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for key, f := range g.failures {
		if now.Sub(f.since) >= guardWindow {
			delete(g.failures, key)
		}
	}
}
