package windi_test

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/kuranty/kuranty/internal/apierror"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/compat/windi"
	"github.com/kuranty/kuranty/internal/identity"
)

func TestAccounts(t *testing.T) {
	s := start(t)
	guest := &user{stage: s}
	in := object{"username": "olga", "email": "Olga@Example.org", "password": "very long password", "confirm_password": "very long password"}
	made := guest.call("POST", "/users/register", in).want(201)
	made.is(`"olga@example.org"`, "email").is(`"olga"`, "name").is(`"olga"`, "username").is(`true`, "is_active")
	if strings.Contains(string(made.raw), "password") || made.get("created_at") == "" {
		t.Errorf("registered: %s", made.raw)
	}
	in["username"] = "olga2" // of two that are taken, either is told
	guest.call("POST", "/users/register", in).want(422).is(`["body","email"]`, "detail", 0, "loc")
	in["confirm_password"] = "other"
	guest.call("POST", "/users/register", in).want(422).is(`["body","confirm_password"]`, "detail", 0, "loc")
	guest.call("POST", "/users/register", object{}).want(422)

	for _, body := range []any{
		"username=olga%40example.org&password=very+long+password&grant_type=password",
		object{"email": "olga@example.org", "password": "very long password"},
		object{"username": "olga", "password": "very long password"},
	} {
		a := guest.call("POST", "/users/login", body).want(200).is(`"bearer"`, "token_type").is(`"olga@example.org"`, "user", "email").is(`900`, "expires_in")
		for _, name := range []string{"access_token", "refresh_token", "session_id", "centrifugo_token"} {
			if v, _ := a.get(name).(string); v == "" {
				t.Errorf("no %s: %s", name, a.raw)
			}
		}
	}
	guest.call("POST", "/users/login", object{"email": "olga@example.org", "password": "wrong password"}).want(401)
	logins, err := s.accounts.Sessions(t.Context(), identity.Caller{User: int64(made.get("id").(float64))})
	if err != nil || len(logins) != 3 {
		t.Errorf("%d sessions after registration and 3 logins, %v", len(logins), err)
	}

	olga := s.loggedIn("olga", guest.call("POST", "/users/login", object{"username": "olga", "password": "very long password"}).want(200))
	olga.call("PUT", "/users/me", object{"name": "Ольга", "about": "о себе", "role": "admin", "email": "x@example.org", "is_active": false}).want(200).
		is(`"Ольга"`, "name").is(`"о себе"`, "about").is(`"user"`, "role").is(`"olga@example.org"`, "email")
	olga.call("GET", "/users/me").want(200).is(`"Ольга"`, "name")
	olga.call("PUT", "/users/me", object{"name": ""}).want(422).is(`["body","name"]`, "detail", 0, "loc")
	olga.call("GET", fmt.Sprintf("/users/%d/status", olga.id)).want(200).is(`{"is_online":true,"last_seen":null}`)
	olga.call("GET", "/users/777/status").want(200).is(`{"is_online":false,"last_seen":null}`)
	olga.call("GET", "/users/x/status").want(422).is(`["path","user_id"]`, "detail", 0, "loc")
	olga.call("POST", "/users/logout").want(200)
	olga.call("GET", "/users/me").want(401)
}

