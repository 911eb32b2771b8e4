package servertest_test

import (
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// page returns the text of a page of the documentation, in one line.
func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(text)), " ")
}

func TestR11_DocumentationSaysWhatIsNotPromised(t *testing.T) {
	for _, sentence := range []string{
		"Order across channels is not promised.",
		"Exactly-once processing by a receiver is not promised: receivers deduplicate",
	} {
		if !strings.Contains(page(t, "operations.md"), sentence) {
			t.Errorf("docs/operations.md lacks %q", sentence)
		}
	}
}

// docs/guarantees.md names tests that there are, and every promise that has one.
func TestGuaranteesNameTheirTests(t *testing.T) {
	named := map[string]bool{}
	for _, m := range regexp.MustCompile("`(Test[RS][0-9]\\w*)`").FindAllStringSubmatch(page(t, "guarantees.md"), -1) {
		named[m[1]] = true
	}
	written := map[string]bool{}
	root := os.DirFS("../..")
	declared := regexp.MustCompile(`(?m)^func (Test[RS][0-9]\w*)\(`)
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "node_modules" || len(name) > 1 && strings.HasPrefix(entry.Name(), ".")):
			return fs.SkipDir
		case !strings.HasSuffix(name, "_test.go"):
			return nil
		}
		text, err := fs.ReadFile(root, name)
		for _, m := range declared.FindAllSubmatch(text, -1) {
			written[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range named {
		if !written[name] {
			t.Errorf("docs/guarantees.md names %s, which does not exist", name)
		}
	}
	kept := promises(slices.Collect(maps.Keys(named)))
	for number := range promises(slices.Collect(maps.Keys(written))) {
		if !kept[number] {
			t.Errorf("docs/guarantees.md does not have %s, which has a test", number)
		}
	}
}

// promises are the numbers in names of tests, as R12.
func promises(tests []string) map[string]bool {
	found := map[string]bool{}
	for _, name := range tests {
		for _, m := range regexp.MustCompile(`[_t]([RS])0*([0-9]+)_`).FindAllStringSubmatch(strings.ReplaceAll(name, "_", "__"), -1) {
			found[m[1]+m[2]] = true
		}
	}
	return found
}
