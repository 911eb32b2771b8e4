package windi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/channels"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/chatjson"
	"github.com/kuranty/kuranty/internal/compat/windi"
	"github.com/kuranty/kuranty/internal/files"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/outbox"
	"github.com/kuranty/kuranty/internal/policy"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/storetest"
	"github.com/kuranty/kuranty/realtime"
	"github.com/kuranty/kuranty/realtime/transport"
)

const (
	tokenSecret = "secret of connection tokens in tests"
	serviceKey  = "key of a service in tests"
	proxySecret = "secret of the proxy in tests"
	patience    = 20 * time.Second
)

// stage is a server of contract B with everything behind it.
type stage struct {
	t           *testing.T
	url, socket string
	contract    *windi.Contract
	chats       *chat.Service
	accounts    *identity.Accounts
	node        *realtime.Node
	store       *store.Store
	admin       *user
}

// links are addresses of files that nobody opens.
type links struct{}

func (links) File(id, variant string) (string, time.Time) {
	return "/f/" + id + "/" + variant, time.Time{}
}
func (links) Avatar(ref string) (string, string) { return ref, ref }

// watchers are told of connections.
type watchers []realtime.Watcher

func (w watchers) Connected(c realtime.Client) {
	for _, one := range w {
		one.Connected(c)
	}
}

func (w watchers) Disconnected(c realtime.Client) {
	for _, one := range w {
		one.Disconnected(c)
	}
}

