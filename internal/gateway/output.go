package gateway

import (
	"sync"
	"time"

	"github.com/kuranty/kuranty/protocol"
)

// Bounds of what waits to be sent (event-gateway.md §8).
const (
	maxQueued      = 1024
	maxQueuedBytes = 1 << 20
	// lowQueue is below how many waiting bytes a reader of the log reads on.
	lowQueue = 64 << 10
	// maxJoined is how many bytes of small frames are sent by one write.
	maxJoined = 32 << 10
)

// waiting is a frame that the kernel has not taken yet, or the rest of one.
type waiting struct {
	bytes []byte
	// pos is the event's, 0 for what is no event; key what it is the newest state of.
	pos int64
	key string
}

// output is what waits to be sent on a connection. It belongs to who holds the session's lock.
type output struct {
	queue []waiting
	bytes int
	begun bool // a part of the first frame is sent
	// awaiting says that the transport will call Writable.
	awaiting bool
	corked   bool // nothing is sent until uncork
	closing  bool // nothing is added any more
	graceful bool
	closed   bool
}

// write sends a frame, or queues it. It reports false if there is no room for an event,
// which then is not queued. s.mu is held.
func (s *session) write(b []byte, pos int64, key string) bool {
	out := &s.out
	if out.closing || out.closed {
		return true
	}
	sent := 0
	if len(out.queue) == 0 && !out.corked {
		n, err := s.conn.TryWrite(b)
		if err != nil {
			return true // the transport tells of the end
		}
		s.progress(n)
		if n == len(b) {
			return true
		}
		sent = n
	} else if len(out.queue) >= maxQueued || out.bytes+len(b) > maxQueuedBytes {
		if pos != 0 {
			return false
		}
		if len(out.queue) >= 2*maxQueued || out.bytes+len(b) > 2*maxQueuedBytes {
			s.giveUp() // it asks, and does not take the answers
			return true
		}
	}
	if key != "" && out.replace(b, pos, key) {
		s.skipped++
		return true
	}
	out.begun = out.begun || sent > 0
	out.queue = append(out.queue, waiting{b[sent:], pos, key})
	out.bytes += len(b) - sent
	if !out.awaiting && !out.corked {
		out.awaiting = true
		s.conn.AwaitWritable()
	}
	return true
}

// slow tells whether frames wait that the peer had the time to take.
func (out *output) slow() bool { return len(out.queue) > 0 && !out.corked }

// queues are empty ones with room, for corked outputs; joints are buffers for small frames.
// They hold nothing of other types.
var (
	queues = sync.Pool{New: func() any { return new([]waiting) }}
	joints = sync.Pool{New: func() any { return new([]byte) }}
)

// cork keeps back what is written until uncork, which sends it together: a write of many
// frames costs little more than one of one frame. It returns what uncork wants. s.mu is
// held from before cork until after uncork.
func (s *session) cork() *[]waiting {
	out := &s.out
	if len(out.queue) > 0 || out.closing {
		return nil // what is written waits anyway, or is dropped
	}
	q := queues.Get().(*[]waiting)
	out.corked, out.queue = true, *q
	return q
}

func (s *session) uncork(q *[]waiting) {
	if q == nil {
		return
	}
	s.out.corked = false
	list := s.out.queue
	s.drain()
	if s.out.queue == nil { // all is sent, and nothing left in list
		*q = list[:0]
		queues.Put(q)
	}
}

// replace takes an older event of the same key out of the queue and puts b at its end.
func (out *output) replace(b []byte, pos int64, key string) bool {
	for i := range out.queue {
		if w := &out.queue[i]; w.key == key && (i > 0 || !out.begun) {
			out.bytes += len(b) - len(w.bytes)
			copy(out.queue[i:], out.queue[i+1:])
			out.queue[len(out.queue)-1] = waiting{b, pos, key}
			return true
		}
	}
	return false
}

// dropEvents takes the events out of the queue of which nothing is sent yet, and returns
// the position of the first, 0 if there was none.
func (out *output) dropEvents() (first int64) {
	kept := out.queue[:0]
	for i, w := range out.queue {
		if w.pos == 0 || i == 0 && out.begun {
			kept = append(kept, w)
			continue
		}
		if first == 0 || w.pos < first {
			first = w.pos
		}
		out.bytes -= len(w.bytes)
	}
	clear(out.queue[len(kept):])
	out.queue = append([]waiting(nil), kept...) // gives the room back
	return first
}

