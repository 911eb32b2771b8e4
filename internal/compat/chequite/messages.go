package chequite

import (
	"context"
	"fmt"
	"slices"

	"github.com/kuranty/kuranty/internal/apierror"
	"github.com/kuranty/kuranty/internal/chat"
)

const (
	messagesPage, maxMessages = 15, 100
)

// messagesA is a page of messages (chat-api.md §A.4). ChatID is there twice: the
// original's documentation and its code differ.
type messagesA struct {
	ChatID      int64      `json:"chatId"`
	ChatIDAgain int64      `json:"chat_id"`
	Messages    []messageA `json:"messages"`
	Companion   companionA `json:"companion"`
	HasMore     bool       `json:"has_more"`
	NextBefore  *int64     `json:"next_before"`
}

// getMessages returns the newest messages of a chat, or those before one, and marks them
// read unless it is told not to.
func (c *Contract) getMessages(r *call) (any, error) {
	ctx := r.Context()
	id, err := r.pathID("chat")
	if err != nil {
		return nil, err
	}
	q := chat.PageQuery{Offset: -1}
	if q.Limit, err = r.queryInt("limit", 1, maxMessages, messagesPage); err != nil {
		return nil, err
	}
	if text := r.URL.Query().Get("before"); text != "" {
		var ok bool
		if q.BeforeID, ok = parseID(text); !ok {
			return nil, apierror.NewField("before", apierror.Invalid)
		}
	}
	mark, err := r.queryFlag("mark_read", true)
	if err != nil {
		return nil, err
	}
	page, err := c.o.Chats.Messages(ctx, r.user(), id, q)
	if err != nil {
		return nil, err
	}
	if mark && q.BeforeID == 0 {
		if err := c.markRead(ctx, r.user(), &page); err != nil {
			return nil, err
		}
	}
	return c.page(ctx, r, &page)
}

// markRead marks all that the chat had when the page was read, and shows it in the page.
// What came since has not been seen.
func (c *Contract) markRead(ctx context.Context, user int64, page *chat.Page) error {
	top := page.Chat.LastSeq
	if top <= page.Member.ReadSeq && page.Member.ManualUnreadSeq == 0 {
		return nil
	}
	mark, err := c.o.Chats.MarkRead(ctx, user, page.Chat.ID, top)
	if err != nil {
		return err
	}
	page.Read.Own = max(mark.ReadSeq, top)
	return nil
}

// page makes the answer of a page.
func (c *Contract) page(ctx context.Context, r *call, page *chat.Page) (messagesA, error) {
	ids := senders(page.Messages)
	other := page.Chat.Companion(r.user())
	if other != 0 && !slices.Contains(ids, other) {
		ids = append(ids, other)
	}
	users, err := c.usersByID(ctx, r.user(), ids, r.zone)
	if err != nil {
		return messagesA{}, err
	}
	a := messagesA{ChatID: page.Chat.ID, ChatIDAgain: page.Chat.ID, Messages: []messageA{}, HasMore: page.Before}
	for i := range page.Messages {
		m := &page.Messages[i]
		a.Messages = append(a.Messages, c.message(m, users[m.Sender.ID], page.Read.IsRead(m, r.user()), r.zone))
	}
	if page.Before && len(a.Messages) > 0 {
		a.NextBefore = &a.Messages[0].ID
	}
	if other != 0 {
		a.Companion = companionA{userA: users[other]}
		a.Companion.ID = other
		return a, nil
	}
	a.Companion, err = c.group(ctx, r.user(), &page.Chat)
	return a, err
}

// senders are who sent messages, each once, but not the server.
func senders(messages []chat.Message) []int64 {
	var ids []int64
	for i := range messages {
		if id := messages[i].Sender.ID; id != 0 && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// group makes a group as the other side of its chat. It is online if another member is.
func (c *Contract) group(ctx context.Context, user int64, g *chat.Chat) (companionA, error) {
	a := companionA{MembersCount: g.MemberCount}
	a.Name, a.Avatar = g.Title, c.avatar(g.Avatar)
	if g.MemberCount > c.o.LargeGroup {
		return a, nil
	}
	members, err := c.o.Chats.MemberIDs(ctx, g.ID)
	if err != nil {
		return a, err
	}
	members = slices.DeleteFunc(members, func(id int64) bool { return id == user })
	status, err := c.statuses(ctx, user, members)
	for _, s := range status {
		a.IsOnline = a.IsOnline || s.Online && !s.Hidden
	}
	return a, err
}

// postMessages sends a message (chat-api.md §A.5).
func (c *Contract) postMessages(r *call) (any, error) {
	ctx := r.Context()
	id, err := r.pathID("chat")
	if err != nil {
		return nil, err
	}
	in, err := sending(r)
	if err != nil {
		return nil, err
	}
	m, replayed, err := c.o.Chats.Send(ctx, r.user(), id, in)
	if err != nil {
		return nil, err
	}
	read := false
	if replayed {
		r.header.Set("Idempotency-Replayed", "true")
		_, state, err := c.o.Chats.Message(ctx, r.user(), m.ID)
		if err != nil {
			return nil, err
		}
		read = state.IsRead(&m, r.user())
	}
	users, err := c.usersByID(ctx, r.user(), []int64{r.user()}, r.zone)
	if err != nil {
		// The message is stored, so this is no failure; it knows its sender's name.
		c.o.Logger.Warn("look at the sender of a message that has been sent", "user", r.user(), "error", err)
	}
	return c.message(&m, users[m.Sender.ID], read, r.zone), nil
}

// sending reads what is to be sent. The id of the request may stand in the body or in
// the header (chat-api.md §0.12).
func sending(r *call) (in chat.Sending, err error) {
	if in.Text, err = r.body.text("text"); err != nil {
		return in, err
	}
	if in.ClientID, err = r.body.text("client_id"); err != nil {
		return in, err
	}
	if key := r.Header.Get("Idempotency-Key"); key != "" {
		if in.ClientID != "" && in.ClientID != key {
			return in, &apierror.Error{Code: apierror.Validation, Fields: []apierror.Field{{
				Name: "client_id", Reason: apierror.Invalid, Text: "differs from the header Idempotency-Key",
			}}}
		}
		in.ClientID = key
	}
	if in.ReplyTo, err = r.body.id("reply_to_id"); err != nil {
		return in, err
	}
	files, err := r.body.list("attachments")
	if err != nil {
		return in, err
	}
	for i, f := range files {
		id, err := f.text("file_id")
		if err != nil {
			return in, wrongType(fmt.Sprintf("attachments.%d.file_id", i))
		}
		if id == "" {
			return in, apierror.NewField(fmt.Sprintf("attachments.%d.file_id", i), apierror.Required)
		}
		in.Files = append(in.Files, chat.Attachment{ID: id})
	}
	if in.Text == "" && len(files) == 0 {
		return in, apierror.NewField("text", apierror.Required)
	}
	return in, nil
}

// postRead marks everything up to a message read (chat-api.md §A.9).
func (c *Contract) postRead(r *call) (any, error) {
	id, err := r.pathID("chat")
	if err != nil {
		return nil, err
	}
	message, err := r.pathID("message")
	if err != nil {
		return nil, err
	}
	_, _, err = c.o.Chats.MarkReadMessage(r.Context(), r.user(), id, message)
	return done{}, err
}
