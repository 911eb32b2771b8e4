package windi

import (
	"context"
	"net/http"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/chatjson"
)

// shownMembers is how many members of a chat are listed.
const shownMembers = 100

type chatReply struct {
	ID          int64                 `json:"id"`
	Name        string                `json:"name"`
	Type        string                `json:"type"`
	Avatar      *string               `json:"avatar"`
	CreatedAt   string                `json:"created_at"`
	UpdatedAt   string                `json:"updated_at"`
	MemberCount int                   `json:"member_count"`
	Users       []person              `json:"users"`
	LastMessage *chatjson.FullMessage `json:"last_message"`
	UnreadCount int                   `json:"unread_count"`
}

// person is somebody as the caller sees them; an e-mail address that is not shown is null.
type person struct {
	ID       int64   `json:"id"`
	Name     string  `json:"name"`
	Email    *string `json:"email"`
	Username *string `json:"username"`
	Avatar   *string `json:"avatar"`
}

func (c *Contract) person(p *chat.PersonView) person {
	out := person{ID: p.ID, Name: p.Name, Username: orNil(p.Username), Avatar: c.avatar(p.Avatar)}
	if p.EmailShown {
		out.Email = orNil(p.Email)
	}
	return out
}

func (c *Contract) people(list []chat.PersonView) []person {
	out := make([]person, len(list))
	for i := range list {
		out[i] = c.person(&list[i])
	}
	return out
}

func (c *Contract) avatar(ref string) *string {
	if a := c.o.Build.Avatar(ref); a != nil {
		return &a.URL
	}
	return nil
}

func orNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// chats lists the caller's chats, the latest active first.
func (c *Contract) chats(r *request) (reply, error) {
	user, err := r.user()
	if err != nil {
		return reply{}, err
	}
	q := queryOf(r.Request)
	in := chat.ChatsQuery{Limit: q.between("limit", 1, maxPage, defaultPage), Offset: q.between("offset", 0, maxID, 0)}
	if q.err != nil {
		return reply{}, q.err
	}
	list, err := c.o.Chats.Chats(r.Context(), user, in)
	if err != nil {
		return reply{}, err
	}
	out, err := c.chatReplies(r.Context(), user, list.Views)
	return reply{body: out}, err
}

func (c *Contract) chat(r *request) (reply, error) {
	user, err := r.user()
	if err != nil {
		return reply{}, err
	}
	id, err := r.path("chat")
	if err != nil {
		return reply{}, err
	}
	v, err := c.o.Chats.Chat(r.Context(), user, id)
	if err != nil {
		return reply{}, err
	}
	out, err := c.chatReplies(r.Context(), user, []chat.View{v})
	if err != nil {
		return reply{}, err
	}
	return reply{body: out[0]}, nil
}

// createChat makes a group, or finds or makes a direct chat.
func (c *Contract) createChat(r *request) (reply, error) {
	user, err := r.user()
	if err != nil {
		return reply{}, err
	}
	var in struct {
		Type    string  `json:"type"`
		Name    string  `json:"name"`
		UserIDs numbers `json:"user_ids"`
	}
	if err := r.decode(&in); err != nil {
		return reply{}, err
	}
	var v chat.View
	switch {
	case in.Type == chat.Direct && len(in.UserIDs) != 1:
		return reply{}, &refusal{http.StatusBadRequest, "a direct chat needs exactly one id in user_ids", "личному чату нужен ровно один номер в user_ids"}
	case in.Type == chat.Direct:
		v, _, err = c.o.Chats.OpenDirect(r.Context(), user, int64(in.UserIDs[0]))
	case in.Type != chat.Group:
		return reply{}, &invalid{loc: []any{"body", "type"}, msg: "must be direct or group"}
	case chat.Normalize(in.Name) == "":
		return reply{}, &refusal{http.StatusBadRequest, "a group needs a name", "группе нужно название (name)"}
	default:
		v, _, err = c.o.Chats.CreateGroup(r.Context(), user, chat.NewGroup{Title: in.Name, Users: in.UserIDs.ids()})
	}
	if err != nil {
		return reply{}, err
	}
	out, err := c.chatReplies(r.Context(), user, []chat.View{v})
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusCreated, body: out[0]}, nil
}

func (c *Contract) chatReplies(ctx context.Context, user int64, views []chat.View) ([]chatReply, error) {
	out := make([]chatReply, len(views))
	var groups []int64
	for i := range views {
		if views[i].Chat.Kind == chat.Group {
			groups = append(groups, views[i].Chat.ID)
		}
	}
	members, err := c.o.Chats.Rosters(ctx, user, groups, shownMembers)
	if err != nil {
		return nil, err
	}
	self, err := c.o.Chats.People(ctx, user, []int64{user})
	if err != nil {
		return nil, err
	}
	for i := range views {
		v := &views[i]
		out[i] = c.chatReply(v)
		switch {
		case v.Chat.Kind == chat.Group:
			out[i].Users = c.people(members[v.Chat.ID])
		case v.Companion != nil:
			out[i].Users = append(c.people(self), c.person(v.Companion))
		default:
			out[i].Users = c.people(self)
		}
	}
	return out, nil
}

func (c *Contract) chatReply(v *chat.View) chatReply {
	out := chatReply{
		ID: v.Chat.ID, Name: v.Chat.Title, Type: v.Chat.Kind, Avatar: c.avatar(v.Chat.Avatar),
		CreatedAt: chatjson.Stamp(v.Chat.CreatedAt), UpdatedAt: chatjson.Stamp(max(v.Chat.UpdatedAt, v.Chat.LastActivityAt)),
		MemberCount: v.Chat.MemberCount, UnreadCount: v.Unread,
	}
	if p := v.Companion; p != nil {
		out.Name, out.Avatar = p.Name, c.avatar(p.Avatar)
	}
	if v.LastMessage != nil {
		m := c.o.Build.FullMessage(v.LastMessage, chatjson.Viewer{User: v.Member.User, Read: v.Read})
		out.LastMessage = &m
	}
	return out
}
