package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kuranty/kuranty/internal/pgtest"
)

// do runs a command that must succeed and returns what it prints.
func do(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := run(args, &stdout, &stderr); code != 0 {
		t.Fatalf("kuranty %s exits with %d: %s%s", strings.Join(args, " "), code, &stdout, &stderr)
	}
	return stdout.String()
}

// A backup of one kind of database is restored into the other, with nothing lost, and the
// commands show the same people, chats and messages there.
func TestR40_MoveFromSQLiteToPostgreSQLAndBack(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	lite := []string{"--data-dir", at("lite")}
	post := []string{"--data-dir", at("post"), "--storage.driver", "postgres", "--storage.dsn", pgtest.Start(t)}
	back := []string{"--data-dir", at("back")}
	with := func(where []string, args ...string) string { return do(t, append(args, where...)...) }

	with(lite, "seed", "demo")
	shown := func(where []string) string {
		var b strings.Builder
		for _, command := range []string{
			"user list --json", "chat list --json", "chat members 2", "chat history 2 --json -n 200", "chat history 4 -n 200", "db check",
		} {
			text := with(where, strings.Fields(command)...)
			b.WriteString(withoutLinks(text))
		}
		return b.String()
	}
	want := shown(lite)
	with(lite, "backup", "create", "--output", at("1.zip"))
	with(post, "backup", "restore", at("1.zip"))
	if got := shown(post); got != want {
		t.Errorf("PostgreSQL shows\n%s\nSQLite showed\n%s", got, want)
	}
	if status := with(post, "db", "status"); !strings.Contains(status, "postgres 1") {
		t.Errorf("status:\n%s", status)
	}
	var none, stderr bytes.Buffer
	if code := run(append([]string{"backup", "restore", at("1.zip")}, post...), &none, &stderr); code != 1 || !strings.Contains(stderr.String(), "not empty") {
		t.Errorf("a second restore exits with %d: %s", code, &stderr)
	}
	with(post, "chat", "send", "2", "из PostgreSQL", "--as", "anna")
	want = shown(post)
	with(post, "backup", "create", "--output", at("2.zip"))
	with(back, "backup", "restore", at("2.zip"))
	if got := shown(back); got != want {
		t.Errorf("SQLite shows\n%s\nPostgreSQL showed\n%s", got, want)
	}
	if entries, err := os.ReadDir(filepath.Join(at("back"), "files")); err != nil || len(entries) == 0 {
		t.Errorf("files: %v, %v", entries, err)
	}
}

// withoutLinks takes out what is signed anew each time.
func withoutLinks(text string) string {
	var kept []string
	for _, part := range strings.Split(text, `"`) {
		if !strings.Contains(part, "/files/") {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, `"`)
}
