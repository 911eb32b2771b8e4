package realtime

import (
	"sync"
	"time"
)

// A wheel wakes sessions at the time they asked for, all from one goroutine: a
// session has no timer of its own. Times are since the wheel's start on the monotonic
// clock, so that a jump of the wall clock moves nothing. A wake-up may come up to
// one tick late; one that is more than a turn away comes early and asks again.
type wheel struct {
	start time.Time

	mu    sync.Mutex
	slots [512]*Session // heads of lists
	tick  int64         // the last one handled
}

const wheelTick = 100 * time.Millisecond

// alarm is a session's place in the wheel; its fields are guarded by the wheel's
// lock.
type alarm struct {
	next, prev *Session
	at         int64 // tick, 0 if not set
}

func newWheel() *wheel { return &wheel{start: time.Now()} }

// now is the time since the wheel's start.
func (w *wheel) now() time.Duration { return time.Since(w.start) }

// set wakes s at time at instead of when it asked for before; zero is never.
func (w *wheel) set(s *Session, at time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.remove(s)
	if at <= 0 {
		return
	}
	tick := int64((at + wheelTick - 1) / wheelTick)
	tick = min(max(tick, w.tick+1), w.tick+int64(len(w.slots))-1)
	head := &w.slots[tick%int64(len(w.slots))]
	s.alarm = alarm{next: *head, at: tick}
	if *head != nil {
		(*head).alarm.prev = s
	}
	*head = s
}

// remove takes s out of its slot. w.mu is held.
func (w *wheel) remove(s *Session) {
	a := &s.alarm
	if a.at == 0 {
		return
	}
	if a.prev != nil {
		a.prev.alarm.next = a.next
	} else {
		w.slots[a.at%int64(len(w.slots))] = a.next
	}
	if a.next != nil {
		a.next.alarm.prev = a.prev
	}
	*a = alarm{}
}

// due takes out every session whose time has come and appends it to out.
func (w *wheel) due(out []*Session) []*Session {
	now := int64(w.now() / wheelTick)
	w.mu.Lock()
	defer w.mu.Unlock()
	for ; w.tick < now; w.tick++ {
		head := &w.slots[(w.tick+1)%int64(len(w.slots))]
		for *head != nil {
			out = append(out, *head)
			w.remove(*head)
		}
	}
	return out
}
