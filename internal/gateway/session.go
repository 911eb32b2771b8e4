package gateway

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
)

// What a session is doing about its caller.
const (
	stateNew     = iota // nobody has said who is there
	stateAsking         // a credential is being looked at
	stateOpen           // the caller is known
	stateRefused        // it was not good
)

// How a session gets its events.
const (
	modeLive   = iota // offered by the hub
	modeReader        // read from the log after pos
	modeOver          // none any more
)

// maxInbox bounds the messages that wait while one is being answered.
const maxInbox = 32

// session is one connection (event-gateway.md, part I).
type session struct {
	g       *Gateway
	conn    realtime.Conn
	framing realtime.Framing
	id      string
	peer    peer
	// credential is that of the request, until Start.
	credential credential
	form       form
	user       atomic.Int64 // of caller, for who does not hold mu
	heard      atomic.Int64 // the tick of the last sign of life

	// followed belongs to the hub, offers to Deliver: which events of a burst are for it.
	followed []place
	offers   uint64

	mu      sync.Mutex
	state   uint8
	mode    uint8
	reading bool // a goroutine reads the log for it
	caller  Caller
	subs    []*subscription
	out     output
	turn    uint32 // counts how often the session was sent to the log
	// admitted says that it counts for its subject, released that it counts nowhere any more.
	admitted, released bool
	// pos is up to where a reader of the log has read, lastSent the newest event sent.
	pos, lastSent int64
	inbox         []*frame
	inboxBytes    int
	revoked       int64 // the gateway's count when the credential was looked at
	busy          bool  // a message is being answered by a goroutine
	rate          bucket
	strikes       strikes
	due           int64 // the tick at which to look after it
	pingAt        int64
	authBy        int64
	warned        bool
	resumeToken   string
	lastEventID   string // of the handshake, for the first subscribe
	consumer      *consumer
	notice        *notice // of the admin socket
	connected     time.Time

	messagesIn, messagesOut, bytesIn, bytesOut uint64
	skipped                                    uint64
}

// peer is what is known of who connects.
type peer struct {
	addr string
	hash string // of the credential in the request, for the guard; "" without one
}

// Bounds of who has not said who they are (guarantees.md S22): of a message, and of all that
// wait while a credential is looked at.
const (
	strangersFrame = 16 << 10
	strangersBytes = 32 << 10
)

// MessageLimit implements transport.Session.
func (s *session) MessageLimit() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.state == stateOpen:
		return s.g.o.FrameBytes
	case s.form == formAdmin:
		return min(strangersMessage, s.g.o.FrameBytes)
	}
	return min(strangersFrame, s.g.o.FrameBytes)
}

// Flush implements transport.Session.
func (s *session) Flush() {}

// Alive is called for pings and pongs of the protocol, and for messages.
func (s *session) Alive() {
	if !s.g.o.StrictPong || s.form == formAdmin {
		s.heard.Store(s.g.tick.Load())
	}
}

// WriteControl implements transport.Session.
func (s *session) WriteControl(framed []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write(framed, 0, "")
}

// Writable implements transport.Session.
func (s *session) Writable() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out.awaiting = false
	s.drain()
	s.wake()
}

// Stalled implements transport.Session: the peer takes nothing (event-gateway.md §8).
func (s *session) Stalled() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out.awaiting = false
	if s.out.closing {
		s.shut(false)
		return
	}
	s.giveUp()
}

// Close implements transport.Session: what came cannot be read.
func (s *session) Close(c *protocol.Close) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(uint16(c.Code), c.Reason)
}

// Gone implements transport.Session.
func (s *session) Gone() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out.closing, s.out.queue, s.out.bytes = true, nil, 0
	s.enter(modeOver)
	s.shut(false)
}

