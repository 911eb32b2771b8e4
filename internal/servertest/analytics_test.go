package servertest_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/servertest"
)

// The running server samples what its documentation says, and what it does shows there.
func TestServerIsSampled(t *testing.T) {
	in := servertest.Start(t, servertest.Config(`{"analytics": {"sample_interval": "1s"}, "node": {"name": "node-1"}}`))
	documented := map[string]bool{}
	samples, _, _ := strings.Cut(page(t, "analytics.md"), "### Calls")
	for _, row := range regexp.MustCompile("\\| (`[a-z_`, ]+`) \\|").FindAllStringSubmatch(samples, -1) {
		for _, name := range strings.Split(row[1], ", ") {
			documented[strings.Trim(name, "`")] = true
		}
	}
	var list struct {
		Metrics []struct {
			Name, Server string
			Value        float64
		}
		Points []struct{ Count int64 }
	}
	get := func(query string) {
		t.Helper()
		list.Metrics, list.Points = nil, nil
		r := call(t, in, in.APIKey, http.MethodGet, "/metrics"+query, nil)
		if err := json.Unmarshal([]byte(r.body), &list); err != nil || r.status != http.StatusOK {
			t.Fatalf("%d %s %v", r.status, r.body, err)
		}
	}
	for end := time.Now().Add(10 * time.Second); len(list.Metrics) == 0 && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		get("")
	}
	if len(list.Metrics) < 15 || len(documented) < 15 {
		t.Fatalf("sampled %v, documented %v", list.Metrics, documented)
	}
	for _, m := range list.Metrics {
		if !documented[m.Name] || m.Server != "node-1" {
			t.Errorf("sample %s of %s is not documented", m.Name, m.Server)
		}
		delete(documented, m.Name)
		if m.Value == 0 && (m.Name == "memory_bytes" || m.Name == "database_bytes" || m.Name == "goroutines") {
			t.Errorf("%s is 0", m.Name)
		}
	}
	for name := range documented {
		t.Errorf("%s is documented and not sampled", name)
	}
	for end := time.Now().Add(10 * time.Second); len(list.Points) < 2 && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		get("?name=goroutines&step=1s")
	}
	if len(list.Points) < 2 {
		t.Errorf("points %v", list.Points)
	}
}

// A server that is killed with a report asked for makes it when it is back, once.
func TestReportSurvivesKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := servertest.Binary(t, servertest.DataDir(dir))
	key := person{token: p.APIKey()}
	r := request(t, p.URL, key, http.MethodPost, "/api/v2/reports", "application/json", []byte(`{"type": "performance", "from": "2025-01-01"}`))
	p.Kill()
	var made struct{ ID, Status string }
	if err := json.Unmarshal([]byte(r.body), &made); err != nil || r.status != http.StatusAccepted {
		t.Fatalf("%d %s %v", r.status, r.body, err)
	}
	p = servertest.Binary(t, servertest.DataDir(dir))
	// It may have been in work, and then is the dead server's until its lease ends.
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		r = request(t, p.URL, key, http.MethodGet, "/api/v2/reports/"+made.ID, "", nil)
		if err := json.Unmarshal([]byte(r.body), &made); err != nil || made.Status != "pending" {
			break
		}
	}
	if made.Status != "completed" {
		t.Errorf("%d %s", r.status, r.body)
	}
}
