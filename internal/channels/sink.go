package channels

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
)

// membershipLost ends the subscriptions of who is no longer a member: no client library
// comes back by itself after a code below 2500 (chat-api.md §0.5).
var membershipLost = protocol.UnsubscribePush{Code: 2000, Reason: "membership lost"}

// sessionTerminated closes the connections of a session that has been ended.
var sessionTerminated = &protocol.Close{Code: 3500, Reason: "invalid token"}

// Name is the name of the sink (see [Channels.Deliver]).
func (c *Channels) Name() string { return c.o.Sink }

// Deliver announces events of the log in their channels. For each, first the
// subscriptions end that it takes away, then it becomes part of the past, and then the
// subscribers get it.
func (c *Channels) Deliver(ctx context.Context, events []event.Event) (int, error) {
	node := c.node.Load()
	for i := range events {
		e := &events[i]
		if err := c.revoke(ctx, node, e); err != nil {
			return i, fmt.Errorf("handle %s: %w", e.Type, err)
		}
		c.handled.Store(e.Pos)
		c.endTyping(e)
		if err := c.announce(ctx, node, e); err != nil {
			return i, fmt.Errorf("announce %s: %w", e.Type, err)
		}
		if c.o.Contract != nil {
			c.o.Contract.Announced(*e)
		}
		if err := c.admitNew(ctx, node, e); err != nil {
			return i, fmt.Errorf("subscribe after %s: %w", e.Type, err)
		}
		c.modern.announced(e)
	}
	return len(events), nil
}

// revoke ends what the event takes away.
func (c *Channels) revoke(ctx context.Context, node *realtime.Node, e *event.Event) error {
	switch e.Type {
	case event.RoomDeleted:
		id, _ := event.StreamOf(e.Stream)
		c.memberships.forget(id) // subscribers are told of the end before theirs; see announce
		members := userIDs(node.Users(chatName(id)))
		c.revoked.note(members...)
		for _, user := range members {
			if err := c.unwatch(ctx, node, user); err != nil {
				return err
			}
		}
	case event.RoomMemberLeft:
		var p chat.MemberPayload
		if err := json.Unmarshal(e.Payload, &p); err != nil {
			return err
		}
		id, _ := event.StreamOf(e.Stream)
		return c.expel(ctx, node, id, p.Users)
	case event.MessageDeleted, event.MessageUpdated:
		c.rewritten(e)
	case event.UserNotice:
		return c.blocked(ctx, node, e)
	case event.SessionRevoked:
		return c.endSessions(ctx, node, e)
	case event.UserCreated, event.UserUpdated:
		if user := subject(e); user != 0 {
			c.memberships.forgetUser(user)
			c.o.Accounts.ForgetUser(user)
			return c.unwatch(ctx, node, user) // who shows when they come and go may have changed
		}
	case event.UserSuspended, event.UserDeleted:
		user := subject(e)
		c.memberships.forgetUser(user)
		c.o.Accounts.ForgetUser(user)
		if e.Type == event.UserDeleted {
			c.streams.giveUpAll() // the name is gone from the whole log
		}
		c.revoked.note(user)
		return node.Disconnect(ctx, realtime.Target{User: decimal(user)}, protocol.ClosePermissionDenied, nil)
	case event.TokenRevoked:
		var p struct {
			ID string `json:"token_id"`
		}
		if err := json.Unmarshal(e.Payload, &p); err != nil {
			return err
		}
		c.o.Accounts.Forget(p.ID)
	}
	return nil
}

// rewritten forgets what is in memory of events that the log now shows otherwise: those
// of a message, of answers that quote it, and notices with an excerpt of it.
func (c *Channels) rewritten(e *event.Event) {
	c.streams.giveUp(e.Stream)
	if id, _ := event.StreamOf(e.Stream); id != 0 {
		c.streams.giveUp(messagesName(id))
	}
	if e.Ref != 0 {
		c.streams.giveUpNotices(e.Ref)
		c.modern.unsay(e.Ref)
	}
}

// expel ends the subscriptions of users to a chat's channels.
func (c *Channels) expel(ctx context.Context, node *realtime.Node, id int64, users []chat.Person) error {
	ids := make([]int64, 0, len(users))
	for _, p := range users {
		ids = append(ids, p.ID)
	}
	c.memberships.forget(id, ids...)
	c.revoked.note(ids...)
	if err := unsubscribe(ctx, node, ids, channelsOf(id)...); err != nil {
		return err
	}
	for _, user := range ids {
		c.modern.leave(user, id)
		if err := c.unwatch(ctx, node, user); err != nil {
			return err
		}
	}
	return nil
}

// unwatch ends what a user sees of when others come and go, and they of the user, where
// that is no longer allowed: the chat they shared may have been the last.
func (c *Channels) unwatch(ctx context.Context, node *realtime.Node, user int64) error {
	end := func(viewer, seen int64) error {
		if sees, err := c.sees(ctx, viewer, seen); sees || err != nil {
			return err
		}
		c.revoked.note(viewer)
		return unsubscribe(ctx, node, []int64{viewer}, presenceName(seen), statusName(seen))
	}
	for _, channel := range []string{presenceName(user), statusName(user)} {
		for _, viewer := range node.Users(channel) {
			if err := end(userID(viewer), user); err != nil {
				return err
			}
		}
	}
	for _, channel := range node.Subscriptions(realtime.Target{User: decimal(user)}) {
		if n := parse(channel); n.family == presenceChannel || n.family == statusChannel {
			if err := end(user, n.id); err != nil {
				return err
			}
		}
	}
	return nil
}

