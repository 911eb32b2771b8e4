package server_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/kuranty/kuranty/internal/servertest"
)

// S26: where a request came from is a trusted proxy's word, and nobody else's.
func TestS26_ForwardedHeadersCountFromTrustedProxiesOnly(t *testing.T) {
	const limits = `"chat": {"limits": {"anonymous_per_minute": 1}}`
	ask := func(in *servertest.Instance, lines ...string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, in.URL+"/api/v2/me", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header["X-Forwarded-For"] = lines
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	in := servertest.Start(t, servertest.Config(`{`+limits+`}`))
	for i, want := range []int{401, 429} {
		if got := ask(in, []string{"192.0.2.1", "192.0.2.2"}[i]); got != want {
			t.Errorf("nobody is trusted, request %d: %d, want %d", i, got, want)
		}
	}
	in = servertest.Start(t, servertest.Config(`{"http_server": {"trusted_proxies": ["127.0.0.0/8", "10.0.0.0/8", "::1/128"]}, `+limits+`}`))
	for _, tt := range []struct {
		lines []string
		want  int
	}{
		{[]string{"192.0.2.1"}, 401},
		{[]string{"192.0.2.1"}, 429},
		{[]string{"192.0.2.2"}, 401},
		{[]string{"192.0.2.3, 192.0.2.1"}, 429},               // its own word does not help the client
		{[]string{"192.0.2.3", "192.0.2.1, 10.1.1.1"}, 429},   // through two proxies
		{[]string{"nonsense, 192.0.2.1:4711, 10.1.1.1"}, 429}, // with a port
		{[]string{"::ffff:192.0.2.1"}, 429},
		{[]string{"[2001:db8::1]"}, 401},
		{[]string{"2001:db8::2"}, 429}, // one customer has all of it
		{nil, 401},                     // the proxy itself
		{[]string{"nonsense"}, 429},    // counts as the proxy
	} {
		if got := ask(in, tt.lines...); got != tt.want {
			t.Errorf("%q: %d, want %d", tt.lines, got, tt.want)
		}
	}
}

// Sessions are listed with the address of their client, and addresses lead to the proxy.
func TestClientsBehindATrustedProxy(t *testing.T) {
	in := servertest.Start(t, servertest.Config(`{"http_server": {"trusted_proxies": ["127.0.0.0/8", "::1/128"]}}`))
	forwarded := []string{"Content-Type", "application/json", "X-Forwarded-For", "192.0.2.7", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "chat.example.com"}
	_, body := request(t, http.MethodPost, in.URL+"/api/v2/auth/register", `{"name":"Anna","username":"anna","password":"correct horse battery"}`, forwarded...)
	var session struct {
		Token string `json:"access_token"`
		WSURL string `json:"ws_url"`
	}
	if err := json.Unmarshal([]byte(body), &session); err != nil || session.WSURL != "wss://chat.example.com/connection/websocket" {
		t.Errorf("%s (%v)", body, err)
	}
	var list struct {
		Sessions []struct{ Address string }
	}
	_, body = get(t, in.URL+"/api/v2/auth/sessions", "Authorization", "Bearer "+session.Token)
	if err := json.Unmarshal([]byte(body), &list); err != nil || len(list.Sessions) != 1 || list.Sessions[0].Address != "192.0.2.7" {
		t.Errorf("%s (%v)", body, err)
	}
}
