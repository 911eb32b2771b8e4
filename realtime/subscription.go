package realtime

import "github.com/kuranty/kuranty/protocol"

// The life of a subscription.
const (
	subReserved uint8 = iota // the channel is taken, nothing is delivered
	subHolding               // registered; what arrives is held until the reply is queued
	subLive
	subEnded
)

// heldBytes bounds what a subscription holds while its reply is being prepared.
const heldBytes = 256 << 10

// subscription is one session's interest in one channel.
type subscription struct {
	session *Session
	channel string
	index   int // place in its group, guarded by the shard's lock

	// Features, fixed before the subscription is registered.
	positioned, recoverable, joinLeave bool
	presence, announce                 bool // keeps a presence entry, publishes join and leave
	server                             bool // the server subscribed the client

	// The rest is guarded by the session's lock.
	phase    uint8
	overflow bool // more arrived than may be held
	pos      protocol.StreamPosition
	info     []byte
	expireAt int64
	held     []item
	heldSize int
	// doomed ends the subscription as soon as it has been answered.
	doomed *protocol.UnsubscribePush
	// gone is set when the end begins and closed when the channel is free again.
	gone chan struct{}
}

// offer queues what the subscriber gets of runs and returns the number of
// publications, and why the subscription cannot go on if so. The caller flushes.
func (sub *subscription) offer(runs []run) (n int, why *protocol.Close) {
	s := sub.session
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range runs {
		r := &runs[i]
		switch sub.phase {
		case subLive:
		case subHolding:
			sub.hold(r.items)
			continue
		default:
			return n, nil
		}
		if r.presence {
			if sub.joinLeave && !s.appendFrame(r.frame) {
				return n, protocol.CloseSlow
			}
			continue
		}
		if sub.follows(r) {
			if r.frame == nil {
				return n, protocol.CloseInappropriate
			}
			if !s.appendFrame(r.frame) {
				return n, protocol.CloseSlow
			}
			n += r.pubs
			continue
		}
		for j := range r.items {
			if why := sub.deliver(&r.items[j]); why != nil {
				return n, why
			}
			n++
		}
	}
	return n, nil
}

// follows advances the position over the whole run, if the run continues it.
func (sub *subscription) follows(r *run) bool {
	if !sub.positioned || r.first == 0 {
		return true
	}
	if r.broken || r.first != sub.pos.Offset+1 || (sub.pos.Epoch != r.epoch && sub.pos.Epoch != "") {
		return false
	}
	sub.pos = protocol.StreamPosition{Offset: r.last, Epoch: r.epoch}
	return true
}

// deliver queues one item, unless the subscriber has seen it (client-protocol.md §15.4).
func (sub *subscription) deliver(it *item) *protocol.Close {
	s := sub.session
	if it.pub == nil {
		if sub.joinLeave {
			s.appendReply(&protocol.Reply{Push: it.push(sub.channel)})
		}
		return nil
	}
	if sub.positioned && it.pos.Offset > 0 {
		switch {
		case sub.pos.Epoch != "" && sub.pos.Epoch != it.pos.Epoch, it.pos.Offset > sub.pos.Offset+1:
			sub.phase = subEnded
			return protocol.CloseInsufficient
		case it.pos.Offset <= sub.pos.Offset:
			return nil
		}
		sub.pos = it.pos
	}
	if it.pub.Binary && s.framing.Format() == protocol.JSON {
		return protocol.CloseInappropriate
	}
	if s.out.queued > s.node.o.QueueBytes {
		return protocol.CloseSlow
	}
	s.appendReply(&protocol.Reply{Push: &protocol.Push{Channel: sub.channel, Pub: it.pub}})
	return nil
}

// hold keeps items until the subscription is live.
func (sub *subscription) hold(items []item) {
	for i := range items {
		if sub.heldSize += items[i].size(); sub.heldSize > heldBytes {
			sub.overflow, sub.held = true, nil
			return
		}
		sub.held = append(sub.held, items[i])
	}
}

// activate makes the subscription live after its reply was queued, and delivers what
// arrived since the reply was prepared. The session's lock is held.
func (sub *subscription) activate() *protocol.Close {
	held := sub.held
	sub.phase, sub.held = subLive, nil
	if sub.overflow {
		if sub.positioned {
			sub.phase = subEnded
			return protocol.CloseInsufficient
		}
		return nil
	}
	for i := range held {
		if why := sub.deliver(&held[i]); why != nil {
			return why
		}
	}
	return nil
}

// lost ends what could not take a delivery: the subscription if it only missed
// something and the client can subscribe again by itself, else the connection.
func (sub *subscription) lost(why *protocol.Close) {
	s := sub.session
	if why != protocol.CloseInsufficient {
		s.Close(why)
		return
	}
	s.node.count.insufficient.Add(1)
	if sub.server {
		s.Close(why)
		return
	}
	s.end(s.node.ctx, sub, &protocol.UnsubscribeInsufficient)
}

// subscriptions are a session's, by channel: a list, with an index only when it is
// long. Guarded by the session's lock.
type subscriptions struct {
	list   []*subscription
	index  map[string]*subscription
	server int // how many of them the server made
}

// made is how many subscriptions the server made, or the client.
func (l *subscriptions) made(server bool) int {
	if server {
		return l.server
	}
	return len(l.list) - l.server
}

const indexedSubscriptions = 8

func (l *subscriptions) get(channel string) *subscription {
	if l.index != nil {
		return l.index[channel]
	}
	for _, sub := range l.list {
		if sub.channel == channel {
			return sub
		}
	}
	return nil
}

func (l *subscriptions) add(sub *subscription) {
	l.list = append(l.list, sub)
	if sub.server {
		l.server++
	}
	if l.index != nil {
		l.index[sub.channel] = sub
		return
	}
	if len(l.list) > indexedSubscriptions {
		l.index = make(map[string]*subscription, 2*len(l.list))
		for _, sub := range l.list {
			l.index[sub.channel] = sub
		}
	}
}

func (l *subscriptions) remove(sub *subscription) {
	for i, have := range l.list {
		if have == sub {
			last := len(l.list) - 1
			l.list[i] = l.list[last]
			l.list[last] = nil
			l.list = l.list[:last]
			delete(l.index, sub.channel)
			if sub.server {
				l.server--
			}
			return
		}
	}
}
