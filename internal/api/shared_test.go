package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/kuranty/kuranty/internal/api"
)

func TestOtherContractsAreCalledFromOtherOrigins(t *testing.T) {
	s := start(t, options{api: func(o *api.Options) { o.Origins = []string{"https://app.example.com"} }})
	calls := 0
	h := s.api.Around(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls++
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`"` + strings.Repeat("x", 2000) + `"`)) // of a recorder
	}))
	ask := func(method, origin string, headers ...string) http.Header {
		r := httptest.NewRequestWithContext(t.Context(), method, "/api/chats", nil)
		r.Header.Set("Origin", origin)
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Result().Header
	}
	pre := ask(http.MethodOptions, "https://app.example.com", "Access-Control-Request-Method", "POST")
	if pre.Get("Access-Control-Allow-Origin") != "https://app.example.com" || !strings.Contains(pre.Get("Access-Control-Allow-Headers"), "X-Timezone") || calls != 0 {
		t.Errorf("preflight: %v, %d calls", pre, calls)
	}
	got := ask(http.MethodGet, "https://app.example.com", "Accept-Encoding", "gzip", "X-Request-Id", "r-1")
	if got.Get("Access-Control-Allow-Origin") == "" || got.Get("Content-Encoding") != "gzip" || got.Get("X-Request-Id") != "r-1" {
		t.Errorf("call: %v", got)
	}
	if other := ask(http.MethodGet, "https://evil.example.com"); other.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("another origin: %v", other)
	}
}

func TestOtherContractsAreCountedTogether(t *testing.T) {
	s := start(t, options{api: func(o *api.Options) { o.RequestsPerMinute, o.AnonymousPerMinute = 2, 1 }})
	for i, want := range []bool{true, true, false} {
		if err := s.api.User(7); (err == nil) != want {
			t.Errorf("call %d of a user: %v", i+1, err)
		}
	}
	if err := s.api.User(8); err != nil {
		t.Errorf("another user: %v", err)
	}
	for i, address := range []string{"2001:db8::1", "2001:db8::2"} { // of one network
		if err := s.api.Stranger(address); (err == nil) != (i == 0) {
			t.Errorf("call %d of a stranger: %v", i+1, err)
		}
	}
}
