package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/api"
	"github.com/kuranty/kuranty/internal/chatjson"
)

func TestMessages(t *testing.T) {
	onBoth(t, func(t *testing.T, s *server) {
		anna, boris := s.person("Anna"), s.person("Boris")
		room := fmt.Sprint(s.group(anna, boris))
		path := "/api/v2/chats/" + room + "/messages"
		anna.do("POST", path, obj{"text": "без номера"}).refused(422, "validation").is("error.details.fields.0.field", "client_id")
		anna.do("POST", path, obj{"client_id": "1", "text": " \n "}).refused(422, "validation").is("error.details.fields.0.field", "text")
		anna.do("POST", path, obj{"client_id": "1", "text": strings.Repeat("я", 4001)}).refused(422, "validation").is("error.details.fields.0.reason", "too_long")
		sent := anna.do("POST", path, obj{"client_id": "1", "text": "Привет, @boris2 <b>", "mention_all": false, "attachments": []any{}}).want(201)
		sent.is("type", "message", "text", "Привет, @boris2 <b>", "sender_id", anna.id, "sender_name", "Anna", "client_id", "1", "status", "sent",
			"version", 1, "is_edited", false, "deleted", false, "entities.0.type", "mention", "entities.0.offset", 8, "mentions.0", boris.id, "system", nil)
		id := sent.str("id")
		again := anna.do("POST", path, obj{"client_id": "1", "text": "Привет, @boris2 <b>"}).want(200).is("id", id)
		if again.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("%v", again.header)
		}
		anna.do("POST", path, obj{"client_id": "1", "text": "Другое"}).refused(409, "idempotency_conflict").is("error.details.message_id", id)
		key := map[string][]string{"Idempotency-Key": {"2"}}
		anna.send(request{method: "POST", path: path, body: obj{"text": "ключом"}, header: key}).want(201).is("client_id", "2")
		anna.send(request{method: "POST", path: path, body: obj{"text": "ключом", "client_id": "3"}, header: key}).refused(422, "validation")

		boris.do("GET", "/api/v2/unread", nil).want(200).is("chats", 1, "messages", 2, "mentions", 1)
		seq := sent.num("seq")
		boris.do("POST", "/api/v2/chats/"+room+"/read", obj{"seq": seq}).want(200).is("read_seq", seq, "unread_count", 1, "total_unread_chats", 1)
		boris.do("POST", "/api/v2/chats/"+room+"/read", obj{"seq": 999}).refused(422, "validation")
		list := anna.do("GET", path+"?limit=2", nil).want(200).is("has_before", true, "first_seq", seq, "last_seq", seq+1, "has_after", false, "messages.0.status", "read", "messages.0.read_count", 1, "messages.1.status", "sent")
		if list.len("users") != 1 || list.len("receipts") == 0 {
			t.Errorf("%s", list.body)
		}
		anna.do("GET", "/api/v2/messages/"+id+"/receipts", nil).want(200).is("read.0.user_id", boris.id)
		boris.do("GET", path+"?around=first_unread", nil).want(200)
		boris.do("GET", path+"?after="+fmt.Sprint(seq+1), nil).want(200).is("first_seq", 0, "last_seq", 0, "has_before", true)
		boris.do("GET", path+"?before=2", nil).want(200).is("first_seq", 1, "last_seq", 1, "has_after", true)
		boris.do("GET", path+"?after="+fmt.Sprint(seq), nil).want(200).is("messages.0.text", "ключом", "has_before", true)
		boris.do("GET", path+"?around=x", nil).refused(422, "validation")

		message := "/api/v2/messages/" + id
		boris.do("PATCH", message, obj{"text": "чужое"}).refused(403, "forbidden")
		anna.do("PATCH", message, obj{"text": "Правка", "version": 7}).refused(409, "version_conflict")
		anna.do("PATCH", message, obj{"text": "Правка", "version": 1}).want(200).is("text", "Правка", "is_edited", true, "version", 2, "seq", seq, "status", "read")
		anna.do("GET", message+"/edits", nil).want(200).is("edits.0.version", 1)
		boris.do("PUT", message+"/reactions/👍", nil).want(200).is("reactions.0.emoji", "👍", "reactions.0.me", true, "reactions.0.count", 1)
		boris.do("PUT", message+"/reactions/xyz", nil).refused(422, "validation")
		anna.do("GET", message, nil).want(200).is("message.reactions.0.me", false, "chat.id", room)
		anna.do("GET", message+"/reactions", nil).want(200).is("reactions.0.user.id", boris.id)
		boris.do("DELETE", message+"/reactions/👍", nil).want(200)
		anna.do("PUT", message+"/pin", nil).want(204)
		boris.do("GET", "/api/v2/chats/"+room+"/pins", nil).want(200).is("messages.0.id", id, "messages.0.pinned", true)
		anna.do("DELETE", message+"/pin", nil).want(204)
		saved := anna.do("GET", "/api/v2/me/saved", nil).want(200).num("id")
		anna.do("POST", "/api/v2/messages/forward", obj{"ids": []any{id}, "to": []any{saved}, "client_id": "f"}).want(201).is("messages.0.forward.sender_name", "Anna", "messages.0.chat_id", saved)
		reply := boris.do("POST", path, obj{"client_id": "r", "text": "Ответ", "reply_to_id": id}).want(201).is("reply_to.id", id, "reply_to.text", "Правка")

		boris.do("DELETE", message+"?for=me", nil).want(204)
		boris.do("GET", message, nil).refused(404, "not_found")
		anna.do("DELETE", message+"?for=all", nil).want(204)
		gone := anna.do("GET", path, nil).want(200)
		for i := range gone.len("messages") {
			if at := fmt.Sprint("messages.", i); gone.str(at+".id") == id {
				gone.is(at+".deleted", true, at+".text", "", at+".status", "read")
			}
		}
		boris.do("POST", "/api/v2/chats/"+room+"/messages/delete", obj{"ids": []any{reply.num("id")}, "for": "all"}).want(204)

		changes := boris.do("GET", "/api/v2/chats/"+room+"/changes?since_event_seq=1", nil).want(200).is("has_more", false, "limited", false, "chat.id", room)
		if changes.num("last_event_seq") != changes.num("chat.last_event_seq") {
			t.Errorf("%s", changes.body)
		}
		boris.do("POST", "/api/v2/chats/"+room+"/unread", obj{"seq": seq}).want(204)
		boris.do("GET", "/api/v2/chats/"+room, nil).want(200).is("marked_unread", true)
		boris.do("POST", "/api/v2/receipts", obj{"read": obj{room: seq}, "delivered": obj{"999": 1}}).want(204)
		boris.do("POST", "/api/v2/receipts", obj{"read": obj{"x": 1}}).refused(422, "validation")
		boris.do("POST", "/api/v2/chats/"+room+"/delivered", obj{"seq": seq}).want(204)
		boris.do("POST", "/api/v2/chats/read-all", nil).want(200)
		boris.do("GET", "/api/v2/unread", nil).want(200).is("chats", 0)
		boris.do("POST", "/api/v2/chats/"+room+"/typing", obj{"typing": true}).want(204)
		if len(s.typed) != 1 || s.typed[0] != fmt.Sprintf("user=%d chat=%s true", boris.id, room) {
			t.Errorf("%v", s.typed)
		}
		anna.do("GET", "/api/v2/search/messages?q=ключом", nil).want(200).is("results.0.message.text", "ключом", "results.0.chat.kind", "group", "next_cursor", nil)
		for filter, found := range map[string]int{
			"before=2026-05-01": 0, "before=2026-05-02": 1, "after=2026-04-30": 1, "after=2026-05-01": 0, "after=2026-05-01T00:00:00Z": 1, "before=2026-05-01T00:00:00%2B03:00": 0,
		} {
			if got := anna.do("GET", "/api/v2/search/messages?q=ключом&"+filter, nil).want(200); got.len("results") != found {
				t.Errorf("%s: %s", filter, got.body)
			}
		}
		anna.do("GET", "/api/v2/search/messages?q=ключом&after=2026-13-01", nil).refused(400, "bad_request")
		anna.do("GET", "/api/v2/search?q=boris", nil).want(200).is("users.0.id", boris.id)
	})
}

