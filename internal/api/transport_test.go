package api_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/api"
	"github.com/kuranty/kuranty/internal/store"
)

func TestErrorsHaveTheFormOfTheContract(t *testing.T) {
	s := start(t, options{})
	anna := s.person("Anna")
	anna.do("GET", "/api/v2/nothing", nil).refused(404, "not_found")
	got := anna.do("PUT", "/api/v2/chats", nil).refused(405, "method_not_allowed")
	if got.header.Get("Allow") != "GET, POST" {
		t.Errorf("Allow: %q", got.header.Get("Allow"))
	}
	s.anonymous().do("GET", "/api/v2/me", nil).refused(401, "unauthorized")
	if got := s.anonymous().do("GET", "/api/v2/me", nil); got.header.Get("Www-Authenticate") != "Bearer" {
		t.Errorf("%v", got.header)
	}
	(&person{s: s, token: "nonsense"}).do("GET", "/api/v2/me", nil).refused(401, "unauthorized")
	anna.do("GET", "/api/v2/chats/abc", nil).refused(400, "bad_request")
	anna.do("GET", "/api/v2/chats?limit=x", nil).refused(400, "bad_request")
	anna.do("GET", "/api/v2/chats?filter=x", nil).refused(422, "validation").is("error.details.fields.0.field", "filter")
	json := http.Header{"Content-Type": {"application/json"}}
	for _, body := range []string{"", "{", "null", "[]", `"x"`, "{}x", `{"name": tru}`} {
		got := anna.send(request{method: "POST", path: "/api/v2/chats", body: []byte(body), header: json})
		if got.status != 400 || got.header.Get("X-Error-Code") != "bad_request" {
			t.Errorf("%q: %d %s", body, got.status, got.body)
		}
	}
	for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"} {
		anna.send(request{method: "POST", path: "/api/v2/chats", body: []byte("{}"), header: http.Header{"Content-Type": {kind}}}).refused(415, "unsupported_media")
	}
	if got := anna.send(request{method: "GET", path: "/api/v2/me", header: http.Header{"X-Request-Id": {"abc-1"}}}); got.header.Get("X-Request-Id") != "abc-1" {
		t.Errorf("%v", got.header)
	}
}

func TestS23_BodyIsBoundedExactly(t *testing.T) {
	s := start(t, options{api: func(o *api.Options) { o.BodyBytes = 1000 }})
	anna := s.person("Anna")
	for size, want := range map[int]int{1000: 200, 1001: 413} {
		body := `{"about": "` + strings.Repeat(" ", size-len(`{"about": ""}`)) + `"}`
		for _, chunked := range []bool{false, true} {
			h := http.Header{"Content-Type": {"application/json"}}
			if chunked {
				if got := s.chunked(t, anna, body); got != want {
					t.Errorf("%d bytes in chunks: %d, want %d", size, got, want)
				}
				continue
			}
			got := anna.send(request{method: "PATCH", path: "/api/v2/me", body: []byte(body), header: h})
			if got.status != want {
				t.Errorf("%d bytes: %d, want %d: %s", size, got.status, want, got.body)
			}
		}
	}
	deep := strings.Repeat(`{"x":`, 33) + "1" + strings.Repeat("}", 33)
	anna.send(request{method: "PATCH", path: "/api/v2/me", body: []byte(deep), header: http.Header{"Content-Type": {"application/json"}}}).refused(400, "bad_request")
	deep = strings.Repeat(`{"x":`, 32) + "1" + strings.Repeat("}", 32)
	anna.send(request{method: "PATCH", path: "/api/v2/me", body: []byte(deep), header: http.Header{"Content-Type": {"application/json"}}}).want(200)
}

