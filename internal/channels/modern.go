package channels

import (
	"context"
	"encoding/json"
	"errors"
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
	// sweepEvery is how often connections are looked for that were never opened.
	sweepEvery = time.Minute
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
	chats map[int64]struct{}
	since time.Time
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
	places, err := c.o.Chats.Places(ctx, user, limit+overflowChats)
	if err != nil {
		return err
	}
	add := func(channel string, p chat.Place) {
		o := c.options(parse(channel))
		o.JoinLeave = o.JoinLeave && p.Members <= c.o.LargeGroup
		o.Source = c.seenFrom(o.Source, p.VisibleFromSeq)
		addSub(cred, channel, realtime.Grant{Options: o, Positioned: true, Recoverable: true})
	}
	add(userName(user), chat.Place{})
	add(system, chat.Place{})
	for i, p := range places {
		if i < limit {
			add(chatName(p.Chat), p)
		} else {
			m.listen(client, user, p.Chat)
		}
	}
	return nil
}

// listen notes that a connection is to be told in short of the messages of a chat.
func (m *modern) listen(client string, user, id int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l, known := m.clients[client]
	if !known {
		l = listener{user: user, chats: make(map[int64]struct{}), since: m.c.o.Clock()}
		m.clients[client] = l
	}
	if _, listens := l.chats[id]; listens {
		return
	}
	l.chats[id] = struct{}{}
	if m.beyond[id] == nil {
		m.beyond[id] = make(map[int64]int)
	}
	m.beyond[id][user]++
}

// leave forgets that a user is told of a chat.
func (m *modern) leave(user, id int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.waiting, shortNotice{user, id})
	if m.beyond[id][user] == 0 {
		return
	}
	m.unlist(user, id)
	for _, l := range m.clients {
		if l.user == user {
			delete(l.chats, id)
		}
	}
}

func (m *modern) unlist(user, id int64) {
	users := m.beyond[id]
	delete(users, user)
	if len(users) == 0 {
		delete(m.beyond, id)
	}
}

// unsay forgets what waits to be told of a message that has been deleted or changed.
func (m *modern) unsay(message int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for n, waiting := range m.waiting {
		if waiting.ID == message {
			delete(m.waiting, n)
		}
	}
}

// disconnect forgets a connection.
func (m *modern) disconnect(client string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.clients[client]
	delete(m.clients, client)
	for id := range l.chats {
		users := m.beyond[id]
		if users[l.user]--; users[l.user] <= 0 {
			m.unlist(l.user, id)
		}
	}
}

// sweep forgets connections that were let in but never opened, of which nobody tells.
func (m *modern) sweep(node *realtime.Node) {
	now := m.c.o.Clock()
	var old []string
	m.mu.Lock()
	for client, l := range m.clients {
		if now.Sub(l.since) > sweepEvery && !node.Has(realtime.Target{User: decimal(l.user), Client: client}) {
			old = append(old, client)
		}
	}
	m.mu.Unlock()
	for _, client := range old {
		m.disconnect(client)
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
	swept := m.c.o.Clock()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if now := m.c.o.Clock(); now.Sub(swept) >= sweepEvery {
			swept = now
			m.sweep(m.c.node.Load())
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

// admitNew subscribes modern clients of users who became members.
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
		if err := json.Unmarshal(e.Payload, &n); err != nil || n.Event != "chat_added" {
			return err
		}
		_, user := event.StreamOf(e.Stream)
		users = []chat.Person{{ID: user}}
		var p struct {
			Chat int64 `json:"chat_id"`
		}
		if err := json.Unmarshal(n.Data, &p); err != nil || p.Chat == 0 {
			return err
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
		m, err := c.memberships.member(ctx, c.o.Chats, p.ID, id)
		if errors.Is(err, chat.ErrNotFound) {
			continue // gone again
		}
		if err != nil {
			return err
		}
		joins := m.size <= c.o.LargeGroup
		err = node.Subscribe(ctx, target, channel, realtime.SubscribeOptions{
			Override: realtime.Override{JoinLeave: &joins, ForcePushJoinLeave: new(bool)},
			Full:     func(client string) { c.modern.listen(client, p.ID, id) },
		})
		if err != nil {
			return err
		}
	}
	return nil
}