// What is read, listed, found and published of a message is made by the same builder
// (guarantees.md S17, chat-api.md I10).
func TestS17_RESTAndRealtimeShowTheSame(t *testing.T) {
	s := start(t, options{})
	anna, boris := s.person("Anna"), s.person("Boris")
	room := s.group(anna, boris)
	sent := anna.do("POST", fmt.Sprint("/api/v2/chats/", room, "/messages"), obj{"client_id": "1", "text": "Привет @boris2"}).want(201)
	s.mu.Lock()
	events := s.events
	s.mu.Unlock()
	b := chatjson.New(links{s.files})
	for _, e := range events {
		if e.Type != event.MessageCreated || !strings.Contains(string(e.Payload), "boris2") {
			continue
		}
		data, err := b.Publication(e)
		if err != nil {
			t.Fatal(err)
		}
		var published, replied map[string]any
		if err := json.Unmarshal(data, &published); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(sent.body, &replied); err != nil {
			t.Fatal(err)
		}
		for _, alias := range []string{"content", "timestamp", "client_message_id", "is_read"} {
			if _, ok := published[alias]; !ok {
				t.Errorf("no %s in %s", alias, data)
			}
			delete(published, alias)
		}
		if d := cmp.Diff(replied, published); d != "" {
			t.Errorf("REST (-) and realtime (+) differ:\n%s", d)
		}
		return
	}
	t.Fatal("nothing was published")
}