// chunked sends a body whose length is not said.
func (s *server) chunked(t *testing.T, p *person, body string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "PATCH", s.url+"/api/v2/me", struct{ *strings.Reader }{strings.NewReader(body)})
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = -1
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+p.token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestRateLimits(t *testing.T) {
	s := start(t, options{api: func(o *api.Options) { o.RequestsPerMinute, o.AnonymousPerMinute = 3, 2 }})
	anna, boris := s.person("Anna"), s.person("Boris")
	for range 3 {
		anna.do("GET", "/api/v2/me", nil).want(200)
	}
	got := anna.do("GET", "/api/v2/me", nil).refused(429, "rate_limited")
	if got.header.Get("Retry-After") != "20" || got.header.Get("X-Ratelimit-Limit") != "3" || got.header.Get("X-Ratelimit-Remaining") != "0" || got.header.Get("X-Ratelimit-Reset") != "20" {
		t.Errorf("%v", got.header)
	}
	boris.do("GET", "/api/v2/me", nil).want(200)
	s.advance(20 * time.Second)
	anna.do("GET", "/api/v2/me", nil).want(200)
	anna.do("GET", "/api/v2/me", nil).want(429)
	// Who has no token is bounded by address, who guesses them too, services are not.
	s.anonymous().do("GET", "/api/v2/me", nil).want(401)
	(&person{s: s, token: "guess"}).do("GET", "/api/v2/me", nil).want(401)
	(&person{s: s, token: "guess"}).do("GET", "/api/v2/me", nil).want(429)
	s.anonymous().do("POST", "/api/v2/auth/password/forgot", obj{"email": "x@example.org"}).want(429)
	boris.do("GET", "/api/v2/me", nil).want(200)
	for range 10 {
		s.service().do("GET", "/api/v2/admin/users", nil).want(200)
	}
}

func TestCrossOrigin(t *testing.T) {
	s := start(t, options{api: func(o *api.Options) { o.Origins = []string{"https://*.example.org"} }})
	anna := s.person("Anna")
	for origin, allowed := range map[string]bool{
		"https://chat.example.org": true, s.url: true, "https://example.org.evil.net": false, "https://evil.net": false,
		"http://chat.example.org": false, "null": false, "https://a.b.example.org": true,
	} {
		got := anna.send(request{method: "GET", path: "/api/v2/me", header: http.Header{"Origin": {origin}}}).want(200)
		want := ""
		if allowed {
			want = origin
		}
		if got.header.Get("Access-Control-Allow-Origin") != want || got.header.Get("Vary") == "" {
			t.Errorf("%s: %v", origin, got.header)
		}
		if allowed != strings.Contains(got.header.Get("Access-Control-Expose-Headers"), "X-Error-Code") {
			t.Errorf("%s: %v", origin, got.header)
		}
		pre := anna.send(request{method: "OPTIONS", path: "/api/v2/chats", header: http.Header{"Origin": {origin}, "Access-Control-Request-Method": {"POST"}}}).want(204)
		if allowed != strings.Contains(pre.header.Get("Access-Control-Allow-Headers"), "Idempotency-Key") {
			t.Errorf("%s: %v", origin, pre.header)
		}
	}
}

func TestLongRepliesAreCompressed(t *testing.T) {
	s := start(t, options{})
	anna := s.person("Anna")
	zip := http.Header{"Accept-Encoding": {"gzip"}}
	for i := range 5 {
		s.group(anna)
		_ = i
	}
	got := anna.send(request{method: "GET", path: "/openapi.json", header: zip}).want(200)
	if got.header.Get("Content-Encoding") != "gzip" || len(got.body) > 40_000 {
		t.Errorf("%v, %d bytes", got.header, len(got.body))
	}
	// Replies with secrets are not compressed.
	got = s.anonymous().send(request{method: "POST", path: "/api/v2/auth/login", body: obj{"login": "anna1", "password": password}, header: zip}).want(200)
	if got.header.Get("Content-Encoding") != "" || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", got.header)
	}
}

func TestS19_IdempotencyKeysBelongToWhoCalls(t *testing.T) {
	for _, driver := range []string{store.SQLite, store.Postgres} {
		t.Run(driver, func(t *testing.T) {
			s := start(t, options{driver: driver})
			anna, boris := s.person("Anna"), s.person("Boris")
			key := http.Header{"Idempotency-Key": {"k1"}}
			make := func(p *person, title string) *answered {
				return p.send(request{method: "POST", path: "/api/v2/chats", body: obj{"kind": "group", "title": title}, header: key})
			}
			first := make(anna, "Один").want(201)
			again := make(anna, "Один").want(201)
			if again.header.Get("Idempotency-Replayed") != "true" || string(again.body) != string(first.body) {
				t.Errorf("%v\n%s\n%s", again.header, first.body, again.body)
			}
			make(anna, "Два").refused(409, "idempotency_conflict")
			if other := make(boris, "Один").want(201); other.str("id") == first.str("id") {
				t.Errorf("somebody else's reply: %s", other.body)
			}
			anna.do("GET", "/api/v2/chats", nil).is("total", 1)
			later := func(d time.Duration) {
				s.advance(d)
				fresh := s.anonymous().do("POST", "/api/v2/auth/login", obj{"login": "anna1", "password": password}).want(200)
				anna.token = fresh.str("access_token")
			}
			// A day, and then a clock that is set forth by another (R28).
			later(48 * time.Hour)
			if again := make(anna, "Один").want(201); string(again.body) != string(first.body) {
				t.Errorf("after a day and another: %s", again.body)
			}
			later(2 * time.Hour)
			make(anna, "Два").want(201)
			// A refused request does not use its key up.
			key = http.Header{"Idempotency-Key": {"k2"}}
			make(anna, "").refused(422, "validation")
			make(anna, "Три").want(201)
			key = http.Header{"Idempotency-Key": {strings.Repeat("k", 101)}}
			make(anna, "Четыре").refused(422, "validation")
		})
	}
}

