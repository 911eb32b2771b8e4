package chequite_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/compat/chequite"
	"github.com/kuranty/kuranty/internal/identity"
)

// The numbers are those of the conformance tests in chat-api.md §D.3. What needs sockets
// is in realtime_test.go.

func TestA01_ListIsAnArrayWithTheEmptyChat(t *testing.T) {
	w := newWorld(t)
	anna, boris := w.person("Анна"), w.person("Борис")
	if body := anna.get("/api/chats").is(200).body; string(body) != "[]" {
		t.Errorf("no chats are %s", body)
	}
	id := anna.open(boris)
	var raw []map[string]json.RawMessage
	anna.get("/api/chats").into(200, &raw)
	if len(raw) != 1 || string(raw[0]["last_message"]) != "null" || string(raw[0]["id"]) != fmt.Sprint(id) ||
		string(raw[0]["companion_name"]) != `"Борис"` {
		t.Errorf("list = %s", raw)
	}
	if list := boris.list(); len(list) != 0 {
		t.Errorf("before the first message the companion sees %v", list)
	}
	anna.send(id, "привет")
	if list := boris.list(); len(list) != 1 || list[0].Name != "Анна" || list[0].Unread != 1 || list[0].LastMessage.Text != "привет" || list[0].LastMessage.WasRead {
		t.Errorf("after it %+v", list)
	}
}

func TestA01_ListIsByActivityNotByPins(t *testing.T) {
	w := newWorld(t)
	anna := w.person("Анна")
	var ids []int64
	for i := range 5 {
		id := anna.open(w.person(fmt.Sprintf("P%d", i)))
		anna.send(id, "x")
		ids = append([]int64{id}, ids...)
	}
	pin := 1
	if _, err := w.chats.SetState(t.Context(), anna.id, ids[3], chat.StateChange{PinOrder: &pin}); err != nil {
		t.Fatal(err)
	}
	order := func(query string) (got []int64) {
		var items []chatItem
		anna.get("/api/chats"+query).into(200, &items)
		for _, i := range items {
			got = append(got, i.ID)
		}
		return got
	}
	for _, c := range []struct {
		query string
		want  []int64
	}{{"", ids}, {"?limit=2", ids[:2]}, {"?limit=2&offset=2", ids[2:4]}, {"?offset=4", ids[4:]}, {"?offset=5", nil}} {
		if got := order(c.query); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.query, got, c.want)
		}
	}
}

func TestA02_CreatingInParallelIsOneChat(t *testing.T) {
	w := newWorld(t)
	anna, boris := w.person("Анна"), w.person("Борис")
	ids := make([]int64, 20)
	var g sync.WaitGroup
	for i := range ids {
		g.Go(func() {
			if i%2 == 0 {
				ids[i] = anna.open(boris)
			} else {
				ids[i] = boris.open(anna)
			}
		})
	}
	g.Wait()
	if first := ids[0]; first == 0 || slices.ContainsFunc(ids, func(id int64) bool { return id != first }) {
		t.Errorf("ids = %v", ids)
	}
}

func TestA03_WhoCannotBeACompanion(t *testing.T) {
	w := newWorld(t)
	anna, boris, gone := w.person("Анна"), w.person("Борис"), w.person("Ушедший")
	if err := w.accounts.Suspend(t.Context(), identity.Operator("test"), gone.id); err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]any{
		"oneself": map[string]any{"companionId": anna.id}, "nobody": map[string]any{"companionId": 999_999},
		"suspended": map[string]any{"companionId": gone.id}, "missing": map[string]any{}, "null": map[string]any{"companionId": nil},
		"no number": map[string]any{"companionId": "boris"}, "a fraction": map[string]any{"companionId": 1.5},
		"negative": map[string]any{"companionId": -1}, "too large": map[string]any{"companionId": 1 << 53},
	} {
		t.Run(name, func(_ *testing.T) { anna.post("/api/chats", body).refused(422, "validation", "companionId") })
	}
	var made struct{ ChatID int64 }
	anna.post("/api/chats", map[string]any{"companionId": fmt.Sprint(boris.id)}).into(200, &made) // digits are a number
	if err := w.chats.Block(t.Context(), boris.id, anna.id); err != nil {
		t.Fatal(err)
	}
	anna.post(messagesOf(made.ChatID), map[string]any{"text": "x"}).refused(403, "cannot_message", "")
	boris.post("/api/chats", map[string]any{"companionId": anna.id}).refused(403, "cannot_message", "")
}

