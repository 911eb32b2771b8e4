package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/api"
)

// told are the types of events of tickets since the start.
func (s *server) told() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var types []string
	for _, e := range s.events {
		if rest, ok := strings.CutPrefix(e.Type, "ticket."); ok {
			types = append(types, rest)
		}
	}
	s.events = nil
	return strings.Join(types, " ")
}

func TestTickets(t *testing.T) {
	for _, driver := range []string{"sqlite", "postgres"} {
		t.Run(driver, func(t *testing.T) {
			s := start(t, options{driver: driver})
			anna, boris, root := s.person("Anna"), s.person("Boris"), s.admin("Root")
			file, err := s.files.Upload(t.Context(), anna.id, "shot.txt", "", strings.NewReader("text"))
			if err != nil {
				t.Fatal(err)
			}
			made := anna.do("POST", "/api/v2/tickets", obj{
				"title": "Cannot pay", "text": "It says no", "priority": "high", "attachments": []obj{{"file_id": file.ID, "caption": "see"}},
			}).want(201).is("user_id", anna.id, "status", "open", "priority", "high", "title", "Cannot pay", "assignee_id", nil, "closed_at", nil,
				"replies_blocked_until", nil, "message_count", 1, "messages.0.text", "It says no", "messages.0.is_from_admin", false,
				"messages.0.author_id", anna.id, "messages.0.attachments.0.file_id", file.ID, "messages.0.attachments.0.caption", "see", "has_before", false)
			path := "/api/v2/tickets/" + made.str("id")
			anna.do("GET", strings.TrimPrefix(made.str("messages.0.attachments.0.url"), s.url), nil).want(200)

			root.do("POST", path+"/messages", obj{"text": "Try again"}).want(201).is("status", "answered", "is_from_admin", true, "author_id", root.id, "ticket_id", made.num("id"))
			anna.do("POST", path+"/messages", obj{"text": "No"}).want(201).is("status", "open", "is_from_admin", false)
			s.key("tickets:write").do("POST", path+"/messages", obj{"text": "Robot"}).want(201).is("status", "answered", "author_id", nil)
			until := s.clock().Add(time.Hour)
			root.do("PATCH", path, obj{"status": "closed", "priority": "low", "assignee_id": root.id, "replies_blocked_until": until}).want(200).is(
				"status", "closed", "priority", "low", "assignee_id", root.id, "replies_blocked_until", "2026-05-01T13:00:00.000Z", "closed_at", "2026-05-01T12:00:00.000Z")
			anna.do("POST", path+"/messages", obj{"text": "But"}).refused(403, "replies_blocked").is(
				"error.details.replies_blocked_until", "2026-05-01T13:00:00Z", "error.details.retry_after", 3600)
			root.do("PATCH", path, obj{"replies_blocked_until": nil, "assignee_id": nil}).want(200).is("replies_blocked_until", nil, "assignee_id", nil)
			anna.do("POST", path+"/messages", obj{"text": "But"}).want(201).is("status", "open")
			anna.do("GET", path+"?limit=2", nil).want(200).is("status", "open", "closed_at", nil, "messages.0.text", "Robot", "messages.1.text", "But", "has_before", true)
			if got, want := s.told(), "created message_added status_changed message_added status_changed message_added status_changed "+
				"status_changed updated updated message_added status_changed"; got != want {
				t.Errorf("told %s\nwant %s", got, want)
			}

			boris.do("POST", "/api/v2/tickets", obj{"title": "Other", "text": "x"}).want(201)
			root.do("GET", "/api/v2/tickets?limit=1", nil).want(200).is("tickets.0.title", "Other", "next_cursor", made.num("id")+1)
			root.do("GET", fmt.Sprint("/api/v2/tickets?cursor=", made.num("id")+1), nil).want(200).is("tickets.0.title", "Cannot pay", "next_cursor", nil)
			if n := anna.do("GET", "/api/v2/tickets?status=open", nil).want(200).len("tickets"); n != 1 {
				t.Errorf("anna sees %d tickets", n)
			}
			if n := root.do("GET", "/api/v2/tickets?priority=urgent", nil).want(200).len("tickets"); n != 0 {
				t.Errorf("there are %d urgent tickets", n)
			}
		})
	}
}

