package transport

import (
	"slices"
	"sync"
	"time"
)

// What a connection can be late with.
const (
	lateHead    = iota // the head of its request
	lateRead           // taking bytes
	lateForeign        // the same, for a foreign session
	lateClose          // its side of the closing handshake
	duePing            // not the peer: a ping frame is to be sent
	latePong           // the answer to it
	kinds
)

// A server looks at the clock each calmTick, and each alertTick for a while after a poller
// had to be replaced. Waking up is not free: 50 times a second took 1 % of a core.
const (
	calmTick  = 100 * time.Millisecond
	alertTick = 10 * time.Millisecond
	alertTime = 10 * time.Second
)

// pulse ticks at the two rates.
type pulse struct {
	*time.Ticker
	alertUntil time.Time
}

func newPulse() *pulse { return &pulse{Ticker: time.NewTicker(calmTick)} }

// next sets the rate after the tick at now.
func (p *pulse) next(now time.Time, alert bool) {
	switch {
	case alert:
		if p.alertUntil.IsZero() {
			p.Reset(alertTick)
		}
		p.alertUntil = now.Add(alertTime)
	case !p.alertUntil.IsZero() && now.After(p.alertUntil):
		p.Reset(calmTick)
		p.alertUntil = time.Time{}
	}
}

// timed is told that its time has come, with what it gave to add. It must not block.
type timed interface{ expire(kind int, stamp uint32) }

// clock tells connections that time is up. As all deadlines of a kind are the same
// time away, each kind is a queue. Nothing is ever taken back: whom an entry does not
// concern any more tells by the stamp.
type clock struct {
	delays [kinds]time.Duration

	mu     sync.Mutex
	queues [kinds]queue
}

// queue is deadlines in order; those before head are over.
type queue struct {
	all  []deadline
	head int
}

type deadline struct {
	who   timed
	stamp uint32
	at    time.Time
}

// add calls who.expire after the delay of kind.
func (c *clock) add(kind int, who timed, stamp uint32) {
	at := time.Now().Add(c.delays[kind])
	c.mu.Lock()
	c.queues[kind].all = append(c.queues[kind].all, deadline{who, stamp, at})
	c.mu.Unlock()
}

// advance calls those whose time has come.
func (c *clock) advance(now time.Time) {
	for kind := range kinds {
		for _, d := range c.due(kind, now) {
			d.who.expire(kind, d.stamp)
		}
	}
}

// due takes the entries of kind that are due.
func (c *clock) due(kind int, now time.Time) []deadline {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := &c.queues[kind]
	from := q.head
	for q.head < len(q.all) && !q.all[q.head].at.After(now) {
		q.head++
	}
	if q.head == from {
		return nil
	}
	due := slices.Clone(q.all[from:q.head])
	clear(q.all[from:q.head]) // so that nothing holds on to connections long gone
	if q.head > len(q.all)/2 {
		q.all = append([]deadline(nil), q.all[q.head:]...)
		q.head = 0
	}
	return due
}
