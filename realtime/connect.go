package realtime

import (
	"slices"

	"github.com/kuranty/kuranty/protocol"
)

// connect answers the first command. An error leaves the session refused: whatever
// follows is ignored until the client or the timing wheel closes.
func (s *Session) connect(id uint32, req *protocol.ConnectRequest) *protocol.Close {
	n := s.node
	cred, err := n.o.Authorizer.Connect(n.ctx, Connecting{
		Client: s.id, Peer: s.conn.Peer(), Format: s.framing.Format(), Request: req,
	})
	if err != nil {
		return s.refuseConnect(id, err)
	}
	ttl, expired := timeLeft(cred.ExpireAt)
	if expired {
		return s.refuseConnect(id, protocol.ErrExpired)
	}
	if len(cred.Subs) > n.o.ServerChannelLimit {
		return protocol.CloseChannelLimit
	}
	s.user, s.serverSubs = cred.User, cred.TokenSubs
	s.mu.Lock()
	s.info = &protocol.ClientInfo{User: cred.User, Client: s.id, ConnInfo: cred.Info}
	s.meta = cred.Meta
	s.mu.Unlock()
	if !n.registry.connect(s, n.o.UserConnectionLimit) {
		return protocol.CloseConnectionLimit
	}
	s.mu.Lock()
	released := s.released
	s.mu.Unlock()
	if released { // closed meanwhile, and forgotten before it was filed anew
		n.registry.remove(s)
		return protocol.CloseNormal
	}

	result := &protocol.ConnectResult{
		Client: s.id, Version: n.o.Version, Expires: ttl > 0, TTL: ttl, Data: cred.Data,
	}
	if n.o.IncludeServerTime {
		result.Time = nowMilli()
	}
	pings := n.o.PingInterval > 0
	if p, ok := s.conn.(Pinger); ok && p.NativePings() {
		pings = false
	}
	if pings {
		result.Ping, result.Pong = uint32(n.o.PingInterval.Seconds()), true
	}
	subs, err := s.serverSubscriptions(cred.Subs, req, result)
	if err != nil {
		return s.refuseConnect(id, err)
	}
	if why := s.open(id, result, subs, cred.ExpireAt, pings); why != nil {
		return why
	}
	n.count.connects.Add(1)
	s.watch()
	for _, sub := range subs {
		s.announce(sub)
	}
	if cred.OnlyConnection && cred.User != "" {
		n.disconnect(Target{User: cred.User}, protocol.CloseConnectionLimit, []string{s.id})
	}
	return nil
}

func (s *Session) refuseConnect(id uint32, err error) *protocol.Close {
	if why := s.refuse(id, "connect", err); why != nil {
		return why
	}
	s.mu.Lock()
	s.state = sessionRefused
	s.times.close = s.node.wheel.now() + refusedCloseDelay
	s.mu.Unlock()
	s.wake()
	return nil
}

// serverSubscriptions establishes what the server subscribes the client to, in the
// order of the names, and puts it into the result.
func (s *Session) serverSubscriptions(grants map[string]Grant, req *protocol.ConnectRequest, result *protocol.ConnectResult) ([]*subscription, error) {
	if len(grants) == 0 {
		return nil, nil
	}
	channels := make([]string, 0, len(grants))
	for channel := range grants {
		channels = append(channels, channel)
	}
	slices.Sort(channels)
	result.Subs = make(map[string]*protocol.SubscribeResult, len(grants))
	subs := make([]*subscription, 0, len(grants))
	for _, channel := range channels {
		grant := grants[channel]
		var w wanted
		if r := req.Subs[channel]; r != nil && r.Recover {
			w = wanted{recover: true, since: protocol.StreamPosition{Offset: r.Offset, Epoch: r.Epoch}}
		}
		sub := s.newSubscription(channel, &grant)
		sub.server = true
		s.mu.Lock()
		s.subs.add(sub)
		s.mu.Unlock()
		r, err := s.establish(sub, &grant, w)
		if err != nil {
			s.abandon(sub)
			for _, sub := range subs {
				s.abandon(sub)
			}
			return nil, err
		}
		subs = append(subs, sub)
		result.Subs[channel] = r
	}
	return subs, nil
}

// open queues the connect reply and makes the session and its server-side
// subscriptions live.
func (s *Session) open(id uint32, result *protocol.ConnectResult, subs []*subscription, expireAt int64, pings bool) *protocol.Close {
	n := s.node
	s.mu.Lock()
	if s.released {
		s.mu.Unlock()
		for _, sub := range subs {
			s.abandon(sub)
		}
		return protocol.CloseNormal
	}
	s.state = sessionConnected
	s.times.start(n, pings)
	s.expire(expireAt)
	s.appendReply(&protocol.Reply{ID: id, Connect: result})
	var why *protocol.Close
	for _, sub := range subs {
		if w := sub.activate(); w != nil && why == nil {
			why = w
		}
	}
	s.mu.Unlock()
	s.wake()
	return why
}