func TestA04_KeysOfAPageOfMessages(t *testing.T) {
	w := newWorld(t)
	anna, boris := w.person("Анна"), w.person("Борис")
	id := anna.open(boris)
	anna.send(id, "x")
	var page map[string]json.RawMessage
	anna.get(messagesOf(id)).into(200, &page)
	for _, key := range []string{"chatId", "chat_id", "messages", "companion", "has_more", "next_before"} {
		if page[key] == nil {
			t.Errorf("%s is missing", key)
		}
	}
	var m []map[string]json.RawMessage
	if err := json.Unmarshal(page["messages"], &m); err != nil || len(m) != 1 {
		t.Fatalf("messages %s: %v", page["messages"], err)
	}
	for _, key := range []string{"id", "chatId", "text", "user", "was_read", "timestamp", "created_at", "seq", "client_id", "edited", "attachments"} {
		if m[0][key] == nil {
			t.Errorf("message: %s is missing", key)
		}
	}
	if string(m[0]["was_read"]) != "false" || string(page["chatId"]) != string(page["chat_id"]) {
		t.Errorf("page %s", page)
	}
}

func TestA05_NewestFifteenAscending(t *testing.T) {
	w := newWorld(t)
	anna, boris := w.person("Анна"), w.person("Борис")
	id := anna.open(boris)
	for i := range 40 {
		anna.send(id, fmt.Sprint(i+1))
	}
	var all []string
	before := ""
	for _, n := range []int{15, 15, 10} {
		page := boris.messages(id, "?mark_read=0"+before)
		if len(page.Messages) != n || page.HasMore != (n == 15) || (page.NextBefore != nil) != page.HasMore {
			t.Fatalf("page of %d, more: %v, next %v; want %d", len(page.Messages), page.HasMore, page.NextBefore, n)
		}
		var texts []string
		for _, m := range page.Messages {
			texts = append(texts, m.Text)
		}
		all = append(texts, all...)
		if page.HasMore {
			before = fmt.Sprintf("&before=%d", *page.NextBefore)
		}
	}
	for i, text := range all {
		if text != fmt.Sprint(i+1) {
			t.Fatalf("message %d is %q", i+1, text)
		}
	}
	if got := boris.messages(id, "?mark_read=0&limit=100"); len(got.Messages) != 40 {
		t.Errorf("limit=100 is %d messages", len(got.Messages))
	}
	for _, q := range []string{"limit=0", "limit=101", "limit=x", "before=0", "before=x", "mark_read=maybe"} {
		name, _, _ := strings.Cut(q, "=")
		boris.get(messagesOf(id)+"?"+q).refused(422, "validation", name)
	}
}

func TestA06_GetMarksReadAndTheCompanionSeesIt(t *testing.T) {
	w := newWorld(t)
	anna, boris := w.person("Анна"), w.person("Борис")
	id := anna.open(boris)
	first := anna.send(id, "раз")
	anna.send(id, "два")
	if page := boris.messages(id, "?mark_read=0"); page.Messages[0].WasRead {
		t.Error("read before it was read")
	}
	if page := boris.messages(id, fmt.Sprintf("?before=%d", first.ID+1)); page.Messages[0].WasRead {
		t.Error("an older page marks")
	}
	if anna.list()[0].LastMessage.WasRead || boris.list()[0].Unread != 2 {
		t.Error("read without reading")
	}
	page := boris.messages(id, "")
	if !page.Messages[0].WasRead || !page.Messages[1].WasRead {
		t.Errorf("the answer does not show it: %+v", page.Messages)
	}
	if list := anna.list(); !list[0].LastMessage.WasRead {
		t.Errorf("the companion's list: %+v", list)
	}
	if page := anna.messages(id, ""); !page.Messages[1].WasRead {
		t.Error("the companion's page")
	}
	if list := boris.list(); list[0].Unread != 0 {
		t.Errorf("unread %d", list[0].Unread)
	}
	// Sending is reading (decision 16).
	anna.send(id, "три")
	boris.send(id, "четыре")
	if page := anna.messages(id, "?mark_read=0"); !page.Messages[2].WasRead {
		t.Error("an answer does not read what it answers")
	}
}

