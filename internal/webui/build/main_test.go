package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

const (
	web  = "../../../web"
	dist = "../dist"
)

// TestDistIsCurrent fails when a source of the page was changed without make ui.
func TestDistIsCurrent(t *testing.T) {
	if _, err := os.Stat(filepath.Join(web, "node_modules", "centrifuge")); err != nil {
		const why = "npm packages are not installed: run scripts/need.sh web"
		if os.Getenv("CI") != "" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	want, err := bundle(web)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]byte{}
	err = fs.WalkDir(os.DirFS(dist), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		got[name], err = os.ReadFile(filepath.Join(dist, name))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range want {
		if !bytes.Equal(got[name], want[name]) {
			t.Errorf("%s is not what the sources give: run make ui", name)
		}
	}
	for name := range got {
		if want[name] == nil {
			t.Errorf("%s does not come from the sources: run make ui", name)
		}
	}
}

func TestBundleNamesWhatIsMissing(t *testing.T) {
	if _, err := bundle(t.TempDir()); err == nil {
		t.Error("bundle of an empty directory: no error")
	}
}
