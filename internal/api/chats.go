package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/kuranty/kuranty/internal/apierror"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/chatjson"
)

// chatsOf makes chats as a member sees them.
func (a *API) chatsOf(ctx context.Context, viewer int64, views []chat.View) ([]chatjson.Chat, error) {
	var people []chat.PersonView
	for i := range views {
		if views[i].Companion != nil {
			people = append(people, *views[i].Companion)
		}
	}
	users, err := a.usersFor(ctx, viewer, people)
	if err != nil {
		return nil, err
	}
	out := make([]chatjson.Chat, len(views))
	for i := range views {
		var companion *chatjson.User
		if views[i].Companion != nil {
			companion, users = &users[0], users[1:]
		}
		out[i] = a.json.Chat(&views[i], chatjson.Permissions(views[i].Permissions()), companion)
	}
	return out, nil
}

func (a *API) chatOf(ctx context.Context, viewer int64, v *chat.View) (chatjson.Chat, error) {
	chats, err := a.chatsOf(ctx, viewer, []chat.View{*v})
	if err != nil {
		return chatjson.Chat{}, err
	}
	return chats[0], nil
}

// Chat returns a chat as a member sees it, for who tells members of it otherwise.
func (a *API) Chat(ctx context.Context, user, id int64) (chatjson.Chat, error) {
	v, err := a.o.Chats.Chat(ctx, user, id)
	if err != nil {
		return chatjson.Chat{}, err
	}
	return a.chatOf(ctx, user, &v)
}

// chatReply is the answer of operations that return a chat.
func (a *API) chatReply(ctx context.Context, c *call, v chat.View, err error) (*body[chatjson.Chat], error) {
	if err != nil {
		return nil, err
	}
	out, err := a.chatOf(ctx, c.User, &v)
	return reply(out), err
}

// ChatList are chats in the order of the list, by the cursor if there are more.
type ChatList struct {
	Chats      []chatjson.Chat `json:"chats"`
	NextCursor *string         `json:"next_cursor"`
	Total      int             `json:"total"`
}

type chatsInput struct {
	Filter string `query:"filter" enum:"all,unread,direct,group,archived"`
	Limit  int    `query:"limit" minimum:"0" maximum:"200" doc:"50 if not given"`
	Cursor string `query:"cursor" maxLength:"400"`
}

func (a *API) listChats(ctx context.Context, c *call, in *chatsInput) (*body[ChatList], error) {
	list, err := a.o.Chats.Chats(ctx, c.User, chat.ChatsQuery{Filter: in.Filter, Limit: in.Limit, Cursor: in.Cursor})
	if err != nil {
		return nil, err
	}
	chats, err := a.chatsOf(ctx, c.User, list.Views)
	if err != nil {
		return nil, err
	}
	return reply(ChatList{chats, optional(list.Next), list.Total}), nil
}

// newSettings are the rules of a group to be set; what is left out stays.
type newSettings struct {
	WhoCanPost    *string `json:"who_can_post,omitempty" enum:"all,admins"`
	WhoCanAdd     *string `json:"who_can_add,omitempty" enum:"all,admins"`
	WhoCanEdit    *string `json:"who_can_edit,omitempty" enum:"all,admins"`
	HistoryForNew *string `json:"history_for_new,omitempty" enum:"all,joined"`
	SlowMode      *int    `json:"slow_mode_s,omitempty" minimum:"0" maximum:"3600"`
	EditsVisible  *bool   `json:"edits_visible,omitempty"`
}

// NewChat is the reply of making a chat: the chat, and of a group who could not be added.
type NewChat struct {
	chatjson.Chat
	NotAdded []NotAdded `json:"not_added,omitzero" doc:"Groups only"`
}

// NotAdded is a person who was not made a member.
type NotAdded struct {
	UserID int64  `json:"user_id"`
	Reason string `json:"reason" enum:"privacy,unknown,banned,member,limit"`
}

type newChatInput struct {
	Body struct {
		Kind     string       `json:"kind" enum:"direct,group"`
		User     ID           `json:"user_id,omitempty" doc:"Of a direct chat"`
		Title    string       `json:"title,omitempty" maxLength:"1024" doc:"Of a group"`
		Users    []ID         `json:"user_ids,omitempty" maxItems:"1000"`
		About    string       `json:"about,omitempty" maxLength:"4096"`
		Avatar   string       `json:"avatar_file_id,omitempty" maxLength:"64"`
		Settings *newSettings `json:"settings,omitempty"`
	}
}