func TestA07_SendAndItsRepetition(t *testing.T) {
	w := newWorld(t)
	anna, boris := w.person("Анна"), w.person("Борис")
	id := anna.open(boris)
	var m message
	anna.post(messagesOf(id), map[string]any{"text": "привет \u0007 \n", "client_id": "c-1"}).into(200, &m)
	if m.Text != "привет" || m.WasRead || m.User.ID != anna.id || m.ChatID != id || *m.ClientID != "c-1" {
		t.Errorf("message %+v", m)
	}
	data, err := w.Message(t.Context(), w.newest(event.MessageCreated))
	if err != nil {
		t.Fatal(err)
	}
	var published message
	if err := json.Unmarshal(unwrap(t, data), &published); err != nil || published.ID != m.ID || published.Text != m.Text {
		t.Errorf("published %s: %v", data, err)
	}
	boris.messages(id, "")
	var again message
	a := anna.post(messagesOf(id), map[string]any{"text": "привет"}, "Idempotency-Key", "c-1").into(200, &again)
	if again.ID != m.ID || !again.WasRead || a.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("repetition %+v, headers %v", again, a.header)
	}
	anna.post(messagesOf(id), map[string]any{"text": "другое", "client_id": "c-1"}).refused(409, "idempotency_conflict", "")
	anna.post(messagesOf(id), map[string]any{"text": "x", "client_id": "c-2"}, "Idempotency-Key", "c-3").refused(422, "validation", "client_id")
	for name, c := range map[string]struct {
		body  any
		field string
	}{
		"nothing":          {map[string]any{}, "text"},
		"empty":            {map[string]any{"text": " \t"}, "text"},
		"too long":         {map[string]any{"text": strings.Repeat("я", 4001)}, "text"},
		"another's file":   {map[string]any{"attachments": []any{map[string]any{"file_id": "f_none"}}}, "attachments"},
		"file without id":  {map[string]any{"attachments": []any{map[string]any{}}}, "attachments.0.file_id"},
		"answer to nobody": {map[string]any{"text": "x", "reply_to_id": 999_999}, "reply_to_id"},
	} {
		t.Run(name, func(_ *testing.T) { anna.post(messagesOf(id), c.body).refused(422, "validation", c.field) })
	}
	anna.send(id, strings.Repeat("я", 4000))
	for name, body := range map[string]string{
		"no json": `{`, "number": `{"text":1}`, "list": `["text"]`, "files": `{"text":"x","attachments":"f_1"}`,
	} {
		t.Run(name, func(_ *testing.T) {
			anna.do(http.MethodPost, messagesOf(id), "application/json", body).refused(400, "bad_request", "")
		})
	}
	anna.do(http.MethodPost, messagesOf(id), "text/plain", "text=x").refused(415, "unsupported_media", "")
	large := `{"text":"` + strings.Repeat("x", 1<<20) + `"}`
	anna.do(http.MethodPost, messagesOf(id), "application/json", large).refused(413, "too_large", "")
}

