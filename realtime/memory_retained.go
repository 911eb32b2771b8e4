package realtime

// Retained counts the streams the broker keeps and the publications in them. It looks
// at every stream, so it is for reports, not for metrics.
func (b *MemoryBroker) Retained() (streams, publications int) {
	now, _ := b.now()
	for i := range b.shards {
		sh := &b.shards[i]
		sh.mu.Lock()
		for _, ch := range sh.channels {
			st := ch.stream
			if st == nil || st.metaExpires <= now {
				continue
			}
			streams++
			if st.expires > now {
				publications += st.n
			}
		}
		sh.mu.Unlock()
	}
	return streams, publications
}
