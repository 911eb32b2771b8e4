package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
	sqlite "modernc.org/sqlite"
	sqlitecode "modernc.org/sqlite/lib"
)

// conflict is a row that breaks a unique index; callers ask with [isConflict].
func isConflict(err error) bool {
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		return lite.Code() == sqlitecode.SQLITE_CONSTRAINT_UNIQUE || lite.Code() == sqlitecode.SQLITE_CONSTRAINT_PRIMARYKEY
	}
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23505"
}

// fatal tells whether err ends the whole transaction in SQLite, or at least leaves
// nothing to go on with.
func fatal(err error) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code() & 0xff {
	case sqlitecode.SQLITE_FULL, sqlitecode.SQLITE_IOERR, sqlitecode.SQLITE_NOMEM, sqlitecode.SQLITE_CORRUPT, sqlitecode.SQLITE_NOTADB:
		return true
	}
	return false
}

// damaged tells whether err means that the file is not what was written to it, or that a
// sync failed: neither passes, and what a later sync says is worth nothing. A damaged
// full-text index is neither: it is built anew from the messages.
func damaged(err error) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code() {
	case sqlitecode.SQLITE_CORRUPT_VTAB:
		return false
	case sqlitecode.SQLITE_IOERR_FSYNC, sqlitecode.SQLITE_IOERR_DIR_FSYNC:
		return true
	}
	return e.Code()&0xff == sqlitecode.SQLITE_CORRUPT || e.Code()&0xff == sqlitecode.SQLITE_NOTADB
}

// classify makes errors of a database that is away, full or busy [ErrUnavailable].
func classify(err error) error {
	if err == nil || errors.Is(err, sql.ErrNoRows) || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrBroken) {
		return err
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		switch lite.Code() & 0xff {
		case sqlitecode.SQLITE_FULL, sqlitecode.SQLITE_BUSY, sqlitecode.SQLITE_LOCKED, sqlitecode.SQLITE_IOERR, sqlitecode.SQLITE_NOMEM, sqlitecode.SQLITE_READONLY,
			sqlitecode.SQLITE_CANTOPEN, sqlitecode.SQLITE_INTERRUPT:
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return err
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code[:2] {
		case "08", "53", "57", "58", "25": // connection, resources, operator, system; read-only is a standby
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if pg.Code == "22021" {
			return fmt.Errorf("%w: %w", ErrText, err)
		}
		return err
	}
	var connect *pgconn.ConnectError
	var network net.Error
	if errors.As(err, &connect) || errors.As(err, &network) || errors.Is(err, driver.ErrBadConn) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || pgconn.SafeToRetry(err) ||
		errors.Is(err, sql.ErrConnDone) || errors.Is(err, context.DeadlineExceeded) || pgconn.Timeout(err) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// setUnready notes whether the database could be reached.
func (s *Store) setUnready(err error) {
	switch {
	case err == nil:
		if s.unready.Load() != nil && s.unready.Swap(nil) != nil {
			s.o.Logger.Info("the database is available again")
		}
	case errors.Is(err, ErrUnavailable):
		why := err.Error()
		if s.unready.Swap(&why) == nil {
			s.o.Logger.Warn("the database is not available; writes are answered with a retryable error", "error", err)
		}
	}
}
