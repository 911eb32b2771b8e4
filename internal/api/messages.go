package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"

	"github.com/kuranty/kuranty/internal/apierror"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/chatjson"
)

// MessageList is a page of a chat's messages, ascending by seq.
type MessageList struct {
	Messages  []chatjson.Message `json:"messages"`
	HasBefore bool               `json:"has_before"`
	HasAfter  bool               `json:"has_after"`
	FirstSeq  int64              `json:"first_seq" doc:"The lowest number of the page, 0 if it is empty"`
	LastSeq   int64              `json:"last_seq" doc:"The highest number of the page, 0 if it is empty"`
	Users     []chatjson.User    `json:"users" doc:"The senders"`
	Receipts  []chatjson.Receipt `json:"receipts" doc:"How far each member has read, in small chats"`
}

type messagesInput struct {
	ChatPath
	Before  int64  `query:"before" minimum:"0" doc:"The page before this number"`
	After   int64  `query:"after" minimum:"-1" default:"-1" doc:"The page after this number; 0 is the first page, -1 as if it were not given"`
	Around  string `query:"around" pattern:"^(first_unread|[1-9][0-9]{0,15})$" doc:"A number, or first_unread"`
	Limit   int    `query:"limit" minimum:"0" maximum:"200" doc:"50 if not given"`
	Include string `query:"include" enum:"hidden" doc:"hidden shows what the caller has deleted for itself"`
}

func (a *API) messages(ctx context.Context, c *call, in *messagesInput) (*body[MessageList], error) {
	q := chat.PageQuery{Before: in.Before, After: max(in.After, 0), Offset: -1, Limit: in.Limit, Deleted: true, Hidden: in.Include == "hidden"}
	if in.After == 0 {
		q.Offset = 0
	}
	switch in.Around {
	case "":
	case "first_unread":
		q.FirstUnread = true
	default:
		var seq ID
		if err := seq.UnmarshalText([]byte(in.Around)); err != nil {
			return nil, apierror.NewField("around", apierror.Invalid)
		}
		q.Around = int64(seq)
	}
	page, err := a.o.Chats.Messages(ctx, c.User, int64(in.Chat), q)
	if err != nil {
		return nil, err
	}
	return a.messageList(ctx, c, &page)
}

func (a *API) messageList(ctx context.Context, c *call, p *chat.Page) (*body[MessageList], error) {
	v := chatjson.Viewer{User: c.User, Read: p.Read, Receipts: receipts(p)}
	users, err := a.senders(ctx, c, p.Messages)
	if err != nil {
		return nil, err
	}
	out := MessageList{
		Messages: a.json.Messages(p.Messages, v), HasBefore: p.Before, HasAfter: p.After, Users: users, Receipts: v.Receipts,
	}
	if n := len(p.Messages); n > 0 {
		bySeq := func(a, b chat.Message) int { return cmp.Compare(a.Seq, b.Seq) } // pins come in another order
		out.FirstSeq, out.LastSeq = slices.MinFunc(p.Messages, bySeq).Seq, slices.MaxFunc(p.Messages, bySeq).Seq
	}
	return reply(out), nil
}

// senders makes the people who sent the messages.
func (a *API) senders(ctx context.Context, c *call, list []chat.Message) ([]chatjson.User, error) {
	seen := make(map[int64]bool)
	var ids []int64
	for i := range list {
		if id := list[i].Sender.ID; id != 0 && !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return []chatjson.User{}, nil
	}
	people, err := a.o.Chats.People(ctx, c.User, ids)
	if err != nil {
		return nil, err
	}
	return a.users(ctx, c, people)
}

// newAttachment is a file of a message to be sent.
type newAttachment struct {
	FileID   string        `json:"file_id,omitempty" maxLength:"64"`
	Caption  maybe[string] `json:"caption,omitempty"`
	URL      string        `json:"url,omitempty" maxLength:"2048" doc:"Of a file elsewhere, if the server is so configured"`
	Type     string        `json:"type,omitempty" maxLength:"20"`
	Filename string        `json:"filename,omitempty" maxLength:"1024"`
	MIMEType string        `json:"mime_type,omitempty" maxLength:"255"`
	Size     int64         `json:"size,omitempty" minimum:"0"`
}

func attachments(list []newAttachment) []chat.Attachment {
	out := make([]chat.Attachment, len(list))
	for i, f := range list {
		out[i] = chat.Attachment{ID: f.FileID, Caption: f.Caption.value, URL: f.URL, Kind: f.Type, Name: f.Filename, MIME: f.MIMEType, Size: f.Size}
	}
	return out
}

// Sending is a message to be sent. Its texts are bounded by the body and then exactly by
// the domain.
type Sending struct {
	ClientID    string          `json:"client_id,omitempty" doc:"Makes repetitions harmless; or give it as Idempotency-Key"`
	Text        string          `json:"text,omitempty"`
	Attachments []newAttachment `json:"attachments,omitempty"`
	ReplyTo     maybe[ID]       `json:"reply_to_id,omitempty"`
	Mentions    []ID            `json:"mentions,omitempty"`
	MentionAll  bool            `json:"mention_all,omitempty"`
	Silent      bool            `json:"silent,omitempty"`
}

