package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/kuranty/kuranty/internal/search"
)

//go:embed migrations
var migrations embed.FS

// migrator returns what brings db's schema up to date. Each migration is a transaction,
// so one that was killed has not happened (guarantees.md R39); on PostgreSQL one
// process migrates at a time.
func (s *Store) migrator(db *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations/"+s.o.Driver)
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	dialect, options := goose.DialectSQLite3, []goose.ProviderOption{goose.WithTableName("schema_versions"), goose.WithSlog(s.o.Logger)}
	if s.o.Driver == Postgres {
		dialect = goose.DialectPostgres
		locker, err := lock.NewPostgresSessionLocker()
		if err != nil {
			return nil, fmt.Errorf("prepare lock of migrations: %w", err)
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	p, err := goose.NewProvider(dialect, db, files, options...)
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	return p, nil
}

// migrate brings the schema up to date. A database from a later version is left alone:
// versions that stand beside each other only add.
func (s *Store) migrate(ctx context.Context, db *sql.DB) error {
	p, err := s.migrator(db)
	if err != nil {
		return err
	}
	done, err := p.Up(ctx)
	if err != nil {
		return fmt.Errorf("migrate database: %w", err)
	}
	if n := len(done); n > 0 {
		s.o.Logger.Info("database migrated", "migrations", n, "version", done[n-1].Source.Version)
	}
	return nil
}

// Schema is the version of a database and the newest this program has.
type Schema struct{ Version, Newest int64 }

// Schema returns what version the database is of.
func (s *Store) Schema(ctx context.Context) (Schema, error) {
	db := s.pool
	p, err := s.migrator(db)
	if err != nil {
		return Schema{}, err
	}
	const newest = `SELECT coalesce(max(version_id), 0) FROM schema_versions WHERE is_applied`
	var v Schema
	if err := db.QueryRowContext(ctx, newest).Scan(&v.Version); err != nil {
		return Schema{}, fmt.Errorf("read version of the database: %w", classify(err))
	}
	for _, source := range p.ListSources() {
		v.Newest = max(v.Newest, source.Version)
	}
	return v, nil
}

const (
	readMeta  = `SELECT value FROM meta WHERE key = $1`
	writeMeta = `INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value`
	firstMeta = `INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING`
)

// loadEpoch reads the epoch, or makes the first: then the database is new, and what its
// index will have is of this program's analyzer.
func (s *Store) loadEpoch(ctx context.Context) error {
	err := s.View(ctx, func(tx *Tx) error { return tx.queryRow(ctx, readMeta, args("epoch"), &s.epoch) })
	if errors.Is(err, sql.ErrNoRows) {
		err = s.Update(ctx, func(tx *Tx) error {
			if _, err := tx.exec(ctx, firstMeta, "epoch", newEpoch()); err != nil {
				return err
			}
			if _, err := tx.exec(ctx, firstMeta, analyzerKey, strconv.Itoa(search.Version)); err != nil {
				return err
			}
			return tx.queryRow(ctx, readMeta, args("epoch"), &s.epoch)
		})
	}
	if err != nil {
		return fmt.Errorf("read epoch of the database: %w", err)
	}
	return nil
}

// NewEpoch gives the database another epoch, for who restored it, and ends the restore.
func (s *Store) NewEpoch(ctx context.Context) error {
	epoch := newEpoch()
	err := s.Update(ctx, func(tx *Tx) error {
		if _, err := tx.exec(ctx, writeMeta, "epoch", epoch); err != nil {
			return err
		}
		_, err := tx.exec(ctx, forgetMeta, restoringKey)
		return err
	})
	if err != nil {
		return fmt.Errorf("write epoch of the database: %w", err)
	}
	s.epoch = epoch
	return nil
}

func newEpoch() string { return strings.ToLower(rand.Text()[:8]) }
