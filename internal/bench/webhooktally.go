package bench

import (
	"sync"
	"time"
)

// tally is what is known of events: which were told, answered and received, and when.
type tally struct {
	mu    sync.Mutex
	err   error
	count int // of all that was noted
	first int64
	notes []note // by number
}

// note is about one event. Times are those of now, 0 before.
type note struct {
	sent, answered, arrived int64
	batch                   *batch
}

// batch is events that are told together. It is over when it is answered and all that is
// awaited of it has arrived.
type batch struct {
	left int
	over chan struct{}
}

// begin forgets what was and expects n events from number first on.
func (t *tally) begin(first int64, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.first, t.notes = first, make([]note, n)
}

// send notes a batch that is about to be told: the numbers from first on, of which only
// those that awaited accepts are to arrive.
func (t *tally) send(first, at int64, n int, awaited func(int64) bool) *batch {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := &batch{left: 1, over: make(chan struct{})}
	for i := first; i < first+int64(n); i++ {
		if awaited(i) {
			t.notes[i-t.first] = note{sent: at, batch: b}
			b.left++
		}
	}
	return b
}

func (b *batch) done() {
	if b.left--; b.left == 0 {
		close(b.over)
	}
}

func (t *tally) answered(b *batch, first, at int64, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	for i := first; i < first+int64(n); i++ {
		t.notes[i-t.first].answered = at
	}
	b.done()
}

// arrived notes a webhook. Repetitions, and what no round has asked for, count only.
func (t *tally) arrived(n, at int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	i := n - t.first
	if i < 0 || i >= int64(len(t.notes)) || t.notes[i].batch == nil || t.notes[i].arrived != 0 {
		return
	}
	t.notes[i].arrived = at
	t.notes[i].batch.done()
}

func (t *tally) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.err = err
	}
}

// progress is a number that changes as long as something happens, and what went wrong.
func (t *tally) progress() (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count, t.err
}

// result computes what became of the round.
func (t *tally) result() (out told) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var late, after, stored []time.Duration
	for _, n := range t.notes {
		out.Publishes++
		if n.batch == nil {
			continue
		}
		out.Deliveries++
		late = append(late, time.Duration(n.arrived-n.sent))
		after = append(after, time.Duration(max(n.arrived-n.answered, 0)))
		stored = append(stored, time.Duration(n.answered-n.sent))
	}
	out.P50, out.P99, out.Worst = percentile(late, 50), percentile(late, 99), percentile(late, 100)
	out.afterAnswer, out.stored = percentile(after, 99), percentile(stored, 99)
	return out
}

// told is what a round of events cost and how late its webhooks were, from when the
// request was written that told of an event until its webhook came.
type told struct {
	round

	afterAnswer time.Duration // p99 from when the request was answered; before that counts as 0
	stored      time.Duration // p99 until the request was answered
}
