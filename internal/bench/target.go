package bench

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// ErrUnsupported is returned by every measure on systems other than Linux.
var ErrUnsupported = errors.New("benchmarks need Linux (epoll, CPU clocks of other processes)")

// Target says which server is measured and how results are shown. Its zero value
// with Rounds set measures a server that the command starts and stops itself.
type Target struct {
	URL              string `help:"Base address of the server, like http://127.0.0.1:8000. Without it the command starts a server of its own." placeholder:"URL"`
	PID              int    `name:"pid" help:"Process of the server; found by its listening socket when it runs on this machine."`
	APIKey           string `name:"api-key" env:"KURANTY_API_KEY" help:"Key of the server API at --url."`
	TokenSecret      string `help:"HMAC secret for connection tokens at --url; without it clients connect without a token."`
	Namespace        string `default:"bench" help:"Namespace without history, where clients may subscribe and publish."`
	HistoryNamespace string `default:"history" help:"Namespace that keeps 100 publications and recovers subscribers."`
	Rounds           int    `default:"5" help:"Rounds of which the median counts."`
	Output           string `short:"o" enum:"table,json" default:"table" help:"How results are printed: table or json."`
}

// Validate implements the check of the command line's parser.
func (t *Target) Validate() error {
	if t.Rounds < 1 {
		return errors.New("--rounds must be 1 or more")
	}
	return nil
}

// server is the server under measurement.
type server struct {
	addr    netip.AddrPort
	host    string // for the Host header
	pid     int    // 0 when it cannot be seen
	key     string
	secret  string
	plain   string // channel prefix "bench:"
	history string
	process *child // nil when it was there before us
	dir     string
}

