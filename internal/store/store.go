// Package store keeps everything that outlives the process in SQL: SQLite in one file,
// or PostgreSQL. It implements the storage interfaces that the other packages declare;
// the rules are theirs.
//
// [Store.Update] runs a write transaction. When it returns nil, the change and the
// events appended in it are stored (guarantees.md R1) and the events have been handed
// to [Options.Committed]; any other outcome is told apart by [ErrUnavailable]: nothing
// was refused, the same call may be repeated. SQLite has one writer goroutine, which
// commits what waits as one group, each operation in a savepoint of its own; readers
// have a pool beside it. On PostgreSQL each call is a transaction, repeated when the
// database asks for it.
//
// A [Store] is safe for concurrent use. [Open] starts its goroutines, [Store.Close]
// waits for them.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kuranty/kuranty/event"
)

// The databases there are.
const (
	SQLite   = "sqlite"
	Postgres = "postgres"
)

var (
	// ErrUnavailable means that the database cannot do it now; it may or may not have been
	// done, and repeating the call is safe where its idempotency id says so.
	ErrUnavailable = errors.New("database is not available")
	// ErrBroken means that the database failed to make a commit durable, or found itself
	// damaged: nothing is written any more and the process must end (guarantees.md R6).
	ErrBroken = errors.New("database is broken")
	// ErrClosed means that the store has been closed.
	ErrClosed = errors.New("database is closed")
	// ErrText means that PostgreSQL was given a text that it cannot hold, with a NUL or of
	// no valid UTF-8. Whoever looks for what others name prevents it: to find nothing is
	// the better answer.
	ErrText = errors.New("text that the database cannot hold")
)

// Options say which database there is.
type Options struct {
	// Driver is [SQLite], the default, or [Postgres].
	Driver string
	// Path is SQLite's file; its folder exists and belongs to this process.
	Path string
	// DSN is how PostgreSQL is reached.
	DSN string
	// MaxConnections bounds those to PostgreSQL; zero means 16.
	MaxConnections int
	// UnsafeDurability opens a database that does not sync its commits (guarantees.md R2).
	UnsafeDurability bool
	// Restoring opens a database that a restore which did not end has left half filled;
	// nobody else wants that.
	Restoring bool
	// Committed, if not nil, takes the events of a transaction right after its commit.
	// On SQLite calls come one after the other, in the order of the log, from the
	// writer: it must not block.
	Committed func([]event.Event)
	// Logger defaults to slog.Default(), Clock to time.Now.
	Logger *slog.Logger
	Clock  func() time.Time
}

// Store is an open database.
type Store struct {
	o     Options
	epoch string
	pool  *sql.DB // SQLite: readers only
	// patience bounds one call (PostgreSQL only).
	patience time.Duration
	// readers are the statements of the pool (SQLite only).
	readers statements
	writer  *writer // SQLite only
	reading bool    // nothing is written
	// closing ends what waits for the database.
	closing context.Context
	close   context.CancelFunc

	brokenOnce sync.Once
	broken     chan struct{} // closed when the database is broken
	why        error         // set before broken is closed
	unready    atomic.Pointer[string]
	count      counters
}

type counters struct {
	writes, groups, refused, statements, queries atomic.Uint64
	commitNanos                                  atomic.Int64
}

// Stats are counters since start, for metrics.
type Stats struct {
	// Writes are the operations committed in Groups transactions; Refused were told
	// [ErrUnavailable].
	Writes, Groups, Refused uint64
	// Statements are those that write transactions ran, those around them apart.
	Statements uint64
	// Queries are those that were run only to read.
	Queries uint64
	// CommitTime is how long all commits took together.
	CommitTime time.Duration
	// Unindexed are new messages that wait for the full-text index (SQLite only).
	Unindexed int64
}

// Open opens the database, brings its schema up to date and checks that an
// acknowledged commit survives a crash.
func Open(ctx context.Context, o Options) (*Store, error) {
	s := newStore(o)
	open := s.openSQLite
	switch s.o.Driver {
	case SQLite:
	case Postgres:
		open = s.openPostgres
	default:
		return nil, fmt.Errorf("open database: storage.driver is %q, not sqlite or postgres", o.Driver)
	}
	if err := open(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.loadEpoch(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.checkRestored(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, mistakenlyOpened(ctx, s)
}

// newStore returns a store that is not open yet.
func newStore(o Options) *Store {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Driver == "" {
		o.Driver = SQLite
	}
	s := &Store{o: o, broken: make(chan struct{})}
	s.closing, s.close = context.WithCancel(context.Background())
	return s
}

// Close ends the store's goroutines, after what was accepted has been written.
func (s *Store) Close() error {
	s.close()
	if s.writer != nil {
		<-s.writer.ended
	}
	var err error
	if s.pool != nil {
		err = s.pool.Close()
	}
	if s.writer != nil { // last, for it then moves the write-ahead log into the file
		err = errors.Join(err, s.writer.close())
	}
	return err
}

// Driver is [SQLite] or [Postgres].
func (s *Store) Driver() string { return s.o.Driver }

// Epoch names this database's history; it changes when a backup is restored, so that
// positions handed out before are not taken for positions now (guarantees.md R14).
func (s *Store) Epoch() string { return s.epoch }

// Broken is closed when the database is broken; Err then says why.
func (s *Store) Broken() <-chan struct{} { return s.broken }

// Err returns why the database is broken, or nil.
func (s *Store) Err() error {
	select {
	case <-s.broken:
		return s.why
	default:
		return nil
	}
}

// Ready returns nil if the last attempt to reach the database succeeded.
func (s *Store) Ready() error {
	if err := s.Err(); err != nil {
		return err
	}
	if why := s.unready.Load(); why != nil {
		return fmt.Errorf("%w: %s", ErrUnavailable, *why)
	}
	return nil
}

// Stats returns the store's counters.
func (s *Store) Stats() Stats {
	stats := Stats{
		Writes: s.count.writes.Load(), Groups: s.count.groups.Load(), Refused: s.count.refused.Load(),
		Statements: s.count.statements.Load(), Queries: s.count.queries.Load(),
		CommitTime: time.Duration(s.count.commitNanos.Load()),
	}
	if s.writer != nil {
		stats.Unindexed = s.writer.behind.length.Load()
	}
	return stats
}

// Update runs f in a write transaction. f may run several times, or with others in one
// transaction: it changes nothing but through tx, does not block and does no other I/O.
// Its error rolls back what it did and is returned as it is.
func (s *Store) Update(ctx context.Context, f func(*Tx) error) error {
	if err := s.Err(); err != nil {
		return err
	}
	if s.reading {
		return ErrReadOnly
	}
	if s.writer != nil {
		return s.writer.do(ctx, f)
	}
	return s.updatePostgres(ctx, f)
}

// View runs f, which only reads, on the pool.
func (s *Store) View(ctx context.Context, f func(*Tx) error) error {
	if s.o.Driver == Postgres {
		return s.viewPostgres(ctx, f)
	}
	tx := &Tx{store: s, dialect: s.o.Driver, q: poolQuerier{s.pool, &s.readers}}
	err := f(tx)
	s.count.queries.Add(uint64(tx.statements))
	return err
}

// breakDown notes that the database is broken.
func (s *Store) breakDown(err error) {
	s.brokenOnce.Do(func() {
		s.why = fmt.Errorf("%w: %w", ErrBroken, err)
		s.o.Logger.Error("the database is broken; nothing is written any more", "error", err)
		close(s.broken)
	})
}

// now is the time in milliseconds since 1970.
func (s *Store) now() int64 { return s.o.Clock().UnixMilli() }
