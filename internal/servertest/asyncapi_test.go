package servertest_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/kuranty/kuranty/internal/servertest"
)

// described is the AsyncAPI document of a running server, held against what it does.
type described struct {
	doc      map[string]any
	compiler *jsonschema.Compiler

	mu   sync.Mutex
	seen map[string]bool
}

// What no test can make the server say.
var unsaid = []string{
	"error.5001",                                                       // an internal error
	"event.system.status.changed", "admin.event.system.status.changed", // an outage that lasts; internal/status has its tests
	"event.webhook.failing", "event.webhook.disabled", "event.webhook.recovered", "event.delivery.exhausted", // there are no webhooks yet
	"admin.event.webhook.failing", "admin.event.webhook.disabled", "admin.event.webhook.recovered", "admin.event.delivery.exhausted",
}

func describedBy(t *testing.T, in *servertest.Instance) *described {
	t.Helper()
	resp, err := http.Get(in.URL + "/v1/asyncapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%s %s %v", resp.Status, resp.Header, err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	d := &described{doc: doc.(map[string]any), compiler: jsonschema.NewCompiler(), seen: make(map[string]bool)}
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource("doc.json", doc); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *described) at(path ...string) any {
	var v any = d.doc
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

// see holds what a socket sent against the document, and returns the name of the message.
func (d *described) see(t *testing.T, socket, text string) string {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Errorf("%s is not JSON: %v", text, err)
		return ""
	}
	m := v.(map[string]any)
	data, _ := m["data"].(map[string]any)
	name := fmt.Sprint(m["type"])
	switch {
	case socket == "/ws" && slices.Contains([]string{"connection", "pong", "subscribed", "resumed", "error"}, name):
		name = "admin." + name
	case socket == "/ws":
		name = "admin.event." + name
	case m["specversion"] != nil:
		name = "cloudevent"
	case name == "event":
		name += "." + fmt.Sprint(m["event"])
	case name == "response":
		name += "." + fmt.Sprint(data["action"])
	case name == "error":
		name += "." + fmt.Sprint(data["code"])
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen[name] = true
	schema := d.at("components", "messages", name, "payload")
	if schema == nil {
		t.Errorf("the document has no message %s: %s", name, text)
		return name
	}
	compiled, err := d.compiler.Compile("doc.json#/components/messages/" + name + "/payload")
	if err != nil {
		t.Fatal(err)
	}
	if err := compiled.Validate(v); err != nil {
		t.Errorf("%s\nis not as the document says: %v", text, err)
	}
	for _, path := range d.undescribed(schema, v, "") {
		t.Errorf("%s\nhas a field that the document lacks: %s", text, path)
	}
	return name
}

// undescribed are the fields of v that its schema says nothing of.
func (d *described) undescribed(schema, v any, at string) (paths []string) {
	s, _ := schema.(map[string]any)
	if to, ok := s["$ref"].(string); ok {
		s, _ = d.at(strings.Split(strings.TrimPrefix(to, "#/"), "/")...).(map[string]any)
	}
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			paths = append(paths, d.undescribed(s["items"], item, at+"[]")...)
		}
	case map[string]any:
		known, _ := s["properties"].(map[string]any)
		for name, inner := range v {
			switch {
			case known[name] != nil:
				paths = append(paths, d.undescribed(known[name], inner, at+"."+name)...)
			case len(known) > 0:
				paths = append(paths, at+"."+name)
			}
		}
	}
	return paths
}

// collect holds everything that a socket sends against the document, until it is closed.
func (d *described) collect(t *testing.T, wg *sync.WaitGroup, path string, s *socket) {
	wg.Go(func() {
		for {
			text, err := s.read()
			if err != nil {
				return
			}
			d.see(t, path, text)
		}
	})
}

// answer is the name of the next message that is neither an event nor a ping.
func (d *described) answer(t *testing.T, path string, s *socket) string {
	t.Helper()
	for {
		if name := d.see(t, path, s.next()); name != "ping" && !strings.Contains(name, "event") {
			return name
		}
	}
}

// Every example of the document is replayed against a running server: what clients send is
// accepted and answered as it says, and what servers send is sent, each in its form.
func TestServerDoesWhatItsAsyncAPIDocumentSays(t *testing.T) {
	in := servertest.Start(t, servertest.Config(`{"gateway": {"ping_interval": "1s", "subscription_limit": 10, "messages_per_minute": 1000},
		"auth": {"access_token_ttl": "50s"}, "events": {"types": [{"type": "order.paid", "summary": "Paid.", "sample": "{\"total\": 3}"}]}}`))
	d := describedBy(t, in)
	var wg sync.WaitGroup
	all := dialGateway(t, in, "/v1/ws?token="+in.APIKey, nil)
	d.answer(t, "/v1/ws", all)
	all.send(`{"type": "subscribe", "events": ["*"]}`)
	d.answer(t, "/v1/ws", all)
	cloud := dialGateway(t, in, "/v1/ws?format=cloudevents&token="+in.APIKey, nil)
	cloud.send(`{"type": "subscribe", "events": ["*"]}`)
	admin := dialGateway(t, in, "/ws?token="+in.APIKey, nil)
	admin.send(`{"type": "subscribe", "events": ["*"]}`)
	d.answer(t, "/ws", admin)
	d.answer(t, "/ws", admin)
	d.collect(t, &wg, "/v1/ws", all)
	d.collect(t, &wg, "/v1/ws", cloud)
	d.collect(t, &wg, "/ws", admin)

	user := happen(t, in)
	d.replay(t, in)
	d.provoke(t, in, user)
	time.Sleep(1500 * time.Millisecond) // the interval of pings
	in.Stop()                           // which is told, too
	wg.Wait()

	var never []string
	for name, m := range d.at("components", "messages").(map[string]any) {
		sent := strings.HasPrefix(name, "event.") || strings.HasPrefix(name, "admin.event.") || d.received(name)
		examples, _ := m.(map[string]any)["examples"].([]any)
		if sent && !d.seen[name] && !slices.Contains(unsaid, name) {
			never = append(never, name)
		}
		if len(examples) == 0 {
			t.Errorf("%s has no example", name)
		}
	}
	if slices.Sort(never); len(never) > 0 {
		t.Errorf("never sent: %q", never)
	}
}

// received tells whether a message is one that clients get.
func (d *described) received(name string) bool {
	for _, op := range d.at("operations").(map[string]any) {
		op := op.(map[string]any)
		list, _ := op["messages"].([]any)
		if op["action"] == "send" {
			reply, _ := op["reply"].(map[string]any)
			list, _ = reply["messages"].([]any)
		}
		for _, m := range list {
			if strings.HasSuffix(m.(map[string]any)["$ref"].(string), "/messages/"+name) {
				return true
			}
		}
	}
	return false
}

// replay sends every example of every message of clients on a fresh connection.
func (d *described) replay(t *testing.T, in *servertest.Instance) {
	t.Helper()
	for id, op := range d.at("operations").(map[string]any) {
		op := op.(map[string]any)
		if op["action"] != "send" {
			continue
		}
		last := func(ref any) string { // the last part of a reference
			to := ref.(map[string]any)["$ref"].(string)
			return to[strings.LastIndex(to, "/")+1:]
		}
		path := d.at("channels", last(op["channel"]), "address").(string)
		name := last(op["messages"].([]any)[0])
		for _, example := range d.at("components", "messages", name, "examples").([]any) {
			payload := maps.Clone(example.(map[string]any)["payload"].(map[string]any))
			address := path + "?token=" + in.APIKey
			if id == "auth" {
				address, payload["token"] = path, in.APIKey // that of the example cannot be good
			}
			s := dialGateway(t, in, address, nil)
			if id != "auth" {
				d.answer(t, path, s)
			}
			if id == "ack" {
				s.send(`{"type": "subscribe", "channels": ["tickets"], "consumer": "replay"}`)
				d.answer(t, path, s)
			}
			text, err := json.Marshal(payload)
			if err != nil {
				t.Fatal(err)
			}
			s.send(string(text))
			reply, _ := op["reply"].(map[string]any)
			want := []string{}
			list, _ := reply["messages"].([]any)
			for _, m := range list {
				if name := last(m); !strings.Contains(name, "error") {
					want = append(want, name)
				}
			}
			if reply == nil {
				s.send(`{"type": "list"}`)
				want = []string{"response.list"}
			}
			if got := d.answer(t, path, s); !slices.Contains(want, got) {
				t.Errorf("%s was answered with %s, want one of %q", text, got, want)
			}
			_ = s.c.CloseNow()
		}
	}
}

// provoke makes the server say what it says to nobody who does everything right.
func (d *described) provoke(t *testing.T, in *servertest.Instance, user string) {
	t.Helper()
	const path = "/v1/ws"
	first := true // of those with the consumer, which the second one replaces
	for _, c := range []struct{ token, send, want string }{
		{"wrong", "", "error.4001"},
		{user, "", "response.auth"},
		{user, `{"type": "subscribe", "channels": ["security"]}`, "error.4002"},
		{user, `{"type": 5}`, "error.4003"},
		{in.APIKey, `{"type": "subscribe", "channels": ["messages", "rooms", "trust", "analytics", "security", "system", "users", "payments", "tickets", "webhooks", "events"]}`, "error.4004"},
		{user, `{"type": "subscribe", "channels": ["billing"]}`, "error.4005"},
		{in.APIKey, `{"type": "subscribe", "channels": ["users"], "consumer": "c"}`, "response.subscribe"},
		{in.APIKey, `{"type": "subscribe", "channels": ["users"], "consumer": "c"}`, "response.subscribe"},
	} {
		s := dialGateway(t, in, path+"?token="+c.token, nil)
		got := d.answer(t, path, s)
		if c.send != "" {
			s.send(c.send)
			got = d.answer(t, path, s)
		}
		if got != c.want {
			t.Errorf("%s was answered with %s, want %s", c.send, got, c.want)
		}
		if c.want == "response.auth" { // then that it expires
			if got := d.answer(t, path, s); got != c.want {
				t.Errorf("%s came, not that the token expires", got)
			}
		}
		if strings.Contains(c.send, "consumer") && first {
			first = false
			wait := make(chan struct{})
			go func() {
				defer close(wait)
				for d.answer(t, path, s) != "response.consumer" {
				}
			}()
			t.Cleanup(func() { <-wait })
		}
	}
	s := dialGateway(t, in, "/ws?token="+in.APIKey, nil)
	d.answer(t, "/ws", s)
	s.send(`{"type": "subscribe", "events": ["billing.*"]}`)
	d.answer(t, "/ws", s)
}

// happen makes an event of every type, and returns a token of a user, which is about to end.
func happen(t *testing.T, in *servertest.Instance) (token string) {
	t.Helper()
	do := func(token, method, path string, body any) map[string]any {
		t.Helper()
		r := call(t, in, token, method, path, body)
		var v map[string]any
		if r.status >= 300 || r.body != "" && json.Unmarshal([]byte(r.body), &v) != nil {
			t.Errorf("%s %s = %d %s", method, path, r.status, r.body)
		}
		return v
	}
	get := func(v map[string]any, path ...string) string {
		var inner any = v
		for _, name := range path {
			m, _ := inner.(map[string]any)
			inner = m[name]
		}
		if n, ok := inner.(float64); ok {
			return fmt.Sprintf("%.0f", n)
		}
		return fmt.Sprint(inner)
	}
	type o = map[string]any
	key := in.APIKey
	register := func(name string) (id, token string) {
		v := do("", "POST", "/auth/register", o{"username": name, "name": name, "password": "correct horse battery"})
		return get(v, "user", "id"), get(v, "access_token")
	}
	anna, annaToken := register("anna")
	boris, _ := register("boris")
	vera, _ := register("vera")

	chat := get(do(annaToken, "POST", "/chats", o{"kind": "group", "title": "Garden", "user_ids": []string{boris}}), "id")
	do(annaToken, "PATCH", "/chats/"+chat, o{"title": "Orchard"})
	do(annaToken, "POST", "/chats/"+chat+"/members", o{"user_ids": []string{vera}})
	do(annaToken, "PATCH", "/chats/"+chat+"/members/"+boris, o{"role": "admin"})
	do(annaToken, "DELETE", "/chats/"+chat+"/members/"+vera, nil)
	text := get(do(annaToken, "POST", "/chats/"+chat+"/messages", o{"text": "Hello", "client_id": "m1"}), "id")
	do(annaToken, "PATCH", "/messages/"+text, o{"text": "Good morning"})
	do(annaToken, "PUT", "/messages/"+text+"/reactions/👍", nil)
	do(annaToken, "PUT", "/messages/"+text+"/pin", nil)
	do(annaToken, "DELETE", "/messages/"+text+"?for=all", nil)
	do(annaToken, "DELETE", "/chats/"+chat+"?for=all", nil)
	do(key, "POST", "/admin/notices", o{"content": "Short break at noon"})

	do(annaToken, "PATCH", "/me", o{"name": "Anna"})
	do(key, "PATCH", "/admin/users/"+vera, o{"state": "suspended"})
	do(key, "DELETE", "/admin/users/"+vera, nil)
	do(key, "DELETE", "/admin/keys/"+get(do(key, "POST", "/admin/keys", o{"name": "billing", "scopes": []string{"events:read"}}), "id"), nil)

	public := ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)
	identity := get(do(annaToken, "POST", "/trust/identities", o{"username": "anna", "public_key": base64.StdEncoding.EncodeToString(public)}), "id")
	do(annaToken, "PATCH", "/trust/identities/"+identity, o{"display_name": "Anna"})
	verification := get(do(annaToken, "POST", "/trust/verifications", o{"identity_id": identity, "type": "document"}), "id")
	do(key, "PATCH", "/trust/verifications/"+verification, o{"status": "verified", "confidence": 0.9})

	do(key, "POST", "/metrics", o{"name": "queue.depth", "value": 7})
	do(key, "POST", "/reports", o{"type": "usage", "format": "json"})
	alert := get(do(key, "POST", "/alerts", o{"title": "Look", "severity": "high"}), "id")
	do(key, "POST", "/alerts/"+alert+"/resolve", nil)
	do(key, "POST", "/scans", o{"type": "quick"})
	maintenance := get(do(key, "POST", "/maintenance", o{"title": "New disks", "affected": []string{"database"}}), "id")
	do(key, "POST", "/maintenance/"+maintenance+"/start", nil)
	do(key, "POST", "/maintenance/"+maintenance+"/end", nil)

	do(key, "POST", "/transactions", o{"user_id": anna, "type": "deposit", "amount_kopeks": 15000})
	pending := get(do(key, "POST", "/transactions", o{"user_id": anna, "type": "withdrawal", "amount_kopeks": 9900, "is_completed": false}), "id")
	do(key, "PATCH", "/transactions/"+pending, o{"is_completed": true})
	ticket := get(do(annaToken, "POST", "/tickets", o{"title": "Cannot pay", "text": "Help"}), "id")
	do(annaToken, "POST", "/tickets/"+ticket+"/messages", o{"text": "It works now"})
	do(key, "PATCH", "/tickets/"+ticket, o{"priority": "urgent"})
	do(key, "PATCH", "/tickets/"+ticket, o{"status": "closed"})

	r := request(t, in.URL, person{token: key}, "POST", "/v1/events", "application/json", []byte(`{"type": "order.paid", "data": {"total": 3}}`))
	if r.status != http.StatusAccepted {
		t.Errorf("%d %s", r.status, r.body)
	}
	return annaToken
}
