package chat

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/kuranty/kuranty/event"
)

const (
	// maxSlowMode is in seconds (chat-api.md §C.7).
	maxSlowMode      = 3600
	maxRetentionDays = 36_500
)

// roomTx is what changing chats needs.
type roomTx interface {
	// AddGroup adds a group without members and returns its id.
	AddGroup(ctx context.Context, c *Chat, now int64) (id int64, err error)
	// Lock holds a chat for this transaction and returns it with the place of user, who
	// must be an active member.
	Lock(ctx context.Context, chat, user int64) (Chat, Member, error)
	// NextEvent takes the next number of the changes of a chat.
	NextEvent(ctx context.Context, chat int64) (int64, error)
	// SaveChat stores the facts that members change: title, about, avatar, owner,
	// settings, retention.
	SaveChat(ctx context.Context, c *Chat, now int64) error
	// CloseChat ends a chat for all: it is not there any more for anybody.
	CloseChat(ctx context.Context, chat, now int64) error
	// OwnAvatar tells whether a file is an avatar that user uploaded.
	OwnAvatar(ctx context.Context, user int64, file string) (bool, error)
}

// RoomFacts is what events tell of a chat.
type RoomFacts struct {
	ID          int64    `json:"id"`
	Kind        string   `json:"kind"`
	Title       string   `json:"title,omitempty"`
	About       string   `json:"about,omitempty"`
	Avatar      string   `json:"avatar,omitempty"`
	Owner       int64    `json:"owner_id,omitempty"`
	Settings    Settings `json:"settings"`
	MemberCount int      `json:"member_count"`
	CreatedBy   int64    `json:"created_by"`
	CreatedAt   int64    `json:"created_at"`
}

// RoomPayload is the payload of events about a chat.
type RoomPayload struct {
	Chat RoomFacts `json:"chat"`
	By   int64     `json:"by"`
	// Changes has the new values of what an update changed, by the names of contract C.
	Changes map[string]any `json:"changes,omitempty"`
	// Users are the first members of a new chat, but not the one who made it.
	Users       []Person `json:"users,omitempty"`
	MemberCount int      `json:"member_count"`
}

// MemberPayload is the payload of events about members.
type MemberPayload struct {
	Chat  int64    `json:"chat_id"`
	Users []Person `json:"users"`
	By    int64    `json:"by"`
	// Via is how members joined: [ViaAdded] or [ViaInvite].
	Via string `json:"via,omitempty"`
	// Role is the role of members who joined, or that one has now.
	Role string `json:"role,omitempty"`
	// Reason is why a member left: [ReasonLeft], [ReasonRemoved] or [ReasonBanned].
	Reason      string `json:"reason,omitempty"`
	MemberCount int    `json:"member_count"`
}

// How members come and go.
const (
	ViaAdded      = "added"
	ViaInvite     = "invite"
	ReasonLeft    = "left"
	ReasonRemoved = "removed"
	ReasonBanned  = "banned"
	ReasonDeleted = "deleted"
)

// ChatAdded is the data of the notice "chat_added".
type ChatAdded struct {
	Chat int64 `json:"chat_id"`
}

// ChatRemoved is the data of the notice "chat_removed".
type ChatRemoved struct {
	Chat   int64  `json:"chat_id"`
	Reason string `json:"reason"`
}

// announceRoom takes the chat's next number for an event about the chat.
func (s *Service) announceRoom(ctx context.Context, tx Tx, typ string, c *Chat, by int64, changes map[string]any, users []Person) (err error) {
	if c.LastEventSeq, err = tx.NextEvent(ctx, c.ID); err != nil {
		return err
	}
	return s.announce(ctx, tx, typ, c.ID, c.LastEventSeq, 0, by, RoomPayload{
		Chat: RoomFacts{c.ID, c.Kind, c.Title, c.About, c.Avatar, c.Owner, c.Settings, c.MemberCount, c.CreatedBy, c.CreatedAt},
		By:   by, Changes: changes, Users: users, MemberCount: c.MemberCount,
	})
}

// announceMember takes the chat's next number for an event about members.
func (s *Service) announceMember(ctx context.Context, tx Tx, typ string, c *Chat, p MemberPayload) (err error) {
	if c.LastEventSeq, err = tx.NextEvent(ctx, c.ID); err != nil {
		return err
	}
	p.Chat, p.MemberCount = c.ID, c.MemberCount
	return s.announce(ctx, tx, typ, c.ID, c.LastEventSeq, 0, p.By, p)
}