// channelsOf are the channels that only members of a chat may have.
func channelsOf(id int64) []string { return []string{chatName(id), messagesName(id), typingName(id)} }

func unsubscribe(ctx context.Context, node *realtime.Node, users []int64, channels ...string) error {
	for _, user := range users {
		for _, channel := range channels {
			if err := node.Unsubscribe(ctx, realtime.Target{User: decimal(user)}, channel, membershipLost); err != nil {
				return err
			}
		}
	}
	return nil
}

// blocked ends what somebody sees of the status of who has blocked them.
func (c *Channels) blocked(ctx context.Context, node *realtime.Node, e *event.Event) error {
	var n chat.Notice
	if err := json.Unmarshal(e.Payload, &n); err != nil || n.Event != "blocked" {
		return err
	}
	var p struct {
		User    int64 `json:"user_id"`
		Blocked bool  `json:"blocked"`
	}
	if err := json.Unmarshal(n.Data, &p); err != nil || !p.Blocked {
		return err
	}
	_, by := event.StreamOf(e.Stream)
	c.revoked.note(p.User, by)
	if err := unsubscribe(ctx, node, []int64{p.User}, presenceName(by), statusName(by)); err != nil {
		return err
	}
	return unsubscribe(ctx, node, []int64{by}, presenceName(p.User), statusName(p.User))
}

// subject is the user that an event of an account is about.
func subject(e *event.Event) int64 {
	var p struct {
		User int64 `json:"user_id"`
		ID   int64 `json:"id"`
	}
	if json.Unmarshal(e.Payload, &p) != nil {
		return 0
	}
	if p.User != 0 {
		return p.User
	}
	return p.ID
}

// endSessions closes the connections of sessions that have been revoked, after they were
// told (chat-api.md §C.1).
func (c *Channels) endSessions(ctx context.Context, node *realtime.Node, e *event.Event) error {
	var p struct {
		User     int64    `json:"user_id"`
		Sessions []string `json:"session_ids"`
	}
	if err := json.Unmarshal(e.Payload, &p); err != nil {
		return err
	}
	ended := make(map[string]bool, len(p.Sessions))
	for _, s := range p.Sessions {
		ended[s] = true
		c.o.Accounts.Forget(s)
	}
	c.revoked.note(p.User)
	if err := c.announce(ctx, node, e); err != nil {
		return err
	}
	of := func(meta []byte) bool { return ended[sessionOf(meta)] }
	return node.Disconnect(ctx, realtime.Target{User: decimal(p.User), Meta: of}, sessionTerminated, nil)
}

// announce publishes an event of a stream.
func (c *Channels) announce(ctx context.Context, node *realtime.Node, e *event.Event) error {
	if e.Stream == "" || e.Seq == 0 {
		return nil
	}
	if err := c.publish(ctx, node, e.Stream, e); err != nil {
		return err
	}
	id, _ := event.StreamOf(e.Stream)
	switch {
	case id == 0:
	case e.Type == event.MessageCreated && c.o.Contract != nil:
		return c.publish(ctx, node, messagesName(id), e)
	case e.Type == event.RoomDeleted:
		for _, channel := range channelsOf(id) {
			node.EndChannel(ctx, channel, membershipLost)
		}
	}
	return nil
}

// publish makes an event part of a channel's past and offers it to its subscribers. A
// channel that nobody here knows costs nothing: who comes later reads the log.
func (c *Channels) publish(ctx context.Context, node *realtime.Node, channel string, e *event.Event) error {
	kept := c.streams.wants(channel)
	if !kept && node.Subscribers(channel) == 0 {
		return nil
	}
	it, ok := c.render(channel, e)
	if !ok {
		return nil
	}
	c.streams.add(channel, it)
	pos := protocol.StreamPosition{Offset: it.pub.Offset, Epoch: c.o.Log.Epoch()}
	_, err := node.Publish(ctx, channel, it.pub.Data, realtime.PublishOptions{JSON: true, Position: &pos})
	return err
}

// endTyping lets who has sent a message be no longer typing (chat-api.md §0.8).
func (c *Channels) endTyping(e *event.Event) {
	if e.Type != event.MessageCreated || c.o.Typing == nil {
		return
	}
	id, _ := event.StreamOf(e.Stream)
	_, user := event.StreamOf(e.Actor) // a user acts by the name of the user's stream
	c.o.Typing.Sent(user, id)
}

// messageSeq is the number of the message that an event announces, 0 for other events.
func messageSeq(e *event.Event) uint64 {
	if e.Type != event.MessageCreated {
		return 0
	}
	var p struct {
		Message struct {
			Seq uint64 `json:"seq"`
		} `json:"message"`
	}
	if json.Unmarshal(e.Payload, &p) != nil {
		return 0
	}
	return p.Message.Seq
}
