package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/alerts"
	"github.com/kuranty/kuranty/internal/analytics"
	"github.com/kuranty/kuranty/internal/api"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/chatjson"
	"github.com/kuranty/kuranty/internal/files"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/payments"
	"github.com/kuranty/kuranty/internal/privacy"
	"github.com/kuranty/kuranty/internal/status"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/storetest"
	"github.com/kuranty/kuranty/internal/tickets"
	"github.com/kuranty/kuranty/internal/trust"
)

// server is the API on a real database, behind a real socket.
type server struct {
	t         testing.TB
	url       string
	store     *store.Store
	chats     *chat.Service
	accounts  *identity.Accounts
	files     *files.Service
	payments  *payments.Service
	alerts    *alerts.Service
	analytics *analytics.Service
	status    *status.Service
	tickets   *tickets.Service
	trust     *trust.Service
	codes     chan trust.Mail
	api       *api.API
	document  *document
	log       *bytes.Buffer
	mail      chan identity.Mail

	mu     sync.Mutex
	now    time.Time
	events []event.Event
	typed  []string
	people int
}

// options change what is made by start.
type options struct {
	driver   string
	api      func(*api.Options)
	chat     func(*chat.Options)
	accounts func(*identity.Options)
}

const serviceKey = "service-key-of-the-configuration"

