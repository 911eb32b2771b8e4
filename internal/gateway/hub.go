package gateway

import (
	"slices"
	"sync"
	"sync/atomic"
)

// hub knows which sessions wait for which types.
type hub struct {
	// begun is the position of the newest event that is being offered to sessions, finished
	// that of the newest that has been. A session that has read the log up to begun has
	// missed nothing and may be live: what comes is offered to it.
	begun, finished atomic.Int64

	mu       sync.Mutex
	sessions map[*session]struct{}
	byType   map[string]*followers
}

// followers are the sessions that wait for a type.
type followers struct {
	list []*session
	// shared says that list was handed out and is copied before it changes.
	shared bool
}

func newHub() *hub {
	return &hub{sessions: make(map[*session]struct{}), byType: make(map[string]*followers)}
}

// join adds a session, leave takes it out of everything.
func (h *hub) join(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sessions[s] = struct{}{}
}

func (h *hub) leave(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.followLocked(s, nil)
	delete(h.sessions, s)
}

// follow makes a session wait for these types and no others.
func (h *hub) follow(s *session, types []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, here := h.sessions[s]; here {
		h.followLocked(s, types)
	}
}

func (h *hub) followLocked(s *session, types []string) {
	slices.Sort(types)
	for _, typ := range s.followed {
		if _, still := slices.BinarySearch(types, typ); !still {
			f := h.byType[typ]
			f.own()
			if i := slices.Index(f.list, s); i >= 0 {
				last := len(f.list) - 1
				f.list[i], f.list[last] = f.list[last], nil
				f.list = f.list[:last]
			}
		}
	}
	for _, typ := range types {
		if _, already := slices.BinarySearch(s.followed, typ); !already {
			f := h.byType[typ]
			if f == nil {
				f = new(followers)
				h.byType[typ] = f
			}
			f.own()
			f.list = append(f.list, s)
		}
	}
	s.followed = slices.Clip(types)
}

// own makes list safe to change.
func (f *followers) own() {
	if f.shared {
		f.list, f.shared = slices.Clone(f.list), false
	}
}

// waiting returns the sessions that wait for a type. They must not be changed.
func (h *hub) waiting(typ string) []*session {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.byType[typ]
	if f == nil {
		return nil
	}
	f.shared = true
	return f.list
}

// all returns the sessions there are.
func (h *hub) all() []*session {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]*session, 0, len(h.sessions))
	for s := range h.sessions {
		list = append(list, s)
	}
	return list
}
