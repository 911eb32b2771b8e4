package realtime

import (
	"context"
	"maps"
	"slices"

	"github.com/kuranty/kuranty/protocol"
)

// Target selects connections of this node: those of User ("" is the anonymous user),
// narrowed to one connection by Client or Session if they are set.
type Target struct {
	User, Client, Session string
	// Meta, if not nil, tells by its meta whether a connection is meant.
	Meta func(meta []byte) bool
	// With, if not empty, means only connections that the server subscribed to that channel.
	With string
}

// SubscribeOptions are the options of [Node.Subscribe].
type SubscribeOptions struct {
	// ExpireAt is when the subscription expires, in seconds since 1970; 0 is never.
	ExpireAt   int64
	Info, Data []byte
	// RecoverSince, if not nil, sends what was published after it.
	RecoverSince *protocol.StreamPosition
	Override     Override
	// Full, if not nil, is told of connections that may not have another subscription;
	// without it they are closed.
	Full func(client string)
}

// Override replaces options of the namespace where not nil.
type Override struct {
	Presence, JoinLeave, ForceRecovery, ForcePositioning, ForcePushJoinLeave *bool
}

// Apply changes what the grant says.
func (o *Override) Apply(g *Grant) {
	set := func(to *bool, from *bool) {
		if from != nil {
			*to = *from
		}
	}
	set(&g.Options.Presence, o.Presence)
	set(&g.Options.JoinLeave, o.JoinLeave)
	set(&g.Recoverable, o.ForceRecovery)
	set(&g.Positioned, o.ForcePositioning)
	set(&g.JoinLeave, o.ForcePushJoinLeave)
}

// Subscribe subscribes the target's connections to channel and pushes that to them.
// A connection that has the channel already keeps it as it is.
func (n *Node) Subscribe(_ context.Context, t Target, channel string, o SubscribeOptions) error {
	options, err := n.options(channel)
	if err != nil {
		return err
	}
	if _, expired := timeLeft(o.ExpireAt); expired {
		return protocol.ErrBadRequest
	}
	grant := Grant{
		Options: options, Info: o.Info, Data: o.Data, ExpireAt: o.ExpireAt,
		Positioned: options.ForcePositioning, Recoverable: options.ForceRecovery, JoinLeave: options.ForcePushJoinLeave,
	}
	o.Override.Apply(&grant)
	var w wanted
	if o.RecoverSince != nil {
		w = wanted{recover: true, since: *o.RecoverSince}
	}
	for _, s := range n.registry.of(t) {
		switch why := s.subscribeByServer(channel, &grant, w); {
		case why == nil:
		case why == protocol.CloseChannelLimit && o.Full != nil:
			o.Full(s.id)
		default:
			s.Close(why)
		}
	}
	return nil
}

// subscribeByServer subscribes a connected session; what was missed follows the push.
func (s *Session) subscribeByServer(channel string, g *Grant, w wanted) *protocol.Close {
	s.mu.Lock()
	connected := s.state == sessionConnected
	s.mu.Unlock()
	if !connected {
		return nil
	}
	sub := &subscription{session: s, channel: channel, server: true}
	switch s.reserve(sub) {
	case nil:
	case protocol.ErrLimitExceeded:
		return protocol.CloseChannelLimit
	default:
		return nil
	}
	sub.configure(g)
	result, err := s.establish(sub, g, w)
	if err != nil {
		s.abandon(sub)
		return s.refuseSubscribe(0, err)
	}
	s.mu.Lock()
	if s.released || sub.doomed != nil {
		s.mu.Unlock()
		s.abandon(sub)
		return nil
	}
	s.appendReply(&protocol.Reply{Push: &protocol.Push{Channel: channel, Subscribe: &protocol.SubscribePush{
		Recoverable: result.Recoverable, Positioned: result.Positioned,
		Epoch: result.Epoch, Offset: result.Offset, Data: result.Data,
	}}})
	for _, pub := range result.Publications {
		s.appendReply(&protocol.Reply{Push: &protocol.Push{Channel: channel, Pub: pub}})
	}
	why := sub.activate()
	s.mu.Unlock()
	s.announce(sub)
	s.Flush()
	return why
}

// Unsubscribe ends the target's subscriptions to channel, or all of them if it is empty.
func (n *Node) Unsubscribe(ctx context.Context, t Target, channel string, why protocol.UnsubscribePush) error {
	if channel != "" {
		if _, err := n.options(channel); err != nil {
			return err
		}
	}
	for _, s := range n.registry.of(t) {
		s.mu.Lock()
		subs := slices.Clone(s.subs.list)
		s.mu.Unlock()
		for _, sub := range subs {
			if channel == "" || sub.channel == channel {
				s.end(ctx, sub, &why)
			}
		}
	}
	return nil
}

