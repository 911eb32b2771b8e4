package channels

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/realtime"
)

const (
	// overflowChats bounds the chats beyond AutoSubscribe whose messages one connection is
	// told of in short.
	overflowChats = 2000
	// noticeEvery is how often one person is told of messages in one such chat.
	noticeEvery = time.Second
	// noticesWaiting bounds the short notices that wait for their time.
	noticesWaiting = 50_000
)

// modern serves clients that let the server subscribe them (chat-api.md §C.10): to
// their own channel, the system's, and the chats active last. Of messages in other
// chats they are told in short, through their own channel.
type modern struct {
	c *Channels

	mu sync.Mutex
	// clients are the connections with chats beyond the limit, and who listens for which.
	clients map[string]listener
	beyond  map[int64]map[int64]int // chat → user → connections
	waiting map[shortNotice]*chat.Message
	told    map[shortNotice]time.Time
}

type listener struct {
	user  int64
	chats []int64
}

type shortNotice struct{ user, chat int64 }

func newModern(c *Channels) *modern {
	return &modern{
		c: c, clients: make(map[string]listener), beyond: make(map[int64]map[int64]int),
		waiting: make(map[shortNotice]*chat.Message), told: make(map[shortNotice]time.Time),
	}
}

// isModern tells whether the data of a connect command is {"v": 2}.
func isModern(data []byte) bool {
	var d struct {
		V int `json:"v"`
	}
	return len(data) > 0 && json.Unmarshal(data, &d) == nil && d.V == 2
}

// connect adds the subscriptions of a modern client.
func (m *modern) connect(ctx context.Context, cred *realtime.Credentials, client string, user int64) error {
	c := m.c
	limit := c.o.AutoSubscribe
	chats, err := c.o.Chats.ActiveChats(ctx, user, limit+overflowChats)
	if err != nil {
		return err
	}
	channels := []string{userName(user), system}
	for _, id := range chats[:min(limit, len(chats))] {
		channels = append(channels, chatName(id))
	}
	for _, channel := range channels {
		n := parse(channel)
		o := c.options(n)
		addSub(cred, channel, realtime.Grant{Options: o, Positioned: true, Recoverable: true, JoinLeave: false})
	}
	if len(chats) > limit {
		m.listen(client, listener{user, chats[limit:]})
	}
	return nil
}

func (m *modern) listen(client string, l listener) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clients[client] = l
	for _, id := range l.chats {
		if m.beyond[id] == nil {
			m.beyond[id] = make(map[int64]int)
		}
		m.beyond[id][l.user]++
	}
}

// disconnect forgets a connection.
func (m *modern) disconnect(client string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.clients[client]
	delete(m.clients, client)
	for _, id := range l.chats {
		users := m.beyond[id]
		if users[l.user]--; users[l.user] <= 0 {
			delete(users, l.user)
		}
		if len(users) == 0 {
			delete(m.beyond, id)
		}
	}
}

// announced notes a message that some are told of in short.
func (m *modern) announced(e *event.Event) {
	if e.Type != event.MessageCreated {
		return
	}
	id, _ := event.StreamOf(e.Stream)
	m.mu.Lock()
	users := m.beyond[id]
	interested := len(users)
	m.mu.Unlock()
	if interested == 0 {
		return
	}
	var p chat.MessagePayload
	if json.Unmarshal(e.Payload, &p) != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for user := range m.beyond[id] {
		if user != p.Message.Sender.ID && len(m.waiting) < noticesWaiting {
			m.waiting[shortNotice{user, id}] = &p.Message
		}
	}
}

// run sends short notices when their time has come, until ctx ends.
func (m *modern) run(ctx context.Context) {
	tick := time.NewTicker(noticeEvery / 4)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for n, message := range m.due() {
			m.c.tellShort(ctx, n, message)
		}
	}
}

// due takes the notices out that may be sent now.
func (m *modern) due() map[shortNotice]*chat.Message {
	now := m.c.o.Clock()
	m.mu.Lock()
	defer m.mu.Unlock()
	due := make(map[shortNotice]*chat.Message)
	for n, message := range m.waiting {
		if now.Sub(m.told[n]) >= noticeEvery {
			due[n] = message
			m.told[n] = now
			delete(m.waiting, n)
		}
	}
	for n, at := range m.told {
		if now.Sub(at) >= noticeEvery {
			if _, waits := m.waiting[n]; !waits && due[n] == nil {
				delete(m.told, n)
			}
		}
	}
	return due
}

// tellShort tells a person in short of a message, unless it is no longer theirs to see.
func (c *Channels) tellShort(ctx context.Context, n shortNotice, m *chat.Message) {
	v, err := c.o.Chats.Chat(ctx, n.user, n.chat)
	if err != nil {
		return
	}
	mentioned := m.MentionAll
	for _, id := range m.Mentions {
		mentioned = mentioned || id == n.user
	}
	c.notice(ctx, n.user, "message", map[string]any{
		"chat_id": m.Chat, "seq": m.Seq, "event_seq": m.EventSeq, "sender_id": m.Sender.ID, "sender_name": m.Sender.Name,
		"excerpt": chat.Excerpt(m.Text, 120), "unread_count": v.Unread, "mentioned": mentioned,
	})
}

// admitNew subscribes modern clients of users who became members, and forgets theirs
// who no longer are.
func (c *Channels) admitNew(ctx context.Context, node *realtime.Node, e *event.Event) error {
	var users []chat.Person
	switch e.Type {
	case event.RoomMemberJoined:
		var p chat.MemberPayload
		if err := json.Unmarshal(e.Payload, &p); err != nil {
			return err
		}
		users = p.Users
	case event.UserNotice: // also tells the other person of a direct chat of its first message
		var n chat.Notice
		if json.Unmarshal(e.Payload, &n) != nil || n.Event != "chat_added" {
			return nil
		}
		_, user := event.StreamOf(e.Stream)
		users = []chat.Person{{ID: user}}
		var p struct {
			Chat int64 `json:"chat_id"`
		}
		if json.Unmarshal(n.Data, &p) != nil || p.Chat == 0 {
			return nil
		}
		return c.subscribeModern(ctx, node, p.Chat, users)
	default:
		return nil
	}
	id, _ := event.StreamOf(e.Stream)
	return c.subscribeModern(ctx, node, id, users)
}

func (c *Channels) subscribeModern(ctx context.Context, node *realtime.Node, id int64, users []chat.Person) error {
	channel := chatName(id)
	for _, p := range users {
		target := realtime.Target{User: decimal(p.ID), With: userName(p.ID)}
		if !node.Has(target) {
			continue
		}
		if _, err := c.memberships.member(ctx, c.o.Chats, p.ID, id); err != nil {
			continue // gone again
		}
		if err := node.Subscribe(ctx, target, channel, realtime.SubscribeOptions{}); err != nil {
			return err
		}
	}
	return nil
}
