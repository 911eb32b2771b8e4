package windi

import (
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/chatjson"
)

const (
	defaultPage = 50
	maxPage     = 100
)

// page is a piece of a chat's messages and how to get the next one.
type page struct {
	messages []chatjson.FullMessage
	total    int
	more     bool
	cursor   *string
}

// readPage reads what the query asks for: the newest messages, those beside one, or, as
// the original did, those from the oldest on (chat-api.md §B.7). Nothing is marked read.
func (c *Contract) readPage(r *request, chatID int64) (page, error) {
	user, err := r.user()
	if err != nil {
		return page{}, err
	}
	q := queryOf(r.Request)
	in := chat.PageQuery{
		BeforeID: q.id("before_id"), AfterID: q.id("after_id"),
		Offset: q.between("offset", 0, maxID, -1), Limit: q.between("limit", 1, maxPage, defaultPage),
		Deleted: q.flag("include_deleted"), Count: true,
	}
	if in.BeforeID != 0 && in.AfterID != 0 {
		q.fail("after_id", "cannot be given with before_id")
	}
	if in.Offset >= 0 && (in.BeforeID != 0 || in.AfterID != 0) {
		q.fail("offset", "cannot be given with before_id or after_id")
	}
	if q.err != nil {
		return page{}, q.err
	}
	p, err := c.o.Chats.Messages(r.Context(), user, chatID, in)
	if err != nil {
		return page{}, err
	}
	out := page{messages: make([]chatjson.FullMessage, len(p.Messages)), total: p.Total, more: p.Before}
	v := chatjson.Viewer{User: user, Read: p.Read}
	for i := range p.Messages {
		out.messages[i] = c.o.Build.FullMessage(&p.Messages[i], v)
	}
	next := 0
	if in.AfterID != 0 || in.Offset >= 0 { // forward
		out.more, next = p.After, len(p.Messages)-1
	}
	if out.more && len(p.Messages) > 0 {
		id := decimal(p.Messages[next].ID)
		out.cursor = &id
	}
	return out, nil
}

type historyReply struct {
	Chat     int64                  `json:"chat_id"`
	Messages []chatjson.FullMessage `json:"messages"`
	Count    int                    `json:"count"`
	Total    int                    `json:"total"`
	More     bool                   `json:"has_more"`
	Next     *string                `json:"next_cursor"`
}

// history has the chat in the path or in the query.
func (c *Contract) history(r *request) (reply, error) {
	var id int64
	var err error
	if r.PathValue("chat") != "" {
		id, err = r.path("chat")
	} else {
		q := queryOf(r.Request)
		if id = q.id("chat_id"); id == 0 {
			q.fail("chat_id", "is required")
		}
		err = q.err
	}
	if err != nil {
		return reply{}, err
	}
	p, err := c.readPage(r, id)
	return reply{body: historyReply{id, p.messages, len(p.messages), p.total, p.more, p.cursor}}, err
}

type messagesReply struct {
	Items []chatjson.FullMessage `json:"items"`
	Total int                    `json:"total"`
	More  bool                   `json:"has_more"`
	Next  *string                `json:"next_cursor"`
}

func (c *Contract) messages(r *request) (reply, error) {
	id, err := r.path("chat")
	if err != nil {
		return reply{}, err
	}
	p, err := c.readPage(r, id)
	return reply{body: messagesReply{p.messages, p.total, p.more, p.cursor}}, err
}

type readReply struct {
	ID        int64  `json:"id"`
	Chat      int64  `json:"chat_id"`
	IsRead    bool   `json:"is_read"`
	UpdatedAt string `json:"updated_at"`
}

// read marks everything up to a message as read (chat-api.md §B.9).
func (c *Contract) read(r *request) (reply, error) {
	user, err := r.user()
	if err != nil {
		return reply{}, err
	}
	id, err := r.path("message")
	if err != nil {
		return reply{}, err
	}
	m, _, err := c.o.Chats.MarkReadMessage(r.Context(), user, 0, id)
	return reply{body: readReply{m.ID, m.Chat, true, chatjson.Stamp(c.o.Clock().UnixMilli())}}, err
}

// typing passes on that the caller is typing (chat-api.md §0.8).
func (c *Contract) typing(r *request) (reply, error) {
	user, err := r.user()
	if err != nil {
		return reply{}, err
	}
	var in struct {
		Chat     number `json:"chat_id"`
		IsTyping *flag  `json:"is_typing"`
	}
	if err := r.decode(&in); err != nil {
		return reply{}, err
	}
	switch {
	case in.Chat == 0:
		return reply{}, required("chat_id")
	case in.IsTyping == nil:
		return reply{}, required("is_typing")
	}
	return reply{body: successReply{Success: true}}, c.o.Typing.Set(r.Context(), user, int64(in.Chat), bool(*in.IsTyping))
}
