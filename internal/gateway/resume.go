package gateway

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/kuranty/kuranty/event"
)

const (
	// resumeFor is how long the subscriptions of a connection that ended are remembered.
	resumeFor = 5 * time.Minute
	// maxRemembered bounds how many subscriptions are.
	maxRemembered = 200_000
)

// answerSubscribe answers a subscribe frame; s.mu is held.
func (s *session) answerSubscribe(f *frame) {
	filter, err := checkSubscribe(f)
	if err != nil {
		s.strike(f.ID, err.Error())
		return
	}
	if f.LastEventID == "" {
		f.LastEventID, s.lastEventID = s.lastEventID, ""
	}
	if f.LastEventID == "" && f.Consumer == "" {
		s.say("response", f.ID, s.subscribe(f, filter, -1))
		return
	}
	s.later(func(ctx context.Context) { s.resumeSubscribe(ctx, f, filter) })
}

// resumeSubscribe answers a subscribe frame that asks for the past.
func (s *session) resumeSubscribe(ctx context.Context, f *frame, filter event.Filter) {
	pos, known := int64(-1), false
	var err error
	if f.LastEventID != "" {
		pos, known, err = s.g.o.Store.Place(ctx, f.LastEventID)
		if !known {
			pos = -1
		}
	}
	if err == nil && f.Consumer != "" {
		var at int64
		if at, err = s.takeConsumer(ctx, f.Consumer, pos); f.LastEventID == "" {
			pos, known = at, true
		}
	}
	switch {
	case err != nil:
		s.unavailable(f.ID, err)
	case !known:
		s.subscribeLost(ctx, f, filter)
	default:
		s.subscribeAfter(ctx, f, filter, pos)
	}
}

// subscribeAfter subscribes from a position on: first the answer, then the past.
func (s *session) subscribeAfter(ctx context.Context, f *frame, filter event.Filter, pos int64) {
	head := s.g.hub.begun.Load()
	_, oldest, err := s.g.o.Store.Oldest(ctx)
	if err != nil {
		s.unavailable(f.ID, err)
		return
	}
	if oldest > pos+1 {
		s.subscribeLost(ctx, f, filter)
		return
	}
	probe := s.probe(f, filter, pos)
	n, err := s.g.count(ctx, probe, pos, head.pos)
	if err != nil {
		s.unavailable(f.ID, err)
		return
	}
	s.locked(func() {
		a := s.subscribe(f, filter, pos)
		a.Consumer = f.Consumer
		a.Resume = &resumed{Status: "complete", From: f.LastEventID, Replayed: n, To: head.id}
		s.say("response", f.ID, a)
		s.g.metrics.replayed.Add(float64(n))
		s.rewind(pos)
	})
}

// subscribeLost subscribes where the past is not kept: from the earliest event that is, or
// from now on.
func (s *session) subscribeLost(ctx context.Context, f *frame, filter event.Filter) {
	id, oldest, err := s.g.o.Store.Oldest(ctx)
	if err != nil {
		s.unavailable(f.ID, err)
		return
	}
	lost := &resumed{Status: "lost", From: f.LastEventID, Earliest: id}
	from := int64(-1)
	if f.OnLost == "earliest" && oldest > 0 {
		from = oldest - 1
		head := s.g.hub.begun.Load()
		if lost.Replayed, err = s.g.count(ctx, s.probe(f, filter, from), from, head.pos); err != nil {
			s.unavailable(f.ID, err)
			return
		}
		lost.To = head.id
	}
	s.locked(func() {
		a := s.subscribe(f, filter, from)
		a.Consumer, a.Resume = f.Consumer, lost
		s.say("response", f.ID, a)
		if from >= 0 {
			s.g.metrics.replayed.Add(float64(lost.Replayed))
			s.rewind(from)
		}
	})
}

// probe is a session that only has the subscriptions of a frame, from a position on, and
// those that keep it from getting an event twice.
func (s *session) probe(f *frame, filter event.Filter, pos int64) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &session{g: s.g, caller: s.caller}
	mark := s.served()
	names := asked(f)
	for _, sub := range s.subs {
		if !slices.Contains(names, sub.name) {
			old := *sub
			old.done = max(old.done, mark)
			p.subs = append(p.subs, &old)
		}
	}
	for _, n := range names {
		if kinds, code := s.g.resolve(n, &s.caller); code == "" {
			p.subs = append(p.subs, &subscription{name: n, kinds: kinds, filter: filter, from: pos, done: pos})
		}
	}
	return p
}

// locked runs f with the lock, unless the session is over.
func (s *session) locked(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.out.closing && s.state == stateOpen {
		f()
	}
}

// unavailable answers a request that the database could not serve.
func (s *session) unavailable(id string, err error) {
	s.g.o.Logger.Warn("answer a connection", "connection", s.id, "error", err)
	s.locked(func() {
		s.fail(id, &problem{Code: codeUnavailable, Message: "Service temporarily unavailable", Retryable: true})
	})
}

// remembered is what a connection that ended had subscribed to.
type remembered struct {
	subject string
	until   time.Time
	subs    []*subscription
}

