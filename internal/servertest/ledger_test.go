package servertest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// ledger is what writers sent and were told, and what collectors saw: the world outside
// the server, which the database must agree with after every crash.
type ledger struct {
	// base is the server's address now.
	base atomic.Pointer[string]
	http *http.Client

	mu    sync.Mutex
	tried map[string]entry // by client id: what was sent
	acked map[string]entry // what was acknowledged
	wrong []string         // what writers were told that they should not have been
}

func (l *ledger) complain(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

// acknowledged is how many messages were.
func (l *ledger) acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// entry is one message.
type entry struct {
	Chat     int64
	Sender   int64
	ClientID string
	Text     string
	ID, Seq  int64
}

// person is an account of the test.
type person struct {
	id    int64
	token string
}

func newLedger() *ledger {
	return &ledger{
		tried: make(map[string]entry), acked: make(map[string]entry),
		http: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16}},
	}
}

// at tells everybody where the server is.
func (l *ledger) at(url string) {
	l.base.Store(&url)
	l.http.CloseIdleConnections()
}

// statusError is an answer that says no.
type statusError struct {
	status int
	body   string
}

func (e *statusError) Error() string { return fmt.Sprintf("status %d: %s", e.status, e.body) }

// call makes a request of p, decodes the answer into out, and returns its status.
func (l *ledger) call(ctx context.Context, p person, method, path string, in, out any) (int, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return 0, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, *l.base.Load()+path, body)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	if p.token != "" {
		req.Header.Set("Authorization", "Bearer "+p.token)
	}
	res, err := l.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
	if res.StatusCode >= 300 {
		return res.StatusCode, &statusError{res.StatusCode, string(b)}
	}
	if out != nil {
		err = json.Unmarshal(b, out)
	}
	return res.StatusCode, err
}

// people registers n accounts and puts them into chats.
func (l *ledger) people(t *testing.T, n, chats int) (people []person, ids []int64) {
	t.Helper()
	for i := range n {
		var grant struct {
			AccessToken string `json:"access_token"`
			User        struct{ ID int64 }
		}
		_, err := l.call(t.Context(), person{}, "POST", "/api/v2/auth/register", map[string]any{
			"name": fmt.Sprintf("Writer %d", i), "username": fmt.Sprintf("writer%d", i), "password": "correct horse battery staple",
		}, &grant)
		if err != nil {
			t.Fatalf("register: %v", err)
		}
		people = append(people, person{grant.User.ID, grant.AccessToken})
	}
	var others []int64
	for _, p := range people[1:] {
		others = append(others, p.id)
	}
	for i := range chats {
		var c struct{ ID int64 }
		_, err := l.call(t.Context(), people[0], "POST", "/api/v2/chats", map[string]any{
			"kind": "group", "title": fmt.Sprintf("Chat %d", i), "user_ids": others,
		}, &c)
		if err != nil {
			t.Fatalf("create chat: %v", err)
		}
		ids = append(ids, c.ID)
	}
	return people, ids
}

// write sends messages as p until ctx ends, and each again until it is acknowledged or
// refused for good.
func (l *ledger) write(ctx context.Context, p person, name string, chats []int64) {
	for n := 0; ctx.Err() == nil; n++ {
		e := entry{
			Chat: chats[rand.IntN(len(chats))], Sender: p.id, ClientID: fmt.Sprintf("%s-%d", name, n),
			Text: fmt.Sprintf("Сообщение %d of %s", n, name),
		}
		l.mu.Lock()
		l.tried[e.ClientID] = e
		l.mu.Unlock()
		if !l.insist(context.WithoutCancel(ctx), p, e) {
			return
		}
	}
}

// insist sends e until it is acknowledged.
func (l *ledger) insist(ctx context.Context, p person, e entry) bool {
	var status int
	var err error
	for late := time.Now().Add(limit); time.Now().Before(late); {
		var m struct{ ID, Seq int64 }
		status, err = l.call(ctx, p, "POST", fmt.Sprintf("/api/v2/chats/%d/messages", e.Chat), map[string]any{
			"client_id": e.ClientID, "text": e.Text,
		}, &m)
		if err == nil {
			e.ID, e.Seq = m.ID, m.Seq
			l.mu.Lock()
			l.acked[e.ClientID] = e
			l.mu.Unlock()
			return true
		}
		if refused := (*statusError)(nil); errors.As(err, &refused) && status < 500 && status != http.StatusTooManyRequests {
			l.complain("message %s was refused: %v", e.ClientID, err)
			return false
		}
		time.Sleep(time.Duration(5+rand.IntN(20)) * time.Millisecond) // the server is being started
	}
	l.complain("message %s was never acknowledged, at last: %v", e.ClientID, err)
	return false
}

