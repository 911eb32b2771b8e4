package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/jackc/pgx/v5/stdlib"
)

var (
	// ErrReadOnly means that the store was opened by [OpenReader].
	ErrReadOnly = errors.New("database was opened to read only")
	// ErrNoDatabase means that there is no database to read, or an empty one.
	ErrNoDatabase = errors.New("there is no database yet")
)

// OpenReader opens a database that is there, to read only: it makes nothing, migrates
// nothing and writes nothing, and another process may be writing meanwhile. The schema
// may be older than this program's; [Store.Schema] tells. The error is [ErrNoDatabase]
// if nobody has made it yet.
func OpenReader(ctx context.Context, o Options) (*Store, error) {
	s := newStore(o)
	s.reading = true
	open := s.readSQLite
	switch s.o.Driver {
	case SQLite:
	case Postgres:
		open = s.readPostgres
	default:
		return nil, fmt.Errorf("open database: storage.driver is %q, not sqlite or postgres", o.Driver)
	}
	err := open(ctx)
	if err == nil {
		err = s.readEpoch(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) readSQLite(context.Context) (err error) {
	info, err := os.Stat(s.o.Path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return fmt.Errorf("%w: %s", ErrNoDatabase, s.o.Path)
	}
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	return s.openPool()
}

// openPool opens the connections that only read SQLite's file.
func (s *Store) openPool() (err error) {
	if s.pool, err = sql.Open("sqlite", sqliteDSN(s.o.Path, "query_only(1)", "cache_size(-2048)")); err != nil {
		return fmt.Errorf("open database to read: %w", err)
	}
	s.pool.SetMaxOpenConns(8)
	s.pool.SetMaxIdleConns(8)
	return nil
}

func (s *Store) readPostgres(ctx context.Context) error {
	c, err := s.postgresConfig()
	if err != nil {
		return err
	}
	c.RuntimeParams["default_transaction_read_only"] = "on"
	s.pool = stdlib.OpenDB(*c)
	s.pool.SetMaxOpenConns(2)
	if err := s.pool.PingContext(ctx); err != nil {
		return fmt.Errorf("reach PostgreSQL (storage.dsn): %w", classify(withoutSecrets(err)))
	}
	return nil
}

const (
	anyMetaSQLite   = `SELECT count(*) FROM sqlite_schema WHERE name = 'meta'`
	anyMetaPostgres = `SELECT count(*) FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = 'meta'`
)

// readEpoch is loadEpoch for a reader, who makes none.
func (s *Store) readEpoch(ctx context.Context) error {
	err := s.View(ctx, func(tx *Tx) error {
		var n int
		if err := tx.queryRow(ctx, tx.text(anyMetaSQLite, anyMetaPostgres), nil, &n); err != nil {
			return err
		}
		if n == 0 {
			return ErrNoDatabase
		}
		return tx.queryRow(ctx, readMeta, args("epoch"), &s.epoch)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNoDatabase
	}
	if err != nil && !errors.Is(err, ErrNoDatabase) {
		return fmt.Errorf("read database: %w", err)
	}
	return err
}
