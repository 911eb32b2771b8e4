// Package storetest gives tests databases of the newest schema.
//
// The first test of a process makes one as a new user's is made; the others get copies of
// it, which take a tenth of the time. What the first start writes, such as the epoch, is the
// same in all of them.
package storetest

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/kuranty/kuranty/internal/pgtest"
	"github.com/kuranty/kuranty/internal/store"
)

// SQLite returns the path of a new database that only t has.
func SQLite(t testing.TB) string {
	t.Helper()
	b, err := file()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "kuranty.db")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Postgres returns the address of a new database that only t has. Without PostgreSQL t is
// skipped, see package pgtest.
func Postgres(t testing.TB) string {
	t.Helper()
	return pgtest.Copy(t, func(dsn string) error { return fill(store.Options{Driver: store.Postgres, DSN: dsn}) })
}

// file is a database that nobody has used.
var file = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "kuranty-storetest-")
	if err != nil {
		return nil, fmt.Errorf("make database: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // the system empties its folder
	path := filepath.Join(dir, "kuranty.db")
	if err := fill(store.Options{Path: path}); err != nil {
		return nil, err
	}
	return os.ReadFile(path) // whole, because the store is closed
})

func fill(o store.Options) error {
	o.Logger = slog.New(slog.DiscardHandler)
	s, err := store.Open(context.Background(), o)
	if err != nil {
		return fmt.Errorf("make database: %w", err)
	}
	return s.Close()
}