// Nothing that is not listed takes effect, and nothing private of others is shown.
func TestS17_OnlyListedFields(t *testing.T) {
	s := start(t, options{})
	anna, boris := s.person("Anna"), s.person("Boris")
	anna.do("PATCH", "/api/v2/me", obj{"role": "admin", "id": 99, "state": "suspended", "email": "x@example.org", "password_hash": "x", "external_id": "x"}).want(200).
		is("role", "user", "id", anna.id, "state", "active", "email", "anna1@example.org")
	anna.do("POST", "/api/v2/auth/register", obj{"name": "x", "username": "xxx", "password": password, "role": "admin"}).want(201).is("user.role", "user")
	room := fmt.Sprint(s.group(anna, boris))
	anna.do("POST", "/api/v2/chats/"+room+"/messages", obj{"client_id": "1", "text": "x", "sender_id": boris.id, "seq": 99, "system": obj{"event": "x"}, "forward": obj{"sender_name": "Boris"}}).want(201).
		is("sender_id", anna.id, "system", nil, "forward", nil)
	for _, path := range []string{"/users/search?q=anna", fmt.Sprint("/users/", anna.id), "/chats/" + room, "/chats/" + room + "/members", "/chats/" + room + "/messages", "/chats"} {
		got := boris.do("GET", "/api/v2"+path, nil).want(200)
		for _, private := range []string{"anna1@example.org", "password", "privacy", "argon2", "refresh", "user_agent", `"role":"user"`} {
			if strings.Contains(string(got.body), private) {
				t.Errorf("%s shows %s: %s", path, private, got.body)
			}
		}
	}
}

// A chat that is not there and one that is not the caller's are answered alike.
func TestS15_NotYoursIsNotThere(t *testing.T) {
	s := start(t, options{})
	anna, eve := s.person("Anna"), s.person("Eve")
	room := s.group(anna)
	m := anna.said(room, "тайна")
	body := func(path string) string {
		got := eve.do("GET", "/api/v2"+path, nil).refused(404, "not_found")
		return strings.Replace(string(got.body), got.str("error.request_id"), "", 1)
	}
	for _, path := range []string{"/chats/%d", "/chats/%d/messages", "/chats/%d/members", "/chats/%d/changes", "/chats/%d/pins"} {
		if a, b := body(fmt.Sprintf(path, room)), body(fmt.Sprintf(path, 4242)); a != b {
			t.Errorf("%s: %s, %s", path, a, b)
		}
	}
	for _, path := range []string{"/messages/%d", "/messages/%d/reactions", "/messages/%d/receipts", "/messages/%d/edits"} {
		if a, b := body(fmt.Sprintf(path, m.ID)), body(fmt.Sprintf(path, 4242)); a != b {
			t.Errorf("%s: %s, %s", path, a, b)
		}
	}
	if got := eve.do("GET", "/api/v2/search/messages?q=тайна", nil).want(200); got.len("results") != 0 || got.num("total_estimate") != 0 {
		t.Errorf("%s", got.body)
	}
}

