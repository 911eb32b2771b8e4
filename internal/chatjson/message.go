package chatjson

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/kuranty/kuranty/internal/chat"
)

// Message is a message of contract C (chat-api.md §C.4).
type Message struct {
	// Type is "message", or "system" for stored system messages.
	Type     string `json:"type" enum:"message,system"`
	ID       int64  `json:"id"`
	ChatID   int64  `json:"chat_id"`
	Seq      int64  `json:"seq"`
	EventSeq int64  `json:"event_seq" doc:"The change of the chat that touched it last"`
	Version  int    `json:"version" doc:"1, growing with each edit"`
	Text     string `json:"text"`
	// MessageType is "text" or "system"; SenderID is null for system messages.
	MessageType  string  `json:"message_type" enum:"text,system"`
	SenderID     *int64  `json:"sender_id" doc:"null for system messages"`
	SenderName   string  `json:"sender_name"`
	SenderAvatar *string `json:"sender_avatar"`
	CreatedAt    string  `json:"created_at" format:"date-time"`
	UpdatedAt    string  `json:"updated_at" format:"date-time"`

	Attachments []Attachment    `json:"attachments"`
	ClientID    *string         `json:"client_id"`
	IsEdited    bool            `json:"is_edited"`
	Status      string          `json:"status" enum:"sent,delivered,read"`
	ReplyToID   *int64          `json:"reply_to_id"`
	ReplyTo     *Quote          `json:"reply_to"`
	Metadata    json.RawMessage `json:"metadata"`
	Entities    []Entity        `json:"entities"`
	Forward     *Forward        `json:"forward"`
	Reactions   []Reaction      `json:"reactions"`
	Mentions    []int64         `json:"mentions"`
	MentionAll  bool            `json:"mention_all"`
	Silent      bool            `json:"silent"`
	Pinned      bool            `json:"pinned"`
	Deleted     bool            `json:"deleted"`
	ReadCount   int             `json:"read_count" doc:"How many others have read it, as far as the chat's receipts tell"`
	// System says what a system message tells.
	System *System `json:"system"`
	// LinkPreview is always null: links are not fetched.
	LinkPreview *string `json:"link_preview"`
}

// Aliases are the names that contract B has beside those of C for the same things.
type Aliases struct {
	Content         string  `json:"content" doc:"The same as text"`
	Timestamp       int64   `json:"timestamp" doc:"Seconds since 1970"`
	ClientMessageID *string `json:"client_message_id"`
	IsRead          bool    `json:"is_read"`
}

// FullMessage is what contract B answers and what is published: [Message] with the
// aliases and, of a system message, what B expects beside "content".
type FullMessage struct {
	Message
	Aliases
	Event   string  `json:"event,omitempty"`
	ActorID int64   `json:"actor_id,omitempty"`
	UserIDs []int64 `json:"user_ids,omitempty"`
}

// Quote is the message that one answers.
type Quote struct {
	ID         int64  `json:"id"`
	Seq        int64  `json:"seq"`
	SenderID   *int64 `json:"sender_id"`
	SenderName string `json:"sender_name"`
	Text       string `json:"text" doc:"The first 120 characters"`
	Deleted    bool   `json:"deleted"`
	HasFiles   bool   `json:"has_files"`
}

// Forward is where a forwarded message came from.
type Forward struct {
	SenderName string  `json:"sender_name"`
	ChatTitle  *string `json:"chat_title"`
	CreatedAt  string  `json:"created_at" format:"date-time"`
}

// System is what a system message tells (chat-api.md §C.7).
type System struct {
	Event   string  `json:"event"`
	ActorID *int64  `json:"actor_id"`
	UserIDs []int64 `json:"user_ids"`
	Value   *string `json:"value"`
}

// Entity is a marked part of a text; Offset and Length count UTF-16 code units.
type Entity struct {
	Type   string `json:"type"`
	Offset int    `json:"offset"`
	Length int    `json:"length"`
	UserID *int64 `json:"user_id"`
}

