// Command build bundles the pages of web/ into internal/webui/dist, which is
// committed, so that building the server needs Go only.
//
// Run it from the module's root (make ui) after `npm ci` in web/. Scripts and
// styles are bundled and minified by esbuild used as a library; every asset
// is named after its content, and the page refers to it by that name. The
// licences of the npm packages that went in are collected in licenses.txt.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

func main() {
	if err := run("web", "internal/webui/dist"); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

// run replaces the directory dist by what the sources in web give.
func run(web, dist string) error {
	files, err := bundle(web)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(dist); err != nil {
		return fmt.Errorf("empty %s: %w", dist, err)
	}
	for name, content := range files {
		file := filepath.Join(dist, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			return fmt.Errorf("write %s: %w", file, err)
		}
		if err := os.WriteFile(file, content, 0o600); err != nil {
			return fmt.Errorf("write %s: %w", file, err)
		}
		fmt.Printf("%7d %s\n", len(content), file)
	}
	return nil
}

// bundle returns the files of the demo page by their names in dist.
func bundle(web string) (map[string][]byte, error) {
	root, err := filepath.Abs(web)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", web, err)
	}
	page, err := os.ReadFile(filepath.Join(root, "demo", "index.html"))
	if err != nil {
		return nil, fmt.Errorf("read the page: %w", err)
	}
	icon, err := os.ReadFile(filepath.Join(root, "demo", "icon.svg"))
	if err != nil {
		return nil, fmt.Errorf("read the icon: %w", err)
	}
	built := api.Build(api.BuildOptions{
		AbsWorkingDir:     root,
		EntryPoints:       []string{"demo/demo.ts", "demo/style.css"},
		Outdir:            filepath.Join(root, "out"), // names only; nothing is written
		Bundle:            true,
		Format:            api.FormatESModule,
		Target:            api.ES2022,
		Engines:           []api.Engine{{Name: api.EngineChrome, Version: "123"}, {Name: api.EngineFirefox, Version: "120"}, {Name: api.EngineSafari, Version: "17.5"}},
		MinifySyntax:      true,
		MinifyWhitespace:  true,
		MinifyIdentifiers: true,
		Metafile:          true,
		LogLevel:          api.LogLevelSilent,
	})
	if len(built.Errors) > 0 {
		messages := api.FormatMessages(built.Errors, api.FormatMessagesOptions{Kind: api.ErrorMessage})
		return nil, fmt.Errorf("bundle %s:\n%s", web, strings.Join(messages, ""))
	}

	assets := map[string][]byte{"icon.svg": icon}
	for _, file := range built.OutputFiles {
		assets[filepath.Base(file.Path)] = file.Contents
	}
	files := map[string][]byte{}
	for _, name := range slices.Sorted(maps.Keys(assets)) {
		hashed := hashedName(name, assets[name])
		files["assets/"+hashed] = assets[name]
		page = bytes.ReplaceAll(page, []byte("/assets/"+name), []byte("/assets/"+hashed))
	}
	files["index.html"] = page
	files["assets/licenses.txt"], err = licenses(root, built.Metafile)
	return files, err
}

func hashedName(name string, content []byte) string {
	sum := sha256.Sum256(content)
	ext := path.Ext(name)
	return strings.TrimSuffix(name, ext) + "-" + hex.EncodeToString(sum[:5]) + ext
}

// licenses joins the licence texts of the npm packages named in esbuild's metafile.
func licenses(root, metafile string) ([]byte, error) {
	var meta struct {
		Inputs map[string]struct{} `json:"inputs"`
	}
	if err := json.Unmarshal([]byte(metafile), &meta); err != nil {
		return nil, fmt.Errorf("read what went into the bundle: %w", err)
	}
	packages := map[string]bool{}
	for input := range meta.Inputs {
		if inside, ok := strings.CutPrefix(input, "node_modules/"); ok {
			name, _, _ := strings.Cut(inside, "/")
			packages[name] = true
		}
	}
	var out bytes.Buffer
	fmt.Fprintln(&out, "This page contains the following packages.")
	for _, name := range slices.Sorted(maps.Keys(packages)) {
		text, err := os.ReadFile(filepath.Join(root, "node_modules", name, "LICENSE"))
		if err != nil {
			return nil, fmt.Errorf("read the licence of %s: %w", name, err)
		}
		fmt.Fprintf(&out, "\n---- %s ----\n\n%s\n", name, bytes.TrimSpace(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))))
	}
	return out.Bytes(), nil
}
