package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/api"
	"github.com/kuranty/kuranty/internal/identity"
)

func TestRegisterLoginRefreshLogout(t *testing.T) {
	s := start(t, options{})
	nobody := s.anonymous()
	got := nobody.do("POST", "/api/v2/auth/register", obj{"name": "Анна", "email": "Anna@Example.org", "password": password, "device": "phone"}).want(201)
	got.is("token_type", "bearer", "expires_in", 900, "user.name", "Анна", "user.email", "anna@example.org", "user.role", "user",
		"user.privacy.last_seen", "contacts", "ws_url", "ws"+strings.TrimPrefix(s.url, "http")+"/connection/websocket")
	if strings.Count(got.str("centrifugo_token"), ".") != 2 {
		t.Errorf("no connection token: %s", got.body)
	}
	anna := &person{s: s, token: got.str("access_token")}
	anna.do("GET", "/api/v2/auth/sessions", nil).want(200).is("sessions.0.current", true, "sessions.0.device", "phone", "sessions.0.id", got.str("session_id"))

	again := nobody.do("POST", "/api/v2/auth/login", obj{"login": "anna@example.org", "password": password}).want(200)
	anna.do("DELETE", "/api/v2/auth/sessions/"+again.str("session_id"), nil).want(204)
	(&person{s: s, token: again.str("access_token")}).do("GET", "/api/v2/me", nil).refused(401, "unauthorized")
	nobody.do("POST", "/api/v2/auth/login", obj{"login": "anna@example.org", "password": "wrong wrong wrong"}).refused(401, "invalid_credentials")

	second := nobody.do("POST", "/api/v2/auth/refresh", obj{"refresh_token": got.str("refresh_token")}).want(200)
	s.advance(time.Minute)
	nobody.do("POST", "/api/v2/auth/refresh", obj{"refresh_token": got.str("refresh_token")}).refused(401, "token_reused")
	nobody.do("POST", "/api/v2/auth/refresh", obj{"refresh_token": second.str("refresh_token")}).refused(401, "token_reused")

	third := nobody.do("POST", "/api/v2/auth/login", obj{"login": "anna@example.org", "password": password}).want(200)
	anna.token = third.str("access_token")
	anna.do("POST", "/api/v2/auth/connection-token", nil).want(200).len0("token").len0("ws_url")
	anna.do("POST", "/api/v2/auth/logout", nil).want(204)
	anna.do("GET", "/api/v2/me", nil).refused(401, "unauthorized")
}

// len0 only wants a member to be there.
func (a *answered) len0(path string) *answered {
	a.t.Helper()
	if a.str(path) == "" {
		a.t.Errorf("%s is empty in %s", path, a.body)
	}
	return a
}

func TestRegistrationTellsWhatIsWrongInBothLanguages(t *testing.T) {
	s := start(t, options{})
	got := s.anonymous().send(request{
		method: "POST", path: "/api/v2/auth/register", body: obj{"name": "", "email": "no", "password": "short"},
		header: http.Header{"Accept-Language": {"ru-RU,ru;q=0.9"}},
	}).refused(422, "validation")
	if got.len("error.details.fields") != 3 || !strings.Contains(got.str("error.message"), "обязательное поле") {
		t.Errorf("%s", got.body)
	}
	s.anonymous().do("POST", "/api/v2/auth/register", obj{"name": "x"}).refused(422, "validation").is("error.details.fields.0.field", "password", "error.details.fields.0.reason", "required")
	s.anonymous().do("POST", "/api/v2/auth/register", obj{"name": 5, "password": password}).refused(400, "bad_request")
	s.person("Anna")
	s.anonymous().do("POST", "/api/v2/auth/register", obj{"name": "x", "email": "anna1@example.org", "password": password}).refused(422, "validation").is("error.details.fields.0.reason", "taken")
}

// Web clients have the refresh token in a cookie, which is narrowed, and prefixed where
// the server is reached by https.
func TestS01_CookieOfWebClients(t *testing.T) {
	for _, base := range []string{"http://127.0.0.1", "https://chat.example.org"} {
		s := start(t, options{api: func(o *api.Options) { o.PublicURL = func(*http.Request) string { return base } }})
		s.person("Anna")
		web := http.Header{"X-Client": {"web"}}
		got := s.anonymous().send(request{method: "POST", path: "/api/v2/auth/login", body: obj{"login": "anna1", "password": password}, header: web}).want(200)
		if got.at("refresh_token") != nil {
			t.Errorf("%s: the token is in the body", base)
		}
		cookie := got.header.Get("Set-Cookie")
		name, attributes := "kuranty-refresh", []string{"Path=/api/v2/auth", "HttpOnly", "SameSite=Strict"}
		if strings.HasPrefix(base, "https") {
			name, attributes = "__Secure-kuranty-refresh", append(attributes, "Secure")
		}
		for _, a := range attributes {
			if !strings.Contains(cookie, "; "+a) {
				t.Errorf("%s: cookie without %s: %s", base, a, cookie)
			}
		}
		pair, _, _ := strings.Cut(cookie, ";")
		if !strings.HasPrefix(pair, name+"=kr_") {
			t.Errorf("%s: %s", base, pair)
		}
		web.Set("Cookie", pair)
		refresh := request{method: "POST", path: "/api/v2/auth/refresh", header: web}
		s.anonymous().send(refresh).refused(422, "validation") // a form of another site could send it
		web.Set("X-Requested-With", "fetch")
		next := s.anonymous().send(refresh).want(200)
		if next.at("refresh_token") != nil || !strings.HasPrefix(next.header.Get("Set-Cookie"), name+"=kr_") {
			t.Errorf("%s: %s %v", base, next.body, next.header)
		}
		pair, _, _ = strings.Cut(next.header.Get("Set-Cookie"), ";")
		web.Set("Cookie", pair)
		web.Del("X-Client") // the token of a cookie is not to be had in the body
		next = s.anonymous().send(refresh).want(200)
		if next.at("refresh_token") != nil || !strings.HasPrefix(next.header.Get("Set-Cookie"), name+"=kr_") {
			t.Errorf("%s: without X-Client: %s %v", base, next.body, next.header)
		}
		pair, _, _ = strings.Cut(next.header.Get("Set-Cookie"), ";")
		web.Set("Cookie", pair)
		web.Set("X-Client", "web")
		out := s.anonymous().send(request{method: "POST", path: "/api/v2/auth/logout", header: web}).want(204)
		if !strings.HasPrefix(out.header.Get("Set-Cookie"), name+"=;") || !strings.Contains(out.header.Get("Set-Cookie"), "Max-Age=0") {
			t.Errorf("%s: %v", base, out.header)
		}
		s.anonymous().send(refresh).refused(401, "unauthorized")
	}
}