// Reaction is one emoji of a message. Me is only in answers to one viewer.
type Reaction struct {
	Emoji   string  `json:"emoji"`
	Count   int     `json:"count"`
	Me      *bool   `json:"me,omitempty"`
	UserIDs []int64 `json:"user_ids"`
}

// Attachment is a file of a message (chat-api.md §B.3).
type Attachment struct {
	ID           *string            `json:"id" doc:"null for files elsewhere"`
	FileID       *string            `json:"file_id"`
	Type         string             `json:"type" enum:"image,video,audio,voice,document,location,contact,other"`
	Filename     string             `json:"filename"`
	Size         int64              `json:"size"`
	MIMEType     string             `json:"mime_type"`
	URL          string             `json:"url"`
	ThumbnailURL *string            `json:"thumbnail_url"`
	URLExpiresAt *string            `json:"url_expires_at" format:"date-time"`
	Caption      *string            `json:"caption"`
	Blurhash     *string            `json:"blurhash"`
	Metadata     AttachmentMetadata `json:"metadata"`
}

// AttachmentMetadata is in pixels and milliseconds; what is unknown is null.
type AttachmentMetadata struct {
	Width    *int   `json:"width"`
	Height   *int   `json:"height"`
	Duration *int64 `json:"duration"`
}

// Viewer is for whom a message is shown and how far the chat is read.
type Viewer struct {
	User int64
	Read chat.ReadState
	// Receipts are the marks of each member where they are known.
	Receipts []Receipt
}

// Receipt is how far a member has read and received a chat.
type Receipt struct {
	UserID       int64 `json:"user_id"`
	ReadSeq      int64 `json:"read_seq"`
	DeliveredSeq int64 `json:"delivered_seq"`
}

// Message makes m as the viewer sees it; its id must not be 0.
func (b *Builder) Message(m *chat.Message, v Viewer) Message {
	out := b.message(m)
	switch {
	case v.Read.IsRead(m, v.User):
		out.Status = "read"
	case v.Read.IsDelivered(m, v.User):
		out.Status = "delivered"
	}
	if !out.Deleted {
		out.Reactions = Reactions(m.Reactions, v.User)
		out.ReadCount = readCount(m, v)
	}
	return out
}

// FullMessage makes m as the viewer sees it in contract B.
func (b *Builder) FullMessage(m *chat.Message, v Viewer) FullMessage {
	return alias(m, b.Message(m, v), v.Read.IsRead(m, v.User))
}

// PublishedMessage makes m as everybody sees it: not read by anyone (chat-api.md §B.3).
func (b *Builder) PublishedMessage(m *chat.Message) FullMessage {
	return alias(m, b.message(m), false)
}

func alias(m *chat.Message, out Message, read bool) FullMessage {
	full := FullMessage{Message: out, Aliases: Aliases{
		Content: out.Text, Timestamp: m.CreatedAt / 1000, ClientMessageID: out.ClientID, IsRead: read,
	}}
	if m.System != nil && !m.Deleted() {
		full.Event, full.ActorID, full.UserIDs = m.System.Event, m.System.Actor, m.System.Users
	}
	return full
}

// Messages makes a list of messages of one chat.
func (b *Builder) Messages(ms []chat.Message, v Viewer) []Message {
	out := make([]Message, len(ms))
	for i := range ms {
		out[i] = b.Message(&ms[i], v)
	}
	return out
}

