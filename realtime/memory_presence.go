package realtime

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	"github.com/kuranty/kuranty/protocol"
)

// presenceTTL is how long an entry lives that nobody refreshes (guarantees.md R19).
const presenceTTL = time.Minute

// MemoryPresence is the [PresenceStore] of a single node. It has no goroutine: an entry
// that was not refreshed for 60 s is not seen again, and its memory is released by
// whatever is added later.
type MemoryPresence struct {
	seed   maphash.Seed
	start  time.Time
	shards [memoryShards]presenceShard
}

type presenceShard struct {
	mu       sync.Mutex
	channels map[string]map[string]presenceEntry // by channel and client
	swept    time.Duration
}

type presenceEntry struct {
	info  *protocol.ClientInfo
	added time.Duration // since the store was made
}

// NewMemoryPresence returns an empty store.
func NewMemoryPresence() *MemoryPresence {
	p := &MemoryPresence{seed: maphash.MakeSeed(), start: time.Now()}
	for i := range p.shards {
		p.shards[i].channels = make(map[string]map[string]presenceEntry)
	}
	return p
}

func (p *MemoryPresence) shard(channel string) *presenceShard {
	return &p.shards[maphash.String(p.seed, channel)%memoryShards]
}

// Add implements [PresenceStore]; its error is nil.
func (p *MemoryPresence) Add(_ context.Context, channel string, info *protocol.ClientInfo) error {
	now := time.Since(p.start)
	sh := p.shard(channel)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if now-sh.swept >= presenceTTL {
		sh.swept = now
		for name := range sh.channels {
			sh.expire(name, now)
		}
	}
	entries := sh.channels[channel]
	if entries == nil {
		entries = make(map[string]presenceEntry)
		sh.channels[channel] = entries
	}
	entries[info.Client] = presenceEntry{info, now}
	return nil
}

// Remove implements [PresenceStore]; its error is nil.
func (p *MemoryPresence) Remove(_ context.Context, channel, client string) error {
	sh := p.shard(channel)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	entries := sh.channels[channel]
	delete(entries, client)
	if len(entries) == 0 {
		delete(sh.channels, channel)
	}
	return nil
}

// Presence implements [PresenceStore]; its error is nil.
func (p *MemoryPresence) Presence(_ context.Context, channel string) (map[string]*protocol.ClientInfo, error) {
	now := time.Since(p.start)
	sh := p.shard(channel)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	entries := sh.expire(channel, now)
	infos := make(map[string]*protocol.ClientInfo, len(entries))
	for client, e := range entries {
		infos[client] = e.info
	}
	return infos, nil
}

// Stats implements [PresenceStore]; its error is nil.
func (p *MemoryPresence) Stats(_ context.Context, channel string) (clients, users int, err error) {
	now := time.Since(p.start)
	sh := p.shard(channel)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	entries := sh.expire(channel, now)
	seen := make(map[string]struct{}, len(entries))
	for _, e := range entries {
		seen[e.info.User] = struct{}{}
	}
	return len(entries), len(seen), nil
}

// expire removes what was not refreshed in time and returns what is left.
func (sh *presenceShard) expire(channel string, now time.Duration) map[string]presenceEntry {
	entries := sh.channels[channel]
	for client, e := range entries {
		if now-e.added >= presenceTTL {
			delete(entries, client)
		}
	}
	if len(entries) == 0 {
		delete(sh.channels, channel)
	}
	return entries
}
