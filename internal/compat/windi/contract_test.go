package windi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/compat/windi"
	"github.com/kuranty/kuranty/internal/identity"
)

func TestB01_TokensByPostAndGet(t *testing.T) {
	s := start(t)
	anna, boris := s.newUser("Анна"), s.newUser("Boris")
	chatID := anna.group()
	for _, method := range []string{"GET", "POST"} {
		a := anna.call(method, "/centrifugo/token").want(200)
		var claims struct {
			Sub  string
			Exp  int64
			Info struct {
				ID   int64
				Name string
			}
			Meta struct{ Sid string }
		}
		_, payload, err := identity.DecodeToken(a.get("token").(string))
		if err == nil {
			err = json.Unmarshal(payload, &claims)
		}
		if err != nil || claims.Sub != fmt.Sprint(anna.id) || claims.Info.ID != anna.id || claims.Info.Name != "Анна" || claims.Meta.Sid != anna.session {
			t.Errorf("claims %s, %v", payload, err)
		}
		if left := claims.Exp - time.Now().Unix(); left < 86390 || left > 86400 {
			t.Errorf("valid for %d s, want a day", left)
		}
		eq(t, "expires_at", a.get("expires_at"), float64(claims.Exp))
	}
	channel := fmt.Sprintf("chat:%d", chatID)
	for _, a := range []*answer{
		anna.call("GET", "/centrifugo/token?channel="+channel), anna.call("POST", "/centrifugo/token", object{"channel": channel}),
		anna.call("POST", "/centrifugo/token", "channel="+channel),
	} {
		a.want(200).is(`"`+channel+`"`, "channel")
		_, payload, err := identity.DecodeToken(a.get("token").(string))
		if err != nil || !strings.Contains(string(payload), `"channel":"`+channel+`"`) {
			t.Errorf("claims %s, %v", payload, err)
		}
	}
	boris.call("GET", "/centrifugo/token?channel="+channel).want(403)
	boris.call("GET", fmt.Sprintf("/centrifugo/token?channel=user:%d", anna.id)).want(403)
	boris.call("GET", "/centrifugo/token?channel=news").want(400)
	a := (&user{stage: s}).call("GET", "/centrifugo/token").want(401).is(`"Please sign in."`, "detail")
	eq(t, "challenge", a.header.Get("WWW-Authenticate"), "Bearer")
	eq(t, "code", a.header.Get("X-Error-Code"), "unauthorized")
	info := anna.call("GET", "/centrifugo/connection-info").want(200)
	info.is(`"`+s.socket+`"`, "ws_url").is(`"`+s.url+`/connection/http_stream"`, "http_url").is(`"3.0"`, "version")
}

func TestB02_ConnectSubscribePublication(t *testing.T) {
	s := start(t)
	anna, boris := s.newUser("Анна"), s.newUser("Boris")
	chatID := anna.group(boris)
	c := boris.connect()
	c.subscribe(fmt.Sprintf("chat:%d", chatID))
	c.subscribe(fmt.Sprintf("user:%d", boris.id))
	c.subscribe("system:notifications")
	eq(t, "foreign user channel", code(c.do("subscribe", object{"channel": fmt.Sprintf("user:%d", anna.id)})), 103)
	stored := anna.call("POST", fmt.Sprintf("/centrifugo/publish?chat_id=%d", chatID), object{"content": "Привет <b>"}).want(200)
	got := c.published("message")
	for _, name := range []string{"id", "chat_id", "seq", "event_seq", "content", "text", "sender_id", "sender_name", "timestamp", "created_at", "client_id"} {
		eq(t, name, dig(got, name), stored.get(name))
	}
	eq(t, "is_read", dig(got, "is_read"), false)
	eq(t, "status", dig(got, "status"), "sent")
}

