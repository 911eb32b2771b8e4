package servertest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is the real binary, running as a server.
type Process struct {
	// URL is the server's address, WSURL that of its WebSocket.
	URL, WSURL, DataDir string
	// Pid is the process's id.
	Pid int

	t      testing.TB
	flags  []string // with which commands find the server
	cmd    *exec.Cmd
	out    *Output
	ended  chan struct{} // closed after the process has ended, with err
	err    error
	killed bool
}

// Binary starts the real binary as a server, which logs JSON.
func Binary(t testing.TB, opts ...Option) *Process {
	t.Helper()
	set := newSetup(t, opts)
	p := &Process{t: t, DataDir: set.dataDir, out: new(Output), ended: make(chan struct{})}
	p.flags = []string{"--data-dir", set.dataDir}
	if set.file != "" {
		p.flags = append(p.flags, "--config", writeFile(t, "config.json", set.file))
	}
	args := append([]string{"serve", "--log.format", "json"}, p.flags...)
	for _, f := range set.flags {
		args = append(args, "--"+f[0]+"="+f[1])
	}
	if set.binary == "" {
		set.binary = Build(t)
	}
	p.cmd = exec.Command(set.binary, args...)
	p.cmd.Env = append(cleanEnv(), set.env...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start the server: %v", err)
	}
	p.Pid = p.cmd.Process.Pid
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		if !p.killed {
			p.Stop(syscall.SIGTERM)
		}
	})
	line, found := p.out.Await(`"msg":"ready"`, startTimeout)
	if !found {
		t.Fatalf("the server is not ready after %v\n%s", startTimeout, p.out)
	}
	var ready struct{ URL string }
	if err := json.Unmarshal([]byte(line), &ready); err != nil {
		t.Fatalf("ready line %s: %v", line, err)
	}
	p.URL = ready.URL
	p.WSURL = "ws" + strings.TrimPrefix(ready.URL, "http") + "/connection/websocket"
	return p
}

// Stop sends a signal and waits until the process has ended, which must be with exit
// code 0.
func (p *Process) Stop(sig os.Signal) {
	p.t.Helper()
	p.Signal(sig)
	select {
	case <-p.ended:
		if p.err != nil {
			p.t.Errorf("the server ended with: %v\n%s", p.err, p.out)
		}
	case <-time.After(stopTimeout):
		p.Kill()
		p.t.Errorf("the server did not end within %v\n%s", stopTimeout, p.out)
	}
}

// Kill ends the process as a crash would.
func (p *Process) Kill() {
	p.killed = true
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
}

// ExitCode waits up to limit for the process to end by itself and returns with what; ended
// is false if it did not.
func (p *Process) ExitCode(limit time.Duration) (code int, ended bool) {
	select {
	case <-p.ended:
		p.killed = true // there is nothing left to stop
		return p.cmd.ProcessState.ExitCode(), true
	case <-time.After(limit):
		return 0, false
	}
}

// Signal sends a signal.
func (p *Process) Signal(sig os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("signal the server: %v", err)
	}
}

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Log returns what the process has written so far.
func (p *Process) Log() string { return p.out.String() }

// Await waits for a line of the log.
func (p *Process) Await(part string, limit time.Duration) (line string, found bool) {
	return p.out.Await(part, limit)
}

// Command runs a command of the binary against this server and returns what it printed
// to its standard output.
func (p *Process) Command(args ...string) string {
	p.t.Helper()
	cmd := exec.Command(Build(p.t), append(p.flags, args...)...)
	cmd.Env = cleanEnv()
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		p.t.Fatalf("kuranty %s: %v", strings.Join(args, " "), err)
	}
	return strings.TrimSuffix(string(out), "\n")
}

// Token returns a connection token for user.
func (p *Process) Token(user string) string {
	p.t.Helper()
	return p.Command("token", "create", "--user", user)
}

// APIKey returns the key of the server API.
func (p *Process) APIKey() string {
	p.t.Helper()
	return p.Command("api-key")
}

// cleanEnv is the environment without what would configure a server.
func cleanEnv() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "KURANTY_") && !strings.HasPrefix(v, "CENTRIFUGO_") {
			env = append(env, v)
		}
	}
	return env
}

// Build returns the path of the binary, built from this module once per test run.
func Build(t testing.TB) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// BuildPlanted returns the path of a binary that makes mistakes on purpose (build tag
// planted), built once per test run.
func BuildPlanted(t testing.TB) string {
	t.Helper()
	path, err := buildPlanted()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var (
	build        = sync.OnceValues(func() (string, error) { return buildAs("kuranty") })
	buildPlanted = sync.OnceValues(func() (string, error) { return buildAs("kuranty-planted", "planted") })
)

// buildAs builds the binary with the build tags. It leaves it in a folder it shares with
// later runs, so that runs do not pile up; each puts its own in place at once.
func buildAs(name string, tags ...string) (string, error) {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	tree := sha256.Sum256(root)
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("kuranty-test-%d-%s", os.Getuid(), hex.EncodeToString(tree[:6])))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make folder of the binary: %w", err)
	}
	path := filepath.Join(dir, name)
	fresh := fmt.Sprintf("%s.%d", path, os.Getpid())
	out, err := exec.Command("go", "build", "-ldflags=-s -w", "-tags", strings.Join(tags, ","), "-o", fresh, "github.com/kuranty/kuranty/cmd/kuranty").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the binary: %w\n%s", err, out)
	}
	if err := os.Rename(fresh, path); err != nil {
		return "", fmt.Errorf("put the binary in place: %w", err)
	}
	return path, nil
}
