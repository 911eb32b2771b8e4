package realtime

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/kuranty/kuranty/protocol"
)

// times are when a session has something to do, since the wheel's start; zero is
// never. Guarded by the session's lock.
type times struct {
	// close is when a session that has not connected, or was refused, is closed.
	close time.Duration
	// ping is when the next ping is due, pong when its answer is overdue.
	ping, pong time.Duration
	// duty is when the periodic duties are due.
	duty time.Duration
	// expire is when the connection is closed for not having been refreshed.
	expire time.Duration
}

// start begins the schedule of a session that has just connected. The first ping and
// duty come at a random moment of the second half of their interval, so that
// connections made together do not stay together.
func (t *times) start(n *Node, pings bool) {
	now := n.wheel.now()
	t.close = 0
	if pings {
		t.ping = now + secondHalf(n.o.PingInterval)
	}
	t.duty = now + secondHalf(n.o.PresenceUpdateInterval)
}

func secondHalf(d time.Duration) time.Duration {
	return d/2 + rand.N(max(d/2, 1))
}

// next is the earliest time.
func (t *times) next() time.Duration {
	var next time.Duration
	for _, at := range [...]time.Duration{t.close, t.ping, t.pong, t.duty, t.expire} {
		if at > 0 && (next == 0 || at < next) {
			next = at
		}
	}
	return next
}

// expire sets when the connection expires, in seconds since 1970; 0 is never. s.mu is
// held; the caller wakes the session.
func (s *Session) expire(at int64) {
	s.times.expire = 0
	if at > 0 {
		left := max(time.Until(time.Unix(at, 0)), 0)
		s.times.expire = s.node.wheel.now() + left + s.node.o.ExpiredCloseDelay
	}
}

// wake makes the wheel look at the session's times again.
func (s *Session) wake() {
	s.mu.Lock()
	next, released := s.times.next(), s.released
	s.mu.Unlock()
	if !released {
		s.node.wheel.set(s, next)
	}
}

// pong takes the answer to a ping; one without a ping is ignored.
func (s *Session) pong() {
	s.mu.Lock()
	s.times.pong = 0
	s.mu.Unlock()
}

// onTime does what is due. The wheel calls it.
func (s *Session) onTime(now time.Duration) {
	n := s.node
	s.mu.Lock()
	t := &s.times
	if s.released {
		s.mu.Unlock()
		return
	}
	if t.close > 0 && t.close <= now {
		refused := s.state == sessionRefused
		s.mu.Unlock()
		switch {
		case refused:
			s.Gone() // without a close frame: the client knows the error
		case n.draining.Load():
			s.Close(protocol.CloseShutdown)
		default:
			s.Close(protocol.CloseStale)
		}
		return
	}
	var why *protocol.Close
	switch {
	case t.pong > 0 && t.pong <= now:
		why = protocol.CloseNoPong
	case t.expire > 0 && t.expire <= now:
		why = protocol.CloseExpired
	}
	if why != nil {
		s.mu.Unlock()
		s.Close(why)
		return
	}
	ping := t.ping > 0 && t.ping <= now
	if ping {
		t.ping = now + n.o.PingInterval
		t.pong = now + n.o.PongTimeout
		s.appendPing()
	}
	duty := t.duty > 0 && t.duty <= now && len(s.subs.list) > 0
	if t.duty > 0 && t.duty <= now {
		t.duty = now + n.o.PresenceUpdateInterval
	}
	next := t.next()
	s.mu.Unlock()
	n.wheel.set(s, next)
	if ping {
		s.Flush()
	}
	if duty {
		s.duties(n.ctx)
	}
}

// appendPing queues a ping. s.mu is held.
func (s *Session) appendPing() {
	s.appendUnits(func(units []byte) []byte {
		return protocol.AppendPing(units, s.framing.Format())
	})
}

// duties refreshes presence and ends expired subscriptions.
func (s *Session) duties(ctx context.Context) {
	n := s.node
	overdue := time.Now().Add(-n.o.ExpiredSubCloseDelay).Unix()
	var present, expired []*subscription
	s.mu.Lock()
	for _, sub := range s.subs.list {
		switch {
		case sub.phase != subLive:
		case sub.expireAt > 0 && sub.expireAt < overdue:
			expired = append(expired, sub)
		case sub.presence:
			present = append(present, sub)
		}
	}
	s.mu.Unlock()
	for _, sub := range expired {
		if sub.server {
			s.Close(protocol.CloseSubExpired)
			return
		}
		s.end(ctx, sub, &protocol.UnsubscribeExpired)
	}
	for _, sub := range present {
		s.refreshPresence(ctx, sub)
	}
}

// refreshPresence renews an entry; if the subscription ends meanwhile, the entry goes too.
func (s *Session) refreshPresence(ctx context.Context, sub *subscription) {
	n := s.node
	if err := n.o.Presence.Add(ctx, sub.channel, s.infoIn(sub)); err != nil {
		n.o.Logger.Error("refresh presence", "channel", sub.channel, "error", err)
	}
	s.mu.Lock()
	ended := sub.phase == subEnded
	s.mu.Unlock()
	if ended {
		_ = n.o.Presence.Remove(ctx, sub.channel, s.id)
	}
}

func nowMilli() int64 { return time.Now().UnixMilli() }
