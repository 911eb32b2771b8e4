package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/kuranty/kuranty/internal/config"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/policy"
	"github.com/kuranty/kuranty/internal/seed"
	"github.com/kuranty/kuranty/internal/serverapi"
	"github.com/kuranty/kuranty/realtime"
	"github.com/kuranty/kuranty/realtime/transport"
)

// Options are what a [Server] is given beside its configuration. The zero value works.
type Options struct {
	// Version is told to clients and shown to people.
	Version string
	// Demo serves the demo page at the root.
	Demo bool
	// RPC answers the calls of realtime clients; nil answers that there is nothing to call.
	RPC realtime.RPC
	// Mailer sends mail to people; it may block, its context says for how long. If nil, the
	// mail server of the configuration (mail.host) is used; without one nothing is sent, and
	// what needs mail is refused.
	Mailer func(context.Context, identity.Mail) error
	// Out takes the first screen and the log. Nil is nowhere.
	Out io.Writer
	// Command is the program in the commands the first screen shows ("kuranty" if empty),
	// and CommandFlags, with a space before, stand at their end: what they need to find
	// this server.
	Command, CommandFlags string
	// Reload, if not nil, makes [Server.Run] read the configuration again with Load
	// whenever something arrives.
	Reload <-chan os.Signal
	Load   func() (*config.Result, error)
	// Ready, if not nil, is called once when the server takes connections.
	Ready func(Address)
}

// Phases of a server's life.
const (
	starting int32 = iota
	running
	stopping
)

// Server is a whole server. [New] builds it, [Server.Run] runs it, once.
type Server struct {
	o   Options
	cfg *config.Config
	log *slog.Logger
	out io.Writer
	api *serverapi.API // nil if it is off
	// mask hides secrets in the log.
	mask *mask

	dir *DataDir
	// secrets are those of the data folder, made the names of those in use.
	secrets map[string]string
	made    []string

	letters   letters
	policy    *policy.Policy
	backend   *backend // nil if chat is off
	broker    *realtime.MemoryBroker
	node      *realtime.Node
	transport *transport.Server
	front     *front
	// adminToken makes the first administrator, until the first screen has shown it.
	adminToken string
	// logins are those of the demo, shown there too.
	logins []seed.Login
	// seeded says that they were shown at an earlier start.
	seeded bool
	// publicMetrics says that the operator asked for metrics to be served to all.
	publicMetrics bool

	state atomic.Int32
	// inForce is the configuration of the last reload, nil if there was none.
	inForce atomic.Pointer[config.Config]
}

// Run serves until ctx ends, then stops gracefully (guarantees.md R37) and returns. The
// error says why the server could not start, or what it could not keep.
func (s *Server) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.firstAdmin(ctx); err != nil {
		return err
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(s.cfg.HTTPServer.Address, strconv.Itoa(s.cfg.HTTPServer.Port)))
	if err != nil {
		return fmt.Errorf("listen (http_server.address, http_server.port): %w", err)
	}
	more, err := s.listenMore(ctx)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	// Nobody is accepted yet, and the kept streams are gone from the folder before
	// anybody can publish: a crash from here on begins new epochs (R14, R15).
	s.restore()

	outlive := context.WithoutCancel(ctx)
	nodeCtx, endNode := context.WithCancel(outlive)
	defer endNode()
	carryCtx, endCarry := context.WithCancel(outlive)
	defer endCarry()
	node, carry := run(nodeCtx, s.node.Run), run(carryCtx, func(ctx context.Context) error { return s.transport.Serve(ctx, ln, more...) })
	behind := run(nodeCtx, s.backend.run)
	watched := run(nodeCtx, s.watch)

	tended := run(nodeCtx, func(ctx context.Context) error { tendMemory(ctx); return nil })
	s.state.Store(running)
	s.announce(ln.Addr())
	err = s.wait(ctx, node, carry, behind)

	s.state.Store(stopping)
	sessions := s.node.Stats().Sessions
	if s.backend != nil {
		sessions += int64(s.backend.gateway.Count())
	}
	drain, patience := min(s.cfg.Shutdown.Drain, time.Duration(sessions)*time.Millisecond), s.stopTimeout()
	if err != nil { // a part is broken: nobody waits for what it cannot do
		drain, patience = 0, min(patience, brokenTimeout)
		s.transport.StopWithin(patience)
	}
	s.keepBroken()
	s.log.Info("stopping", "connections", sessions, "drain", drain)
	endCarry()
	limit, cancel := context.WithTimeout(outlive, patience)
	defer cancel()
	drained := run(limit, func(ctx context.Context) error { s.drainGateway(ctx, drain); return nil })
	if stopErr := s.node.Shutdown(limit, drain); stopErr != nil {
		s.log.Warn("connections were cut that had not ended in time", "error", stopErr)
	}
	// The node ends after the listener: it closes sessions that were just being opened.
	err = errors.Join(err, <-drained, <-carry)
	endNode()
	return errors.Join(err, <-node, <-behind, <-watched, <-tended, s.keep())
}

