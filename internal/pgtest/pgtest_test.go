package pgtest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/kuranty/kuranty/internal/pgtest"
)

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func run(t *testing.T, dsn, statement string) {
	t.Helper()
	conn := connect(t, dsn)
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// query returns the one value that a statement selects.
func query[T any](t *testing.T, dsn, statement string) T {
	t.Helper()
	conn := connect(t, dsn)
	defer conn.Close(t.Context())
	var value T
	if err := conn.QueryRow(t.Context(), statement).Scan(&value); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return value
}

func TestEachCallHasAnEmptyDatabase(t *testing.T) {
	first, second := pgtest.Start(t), pgtest.Start(t)
	if first == second {
		t.Fatalf("the same database twice: %s", first)
	}
	run(t, first, `CREATE TABLE a (n int)`)
	if !query[bool](t, second, `SELECT to_regclass('a') IS NULL`) {
		t.Error("a table of one database is seen in the other")
	}
	if got := query[string](t, first, `SHOW fsync`); got != "on" {
		t.Errorf("fsync = %s", got)
	}
}

func TestDatabaseGoesWithItsTest(t *testing.T) {
	pgtest.Start(t) // before, so that the server is there
	var dsn string
	t.Run("user", func(t *testing.T) { dsn = pgtest.Start(t) })
	if conn, err := pgx.Connect(t.Context(), dsn); err == nil {
		conn.Close(t.Context())
		t.Errorf("%s is still there after its test", dsn)
	}
}

func TestRestart(t *testing.T) {
	s := pgtest.New(t)
	dsn := s.Database(t)
	run(t, dsn, `CREATE TABLE a AS SELECT 7 AS n`)
	for _, hard := range []bool{false, true} {
		if err := s.Stop(hard); err != nil {
			t.Fatal(err)
		}
		if conn, err := pgx.Connect(t.Context(), dsn); err == nil {
			conn.Close(t.Context())
			t.Errorf("hard=%v: a stopped server accepts connections", hard)
		}
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		if got := query[int](t, dsn, `SELECT n FROM a`); got != 7 {
			t.Errorf("hard=%v: after the restart n = %d", hard, got)
		}
	}
	if !strings.Contains(s.Log(), "not properly shut down") {
		t.Errorf("the hard stop was none; the server's log:\n%s", s.Log())
	}
}

// The test runs itself as a child, which starts a server and is killed.
func TestNothingStaysAfterSIGKILL(t *testing.T) {
	if os.Getenv("PGTEST_CHILD") != "" {
		s, err := pgtest.Launch()
		if err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("at " + s.DSN() + "\n")
		select {} // until killed
	}
	pgtest.Start(t) // skips where there is no PostgreSQL
	tmp, err := os.MkdirTemp("", "kuranty-pgtest-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o777); err != nil { // the server's user is another one
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestNothingStaysAfterSIGKILL$")
	cmd.Env = append(os.Environ(), "PGTEST_CHILD=1", "TMPDIR="+tmp)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 200)
	n, _ := out.Read(line)
	dsn, found := strings.CutPrefix(strings.TrimSpace(string(line[:n])), "at ")
	cmd.Process.Kill()
	cmd.Wait()
	if !found {
		t.Fatalf("the child says %q", line[:n])
	}
	for end := time.Now().Add(30 * time.Second); ; {
		left, err := filepath.Glob(filepath.Join(tmp, "*"))
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("still there: %q", left)
		}
		<-time.After(20 * time.Millisecond) // another process is at work, so there is no clock to fake
	}
	if conn, err := pgx.Connect(t.Context(), dsn); err == nil {
		conn.Close(t.Context())
		t.Errorf("a server answers at %s", dsn)
	}
}
