package api

import (
	"context"
	"maps"

	"github.com/kuranty/kuranty/internal/apierror"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/chatjson"
)

// receipts are the marks of a page for the clients.
func receipts(p *chat.Page) []chatjson.Receipt {
	out := make([]chatjson.Receipt, len(p.Marks))
	for i, m := range p.Marks {
		out[i] = chatjson.Receipt{UserID: m.User, ReadSeq: m.ReadSeq, DeliveredSeq: m.DeliveredSeq}
	}
	return out
}

type seqInput struct {
	ChatPath
	Body struct {
		Seq int64 `json:"seq" minimum:"0"`
	}
}

// ReadMark is how far the caller has read a chat.
type ReadMark struct {
	ReadSeq          int64 `json:"read_seq"`
	UnreadCount      int   `json:"unread_count"`
	UnreadCapped     bool  `json:"unread_capped"`
	UnreadMentions   int   `json:"unread_mentions"`
	TotalUnreadChats int   `json:"total_unread_chats"`
}

func (a *API) markRead(ctx context.Context, c *call, in *seqInput) (*body[ReadMark], error) {
	m, err := a.o.Chats.MarkRead(ctx, c.User, int64(in.Chat), in.Body.Seq)
	if err != nil {
		return nil, err
	}
	return reply(ReadMark{m.ReadSeq, m.Unread, m.Capped, m.UnreadMentions, m.UnreadChats}), nil
}

func (a *API) markDelivered(ctx context.Context, c *call, in *seqInput) (*none, error) {
	return nil, a.o.Chats.MarkDelivered(ctx, c.User, int64(in.Chat), in.Body.Seq)
}

func (a *API) markUnread(ctx context.Context, c *call, in *seqInput) (*none, error) {
	return nil, a.o.Chats.MarkUnread(ctx, c.User, int64(in.Chat), in.Body.Seq)
}

type receiptsInput struct {
	Body struct {
		Read      map[string]int64 `json:"read,omitempty" doc:"Chat id → seq"`
		Delivered map[string]int64 `json:"delivered,omitempty"`
	}
}

func (a *API) markAll(ctx context.Context, c *call, in *receiptsInput) (*none, error) {
	read, err := byChat("read", in.Body.Read)
	if err != nil {
		return nil, err
	}
	delivered, err := byChat("delivered", in.Body.Delivered)
	if err != nil {
		return nil, err
	}
	return nil, a.o.Chats.Receipts(ctx, c.User, read, delivered)
}

func byChat(field string, marks map[string]int64) (map[int64]int64, error) {
	out := make(map[int64]int64, len(marks))
	for key := range maps.Keys(marks) {
		var id ID
		if err := id.UnmarshalText([]byte(key)); err != nil {
			return nil, apierror.NewField(field, apierror.Invalid)
		}
		out[int64(id)] = marks[key]
	}
	return out, nil
}

// ReadChats is how many chats were marked.
type ReadChats struct {
	Chats int `json:"chats"`
}

func (a *API) readAll(ctx context.Context, c *call, _ *none) (*body[ReadChats], error) {
	n, err := a.o.Chats.ReadAll(ctx, c.User)
	return reply(ReadChats{n}), err
}

// Unread is what the caller has not read; muted chats count mentions only.
type Unread struct {
	Chats    int  `json:"chats"`
	Messages int  `json:"messages"`
	Mentions int  `json:"mentions"`
	Capped   bool `json:"capped"`
}

func (a *API) unread(ctx context.Context, c *call, _ *none) (*body[Unread], error) {
	t, err := a.o.Chats.UnreadTotals(ctx, c.User)
	return reply(Unread(t)), err
}

// MessageReceipt is when somebody read or received a message.
type MessageReceipt struct {
	UserID int64   `json:"user_id"`
	At     *string `json:"at" format:"date-time" doc:"null if that is no longer known"`
}

// MessageReceipts is who has read a message, who has received it, and who has not.
type MessageReceipts struct {
	Read      []MessageReceipt `json:"read"`
	Delivered []MessageReceipt `json:"delivered"`
	Pending   []int64          `json:"pending"`
}

