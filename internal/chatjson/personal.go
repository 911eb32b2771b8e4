package chatjson

import (
	"encoding/json"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/chat"
)

// notification is every publication of user:{id}. UserSeq is missing in those that are
// not stored.
type notification struct {
	Type      string `json:"type"`
	Event     string `json:"event"`
	Data      any    `json:"data"`
	UserSeq   int64  `json:"user_seq,omitempty"`
	Timestamp int64  `json:"timestamp"`
}

// Notification makes a publication of user:{id} that is not stored and has no number
// (chat-api.md §C.10), such as chat_state; at is in milliseconds since 1970.
func Notification(name string, data any, at int64) ([]byte, error) {
	return encode(notification{Type: "notification", Event: name, Data: data, Timestamp: at / 1000})
}

type (
	sessionTerminated struct {
		Session  string   `json:"session_id"`
		Sessions []string `json:"session_ids"`
		Reason   string   `json:"reason"`
		Message  string   `json:"message"`
	}
	profileUpdated struct {
		Changes []string `json:"changes"`
		Me      Me       `json:"me"`
	}
)

// ofUser makes the publication of an event of a user's stream.
func (b *Builder) ofUser(e *event.Event) (any, error) {
	n := notification{Type: "notification", Event: e.Type, Data: struct{}{}, UserSeq: e.Seq, Timestamp: e.At / 1000}
	switch e.Type {
	case event.UserNotice:
		var p chat.Notice
		if err := json.Unmarshal(e.Payload, &p); err != nil {
			return nil, err
		}
		n.Event = p.Event
		return b.notice(n, p.Data)
	case event.SessionRevoked:
		var p struct {
			Sessions []string `json:"session_ids"`
			Reason   string   `json:"reason"`
		}
		if err := json.Unmarshal(e.Payload, &p); err != nil {
			return nil, err
		}
		d := sessionTerminated{Sessions: list(p.Sessions), Reason: p.Reason, Message: "This session has been ended."}
		if len(p.Sessions) > 0 {
			d.Session = p.Sessions[0]
		}
		n.Event, n.Data = "session_terminated", d
	case event.UserUpdated:
		d, err := b.profile(e.Payload)
		if err != nil {
			return nil, err
		}
		n.Event, n.Data = "profile_updated", d
	}
	return n, nil
}

// notice adds the data of a notice. People in it get the addresses of their avatars.
func (b *Builder) notice(n notification, data json.RawMessage) (any, error) {
	switch n.Event {
	case "friend_request", "friend_accepted":
		var p struct {
			User chat.Person `json:"user"`
		}
		if err := json.Unmarshal(data, &p); err != nil {
			return nil, err
		}
		n.Data = map[string]Person{"user": b.Person(&p.User)}
	default:
		if len(data) > 0 {
			n.Data = data
		}
	}
	return n, nil
}

// profile reads the payload of user.updated, which package identity writes.
func (b *Builder) profile(payload []byte) (profileUpdated, error) {
	var p struct {
		User     int64    `json:"user_id"`
		Changes  []string `json:"changes"`
		Username string   `json:"username"`
		Email    string   `json:"email"`
		Name     string   `json:"name"`
		About    string   `json:"about"`
		Avatar   string   `json:"avatar_file_id"`
		Picture  string   `json:"picture"`
		Role     string   `json:"role"`
		Kind     string   `json:"kind"`
		State    string   `json:"state"`
		Lang     string   `json:"lang"`
		TZ       string   `json:"tz"`
		Privacy  Privacy  `json:"privacy"`
	}
	if err := json.Unmarshal(payload, &p); err != nil {
		return profileUpdated{}, err
	}
	if p.Avatar == "" {
		p.Avatar = p.Picture
	}
	who := chat.Person{
		ID: p.User, Name: p.Name, Username: p.Username, About: p.About, Avatar: p.Avatar, Kind: p.Kind, State: p.State,
	}
	me := b.Me(&who, Own{p.Email, p.Role, p.Lang, p.TZ, p.Privacy})
	return profileUpdated{list(p.Changes), me}, nil
}

// SystemNotice is news for everybody (chat-api.md §B.3).
type SystemNotice struct {
	Type      string  `json:"type" enum:"system"`
	ID        string  `json:"id"`
	Level     string  `json:"level" enum:"info,warning,critical"`
	Content   string  `json:"content"`
	StartsAt  *string `json:"starts_at" format:"date-time"`
	EndsAt    *string `json:"ends_at" format:"date-time"`
	EventSeq  int64   `json:"event_seq"`
	Timestamp int64   `json:"timestamp" doc:"Seconds since 1970"`
}

// Notice makes a notice to everybody.
func Notice(n *chat.SystemNotice) SystemNotice {
	return SystemNotice{"system", n.ID, n.Level, n.Content, OptStamp(n.StartsAt), OptStamp(n.EndsAt), n.Seq, n.At / 1000}
}

func ofSystem(e *event.Event) (any, error) {
	if e.Type != event.SystemNotice {
		return head{Type: e.Type, EventSeq: e.Seq, Timestamp: e.At / 1000}, nil
	}
	var n chat.SystemNotice
	if err := json.Unmarshal(e.Payload, &n); err != nil {
		return nil, err
	}
	return Notice(&n), nil
}
