package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	sqlite "modernc.org/sqlite"
	sqlitecode "modernc.org/sqlite/lib"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/store/gather"
)

const (
	// queueLength bounds the operations that wait for the writer; each is held by the
	// goroutine that waits for it, which has bounded its own request.
	queueLength = 4096
	// groupLength bounds the operations of one commit.
	groupLength = 512
	// minSQLite is the oldest version whose write-ahead log is free of known corruption
	// (guarantees.md R8).
	minSQLite = 3_051_003
)

// sqliteDSN is the address of the file with what each connection is set to. What means
// something in an address is escaped: "#" in the name of a folder would end it.
func sqliteDSN(path string, pragmas ...string) string {
	q := url.Values{"_pragma": append([]string{
		"busy_timeout(5000)", "foreign_keys(1)", "synchronous(FULL)", "temp_store(MEMORY)",
	}, pragmas...)}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath(), RawQuery: q.Encode()}).String()
}

// openSQLite opens the file, one connection to write and a pool to read.
func (s *Store) openSQLite(ctx context.Context) error {
	if err := localFileSystem(filepath.Dir(s.o.Path)); err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	// SQLite would let everybody read it, in a folder that the operator made so. The files
	// beside it take its mode. One that exists is not even opened: closing it again would
	// end the locks of this process on it.
	f, err := os.OpenFile(s.o.Path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make database: %w", err)
	}
	if err := gather.Register(); err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	// A page that many transactions change is moved from the log into the file the less often
	// the longer the log gets: 40 MB here. What was deleted is overwritten, not only let go.
	single, err := sql.Open("sqlite", sqliteDSN(s.o.Path, "journal_mode(WAL)", "cache_size(-8192)", "wal_autocheckpoint(10000)",
		"secure_delete(1)")+"&vfs="+gather.Name)
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	single.SetMaxOpenConns(1)
	conn, err := single.Conn(ctx)
	if err != nil {
		return errors.Join(fmt.Errorf("open database %s: %w", s.o.Path, err), single.Close())
	}
	s.writer = newWriter(s, single, conn)
	if err := checkSQLite(ctx, conn); err != nil {
		return err
	}
	if err := conn.Close(); err != nil { // goose takes connections from the pool
		return fmt.Errorf("open database: %w", err)
	}
	if err := s.migrate(ctx, single); err != nil {
		return err
	}
	if s.writer.conn, err = single.Conn(ctx); err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	if err := s.openPool(); err != nil {
		return err
	}
	if err := s.writer.load(ctx); err != nil {
		return err
	}
	s.writer.ended = make(chan struct{})
	go s.writer.run()
	return s.indexRest(ctx)
}

