package chequite_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/compat/chequite"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/storetest"
)

// secret signs the tokens of the application that users come from, clientSecret those
// with which they connect.
const secret, clientSecret = "the-secret-of-the-application-000", "the-secret-of-connections-0000000"

const serviceKey = "the-key-of-the-configuration"

// world is the contract on a real database, behind a real HTTP server. Events are
// announced as they are stored.
type world struct {
	*chequite.Contract
	t        testing.TB
	url      string
	store    *store.Store
	accounts *identity.Accounts
	chats    *chat.Service
	presence *chat.Presence
	pub      *published
	log      *bytes.Buffer

	mu     sync.Mutex
	events []event.Event
	typed  []chat.Typist
}

func newWorld(t testing.TB, change ...func(*chequite.Options, *chat.Options)) *world {
	t.Helper()
	w := &world{t: t, pub: new(published), log: new(bytes.Buffer)}
	logger := slog.New(slog.NewTextHandler(w.log, nil))
	so := storetest.Options(t, store.SQLite)
	so.Logger, so.Committed = logger, w.committed
	var err error
	if w.store, err = store.Open(t.Context(), so); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.store.Close() }) // the folder goes with it
	verifier, err := identity.NewVerifier(identity.VerifierOptions{HMACSecret: secret})
	if err != nil {
		t.Fatal(err)
	}
	signer, err := identity.NewSigner(identity.SignerOptions{HMACSecret: clientSecret})
	if err != nil {
		t.Fatal(err)
	}
	w.accounts, err = identity.NewAccounts(w.store.Accounts(), identity.Options{
		Mode: identity.External, ServiceKeys: []string{serviceKey}, External: identity.ExternalOptions{Verifier: verifier}, Signer: signer, Logger: logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.presence = chat.NewPresence(chat.PresenceOptions{Store: w.store.Chat(), Changed: func(int64, bool, int64) {}, Logger: logger})
	o := chequite.Options{
		Authenticate: w.accounts.Authenticate,
		ConnectionToken: func(ctx context.Context, by identity.Caller) (string, time.Time, error) {
			return w.accounts.ConnectionToken(ctx, by, time.Hour)
		},
		Presence: w.presence, Links: links{}, Publisher: w.pub, Location: moscow(t), Logger: logger,
	}
	co := chat.Options{Store: w.store.Chat(), Limits: chat.Limits{
		SendPerSecond: -1, ChatPerSecond: -1, TypingPerSecond: -1, SearchPerMinute: -1, ChatsPerMinute: -1, ChatsPerDay: -1,
	}}
	for _, f := range change {
		f(&o, &co)
	}
	w.chats = chat.New(co)
	o.Chats = w.chats
	o.Typing = chat.NewTyping(chat.TypingOptions{Allowed: w.chats.MayType, PerSecond: -1, Tell: func(who chat.Typist) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.typed = append(w.typed, who)
	}})
	w.Contract = chequite.New(o)
	w.chats.Attach(w.Contract)
	server := httptest.NewServer(w.Handler())
	t.Cleanup(server.Close)
	w.url = server.URL

	ctx, cancel := context.WithCancel(context.Background())
	var g sync.WaitGroup
	g.Go(func() { _ = w.Run(ctx) })
	t.Cleanup(func() { cancel(); g.Wait() })
	return w
}

// committed announces events, on the goroutine that writes: the contract must not block.
func (w *world) committed(events []event.Event) {
	w.mu.Lock()
	w.events = append(w.events, events...)
	w.mu.Unlock()
	for _, e := range events {
		if w.Contract != nil {
			w.Announced(e)
		}
	}
}

// newest returns the newest event of a type.
func (w *world) newest(typ string) event.Event {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := len(w.events) - 1; i >= 0; i-- {
		if w.events[i].Type == typ {
			return w.events[i]
		}
	}
	w.t.Fatalf("no event %s", typ)
	return event.Event{}
}

// person is a user with a client.
type person struct {
	w     *world
	id    int64
	token string
}

// person makes a user of the application; the server learns of them by the first call.
func (w *world) person(name string, claims ...string) *person {
	w.t.Helper()
	all := jwt.MapClaims{"sub": "ext-" + name, "name": name, "exp": time.Now().Add(time.Hour).Unix()}
	for i := 0; i < len(claims); i += 2 {
		all[claims[i]] = claims[i+1]
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, all).SignedString([]byte(secret))
	if err != nil {
		w.t.Fatal(err)
	}
	p := &person{w: w, token: token}
	var me struct{ ID int64 }
	p.get("/api/get-user-info").into(200, &me)
	p.id = me.ID
	return p
}