// start runs a server; change may change the options of the contract and of the chats.
func start(t *testing.T, change ...func(*windi.Options, *chat.Options)) *stage {
	t.Helper()
	s := &stage{t: t}
	quiet := slog.New(slog.DiscardHandler)
	var log *outbox.Log
	var ch *channels.Channels
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	so := storetest.Options(t, store.SQLite)
	so.Logger, so.Committed = quiet, func(e []event.Event) { log.Committed(e) }
	st, err := store.Open(t.Context(), so)
	must(err)
	s.store = st
	signer, err := identity.NewSigner(identity.SignerOptions{HMACSecret: tokenSecret})
	must(err)
	verifier, err := identity.NewVerifier(identity.VerifierOptions{HMACSecret: tokenSecret})
	must(err)
	s.accounts, err = identity.NewAccounts(st.Accounts(), identity.Options{
		Signer: signer, Logger: quiet, ServiceKeys: []string{serviceKey}, Limits: identity.Limits{Registrations: 1000},
		Passwords: identity.PasswordOptions{Memory: 19 << 10},
	})
	must(err)
	kept, err := files.New(files.Options{
		Folder: filepath.Join(t.TempDir(), "files"), Store: st.Files(), Access: st.FileAccess(), Secret: bytes.Repeat([]byte{7}, 32),
	})
	must(err)
	wo := windi.Options{
		Accounts: s.accounts, Files: kept, Build: chatjson.New(links{}), Epoch: st.Epoch(), Logger: quiet,
		Verifier: verifier, Signer: signer, ProxySecret: proxySecret, Version: "test", CustomEvents: []string{"custom.poll", "custom.game.*"},
	}
	co := chat.Options{Store: st.Chat()}
	for _, f := range change {
		f(&wo, &co)
	}
	s.chats = chat.New(co)
	presence := chat.NewPresence(chat.PresenceOptions{
		Store: st.Chat(), Logger: quiet, Changed: func(user int64, online bool, at int64) { ch.StatusChanged(user, online, at) },
	})
	typing := chat.NewTyping(chat.TypingOptions{Allowed: s.chats.MayType, PerSecond: 1000, Tell: func(who chat.Typist) { ch.Typing(who) }})
	po, err := policy.New(policy.Options{Tokens: verifier, Logger: quiet})
	must(err)
	ch = channels.New(channels.Options{
		Head: func() int64 { return log.Head() },
		Sink: "test", Chats: s.chats, Accounts: s.accounts, Log: st, Policy: po, Render: wo.Build.Publication, Presence: presence, Typing: typing,
		Publish: func(ctx context.Context, user int64, channel string, data []byte) error {
			return s.contract.ClientPublish(ctx, user, channel, data)
		},
		OwnToken: func(context.Context, string, string, string) error { return nil }, Logger: quiet,
	})
	s.chats.Attach(ch.Live())
	log = outbox.New(st, outbox.Options{Logger: quiet}, ch)
	must(log.Load(t.Context()))
	var told watchers
	s.node, err = realtime.New(realtime.Options{Channels: ch, Authorizer: ch, Watcher: &told, Logger: quiet, Version: "test"})
	must(err)
	wo.Chats, wo.Typing, wo.Presence, wo.Realtime = s.chats, typing, presence, s.node
	s.contract = windi.New(wo)
	told = watchers{ch, s.contract}
	ch.Attach(s.node, log.Position("test"))
	web, err := transport.New(s.node, transport.Options{Handler: s.contract.Handler(), Logger: quiet, AllowedOrigins: []string{"*"}})
	must(err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	s.url = "http://" + listener.Addr().String()
	s.socket = "ws://" + listener.Addr().String() + "/connection/websocket"
	s.run(st, kept, web, listener, log, ch, presence, typing)
	s.admin = s.newAdmin()
	return s
}

func (s *stage) run(st *store.Store, kept *files.Service, web *transport.Server, ln net.Listener, parts ...interface{ Run(context.Context) error }) {
	ctx, cancel := context.WithCancel(context.Background())
	work := []func(context.Context) error{s.node.Run, func(ctx context.Context) error { return web.Serve(ctx, ln) }}
	for _, p := range parts {
		work = append(work, p.Run)
	}
	ended := make(chan error, len(work))
	for _, f := range work {
		go func() { ended <- f(ctx) }()
	}
	s.t.Cleanup(func() {
		cancel()
		for range work {
			if err := <-ended; err != nil {
				s.t.Error(err)
			}
		}
		if err := st.Close(); err != nil {
			s.t.Error(err)
		}
		kept.Close()
	})
}

// user is somebody who has logged in.
type user struct {
	*stage
	id                     int64
	name                   string
	access, session, token string
}

// newUser makes an account and logs it in through the contract.
func (s *stage) newUser(name string) *user {
	s.t.Helper()
	guest := &user{stage: s}
	email := fmt.Sprintf("u%d@example.org", time.Now().UnixNano())
	guest.call("POST", "/users/register", object{"name": name, "email": email, "password": "correct horse " + name}).want(201)
	in := guest.call("POST", "/users/login", object{"email": email, "password": "correct horse " + name}).want(200)
	return s.loggedIn(name, in)
}

func (s *stage) loggedIn(name string, in *answer) *user {
	u := &user{stage: s, name: name}
	u.id = int64(in.get("user", "id").(float64))
	u.access, u.session = in.get("access_token").(string), in.get("session_id").(string)
	u.token = in.get("centrifugo_token").(string)
	return u
}

func (s *stage) newAdmin() *user {
	s.t.Helper()
	_, _, err := s.accounts.EnsureAdmin(s.t.Context(), identity.NewAccount{
		Name: "Root", Username: "root", Email: "root@example.org", Password: "correct horse root",
	})
	if err != nil {
		s.t.Fatal(err)
	}
	in := (&user{stage: s}).call("POST", "/users/login", object{"username": "root", "password": "correct horse root"}).want(200)
	return s.loggedIn("Root", in)
}

// group makes a group of u and others.
func (u *user) group(others ...*user) int64 {
	u.t.Helper()
	ids := []int64{}
	for _, o := range others {
		ids = append(ids, o.id)
	}
	made := u.call("POST", "/chats", object{"type": "group", "name": "Команда", "user_ids": ids}).want(201)
	return int64(made.get("id").(float64))
}

type object = map[string]any

// answer is what the server answered.
type answer struct {
	t      *testing.T
	what   string
	status int
	header http.Header
	raw    []byte
	body   any
}

// call makes a request. A body that is a string is a form, []byte is JSON as it is.
func (u *user) call(method, path string, body ...any) *answer {
	u.t.Helper()
	return u.callWith(method, path, nil, body...)
}

func (u *user) callWith(method, path string, header http.Header, body ...any) *answer {
	u.t.Helper()
	var in io.Reader
	kind := "application/json"
	if len(body) > 0 {
		switch b := body[0].(type) {
		case string:
			in, kind = strings.NewReader(b), "application/x-www-form-urlencoded"
		case []byte:
			in = bytes.NewReader(b)
		default:
			j, err := json.Marshal(b)
			if err != nil {
				u.t.Fatal(err)
			}
			in = bytes.NewReader(j)
		}
	}
	r, err := http.NewRequestWithContext(u.t.Context(), method, u.url+"/api/v1"+path, in)
	if err != nil {
		u.t.Fatal(err)
	}
	r.Header.Set("Content-Type", kind)
	if u.access != "" {
		r.Header.Set("Authorization", "Bearer "+u.access)
	}
	for name, values := range header {
		r.Header[name] = values
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		u.t.Fatal(err)
	}
	defer res.Body.Close()
	a := &answer{t: u.t, what: method + " " + path, status: res.StatusCode, header: res.Header}
	if a.raw, err = io.ReadAll(res.Body); err != nil {
		u.t.Fatal(err)
	}
	if err := json.Unmarshal(a.raw, &a.body); err != nil {
		u.t.Fatalf("%s: %d %q: %v", a.what, a.status, a.raw, err)
	}
	return a
}

// want checks the status.
func (a *answer) want(status int) *answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: status %d, want %d: %s", a.what, a.status, status, a.raw)
	}
	return a
}