// truncateLog writes the log of changes into the file and empties it. Who writes waits
// meanwhile, so it does not wait long itself for who reads.
func (s *Store) truncateLog(ctx context.Context) (err error) {
	if s.o.Driver == Postgres {
		return nil
	}
	db, err := sql.Open("sqlite", sqliteDSN(s.o.Path))
	if err != nil {
		return fmt.Errorf("empty the log of changes: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1) // the one that has the time set
	var busy, frames, moved int
	if _, err := db.ExecContext(ctx, `PRAGMA busy_timeout = 100`); err != nil {
		return fmt.Errorf("empty the log of changes: %w", err)
	}
	if err := db.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &frames, &moved); err != nil {
		return fmt.Errorf("empty the log of changes: %w", err)
	}
	if busy != 0 {
		return errors.New("empty the log of changes: it is being read")
	}
	return nil
}

// checkSQLite refuses a version or settings with which an acknowledged commit may be lost.
func checkSQLite(ctx context.Context, conn *sql.Conn) error {
	var version, mode string
	var sync int
	err := errors.Join(
		conn.QueryRowContext(ctx, `SELECT sqlite_version()`).Scan(&version),
		conn.QueryRowContext(ctx, `PRAGMA journal_mode`).Scan(&mode),
		conn.QueryRowContext(ctx, `PRAGMA synchronous`).Scan(&sync))
	if err != nil {
		return fmt.Errorf("check database: %w", err)
	}
	var a, b, c int
	if _, err := fmt.Sscanf(version, "%d.%d.%d", &a, &b, &c); err != nil || a*1_000_000+b*1000+c < minSQLite {
		return fmt.Errorf("check database: SQLite %s is older than 3.51.3", version)
	}
	if mode != "wal" || sync != 2 {
		return fmt.Errorf("check database: journal mode %s and synchronous %d, not wal and 2: commits would not be safe here", mode, sync)
	}
	return nil
}

// writer owns the one connection that writes.
type writer struct {
	store *Store
	db    *sql.DB
	conn  *sql.Conn
	kept  statements
	queue chan *operation
	ended chan struct{}
	// pos is the last position given in the log.
	pos int64
	// careful is for how many more groups each operation has a savepoint of its own.
	careful int
	behind  backlog
}

// newWriter returns a writer that is not started.
func newWriter(s *Store, db *sql.DB, conn *sql.Conn) *writer {
	w := &writer{store: s, db: db, conn: conn, queue: make(chan *operation, queueLength), ended: make(chan struct{})}
	close(w.ended)
	w.behind.late = time.NewTimer(waitingFor)
	w.behind.late.Stop() // until something waits
	return w
}

// carefulFor is how many groups have savepoints after one that needed them.
const carefulFor = 64

// errAgain says that an operation failed after it had changed something, and that there is
// no savepoint to go back to.
var errAgain = errors.New("the group is done again with savepoints")

// operation is a write that waits for its group's commit.
type operation struct {
	ctx  context.Context
	do   func(*Tx) error
	tx   Tx
	err  error
	done chan struct{}
	// answered says that done is closed.
	answered bool
}

// load reads where the log ends.
func (w *writer) load(ctx context.Context) error {
	if err := w.conn.QueryRowContext(ctx, maxPos).Scan(&w.pos); err != nil {
		return fmt.Errorf("read end of the log: %w", err)
	}
	return nil
}

// do queues f and waits until its group is stored. A queue that is full is
// [ErrUnavailable] at once.
func (w *writer) do(ctx context.Context, f func(*Tx) error) error {
	op := &operation{ctx: ctx, do: f, done: make(chan struct{})}
	if w.store.closing.Err() != nil {
		return ErrClosed
	}
	select {
	case w.queue <- op:
	default:
		w.store.count.refused.Add(1)
		return fmt.Errorf("%w: %d writes wait", ErrUnavailable, queueLength)
	}
	select {
	case <-op.done: // soon, whatever becomes of ctx: an unknown outcome helps nobody
		return op.err
	case <-w.ended:
		select {
		case <-op.done:
			return op.err
		default:
			return ErrClosed
		}
	}
}

// run commits groups until the store closes and nothing waits any more.
func (w *writer) run() {
	defer close(w.ended)
	group := make([]*operation, 0, groupLength)
	for {
		group = group[:0]
		select {
		case op := <-w.queue:
			group = append(group, op)
		case <-w.behind.late.C:
			group = append(group, indexOperation())
		case <-w.store.closing.Done():
			select {
			case op := <-w.queue:
				group = append(group, op)
			default:
				if len(w.behind.waiting) > 0 {
					w.commit(append(group, indexOperation()))
				}
				return
			}
		}
		w.commit(w.gather(group))
	}
}

// gather adds to a group what waits.
func (w *writer) gather(group []*operation) []*operation {
	for len(group) < groupLength {
		select {
		case op := <-w.queue:
			group = append(group, op)
		default:
			return group
		}
	}
	return group
}

// close closes the connection, after the writer has ended. Its statements are closed
// before: the sql package does not for a single connection, and SQLite keeps one open that
// has some.
func (w *writer) close() error {
	return errors.Join(w.kept.close(), ignoreDone(w.conn.Close()), w.db.Close())
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrConnDone) {
		return nil
	}
	return err
}

// begin runs the operations of a group in a transaction. Savepoints cost a twelfth of
// the work, and few operations fail after they have changed something: so they have none
// until one does, and then the group begins anew, as transactions do on PostgreSQL too.
//
// Those that come meanwhile join the group, which it returns: what a commit costs is shared
// by more, and they need not wait for another.
func (w *writer) begin(ctx context.Context, group []*operation) ([]*operation, error) {
	first := w.pos
	if _, err := w.exec(ctx, `BEGIN IMMEDIATE`); err != nil {
		return group, err
	}
	var err error
	for i := 0; i < len(group) && err == nil; i++ {
		if w.careful > 0 {
			err = w.perform(ctx, group[i])
		} else {
			err = w.attempt(group[i])
		}
		if err == nil && i == len(group)-1 {
			group = w.gather(group)
		}
	}
	if errors.Is(err, errAgain) {
		if _, err := w.exec(ctx, `ROLLBACK`); err != nil {
			return group, err
		}
		w.pos, w.careful = first, carefulFor
		return w.begin(ctx, group)
	}
	w.careful = max(w.careful-1, 0)
	return group, err
}

