package chatjson_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/chatjson"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/storetest"
)

// links make addresses that tests can foresee.
type links struct{}

func (links) File(id, variant string) (string, time.Time) {
	return "https://host/files/" + id + "/" + variant, time.UnixMilli(1_700_000_000_000)
}

func (links) Avatar(ref string) (string, string) {
	if ref == "" || strings.Contains(ref, "://") {
		return ref, ref
	}
	return "https://host/avatars/" + ref, "https://host/avatars/" + ref + "_128"
}

var builder = chatjson.New(links{})

// world is the domain on a real database, whose events are what is published.
type world struct {
	t        *testing.T
	chats    *chat.Service
	accounts *identity.Accounts

	mu     sync.Mutex
	events []event.Event
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t}
	o := storetest.Options(t, store.SQLite)
	o.Committed = func(es []event.Event) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.events = append(w.events, es...)
	}
	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if w.accounts, err = identity.NewAccounts(s.Accounts(), identity.Options{Passwords: identity.PasswordOptions{Memory: 19 << 10}}); err != nil {
		t.Fatal(err)
	}
	w.chats = chat.New(chat.Options{Store: s.Chat()})
	return w
}

func (w *world) person(name string) int64 {
	w.t.Helper()
	login := strings.ToLower(name)
	acc, err := w.accounts.CreateAccount(w.t.Context(), identity.Operator("test"), identity.AccountSpec{Name: &name, Username: &login})
	if err != nil {
		w.t.Fatal(err)
	}
	return acc.ID
}

// must ends the test at an error.
func (w *world) must(errs ...error) {
	w.t.Helper()
	for _, err := range errs {
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// published returns what is published into a stream, by event_seq from 1 on.
func (w *world) published(stream string) (all []map[string]any) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.Stream != stream {
			continue
		}
		if e.Seq != int64(len(all)+1) {
			w.t.Errorf("%s: number %d after %d", stream, e.Seq, len(all))
		}
		data, err := builder.Publication(e)
		if err != nil {
			w.t.Fatal(err)
		}
		var p map[string]any
		if err := json.Unmarshal(data, &p); err != nil {
			w.t.Fatalf("%s: %v: %s", e.Type, err, data)
		}
		all = append(all, p)
	}
	return all
}

