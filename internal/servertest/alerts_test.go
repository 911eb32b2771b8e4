package servertest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/pgtest"
	"github.com/kuranty/kuranty/internal/servertest"
)

// shown is what tests look at of an alert.
type shown struct {
	ID, Kind, Subject, Severity string
	Count                       int
	UserID                      *int64 `json:"user_id"`
	Metadata                    map[string]any
}

// alertOf waits for an alert of a kind and subject that counts so many.
func alertOf(t *testing.T, in *servertest.Instance, kind, subject string, count int) shown {
	t.Helper()
	var page struct{ Alerts []shown }
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		r := request(t, in.URL, person{token: in.APIKey}, http.MethodGet, "/api/v2/alerts?kind="+kind, "", nil)
		if err := json.Unmarshal([]byte(r.body), &page); err != nil || r.status != 200 {
			t.Fatalf("%d %s %v", r.status, r.body, err)
		}
		for _, a := range page.Alerts {
			if a.Subject == subject && a.Count >= count {
				return a
			}
		}
	}
	t.Fatalf("no alert %s of %s that counts %d: %+v", kind, subject, count, page.Alerts)
	return shown{}
}

func call(t *testing.T, in *servertest.Instance, token, method, path string, body any) reply {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return request(t, in.URL, person{token: token}, method, "/api/v2"+path, "application/json", text)
}

// What looks like an attack becomes an alert, on the running server.
func TestAttacksBecomeAlerts(t *testing.T) {
	in := servertest.Start(t, servertest.Config(`{
		"alerts": {"failed_sign_ins": 4, "refused_tokens": 5, "rate_limited": 3},
		"auth": {"login_failures": 3}, "chat": {"limits": {"requests_per_minute": 5}}}`))
	registered := call(t, in, "", http.MethodPost, "/auth/register", map[string]string{"username": "anna", "name": "Anna", "password": "correct horse battery"})
	var grant struct {
		User    struct{ ID int64 }
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	if err := json.Unmarshal([]byte(registered.body), &grant); err != nil || grant.User.ID == 0 {
		t.Fatalf("%s %v", registered.body, err)
	}
	anna := fmt.Sprint("user:", grant.User.ID)

	// The last ones are not even looked at any more, and count.
	for range 4 {
		call(t, in, "", http.MethodPost, "/auth/login", map[string]string{"login": "anna", "password": "guess"})
	}
	a := alertOf(t, in, "failed_sign_ins", anna, 4)
	if a.Severity != "high" || a.UserID == nil || *a.UserID != grant.User.ID || a.Metadata["userId"] != fmt.Sprint(grant.User.ID) || a.Metadata["attempts"] != 4.0 {
		t.Errorf("%+v", a)
	}
	alertOf(t, in, "failed_sign_ins", "address:127.0.0.1", 4)

	for range 5 {
		call(t, in, "kur_forged", http.MethodGet, "/me", nil)
	}
	alertOf(t, in, "refused_tokens", "address:127.0.0.1", 5)
	for range 5 {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, in.URL+"/api/info", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Api-Key", "guess")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	alertOf(t, in, "refused_tokens", "server API", 5)
	for range 8 {
		call(t, in, grant.Access, http.MethodGet, "/me", nil)
	}
	alertOf(t, in, "rate_limited", anna, 3)
	if log := in.Log(); strings.Contains(log, "ERROR") {
		t.Error(log)
	}
}

// A scan of the running server sees its configuration, its keys and its folder.
func TestScanOfARunningServer(t *testing.T) {
	in := servertest.Start(t, servertest.Config(`{"client": {"insecure": true, "allowed_origins": ["*"]}, "http_api": {"key": "short"}}`))
	if r := call(t, in, in.APIKey, http.MethodPost, "/admin/keys", map[string]string{"name": "billing"}); r.status != 201 {
		t.Fatal(r.body)
	}
	ids := func(body map[string]string) (found []string) {
		t.Helper()
		var scan struct {
			Status   string
			Findings []struct{ ID, Key, Detail string }
		}
		r := call(t, in, in.APIKey, http.MethodPost, "/scans", body)
		if err := json.Unmarshal([]byte(r.body), &scan); err != nil || r.status != 201 || scan.Status == "failed" {
			t.Fatalf("%d %s %v", r.status, r.body, err)
		}
		for _, f := range scan.Findings {
			found = append(found, f.ID)
			if strings.Contains(r.body, in.DataDir) || f.Key == "http_api.key" && strings.Contains(f.Detail, "short has") {
				t.Errorf("%+v tells too much", f)
			}
		}
		return slices.Compact(found)
	}
	want := "insecure-options wildcard-origins tokens-without-end short-secrets mighty-keys endless-keys secrets-in-addresses open-registration endless-retention"
	if got := strings.Join(ids(map[string]string{"type": "full"}), " "); got != want {
		t.Errorf("found %s, want %s", got, want)
	}
	if err := os.Chmod(in.DataDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if got := ids(map[string]string{"type": "targeted", "target": "S40"}); !slices.Equal(got, []string{"file-modes"}) {
		t.Errorf("others can read the folder: found %v", got)
	}
}

// Where the database broke there is no alert; the next start tells.
func TestABrokenDatabaseIsToldByTheNextStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	first := servertest.Start(t, servertest.DataDir(dir))
	first.Stop()
	if err := os.WriteFile(filepath.Join(dir, "broken"), []byte("sync failed"), 0o600); err != nil {
		t.Fatal(err)
	}
	in := servertest.Start(t, servertest.DataDir(dir))
	if a := alertOf(t, in, "database_broken", "database", 1); a.Metadata["error"] != "sync failed" || a.Severity != "critical" {
		t.Errorf("%+v", a)
	}
	if _, err := os.Stat(filepath.Join(dir, "broken")); !os.IsNotExist(err) {
		t.Errorf("the note is still there: %v", err)
	}
}

// On PostgreSQL a scan asks the server for its settings as well.
func TestScanOnPostgres(t *testing.T) {
	in := servertest.Start(t, servertest.Flag("storage.driver", "postgres"), servertest.Flag("storage.dsn", pgtest.Start(t)))
	r := call(t, in, in.APIKey, http.MethodPost, "/scans", map[string]string{"type": "targeted", "target": "storage"})
	if r.status != http.StatusCreated || !strings.Contains(r.body, `"status":"passed"`) {
		t.Errorf("%d %s", r.status, r.body)
	}
}
