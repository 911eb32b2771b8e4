package chequite_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/compat/chequite"
)

var update = flag.Bool("update", false, "write testdata anew")

// golden compares JSON, laid out for reading, with a file.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(got), "", "  "); err != nil {
		t.Fatalf("%v in %s", err, got)
	}
	b.WriteByte('\n')
	file := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Errorf("%s: %s", file, d)
	}
}

// aFile is a picture of a message, and aLink a file elsewhere.
var (
	aFile = chat.Attachment{
		ID: "f_1", Kind: "image", Name: "a.jpg", MIME: "image/jpeg", Size: 12345, Width: 800, Height: 600,
		Blurhash: "LKO2", SHA256: "ab", Thumb: true,
	}
	aLink = chat.Attachment{Kind: "document", Name: "b.pdf", MIME: "application/pdf", Size: 1, URL: "https://elsewhere/b.pdf"}
)

// scene is what user 1 sees: a chat with user 9, who is away, in which three messages
// stand; one of two empty with user 3, who is there; and a group.
func scene(t *testing.T) (*stage, there) {
	mikhail := chat.PersonView{Person: chat.Person{ID: 9, Name: "Михаил Михайлов", Email: "m@example.com", Avatar: "f_9"}, EmailShown: true}
	alexey := chat.PersonView{Person: chat.Person{ID: 3, Name: "Алексей Алексеев <b>", Email: "hidden@example.com"}}
	peter := chat.PersonView{Person: chat.Person{ID: 1, Name: "Пётр Петров", Email: "p@example.com"}, EmailShown: true}
	direct := chat.Chat{ID: 137, Kind: chat.Direct, LastSeq: 4, LastActivityAt: at(t, "15:33:00.000")}.WithPair(1, 9)
	messages := []chat.Message{
		{ID: 8118, Chat: 137, Seq: 1, Type: chat.SystemMessage, Text: "Чат создан", CreatedAt: at(t, "15:30:00.000")},
		{ID: 8119, Chat: 137, Seq: 2, Type: chat.TextMessage, Sender: mikhail.Person, Files: []chat.Attachment{aFile, aLink}, CreatedAt: at(t, "15:31:00.000")},
		{ID: 8120, Chat: 137, Seq: 4, Type: chat.TextMessage, Sender: peter.Person, Text: "Привет", ClientID: "c1", EditedAt: 1, CreatedAt: at(t, "15:33:00.120")},
	}
	read := chat.ReadState{Own: 1, Others: 1}
	s := &stage{
		people: map[int64]chat.PersonView{1: peter, 3: alexey, 9: mikhail},
		page:   chat.Page{Chat: direct, Messages: messages, Read: read, Before: true},
		views: []chat.View{
			{Chat: chat.Chat{ID: 150, Kind: chat.Group, Title: "Группа", Avatar: "f_150", LastActivityAt: 2}, Member: chat.Member{User: 1, PinOrder: 1}, Unread: 3},
			{Chat: direct, Member: chat.Member{User: 1}, Companion: &mikhail, LastMessage: &messages[2], Read: read},
			{Chat: chat.Chat{ID: 160, Kind: chat.Saved, LastActivityAt: 5}, Member: chat.Member{User: 1}},
			{Chat: chat.Chat{ID: 138, Kind: chat.Direct, LastActivityAt: 1}.WithPair(1, 3), Member: chat.Member{User: 1}, Companion: &alexey},
		},
	}
	return s, there{3: {Online: true}, 9: {LastSeen: at(t, "14:00:00.000")}}
}

func TestAnswers(t *testing.T) {
	s, p := scene(t)
	h := onStage(t, s, chequite.Options{Presence: p}).Handler()
	for _, c := range []struct{ name, path, zone string }{
		{"user", "/api/get-user-info", ""},
		{"chats", "/api/chats", ""},
		{"chats-utc", "/api/chats?limit=1", "UTC"},
		{"messages", "/api/chats/137/messages", ""},
		{"messages-unmarked", "/api/chats/137/messages?mark_read=0", "Asia/Tokyo"},
		{"not-found", "/api/chats/138/messages", ""},
		{"invalid", "/api/chats?limit=0", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := get(t, c.path)
			if c.zone != "" {
				r.Header.Set("X-Timezone", c.zone)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			golden(t, c.name, w.Body.Bytes())
		})
	}
}

// unwrap takes the JSON out of the JSON string that every publication is.
func unwrap(t testing.TB, data []byte) []byte {
	t.Helper()
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		t.Fatalf("%s is no JSON string: %v", data, err)
	}
	return []byte(text)
}

func TestPublications(t *testing.T) {
	s, p := scene(t)
	c := onStage(t, s, chequite.Options{Presence: p})
	for i, name := range []string{"published-system", "published-files", "published-text"} {
		e, err := event.New(event.MessageCreated, time.UnixMilli(s.page.Messages[i].CreatedAt), chat.MessagePayload{Message: s.page.Messages[i]})
		if err != nil {
			t.Fatal(err)
		}
		data, err := c.Message(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, unwrap(t, data))
	}
	golden(t, "typing", unwrap(t, c.Typing(chat.Typist{Chat: 138, Person: chat.Person{ID: 3}, Typing: true})))
	golden(t, "online", unwrap(t, c.Status(3, true, 0)))
	golden(t, "offline", unwrap(t, c.Status(3, false, at(t, "15:30:00.000"))))
}

