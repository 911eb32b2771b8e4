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
	subs, err := s.serverSubscriptions(&cred, req, result)
	if err != nil {
		return s.refuseConnect(id, err)
	}
	subs, why := s.open(id, result, subs, cred.ExpireAt, pings)
	if why != nil {
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
func (s *Session) serverSubscriptions(cred *Credentials, req *protocol.ConnectRequest, result *protocol.ConnectResult) ([]*subscription, error) {
	channels := make([]string, 0, len(cred.Subs))
	for channel := range cred.Subs {
		channels = append(channels, channel)
	}
	slices.Sort(channels)
	subs := make([]*subscription, 0, len(channels))
	s.mu.Lock()
	for _, channel := range channels {
		grant := cred.Subs[channel]
		sub := s.newSubscription(channel, &grant)
		sub.server = true
		s.subs.add(sub)
		subs = append(subs, sub)
	}
	s.mu.Unlock()
	err := s.confirm(cred)
	for i := 0; i < len(subs) && err == nil; i++ {
		err = s.establishAtConnect(subs[i], cred, req, result)
	}
	if err != nil {
		for _, sub := range subs {
			s.abandon(sub)
		}
		return nil, err
	}
	return subs, nil
}

func (s *Session) confirm(cred *Credentials) error {
	if cred.Confirm == nil {
		return nil
	}
	return cred.Confirm()
}

func (s *Session) establishAtConnect(sub *subscription, cred *Credentials, req *protocol.ConnectRequest, result *protocol.ConnectResult) error {
	grant := cred.Subs[sub.channel]
	var w wanted
	if r := req.Subs[sub.channel]; r != nil && r.Recover {
		w = wanted{recover: true, since: protocol.StreamPosition{Offset: r.Offset, Epoch: r.Epoch}}
	}
	r, err := s.establish(sub, &grant, w)
	if err != nil {
		return err
	}
	if result.Subs == nil {
		result.Subs = make(map[string]*protocol.SubscribeResult, len(cred.Subs))
	}
	result.Subs[sub.channel] = r
	return nil
}

// open queues the connect reply and makes the session and its server-side
// subscriptions live; those returned are.
func (s *Session) open(id uint32, result *protocol.ConnectResult, subs []*subscription, expireAt int64, pings bool) ([]*subscription, *protocol.Close) {
	n := s.node
	s.mu.Lock()
	if s.released {
		s.mu.Unlock()
		for _, sub := range subs {
			s.abandon(sub)
		}
		return nil, protocol.CloseNormal
	}
	live := make([]*subscription, 0, len(subs))
	var lost []*subscription
	for _, sub := range subs {
		if sub.doomed != nil { // taken away before the client knew that it had it
			delete(result.Subs, sub.channel)
			lost = append(lost, sub)
			continue
		}
		live = append(live, sub)
	}
	s.state = sessionConnected
	s.times.start(n, pings)
	s.expire(expireAt)
	s.appendReply(&protocol.Reply{ID: id, Connect: result})
	var why *protocol.Close
	for _, sub := range live {
		if w := sub.activate(); w != nil && why == nil {
			why = w
		}
	}
	s.mu.Unlock()
	for _, sub := range lost {
		s.abandon(sub)
	}
	s.wake()
	return live, why
}
