package servertest_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/pgtest"
	"github.com/kuranty/kuranty/internal/servertest"
)

// shownStatus asks a server how it is.
func shownStatus(t *testing.T, url string) (whole string, components map[string]string) {
	t.Helper()
	res, err := http.Get(url + "/api/v2/status")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var now struct {
		Status     string
		Components []struct{ Name, Status string }
	}
	if err := json.NewDecoder(res.Body).Decode(&now); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%d, %v", res.StatusCode, err)
	}
	components = make(map[string]string)
	for _, c := range now.Components {
		components[c.Name] = c.Status
	}
	return now.Status, components
}

// Two nodes lose their database. Everybody can see it meanwhile; when it is back, the log has
// the outage and its end once each, and maintenance that was due once each.
func TestStatusOfAnOutageOnTwoNodes(t *testing.T) {
	t.Parallel()
	direct := pgtest.Start(t)
	way, dsn := newProxy(t, direct)
	var nodes []*servertest.Process
	for range 2 {
		nodes = append(nodes, servertest.Binary(t, ledgerOptions(t.TempDir(),
			servertest.Flag("storage.driver", "postgres"), servertest.Flag("storage.dsn", dsn))...))
	}
	await := func(limit time.Duration, want string) {
		t.Helper()
		late := time.Now().Add(limit)
		for _, n := range nodes {
			for {
				whole, components := shownStatus(t, n.URL)
				if whole == want && components["database"] == want && len(components) == 4 {
					break
				}
				if time.Now().After(late) {
					t.Fatalf("%s is %s, %v, not %s", n.URL, whole, components, want)
				}
				time.Sleep(100 * time.Millisecond)
			}
		}
	}
	await(5*time.Second, "operational")
	way.refused.Store(true)
	way.cut()
	await(20*time.Second, "major_outage")

	way.refused.Store(false)
	plan := fmt.Sprintf(`{"title": "Disks", "starts_at": %q, "ends_at": %q}`,
		time.Now().Add(3*time.Second).Format(time.RFC3339), time.Now().Add(5*time.Second).Format(time.RFC3339))
	for late := time.Now().Add(5 * time.Second); ; {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, nodes[0].URL+"/api/v2/maintenance", strings.NewReader(plan))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-API-Key", nodes[0].APIKey())
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode == http.StatusCreated {
			break
		}
		if time.Now().After(late) {
			t.Fatalf("planning is answered %d", res.StatusCode)
		}
		time.Sleep(100 * time.Millisecond)
	}
	await(20*time.Second, "operational")

	want := []string{"system.maintenance.end", "system.maintenance.start", "system.status.changed major_outage", "system.status.changed operational"}
	var got []string
	for late := time.Now().Add(25 * time.Second); time.Now().Before(late) && len(got) < len(want); {
		got = systemEvents(t, direct)
		time.Sleep(200 * time.Millisecond)
	}
	time.Sleep(6 * time.Second) // in which the other node looks once more
	if got = systemEvents(t, direct); !slices.Equal(got, want) {
		t.Errorf("the log has %q, want %q", got, want)
	}
}

// systemEvents lists what the log has of the channel system, sorted.
func systemEvents(t *testing.T, dsn string) (all []string) {
	t.Helper()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), `SELECT type, payload FROM events WHERE type LIKE 'system.%'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var typ, payload string
		var p struct{ Status string }
		if err := rows.Scan(&typ, &payload); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(payload), &p); err != nil {
			t.Fatal(err)
		}
		all = append(all, strings.TrimSpace(typ+" "+p.Status))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}