// drain sends what waits until the kernel takes no more. s.mu is held.
func (s *session) drain() {
	out := &s.out
	for len(out.queue) > 0 && !out.closed {
		b := out.queue[0].bytes
		var joint *[]byte
		if len(out.queue) > 1 && len(b)+len(out.queue[1].bytes) <= maxJoined {
			joint = out.join()
			b = *joint
		}
		n, err := s.conn.TryWrite(b)
		if joint != nil {
			joints.Put(joint)
		}
		if err != nil {
			return
		}
		s.progress(n)
		out.sent(n)
		if n < len(b) {
			out.awaiting = true
			s.conn.AwaitWritable()
			return
		}
	}
	if len(out.queue) == 0 {
		out.queue = nil
		if out.closing {
			s.shut(out.graceful)
		}
	}
}

// join copies the first frames of the queue behind each other.
func (out *output) join() *[]byte {
	joint := joints.Get().(*[]byte)
	b := (*joint)[:0]
	for i := range out.queue {
		w := &out.queue[i]
		if len(b)+len(w.bytes) > maxJoined {
			break
		}
		b = append(b, w.bytes...)
	}
	*joint = b
	return joint
}

// sent takes n bytes off the queue.
func (out *output) sent(n int) {
	out.bytes -= n
	for n > 0 {
		w := &out.queue[0]
		if n < len(w.bytes) {
			w.bytes, out.begun = w.bytes[n:], true
			return
		}
		n -= len(w.bytes)
		*w = waiting{}
		out.queue, out.begun = out.queue[1:], false
	}
}

func (s *session) progress(n int) {
	if n > 0 {
		s.bytesOut += uint64(n)
	}
}

// shut closes the connection; s.mu is held. The transport may never speak of it again.
func (s *session) shut(graceful bool) {
	if !s.out.closed {
		s.out.closed = true
		s.conn.Close(graceful)
	}
	s.release()
}

// giveUp ends a session whose peer takes nothing. If it does so again within a while, it is
// told why. s.mu is held.
func (s *session) giveUp() {
	out := &s.out
	s.enter(modeOver)
	s.g.metrics.closes.WithLabelValues(itoa(closeSlow)).Inc()
	var queue []waiting
	if out.begun {
		queue = append(queue, out.queue[0])
	}
	code, text := s.closeWords(closeSlow, "consumer too slow")
	queue = append(queue, waiting{bytes: s.framing.AppendClose(nil, &protocol.Close{Code: uint32(code), Reason: text})})
	out.queue, out.bytes = queue, 0
	for _, w := range queue {
		out.bytes += len(w.bytes)
	}
	out.closing, out.graceful = true, true
	s.due = s.g.tick.Load() + slowGrace
	if !out.awaiting {
		out.awaiting = true
		s.conn.AwaitWritable()
	}
}

// slowGrace is how many seconds a peer that took nothing has to hear why it is closed.
const slowGrace = 10

// closeWords are the code and the reason of a close: the reason begins with the documented
// code (event-gateway.md §6).
func (s *session) closeWords(code uint16, text string) (uint16, string) {
	if s.form == formAdmin {
		return s.adminClose(code, text)
	}
	word := itoa(int64(code))
	switch code {
	case closeInternal:
		word = codeInternal
	case closeRestart, closeOverload:
		word = codeUnavailable
	}
	text = word + " " + text
	return code, text[:min(len(text), maxReason)]
}

// maxReason is how many bytes of a reason go into a close frame.
const maxReason = 123

// end sends a close frame after everything that waits, but not events, and then closes.
// s.mu is held.
func (s *session) end(code uint16, text string) {
	if s.out.closing || s.out.closed {
		return
	}
	code, text = s.closeWords(code, text)
	s.out.dropEvents()
	s.enter(modeOver)
	s.g.metrics.closes.WithLabelValues(itoa(int64(code))).Inc()
	s.write(s.framing.AppendClose(nil, &protocol.Close{Code: uint32(code), Reason: text}), 0, "")
	s.out.closing, s.out.graceful = true, true
	if len(s.out.queue) == 0 {
		s.shut(true)
	} else {
		s.due = min(s.due, s.g.tick.Load()+1) // a peer that takes nothing has a second
	}
}

// fail sends an error; s.mu is held.
func (s *session) fail(id string, p *problem) {
	p.RequestID = id
	s.g.metrics.errors.WithLabelValues(p.Code).Inc()
	s.say("error", id, p)
}

// say sends what is no event; s.mu is held.
func (s *session) say(typ, id string, data any) {
	switch {
	case s.form == formAdmin:
		return // has words of its own (admin.go)
	case s.form.streams():
		s.streamSay(data)
		return
	}
	if id == "" {
		id = newID("msg_")
	}
	s.messagesOut++
	s.write(s.framing.AppendFrame(nil, message(typ, id, s.g.now(), data)), 0, "")
}

func (g *Gateway) now() time.Time { return g.o.Clock() }