func (a *API) createChat(ctx context.Context, c *call, in *newChatInput) (*answer[NewChat], error) {
	b := &in.Body
	out := &answer[NewChat]{Status: http.StatusCreated}
	var v chat.View
	var refused []chat.NotAdded
	var err error
	if b.Kind == chat.Direct {
		if b.User == 0 {
			return nil, apierror.NewField("user_id", apierror.Required)
		}
		var created bool
		if v, created, err = a.o.Chats.OpenDirect(ctx, c.User, int64(b.User)); !created {
			out.Status = http.StatusOK
		}
	} else {
		v, refused, err = a.o.Chats.CreateGroup(ctx, c.User, chat.NewGroup{
			Title: b.Title, About: b.About, Avatar: b.Avatar, Users: numbers(b.Users), Settings: b.Settings.initial(),
		})
		out.Body.NotAdded = notAdded(refused)
	}
	if err != nil {
		return nil, err
	}
	out.Body.Chat, err = a.chatOf(ctx, c.User, &v)
	return out, err
}

func (s *newSettings) initial() (out chat.Settings) {
	if s == nil {
		return out
	}
	set(&out.WhoCanPost, s.WhoCanPost)
	set(&out.WhoCanAdd, s.WhoCanAdd)
	set(&out.WhoCanEdit, s.WhoCanEdit)
	set(&out.HistoryForNew, s.HistoryForNew)
	set(&out.SlowMode, s.SlowMode)
	set(&out.EditsVisible, s.EditsVisible)
	return out
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

func notAdded(list []chat.NotAdded) []NotAdded {
	out := make([]NotAdded, len(list))
	for i, n := range list {
		out[i] = NotAdded{n.User, n.Reason}
	}
	return out
}

// ChatPath names a chat. It is exported for the library, which looks into no other embedded fields.
type ChatPath struct {
	Chat ID `path:"id" doc:"The chat's id"`
}

func (a *API) getChat(ctx context.Context, c *call, in *ChatPath) (*body[chatjson.Chat], error) {
	v, err := a.o.Chats.Chat(ctx, c.User, int64(in.Chat))
	return a.chatReply(ctx, c, v, err)
}

type changeChatInput struct {
	ChatPath
	Body struct {
		Title     *string       `json:"title,omitempty" maxLength:"1024"`
		About     maybe[string] `json:"about,omitempty" maxLength:"4096" doc:"null or empty removes it"`
		Avatar    maybe[string] `json:"avatar_file_id,omitempty" maxLength:"64" doc:"null or empty removes it"`
		Settings  *newSettings  `json:"settings,omitempty"`
		Retention maybe[int]    `json:"retention_days,omitempty" minimum:"0" maximum:"36500" doc:"null or 0 is as the server is configured"`
	}
}

func (a *API) changeChat(ctx context.Context, c *call, in *changeChatInput) (*body[chatjson.Chat], error) {
	b := &in.Body
	change := chat.ChatChange{Title: b.Title, About: b.About.pointer(), Avatar: b.Avatar.pointer(), RetentionDays: b.Retention.pointer()}
	if s := b.Settings; s != nil {
		change.Settings = &chat.SettingsChange{
			WhoCanPost: s.WhoCanPost, WhoCanAdd: s.WhoCanAdd, WhoCanEdit: s.WhoCanEdit, HistoryForNew: s.HistoryForNew,
			SlowMode: s.SlowMode, EditsVisible: s.EditsVisible,
		}
	}
	v, err := a.o.Chats.UpdateChat(ctx, c.User, int64(in.Chat), change)
	return a.chatReply(ctx, c, v, err)
}

type deleteChatInput struct {
	ChatPath
	For string `query:"for" enum:"me,all" doc:"me if not given"`
}

func (a *API) deleteChat(ctx context.Context, c *call, in *deleteChatInput) (*none, error) {
	return nil, a.o.Chats.DeleteChat(ctx, c.User, int64(in.Chat), in.For == "all")
}

type stateInput struct {
	ChatPath
	Body struct {
		MutedUntil maybe[time.Time]       `json:"muted_until,omitempty" doc:"null is not muted"`
		PinOrder   maybe[int]             `json:"pin_order,omitempty" minimum:"0" maximum:"10000" doc:"null or 0 is not pinned"`
		Archived   *bool                  `json:"archived,omitempty"`
		Draft      maybe[json.RawMessage] `json:"draft,omitempty" doc:"An object, or null for none"`
	}
}

func (a *API) setState(ctx context.Context, c *call, in *stateInput) (*body[chatjson.Chat], error) {
	b := &in.Body
	change := chat.StateChange{Archived: b.Archived, PinOrder: b.PinOrder.pointer(), Draft: b.Draft.pointer()}
	if b.MutedUntil.given {
		until := millis(b.MutedUntil.value)
		change.MutedUntil = &until
	}
	v, err := a.o.Chats.SetState(ctx, c.User, int64(in.Chat), change)
	return a.chatReply(ctx, c, v, err)
}

func (a *API) clearChat(ctx context.Context, c *call, in *ChatPath) (*none, error) {
	return nil, a.o.Chats.Clear(ctx, c.User, int64(in.Chat))
}

func (a *API) saved(ctx context.Context, c *call, _ *none) (*body[chatjson.Chat], error) {
	v, err := a.o.Chats.Saved(ctx, c.User)
	return a.chatReply(ctx, c, v, err)
}
