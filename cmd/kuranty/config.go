package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/kuranty/kuranty/internal/config"
)

type configCmd struct {
	Check configCheckCmd `cmd:"" help:"Say what is wrong with the configuration, all at once."`
	Show  configShowCmd  `cmd:"" help:"Print the configuration in force, without secrets."`
	Docs  configDocsCmd  `cmd:"" help:"Print every key with its type, default and meaning."`
	Init  configInitCmd  `cmd:"" help:"Write a commented file to start from, with fresh secrets."`
}

type configCheckCmd struct{}

func (configCheckCmd) Run(g *globals) error {
	if err := config.Check(g.stdout, g.source()); err != nil {
		return usageError{errors.New("the server would not start with this configuration")}
	}
	return nil
}

type configShowCmd struct {
	Origin bool `help:"Say where each value comes from."`
}

func (c *configShowCmd) Run(g *globals) error {
	res, err := config.Load(g.source())
	if err != nil {
		return err
	}
	return res.Show(g.stdout, c.Origin)
}

type configDocsCmd struct{}

func (configDocsCmd) Run(g *globals) error { return config.Docs(g.stdout) }

type configInitCmd struct {
	File string `arg:"" optional:"" default:"kuranty.yaml" help:"File to write, which must not exist; - prints it."`
}

func (c *configInitCmd) Run(g *globals) (err error) {
	if c.File == "-" {
		return config.Generate(g.stdout)
	}
	// Only its owner may read it: it holds secrets.
	f, err := os.OpenFile(c.File, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already; remove it or choose another name", c.File)
	}
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	if err := errors.Join(config.Generate(f), f.Close()); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	_, err = fmt.Fprintf(g.stdout, "Wrote %s. Start the server with kuranty serve --config %s\n", c.File, c.File)
	return err
}