// commit runs the operations of a group, makes them durable together, and tells those
// who wait.
func (w *writer) commit(group []*operation) {
	ctx := context.Background() // nobody may cancel half a group
	first := w.pos
	var waiting []indexing
	err := w.store.Err()
	if err == nil {
		group, err = w.begin(ctx, group)
		if err == nil {
			waiting, err = w.index(ctx, group)
		}
		if err == nil {
			for _, op := range group {
				mistakenlyAnswered(w.store, &op.tx, op.answer)
			}
			start := time.Now()
			if _, err = w.exec(ctx, `COMMIT`); err != nil {
				w.failedCommit(err)
			}
			w.store.count.commitNanos.Add(int64(time.Since(start)))
		}
		if damaged(err) {
			w.store.breakDown(err)
			err = w.store.Err()
		}
		if err != nil {
			_, rollback := w.exec(ctx, `ROLLBACK`)
			_ = rollback // SQLite has rolled back already after the errors that matter
		}
	}
	if err != nil {
		w.pos = first
		w.behind.wait()
		err = classify(err)
		w.store.setUnready(err)
	} else {
		w.behind.keep(waiting)
		w.store.setUnready(nil)
		w.store.count.groups.Add(1)
		w.store.count.writes.Add(uint64(len(group)))
		w.announce(group)
	}
	for _, op := range group {
		if err != nil {
			op.err = err
		} else {
			_ = mistakenlyAfter(ctx, w.store, &op.tx)
		}
		op.answer()
	}
}

// announce hands on the events of a group that is stored, all at once: who follows the log
// has a turn for each call.
func (w *writer) announce(group []*operation) {
	if w.store.o.Committed == nil {
		return
	}
	var events []event.Event
	for _, op := range group {
		if op.err == nil {
			events = append(events, op.tx.events...)
		}
	}
	if len(events) > 0 {
		w.store.o.Committed(events)
	}
}

// answer tells who waits.
func (op *operation) answer() {
	if !op.answered {
		op.answered = true
		close(op.done)
	}
}

// attempt runs one operation without a savepoint. Its own error is op's; what is returned
// is the group's.
func (w *writer) attempt(op *operation) error {
	if op.err = op.ctx.Err(); op.err != nil {
		return nil //nolint:nilerr // the group has no part in it
	}
	op.tx = Tx{store: w.store, dialect: SQLite, q: w}
	op.err = w.call(op)
	w.store.count.statements.Add(uint64(op.tx.statements))
	switch {
	case op.err == nil:
	case fatal(op.err):
		return op.err
	case op.tx.changed && !mistakenlyKept():
		return errAgain
	default:
		op.tx.events, op.tx.indexing = nil, nil
	}
	return nil
}

// perform runs one operation in a savepoint. Its own error is op's; what is returned is
// the group's.
func (w *writer) perform(ctx context.Context, op *operation) error {
	if op.err = op.ctx.Err(); op.err != nil {
		return nil //nolint:nilerr // the group has no part in it
	}
	if _, err := w.exec(ctx, `SAVEPOINT operation`); err != nil {
		return err
	}
	before := w.pos
	op.tx = Tx{store: w.store, dialect: SQLite, q: w}
	op.err = w.call(op)
	w.store.count.statements.Add(uint64(op.tx.statements))
	if op.err == nil || mistakenlyKept() {
		_, err := w.exec(ctx, `RELEASE operation`)
		return err
	}
	w.pos, op.tx.events, op.tx.indexing = before, nil, nil
	if fatal(op.err) {
		return op.err
	}
	if _, err := w.exec(ctx, `ROLLBACK TO operation`); err != nil {
		return err
	}
	_, err := w.exec(ctx, `RELEASE operation`)
	return err
}

// call contains a panic to the operation that raised it.
func (w *writer) call(op *operation) (err error) {
	defer func() {
		if r := recover(); r != nil {
			w.store.o.Logger.Error("panic", "where", "write", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			err = fmt.Errorf("write: panic: %v", r)
		}
	}()
	return op.do(&op.tx)
}

// failedCommit looks whether what failed is a full disk, which passes, or the disk
// itself.
func (w *writer) failedCommit(err error) {
	var e *sqlite.Error
	if errors.As(err, &e) {
		switch e.Code() & 0xff {
		case sqlitecode.SQLITE_FULL, sqlitecode.SQLITE_BUSY, sqlitecode.SQLITE_CONSTRAINT:
			return
		}
		if e.Code() == sqlitecode.SQLITE_IOERR_SHMSIZE { // no room for the index of the write-ahead log
			return
		}
	}
	w.store.breakDown(fmt.Errorf("commit: %w", err))
}

// exec, query and queryRow make the writer a querier. Contexts are not passed on: an
// operation that has begun is short and is finished.
func (w *writer) exec(_ context.Context, query string, args ...any) (sql.Result, error) {
	stmt, err := w.kept.get(context.Background(), query, w.conn.PrepareContext)
	if err != nil {
		return nil, err
	}
	return stmt.ExecContext(context.Background(), args...)
}

func (w *writer) query(_ context.Context, query string, args ...any) (*sql.Rows, error) {
	stmt, err := w.kept.get(context.Background(), query, w.conn.PrepareContext)
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(context.Background(), args...)
}

func (w *writer) queryRow(_ context.Context, query string, args ...any) row {
	stmt, err := w.kept.get(context.Background(), query, w.conn.PrepareContext)
	if err != nil {
		return failedRow{err}
	}
	return stmt.QueryRowContext(context.Background(), args...)
}
