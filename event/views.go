package event

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// What is stored of chats and accounts is made for the screens of their members: it has
// what a message looks like, and who may see what of an account. What the gateway and
// webhooks tell of it is documented elsewhere (event-gateway.md §5.1, webhooks.md §1.7)
// and is made here when it is read. Ids are decimal strings.
type (
	// Message is the payload of message.created.
	Message struct {
		ID          string          `json:"id"`
		RoomID      string          `json:"roomId"`
		SenderID    string          `json:"senderId"`
		SenderName  string          `json:"senderName,omitempty"`
		Content     string          `json:"content"`
		MessageType string          `json:"messageType" enum:"text|image|file|audio|video|location"`
		CreatedAt   time.Time       `json:"createdAt"`
		Metadata    json.RawMessage `json:"metadata,omitempty"`
	}

	// ChangedMessage is the payload of message.updated.
	ChangedMessage struct {
		Message

		UpdatedAt time.Time `json:"updatedAt"`
		Changes   []string  `json:"changes,omitempty" doc:"names of changed fields"`
	}

	// DeletedMessage is the payload of message.deleted.
	DeletedMessage struct {
		ID        string    `json:"id"`
		RoomID    string    `json:"roomId"`
		DeletedBy string    `json:"deletedBy,omitempty"`
		DeletedAt time.Time `json:"deletedAt"`
	}

	// Reaction is the payload of message.reaction.
	Reaction struct {
		MessageID string `json:"messageId"`
		RoomID    string `json:"roomId"`
		UserID    string `json:"userId"`
		Emoji     string `json:"emoji"`
		Action    string `json:"action" enum:"add|remove"`
	}

	// Pin is the payload of message.pinned.
	Pin struct {
		MessageID string `json:"messageId"`
		RoomID    string `json:"roomId"`
		Pinned    bool   `json:"pinned"`
		UserID    string `json:"userId,omitempty"`
	}

	// Room is the payload of room.created.
	Room struct {
		ID          string    `json:"id"`
		Name        string    `json:"name,omitempty"`
		Type        string    `json:"type,omitempty" enum:"private|public|direct|group"`
		CreatedBy   string    `json:"createdBy,omitempty"`
		MemberCount int       `json:"memberCount"`
		CreatedAt   time.Time `json:"createdAt"`
	}

	// ChangedRoom is the payload of room.updated.
	ChangedRoom struct {
		ID        string    `json:"id"`
		Name      string    `json:"name,omitempty"`
		Changes   []string  `json:"changes,omitempty" doc:"names of changed fields"`
		UpdatedBy string    `json:"updatedBy,omitempty"`
		UpdatedAt time.Time `json:"updatedAt"`
	}

	// DeletedRoom is the payload of room.deleted.
	DeletedRoom struct {
		ID        string    `json:"id"`
		DeletedBy string    `json:"deletedBy,omitempty"`
		DeletedAt time.Time `json:"deletedAt"`
	}

	// RoomMember is one of the people of an event about members.
	RoomMember struct {
		UserID   string `json:"userId"`
		UserName string `json:"userName,omitempty"`
	}

	// JoinedMember is the payload of room.member.joined.
	JoinedMember struct {
		RoomID   string       `json:"roomId"`
		UserID   string       `json:"userId" doc:"the first of users"`
		UserName string       `json:"userName,omitempty"`
		Role     string       `json:"role,omitempty"`
		JoinedAt time.Time    `json:"joinedAt"`
		Users    []RoomMember `json:"users" doc:"all who joined at once"`
	}

	// LeftMember is the payload of room.member.left.
	LeftMember struct {
		RoomID   string       `json:"roomId"`
		UserID   string       `json:"userId" doc:"the first of users"`
		UserName string       `json:"userName,omitempty"`
		Reason   string       `json:"reason,omitempty" enum:"left|removed|banned"`
		LeftAt   time.Time    `json:"leftAt"`
		Users    []RoomMember `json:"users" doc:"all who left at once"`
	}

	// UpdatedMember is the payload of room.member.updated.
	UpdatedMember struct {
		RoomID    string    `json:"roomId"`
		UserID    string    `json:"userId"`
		UserName  string    `json:"userName,omitempty"`
		Role      string    `json:"role,omitempty"`
		UpdatedAt time.Time `json:"updatedAt"`
	}

	// Notice is the payload of system.notice.
	Notice struct {
		ID      string    `json:"id"`
		Level   string    `json:"level" enum:"info|warning|critical"`
		Content string    `json:"content"`
		SentAt  time.Time `json:"sentAt"`
	}

	// NewUser is the payload of user.created. The documented fields are always there; those
	// of products that have messengers' accounts and referrals are null here.
	NewUser struct {
		UserID       int64   `json:"user_id"`
		TelegramID   *int64  `json:"telegram_id"`
		Username     *string `json:"username"`
		FirstName    *string `json:"first_name"`
		LastName     *string `json:"last_name"`
		ReferralCode *string `json:"referral_code"`
		ReferredByID *int64  `json:"referred_by_id"`
		Email        string  `json:"email,omitempty"`
		AuthType     string  `json:"auth_type,omitempty" doc:"email, password, external or admin"`
	}

	// ChangedUser is the payload of user.updated.
	ChangedUser struct {
		UserID   int64    `json:"user_id"`
		Changes  []string `json:"changes" doc:"names of changed fields"`
		Username *string  `json:"username"`
		Name     string   `json:"name"`
		Role     string   `json:"role" enum:"user|admin"`
		State    string   `json:"state" enum:"active|suspended|deleted"`
	}

	// Token is the payload of token.created and token.revoked.
	Token struct {
		TokenID string   `json:"token_id"`
		Name    string   `json:"name"`
		Scopes  []string `json:"scopes"`
	}
)