// Receive implements transport.Session.
func (s *session) Receive(b []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Alive()
	s.bytesIn += uint64(len(b))
	s.messagesIn++
	if s.out.closing {
		return false
	}
	if s.form == formAdmin {
		return s.receiveAdmin(b)
	}
	f, err := parseFrame(b)
	s.g.metrics.in(f.Type)
	if f.Type == "pong" && err == nil {
		s.heard.Store(s.g.tick.Load())
		return true
	}
	if f.Type != "ack" && !s.pace(f.ID) {
		return !s.out.closing
	}
	var wrong *malformed
	if errors.As(err, &wrong) {
		s.strike(f.ID, wrong.detail)
		return !s.out.closing
	}
	if s.busy {
		if len(s.inbox) >= maxInbox || s.state != stateOpen && s.inboxBytes+len(b) > strangersBytes {
			s.strike(f.ID, "too many messages wait for an answer")
			return !s.out.closing
		}
		s.inbox, s.inboxBytes = append(s.inbox, &f), s.inboxBytes+len(b)
		return true
	}
	s.answer(&f)
	return !s.out.closing
}

// counted counts a message against the rate; s.mu is held.
func (s *session) counted() int {
	p := s.rate.take(s.g.now(), s.g.o.MessagesPerMinute)
	if p != paceOK {
		s.g.o.Watch.RateLimited(s.caller.User, s.peer.addr)
	}
	return p
}

// pace tells whether a message is within the rate; s.mu is held.
func (s *session) pace(id string) bool {
	switch s.counted() {
	case paceOver:
		s.fail(id, &problem{Code: codeMalformed, Message: "Message rate exceeded", Reason: "rate", Retryable: true})
		return false
	case paceIgnore:
		return false
	case paceClose:
		s.end(closeRate, "message rate exceeded")
		return false
	}
	return true
}

// strike answers a message that cannot be understood; s.mu is held.
func (s *session) strike(id, detail string) {
	s.fail(id, &problem{Code: codeMalformed, Message: detail})
	if s.strikes.add(s.g.now()) {
		s.end(closeMalformed, "too many malformed messages")
	}
}

// answer handles a message; s.mu is held.
func (s *session) answer(f *frame) {
	if s.form == formAdmin {
		s.answerAdmin(f)
		return
	}
	switch f.Type {
	case "ping":
		s.say("pong", f.ID, struct{}{})
		return
	case "auth":
		s.authenticate(f)
		return
	}
	if s.state != stateOpen {
		s.fail(f.ID, &problem{Code: codeAuth, Message: "Authentication required", Reason: reasonRequired})
		return
	}
	switch f.Type {
	case "subscribe":
		s.answerSubscribe(f)
	case "unsubscribe":
		if len(f.Channels)+len(f.Events) == 0 && !f.All {
			s.strike(f.ID, "channels or events must name something")
			return
		}
		s.say("response", f.ID, s.unsubscribe(f))
	case "resume":
		s.answerResume(f)
	case "ack":
		s.acknowledge(f)
	case "list":
		a := &subscribed{Action: "list", Status: "ok", RequestID: f.ID, Active: s.active(), Count: len(s.subs)}
		a.Stats = &traffic{s.connected.UTC().Format(timeFormat), s.messagesIn, s.messagesOut, s.bytesIn, s.bytesOut}
		s.say("response", f.ID, a)
	default:
		s.strike(f.ID, "type must be auth, subscribe, unsubscribe, ping, pong, resume, ack or list")
	}
}

