package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/kuranty/kuranty/internal/client"
)

// working does exports and erasures in this process while do waits for them, if no server
// does.
func (s *session) working(do func() error) error {
	if s.local == nil {
		return do()
	}
	ctx, cancel := context.WithCancel(s.ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.local.Work(ctx) }()
	err := do()
	cancel()
	return errors.Join(err, <-ended)
}

// patience bounds how long a command waits for an export or an erasure; askEvery is how
// often it asks.
const (
	patience = time.Hour
	askEvery = 200 * time.Millisecond
)

type adminExportCmd struct {
	backend
	userArg
	Output string `short:"o" placeholder:"FILE" help:"File to write, which must not exist; export-NUMBER.zip if not given."`
}

func (c *adminExportCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		a, err := s.user(c.User)
		if err != nil {
			return err
		}
		if c.Output == "" {
			c.Output = fmt.Sprintf("export-%d.zip", a.ID)
		}
		if _, err := os.Lstat(c.Output); err == nil {
			return fmt.Errorf("%s exists already; name another file with --output", c.Output)
		}
		return s.working(func() error { return s.export(&a, c.Output) })
	})
}

// export asks for an export of a, waits for it and writes it into a file.
func (s *session) export(a *account, file string) error {
	path := fmt.Sprintf("/admin/users/%d/export", a.ID)
	var state struct{ Job, State string }
	if err := s.post(path, nil, &state); err != nil {
		return fmt.Errorf("export %s: %w", a, err)
	}
	path += "/" + state.Job
	for late := time.Now().Add(patience); ; time.Sleep(askEvery) {
		if err := s.get(path, &state); err != nil {
			return fmt.Errorf("export %s: %w", a, err)
		}
		if state.State == "done" {
			break
		}
		if state.State != "waiting" && state.State != "running" || time.Now().After(late) {
			return fmt.Errorf("export %s: it is %s; the server's log says why", a, state.State)
		}
	}
	var n int64
	err := writeWhole(file, func(w io.Writer) (err error) {
		n, err = s.Fetch(s.ctx, path+"/archive", w)
		return err
	})
	if err != nil {
		return fmt.Errorf("export %s: %w", a, err)
	}
	return s.say("wrote %s, %s", file, size(n))
}

// writeWhole makes a file that is there under its name only when all of it is on the disk.
// Its owner alone may read it.
func writeWhole(name string, content func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // it is not there any more if all went well
	if err := errors.Join(content(f), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	// Not a rename: that would replace a file that has come meanwhile.
	if err := os.Link(f.Name(), name); err != nil {
		if errors.Is(err, os.ErrExist) {
			return fmt.Errorf("%s exists already", name)
		}
		if err := os.Rename(f.Name(), name); err != nil { // a file system without links
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_ = dir.Sync() // where a folder can be synced
	return dir.Close()
}

type adminEraseCmd struct {
	backend
	userArg
	confirmed
	Mode   string   `default:"anonymize" enum:"anonymize,erase" help:"anonymize keeps the texts of messages without a name; erase deletes them too."`
	Grace  lifetime `placeholder:"TIME" help:"Begin only then, as 7d; until then --cancel takes it back. At once if not given."`
	Cancel bool     `help:"Take an erasure back that has not begun."`
}

func (c *adminEraseCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		a, err := s.user(c.User)
		if err != nil {
			return err
		}
		path := fmt.Sprintf("/admin/users/%d/erasure", a.ID)
		if c.Cancel {
			if err := s.del(path); err != nil {
				return fmt.Errorf("take the erasure of %s back: %w", &a, err)
			}
			return s.say("%s is not erased", &a)
		}
		if err := c.check("erase " + a.String()); err != nil {
			return err
		}
		return s.working(func() error { return s.erase(&a, path, c.Mode, time.Duration(c.Grace)) })
	})
}

// erase asks for the erasure of a, and waits for it if it begins at once.
func (s *session) erase(a *account, path, mode string, grace time.Duration) error {
	var e struct {
		DueAt string `json:"due_at"`
	}
	if err := s.post(path, map[string]any{"mode": mode, "grace_s": int64(grace / time.Second)}, &e); err != nil {
		return fmt.Errorf("erase %s: %w", a, err)
	}
	if grace > 0 {
		return s.say("%s is erased after %s; kuranty admin erase %d --cancel takes that back", a, day(&e.DueAt), a.ID)
	}
	// A legal hold is not told, so the wait has an end.
	for late := time.Now().Add(30 * time.Second); time.Now().Before(late); time.Sleep(askEvery) {
		err := s.get(path, nil)
		var refused *client.RefusedError
		if errors.As(err, &refused) && refused.Code == "not_found" {
			return s.say("%s is erased", a)
		}
		if err != nil {
			return fmt.Errorf("erase %s: %w", a, err)
		}
	}
	return s.say("the erasure of %s is under way; a running server goes on with it", a)
}
