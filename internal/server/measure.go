package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/config"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/store"
)

// Senders is what sending costs without a server around it: the rules and the store, on
// a database of its own. `kuranty bench chat` measures the server against it.
type Senders struct {
	people int
	dir    *DataDir
	store  *store.Store
	chats  *chat.Service
	made   store.Filled
	number atomic.Int64
}

// OpenSenders fills the database of a configuration, which must be empty, with people
// and as many groups of all of them.
func OpenSenders(ctx context.Context, c *config.Config, people int) (s *Senders, err error) {
	s = &Senders{people: people}
	if s.dir, err = OpenDataDir(c.Storage.DataDir); err != nil {
		return nil, err
	}
	o := StoreOptions(c, s.dir.Path())
	o.Logger = slog.New(slog.DiscardHandler)
	if s.store, err = store.Open(ctx, o); err != nil {
		return nil, errors.Join(err, s.dir.Close())
	}
	co := chatOptions(c, s.store)
	co.Limits = chat.Limits{SendPerSecond: -1, ChatPerSecond: -1}
	s.chats = chat.New(co)
	s.made, err = s.store.Fill(ctx, store.Filling{People: people, Groups: []store.FilledGroups{{Count: people, Members: people}}})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Send sends n messages, a number and text each, with as many calls under way as there
// are people. It returns how long that took.
func (s *Senders) Send(ctx context.Context, n int, text string) (time.Duration, error) {
	g, ctx := errgroup.WithContext(ctx)
	left := atomic.Int64{}
	left.Store(int64(n))
	start := time.Now()
	for i := range int64(s.people) {
		g.Go(func() error {
			for left.Add(-1) >= 0 {
				number := strconv.FormatInt(1e9+s.number.Add(1), 10)
				in := chat.Sending{ClientID: "c" + number, Text: number + " " + text}
				if _, _, err := s.chats.Send(ctx, s.made.People+i, s.made.Groups[0]+rand.Int64N(int64(s.people)), in); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := g.Wait()
	return time.Since(start), err
}

// Script returns what Send does as a script for pgbench, on the same database.
func (s *Senders) Script(text string) string {
	return store.PgbenchScript(s.made.People, s.made.Groups[0], s.people, s.people, text)
}

// Close gives the database up.
func (s *Senders) Close() error { return errors.Join(s.store.Close(), s.dir.Close()) }

// Measured is a database with a history: who may log in, and what there is to look for.
type Measured struct {
	Username string `json:"username"`
	Password string `json:"password"`
	// Large is the group with the most messages, Ten and TenThousand are groups of so many
	// members, in which nothing has been written.
	Large       int64 `json:"large"`
	Ten         int64 `json:"ten"`
	TenThousand int64 `json:"ten_thousand"`
	// Words are of every second message, of one in 1,000 and of one in 100,000.
	Words []string `json:"words"`
}

// FillMeasured fills the database of a configuration, which must be empty, for
// measuring: one person is in a group of 1,000 members with that many messages, in 1,000
// groups with a tenth as many together, and in two without any, of 10 and of 10,000
// members.
func FillMeasured(ctx context.Context, c *config.Config, messages int) (m Measured, err error) {
	dir, err := OpenDataDir(c.Storage.DataDir)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	o := StoreOptions(c, dir.Path())
	o.Logger = slog.New(slog.DiscardHandler)
	st, err := store.Open(ctx, o)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	ao := AccountOptions(c)
	ao.Secret, ao.Mode, ao.Logger = identity.NewSecret(), identity.Builtin, o.Logger
	accounts, err := identity.NewAccounts(st.Accounts(), ao)
	if err != nil {
		return m, err
	}
	m = Measured{Username: "guest", Password: identity.NewSecret(), Words: []string{store.FilledCommon, store.FilledSeldom, store.FilledRare}}
	guest, err := accounts.CreateAccount(ctx, identity.Operator("bench"), identity.AccountSpec{Username: &m.Username, Name: &m.Username, Password: m.Password})
	if err != nil {
		return m, fmt.Errorf("add guest: %w", err)
	}
	done, err := st.Fill(ctx, store.Filling{People: 9999, Events: c.Events.Keep, Groups: []store.FilledGroups{
		{Count: 1, Members: 999, Messages: messages, Guest: guest.ID, Unread: 100},
		{Count: 997, Members: 19, Messages: max(messages/10_000, 1), Guest: guest.ID, Unread: 10},
		{Count: 1, Members: 9, Guest: guest.ID},
		{Count: 1, Members: 9999, Guest: guest.ID},
	}})
	if err != nil {
		return m, err
	}
	m.Large, m.Ten, m.TenThousand = done.Groups[0], done.Groups[2], done.Groups[3]
	return m, nil
}