func TestChats(t *testing.T) {
	s := start(t, func(_ *windi.Options, o *chat.Options) { o.EmailVisibility = "self" })
	anna, boris, eve := s.newUser("Анна"), s.newUser("Boris"), s.newUser("Eve")
	direct := anna.call("POST", "/chats", object{"type": "direct", "user_ids": []int64{boris.id}}).want(201)
	direct.is(`"direct"`, "type").is(`"Boris"`, "name").is(fmt.Sprint(anna.id), "users", 0, "id").is(fmt.Sprint(boris.id), "users", 1, "id").
		is(`null`, "last_message").is(`0`, "unread_count").is(`null`, "users", 1, "email")
	if mine, _ := direct.get("users", 0, "email").(string); !strings.Contains(mine, "@") {
		t.Errorf("one's own address: %s", direct.raw)
	}
	eq(t, "the same again", anna.call("POST", "/chats", object{"type": "direct", "user_ids": fmt.Sprint(boris.id)}).want(201).get("id"), direct.get("id"))
	group := anna.group(boris)
	anna.call("POST", fmt.Sprintf("/centrifugo/publish?chat_id=%d", group), object{"content": "hi"}).want(200)

	list := boris.call("GET", "/chats").want(200)
	if all := list.body.([]any); len(all) != 1 { // of an empty direct chat the other side does not hear
		t.Errorf("chats of Boris: %s", list.raw)
	}
	list.is(`"Команда"`, 0, "name").is(`"hi"`, 0, "last_message", "content").is(`1`, 0, "unread_count").is(fmt.Sprint(anna.id), 0, "users", 0, "id").
		is(fmt.Sprint(boris.id), 0, "users", 1, "id").is(`2`, 0, "member_count")
	eq(t, "chats of Anna", len(anna.call("GET", "/chats").want(200).body.([]any)), 2)
	eq(t, "second page", len(anna.call("GET", "/chats?limit=1&offset=1").want(200).body.([]any)), 1)
	one := boris.call("GET", fmt.Sprintf("/chats/%d", group)).want(200)
	eq(t, "one chat", one.body, list.get(0))
	eve.call("GET", fmt.Sprintf("/chats/%d", group)).want(403)

	for _, x := range []struct {
		body   string
		status int
	}{
		{`{"type":"direct","user_ids":[]}`, 400},
		{`{"type":"direct"}`, 400},
		{fmt.Sprintf(`{"type":"direct","user_ids":[%d,%d]}`, boris.id, eve.id), 400},
		{`{"type":"group","user_ids":[]}`, 400},
		{`{"type":"group","name":"  "}`, 400},
		{`{"type":"channel","name":"x"}`, 422},
		{`{}`, 422},
		{`{"type":"direct","user_ids":[777]}`, 422},
		{fmt.Sprintf(`{"type":"direct","user_ids":[%d]}`, anna.id), 422},
		{`{"type":"group","name":"x","user_ids":[777]}`, 422},
		{`{"type":"group","name":"` + strings.Repeat("x", 129) + `"}`, 422},
		{`{"type":"group","name":"x","user_ids":["a"]}`, 422},
	} {
		if a := anna.call("POST", "/chats", []byte(x.body)); a.status != x.status {
			t.Errorf("%s: %d, want %d: %s", x.body, a.status, x.status, a.raw)
		}
	}
}

func TestUploads(t *testing.T) {
	s := start(t)
	anna, boris := s.newUser("Анна"), s.newUser("Boris")
	id := anna.group(boris)
	form := func(names ...string) (string, []byte) {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		for _, name := range names {
			part, err := w.CreateFormFile("files", name)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(part, "text of %s", name)
		}
		w.Close()
		return w.FormDataContentType(), b.Bytes()
	}
	send := func(u *user, names ...string) *answer {
		kind, body := form(names...)
		return u.callWith("POST", "/files/upload", http.Header{"Content-Type": {kind}}, body)
	}
	a := send(anna, "a.txt", "б.txt").want(201).is(`"a.txt"`, 0, "filename").is(`"б.txt"`, 1, "filename").is(`"document"`, 0, "type").is(`13`, 0, "size")
	file := a.get(0, "id")
	m := anna.call("POST", fmt.Sprintf("/centrifugo/publish?chat_id=%d", id), object{"attachments": []any{object{"file_id": file}}}).want(200)
	eq(t, "file of the message", m.get("attachments", 0, "id"), file)
	eq(t, "name in the message", m.get("attachments", 0, "filename"), "a.txt")
	boris.call("POST", fmt.Sprintf("/centrifugo/publish?chat_id=%d", id), object{"attachments": []any{object{"id": a.get(1, "id")}}}).
		want(422).is(`["body","attachments"]`, "detail", 0, "loc")
	send(anna).want(422)
	kind, whole := form("a.txt")
	anna.callWith("POST", "/files/upload", http.Header{"Content-Type": {kind}}, whole[:len(whole)-9]).want(422)
	empty := []byte("--x\r\nContent-Disposition: form-data; name=\"files\"; filename=\"a.txt\"\r\n\r\n\r\n--x--\r\n")
	anna.callWith("POST", "/files/upload", http.Header{"Content-Type": {"multipart/form-data; boundary=x"}}, empty).
		want(422).is(`["body","files"]`, "detail", 0, "loc")
	send(anna, strings.Split(strings.Repeat("x.txt ", 11), " ")[:11]...).want(422)
	anna.call("POST", "/files/upload", object{}).want(422).is(`["body","files"]`, "detail", 0, "loc")
	send(&user{stage: s}, "a.txt").want(401)
	link := object{"content": "x", "attachments": []any{object{"type": "image", "url": "https://example.org/a.jpg"}}}
	anna.call("POST", fmt.Sprintf("/centrifugo/publish?chat_id=%d", id), link).want(422)
	open := start(t, func(_ *windi.Options, o *chat.Options) { o.ExternalAttachments = true })
	olga := open.newUser("Olga")
	olga.call("POST", fmt.Sprintf("/centrifugo/publish?chat_id=%d", olga.group()), link).want(200).is(`"https://example.org/a.jpg"`, "attachments", 0, "url")
}

