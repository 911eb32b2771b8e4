package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/kuranty/kuranty/event"
)

// Tx is a transaction, or in [Store.View] a connection to read with. It belongs to one
// goroutine.
type Tx struct {
	store   *Store
	dialect string
	q       querier
	// statements counts those that it ran; changed says that one may have changed something.
	statements int
	changed    bool
	// events were appended and wait for the commit.
	events []event.Event
	// indexing are changes of the full-text index that wait for the commit, if indexNow, or
	// for a later one (SQLite).
	indexing []indexing
	indexNow bool
	heldBack //nolint:unused // see mistakes.go
	// xid is the number of the transaction, once an event was appended (PostgreSQL).
	xid string
}

// querier runs statements, which are constants and kept prepared.
type querier interface {
	exec(ctx context.Context, query string, args ...any) (sql.Result, error)
	query(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	queryRow(ctx context.Context, query string, args ...any) row
}

// row is one row to scan.
type row interface{ Scan(dest ...any) error }

// Now is the time in milliseconds since 1970, from the store's clock.
func (tx *Tx) Now() int64 { return tx.store.now() }

// exec runs a statement and returns how many rows it changed.
func (tx *Tx) exec(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := tx.run(ctx, query, args)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// run runs a statement. One that found no row to change has changed nothing.
func (tx *Tx) run(ctx context.Context, query string, args []any) (sql.Result, error) {
	tx.statements++
	res, err := tx.q.exec(ctx, query, args...)
	if err != nil {
		tx.changed = true
		return nil, classify(err)
	}
	n, err := res.RowsAffected()
	tx.changed = tx.changed || n != 0 || err != nil
	return res, err
}

// insert adds a row and returns its id; added is false if there was one that ON CONFLICT
// lets be. On PostgreSQL the statement returns the id; on SQLite RETURNING would cost more
// than the row.
func (tx *Tx) insert(ctx context.Context, query string, args ...any) (id int64, added bool, err error) {
	if tx.dialect == Postgres {
		err = tx.queryRow(ctx, query, args, &id)
		if errors.Is(err, sql.ErrNoRows) {
			return 0, false, nil
		}
		return id, err == nil, err
	}
	res, err := tx.run(ctx, query, args)
	if err != nil {
		return 0, false, err
	}
	n, err1 := res.RowsAffected()
	id, err2 := res.LastInsertId()
	return id, n > 0, errors.Join(err1, err2)
}

// queryRow scans the first row of a query into dest; without one it is [sql.ErrNoRows].
func (tx *Tx) queryRow(ctx context.Context, query string, args []any, dest ...any) error {
	return classify(tx.row(ctx, query, args...).Scan(dest...))
}

// row is the first row of a query, for who knows how to scan it.
func (tx *Tx) row(ctx context.Context, query string, args ...any) row {
	tx.statements++
	tx.changed = tx.changed || !reads(query)
	return tx.q.queryRow(ctx, query, args...)
}

// query calls scan for each row.
func (tx *Tx) query(ctx context.Context, query string, args []any, scan func(row) error) error {
	tx.statements++
	tx.changed = tx.changed || !reads(query)
	rows, err := tx.q.query(ctx, query, args...)
	if err != nil {
		return classify(err)
	}
	for rows.Next() {
		if err := scan(rows); err != nil {
			return errors.Join(err, rows.Close())
		}
	}
	return classify(errors.Join(rows.Err(), rows.Close()))
}

// reads tells whether a statement certainly changes nothing.
func reads(query string) bool {
	return strings.HasPrefix(query, "SELECT ") || strings.HasPrefix(query, "SELECT\n")
}

// args is a list of arguments; it reads better than []any{…} in calls.
func args(a ...any) []any { return a }

// text is the dialect's choice of a statement that the two databases need differently.
func (tx *Tx) text(sqlite, postgres string) string {
	if tx.dialect == Postgres {
		return postgres
	}
	return sqlite
}

// noRow replaces "there is no such row" by what that means.
func noRow(err, meaning error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return meaning
	}
	return err
}

// statements are prepared once and kept. All texts are constants of this package, so
// there is a bounded number of them.
type statements struct {
	mu   sync.RWMutex
	kept map[string]*sql.Stmt
}

func (s *statements) get(ctx context.Context, query string, prepare func(context.Context, string) (*sql.Stmt, error)) (*sql.Stmt, error) {
	s.mu.RLock()
	stmt := s.kept[query]
	s.mu.RUnlock()
	if stmt != nil {
		return stmt, nil
	}
	stmt, err := prepare(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("prepare statement: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if have := s.kept[query]; have != nil {
		_ = stmt.Close() // somebody was faster
		return have, nil
	}
	if s.kept == nil {
		s.kept = make(map[string]*sql.Stmt)
	}
	s.kept[query] = stmt
	return stmt, nil
}

// close gives the statements back, when nobody uses them any more.
func (s *statements) close() (err error) {
	for _, stmt := range s.kept {
		err = errors.Join(err, stmt.Close())
	}
	return err
}

// poolQuerier runs statements on any connection of a pool.
type poolQuerier struct {
	db   *sql.DB
	kept *statements
}

func (q poolQuerier) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	stmt, err := q.kept.get(ctx, query, q.db.PrepareContext)
	if err != nil {
		return nil, err
	}
	return stmt.ExecContext(ctx, args...)
}

func (q poolQuerier) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	stmt, err := q.kept.get(ctx, query, q.db.PrepareContext)
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(ctx, args...)
}

func (q poolQuerier) queryRow(ctx context.Context, query string, args ...any) row {
	stmt, err := q.kept.get(ctx, query, q.db.PrepareContext)
	if err != nil {
		return failedRow{err}
	}
	return stmt.QueryRowContext(ctx, args...)
}

// failedRow is the row of a query that could not be asked.
type failedRow struct{ err error }

func (r failedRow) Scan(...any) error { return r.err }

// plainQuerier runs statements on a transaction or a pool whose driver keeps
// statements prepared by itself.
type plainQuerier struct {
	db interface {
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
		QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	}
}

func (q plainQuerier) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return q.db.ExecContext(ctx, query, args...)
}

func (q plainQuerier) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return q.db.QueryContext(ctx, query, args...)
}

func (q plainQuerier) queryRow(ctx context.Context, query string, args ...any) row {
	return q.db.QueryRowContext(ctx, query, args...)
}
