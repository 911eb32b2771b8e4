package realtime

// Held counts what a [MemoryBroker] has in memory, expired or not.
type Held struct{ Channels, Streams, Publications, IdempotencyKeys int }

// Held counts what the broker holds.
func (b *MemoryBroker) Held() Held {
	var s Held
	for i := range b.shards {
		sh := &b.shards[i]
		sh.mu.Lock()
		s.Channels += len(sh.channels)
		for _, ch := range sh.channels {
			if ch.stream != nil {
				s.Streams++
				s.Publications += ch.stream.n
			}
		}
		s.IdempotencyKeys += len(sh.results.byName)
		sh.mu.Unlock()
	}
	return s
}
