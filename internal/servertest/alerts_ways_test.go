package servertest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/kuranty/kuranty/internal/servertest"
)

// knock opens a socket and reads until it is closed.
func knock(t *testing.T, in *servertest.Instance, path string, header http.Header) {
	t.Helper()
	s := dialGateway(t, in, path, header)
	for {
		if _, err := s.read(); err != nil {
			return
		}
	}
}

// only checks that there is one alert of a kind, and that it counts exactly so many.
func only(t *testing.T, in *servertest.Instance, kind, subject string, count int) {
	t.Helper()
	alertOf(t, in, kind, subject, count)
	var page struct{ Alerts []shown }
	r := call(t, in, in.APIKey, http.MethodGet, "/alerts?kind="+kind, nil)
	if err := json.Unmarshal([]byte(r.body), &page); err != nil || len(page.Alerts) != 1 || page.Alerts[0].Count != count {
		t.Errorf("want one alert %s that counts %d: %s %v", kind, count, r.body, err)
	}
}

// Each way into the gateway and into contracts A and B tells of credentials that are not
// good, and of what was too many; requests that show none are no attack.
func TestRefusedTokensBecomeAlertsEverywhere(t *testing.T) {
	const here = "address:127.0.0.1"
	config := servertest.Config(`{"alerts": {"refused_tokens": 5, "rate_limited": 3}, "chat": {"limits": {"search_per_minute": 1}}}`)
	bearer := func(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }
	key := func(token string) http.Header { return http.Header{"X-Api-Key": {token}} }

	t.Run("gateway", func(t *testing.T) {
		in := servertest.Start(t, config)
		shown := 0
		refused := func(n int, show func(token string)) {
			t.Helper()
			for range n {
				shown++
				show(fmt.Sprint("forged", shown))
			}
			if shown >= 5 {
				only(t, in, "refused_tokens", here, shown)
			}
		}
		refused(5, func(token string) { knock(t, in, "/v1/ws", bearer(token)) })
		refused(1, func(token string) { knock(t, in, "/v1/ws", key(token)) })
		refused(1, func(token string) { knock(t, in, "/v1/ws?token="+token, nil) })
		refused(1, func(token string) { knock(t, in, "/v1/ws?api_key="+token, nil) })
		refused(1, func(token string) { knock(t, in, "/v1/ws", http.Header{"Sec-Websocket-Protocol": {"bearer." + token}}) })
		refused(1, func(token string) { knock(t, in, "/v1/ws?ticket="+token, nil) })
		refused(1, func(token string) {
			s := dialGateway(t, in, "/v1/ws", nil)
			s.send(`{"type":"auth","token":"` + token + `"}`)
			s.fails("4001", "invalid")
		})
		refused(1, func(token string) { knock(t, in, "/ws", bearer(token)) })
		refused(1, func(token string) { statusOf(t, in, http.MethodGet, "/v1/events", bearer(token)) })
		refused(1, func(token string) { statusOf(t, in, http.MethodGet, "/v1/events/stream", key(token)) })
		refused(1, func(token string) { statusOf(t, in, http.MethodPost, "/v1/ws/tickets", bearer(token)) })
		// One that has failed five times gets no socket, and still counts.
		refused(5, func(string) { knock(t, in, "/v1/ws", bearer("again")) })
		refused(2, func(string) {
			if got := upgrade(t, in, "/v1/ws", bearer("again")); got.StatusCode != http.StatusUnauthorized {
				t.Errorf("%d", got.StatusCode)
			}
		})
		// After fifty the address waits: that is a storm.
		refused(52-shown, func(token string) { statusOf(t, in, http.MethodGet, "/v1/events", bearer(token)) })
		for range 3 {
			if got := upgrade(t, in, "/v1/ws", nil); got.StatusCode != http.StatusTooManyRequests {
				t.Errorf("%d", got.StatusCode)
			}
		}
		only(t, in, "rate_limited", here, 3)
		only(t, in, "refused_tokens", here, shown)
	})

	for name, c := range map[string]struct{ me, search string }{
		"contract A": {"/api/get-user-info", "/api/search-users?search=boris"},
		"contract B": {"/api/v1/users/me", "/api/v1/search/users?query=boris"},
	} {
		t.Run(name, func(t *testing.T) {
			in := servertest.Start(t, config)
			id, token := signUp(t, in, "anna")
			for i := range 6 {
				if got := statusOf(t, in, http.MethodGet, c.me, bearer(fmt.Sprint("forged", i))); got != http.StatusUnauthorized {
					t.Errorf("a forged token: %d", got)
				}
				statusOf(t, in, http.MethodGet, c.me, http.Header{})
			}
			only(t, in, "refused_tokens", here, 6)
			for i := range 5 {
				if got := statusOf(t, in, http.MethodGet, c.search, bearer(token)); (got == http.StatusTooManyRequests) != (i > 0) {
					t.Errorf("search %d: %d", i, got)
				}
			}
			only(t, in, "rate_limited", fmt.Sprint("user:", id), 4)
		})
	}
}
