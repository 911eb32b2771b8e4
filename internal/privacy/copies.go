package privacy

import (
	"encoding/json"
	"time"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/files"
	"github.com/kuranty/kuranty/internal/identity"
)

// What an export has of everything, as JSON. Times are RFC 3339 in UTC, absent for never.

type profileCopy struct {
	ID            int64            `json:"id"`
	ExternalID    string           `json:"external_id,omitempty"`
	Username      string           `json:"username,omitempty"`
	Email         string           `json:"email,omitempty"`
	EmailVerified string           `json:"email_verified_at,omitempty"`
	Name          string           `json:"name"`
	About         string           `json:"about,omitempty"`
	Avatar        string           `json:"avatar_file_id,omitempty"`
	Picture       string           `json:"picture,omitempty"`
	Role          string           `json:"role"`
	Kind          string           `json:"kind"`
	Lang          string           `json:"lang,omitempty"`
	TZ            string           `json:"tz,omitempty"`
	Privacy       identity.Privacy `json:"privacy"`
	LastSeen      string           `json:"last_seen_at,omitempty"`
	CreatedAt     string           `json:"created_at"`
	UpdatedAt     string           `json:"updated_at"`

	Sessions []sessionCopy `json:"sessions,omitempty"`
	Contacts []contactCopy `json:"contacts,omitempty"`
	Blocked  []personCopy  `json:"blocked,omitempty"`
}

// profile is the copy without what has files of its own.
func (p *profileCopy) profile() profileCopy {
	q := *p
	q.Sessions, q.Contacts, q.Blocked = nil, nil, nil
	return q
}

type sessionCopy struct {
	ID        string `json:"id"`
	Device    string `json:"device,omitempty"`
	Platform  string `json:"platform,omitempty"`
	IP        string `json:"ip,omitempty"`
	UserAgent string `json:"user_agent,omitempty"`
	CreatedAt string `json:"created_at"`
	LastUsed  string `json:"last_used_at"`
	ExpiresAt string `json:"expires_at"`
	RevokedAt string `json:"revoked_at,omitempty"`
}

type personCopy struct {
	ID       int64  `json:"id"`
	Name     string `json:"name"`
	Username string `json:"username,omitempty"`
}

type contactCopy struct {
	personCopy
	State string `json:"state"`
	Since string `json:"since,omitempty"`
}

type chatCopy struct {
	ID            int64           `json:"id"`
	Kind          string          `json:"kind"`
	Title         string          `json:"title,omitempty"`
	About         string          `json:"about,omitempty"`
	Companion     *personCopy     `json:"companion,omitempty"`
	Members       int             `json:"member_count"`
	Role          string          `json:"role"`
	JoinedAt      string          `json:"joined_at"`
	MutedUntil    string          `json:"muted_until,omitempty"`
	PinOrder      int             `json:"pin_order,omitempty"`
	Archived      bool            `json:"archived,omitempty"`
	Draft         json.RawMessage `json:"draft,omitempty"`
	ReadSeq       int64           `json:"read_seq"`
	CreatedAt     string          `json:"created_at"`
	RetentionDays int             `json:"retention_days,omitempty"`
	Messages      int             `json:"messages"`
	Folder        string          `json:"folder"`
}

// Name is what people call the chat.
func (c chatCopy) Name() string {
	switch {
	case c.Title != "":
		return c.Title
	case c.Companion != nil:
		return c.Companion.Name
	}
	return "Saved messages"
}

type messageCopy struct {
	ID        int64             `json:"id"`
	Seq       int64             `json:"seq"`
	Type      string            `json:"type"`
	Sender    *personCopy       `json:"sender,omitempty"`
	Text      string            `json:"text"`
	Entities  []chat.Entity     `json:"entities,omitempty"`
	ReplyTo   *quoteCopy        `json:"reply_to,omitempty"`
	Forward   *forwardCopy      `json:"forward,omitempty"`
	System    *chat.System      `json:"system,omitempty"`
	Metadata  json.RawMessage   `json:"metadata,omitempty"`
	Files     []chat.Attachment `json:"files,omitempty"`
	Reactions []chat.Reaction   `json:"reactions,omitempty"`
	ClientID  string            `json:"client_id,omitempty"`
	CreatedAt string            `json:"created_at"`
	EditedAt  string            `json:"edited_at,omitempty"`
	PinnedAt  string            `json:"pinned_at,omitempty"`
}

