package realtime

import (
	"slices"
	"time"

	"github.com/kuranty/kuranty/protocol"
)

// handle does one command. What it returns closes the connection. If several requests
// are set, the first in the order of client-protocol.md §3.4 wins.
func (s *Session) handle(c *protocol.Command) *protocol.Close {
	if s.state == sessionNew {
		if c.ID == 0 || c.Connect == nil {
			return protocol.CloseBadRequest
		}
		return s.connect(c.ID, c.Connect)
	}
	if c.ID == 0 {
		switch {
		case c.Send != nil:
			return protocol.CloseNotAvailable
		case *c == (protocol.Command{}):
			s.pong()
			return nil
		default:
			return protocol.CloseBadRequest
		}
	}
	switch {
	case c.Connect != nil:
		return protocol.CloseBadRequest
	case c.Subscribe != nil:
		return s.subscribe(c.ID, c.Subscribe)
	case c.Unsubscribe != nil:
		return s.unsubscribe(c.ID, c.Unsubscribe)
	case c.Publish != nil:
		return s.publish(c.ID, c.Publish)
	case c.Presence != nil:
		return s.presence(c.ID, c.Presence)
	case c.PresenceStats != nil:
		return s.presenceStats(c.ID, c.PresenceStats)
	case c.History != nil:
		return s.history(c.ID, c.History)
	case c.RPC != nil:
		return s.rpc(c.ID, c.RPC)
	case c.Send != nil:
		return protocol.CloseNotAvailable
	case c.Refresh != nil:
		return s.refresh(c.ID, c.Refresh)
	case c.SubRefresh != nil:
		return s.subRefresh(c.ID, c.SubRefresh)
	default:
		return protocol.CloseBadRequest
	}
}

// subscribed returns the session's subscription to channel if it is live, else nil.
func (s *Session) subscribed(channel string) *subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub := s.subs.get(channel); sub != nil && sub.phase == subLive {
		return sub
	}
	return nil
}

func (s *Session) unsubscribe(id uint32, req *protocol.UnsubscribeRequest) *protocol.Close {
	if req.Channel == "" {
		return protocol.CloseBadRequest
	}
	s.mu.Lock()
	sub := s.subs.get(req.Channel)
	s.mu.Unlock()
	if sub != nil {
		s.end(s.node.ctx, sub, nil)
	}
	s.reply(&protocol.Reply{ID: id, Unsubscribe: &protocol.UnsubscribeResult{}})
	return nil
}

func (s *Session) publish(id uint32, req *protocol.PublishRequest) *protocol.Close {
	if req.Channel == "" {
		return protocol.CloseBadRequest
	}
	n := s.node
	sub := s.subscribed(req.Channel)
	if err := n.o.Authorizer.Publish(n.ctx, s.client(), req.Channel, req.Data, sub != nil); err != nil {
		return s.refuse(id, "publish", err)
	}
	if req.Type != 0 {
		return s.refuse(id, "publish", protocol.ErrNotAvailable)
	}
	o, err := n.o.Channels.ChannelOptions(req.Channel)
	if err != nil {
		return s.refuse(id, "publish", err)
	}
	data := append(make(protocol.Raw, 0, len(req.Data)), req.Data...)
	if o.Intake != nil {
		s.Flush() // the answers before this one need not wait for it
		if err := o.Intake(n.ctx, s.client(), req.Channel, data); err != nil {
			return s.refuse(id, "publish", err)
		}
		s.reply(&protocol.Reply{ID: id, Publish: &protocol.PublishResult{}})
		return nil
	}
	_, err = n.publish(n.ctx, req.Channel, &o, data, PublishOptions{
		Info: s.infoIn(sub),
		JSON: s.framing.Format() == protocol.JSON,
	})
	if err != nil {
		return s.refuse(id, "publish", err)
	}
	s.reply(&protocol.Reply{ID: id, Publish: &protocol.PublishResult{}})
	return nil
}

func (s *Session) presence(id uint32, req *protocol.PresenceRequest) *protocol.Close {
	if req.Channel == "" {
		return protocol.CloseBadRequest
	}
	n := s.node
	err := n.o.Authorizer.Presence(n.ctx, s.client(), req.Channel, s.subscribed(req.Channel) != nil)
	if err != nil {
		return s.refuse(id, "presence", err)
	}
	entries, err := n.Presence(n.ctx, req.Channel)
	if err != nil {
		return s.refuse(id, "presence", err)
	}
	if s.framing.Format() == protocol.JSON {
		for _, info := range entries {
			if !jsonInfo(info) {
				return protocol.CloseInappropriate
			}
		}
	}
	s.reply(&protocol.Reply{ID: id, Presence: &protocol.PresenceResult{Presence: entries}})
	return nil
}

func (s *Session) presenceStats(id uint32, req *protocol.PresenceStatsRequest) *protocol.Close {
	if req.Channel == "" {
		return protocol.CloseBadRequest
	}
	n := s.node
	err := n.o.Authorizer.Presence(n.ctx, s.client(), req.Channel, s.subscribed(req.Channel) != nil)
	if err != nil {
		return s.refuse(id, "presence stats", err)
	}
	clients, users, err := n.PresenceStats(n.ctx, req.Channel)
	if err != nil {
		return s.refuse(id, "presence stats", err)
	}
	s.reply(&protocol.Reply{ID: id, PresenceStats: &protocol.PresenceStatsResult{
		NumClients: uint32(clients), NumUsers: uint32(users),
	}})
	return nil
}

