package chatjson

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/chat"
)

// Publication makes the data that announces e in the channel of its stream:
//
//	chat:{id}             message and system (message.created), message_edited,
//	                      message_deleted, reaction, pin, chat_created (room.created),
//	                      chat_updated, chat_deleted, member_joined, member_left,
//	                      member_updated
//	user:{id}             notification, whose event is the name of a notice, or
//	                      session_terminated (session.revoked), profile_updated
//	                      (user.updated)
//	system:notifications  system
//
// Every event of a stream has exactly one publication, because its number is the offset
// of the channel; one of a type that is not known here has its envelope only. The error
// is that of a payload that cannot be read.
func (b *Builder) Publication(e event.Event) ([]byte, error) {
	var p any
	var err error
	switch id, user := event.StreamOf(e.Stream); {
	case id != 0:
		p, err = b.ofChat(&e, head{Chat: id, EventSeq: e.Seq, Timestamp: e.At / 1000})
	case user != 0:
		p, err = b.ofUser(&e)
	case e.Stream == event.SystemStream:
		p, err = ofSystem(&e)
	default:
		return nil, fmt.Errorf("publication of %s: stream %q has no channel", e.Type, e.Stream)
	}
	if err != nil {
		return nil, fmt.Errorf("publication of %s in %s: %w", e.Type, e.Stream, err)
	}
	return encode(p)
}

// encode is json.Marshal without escapes for HTML, which JSON does not need and people
// who write in Markdown pay for.
func encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(buf.Bytes(), "\n"), nil
}

// head begins every publication of a chat's channel.
type head struct {
	Type      string `json:"type"`
	Chat      int64  `json:"chat_id,omitempty"` // chats have ids above 0
	EventSeq  int64  `json:"event_seq"`
	Timestamp int64  `json:"timestamp"`
}

func (h head) as(typ string) head { h.Type = typ; return h }

// The publications of a chat beside messages (chat-api.md §B.3, §C.10).
type (
	messageDeleted struct {
		head
		ID  int64 `json:"id"`
		Seq int64 `json:"seq"`
		By  int64 `json:"by"`
	}
	reactionChanged struct {
		head
		Message   int64      `json:"message_id"`
		Seq       int64      `json:"seq"`
		User      int64      `json:"user_id"`
		Emoji     string     `json:"emoji"`
		Action    string     `json:"action"`
		Reactions []Reaction `json:"reactions"`
	}
	pinChanged struct {
		head
		Message int64 `json:"message_id"`
		Seq     int64 `json:"seq"`
		Pinned  bool  `json:"pinned"`
		By      int64 `json:"by"`
	}
	chatCreated struct {
		head
		Kind        string  `json:"kind"`
		Title       *string `json:"title"`
		MemberCount int     `json:"member_count"`
		By          int64   `json:"by"`
	}
	chatUpdated struct {
		head
		Changes map[string]any `json:"changes"`
		By      int64          `json:"by"`
	}
	memberJoined struct {
		head
		Users       []Person `json:"users"`
		By          int64    `json:"by"`
		Via         string   `json:"via"`
		MemberCount int      `json:"member_count"`
	}
	memberLeft struct {
		head
		User        int64  `json:"user_id"`
		Reason      string `json:"reason"`
		By          int64  `json:"by"`
		MemberCount int    `json:"member_count"`
	}
	memberUpdated struct {
		head
		User int64  `json:"user_id"`
		Role string `json:"role"`
	}
)

// ofChat makes the publication of an event of a chat.
func (b *Builder) ofChat(e *event.Event, h head) (any, error) {
	switch e.Type {
	case event.MessageCreated, event.MessageUpdated, event.MessageDeleted, event.MessagePinned, event.MessageReaction:
		return b.ofMessage(e, h)
	case event.RoomCreated, event.RoomUpdated, event.RoomDeleted:
		return b.ofRoom(e, h)
	case event.RoomMemberJoined, event.RoomMemberLeft, event.RoomMemberUpdated:
		return b.ofMember(e, h)
	}
	return h.as(e.Type), nil
}

// news is what events about a message carry: [chat.MessagePayload], and what
// [chat.ReactionPayload] and [chat.PinPayload] have beside it.
type news struct {
	chat.MessagePayload
	User      int64           `json:"user_id"`
	Emoji     string          `json:"emoji"`
	Action    string          `json:"action"`
	Pinned    bool            `json:"pinned"`
	Reactions []chat.Reaction `json:"reactions"`
}

func (b *Builder) ofMessage(e *event.Event, h head) (any, error) {
	var p news
	if err := json.Unmarshal(e.Payload, &p); err != nil {
		return nil, err
	}
	m := &p.Message
	switch e.Type {
	case event.MessageDeleted:
		return messageDeleted{h.as("message_deleted"), m.ID, m.Seq, p.By}, nil
	case event.MessagePinned:
		return pinChanged{h.as("pin"), m.ID, m.Seq, p.Pinned, p.By}, nil
	case event.MessageReaction:
		return reactionChanged{h.as("reaction"), m.ID, m.Seq, p.User, p.Emoji, p.Action, Reactions(p.Reactions, 0)}, nil
	}
	full := b.PublishedMessage(m)
	full.EventSeq = e.Seq
	if e.Type == event.MessageUpdated {
		full.Type = "message_edited"
	}
	return full, nil
}

// room is [chat.RoomPayload] with the changes as they were written.
type room struct {
	Chat        chat.RoomFacts             `json:"chat"`
	Changes     map[string]json.RawMessage `json:"changes"`
	By          int64                      `json:"by"`
	MemberCount int                        `json:"member_count"`
}

func (b *Builder) ofRoom(e *event.Event, h head) (any, error) {
	if e.Type == event.RoomDeleted {
		return h.as("chat_deleted"), nil
	}
	var p room
	if err := json.Unmarshal(e.Payload, &p); err != nil {
		return nil, err
	}
	if e.Type == event.RoomCreated {
		return chatCreated{h.as("chat_created"), p.Chat.Kind, opt(p.Chat.Title), p.MemberCount, p.By}, nil
	}
	return chatUpdated{h.as("chat_updated"), b.changes(p.Changes), p.By}, nil
}

// changes turns the changed facts of a chat into the fields of [Chat].
func (b *Builder) changes(changed map[string]json.RawMessage) map[string]any {
	out := make(map[string]any, len(changed))
	for name, value := range changed {
		out[name] = value
		if v := string(value); v == `""` || v == "0" {
			out[name] = nil // what is not there is null in [Chat]
		}
		var ref string
		var s chat.Settings
		switch {
		case name == "avatar" && json.Unmarshal(value, &ref) == nil:
			out[name] = b.Avatar(ref)
		case name == "settings" && json.Unmarshal(value, &s) == nil:
			out[name] = settings(s)
		}
	}
	return out
}

func (b *Builder) ofMember(e *event.Event, h head) (any, error) {
	var p chat.MemberPayload
	if err := json.Unmarshal(e.Payload, &p); err != nil {
		return nil, err
	}
	var first int64
	people := make([]Person, len(p.Users))
	for i := range p.Users {
		people[i] = b.Person(&p.Users[i])
		first = people[0].ID
	}
	switch e.Type {
	case event.RoomMemberJoined:
		return memberJoined{h.as("member_joined"), people, p.By, p.Via, p.MemberCount}, nil
	case event.RoomMemberLeft:
		return memberLeft{h.as("member_left"), first, p.Reason, p.By, p.MemberCount}, nil
	}
	return memberUpdated{h.as("member_updated"), first, p.Role}, nil
}
