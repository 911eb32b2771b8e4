package gateway

import (
	"time"

	"github.com/kuranty/kuranty/protocol"
)

// Bounds of what waits to be sent (event-gateway.md §8).
const (
	maxQueued      = 1024
	maxQueuedBytes = 1 << 20
	// lowQueue is below how many waiting bytes a reader of the log reads on.
	lowQueue = 64 << 10
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
	if len(out.queue) == 0 {
		n, err := s.conn.TryWrite(b)
		if err != nil {
			return true // the transport tells of the end
		}
		s.progress(n)
		if n == len(b) {
			return true
		}
		sent = n
	} else if pos != 0 && (len(out.queue) >= maxQueued || out.bytes+len(b) > maxQueuedBytes) {
		return false
	}
	if key != "" && out.replace(b, pos, key) {
		s.skipped++
		return true
	}
	out.begun = out.begun || sent > 0
	out.queue = append(out.queue, waiting{b[sent:], pos, key})
	out.bytes += len(b) - sent
	if !out.awaiting {
		out.awaiting = true
		s.conn.AwaitWritable()
	}
	return true
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
		w := &out.queue[0]
		n, err := s.conn.TryWrite(w.bytes)
		if err != nil {
			return
		}
		s.progress(n)
		out.bytes -= n
		if n < len(w.bytes) {
			w.bytes = w.bytes[n:]
			out.begun = out.begun || n > 0
			out.awaiting = true
			s.conn.AwaitWritable()
			return
		}
		out.begun = false
		*w = waiting{}
		out.queue = out.queue[1:]
	}
	if len(out.queue) == 0 {
		out.queue = nil
		if out.closing {
			s.shut(out.graceful)
		}
	}
}

func (s *session) progress(n int) {
	if n > 0 {
		s.bytesOut += uint64(n)
	}
}

// shut closes the connection; s.mu is held.
func (s *session) shut(graceful bool) {
	if !s.out.closed {
		s.out.closed = true
		s.conn.Close(graceful)
	}
}

// end sends a close frame after everything that waits, but not events, and then closes.
// s.mu is held.
func (s *session) end(code uint16, text string) {
	if s.out.closing || s.out.closed {
		return
	}
	if s.form == formAdmin {
		code, text = s.adminClose(code, text)
	}
	s.out.dropEvents()
	s.mode = modeOver
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
