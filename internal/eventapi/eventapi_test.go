package eventapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/eventapi"
	"github.com/kuranty/kuranty/internal/gateway"
)

// anybody is an administrator.
type anybody struct{}

func (anybody) Authenticate(context.Context, string) (gateway.Caller, error) {
	return gateway.Caller{Subject: "key:test", Permissions: []string{"*"}, Admin: true}, nil
}

func (anybody) Refresh(_ context.Context, c gateway.Caller) (gateway.Caller, error) { return c, nil }

// kept is a log that keeps what it gets, or panics.
type kept struct {
	batch []gateway.Submission
	panic bool
}

func (k *kept) Ingest(_ context.Context, batch []gateway.Submission) ([]bool, error) {
	if k.panic {
		panic("out of cheese")
	}
	k.batch = batch
	return make([]bool, len(batch)), nil
}

// emptyLog has no events; most of it is not there at all.
type emptyLog struct{ gateway.Store }

func serve(t testing.TB, log *kept, store gateway.Store, out io.Writer) http.Handler {
	t.Helper()
	catalogue, err := event.NewCatalogue(event.Custom{Type: "order.paid"})
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.NewTextHandler(out, nil))
	g := gateway.New(gateway.Options{Store: store, Accounts: anybody{}, Catalogue: catalogue, Logger: logger})
	plain, streams := eventapi.New(eventapi.Options{Gateway: g, Log: log, Allowed: func(*http.Request) bool { return true }, Logger: logger}).Handlers()
	mux := http.NewServeMux()
	for path, h := range plain {
		mux.Handle(path, h)
	}
	for path, h := range streams {
		mux.Handle(path, h)
	}
	return mux
}

func do(t testing.TB, h http.Handler, method, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Api-Key", "k")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// guarantees.md R35, S33: a panic ends its request, and tells nobody why but the log.
func TestR35_PanicsEndTheirRequest(t *testing.T) {
	var log bytes.Buffer
	h := serve(t, &kept{panic: true}, emptyLog{}, &log)
	for _, c := range []struct{ method, path, body string }{
		{http.MethodPost, "/v1/events", `{"type":"order.paid","data":{}}`},
		{http.MethodGet, "/v1/events", ""},
		{http.MethodGet, "/v1/events/evt_01JNB3C7Q9V5T2M8K4X6Z0R1WD", ""},
	} {
		w := do(t, h, c.method, c.path, c.body)
		id := w.Header().Get("X-Request-Id")
		if w.Code != 500 || id == "" || !strings.Contains(w.Body.String(), id) || strings.Contains(w.Body.String(), "cheese") || strings.Contains(w.Body.String(), ".go") {
			t.Errorf("%s %s: %d %s", c.method, c.path, w.Code, w.Body)
		}
		if !strings.Contains(log.String(), id) {
			t.Errorf("the log does not know %s", id)
		}
	}
	if w := do(t, h, http.MethodGet, "/event-types", ""); w.Code != 200 {
		t.Errorf("afterwards: %d", w.Code)
	}
}

func TestMethods(t *testing.T) {
	h := serve(t, new(kept), emptyLog{}, io.Discard)
	for path, allow := range map[string]string{
		"/v1/events": "GET, POST", "/v1/events/evt_1": "GET", "/v1/events/stream": "GET", "/event-types": "GET", "/v1/ws/tickets": "POST", "/v1/ws/connections/con_1": "DELETE",
	} {
		if w := do(t, h, http.MethodPut, path, ""); w.Code != 405 || w.Header().Get("Allow") != allow {
			t.Errorf("%s: %d, %q, want %q", path, w.Code, w.Header().Get("Allow"), allow)
		}
	}
}

// unreadable is a body that nobody should read.
type unreadable struct{ t *testing.T }

func (u unreadable) Read([]byte) (int, error) {
	u.t.Error("the body of a stranger was read")
	return 0, io.EOF
}

// guarantees.md S22: who has not said who it is gets nothing read.
func TestS22_BodiesOfStrangersAreNotRead(t *testing.T) {
	h := serve(t, new(kept), emptyLog{}, io.Discard)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/events", unreadable{t})
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 401 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Whatever is sent, the answer is one of those that are documented, and what is stored is a
// registered type with an object that is JSON.
func FuzzIngest(f *testing.F) {
	for _, seed := range []string{
		`{"type":"order.paid","data":{}}`, `[{"type":"order.paid","payload":{"a":[1,2.50,"ü\u003c",null]},"id":"x","occurred_at":"2026-03-02T08:16:02Z","ordering_key":"k"}]`,
		`{"type":"order.paid","data":{"a":1,"a":2}}`, `{"type":null}`, `[`, ` `, `{"type":"order.paid","data":{"x":"\ud800"}}`, "{\"type\":\"order.paid\",\"data\":{\"\xff\":1}}",
		`{"type":"order.paid","data":{},"id":"evt_01JNB3C7Q9V5T2M8K4X6Z0R1WD"}`, `[{},{}]`, `{"type":"message.new","data":{}}`, `{"type":"order.paid","data":{},"occurred_at":"9999-12-31T23:59:59+99:99"}`,
		`{"type":"user.suspended","sample":true,"data":{"user_id":1}}`, `{"type":"webhook.failing","sample":true,"data":{}}`,
	} {
		f.Add([]byte(seed))
	}
	builtIn, err := event.NewCatalogue()
	if err != nil {
		f.Fatal(err)
	}
	log := new(kept)
	h := serve(f, log, emptyLog{}, io.Discard)
	f.Fuzz(func(t *testing.T, body []byte) {
		log.batch = nil
		w := do(t, h, http.MethodPost, "/v1/events", string(body))
		switch w.Code {
		case 202:
			for _, s := range log.batch {
				var object map[string]any
				own := s.Type == "order.paid" || builtIn.Kind(s.Type) != nil && builtIn.Kind(s.Type).Inert()
				if !own || !gateway.IsEventID(s.ID) || json.Unmarshal(s.Payload, &object) != nil || object == nil || bytes.ContainsAny(s.Payload, "\r\n") {
					t.Errorf("%q is stored as %+v %s", body, s, s.Payload)
				}
			}
			if len(log.batch) == 0 {
				t.Errorf("%q: nothing was stored", body)
			}
		case 400, 413, 422:
			if log.batch != nil {
				t.Errorf("%q was refused and stored", body)
			}
		default:
			t.Errorf("%q: %d %s", body, w.Code, w.Body)
		}
		if !json.Valid(w.Body.Bytes()) {
			t.Errorf("%q: %s", body, w.Body)
		}
	})
}