// A publication is one for all its readers. In a chat of two these are the sender and the
// other, who may know more than strangers, so it is the message that the sender was
// answered; a group may have somebody who may not know.
func TestPublishedSendersAreAsTheReaderSeesThem(t *testing.T) {
	w := newWorld(t)
	anna, boris := w.person("Анна", "email", "anna@example.com"), w.person("Борис")
	group, _, err := w.chats.CreateGroup(t.Context(), anna.id, chat.NewGroup{Title: "Группа", Users: []int64{boris.id}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		chat   int64
		online bool
	}{{anna.open(boris), true}, {group.Chat.ID, false}} {
		var sent, published map[string]any
		anna.post(messagesOf(c.chat), map[string]any{"text": "привет"}).into(200, &sent)
		data, err := w.Message(t.Context(), w.newest(event.MessageCreated))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(unwrap(t, data), &published); err != nil {
			t.Fatal(err)
		}
		sent["user"].(map[string]any)["is_online"] = c.online // the address is shown to everybody
		if d := cmp.Diff(sent, published); d != "" {
			t.Errorf("chat %d: %s", c.chat, d)
		}
	}
}

func TestPublishedSendersWhoHideNothingAreSeenInGroups(t *testing.T) {
	w := newWorld(t)
	anna, boris := w.person("Анна"), w.person("Борис")
	everyone := identity.Everyone
	_, err := w.accounts.UpdateProfile(t.Context(), identity.Caller{User: anna.id}, identity.ProfileChange{Privacy: identity.PrivacyChange{LastSeen: &everyone}})
	if err != nil {
		t.Fatal(err)
	}
	group, _, err := w.chats.CreateGroup(t.Context(), anna.id, chat.NewGroup{Title: "Группа", Users: []int64{boris.id}})
	if err != nil {
		t.Fatal(err)
	}
	anna.send(group.Chat.ID, "привет")
	data, err := w.Message(t.Context(), w.newest(event.MessageCreated))
	if err != nil {
		t.Fatal(err)
	}
	var published message
	if err := json.Unmarshal(unwrap(t, data), &published); err != nil || !published.User.IsOnline {
		t.Errorf("published %s: %v", data, err)
	}
}

func TestA08_TypingTrueAndFalse(t *testing.T) {
	w := newWorld(t)
	anna, boris := w.person("Анна"), w.person("Борис")
	id := anna.open(boris)
	for _, typing := range []any{true, 1, "1", false, "0"} {
		if body := anna.post("/api/typing", map[string]any{"chatId": id, "typing": typing}).is(200).body; string(body) != "{}" {
			t.Errorf("answer %s", body)
		}
	}
	w.mu.Lock()
	typed := w.typed
	w.mu.Unlock()
	if len(typed) != 2 || !typed[0].Typing || typed[1].Typing || typed[0].Chat != id || typed[0].Person.ID != anna.id {
		t.Errorf("forwarded %+v", typed) // once true, once false: repetitions are not
	}
	anna.post("/api/typing", map[string]any{"typing": true}).refused(422, "validation", "chatId")
	anna.post("/api/typing", map[string]any{"chatId": id}).refused(422, "validation", "typing")
	anna.post("/api/typing", map[string]any{"chatId": id, "typing": "maybe"}).refused(400, "bad_request", "")
	anna.post("/api/typing", map[string]any{"chatId": 999_999, "typing": true}).refused(404, "not_found", "")
}

func TestA09_StrangersFindNothing(t *testing.T) {
	w := newWorld(t)
	anna, boris, eve := w.person("Анна"), w.person("Борис"), w.person("Ева")
	id := anna.open(boris)
	m := anna.send(id, "тайна")
	other := eve.open(anna)
	for _, chat := range []string{fmt.Sprint(id), "999999", "0", "-1", "01", "x", "9007199254740992"} {
		path := "/api/chats/" + chat + "/messages"
		eve.get(path).refused(404, "not_found", "")
		eve.post(path, map[string]any{"text": "x"}).refused(404, "not_found", "")
		eve.post(fmt.Sprintf("%s/%d", path, m.ID), nil).refused(404, "not_found", "")
	}
	eve.post("/api/typing", map[string]any{"chatId": id, "typing": true}).refused(404, "not_found", "")
	eve.post(fmt.Sprintf("%s/%d", messagesOf(other), m.ID), nil).refused(404, "not_found", "") // of another chat
	eve.get("/api/chats/1/").refused(404, "not_found", "")
	// Whether the chat exists makes no difference that can be seen.
	one, two := eve.get(messagesOf(id)), eve.get(messagesOf(999_999))
	if !bytes.Equal(one.body, two.body) {
		t.Errorf("%s and %s", one.body, two.body)
	}
}

func TestA10_ClaimsOfTheToken(t *testing.T) {
	w := newWorld(t)
	anna := w.person("Анна")
	var got struct {
		Token     string `json:"centrifugo_token"`
		ExpiresAt int64  `json:"expires_at"`
	}
	anna.get("/api/update-centrifugo-token").into(200, &got)
	var claims struct {
		jwt.RegisteredClaims
		Info struct {
			ID     int64   `json:"id"`
			Name   string  `json:"name"`
			Avatar *string `json:"avatar"`
		} `json:"info"`
	}
	token, err := jwt.ParseWithClaims(got.Token, &claims, func(*jwt.Token) (any, error) { return []byte(clientSecret), nil }, jwt.WithValidMethods([]string{"HS256"}))
	if err != nil || !token.Valid {
		t.Fatal(err)
	}
	if claims.Subject != fmt.Sprint(anna.id) || claims.Info.ID != anna.id || claims.Info.Name != "Анна" {
		t.Errorf("claims %+v", claims)
	}
	life := claims.ExpiresAt.Sub(claims.IssuedAt.Time)
	if life != time.Hour || claims.ExpiresAt.Unix() != got.ExpiresAt {
		t.Errorf("valid for %v, until %v, said %d", life, claims.ExpiresAt, got.ExpiresAt)
	}
}

func TestA11_ReadingAMessageTwice(t *testing.T) {
	w := newWorld(t)
	anna, boris := w.person("Анна"), w.person("Борис")
	id := anna.open(boris)
	sent := []message{anna.send(id, "1"), anna.send(id, "2"), anna.send(id, "3")}
	for _, step := range []struct {
		message, unread int
	}{{1, 1}, {1, 1}, {0, 1}, {2, 0}} {
		path := fmt.Sprintf("%s/%d", messagesOf(id), sent[step.message].ID)
		if body := boris.post(path, nil).is(200).body; string(body) != "{}" {
			t.Errorf("answer %s", body)
		}
		if n := boris.list()[0].Unread; n != step.unread {
			t.Errorf("after message %d: %d unread, want %d", step.message+1, n, step.unread)
		}
	}
	anna.do(http.MethodPost, fmt.Sprintf("%s/%d", messagesOf(id), sent[0].ID), "", "").is(200) // one's own
	boris.post(fmt.Sprintf("%s/%d", messagesOf(id), 999_999), nil).refused(404, "not_found", "")
}

func TestA12_SearchTakesSignsAsTheyAre(t *testing.T) {
	w := newWorld(t)
	anna := w.person("Анна")
	w.person("Филипп Семёнов", "email", "phil@example.com")
	w.person("100% Олег")
	w.person("под_черк")
	w.person("подчерк")
	find := func(needle string) (names []string) {
		var found []user
		anna.get("/api/search-users?search="+url.QueryEscape(needle)).into(200, &found)
		for _, u := range found {
			names = append(names, u.Name)
		}
		return names
	}
	for needle, want := range map[string][]string{
		"фил": {"Филипп Семёнов"}, "ФИЛ": {"Филипп Семёнов"}, "семенов": {"Филипп Семёнов"}, "%": {"100% Олег"}, "_": {"под_черк"},
		"phil@example.com": {"Филипп Семёнов"}, "phil@": nil, "анн": nil, "нет такого": nil,
	} {
		if got := find(needle); !slices.Equal(got, want) {
			t.Errorf("%q finds %q, want %q", needle, got, want)
		}
	}
	if body := anna.get("/api/search-users?search=%D1%89%D1%89").is(200).body; string(body) != "[]" {
		t.Errorf("nobody is %s", body)
	}
	anna.get("/api/search-users").refused(422, "validation", "search")
	anna.get("/api/search-users?search=+").refused(422, "validation", "search")
	anna.get("/api/search-users?search=x&limit=101").refused(422, "validation", "limit")
}

func TestA14_FormsAreBodiesToo(t *testing.T) {
	w := newWorld(t)
	anna, boris := w.person("Анна"), w.person("Борис")
	var made struct{ ChatID int64 }
	anna.form("/api/chats", url.Values{"companionId": {fmt.Sprint(boris.id)}}).into(200, &made)
	id := made.ChatID
	var m message
	anna.form(messagesOf(id), url.Values{"text": {"привет & пока"}, "client_id": {"f-1"}}).into(200, &m)
	if m.Text != "привет & пока" {
		t.Errorf("text %q", m.Text)
	}
	anna.form("/api/typing", url.Values{"chatId": {fmt.Sprint(id)}, "typing": {"1"}}).is(200)

	var parts bytes.Buffer
	form := multipart.NewWriter(&parts)
	for _, f := range [][2]string{{"text", "частями"}, {"reply_to_id", fmt.Sprint(m.ID)}} {
		if err := form.WriteField(f[0], f[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := form.Close(); err != nil {
		t.Fatal(err)
	}
	anna.do(http.MethodPost, messagesOf(id), form.FormDataContentType(), parts.String()).into(200, &m)
	if m.Text != "частями" {
		t.Errorf("text %q", m.Text)
	}
}

func TestEndpointsNeedAPerson(t *testing.T) {
	w := newWorld(t)
	anna := w.person("Анна")
	nobody, liar := &person{w: w}, &person{w: w, token: anna.token + "x"}
	for _, r := range chequite.Routes() {
		path := strings.NewReplacer("{chat}", "1", "{message}", "1").Replace(r.Pattern)
		for _, p := range []*person{nobody, liar} {
			a := p.do(r.Method, path, "", "")
			a.refused(401, "unauthorized", "")
			if !strings.Contains(string(a.body), `"Unauthenticated."`) {
				t.Errorf("body %s", a.body)
			}
		}
	}
	a := anna.do(http.MethodDelete, "/api/chats", "", "")
	a.refused(405, "method_not_allowed", "")
	if got := a.header.Get("Allow"); got != "GET, POST" {
		t.Errorf("Allow: %q", got)
	}
	service := &person{w: w, token: serviceKey}
	service.get("/api/chats").refused(403, "forbidden", "")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"/api/chats", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header["Authorization"] = []string{"Bearer " + anna.token, "Bearer x"}
	if res, err := http.DefaultClient.Do(r); err != nil || res.StatusCode != 401 {
		t.Errorf("two tokens: %v, %v", res, err)
	} else {
		res.Body.Close()
	}
	anna.get("/api/nothing").refused(404, "not_found", "")
	if got := anna.do(http.MethodHead, "/api/chats", "", "").is(200); len(got.body) != 0 {
		t.Errorf("HEAD has a body: %s", got.body)
	}
	anna.do(http.MethodGet, "/api/chats", "", "", "X-Timezone", "Mars/Base").refused(422, "validation", "X-Timezone")
	ru := anna.do(http.MethodGet, messagesOf(5), "", "", "Accept-Language", "ru")
	if !strings.Contains(string(ru.body), "Не найдено") {
		t.Errorf("in Russian: %s", ru.body)
	}
}

// few are limits of two calls each.
type few struct {
	mu    sync.Mutex
	calls map[string]int
}

func (f *few) User(id int64) error { return f.take(fmt.Sprint(id)) }

func (f *few) Stranger(address string) error { return f.take(address) }

func (f *few) take(who string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls == nil {
		f.calls = make(map[string]int)
	}
	if f.calls[who]++; f.calls[who] > 2 {
		return &chat.RateError{Limit: 2, Window: time.Minute, RetryAfter: 1500 * time.Millisecond}
	}
	return nil
}

func TestCallsAreLimited(t *testing.T) {
	w := newWorld(t, func(o *chequite.Options, _ *chat.Options) { o.Limits = new(few) })
	anna, nobody := w.person("Анна"), &person{w: w} // making Анна was a call
	anna.get("/api/chats").is(200)
	a := anna.get("/api/chats")
	a.refused(429, "rate_limited", "")
	if h := a.header; h.Get("Retry-After") != "2" || h.Get("X-RateLimit-Limit") != "2" || h.Get("X-RateLimit-Remaining") != "0" {
		t.Errorf("headers %v", h)
	}
	for range 2 {
		nobody.get("/api/chats").refused(401, "unauthorized", "")
	}
	nobody.get("/api/chats").refused(429, "rate_limited", "")
	w.person("Борис").get("/api/chats").is(200)
}

func TestGroupsAreChatsToo(t *testing.T) {
	for _, without := range []bool{false, true} {
		w := newWorld(t, func(o *chequite.Options, _ *chat.Options) { o.WithoutGroups = without })
		anna, boris := w.person("Анна"), w.person("Борис")
		v, _, err := w.chats.CreateGroup(t.Context(), anna.id, chat.NewGroup{Title: "Работа", Users: []int64{boris.id}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.chats.Saved(t.Context(), anna.id); err != nil {
			t.Fatal(err)
		}
		everyone := identity.Everyone
		_, err = w.accounts.UpdateProfile(t.Context(), identity.Caller{User: boris.id}, identity.ProfileChange{Privacy: identity.PrivacyChange{LastSeen: &everyone}})
		if err != nil {
			t.Fatal(err)
		}
		list := anna.list()
		if without {
			if len(list) != 0 {
				t.Errorf("list %+v", list)
			}
			continue
		}
		if len(list) != 1 || list[0].Name != "Работа" || list[0].CompanionID != nil || list[0].Type != "group" {
			t.Errorf("list %+v", list)
		}
		page := anna.messages(v.Chat.ID, "")
		if c := page.Companion; c.ID != 0 || c.Name != "Работа" || c.MembersCount != 2 || !c.IsOnline { // Борис has just called
			t.Errorf("companion %+v", c)
		}
		if m := page.Messages[0]; m.User.ID != 0 || m.Text == "" || !m.WasRead {
			t.Errorf("system message %+v", m)
		}
	}
}

func TestOfLargeGroupsItIsNotToldWhoIsThere(t *testing.T) {
	w := newWorld(t, func(o *chequite.Options, _ *chat.Options) { o.LargeGroup = 1 })
	anna, boris := w.person("Анна"), w.person("Борис")
	anna.open(boris)
	v, _, err := w.chats.CreateGroup(t.Context(), anna.id, chat.NewGroup{Title: "Все", Users: []int64{boris.id}})
	if err != nil {
		t.Fatal(err)
	}
	if c := anna.messages(v.Chat.ID, "").Companion; c.IsOnline {
		t.Errorf("companion %+v", c)
	}
}

func TestEmailIsShownAsConfigured(t *testing.T) {
	w := newWorld(t)
	anna, boris := w.person("Анна", "email", "anna@example.com"), w.person("Борис", "email", "boris@example.com")
	id := anna.open(boris)
	var me struct{ Email *string }
	anna.get("/api/get-user-info").into(200, &me)
	if me.Email == nil || *me.Email != "anna@example.com" {
		t.Errorf("own address %v", me.Email)
	}
	for _, c := range []struct {
		privacy string
		shown   bool
	}{{"everyone", true}, {"contacts", true}, {"self", false}} {
		_, err := w.accounts.UpdateProfile(t.Context(), identity.Caller{User: boris.id}, identity.ProfileChange{Privacy: identity.PrivacyChange{Email: &c.privacy}})
		if err != nil {
			t.Fatal(err)
		}
		page := anna.messages(id, "")
		if got := page.Companion.Email != nil; got != c.shown {
			t.Errorf("%s: shown %v", c.privacy, got)
		}
	}
}
