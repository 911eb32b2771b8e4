package chat

import "encoding/json"

// Kinds of chats.
const (
	Direct = "direct"
	Group  = "group"
	Saved  = "saved"
)

// Roles of members.
const (
	Owner  = "owner"
	Admin  = "admin"
	Plain  = "member"
	NoRole = ""
)

// States of members.
const (
	Active  = "active"
	Left    = "left"
	Removed = "kicked"
	Banned  = "banned"
)

// Types of messages.
const (
	TextMessage   = "text"
	SystemMessage = "system"
)

// Chat is a chat as all members see it. Times are in milliseconds since 1970; 0 is
// never. Of a direct chat, Title and Avatar are empty: they are the companion's.
type Chat struct {
	ID     int64
	Kind   string
	Title  string
	About  string
	Avatar string
	// Owner is 0 for chats without one.
	Owner int64
	// LastSeq is the number of the newest message, LastEventSeq of the newest change.
	LastSeq, LastEventSeq int64
	// LastMessageAt never goes back; LastActivityAt is that or the creation.
	LastMessageAt, LastActivityAt int64
	MemberCount                   int
	Settings                      Settings
	// RetentionDays is how long messages are kept; 0 is as the server is configured.
	RetentionDays int
	// PurgedBelowSeq is the number below which messages are gone.
	PurgedBelowSeq       int64
	LegalHold            bool
	CreatedBy            int64
	CreatedAt, UpdatedAt int64
	// pair are the users of a direct chat, smaller id first.
	pair [2]int64
}

// WithPair returns c with the users of a direct chat, for who reads it from the
// database; Companion returns the one who is not user, 0 for other chats.
func (c Chat) WithPair(a, b int64) Chat { c.pair = [2]int64{min(a, b), max(a, b)}; return c }

// Companion returns the other user of a direct chat, 0 for other chats.
func (c *Chat) Companion(user int64) int64 {
	switch user {
	case c.pair[0]:
		return c.pair[1]
	case c.pair[1]:
		return c.pair[0]
	}
	return 0
}

// Who may do something in a group.
const (
	Everyone = "all"
	Admins   = "admins"
)

// Settings are the rules of one group (chat-api.md §C.7). Empty means the default.
type Settings struct {
	// WhoCanPost, WhoCanAdd and WhoCanEdit are [Everyone] or [Admins]; the defaults are
	// Everyone for posting and Admins for the rest.
	WhoCanPost string `json:"who_can_post,omitempty"`
	WhoCanAdd  string `json:"who_can_add,omitempty"`
	WhoCanEdit string `json:"who_can_edit,omitempty"`
	// HistoryForNew is "all", which is the default, or "joined".
	HistoryForNew string `json:"history_for_new,omitempty"`
	// SlowMode is the least time between two messages of a plain member, 0 to 3600 s.
	SlowMode int `json:"slow_mode_s,omitempty"`
	// EditsVisible lets members see earlier versions of messages.
	EditsVisible bool `json:"edits_visible,omitempty"`
}

// Member is a user's place in a chat.
type Member struct {
	Chat, User int64
	Role       string
	State      string
	JoinedAt   int64
	// JoinedSeq is the newest message at joining; VisibleFromSeq is the newest that the
	// member does not see.
	JoinedSeq, VisibleFromSeq int64
	// ReadSeq and DeliveredSeq are watermarks: everything up to them is read, delivered.
	ReadSeq, DeliveredSeq int64
	ReadAt, DeliveredAt   int64
	// ManualUnreadSeq is the message from which the member marked the chat unread, or 0.
	ManualUnreadSeq  int64
	MutedUntil       int64
	PinOrder         int
	Archived, Hidden bool
	// Draft is JSON or nil.
	Draft      json.RawMessage
	LastSentAt int64
}

// Person is what chats know of a user.
type Person struct {
	ID       int64  `json:"id"`
	Name     string `json:"name"`
	Username string `json:"username,omitempty"`
	// Email is shown by Privacy only.
	Email string `json:"-"`
	About string `json:"-"`
	// Avatar is the id of a file, or a URL that an external application gave.
	Avatar string `json:"avatar,omitempty"`
	Kind   string `json:"kind,omitempty"`
	// State is active, suspended or deleted.
	State   string  `json:"-"`
	Role    string  `json:"-"`
	Lang    string  `json:"-"`
	Privacy Privacy `json:"-"`
	// LastSeenAt is in milliseconds since 1970, 0 if never.
	LastSeenAt int64 `json:"-"`
	CreatedAt  int64 `json:"-"`
}

// Privacy is what a person lets others see and do. Empty means the default.
type Privacy struct {
	// LastSeen is "everyone", "contacts" (the default) or "nobody".
	LastSeen string `json:"last_seen,omitempty"`
	// ReadReceipts, if false, hides one's own and others' receipts in direct chats.
	ReadReceipts *bool `json:"read_receipts,omitempty"`
	// Email is "everyone", "contacts" or "self"; empty is as configured.
	Email string `json:"email,omitempty"`
	// WhoCanMessage and WhoCanAdd are "everyone" (the default) or "contacts".
	WhoCanMessage string `json:"who_can_message,omitempty"`
	WhoCanAdd     string `json:"who_can_add,omitempty"`
}

// ShowsReceipts tells whether read receipts are exchanged.
func (p *Privacy) ShowsReceipts() bool { return p.ReadReceipts == nil || *p.ReadReceipts }

