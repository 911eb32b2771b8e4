package client_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/kuranty/kuranty/client"
)

func claims(t *testing.T, token string) map[string]any {
	t.Helper()
	c := jwt.MapClaims{}
	if _, err := jwt.ParseWithClaims(token, c, func(*jwt.Token) (any, error) { return []byte(secret), nil }, jwt.WithValidMethods([]string{"HS256"})); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAddresses(t *testing.T) {
	for _, bad := range []string{"", "localhost", "localhost:8000", "ftp://a", "http://", "http://canary:pw@a", "http://a?canary", "http://a?", "http://a#canary", "://canary", "http://a b"} {
		if _, err := client.New(bad, client.Options{}); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	var paths []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		paths = append(paths, r.URL.EscapedPath())
		fmt.Fprint(w, `{"result":{}}`)
	}))
	defer server.Close()
	for _, at := range [][2]string{{"", ""}, {"/", ""}, {"/behind/", ""}, {"/behind", "/server/api/"}} {
		c, err := client.New(server.URL+at[0], client.Options{APIPath: at[1]})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Call(t.Context(), "info", nil, nil); err != nil {
			t.Error(err)
		}
	}
	if got, want := strings.Join(paths, " "), "/api/info /api/info /behind/api/info /behind/server/api/info"; got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
}

// Whatever answers, the call ends with an error that says so and holds no key.
func TestAnswersOfOthers(t *testing.T) {
	const key = "canary-key"
	elsewhere := 0
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere++ }))
	defer other.Close()
	for name, tt := range map[string]struct {
		answer func(w http.ResponseWriter)
		want   string
	}{
		"no JSON":   {func(w http.ResponseWriter) { fmt.Fprint(w, "<html>") }, "client: read answer to presence: "},
		"nothing":   {func(http.ResponseWriter) {}, "client: read answer to presence: "},
		"no result": {func(w http.ResponseWriter) { fmt.Fprint(w, "{}") }, "there is no result"},
		"a list":    {func(w http.ResponseWriter) { fmt.Fprint(w, `{"result":[]}`) }, "client: read answer to presence: "},
		"redirect":  {func(w http.ResponseWriter) { w.Header().Set("Location", other.URL); w.WriteHeader(307) }, "status 307 Temporary Redirect"},
		"too many":  {func(w http.ResponseWriter) { w.Header().Set("Retry-After", "7"); w.WriteHeader(429) }, "status 429 Too Many Requests"},
		"a page":    {func(w http.ResponseWriter) { w.WriteHeader(502); fmt.Fprint(w, "bad \xff gateway\n<html>") }, "status 502 Bad Gateway: bad � gateway"},
		"error by status": {func(w http.ResponseWriter) {
			w.WriteHeader(404)
			fmt.Fprint(w, `{"code":102,"message":"unknown channel"}`)
		}, "client: presence: error 102: unknown channel"},
		"cut off": {
			func(w http.ResponseWriter) { w.Header().Set("Content-Length", "100"); fmt.Fprint(w, `{"result":{}`) },
			"read answer of ",
		},
		"endless": {func(w http.ResponseWriter) {
			_, _ = io.CopyN(w, zeros{}, 64<<20+1)
		}, "longer than 67108864 bytes"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { tt.answer(w) }))
		c, err := client.New(server.URL, client.Options{APIKey: key, HTTPClient: server.Client()})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Presence(t.Context(), "room:1")
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
		if status := new(client.StatusError); errors.As(err, &status) && status.Status == 429 && status.RetryAfter != 7*time.Second {
			t.Errorf("%s: wait %v", name, status.RetryAfter)
		}
		server.Close()
		if _, err = c.Presence(t.Context(), "room:1"); err == nil || !strings.Contains(err.Error(), "client: presence: reach 127.0.0.1:") {
			t.Errorf("%s: no server: %v", name, err)
		}
	}
	if elsewhere > 0 {
		t.Error("a redirect was followed, with the key")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestBroadcastOfAnotherLength(t *testing.T) {
	server := answering(`{"result":{"responses":[{"result":{}}]}}`)
	defer server.Close()
	c, err := client.New(server.URL, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Broadcast(t.Context(), []string{"a", "b"}, 1); err == nil || got != nil {
		t.Errorf("%v %v; want an error", got, err)
	}
}

func TestDataThatIsNoJSON(t *testing.T) {
	c, err := client.New("http://127.0.0.1:1", client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Publish(t.Context(), "a", make(chan int)); err == nil || !strings.Contains(err.Error(), "client: encode data: ") {
		t.Errorf("publish: %v", err)
	}
	if _, err := c.Broadcast(t.Context(), []string{"a"}, make(chan int)); err == nil || !strings.Contains(err.Error(), "client: encode data: ") {
		t.Errorf("broadcast: %v", err)
	}
}
