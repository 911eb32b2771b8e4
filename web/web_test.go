// Tests of the official JavaScript client and of the demo page in a browser, both
// against the real binary. The tests themselves are in test/*.test.mjs; they run
// under Node.js and appear here as subtests.
package web_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestOfficialClient(t *testing.T) {
	files, err := filepath.Glob("test/*.test.mjs")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests found: %v", err)
	}
	for _, file := range files {
		if name := filepath.Base(file); !strings.HasPrefix(name, "browser") && name != "gateway.test.mjs" {
			runNode(t, file)
		}
	}
}

// TestGatewayClients runs clients of the event gateway in three languages.
func TestGatewayClients(t *testing.T) {
	for _, name := range []string{"python3", "/usr/bin/python3"} { // Debian's packages are for its own
		if exec.CommandContext(t.Context(), name, "-c", "import websockets").Run() == nil {
			t.Setenv("KURANTY_PYTHON", name)
			runNode(t, "test/gateway.test.mjs")
			return
		}
	}
	cannot(t, "no Python with the package websockets found: run scripts/need.sh python")
}

func TestBrowser(t *testing.T) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			t.Setenv("KURANTY_BROWSER", path)
			runNode(t, "test/browser.test.mjs")
			runNode(t, "test/browsergateway.test.mjs")
			return
		}
	}
	cannot(t, "no Chromium found: run scripts/need.sh browser")
}

// TestTypes checks the TypeScript of the demo page.
func TestTypes(t *testing.T) {
	need(t)
	out, err := exec.CommandContext(t.Context(), "node_modules/.bin/tsc", "-p", ".").CombinedOutput()
	if err != nil {
		t.Errorf("tsc: %v\n%s", err, out)
	}
}

// TestLockFileNamesNoRegistry keeps the choice of the registry with who installs.
func TestLockFileNamesNoRegistry(t *testing.T) {
	lock, err := os.ReadFile("package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(lock), `"resolved"`) {
		t.Error("package-lock.json names where packages were downloaded from")
	}
}

// runNode runs a file of tests under Node.js against the binary.
func runNode(t *testing.T, file string) {
	need(t)
	bin := binary(t)
	t.Run(strings.TrimSuffix(filepath.Base(file), ".test.mjs"), func(t *testing.T) {
		t.Parallel() // most of the time they wait
		cmd := exec.CommandContext(t.Context(), "node", "--test", "--test-reporter=./test/reporter.mjs", file)
		cmd.Env = append(os.Environ(), "KURANTY_BINARY="+bin)
		cmd.Stderr = os.Stderr
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		passed, failed := report(t, bufio.NewScanner(stdout), filepath.Base(file))
		err = cmd.Wait()
		if passed+failed == 0 {
			t.Error("no test ran")
		}
		if err != nil && failed == 0 {
			t.Errorf("node: %v", err)
		}
	})
}

// report turns the lines of test/reporter.mjs into subtests.
func report(t *testing.T, lines *bufio.Scanner, file string) (passed, failed int) {
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r struct {
			Kind, Name, Text, Error string
			Suite, Skipped          bool
			MS                      int
		}
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Errorf("unexpected output: %s", lines.Text())
			continue
		}
		if r.Kind == "output" {
			t.Log(strings.TrimSpace(r.Text))
			continue
		}
		ok := r.Error == "" && !r.Skipped
		// A suite fails with its tests, and Node.js counts the file as one.
		if (r.Suite && ok) || strings.HasSuffix(r.Name, file) {
			continue
		}
		if ok {
			passed++
		} else {
			failed++
		}
		t.Run(r.Name, func(t *testing.T) {
			switch {
			case r.Skipped:
				t.Error("skipped")
			case !ok:
				t.Errorf("%d ms: %s", r.MS, r.Error)
			}
		})
	}
	if err := lines.Err(); err != nil {
		t.Error(err)
	}
	return passed, failed
}

var built string

// TestMain removes the binary that the tests share.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "kuranty-web-")
	if err != nil {
		panic(err)
	}
	built = filepath.Join(dir, "kuranty")
	code := m.Run()
	_ = os.RemoveAll(dir) // a leftover in the temporary folder harms nobody
	os.Exit(code)
}

// binary builds the server once, with the race detector if the tests have it.
func binary(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat(built); err == nil {
		return built
	}
	lookAtSources(t)
	args := []string{"build", "-ldflags=-s -w", "-o", built}
	if raceDetector {
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(t.Context(), "go", append(args, "../cmd/kuranty")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the server: %v\n%s", err, out)
	}
	return built
}

// lookAtSources makes go test know that these tests depend on all files of the
// module, which it cannot see from the imports: it takes a result from its cache
// only if no file that a test looked at has changed.
func lookAtSources(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir("..", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if base := entry.Name(); entry.IsDir() && (base == "node_modules" || len(base) > 2 && base[0] == '.') {
			return fs.SkipDir
		}
		_, err = os.Stat(name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// need says what is missing for tests under Node.js.
func need(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		cannot(t, "node not found: install Node.js 20 or later")
	}
	if _, err := os.Stat("node_modules/centrifuge"); errors.Is(err, os.ErrNotExist) {
		cannot(t, "npm packages are not installed: run scripts/need.sh web")
	}
}

// cannot ends a test that cannot run here, which counts as failed in CI.
func cannot(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}