// Message is a message as it is stored and as events carry it. Times are in
// milliseconds since 1970.
type Message struct {
	ID   int64  `json:"id"`
	Chat int64  `json:"chat_id"`
	Seq  int64  `json:"seq"`
	Type string `json:"type"`
	// Sender has ID 0 for system messages.
	Sender   Person          `json:"sender"`
	Text     string          `json:"text"`
	Entities []Entity        `json:"entities,omitempty"`
	ClientID string          `json:"client_id,omitempty"`
	ReplyTo  *Quote          `json:"reply_to,omitempty"`
	Forward  *Forward        `json:"forward,omitempty"`
	System   *System         `json:"system,omitempty"`
	Metadata json.RawMessage `json:"metadata,omitempty"`
	Files    []Attachment    `json:"files,omitempty"`
	Mentions []int64         `json:"mentions,omitempty"`
	// MentionAll addresses every member.
	MentionAll bool  `json:"mention_all,omitempty"`
	Silent     bool  `json:"silent,omitempty"`
	CreatedAt  int64 `json:"created_at"`
	EditedAt   int64 `json:"edited_at,omitempty"`
	// Version is 1 and grows with each edit.
	Version   int   `json:"version"`
	PinnedAt  int64 `json:"pinned_at,omitempty"`
	DeletedAt int64 `json:"deleted_at,omitempty"`
	DeletedBy int64 `json:"deleted_by,omitempty"`
	// EventSeq is the number of the newest change to it.
	EventSeq int64 `json:"event_seq"`
	// Reactions are those of all; who asked is marked in answers only.
	Reactions []Reaction `json:"reactions,omitempty"`
}

// Deleted tells whether only the tombstone is left.
func (m *Message) Deleted() bool { return m.DeletedAt != 0 }

// Entity is a marked part of a text. Offset and Length count UTF-16 code units.
type Entity struct {
	Type   string `json:"type"`
	Offset int    `json:"offset"`
	Length int    `json:"length"`
	User   int64  `json:"user_id,omitempty"`
}

// Quote is the message a message answers, as it was then.
type Quote struct {
	ID       int64  `json:"id"`
	Seq      int64  `json:"seq"`
	Sender   int64  `json:"sender_id"`
	Name     string `json:"sender_name"`
	Text     string `json:"text"`
	Deleted  bool   `json:"deleted"`
	HasFiles bool   `json:"has_files"`
}

// Forward is where a forwarded message came from.
type Forward struct {
	Name string `json:"sender_name"`
	// Sender is the first author, for whose sake the name may have to go; readers are not
	// told, and it is 0 where that is not known.
	Sender    int64  `json:"sender_id,omitempty"`
	ChatTitle string `json:"chat_title,omitempty"`
	CreatedAt int64  `json:"created_at"`
}

// System is what a system message tells (chat-api.md §C.7).
type System struct {
	Event string  `json:"event"`
	Actor int64   `json:"actor_id,omitempty"`
	Users []int64 `json:"user_ids,omitempty"`
	Value string  `json:"value,omitempty"`
}

// Attachment is a file of a message: an uploaded one, by ID, or one elsewhere, by URL.
type Attachment struct {
	ID       string `json:"id,omitempty"`
	Kind     string `json:"kind"`
	Name     string `json:"name"`
	MIME     string `json:"mime"`
	Size     int64  `json:"size"`
	Width    int    `json:"width,omitempty"`
	Height   int    `json:"height,omitempty"`
	Duration int64  `json:"duration_ms,omitempty"`
	Blurhash string `json:"blurhash,omitempty"`
	SHA256   string `json:"sha256,omitempty"`
	// Thumb says that there is a smaller picture.
	Thumb   bool   `json:"thumb,omitempty"`
	URL     string `json:"url,omitempty"`
	Caption string `json:"caption,omitempty"`
}

// Reaction is one emoji of a message and who chose it.
type Reaction struct {
	Emoji string  `json:"emoji"`
	Count int     `json:"count"`
	Users []int64 `json:"user_ids"`
}

// ReadState is how far a chat has been read, for one viewer: what tells whether a
// message is read (chat-api.md §0.7).
type ReadState struct {
	// Own is the viewer's watermark; Others and OthersDelivered are the highest of the
	// other active members.
	Own, Others, OthersDelivered int64
}

// IsRead tells whether m is read: the viewer's own message by anybody else, another's
// message by the viewer.
func (r *ReadState) IsRead(m *Message, viewer int64) bool {
	if m.Sender.ID == viewer {
		return r.Others >= m.Seq
	}
	return r.Own >= m.Seq
}

// IsDelivered tells the same of delivery.
func (r *ReadState) IsDelivered(m *Message, viewer int64) bool {
	if m.Sender.ID == viewer {
		return max(r.Others, r.OthersDelivered) >= m.Seq
	}
	return true
}

// View is a chat from one member's point of view.
type View struct {
	Chat   Chat
	Member Member
	// Companion is the other person of a direct chat, else nil.
	Companion *PersonView
	// LastMessage is the newest that the member sees, nil if there is none.
	LastMessage *Message
	Read        ReadState
	// Unread counts at most [MaxUnread], then Capped.
	Unread         int
	Capped         bool
	UnreadMentions int
}

// MaxUnread is what unread messages are counted up to.
const MaxUnread = 1000

// Page is a piece of a chat's messages, ascending by seq.
type Page struct {
	Chat     Chat
	Member   Member
	Messages []Message
	Read     ReadState
	// Marks are how far each other member has read, in chats that are small enough.
	Marks []Mark
	// Before and After say that there are more on that side.
	Before, After bool
	// Total is how many messages all pages have, if that was asked for.
	Total int
}
