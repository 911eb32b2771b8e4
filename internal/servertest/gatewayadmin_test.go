package servertest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/kuranty/kuranty/internal/servertest"
)

// socket is a WebSocket of the gateway.
type socket struct {
	t *testing.T
	c *websocket.Conn
}

// dialGateway opens a socket at a path of the server.
func dialGateway(t *testing.T, in *servertest.Instance, path string, header http.Header) *socket {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, resp, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(in.URL, "http")+path, &websocket.DialOptions{HTTPHeader: header})
	if resp != nil && resp.Body != nil {
		_ = resp.Body.Close()
	}
	if err != nil {
		t.Fatalf("dial %s: %v", path, err)
	}
	c.SetReadLimit(2 << 20)
	t.Cleanup(func() { _ = c.CloseNow() })
	return &socket{t, c}
}

func (s *socket) send(text string) {
	s.t.Helper()
	if err := s.c.Write(s.t.Context(), websocket.MessageText, []byte(text)); err != nil {
		s.t.Fatalf("send %s: %v", text, err)
	}
}

func (s *socket) read() (string, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	_, b, err := s.c.Read(ctx)
	return string(b), err
}

func (s *socket) next() string {
	s.t.Helper()
	text, err := s.read()
	if err != nil {
		s.t.Fatalf("read: %v", err)
	}
	return text
}

func (s *socket) want(text string) {
	s.t.Helper()
	if got := s.next(); got != text {
		s.t.Errorf("got %s\nwant %s", got, text)
	}
}

// ends reads the close, before which there must be no message.
func (s *socket) ends(code websocket.StatusCode, reason string) {
	s.t.Helper()
	text, err := s.read()
	var closed websocket.CloseError
	if !errors.As(err, &closed) || closed.Code != code || closed.Reason != reason {
		s.t.Errorf("got %q, %v; want close %d %q", text, err, code, reason)
	}
}

const adminWelcome = `{"type":"connection","status":"connected","message":"WebSocket connection established"}`

// signUp makes an account.
func signUp(t *testing.T, in *servertest.Instance, name string) (id int64, token string) {
	t.Helper()
	r := call(t, in, "", http.MethodPost, "/auth/register", map[string]string{"username": name, "name": name, "password": "correct horse battery"})
	var grant struct {
		User   struct{ ID int64 }
		Access string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(r.body), &grant); err != nil || grant.User.ID == 0 {
		t.Fatalf("%s %v", r.body, err)
	}
	return grant.User.ID, grant.Access
}

func openTicket(t *testing.T, in *servertest.Instance, token, title string) int64 {
	t.Helper()
	r := call(t, in, token, http.MethodPost, "/tickets", map[string]string{"title": title, "text": "Please help", "priority": "high"})
	var opened struct{ ID int64 }
	if err := json.Unmarshal([]byte(r.body), &opened); err != nil || opened.ID == 0 {
		t.Fatalf("%d %s %v", r.status, r.body, err)
	}
	return opened.ID
}

// newKey makes an API key with scopes.
func newKey(t *testing.T, in *servertest.Instance, scopes ...string) (key, id string) {
	t.Helper()
	r := call(t, in, in.APIKey, http.MethodPost, "/admin/keys", map[string]any{"name": "test", "scopes": scopes})
	var made struct {
		Key    string
		APIKey struct{ ID string } `json:"api_key"`
		ID     string
	}
	if err := json.Unmarshal([]byte(r.body), &made); err != nil || made.Key == "" {
		t.Fatalf("%d %s %v", r.status, r.body, err)
	}
	if made.ID == "" {
		made.ID = made.APIKey.ID
	}
	return made.Key, made.ID
}

