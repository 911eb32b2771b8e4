package realtime

import (
	"context"
	"errors"
	"fmt"

	"github.com/kuranty/kuranty/protocol"
)

// subscribe answers a client's subscription. The checks before the authorizer's are
// those of client-protocol.md §7.2, in its order.
func (s *Session) subscribe(id uint32, req *protocol.SubscribeRequest) *protocol.Close {
	n := s.node
	switch {
	case req.Channel == "", req.Delta != "" && req.Delta != "fossil":
		return protocol.CloseBadRequest
	case len(req.Channel) > n.o.ChannelMaxLength:
		return s.refuse(id, "subscribe", protocol.ErrBadRequest)
	}
	sub := &subscription{session: s, channel: req.Channel}
	if err := s.reserve(sub); err != nil {
		return s.refuse(id, "subscribe", err)
	}
	grant, err := n.o.Authorizer.Subscribe(n.ctx, s.client(), req)
	if err == nil && req.Type != 0 {
		err = protocol.ErrNotAvailable
	}
	if _, expired := timeLeft(grant.ExpireAt); err == nil && expired {
		err = protocol.ErrExpired
	}
	if err != nil {
		s.abandon(sub)
		return s.refuse(id, "subscribe", err)
	}
	sub.configure(&grant)
	result, err := s.establish(sub, &grant, wanted{
		recover: req.Recover,
		since:   protocol.StreamPosition{Offset: req.Offset, Epoch: req.Epoch},
		orError: req.Flag&protocol.FlagRecoverOrError != 0,
	})
	if err != nil {
		s.abandon(sub)
		return s.refuseSubscribe(id, err)
	}
	return s.goLive(id, sub, result)
}

// refuseSubscribe is refuse, but what broke in the server closes the connection, for
// then the client will subscribe again (client-protocol.md §7.3).
func (s *Session) refuseSubscribe(id uint32, err error) *protocol.Close {
	var refusal *protocol.Error
	var why *protocol.Close
	if errors.As(err, &refusal) || errors.As(err, &why) {
		return s.refuse(id, "subscribe", err)
	}
	s.node.o.Logger.Error("subscribe", "client", s.id, "error", err)
	return protocol.CloseInternal
}

// reserve takes the channel of sub, so that nobody else of this session can.
func (s *Session) reserve(sub *subscription) error {
	for {
		s.mu.Lock()
		have := s.subs.get(sub.channel)
		if have == nil {
			break
		}
		gone := have.gone
		s.mu.Unlock()
		if gone == nil {
			return protocol.ErrAlreadySubscribed
		}
		<-gone
	}
	defer s.mu.Unlock()
	limit := s.node.o.ChannelLimit
	if sub.server {
		limit = s.node.o.ServerChannelLimit
	}
	if s.subs.made(sub.server) >= limit {
		return protocol.ErrLimitExceeded
	}
	s.subs.add(sub)
	return nil
}

func (s *Session) newSubscription(channel string, g *Grant) *subscription {
	sub := &subscription{session: s, channel: channel}
	sub.configure(g)
	return sub
}

// configure sets what the grant says; the subscription is not registered yet.
func (sub *subscription) configure(g *Grant) {
	sub.recoverable = g.Recoverable
	sub.positioned = g.Positioned || g.Recoverable
	sub.joinLeave = g.JoinLeave
	sub.presence = g.Options.Presence
	sub.announce = g.Options.JoinLeave
	sub.info = g.Info
	sub.expireAt = g.ExpireAt
}

// abandon undoes whatever has been done for a subscription that is not live.
func (s *Session) abandon(sub *subscription) {
	s.mu.Lock()
	registered := sub.phase == subHolding
	sub.phase, sub.held = subEnded, nil
	s.mu.Unlock()
	if registered {
		sub.announce = false // it was never seen
		s.withdraw(s.node.ctx, sub)
	}
	s.mu.Lock()
	s.subs.remove(sub)
	s.mu.Unlock()
}

