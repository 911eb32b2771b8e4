package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/alerts"
	"github.com/kuranty/kuranty/internal/api"
)

// plain is a server with one fault.
type plain struct{}

func (plain) Inspect(context.Context, bool) (*alerts.Facts, error) {
	return &alerts.Facts{RetentionDays: 30, Insecure: []string{"client.insecure"}}, nil
}

func TestAlerts(t *testing.T) {
	onBoth(t, func(t *testing.T, s *server) {
		root, reader, writer := s.admin("Root"), s.key("alerts:read"), s.key("alerts:write")
		const path = "/api/v2/alerts"
		root.do("GET", path, nil).want(200).is("alerts", []any{}, "next_cursor", nil)
		a := writer.do("POST", path, obj{
			"title": "Диск", "severity": "warning", "kind": "disk", "subject": "db1", "source": "probe", "metadata": obj{"userId": "88", "free": 3},
		}).want(201).is("status", "active", "count", 1, "kind", "disk", "subject", "db1", "user_id", 88, "severity", "warning", "source", "probe",
			"metadata.free", 3, "created_at", "2026-05-01T12:00:00.000Z", "acknowledged_at", nil, "resolved_by", nil, "description", "")
		one := path + "/" + a.str("id")
		writer.do("POST", path, obj{"title": "Диск", "severity": "critical", "kind": "disk", "subject": "db1"}).want(200).is("id", a.str("id"), "count", 2, "severity", "critical")
		writer.do("POST", path, obj{"title": "Other", "severity": "info"}).want(201).is("kind", "custom", "subject", "Other")

		reader.do("GET", one, nil).want(200).is("count", 2)
		reader.do("GET", path+"?status=open&severity=critical", nil).want(200).is("alerts.0.id", a.str("id"), "alerts.0.user_id", 88)
		page := reader.do("GET", path+"?limit=1", nil).want(200).is("alerts.0.title", "Other")
		reader.do("GET", path+"?limit=1&cursor="+page.str("next_cursor"), nil).want(200).is("alerts.0.title", "Диск", "next_cursor", nil)
		for _, q := range []string{"status=x", "severity=x", "limit=201", "limit=-1", "limit=x", "user_id=0", "kind=" + strings.Repeat("x", 65)} {
			if got := reader.do("GET", path+"?"+q, nil); got.status != 422 && got.status != 400 {
				t.Errorf("%s: %d %s", q, got.status, got.body)
			}
		}
		reader.do("GET", path+"?cursor=x", nil).refused(422, "validation").is("error.details.fields.0.field", "cursor")

		// A key that only reads changes nothing, one that only writes reads nothing.
		reader.do("POST", path, obj{"title": "x", "severity": "low"}).refused(403, "forbidden")
		reader.do("POST", one+"/resolve", nil).refused(403, "forbidden")
		writer.do("GET", path, nil).refused(403, "forbidden")
		s.key("tickets:*").do("GET", path, nil).refused(403, "forbidden")
		s.key("alerts:*").do("GET", path, nil).want(200)

		root.do("POST", one+"/acknowledge", nil).want(200).is("status", "acknowledged", "acknowledged_by", fmt.Sprint("user:", root.id))
		writer.do("POST", one+"/resolve", nil).want(200).is("status", "resolved")
		root.do("POST", one+"/acknowledge", nil).refused(409, "already_decided")
		root.do("GET", "/api/v2/admin/audit?action=alert.resolve", nil).want(200).is("entries.0.target", "alert:"+a.str("id"))
		for _, id := range []string{"alr_4711", "alr_0", "7", "scn_1", "%00", strings.Repeat("x", 64)} {
			root.do("GET", path+"/"+id, nil).refused(404, "not_found")
			root.do("POST", path+"/"+id+"/resolve", nil).refused(404, "not_found")
			root.do("POST", path+"/"+id+"/acknowledge", nil).refused(404, "not_found")
		}
	})
}