// event-gateway.md §15: the transcript of the documented admin socket.
func TestAdminSocket(t *testing.T) {
	in := servertest.Start(t)
	s := dialGateway(t, in, "/ws?token="+in.APIKey, nil)
	s.want(adminWelcome)
	for _, header := range []http.Header{{"Authorization": {"bearer " + in.APIKey}}, {"X-Api-Key": {in.APIKey}}} {
		dialGateway(t, in, "/ws", header).want(adminWelcome)
	}
	dialGateway(t, in, "/ws?api_key="+in.APIKey, nil).want(adminWelcome)
	dialGateway(t, in, "/ws?token="+in.APIKey+"&api_key=wrong", nil).want(adminWelcome)

	s.send(`{"type":"ping"}`)
	s.want(`{"type":"pong"}`)
	for _, garbage := range []string{"hello", "[]", `"ping"`, "5", `{"type":"dance"}`, `{"type":7}`, `{}`, strings.Repeat("[", 100)} {
		s.send(garbage)
	}
	s.send(`{"type":"ping","more":1}`)
	s.want(`{"type":"pong"}`)

	id, token := signUp(t, in, "zoe")
	created := s.next()
	form := regexp.MustCompile(`^\{"type":"user\.created","payload":\{[^}]*\},"timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d","id":"evt_[0-9A-Z]{26}","occurred_at":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"\}$`)
	if !form.MatchString(created) || !strings.Contains(created, `"username":"zoe"`) || !strings.Contains(created, fmt.Sprintf(`"user_id":%d`, id)) {
		t.Errorf("%s", created)
	}
	ticket := openTicket(t, in, token, "Не могу заплатить")
	want := fmt.Sprintf(`{"type":"ticket.created","payload":{"ticket_id":%d,"user_id":%d,"title":"Не могу заплатить","status":"open","priority":"high","has_media":false},"timestamp":`, ticket, id)
	if got := s.next(); !strings.HasPrefix(got, want) {
		t.Errorf("%s\nwant %s", got, want)
	}
	// ticket.updated is none of the six.
	call(t, in, in.APIKey, http.MethodPatch, fmt.Sprintf("/tickets/%d", ticket), map[string]string{"priority": "low"})
	call(t, in, in.APIKey, http.MethodPatch, fmt.Sprintf("/tickets/%d", ticket), map[string]string{"status": "pending"})
	if got := s.next(); !strings.HasPrefix(got, `{"type":"ticket.status_changed","payload":{`) {
		t.Errorf("%s", got)
	}
	call(t, in, in.APIKey, http.MethodPost, fmt.Sprintf("/tickets/%d/messages", ticket), map[string]string{"text": "We look"})
	for _, want := range []string{"ticket.message_added", "ticket.status_changed"} {
		if got := s.next(); !strings.HasPrefix(got, `{"type":"`+want+`"`) {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// event-gateway.md §15: who is refused is accepted and closed with 1008, without a message.
func TestAdminSocketRefusals(t *testing.T) {
	in := servertest.Start(t, servertest.Config(`{"gateway": {"query_token": true}}`))
	dialGateway(t, in, "/ws", nil).ends(1008, "Unauthorized: No token provided")
	dialGateway(t, in, "/ws?token=wrong", nil).ends(1008, "Unauthorized: Invalid token")
	_, token := signUp(t, in, "anna")
	dialGateway(t, in, "/ws?token="+token, nil).ends(1008, "Unauthorized: Invalid token")

	key, id := newKey(t, in, "read:tickets")
	s := dialGateway(t, in, "/ws?token="+key, nil)
	s.want(adminWelcome)
	if r := call(t, in, in.APIKey, http.MethodDelete, "/admin/keys/"+id, nil); r.status >= 300 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	s.ends(1008, "Unauthorized: Token expired")

	noisy := dialGateway(t, in, "/ws?token="+in.APIKey, nil)
	noisy.want(adminWelcome)
	for range 101 {
		noisy.send("noise")
	}
	noisy.ends(1008, "Too many invalid messages")
}

// gateway.query_token: false takes no credential in an address.
func TestS6_QueryTokensCanBeOff(t *testing.T) {
	in := servertest.Start(t, servertest.Config(`{"gateway": {"query_token": false}}`))
	for _, query := range []string{"token", "api_key"} {
		dialGateway(t, in, "/ws?"+query+"="+in.APIKey, nil).ends(1008, "Unauthorized: No token provided")
		if r := request(t, in.URL, person{}, http.MethodGet, "/v1/events/stream?"+query+"="+in.APIKey, "", nil); r.status != 401 {
			t.Errorf("%s: %d %s", query, r.status, r.body)
		}
	}
	r := request(t, in.URL, person{token: in.APIKey}, http.MethodPost, "/v1/ws/tickets", "", nil)
	var got struct {
		Ticket    string
		ExpiresIn int
	}
	if err := json.Unmarshal([]byte(r.body), &got); err != nil || got.ExpiresIn != 30 || !strings.HasPrefix(got.Ticket, "wst_") {
		t.Fatalf("%d %s %v", r.status, r.body, err)
	}
	dialGateway(t, in, "/ws?ticket="+got.Ticket, nil).want(adminWelcome)
	dialGateway(t, in, "/ws?ticket="+got.Ticket, nil).ends(1008, "Unauthorized: Invalid token")
	if strings.Contains(in.Log(), in.APIKey) || strings.Contains(in.Log(), got.Ticket) {
		t.Error("the log has a credential")
	}
}

// event-gateway.md §16.
func TestAdminSocketExtensions(t *testing.T) {
	in := servertest.Start(t)
	s := dialGateway(t, in, "/ws?token="+in.APIKey, nil)
	s.want(adminWelcome)
	s.send(`{"type":"subscribe","events":["ticket.*","webhook.*"]}`)
	s.want(`{"type":"subscribed","events":["ticket.*","webhook.*"]}`)
	_, token := signUp(t, in, "anna") // is not asked for
	first := openTicket(t, in, token, "one")
	got := s.next()
	if !strings.HasPrefix(got, fmt.Sprintf(`{"type":"ticket.created","payload":{"ticket_id":%d,`, first)) {
		t.Fatalf("%s", got)
	}
	var last struct{ ID string }
	if err := json.Unmarshal([]byte(got), &last); err != nil {
		t.Fatal(err)
	}
	s.send(`{"type":"subscribe","events":["ticket.created"],"filter":{"payload.title":{"$prefix":"tw"}}}`)
	s.want(`{"type":"subscribed","events":["ticket.created"]}`)
	openTicket(t, in, token, "three")
	second := openTicket(t, in, token, "two")
	if got := s.next(); !strings.HasPrefix(got, fmt.Sprintf(`{"type":"ticket.created","payload":{"ticket_id":%d,`, second)) {
		t.Errorf("%s", got)
	}
	s.send(`{"type":"subscribe","events":[]}`)
	s.want(`{"type":"subscribed","events":[]}`)
	witness := dialGateway(t, in, "/ws?token="+in.APIKey, nil)
	witness.want(adminWelcome)
	openTicket(t, in, token, "muted")
	for !strings.Contains(witness.next(), `"title":"muted"`) {
	}
	for _, bad := range []string{
		`{"type":"subscribe"}`, `{"type":"subscribe","events":5}`, `{"type":"subscribe","events":["no.such"]}`, `{"type":"resume"}`,
		`{"type":"resume","last_event_id":"evt_1"}`, `{"type":"subscribe","events":["*"],"filter":{"$x":1}}`,
	} {
		s.send(bad)
		if got := s.next(); !strings.HasPrefix(got, `{"type":"error","code":"invalid_request","message":"`) {
			t.Errorf("%s: %s", bad, got)
		}
	}

	back := dialGateway(t, in, "/ws?token="+in.APIKey, nil)
	back.want(adminWelcome)
	openTicket(t, in, token, "live")
	if got := back.next(); !strings.Contains(got, `"title":"live"`) {
		t.Errorf("%s", got)
	}
	back.send(`{"type":"resume","last_event_id":"` + last.ID + `"}`)
	for _, title := range []string{"three", "two", "muted"} {
		if got := back.next(); !strings.Contains(got, `"title":"`+title+`"`) {
			t.Errorf("%s, want %s", got, title)
		}
	}
	back.want(`{"type":"resumed","status":"complete","replayed":3}`)
	openTicket(t, in, token, "after")
	if got := back.next(); !strings.Contains(got, `"title":"after"`) {
		t.Errorf("%s", got)
	}
	back.send(`{"type":"resume","last_event_id":"evt_01JNB3C7Q9V5T2M8K4X6Z0R1WD"}`)
	if got := back.next(); !strings.HasPrefix(got, `{"type":"resumed","status":"lost","replayed":0,"earliest":"evt_`) {
		t.Errorf("%s", got)
	}
}

// event-gateway.md §15: pings of the protocol, none of the application; 1001 after silence.
func TestAdminSocketLiveness(t *testing.T) {
	in := servertest.Start(t, servertest.Config(`{"gateway": {"ping_interval": "1s", "pong_timeout": "3s"}}`))
	pings := make(chan struct{}, 100)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, resp, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(in.URL, "http")+"/ws?token="+in.APIKey, &websocket.DialOptions{
		OnPingReceived: func(context.Context, []byte) bool {
			pings <- struct{}{}
			return len(pings) < 4 // then it answers no more
		},
	})
	if resp != nil && resp.Body != nil {
		_ = resp.Body.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	s := &socket{t, c}
	s.want(adminWelcome)
	began := time.Now()
	s.ends(1001, "no sign of life")
	if n, took := len(pings), time.Since(began); n < 5 || took < 5*time.Second {
		t.Errorf("%d pings, closed after %v", n, took)
	}
}

// What a connection gets is what its key may read.
func TestAdminSocketShowsWhatTheKeyMayRead(t *testing.T) {
	in := servertest.Start(t)
	key, _ := newKey(t, in, "read:tickets")
	s := dialGateway(t, in, "/ws?token="+key, nil)
	s.want(adminWelcome)
	_, token := signUp(t, in, "anna")
	openTicket(t, in, token, "mine")
	if got := s.next(); !strings.HasPrefix(got, `{"type":"ticket.created"`) {
		t.Errorf("%s", got)
	}
	s.send(`{"type":"subscribe","events":["user.created"]}`)
	s.want(`{"type":"error","code":"invalid_request","message":"events: you may not read user.created"}`)
	s.send(`{"type":"subscribe","events":["*.created"]}`)
	s.want(`{"type":"subscribed","events":["*.created"]}`)
	signUp(t, in, "bert")
	openTicket(t, in, token, "again")
	if got := s.next(); !strings.HasPrefix(got, `{"type":"ticket.created"`) {
		t.Errorf("%s", got)
	}
}

// guarantees.md S22, for who has not said who it is yet.
func TestS22_AdminSocketOfStrangers(t *testing.T) {
	in := servertest.Start(t)
	began := time.Now()
	dialGateway(t, in, "/ws", nil).ends(1008, "Unauthorized: No token provided")
	if time.Since(began) > 10*time.Second {
		t.Errorf("a stranger lives %v", time.Since(began))
	}
}