func start(t testing.TB, o options) *server {
	t.Helper()
	s := &server{t: t, now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), log: new(bytes.Buffer), mail: make(chan identity.Mail, 10)}
	logger := slog.New(slog.NewTextHandler(&lockedWriter{w: s.log}, &slog.HandlerOptions{Level: slog.LevelError}))
	so := storetest.Options(t, o.driver)
	so.Clock, so.Logger = s.clock, logger
	so.Committed = func(es []event.Event) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.events = append(s.events, es...)
	}
	var err error
	if s.store, err = store.Open(t.Context(), so); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.store.Close() })
	signer, err := identity.NewSigner(identity.SignerOptions{HMACSecret: strings.Repeat("c", 32)})
	if err != nil {
		t.Fatal(err)
	}
	io := identity.Options{
		Now: s.clock, Secret: strings.Repeat("s", 32), Signer: signer, Logger: logger, Passwords: identity.PasswordOptions{Memory: 19 << 10},
		ServiceKeys: []string{serviceKey}, Limits: identity.Limits{Registrations: 1000},
		Mailer: func(_ context.Context, m identity.Mail) error { s.mail <- m; return nil },
	}
	if o.accounts != nil {
		o.accounts(&io)
	}
	if s.accounts, err = identity.NewAccounts(s.store.Accounts(), io); err != nil {
		t.Fatal(err)
	}
	co := chat.Options{Store: s.store.Chat(), Clock: s.clock, Limits: chat.Limits{
		SendPerSecond: -1, ChatPerSecond: -1, TypingPerSecond: -1, SearchPerMinute: -1, ChatsPerMinute: -1, ChatsPerDay: -1, UploadsPerMinute: -1,
	}}
	if o.chat != nil {
		o.chat(&co)
	}
	s.chats = chat.New(co)
	s.files, err = files.New(files.Options{
		Folder: filepath.Join(t.TempDir(), "files"), Store: s.store.Files(), Access: s.store.FileAccess(), Secret: []byte(strings.Repeat("f", 32)), Clock: s.clock,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.files.Close() })
	if s.alerts, err = alerts.New(alerts.Options{Store: s.store.Alerts(), Inspect: plain{}, Clock: s.clock, Logger: logger}); err != nil {
		t.Fatal(err)
	}
	s.payments = payments.New(payments.Options{Store: s.store.Payments(), Clock: s.clock})
	s.tickets = tickets.NewService(tickets.Options{Store: s.store.Tickets(), Clock: s.clock})
	s.status = status.New(status.Options{Store: s.store.StatusPage(), Clock: s.clock, Logger: logger, Probes: []status.Probe{steady("database"), steady("log")}})
	s.codes = make(chan trust.Mail, 10)
	s.trust, err = trust.New(trust.Options{
		Store: s.store.Trust(), Secret: []byte(strings.Repeat("t", 32)), Clock: s.clock, Logger: logger, PerHour: -1,
		Mailer: func(_ context.Context, m trust.Mail) error { s.codes <- m; return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	s.analytics = analytics.New(analytics.Options{Store: s.store.Analytics(), Clock: s.clock, Logger: logger})
	guard, err := privacy.New(privacy.Options{
		Parts: []privacy.Part{s.alerts.Part(), s.status, s.tickets.Personal(), s.payments.Part(), s.trust.Personal(), s.analytics.Part()},
		Store: s.store.Privacy(), Chats: s.chats, Accounts: s.accounts, Files: s.files, Folder: filepath.Join(t.TempDir(), "exports"), Clock: s.clock, Logger: logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { guard.Close() })
	ao := api.Options{
		Privacy: guard, Alerts: s.alerts, Analytics: s.analytics, Status: s.status, Payments: s.payments, Trust: s.trust, Tickets: s.tickets,
		Chats: s.chats, Accounts: s.accounts, Files: s.files, Typing: s, Replies: s.store, Links: links{s.files},
		Presence: chat.NewPresence(chat.PresenceOptions{Store: s.store.Chat(), Changed: func(int64, bool, int64) {}, Clock: s.clock}),
		Clock:    s.clock, Logger: logger, RequestsPerMinute: -1, AnonymousPerMinute: -1,
	}
	if o.api != nil {
		o.api(&ao)
	}
	if s.api, err = api.New(ao); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s.api.Handler())
	t.Cleanup(web.Close)
	s.url = web.URL
	s.document = readDocument(t, s.url)
	return s
}

func (s *server) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *server) advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

// Set implements api.Typing by the rules of chats.
func (s *server) Set(ctx context.Context, user, chat int64, typing bool) error {
	_, _, err := s.chats.MayType(ctx, user, chat)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.typed = append(s.typed, fmt.Sprintf("user=%d chat=%d %v", user, chat, typing))
	}
	return err
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// links are the addresses of real files, and of avatars made up.
type links struct{ files *files.Service }

func (l links) File(id, variant string) (string, time.Time) { return l.files.URL(id, variant, 0) }

func (links) Avatar(ref string) (string, string) {
	if ref == "" || strings.HasPrefix(ref, "https://") {
		return ref, ref
	}
	return "/avatars/" + ref, "/avatars/" + ref + "_128"
}

var _ chatjson.Links = links{}

// person is somebody who is logged in.
type person struct {
	s     *server
	id    int64
	name  string
	token string
}

const password = "correct horse battery"

// person registers somebody and logs in.
func (s *server) person(name string) *person {
	s.t.Helper()
	s.people++
	g, err := s.accounts.Register(s.t.Context(), identity.NewAccount{
		Name: name, Username: fmt.Sprintf("%s%d", strings.ToLower(name), s.people), Email: fmt.Sprintf("%s%d@example.org", strings.ToLower(name), s.people), Password: password,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return &person{s, g.Account.ID, name, g.AccessToken}
}

// admin registers an administrator and logs in.
func (s *server) admin(name string) *person {
	s.t.Helper()
	p := s.person(name)
	if err := s.accounts.SetRole(s.t.Context(), identity.Operator("test"), p.id, identity.RoleAdmin); err != nil {
		s.t.Fatal(err)
	}
	g, err := s.accounts.Login(s.t.Context(), fmt.Sprintf("%s%d", strings.ToLower(name), s.people), password, identity.Device{})
	if err != nil {
		s.t.Fatal(err)
	}
	p.token = g.AccessToken
	return p
}

func (s *server) anonymous() *person { return &person{s: s, name: "anonymous"} }
func (s *server) service() *person   { return &person{s: s, name: "service", token: serviceKey} }

// group makes a group of its owner and members.
func (s *server) group(owner *person, members ...*person) int64 {
	s.t.Helper()
	ids := make([]int64, len(members))
	for i, m := range members {
		ids[i] = m.id
	}
	v, _, err := s.chats.CreateGroup(s.t.Context(), owner.id, chat.NewGroup{Title: "Группа", Users: ids})
	if err != nil {
		s.t.Fatal(err)
	}
	return v.Chat.ID
}

// said sends a message without HTTP.
func (p *person) said(room int64, text string) chat.Message {
	p.s.t.Helper()
	m, _, err := p.s.chats.Send(p.s.t.Context(), p.id, room, chat.Sending{Text: text, ClientID: event.NewID(p.s.clock())})
	if err != nil {
		p.s.t.Fatal(err)
	}
	return m
}

// answered is an answer.
type answered struct {
	t      testing.TB
	status int
	header http.Header
	body   []byte
}

// call is a request to be made.
type request struct {
	method, path string
	// body is encoded as JSON, unless it is a []byte.
	body   any
	header http.Header
}

// do makes a request, and checks it and the answer against the document.
func (p *person) do(method, path string, body any) *answered {
	p.s.t.Helper()
	return p.send(request{method: method, path: path, body: body})
}

func (p *person) send(q request) *answered {
	t := p.s.t
	t.Helper()
	var content []byte
	kind := ""
	switch b := q.body.(type) {
	case nil:
	case []byte:
		content = b
	default:
		var err error
		if content, err = json.Marshal(b); err != nil {
			t.Fatal(err)
		}
		kind = "application/json"
	}
	r, err := http.NewRequestWithContext(t.Context(), q.method, p.s.url+q.path, bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	if p.token != "" {
		r.Header.Set("Authorization", "Bearer "+p.token)
	}
	for name, values := range q.header {
		r.Header[name] = values
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	out := &answered{t: t, status: resp.StatusCode, header: resp.Header}
	if out.body, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	if resp.Header.Get("X-Request-Id") == "" {
		t.Errorf("%s %s: no request id", q.method, q.path)
	}
	p.s.document.check(t, r, content, out)
	return out
}

// want checks the status.
func (a *answered) want(status int) *answered {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	return a
}

// refused checks the status and the code of an error.
func (a *answered) refused(status int, code string) *answered {
	a.t.Helper()
	a.want(status)
	if got := a.str("error.code"); got != code || a.header.Get("X-Error-Code") != code {
		a.t.Errorf("code %s (%s), want %s: %s", got, a.header.Get("X-Error-Code"), code, a.body)
	}
	return a
}

// at returns what lies at a path like "messages.0.text".
func (a *answered) at(path string) any {
	a.t.Helper()
	var v any
	d := json.NewDecoder(bytes.NewReader(a.body))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		a.t.Fatalf("%v: %q", err, a.body)
	}
	if path == "" {
		return v
	}
	for _, name := range strings.Split(path, ".") {
		switch in := v.(type) {
		case map[string]any:
			v = in[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(in) {
				a.t.Fatalf("%s: no such place in %s", path, a.body)
			}
			v = in[i]
		default:
			a.t.Fatalf("%s: no such place in %s", path, a.body)
		}
	}
	return v
}

func (a *answered) str(path string) string { a.t.Helper(); return fmt.Sprint(a.at(path)) }

func (a *answered) num(path string) int64 {
	a.t.Helper()
	n, ok := a.at(path).(json.Number)
	if !ok {
		a.t.Fatalf("%s is no number in %s", path, a.body)
	}
	i, err := n.Int64()
	if err != nil {
		a.t.Fatal(err)
	}
	return i
}

// is checks values at paths, which come in pairs.
func (a *answered) is(pairs ...any) *answered {
	a.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		path := pairs[i].(string)
		if got, want := a.at(path), pairs[i+1]; fmt.Sprint(got) != fmt.Sprint(want) {
			a.t.Errorf("%s = %v, want %v in %s", path, got, want, a.body)
		}
	}
	return a
}

func (a *answered) len(path string) int {
	a.t.Helper()
	list, ok := a.at(path).([]any)
	if !ok {
		a.t.Fatalf("%s is no list in %s", path, a.body)
	}
	return len(list)
}

type obj = map[string]any

// explosive panics when asked.
type explosive struct{}

func (explosive) Status(context.Context, int64, []int64) (map[int64]chat.Status, error) {
	panic("boom")
}

const freshLogin = 15 * time.Minute

func longTokens(o *identity.Options) { o.AccessTTL = time.Hour }
