package api

import (
	"context"
	"net/http"

	"github.com/kuranty/kuranty/internal/apierror"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/chatjson"
	"github.com/kuranty/kuranty/internal/identity"
)

// me makes the caller's own account.
func (a *API) me(ctx context.Context, acc *identity.Account) (chatjson.Me, error) {
	avatar := acc.AvatarFile
	if avatar == "" {
		avatar = acc.Picture
	}
	me := a.json.Me(&chat.Person{
		ID: acc.ID, Name: acc.Name, Username: acc.Username, About: acc.About, Avatar: avatar, Kind: acc.Kind, State: acc.State,
	}, own(acc))
	status, err := a.o.Presence.Status(ctx, acc.ID, []int64{acc.ID})
	if err != nil {
		return me, err
	}
	me.Presence, me.LastSeenAt = chatjson.Presence(status[acc.ID])
	if a.o.Files == nil {
		return me, nil
	}
	used, err := a.o.Files.Usage(ctx, acc.ID)
	if err != nil {
		return me, err
	}
	me.Storage = &chatjson.Storage{Used: used.Used, Limit: used.Limit}
	return me, nil
}

// replyMe replies with the caller's own account.
func (a *API) replyMe(ctx context.Context, acc *identity.Account, err error) (*body[chatjson.Me], error) {
	if err != nil {
		return nil, err
	}
	me, err := a.me(ctx, acc)
	if err != nil {
		return nil, err
	}
	return reply(me), nil
}

func (a *API) getMe(ctx context.Context, c *call, _ *none) (*body[chatjson.Me], error) {
	acc, err := a.o.Accounts.Account(ctx, c.User)
	return a.replyMe(ctx, &acc, err)
}

type privacyChange struct {
	LastSeen      *string `json:"last_seen,omitempty" enum:"everyone,contacts,nobody"`
	ReadReceipts  *bool   `json:"read_receipts,omitempty"`
	Email         *string `json:"email,omitempty" enum:"everyone,contacts,self"`
	WhoCanMessage *string `json:"who_can_message,omitempty" enum:"everyone,contacts"`
	WhoCanAdd     *string `json:"who_can_add,omitempty" enum:"everyone,contacts"`
}

type profileInput struct {
	Body struct {
		Name     *string        `json:"name,omitempty"`
		Username *string        `json:"username,omitempty" doc:"Empty removes it"`
		About    *string        `json:"about,omitempty"`
		Lang     *string        `json:"lang,omitempty"`
		TZ       *string        `json:"tz,omitempty"`
		Privacy  *privacyChange `json:"privacy,omitempty"`
	}
}

func (a *API) changeMe(ctx context.Context, c *call, in *profileInput) (*body[chatjson.Me], error) {
	b := &in.Body
	change := identity.ProfileChange{Name: b.Name, Username: b.Username, About: b.About, Lang: b.Lang, TZ: b.TZ}
	if p := b.Privacy; p != nil {
		change.Privacy = identity.PrivacyChange{
			LastSeen: p.LastSeen, ReadReceipts: p.ReadReceipts, Email: p.Email, WhoCanMessage: p.WhoCanMessage, WhoCanAdd: p.WhoCanAdd,
		}
	}
	acc, err := a.o.Accounts.UpdateProfile(ctx, c.Caller, change)
	return a.replyMe(ctx, &acc, err)
}

func (a *API) setAvatar(ctx context.Context, c *call, in *formInput) (*body[chatjson.Me], error) {
	if a.o.Files == nil {
		return nil, errNoFiles
	}
	if err := a.o.Chats.MayUpload(c.User); err != nil {
		return nil, err
	}
	part, _, err := in.file()
	if err != nil {
		return nil, err
	}
	stored, err := a.o.Files.Avatar(ctx, c.User, part)
	if err != nil {
		return nil, err
	}
	return a.useAvatar(ctx, c, stored.ID)
}

func (a *API) removeAvatar(ctx context.Context, c *call, _ *none) (*none, error) {
	_, err := a.useAvatar(ctx, c, "")
	return nil, err
}

func (a *API) useAvatar(ctx context.Context, c *call, file string) (*body[chatjson.Me], error) {
	acc, err := a.o.Accounts.SetAvatar(ctx, c.Caller, file)
	return a.replyMe(ctx, &acc, err)
}

// users makes people as the caller sees them.
func (a *API) users(ctx context.Context, c *call, people []chat.PersonView) ([]chatjson.User, error) {
	return a.usersFor(ctx, c.User, people)
}

func (a *API) usersFor(ctx context.Context, viewer int64, people []chat.PersonView) ([]chatjson.User, error) {
	ids := make([]int64, len(people))
	for i := range people {
		ids[i] = people[i].ID
	}
	var status map[int64]chat.Status
	if len(ids) > 0 {
		var err error
		if status, err = a.o.Presence.Status(ctx, viewer, ids); err != nil {
			return nil, err
		}
	}
	out := make([]chatjson.User, len(people))
	for i := range people {
		out[i] = a.user(&people[i], status[people[i].ID])
	}
	return out, nil
}