// answer is what the server said.
type answer struct {
	t      testing.TB
	what   string
	status int
	header http.Header
	body   []byte
}

// into decodes the body of an answer that must have a status.
func (a answer) into(status int, v any) answer {
	a.t.Helper()
	a.is(status)
	if err := json.Unmarshal(a.body, v); err != nil {
		a.t.Fatalf("%s: %v in %s", a.what, err, a.body)
	}
	return a
}

// is checks the status, and that the answer is JSON that nobody keeps.
func (a answer) is(status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: status %d, want %d: %s", a.what, a.status, status, a.body)
	}
	if h := a.header; h.Get("Content-Type") != "application/json" || h.Get("Cache-Control") != "no-store" {
		a.t.Errorf("%s: headers %v", a.what, h)
	}
	return a
}

// refused checks an error: its status and code, and which field it is about, if any.
func (a answer) refused(status int, code, field string) {
	a.t.Helper()
	var e struct {
		Message string
		Errors  map[string][]string
	}
	a.into(status, &e)
	if got := a.header.Get("X-Error-Code"); got != code || a.header.Get("X-Request-Id") == "" {
		a.t.Errorf("%s: code %q, want %q; headers %v", a.what, got, code, a.header)
	}
	if _, ok := e.Errors[field]; e.Message == "" || field != "" && !ok {
		a.t.Errorf("%s: %s, want an error about %q", a.what, a.body, field)
	}
}

func (p *person) get(path string) answer {
	p.w.t.Helper()
	return p.do(http.MethodGet, path, "", "")
}

// post sends JSON.
func (p *person) post(path string, body any, headers ...string) answer {
	p.w.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		p.w.t.Fatal(err)
	}
	return p.do(http.MethodPost, path, "application/json", string(b), headers...)
}

// form sends a form.
func (p *person) form(path string, values url.Values) answer {
	p.w.t.Helper()
	return p.do(http.MethodPost, path, formBody, values.Encode())
}

func (p *person) do(method, path, kind, body string, headers ...string) answer {
	p.w.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, p.w.url+path, bytes.NewReader([]byte(body)))
	if err != nil {
		p.w.t.Fatal(err)
	}
	if p.token != "" {
		r.Header.Set("Authorization", "Bearer "+p.token)
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		p.w.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		p.w.t.Fatal(err)
	}
	return answer{p.w.t, fmt.Sprintf("%s %s %s", method, path, body), res.StatusCode, res.Header, b}
}

// The answers, as clients read them.
type (
	user struct {
		ID       int64
		Email    *string
		Name     string
		IsOnline bool    `json:"is_online"`
		LastSeen *string `json:"last_seen_at"`
	}
	message struct {
		ID, ChatID, Seq int64
		Text            string
		User            user
		WasRead         bool    `json:"was_read"`
		ClientID        *string `json:"client_id"`
		Edited          bool
	}
	messages struct {
		ChatID    int64
		Messages  []message
		Companion struct {
			user
			MembersCount int `json:"members_count"`
		}
		HasMore    bool   `json:"has_more"`
		NextBefore *int64 `json:"next_before"`
	}
	chatItem struct {
		ID          int64
		Name        string `json:"companion_name"`
		LastMessage *struct {
			ID         int64
			Text       string
			SenderName string `json:"sender_name"`
			WasRead    bool   `json:"was_read"`
		} `json:"last_message"`
		CompanionID *int64 `json:"companion_id"`
		Type        string
		Unread      int  `json:"unread_count"`
		IsOnline    bool `json:"is_online"`
	}
)

// open opens the direct chat of two people.
func (p *person) open(other *person) int64 {
	p.w.t.Helper()
	var made struct{ ChatID int64 }
	p.post("/api/chats", map[string]any{"companionId": other.id}).into(200, &made)
	return made.ChatID
}

func messagesOf(id int64) string { return fmt.Sprintf("/api/chats/%d/messages", id) }

func (p *person) send(id int64, text string) (m message) {
	p.w.t.Helper()
	p.post(messagesOf(id), map[string]any{"text": text}).into(200, &m)
	return m
}

func (p *person) messages(id int64, query string) (page messages) {
	p.w.t.Helper()
	p.get(messagesOf(id)+query).into(200, &page)
	return page
}

func (p *person) list() (items []chatItem) {
	p.w.t.Helper()
	p.get("/api/chats").into(200, &items)
	return items
}