// What the API answers and what events say of an alert is the same one.
func TestAlertsAreAnnounced(t *testing.T) {
	s := start(t, options{})
	root := s.admin("Root")
	s.mu.Lock()
	s.events = nil
	s.mu.Unlock()
	a := root.do("POST", "/api/v2/alerts", obj{"title": "Disk", "severity": "high", "metadata": obj{"userId": 88}}).want(201)
	root.do("POST", "/api/v2/alerts/"+a.str("id")+"/acknowledge", nil).want(200)
	root.do("POST", "/api/v2/scans", obj{"type": "quick"}).want(201)
	s.mu.Lock()
	defer s.mu.Unlock()
	var types []string
	for i := range s.events {
		e := &s.events[i]
		types = append(types, e.Type)
		if e.Actor != event.User(root.id) {
			t.Errorf("%s: actor %q", e.Type, e.Actor)
		}
		var m struct{ ID, UpdatedBy, StartedBy string }
		if err := json.Unmarshal(e.Payload, &m); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(e.Type, "security.alert") && m.ID != a.str("id") {
			t.Errorf("%s is about %s", e.Type, m.ID)
		}
		if by := m.UpdatedBy + m.StartedBy; by != "" && by != fmt.Sprint(root.id) {
			t.Errorf("%s is by %q", e.Type, by)
		}
	}
	if got, want := fmt.Sprint(types), "[security.alert.created security.alert.updated security.scan.started security.scan.completed]"; got != want {
		t.Errorf("events %s, want %s", got, want)
	}
}

func TestAlertsTakeNoNonsense(t *testing.T) {
	s := start(t, options{})
	root := s.admin("Root")
	for _, b := range []string{
		`null`, `[]`, `"x"`, `{}`, `{"title":null,"severity":"low"}`, `{"title":"x","severity":null}`, `{"title":5,"severity":"low"}`,
		`{"title":"x","severity":"fatal"}`, `{"title":"","severity":"low"}`, `{"title":"x","severity":"low","kind":"failed_sign_ins"}`,
		`{"title":"x","severity":"low","metadata":[]}`, `{"title":"x","severity":"low","metadata":"x"}`, `{"title":"a\u0000b","severity":"low"}`,
		`{"title":"x","severity":"low","subject":"\n"}`, `{"title":"` + strings.Repeat("x", 201) + `","severity":"low"}`,
		`{"title":"x","severity":"low","metadata":{"x":"` + strings.Repeat("x", 17<<10) + `"}}`,
		`{"title":"x","severity":"low","metadata":` + strings.Repeat(`{"a":`, 5000) + `1` + strings.Repeat(`}`, 5000) + `}`,
	} {
		got := root.send(request{method: "POST", path: "/api/v2/alerts", body: json.RawMessage(b)})
		if got.status != 422 && got.status != 400 {
			t.Errorf("%.80s: %d %s", b, got.status, got.body)
		}
	}
	for _, b := range []string{
		`{}`, `{"type":null}`, `{"type":"deep"}`, `{"type":"targeted"}`, `{"type":"full","target":"keys"}`, `{"type":"targeted","target":"nothing"}`,
		`{"type":"targeted","target":"\u0000"}`, `{"type":"targeted","target":"` + strings.Repeat("x", 201) + `"}`, `{"type":["full"]}`,
	} {
		got := root.send(request{method: "POST", path: "/api/v2/scans", body: json.RawMessage(b)})
		if got.status != 422 && got.status != 400 {
			t.Errorf("%.80s: %d %s", b, got.status, got.body)
		}
	}
	root.do("GET", "/api/v2/alerts", nil).want(200).is("alerts", []any{})
	root.do("GET", "/api/v2/scans", nil).want(200).is("scans", []any{})
	if s.log.String() != "" {
		t.Errorf("internal errors: %s", s.log)
	}
}

func TestAlertsAreIdempotent(t *testing.T) {
	s := start(t, options{})
	root := s.admin("Root")
	q := request{method: "POST", path: "/api/v2/alerts", body: obj{"title": "x", "severity": "low"}, header: http.Header{"Idempotency-Key": {"k"}}}
	a, b := root.send(q).want(201), root.send(q).want(201)
	if a.str("id") != b.str("id") || b.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("%s, %s", a.body, b.body)
	}
	root.do("GET", "/api/v2/alerts", nil).is("alerts.0.count", 1)
}

