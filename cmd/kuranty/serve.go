package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/kuranty/kuranty/internal/config"
	"github.com/kuranty/kuranty/internal/server"
)

// version is set by the linker in releases.
var version = "0.1.0-dev"

type serveCmd struct{}

func (serveCmd) Help() string {
	return `Without a configuration the server listens on 127.0.0.1:8000 and makes its secrets in ./kuranty-data. SIGHUP makes it read the configuration again; Ctrl+C stops it gracefully, a second Ctrl+C at once.`
}

func (serveCmd) Run(g *globals) error {
	return serve(g, server.Options{}, func() (*config.Result, error) { return config.Load(g.source()) })
}

type demoCmd struct{}

func (demoCmd) Help() string {
	return `Channels of the demo are open to everybody on this machine and remember their last 100 messages for an hour. It takes the flags of serve, but no configuration file.`
}

// demoSettings open every channel. Pages of this machine may connect, others not.
const demoSettings = `{
  "client": {
    "allow_anonymous_connect_without_token": true,
    "allowed_origins": ["http://127.0.0.1:*", "http://localhost:*"]
  },
  "channel": {"without_namespace": {
    "presence": true, "join_leave": true, "force_push_join_leave": true,
    "history_size": 100, "history_ttl": "1h", "force_recovery": true,
    "allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true,
    "allow_publish_for_client": true, "allow_publish_for_anonymous": true,
    "allow_presence_for_client": true, "allow_presence_for_anonymous": true,
    "allow_history_for_client": true, "allow_history_for_anonymous": true
  }}
}`

func (demoCmd) Run(g *globals) error {
	if g.ConfigFile != "" {
		return usageError{errors.New("the demo brings its own configuration; run kuranty serve --config " + g.ConfigFile)}
	}
	return serve(g, server.Options{Demo: true}, func() (*config.Result, error) {
		src := g.source()
		src.File, src.Text = "demo.json", []byte(demoSettings)
		return config.Load(src)
	})
}

// sameSignal is within which a repeated signal is the same one.
const sameSignal = 300 * time.Millisecond

// serve runs a server until a signal ends it.
func serve(g *globals, o server.Options, load func() (*config.Result, error)) error {
	res, err := load()
	if err != nil {
		return err
	}
	hup := make(chan os.Signal, 1)
	// Signals stay ours until the process has ended: one that comes when all is done must
	// not turn a graceful stop into a crash.
	signal.Notify(hup, syscall.SIGHUP)
	o.Version, o.Out, o.Reload, o.Load = version, g.stdout, hup, load
	o.Command, o.CommandFlags = programName(), commandFlags(g, res)
	s, err := server.New(res, o)
	if err != nil {
		return err
	}

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := make(chan os.Signal, 2)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-stop
		cancel()
		// Supervisors may signal both the process and its group: that is one wish to stop.
		for first := time.Now(); time.Since(first) < sameSignal; {
			<-stop
		}
		fmt.Fprintln(g.stderr, "kuranty: stopped at once; nothing was kept")
		os.Exit(1)
	}()
	return s.Run(ctx)
}

// commandFlags are the flags other commands need to find the server of res.
func commandFlags(g *globals, res *config.Result) string {
	var flags string
	if g.ConfigFile != "" {
		flags += " --config " + g.ConfigFile
	}
	if strings.HasPrefix(string(res.Origins["storage.data_dir"]), "flag") {
		flags += " --data-dir " + res.Config.Storage.DataDir
	}
	return flags
}

// programName is how this program was called.
func programName() string {
	name := os.Args[0]
	if strings.Contains(name, string(filepath.Separator)+"go-build") {
		return "go run ./cmd/kuranty" // which builds into a temporary folder of that name
	}
	if !strings.ContainsRune(name, filepath.Separator) {
		return "kuranty"
	}
	return name
}

type versionCmd struct{}

func (versionCmd) Run(g *globals) error {
	line := "kuranty " + version
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				line += " (" + s.Value[:12] + ")"
			}
		}
	}
	_, err := fmt.Fprintf(g.stdout, "%s, %s, %s/%s\n", line, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