// TestS15_TicketsOfOthersAreAsThoseThatAreNot compares every answer to a stranger.
func TestS15_TicketsOfOthersAreAsThoseThatAreNot(t *testing.T) {
	s := start(t, options{})
	anna, boris := s.person("Anna"), s.person("Boris")
	there := anna.do("POST", "/api/v2/tickets", obj{"title": "x", "text": "y"}).want(201).str("id")
	for _, c := range []struct {
		method, path string
		body         any
	}{
		{"GET", "", nil}, {"POST", "/messages", obj{"text": "x"}}, {"PATCH", "", obj{"status": "closed"}}, {"PATCH", "", obj{}},
	} {
		a := boris.do(c.method, "/api/v2/tickets/"+there+c.path, c.body)
		b := boris.do(c.method, "/api/v2/tickets/999"+c.path, c.body)
		a.refused(404, "not_found")
		if x, y := a.at("error").(map[string]any), b.at("error").(map[string]any); a.status != b.status || x["message"] != y["message"] || len(x) != len(y) {
			t.Errorf("%s %s: %s and %s", c.method, c.path, a.body, b.body)
		}
	}
	if n := boris.do("GET", fmt.Sprint("/api/v2/tickets?user_id=", anna.id), nil).want(200).len("tickets"); n != 0 {
		t.Errorf("a stranger lists %d tickets", n)
	}
}

// TestS14_TicketsAndScopes tries each operation with keys of other scopes.
func TestS14_TicketsAndScopes(t *testing.T) {
	s := start(t, options{})
	anna := s.person("Anna")
	id := anna.do("POST", "/api/v2/tickets", obj{"title": "x", "text": "y"}).want(201).str("id")
	for scope, want := range map[string]struct{ read, write int }{
		"tickets:read": {200, 403}, "tickets:write": {403, 200}, "tickets:*": {200, 200}, "*": {200, 200}, "admin": {200, 200},
		"read:tickets": {403, 403}, "read:*": {403, 403}, "payments:read": {403, 403},
	} {
		key := s.key(scope)
		for _, q := range []request{{method: "GET", path: "/api/v2/tickets"}, {method: "GET", path: "/api/v2/tickets/" + id}} {
			if got := key.send(q); got.status != want.read {
				t.Errorf("%s with %s: %d %s", q.path, scope, got.status, got.body)
			}
		}
		for _, q := range []request{
			{method: "POST", path: "/api/v2/tickets", body: obj{"title": "x", "text": "y", "user_id": anna.id}},
			{method: "POST", path: "/api/v2/tickets/" + id + "/messages", body: obj{"text": "y"}},
			{method: "PATCH", path: "/api/v2/tickets/" + id, body: obj{"priority": "low"}},
		} {
			if got := key.send(q); got.status/100 != want.write/100 {
				t.Errorf("%s %s with %s: %d %s", q.method, q.path, scope, got.status, got.body)
			}
		}
	}
}

func TestTicketsAreMadeOnce(t *testing.T) {
	s := start(t, options{})
	anna := s.person("Anna")
	once := func(path, key string, body obj) *answered {
		return anna.send(request{method: "POST", path: path, body: body, header: http.Header{"Idempotency-Key": {key}}})
	}
	first := once("/api/v2/tickets", "k1", obj{"title": "x", "text": "y"}).want(201)
	if again := once("/api/v2/tickets", "k1", obj{"title": "x", "text": "y"}).want(201); string(again.body) != string(first.body) || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("a repetition: %s", again.body)
	}
	once("/api/v2/tickets", "k1", obj{"title": "z", "text": "y"}).refused(409, "idempotency_conflict")
	path := "/api/v2/tickets/" + first.str("id")
	once(path+"/messages", "k2", obj{"text": "more"}).want(201)
	once(path+"/messages", "k2", obj{"text": "more"}).want(201)
	anna.do("GET", path, nil).want(200).is("message_count", 2)
	if got := s.told(); got != "created message_added" {
		t.Errorf("told %s", got)
	}
}