func TestS19_SameKeyAtOnceMakesOne(t *testing.T) {
	s := start(t, options{})
	anna := s.person("Anna")
	statuses := make(chan int, 8)
	for range 8 {
		go func() {
			got := anna.send(request{method: "POST", path: "/api/v2/chats", body: obj{"kind": "group", "title": "Одна"}, header: http.Header{"Idempotency-Key": {"k"}}})
			statuses <- got.status
		}()
	}
	for range 8 {
		if status := <-statuses; status != 201 && status != 503 {
			t.Errorf("status %d", status)
		}
	}
	anna.do("GET", "/api/v2/chats", nil).is("total", 1)
}

// Ambiguous requests are refused (guarantees.md S26); the host of links is the public one.
func TestS26_AmbiguousRequestsAreRefused(t *testing.T) {
	s := start(t, options{})
	address := strings.TrimPrefix(s.url, "http://")
	for name, head := range map[string]string{
		"two lengths":         "Content-Length: 2\r\nContent-Length: 3\r\n",
		"two hosts":           "Host: evil.example\r\n",
		"unknown encoding":    "Transfer-Encoding: identity\r\n",
		"space in the header": "Content-Length : 2\r\n",
		"chunk of no size":    "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
	} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST /api/v2/auth/login HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n%s\r\n{}", address, head)
		in := bufio.NewReader(conn)
		resp, err := http.ReadResponse(in, nil)
		if err != nil || resp.StatusCode != 400 && resp.StatusCode != 501 {
			t.Errorf("%s: %v %v", name, resp, err)
			continue
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		if _, err := in.ReadByte(); err == nil {
			t.Errorf("%s: the connection goes on", name)
		}
		conn.Close()
	}
	got := s.person("Anna").send(request{method: "POST", path: "/api/v2/auth/connection-token", header: http.Header{"X-Forwarded-Host": {"evil.example"}, "X-Forwarded-Proto": {"https"}}})
	if strings.Contains(got.str("ws_url"), "evil") || strings.HasPrefix(got.str("ws_url"), "wss") {
		t.Errorf("%s", got.body)
	}
}

// Replies tell nothing of what the server is made of, whatever breaks.
func TestS33_BrokenServerTellsNothing(t *testing.T) {
	s := start(t, options{})
	anna := s.person("Anna")
	s.store.Close()
	for _, path := range []string{"/me", "/chats", "/chats/1/messages", "/users/search?q=a"} {
		got := anna.do("GET", "/api/v2"+path, nil)
		if got.status != 503 && got.status != 500 || got.str("error.request_id") != got.header.Get("X-Request-Id") {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
		for _, secret := range []string{"sql", "database", "kuranty.db", "closed", "/tmp"} {
			if strings.Contains(strings.ToLower(string(got.body)), secret) {
				t.Errorf("%s tells %q: %s", path, secret, got.body)
			}
		}
	}
}

func TestS33_PanicsAreContained(t *testing.T) {
	s := start(t, options{api: func(o *api.Options) { o.Presence = nil; o.Presence = explosive{} }})
	anna := s.person("Anna")
	got := anna.do("POST", "/api/v2/presence/query", obj{"user_ids": []int64{anna.id}}).refused(500, "internal")
	if strings.Contains(string(got.body), "boom") {
		t.Errorf("%s", got.body)
	}
	anna.do("GET", "/api/v2/auth/sessions", nil).want(200)
	if _, err := s.api.RPC(t.Context(), anna.id, "presence.query", []byte(fmt.Sprintf(`{"user_ids":[%d]}`, anna.id))); err == nil || err.Error() != "internal (500)" {
		t.Errorf("%v", err)
	}
}
