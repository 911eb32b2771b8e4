package chequite

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/kuranty/kuranty/internal/chat"
)

// userA is a person (UserA of chat-api.md §A.0). The user of a system message has only
// zero values.
type userA struct {
	ID            int64   `json:"id"`
	Email         *string `json:"email"`
	Avatar        *string `json:"avatar"`
	IsOnline      bool    `json:"is_online"`
	Name          string  `json:"name"`
	LastSeenAt    *string `json:"last_seen_at"`
	LastSeenAtISO *string `json:"last_seen_at_iso"`
}

// companionA is the other side of a chat: a person, or a group, whose id is 0.
type companionA struct {
	userA
	MembersCount int `json:"members_count,omitempty"`
}

// messageA is a message (MessageA).
type messageA struct {
	ID          int64   `json:"id"`
	ChatID      int64   `json:"chatId"`
	Text        string  `json:"text"`
	User        userA   `json:"user"`
	WasRead     bool    `json:"was_read"`
	Timestamp   string  `json:"timestamp"`
	CreatedAt   string  `json:"created_at"`
	Seq         int64   `json:"seq"`
	ClientID    *string `json:"client_id"`
	Edited      bool    `json:"edited"`
	Attachments []fileA `json:"attachments"`
}

// fileA is a file of a message (FileC of chat-api.md §C.8). Times are in milliseconds
// since 1970 where they are numbers; what is not known is null.
type fileA struct {
	ID           *string `json:"id"`
	Kind         string  `json:"kind"`
	Name         string  `json:"name"`
	MIME         string  `json:"mime"`
	Size         int64   `json:"size"`
	SHA256       *string `json:"sha256"`
	Width        *int    `json:"width"`
	Height       *int    `json:"height"`
	DurationMS   *int64  `json:"duration_ms"`
	Blurhash     *string `json:"blurhash"`
	URL          string  `json:"url"`
	ThumbURL     *string `json:"thumb_url"`
	URLExpiresAt *string `json:"url_expires_at"`
}

// chatA is a chat in a list (ChatA). CompanionID is null for groups.
type chatA struct {
	ID            int64        `json:"id"`
	CompanionName string       `json:"companion_name"`
	Avatar        *string      `json:"avatar"`
	LastMessage   *lastMessage `json:"last_message"`
	CompanionID   *int64       `json:"companion_id"`
	Type          string       `json:"type"`
	UnreadCount   int          `json:"unread_count"`
	IsOnline      bool         `json:"is_online"`
}

type lastMessage struct {
	Text       string `json:"text"`
	Timestamp  string `json:"timestamp"`
	SenderID   int64  `json:"sender_id"`
	SenderName string `json:"sender_name"`
	WasRead    bool   `json:"was_read"`
	ID         int64  `json:"id"`
	CreatedAt  string `json:"created_at"`
}

// encode is json.Marshal without escapes for HTML, which JSON does not need.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// encodeString is the JSON string that contains v as JSON: the data of all channels of
// the contract (chat-api.md §A.10).
func encodeString(v any) ([]byte, error) {
	inner, err := encode(v)
	if err != nil {
		return nil, err
	}
	return encode(string(inner))
}