// Who repeats a request before there is a reply to it waits for that.
func TestRepliesUnderWayAreAwaited(t *testing.T) {
	onBoth(t, func(t *testing.T, s *server) {
		for i := range 10 {
			ask := func(body io.Reader, next func(http.ResponseWriter)) string {
				r, w := httptest.NewRequest(http.MethodPost, "/", body), httptest.NewRecorder()
				r.Header.Set("Idempotency-Key", fmt.Sprint(i))
				if err := s.api.Keep(w, r, "user:1", false, next); err != nil {
					t.Errorf("asked again: %v", err)
				}
				return fmt.Sprintf("%d %s %s", w.Code, w.Body, w.Header().Get("Idempotency-Replayed"))
			}
			again, read := make(chan string), make(chan struct{})
			first := ask(strings.NewReader("{}"), func(w http.ResponseWriter) {
				go func() {
					body := io.MultiReader(strings.NewReader("{}"), signals(read))
					again <- ask(body, func(http.ResponseWriter) { t.Error("done twice") })
				}()
				<-read
				w.WriteHeader(201)
				io.WriteString(w, `{"id":1}`)
			})
			if got := <-again; first != `201 {"id":1} ` || got != `201 {"id":1} true` {
				t.Errorf("%s, then %s", first, got)
			}
		}
	})
}

// signals is an empty body that is closed when it is read.
type signals chan struct{}

func (s signals) Read([]byte) (int, error) {
	close(s)
	return 0, io.EOF
}

func TestScans(t *testing.T) {
	onBoth(t, func(t *testing.T, s *server) {
		root, writer := s.admin("Root"), s.key("alerts:write")
		scan := writer.do("POST", "/api/v2/scans", obj{"type": "targeted", "target": "S5"}).want(201).is("status", "findings", "type", "targeted", "target", "S5",
			"findings.0.id", "insecure-options", "findings.0.severity", "critical", "findings.0.key", "client.insecure", "findings.0.guarantee", "S5", "error", nil)
		root.do("POST", "/api/v2/scans", obj{"type": "full"}).want(201).is("target", nil, "started_by", fmt.Sprint("user:", root.id))
		root.do("GET", "/api/v2/scans/"+scan.str("id"), nil).want(200).is("findings.0.id", "insecure-options")
		page := root.do("GET", "/api/v2/scans?limit=1", nil).want(200).is("scans.0.type", "full")
		root.do("GET", "/api/v2/scans?limit=1&cursor="+page.str("next_cursor"), nil).want(200).is("scans.0.type", "targeted", "next_cursor", nil)
		for _, id := range []string{"scn_4711", "alr_1", "0", "%00"} {
			root.do("GET", "/api/v2/scans/"+id, nil).refused(404, "not_found")
		}
	})
}

// watch remembers what it is told.
type watch struct {
	mu      sync.Mutex
	refused int
	limited []string
}

func (w *watch) TokenRefused(string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused++
}

func (w *watch) RateLimited(user int64, address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.limited = append(w.limited, fmt.Sprint(user, address))
}

func TestRefusedRequestsAreTold(t *testing.T) {
	w := new(watch)
	s := start(t, options{api: func(o *api.Options) { o.Watch, o.RequestsPerMinute, o.AnonymousPerMinute = w, 3, 3 }})
	anna := s.person("Anna")
	for range 4 {
		anna.do("GET", "/api/v2/me", nil)
	}
	forged := &person{s: s, token: "kur_forged"}
	for range 4 {
		forged.do("GET", "/api/v2/me", nil)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if got, want := fmt.Sprint(w.limited), fmt.Sprintf("[%d 0 127.0.0.1]", anna.id); w.refused != 4 || strings.ReplaceAll(got, "0127", "0 127") != want {
		t.Errorf("%d refused tokens, limited %s, want %s", w.refused, got, want)
	}
}

// S37: what a kept reply shows of a person goes with them.
func TestS37_RepliesAboutAlerts(t *testing.T) {
	onBoth(t, func(t *testing.T, s *server) {
		writer := s.key("alerts:write")
		raise := func(key string, user int64, title string) *answered {
			return writer.send(request{
				method: "POST", path: "/api/v2/alerts", header: http.Header{"Idempotency-Key": {key}},
				body: obj{"title": title, "severity": "high", "metadata": obj{"userId": user}},
			})
		}
		raise("a", 88, "Anna").want(201)
		raise("b", 89, "Boris").want(201)
		if err := s.alerts.Part().Erase(t.Context(), 88); err != nil {
			t.Fatal(err)
		}
		raise("a", 89, "Other").want(201) // not 409: nothing is known of the first
		raise("b", 89, "Other").refused(409, "idempotency_conflict")
	})
}
