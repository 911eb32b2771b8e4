package windi

import (
	"sync"

	"github.com/kuranty/kuranty/realtime"
)

// arrivals knows since when the connections of this node exist.
type arrivals struct {
	mu sync.Mutex
	// since is in seconds since 1970; of a connection that went before it was told of it
	// is 0.
	since map[string]int64
}

// Connected implements [realtime.Watcher].
func (c *Contract) Connected(client realtime.Client) { c.arrivals.note(client.ID, c.o.Clock().Unix()) }

// Disconnected implements [realtime.Watcher].
func (c *Contract) Disconnected(client realtime.Client) { c.arrivals.note(client.ID, 0) }

// note takes an arrival, or with 0 a departure: whichever comes second ends the matter.
func (a *arrivals) note(client string, at int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if was, known := a.since[client]; known && (was == 0) != (at == 0) {
		delete(a.since, client)
		return
	}
	a.since[client] = at
}

// of returns when a connection came, nil if it is another node's.
func (a *arrivals) of(client string) *int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if at := a.since[client]; at != 0 {
		return &at
	}
	return nil
}
