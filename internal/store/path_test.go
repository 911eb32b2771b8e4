package store_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/kuranty/kuranty/internal/store"
)

// Whatever a folder is called, the database is in it.
func TestFolderNamesThatMeanSomethingInAddresses(t *testing.T) {
	for _, name := range []string{"a#1", "a?b=c", "100%", "%23", "с пробелом"} {
		path := filepath.Join(t.TempDir(), name, "kuranty.db")
		if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(t.Context(), store.Options{Path: path})
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
