package windi

import (
	"context"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
)

// maxEvent bounds what is published without being stored, in bytes.
const maxEvent = 4 << 10

// author is who publishes: a user, or a service that is an administrator, whose user is 0.
type author struct {
	user  int64
	admin bool
	// key, if not empty, is the client id of the message that is sent.
	key string
}

// authorOf refuses other services: they would be nobody.
func authorOf(by identity.Caller) (author, error) {
	if by.User == 0 && !by.Admin() {
		return author{}, chat.ErrForbidden
	}
	return author{user: by.User, admin: by.Admin()}, nil
}

// outcome is what became of a publication.
type outcome struct {
	// message was stored, unless it is nil; replayed says that it had been before.
	message  *chat.Message
	replayed bool
	position protocol.StreamPosition
}

// publish carries out what who publishes into a channel (chat-api.md §B.5, forms 2 and
// 3). loc is where the data stand, for errors.
func (c *Contract) publish(ctx context.Context, who author, channel string, data jsontext.Value, loc ...any) (outcome, error) {
	family, id, err := parseChannel(channel)
	if err != nil {
		return outcome{}, err
	}
	switch family {
	case userChannel:
		return c.publishToUser(ctx, who, id, data, loc)
	case systemChannel:
		return c.publishNotice(ctx, who, data, loc)
	}
	var in publication
	if err := decode(data, &in, loc...); err != nil {
		return outcome{}, err
	}
	switch in.Type {
	case "message", "":
		return c.send(ctx, who, id, &in, loc)
	case "typing":
		return c.publishTyping(ctx, who, id, &in, loc)
	case "read":
		return c.publishRead(ctx, who, id, &in, loc)
	case "system":
		text, err := in.text(loc)
		if err != nil {
			return outcome{}, err
		}
		m, err := c.o.Chats.SystemMessage(ctx, who.user, id, text, who.admin)
		return c.stored(&m, false), err
	}
	if !c.custom(in.Type) {
		return outcome{}, &invalid{loc: at(loc, "type"), msg: "must be message, typing, read or system"}
	}
	return c.publishCustom(ctx, who, id, data, loc)
}

// stored is the outcome of a stored message: its place in the channel is the number of
// its change (design.md §3.6).
func (c *Contract) stored(m *chat.Message, replayed bool) outcome {
	return outcome{m, replayed, protocol.StreamPosition{Offset: uint64(m.EventSeq), Epoch: c.o.Epoch}}
}

// send sends a message. A service sends it for who is named as its sender.
func (c *Contract) send(ctx context.Context, who author, chatID int64, in *publication, loc []any) (outcome, error) {
	sending, err := in.sending(loc)
	if err != nil {
		return outcome{}, err
	}
	if who.key != "" {
		if sending.ClientID != "" && sending.ClientID != who.key {
			return outcome{}, &invalid{loc: at(loc, "client_id"), msg: "differs from the header " + keyHeader}
		}
		sending.ClientID = who.key
	}
	user := who.user
	if user == 0 {
		if user = in.sender(); user == 0 {
			return outcome{}, &invalid{loc: at(loc, "sender_id"), msg: "is required of a service"}
		}
		sending.Unlimited = true
	}
	m, replayed, err := c.o.Chats.Send(ctx, user, chatID, sending)
	return c.stored(&m, replayed), err
}

func (c *Contract) publishTyping(ctx context.Context, who author, chatID int64, in *publication, loc []any) (outcome, error) {
	switch {
	case who.user == 0:
		return outcome{}, chat.ErrForbidden
	case in.IsTyping == nil:
		return outcome{}, &invalid{loc: at(loc, "is_typing"), msg: "is required"}
	}
	return outcome{}, c.o.Typing.Set(ctx, who.user, chatID, bool(*in.IsTyping))
}

