package channels

import (
	"context"
	"encoding/json"
	"time"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/realtime"
)

// Live returns what tells the subscribers of the moment what is no event of the log.
// Nothing of it gets a number or is repeated.
func (c *Channels) Live() chat.Live { return live{c} }

type live struct{ *Channels }

// Read implements [chat.Live].
func (l live) Read(id, user, readSeq, message int64, members int) {
	if members <= l.o.ReceiptsMaxMembers {
		l.say(chatName(id), map[string]any{
			"type": "read", "event": "message_read", "chat_id": id, "user_id": user, "read_seq": readSeq, "message_id": message,
			"timestamp": l.o.Clock().Unix(),
		})
	}
	if l.o.Contract != nil {
		l.o.Contract.Read(id, user, readSeq, message, members)
	}
}

// Delivered implements [chat.Live].
func (l live) Delivered(id, user, deliveredSeq int64, members int) {
	if members <= l.o.ReceiptsMaxMembers {
		l.say(chatName(id), map[string]any{
			"type": "delivered", "chat_id": id, "user_id": user, "delivered_seq": deliveredSeq, "timestamp": l.o.Clock().Unix(),
		})
	}
}

// ChatState implements [chat.Live]: badges of the user's own devices.
func (l live) ChatState(user, id int64) {
	if l.o.Contract != nil {
		l.o.Contract.ChatState(user, id)
	}
	if !l.interest(userName(user)) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), liveTimeout)
	defer cancel()
	if v, err := l.o.Chats.Chat(ctx, user, id); err == nil {
		l.notice(ctx, user, "chat_state", stateOf(&v))
	}
}

// ListChanged implements [chat.Live].
func (l live) ListChanged(user int64) {
	if l.o.Contract != nil {
		l.o.Contract.ListChanged(user)
	}
}

// liveTimeout bounds the look at the database for a badge.
const liveTimeout = 2 * time.Second

// stateOf is the data of the notice "chat_state" (chat-api.md §C.10).
func stateOf(v *chat.View) map[string]any {
	state := map[string]any{
		"chat_id": v.Chat.ID, "read_seq": v.Member.ReadSeq, "unread_count": v.Unread, "unread_capped": v.Capped,
		"unread_mentions": v.UnreadMentions, "marked_unread": v.Member.ManualUnreadSeq > 0,
		"muted_until": nil, "pin_order": nil, "archived": v.Member.Archived, "draft": nil,
	}
	if at := v.Member.MutedUntil; at > 0 {
		state["muted_until"] = time.UnixMilli(at).UTC().Format("2006-01-02T15:04:05.000Z")
	}
	if v.Member.PinOrder > 0 {
		state["pin_order"] = v.Member.PinOrder
	}
	if len(v.Member.Draft) > 0 {
		state["draft"] = v.Member.Draft
	}
	return state
}

// notice publishes an unnumbered notice to a user.
func (c *Channels) notice(_ context.Context, user int64, event string, data any) {
	c.say(userName(user), map[string]any{
		"type": "notification", "event": event, "data": data, "timestamp": c.o.Clock().Unix(),
	})
}

// Typing tells a chat who is typing, or no longer, in the forms of contracts A and B.
func (c *Channels) Typing(t chat.Typist) {
	if c.o.Contract != nil && c.interest(typingName(t.Chat)) {
		c.publishLive(typingName(t.Chat), c.o.Contract.Typing(t))
	}
	c.say(chatName(t.Chat), map[string]any{
		"type": "typing", "chat_id": t.Chat, "user_id": t.Person.ID, "user_name": t.Person.Name, "is_typing": t.Typing,
		"timestamp": c.o.Clock().Unix(),
	})
}

// StatusChanged tells those who watch that a user came or went, at a time in
// milliseconds since 1970.
func (c *Channels) StatusChanged(user int64, online bool, at int64) {
	lastSeen := at
	if online {
		lastSeen = 0
	}
	if c.o.Contract != nil && c.interest(statusName(user)) {
		c.publishLive(statusName(user), c.o.Contract.Status(user, online, lastSeen))
	}
	c.say(presenceName(user), presenceData(user, chat.Status{Online: online, LastSeen: lastSeen}, at))
}

// presenceData is what is published into presence:{id}, and told at subscribing.
func presenceData(user int64, s chat.Status, at int64) map[string]any {
	data := map[string]any{"user_id": user, "presence": "offline", "last_seen_at": nil, "at": stamp(at)}
	switch {
	case s.Hidden:
		data["presence"] = "hidden"
	case s.Online:
		data["presence"] = "online"
	case s.LastSeen != 0:
		data["last_seen_at"] = stamp(s.LastSeen)
	}
	return data
}

func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }

// presenceNow is what a new subscriber of presence:{id} is told.
func (c *Channels) presenceNow(ctx context.Context, viewer, user int64) ([]byte, error) {
	if c.o.Presence == nil {
		return nil, nil
	}
	all, err := c.o.Presence.Status(ctx, viewer, []int64{user})
	if err != nil {
		return nil, err
	}
	return json.Marshal(presenceData(user, all[user], c.o.Clock().UnixMilli()))
}

// interest tells whether anybody here is subscribed to a channel.
func (c *Channels) interest(channel string) bool {
	node := c.node.Load()
	return node != nil && node.Subscribers(channel) > 0
}

// say publishes an object to the subscribers of the moment.
func (c *Channels) say(channel string, data any) {
	if !c.interest(channel) {
		return
	}
	b, err := json.Marshal(data)
	if err != nil {
		c.o.Logger.Error("encode notice", "channel", channel, "error", err)
		return
	}
	c.publishLive(channel, b)
}

func (c *Channels) publishLive(channel string, data []byte) {
	_, err := c.node.Load().Publish(context.Background(), channel, data, realtime.PublishOptions{JSON: true, SkipHistory: true})
	if err != nil {
		c.o.Logger.Warn("publish notice", "channel", channel, "error", err)
	}
}
