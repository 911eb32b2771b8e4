// Package servertest runs a whole server in a test: in the test's own process with
// [Start], or as the real binary with [Binary]. Each has a free port and a data folder
// of its own, and is stopped when the test ends; a server that does not stop cleanly
// fails the test.
package servertest

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/config"
	"github.com/kuranty/kuranty/internal/server"
)

// Option changes how a server is started.
type Option func(*setup)

// setup is what a server is started with.
type setup struct {
	file    string
	dataDir string
	flags   [][2]string
	server  server.Options // in-process servers only
	// binary and env are of processes only.
	binary string
	env    []string
}

// Config sets the configuration file, as text.
func Config(text string) Option { return func(s *setup) { s.file = text } }

// Flag sets a key of the configuration.
func Flag(key, value string) Option {
	return func(s *setup) { s.flags = append(s.flags, [2]string{key, value}) }
}

// DataDir sets the data folder, for servers that follow each other in it.
func DataDir(path string) Option { return func(s *setup) { s.dataDir = path } }

// Executable makes [Binary] start that program instead of the one it builds.
func Executable(path string) Option { return func(s *setup) { s.binary = path } }

// Env sets an environment variable of a server that [Binary] starts.
func Env(name, value string) Option {
	return func(s *setup) { s.env = append(s.env, name+"="+value) }
}

// With changes the options of a server that [Start] starts.
func With(change func(*server.Options)) Option {
	return func(s *setup) { change(&s.server) }
}

func newSetup(t testing.TB, opts []Option) *setup {
	s := &setup{dataDir: filepath.Join(t.TempDir(), "data")}
	s.flags = [][2]string{{"http_server.port", "0"}, {"auth.password_hash_memory", "19"}} // the least: people are made in most tests
	for _, o := range opts {
		o(s)
	}
	return s
}

// Instance is a running server.
type Instance struct {
	*server.Server

	// URL is the server's address, WSURL that of its WebSocket, APIKey opens its API.
	URL, WSURL, APIKey, DataDir string

	t    testing.TB
	stop func() error
	out  *Output
}

// startTimeout bounds a start, and stopTimeout a stop, on a loaded machine.
const (
	startTimeout = 20 * time.Second
	stopTimeout  = 40 * time.Second
)

// Start runs a server in this process.
func Start(t testing.TB, opts ...Option) *Instance {
	t.Helper()
	set := newSetup(t, opts)
	src := config.Source{Flags: append(set.flags, [2]string{"storage.data_dir", set.dataDir})}
	if set.file != "" {
		src.File, src.Text = "config.json", []byte(set.file)
	}
	res, err := config.Load(src)
	if err != nil {
		t.Fatalf("configuration of the test's server: %v", err)
	}
	in := &Instance{t: t, DataDir: set.dataDir, out: new(Output)}
	ready := make(chan server.Address, 1)
	o := set.server
	o.Version, o.Out, o.Ready = "test", in.out, func(a server.Address) { ready <- a }
	in.Server, err = server.New(res, o)
	if err != nil {
		t.Fatalf("build the test's server: %v", err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- in.Run(ctx) }()
	in.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(in.Stop)
	select {
	case a := <-ready:
		in.URL, in.WSURL = a.URL(), a.WebSocketURL()+res.Config.WebSocket.HandlerPrefix
	case err := <-ended:
		ended <- err
		t.Fatalf("the test's server ended: %v\n%s", err, in.out)
	case <-time.After(startTimeout):
		t.Fatalf("the test's server is not ready after %v\n%s", startTimeout, in.out)
	}
	in.APIKey = res.Config.HTTPAPI.Key
	return in
}

// Stop stops the server gracefully and waits for its end.
func (in *Instance) Stop() {
	in.t.Helper()
	if err := in.stop(); err != nil {
		in.t.Errorf("the test's server ended with: %v\n%s", err, in.out)
	}
}

// Log returns what the server has written so far.
func (in *Instance) Log() string { return in.out.String() }

// Token returns a connection token for user.
func (in *Instance) Token(user string) string {
	in.t.Helper()
	token, err := in.Server.Token(user, nil)
	if err != nil {
		in.t.Fatal(err)
	}
	return token
}

// Output collects what a server writes. It is safe for concurrent use.
type Output struct {
	mu   sync.Mutex
	text bytes.Buffer
	// changed is closed and replaced at each Write.
	changed chan struct{}
}

// Write appends p.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.changed != nil {
		close(o.changed)
		o.changed = nil
	}
	return o.text.Write(p)
}

// String returns everything written so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Await returns the first line that contains part, waiting up to limit for it; found
// is false if none came.
func (o *Output) Await(part string, limit time.Duration) (line string, found bool) {
	late := time.After(limit)
	for {
		o.mu.Lock()
		for line := range strings.Lines(o.text.String()) {
			if strings.HasSuffix(line, "\n") && strings.Contains(line, part) {
				o.mu.Unlock()
				return strings.TrimSuffix(line, "\n"), true
			}
		}
		if o.changed == nil {
			o.changed = make(chan struct{})
		}
		changed := o.changed
		o.mu.Unlock()
		select {
		case <-changed:
		case <-late:
			return "", false
		}
	}
}

// writeFile writes text to name in a temporary folder of the test and returns its path.
func writeFile(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
