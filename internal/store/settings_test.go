package store_test

import (
	"testing"

	"github.com/kuranty/kuranty/internal/store"
)

func TestSettingsOfTheDatabase(t *testing.T) {
	onBoth(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		found, err := s.Settings(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s.Driver() == store.SQLite {
			if found != nil {
				t.Errorf("SQLite has settings: %v", found)
			}
			return
		}
		for _, name := range []string{"fsync", "synchronous_commit", "full_page_writes", "ssl", "local"} {
			if found[name] != "on" && found[name] != "off" {
				t.Errorf("%s is %q", name, found[name])
			}
		}
		if found["ssl"] != "off" || found["local"] != "on" {
			t.Errorf("a server of this machine: %v", found)
		}
		if n, err := s.CountRefused(t.Context()); err != nil || n != 0 {
			t.Errorf("%d refused events, %v", n, err)
		}
	})
}
