package gateway

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// hub knows which sessions wait for which types.
type hub struct {
	// begun is the place of the newest event that is being offered to sessions, finished
	// that of the newest that has been. A session that has read the log up to begun has
	// missed nothing and may be live: what comes is offered to it.
	begun, finished atomic.Pointer[position]

	mu       sync.Mutex
	sessions map[*session]struct{}
	byType   map[string]*followers
}

// followers are the sessions that wait for a type.
type followers struct {
	typ  string
	list []*session
	// shared says that list was handed out and is copied before it changes.
	shared bool
}

// place is where a session stands among the followers of a type: many leave at once when a
// network breaks, and are not looked for.
type place struct {
	in *followers
	at int
}

func newHub() *hub {
	h := &hub{sessions: make(map[*session]struct{}), byType: make(map[string]*followers)}
	h.begun.Store(new(position))
	h.finished.Store(new(position))
	return h
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
	var now []place
	if len(types) > 0 {
		now = make([]place, 0, len(types))
	}
	for _, typ := range types {
		if i, already := s.place(typ); already {
			now = append(now, s.followed[i])
			continue
		}
		f := h.byType[typ]
		if f == nil {
			f = &followers{typ: typ}
			h.byType[typ] = f
		}
		f.own()
		now = append(now, place{f, len(f.list)})
		f.list = append(f.list, s)
	}
	for _, p := range s.followed {
		if _, still := slices.BinarySearch(types, p.in.typ); !still {
			p.in.remove(p.at)
		}
	}
	s.followed = now
}

// place finds a type among those that the session waits for.
func (s *session) place(typ string) (i int, found bool) {
	return slices.BinarySearchFunc(s.followed, typ, func(p place, typ string) int { return strings.Compare(p.in.typ, typ) })
}

// remove takes a session out of the list; the last takes its place.
func (f *followers) remove(at int) {
	f.own()
	last := len(f.list) - 1
	if at != last {
		moved := f.list[last]
		f.list[at] = moved
		i, _ := moved.place(f.typ)
		moved.followed[i].at = at
	}
	f.list[last] = nil
	f.list = f.list[:last]
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
