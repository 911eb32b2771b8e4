package api

import (
	"context"
	"net/http"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/apierror"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/chatjson"
	"github.com/kuranty/kuranty/internal/privacy"
)

// adminChatRoutes are the chats of §C.14. What members decide is done on behalf of a
// member: of who is named, else of the owner.
func (a *API) adminChatRoutes() {
	handle(a, op{get, "/admin/chats", Admins, "List the chats of the server", ok, nil, false}, a.listRooms)
	handle(a, op{post, "/admin/chats", FreshAdmins, "Make a group on behalf of its owner", created, nil, true}, a.createRoom)
	handle(a, op{get, "/admin/chats/{id}", Admins, "Show what a chat is", ok, nil, false}, a.getRoom)
	handle(a, op{del, "/admin/chats/{id}", FreshAdmins, "Delete a chat for all", 0, nil, false}, a.deleteRoom)
	handle(a, op{get, "/admin/chats/{id}/members", Admins, "List members", ok, nil, false}, a.roomMembers)
	handle(a, op{post, "/admin/chats/{id}/members", FreshAdmins, "Add members", ok, nil, false}, a.addRoomMembers)
	handle(a, op{del, "/admin/chats/{id}/members/{userId}", FreshAdmins, "Remove a member", 0, nil, false}, a.removeRoomMember)
	handle(a, op{get, "/admin/chats/{id}/messages", FreshAdmins, "Read messages; that is put on record", ok, nil, false}, a.roomMessages)
	handle(a, op{post, "/admin/chats/{id}/messages", FreshAdmins, "Send a message of a member, or of the system", created, []int{ok}, true}, a.sendToRoom)
}

// Room is a chat as administrators see it, without what is written in it.
type Room struct {
	ID            int64   `json:"id"`
	Kind          string  `json:"kind" enum:"direct,group,saved"`
	Title         string  `json:"title"`
	About         string  `json:"about"`
	OwnerID       *int64  `json:"owner_id" doc:"Of a group"`
	UserIDs       []int64 `json:"user_ids" doc:"Of a direct chat"`
	MemberCount   int     `json:"member_count"`
	LastSeq       int64   `json:"last_seq"`
	LastMessageAt *string `json:"last_message_at" format:"date-time"`
	RetentionDays int     `json:"retention_days" doc:"0 is as configured"`
	LegalHold     bool    `json:"legal_hold"`
	CreatedBy     int64   `json:"created_by"`
	CreatedAt     string  `json:"created_at" format:"date-time"`
}

func newRoom(c *chat.Chat) Room {
	out := Room{
		ID: c.ID, Kind: c.Kind, Title: c.Title, About: c.About, UserIDs: []int64{}, MemberCount: c.MemberCount, LastSeq: c.LastSeq,
		LastMessageAt: chatjson.OptStamp(c.LastMessageAt), RetentionDays: c.RetentionDays, LegalHold: c.LegalHold,
		CreatedBy: c.CreatedBy, CreatedAt: chatjson.Stamp(c.CreatedAt),
	}
	if c.Owner != 0 {
		out.OwnerID = &c.Owner
	}
	if one, other := c.Pair(); c.Kind == chat.Direct {
		out.UserIDs = []int64{one, other}
	}
	return out
}

// RoomList are chats by rising id.
type RoomList struct {
	Chats     []Room `json:"chats"`
	NextAfter *int64 `json:"next_after" doc:"What to give as after for the next page"`
}

type roomsInput struct {
	Kind  string `query:"kind" enum:"direct,group,saved"`
	User  ID     `query:"user_id" doc:"Chats of this member"`
	After int64  `query:"after" minimum:"0"`
	Limit int    `query:"limit" minimum:"0" maximum:"200" doc:"50 if not given"`
}

func (a *API) listRooms(ctx context.Context, _ *call, in *roomsInput) (*body[RoomList], error) {
	limit := in.Limit
	if limit == 0 {
		limit = 50
	}
	list, err := a.o.Chats.Rooms(ctx, chat.RoomsQuery{Kind: in.Kind, Member: int64(in.User), After: in.After, Limit: limit})
	if err != nil {
		return nil, err
	}
	out := RoomList{Chats: make([]Room, len(list))}
	for i := range list {
		out.Chats[i] = newRoom(&list[i])
	}
	if len(list) == limit {
		out.NextAfter = &list[limit-1].ID
	}
	return reply(out), nil
}

type newRoomInput struct {
	Body struct {
		Owner ID     `json:"owner_id"`
		Title string `json:"title" maxLength:"1024"`
		About string `json:"about,omitempty" maxLength:"4096"`
		Users []ID   `json:"user_ids,omitempty" maxItems:"1000"`
	}
}

// NewRoom is a chat that was made, and who could not be added.
type NewRoom struct {
	Room
	NotAdded []NotAdded `json:"not_added"`
}

func (a *API) createRoom(ctx context.Context, c *call, in *newRoomInput) (*answer[NewRoom], error) {
	b := &in.Body
	if _, err := a.o.Accounts.UserCaller(ctx, int64(b.Owner)); err != nil {
		return nil, apierror.NewField("owner_id", apierror.Invalid)
	}
	v, refused, err := a.o.Chats.CreateGroup(ctx, int64(b.Owner), chat.NewGroup{Title: b.Title, About: b.About, Users: numbers(b.Users)})
	if err != nil {
		return nil, err
	}
	out := &answer[NewRoom]{Status: http.StatusCreated, Body: NewRoom{newRoom(&v.Chat), notAdded(refused)}}
	return out, a.record(ctx, c, "chat.create", v.Chat.ID, nil)
}

