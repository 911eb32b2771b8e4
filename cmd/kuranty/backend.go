package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"

	"github.com/kuranty/kuranty/internal/client"
	"github.com/kuranty/kuranty/internal/config"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/server"
)

// backend is the flags of commands about people and chats. They call the REST API: of
// the server that uses the data folder or has the URL, or, while none runs, in this
// process.
type backend struct {
	remote
	APIKey string `name:"api-key" env:"KURANTY_API_KEY" placeholder:"KEY" help:"Key with the scope admin; by default the configured one, or that of the data folder."`
	JSON   bool   `name:"json" help:"Print JSON, an object a line."`
}

// session is the way to the REST API for one command.
type session struct {
	*globals
	client.REST
	ctx   context.Context //nolint:containedctx // it lives as long as the command, which is its caller
	json  bool
	local *server.Server // nil if there is a server elsewhere
}

// run calls do with a way to the API.
func (c *backend) run(g *globals, do func(*session) error) error { return c.open(g, false, do) }

// open is run; with begin there need be no database yet.
func (c *backend) open(g *globals, begin bool, do func(*session) error) (err error) {
	res, err := g.load()
	if err != nil {
		return err
	}
	s := &session{globals: g, ctx: context.Background(), json: c.JSON}
	if c.URL == "" {
		if err := s.openLocal(res, begin); err != nil {
			return err
		}
	} else {
		s.URL = c.URL
	}
	if s.local != nil {
		defer func() { err = errors.Join(err, s.local.Close()) }()
	}
	if s.Key = res.Config.HTTPAPI.Key; c.APIKey != "" {
		s.Key = c.APIKey
	}
	return do(s)
}

// openLocal builds a server on the data folder, or finds the one that has it.
func (s *session) openLocal(res *config.Result, begin bool) error {
	c := res.Config
	if !c.Chat.Enabled {
		return errors.New("chat is off in this configuration (chat.enabled), so it has no people and no chats")
	}
	if !begin {
		if err := haveDatabase(c); err != nil {
			return err
		}
	}
	if c.HTTPAPI.Key == "" && (c.HTTPAPI.Disabled || c.HTTPAPI.Insecure) {
		c.HTTPAPI.Key = identity.NewSecret() // for this process alone
	}
	c.Log.Level, c.Log.Format = "error", "text"
	local, err := server.New(res, server.Options{Version: version, Out: s.stderr})
	switch {
	case errors.Is(err, server.ErrInUse):
		if s.URL = server.RunningURL(c.Storage.DataDir); s.URL == "" {
			return fmt.Errorf("%w\nIf another command is at work there, try again in a moment", err)
		}
		return nil
	case err != nil:
		return err
	case !local.Chat():
		return errors.Join(errors.New("chat is off in this configuration (chat.enabled)"), local.Close())
	}
	s.local, s.Handler, s.URL = local, local.Handler(), "http://localhost"
	return nil
}

// haveDatabase makes sure that a command does not make an empty database in a folder, or
// tables in a database, that somebody mistook for another.
func haveDatabase(c *config.Config) error {
	o := server.StoreOptions(c, c.Storage.DataDir)
	if o.DSN != "" {
		if server.RunningURL(c.Storage.DataDir) != "" { // which has one
			return nil
		}
		s, err := reader(c)
		if err != nil {
			return err
		}
		return s.Close()
	}
	if _, err := os.Stat(o.Path); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no database in %s: start the server once, or name its folder with --data-dir", c.Storage.DataDir)
	} else if err != nil {
		return fmt.Errorf("look for the database: %w", err)
	}
	return nil
}

// get, post and so on call an operation.
func (s *session) get(path string, result any) error {
	return s.Call(s.ctx, http.MethodGet, path, nil, result)
}

func (s *session) post(path string, in, result any) error {
	return s.Call(s.ctx, http.MethodPost, path, in, result)
}

func (s *session) patch(path string, in, result any) error {
	return s.Call(s.ctx, http.MethodPatch, path, in, result)
}

func (s *session) del(path string) error {
	return s.Call(s.ctx, http.MethodDelete, path, nil, nil)
}