// Every event of a chat is one publication that carries what all do; its kind and fields
// are those of chat-api.md §B.3 and §C.10.
func TestEveryEventOfAChatIsPublishedOnce(t *testing.T) {
	w := newWorld(t)
	ctx, c := t.Context(), w.chats
	anna, boris, vera := w.person("Anna"), w.person("Boris"), w.person("Vera")
	v, _, err := c.CreateGroup(ctx, anna, chat.NewGroup{Title: "Группа", Users: []int64{boris}})
	w.must(err)
	id := v.Chat.ID
	m, _, err := c.Send(ctx, anna, id, chat.Sending{Text: "Привет @boris <b>", ClientID: "c1", Metadata: json.RawMessage(`{"a":1}`)})
	w.must(err)
	again := "Правка"
	_, err = c.Edit(ctx, anna, m.ID, chat.Editing{Text: &again})
	w.must(err)
	_, err = c.React(ctx, boris, m.ID, "👍", true)
	w.must(err)
	_, err = c.React(ctx, boris, m.ID, "👍", false)
	w.must(err)
	w.must(c.Pin(ctx, anna, m.ID, true), c.Pin(ctx, anna, m.ID, false))
	_, _, err = c.AddMembers(ctx, anna, id, []int64{vera})
	w.must(err)
	w.must(c.SetRole(ctx, anna, id, vera, chat.Admin))
	w.must(c.Remove(ctx, anna, id, vera, false), c.Leave(ctx, boris, id))
	title, about, slow := "Другая", "", 5
	_, err = c.UpdateChat(ctx, anna, id, chat.ChatChange{Title: &title, About: &about, Settings: &chat.SettingsChange{SlowMode: &slow}})
	w.must(err)
	w.must(c.Delete(ctx, anna, []int64{m.ID}, true), c.DeleteChat(ctx, anna, id, true))

	byType := make(map[string]map[string]any)
	for i, p := range w.published(event.ChatStream(id)) {
		if p["event_seq"] != float64(i+1) || p["chat_id"] != float64(id) || p["timestamp"] == nil {
			t.Errorf("publication %d: %v", i+1, p)
		}
		typ := fmt.Sprint(p["type"])
		if _, known := byType[typ]; !known || typ == "member_left" {
			byType[typ] = p
		}
	}
	for typ, want := range map[string]map[string]any{
		"chat_created":    {"kind": "group", "title": "Группа", "by": anna},
		"message":         {"id": m.ID, "deleted": false, "text": "Привет @boris <b>", "content": "Привет @boris <b>", "is_read": false, "status": "sent", "client_message_id": "c1", "metadata.a": 1},
		"message_edited":  {"id": m.ID, "is_edited": true, "text": "Правка", "version": 2},
		"message_deleted": {"id": m.ID, "seq": m.Seq, "by": anna},
		"reaction":        {"message_id": m.ID, "seq": m.Seq, "user_id": boris, "emoji": "👍", "action": "add"},
		"pin":             {"message_id": m.ID, "seq": m.Seq, "pinned": true, "by": anna},
		"member_joined":   {"by": anna, "via": "added"},
		"member_updated":  {"user_id": vera, "role": "admin"},
		"member_left":     {"user_id": boris, "reason": "left", "by": boris},
		"chat_updated":    {"by": anna, "changes.title": "Другая", "changes.settings.slow_mode_s": 5, "changes.settings.who_can_post": "all"},
		"chat_deleted":    {},
	} {
		p := byType[typ]
		if p == nil {
			t.Errorf("%s was not published: %v", typ, byType)
			continue
		}
		for path, value := range want {
			if got := at(p, path); fmt.Sprint(got) != fmt.Sprint(value) {
				t.Errorf("%s: %s = %v, want %v", typ, path, got, value)
			}
		}
	}
	if users := byType["member_joined"]["users"].([]any); len(users) != 1 || at(users[0].(map[string]any), "name") == nil {
		t.Errorf("member_joined: %v", byType["member_joined"])
	}
	if s := byType["system"]; s == nil || s["event"] == nil || s["actor_id"] != float64(anna) || s["content"] != s["text"] {
		t.Errorf("system: %v", s)
	}
	if _, viewer := byType["reaction"]["reactions"].([]any)[0].(map[string]any)["me"]; viewer {
		t.Error("a publication says whose reaction it is")
	}
}

func at(p map[string]any, path string) any {
	var v any = p
	for _, name := range strings.Split(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[name]
	}
	if f, ok := v.(float64); ok {
		return int64(f)
	}
	return v
}

func TestNewsOfOneUser(t *testing.T) {
	w := newWorld(t)
	ctx, c := t.Context(), w.chats
	anna, boris := w.person("Anna"), w.person("Boris")
	v, _, err := c.CreateGroup(ctx, anna, chat.NewGroup{Title: "Группа", Users: []int64{boris}})
	w.must(err)
	_, _, err = c.Send(ctx, anna, v.Chat.ID, chat.Sending{Text: "@boris"})
	w.must(err)
	w.must(c.RequestContact(ctx, anna, boris), c.Remove(ctx, anna, v.Chat.ID, boris, false))
	about := "новое"
	_, err = w.accounts.UpdateProfile(ctx, identity.Caller{User: boris}, identity.ProfileChange{About: &about})
	w.must(err)
	var names []string
	for i, p := range w.published(event.UserStream(boris)) {
		if p["type"] != "notification" || p["user_seq"] != float64(i+1) || p["data"] == nil || p["timestamp"] == nil {
			t.Errorf("news %d: %v", i+1, p)
		}
		name := fmt.Sprint(p["event"])
		names = append(names, name)
		data := p["data"].(map[string]any)
		switch {
		case name == "friend_request" && at(data, "user.name") != "Anna",
			name == "mention" && at(data, "sender_id") != anna,
			name == "profile_updated" && (at(data, "me.about") != "новое" || at(data, "me.privacy.read_receipts") != true),
			name == "chat_removed" && at(data, "chat_id") != v.Chat.ID:
			t.Errorf("%s: %v", name, data)
		}
	}
	for _, want := range []string{"chat_added", "mention", "friend_request", "chat_removed", "profile_updated"} {
		if !slices.Contains(names, want) {
			t.Errorf("no %s in %v", want, names)
		}
	}
}

