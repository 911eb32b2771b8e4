package gateway

import (
	"sync"
	"time"
)

const (
	// ticketFor is how long a ticket is good (event-gateway.md §1, way F).
	ticketFor = 30 * time.Second
	// maxTickets bounds those that wait.
	maxTickets = 10_000
)

// tickets stand for callers who were authenticated by a request, for browsers, which can
// put nothing but an address into a handshake.
type tickets struct {
	mu   sync.Mutex
	kept map[string]ticket
}

type ticket struct {
	caller Caller
	until  time.Time
}

// Ticket returns a ticket for a caller, good for one connection within so many seconds.
// It is empty if too many wait.
func (g *Gateway) Ticket(c Caller) (text string, expiresIn int) {
	t := &g.tickets
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.kept) >= maxTickets {
		return "", 0
	}
	text = newID("wst_")
	t.kept[hashOf(text)] = ticket{c, g.now().Add(ticketFor)}
	return text, int(ticketFor / time.Second)
}

// take returns whom a ticket stands for, once.
func (t *tickets) take(text string, now time.Time) (Caller, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	hash := hashOf(text)
	k, ok := t.kept[hash]
	delete(t.kept, hash)
	return k.caller, ok && now.Before(k.until)
}

func (t *tickets) sweep(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for hash, k := range t.kept {
		if now.After(k.until) {
			delete(t.kept, hash)
		}
	}
}
