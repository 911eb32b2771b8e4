// Package pgtest runs a real PostgreSQL for tests.
//
// [Start] gives a test a fresh, empty database on a server that the tests of one
// process share: it is started by the first of them and ends with the process.
// [Copy] gives it a copy of one that was filled once.
// [New] gives a test a server of its own, which it may stop and restart under
// whatever is connected to it. [Launch] does the same for TestMain.
//
// Where PostgreSQL is not installed, tests are skipped and say so; with CI=true
// they fail and name the package to install.
//
// A server listens on 127.0.0.1 only and trusts everybody there. It runs as the
// current user or, because PostgreSQL refuses root, as the user postgres or
// nobody. It keeps fsync on: tests of durability mean what they say. The locale
// is C and the encoding UTF-8, so nothing may lean on the database's own idea of
// order or letter case.
//
// No goroutine is left behind. A small shell watches the test process through a
// pipe and, however that process ends (SIGKILL included), stops the server and
// removes its files; it may outlive the process by a second or two.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrNotInstalled means that the server programs of PostgreSQL were not found, in
// /usr/lib/postgresql as Debian has them or in PATH.
var ErrNotInstalled = errors.New("PostgreSQL is not installed (apt install postgresql)")

// callTimeout bounds each step (a start, a stop, a statement) on a loaded machine.
const callTimeout = 60 * time.Second

// Server is a PostgreSQL server that belongs to this process. Its methods may be
// called from one goroutine at a time, except [Server.Database] and [Server.DSN].
type Server struct {
	bin, dir string
	port     int
	watch    io.Closer // the pipe whose end tells the watching shell to clean up
	watching *exec.Cmd
	count    atomic.Int64 // databases made
}

var shared = sync.OnceValues(Launch)

// Start returns the address of a new, empty database on the server shared by the
// tests of this process, as a URL for pgx. The database is dropped when t ends.
func Start(t testing.TB) (dsn string) {
	t.Helper()
	s, err := shared()
	need(t, err)
	return s.Database(t)
}

// original is the database that [Copy] copies.
const original = "original"

var (
	filling sync.Once
	filled  error
)

// Copy returns the address of a new database on the shared server that has what fill put
// into another one, the first time that Copy is called in this process: it must then have
// closed its connections. The database is dropped when t ends.
func Copy(t testing.TB, fill func(dsn string) error) (dsn string) {
	t.Helper()
	s, err := shared()
	need(t, err)
	filling.Do(func() {
		if filled = s.exec(`CREATE DATABASE ` + original); filled == nil {
			filled = fill(s.dsn(original))
		}
	})
	need(t, filled)
	return s.database(t, ` TEMPLATE `+original)
}

// New starts a server that only t uses. It is stopped and removed when t ends.
func New(t testing.TB) *Server {
	t.Helper()
	s, err := Launch()
	need(t, err)
	t.Cleanup(s.Close)
	return s
}

// need ends the test if there is no server.
func need(t testing.TB, err error) {
	t.Helper()
	switch {
	case errors.Is(err, ErrNotInstalled) && os.Getenv("CI") != "true":
		t.Skip(err)
	case err != nil:
		t.Fatal(err)
	}
}

// Launch starts a server. The caller closes it, or leaves that to the end of the
// process. The error is [ErrNotInstalled] if there is no PostgreSQL here.
func Launch() (*Server, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "kuranty-postgres-")
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	s := &Server{bin: bin, dir: dir}
	if err := s.launch(); err != nil {
		log, _ := os.ReadFile(s.log())
		s.Close()
		_ = os.RemoveAll(dir) // the watching shell may have done it
		return nil, fmt.Errorf("start PostgreSQL: %w\n%s", err, log)
	}
	return s, nil
}

func (s *Server) launch() error {
	if err := own(s.dir); err != nil {
		return err
	}
	if err := s.watchOver(); err != nil {
		return err
	}
	// Without sync, because there is nothing to lose yet.
	if err := s.run("initdb", "--pgdata", s.data(), "--username", "postgres", "--auth", "trust",
		"--encoding", "UTF8", "--locale", "C", "--no-sync"); err != nil {
		return err
	}
	var err error
	for range 5 { // another process may take the port before we do
		if s.port, err = freePort(); err != nil {
			return err
		}
		if err = s.Start(); err == nil {
			return nil
		}
	}
	return err
}

// watchOver starts the shell that cleans up after this process. It reads a pipe
// into which nothing is written, so what it waits for is the end of the process.
func (s *Server) watchOver() error {
	// Several times, because an initdb that has lost its parent may still be writing.
	const script = `cat; "$1/pg_ctl" --pgdata "$2/data" --mode immediate stop
		for i in 1 2 3 4 5; do rm -rf "$2" && break; sleep 1; done`
	cmd, err := asUser(exec.Command("/bin/sh", "-c", script, "pgtest", s.bin, s.dir))
	if err != nil {
		return err
	}
	cmd.Dir = "/"
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("pipe: %w", err)
	}
	defer read.Close()
	cmd.Stdin = read // and no output: `go test` would wait for its end
	if err := cmd.Start(); err != nil {
		write.Close()
		return fmt.Errorf("watching shell: %w", err)
	}
	s.watch, s.watching = write, cmd
	return nil
}

