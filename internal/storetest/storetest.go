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

// Options returns where a new database is that only t has, to be opened with a driver; with
// "" it is SQLite. Without PostgreSQL t is skipped where it is needed, see package pgtest.
func Options(t testing.TB, driver string) store.Options {
	t.Helper()
	o := store.Options{Driver: driver}
	if driver == store.Postgres {
		o.DSN = pgtest.Copy(t, func(dsn string) error { return fill(store.Options{Driver: driver, DSN: dsn}) })
		return o
	}
	b, err := file()
	if err != nil {
		t.Fatal(err)
	}
	o.Path = filepath.Join(t.TempDir(), "kuranty.db")
	if err := os.WriteFile(o.Path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return o
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