// open finds the server at URL or starts one.
func (t *Target) open(ctx context.Context) (*server, error) {
	s := &server{key: t.APIKey, secret: t.TokenSecret, plain: t.Namespace + ":", history: t.HistoryNamespace + ":", pid: t.PID}
	if t.URL == "" {
		return s, s.spawn(ctx, t)
	}
	u, err := url.Parse(t.URL)
	if err != nil || u.Hostname() == "" {
		return nil, fmt.Errorf("--url %q: want something like http://127.0.0.1:8000", t.URL)
	}
	if u.Scheme != "http" && u.Scheme != "ws" {
		return nil, fmt.Errorf("--url %q: only http is measured, without TLS", t.URL)
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	return s, s.at(net.JoinHostPort(u.Hostname(), port))
}

// at resolves the server's address and, where possible, its process.
func (s *server) at(hostport string) error {
	addr, err := net.ResolveTCPAddr("tcp", hostport)
	if err != nil {
		return fmt.Errorf("resolve %s: %w", hostport, err)
	}
	ap := addr.AddrPort()
	s.host, s.addr = hostport, netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	if s.pid == 0 {
		s.pid = listenerPID(s.addr)
	}
	if s.pid != 0 {
		if _, err := cpuTime(s.pid); err != nil {
			return err
		}
	}
	return nil
}

// spawn starts a server with the namespaces that measures need.
func (s *server) spawn(ctx context.Context, t *Target) error {
	s.key, s.secret = rand.Text(), rand.Text()
	namespace := func(name string, more map[string]any) map[string]any {
		ns := map[string]any{"name": name, "allow_subscribe_for_client": true, "allow_publish_for_client": true}
		for k, v := range more {
			ns[k] = v
		}
		return ns
	}
	return s.start(ctx, "", map[string]any{
		"client":   map[string]any{"token": map[string]any{"hmac_secret_key": s.secret}},
		"http_api": map[string]any{"key": s.key},
		"channel": map[string]any{"namespaces": []any{
			namespace(t.Namespace, nil),
			namespace(t.HistoryNamespace, map[string]any{"history_size": 100, "history_ttl": "300s", "force_recovery": true}),
		}},
	})
}

// start starts `serve` of this executable with a configuration and waits for its line
// that says "ready" and gives its address. Its data is in the folder data or, if that is
// empty, in a temporary one.
func (s *server) start(ctx context.Context, data string, config map[string]any) (err error) {
	if s.dir, err = os.MkdirTemp("", "kuranty-bench-"); err != nil {
		return fmt.Errorf("make a directory for the server: %w", err)
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if data == "" {
		data = filepath.Join(s.dir, "data")
	}
	file, err := writeConfig(s.dir, config)
	if err != nil {
		return err
	}
	s.process, err = startChild("serve", "--config", file, "--data-dir", data, "--http_server.port", "0", "--log.format", "json")
	if err != nil {
		return err
	}
	s.pid = s.process.cmd.Process.Pid
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var at string
	_, err = s.process.line(ctx, func(line string) bool { at = readyAddress(line); return at != "" })
	if err != nil {
		return fmt.Errorf("wait for the server to be ready: %w", err)
	}
	return s.at(at)
}

// writeConfig writes a configuration to a file in dir.
func writeConfig(dir string, config map[string]any) (file string, err error) {
	b, err := json.Marshal(config)
	if err != nil {
		return "", fmt.Errorf("write the server's configuration: %w", err)
	}
	file = filepath.Join(dir, "config.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return "", fmt.Errorf("write the server's configuration: %w", err)
	}
	return file, nil
}

// readyAddress returns the address in the line a server prints when it is ready.
func readyAddress(line string) string {
	var ready struct {
		Address string `json:"address"`
	}
	if !strings.Contains(line, `"ready"`) || json.Unmarshal([]byte(line), &ready) != nil {
		return ""
	}
	return ready.Address
}

// close stops the server if it is ours.
func (s *server) close() {
	if s.process != nil {
		s.process.stop()
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

// upgradeRequest opens a WebSocket. Its key is RFC 6455's example: nothing here
// needs it to be random.
func (s *server) upgradeRequest() []byte {
	return []byte("GET /connection/websocket HTTP/1.1\r\nHost: " + s.host + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
}

// newClient prepares a client of its own user, subscribed to channel unless that is
// empty, from the position since if given.
func (s *server) newClient(user, channel string, since *position) *client {
	hello, n := greeting(token(s.secret, user), channel, since)
	return &client{request: s.upgradeRequest(), hello: hello, awaited: n, stamped: func(int64, int64) {}}
}

// join connects the clients, at most parallel of them at a time, and returns when
// all are ready. joined, which may be nil, is told of each.
func (s *server) join(ctx context.Context, l *loop, clients []*client, parallel int, joined func(*client)) error {
	next, ready := 0, 0
	var start func()
	start = func() {
		if next == len(clients) {
			return
		}
		cl := clients[next]
		cl.ready = func(cl *client) {
			ready++
			if joined != nil {
				joined(cl)
			}
			start()
		}
		if _, err := l.dial(s.addr, s.source(next), cl); err != nil {
			l.fail(err)
		}
		next++
	}
	for range parallel {
		start()
	}
	if err := l.until(ctx, func() bool { return ready == len(clients) }); err != nil {
		return fmt.Errorf("connect client %d of %d: %w", ready+1, len(clients), err)
	}
	return nil
}

// source returns the address that client i connects from: one address has only
// some 28,000 ports, and loopback has many addresses.
func (s *server) source(i int) netip.Addr {
	const perAddress = 16_000
	if !s.addr.Addr().Is4() || !s.addr.Addr().IsLoopback() || i < perAddress {
		return netip.Addr{}
	}
	return netip.AddrFrom4([4]byte{127, 0, 1, byte(i / perAddress)})
}

// callers opens n API connections for POST path.
func (s *server) callers(ctx context.Context, l *loop, path string, n int) ([]*caller, error) {
	return dialCallers(ctx, l, s.addr, s.host, path, s.key, n)
}

// hangUp closes the clients' connections and lets the server clean up.
func hangUp(ctx context.Context, l *loop, pid int, clients []*client) error {
	for _, cl := range clients {
		cl.c.close()
	}
	return settle(ctx, l, pid)
}