// Close stops the server and removes its files. It may be called twice.
func (s *Server) Close() {
	if s.watch == nil {
		return
	}
	s.watch.Close()
	_ = s.watching.Wait() // the status of rm has nothing to tell
	s.watch = nil
}

// Start starts the server after [Server.Stop], on the same port, and returns when
// it accepts connections.
func (s *Server) Start() error {
	settings := "-c listen_addresses=127.0.0.1 -c port=" + strconv.Itoa(s.port) +
		" -c unix_socket_directories= -c shared_buffers=32MB -c max_connections=200" +
		" -c dynamic_shared_memory_type=mmap" // in the data folder, so that it goes with it
	return s.run("pg_ctl", "--pgdata", s.data(), "--log", s.log(), "--options", settings,
		"--wait", "--timeout", "60", "start")
}

// Stop stops the server and returns when it has ended. A hard stop is a crash:
// connections break at once and the next start recovers from the write-ahead log.
// Otherwise transactions in progress are rolled back and the server shuts down in order.
func (s *Server) Stop(hard bool) error {
	mode := "fast"
	if hard {
		mode = "immediate"
	}
	return s.run("pg_ctl", "--pgdata", s.data(), "--mode", mode, "--wait", "stop")
}

// Restart is [Server.Stop] and [Server.Start].
func (s *Server) Restart(hard bool) error {
	if err := s.Stop(hard); err != nil {
		return err
	}
	return s.Start()
}

// DSN is the address of the server's maintenance database, as a URL for pgx. It
// stays the same across restarts.
func (s *Server) DSN() string { return s.dsn("postgres") }

// dsn lets statements take long: on a loaded machine they do, and no test means that.
func (s *Server) dsn(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable&statement_timeout=%d", s.port, database, callTimeout.Milliseconds())
}

// Database makes a new, empty database for t and returns its address. It is
// dropped when t ends, whoever is still connected.
func (s *Server) Database(t testing.TB) (dsn string) {
	t.Helper()
	return s.database(t, "")
}

func (s *Server) database(t testing.TB, of string) (dsn string) {
	t.Helper()
	name := "test_" + strconv.FormatInt(s.count.Add(1), 10)
	if err := s.exec(`CREATE DATABASE ` + name + of); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Fails only where t has stopped the server, and then the database goes with it.
		_ = s.exec(`DROP DATABASE ` + name + ` WITH (FORCE)`)
	})
	return s.dsn(name)
}

// exec runs a statement in the maintenance database.
func (s *Server) exec(statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.DSN())
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }
func (s *Server) log() string  { return filepath.Join(s.dir, "log") }

// run runs one of PostgreSQL's programs to its end.
func (s *Server) run(program string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*callTimeout)
	defer cancel()
	cmd, err := asUser(exec.CommandContext(ctx, filepath.Join(s.bin, program), args...))
	if err != nil {
		return err
	}
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"} // no PGHOST, PGDATA, … of the person
	// A file, not a pipe: the server that pg_ctl starts keeps it open.
	out, err := os.OpenFile(filepath.Join(s.dir, "output"), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(out.Name())
		return fmt.Errorf("%s: %w\n%s", program, err, said)
	}
	return nil
}

// programs finds the folder of the newest PostgreSQL's programs.
func programs() (string, error) {
	newest, folder := -1, ""
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres") // the pattern is well formed
	for _, file := range found {
		bin := filepath.Dir(file)
		if version, err := strconv.Atoi(filepath.Base(filepath.Dir(bin))); err == nil && version > newest {
			newest, folder = version, bin
		}
	}
	if folder != "" {
		return folder, nil
	}
	file, err := exec.LookPath("postgres")
	if err != nil {
		return "", ErrNotInstalled
	}
	if file, err = filepath.EvalSymlinks(file); err != nil {
		return "", ErrNotInstalled
	}
	return filepath.Dir(file), nil
}

// freePort picks a port nobody listens on, below those the system gives to outgoing
// connections, so that none of them takes it while the server is stopped.
func freePort() (int, error) {
	var failed error
	for range 100 {
		port := 20000 + rand.IntN(12000)
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			l.Close()
			return port, nil
		}
		failed = err
	}
	return 0, fmt.Errorf("no free port: %w", failed)
}

// Log is what the server has logged so far, for messages of failed tests.
func (s *Server) Log() string {
	text, err := os.ReadFile(s.log())
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
