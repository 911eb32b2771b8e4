package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/api"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/status"
)

// steady is a component that is always well.
type steady string

func (n steady) Name() string                                { return string(n) }
func (steady) Status(context.Context) (status.State, string) { return status.Operational, "" }

func TestStatusAndMaintenance(t *testing.T) {
	onBoth(t, func(t *testing.T, s *server) {
		anyone, anna, root := s.anonymous(), s.person("Anna"), s.admin("Root")
		anyone.do("GET", "/api/v2/status", nil).want(200).is("status", "operational", "components.0.name", "database", "components.0.detail", nil, "checked_at", nil)
		s.status.Sample(t.Context())
		anyone.do("GET", "/api/v2/status", nil).want(200).is("checked_at", "2026-05-01T12:00:00.000Z")

		in := func(d time.Duration) string { return s.clock().Add(d).Format(time.RFC3339) }
		made := root.do("POST", "/api/v2/maintenance", obj{"title": "Новые диски", "affected": []string{"database"}, "starts_at": in(time.Hour), "ends_at": in(2 * time.Hour)}).want(201)
		made.is("state", "planned", "title", "Новые диски", "affected.0", "database", "starts_at", "2026-05-01T13:00:00.000Z", "started_at", nil,
			"created_by", fmt.Sprint("user:", root.id), "ended_at", nil)
		path := "/api/v2/maintenance/" + made.str("id")
		shown := anyone.do("GET", "/api/v2/status", nil).want(200).is("maintenance.0.title", "Новые диски", "maintenance.0.state", "planned")
		if text := string(shown.body); strings.Contains(text, "user:") || strings.Contains(text, "created") {
			t.Errorf("everybody sees who it was: %s", text)
		}
		if text := string(anna.do("GET", path, nil).want(200).is("state", "planned").body); strings.Contains(text, "_by") {
			t.Errorf("people see who it was: %s", text)
		}
		root.do("PATCH", path, obj{"starts_at": nil, "affected": []string{"log", "broker"}}).want(200).is("starts_at", nil, "ends_at", "2026-05-01T14:00:00.000Z", "affected.1", "broker")
		root.do("PATCH", path, obj{"affected": nil}).want(200).is("affected", []any{})
		root.do("POST", path+"/end", nil).refused(409, "maintenance_state").is("error.details.state", "planned")
		root.do("POST", path+"/start", nil).want(200).is("state", "running", "started_by", fmt.Sprint("user:", root.id))
		root.do("POST", path+"/start", nil).want(200).is("state", "running")
		root.do("DELETE", path, nil).refused(409, "maintenance_state")
		root.do("POST", path+"/end", nil).want(200).is("state", "ended")
		anna.do("GET", "/api/v2/maintenance?state=ended", nil).want(200).is("maintenance.0.id", made.str("id"), "next_cursor", nil)
		anna.do("GET", "/api/v2/maintenance?state=planned", nil).want(200).is("maintenance", []any{})

		root.do("GET", "/api/v2/admin/audit?action=maintenance.start", nil).want(200).is("entries.0.target", "maintenance:"+made.str("id"))
		for _, bad := range []string{"/api/v2/maintenance/mnt_0", "/api/v2/maintenance/%00", "/api/v2/maintenance/" + strings.Repeat("x", 60)} {
			root.do("GET", bad, nil).refused(404, "not_found")
			root.do("POST", bad+"/start", nil).refused(404, "not_found")
			root.do("PATCH", bad, obj{"title": "x"}).refused(404, "not_found")
			root.do("DELETE", bad, nil).refused(404, "not_found")
		}
	})
}

// A request that is repeated with its key plans once.
func TestMaintenanceIsPlannedOnce(t *testing.T) {
	s := start(t, options{})
	root := s.admin("Root")
	again := func(title string) *answered {
		return root.send(request{method: "POST", path: "/api/v2/maintenance", body: obj{"title": title}, header: map[string][]string{"Idempotency-Key": {"k1"}}})
	}
	first := again("a").want(201)
	if second := again("a").want(201); second.str("id") != first.str("id") {
		t.Errorf("%s and %s", first.str("id"), second.str("id"))
	}
	again("b").refused(409, "idempotency_conflict")
}

// What keys may do follows their scopes.
func TestScopesOfMaintenance(t *testing.T) {
	s := start(t, options{})
	plan := func(scopes ...string) (read, write int) {
		key, _, err := s.accounts.CreateKey(t.Context(), identity.Operator("test"), "key", scopes, 0)
		if err != nil {
			t.Fatal(err)
		}
		p := &person{s: s, token: key}
		return p.do("GET", "/api/v2/maintenance", nil).status, p.do("POST", "/api/v2/maintenance", obj{"title": "x"}).status
	}
	for scopes, want := range map[string][2]int{
		"status:write": {403, 201}, "status:read": {200, 403}, "status:*": {200, 201}, "admin": {200, 201}, "read:users": {403, 403},
	} {
		if read, write := plan(scopes); [2]int{read, write} != want {
			t.Errorf("%s: reads %d, writes %d, want %v", scopes, read, write, want)
		}
	}
}

func TestR35_HostileMaintenance(t *testing.T) {
	s := start(t, options{})
	root := s.admin("Root")
	for _, body := range []string{
		`null`, `[]`, `{}`, `""`, `{"title":null}`, `{"title":5}`, `{"title":""}`, `{"title":"a","affected":"x"}`, `{"title":"a","affected":[null]}`,
		`{"title":"a","affected":[5]}`, `{"title":"a","starts_at":5}`, `{"title":"a","starts_at":"tomorrow"}`, `{"title":"a","starts_at":"0001-01-01T00:00:01Z"}`,
		`{"title":"a","starts_at":"9999-12-31T23:59:59-23:59"}`, `{"title":"a","ends_at":"1970-01-01T00:00:00Z"}`, `{"title":"a","ends_at":{}}`,
		`{"title":"` + strings.Repeat("a", 100_000) + `"}`, `{"title":"a\u0000b"}`, `{"title":"a","affected":["` + strings.Repeat("a\",\"", 1000) + `"]}`,
	} {
		got := root.send(request{method: "POST", path: "/api/v2/maintenance", body: json.RawMessage(body)})
		if got.status < 400 || got.status >= 500 {
			t.Errorf("%.80s: %d %s", body, got.status, got.body)
		}
	}
	for _, query := range []string{"?limit=-1", "?limit=9999", "?limit=x", "?state=what", "?cursor=%00", "?cursor=mnt_x"} {
		if got := root.do("GET", "/api/v2/maintenance"+query, nil); got.status < 400 || got.status >= 500 {
			t.Errorf("%s: %d %s", query, got.status, got.body)
		}
	}
	if list := root.do("GET", "/api/v2/maintenance", nil).want(200); list.len("maintenance") != 0 {
		t.Errorf("stored %s", list.body)
	}
	if s.log.Len() > 0 {
		t.Errorf("internal errors: %s", s.log)
	}
}

func TestStatusCanBeOff(t *testing.T) {
	s := start(t, options{api: func(o *api.Options) { o.Status = nil }})
	s.anonymous().do("GET", "/api/v2/status", nil).refused(403, "disabled")
	s.admin("Root").do("POST", "/api/v2/maintenance", obj{"title": "x"}).refused(403, "disabled")
}
