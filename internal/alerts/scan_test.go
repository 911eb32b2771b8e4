package alerts_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/alerts"
)

// good is a server of which no check says anything.
func good() *alerts.Facts {
	return &alerts.Facts{
		Public: []string{"0.0.0.0"}, TLS: true, CertificateEnds: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli(),
		Origins: []string{"https://chat.example.com", "https://*.example.com"}, Registration: "open", Mail: true, RetentionDays: 30,
		Secrets:  []alerts.Secret{{Key: "http_api.key", Bytes: 24}, {Key: "client.token.hmac_secret_key", Bytes: 32}, {Key: "auth.external.hmac_secret_key"}},
		Database: map[string]string{"fsync": "on", "synchronous_commit": "remote_apply", "full_page_writes": "on", "ssl": "on", "local": "off"},
		Keys:     []alerts.Key{{ID: "k_1", Scopes: []string{"alerts:read"}, CreatedAt: recently, ExpiresAt: recently + 1e9}},
		Admins:   []alerts.Admin{{User: 1, LastSeenAt: recently}},
	}
}

var recently = time.Date(2026, 4, 30, 0, 0, 0, 0, time.UTC).UnixMilli()

// faults spoil a good server; each is found by one check, with its severity, guarantee and key.
var faults = map[string]struct {
	spoil func(f *alerts.Facts)
	want  string
}{
	"insecure-options":     {func(f *alerts.Facts) { f.Insecure = []string{"http_api.insecure"} }, "critical S5 http_api.insecure"},
	"unsafe-durability":    {func(f *alerts.Facts) { f.UnsafeDurability = true }, "high R2 storage.unsafe_durability"},
	"database-settings":    {func(f *alerts.Facts) { f.Database["synchronous_commit"] = "local" }, "high R2 "},
	"database-plain":       {func(f *alerts.Facts) { f.Database["ssl"] = "off" }, "medium S1 storage.dsn"},
	"plain-listener":       {func(f *alerts.Facts) { f.TLS = false }, "high S1 http_server.tls.enabled"},
	"certificate-ends":     {func(f *alerts.Facts) { f.CertificateEnds = recently }, "high S1 http_server.tls.cert_pem"},
	"wildcard-origins":     {func(f *alerts.Facts) { f.Origins = []string{"https://*"} }, "high S21 client.allowed_origins"},
	"user-header":          {func(f *alerts.Facts) { f.UserHeader = "X-User" }, "high S2 client.user_id_http_header"},
	"public-metrics":       {func(f *alerts.Facts) { f.PublicMetrics = true }, "low S20 prometheus.enabled"},
	"tokens-without-end":   {func(f *alerts.Facts) { f.Unexpiring = []string{"client.token.require_exp"} }, "medium S2 client.token.require_exp"},
	"short-secrets":        {func(f *alerts.Facts) { f.Secrets[1].Bytes = 31 }, "medium S35 client.token.hmac_secret_key"},
	"secrets-in-addresses": {func(f *alerts.Facts) { f.QuerySecrets = []string{"http_api.query_key"} }, "low S6 http_api.query_key"},
	"anonymous-clients": {
		func(f *alerts.Facts) { f.Anonymous = []string{"client.allow_anonymous_connect_without_token"} }, "low S18 client.allow_anonymous_connect_without_token",
	},
	"open-registration": {func(f *alerts.Facts) { f.Mail = false }, "low S12 auth.registration"},
	"admin-password":    {func(f *alerts.Facts) { f.AdminPassword = true }, "low S13 auth.first_admin.password"},
	"idle-admins":       {func(f *alerts.Facts) { f.Admins[0].LastSeenAt = 1 }, "medium S20 "},
	"mighty-keys":       {func(f *alerts.Facts) { f.Keys[0].Scopes = []string{"*"} }, "medium S35 "},
	"endless-keys":      {func(f *alerts.Facts) { f.Keys[0].ExpiresAt = 0 }, "medium S35 "},
	"idle-keys":         {func(f *alerts.Facts) { f.Keys[0].CreatedAt = 1 }, "low S35 "},
	"file-modes":        {func(f *alerts.Facts) { f.Files = []alerts.File{{Path: "secrets.json", Mode: "0644"}} }, "high S40 storage.data_dir"},
	"refused-events":    {func(f *alerts.Facts) { f.RefusedEvents = 3 }, "medium R18 "},
	"endless-retention": {func(f *alerts.Facts) { f.RetentionDays = 0 }, "low S37 chat.retention_days"},
}