// TestR35_TicketsAndHostileBodies sends what nobody should.
func TestR35_TicketsAndHostileBodies(t *testing.T) {
	s := start(t, options{})
	anna, root := s.person("Anna"), s.admin("Root")
	path := "/api/v2/tickets/" + anna.do("POST", "/api/v2/tickets", obj{"title": "x", "text": "y"}).want(201).str("id")
	s.told()
	long := strings.Repeat("x", 900_000)
	for _, c := range []struct {
		who                *person
		method, path, body string
		status             int
	}{
		{anna, "POST", "/api/v2/tickets", `null`, 400},
		{anna, "POST", "/api/v2/tickets", `[]`, 400},
		{anna, "POST", "/api/v2/tickets", `{`, 400},
		{anna, "POST", "/api/v2/tickets", `{}`, 422},
		{anna, "POST", "/api/v2/tickets", `{"title":null,"text":"x"}`, 400},
		{anna, "POST", "/api/v2/tickets", `{"title":"x","text":null}`, 422},
		{anna, "POST", "/api/v2/tickets", `{"title":7,"text":"x"}`, 400},
		{anna, "POST", "/api/v2/tickets", `{"title":"x","text":["x"]}`, 400},
		{anna, "POST", "/api/v2/tickets", `{"title":"\u0000","text":"x"}`, 422},
		{anna, "POST", "/api/v2/tickets", `{"title":"x","text":"x","priority":"highest"}`, 422},
		{anna, "POST", "/api/v2/tickets", `{"title":"` + long + `","text":"x"}`, 422},
		{anna, "POST", "/api/v2/tickets", `{"title":"x","text":"` + long + `"}`, 422},
		{anna, "POST", "/api/v2/tickets", `{"title":"x","attachments":[{"file_id":"f_none"}]}`, 422},
		{anna, "POST", "/api/v2/tickets", `{"title":"x","attachments":[{"file_id":null}]}`, 400},
		{anna, "POST", "/api/v2/tickets", `{"title":"x","attachments":[null]}`, 400},
		{anna, "POST", "/api/v2/tickets", `{"title":"x","text":"x","user_id":-1}`, 400},
		{root, "POST", "/api/v2/tickets", `{"title":"x","text":"x","user_id":9007199254740991}`, 422},
		{root, "POST", "/api/v2/tickets", `{"title":"x","text":"x","user_id":1e300}`, 400},
		{anna, "POST", path + "/messages", `{}`, 422},
		{anna, "POST", path + "/messages", `{"text":"\u0000 "}`, 422},
		{anna, "POST", path + "/messages", `"text"`, 400},
		{root, "PATCH", path, `{"status":"lost"}`, 422},
		{root, "PATCH", path, `{"assignee_id":-1}`, 400},
		{root, "PATCH", path, `{"assignee_id":"x"}`, 400},
		{root, "PATCH", path, `{"assignee_id":` + fmt.Sprint(anna.id) + `}`, 422},
		{root, "PATCH", path, `{"replies_blocked_until":"tomorrow"}`, 422},
		{root, "PATCH", path, `{"replies_blocked_until":7}`, 400},
		{root, "PATCH", path, `null`, 400},
		{anna, "GET", "/api/v2/tickets?limit=201", ``, 422},
		{anna, "GET", "/api/v2/tickets?limit=x", ``, 400},
		{anna, "GET", "/api/v2/tickets?status=lost", ``, 422},
		{anna, "GET", "/api/v2/tickets?cursor=%00", ``, 422},
		{anna, "GET", "/api/v2/tickets/0", ``, 400},
		{anna, "GET", "/api/v2/tickets/99999999999999999999", ``, 400},
		{anna, "GET", "/api/v2/tickets/x", ``, 400},
		{anna, "GET", path + "?before=-1", ``, 400},
		{anna, "DELETE", path, ``, 405},
	} {
		q := request{method: c.method, path: c.path}
		if c.body != "" {
			q.body, q.header = []byte(c.body), http.Header{"Content-Type": {"application/json"}}
		}
		if got := c.who.send(q); got.status != c.status {
			t.Errorf("%s %s %.60s: %d, want %d: %s", c.method, c.path, c.body, got.status, c.status, got.body)
		}
	}
	for _, body := range []obj{{"assignee_id": -1}, {"assignee_id": "x"}, {"assignee_id": true}} {
		root.do("PATCH", path, body).refused(400, "bad_request").is("error.details.fields.0.field", "assignee_id")
	}
	if got := s.told(); got != "" || s.log.Len() > 0 {
		t.Errorf("told %q, logged %s", got, s.log)
	}
	anna.do("GET", path, nil).want(200).is("message_count", 1, "status", "open")
}

// TestTicketsAreOff has no service of tickets.
func TestTicketsAreOff(t *testing.T) {
	s := start(t, options{api: func(o *api.Options) { o.Tickets = nil }})
	anna := s.person("Anna")
	for _, q := range []request{
		{method: "GET", path: "/api/v2/tickets"},
		{method: "GET", path: "/api/v2/tickets/1"},
		{method: "POST", path: "/api/v2/tickets", body: obj{"title": "x", "text": "y"}},
		{method: "POST", path: "/api/v2/tickets/1/messages", body: obj{"text": "y"}},
		{method: "PATCH", path: "/api/v2/tickets/1", body: obj{}},
	} {
		anna.send(q).refused(403, "disabled")
	}
}

// TestTicketEventsNameTheActor looks at who did it, in the log.
func TestTicketEventsNameTheActor(t *testing.T) {
	s := start(t, options{})
	anna, key := s.person("Anna"), s.key("tickets:write")
	id := key.do("POST", "/api/v2/tickets", obj{"title": "x", "text": "y", "user_id": anna.id}).want(201).is("user_id", anna.id, "messages.0.is_from_admin", false).str("id")
	anna.do("POST", "/api/v2/tickets/"+id+"/messages", obj{"text": "y"}).want(201)
	s.mu.Lock()
	defer s.mu.Unlock()
	var actors []string
	for _, e := range s.events {
		if strings.HasPrefix(e.Type, "ticket.") {
			actors = append(actors, e.Actor)
			if !json.Valid(e.Payload) || e.Stream != "ticket:"+id {
				t.Errorf("event %+v", e)
			}
		}
	}
	if len(actors) != 2 || !strings.HasPrefix(actors[0], "key:k_") || actors[1] != event.User(anna.id) {
		t.Errorf("actors %v", actors)
	}
}
