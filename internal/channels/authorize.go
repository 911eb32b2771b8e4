package channels

import (
	"context"
	"encoding/json"
	"errors"
	"maps"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
)

// Connect implements [realtime.Authorizer]: the policy lets in, unless the session of
// the token has ended or the account may not be used. A client that says {"v":2} is
// subscribed to its channels (chat-api.md §C.10).
func (c *Channels) Connect(ctx context.Context, in realtime.Connecting) (realtime.Credentials, error) {
	theirs := in
	own, rest := split(in.Request.Subs)
	if len(own) > 0 {
		request := *in.Request
		request.Subs, theirs.Request = rest, &request
	}
	cred, err := c.o.Policy.Connect(ctx, theirs)
	if err != nil {
		return cred, err
	}
	user := userID(cred.User)
	if user == 0 {
		return cred, nil
	}
	cred.Confirm = c.revoked.since(user)
	if err := c.admit(ctx, user, sessionOf(cred.Meta)); err != nil {
		return realtime.Credentials{}, err
	}
	if isModern(in.Request.Data) { // asks for nothing: the server knows what it is to have
		return cred, c.modern.connect(ctx, &cred, in.Client, user)
	}
	people := 0
	for _, channel := range own {
		if parse(channel).family == presenceChannel {
			if people++; people > maxWatched {
				continue
			}
		}
		if g, err := c.grant(ctx, user, channel); err == nil {
			addSub(&cred, channel, g)
		}
	}
	return cred, nil
}

// maxWatched is how many people one connection sees come and go (chat-api.md §C.6).
const maxWatched = 100

// watched is how many people a connection sees come and go, with the one it has just
// asked for.
func (c *Channels) watched(client realtime.Client) (n int) {
	for _, channel := range c.node.Load().Subscriptions(realtime.Target{User: client.User, Client: client.ID}) {
		if parse(channel).family == presenceChannel {
			n++
		}
	}
	return n
}

// split takes the channels of chat out of what a client asks for when it connects.
func split(subs map[string]*protocol.SubscribeRequest) (own []string, rest map[string]*protocol.SubscribeRequest) {
	rest = subs
	for channel := range subs {
		if parse(channel).family == other {
			continue
		}
		if own == nil {
			rest = maps.Clone(subs)
		}
		own = append(own, channel)
		delete(rest, channel)
	}
	return own, rest
}

func addSub(cred *realtime.Credentials, channel string, g realtime.Grant) {
	if cred.Subs == nil {
		cred.Subs = make(map[string]realtime.Grant)
	}
	cred.Subs[channel] = g
}

// admit refuses a user whose session has ended or whose account may not be used. A user
// that this server has no account of is the operator's business.
func (c *Channels) admit(ctx context.Context, user int64, session string) error {
	if session == "" && c.memberships.stranger(user) {
		return nil
	}
	var err error
	if session != "" {
		var who identity.Caller
		if who, err = c.o.Accounts.SessionCaller(ctx, session); err == nil && who.User != user {
			err = identity.ErrUnauthorized
		}
	} else if _, err = c.o.Accounts.UserCaller(ctx, user); errors.Is(err, identity.ErrUnauthorized) {
		if _, found := c.o.Accounts.Account(ctx, user); errors.Is(found, identity.ErrNotFound) {
			c.memberships.noteStranger(user)
			return nil
		}
	}
	switch {
	case errors.Is(err, identity.ErrUnauthorized):
		return protocol.CloseInvalidToken
	case errors.Is(err, identity.ErrSuspended):
		return protocol.ClosePermissionDenied
	}
	return err
}

// sessionOf is the session that a connection token was made for (claim meta.sid).
func sessionOf(meta []byte) string {
	var m struct {
		Session string `json:"sid"`
	}
	if len(meta) == 0 || json.Unmarshal(meta, &m) != nil {
		return ""
	}
	return m.Session
}

// Refresh implements [realtime.Authorizer].
func (c *Channels) Refresh(ctx context.Context, client realtime.Client, token string) (realtime.Credentials, error) {
	cred, err := c.o.Policy.Refresh(ctx, client, token)
	if err != nil {
		return cred, err
	}
	if user := userID(cred.User); user != 0 {
		err = c.admit(ctx, user, sessionOf(cred.Meta))
	}
	return cred, err
}

// Subscribe implements [realtime.Authorizer]: membership decides, a token is not needed.
// One that a client passes all the same must be its own: a connection token, as the
// documentation of contract A advises, or the subscription token that contract B gives.
func (c *Channels) Subscribe(ctx context.Context, client realtime.Client, req *protocol.SubscribeRequest) (realtime.Grant, error) {
	switch parse(req.Channel).family {
	case other:
		g, err := c.o.Policy.Subscribe(ctx, client, req)
		return g, unlike(req.Channel, err)
	case unknown:
		return realtime.Grant{}, protocol.ErrUnknownChannel
	}
	if parse(req.Channel).family == presenceChannel && c.watched(client) > maxWatched {
		return realtime.Grant{}, protocol.ErrLimitExceeded
	}
	if req.Token != "" {
		switch err := c.o.OwnToken(ctx, req.Token, client.User, req.Channel); {
		case errors.Is(err, identity.ErrExpired):
			return realtime.Grant{}, protocol.ErrTokenExpired
		case errors.Is(err, identity.ErrKeysUnavailable):
			return realtime.Grant{}, protocol.ErrInternal
		case err != nil:
			return realtime.Grant{}, protocol.ErrPermissionDenied
		}
	}
	return c.grant(ctx, userID(client.User), req.Channel)
}

