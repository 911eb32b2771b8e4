package chatjson

import (
	"encoding/json"

	"github.com/kuranty/kuranty/internal/chat"
)

// Chat is a chat from one member's point of view (chat-api.md §C.3).
type Chat struct {
	ID   int64  `json:"id"`
	Kind string `json:"kind" enum:"direct,group,saved"`
	// Title and Avatar of a direct chat are the companion's; a saved chat has none.
	Title       *string     `json:"title"`
	About       *string     `json:"about"`
	Avatar      *Avatar     `json:"avatar"`
	Companion   *User       `json:"companion,omitempty"`
	MemberCount int         `json:"member_count"`
	Role        string      `json:"role" enum:"owner,admin,member"`
	Permissions Permissions `json:"permissions"`

	LastSeq        int64    `json:"last_seq"`
	LastEventSeq   int64    `json:"last_event_seq"`
	LastMessage    *Message `json:"last_message"`
	LastActivityAt string   `json:"last_activity_at" format:"date-time"`

	ReadSeq          int64  `json:"read_seq"`
	DeliveredSeq     int64  `json:"delivered_seq"`
	PeerReadSeq      *int64 `json:"peer_read_seq,omitempty" doc:"Direct chats only"`
	PeerDeliveredSeq *int64 `json:"peer_delivered_seq,omitempty"`
	UnreadCount      int    `json:"unread_count"`
	UnreadCapped     bool   `json:"unread_capped" doc:"unread_count is the least it can be"`
	UnreadMentions   int    `json:"unread_mentions"`
	FirstUnreadSeq   *int64 `json:"first_unread_seq"`
	MarkedUnread     bool   `json:"marked_unread"`

	MutedUntil     *string         `json:"muted_until" format:"date-time"`
	PinOrder       *int            `json:"pin_order"`
	Archived       bool            `json:"archived"`
	Draft          json.RawMessage `json:"draft"`
	PurgedBelowSeq int64           `json:"purged_below_seq"`
	Settings       Settings        `json:"settings"`
	RetentionDays  *int            `json:"retention_days"`
	CreatedAt      string          `json:"created_at" format:"date-time"`
}

// Permissions are what the member may do in the chat.
type Permissions struct {
	Post         bool `json:"post"`
	Add          bool `json:"add"`
	EditInfo     bool `json:"edit_info"`
	Pin          bool `json:"pin"`
	DeleteOthers bool `json:"delete_others"`
	Ban          bool `json:"ban"`
	Invite       bool `json:"invite"`
}

// Settings are the rules of a group, with the defaults filled in.
type Settings struct {
	WhoCanPost    string `json:"who_can_post" enum:"all,admins"`
	WhoCanAdd     string `json:"who_can_add" enum:"all,admins"`
	WhoCanEdit    string `json:"who_can_edit" enum:"all,admins"`
	HistoryForNew string `json:"history_for_new" enum:"all,joined"`
	SlowModeS     int    `json:"slow_mode_s"`
	EditsVisible  bool   `json:"edits_visible"`
}

// Chat makes the chat of v for its member; companion is the other person of a direct
// chat, else nil.
func (b *Builder) Chat(v *chat.View, may Permissions, companion *User) Chat {
	c, m := &v.Chat, &v.Member
	out := Chat{
		ID: c.ID, Kind: c.Kind, Title: opt(c.Title), About: opt(c.About), Avatar: b.Avatar(c.Avatar),
		MemberCount: c.MemberCount, Role: m.Role, Permissions: may,
		LastSeq: c.LastSeq, LastEventSeq: c.LastEventSeq, LastActivityAt: Stamp(c.LastActivityAt),
		ReadSeq: m.ReadSeq, DeliveredSeq: m.DeliveredSeq,
		UnreadCount: v.Unread, UnreadCapped: v.Capped, UnreadMentions: v.UnreadMentions,
		FirstUnreadSeq: firstUnread(v), MarkedUnread: m.ManualUnreadSeq != 0,
		MutedUntil: OptStamp(m.MutedUntil), PinOrder: opt(m.PinOrder), Archived: m.Archived, Draft: m.Draft,
		PurgedBelowSeq: c.PurgedBelowSeq, Settings: settings(c.Settings), RetentionDays: opt(c.RetentionDays),
		CreatedAt: Stamp(c.CreatedAt),
	}
	if out.Role == chat.NoRole {
		out.Role = chat.Plain
	}
	if len(out.Draft) == 0 {
		out.Draft = json.RawMessage("null")
	}
	if v.LastMessage != nil {
		last := b.Message(v.LastMessage, Viewer{User: m.User, Read: v.Read})
		out.LastMessage = &last
	}
	if c.Kind == chat.Direct {
		read, delivered := v.Read.Others, max(v.Read.Others, v.Read.OthersDelivered)
		out.PeerReadSeq, out.PeerDeliveredSeq = &read, &delivered
	}
	if companion != nil {
		out.Companion = companion
		out.Title, out.Avatar = &companion.Name, companion.Avatar
	}
	return out
}

// firstUnread is the message after the last that counts as read, nil without unread ones.
func firstUnread(v *chat.View) *int64 {
	if v.Unread == 0 {
		return nil
	}
	m := &v.Member
	first := m.ReadSeq + 1
	if m.ManualUnreadSeq != 0 {
		first = min(first, m.ManualUnreadSeq)
	}
	first = max(first, m.VisibleFromSeq+1, v.Chat.PurgedBelowSeq)
	return &first
}

func settings(s chat.Settings) Settings {
	out := Settings{chat.Everyone, chat.Admins, chat.Admins, "all", s.SlowMode, s.EditsVisible}
	set := func(to *string, from string) {
		if from != "" {
			*to = from
		}
	}
	set(&out.WhoCanPost, s.WhoCanPost)
	set(&out.WhoCanAdd, s.WhoCanAdd)
	set(&out.WhoCanEdit, s.WhoCanEdit)
	set(&out.HistoryForNew, s.HistoryForNew)
	return out
}