// message makes what is the same for every viewer. Of a deleted message only the
// tombstone is shown, whatever m still has.
func (b *Builder) message(m *chat.Message) Message {
	out := Message{
		Type: "message", ID: m.ID, ChatID: m.Chat, Seq: m.Seq, EventSeq: m.EventSeq, Version: m.Version,
		MessageType: m.Type, SenderID: opt(m.Sender.ID), SenderName: m.Sender.Name,
		CreatedAt: Stamp(m.CreatedAt), UpdatedAt: Stamp(max(m.CreatedAt, m.EditedAt, m.DeletedAt)),
		ClientID: opt(m.ClientID), IsEdited: m.EditedAt != 0, Status: "sent", Deleted: m.Deleted(),
		Attachments: []Attachment{}, Entities: []Entity{}, Reactions: []Reaction{}, Mentions: []int64{},
		Metadata: json.RawMessage("null"),
	}
	if m.Type == chat.SystemMessage {
		out.Type = "system"
	}
	if url, _ := b.links.Avatar(m.Sender.Avatar); url != "" {
		out.SenderAvatar = &url
	}
	if out.Deleted {
		return out
	}
	out.Text = m.Text
	out.Mentions, out.MentionAll, out.Silent = list(m.Mentions), m.MentionAll, m.Silent
	out.Pinned = m.PinnedAt != 0
	if len(m.Metadata) > 0 {
		out.Metadata = m.Metadata
	}
	for i := range m.Files {
		out.Attachments = append(out.Attachments, b.Attachment(&m.Files[i]))
	}
	out.Entities = Entities(m.Entities)
	out.Reactions = Reactions(m.Reactions, 0)
	if q := m.ReplyTo; q != nil {
		out.ReplyToID = &q.ID
		out.ReplyTo = &Quote{q.ID, q.Seq, opt(q.Sender), q.Name, q.Text, q.Deleted, q.HasFiles}
		if q.Deleted {
			out.ReplyTo.Text, out.ReplyTo.HasFiles = "", false
		}
	}
	if f := m.Forward; f != nil {
		out.Forward = &Forward{f.Name, opt(f.ChatTitle), Stamp(f.CreatedAt)}
	}
	if s := m.System; s != nil {
		out.System = &System{s.Event, opt(s.Actor), list(s.Users), opt(s.Value)}
	}
	return out
}

// Entities makes the marked parts of a text.
func Entities(es []chat.Entity) []Entity {
	out := make([]Entity, len(es))
	for i, e := range es {
		out[i] = Entity{e.Type, e.Offset, e.Length, opt(e.User)}
	}
	return out
}

// Reactions makes a summary of reactions; for a viewer other than 0 it says which are
// the viewer's own.
func Reactions(rs []chat.Reaction, viewer int64) []Reaction {
	out := make([]Reaction, 0, len(rs))
	for _, r := range rs {
		one := Reaction{Emoji: r.Emoji, Count: r.Count, UserIDs: list(r.Users)}
		if viewer != 0 {
			me := slices.Contains(r.Users, viewer)
			one.Me = &me
		}
		out = append(out, one)
	}
	return out
}

// Attachment makes a file of a message, or one that is not in any yet.
func (b *Builder) Attachment(f *chat.Attachment) Attachment {
	out := Attachment{
		ID: opt(f.ID), FileID: opt(f.ID), Type: attachmentType(f), Filename: f.Name, Size: f.Size, MIMEType: f.MIME,
		URL: f.URL, Caption: opt(f.Caption), Blurhash: opt(f.Blurhash),
		Metadata: AttachmentMetadata{opt(f.Width), opt(f.Height), opt(f.Duration)},
	}
	if f.ID == "" {
		return out
	}
	url, expires := b.links.File(f.ID, "original")
	out.URL = url
	if !expires.IsZero() {
		out.URLExpiresAt = OptStamp(expires.UnixMilli())
	}
	if f.Thumb {
		thumb, _ := b.links.File(f.ID, "thumb")
		out.ThumbnailURL = &thumb
	}
	return out
}

// attachmentType turns the kind of an uploaded file into a type of contract B.
func attachmentType(f *chat.Attachment) string {
	switch f.Kind {
	case "file":
		if strings.HasPrefix(f.MIME, "audio/") {
			return "audio"
		}
		return "document"
	case "image", "video", "audio", "voice", "document", "location", "contact":
		return f.Kind
	}
	return "other"
}

// readCount counts who else has read m: one by one where each mark is known, else only
// whether anybody has.
func readCount(m *chat.Message, v Viewer) (n int) {
	for _, r := range v.Receipts {
		if r.UserID != m.Sender.ID && r.ReadSeq >= m.Seq {
			n++
		}
	}
	if n == 0 && m.Sender.ID == v.User && v.Read.Others >= m.Seq {
		n = 1
	}
	return n
}