// get returns what is at a path of names and indexes; nil if nothing is.
func (a *answer) get(path ...any) any {
	a.t.Helper()
	return dig(a.body, path...)
}

func dig(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			o, _ := v.(object)
			v = o[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

// is checks what is at a path against its JSON.
func (a *answer) is(want string, path ...any) *answer {
	a.t.Helper()
	got, err := json.Marshal(a.get(path...))
	if err != nil {
		a.t.Fatal(err)
	}
	if string(got) != want {
		a.t.Errorf("%s: %v is %s, want %s", a.what, path, got, want)
	}
	return a
}

// connection is a realtime client that speaks JSON frames.
type connection struct {
	t      *testing.T
	ws     *websocket.Conn
	id     string
	next   int
	pushes []object
}

// connect opens a connection with u's token.
func (u *user) connect() *connection {
	u.t.Helper()
	ctx, cancel := context.WithTimeout(u.t.Context(), patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, u.socket, nil)
	if err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(func() { ws.CloseNow() })
	c := &connection{t: u.t, ws: ws}
	c.id = dig(c.do("connect", object{"token": u.token}), "connect", "client").(string)
	return c
}

// do sends a command and returns the reply; pushes that come before are kept.
func (c *connection) do(name string, params any) object {
	c.t.Helper()
	c.next++
	b, err := json.Marshal(object{"id": c.next, name: params})
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	if err := c.ws.Write(ctx, websocket.MessageText, b); err != nil {
		c.t.Fatal(err)
	}
	for {
		for _, frame := range c.read(ctx) {
			if dig(frame, "id") == float64(c.next) {
				return frame
			}
			c.pushes = append(c.pushes, frame)
		}
	}
}

func (c *connection) read(ctx context.Context) (frames []object) {
	c.t.Helper()
	_, b, err := c.ws.Read(ctx)
	if err != nil {
		c.t.Fatalf("read: %v; pushes so far: %v", err, c.pushes)
	}
	for d := json.NewDecoder(bytes.NewReader(b)); ; {
		var frame object
		if d.Decode(&frame) != nil {
			return frames
		}
		if len(frame) == 0 {
			_ = c.ws.Write(ctx, websocket.MessageText, []byte("{}")) // pong
			continue
		}
		frames = append(frames, frame)
	}
}

// subscribe subscribes and returns the result; the test fails if it is refused.
func (c *connection) subscribe(channel string) object {
	c.t.Helper()
	r := c.do("subscribe", object{"channel": channel})
	if dig(r, "error") != nil {
		c.t.Fatalf("subscribe to %s: %v", channel, r)
	}
	return dig(r, "subscribe").(object)
}

// code is the code of the error of a reply, 0 without one.
func code(reply object) int {
	n, _ := dig(reply, "error", "code").(float64)
	return int(n)
}

// push waits for a push of a kind ("pub", "join", "leave") for which f holds.
func (c *connection) push(kind string, f func(any) bool) any {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	for {
		for i, p := range c.pushes {
			if v := dig(p, "push", kind); v != nil && f(v) {
				c.pushes = append(c.pushes[:i:i], c.pushes[i+1:]...)
				return v
			}
		}
		c.pushes = append(c.pushes, c.read(ctx)...)
	}
}

// published waits for a publication of a type and returns its data.
func (c *connection) published(typ string) any {
	c.t.Helper()
	v := c.push("pub", func(v any) bool { return dig(v, "data", "type") == typ })
	return dig(v, "data")
}

func eq(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}