// later answers a message by a goroutine, because it must wait; messages that come
// meanwhile wait too. s.mu is held; work is called without it.
func (s *session) later(work func(ctx context.Context)) {
	s.busy = true
	started := s.spawn(func(ctx context.Context) {
		work(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.busy = false
		for len(s.inbox) > 0 && !s.busy && !s.out.closing {
			f := s.inbox[0]
			s.inbox = s.inbox[1:]
			s.answer(f) // may make s busy again, with a goroutine of its own
		}
		if len(s.inbox) == 0 {
			s.inbox, s.inboxBytes = nil, 0
		}
	})
	if !started {
		s.busy = false
		s.end(closeRestart, "shutting down")
	}
}

// spawn runs f in a goroutine of the gateway. A panic ends the connection and nothing else.
func (s *session) spawn(f func(ctx context.Context)) bool {
	return s.g.spawn(func(ctx context.Context) {
		defer func() {
			if r := recover(); r != nil {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.broken(r)
			}
		}()
		f(ctx)
	})
}

// contain ends the connection for which code has panicked. It is deferred; s.mu is held.
func (s *session) contain() {
	if r := recover(); r != nil {
		s.broken(r)
	}
}

func (s *session) broken(r any) {
	s.g.o.Logger.Error("panic", "where", "gateway", "connection", s.id, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
	s.fail("", &problem{Code: codeInternal, Message: "Internal server error", Retryable: true})
	s.end(closeInternal, "internal error")
}

// enter changes how the session gets its events; s.mu is held.
func (s *session) enter(mode uint8) {
	if was := s.mode; was != mode {
		s.mode = mode
		if was == modeReader {
			s.g.metrics.readers.Dec()
		} else if mode == modeReader {
			s.g.metrics.readers.Inc()
		}
	}
}

// offered sends those of a few events that have just happened which are asked for and may
// be seen: which has a bit for each that the session waits for.
func (s *session) offered(list []*occurrence, which uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.contain()
	if which&(which-1) != 0 {
		defer s.uncork(s.cork())
	}
	for ; which != 0; which &= which - 1 {
		o := list[bits.TrailingZeros64(which)]
		if s.mode != modeLive || s.state != stateOpen || o.event.Pos <= max(s.pos, s.lastSent) || !o.visible(&s.caller) {
			continue
		}
		wanted, latest := s.wants(o)
		if !wanted {
			continue
		}
		key := ""
		if latest && s.out.slow() {
			key = o.key()
		}
		if !s.write(o.frame(s.form, s.framing, s.g.o.Source), o.event.Pos, key) {
			s.fallBehind(o.event.Pos)
			continue
		}
		s.sent(o, "live")
	}
}

func (s *session) sent(o *occurrence, mode string) {
	s.lastSent = o.event.Pos
	s.messagesOut++
	if s.consumer != nil {
		s.consumer.sent(o.event)
	}
	s.g.metrics.out(o.kind.Channel, mode)
}

// fallBehind makes a session that has no room for an event a reader of the log, from the
// first event on that is not on its way. s.mu is held.
func (s *session) fallBehind(pos int64) {
	if first := s.out.dropEvents(); first != 0 {
		pos = min(pos, first)
	}
	s.readAfter(pos - 1)
}

// readAfter makes the session read the log after a position; s.mu is held. What a
// subscription got before is not sent again.
func (s *session) readAfter(pos int64) {
	s.enter(modeReader)
	s.pos = pos
	s.turn++
	s.wake()
}

// served is up to where the session has got all it asked for; s.mu is held.
func (s *session) served() int64 {
	if s.mode == modeReader {
		return s.pos
	}
	return max(s.g.hub.finished.Load().pos, s.lastSent, s.pos)
}

// settle notes up to where the subscriptions have been served, so that none of them gets
// an event again when the session reads from an earlier position for others. s.mu is held.
func (s *session) settle() {
	mark := s.served()
	for _, sub := range s.subs {
		sub.done = max(sub.done, mark)
	}
}

// rewind makes the session read from an earlier position for subscriptions that begin
// there; the others have been settled. s.mu is held.
func (s *session) rewind(pos int64) { s.readAfter(min(pos, s.served())) }

// cursor is the id of the newest event that the session is caught up with. There is none
// while something waits to be sent: events may still be taken out of the queue, and who
// resumes from a cursor that overtook them would miss them.
func (s *session) cursor() string {
	if s.mode == modeReader || len(s.out.queue) > 0 {
		return ""
	}
	return s.g.hub.finished.Load().id
}

// position is a place in the log.
type position struct {
	id  string
	pos int64
}

// itself is the event as a place.
func itself(e *event.Event) position { return position{e.ID, e.Pos} }