// near are links without a host, as of a server that does not know its own.
type near struct{}

func (near) File(id, variant string) (string, time.Time) { return "/files/" + id, time.Time{} }
func (near) Avatar(ref string) (url, thumb string)       { return "/avatars/" + ref, "/avatars/" + ref }

// A page of another host cannot follow an address without one.
func TestAddressesOfFilesHaveAHost(t *testing.T) {
	s, p := scene(t)
	h := onStage(t, s, chequite.Options{
		Presence: p, Links: near{}, PublicURL: func(r *http.Request) string { return "https://" + r.Host },
	}).Handler()
	r := get(t, "/api/chats/137/messages")
	r.Host = "chat.example.com"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	for _, want := range []string{
		`"avatar":"https://chat.example.com/avatars/f_9"`, `"url":"https://chat.example.com/files/f_1"`, `"url":"https://elsewhere/b.pdf"`,
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s in %s", want, w.Body)
		}
	}
}

// The service pages with the pinned chats first, so the newest ones may be further back.
func TestListGathersPages(t *testing.T) {
	s := &stage{pages: 2}
	for i, pin := range []int{1, 2, 0, 0, 0, 0, 0} {
		v := chat.View{Member: chat.Member{User: 1, PinOrder: pin}}
		v.Chat = chat.Chat{ID: int64(i + 1), Kind: chat.Group, LastActivityAt: int64(100 - i)}
		if pin > 0 {
			v.Chat.LastActivityAt = int64(pin) // pinned long ago
		}
		s.views = append(s.views, v)
	}
	h := onStage(t, s, chequite.Options{}).Handler()
	for query, want := range map[string]string{"?limit=2": "[3 4]", "?limit=2&offset=1": "[4 5]", "": "[3 4 5 6 7 2 1]"} {
		s.asked = 0
		w := httptest.NewRecorder()
		h.ServeHTTP(w, get(t, "/api/chats"+query))
		var items []chatItem
		if err := json.Unmarshal(w.Body.Bytes(), &items); err != nil {
			t.Fatal(err)
		}
		var ids []int64
		for _, i := range items {
			ids = append(ids, i.ID)
		}
		if got := fmt.Sprint(ids); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
		if query == "?limit=2" && s.asked != 2 {
			t.Errorf("%d pages were read for 2 chats", s.asked)
		}
	}
}

// render makes a message as subscribers get it.
func render(t *testing.T, c *chequite.Contract, m *chat.Message) (out message) {
	t.Helper()
	e, err := event.New(event.MessageCreated, time.Now(), chat.MessagePayload{Message: *m})
	if err != nil {
		t.Fatal(err)
	}
	data, err := c.Message(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(unwrap(t, data), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestPublishedSendersAreRememberedUntilTheyChange(t *testing.T) {
	s, _ := scene(t)
	c := onStage(t, s, chequite.Options{})
	m := &s.page.Messages[2]
	for range 50 { // as when the past of a channel is read
		render(t, c, m)
	}
	if s.seen != 1 {
		t.Errorf("the sender was looked up %d times", s.seen)
	}
	renamed := s.people[1]
	renamed.Name = "Пётр Первый"
	s.people[1] = renamed
	e, err := event.New(event.UserUpdated, time.Now(), map[string]any{"user_id": 1, "changes": []string{"name"}})
	if err != nil {
		t.Fatal(err)
	}
	c.Announced(e)
	if got := render(t, c, m).User.Name; got != "Пётр Первый" {
		t.Errorf("after the change the sender is %q", got)
	}
	gone := *m
	gone.Sender = chat.Person{ID: 77, Name: "Кто-то"} // of whom nothing is found
	if got := render(t, c, &gone).User; got.ID != 77 || got.Name != "Кто-то" {
		t.Errorf("unknown sender %+v", got)
	}
}

func TestDeletedMessagesShowNothing(t *testing.T) {
	s, _ := scene(t)
	c := onStage(t, s, chequite.Options{})
	m := s.page.Messages[1]
	m.DeletedAt = 1
	e, err := event.New(event.MessageCreated, time.Now(), chat.MessagePayload{Message: m})
	if err != nil {
		t.Fatal(err)
	}
	data, err := c.Message(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte("a.jpg")) || bytes.Contains(data, []byte("f_1")) {
		t.Errorf("a deleted message still shows its files: %s", data)
	}
}

func TestPresenceOfPeople(t *testing.T) {
	for _, c := range []struct {
		status chat.Status
		online bool
		seen   bool
	}{
		{chat.Status{Online: true, LastSeen: 5}, true, false},
		{chat.Status{LastSeen: 5}, false, true},
		{chat.Status{}, false, false},
		{chat.Status{Hidden: true, Online: true, LastSeen: 5}, false, false},
	} {
		s, _ := scene(t)
		h := onStage(t, s, chequite.Options{Presence: there{9: c.status}}).Handler()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, get(t, "/api/chats/137/messages"))
		var page messages
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil {
			t.Fatal(err)
		}
		if p := page.Companion; p.IsOnline != c.online || (p.LastSeen != nil) != c.seen {
			t.Errorf("%+v: %+v", c.status, p)
		}
	}
}