func (a *API) getRoom(ctx context.Context, _ *call, in *ChatPath) (*body[Room], error) {
	room, _, err := a.o.Chats.Room(ctx, int64(in.Chat))
	if err != nil {
		return nil, err
	}
	return reply(newRoom(&room)), nil
}

// onBehalf is the call as one of a member of the chat: of user if that is not 0.
func (a *API) onBehalf(ctx context.Context, c *call, room ID, user ID) (*call, error) {
	_, leader, err := a.o.Chats.Room(ctx, int64(room))
	if err != nil {
		return nil, err
	}
	member := *c
	if member.User = leader; user != 0 {
		member.User = int64(user)
	}
	if member.User == 0 {
		return nil, apierror.New(apierror.NotFound, nil)
	}
	return &member, nil
}

// record puts on record what an administrator does in a chat, before it is told that it
// was done.
func (a *API) record(ctx context.Context, c *call, action string, room int64, data any) error {
	return a.recordOf(ctx, c, action, event.ChatStream(room), data)
}

// recordOf is record for any target.
func (a *API) recordOf(ctx context.Context, c *call, action, target string, data any) error {
	if a.o.Privacy == nil {
		return nil
	}
	return a.o.Privacy.Audit(ctx, privacy.Entry{Actor: c.Actor(), Action: action, Target: target, IP: c.address}, data)
}

func (a *API) deleteRoom(ctx context.Context, c *call, in *ChatPath) (*none, error) {
	as, err := a.onBehalf(ctx, c, in.Chat, 0)
	if err != nil {
		return nil, err
	}
	if err := a.record(ctx, c, "chat.delete", int64(in.Chat), nil); err != nil {
		return nil, err
	}
	return nil, a.o.Chats.DeleteChat(ctx, as.User, int64(in.Chat), true)
}

func (a *API) roomMembers(ctx context.Context, c *call, in *membersInput) (*body[MemberList], error) {
	as, err := a.onBehalf(ctx, c, in.Chat, 0)
	if err != nil {
		return nil, err
	}
	return a.members(ctx, as, in)
}

func (a *API) addRoomMembers(ctx context.Context, c *call, in *addMembersInput) (*body[Added], error) {
	as, err := a.onBehalf(ctx, c, in.Chat, 0)
	if err != nil {
		return nil, err
	}
	if err := a.record(ctx, c, "chat.members.add", int64(in.Chat), map[string]any{"user_ids": in.Body.Users}); err != nil {
		return nil, err
	}
	return a.addMembers(ctx, as, in)
}

type removeRoomMemberInput struct {
	MemberPath
	Ban bool `query:"ban"`
}

func (a *API) removeRoomMember(ctx context.Context, c *call, in *removeRoomMemberInput) (*none, error) {
	as, err := a.onBehalf(ctx, c, in.Chat, 0)
	if err != nil {
		return nil, err
	}
	if err := a.record(ctx, c, "chat.members.remove", int64(in.Chat), map[string]any{"user_id": in.User, "ban": in.Ban}); err != nil {
		return nil, err
	}
	if as.User == int64(in.User) { // who leads cannot be removed, but may go
		return nil, a.o.Chats.Leave(ctx, as.User, int64(in.Chat))
	}
	return nil, a.o.Chats.Remove(ctx, as.User, int64(in.Chat), int64(in.User), in.Ban)
}

func (a *API) roomMessages(ctx context.Context, c *call, in *messagesInput) (*body[MessageList], error) {
	if a.o.NoAdminReads {
		return nil, apierror.New(apierror.Disabled, nil)
	}
	as, err := a.onBehalf(ctx, c, in.Chat, 0)
	if err != nil {
		return nil, err
	}
	if err := a.record(ctx, c, "chat.read", int64(in.Chat), nil); err != nil {
		return nil, err
	}
	return a.messages(ctx, as, in)
}

type sendToRoomInput struct {
	ChatPath
	Body struct {
		Sender   ID     `json:"sender_id,omitempty" doc:"A member; without one it is a message of the system"`
		Text     string `json:"text"`
		ClientID string `json:"client_id,omitempty" doc:"Makes repetitions of a member's message harmless"`
		Silent   bool   `json:"silent,omitempty"`
	}
}

func (a *API) sendToRoom(ctx context.Context, c *call, in *sendToRoomInput) (*answer[chatjson.Message], error) {
	as, err := a.onBehalf(ctx, c, in.Chat, in.Body.Sender)
	if err != nil {
		return nil, err
	}
	if err := a.record(ctx, c, "chat.send", int64(in.Chat), map[string]any{"sender_id": in.Body.Sender}); err != nil {
		return nil, err
	}
	if in.Body.Sender == 0 {
		m, err := a.o.Chats.SystemMessage(ctx, c.User, int64(in.Chat), in.Body.Text, true)
		return a.sent(ctx, as, m, false, err)
	}
	m, replayed, err := a.o.Chats.Send(ctx, as.User, int64(in.Chat), chat.Sending{
		Text: in.Body.Text, ClientID: in.Body.ClientID, Silent: in.Body.Silent, Unlimited: c.Service,
	})
	return a.sent(ctx, as, m, replayed, err)
}