// opt is nil for a zero value: what is not there is null.
func opt[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func (c *Contract) avatar(ref string) *string {
	url, _ := c.o.Links.Avatar(ref)
	return opt(url)
}

// user makes what a viewer sees of a person.
func (c *Contract) user(p *chat.PersonView, s chat.Status, zone *time.Location) userA {
	u := userA{ID: p.ID, Name: p.Name, Avatar: c.avatar(p.Avatar), IsOnline: s.Online && !s.Hidden}
	if p.EmailShown {
		u.Email = opt(p.Email)
	}
	if !s.Hidden && !s.Online && s.LastSeen != 0 {
		u.LastSeenAt = opt(display(s.LastSeen, dateForm, zone))
		u.LastSeenAtISO = opt(iso(s.LastSeen))
	}
	return u
}

// users makes what viewer sees of people who have been looked up.
func (c *Contract) users(ctx context.Context, viewer int64, people []chat.PersonView, zone *time.Location) ([]userA, error) {
	ids := make([]int64, len(people))
	for i := range people {
		ids[i] = people[i].ID
	}
	status, err := c.statuses(ctx, viewer, ids)
	if err != nil {
		return nil, err
	}
	list := make([]userA, len(people))
	for i := range people {
		list[i] = c.user(&people[i], status[people[i].ID], zone)
	}
	return list, nil
}

func (c *Contract) statuses(ctx context.Context, viewer int64, ids []int64) (map[int64]chat.Status, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	return c.o.Presence.Status(ctx, viewer, ids)
}

// usersByID is users of people that are yet to be looked up, by their id.
func (c *Contract) usersByID(ctx context.Context, viewer int64, ids []int64, zone *time.Location) (map[int64]userA, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	people, err := c.o.Chats.People(ctx, viewer, ids)
	if err != nil {
		return nil, err
	}
	list, err := c.users(ctx, viewer, people, zone)
	if err != nil {
		return nil, err
	}
	byID := make(map[int64]userA, len(list))
	for _, u := range list {
		byID[u.ID] = u
	}
	return byID, nil
}

// message makes a message. sender is what was found of who sent it; if nothing was, the
// message itself knows the name.
func (c *Contract) message(m *chat.Message, sender userA, read bool, zone *time.Location) messageA {
	sender.ID = m.Sender.ID
	if sender.Name == "" {
		sender.Name, sender.Avatar = m.Sender.Name, c.avatar(m.Sender.Avatar)
	}
	a := messageA{
		ID: m.ID, ChatID: m.Chat, Text: text(m), User: sender, WasRead: read,
		Timestamp: display(m.CreatedAt, clockForm, zone), CreatedAt: iso(m.CreatedAt),
		Seq: m.Seq, ClientID: opt(m.ClientID), Edited: m.EditedAt != 0, Attachments: []fileA{},
	}
	if !m.Deleted() {
		for i := range m.Files {
			a.Attachments = append(a.Attachments, c.file(&m.Files[i]))
		}
	}
	return a
}

// text is what a client shows that knows nothing but text: that, or the names of the
// files. Of a deleted message it is empty.
func text(m *chat.Message) string {
	if m.Deleted() || m.Text != "" || len(m.Files) == 0 {
		return m.Text
	}
	names := make([]string, len(m.Files))
	for i := range m.Files {
		names[i] = m.Files[i].Name
	}
	return strings.Join(names, ", ")
}

func (c *Contract) file(f *chat.Attachment) fileA {
	a := fileA{
		ID: opt(f.ID), Kind: f.Kind, Name: f.Name, MIME: f.MIME, Size: f.Size, SHA256: opt(f.SHA256),
		Width: opt(f.Width), Height: opt(f.Height), DurationMS: opt(f.Duration), Blurhash: opt(f.Blurhash), URL: f.URL,
	}
	if f.ID == "" {
		return a // it is elsewhere
	}
	url, expires := c.o.Links.File(f.ID, "original")
	a.URL = url
	if !expires.IsZero() {
		a.URLExpiresAt = opt(iso(expires.UnixMilli()))
	}
	if f.Thumb {
		thumb, _ := c.o.Links.File(f.ID, "thumb")
		a.ThumbURL = opt(thumb)
	}
	return a
}

// chat makes a chat of a list; companion is the status of the other person of a direct
// chat.
func (c *Contract) chat(v *chat.View, companion chat.Status, zone *time.Location) chatA {
	a := chatA{ID: v.Chat.ID, CompanionName: v.Chat.Title, Type: v.Chat.Kind, UnreadCount: v.Unread}
	avatar := v.Chat.Avatar
	if p := v.Companion; p != nil {
		a.CompanionName, a.CompanionID, avatar = p.Name, opt(p.ID), p.Avatar
		a.IsOnline = companion.Online && !companion.Hidden
	}
	a.Avatar = c.avatar(avatar)
	if m := v.LastMessage; m != nil {
		a.LastMessage = &lastMessage{
			Text: text(m), Timestamp: display(m.CreatedAt, clockForm, zone), SenderID: m.Sender.ID, SenderName: m.Sender.Name,
			WasRead: v.Read.IsRead(m, v.Member.User), ID: m.ID, CreatedAt: iso(m.CreatedAt),
		}
	}
	return a
}