func TestB03_ThreeFormsOfPublish(t *testing.T) {
	s := start(t)
	anna, boris := s.newUser("Анна"), s.newUser("Boris")
	chatID := anna.group(boris)
	channel := fmt.Sprintf("chat:%d", chatID)
	c := boris.connect()
	c.subscribe(channel)

	one := anna.call("POST", fmt.Sprintf("/centrifugo/publish?chat_id=%d", chatID), object{
		"content": "one", "client_message_id": "c-1", "metadata": object{"k": []int{1}}, "attachments": []any{},
	}).want(200)
	one.is(`"message"`, "type").is(`"one"`, "content").is(`"one"`, "text").is(`"c-1"`, "client_message_id").is(`"c-1"`, "client_id").
		is(`{"k":[1]}`, "metadata").is(`"sent"`, "status").is(`false`, "is_read").is(`false`, "is_edited").is(`null`, "reply_to_id").is(`1`, "version")
	if one.get("message_id") != nil || one.get("result") != nil {
		t.Errorf("form 1 answers the message alone: %s", one.raw)
	}
	again := anna.call("POST", fmt.Sprintf("/centrifugo/publish?chat_id=%d", chatID), object{"text": "one", "client_id": "c-1"}).want(200)
	eq(t, "id of the repetition", again.get("id"), one.get("id"))
	eq(t, "replayed", again.header.Get("Idempotency-Replayed"), "true")
	anna.call("POST", fmt.Sprintf("/centrifugo/publish?chat_id=%d", chatID), object{"text": "other", "client_id": "c-1"}).want(409)

	two := anna.call("POST", "/centrifugo/publish", object{"channel": channel, "data": object{
		"type": "message", "content": "two", "reply_to_id": one.get("id"), "id": 5, "timestamp": "yesterday",
	}}).want(200)
	two.is(`"two"`, "text").is(fmt.Sprint(one.get("id")), "reply_to_id").is(`"one"`, "reply_to", "text")
	eq(t, "message_id", two.get("message_id"), two.get("id"))
	eq(t, "offset", two.get("result", "offset"), two.get("event_seq"))
	eq(t, "epoch", two.get("result", "epoch"), s.store.Epoch())

	three := anna.call("POST", "/centrifugo/publish?channel="+channel, object{"text": "three"}).want(200)
	anna.call("POST", "/centrifugo/publish?chat_id="+fmt.Sprint(chatID), "content=four&client_id=c-4").want(200).is(`"four"`, "text")
	pub := c.push("pub", func(v any) bool { return dig(v, "data", "content") == "three" })
	eq(t, "offset of the publication", dig(pub, "offset"), three.get("result", "offset"))

	for data, published := range map[string]string{
		`{"type":"typing","is_typing":true,"user_id":77,"user_name":"Mallory"}`:                                    "typing",
		`{"type":"custom.poll","q":1,"user_id":77,"user_name":"Mallory","sender_id":77,"event_seq":1,"chat_id":9}`: "custom.poll",
		`{"type":"custom.game.move","x":2}`: "custom.game.move",
	} {
		anna.call("POST", "/centrifugo/publish?channel="+channel, []byte(data)).want(200).is(`true`, "success").is(`{}`, "result")
		got := c.published(published)
		eq(t, published+" user_id", dig(got, "user_id"), float64(anna.id))
		eq(t, published+" user_name", dig(got, "user_name"), "Анна")
		eq(t, published+" chat_id", dig(got, "chat_id"), float64(chatID))
		for _, claimed := range []string{"sender_id", "sender_name", "event_seq"} {
			eq(t, published+" "+claimed, dig(got, claimed), nil)
		}
	}
	boris.call("POST", "/centrifugo/publish", object{"channel": channel, "data": object{"type": "read", "message_id": three.get("id")}}).
		want(200).is(`true`, "success").is(`{}`, "result")
	read := c.published("read")
	eq(t, "read_seq", dig(read, "read_seq"), three.get("seq"))
	system := anna.call("POST", "/centrifugo/publish?channel="+channel, object{"type": "system", "content": "Собрание"}).want(200)
	system.is(`"system"`, "type").is(`"system"`, "message_type").is(`"Собрание"`, "content").is(`null`, "sender_id")
	boris.call("POST", "/centrifugo/publish?channel="+channel, object{"type": "system", "content": "fake"}).want(403)
}

