package kuranty_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

// rootFS is the module; go test runs a test in its package's directory.
var rootFS = os.DirFS(".")

// A screen is what a package may take to say what it is; more means that it does
// too much (style: package documentation).
const (
	minDoc = 2
	screen = 50
)

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for dir, files := range packages(t) {
		var doc, where, name string
		for file := range files {
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			name = parsed.Name.Name
			text := parsed.Doc.Text()
			if text == "" {
				continue
			}
			if doc != "" {
				t.Errorf("package %s is documented twice, in %s and %s", dir, where, file)
			}
			doc, where = text, file
		}
		if doc == "" {
			t.Errorf("package %s has no documentation: what it is, what it guarantees, who owns its goroutines, how it ends", dir)
			continue
		}
		want := "Package " + name + " "
		if name == "main" {
			want = "Command " + path.Base(dir) + " "
		}
		if !strings.HasPrefix(doc, want) {
			t.Errorf("%s: documentation starts with %q, want %q", where, firstLine(doc), want)
		}
		if n := strings.Count(doc, "\n"); n < minDoc || n > screen {
			t.Errorf("%s: documentation of %d lines, want %d to %d", where, n, minDoc, screen)
		}
	}
}

// TestLinksInDocumentsLeadSomewhere follows the links to files of this repository.
func TestLinksInDocumentsLeadSomewhere(t *testing.T) {
	documents, err := fs.Glob(rootFS, "*.md")
	if err != nil {
		t.Fatal(err)
	}
	guides, err := fs.Glob(rootFS, "docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`)
	for _, document := range append(documents, guides...) {
		text, err := fs.ReadFile(rootFS, document)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(found[1], "://") {
				continue
			}
			if _, err := fs.Stat(rootFS, path.Join(path.Dir(document), found[1])); err != nil {
				t.Errorf("%s: link to %s: %v", document, found[1], err)
			}
		}
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