func TestR43_EveryCheckFindsItsFaultAndNoOther(t *testing.T) {
	s := newStand(t, "sqlite", alerts.Options{})
	scan := func(kind, target string) alerts.Scan {
		t.Helper()
		r, err := s.Scan(t.Context(), "user:1", kind, target)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	s.facts = good()
	if r := scan(alerts.Full, ""); r.Status != alerts.Passed || len(r.Findings) != 0 {
		t.Errorf("a good server: %+v", r)
	}
	for _, id := range alerts.CheckIDs() {
		fault, ok := faults[id]
		if !ok {
			t.Errorf("check %s is not tried: spoil a server for it", id)
			continue
		}
		s.facts = good()
		fault.spoil(s.facts)
		for _, r := range []alerts.Scan{scan(alerts.Full, ""), scan(alerts.Targeted, id)} {
			if len(r.Findings) != 1 || r.Status != alerts.Found {
				t.Errorf("%s, %s scan: %+v", id, r.Type, r)
				continue
			}
			f := r.Findings[0]
			if got := strings.Join([]string{f.Severity, f.Guarantee, f.Key}, " "); f.ID != id || got != fault.want || f.Title == "" || f.Detail == "" {
				t.Errorf("%s: %+v, want %s", id, f, fault.want)
			}
		}
		if _, key, _ := strings.Cut(strings.SplitN(fault.want, " ", 2)[1], " "); key != "" {
			section, _, _ := strings.Cut(key, ".")
			for _, target := range []string{key, section} {
				if r := scan(alerts.Targeted, target); len(r.Findings) != 1 || r.Findings[0].ID != id {
					t.Errorf("%s by target %s: %+v", id, target, r.Findings)
				}
			}
			if r := scan(alerts.Targeted, "chat.retention_days"); id != "endless-retention" && len(r.Findings) != 0 {
				t.Errorf("%s by another key: %+v", id, r.Findings)
			}
		}
	}
	for id := range faults {
		if !slices.Contains(alerts.CheckIDs(), id) {
			t.Errorf("there is no check %s", id)
		}
	}
}

// Findings are kept and counted, the worst first.
func TestScansAreKeptAndAnnounced(t *testing.T) {
	onBoth(t, alerts.Options{}, func(t *testing.T, s *stand) {
		s.facts = good()
		for _, id := range []string{"endless-retention", "idle-keys", "mighty-keys", "file-modes", "insecure-options"} {
			faults[id].spoil(s.facts)
		}
		r, err := s.Scan(t.Context(), event.User(1), alerts.Full, "")
		if err != nil {
			t.Fatal(err)
		}
		if m := s.last(); fmt.Sprint(m["findings"]) != "map[critical:1 high:1 low:2 medium:1]" || m["id"] != alerts.ScanName(r.ID) || m["status"] != "findings" {
			t.Errorf("completed says %v", m)
		}
		same(t, s.told(), []string{event.ScanStarted, event.ScanCompleted})
		kept, err := s.GetScan(t.Context(), r.ID)
		if err != nil || fmt.Sprintf("%+v", kept) != fmt.Sprintf("%+v", r) || kept.Findings[0].Severity != alerts.Critical || kept.Findings[4].Severity != alerts.Low {
			t.Errorf("kept %+v, %v", kept, err)
		}
		if r, err = s.Scan(t.Context(), event.User(1), alerts.Quick, ""); err != nil || len(r.Findings) != 2 {
			t.Errorf("quick: %+v, %v", r, err)
		}
	})
}

func TestScansThatCannotLookFail(t *testing.T) {
	s := newStand(t, "sqlite", alerts.Options{})
	ctx := t.Context()
	for name, spoil := range map[string]func(){
		"error":   func() { s.fail = errors.New("planted secret") },
		"panic":   func() { s.facts, s.fail = nil, nil },
		"unknown": func() { s.facts = good(); s.facts.Unknown = []string{"planted secret"}; s.facts.RetentionDays = 0 },
	} {
		s.facts, s.fail = good(), nil
		spoil()
		r, err := s.Scan(ctx, "", alerts.Full, "")
		if err != nil || r.Status != alerts.Failed || r.Error == "" || strings.Contains(r.Error, "planted") {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		if name == "unknown" && len(r.Findings) != 1 {
			t.Errorf("what was found is lost: %+v", r)
		}
	}
	for _, bad := range [][2]string{{"", ""}, {"deep", ""}, {alerts.Full, "keys"}, {alerts.Targeted, ""}, {alerts.Targeted, "nothing"}, {alerts.Targeted, "."}} {
		var wrong *alerts.FieldError
		if _, err := s.Scan(ctx, "", bad[0], bad[1]); !errors.As(err, &wrong) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// A scan whose server was killed does not run for ever.
func TestScansThatWereCutOffEnd(t *testing.T) {
	onBoth(t, alerts.Options{}, func(t *testing.T, s *stand) {
		ctx := t.Context()
		lost := alerts.Scan{Type: alerts.Quick, Status: alerts.Running, StartedBy: "user:1", StartedAt: s.clock().UnixMilli()}
		if err := s.store.Alerts().Update(ctx, func(tx alerts.Tx) error { return tx.AddScan(ctx, &lost) }); err != nil {
			t.Fatal(err)
		}
		end := func() string {
			t.Helper()
			if err := s.EndScans(ctx); err != nil {
				t.Fatal(err)
			}
			r, err := s.GetScan(ctx, lost.ID)
			if err != nil {
				t.Fatal(err)
			}
			return r.Status
		}
		if got := end(); got != alerts.Running {
			t.Errorf("at once: %s", got)
		}
		s.pass(2 * time.Minute)
		if got := end(); got != alerts.Failed {
			t.Errorf("later: %s", got)
		}
		same(t, s.told(), []string{event.ScanCompleted})
	})
}

func TestManyFindingsAreBounded(t *testing.T) {
	s := newStand(t, "sqlite", alerts.Options{})
	s.facts = good()
	for i := range 500 {
		s.facts.Keys = append(s.facts.Keys, alerts.Key{ID: fmt.Sprint(i), Scopes: []string{"*"}, CreatedAt: recently, ExpiresAt: recently + 1e9})
	}
	r, err := s.Scan(t.Context(), "", alerts.Full, "")
	if err != nil || len(r.Findings) != 101 || r.Findings[100].Detail != "and 400 more" {
		t.Errorf("%d findings, %v", len(r.Findings), err)
	}
}
