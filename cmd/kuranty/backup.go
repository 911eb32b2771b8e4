package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/kuranty/kuranty/internal/config"
	"github.com/kuranty/kuranty/internal/store"
)

type backupCmd struct {
	Create  backupCreateCmd  `cmd:"" help:"Write the database and the files into one file, while the server runs or not."`
	Verify  backupVerifyCmd  `cmd:"" help:"Read a backup and compare it with its checksums."`
	Restore backupRestoreCmd `cmd:"" help:"Fill an empty database of either kind from a backup."`
}

type backupCreateCmd struct {
	Output string `short:"o" placeholder:"FILE" help:"File to write, which must not exist; by default a new one in backup.dir."`
}

func (backupCreateCmd) Help() string {
	return `The file appears under its name only when all of it is on the disk. It has everything but secrets.json and the configuration.`
}

func (c *backupCreateCmd) Run(g *globals) (err error) {
	settings, err := g.settings()
	if err != nil {
		return err
	}
	s, err := reader(settings)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if c.Output == "" {
		if c.Output, err = nextBackup(settings); err != nil {
			return err
		}
	}
	if _, err := os.Lstat(c.Output); err == nil {
		return fmt.Errorf("%s exists already; name another file with --output", c.Output)
	}
	var m *store.Manifest
	err = writeWhole(c.Output, func(w io.Writer) (err error) {
		m, err = s.Backup(context.Background(), w, os.DirFS(filesFolder(settings)))
		return err
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(g.stdout, "wrote %s: %s\n", c.Output, contents(m))
	return err
}

// nextBackup is the name of a new backup in the configured folder, which it makes.
func nextBackup(c *config.Config) (string, error) {
	dir := c.Backup.Dir
	if dir == "" {
		dir = filepath.Join(c.Storage.DataDir, "backups")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make folder of backups (backup.dir): %w", err)
	}
	return filepath.Join(dir, "kuranty-"+time.Now().UTC().Format("20060102T150405.000Z")+".zip"), nil
}

// contents says what a backup has.
func contents(m *store.Manifest) string {
	var rows int64
	for _, t := range m.Tables {
		rows += t.Rows
	}
	return fmt.Sprintf("%d rows of schema %d, %d files with %s, as of %s",
		rows, m.Schema, m.Files, size(m.FileBytes), m.CreatedAt.Local().Format("2006-01-02 15:04:05"))
}

// archive opens a backup.
func archive(name string) (f *os.File, bytes int64, err error) {
	f, err = os.Open(name)
	if err != nil {
		return nil, 0, fmt.Errorf("open backup: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("open backup: %w", err), f.Close())
	}
	return f, info.Size(), nil
}

type backupVerifyCmd struct {
	File string `arg:"" help:"Backup."`
}

func (c *backupVerifyCmd) Run(g *globals) (err error) {
	f, n, err := archive(c.File)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	m, err := store.VerifyBackup(f, n)
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	_, err = fmt.Fprintf(g.stdout, "%s is whole: %s\n", c.File, contents(m))
	return err
}

type backupRestoreCmd struct {
	File string `arg:"" help:"Backup."`
}

func (backupRestoreCmd) Help() string {
	return `The database must be empty, as that of a new data folder is. Clients notice that positions they remember mean nothing any more. A restore that was interrupted is simply run again.`
}

func (c *backupRestoreCmd) Run(g *globals) (err error) {
	settings, err := g.settings()
	if err != nil {
		return err
	}
	f, n, err := archive(c.File)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := store.VerifyBackup(f, n); err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	var m *store.Manifest
	err = writer(settings, func(o *store.Options) { o.Restoring = true }, func(s *store.Store) error {
		m, err = s.Restore(context.Background(), f, n, filesFolder(settings))
		return err
	})
	if errors.Is(err, store.ErrNotEmpty) {
		return fmt.Errorf("%w, so nothing was restored: name a new data folder with --data-dir, or an empty database in storage.dsn", err)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(g.stdout, "restored %s\n", contents(m))
	return err
}