func TestSearchForPeople(t *testing.T) {
	s := start(t)
	anna, eve := s.newUser("Анна Ёлкина"), s.newUser("Eve")
	eve.call("GET", "/search/users?query=елкин").want(200).is(`"Анна Ёлкина"`, 0, "name").is(fmt.Sprint(anna.id), 0, "id")
	eve.call("GET", "/search/users?query=%25").want(200).is(`[]`)
	eve.call("GET", "/search/users").want(422).is(`["query","query"]`, "detail", 0, "loc")
	eve.call("GET", "/search/users?query="+strings.Repeat("x", 200)).want(422).is(`["query","query"]`, "detail", 0, "loc")
}

func TestSearchForMessages(t *testing.T) {
	s := start(t)
	anna, boris, eve := s.newUser("Анна"), s.newUser("Boris"), s.newUser("Eve")
	id := anna.group(boris)
	m := anna.call("POST", fmt.Sprintf("/centrifugo/publish?chat_id=%d", id), object{"content": "Встреча завтра"}).want(200)
	boris.call("GET", "/search/messages?query=встречу").want(200).is(`"Встреча завтра"`, 0, "content").is(`false`, 0, "is_read").is(fmt.Sprint(id), 0, "chat_id")
	anna.call("GET", "/search/messages?query=встреча").want(200).is(`"sent"`, 0, "status")
	boris.call("POST", fmt.Sprintf("/messages/%.0f/read", m.get("id"))).want(200)
	anna.call("GET", fmt.Sprintf("/search/messages?query=встреча&chat_id=%d", id)).want(200).is(`"read"`, 0, "status").is(`true`, 0, "is_read")
	eve.call("GET", "/search/messages?query=встреча").want(200).is(`[]`)
	eve.call("GET", fmt.Sprintf("/search/messages?query=встреча&chat_id=%d", id)).want(403)
	eve.call("GET", "/search/messages?query=в").want(422).is(`["query","query"]`, "detail", 0, "loc")
}

func TestHealthStatsAndUnknownPaths(t *testing.T) {
	ready := true
	s := start(t, func(o *windi.Options, _ *chat.Options) { o.Ready = func() bool { return ready } })
	guest := &user{stage: s}
	guest.call("GET", "/health").want(200).is(`"ok"`, "status")
	ready = false
	guest.call("GET", "/health").want(503)
	anna := s.newUser("Анна")
	anna.connect()
	anna.call("GET", "/centrifugo/stats").want(403)
	s.admin.call("GET", "/centrifugo/stats").want(200).is(`1`, "num_clients").is(`1`, "num_users")
	guest.call("GET", "/nothing").want(404).is(`"Not Found"`, "detail")
	a := guest.call("DELETE", "/users/me").want(405)
	eq(t, "Allow", a.header.Get("Allow"), "GET, PUT")
	for _, a := range []*answer{guest.call("GET", "/users/me"), anna.call("GET", "/users/me")} {
		eq(t, "Cache-Control", a.header.Get("Cache-Control"), "no-store")
		if a.header.Get("X-Request-Id") == "" {
			t.Errorf("%s: no request id", a.what)
		}
	}
	ru := guest.callWith("GET", "/users/me", http.Header{"Accept-Language": {"ru"}}).want(401)
	ru.is(`"Войдите в систему."`, "detail")
}