// EndChannel ends every subscription of this node to channel.
func (n *Node) EndChannel(ctx context.Context, channel string, why protocol.UnsubscribePush) {
	sh := n.hub.shard(channel)
	sh.mu.Lock()
	var subs []*subscription
	if ch := sh.channels[channel]; ch != nil {
		for _, g := range ch.groups {
			subs = append(subs, g.subs...)
		}
	}
	sh.mu.Unlock()
	for _, sub := range subs {
		sub.session.end(ctx, sub, &why)
	}
}

// Disconnect closes the target's connections, except those whose ids are in keep.
func (n *Node) Disconnect(_ context.Context, t Target, why *protocol.Close, keep []string) error {
	n.disconnect(t, why, keep)
	return nil
}

func (n *Node) disconnect(t Target, why *protocol.Close, keep []string) {
	for _, s := range n.registry.of(t) {
		if !slices.Contains(keep, s.id) {
			s.Close(why)
		}
	}
}

// RefreshOptions are the options of [Node.Refresh].
type RefreshOptions struct {
	// Expired closes the connections as expired. Otherwise they expire at ExpireAt, in
	// seconds since 1970, or never if it is 0.
	Expired  bool
	ExpireAt int64
	// Info replaces the connections' info unless nil.
	Info []byte
}

// Refresh changes when the target's connections expire and tells them.
func (n *Node) Refresh(_ context.Context, t Target, o RefreshOptions) error {
	ttl, past := timeLeft(o.ExpireAt)
	for _, s := range n.registry.of(t) {
		if o.Expired || past {
			s.Close(protocol.CloseExpired)
			continue
		}
		s.mu.Lock()
		s.replaceInfo(o.Info)
		s.expire(o.ExpireAt)
		s.appendReply(&protocol.Reply{Push: &protocol.Push{Refresh: &protocol.RefreshPush{Expires: ttl > 0, TTL: ttl}}})
		s.mu.Unlock()
		s.wake()
		s.Flush()
	}
	return nil
}

// Subscriptions returns the channels that the target's connections are subscribed to,
// each once and in no order.
func (n *Node) Subscriptions(t Target) []string {
	found := make(map[string]struct{})
	for _, s := range n.registry.of(t) {
		s.mu.Lock()
		for _, sub := range s.subs.list {
			found[sub.channel] = struct{}{}
		}
		s.mu.Unlock()
	}
	return slices.Collect(maps.Keys(found))
}

// Users returns the users of this node's connections that are subscribed to channel,
// each once and in no order.
func (n *Node) Users(channel string) []string {
	sh := n.hub.shard(channel)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	found := make(map[string]struct{})
	if ch := sh.channels[channel]; ch != nil {
		for _, g := range ch.groups {
			for _, sub := range g.subs {
				found[sub.session.user] = struct{}{}
			}
		}
	}
	return slices.Collect(maps.Keys(found))
}

// Has tells whether the target has a connection here.
func (n *Node) Has(t Target) bool { return len(n.registry.of(t)) > 0 }

// Subscribers returns how many connections of this node are subscribed to channel.
func (n *Node) Subscribers(channel string) int {
	sh := n.hub.shard(channel)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if ch := sh.channels[channel]; ch != nil {
		return ch.count()
	}
	return 0
}

// Channels returns the channels with subscribers, with their number, of which match
// (nil is all) is true.
func (n *Node) Channels(match func(channel string) bool) map[string]int {
	found := make(map[string]int)
	for i := range n.hub.shards {
		sh := &n.hub.shards[i]
		sh.mu.Lock()
		for name, ch := range sh.channels {
			if c := ch.count(); c > 0 {
				found[name] = c
			}
		}
		sh.mu.Unlock()
	}
	if match != nil {
		for name := range found {
			if !match(name) {
				delete(found, name)
			}
		}
	}
	return found
}

// count returns the number of channels and of their subscriptions.
func (h *hub) count() (channels, subscriptions int) {
	for i := range h.shards {
		sh := &h.shards[i]
		sh.mu.Lock()
		channels += len(sh.channels)
		for _, ch := range sh.channels {
			subscriptions += ch.count()
		}
		sh.mu.Unlock()
	}
	return channels, subscriptions
}