// The stored forms, as far as they are told: chat.MessagePayload, chat.RoomPayload and so on.
type (
	storedPerson struct {
		ID   int64  `json:"id"`
		Name string `json:"name"`
	}
	storedMessage struct {
		Message struct {
			ID       int64           `json:"id"`
			Chat     int64           `json:"chat_id"`
			Sender   storedPerson    `json:"sender"`
			Text     string          `json:"text"`
			Metadata json.RawMessage `json:"metadata"`
			Files    []struct {
				Kind string `json:"kind"`
			} `json:"files"`
			CreatedAt int64 `json:"created_at"`
		} `json:"message"`
		By      int64    `json:"by"`
		Changes []string `json:"changes"`
	}
	storedRoom struct {
		Chat struct {
			ID        int64  `json:"id"`
			Kind      string `json:"kind"`
			Title     string `json:"title"`
			CreatedBy int64  `json:"created_by"`
			CreatedAt int64  `json:"created_at"`
		} `json:"chat"`
		By          int64          `json:"by"`
		Changes     map[string]any `json:"changes"`
		MemberCount int            `json:"member_count"`
	}
	storedMembers struct {
		Chat   int64          `json:"chat_id"`
		Users  []storedPerson `json:"users"`
		Role   string         `json:"role"`
		Reason string         `json:"reason"`
	}
	storedMark struct {
		Message struct {
			ID   int64 `json:"id"`
			Chat int64 `json:"chat_id"`
		} `json:"message"`
		User   int64  `json:"user_id"`
		By     int64  `json:"by"`
		Emoji  string `json:"emoji"`
		Action string `json:"action"`
		Pinned bool   `json:"pinned"`
	}
)

// stored reads a payload.
func stored[T any](e *Event) (v T, err error) {
	if err := json.Unmarshal(e.Payload, &v); err != nil {
		return v, fmt.Errorf("read: %w", err)
	}
	return v, nil
}

