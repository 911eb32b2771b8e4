package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/kuranty/kuranty/internal/apierror"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/chatjson"
)

// Member is a member of a chat.
type Member struct {
	User     chatjson.User `json:"user"`
	Role     string        `json:"role" enum:"owner,admin,member"`
	JoinedAt string        `json:"joined_at" format:"date-time"`
}

// MemberList are members of a chat, by the cursor if there are more.
type MemberList struct {
	Members    []Member `json:"members"`
	NextCursor *string  `json:"next_cursor"`
	Total      int      `json:"total"`
}

type membersInput struct {
	ChatPath
	Q      string `query:"q" maxLength:"400"`
	Role   string `query:"role" enum:"owner,admin,member"`
	Limit  int    `query:"limit" minimum:"0" maximum:"200" doc:"50 if not given"`
	Cursor string `query:"cursor" maxLength:"400"`
}

func (a *API) members(ctx context.Context, c *call, in *membersInput) (*body[MemberList], error) {
	list, err := a.o.Chats.Members(ctx, c.User, int64(in.Chat), chat.MembersQuery{Cursor: in.Cursor, Name: in.Q, Role: in.Role, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	members, err := a.membersOf(ctx, c.User, list.Members)
	if err != nil {
		return nil, err
	}
	return reply(MemberList{members, optional(list.Next), list.Total}), nil
}

func (a *API) membersOf(ctx context.Context, viewer int64, list []chat.MemberView) ([]Member, error) {
	people := make([]chat.PersonView, len(list))
	for i := range list {
		people[i] = list[i].Person
	}
	users, err := a.usersFor(ctx, viewer, people)
	if err != nil {
		return nil, err
	}
	out := make([]Member, len(list))
	for i, m := range list {
		role := m.Member.Role
		if role == chat.NoRole {
			role = chat.Plain
		}
		out[i] = Member{users[i], role, chatjson.Stamp(m.Member.JoinedAt)}
	}
	return out, nil
}

type addMembersInput struct {
	ChatPath
	Body struct {
		Users []ID `json:"user_ids" minItems:"1" maxItems:"100"`
	}
}

// Added tells who became a member and who did not.
type Added struct {
	Added    []int64    `json:"added"`
	NotAdded []NotAdded `json:"not_added"`
}

func (a *API) addMembers(ctx context.Context, c *call, in *addMembersInput) (*body[Added], error) {
	added, refused, err := a.o.Chats.AddMembers(ctx, c.User, int64(in.Chat), numbers(in.Body.Users))
	if err != nil {
		return nil, err
	}
	if added == nil {
		added = []int64{}
	}
	return reply(Added{added, notAdded(refused)}), nil
}

// MemberPath names a member of a chat. It is exported for the library, which looks into no other embedded fields.
type MemberPath struct {
	ChatPath
	User ID `path:"userId"`
}

type roleInput struct {
	MemberPath
	Body struct {
		Role string `json:"role" enum:"admin,member"`
	}
}

func (a *API) setMemberRole(ctx context.Context, c *call, in *roleInput) (*none, error) {
	return nil, a.o.Chats.SetRole(ctx, c.User, int64(in.Chat), int64(in.User), in.Body.Role)
}

type removeMemberInput struct {
	ChatPath
	User string `path:"userId" doc:"The user's id, or me to leave"`
	Ban  bool   `query:"ban"`
}

func (a *API) removeMember(ctx context.Context, c *call, in *removeMemberInput) (*none, error) {
	if in.User == "me" {
		return nil, a.o.Chats.Leave(ctx, c.User, int64(in.Chat))
	}
	var user ID
	if err := user.UnmarshalText([]byte(in.User)); err != nil {
		return nil, &apierror.Error{Code: apierror.BadRequest, Fields: []apierror.Field{{Name: "userId", Reason: apierror.Type}}}
	}
	return nil, a.o.Chats.Remove(ctx, c.User, int64(in.Chat), int64(user), in.Ban)
}

func (a *API) bans(ctx context.Context, c *call, in *ChatPath) (*body[UserList], error) {
	list, err := a.o.Chats.Bans(ctx, c.User, int64(in.Chat))
	people := make([]chat.PersonView, len(list))
	for i := range list {
		people[i] = list[i].Person
	}
	return a.userList(ctx, c, people, "", err)
}

func (a *API) unban(ctx context.Context, c *call, in *MemberPath) (*none, error) {
	return nil, a.o.Chats.Unban(ctx, c.User, int64(in.Chat), int64(in.User))
}

type transferInput struct {
	ChatPath
	Body struct {
		User ID `json:"user_id"`
	}
}

func (a *API) transfer(ctx context.Context, c *call, in *transferInput) (*none, error) {
	return nil, a.o.Chats.Transfer(ctx, c.User, int64(in.Chat), int64(in.Body.User))
}

// Invite is an invitation to a chat. Only when it is made, id and url are what people join
// with; later the id is a name to revoke it by.
type Invite struct {
	ID        string  `json:"id"`
	URL       *string `json:"url"`
	ChatID    int64   `json:"chat_id"`
	CreatedBy int64   `json:"created_by"`
	CreatedAt string  `json:"created_at" format:"date-time"`
	ExpiresAt *string `json:"expires_at" format:"date-time"`
	MaxUses   *int    `json:"max_uses"`
	Uses      int     `json:"uses"`
}

// Invites are the invitations of a chat.
type Invites struct {
	Invites []Invite `json:"invites"`
}

func invite(in *chat.Invite) Invite {
	out := Invite{
		ID: in.ID, ChatID: in.Chat, CreatedBy: in.CreatedBy, CreatedAt: chatjson.Stamp(in.CreatedAt),
		ExpiresAt: chatjson.OptStamp(in.ExpiresAt), Uses: in.Uses,
	}
	if in.MaxUses != 0 {
		out.MaxUses = &in.MaxUses
	}
	return out
}

type inviteInput struct {
	ChatPath
	Body *struct {
		ExpiresIn     int64 `json:"expires_in,omitempty" minimum:"0" maximum:"31536000" doc:"Seconds"`
		MaxUses       int   `json:"max_uses,omitempty" minimum:"0" maximum:"100000"`
		NeedsApproval bool  `json:"needs_approval,omitempty" doc:"Not supported: true is refused"`
	} `required:"false"`
}

func (a *API) createInvite(ctx context.Context, c *call, in *inviteInput) (*answer[Invite], error) {
	var expires time.Duration
	uses := 0
	if b := in.Body; b != nil {
		if b.NeedsApproval {
			return nil, apierror.NewField("needs_approval", apierror.Invalid)
		}
		expires, uses = time.Duration(b.ExpiresIn)*time.Second, b.MaxUses
	}
	made, err := a.o.Chats.CreateInvite(ctx, c.User, int64(in.Chat), expires, uses)
	if err != nil {
		return nil, err
	}
	out := invite(&made)
	url := c.base + "/#/invite/" + made.ID
	out.URL = &url
	return &answer[Invite]{Status: http.StatusCreated, Body: out}, nil
}

func (a *API) invites(ctx context.Context, c *call, in *ChatPath) (*body[Invites], error) {
	list, err := a.o.Chats.Invites(ctx, c.User, int64(in.Chat))
	if err != nil {
		return nil, err
	}
	out := Invites{make([]Invite, len(list))}
	for i := range list {
		out.Invites[i] = invite(&list[i])
	}
	return reply(out), nil
}

type chatInvitePath struct {
	ChatPath
	Invite string `path:"inviteId"`
}

func (a *API) revokeInvite(ctx context.Context, c *call, in *chatInvitePath) (*none, error) {
	return nil, a.o.Chats.RevokeInvite(ctx, c.User, int64(in.Chat), in.Invite)
}

type invitePath struct {
	Invite string `path:"id"`
}

// InvitePreview is what an invitation shows before it is used.
type InvitePreview struct {
	Chat      InvitedChat `json:"chat"`
	ExpiresAt *string     `json:"expires_at" format:"date-time"`
}

// InvitedChat is a chat that one is invited to.
type InvitedChat struct {
	ID          int64            `json:"id"`
	Title       string           `json:"title"`
	About       *string          `json:"about"`
	Avatar      *chatjson.Avatar `json:"avatar"`
	MemberCount int              `json:"member_count"`
}

func (a *API) previewInvite(ctx context.Context, c *call, in *invitePath) (*body[InvitePreview], error) {
	i, room, err := a.o.Chats.InvitePreview(ctx, c.User, in.Invite)
	if err != nil {
		return nil, err
	}
	return reply(InvitePreview{
		InvitedChat{room.ID, room.Title, optional(room.About), a.json.Avatar(room.Avatar), room.MemberCount}, chatjson.OptStamp(i.ExpiresAt),
	}), nil
}

func (a *API) join(ctx context.Context, c *call, in *invitePath) (*body[chatjson.Chat], error) {
	v, err := a.o.Chats.Join(ctx, c.User, in.Invite)
	return a.chatReply(ctx, c, v, err)
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }
