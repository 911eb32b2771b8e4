package servertest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/kuranty/kuranty/internal/servertest"
)

// said is a message of the gateway.
type said struct {
	Type, ID, Timestamp string
	Event, Channel      string
	Seq                 int64
	Replayed            bool
	Data                map[string]any
}

// hear returns the next message that is no ping.
func (s *socket) hear() (m said) {
	s.t.Helper()
	for m.Type == "" || m.Type == "ping" {
		text := s.next()
		m = said{}
		if err := json.Unmarshal([]byte(text), &m); err != nil || m.ID == "" || m.Data == nil {
			s.t.Fatalf("%v: %s", err, text)
		}
		if _, err := time.Parse(time.RFC3339, m.Timestamp); err != nil || !strings.HasSuffix(m.Timestamp, "Z") {
			s.t.Errorf("timestamp of %s", text)
		}
	}
	return m
}

// answered returns the next message, which must be a response of an action.
func (s *socket) answered(action, status string) said {
	s.t.Helper()
	m := s.hear()
	if m.Type != "response" || m.Data["action"] != action || m.Data["status"] != status {
		s.t.Fatalf("got %+v, want %s %s", m, action, status)
	}
	return m
}

// fails reads an error; its code must be a string.
func (s *socket) fails(code, reason string) said {
	s.t.Helper()
	m := s.hear()
	if got, _ := m.Data["reason"].(string); m.Type != "error" || m.Data["code"] != code || got != reason {
		s.t.Fatalf("got %+v, want error %s %q", m, code, reason)
	}
	if text, ok := m.Data["message"].(string); !ok || text == "" {
		s.t.Errorf("%+v has no message", m)
	}
	return m
}

// closed reads the close; the reason begins with the documented code (event-gateway.md §6).
func (s *socket) closed(code websocket.StatusCode, word string) {
	s.t.Helper()
	for {
		text, err := s.read()
		if err == nil {
			if strings.Contains(text, `"type":"ping"`) {
				continue
			}
			s.t.Fatalf("got %s, want close %d", text, code)
		}
		var c websocket.CloseError
		if !errors.As(err, &c) || c.Code != code || !strings.HasPrefix(c.Reason, word+" ") {
			s.t.Errorf("got %v, want close %d %s", err, code, word)
		}
		return
	}
}

// enter opens an authenticated socket.
func enter(t *testing.T, in *servertest.Instance, token, query string) *socket {
	t.Helper()
	s := dialGateway(t, in, "/v1/ws"+query, http.Header{"Authorization": {"Bearer " + token}})
	s.answered("auth", "ok")
	return s
}

// publish appends events of the operator's own types.
func publish(t *testing.T, in *servertest.Instance, typ string, data any) (id string) {
	t.Helper()
	status, got := ask(t, in, in.APIKey, http.MethodPost, "/v1/events", map[string]any{"type": typ, "data": data})
	if id, _ = got["event_id"].(string); status != 202 {
		t.Fatalf("%d %v", status, got)
	}
	return id
}

// event-gateway.md §1: each way to say who one is.
func TestGatewayWaysIn(t *testing.T) {
	in := servertest.Start(t)
	key := in.APIKey
	status, ticket := ask(t, in, key, http.MethodPost, "/v1/ws/tickets", map[string]any{})
	if status >= 300 {
		t.Fatalf("%d %v", status, ticket)
	}
	ways := map[string]struct {
		path   string
		header http.Header
	}{
		"header":  {"/v1/ws?token=ignored", http.Header{"Authorization": {"Bearer " + key}}},
		"query":   {"/v1/ws?token=" + key, nil},
		"key":     {"/v1/ws?token=ignored", http.Header{"X-Api-Key": {key}}},
		"api_key": {"/v1/ws?api_key=" + key, nil},
		"ticket":  {fmt.Sprint("/v1/ws?ticket=", ticket["ticket"]), nil},
	}
	for name, w := range ways {
		t.Run(name, func(t *testing.T) {
			d := dialGateway(t, in, w.path, w.header).answered("auth", "ok").Data
			limits, _ := json.Marshal(d["limits"])
			if d["connectionId"] == "" || d["userId"] == "" || d["pingInterval"] != 30.0 || string(limits) != `{"frameBytes":65536,"messagesPerMinute":120,"subscriptions":100}` {
				t.Errorf("%v", d)
			}
		})
	}
	t.Run("message", func(t *testing.T) {
		s := dialGateway(t, in, "/v1/ws", nil)
		s.send(`{"type":"ping","id":7}`)
		if m := s.hear(); m.Type != "pong" || m.ID != "7" {
			t.Errorf("%+v", m)
		}
		s.send(`{"type":"pong"}`)
		s.send(`{"type":"subscribe","channels":["system"]}`)
		s.fails("4001", "required")
		s.send(`{"type":"auth","token":"` + key + `"}`)
		s.send(`{"type":"subscribe","id":"s-1","channels":["system"]}`)
		s.answered("auth", "ok")
		if m := s.answered("subscribe", "ok"); m.ID != "s-1" || m.Data["requestId"] != "s-1" {
			t.Errorf("%+v", m)
		}
		s.send(`{"type":"auth","data":{"token":"` + key + `"}}`)
		s.answered("auth", "ok")
	})
	t.Run("subprotocol", func(t *testing.T) {
		c, res, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(in.URL, "http")+"/v1/ws", &websocket.DialOptions{Subprotocols: []string{"events.v1", "bearer." + key}})
		if err != nil {
			t.Fatal(err)
		}
		closeBody(res)
		defer func() { _ = c.CloseNow() }()
		(&socket{t, c}).answered("auth", "ok")
		if c.Subprotocol() != "events.v1" {
			t.Errorf("%q is selected", c.Subprotocol())
		}
	})
	t.Run("used ticket", func(t *testing.T) {
		s := dialGateway(t, in, fmt.Sprint("/v1/ws?ticket=", ticket["ticket"]), nil)
		s.fails("4001", "invalid")
		s.closed(4001, "4001")
	})
}

// event-gateway.md §3.1, §3.2, §5, §11: names, and one copy however many of them match.
func TestGatewaySubscriptions(t *testing.T) {
	in := servertest.Start(t, servertest.Config(ownTypes))
	key, _ := newKey(t, in, "read:security", "read:events", "events:publish:order.*")
	s := enter(t, in, key, "")
	s.send(`{"type":"subscribe","id":"a","channels":["events","alerts","billing","messages"],"events":["order.created","alert.created","user.status_changed","nothing.*","message.*","order.*"]}`)
	if m := s.fails("4005", ""); fmt.Sprint(m.ID, m.Data["channels"], m.Data["events"]) != "a[billing] [user.status_changed nothing.*]" {
		t.Errorf("%+v", m)
	}
	if m := s.fails("4002", ""); fmt.Sprint(m.Data["channels"], m.Data["events"]) != "[messages] [message.*]" {
		t.Errorf("%+v", m)
	}
	m := s.answered("subscribe", "partial")
	resolved, _ := m.Data["resolved"].(map[string]any)
	if fmt.Sprint(m.Data["count"], m.Data["active"], resolved["alerts"]) !=
		"5 map[channels:[alerts events] events:[alert.created order.* order.created]] [security.alert.created security.alert.updated]" {
		t.Errorf("%v", m.Data)
	}
	first := publish(t, in, "order.created", map[string]any{"number": 1})
	if m := s.hear(); m.Type != "event" || m.Event != "order.created" || m.Channel != "events" || m.ID != first || m.Seq == 0 || m.Replayed {
		t.Errorf("%+v", m)
	}
	second := publish(t, in, "order.paid", map[string]any{"total": 3})
	if m := s.hear(); m.ID != second { // and no second copy of the first
		t.Errorf("%+v", m)
	}
	s.send(`{"type":"unsubscribe","channels":["events","billing"],"events":["order.*"]}`)
	if m := s.answered("unsubscribe", "ok"); fmt.Sprint(m.Data["ignored"], m.Data["count"]) != "[billing] 3" {
		t.Errorf("%v", m.Data)
	}
	publish(t, in, "order.paid", map[string]any{"total": 4})
	third := publish(t, in, "order.created", map[string]any{"number": 2})
	if m := s.hear(); m.ID != third {
		t.Errorf("%+v", m)
	}
	s.send(`{"type":"unsubscribe","all":true}`)
	s.answered("unsubscribe", "ok")
	s.send(`{"type":"list"}`)
	if m := s.answered("list", "ok"); m.Data["count"] != 0.0 {
		t.Errorf("%v", m.Data)
	}
	// The same past for one that has part of it: what it got does not come again for others.
	s.send(`{"type":"subscribe","events":["order.created"],"lastEventId":"` + first + `"}`)
	resume, _ := s.answered("subscribe", "ok").Data["resume"].(map[string]any)
	if fmt.Sprint(resume["status"], resume["replayed"]) != "complete1" {
		t.Errorf("%v", resume)
	}
	if m := s.hear(); m.ID != third || !m.Replayed {
		t.Errorf("%+v", m)
	}
	s.send(`{"type":"subscribe","channels":["events"],"lastEventId":"` + first + `"}`)
	s.answered("subscribe", "ok")
	for _, total := range []float64{3, 4} {
		if m := s.hear(); m.Event != "order.paid" || m.Data["total"] != total {
			t.Errorf("%+v", m)
		}
	}
	fourth := publish(t, in, "order.created", map[string]any{"number": 3})
	if m := s.hear(); m.ID != fourth {
		t.Errorf("%+v", m)
	}
}

// Limits at their exact values (S23), and every cause of 4003 and 4004.
func TestS23_GatewayLimits(t *testing.T) {
	in := servertest.Start(t)
	names := func(n int) string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf("x%d", i)
		}
		b, _ := json.Marshal(list)
		return string(b)
	}
	t.Run("malformed", func(t *testing.T) {
		wrong := []string{
			`{`, `[]`, `"x"`, `{"type":7}`, `{"type":"dance"}`, `{}`, `{"type":"subscribe"}`, `{"type":"subscribe","channels":7}`,
			`{"type":"subscribe","channels":["system",7]}`, `{"type":"subscribe","channels":[]}`, `{"type":"subscribe","channels":[""]}`,
			`{"type":"subscribe","channels":["` + strings.Repeat("ü", 129) + `"]}`, `{"type":"subscribe","channels":` + names(101) + `}`,
			`{"type":"subscribe","channels":` + names(51) + `,"events":` + names(50) + `}`, `{"type":"subscribe","channels":["system"],"lastEventId":"x"}`,
			`{"type":"subscribe","channels":["system"],"filter":{"data.x":{"$what":1}}}`, `{"type":"ping","id":"` + strings.Repeat("x", 65) + `"}`,
			`{"type":"ping","x":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`, `{"type":"unsubscribe"}`, `{"type":"resume"}`, `{"type":"auth"}`, `{"type":"ack","id":7}`,
		}
		for len(wrong) > 0 {
			s := enter(t, in, in.APIKey, "")
			for i := range min(10, len(wrong)) {
				s.send(wrong[i])
				s.fails("4003", "")
			}
			if len(wrong) < 10 {
				break
			}
			s.closed(4003, "4003")
			wrong = wrong[10:]
		}
	})
	t.Run("names", func(t *testing.T) {
		s := enter(t, in, in.APIKey, "")
		s.send(`{"type":"subscribe","channels":` + names(100) + `}`)
		s.fails("4005", "")
		s.answered("subscribe", "error")
		s.send(`{"type":"subscribe","channels":"` + strings.Repeat("ü", 128) + `"}`)
		s.fails("4005", "")
		s.answered("subscribe", "error")
	})
	t.Run("frame", func(t *testing.T) {
		s := enter(t, in, in.APIKey, "")
		frame := func(n int) string { return `{"type":"ping","x":"` + strings.Repeat("x", n-22) + `"}` }
		s.send(frame(64 << 10))
		if m := s.hear(); m.Type != "pong" {
			t.Errorf("%+v", m)
		}
		s.send(frame(64<<10 + 1))
		s.closed(1009, "1009")
		s = enter(t, in, in.APIKey, "")
		_ = s.c.Write(t.Context(), websocket.MessageBinary, []byte(`{"type":"ping"}`))
		s.closed(1003, "1003")
		s = enter(t, in, in.APIKey, "")
		_ = s.c.Write(t.Context(), websocket.MessageText, []byte("{\"type\":\"ping\",\"id\":\"\xff\"}"))
		s.closed(1007, "1007")
	})
	t.Run("rate", func(t *testing.T) {
		s := enter(t, in, in.APIKey, "")
		s.send(strings.Repeat(" ", 10) + `{"type":"pong"}`)
		go func() {
			for range 245 {
				if s.c.Write(t.Context(), websocket.MessageText, []byte(`{"type":"ping"}`)) != nil {
					return
				}
			}
		}()
		pongs, over := 0, 0
		for {
			text, err := s.read()
			if err != nil {
				var c websocket.CloseError
				if !errors.As(err, &c) || c.Code != 4029 || !strings.HasPrefix(c.Reason, "4029 ") {
					t.Error(err)
				}
				break
			}
			if strings.Contains(text, `"pong"`) {
				pongs++
			} else if strings.Contains(text, `"reason":"rate"`) && strings.Contains(text, `"code":"4003"`) {
				over++
			}
		}
		if pongs < 60 || pongs > 70 || over != 1 {
			t.Errorf("%d pongs, %d errors", pongs, over)
		}
	})
	t.Run("subscriptions", func(t *testing.T) {
		in := servertest.Start(t, servertest.Config(`{"gateway":{"subscription_limit":10,"connection_limit":2}}`))
		s := enter(t, in, in.APIKey, "")
		s.send(`{"type":"subscribe","channels":["messages","rooms","trust","analytics","security","system","users","payments","tickets"],"events":["*","*.created","*.updated"]}`)
		if m := s.fails("4004", ""); fmt.Sprint(m.Data["events"]) != "[*.created *.updated]" {
			t.Errorf("%v", m.Data)
		}
		if m := s.answered("subscribe", "partial"); m.Data["count"] != 10.0 {
			t.Errorf("%v", m.Data)
		}
		s.send(`{"type":"subscribe","channels":["messages"]}`) // is there already
		s.answered("subscribe", "ok")
		enter(t, in, in.APIKey, "")
		third := dialGateway(t, in, "/v1/ws?token="+in.APIKey, nil)
		third.fails("4004", "")
		third.closed(4030, "4030")
		_ = s.c.CloseNow()
		until(t, "room for another", func() bool {
			again := dialGateway(t, in, "/v1/ws?token="+in.APIKey, nil)
			return again.hear().Type == "response"
		})
	})
	t.Run("waiting", func(t *testing.T) {
		in := servertest.Start(t)
		for range 20 {
			dialGateway(t, in, "/v1/ws", nil)
		}
		if got := upgrade(t, in, "/v1/ws", nil); got.StatusCode != 429 || got.Header.Get("Retry-After") == "" {
			t.Errorf("the 21st: %d", got.StatusCode)
		}
		enter(t, in, in.APIKey, "") // who says at once who it is does not wait
	})
}

func closeBody(res *http.Response) {
	if res != nil && res.Body != nil {
		_ = res.Body.Close()
	}
}

// upgrade asks for a socket and returns the answer.
func upgrade(t *testing.T, in *servertest.Instance, path string, header http.Header) *http.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, res, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(in.URL, "http")+path, &websocket.DialOptions{HTTPHeader: header})
	if err == nil {
		_ = c.CloseNow()
	}
	if res == nil {
		t.Fatal(err)
	}
	closeBody(res)
	return res
}

// event-gateway.md §1, rules 3 to 9.
func TestGatewayAuthentication(t *testing.T) {
	in := servertest.Start(t, servertest.Config(`{"gateway":{"auth_timeout":"1s"}}`))
	t.Run("timeout", func(t *testing.T) {
		s := dialGateway(t, in, "/v1/ws", nil)
		s.fails("4001", "timeout")
		s.closed(4001, "4001")
	})
	t.Run("storm", func(t *testing.T) {
		for range 5 {
			s := dialGateway(t, in, "/v1/ws?token=bad", nil)
			s.fails("4001", "invalid")
			s.closed(4001, "4001")
		}
		if got := upgrade(t, in, "/v1/ws?token=bad", nil); got.StatusCode != 401 {
			t.Errorf("the sixth: %d", got.StatusCode)
		}
		// Others of the address, and tokens said over open sockets, are no part of it.
		for i := range 6 {
			s := dialGateway(t, in, "/v1/ws", nil)
			s.send(fmt.Sprintf(`{"type":"auth","token":"bad%d"}`, i))
			s.fails("4001", "invalid")
			s.closed(4001, "4001")
		}
		for range 5 {
			s := dialGateway(t, in, "/v1/ws", nil)
			s.send(`{"type":"auth","token":"worse"}`)
			s.fails("4001", "invalid")
			s.closed(4001, "4001")
		}
		if got := upgrade(t, in, "/v1/ws", nil); got.StatusCode != 401 {
			t.Errorf("after five times the same: %d", got.StatusCode)
		}
		enter(t, in, in.APIKey, "")
		for i := range 34 {
			dialGateway(t, in, fmt.Sprintf("/v1/ws?token=other%d", i), nil).fails("4001", "invalid")
		}
		if got := upgrade(t, in, "/v1/ws?token="+in.APIKey, nil); got.StatusCode != 429 || got.Header.Get("Retry-After") == "" {
			t.Errorf("after 50 failures: %d", got.StatusCode)
		}
	})
	t.Run("again", func(t *testing.T) {
		in := servertest.Start(t)
		key, id := newKey(t, in, "read:tickets")
		s := enter(t, in, key, "")
		s.send(`{"type":"subscribe","channels":["tickets"]}`)
		s.answered("subscribe", "ok")
		other, _ := newKey(t, in, "read:tickets")
		s.send(`{"type":"auth","token":"` + other + `"}`)
		s.fails("4003", "")
		s.send(`{"type":"auth","token":"` + key + `"}`)
		s.answered("auth", "ok")
		began := time.Now()
		if r := call(t, in, in.APIKey, http.MethodDelete, "/admin/keys/"+id, nil); r.status >= 300 {
			t.Fatalf("%d %s", r.status, r.body)
		}
		s.fails("4001", "revoked")
		s.closed(4001, "4001")
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("after %v", d)
		}
		s = enter(t, in, in.APIKey, "")
		s.send(`{"type":"auth","token":"bad"}`)
		s.fails("4001", "invalid")
		s.closed(4001, "4001")
	})
	t.Run("queue", func(t *testing.T) {
		in := servertest.Start(t)
		s := dialGateway(t, in, "/v1/ws", nil)
		s.send(`{"type":"auth","token":"` + in.APIKey + `"}`)
		for i := range 32 {
			s.send(fmt.Sprintf(`{"type":"subscribe","id":%d,"channels":["system"]}`, i+1))
		}
		s.answered("auth", "ok")
		for i := range 32 {
			if m := s.answered("subscribe", "ok"); m.ID != fmt.Sprint(i+1) {
				t.Errorf("%d: %+v", i, m)
			}
		}
	})
}

// A server that stops tells each connection when to come back (R37).
func TestR37_GatewayConnectionsAreToldToComeBack(t *testing.T) {
	in := servertest.Start(t)
	s := enter(t, in, in.APIKey, "")
	go in.Stop()
	m := s.fails("5002", "")
	if after, _ := m.Data["reconnectAfter"].(float64); after <= 0 || m.Data["retryable"] != true {
		t.Errorf("%v", m.Data)
	}
	s.closed(1012, "5002")
}

// No input ends more than the connection that it came by (R35, S24).
func FuzzR35_GatewayFrames(f *testing.F) {
	in := servertest.Start(f)
	for _, seed := range []string{
		`{"type":"subscribe","channels":["*"],"events":["*"],"filter":{"data.x":{"$in":[1,"x",null]}},"lastEventId":null,"consumer":"c","overflow":"latest"}`,
		`{"type":"ack","id":null}`, `{"type":"resume","token":"rsm_x"}`, `{"data":{"channels":"system"},"type":"unsubscribe"}`, "{\"type\":\"\xff\"}", `{"type":null}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if bytes.Contains(frame, []byte(`"auth"`)) {
			return // failures would be counted
		}
		s := enter(t, in, in.APIKey, "")
		_ = s.c.Write(t.Context(), websocket.MessageText, frame)
		_ = s.c.CloseNow()
		enter(t, in, in.APIKey, "")
	})
}

// Before it is known who is there, a message has at most 16 KiB (S22).
func TestS22_GatewayStrangers(t *testing.T) {
	in := servertest.Start(t)
	ping := func(size int) string {
		text := `{"type":"ping","x":""}`
		return strings.Replace(text, `""`, `"`+strings.Repeat("x", size-len(text))+`"`, 1)
	}
	s := dialGateway(t, in, "/v1/ws", nil)
	s.send(ping(16 << 10))
	if m := s.hear(); m.Type != "pong" {
		t.Errorf("16 KiB: %+v", m)
	}
	s.send(ping(16<<10 + 1))
	s.closed(1009, "1009")
}
