package channels_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/channels"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/chatjson"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/outbox"
	"github.com/kuranty/kuranty/internal/policy"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
)

// limit bounds everything a test waits for, on a loaded machine.
const limit = 20 * time.Second

// closed is a policy that knows a client by a header and allows nothing.
func closed(t testing.TB) *policy.Policy {
	t.Helper()
	p, err := policy.New(policy.Options{
		UserIDHeader: userHeader, MaxLength: 255, ChannelLimit: 128, NamespaceBoundary: ":", PrivatePrefix: "$",
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const userHeader = "X-User"

// gate is a policy that lets in everybody, also without a name.
type gate struct{ *policy.Policy }

func (g gate) Connect(ctx context.Context, in realtime.Connecting) (realtime.Credentials, error) {
	if len(in.Peer.Headers) == 0 {
		return realtime.Credentials{}, nil
	}
	return g.Policy.Connect(ctx, in)
}

// stage is one node with everything that channels stand on.
type stage struct {
	*channels.Channels
	t        testing.TB
	store    *store.Store
	chats    *chat.Service
	accounts *identity.Accounts
	log      *outbox.Log
	node     *realtime.Node
	asked    counting
	rendered atomic.Int64
	stop     func()
}

// counting counts what channels ask of the chat service.
type counting struct {
	*chat.Service
	places, members atomic.Int64
	// before, if not nil, is called before a membership is answered, after it was read.
	before func(user, id int64)
}

func (c *counting) Places(ctx context.Context, user int64, n int) ([]chat.Place, error) {
	c.places.Add(1)
	places, err := c.Service.Places(ctx, user, n)
	if c.before != nil {
		c.before(user, 0)
	}
	return places, err
}

func (c *counting) Membership(ctx context.Context, user, id int64) (chat.Member, chat.Chat, error) {
	c.members.Add(1)
	m, room, err := c.Service.Membership(ctx, user, id)
	if c.before != nil {
		c.before(user, id)
	}
	return m, room, err
}

type noLinks struct{}

func (noLinks) File(string, string) (url string, expires time.Time) { return "", time.Time{} }
func (noLinks) Avatar(string) (url, thumb string)                   { return "", "" }

// contract is as much of contract A as channels need.
type contract struct{ chat.Live }

func (contract) Message(_ context.Context, e event.Event) ([]byte, error) {
	return json.Marshal(string(e.Payload))
}
func (contract) Typing(chat.Typist) []byte        { return []byte(`"typing"`) }
func (contract) Status(int64, bool, int64) []byte { return []byte(`"status"`) }
func (contract) Announced(event.Event)            {}
func (contract) Interested(int64)                 {}
func (contract) Read(_, _, _, _ int64, _ int)     {}
func (contract) Delivered(_, _, _ int64, _ int)   {}
func (contract) ChatState(_, _ int64)             {}
func (contract) ListChanged(int64)                {}

// start runs a node called name on a database.
func start(t testing.TB, db store.Options, name string, change func(*channels.Options)) *stage {
	t.Helper()
	s := &stage{t: t}
	quiet := slog.New(slog.DiscardHandler)
	ready := make(chan struct{})
	db.Logger = quiet
	db.Committed = func(events []event.Event) { <-ready; s.log.Committed(events) }
	var err error
	if s.store, err = store.Open(context.Background(), db); err != nil {
		t.Fatal(err)
	}
	if s.accounts, err = identity.NewAccounts(s.store.Accounts(), identity.Options{Secret: "a secret of this test, which is long", Logger: quiet}); err != nil {
		t.Fatal(err)
	}
	s.chats = chat.New(chat.Options{Store: s.store.Chat(), Limits: chat.Limits{
		SendPerSecond: -1, ChatPerSecond: -1, TypingPerSecond: -1, SearchPerMinute: -1, ChatsPerMinute: -1, ChatsPerDay: -1, UploadsPerMinute: -1,
	}})
	s.asked.Service = s.chats
	build := chatjson.New(noLinks{})
	o := channels.Options{
		Sink: "realtime@" + name, Chats: &s.asked, Accounts: s.accounts, Log: s.store, Policy: gate{closed(t)}, Logger: quiet, Contract: contract{},
		Render: func(e event.Event) ([]byte, error) { s.rendered.Add(1); return build.Publication(e) },
	}
	if change != nil {
		change(&o)
	}
	s.Channels = channels.New(o)
	s.chats.Attach(s.Live())
	s.log = outbox.New(s.store, outbox.Options{Logger: quiet}, s.Channels)
	close(ready)
	if err := s.log.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	s.node, err = realtime.New(realtime.Options{Version: "test", Channels: s.Channels, Authorizer: s.Channels, Watcher: s.Channels, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	s.Attach(s.node, s.log.Position(o.Sink))
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{s.node.Run, s.log.Run, s.Run} {
		running.Go(func() {
			if err := run(ctx); err != nil {
				t.Errorf("run: %v", err)
			}
		})
	}
	s.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		if err := s.store.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	t.Cleanup(s.stop)
	return s
}

// people makes n accounts.
func (s *stage) people(n int) []int64 {
	s.t.Helper()
	ids := make([]int64, n)
	for i := range ids {
		a, err := s.accounts.CreateAccount(s.t.Context(), identity.Operator("test"), identity.AccountSpec{Name: ptr("Person"), Username: ptr(fmt.Sprintf("person%d", time.Now().UnixNano()))})
		if err != nil {
			s.t.Fatal(err)
		}
		ids[i] = a.ID
	}
	return ids
}

func ptr[T any](v T) *T { return &v }

// group makes a group of people, the first of whom owns it.
func (s *stage) group(people ...int64) int64 {
	s.t.Helper()
	v, refused, err := s.chats.CreateGroup(s.t.Context(), people[0], chat.NewGroup{Title: "Group", Users: people[1:]})
	if err != nil || len(refused) > 0 {
		s.t.Fatal(err, refused)
	}
	return v.Chat.ID
}

// say sends a message.
func (s *stage) say(user, id int64, text string) chat.Message {
	s.t.Helper()
	m, _, err := s.chats.Send(s.t.Context(), user, id, chat.Sending{Text: text})
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

// announced waits until the node has handled everything that is stored.
func (s *stage) announced() {
	s.t.Helper()
	until(s.t, "everything is announced", func() bool {
		st, err := s.store.Status(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		return st.Unnumbered == 0 && s.log.Position(s.Name()) >= st.Head
	})
}

func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	late := time.After(limit)
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for !done() {
		select {
		case <-again.C:
		case <-late:
			t.Fatalf("%v passed without: %s", limit, what)
		}
	}
}

// client is a connection in memory. Answers and pushes come in order through got.
type client struct {
	t       testing.TB
	user    int64
	session *realtime.Session

	mu     sync.Mutex
	units  []string
	closed string
	ended  bool
}

type lines struct{}

func (lines) Format() protocol.Format              { return protocol.JSON }
func (lines) AppendFrame(dst, units []byte) []byte { return append(append(dst, units...), 0) }
func (lines) AppendClose(dst []byte, c *protocol.Close) []byte {
	return append(fmt.Appendf(dst, "\x01%d %s", c.Code, c.Reason), 0)
}

func (c *client) Framing() realtime.Framing { return lines{} }
func (c *client) AwaitWritable()            {}

func (c *client) Peer() realtime.Peer {
	user := strconv.FormatInt(c.user, 10)
	switch c.user {
	case 0:
		return realtime.Peer{Transport: "test"}
	case -1:
		user = "billing service"
	}
	return realtime.Peer{Transport: "test", Headers: map[string][]string{userHeader: {user}}}
}

func (c *client) TryWrite(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for message := range strings.SplitSeq(strings.TrimSuffix(string(b), "\x00"), "\x00") {
		if why, closes := strings.CutPrefix(message, "\x01"); closes {
			c.closed = why
			continue
		}
		c.units = append(c.units, strings.Split(message, "\n")...)
	}
	return len(b), nil
}

func (c *client) Close(graceful bool) {
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.session.Gone()
}

// take returns what has come since the last call.
func (c *client) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	units := c.units
	c.units = nil
	return units
}

// why returns why the connection was closed, empty if it is open.
func (c *client) why() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// dial opens a connection of user that has not connected.
func (s *stage) dial(user int64) *client {
	c := &client{t: s.t, user: user}
	c.session = s.node.NewSession(c)
	c.session.Start()
	return c
}

// connect opens a connection; more goes into the connect command.
func (s *stage) connect(user int64, more string) *client {
	s.t.Helper()
	c := s.dial(user)
	got := c.call(`{"id":1,"connect":{` + more + `}}`)
	if got == "" { // the answer waits for the database
		until(s.t, "an answer to connect", func() bool { got = strings.Join(c.take(), "\n"); return got != "" || c.why() != "" })
	}
	if !strings.Contains(got, `"client":`) {
		s.t.Fatalf("connect: %s %s", got, c.why())
	}
	return c
}

// call sends a command and returns what has come by the time it was handled.
func (c *client) call(command string) string {
	c.session.Receive([]byte(command))
	c.session.Flush()
	return strings.Join(c.take(), "\n")
}

// result is the answer to a subscribe or history command.
type result struct {
	Recovered    bool
	Epoch        string
	Offset       uint64
	Publications []pub
}

type pub struct {
	Offset uint64
	Data   json.RawMessage
}

type reply struct {
	ID                 int
	Error              *protocol.Error
	Subscribe, History *result
	Push               struct {
		Channel     string
		Pub         *pub
		Unsubscribe *struct{ Code int }
	}
}

func parseUnits(t testing.TB, text string) (replies []reply) {
	t.Helper()
	for line := range strings.Lines(text) {
		var r reply
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("unit %q: %v", line, err)
		}
		replies = append(replies, r)
	}
	return replies
}

// subscribe returns the answer to a subscribe command, of which more is the rest.
func (c *client) subscribe(channel, more string) (result, *protocol.Error) {
	c.t.Helper()
	text := c.call(fmt.Sprintf(`{"id":2,"subscribe":{"channel":%q%s}}`, channel, more))
	for _, r := range parseUnits(c.t, text) {
		if r.ID == 2 && r.Subscribe != nil {
			return *r.Subscribe, nil
		}
		if r.ID == 2 {
			return result{}, r.Error
		}
	}
	c.t.Fatalf("subscribe to %s: %s %s", channel, text, c.why())
	return result{}, nil
}

// history returns the answer to a history command.
func (c *client) history(channel, more string) (result, *protocol.Error) {
	c.t.Helper()
	for _, r := range parseUnits(c.t, c.call(fmt.Sprintf(`{"id":3,"history":{"channel":%q%s}}`, channel, more))) {
		if r.ID == 3 && r.History != nil {
			return *r.History, nil
		}
		if r.ID == 3 {
			return result{}, r.Error
		}
	}
	c.t.Fatalf("history of %s: no answer, %s", channel, c.why())
	return result{}, nil
}

// from is the rest of a subscribe command that recovers.
func from(epoch string, offset uint64) string {
	return fmt.Sprintf(`,"recover":true,"epoch":%q,"offset":%d`, epoch, offset)
}