type quoteCopy struct {
	ID     int64  `json:"id"`
	Sender string `json:"sender_name"`
	Text   string `json:"text"`
}

type forwardCopy struct {
	Sender    string `json:"sender_name"`
	CreatedAt string `json:"created_at"`
}

type fileCopy struct {
	ID        string `json:"id"`
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	MIME      string `json:"mime"`
	Size      int64  `json:"size"`
	SHA256    string `json:"sha256"`
	Own       bool   `json:"own"`
	CreatedAt string `json:"created_at"`
	// Path is its place in the export. LeftOut says that it is not there, because files of
	// others take too much room.
	Path    string `json:"path,omitempty"`
	LeftOut bool   `json:"left_out,omitempty"`
}

// stamp writes a time in milliseconds; 0 is empty.
func stamp(ms int64) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z07:00")
}

func copyProfile(a *identity.Account) *profileCopy {
	return &profileCopy{
		ID: a.ID, ExternalID: a.ExternalID, Username: a.Username, Email: a.Email, EmailVerified: stamp(a.EmailVerifiedAt),
		Name: a.Name, About: a.About, Avatar: a.AvatarFile, Picture: a.Picture, Role: a.Role, Kind: a.Kind, Lang: a.Lang, TZ: a.TZ,
		Privacy: a.Privacy, LastSeen: stamp(a.LastSeenAt), CreatedAt: stamp(a.CreatedAt), UpdatedAt: stamp(a.UpdatedAt),
	}
}

func copySessions(list []identity.Session) []sessionCopy {
	out := make([]sessionCopy, len(list))
	for i := range list {
		s := &list[i]
		out[i] = sessionCopy{
			s.ID, s.Device, s.Platform, s.Address, s.UserAgent,
			stamp(s.CreatedAt), stamp(s.LastUsedAt), stamp(s.ExpiresAt), stamp(s.RevokedAt),
		}
	}
	return out
}

func copyPerson(p *chat.Person) personCopy { return personCopy{p.ID, p.Name, p.Username} }

func copyPeople(list []chat.PersonView) []personCopy {
	out := make([]personCopy, len(list))
	for i := range list {
		out[i] = copyPerson(&list[i].Person)
	}
	return out
}

func copyContacts(list []chat.Contact) []contactCopy {
	out := make([]contactCopy, len(list))
	for i := range list {
		out[i] = contactCopy{copyPerson(&list[i].Person.Person), list[i].State, stamp(list[i].Since)}
	}
	return out
}

func copyChat(v *chat.View) chatCopy {
	c := chatCopy{
		ID: v.Chat.ID, Kind: v.Chat.Kind, Title: v.Chat.Title, About: v.Chat.About, Members: v.Chat.MemberCount, Role: v.Member.Role,
		JoinedAt: stamp(v.Member.JoinedAt), MutedUntil: stamp(v.Member.MutedUntil), PinOrder: v.Member.PinOrder,
		Archived: v.Member.Archived, Draft: v.Member.Draft, ReadSeq: v.Member.ReadSeq, CreatedAt: stamp(v.Chat.CreatedAt),
		RetentionDays: v.Chat.RetentionDays,
	}
	if v.Companion != nil {
		p := copyPerson(&v.Companion.Person)
		c.Companion = &p
	}
	return c
}

func copyMessage(m *chat.Message) messageCopy {
	c := messageCopy{
		ID: m.ID, Seq: m.Seq, Type: m.Type, Text: m.Text, Entities: m.Entities, System: m.System, Metadata: m.Metadata,
		Files: m.Files, Reactions: m.Reactions, ClientID: m.ClientID,
		CreatedAt: stamp(m.CreatedAt), EditedAt: stamp(m.EditedAt), PinnedAt: stamp(m.PinnedAt),
	}
	if m.Sender.ID != 0 {
		p := copyPerson(&m.Sender)
		c.Sender = &p
	}
	if q := m.ReplyTo; q != nil {
		c.ReplyTo = &quoteCopy{q.ID, q.Name, q.Text}
	}
	if f := m.Forward; f != nil {
		c.Forward = &forwardCopy{f.Name, stamp(f.CreatedAt)}
	}
	return c
}

func copyFile(f *files.File) fileCopy {
	return fileCopy{
		ID: f.ID, Kind: f.Kind, Name: f.Name, MIME: f.MIME, Size: f.Size, SHA256: f.SHA256, CreatedAt: stamp(f.CreatedAt),
	}
}