func TestPasswords(t *testing.T) {
	s := start(t, options{})
	anna := s.person("Anna")
	other := s.anonymous().do("POST", "/api/v2/auth/login", obj{"login": "anna1", "password": password}).want(200)
	anna.do("POST", "/api/v2/auth/password", obj{"current": "wrong wrong", "new": "another good password"}).refused(401, "invalid_credentials")
	anna.do("POST", "/api/v2/auth/password", obj{"current": password, "new": "short"}).refused(422, "validation").is("error.details.fields.0.field", "new")
	anna.do("POST", "/api/v2/auth/password", obj{"current": password, "new": "another good password"}).want(204)
	(&person{s: s, token: other.str("access_token")}).do("GET", "/api/v2/me", nil).want(401)
	anna.do("GET", "/api/v2/me", nil).want(200)
	anna.do("POST", "/api/v2/auth/logout-all", obj{"except_current": true}).want(200).is("revoked", 0)

	for _, email := range []string{"anna1@example.org", "nobody@example.org", "no address"} {
		s.anonymous().do("POST", "/api/v2/auth/password/forgot", obj{"email": email}).want(204)
	}
	s.anonymous().do("POST", "/api/v2/auth/password/reset", obj{"token": "none", "new": "a third good password"}).refused(422, "invalid_token")
	token, _, err := s.accounts.CreateReset(t.Context(), identity.Operator("test"), anna.id)
	if err != nil {
		t.Fatal(err)
	}
	s.anonymous().do("POST", "/api/v2/auth/password/reset", obj{"token": token, "new": "a third good password"}).want(204)
	s.anonymous().do("POST", "/api/v2/auth/login", obj{"login": "anna1", "password": "a third good password"}).want(200)
	s.anonymous().do("POST", "/api/v2/auth/email/verify", obj{"token": "none"}).refused(422, "invalid_token")
}

func TestLoginsAreLimited(t *testing.T) {
	s := start(t, options{accounts: func(o *identity.Options) { o.Limits.LoginFailures = 2 }})
	s.person("Anna")
	wrong := obj{"login": "anna1", "password": "wrong wrong wrong"}
	for range 2 {
		s.anonymous().do("POST", "/api/v2/auth/login", wrong).refused(401, "invalid_credentials")
	}
	got := s.anonymous().do("POST", "/api/v2/auth/login", wrong).refused(429, "rate_limited")
	for name, want := range map[string]string{"Retry-After": "30", "X-RateLimit-Limit": "2", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "30"} {
		if v := got.header.Get(name); v != want {
			t.Errorf("%s: %q, not %q", name, v, want)
		}
	}
}

func TestFirstAdministrator(t *testing.T) {
	s := start(t, options{})
	token, err := s.accounts.FirstAdminToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.anonymous().do("POST", "/api/v2/auth/first-admin", obj{"token": token + "x", "username": "root", "password": password}).refused(422, "invalid_token")
	s.anonymous().do("POST", "/api/v2/auth/first-admin", obj{"token": token, "username": "root", "password": password}).want(201).is("user.role", "admin")
	s.service().do("GET", "/api/v2/admin/audit", nil).want(200).is("entries.0.action", "user.create", "entries.0.actor", "user:1", "entries.0.target", "user:1")
	s.anonymous().do("POST", "/api/v2/auth/first-admin", obj{"token": token, "username": "root2", "password": password}).refused(422, "invalid_token")
}

func TestClosedRegistration(t *testing.T) {
	s := start(t, options{accounts: func(o *identity.Options) { o.Registration = identity.ByInvite }})
	who := obj{"name": "x", "username": "xxx", "password": password}
	s.anonymous().do("POST", "/api/v2/auth/register", who).refused(403, "registration_closed")
	got := s.service().do("POST", "/api/v2/admin/invites", obj{"max_uses": 1}).want(201)
	who["invite"] = got.str("token")
	s.anonymous().do("POST", "/api/v2/auth/register", who).want(201)
	who["username"] = "yyy"
	s.anonymous().do("POST", "/api/v2/auth/register", who).refused(422, "invalid_token")
}
