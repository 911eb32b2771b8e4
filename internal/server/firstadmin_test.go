package server_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/server"
	"github.com/kuranty/kuranty/internal/servertest"
)

const asJSON = "application/json"

// login returns the status of a login and what it answers.
func login(t *testing.T, url, name, password string) (status int, token, role string) {
	t.Helper()
	status, body := request(t, http.MethodPost, url+"/api/v2/auth/login", fmt.Sprintf(`{"login": %q, "password": %q}`, name, password), "Content-Type", asJSON)
	var in struct {
		CentrifugoToken string `json:"centrifugo_token"`
		User            struct{ Role string }
	}
	_ = json.Unmarshal([]byte(body), &in)
	return status, in.CentrifugoToken, in.User.Role
}

var printedToken = regexp.MustCompile(`"token": "([^"]+)"`)

// The first screen has a token that makes one administrator, and is shown once.
func TestS13_FirstScreenMakesTheFirstAdministrator(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	first := servertest.Start(t, servertest.DataDir(dir), servertest.Flag("log.level", "debug"))
	found := printedToken.FindStringSubmatch(first.Log())
	if found == nil || !strings.Contains(first.Log(), "kuranty admin create YOUR-NAME") {
		t.Fatalf("the first screen tells nothing:\n%s", first.Log())
	}
	token := found[1]
	become := func(in *servertest.Instance, token, name string) (int, string) {
		return request(t, http.MethodPost, in.URL+"/api/v2/auth/first-admin",
			fmt.Sprintf(`{"token": %q, "username": %q, "password": "a password of the test"}`, token, name), "Content-Type", asJSON)
	}
	if status, _ := become(first, "another", "mallory"); status != http.StatusUnprocessableEntity {
		t.Errorf("another token answers %d", status)
	}
	if status, body := become(first, token, "root"); status != http.StatusCreated {
		t.Fatalf("the token answers %d %s", status, body)
	}
	if status, _ := become(first, token, "again"); status < 400 {
		t.Errorf("the token works twice: %d", status)
	}
	if status, _, role := login(t, first.URL, "root", "a password of the test"); status != http.StatusOK || role != identity.RoleAdmin {
		t.Errorf("login: %d, role %s", status, role)
	}
	first.Stop()
	if n := strings.Count(first.Log(), token); n != 1 {
		t.Errorf("the token is shown %d times", n)
	}
	second := servertest.Start(t, servertest.DataDir(dir))
	second.Stop()
	if strings.Contains(second.Log(), "first-admin") {
		t.Errorf("with an administrator the screen shows\n%s", second.Log())
	}
}

func TestS13_LogsHaveNoTokenOfTheFirstAdministrator(t *testing.T) {
	in := servertest.Start(t, servertest.Flag("log.format", "json"))
	in.Stop()
	if !strings.Contains(in.Log(), "kuranty admin create") || strings.Contains(in.Log(), "first-admin") || printedToken.MatchString(in.Log()) {
		t.Errorf("log:\n%s", in.Log())
	}
}

func TestS13_FirstAdministratorOfTheConfiguration(t *testing.T) {
	const password = "a password of the operator"
	dir := filepath.Join(t.TempDir(), "data")
	options := []servertest.Option{
		servertest.DataDir(dir), servertest.Flag("auth.first_admin.username", "root"), servertest.Flag("auth.first_admin.password", password),
	}
	in := servertest.Start(t, options...)
	if status, _, role := login(t, in.URL, "root", password); status != http.StatusOK || role != identity.RoleAdmin {
		t.Errorf("login: %d, role %s", status, role)
	}
	in.Stop()
	again := servertest.Start(t, options...)
	again.Stop()
	for _, log := range []string{in.Log(), again.Log()} {
		if strings.Contains(log, password) || printedToken.MatchString(log) {
			t.Errorf("a secret is in\n%s", log)
		}
	}
}

// The demo has people to log in as, whose passwords are shown once, and its page goes on
// working. Visitors of the page are nobody of the chat.
func TestDemoHasPeople(t *testing.T) {
	demo := servertest.With(func(o *server.Options) { o.Demo = true })
	dir := filepath.Join(t.TempDir(), "data")
	in := servertest.Start(t, demo, servertest.DataDir(dir),
		servertest.Config(`{"channel": {"without_namespace": {"allow_subscribe_for_client": true}}}`))
	printed := regexp.MustCompile(`(?m)^  (anna|max) +([a-z0-9]{14}) `).FindAllStringSubmatch(in.Log(), -1)
	if len(printed) != 2 {
		t.Fatalf("%d logins on the first screen\n%s", len(printed), in.Log())
	}
	for i, role := range []string{identity.RoleAdmin, identity.RoleUser} {
		status, token, got := login(t, in.URL, printed[i][1], printed[i][2])
		if status != http.StatusOK || got != role || token == "" {
			t.Errorf("login of %s: %d, role %s", printed[i][1], status, got)
		}
	}
	_, body := request(t, http.MethodPost, in.URL+"/demo/token", `{"name": "1"}`, "Content-Type", asJSON)
	var visitor struct{ Token string }
	if err := json.Unmarshal([]byte(body), &visitor); err != nil {
		t.Fatal(err)
	}
	p, err := dial(t, in.WSURL, "")
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct{ command, want string }{
		{`"connect":{"token":"` + visitor.Token + `"}`, `"connect":`},
		{`"subscribe":{"channel":"demo"}`, `"subscribe":`},
		{`"subscribe":{"channel":"chat:1"}`, `"error":`},
	} {
		id := fmt.Sprintf(`"id":%d,`, i+1)
		got := p.call("{" + id + c.command + "}")
		for !strings.Contains(got, id) { // who joins is told too
			got = p.next()
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s is answered %s", c.command, got)
		}
	}
	in.Stop()
	again := servertest.Start(t, demo, servertest.DataDir(dir),
		servertest.Config(`{"channel": {"without_namespace": {"allow_subscribe_for_client": true}}}`))
	again.Stop()
	served := servertest.Start(t, servertest.DataDir(dir))
	served.Stop()
	for _, login := range printed {
		if strings.Contains(again.Log()+served.Log(), login[2]) {
			t.Error("a password is shown twice")
		}
	}
	if !strings.Contains(served.Log(), "the database has the people of the demo") {
		t.Errorf("serve says nothing of the demo's people:\n%s", served.Log())
	}
}

// A command works on the data folder by the server's own handler while none runs.
func TestHandlerWithoutARunningServer(t *testing.T) {
	res := load(t, "", t.TempDir())
	s, err := server.New(res, server.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.New(load(t, "", res.Config.Storage.DataDir), server.Options{}); !errors.Is(err, server.ErrInUse) {
		t.Errorf("a second one in the folder: %v", err)
	}
	r := httptest.NewRequest(http.MethodGet, "/api/v2/admin/users", http.NoBody)
	r.Header.Set("X-API-Key", res.Config.HTTPAPI.Key)
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	again, err := server.New(load(t, "", res.Config.Storage.DataDir), server.Options{})
	if err != nil {
		t.Fatalf("after Close: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}
