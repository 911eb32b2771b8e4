package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/config"
	"github.com/kuranty/kuranty/internal/files"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/seed"
	"github.com/kuranty/kuranty/internal/store"
)

// demoNote is kept in a database that has the people of the demo.
const demoNote = "demo"

// ErrSeeded means that the people of the demo are there already.
var ErrSeeded = errors.New("the people of the demo are there already")

// SeedDemo fills the database of a configuration with the people of the demo and their
// chats, and returns who can log in. No server may be using the data folder. The error
// is [ErrSeeded] if they are there already, [ErrInUse] if the folder is in use.
func SeedDemo(ctx context.Context, c *config.Config) (logins []seed.Login, err error) {
	dir, err := OpenDataDir(c.Storage.DataDir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	return seedDemo(ctx, c, dir.Path(), slog.New(slog.DiscardHandler), false)
}

// seedDemo does it in the data folder at path, if onlyEmpty unless there is anything in
// the database.
func seedDemo(ctx context.Context, c *config.Config, path string, log *slog.Logger, onlyEmpty bool) (logins []seed.Login, err error) {
	clock := new(seed.Clock)
	o := StoreOptions(c, path)
	o.Clock, o.Logger = clock.Now, log
	st, err := store.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	note, err := st.Noted(ctx, demoNote)
	if err != nil {
		return nil, err
	}
	empty, err := st.Empty(ctx)
	switch {
	case err != nil:
		return nil, err
	case note != "":
		return nil, ErrSeeded
	case onlyEmpty && !empty:
		return nil, nil
	}
	ao := AccountOptions(c)
	ao.Now, ao.Mode, ao.Logger = clock.Now, identity.Builtin, log
	into := seed.Into{Clock: clock}
	if into.Accounts, err = identity.NewAccounts(st.Accounts(), ao); err != nil {
		return nil, err
	}
	if err := seed.Check(ctx, into.Accounts); err != nil {
		return nil, fmt.Errorf("%w, so nothing was added: take another data folder (--data-dir) or database", err)
	}
	into.Files, err = files.New(files.Options{
		Folder: filepath.Join(path, FilesDir), Store: st.Files(), Access: st.FileAccess(), Secret: derived(identity.NewSecret(), "links of files"), Clock: clock.Now,
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, into.Files.Close()) }()
	co := chatOptions(c, st)
	co.Clock = clock.Now
	co.Limits = chat.Limits{
		SendPerSecond: -1, ChatPerSecond: -1, TypingPerSecond: -1, SearchPerMinute: -1, ChatsPerMinute: -1, ChatsPerDay: -1, UploadsPerMinute: -1,
	}
	into.Chats = chat.New(co)
	// First: half of them are no reason to begin again.
	if err := st.Note(ctx, demoNote, "yes"); err != nil {
		return nil, err
	}
	if logins, err = seed.Fill(ctx, into, time.Now()); err != nil {
		return nil, fmt.Errorf("fill the database: %w", err)
	}
	return logins, nil
}

// prepareDemo fills an empty database of the demo.
func (s *Server) prepareDemo(ctx context.Context) error {
	logins, err := seedDemo(ctx, s.cfg, s.dir.Path(), s.log, true)
	if errors.Is(err, ErrSeeded) {
		s.seeded = true
		return nil
	}
	s.logins = logins
	return err
}

// warnOfDemo tells who serves for real that the people of the demo are there.
func (s *Server) warnOfDemo(ctx context.Context) {
	note, err := s.backend.store.Noted(ctx, demoNote)
	if err == nil && note != "" {
		s.log.Warn("the database has the people of the demo; use another data folder (storage.data_dir) or database for people of your own")
	}
}

// welcomeDemo tells who can log in.
func (s *Server) welcomeDemo(b *strings.Builder) {
	if s.seeded {
		fmt.Fprintf(b, "\nThe chat has people who know each other. Their passwords were shown at the first start; this makes another:\n\n  %s user reset-password anna%s\n",
			cmp.Or(s.o.Command, "kuranty"), s.o.CommandFlags)
	}
	if len(s.logins) == 0 {
		return
	}
	b.WriteString("\nThe chat has people who know each other. Two of them can log in; this is shown once:\n\n")
	for _, l := range s.logins {
		role := ""
		if l.Admin {
			role = ", administrator"
		}
		fmt.Fprintf(b, "  %-6s %s   (%s%s)\n", l.Username, l.Password, l.Name, role)
	}
}