func (c *Contract) publishRead(ctx context.Context, who author, chatID int64, in *publication, loc []any) (outcome, error) {
	if who.user == 0 {
		return outcome{}, chat.ErrForbidden
	}
	var err error
	switch {
	case in.MessageID != 0:
		_, _, err = c.o.Chats.MarkReadMessage(ctx, who.user, chatID, int64(in.MessageID))
	case in.Seq != 0:
		_, err = c.o.Chats.MarkRead(ctx, who.user, chatID, int64(in.Seq))
	default:
		err = &invalid{loc: at(loc, "message_id"), msg: "is required, or seq"}
	}
	return outcome{}, err
}

// custom tells whether members may publish events of that type.
func (c *Contract) custom(typ string) bool {
	return slices.ContainsFunc(c.o.CustomEvents, func(allowed string) bool {
		if prefix, any := strings.CutSuffix(allowed, "*"); any {
			return strings.HasPrefix(typ, prefix)
		}
		return typ == allowed
	})
}

// publishCustom passes an event of the application's own on to a chat.
func (c *Contract) publishCustom(ctx context.Context, who author, chatID int64, data jsontext.Value, loc []any) (outcome, error) {
	stamp := map[string]any{"chat_id": chatID}
	if who.user != 0 {
		if err := c.o.Chats.MayPublish(ctx, who.user, chatID); err != nil {
			return outcome{}, err
		}
		caller, err := c.o.Accounts.UserCaller(ctx, who.user)
		if err != nil {
			return outcome{}, err
		}
		stamp["user_name"] = caller.Name
	}
	return c.pass(ctx, who, chatChannel+decimal(chatID), data, stamp, loc)
}

// publishToUser passes data on to the devices of a user: one's own, or as administrator
// anybody's.
func (c *Contract) publishToUser(ctx context.Context, who author, user int64, data jsontext.Value, loc []any) (outcome, error) {
	switch {
	case who.user == user:
		if err := c.o.Chats.MayPublish(ctx, user, 0); err != nil {
			return outcome{}, err
		}
	case !who.admin:
		return outcome{}, chat.ErrForbidden
	}
	return c.pass(ctx, who, userChannel+decimal(user), data, nil, loc)
}

// pass publishes data that is not stored. Who and when is the server's to say.
func (c *Contract) pass(ctx context.Context, who author, channel string, data jsontext.Value, stamp map[string]any, loc []any) (outcome, error) {
	if len(data) > maxEvent {
		return outcome{}, &invalid{loc: loc, msg: "must have at most 4096 bytes"}
	}
	fields := map[string]any{}
	var given map[string]jsontext.Value
	if err := decode(data, &given, loc...); err != nil {
		return outcome{}, err
	}
	for name, value := range given {
		fields[name] = value
	}
	for _, name := range []string{"user_id", "user_name", "sender_id", "sender_name", "event_seq", "user_seq"} {
		delete(fields, name) // whatever they claim
	}
	for name, value := range stamp {
		fields[name] = value
	}
	fields["timestamp"] = c.o.Clock().Unix()
	if who.user != 0 {
		fields["user_id"] = who.user
	}
	b, err := json.Marshal(fields, json.Deterministic(true))
	if err != nil {
		return outcome{}, err
	}
	position, err := c.o.Realtime.Publish(ctx, channel, b, realtime.PublishOptions{SkipHistory: true, JSON: true})
	return outcome{position: position}, err
}

// publishNotice sends a notice to everybody.
func (c *Contract) publishNotice(ctx context.Context, who author, data jsontext.Value, loc []any) (outcome, error) {
	if !who.admin {
		return outcome{}, chat.ErrForbidden
	}
	var in publication
	if err := decode(data, &in, loc...); err != nil {
		return outcome{}, err
	}
	if in.Type != "system" {
		return outcome{}, &invalid{loc: at(loc, "type"), msg: "must be system"}
	}
	text, err := in.text(loc)
	if err != nil {
		return outcome{}, err
	}
	n, err := c.o.Chats.NotifyAll(ctx, who.user, chat.SystemNotice{
		Level: in.Level, Content: text, StartsAt: int64(in.StartsAt), EndsAt: int64(in.EndsAt),
	})
	return outcome{position: protocol.StreamPosition{Offset: uint64(n.Seq), Epoch: c.o.Epoch}}, err
}