// establish registers sub, which from then on holds what arrives, and prepares the
// result: what was missed, merged with what arrived meanwhile (client-protocol.md §7.3).
func (s *Session) establish(sub *subscription, g *Grant, w wanted) (*protocol.SubscribeResult, error) {
	n := s.node
	s.mu.Lock()
	sub.phase = subHolding
	s.mu.Unlock()
	if err := n.hub.join(n.ctx, sub); err != nil {
		return nil, fmt.Errorf("subscribe at the broker: %w", err)
	}
	if sub.presence {
		if err := n.o.Presence.Add(n.ctx, sub.channel, s.infoIn(sub)); err != nil {
			return nil, fmt.Errorf("add presence: %w", err)
		}
	}
	if len(g.Data) > 0 && s.framing.Format() == protocol.JSON && !protocol.ValidJSON(g.Data) {
		return nil, protocol.CloseInappropriate
	}
	ttl, _ := timeLeft(g.ExpireAt)
	result := &protocol.SubscribeResult{
		Expires: ttl > 0, TTL: ttl, Data: g.Data, WasRecovering: w.recover,
		Positioned: sub.positioned, Recoverable: sub.recoverable,
	}
	if !sub.positioned {
		return result, nil
	}
	w.recover = sub.recoverable && w.recover
	if g.Options.AutoCacheRecover && sub.recoverable {
		w.recover, result.WasRecovering = true, true
	}
	m, err := s.seam(n.ctx, sub, &g.Options, w)
	if err != nil {
		return nil, err
	}
	if m.gap {
		return nil, protocol.CloseInsufficient
	}
	if w.recover {
		if m.recovered {
			n.count.recovered.Add(1)
		} else {
			n.count.unrecovered.Add(1)
			if w.orError && g.Options.RecoveryMode == RecoverStream {
				return nil, protocol.ErrUnrecoverable
			}
		}
	}
	if s.framing.Format() == protocol.JSON && anyBinary(m.missed) {
		return nil, protocol.CloseInappropriate
	}
	result.Epoch, result.Offset = m.pos.Epoch, m.announced(w)
	result.Recovered, result.Publications = m.recovered, m.missed
	s.mu.Lock()
	sub.pos = m.pos
	s.mu.Unlock()
	return result, nil
}

// seam reads the past and joins it with what the subscription holds.
func (s *Session) seam(ctx context.Context, sub *subscription, o *ChannelOptions, w wanted) (seam, error) {
	var filter HistoryFilter
	switch {
	case w.recover && o.RecoveryMode == RecoverCache:
		filter = HistoryFilter{Limit: 1, Reverse: true}
	case w.recover:
		filter = HistoryFilter{Limit: s.node.o.RecoveryLimit, Since: &w.since}
	}
	past, err := s.node.past(ctx, sub.channel, o, filter)
	if err != nil {
		return seam{}, fmt.Errorf("read history: %w", err)
	}
	s.mu.Lock()
	held, overflow := sub.held, sub.overflow
	sub.held, sub.heldSize = nil, 0
	s.mu.Unlock()
	var m seam
	switch {
	case w.recover && o.RecoveryMode == RecoverCache:
		m = recoverCache(w, past, held)
	case w.recover:
		m = recoverStream(w, past, held)
	default:
		m = beginNow(past, held)
	}
	m.gap = m.gap || overflow
	s.mu.Lock()
	sub.held = append(unnumbered(held), sub.held...)
	s.mu.Unlock()
	return m, nil
}

// unnumbered keeps the items that no position says the subscriber has seen.
func unnumbered(held []item) []item {
	var kept []item
	for _, it := range held {
		if it.pub == nil || it.pos.Offset == 0 {
			kept = append(kept, it)
		}
	}
	return kept
}

// goLive answers the subscribe command and starts delivery. What is already to end
// again is answered without anything of the channel: its publications may be newer than
// the loss of the permission (guarantees.md S16).
func (s *Session) goLive(id uint32, sub *subscription, result *protocol.SubscribeResult) *protocol.Close {
	unit := unitBuffers.Get().(*buffer)
	defer recycle(unit)
	unit.b = protocol.AppendReply(unit.b[:0], s.framing.Format(), &protocol.Reply{ID: id, Subscribe: result})
	s.mu.Lock()
	if s.released {
		s.mu.Unlock()
		s.abandon(sub)
		return nil
	}
	doomed := sub.doomed
	if doomed != nil {
		result.Recovered, result.Publications, result.Data = false, nil, nil
		sub.held, sub.overflow = nil, false
		unit.b = protocol.AppendReply(unit.b[:0], s.framing.Format(), &protocol.Reply{ID: id, Subscribe: result})
	}
	s.appendUnit(unit.b)
	why := sub.activate()
	if doomed != nil {
		sub.phase = subEnded // nothing is delivered until it is gone
	}
	s.mu.Unlock()
	s.announce(sub)
	if why != nil {
		s.node.spawn(func() { sub.lost(why) })
	}
	if doomed != nil {
		s.end(s.node.ctx, sub, doomed)
	}
	return nil
}

// announce publishes the join of a subscription that has become live.
func (s *Session) announce(sub *subscription) {
	if !sub.announce {
		return
	}
	n := s.node
	if err := n.o.Broker.PublishJoin(n.ctx, sub.channel, s.infoIn(sub)); err != nil {
		n.o.Logger.Error("publish join", "channel", sub.channel, "error", err)
	}
	n.hub.Flush(sub.channel)
}