func TestPublicationsOfOtherEvents(t *testing.T) {
	for _, c := range []struct{ typ, stream, payload, want string }{
		{
			event.SessionRevoked, "user:7", `{"user_id":7,"session_ids":["s_a","s_b"],"reason":"logout"}`,
			`{"type":"notification","event":"session_terminated","data":{"session_id":"s_a","session_ids":["s_a","s_b"],"reason":"logout","message":"This session has been ended."},"user_seq":3,"timestamp":1700000000}`,
		},
		{
			event.SystemNotice, "system:notifications", `{"id":"n_1","level":"info","content":"Работы","starts_at":1700000000000,"seq":3,"at":1700000000123}`,
			`{"type":"system","id":"n_1","level":"info","content":"Работы","starts_at":"2023-11-14T22:13:20.000Z","ends_at":null,"event_seq":3,"timestamp":1700000000}`,
		},
		{"room.repainted", "chat:5", `{}`, `{"type":"room.repainted","chat_id":5,"event_seq":3,"timestamp":1700000000}`},
		{"user.painted", "user:7", `{}`, `{"type":"notification","event":"user.painted","data":{},"user_seq":3,"timestamp":1700000000}`},
		{"system.painted", "system:notifications", `{}`, `{"type":"system.painted","event_seq":3,"timestamp":1700000000}`},
	} {
		got, err := builder.Publication(event.Event{Type: c.typ, Stream: c.stream, Seq: 3, At: 1_700_000_000_123, Payload: json.RawMessage(c.payload)})
		if err != nil {
			t.Errorf("%s: %v", c.typ, err)
			continue
		}
		var x, y any
		if json.Unmarshal(got, &x) != nil || json.Unmarshal([]byte(c.want), &y) != nil {
			t.Fatalf("%s", got)
		}
		if d := cmp.Diff(y, x); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.typ, d)
		}
	}
	if _, err := builder.Publication(event.Event{Type: "x", Stream: "elsewhere:1"}); err == nil {
		t.Error("an event of no channel was published")
	}
	if _, err := builder.Publication(event.Event{Type: event.MessageCreated, Stream: "chat:1", Payload: json.RawMessage(`{`)}); err == nil {
		t.Error("a broken payload was published")
	}
}

// FuzzPublication: no payload makes it panic or publish what is no JSON.
func FuzzPublication(f *testing.F) {
	types := []string{
		event.MessageCreated, event.MessageUpdated, event.MessageDeleted, event.MessageReaction, event.MessagePinned, event.RoomCreated, event.RoomUpdated,
		event.RoomMemberJoined, event.RoomMemberLeft, event.RoomMemberUpdated, event.UserNotice, event.UserUpdated, event.SessionRevoked, event.SystemNotice,
	}
	for i := range types {
		f.Add(i, []byte(`{"message":{"id":1,"metadata":null,"files":[{}],"system":null},"users":[null],"changes":{"avatar":null,"settings":[]},"event":"friend_request","data":{"user":null}}`))
		f.Add(i, []byte(`null`))
	}
	f.Fuzz(func(t *testing.T, n int, payload []byte) {
		for _, stream := range []string{"chat:1", "user:1", event.SystemStream} {
			data, err := builder.Publication(event.Event{Type: types[((n%len(types))+len(types))%len(types)], Stream: stream, Seq: 1, Payload: payload})
			if err == nil && !json.Valid(data) {
				t.Errorf("%q: %q", payload, data)
			}
		}
	})
}

func BenchmarkPublication(b *testing.B) {
	m := chat.Message{
		ID: 9001, Chat: 1, Seq: 57, Type: chat.TextMessage, Sender: chat.Person{ID: 123, Name: "Иван Петров", Username: "ivan"},
		Text: "Привет, это сообщение обычной длины, как пишут люди", ClientID: "01JABCDEF", CreatedAt: 1_700_000_000_123, Version: 1, EventSeq: 91,
	}
	payload, err := json.Marshal(chat.MessagePayload{Message: m})
	if err != nil {
		b.Fatal(err)
	}
	e := event.Event{Type: event.MessageCreated, Stream: "chat:1", Seq: 91, At: m.CreatedAt, Payload: payload}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := builder.Publication(e); err != nil {
			b.Fatal(err)
		}
	}
}