// memory remembers connections that ended, by the hashes of their tokens.
type memory struct {
	mu   sync.Mutex
	kept map[string]remembered
	subs int // in kept
	// live are those that have not ended, or whose end is not known yet.
	live map[string]*session
}

// open notes whose token it is.
func (m *memory) open(token string, s *session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.live[hashOf(token)] = s
}

// keep is called when the connection has ended.
func (m *memory) keep(token string, r remembered) {
	hash := hashOf(token)
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.live, hash)
	if n := len(r.subs); n > 0 && m.subs+n <= maxRemembered {
		m.kept[hash] = r
		m.subs += n
	}
}

// take returns what a token stands for, once, if it is the subject's and not too old. A
// connection that the server does not know to be lost yet ends by it.
func (m *memory) take(token, subject string, now time.Time) (remembered, bool) {
	hash := hashOf(token)
	m.mu.Lock()
	lost := m.live[hash]
	m.mu.Unlock()
	if lost != nil {
		lost.resumed(subject)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.kept[hash]
	if !ok || r.subject != subject || now.After(r.until) {
		return remembered{}, false
	}
	m.forget(hash, r)
	return r, true
}

func (m *memory) forget(hash string, r remembered) {
	delete(m.kept, hash)
	m.subs -= len(r.subs)
}

// resumed ends a session that goes on in another connection of its subject.
func (s *session) resumed(subject string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.caller.Subject == subject {
		s.end(closeNormal, "resumed by another connection")
		s.release()
	}
}

func (m *memory) sweep(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for hash, r := range m.kept {
		if now.After(r.until) {
			m.forget(hash, r)
		}
	}
}

// answerResume answers a resume frame; s.mu is held.
func (s *session) answerResume(f *frame) {
	if f.Token == "" {
		s.strike(f.ID, "token must be a resume token")
		return
	}
	if f.LastEventID != "" && !isEventID(f.LastEventID) {
		s.strike(f.ID, "lastEventId is not the id of an event")
		return
	}
	if hashOf(f.Token) == hashOf(s.resumeToken) {
		s.resumeLost(f)
		return
	}
	subject := s.caller.Subject
	s.later(func(ctx context.Context) {
		r, ok := s.g.memory.take(f.Token, subject, s.g.now())
		if !ok {
			s.locked(func() { s.resumeLost(f) })
			return
		}
		s.resume(ctx, f, r)
	})
}

// resumeLost answers a token that stands for nothing; s.mu is held.
func (s *session) resumeLost(f *frame) {
	s.say("response", f.ID, &subscribed{
		Action: "resume", Status: "lost", RequestID: f.ID, Active: s.active(), Count: len(s.subs), Resume: &resumed{Status: "lost", From: f.LastEventID},
	})
}

// resume gives a session the subscriptions of another, with the past after an event.
func (s *session) resume(ctx context.Context, f *frame, r remembered) {
	var pos int64
	known, result := false, &resumed{Status: "complete", From: f.LastEventID}
	head := s.g.hub.begun.Load()
	id, oldest, err := s.g.o.Store.Oldest(ctx)
	if err == nil && f.LastEventID != "" {
		pos, known, err = s.g.o.Store.Place(ctx, f.LastEventID)
		if known = known && oldest <= pos+1; !known {
			result.Status, result.Earliest = "lost", id
		}
	}
	if err != nil {
		s.unavailable(f.ID, err)
		return
	}
	start := int64(-1)
	if known {
		start = pos
		probe := &session{g: s.g}
		s.mu.Lock()
		probe.caller = s.caller
		s.mu.Unlock()
		probe.restore(r.subs, pos)
		if result.Replayed, err = s.g.count(ctx, probe, pos, head.pos); err != nil {
			s.unavailable(f.ID, err)
			return
		}
		result.To = head.id
	}
	s.locked(func() {
		s.settle()
		added := s.restore(r.subs, start)
		a := &subscribed{Action: "resume", Status: "ok", RequestID: f.ID, Active: s.active(), Count: len(s.subs), Resume: result}
		for _, sub := range s.subs {
			a.put(sub.name)
		}
		s.index()
		if start < 0 {
			begun := s.g.hub.begun.Load().pos
			for _, sub := range added {
				sub.from, sub.done = begun, begun
			}
		}
		s.say("response", f.ID, a)
		if start >= 0 {
			s.g.metrics.replayed.Add(float64(result.Replayed))
			s.rewind(start)
		}
	})
}

// restore adds subscriptions from a position on, those that the caller may still have.
func (s *session) restore(subs []*subscription, pos int64) (added []*subscription) {
	for _, old := range subs {
		kinds, code := s.g.resolve(old.name, &s.caller)
		if code != "" || s.find(old.name) >= 0 || len(s.subs) >= s.g.o.Subscriptions {
			continue
		}
		sub := &subscription{name: old.name, kinds: kinds, filter: old.filter, latest: old.latest, from: pos, done: pos}
		s.subs, added = append(s.subs, sub), append(added, sub)
	}
	return added
}
