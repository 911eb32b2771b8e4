package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/kuranty/kuranty/internal/config"
	"github.com/kuranty/kuranty/internal/server"
)

// globals are the flags of all commands, and where commands write.
type globals struct {
	ConfigFile string `name:"config" short:"c" env:"KURANTY_CONFIG" placeholder:"FILE" help:"Configuration file: YAML, JSON or TOML."`
	DataDir    string `name:"data-dir" placeholder:"DIR" help:"Folder of secrets and of what is kept over a restart (./kuranty-data)."`

	flags          [][2]string
	stdout, stderr io.Writer
}

// Variables of the commands, which are no keys of the configuration.
var ownVariables = []string{"KURANTY_CONFIG", "KURANTY_URL", "KURANTY_API_KEY", "KURANTY_TOKEN", "KURANTY_TOKEN_SECRET"}

// splitFlags takes the flags that are keys of the configuration out of args: those with
// a dot, as in --log.level debug. A flag without a value is true.
func splitFlags(args []string) (rest []string, flags [][2]string, err error) {
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			return append(rest, args[i:]...), flags, nil
		}
		name, isFlag := strings.CutPrefix(arg, "--")
		name, value, given := strings.Cut(name, "=")
		if !isFlag || !strings.Contains(name, ".") {
			rest = append(rest, arg)
			continue
		}
		if !given {
			value = "true"
			if i+1 < len(args) && !strings.HasPrefix(args[i+1], "--") {
				i++
				value = args[i]
			}
		}
		if slices.ContainsFunc(flags, func(f [2]string) bool { return f[0] == name }) {
			return nil, nil, fmt.Errorf("--%s is given twice", name)
		}
		flags = append(flags, [2]string{name, value})
	}
	return rest, flags, nil
}

// source is where the configuration comes from.
func (g *globals) source() config.Source {
	src := config.Source{File: g.ConfigFile, Flags: slices.Clone(g.flags)}
	if g.DataDir != "" {
		src.Flags = append(src.Flags, [2]string{"storage.data_dir", g.DataDir})
	}
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if !slices.Contains(ownVariables, name) {
			src.Env = append(src.Env, v)
		}
	}
	return src
}

// load returns the configuration, with the secrets of the data folder if it exists.
func (g *globals) load() (*config.Result, error) {
	res, err := config.Load(g.source())
	if err != nil {
		return nil, err
	}
	secrets, err := server.ReadSecrets(res.Config.Storage.DataDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	server.Adopt(res.Config, secrets)
	return res, nil
}

// settings is load for who needs the values only.
func (g *globals) settings() (*config.Config, error) {
	res, err := g.load()
	if err != nil {
		return nil, err
	}
	return res.Config, nil
}

// remote says which server a command talks to.
type remote struct {
	URL string `env:"KURANTY_URL" placeholder:"URL" help:"Address of the server; by default the one that uses the data folder."`
}

// address returns the server's URL: the one given, that of the server running in the
// data folder, or the configured one.
func (r *remote) address(c *config.Config) string {
	if r.URL != "" {
		return r.URL
	}
	if url := server.RunningURL(c.Storage.DataDir); url != "" {
		return url
	}
	return server.Address{Host: c.HTTPServer.Address, Port: c.HTTPServer.Port, TLS: c.HTTPServer.TLS.Enabled}.URL()
}