// stored reads a whole chat.
func (l *ledger) stored(t *testing.T, p person, chat int64) []entry {
	t.Helper()
	var all []entry
	for after := int64(0); ; {
		var page struct {
			Messages []struct {
				ID       int64  `json:"id"`
				Seq      int64  `json:"seq"`
				Sender   int64  `json:"sender_id"`
				ClientID string `json:"client_id"`
				Text     string `json:"text"`
				Type     string `json:"message_type"`
			}
			HasAfter bool `json:"has_after"`
		}
		if _, err := l.call(t.Context(), p, "GET", fmt.Sprintf("/api/v2/chats/%d/messages?after=%d&limit=200", chat, after), nil, &page); err != nil {
			t.Fatalf("read chat %d: %v", chat, err)
		}
		for _, m := range page.Messages {
			e := entry{Chat: chat, Sender: m.Sender, ClientID: m.ClientID, Text: m.Text, ID: m.ID, Seq: m.Seq}
			if m.Type == "system" {
				e.ClientID = ""
			}
			all = append(all, e)
			after = m.Seq
		}
		if !page.HasAfter || len(page.Messages) == 0 {
			return all
		}
	}
}

// check compares the database, the collectors and the ledger. It returns what does not
// agree.
func (l *ledger) check(t *testing.T, reader person, chats []int64, collectors []*collector) (wrong []string) {
	t.Helper()
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	wrong = slices.Clone(l.wrong)
	found := map[string]entry{}
	top := map[int64]int64{}
	messages := map[int64]map[int64]entry{} // chat → seq
	for _, chat := range chats {
		messages[chat] = map[int64]entry{}
		for i, e := range l.stored(t, reader, chat) {
			if e.Seq != int64(i+1) {
				say("chat %d: number %d follows %d", chat, e.Seq, i)
			}
			top[chat], messages[chat][e.Seq] = e.Seq, e
			if e.ClientID == "" {
				continue
			}
			if was, twice := found[e.ClientID]; twice {
				say("%s is stored twice, as %d and %d", e.ClientID, was.ID, e.ID)
			}
			found[e.ClientID] = e
			if sent, ok := l.tried[e.ClientID]; !ok || sent.Text != e.Text || sent.Sender != e.Sender || sent.Chat != e.Chat {
				say("%s is stored as %+v, sent as %+v", e.ClientID, e, sent)
			}
		}
	}
	for id, e := range l.acked {
		if found[id] != e {
			say("%s was acknowledged as %+v, stored is %+v", id, e, found[id])
		}
	}
	for i, c := range collectors {
		for _, chat := range chats {
			for _, w := range c.compare(chat, messages[chat]) {
				say("collector %d: %s", i, w)
			}
		}
	}
	return wrong
}

// sighting is what a collector remembers of one offset.
type sighting struct {
	data    []byte
	id, seq int64
	message bool
}

// collector is a client that stays subscribed to chats, coming back after each crash
// and recovering what it missed.
type collector struct {
	l     *ledger
	who   person
	chats []int64

	mu    sync.Mutex
	seen  map[int64]map[uint64]sighting // chat → offset
	pos   map[int64]uint64
	epoch map[int64]string
	wrong []string
	lost  int // times the server said that it could not recover
}

func newCollector(l *ledger, who person, chats []int64) *collector {
	c := &collector{l: l, who: who, chats: chats, seen: map[int64]map[uint64]sighting{}, pos: map[int64]uint64{}, epoch: map[int64]string{}}
	for _, chat := range chats {
		c.seen[chat] = map[uint64]sighting{}
	}
	return c
}

// run collects until ctx ends.
func (c *collector) run(ctx context.Context) {
	for ctx.Err() == nil {
		_ = c.session(ctx) // it ends with each crash
		time.Sleep(10 * time.Millisecond)
	}
}

