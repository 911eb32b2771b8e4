package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

const (
	// postgresPatience bounds one call to PostgreSQL: who waits is told to come back
	// within 2 s (guarantees.md R25). A DSN may ask for more, see [patience].
	postgresPatience = 1600 * time.Millisecond
	// postgresTries bounds how often a transaction is repeated that PostgreSQL wants
	// repeated (deadlock, serialization).
	postgresTries = 6
)

// postgresConfig reads the DSN.
func (s *Store) postgresConfig() (*pgx.ConnConfig, error) {
	c, err := pgx.ParseConfig(s.o.DSN)
	if err != nil {
		return nil, fmt.Errorf("storage.dsn: %w", withoutSecrets(err))
	}
	s.patience = patience(c.RuntimeParams["statement_timeout"])
	if c.ConnectTimeout == 0 || c.ConnectTimeout > s.patience {
		c.ConnectTimeout = s.patience
	}
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "kuranty"
	}
	return c, nil
}

// patience is how long one call may take: postgresPatience, or longer if the DSN lets a
// single statement take longer. The text is milliseconds, or a number with ms or s
// (PostgreSQL, "Parameter Names and Values"); any other is left to the database.
func patience(statementTimeout string) time.Duration {
	if _, err := strconv.Atoi(statementTimeout); err == nil {
		statementTimeout += "ms"
	}
	d, _ := time.ParseDuration(strings.ReplaceAll(statementTimeout, " ", ""))
	return max(d, postgresPatience)
}

// openPostgres opens the pool and checks the server's settings.
func (s *Store) openPostgres(ctx context.Context) error {
	c, err := s.postgresConfig()
	if err != nil {
		return err
	}
	s.pool = stdlib.OpenDB(*c)
	limit := s.o.MaxConnections
	if limit == 0 {
		limit = 16
	}
	s.pool.SetMaxOpenConns(limit)
	s.pool.SetMaxIdleConns(limit)
	s.pool.SetConnMaxIdleTime(5 * time.Minute)
	if err := s.checkPostgres(ctx); err != nil {
		return err
	}
	return s.migrate(ctx, s.pool)
}

// withoutSecrets keeps what a DSN says of its password out of errors.
func withoutSecrets(err error) error {
	var parse *pgconn.ParseConfigError
	if errors.As(err, &parse) {
		return errors.New("it is no connection string or URL of PostgreSQL")
	}
	return err
}

// checkPostgres refuses a server that acknowledges commits it may lose (guarantees.md R2).
func (s *Store) checkPostgres(ctx context.Context) error {
	var version int
	var fsync, commit, encoding string
	if err := s.pool.PingContext(ctx); err != nil { // said once, not for each question
		return fmt.Errorf("reach PostgreSQL (storage.dsn): %w", classify(err))
	}
	err := errors.Join(
		s.pool.QueryRowContext(ctx, `SELECT current_setting('server_version_num')::int`).Scan(&version),
		s.pool.QueryRowContext(ctx, `SHOW fsync`).Scan(&fsync),
		s.pool.QueryRowContext(ctx, `SHOW synchronous_commit`).Scan(&commit),
		s.pool.QueryRowContext(ctx, `SHOW server_encoding`).Scan(&encoding))
	switch {
	case err != nil:
		return fmt.Errorf("reach PostgreSQL (storage.dsn): %w", classify(err))
	case version < 130000:
		return fmt.Errorf("PostgreSQL %d.%d is too old; version 13 or later is needed", version/10000, version%10000)
	case encoding != "UTF8":
		return fmt.Errorf("the PostgreSQL database is encoded in %s, not UTF8", encoding)
	}
	if fsync == "on" && commit != "off" && commit != "local" {
		return nil
	}
	if !s.o.UnsafeDurability {
		return fmt.Errorf("PostgreSQL has fsync=%s and synchronous_commit=%s, so it may lose what it acknowledged; turn both on, or set storage.unsafe_durability", fsync, commit)
	}
	s.o.Logger.Warn("PostgreSQL may lose what it acknowledged (storage.unsafe_durability)", "fsync", fsync, "synchronous_commit", commit)
	return nil
}

