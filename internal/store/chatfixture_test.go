package store_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/storetest"
)

// chats is a chat service on a fresh database, with what tests need to set the stage.
type chats struct {
	*chat.Service
	t     testing.TB
	store *store.Store
	clock *clock
	live  *live
	path  string // of SQLite's file
	dsn   string // of PostgreSQL
	made  int64  // chats and people made
}

// onChats runs a test on SQLite and on PostgreSQL. o are options of the service; store,
// clock and limits are filled in, so that no rate gets in the way unless it is set.
func onChats(t *testing.T, o chat.Options, f func(t *testing.T, c *chats)) {
	for _, driver := range []string{store.SQLite, store.Postgres} {
		t.Run(driver, func(t *testing.T) { f(t, openChats(t, driver, o)) })
	}
}

func openChats(t testing.TB, driver string, o chat.Options) *chats {
	t.Helper()
	return openChatsOn(t, storetest.Options(t, driver), o)
}

// openChatsOn is openChats on a database that the test chose.
func openChatsOn(t testing.TB, so store.Options, o chat.Options) *chats {
	t.Helper()
	c := &chats{
		t: t, clock: &clock{now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}, live: new(live),
		path: so.Path, dsn: so.DSN,
	}
	so.Clock = c.clock.Now
	s, err := store.Open(t.Context(), so)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	c.store = s
	o.Store, o.Clock = s.Chat(), c.clock.Now
	if o.Live == nil {
		o.Live = c.live
	}
	if o.Limits == (chat.Limits{}) {
		o.Limits = chat.Limits{
			SendPerSecond: -1, ChatPerSecond: -1, TypingPerSecond: -1, SearchPerMinute: -1,
			ChatsPerMinute: -1, ChatsPerDay: -1, UploadsPerMinute: -1,
		}
	}
	c.Service = chat.New(o)
	return c
}

// clock is a clock that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// live remembers what the service told.
type live struct {
	mu   sync.Mutex
	told []string
}

func (l *live) note(format string, a ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, fmt.Sprintf(format, a...))
}

// take returns what was told since the last call.
func (l *live) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	told := l.told
	l.told = nil
	return told
}

func (l *live) Read(chat, user, readSeq, message int64, members int) {
	l.note("read chat=%d user=%d seq=%d message=%d members=%d", chat, user, readSeq, message, members)
}

func (l *live) Delivered(chat, user, seq int64, members int) {
	l.note("delivered chat=%d user=%d seq=%d members=%d", chat, user, seq, members)
}
func (l *live) ChatState(user, chat int64) { l.note("state user=%d chat=%d", user, chat) }
func (l *live) ListChanged(user int64)     { l.note("list user=%d", user) }

// person adds a user called name and returns the id.
func (c *chats) person(name string) int64 {
	c.t.Helper()
	c.made++
	id := c.made
	c.store.MustExec(c.t, `INSERT INTO users (id, name, username, role, kind, state, privacy, search_name, created_at, updated_at)
		VALUES ($1, $2, $3, 'user', 'human', 'active', '{}', $3, 0, 0)`, id, name, fmt.Sprintf("%s%d", name, id))
	return id
}

// people adds n users.
func (c *chats) people(n int) []int64 {
	c.t.Helper()
	ids := make([]int64, n)
	for i := range ids {
		ids[i] = c.person("user")
	}
	return ids
}

// group adds a group of which the first user is the owner and the others plain members.
func (c *chats) group(users ...int64) int64 {
	c.t.Helper()
	return c.add(chat.Group, nil, users)
}

// direct adds the direct chat of two users.
func (c *chats) direct(a, b int64) int64 {
	c.t.Helper()
	return c.add(chat.Direct, fmt.Sprintf("%d:%d", min(a, b), max(a, b)), []int64{a, b})
}

func (c *chats) add(kind string, key any, users []int64) int64 {
	c.t.Helper()
	c.made++
	id := c.made
	c.store.MustExec(c.t, `INSERT INTO chats (id, kind, direct_key, title, owner_id, last_activity_at, member_count, created_by, created_at, updated_at)
		VALUES ($1, $2, $3, $2, $4, 0, $5, $4, 0, 0)`, id, kind, key, users[0], len(users))
	for i, user := range users {
		role := chat.Plain
		if i == 0 && kind == chat.Group {
			role = chat.Owner
		}
		c.store.MustExec(c.t, `INSERT INTO members (chat_id, user_id, role, joined_at) VALUES ($1, $2, $3, 0)`, id, user, role)
	}
	return id
}

// setMember changes one column of a member.
func (c *chats) setMember(id, user int64, column string, value any) {
	c.t.Helper()
	c.store.MustExec(c.t, `UPDATE members SET `+column+` = $1 WHERE chat_id = $2 AND user_id = $3`, value, id, user)
}

// settings changes the settings of a group, given as JSON.
func (c *chats) settings(id int64, json string) {
	c.t.Helper()
	c.store.MustExec(c.t, `UPDATE chats SET settings = $1 WHERE id = $2`, json, id)
}

// send sends a text and returns the message.
func (c *chats) send(user, id int64, text string) chat.Message {
	c.t.Helper()
	m, _, err := c.Send(c.t.Context(), user, id, chat.Sending{Text: text})
	if err != nil {
		c.t.Fatalf("send to chat %d: %v", id, err)
	}
	return m
}

// events returns the events of a stream after a number.
func (c *chats) events(stream string, since int64) []event.Event {
	c.t.Helper()
	return c.store.MustEvents(c.t, stream, since)
}