func TestB03_FormsThatAreNone(t *testing.T) {
	s := start(t)
	anna := s.newUser("Анна")
	id := anna.group()
	for _, x := range []struct {
		query, body string
		status      int
		loc         string
	}{
		{"", `{"content":"x"}`, 422, `["query","chat_id"]`},
		{"", ``, 422, `["query","chat_id"]`},
		{"", `{"channel":"chat:1"}`, 422, `["body","data"]`},
		{"", `{"channel":5,"data":{}}`, 422, `["query","chat_id"]`},
		{"", `{"channel":"","data":{}}`, 400, ""},
		{"?channel=", `{"content":"x"}`, 400, ""},
		{"?chat_id=x", `{"content":"x"}`, 422, `["query","chat_id"]`},
		{"?chat_id=0", `{"content":"x"}`, 422, `["query","chat_id"]`},
		{fmt.Sprintf("?chat_id=%d&channel=chat:77", id), `{"content":"x"}`, 400, ""},
		{fmt.Sprintf("?chat_id=%d", id), `{"channel":"chat:77","data":{"content":"x"}}`, 400, ""},
		{fmt.Sprintf("?chat_id=%d", id), `{"content":"x","text":"y"}`, 422, `["body","text"]`},
		{fmt.Sprintf("?chat_id=%d", id), `{"content":5}`, 422, `["body","content"]`},
		{fmt.Sprintf("?chat_id=%d", id), `{"content":"x","attachments":"no"}`, 422, `["body","attachments"]`},
		{fmt.Sprintf("?chat_id=%d", id), `{"content":"x","attachments":[{"file_id":5}]}`, 422, `["body","attachments",0,"file_id"]`},
		{fmt.Sprintf("?chat_id=%d", id), `{"content":"x","reply_to_id":-1}`, 422, `["body","reply_to_id"]`},
		{fmt.Sprintf("?chat_id=%d", id), `{"content":"x","reply_to_id":999}`, 422, `["body","reply_to_id"]`},
		{fmt.Sprintf("?chat_id=%d", id), `{"content":"x","metadata":[1]}`, 422, `["body","metadata"]`},
		{fmt.Sprintf("?chat_id=%d", id), `{"content":"x","client_id":"a","client_message_id":"b"}`, 422, `["body","client_id"]`},
		{fmt.Sprintf("?channel=chat:%d", id), `{"type":"typing"}`, 422, `["body","is_typing"]`},
		{fmt.Sprintf("?channel=chat:%d", id), `{"type":"read"}`, 422, `["body","message_id"]`},
		{fmt.Sprintf("?channel=chat:%d", id), `{"type":"read","seq":99}`, 422, `["body","seq"]`},
		{fmt.Sprintf("?channel=chat:%d", id), `{"type":"custom.other"}`, 422, `["body","type"]`},
		{fmt.Sprintf("?channel=chat:%d", id), `{"type":"member_left"}`, 422, `["body","type"]`},
		{fmt.Sprintf("?channel=chat:%d", id), `{"type":"custom.poll","x":"` + strings.Repeat("x", 4096) + `"}`, 422, `["body"]`},
		{fmt.Sprintf("?channel=chat:%d", id), `[1]`, 422, `["body"]`},
		{fmt.Sprintf("?channel=chat:%d", id), `{"content":"x"`, 422, ""},
		{fmt.Sprintf("?channel=chat:%d", id), `{"content":"x"}{}`, 422, `["body"]`},
		{fmt.Sprintf("?channel=chat:%d", id), `{"content":"x","content":"y"}`, 422, ""},
		{fmt.Sprintf("?channel=chat:%d", id), `{"content":"x","y":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, 422, `["body"]`},
	} {
		a := anna.call("POST", "/centrifugo/publish"+x.query, []byte(x.body))
		if a.status != x.status {
			t.Errorf("%s %s: %d, want %d: %s", x.query, x.body, a.status, x.status, a.raw)
		}
		if x.loc != "" {
			a.is(x.loc, "detail", 0, "loc")
			if a.get("detail", 0, "msg") == "" || a.get("detail", 0, "type") == "" {
				t.Errorf("%s: %s", x.body, a.raw)
			}
		}
		if a.header.Get("X-Error-Code") == "" || a.header.Get("X-Request-Id") == "" {
			t.Errorf("%s: headers %v", x.body, a.header)
		}
	}
	big := []byte(`{"content":"` + strings.Repeat("x", 1<<20) + `"}`)
	anna.call("POST", fmt.Sprintf("/centrifugo/publish?chat_id=%d", id), big).want(413)
}

func TestB04_Refusals(t *testing.T) {
	s := start(t)
	anna, boris := s.newUser("Анна"), s.newUser("Boris")
	id := anna.group()
	own := fmt.Sprintf("/centrifugo/publish?chat_id=%d", id)
	for _, text := range []string{"", "  \n ", strings.Repeat("я", 5000)} {
		a := anna.call("POST", own, object{"content": text}).want(400)
		if _, ok := a.get("detail").(string); !ok {
			t.Errorf("detail of %.9q: %s", text, a.raw)
		}
	}
	anna.call("POST", own, object{"content": strings.Repeat("я", 4000)}).want(200)
	for _, channel := range []string{"chat", "chat:", ":1", "news:1", "chat:1x", "chat:01", "chat:-1", "system:other", "user:x", "Chat:1"} {
		anna.call("POST", "/centrifugo/publish", object{"channel": channel, "data": object{"content": "x"}}).
			want(400).is(`"expected 'chat:id' or 'user:id'"`, "detail")
	}
	boris.call("POST", own, object{"content": "x"}).want(403)
	boris.call("POST", "/centrifugo/publish?chat_id=777", object{"content": "x"}).want(403)
	for _, data := range []string{`{"type":"typing","is_typing":true}`, `{"type":"read","seq":1}`, `{"type":"system","content":"x"}`, `{"type":"custom.poll"}`} {
		boris.call("POST", fmt.Sprintf("/centrifugo/publish?channel=chat:%d", id), []byte(data)).want(403)
	}

	c := boris.connect()
	c.subscribe(fmt.Sprintf("user:%d", boris.id))
	boris.call("POST", "/centrifugo/publish", object{"channel": fmt.Sprintf("user:%d", boris.id), "data": object{"type": "hint", "n": 1, "user_id": 5}}).
		want(200).is(`true`, "success")
	echo := c.published("hint")
	eq(t, "user_id", dig(echo, "user_id"), float64(boris.id))
	eq(t, "n", dig(echo, "n"), 1.0)
	if at, _ := dig(echo, "timestamp").(float64); int64(at) < time.Now().Unix()-60 {
		t.Errorf("timestamp %v", at)
	}
	to := object{"channel": fmt.Sprintf("user:%d", boris.id), "data": object{"type": "hello"}}
	anna.call("POST", "/centrifugo/publish", to).want(403)
	s.admin.call("POST", "/centrifugo/publish", to).want(200)
	eq(t, "from the administrator", dig(c.published("hello"), "user_id"), float64(s.admin.id))
	service := &user{stage: s, access: serviceKey}
	to["data"] = object{"type": "from service"}
	service.call("POST", "/centrifugo/publish", to).want(200)
	c.published("from service")
	service.call("GET", fmt.Sprintf("/history/%d", id)).want(403)
	service.call("POST", own, object{"content": "x"}).want(422).is(`["body","sender_id"]`, "detail", 0, "loc")
	service.call("POST", own, object{"content": "for Anna", "sender_id": fmt.Sprint(anna.id)}).want(200).is(fmt.Sprint(anna.id), "sender_id")
	service.call("POST", own, object{"content": "x", "sender_id": boris.id}).want(403)
	key, _, err := s.accounts.CreateKey(t.Context(), identity.Operator("test"), "reader", []string{"read:users"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	reader := &user{stage: s, access: key}
	reader.call("POST", own, object{"content": "x", "sender_id": anna.id}).want(403)
	reader.call("POST", "/centrifugo/publish", to).want(403)
	reader.call("POST", "/centrifugo/publish", object{"channel": fmt.Sprintf("chat:%d", id), "data": object{"type": "system", "content": "x"}}).want(403)
	reader.call("POST", "/centrifugo/publish", object{"channel": fmt.Sprintf("chat:%d", id), "data": object{"type": "custom.poll"}}).want(403)
	reader.call("GET", "/centrifugo/stats").want(403)
}

func TestB05_SendersCannotBeForged(t *testing.T) {
	s := start(t)
	anna, boris := s.newUser("Анна"), s.newUser("Boris")
	id := anna.group(boris)
	channel := fmt.Sprintf("chat:%d", id)
	c := boris.connect()
	c.subscribe(channel)
	forged := object{
		"type": "message", "content": "forged", "sender_id": boris.id, "sender_name": "Boris", "id": 1, "seq": 1, "event_seq": 1,
		"timestamp": 1, "created_at": "1970-01-01T00:00:00Z", "is_read": true, "message_type": "system", "chat_id": 99,
	}
	check := func(what string, m any) {
		t.Helper()
		eq(t, what+": sender_id", dig(m, "sender_id"), float64(anna.id))
		eq(t, what+": sender_name", dig(m, "sender_name"), "Анна")
		eq(t, what+": chat_id", dig(m, "chat_id"), float64(id))
		eq(t, what+": message_type", dig(m, "message_type"), "text")
		if at, _ := dig(m, "timestamp").(float64); int64(at) < time.Now().Unix()-60 {
			t.Errorf("%s: timestamp %v", what, at)
		}
	}
	check("REST", anna.call("POST", "/centrifugo/publish", object{"channel": channel, "data": forged}).want(200).body)
	check("publication", c.published("message"))
	mine := anna.connect()
	if r := mine.do("publish", object{"channel": channel, "data": forged}); code(r) != 0 {
		t.Fatalf("client publish: %v", r)
	}
	check("publication of a client's", c.published("message"))

	for data, want := range map[string]int{
		`{"type":"message","content":""}`:        107,
		`{"type":"message","content":5}`:         107,
		`{"type":"other"}`:                       107,
		`"text"`:                                 107,
		`{"type":"typing","is_typing":true}`:     0,
		`{"type":"custom.poll"}`:                 0,
		`{"type":"read","seq":1}`:                0,
		`{"type":"message","text":"client one"}`: 0,
	} {
		if got := code(mine.do("publish", object{"channel": channel, "data": json.RawMessage(data)})); got != want {
			t.Errorf("%s: code %d, want %d", data, got, want)
		}
	}
	for channel, want := range map[string]int{"chat:777": 103, fmt.Sprintf("user:%d", anna.id): 103, "system:notifications": 103} {
		if got := code(mine.do("publish", object{"channel": channel, "data": object{"content": "x"}})); got != want {
			t.Errorf("%s: code %d, want %d", channel, got, want)
		}
	}
}

func TestB05_ClientsThatPublishTooOftenHearIt(t *testing.T) {
	s := start(t, func(_ *windi.Options, o *chat.Options) { o.Limits = chat.Limits{SendPerSecond: 1, SendBurst: 2} })
	anna := s.newUser("Анна")
	channel := fmt.Sprintf("chat:%d", anna.group())
	c := anna.connect()
	var codes []int
	for i := range 3 {
		codes = append(codes, code(c.do("publish", object{"channel": channel, "data": object{"content": fmt.Sprint(i)}})))
	}
	eq(t, "codes", codes, []int{0, 0, 111})
	a := anna.call("POST", "/centrifugo/publish?channel="+channel, object{"content": "x"}).want(429)
	if a.header.Get("Retry-After") == "" || a.header.Get("X-RateLimit-Limit") != "1" {
		t.Errorf("headers %v", a.header)
	}
}

func TestB06_TypingIsNeitherInHistoryNorRecovered(t *testing.T) {
	s := start(t)
	anna, boris := s.newUser("Анна"), s.newUser("Boris")
	id := anna.group(boris)
	channel := fmt.Sprintf("chat:%d", id)
	c := boris.connect()
	c.do("history", object{"channel": channel, "limit": 1}) // the group's own events are announced then
	at := c.subscribe(channel)
	anna.call("POST", "/centrifugo/typing", object{"chat_id": fmt.Sprint(id), "is_typing": 1}).want(200).is(`true`, "success")
	typing := c.published("typing")
	eq(t, "is_typing", dig(typing, "is_typing"), true)
	m := anna.call("POST", "/centrifugo/publish?channel="+channel, object{"content": "x"}).want(200)
	eq(t, "announced", dig(c.published("message"), "id"), m.get("id"))
	history := c.do("history", object{"channel": channel, "limit": 100})
	for _, p := range dig(history, "history", "publications").([]any) {
		eq(t, "offset", dig(p, "offset"), dig(p, "data", "event_seq"))
		if dig(p, "data", "type") == "typing" {
			t.Error("typing in the history of the channel")
		}
	}
	again := boris.connect()
	r := again.do("subscribe", object{"channel": channel, "recover": true, "epoch": at["epoch"], "offset": at["offset"]})
	eq(t, "recovered", dig(r, "subscribe", "recovered"), true)
	pubs, _ := dig(r, "subscribe", "publications").([]any)
	if len(pubs) != 1 || dig(pubs, 0, "data", "id") != m.get("id") {
		t.Errorf("recovered %v", pubs)
	}
	for _, m := range boris.call("GET", fmt.Sprintf("/history/%d", id)).want(200).get("messages").([]any) {
		if dig(m, "type") == "typing" {
			t.Error("typing in the history")
		}
	}
	anna.call("POST", "/centrifugo/typing", object{"is_typing": true}).want(422).is(`["body","chat_id"]`, "detail", 0, "loc")
	anna.call("POST", "/centrifugo/typing", object{"chat_id": id, "is_typing": "maybe"}).want(422).is(`["body","is_typing"]`, "detail", 0, "loc")
}

func TestB07_HistoryWithoutOptionsHasMessages(t *testing.T) {
	s := start(t)
	anna := s.newUser("Анна")
	channel := fmt.Sprintf("chat:%d", anna.group())
	for i := range 3 {
		anna.call("POST", "/centrifugo/publish?channel="+channel, object{"content": fmt.Sprint(i)}).want(200)
	}
	c := anna.connect()
	c.subscribe(channel)
	var texts []any
	for _, p := range dig(c.do("history", object{"channel": channel}), "history", "publications").([]any) {
		if dig(p, "data", "type") == "message" {
			texts = append(texts, dig(p, "data", "content"))
		}
	}
	eq(t, "texts", texts, []string{"0", "1", "2"})
}

func TestB08_PresenceHasBothMaps(t *testing.T) {
	s := start(t)
	anna, boris, eve := s.newUser("Анна"), s.newUser("Boris"), s.newUser("Eve")
	id := anna.group(boris)
	empty := anna.call("GET", fmt.Sprintf("/centrifugo/presence/%d", id)).want(200)
	empty.is(`{"clients":{},"num_clients":0,"num_users":0,"presence":{}}`)
	c := boris.connect()
	c.subscribe(fmt.Sprintf("chat:%d", id))
	for _, name := range []string{fmt.Sprint(id), fmt.Sprintf("chat:%d", id)} {
		a := anna.call("GET", "/centrifugo/presence/"+name).want(200).is(`1`, "num_clients").is(`1`, "num_users")
		eq(t, "user", a.get("presence", c.id, "user"), boris.id)
		eq(t, "client", a.get("presence", c.id, "client"), c.id)
		eq(t, "name", a.get("presence", c.id, "conn_info", "name"), "Boris")
		eq(t, "chan_info", a.get("presence", c.id, "chan_info"), nil)
		eq(t, "clients user", a.get("clients", c.id, "user"), boris.id)
		eq(t, "user_name", a.get("clients", c.id, "user_name"), "Boris")
		if at, _ := a.get("clients", c.id, "connected_at").(float64); int64(at) < time.Now().Unix()-60 {
			t.Errorf("connected_at %v", at)
		}
	}
	eve.call("GET", fmt.Sprintf("/centrifugo/presence/%d", id)).want(403)
	for _, name := range []string{"x", "chat:", "user:1", "chat:chat:1", "0"} {
		anna.call("GET", "/centrifugo/presence/"+name).want(400)
	}
}

func TestB08_LargeGroupsAreOnlyCounted(t *testing.T) {
	s := start(t, func(_ *windi.Options, o *chat.Options) { o.LargeGroup = 1 })
	anna, boris := s.newUser("Анна"), s.newUser("Boris")
	id := anna.group(boris)
	boris.connect().subscribe(fmt.Sprintf("chat:%d", id))
	anna.call("GET", fmt.Sprintf("/centrifugo/presence/%d", id)).want(200).is(`{"clients":{},"num_clients":1,"num_users":1,"presence":{}}`)
}

func TestB10_ComingAndGoingWithoutOptions(t *testing.T) {
	s := start(t)
	anna, boris := s.newUser("Анна"), s.newUser("Boris")
	channel := fmt.Sprintf("chat:%d", anna.group(boris))
	c := anna.connect()
	c.subscribe(channel)
	other := boris.connect()
	other.subscribe(channel)
	byBoris := func(v any) bool { return dig(v, "info", "user") == fmt.Sprint(boris.id) }
	join := c.push("join", byBoris)
	eq(t, "name", dig(join, "info", "conn_info", "name"), "Boris")
	other.do("unsubscribe", object{"channel": channel})
	c.push("leave", byBoris)
}

func TestB11_BroadcastToTwoChats(t *testing.T) {
	s := start(t)
	anna := s.newUser("Анна")
	one, two := anna.group(), anna.group()
	c := anna.connect()
	c.subscribe(fmt.Sprintf("chat:%d", one))
	in := object{"channels": []string{fmt.Sprintf("chat:%d", one), fmt.Sprintf("chat:%d", two), "news", "chat:777"}, "data": object{"type": "system", "content": "Обновление"}}
	anna.call("POST", "/centrifugo/broadcast", in).want(403)
	for _, by := range []*user{s.admin, {stage: s, access: serviceKey}} {
		a := by.call("POST", "/centrifugo/broadcast", in).want(200)
		for i, id := range []int64{one, two} {
			last := anna.call("GET", fmt.Sprintf("/history/%d?limit=1", id)).want(200)
			last.is(`"Обновление"`, "messages", 0, "content").is(`"system"`, "messages", 0, "message_type")
			eq(t, "offset", a.get("result", "responses", i, "result", "offset"), last.get("messages", 0, "event_seq"))
			eq(t, "epoch", a.get("result", "responses", i, "result", "epoch"), s.store.Epoch())
		}
		a.is(`400`, "result", "responses", 2, "error", "code").is(`403`, "result", "responses", 3, "error", "code")
	}
	eq(t, "published", dig(c.push("pub", func(v any) bool { return dig(v, "data", "content") == "Обновление" }), "data", "message_type"), "system")
	for body, loc := range map[string]string{
		`{"data":{}}`:                        `["body","channels"]`,
		`{"channels":["chat:1"]}`:            `["body","data"]`,
		`{"channels":"chat:1","data":{}}`:    `["body","channels"]`,
		`{"channels":["chat:1"],"data":"x"}`: `["body","data"]`,
	} {
		s.admin.call("POST", "/centrifugo/broadcast", []byte(body)).want(422).is(loc, "detail", 0, "loc")
	}
}

func TestB12_NoticesAreReadByAllAndWrittenByAdministrators(t *testing.T) {
	s := start(t)
	anna := s.newUser("Анна")
	c := anna.connect()
	at := c.subscribe("system:notifications")
	in := object{"channel": "system:notifications", "data": object{"type": "system", "content": "Ночью работы", "level": "warning", "starts_at": 1706108040, "ends_at": "2024-01-24T16:54:00Z"}}
	anna.call("POST", "/centrifugo/publish", in).want(403)
	a := s.admin.call("POST", "/centrifugo/publish", in).want(200).is(`true`, "success").is(`1`, "result", "offset")
	eq(t, "epoch", a.get("result", "epoch"), s.store.Epoch())
	got := c.published("system")
	eq(t, "content", dig(got, "content"), "Ночью работы")
	eq(t, "level", dig(got, "level"), "warning")
	if id, _ := dig(got, "id").(string); !strings.HasPrefix(id, "n_") {
		t.Errorf("id %q", id)
	}
	again := anna.connect()
	r := again.do("subscribe", object{"channel": "system:notifications", "recover": true, "epoch": at["epoch"], "offset": at["offset"]})
	eq(t, "recovered", dig(r, "subscribe", "publications", 0, "data", "content"), "Ночью работы")
	for data, loc := range map[string]string{
		`{"type":"message","content":"x"}`:                        `["body","data","type"]`,
		`{"type":"system","content":"x","level":"high"}`:          `["body","level"]`,
		`{"type":"system","content":"x","starts_at":"no"}`:        `["body","data","starts_at"]`,
		`{"type":"system","content":"x","ends_at":1706108040000}`: `["body","data","ends_at"]`,
	} {
		s.admin.call("POST", "/centrifugo/publish", object{"channel": "system:notifications", "data": json.RawMessage(data)}).
			want(422).is(loc, "detail", 0, "loc")
	}
	for _, content := range []string{" ", strings.Repeat("я", 5000)} {
		s.admin.call("POST", "/centrifugo/publish", object{"channel": "system:notifications", "data": object{"type": "system", "content": content}}).want(400)
	}
}

func TestB13_PagesOfHistory(t *testing.T) {
	s := start(t, func(_ *windi.Options, o *chat.Options) { o.Limits = chat.Limits{SendPerSecond: -1, ChatPerSecond: -1} })
	anna, boris, eve := s.newUser("Анна"), s.newUser("Boris"), s.newUser("Eve")
	id := anna.group(boris)
	for i := range 55 {
		anna.call("POST", fmt.Sprintf("/centrifugo/publish?chat_id=%d", id), object{"content": fmt.Sprint(i)}).want(200)
	}
	texts := func(a *answer, list string) (out []any) {
		for _, m := range a.get(list).([]any) {
			out = append(out, dig(m, "text"))
		}
		return out
	}
	page := boris.call("GET", fmt.Sprintf("/history/%d", id)).want(200).is(`50`, "count").is(`true`, "has_more").is(fmt.Sprint(id), "chat_id")
	got := texts(page, "messages")
	eq(t, "first", got[0], "5")
	eq(t, "last", got[49], "54")
	eq(t, "cursor", page.get("next_cursor"), fmt.Sprintf("%.0f", page.get("messages", 0, "id")))
	rest := boris.call("GET", fmt.Sprintf("/history?chat_id=%d&before_id=%s", id, page.get("next_cursor"))).want(200).is(`false`, "has_more").is(`null`, "next_cursor")
	total := len(rest.get("messages").([]any)) + 50
	eq(t, "total", page.get("total"), total)
	oldest := rest.get("messages", 0, "id")
	forward := boris.call("GET", fmt.Sprintf("/history/%d?after_id=%.0f&limit=2", id, oldest)).want(200)
	eq(t, "after", texts(forward, "messages"), []string{"0", "1"})
	eq(t, "forward cursor", forward.get("next_cursor"), fmt.Sprintf("%.0f", forward.get("messages", 1, "id")))
	offset := boris.call("GET", fmt.Sprintf("/chats/%d/messages?offset=%d&limit=3", id, total-3)).want(200).is(`false`, "has_more").is(`null`, "next_cursor")
	eq(t, "offset", texts(offset, "items"), []string{"52", "53", "54"})
	eq(t, "offset 0", boris.call("GET", fmt.Sprintf("/chats/%d/messages?offset=0&limit=1", id)).want(200).get("items", 0, "id"), oldest)
	if unread := boris.call("GET", fmt.Sprintf("/chats/%d", id)).want(200).get("unread_count"); unread != 55.0 {
		t.Errorf("reading history marked something: %v unread", unread)
	}
	deleted := int64(page.get("messages", 49, "id").(float64))
	if err := s.chats.Delete(t.Context(), anna.id, []int64{deleted}, true); err != nil {
		t.Fatal(err)
	}
	eq(t, "without tombstones", texts(boris.call("GET", fmt.Sprintf("/history/%d?limit=1", id)), "messages"), []string{"53"})
	tomb := boris.call("GET", fmt.Sprintf("/history/%d?limit=1&include_deleted=true", id)).want(200)
	tomb.is(`true`, "messages", 0, "deleted").is(`""`, "messages", 0, "content").is(`""`, "messages", 0, "text").is(fmt.Sprint(deleted), "messages", 0, "id")
	eve.call("GET", fmt.Sprintf("/history/%d", id)).want(403)
	eve.call("GET", "/history/777").want(403)
	for query, loc := range map[string]string{
		"limit=0": "limit", "limit=101": "limit", "limit=x": "limit", "offset=-1": "offset", "before_id=x": "before_id",
		"before_id=1&after_id=2": "after_id", "offset=0&before_id=2": "offset", "include_deleted=2": "include_deleted",
	} {
		anna.call("GET", fmt.Sprintf("/history/%d?%s", id, query)).want(422).is(`["query","`+loc+`"]`, "detail", 0, "loc")
	}
	anna.call("GET", "/history").want(422).is(`["query","chat_id"]`, "detail", 0, "loc")
}

func TestReadMarksAreWatermarks(t *testing.T) {
	s := start(t)
	anna, boris, eve := s.newUser("Анна"), s.newUser("Boris"), s.newUser("Eve")
	id := anna.group(boris)
	var ids []any
	for i := range 3 {
		ids = append(ids, anna.call("POST", fmt.Sprintf("/centrifugo/publish?chat_id=%d", id), object{"content": fmt.Sprint(i)}).want(200).get("id"))
	}
	a := boris.call("POST", fmt.Sprintf("/messages/%.0f/read", ids[1])).want(200)
	a.is(`true`, "is_read").is(fmt.Sprint(id), "chat_id").is(fmt.Sprint(ids[1]), "id")
	if _, err := time.Parse("2006-01-02T15:04:05.000Z", a.get("updated_at").(string)); err != nil {
		t.Error(err)
	}
	boris.call("GET", fmt.Sprintf("/chats/%d", id)).want(200).is(`1`, "unread_count")
	seen := anna.call("GET", fmt.Sprintf("/history/%d?limit=3", id)).want(200)
	seen.is(`true`, "messages", 0, "is_read").is(`"read"`, "messages", 1, "status").is(`false`, "messages", 2, "is_read")
	boris.call("POST", fmt.Sprintf("/messages/%.0f/read", ids[0])).want(200)
	eve.call("POST", fmt.Sprintf("/messages/%.0f/read", ids[0])).want(403)
	boris.call("POST", "/messages/x/read").want(422).is(`["path","message_id"]`, "detail", 0, "loc")
	first := anna.call("POST", fmt.Sprintf("/centrifugo/publish?chat_id=%d", id), object{"content": "k", "client_id": "k"}).want(200)
	boris.call("POST", fmt.Sprintf("/messages/%.0f/read", first.get("id"))).want(200)
	again := anna.call("POST", fmt.Sprintf("/centrifugo/publish?chat_id=%d", id), object{"content": "k", "client_id": "k"}).want(200)
	again.is(`true`, "is_read").is(`"read"`, "status")
	if err := s.chats.Delete(t.Context(), anna.id, []int64{int64(first.get("id").(float64))}, true); err != nil {
		t.Fatal(err)
	}
	gone := anna.call("POST", fmt.Sprintf("/centrifugo/publish?chat_id=%d", id), object{"content": "k", "client_id": "k"}).want(200)
	gone.is(`true`, "deleted").is(`""`, "content").is(fmt.Sprint(first.get("id")), "id")
}

// Errors are told in the language of the request (chat-api.md §0.10).
func TestErrorsInRussian(t *testing.T) {
	s := start(t)
	anna := s.newUser("Анна")
	ru := http.Header{"Accept-Language": {"ru-RU,ru;q=0.9"}}
	anna.callWith("POST", "/chats", ru, object{"type": "direct"}).want(400).is(`"личному чату нужен ровно один номер в user_ids"`, "detail")
	anna.callWith("POST", "/centrifugo/publish", ru, object{}).want(422).is(`"chat_id — обязательное поле"`, "detail", 0, "msg")
	anna.callWith("POST", "/centrifugo/typing", ru, object{"chat_id": "x"}).want(422).is(`"chat_id — значение неверного типа"`, "detail", 0, "msg")
	anna.callWith("GET", "/history/1?limit=0", ru).want(422).is(`"limit — недопустимое значение"`, "detail", 0, "msg")
	anna.callWith("GET", "/history/777", ru).want(403).is(`"Не найдено."`, "detail")
	anna.call("GET", "/history/1?limit=0").want(422).is(`"must be 1 to 100"`, "detail", 0, "msg")
}