// id is how ids are told; 0 is nobody.
func id(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// when is a time of the log.
func when(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// messageTypes are the documented words for kinds of attachments.
var messageTypes = map[string]string{"image": "image", "video": "video", "audio": "audio", "voice": "audio"}

func (s *storedMessage) message() Message {
	m := &s.Message
	out := Message{
		ID: id(m.ID), RoomID: id(m.Chat), SenderID: id(m.Sender.ID), SenderName: m.Sender.Name, Content: m.Text,
		MessageType: "text", CreatedAt: when(m.CreatedAt),
	}
	if len(m.Files) > 0 {
		if out.MessageType = messageTypes[m.Files[0].Kind]; out.MessageType == "" {
			out.MessageType = "file"
		}
	}
	if object(m.Metadata) {
		out.Metadata = m.Metadata
	}
	return out
}

func viewMessage(e *Event) (Message, error) {
	s, err := stored[storedMessage](e)
	return s.message(), err
}

func viewChangedMessage(e *Event) (ChangedMessage, error) {
	s, err := stored[storedMessage](e)
	return ChangedMessage{Message: s.message(), UpdatedAt: when(e.At), Changes: s.Changes}, err
}

func viewDeletedMessage(e *Event) (DeletedMessage, error) {
	s, err := stored[storedMessage](e)
	return DeletedMessage{ID: id(s.Message.ID), RoomID: id(s.Message.Chat), DeletedBy: id(s.By), DeletedAt: when(e.At)}, err
}

func viewReaction(e *Event) (Reaction, error) {
	s, err := stored[storedMark](e)
	return Reaction{MessageID: id(s.Message.ID), RoomID: id(s.Message.Chat), UserID: id(s.User), Emoji: s.Emoji, Action: s.Action}, err
}

func viewPin(e *Event) (Pin, error) {
	s, err := stored[storedMark](e)
	return Pin{MessageID: id(s.Message.ID), RoomID: id(s.Message.Chat), Pinned: s.Pinned, UserID: id(s.By)}, err
}

// roomTypes are the documented words for kinds of chats.
var roomTypes = map[string]string{"direct": "direct", "group": "group", "saved": "private"}

func viewRoom(e *Event) (Room, error) {
	s, err := stored[storedRoom](e)
	return Room{
		ID: id(s.Chat.ID), Name: s.Chat.Title, Type: roomTypes[s.Chat.Kind], CreatedBy: id(s.Chat.CreatedBy), MemberCount: s.MemberCount, CreatedAt: when(s.Chat.CreatedAt),
	}, err
}

func viewChangedRoom(e *Event) (ChangedRoom, error) {
	s, err := stored[storedRoom](e)
	changes := make([]string, 0, len(s.Changes))
	for name := range s.Changes {
		changes = append(changes, name)
	}
	slices.Sort(changes)
	return ChangedRoom{ID: id(s.Chat.ID), Name: s.Chat.Title, Changes: changes, UpdatedBy: id(s.By), UpdatedAt: when(e.At)}, err
}

func viewDeletedRoom(e *Event) (DeletedRoom, error) {
	s, err := stored[storedRoom](e)
	return DeletedRoom{ID: id(s.Chat.ID), DeletedBy: id(s.By), DeletedAt: when(e.At)}, err
}

// people returns the first of an event's people, and all.
func (s *storedMembers) people() (first RoomMember, all []RoomMember) {
	all = make([]RoomMember, len(s.Users))
	for i, u := range s.Users {
		all[i] = RoomMember{UserID: id(u.ID), UserName: u.Name}
	}
	if len(all) > 0 {
		first = all[0]
	}
	return first, all
}

func viewJoined(e *Event) (JoinedMember, error) {
	s, err := stored[storedMembers](e)
	first, all := s.people()
	return JoinedMember{RoomID: id(s.Chat), UserID: first.UserID, UserName: first.UserName, Role: s.Role, JoinedAt: when(e.At), Users: all}, err
}

func viewLeft(e *Event) (LeftMember, error) {
	s, err := stored[storedMembers](e)
	first, all := s.people()
	return LeftMember{RoomID: id(s.Chat), UserID: first.UserID, UserName: first.UserName, Reason: s.Reason, LeftAt: when(e.At), Users: all}, err
}

func viewUpdatedMember(e *Event) (UpdatedMember, error) {
	s, err := stored[storedMembers](e)
	first, _ := s.people()
	return UpdatedMember{RoomID: id(s.Chat), UserID: first.UserID, UserName: first.UserName, Role: s.Role, UpdatedAt: when(e.At)}, err
}

func viewNotice(e *Event) (Notice, error) {
	s, err := stored[struct {
		ID      string `json:"id"`
		Level   string `json:"level"`
		Content string `json:"content"`
		At      int64  `json:"at"`
	}](e)
	return Notice{ID: s.ID, Level: s.Level, Content: s.Content, SentAt: when(s.At)}, err
}

func viewNewUser(e *Event) (NewUser, error) {
	s, err := stored[struct {
		User     int64   `json:"user_id"`
		Username *string `json:"username"`
		Email    *string `json:"email"`
		Name     string  `json:"name"`
		AuthType string  `json:"auth_type"`
	}](e)
	out := NewUser{UserID: s.User, Username: s.Username, AuthType: s.AuthType}
	if s.Name != "" {
		out.FirstName = &s.Name
	}
	if s.Email != nil {
		out.Email = *s.Email
		if s.AuthType == "password" {
			out.AuthType = "email"
		}
	}
	return out, err
}

func viewChangedUser(e *Event) (ChangedUser, error) {
	out, err := stored[ChangedUser](e)
	if out.Changes == nil {
		out.Changes = []string{}
	}
	return out, err
}

func viewToken(e *Event) (Token, error) {
	out, err := stored[Token](e)
	if out.Scopes == nil {
		out.Scopes = []string{}
	}
	return out, err
}
