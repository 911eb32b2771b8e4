package chequite

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/chat"
)

// ListChannel is where a user's list of chats is published.
func ListChannel(user int64) string { return "user-" + strconv.FormatInt(user, 10) + "-chats" }

// Message renders an event of a message for user-{chatId}-messages: the data is a JSON
// string that contains the message. It is the same for every subscriber: nobody has
// read it yet, and the sender is as the other person of a direct chat sees them, in a
// group as a stranger does. Of a message deleted since, only the tombstone is shown.
func (c *Contract) Message(ctx context.Context, e event.Event) ([]byte, error) {
	var p chat.MessagePayload
	if err := json.Unmarshal(e.Payload, &p); err != nil {
		return nil, fmt.Errorf("payload of %s: %w", e.ID, err)
	}
	m := &p.Message
	var sender userA
	if m.Sender.ID != 0 {
		var err error
		if sender, err = c.faces.of(ctx, m.Chat, m.Sender.ID); err != nil {
			return nil, fmt.Errorf("look at user %d: %w", m.Sender.ID, err)
		}
	}
	return encodeString(c.message(m, sender, false, c.o.Location))
}

type typingPayload struct {
	ChatID int64 `json:"chatId"`
	UserID int64 `json:"userId"`
	Typing bool  `json:"typing"`
}

// Typing renders who is typing for chat.{chatId}.
func (c *Contract) Typing(t chat.Typist) []byte {
	return mustEncodeString(typingPayload{t.Chat, t.Person.ID, t.Typing})
}

type statusPayload struct {
	IsOnline    bool    `json:"isOnline"`
	UserID      int64   `json:"userId"`
	LastSeen    *string `json:"lastSeen"`
	LastSeenISO *string `json:"lastSeenIso"`
}

// Status renders who came or went for user-{userId}-status. lastSeen is in milliseconds
// since 1970; 0 is not said.
func (c *Contract) Status(user int64, online bool, lastSeen int64) []byte {
	p := statusPayload{IsOnline: online, UserID: user}
	if !online && lastSeen != 0 {
		p.LastSeen, p.LastSeenISO = opt(display(lastSeen, dateForm, c.o.Location)), opt(iso(lastSeen))
	}
	return mustEncodeString(p)
}

// mustEncodeString encodes what can always be encoded.
func mustEncodeString(v any) []byte {
	b, err := encodeString(v)
	if err != nil {
		panic(err)
	}
	return b
}

// Interested tells that user is about to subscribe to [ListChannel]. Without it, nothing
// is looked up for lists, and nothing published.
func (c *Contract) Interested(user int64) { c.lists.interested(user) }

// Announced is told of each event of the log, in order: lists of chats may look
// different after it.
func (c *Contract) Announced(e event.Event) {
	c.faces.announced(&e)
	if c.lists.idle() {
		return
	}
	id, user := event.StreamOf(e.Stream)
	switch e.Type {
	case event.MessageCreated, event.MessageUpdated, event.MessageDeleted, event.RoomUpdated:
		c.lists.chatChanged(id)
	case event.UserNotice:
		c.noticed(&e, user)
	case event.UserUpdated:
		var p struct {
			Changes []string `json:"changes"`
		}
		if json.Unmarshal(e.Payload, &p) == nil && (slices.Contains(p.Changes, "name") || slices.Contains(p.Changes, "avatar")) {
			c.lists.personChanged(subject(&e))
		}
	case event.UserDeleted:
		c.lists.personChanged(subject(&e))
	}
}

// noticed handles the news of one user: chats that came and went. (A new or ended chat
// is told to each member so; nobody else's list changes.)
func (c *Contract) noticed(e *event.Event, user int64) {
	var n chat.Notice
	if json.Unmarshal(e.Payload, &n) != nil || n.Event != "chat_added" && n.Event != "chat_removed" {
		return
	}
	var p struct {
		Chat int64 `json:"chat_id"`
	}
	if json.Unmarshal(n.Data, &p) == nil {
		c.lists.userChanged(user, p.Chat)
	}
}

// subject is the user that an event of an account is about, 0 if it does not say.
func subject(e *event.Event) int64 {
	var p struct {
		User int64 `json:"user_id"`
	}
	if json.Unmarshal(e.Payload, &p) != nil {
		return 0
	}
	return p.User
}

// Read implements [chat.Live]: a moved mark changes the reader's badge, and shows whose
// message was the last that it has been read.
func (c *Contract) Read(id, user, _, _ int64, members int) {
	if members > c.o.ReceiptsMaxMembers {
		c.lists.userChanged(user, id)
		return
	}
	c.lists.chatChanged(id)
}

// Delivered implements [chat.Live]: the contract does not show it.
func (c *Contract) Delivered(_, _, _ int64, _ int) {}

// ChatState implements [chat.Live].
func (c *Contract) ChatState(user, id int64) { c.lists.userChanged(user, id) }

// ListChanged implements [chat.Live].
func (c *Contract) ListChanged(user int64) { c.lists.userChanged(user, 0) }
