package dispatch

import (
	"sync"
	"time"

	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/webhook"
)

const (
	// maxBodies bounds the bodies that are kept in memory, in bytes.
	maxBodies = 2 << 20
	// maxBodyAge is how long one is used: a payload that is erased must not be sent for long.
	maxBodyAge = 10 * time.Second
)

// bodies keeps bodies that will soon be sent, so that an event for many webhooks is written
// once per format and what was just committed is not read again. It is safe for concurrent
// use.
type bodies struct {
	mu    sync.Mutex
	kept  map[bodyKey]body
	order []bodyKey // oldest first
	bytes int
}

type bodyKey struct {
	event  string
	format webhook.Format
}

type body struct {
	event delivery.Event // without payload
	bytes []byte
	at    time.Time
}

func newBodies() *bodies { return &bodies{kept: map[bodyKey]body{}} }

func (b *bodies) get(event string, format webhook.Format, now time.Time) (body, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	found, ok := b.kept[bodyKey{event, format}]
	return found, ok && now.Sub(found.at) < maxBodyAge
}

// put keeps a body, and lets go of the oldest when there are too many.
func (b *bodies) put(e delivery.Event, format webhook.Format, text []byte, now time.Time) {
	const overhead = 256 // of an entry
	e.Payload = nil
	key := bodyKey{e.ID, format}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.kept[key]; ok {
		return
	}
	b.kept[key] = body{e, text, now}
	b.order = append(b.order, key)
	b.bytes += len(text) + overhead
	drop := 0
	for b.bytes > maxBodies && drop < len(b.order)-1 {
		old := b.order[drop]
		b.bytes -= len(b.kept[old].bytes) + overhead
		delete(b.kept, old)
		drop++
	}
	b.order = b.order[drop:]
}
