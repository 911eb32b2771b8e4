package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Status tells what is in a database.
type Status struct {
	Driver string
	// Server is the version of the database program.
	Server string
	Schema Schema
	Epoch  string
	// Bytes is how large the database is.
	Bytes  int64
	Tables []TableRows
	// Head is the position of the newest event; Unnumbered events have none yet.
	Head, Unnumbered int64
	Sinks            []SinkPosition
	// Refused are events that sinks refused for good.
	Refused int64
	// Index is the version of the analyzer that made the whole full-text index, empty if
	// it is not whole.
	Index string
}

// TableRows is how many rows a table has.
type TableRows struct {
	Name string
	Rows int64
}

// SinkPosition is how far a sink has read the log.
type SinkPosition struct {
	Sink string
	// Pos is the position of the last event it took, Lag how many it has not taken yet.
	Pos, Lag int64
	// SavedAt is when that was written, in milliseconds since 1970. It is written from
	// time to time: a running server may be further.
	SavedAt int64
}

const (
	versionSQLite   = `SELECT sqlite_version()`
	versionPostgres = `SELECT current_setting('server_version')`
	unnumbered      = `SELECT count(*) FROM events WHERE pos IS NULL`
	positions       = `SELECT c.sink, c.pos, (SELECT count(*) FROM events AS e WHERE e.pos > c.pos), c.updated_at FROM cursors AS c ORDER BY c.sink`
	countRefused    = `SELECT count(*) FROM refused_events`
)

// Status returns what is in the database at one moment.
func (s *Store) Status(ctx context.Context) (*Status, error) {
	schema, err := s.Schema(ctx)
	if err != nil {
		return nil, err
	}
	st := &Status{Driver: s.o.Driver, Schema: schema, Epoch: s.epoch}
	err = s.snapshot(ctx, func(db *sql.Conn) error {
		err := errors.Join(
			one(ctx, db, s.text(versionSQLite, versionPostgres), &st.Server),
			one(ctx, db, s.text(sizeSQLite, sizePostgres), &st.Bytes),
			one(ctx, db, maxPos, &st.Head),
			one(ctx, db, unnumbered, &st.Unnumbered),
			one(ctx, db, countRefused, &st.Refused),
			one(ctx, db, `SELECT coalesce(max(value), '') FROM meta WHERE key = '`+analyzerKey+`'`, &st.Index))
		if err != nil {
			return err
		}
		if st.Sinks, err = sinkPositions(ctx, db); err != nil {
			return err
		}
		for _, name := range backedUp[1:] {
			columns, err := s.columns(ctx, db, name)
			if err != nil {
				return err
			}
			if len(columns) == 0 {
				continue
			}
			t := TableRows{Name: name}
			if err := one(ctx, db, `SELECT count(*) FROM `+name, &t.Rows); err != nil {
				return err
			}
			st.Tables = append(st.Tables, t)
		}
		return nil
	})
	return st, err
}

// one scans the one row of a query.
func one(ctx context.Context, db *sql.Conn, query string, dest ...any) error {
	if err := db.QueryRowContext(ctx, query).Scan(dest...); err != nil {
		return fmt.Errorf("read database: %w", classify(err))
	}
	return nil
}

func sinkPositions(ctx context.Context, db *sql.Conn) (list []SinkPosition, err error) {
	err = each(ctx, db, positions, func(r *sql.Rows) error {
		var p SinkPosition
		err := r.Scan(&p.Sink, &p.Pos, &p.Lag, &p.SavedAt)
		list = append(list, p)
		return err
	})
	return list, err
}

// each calls scan for every row of a query.
func each(ctx context.Context, db *sql.Conn, query string, scan func(*sql.Rows) error) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return fmt.Errorf("read database: %w", classify(err))
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return fmt.Errorf("read database: %w", err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read database: %w", classify(err))
	}
	return nil
}

// text is the driver's choice of a statement that the two databases need differently.
func (s *Store) text(sqlite, postgres string) string {
	if s.o.Driver == Postgres {
		return postgres
	}
	return sqlite
}