// few lets everybody call twice.
type few map[any]int

func (f few) count(who any) error {
	if f[who]++; f[who] > 2 {
		return &apierror.Error{Code: apierror.RateLimited, Limit: 2}
	}
	return nil
}
func (f few) User(id int64) error           { return f.count(id) }
func (f few) Stranger(address string) error { return f.count(address) }

func TestCallsAreLimited(t *testing.T) {
	limits := few{}
	s := start(t, func(o *windi.Options, _ *chat.Options) { o.Limits = limits })
	clear(limits)
	for i, want := range []int{200, 200, 429} {
		if a := s.admin.call("GET", "/users/me"); a.status != want {
			t.Errorf("call %d: %d", i, a.status)
		}
	}
	guest := &user{stage: s, access: "wrong"}
	for i, want := range []int{401, 401, 429} {
		if a := guest.call("GET", "/users/me"); a.status != want {
			t.Errorf("stranger's call %d: %d", i, a.status)
		}
	}
}

func TestMessagesOfTheServerAPI(t *testing.T) {
	s := start(t)
	anna, eve := s.newUser("Анна"), s.newUser("Eve")
	id := anna.group()
	channel := fmt.Sprintf("chat:%d", id)
	message := fmt.Sprintf(`{"type":"message","content":"from the backend","sender_id":"%d"}`, anna.id)
	for _, x := range []struct {
		guard, channel, data string
		handled, refused     bool
	}{
		{"", channel, message, true, false},
		{"", channel, `{"text":"test"}`, false, false},
		{"", channel, `{"type":"message","content":"x"}`, false, false},
		{"", channel, fmt.Sprintf(`{"type":"message","content":"x","sender_id":%d}`, eve.id), false, false},
		{"", "chat:777", message, false, false},
		{"", "news", message, false, false},
		{"", channel, fmt.Sprintf(`{"type":"message","content":"","sender_id":%d}`, anna.id), false, true},
		{"", channel, fmt.Sprintf(`{"type":"message","content":7,"sender_id":%d}`, anna.id), false, true},
		{"", channel, fmt.Sprintf(`{"type":"message","content":"","sender_id":%d}`, eve.id), false, false},
		{"", channel, fmt.Sprintf(`{"type":"message","content":7,"sender_id":%d}`, eve.id), false, false},
		{"", "chat:777", fmt.Sprintf(`{"type":"message","content":{},"sender_id":%d}`, anna.id), false, false},
		{"", channel, `{"type":"message","content":7}`, false, false},
		{"", channel, `["message"]`, false, false},
		{"", channel, `not JSON`, false, false},
		{windi.GuardAllow, channel, message, false, false},
		{windi.GuardDeny, channel, message, false, true},
		{windi.GuardDeny, channel, `{"type":"message","content":7}`, false, true},
		{windi.GuardDeny, "chat:777", message, false, true},
		{windi.GuardDeny, channel, `{"text":"test"}`, false, false},
	} {
		c := windi.New(windi.Options{Chats: s.chats, Guard: x.guard})
		place, handled, err := c.ServerPublish(t.Context(), x.channel, []byte(x.data))
		if handled && place.Offset != 3 { // after the group and that it was made
			t.Errorf("place %v", place)
		}
		if handled != x.handled || (err != nil) != x.refused {
			t.Errorf("guard %q: %s into %s: handled %v, %v", x.guard, x.data, x.channel, handled, err)
		}
	}
	anna.call("GET", fmt.Sprintf("/history/%d", id)).want(200).is(`"from the backend"`, "messages", 1, "content").is(fmt.Sprint(anna.id), "messages", 1, "sender_id")
	c := windi.New(windi.Options{Chats: s.chats})
	for i := range 40 { // no rate bounds what a service sends
		if _, _, err := c.ServerPublish(t.Context(), channel, []byte(message)); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
}