func (s *Session) history(id uint32, req *protocol.HistoryRequest) *protocol.Close {
	if req.Channel == "" {
		return protocol.CloseBadRequest
	}
	n := s.node
	err := n.o.Authorizer.History(n.ctx, s.client(), req.Channel, s.subscribed(req.Channel) != nil)
	if err != nil {
		return s.refuse(id, "history", err)
	}
	if req.Reverse && req.Since != nil && req.Since.Offset == 0 {
		return s.refuse(id, "history", protocol.ErrBadRequest)
	}
	limit, bound := int(req.Limit), false
	if o, err := n.o.Channels.ChannelOptions(req.Channel); err == nil {
		bound = o.Source != nil
		if limit == 0 {
			limit = o.DefaultHistory
		}
	}
	if limit < 0 || limit > n.o.HistoryLimit {
		limit = n.o.HistoryLimit
	}
	past, err := n.History(n.ctx, req.Channel, HistoryFilter{Limit: limit, Since: req.Since, Reverse: req.Reverse, Reader: s.user})
	if err != nil {
		return s.refuse(id, "history", err)
	}
	if bound { // who lost the permission meanwhile must not get what is newer (guarantees.md S16)
		if err := n.o.Authorizer.History(n.ctx, s.client(), req.Channel, s.subscribed(req.Channel) != nil); err != nil {
			return s.refuse(id, "history", err)
		}
	}
	if s.framing.Format() == protocol.JSON && anyBinary(past.Publications) {
		return protocol.CloseInappropriate
	}
	s.reply(&protocol.Reply{ID: id, History: &protocol.HistoryResult{
		Publications: past.Publications, Epoch: past.Top.Epoch, Offset: past.Top.Offset,
	}})
	return nil
}

func (s *Session) rpc(id uint32, req *protocol.RPCRequest) *protocol.Close {
	n := s.node
	if n.o.RPC == nil {
		return s.refuse(id, "rpc", protocol.ErrNotAvailable)
	}
	s.Flush() // the answers before this one need not wait for the handler
	data, err := n.o.RPC(n.ctx, s.client(), req.Method, req.Data)
	if err != nil {
		return s.refuse(id, "rpc", err)
	}
	if s.framing.Format() == protocol.JSON && len(data) > 0 && !protocol.ValidJSON(data) {
		return protocol.CloseInappropriate
	}
	s.reply(&protocol.Reply{ID: id, RPC: &protocol.RPCResult{Data: data}})
	return nil
}

func (s *Session) refresh(id uint32, req *protocol.RefreshRequest) *protocol.Close {
	if req.Token == "" {
		return protocol.CloseBadRequest
	}
	n := s.node
	cred, err := n.o.Authorizer.Refresh(n.ctx, s.client(), req.Token)
	if err != nil {
		return s.refuse(id, "refresh", err)
	}
	if !slices.Equal(cred.TokenSubs, s.serverSubs) {
		return protocol.CloseInsufficient
	}
	ttl, expired := timeLeft(cred.ExpireAt)
	if expired {
		return protocol.CloseExpired
	}
	s.mu.Lock()
	if cred.Meta != nil {
		s.meta = cred.Meta
	}
	s.replaceInfo(cred.Info)
	s.expire(cred.ExpireAt)
	s.mu.Unlock()
	s.wake()
	s.reply(&protocol.Reply{ID: id, Refresh: &protocol.RefreshResult{
		Client: s.id, Version: n.o.Version, Expires: ttl > 0, TTL: ttl,
	}})
	return nil
}

func (s *Session) subRefresh(id uint32, req *protocol.SubRefreshRequest) *protocol.Close {
	if req.Channel == "" {
		return protocol.CloseBadRequest
	}
	if req.Type != 0 {
		return s.refuse(id, "refresh subscription", protocol.ErrNotAvailable)
	}
	if req.Token == "" {
		return s.refuse(id, "refresh subscription", protocol.ErrBadRequest)
	}
	sub := s.subscribed(req.Channel)
	if sub == nil {
		return s.refuse(id, "refresh subscription", protocol.ErrPermissionDenied)
	}
	n := s.node
	grant, err := n.o.Authorizer.SubRefresh(n.ctx, s.client(), req.Channel, req.Token)
	if err != nil {
		return s.refuse(id, "refresh subscription", err)
	}
	ttl, expired := timeLeft(grant.ExpireAt)
	if expired {
		return s.refuse(id, "refresh subscription", protocol.ErrExpired)
	}
	s.mu.Lock()
	sub.expireAt, sub.info = grant.ExpireAt, grant.Info
	s.mu.Unlock()
	s.reply(&protocol.Reply{ID: id, SubRefresh: &protocol.SubRefreshResult{Expires: ttl > 0, TTL: ttl}})
	return nil
}

// replaceInfo replaces what others see of the connection, unless info is nil. s.mu is
// held; the old value is shared, so a new one takes its place.
func (s *Session) replaceInfo(info []byte) {
	if info == nil {
		return
	}
	s.info = &protocol.ClientInfo{User: s.user, Client: s.id, ConnInfo: info}
}

// timeLeft is how many seconds remain until expireAt (seconds since 1970), at most a
// year; 0 if it is 0, which means never.
func timeLeft(expireAt int64) (ttl uint32, expired bool) {
	if expireAt == 0 {
		return 0, false
	}
	left := expireAt - time.Now().Unix()
	if left <= 0 {
		return 0, true
	}
	return uint32(min(left, 365*24*3600)), false
}

func anyBinary(pubs []*protocol.Publication) bool {
	for _, pub := range pubs {
		if pub.Binary {
			return true
		}
	}
	return false
}

// jsonInfo tells whether info can be said in JSON.
func jsonInfo(info *protocol.ClientInfo) bool {
	return info == nil ||
		(len(info.ConnInfo) == 0 || protocol.ValidJSON(info.ConnInfo)) &&
			(len(info.ChanInfo) == 0 || protocol.ValidJSON(info.ChanInfo))
}