func TestCallsOverConnections(t *testing.T) {
	s := start(t, options{})
	anna, boris := s.person("Anna"), s.person("Boris")
	room := s.group(anna, boris)
	call := func(p *person, method string, params any) *answered {
		t.Helper()
		b, err := json.Marshal(params)
		if err != nil {
			t.Fatal(err)
		}
		out, err := s.api.RPC(t.Context(), p.id, method, b)
		if err != nil {
			var e *api.CallError
			if !errors.As(err, &e) {
				t.Fatal(err)
			}
			return &answered{t: t, status: e.Status, body: []byte(`"` + e.Code + `"`)}
		}
		return &answered{t: t, status: 200, body: out}
	}
	sent := call(anna, "chat.send", obj{"chat_id": room, "client_id": "1", "text": "Привет"}).want(200).is("text", "Привет", "status", "sent")
	rest := anna.do("POST", fmt.Sprint("/api/v2/chats/", room, "/messages"), obj{"client_id": "1", "text": "Привет"}).want(200)
	if d := cmp.Diff(strings.TrimSpace(string(rest.body)), string(sent.body)); d != "" {
		t.Errorf("the call and the operation differ: %s", d)
	}
	call(anna, "chat.send", obj{"user_id": boris.id, "client_id": "1", "text": "Лично"}).want(200)
	call(boris, "chat.read", obj{"chat_id": room, "seq": sent.num("seq")}).want(200).is("unread_count", 0)
	call(boris, "chat.delivered", obj{"chat_id": room, "seq": 1}).want(200)
	call(boris, "chat.react", obj{"message_id": sent.num("id"), "emoji": "🔥"}).want(200).is("reactions.0.me", true)
	call(boris, "chat.react", obj{"message_id": sent.num("id"), "emoji": "🔥", "action": "remove"}).want(200)
	call(anna, "chat.edit", obj{"message_id": sent.str("id"), "text": "Правка"}).want(200).is("version", 2)
	call(boris, "chat.typing", obj{"chat_id": room, "typing": true}).want(200)
	call(boris, "chat.changes", obj{"chat_id": room, "since_event_seq": 1}).want(200).is("has_more", false)
	call(boris, "presence.query", obj{"user_ids": []any{anna.id}}).want(200).is("users.0.user_id", anna.id)
	call(anna, "chat.delete", obj{"message_id": sent.num("id"), "for": "all"}).want(200)
	for _, c := range []struct {
		method string
		params any
		want   int
		code   string
	}{
		{"chat.nothing", obj{}, 404, "not_found"},
		{"chat.send", obj{"chat_id": 999, "client_id": "2", "text": "x"}, 404, "not_found"},
		{"chat.send", obj{"client_id": "2", "text": "x"}, 422, "validation"},
		{"chat.send", obj{"chat_id": room, "text": "x"}, 422, "validation"},
		{"chat.send", obj{"chat_id": "x", "client_id": "2", "text": "x"}, 400, "bad_request"},
		{"chat.send", []any{}, 400, "bad_request"},
		{"chat.send", nil, 400, "bad_request"},
		{"chat.delete", obj{"message_id": sent.num("id"), "for": "everybody"}, 422, "validation"},
		{"chat.edit", obj{"message_id": 999, "text": "x"}, 404, "not_found"},
	} {
		call(anna, c.method, c.params).want(c.want).is("", c.code)
	}
	if _, err := s.api.RPC(t.Context(), anna.id, "chat.send", nil); err == nil {
		t.Error("a call without parameters")
	}
}

func FuzzCalls(f *testing.F) {
	f.Add("chat.send", []byte(`{"chat_id":1,"client_id":"1","text":"x"}`))
	f.Add("chat.changes", []byte(`{"chat_id":"1"}`))
	f.Add("presence.query", []byte(`{"user_ids":[null,1e99,"2",[[[]]]]}`))
	s := start(f, options{})
	anna := s.person("Anna")
	f.Fuzz(func(t *testing.T, method string, params []byte) {
		out, err := s.api.RPC(t.Context(), anna.id, method, params)
		if err == nil && !json.Valid(out) {
			t.Errorf("%s %q: %q", method, params, out)
		}
		var e *api.CallError
		if err != nil && (!errors.As(err, &e) || e.Status == 500) {
			t.Errorf("%s %q: %v", method, params, err)
		}
	})
}