// listenMore opens the listeners beside the first.
func (s *Server) listenMore(ctx context.Context) (more []net.Listener, err error) {
	for _, address := range s.cfg.HTTPServer.ExtraAddresses {
		ln, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			for _, ln := range more {
				err = errors.Join(err, ln.Close())
			}
			return nil, fmt.Errorf("listen (http_server.extra_addresses): %w", err)
		}
		more = append(more, ln)
	}
	return more, nil
}

// brokenTimeout is how long connections have to end when the server ends by itself, which
// is to take 5 s altogether (guarantees.md R6).
const brokenTimeout = time.Second

// stopTimeout is how long connections have to end; the rest of shutdown.timeout is for
// everything else.
func (s *Server) stopTimeout() time.Duration {
	t := s.cfg.Shutdown.Timeout
	return t - min(t/10, 3*time.Second)
}

// run calls f in a goroutine and returns where its error arrives.
func run(ctx context.Context, f func(context.Context) error) chan error {
	ended := make(chan error, 1)
	go func() { ended <- f(ctx) }()
	return ended
}

// wait returns nil when ctx ends, or an error when a part ends by itself; until then
// it reads the configuration again whenever asked to.
func (s *Server) wait(ctx context.Context, node, carry, behind chan error) error {
	early := func(part string, ended chan error, err error) error {
		ended <- nil
		return fmt.Errorf("%s ended: %w", part, err)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-node:
			return early("realtime node", node, err)
		case err := <-carry:
			return early("listener", carry, err)
		case err := <-behind:
			return early("what stands on the database", behind, err)
		case <-s.o.Reload:
			s.reload()
		}
	}
}

// announce tells that the server is ready.
func (s *Server) announce(ln net.Addr) {
	a := Address{Host: s.cfg.HTTPServer.Address, Port: s.cfg.HTTPServer.Port, TLS: s.cfg.HTTPServer.TLS.Enabled}
	if tcp, ok := ln.(*net.TCPAddr); ok {
		a.Host, a.Port = tcp.IP.String(), tcp.Port
	}
	if err := s.dir.write(addressFile, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, a.URL())
		return err
	}); err != nil {
		s.log.Warn("commands will not find this server by themselves", "error", err)
	}
	if s.cfg.Log.Format == "json" {
		// Programs wait for this line, whatever log.level is.
		newLogger(s.mask, "json", "info").Info("ready", "address", a.HostPort(), "url", a.URL(), "data_dir", s.dir.Path(), "version", s.o.Version)
	} else {
		s.welcome(s.out, a)
	}
	if s.o.Ready != nil {
		s.o.Ready(a)
	}
}

// reload reads the configuration again and takes over what may change while running.
func (s *Server) reload() {
	res, err := s.o.Load()
	if err == nil {
		err = s.replace(res.Config)
	}
	if err != nil {
		s.log.Error("configuration not reloaded, the old one stays in force", "error", err)
		return
	}
	s.log.Info("configuration reloaded: token keys, channel options and who may connect; all else changes at the next start")
}

// restore loads what the last graceful stop kept.
func (s *Server) restore() {
	f, err := s.dir.take(snapshotFile)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		err = errors.Join(s.broker.Load(f), f.Close())
	}
	if err != nil {
		s.log.Error("streams were not restored; channels start anew", "error", err)
		return
	}
	streams, publications := s.broker.Retained()
	s.log.Info("streams restored", "streams", streams, "publications", publications)
}

// keep saves the streams for the next start (guarantees.md R15).
func (s *Server) keep() error {
	streams, publications := s.broker.Retained()
	err := s.dir.write(snapshotFile, s.broker.Save)
	if err != nil {
		return fmt.Errorf("keep streams: %w", err)
	}
	s.dir.remove(addressFile)
	if s.cfg.Log.Format == "json" {
		s.log.Info("stopped", "streams", streams, "publications", publications, "data_dir", s.dir.Path())
		return nil
	}
	_, _ = fmt.Fprintf(s.out, "Stopped; kept %s with %s in %s.\n",
		count(streams, "stream"), count(publications, "publication"), s.dir.Path()) // a closed terminal is no failure
	return nil
}

// count is n of what, in words.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
