package dispatch

// room is what lanes share: the slots of the process, or those of one host and port. A lane
// takes one more only while it has fewer than are free, or a fifth is free and nobody else
// has any. So what hangs leaves some to the others, however much of it there is: of 50
// slots one lane takes 40, ten lanes take 45.
type room struct {
	size, busy int
	// waiting are lanes that found it too full.
	waiting []*lane
}

// admits tells whether a lane may take a slot. One that may not is prepared when another
// gives one back; if there is no other, when its own attempts were recorded.
func (r *room) admits(l *lane) bool {
	if r.hasFor(l) {
		return true
	}
	if r.busy > 0 && !l.waits {
		l.waits = true
		r.waiting = append(r.waiting, l)
	}
	return false
}

func (r *room) hasFor(l *lane) bool {
	free := r.size - r.busy
	return l.inFlight < free || l.inFlight >= r.busy && free > r.size/5
}

// leave gives a slot back; s.mu is held.
func (s *sending) leave(r *room) {
	r.busy--
	kept := r.waiting[:0]
	for _, l := range r.waiting {
		if r.busy > 0 && !r.hasFor(l) {
			kept = append(kept, l)
			continue
		}
		l.waits = false
		s.prepare(l)
	}
	clear(r.waiting[len(kept):])
	r.waiting = kept
}

// host returns the room of a host and port. It is kept while somebody is in it.
func (s *sending) host(name string) *room {
	if r := s.hosts[name]; r != nil {
		return r
	}
	return &room{size: s.o.PerHost}
}
