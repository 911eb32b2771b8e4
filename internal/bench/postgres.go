package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// postgres is a PostgreSQL server, which is ours if cmd is not nil, and the databases
// made on it.
type postgres struct {
	bin  string // folder of its programs
	dir  string
	dsn  *url.URL
	cmd  *exec.Cmd
	made []string
}

// script is what pgbench runs, and where.
type script struct{ dsn, file string }

// openPostgres uses the server at dsn or, if that is empty, starts one in folder, with
// its default settings.
func openPostgres(ctx context.Context, dsn, folder string) (*postgres, error) {
	p := new(postgres)
	var err error
	if p.bin, err = postgresPrograms(); err != nil {
		return nil, err
	}
	if dsn != "" {
		if p.dsn, err = url.Parse(dsn); err != nil || p.dsn.Host == "" {
			return nil, errors.New("--dsn: want something like postgres://user:password@127.0.0.1/postgres")
		}
		return p, nil
	}
	if err := p.start(ctx, folder); err != nil {
		p.close()
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	return p, nil
}

// postgresPrograms finds the newest programs where Debian has them, or in PATH.
func postgresPrograms() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pgbench") // the pattern is good
	if len(found) == 0 {
		if at, err := exec.LookPath("pgbench"); err == nil {
			found = []string{at}
		}
	}
	if len(found) == 0 {
		return "", errors.New("PostgreSQL is not installed (apt install postgresql); --only leaves it out")
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path)))) // in PATH there is one only
		return n
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
}

func (p *postgres) start(ctx context.Context, folder string) (err error) {
	if p.dir, err = os.MkdirTemp(filepath.Dir(folder), "kuranty-bench-postgres-"); err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	data := filepath.Join(p.dir, "data")
	initdb := exec.CommandContext(ctx, filepath.Join(p.bin, "initdb"), "--pgdata", data, "--username", "postgres", "--auth", "trust", "--encoding", "UTF8", "--locale", "C") //nolint:gosec // a folder of PostgreSQL, found by us
	if err := asServer(initdb, p.dir); err != nil {
		return err
	}
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("find a port: %w", err)
	}
	port := strconv.Itoa(free.Addr().(*net.TCPAddr).Port)
	if err := free.Close(); err != nil {
		return fmt.Errorf("find a port: %w", err)
	}
	p.dsn = &url.URL{Scheme: "postgres", User: url.User("postgres"), Host: "127.0.0.1:" + port, Path: "/postgres", RawQuery: "sslmode=disable"}
	cmd := exec.Command(filepath.Join(p.bin, "postgres"), "-D", data, "-p", port, //nolint:gosec // found above
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=200")
	if err := asServer(cmd, p.dir); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	p.cmd = cmd
	for range 300 {
		if _, err = p.psql(ctx, "SELECT 1"); err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// psql runs a statement in the database of the address.
func (p *postgres) psql(ctx context.Context, statement string) (string, error) {
	out, err := exec.CommandContext(ctx, filepath.Join(p.bin, "psql"), "--no-psqlrc", "--quiet", "--tuples-only", //nolint:gosec // found above
		"--command", statement, p.dsn.String()).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("psql: %w: %s", err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// database makes an empty database and returns its address.
func (p *postgres) database(ctx context.Context) (dsn string, err error) {
	name := fmt.Sprintf("kuranty_bench_%d_%d", os.Getpid(), len(p.made))
	if _, err := p.psql(ctx, "CREATE DATABASE "+name+" TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'"); err != nil {
		return "", err
	}
	p.made = append(p.made, name)
	at := *p.dsn
	at.Path = "/" + name
	return at.String(), nil
}

var transactionsPerSecond = regexp.MustCompile(`(?m)^tps = ([0-9.]+) `)

// pgbench runs a script n times on so many connections, and returns how often that was
// per second.
func (p *postgres) pgbench(ctx context.Context, s script, connections, n int) (float64, error) {
	out, err := exec.CommandContext(ctx, filepath.Join(p.bin, "pgbench"), "--no-vacuum", "--protocol", "prepared", //nolint:gosec // found above
		"--client", strconv.Itoa(connections), "--jobs", strconv.Itoa(min(connections, 2)), "--transactions", strconv.Itoa(max(n/connections, 1)),
		"--file", s.file, s.dsn).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("pgbench: %w: %s", err, out)
	}
	tps := transactionsPerSecond.FindSubmatch(out)
	if tps == nil || strings.Contains(string(out), "aborted") {
		return 0, fmt.Errorf("pgbench says %s", out)
	}
	return strconv.ParseFloat(string(tps[1]), 64)
}

// close drops the databases, and stops the server if it is ours.
func (p *postgres) close() {
	if p.cmd == nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		for _, name := range p.made {
			_, _ = p.psql(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") // who forbids it keeps it
		}
	} else {
		_ = p.cmd.Process.Signal(os.Interrupt) // a fast shutdown
		_ = p.cmd.Wait()
	}
	if p.dir != "" {
		_ = os.RemoveAll(p.dir)
	}
}
