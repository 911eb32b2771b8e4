package identity

import "sync"

// maxRotations bounds what is remembered of a burst of refreshes.
const maxRotations = 100_000

// rotations remembers when refresh tokens were replaced here, by a clock that nobody
// sets: whoever asks again within the grace because the reply was lost is not taken for
// a thief when the date is changed meanwhile (guarantees.md R28). After a restart, and
// for what another node replaced, the date is all there is.
type rotations struct {
	mu   sync.Mutex
	at   map[string]int64 // by hash of the replaced token, in milliseconds
	next int64            // when those over the grace are dropped
}

// note remembers that the token with this hash is replaced now.
func (r *rotations) note(hash string, now int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at == nil {
		r.at = make(map[string]int64)
	}
	if now >= r.next {
		r.next = now + grace.Milliseconds()
		for h, at := range r.at {
			if now-at > grace.Milliseconds() {
				delete(r.at, h)
			}
		}
	}
	if len(r.at) < maxRotations {
		r.at[hash] = now
	}
}

// age returns how long ago that was, in milliseconds; byDate if it is not remembered.
func (r *rotations) age(hash string, now, byDate int64) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at, ok := r.at[hash]; ok {
		return now - at
	}
	return byDate
}
