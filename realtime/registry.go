package realtime

import (
	"slices"
	"sync"
	"sync/atomic"
)

// registry knows the node's sessions: all of them, and the connected ones by user. It
// is split by user, and a session that has not connected belongs to user "".
type registry struct {
	shards [shardCount]registryShard
}

type registryShard struct {
	mu    sync.Mutex
	fresh []*Session // not connected yet
	users map[string][]*Session
}

// place is where a session stands: in which shard, and there, guarded by the shard's
// lock, at which index.
type place struct {
	shard atomic.Pointer[registryShard]
	index int
	known bool // among the users
}

func newRegistry() *registry {
	r := &registry{}
	for i := range r.shards {
		r.shards[i].users = make(map[string][]*Session)
	}
	return r
}

// shardOf spreads by the text's last bytes, which differ in ids and user names alike.
func (r *registry) shardOf(text string) *registryShard {
	h := uint32(2166136261)
	for i := max(0, len(text)-12); i < len(text); i++ {
		h = (h ^ uint32(text[i])) * 16777619
	}
	return &r.shards[h%shardCount]
}

// add registers a session that has not connected.
func (r *registry) add(s *Session) {
	sh := r.shardOf(s.id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s.place.index = len(sh.fresh)
	s.place.shard.Store(sh)
	sh.fresh = append(sh.fresh, s)
}

// connect files s under its user, unless that user has limit sessions already (0 is no
// limit, which holds for the anonymous user too).
func (r *registry) connect(s *Session, limit int) bool {
	r.remove(s)
	sh := r.shardOf(s.user)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	have := sh.users[s.user]
	if limit > 0 && s.user != "" && len(have) >= limit {
		return false
	}
	s.place.index, s.place.known = len(have), true
	s.place.shard.Store(sh)
	sh.users[s.user] = append(have, s)
	return true
}

func (r *registry) remove(s *Session) {
	sh := s.place.shard.Load()
	for {
		if sh == nil {
			return
		}
		sh.mu.Lock()
		now := s.place.shard.Load()
		if now == sh {
			break
		}
		sh.mu.Unlock()
		sh = now
	}
	defer sh.mu.Unlock()
	list := sh.fresh
	if s.place.known {
		list = sh.users[s.user]
	}
	last := len(list) - 1
	moved := list[last]
	list[s.place.index] = moved
	moved.place.index = s.place.index
	list[last] = nil
	list = list[:last]
	switch {
	case !s.place.known:
		sh.fresh = list
	case len(list) == 0:
		delete(sh.users, s.user)
	default:
		sh.users[s.user] = list
	}
	s.place.shard.Store(nil)
	s.place.known = false
}

// of returns the connected sessions of a target.
func (r *registry) of(t Target) []*Session {
	if t.Session != "" && t.Session != t.Client && t.Client != "" {
		return nil
	}
	sh := r.shardOf(t.User)
	var found []*Session
	sh.mu.Lock()
	for _, s := range sh.users[t.User] {
		if (t.Client == "" || s.id == t.Client) && (t.Session == "" || s.id == t.Session) {
			found = append(found, s)
		}
	}
	sh.mu.Unlock()
	if t.Meta == nil && t.With == "" {
		return found
	}
	return slices.DeleteFunc(found, func(s *Session) bool { return !s.meant(&t) })
}

// meant tells whether the session is one that t narrows to.
func (s *Session) meant(t *Target) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.Meta != nil && !t.Meta(s.meta) {
		return false
	}
	sub := s.subs.get(t.With)
	return t.With == "" || sub != nil && sub.server
}

// all returns every session, connected or not.
func (r *registry) all() []*Session {
	var all []*Session
	for i := range r.shards {
		sh := &r.shards[i]
		sh.mu.Lock()
		all = append(all, sh.fresh...)
		for _, list := range sh.users {
			all = append(all, list...)
		}
		sh.mu.Unlock()
	}
	return all
}

// count returns the number of connected sessions and of their distinct users.
func (r *registry) count() (sessions, users int) {
	for i := range r.shards {
		sh := &r.shards[i]
		sh.mu.Lock()
		users += len(sh.users)
		for _, list := range sh.users {
			sessions += len(list)
		}
		sh.mu.Unlock()
	}
	return sessions, users
}