func (a *API) messageReceipts(ctx context.Context, c *call, in *MessagePath) (*body[MessageReceipts], error) {
	r, err := a.o.Chats.MessageReceipts(ctx, c.User, int64(in.Message))
	if err != nil {
		return nil, err
	}
	out := MessageReceipts{times(r.Read), times(r.Delivered), r.Pending}
	if out.Pending == nil {
		out.Pending = []int64{}
	}
	return reply(out), nil
}

func times(list []chat.Receipt) []MessageReceipt {
	out := make([]MessageReceipt, len(list))
	for i, r := range list {
		out[i] = MessageReceipt{r.User, chatjson.OptStamp(r.At)}
	}
	return out
}

type typingInput struct {
	ChatPath
	Body struct {
		Typing bool `json:"typing"`
	}
}

func (a *API) typing(ctx context.Context, c *call, in *typingInput) (*none, error) {
	return nil, a.o.Typing.Set(ctx, c.User, int64(in.Chat), in.Body.Typing)
}

type presenceInput struct {
	Body struct {
		Users []ID `json:"user_ids" maxItems:"200"`
	}
}

// PresenceList is who is there.
type PresenceList struct {
	Users []UserPresence `json:"users"`
}

// UserPresence is whether somebody is there.
type UserPresence struct {
	UserID     int64   `json:"user_id"`
	Presence   string  `json:"presence" enum:"online,offline,hidden"`
	LastSeenAt *string `json:"last_seen_at" format:"date-time"`
}

func (a *API) presence(ctx context.Context, c *call, in *presenceInput) (*body[PresenceList], error) {
	ids := numbers(in.Body.Users)
	status, err := a.o.Presence.Status(ctx, c.User, ids)
	if err != nil {
		return nil, err
	}
	out := PresenceList{make([]UserPresence, len(ids))}
	for i, id := range ids {
		s, known := status[id]
		if !known {
			s.Hidden = true
		}
		name, seen := chatjson.Presence(s)
		out.Users[i] = UserPresence{id, name, seen}
	}
	return reply(out), nil
}

type changesInput struct {
	ChatPath
	Since int64 `query:"since_event_seq" minimum:"0"`
	Limit int   `query:"limit" minimum:"0" maximum:"200" doc:"200 if not given"`
}

// Changes are what changed in a chat after a number.
type Changes struct {
	Chat         chatjson.Chat      `json:"chat"`
	Messages     []chatjson.Message `json:"messages" doc:"In their current state, by event_seq"`
	Members      []ChangedMember    `json:"members"`
	LastEventSeq int64              `json:"last_event_seq" doc:"What to ask from next"`
	HasMore      bool               `json:"has_more"`
	Limited      bool               `json:"limited" doc:"The newest messages instead of all: drop what is below the first"`
}

// ChangedMember is a member whose place changed.
type ChangedMember struct {
	User     chatjson.Person `json:"user"`
	Role     string          `json:"role"`
	State    string          `json:"state" enum:"active,left,kicked,banned"`
	EventSeq int64           `json:"event_seq"`
}

func (a *API) changes(ctx context.Context, c *call, in *changesInput) (*body[Changes], error) {
	ch, err := a.o.Chats.Changes(ctx, c.User, int64(in.Chat), in.Since, in.Limit)
	if err != nil {
		return nil, err
	}
	v, err := a.o.Chats.Chat(ctx, c.User, int64(in.Chat))
	if err != nil {
		return nil, err
	}
	room, err := a.chatOf(ctx, c.User, &v)
	if err != nil {
		return nil, err
	}
	out := Changes{
		Chat: room, Messages: a.json.Messages(ch.Messages, chatjson.Viewer{User: c.User, Read: ch.Read, Receipts: receipts(&ch.Page)}),
		Members: make([]ChangedMember, len(ch.Members)), LastEventSeq: ch.LastEventSeq, HasMore: ch.More, Limited: ch.Limited,
	}
	for i := range ch.Members {
		m := &ch.Members[i]
		out.Members[i] = ChangedMember{a.json.Person(&m.Person), m.Role, m.State, m.EventSeq}
	}
	return reply(out), nil
}
