package webhookapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/webhookapi"
	"github.com/kuranty/kuranty/internal/webhooks"
)

// alone serves the endpoints without a database: whatever reaches it panics.
func alone(log io.Writer, accounts webhookapi.Accounts) http.Handler {
	logger := slog.New(slog.NewTextHandler(log, nil))
	return webhookapi.New(webhookapi.Options{Service: webhooks.New(webhooks.Options{}), Accounts: accounts, Logger: logger})
}

// A panic ends its request, and tells nobody why but the log.
func TestPanicsEndTheirRequest(t *testing.T) {
	var log bytes.Buffer
	h := alone(&log, newAccounts())
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/webhooks", nil)
	r.Header.Set("X-Api-Key", key)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 500 || strings.TrimSpace(w.Body.String()) != `{"detail":"Internal server error"}` || !strings.Contains(log.String(), w.Header().Get("X-Request-Id")) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// unreadable is a body that nobody should read.
type unreadable struct{ t *testing.T }

func (u unreadable) Read([]byte) (int, error) {
	u.t.Error("the body of a stranger was read")
	return 0, io.EOF
}

func TestBodiesOfStrangersAreNotRead(t *testing.T) {
	for _, credential := range []string{"", "kur_wrong", "person", "kur_read"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/webhooks", unreadable{t})
		r.Header.Set("X-Api-Key", credential)
		r.Header.Set("Idempotency-Key", "k")
		w := httptest.NewRecorder()
		alone(io.Discard, newAccounts()).ServeHTTP(w, r)
		if w.Code != 401 && w.Code != 403 {
			t.Errorf("%q: %d %s", credential, w.Code, w.Body)
		}
	}
}

// anybody lets everybody in.
type anybody struct{}

func (anybody) Authenticate(context.Context, string) (identity.Caller, error) {
	return identity.Operator("test"), nil
}

// Whatever is asked for, the answer is JSON and one of those that are documented; 500 stands
// for what would have reached the database.
func FuzzRequests(f *testing.F) {
	for _, seed := range []struct{ method, path, query, body string }{
		{"POST", "/webhooks", "", `{"name":"n"}`},
		{"GET", "/webhooks", "limit=0&offset=x", ""},
		{"GET", "/webhooks/x/deliveries", "cursor=MS4x&since=1", ""},
		{"POST", "/webhooks/1/replay", "", `{"since":"2026-01-01T00:00:00Z","event_types":["*"]}`},
		{"POST", "/webhooks/1/test", "", `{"event_type":"a b"}`},
		{"POST", "/webhooks/1/secret/rotate", "", `{"secret":"whsec_"}`},
		{"POST", "/webhooks/verify-signature", "", `{"headers":{"\n":"x"}}`},
		{"DELETE", "/webhooks/1/deliveries/2/payload", "", ""},
		{"GET", "/webhooks//", "", ""},
		{"PUT", "/webhooks/%2f", "", "["},
	} {
		f.Add(seed.method, seed.path, seed.query, seed.body)
	}
	h := alone(io.Discard, anybody{})
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/webhooks", strings.NewReader(body))
		r.Method, r.URL = method, &url.URL{Path: path, RawQuery: query}
		r.Header.Set("X-Api-Key", key)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		switch w.Code {
		case 200, 307, 404, 405, 409, 413, 422, 500:
		default:
			t.Errorf("%s %q?%q %q: %d %s", method, path, query, body, w.Code, w.Body)
		}
		if w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %q?%q %q: %s", method, path, query, body, w.Body)
		}
	})
}