// record stores a system message that tells of a change (chat-api.md §C.7). Clients word
// it themselves by [System]; the text, in the language of who did it, is for those that
// do not.
func (s *Service) record(ctx context.Context, tx Tx, chat int64, sys System, lang string, names ...string) error {
	c, err := tx.PostSystem(ctx, chat, s.now())
	if err != nil {
		return err
	}
	m := Message{
		Chat: chat, Seq: c.LastSeq, Type: SystemMessage, Text: wording(sys, lang, names), System: &sys,
		CreatedAt: c.LastMessageAt, Version: 1, EventSeq: c.LastEventSeq,
	}
	if m.ID, _, err = tx.AddMessage(ctx, &m, ""); err != nil {
		return err
	}
	return s.announce(ctx, tx, event.MessageCreated, chat, m.EventSeq, m.ID, sys.Actor, MessagePayload{Message: m})
}

// What system messages tell.
const (
	sysCreated = "chat_created"
	sysTitle   = "title_changed"
	sysAvatar  = "avatar_changed"
	sysAdded   = "member_added"
	sysJoined  = "member_joined"
	sysLeft    = "member_left"
	sysRemoved = "member_removed"
	sysRole    = "role_changed"
	sysOwner   = "owner_changed"
)

// wordings are sentences in English and Russian; %a is who did it, %u whom it concerns,
// %v the value.
var wordings = map[string][2]string{
	sysCreated: {"%a created the group “%v”", "%a: создана группа «%v»"},
	sysTitle:   {"%a changed the title to “%v”", "%a: новое название — «%v»"},
	sysAvatar:  {"%a changed the picture", "%a: новая картинка группы"},
	sysAdded:   {"%a added %u", "%a: в группу добавлены %u"},
	sysJoined:  {"%a joined by invitation", "%a: вход по приглашению"},
	sysLeft:    {"%a left", "%a: выход из группы"},
	sysRemoved: {"%a removed %u", "%a: из группы удалены %u"},
	sysRole:    {"%a changed the role of %u to %v", "%a: новая роль %u — %v"},
	sysOwner:   {"%a made %u the owner", "%a: новый владелец — %u"},
}

// namedUsers bounds the names in a system message.
const namedUsers = 5

// wording makes the text of a system message; the first name is the actor's.
func wording(sys System, lang string, names []string) string {
	sentence := wordings[sys.Event][0]
	if strings.HasPrefix(strings.ToLower(lang), "ru") {
		sentence = wordings[sys.Event][1]
	}
	users := names[1:]
	if len(users) > namedUsers {
		users = append(users[:namedUsers:namedUsers], "…")
	}
	return strings.NewReplacer("%a", names[0], "%u", strings.Join(users, ", "), "%v", sys.Value).Replace(sentence)
}

func names(actor *Person, users []Person) []string {
	out := []string{actor.Name}
	for i := range users {
		out = append(out, users[i].Name)
	}
	return out
}

func ids(people []Person) []int64 {
	out := make([]int64, len(people))
	for i := range people {
		out[i] = people[i].ID
	}
	return out
}

func (s *Service) checkTitle(title string) (string, error) {
	title = strings.Join(strings.Fields(Normalize(title)), " ")
	if title == "" {
		return "", &FieldError{"title", "must not be empty"}
	}
	return title, checkLength("title", title, s.o.Sizes.Title)
}

func (s *Service) checkAbout(about string) (string, error) {
	about = strings.TrimSpace(Normalize(about))
	return about, checkLength("about", about, s.o.Sizes.About)
}

func checkLength(field, text string, most int) error {
	if n := utf8.RuneCountInString(text); n > most {
		return &LimitError{Field: field, Got: n, Limit: most, Unit: "characters"}
	}
	return nil
}

func (s *Settings) check() error {
	for _, f := range []struct{ name, value, one, other string }{
		{"settings.who_can_post", s.WhoCanPost, Everyone, Admins},
		{"settings.who_can_add", s.WhoCanAdd, Everyone, Admins},
		{"settings.who_can_edit", s.WhoCanEdit, Everyone, Admins},
		{"settings.history_for_new", s.HistoryForNew, historyAll, historyJoined},
	} {
		if f.value != "" && f.value != f.one && f.value != f.other {
			return &FieldError{f.name, "must be " + f.one + " or " + f.other}
		}
	}
	if s.SlowMode < 0 || s.SlowMode > maxSlowMode {
		return &FieldError{"settings.slow_mode_s", "must be 0 to 3600"}
	}
	return nil
}

// Values of Settings.HistoryForNew.
const (
	historyAll    = "all"
	historyJoined = "joined"
)