// grant is the permission of user, who is nobody of ours if it is 0, to be subscribed to
// a channel of chat.
func (c *Channels) grant(ctx context.Context, user int64, channel string) (realtime.Grant, error) {
	if user == 0 {
		return realtime.Grant{}, protocol.ErrPermissionDenied
	}
	n := parse(channel)
	o := c.options(n)
	allowed := false
	var data []byte
	switch n.family {
	case chatChannel, messagesChannel, typingChannel:
		m, err := c.memberships.member(ctx, c.o.Chats, user, n.id)
		if err != nil {
			return realtime.Grant{}, refusal(err)
		}
		allowed = true
		o.Source = c.seenFrom(o.Source, m.from)
		if m.size > c.o.LargeGroup {
			o.JoinLeave, o.ForcePushJoinLeave = false, false
		}
	case userChannel:
		allowed = n.id == user
	case listChannel:
		if allowed = n.id == user; allowed && c.o.Contract != nil {
			c.o.Contract.Interested(user)
		}
	case systemChannel:
		allowed = true
	case statusChannel, presenceChannel:
		sees, err := c.sees(ctx, user, n.id)
		if err != nil {
			return realtime.Grant{}, refusal(err)
		}
		allowed = sees
		if n.family == presenceChannel && sees {
			if data, err = c.presenceNow(ctx, user, n.id); err != nil {
				return realtime.Grant{}, err
			}
		}
	}
	if !allowed {
		return realtime.Grant{}, protocol.ErrPermissionDenied
	}
	return realtime.Grant{
		Options: o, Data: data, Positioned: o.ForcePositioning, Recoverable: o.ForceRecovery, JoinLeave: o.ForcePushJoinLeave,
	}, nil
}

func (c *Channels) sees(ctx context.Context, viewer, user int64) (bool, error) {
	if viewer == user {
		return true, nil
	}
	return c.o.Chats.SeesStatusOf(ctx, viewer, user)
}

// refusal is what a client is told of an error of the chat service.
func refusal(err error) error {
	if errors.Is(err, chat.ErrNotFound) {
		return protocol.ErrPermissionDenied
	}
	return err
}

// SubRefresh implements [realtime.Authorizer]. Subscriptions of chat do not expire.
func (c *Channels) SubRefresh(ctx context.Context, client realtime.Client, channel, token string) (realtime.Grant, error) {
	if parse(channel).family == other {
		return c.o.Policy.SubRefresh(ctx, client, channel, token)
	}
	return realtime.Grant{}, nil
}

// Publish implements [realtime.Authorizer]: members publish into chat:{id}, nobody
// into the other channels of chat.
func (c *Channels) Publish(ctx context.Context, client realtime.Client, channel string, data []byte, subscribed bool) error {
	switch parse(channel).family {
	case other:
		return unlike(channel, c.o.Policy.Publish(ctx, client, channel, data, subscribed))
	case unknown:
		return protocol.ErrUnknownChannel
	case chatChannel:
		if c.o.Publish != nil && userID(client.User) != 0 {
			return nil // the chat's rules decide
		}
	}
	return protocol.ErrPermissionDenied
}

// Presence implements [realtime.Authorizer]: who is in a chat is for its members.
func (c *Channels) Presence(ctx context.Context, client realtime.Client, channel string, subscribed bool) error {
	switch parse(channel).family {
	case other:
		return unlike(channel, c.o.Policy.Presence(ctx, client, channel, subscribed))
	case unknown:
		return protocol.ErrUnknownChannel
	case chatChannel:
		return c.mayRead(ctx, client, channel)
	}
	return protocol.ErrNotAvailable
}

// History implements [realtime.Authorizer]: who may subscribe may read the past.
func (c *Channels) History(ctx context.Context, client realtime.Client, channel string, subscribed bool) error {
	switch parse(channel).family {
	case other:
		return unlike(channel, c.o.Policy.History(ctx, client, channel, subscribed))
	case unknown:
		return protocol.ErrUnknownChannel
	case chatChannel, userChannel, systemChannel, messagesChannel:
		return c.mayRead(ctx, client, channel)
	}
	return protocol.ErrNotAvailable
}

func (c *Channels) mayRead(ctx context.Context, client realtime.Client, channel string) error {
	_, err := c.grant(ctx, userID(client.User), channel)
	return err
}

// Connected implements [realtime.Watcher].
func (c *Channels) Connected(client realtime.Client) {
	if user := userID(client.User); user != 0 && c.o.Presence != nil {
		c.o.Presence.Connected(user)
	}
}

// Disconnected implements [realtime.Watcher].
func (c *Channels) Disconnected(client realtime.Client) {
	user := userID(client.User)
	if user == 0 {
		return
	}
	c.modern.disconnect(client.ID)
	if c.o.Presence != nil {
		c.o.Presence.Disconnected(user)
	}
}