func (s *Sending) domain(key string) (chat.Sending, error) {
	switch {
	case s.ClientID == "":
		s.ClientID = key
	case key != "" && key != s.ClientID:
		return chat.Sending{}, apierror.NewField("client_id", apierror.Invalid) // chat-api.md §0.12
	}
	if s.ClientID == "" {
		return chat.Sending{}, apierror.NewField("client_id", apierror.Required)
	}
	return chat.Sending{
		ClientID: s.ClientID, Text: s.Text, Files: attachments(s.Attachments), ReplyTo: int64(s.ReplyTo.value),
		Mentions: numbers(s.Mentions), MentionAll: s.MentionAll, Silent: s.Silent,
	}, nil
}

// IdempotencyKey is the key of a request that may come again. It is exported for the library, which looks into no other embedded fields.
type IdempotencyKey struct {
	Key string `header:"Idempotency-Key"`
}

type sendInput struct {
	ChatPath
	IdempotencyKey
	Body Sending
}

func (a *API) send(ctx context.Context, c *call, in *sendInput) (*answer[chatjson.Message], error) {
	s, err := in.Body.domain(in.Key)
	if err != nil {
		return nil, err
	}
	m, replayed, err := a.o.Chats.Send(ctx, c.User, int64(in.Chat), s)
	return a.sent(ctx, c, m, replayed, err)
}

type sendToUserInput struct {
	UserPath
	IdempotencyKey
	Body Sending
}

func (a *API) sendToUser(ctx context.Context, c *call, in *sendToUserInput) (*answer[chatjson.Message], error) {
	s, err := in.Body.domain(in.Key)
	if err != nil {
		return nil, err
	}
	m, replayed, err := a.o.Chats.SendToUser(ctx, c.User, int64(in.User), s)
	return a.sent(ctx, c, m, replayed, err)
}

// sent answers with a message that was sent: a fresh one is read by nobody; of one that
// was sent before, its state is looked up.
func (a *API) sent(ctx context.Context, c *call, m chat.Message, replayed bool, err error) (*answer[chatjson.Message], error) {
	if err != nil {
		return nil, err
	}
	if !replayed {
		return &answer[chatjson.Message]{Status: http.StatusCreated, Body: a.json.Message(&m, chatjson.Viewer{User: c.User})}, nil
	}
	out := &answer[chatjson.Message]{Status: http.StatusOK, Replayed: "true"}
	out.Body, err = a.look(ctx, c, m)
	return out, err
}

// look makes m as the caller sees it now.
func (a *API) look(ctx context.Context, c *call, m chat.Message) (chatjson.Message, error) {
	now, read, err := a.o.Chats.Message(ctx, c.User, m.ID)
	if err != nil {
		return chatjson.Message{}, err
	}
	return a.json.Message(&now, chatjson.Viewer{User: c.User, Read: read}), nil
}

// MessagePath names a message. It is exported for the library, which looks into no other embedded fields.
type MessagePath struct {
	Message ID `path:"id" doc:"The message's id"`
}

// Permalink is a message and the chat it is in.
type Permalink struct {
	Message chatjson.Message `json:"message"`
	Chat    chatjson.Chat    `json:"chat"`
}

func (a *API) getMessage(ctx context.Context, c *call, in *MessagePath) (*body[Permalink], error) {
	m, read, err := a.o.Chats.Message(ctx, c.User, int64(in.Message))
	if err != nil {
		return nil, err
	}
	v, err := a.o.Chats.Chat(ctx, c.User, m.Chat)
	if err != nil {
		return nil, err
	}
	room, err := a.chatOf(ctx, c.User, &v)
	return reply(Permalink{a.json.Message(&m, chatjson.Viewer{User: c.User, Read: read}), room}), err
}

// Editing is a change of a message; what is left out stays.
type Editing struct {
	Text        *string          `json:"text,omitempty"`
	Attachments *[]newAttachment `json:"attachments,omitempty"`
	Version     int              `json:"version,omitempty" minimum:"0" doc:"The version that was edited; another one is refused"`
}

func (e *Editing) domain() chat.Editing {
	out := chat.Editing{Text: e.Text, Version: e.Version}
	if e.Attachments != nil {
		files := attachments(*e.Attachments)
		out.Files = &files
	}
	return out
}

type editInput struct {
	MessagePath
	Body Editing
}

func (a *API) edit(ctx context.Context, c *call, in *editInput) (*body[chatjson.Message], error) {
	m, err := a.o.Chats.Edit(ctx, c.User, int64(in.Message), in.Body.domain())
	if err != nil {
		return nil, err
	}
	out, err := a.look(ctx, c, m)
	return reply(out), err
}

// Edit is an earlier text of a message.
type Edit struct {
	Version  int               `json:"version"`
	Text     string            `json:"text"`
	Entities []chatjson.Entity `json:"entities"`
	EditedAt string            `json:"edited_at" format:"date-time" doc:"When it was replaced"`
}