// session connects, subscribes and reads until the connection ends.
func (c *collector) session(ctx context.Context) error {
	var token struct{ Token string }
	if _, err := c.l.call(ctx, c.who, "POST", "/api/v2/auth/connection-token", nil, &token); err != nil {
		return err
	}
	conn, err := connect("ws"+(*c.l.base.Load())[len("http"):]+"/connection/websocket", token.Token, nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	for i, chat := range c.chats {
		cmd := fmt.Sprintf(`{"id":%d,"subscribe":{"channel":"chat:%d"`, i+2, chat)
		if epoch := c.epoch[chat]; epoch != "" {
			cmd += fmt.Sprintf(`,"recover":true,"offset":%d,"epoch":%q`, c.pos[chat], epoch)
		}
		if err := conn.send(cmd + "}}"); err != nil {
			return err
		}
	}
	for {
		unit, err := conn.next()
		if err != nil {
			return err
		}
		if err := c.take(unit); err != nil {
			return err
		}
	}
}

// errInternal is what a subscription is told while the database is away: come back.
var errInternal = errors.New("internal server error")

// pushed is what collectors understand of a unit.
type pushed struct {
	ID        uint32
	Error     *struct{ Code int }
	Subscribe *struct {
		Epoch         string
		Offset        uint64
		Recovered     bool
		WasRecovering bool `json:"was_recovering"`
		Publications  []pub
	}
	Push *struct {
		Channel string
		Pub     *pub
	}
}

type pub struct {
	Data   json.RawMessage
	Offset uint64
}

func (c *collector) take(unit []byte) error {
	var p pushed
	if err := json.Unmarshal(unit, &p); err != nil {
		return fmt.Errorf("malformed unit %s", unit)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case p.Error != nil && p.Error.Code == 100:
		return errInternal
	case p.Error != nil:
		c.complain("command %d: error %d", p.ID, p.Error.Code)
	case p.Subscribe != nil:
		chat := c.chats[p.ID-2]
		s := p.Subscribe
		if s.WasRecovering && !s.Recovered {
			c.lost++
		}
		if !s.Recovered {
			c.pos[chat] = s.Offset
		}
		c.epoch[chat] = s.Epoch
		for _, pub := range s.Publications {
			c.add(chat, pub)
		}
	case p.Push != nil && p.Push.Pub != nil:
		var chat int64
		if _, err := fmt.Sscanf(p.Push.Channel, "chat:%d", &chat); err == nil && p.Push.Pub.Offset > 0 {
			c.add(chat, *p.Push.Pub)
		}
	}
	return nil
}

// add remembers a publication, which must follow the one before it.
func (c *collector) add(chat int64, p pub) {
	if p.Offset != c.pos[chat]+1 {
		c.complain("chat %d: offset %d follows %d", chat, p.Offset, c.pos[chat])
	}
	c.pos[chat] = p.Offset
	var m struct {
		Type    string
		ID, Seq int64
	}
	if err := json.Unmarshal(p.Data, &m); err != nil {
		c.complain("chat %d: offset %d: %v", chat, p.Offset, err)
	}
	if was, ok := c.seen[chat][p.Offset]; ok && !bytes.Equal(was.data, p.Data) {
		c.complain("chat %d: offset %d was %s and is %s", chat, p.Offset, was.data, p.Data)
	}
	message := m.Type == "message" || m.Type == "system"
	c.seen[chat][p.Offset] = sighting{slices.Clone(p.Data), m.ID, m.Seq, message && m.Seq > 0}
}

func (c *collector) complain(format string, args ...any) {
	if len(c.wrong) < 20 {
		c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
	}
}

// reached tells whether the collector has got message seq of each chat.
func (c *collector) reached(tops map[int64]int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for chat, top := range tops {
		newest := int64(0)
		for _, p := range c.seen[chat] {
			newest = max(newest, p.seq)
		}
		if newest < top {
			return false
		}
	}
	return true
}

// compare tells in what the channel differs from the stored messages of a chat: from the
// first it saw on, each reached it once, under the number it is stored with.
func (c *collector) compare(chat int64, messages map[int64]entry) (wrong []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wrong = slices.Clone(c.wrong)
	first := int64(0)
	got := map[int64]bool{}
	for offset, p := range c.seen[chat] {
		if !p.message {
			continue
		}
		if got[p.seq] {
			wrong = append(wrong, fmt.Sprintf("chat %d: message %d came twice", chat, p.seq))
		}
		got[p.seq] = true
		if m := messages[p.seq]; m.ID != p.id {
			wrong = append(wrong, fmt.Sprintf("chat %d: offset %d announced message %d as number %d, stored there is %d", chat, offset, p.id, p.seq, m.ID))
		}
		if first == 0 || p.seq < first {
			first = p.seq
		}
	}
	if c.lost > 0 {
		return append(wrong, fmt.Sprintf("chat %d: %d times not recovered", chat, c.lost))
	}
	for seq := range messages {
		if first > 0 && seq > first && !got[seq] {
			wrong = append(wrong, fmt.Sprintf("chat %d: message %d never came", chat, seq))
		}
	}
	return wrong
}
