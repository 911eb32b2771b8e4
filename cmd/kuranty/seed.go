package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/kuranty/kuranty/internal/server"
)

type seedCmd struct {
	Demo seedDemoCmd `cmd:"" help:"Add people who know each other and what they wrote, in Russian and English."`
}

type seedDemoCmd struct{}

func (seedDemoCmd) Help() string {
	return `No server may be running. Two of the people can log in; their passwords are printed once. It is for trying things: start with a data folder of its own (--data-dir).`
}

func (seedDemoCmd) Run(g *globals) error {
	settings, err := g.settings()
	if err != nil {
		return err
	}
	logins, err := server.SeedDemo(context.Background(), settings)
	switch {
	case errors.Is(err, server.ErrSeeded):
		_, err = fmt.Fprintln(g.stdout, "the people of the demo are there already; kuranty user reset-password anna makes a new password")
		return err
	case err != nil:
		return err
	}
	if _, err := fmt.Fprintln(g.stdout, "added people and their chats; these can log in, which is shown once:"); err != nil {
		return err
	}
	for _, l := range logins {
		if err := g.rows("  "+l.Username, l.Password); err != nil {
			return err
		}
	}
	return nil
}