// Edits are the earlier texts of a message.
type Edits struct {
	Edits []Edit `json:"edits"`
}

func (a *API) edits(ctx context.Context, c *call, in *MessagePath) (*body[Edits], error) {
	list, err := a.o.Chats.Edits(ctx, c.User, int64(in.Message))
	if err != nil {
		return nil, err
	}
	out := Edits{make([]Edit, len(list))}
	for i, e := range list {
		out.Edits[i] = Edit{e.Version, e.Text, chatjson.Entities(e.Entities), chatjson.Stamp(e.EditedAt)}
	}
	return reply(out), nil
}

type deleteMessageInput struct {
	MessagePath
	For string `query:"for" enum:"all,me" doc:"me if not given"`
}

func (a *API) deleteMessage(ctx context.Context, c *call, in *deleteMessageInput) (*none, error) {
	return nil, a.o.Chats.Delete(ctx, c.User, []int64{int64(in.Message)}, in.For == "all")
}

type deleteMessagesInput struct {
	ChatPath
	Body struct {
		IDs []ID   `json:"ids" minItems:"1" maxItems:"100"`
		For string `json:"for,omitempty" enum:"all,me" doc:"me if not given"`
	}
}

func (a *API) deleteMessages(ctx context.Context, c *call, in *deleteMessagesInput) (*none, error) {
	return nil, a.o.Chats.DeleteIn(ctx, c.User, int64(in.Chat), numbers(in.Body.IDs), in.Body.For == "all")
}

type reactionPath struct {
	MessagePath
	Emoji string `path:"emoji" maxLength:"100"`
}

// Reactions is the summary of a message's reactions.
type Reactions struct {
	MessageID int64               `json:"message_id"`
	Reactions []chatjson.Reaction `json:"reactions"`
}

func (a *API) react(ctx context.Context, c *call, in *reactionPath) (*body[Reactions], error) {
	return a.setReaction(ctx, c, int64(in.Message), in.Emoji, true)
}

func (a *API) unreact(ctx context.Context, c *call, in *reactionPath) (*body[Reactions], error) {
	return a.setReaction(ctx, c, int64(in.Message), in.Emoji, false)
}

func (a *API) setReaction(ctx context.Context, c *call, message int64, emoji string, add bool) (*body[Reactions], error) {
	list, err := a.o.Chats.React(ctx, c.User, message, emoji, add)
	if err != nil {
		return nil, err
	}
	return reply(Reactions{message, chatjson.Reactions(list, c.User)}), nil
}

type reactedInput struct {
	MessagePath
	Emoji string `query:"emoji" maxLength:"100" doc:"Only this one"`
}

// Reacted is somebody's reaction.
type Reacted struct {
	User  chatjson.Person `json:"user"`
	Emoji string          `json:"emoji"`
	At    string          `json:"at" format:"date-time"`
}

// ReactedList is who reacted.
type ReactedList struct {
	Reactions []Reacted `json:"reactions"`
}

func (a *API) reacted(ctx context.Context, c *call, in *reactedInput) (*body[ReactedList], error) {
	list, err := a.o.Chats.ReactionsOf(ctx, c.User, int64(in.Message), in.Emoji)
	if err != nil {
		return nil, err
	}
	out := ReactedList{make([]Reacted, len(list))}
	for i := range list {
		out.Reactions[i] = Reacted{a.json.Person(&list[i].Person), list[i].Emoji, chatjson.Stamp(list[i].At)}
	}
	return reply(out), nil
}

func (a *API) pin(ctx context.Context, c *call, in *MessagePath) (*none, error) {
	return nil, a.o.Chats.Pin(ctx, c.User, int64(in.Message), true)
}

func (a *API) unpin(ctx context.Context, c *call, in *MessagePath) (*none, error) {
	return nil, a.o.Chats.Pin(ctx, c.User, int64(in.Message), false)
}

func (a *API) pins(ctx context.Context, c *call, in *ChatPath) (*body[MessageList], error) {
	page, err := a.o.Chats.Pins(ctx, c.User, int64(in.Chat))
	if err != nil {
		return nil, err
	}
	return a.messageList(ctx, c, &page)
}

type forwardInput struct {
	Body struct {
		IDs      []ID   `json:"ids" minItems:"1" maxItems:"50"`
		To       []ID   `json:"to" minItems:"1" maxItems:"10"`
		ClientID string `json:"client_id" maxLength:"100"`
	}
}

// Forwarded are the copies that were made.
type Forwarded struct {
	Messages []chatjson.Message `json:"messages"`
}

func (a *API) forward(ctx context.Context, c *call, in *forwardInput) (*answer[Forwarded], error) {
	list, err := a.o.Chats.Forward(ctx, c.User, numbers(in.Body.IDs), numbers(in.Body.To), in.Body.ClientID)
	if err != nil {
		return nil, err
	}
	return &answer[Forwarded]{Status: http.StatusCreated, Body: Forwarded{a.json.Messages(list, chatjson.Viewer{User: c.User})}}, nil
}
