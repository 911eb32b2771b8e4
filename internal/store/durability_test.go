package store_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/pgtest"
	"github.com/kuranty/kuranty/internal/store"
)

// A database that may lose what it acknowledged is refused, by the name of the setting,
// unless the operator wants it so.
func TestR02_UnsafeDatabasesAreRefused(t *testing.T) {
	refused := func(t *testing.T, dsn, setting string) {
		t.Helper()
		o := store.Options{Driver: store.Postgres, DSN: dsn}
		s, err := store.Open(t.Context(), o)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), setting) || !strings.Contains(err.Error(), "storage.unsafe_durability") {
			t.Errorf("with %s it opens with: %v", setting, err)
		}
		o.UnsafeDurability = true
		open(t, o)
	}
	t.Run("synchronous_commit", func(t *testing.T) {
		for _, value := range []string{"off", "local"} {
			refused(t, pgtest.Start(t)+"&synchronous_commit="+value, "synchronous_commit="+value)
		}
	})
	t.Run("fsync", func(t *testing.T) {
		server := pgtest.New(t)
		conn, err := pgx.Connect(t.Context(), server.DSN())
		if err != nil {
			t.Fatal(err)
		}
		_, err = conn.Exec(t.Context(), `ALTER SYSTEM SET fsync = off`)
		if err := errors.Join(err, conn.Close(t.Context()), server.Restart(false)); err != nil {
			t.Fatal(err)
		}
		refused(t, server.Database(t), "fsync=off")
	})
	t.Run("sqlite", func(t *testing.T) {
		s := open(t, store.Options{Path: filepath.Join(t.TempDir(), "kuranty.db")})
		var mode string
		var synchronous int
		s.MustQueryWriter(t, `PRAGMA journal_mode`, &mode)
		s.MustQueryWriter(t, `PRAGMA synchronous`, &synchronous)
		if mode != "wal" || synchronous != 2 { // 2 is FULL
			t.Errorf("the writer has journal mode %s and synchronous %d", mode, synchronous)
		}
	})
}

// While there is no room writes are answered with a retryable error and what is stored is
// read as before; when there is room again they go on.
func TestR27_DiskFull(t *testing.T) {
	c := openChats(t, store.SQLite, chat.Options{})
	p := c.people(2)
	g := c.group(p...)
	var pages int64
	c.store.MustQueryWriter(t, `PRAGMA page_count`, &pages)
	c.store.MustExec(t, `PRAGMA max_page_count = 1`) // SQLite makes that what there is
	text := strings.Repeat("много слов ", 300)
	stored := int64(0)
	var err error
	for range 1000 {
		if _, _, err = c.Send(t.Context(), p[0], g, chat.Sending{Text: text}); err != nil {
			break
		}
		stored++
	}
	if !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("after %d messages in %d pages: %v, want %v", stored, pages, err, store.ErrUnavailable)
	}
	if c.store.Err() != nil || c.store.Ready() == nil {
		t.Errorf("with a full disk the store is broken: %v, ready: %v", c.store.Err(), c.store.Ready())
	}
	late := chat.Sending{Text: text, ClientID: "late"}
	if _, _, err := c.Send(t.Context(), p[0], g, late); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("send with a full disk: %v", err)
	}
	if _, err := c.Messages(t.Context(), p[1], g, newest); err != nil {
		t.Errorf("read with a full disk: %v", err)
	}
	c.store.MustExec(t, `PRAGMA max_page_count = 1073741823`)
	m, replayed, err := c.Send(t.Context(), p[0], g, late)
	if err != nil || replayed || m.Seq != stored+1 {
		t.Errorf("send with room again = number %d, replayed %v, %v; want %d", m.Seq, replayed, err, stored+1)
	}
	if err := c.store.Ready(); err != nil {
		t.Errorf("with room again: %v", err)
	}
	var verdict string
	c.store.MustQuery(t, `PRAGMA integrity_check`, nil, &verdict)
	if verdict != "ok" {
		t.Errorf("integrity check: %s", verdict)
	}
}

// A file that turns out to be damaged, before any commit, ends all writing: it does not
// pass, as a full disk does.
func TestR06_ADamagedFileEndsWriting(t *testing.T) {
	o := store.Options{Path: filepath.Join(t.TempDir(), "kuranty.db")}
	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	var root, size int64
	s.MustQuery(t, `SELECT rootpage, page_size FROM sqlite_schema, pragma_page_size WHERE name = 'audit_log'`, nil, &root, &size)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(filepath.Clean(o.Path), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteAt(bytes.Repeat([]byte{0xff}, int(size)), (root-1)*size)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}

	s = open(t, o)
	const insert = `INSERT INTO audit_log (actor, action, target, at) VALUES ('a', 'b', 'c', 1)`
	if err := s.ExecThen(t.Context(), func() {}, insert); !errors.Is(err, store.ErrBroken) {
		t.Errorf("a write into a damaged table: %v, want %v", err, store.ErrBroken)
	}
	select {
	case <-s.Broken():
	default:
		t.Error("the store is not broken")
	}
	err = s.Update(t.Context(), func(tx *store.Tx) error { return appendEvent(t.Context(), tx, "kept") })
	if !errors.Is(err, store.ErrBroken) || !errors.Is(s.Ready(), store.ErrBroken) {
		t.Errorf("a write after that: %v; ready: %v", err, s.Ready())
	}
}

// After a clean end the one file is the whole database.
func TestCloseLeavesOneFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kuranty.db")
	s, err := store.Open(t.Context(), store.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(t.Context(), func(tx *store.Tx) error { return appendEvent(t.Context(), tx, "kept") })
	var n int64
	s.MustQuery(t, `SELECT count(*) FROM events`, nil, &n)
	if err := errors.Join(err, s.Close()); err != nil || n != 1 {
		t.Fatalf("%d events, %v", n, err)
	}
	if left, err := filepath.Glob(path + "*"); err != nil || len(left) != 1 {
		t.Errorf("after closing there are %q, %v", left, err)
	}
}

// A DSN lets calls take longer than R25 has them, never shorter: that is the database's own affair.
func TestPatienceIsThatOfTheDSN(t *testing.T) {
	const usual = 1600 * time.Millisecond
	for text, want := range map[string]time.Duration{
		"": usual, "0": usual, "100": usual, "100ms": usual, "-5s": usual, "1min": usual, "soon": usual,
		"5000": 5 * time.Second, "5s": 5 * time.Second, "2500 ms": 2500 * time.Millisecond,
	} {
		if got := store.Patience(text); got != want {
			t.Errorf("statement_timeout=%s: %v, want %v", text, got, want)
		}
	}
}
