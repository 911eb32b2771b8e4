package gather_test

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/kuranty/kuranty/internal/store/gather"
)

// openFile opens a database whose log is gathered. Its cache is so small that a large
// transaction goes to the log before it is committed.
func openFile(t *testing.T, path string) *sql.DB {
	t.Helper()
	if err := gather.Register(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+path+"?vfs="+gather.Name+
		"&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=cache_size(10)&_pragma=wal_autocheckpoint(50)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func must(t *testing.T, db interface {
	Exec(string, ...any) (sql.Result, error)
}, query string, args ...any,
) {
	t.Helper()
	if _, err := db.Exec(query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// rows is what a database has, when opened as any program opens it. The copy is what a
// process that was killed now would leave.
func rows(t *testing.T, path string) string {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "copy.db")
	for _, end := range []string{"", "-wal"} {
		b, err := os.ReadFile(path + end)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(copied+end, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	db, err := sql.Open("sqlite", "file:"+copied)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var content, verdict string
	err = db.QueryRow(`SELECT coalesce(group_concat(id || ':' || length(data) || ':' || substr(data, 1, 8), ' '), '') FROM (SELECT * FROM rows ORDER BY id)`).Scan(&content)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.QueryRow(`PRAGMA integrity_check`).Scan(&verdict); err != nil || verdict != "ok" {
		t.Fatalf("integrity check: %s, %v", verdict, err)
	}
	return content
}

// After each commit the files have what was committed and nothing else, whatever was
// written before it: small and large transactions, what was undone after it had gone to
// the log, and checkpoints in between.
func TestACommitIsInTheFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kuranty.db")
	db := openFile(t, path)
	must(t, db, `CREATE TABLE rows (id INTEGER PRIMARY KEY, data TEXT)`)
	random := rand.New(rand.NewPCG(1, 2))
	have := make(map[int]string)
	for n := range 100 {
		tx, err := db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		changed := make(map[int]string)
		for range []int{1, 3, 80}[random.IntN(3)] {
			id, data := random.IntN(400), fmt.Sprintf("%08d", n)+strings.Repeat("x", random.IntN(6000))
			must(t, tx, `INSERT OR REPLACE INTO rows (id, data) VALUES (?, ?)`, id, data)
			changed[id] = data
		}
		if random.IntN(3) == 0 {
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		for id, data := range changed {
			have[id] = data
		}
		var want []string
		for id := range 400 {
			if data, ok := have[id]; ok {
				want = append(want, fmt.Sprintf("%d:%d:%s", id, len(data), data[:8]))
			}
		}
		if got := rows(t, path); got != strings.Join(want, " ") {
			t.Fatalf("after transaction %d the files have\n%s\nwant\n%s", n, got, strings.Join(want, " "))
		}
		if random.IntN(20) == 0 {
			must(t, db, `PRAGMA wal_checkpoint(TRUNCATE)`)
		}
	}
}

// Other connections, which have no gathered log, read what is committed and checkpoint it.
func TestBesideOtherConnections(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kuranty.db")
	db := openFile(t, path)
	must(t, db, `CREATE TABLE rows (id INTEGER PRIMARY KEY, data TEXT)`)
	other, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for n := 1; n <= 300; n++ {
		must(t, db, `INSERT INTO rows (data) VALUES (?)`, strings.Repeat("y", n*20))
		var count int
		if err := other.QueryRow(`SELECT count(*) FROM rows WHERE length(data) = id * 20`).Scan(&count); err != nil || count != n {
			t.Fatalf("after %d commits others read %d rows, %v", n, count, err)
		}
		if n%70 == 0 {
			must(t, other, `PRAGMA wal_checkpoint(TRUNCATE)`)
		}
	}
}
