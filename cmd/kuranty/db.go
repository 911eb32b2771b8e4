package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/kuranty/kuranty/internal/config"
	"github.com/kuranty/kuranty/internal/server"
	"github.com/kuranty/kuranty/internal/store"
)

type dbCmd struct {
	Status  dbStatusCmd  `cmd:"" help:"Print version, size and rows of the database, and how far the event log has been read."`
	Migrate dbMigrateCmd `cmd:"" help:"Bring the schema up to date, while no server runs."`
	Check   dbCheckCmd   `cmd:"" help:"Read the whole database and say what is wrong with it."`
}

// quiet is the log of commands, which say what is worth saying themselves.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// reader opens the configured database to read, beside a server that uses it.
func reader(c *config.Config) (*store.Store, error) {
	o := server.StoreOptions(c, c.Storage.DataDir)
	o.Logger = quiet()
	s, err := store.OpenReader(context.Background(), o)
	if errors.Is(err, store.ErrNoDatabase) && o.DSN != "" {
		return nil, fmt.Errorf("%w, or its user may not see it (storage.dsn): start the server once, or name another database", err)
	}
	if errors.Is(err, store.ErrNoDatabase) {
		return nil, fmt.Errorf("%w: start the server once, or name its folder with --data-dir", err)
	}
	return s, err
}

// writer opens the configured database for this process alone, and calls do.
func writer(c *config.Config, change func(*store.Options), do func(*store.Store) error) (err error) {
	dir, err := server.OpenDataDir(c.Storage.DataDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	o := server.StoreOptions(c, dir.Path())
	o.Logger = quiet()
	change(&o)
	s, err := store.Open(context.Background(), o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return do(s)
}

// rows prints names with their values.
func (g *globals) rows(pairs ...any) error {
	w := tabwriter.NewWriter(g.stdout, 0, 0, 2, ' ', 0)
	for i := 0; i+1 < len(pairs); i += 2 {
		if _, err := fmt.Fprintf(w, "%v\t%v\n", pairs[i], pairs[i+1]); err != nil {
			return err
		}
	}
	return w.Flush()
}

// size is a number of bytes for people.
func size(bytes int64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	n, unit := float64(bytes), 0
	for n >= 1024 && unit < len(units)-1 {
		n, unit = n/1024, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d bytes", bytes)
	}
	return fmt.Sprintf("%.1f %s", n, units[unit])
}

type dbStatusCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

func (c *dbStatusCmd) Run(g *globals) (err error) {
	settings, err := g.settings()
	if err != nil {
		return err
	}
	s, err := reader(settings)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	st, err := s.Status(context.Background())
	if err != nil {
		return err
	}
	if c.JSON {
		enc := json.NewEncoder(g.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(st)
	}
	return g.printStatus(st)
}

func (g *globals) printStatus(st *store.Status) error {
	schema := fmt.Sprintf("%d, the newest", st.Schema.Version)
	switch {
	case st.Schema.Version < st.Schema.Newest:
		schema = fmt.Sprintf("%d, this program has %d: run kuranty db migrate, or start the server", st.Schema.Version, st.Schema.Newest)
	case st.Schema.Version > st.Schema.Newest:
		schema = fmt.Sprintf("%d, later than the %d of this program", st.Schema.Version, st.Schema.Newest)
	}
	pairs := []any{
		"database", st.Driver + " " + st.Server, "schema", schema, "epoch", st.Epoch, "size", size(st.Bytes),
		"log", fmt.Sprintf("at position %d, %d events not numbered yet", st.Head, st.Unnumbered),
	}
	for _, k := range st.Sinks {
		pairs = append(pairs, "  "+k.Sink, fmt.Sprintf("at %d, %d behind, as of %s", k.Pos, k.Lag, time.UnixMilli(k.SavedAt).Format("2006-01-02 15:04:05")))
	}
	pairs = append(pairs, "refused events", st.Refused, "rows", "")
	for _, t := range st.Tables {
		pairs = append(pairs, "  "+t.Name, t.Rows)
	}
	return g.rows(pairs...)
}

type dbMigrateCmd struct{}

func (dbMigrateCmd) Help() string {
	return `A server does it by itself when it starts. This is for who wants to see it done first, or to take longer than a start may.`
}

func (dbMigrateCmd) Run(g *globals) error {
	settings, err := g.settings()
	if err != nil {
		return err
	}
	return writer(settings, func(*store.Options) {}, func(s *store.Store) error {
		v, err := s.Schema(context.Background())
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(g.stdout, "the database is of schema %d\n", v.Version)
		return err
	})
}

type dbCheckCmd struct {
	Reindex bool `help:"Build the search index anew first; no server may be running."`
}

func (dbCheckCmd) Help() string {
	return `It looks at damage of the file (SQLite), numbers of messages and events with gaps, counters, rows and files that are missing, and the search index. A server may be running. It exits with 1 if anything is wrong.`
}

func (c *dbCheckCmd) Run(g *globals) (err error) {
	settings, err := g.settings()
	if err != nil {
		return err
	}
	if c.Reindex {
		if err := haveDatabase(settings); err != nil {
			return err
		}
		err := writer(settings, func(*store.Options) {}, func(s *store.Store) error {
			n, err := s.ReindexAll(context.Background())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(g.stdout, "indexed %d messages\n", n)
			return err
		})
		if err != nil {
			return err
		}
	}
	s, err := reader(settings)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	faults, err := s.Check(context.Background(), os.DirFS(filesFolder(settings)))
	if err != nil {
		return err
	}
	for _, f := range faults {
		if _, err := fmt.Fprintln(g.stdout, f); err != nil {
			return err
		}
	}
	switch len(faults) {
	case 0:
		_, err = io.WriteString(g.stdout, "nothing is wrong\n")
		return err
	case 1:
		return errors.New("the database has a fault")
	}
	return fmt.Errorf("the database has %d faults", len(faults))
}

// filesFolder is where the server keeps what users upload.
func filesFolder(c *config.Config) string { return filepath.Join(c.Storage.DataDir, server.FilesDir) }