func (a *API) user(p *chat.PersonView, s chat.Status) chatjson.User {
	return a.json.User(&p.Person, chatjson.Relation{Contact: p.Contact, BlockedByMe: p.BlockedByMe, Status: s})
}

// UserList are people, by the cursor if there are more.
type UserList struct {
	Users      []chatjson.User `json:"users"`
	NextCursor *string         `json:"next_cursor"`
}

// UserPath names a user. It is exported for the library, which looks into no other embedded fields.
type UserPath struct {
	User ID `path:"id" doc:"The user's id"`
}

func (a *API) getUser(ctx context.Context, c *call, in *UserPath) (*body[chatjson.User], error) {
	people, err := a.o.Chats.People(ctx, c.User, []int64{int64(in.User)})
	if err != nil {
		return nil, err
	}
	if len(people) == 0 {
		return nil, apierror.New(apierror.NotFound, nil)
	}
	users, err := a.users(ctx, c, people)
	if err != nil {
		return nil, err
	}
	return reply(users[0]), nil
}

type usersInput struct {
	Body struct {
		IDs []ID `json:"ids" maxItems:"200"`
	}
}

func (a *API) getUsers(ctx context.Context, c *call, in *usersInput) (*body[UserList], error) {
	people, err := a.o.Chats.People(ctx, c.User, numbers(in.Body.IDs))
	return a.userList(ctx, c, people, "", err)
}

type searchUsersInput struct {
	Q      string `query:"q" required:"true" minLength:"1" maxLength:"400"`
	Limit  int    `query:"limit" minimum:"0" maximum:"200" doc:"50 if not given"`
	Cursor string `query:"cursor" maxLength:"400"`
}

func (a *API) searchUsers(ctx context.Context, c *call, in *searchUsersInput) (*body[UserList], error) {
	people, next, err := a.o.Chats.SearchPeople(ctx, c.User, in.Q, in.Limit, in.Cursor)
	return a.userList(ctx, c, people, next, err)
}

func (a *API) userList(ctx context.Context, c *call, people []chat.PersonView, next string, err error) (*body[UserList], error) {
	if err != nil {
		return nil, err
	}
	users, err := a.users(ctx, c, people)
	if err != nil {
		return nil, err
	}
	return reply(UserList{users, optional(next)}), nil
}

func (a *API) blocks(ctx context.Context, c *call, _ *none) (*body[UserList], error) {
	people, err := a.o.Chats.Blocks(ctx, c.User)
	return a.userList(ctx, c, people, "", err)
}

func (a *API) block(ctx context.Context, c *call, in *UserPath) (*none, error) {
	return nil, a.o.Chats.Block(ctx, c.User, int64(in.User))
}

func (a *API) unblock(ctx context.Context, c *call, in *UserPath) (*none, error) {
	return nil, a.o.Chats.Unblock(ctx, c.User, int64(in.User))
}

// Contact is a contact, or a request to become one.
type Contact struct {
	User  chatjson.User `json:"user"`
	State string        `json:"state" enum:"outgoing,incoming,accepted"`
	Since string        `json:"since" format:"date-time"`
}

// Contacts are the contacts of the caller.
type Contacts struct {
	Contacts []Contact `json:"contacts"`
}

func (a *API) contacts(ctx context.Context, c *call, _ *none) (*body[Contacts], error) {
	list, err := a.o.Chats.Contacts(ctx, c.User)
	if err != nil {
		return nil, err
	}
	people := make([]chat.PersonView, len(list))
	for i := range list {
		people[i] = list[i].Person
	}
	users, err := a.users(ctx, c, people)
	if err != nil {
		return nil, err
	}
	out := Contacts{make([]Contact, len(list))}
	for i := range list {
		out.Contacts[i] = Contact{users[i], list[i].State, chatjson.Stamp(list[i].Since)}
	}
	return reply(out), nil
}

type contactInput struct {
	Body struct {
		User ID `json:"user_id"`
	}
}

func (a *API) requestContact(ctx context.Context, c *call, in *contactInput) (*none, error) {
	return nil, a.o.Chats.RequestContact(ctx, c.User, int64(in.Body.User))
}

func (a *API) acceptContact(ctx context.Context, c *call, in *UserPath) (*none, error) {
	return nil, a.o.Chats.AcceptContact(ctx, c.User, int64(in.User))
}

func (a *API) declineContact(ctx context.Context, c *call, in *UserPath) (*none, error) {
	return nil, a.o.Chats.DeclineContact(ctx, c.User, int64(in.User))
}

func (a *API) removeContact(ctx context.Context, c *call, in *UserPath) (*none, error) {
	return nil, a.o.Chats.RemoveContact(ctx, c.User, int64(in.User))
}

var errNoFiles = apierror.New(apierror.Disabled, http.ErrNotSupported)
