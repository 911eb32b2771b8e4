package store_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/kuranty/kuranty/internal/store"
)

// The folder may be one that the operator made, and let others read.
func TestTheFilesOfADatabaseAreForTheirOwner(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(t.Context(), store.Options{Path: filepath.Join(dir, "kuranty.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	list, err := os.ReadDir(dir)
	if err != nil || len(list) < 3 {
		t.Fatalf("%d files, %v", len(list), err)
	}
	for _, f := range list {
		info, err := f.Info()
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o, %v", f.Name(), info.Mode().Perm(), err)
		}
	}
}