// viewPostgres reads on the pool, within the time somebody waits.
func (s *Store) viewPostgres(ctx context.Context, f func(*Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	tx := &Tx{store: s, dialect: Postgres, q: plainQuerier{bounded{s.pool, ctx}}}
	err := classify(f(tx))
	s.count.queries.Add(uint64(tx.statements))
	s.setUnready(unavailability(err))
	return err
}

// unavailability is err if it says that the database is away, else nil.
func unavailability(err error) error {
	if errors.Is(err, ErrUnavailable) && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// updatePostgres runs f in a transaction, again if the database wants that.
func (s *Store) updatePostgres(ctx context.Context, f func(*Tx) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.patience)
	defer cancel()
	var err error
	for try := range postgresTries {
		if err = s.tryPostgres(ctx, f); !repeatable(err) {
			break
		}
		select {
		case <-time.After(time.Duration(rand.Int64N(int64(time.Millisecond) << try))):
		case <-ctx.Done():
		}
	}
	if repeatable(err) {
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	s.setUnready(unavailability(err))
	if errors.Is(err, ErrUnavailable) {
		s.count.refused.Add(1)
	}
	return err
}

// repeatable tells whether the transaction did not happen and should be tried again.
func repeatable(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01")
}

// tryPostgres runs f in a transaction once.
func (s *Store) tryPostgres(ctx context.Context, f func(*Tx) error) (err error) {
	db, err := s.pool.BeginTx(ctx, nil)
	if err != nil {
		return classify(err)
	}
	tx := &Tx{store: s, dialect: Postgres, q: plainQuerier{bounded{db, ctx}}}
	if err := contain(tx, f); err != nil {
		if mistakenlyKept() {
			_ = db.Commit()
		}
		_ = db.Rollback() // the transaction is lost either way
		if repeatable(err) {
			return err
		}
		return classify(err)
	}
	s.count.statements.Add(uint64(tx.statements))
	mistakenlyAnswered(s, tx, func() {})
	start := time.Now()
	if err := db.Commit(); err != nil {
		if repeatable(err) {
			return err
		}
		if stored, known := s.outcome(ctx, tx); !known || !stored {
			return fmt.Errorf("%w: commit: %w", ErrUnavailable, err)
		}
	}
	s.count.commitNanos.Add(int64(time.Since(start)))
	s.count.groups.Add(1)
	s.count.writes.Add(1)
	if err := mistakenlyAfter(ctx, s, tx); err != nil {
		return err
	}
	if len(tx.events) > 0 && s.o.Committed != nil {
		s.o.Committed(tx.events)
	}
	return nil
}

// contain contains a panic to the operation that raised it.
func contain(tx *Tx, f func(*Tx) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			tx.store.o.Logger.Error("panic", "where", "write", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			err = fmt.Errorf("write: panic: %v", r)
		}
	}()
	return f(tx)
}

const (
	statusOf = `SELECT coalesce(pg_xact_status($1::text::xid8), '')`
	isStored = `SELECT EXISTS (SELECT 1 FROM events WHERE event_id = $1)`
)

// outcome asks what became of a transaction whose commit was not answered
// (guarantees.md R5). It is not known if the database stays away, or if the
// transaction appended no event. The number of the transaction only tells when it is
// over: after a crash of the database another may have been given the same one, so
// what is looked for is the event.
func (s *Store) outcome(ctx context.Context, tx *Tx) (stored, known bool) {
	if len(tx.events) == 0 || tx.xid == "" {
		return false, false
	}
	for ctx.Err() == nil {
		var status string
		err := s.pool.QueryRowContext(ctx, statusOf, tx.xid).Scan(&status)
		var unknown *pgconn.PgError // a number that the database, after a crash, has not given yet
		over := err == nil && status != "in progress" || errors.As(err, &unknown) && unknown.Code == invalidParameter
		if over && s.pool.QueryRowContext(ctx, isStored, tx.events[0].ID).Scan(&stored) == nil {
			return stored, true
		}
		pause(ctx, 20*time.Millisecond)
	}
	return false, false
}

// invalidParameter is the code of an argument out of range (PostgreSQL, appendix A).
const invalidParameter = "22023"

// bounded gives every statement the deadline of its transaction beside its own context.
type bounded struct {
	db interface {
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
		QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	}
	limit context.Context //nolint:containedctx // it lives as long as the transaction, which is this call
}

func (b bounded) ExecContext(_ context.Context, query string, args ...any) (sql.Result, error) {
	return b.db.ExecContext(b.limit, query, args...)
}

func (b bounded) QueryContext(_ context.Context, query string, args ...any) (*sql.Rows, error) {
	return b.db.QueryContext(b.limit, query, args...)
}

func (b bounded) QueryRowContext(_ context.Context, query string, args ...any) *sql.Row {
	return b.db.QueryRowContext(b.limit, query, args...)
}
