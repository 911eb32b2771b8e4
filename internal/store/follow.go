package store

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// logLock is the advisory lock of the process that numbers the log.
const logLock = 0x6b7572616e7479 // "kuranty"

// logChannel is where processes tell each other that the log has grown.
const logChannel = "kuranty_log"

// numberEvents gives committed events their positions. The order of ids is not that of
// commits, so a row's position is given when it can be seen, by one process.
const numberEvents = `
WITH due      AS (SELECT id FROM events WHERE pos IS NULL ORDER BY id LIMIT 500),
     numbered AS (SELECT id, row_number() OVER (ORDER BY id) AS n FROM due),
     head     AS (SELECT coalesce(max(pos), 0) AS pos FROM events)
UPDATE events AS e SET pos = head.pos + numbered.n FROM numbered, head WHERE e.id = numbered.id AND e.pos IS NULL
RETURNING e.id, e.pos`

// NumberEvents gives positions to up to 500 committed events that have none and returns
// them by row. Only who leads ([Store.Lead]) calls it.
func (s *Store) NumberEvents(ctx context.Context) (given map[int64]int64, err error) {
	err = s.Update(ctx, func(tx *Tx) error {
		given = make(map[int64]int64)
		return tx.query(ctx, numberEvents, nil, func(r row) error {
			var row, pos int64
			if err := r.Scan(&row, &pos); err != nil {
				return fmt.Errorf("scan numbered event: %w", err)
			}
			given[row] = pos
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("number events: %w", err)
	}
	return given, nil
}

// Lead waits until this process is the one that numbers the log and calls f, whose
// context ends when it no longer is. On SQLite positions are given by the writer, so
// there is nothing to lead and Lead waits for ctx.
func (s *Store) Lead(ctx context.Context, f func(context.Context) error) error {
	if s.o.Driver != Postgres {
		<-ctx.Done()
		return nil
	}
	return s.leadAs(ctx, logLock, f)
}

// leadAs waits until this process has an advisory lock and calls f for as long as it has
// it, again and again until ctx ends.
func (s *Store) leadAs(ctx context.Context, lock int64, f func(context.Context) error) error {
	for ctx.Err() == nil {
		if err := s.lead(ctx, lock, f); err != nil && ctx.Err() == nil {
			s.setUnready(unavailability(classify(err)))
			s.o.Logger.Debug("not leading", "error", err)
		}
		pause(ctx, time.Second)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// lead tries once to lead, for as long as the connection that holds the lock lives.
func (s *Store) lead(ctx context.Context, lock int64, f func(context.Context) error) error {
	conn, err := s.pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	var mine bool
	if err := conn.QueryRowContext(ctx, `SELECT pg_try_advisory_lock($1)`, lock).Scan(&mine); err != nil || !mine {
		return err
	}
	defer func() {
		free, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		// A connection that cannot give the lock back must not return to the pool with it.
		if _, err := conn.ExecContext(free, `SELECT pg_advisory_unlock($1)`, lock); err != nil {
			_ = conn.Raw(func(any) error { return sqldriver.ErrBadConn })
		}
	}()
	leading, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- f(leading) }()
	alive := time.NewTicker(time.Second)
	defer alive.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-alive.C:
			if err := s.stillMine(leading, conn); err != nil {
				stop()
				return errors.Join(err, <-ended)
			}
		}
	}
}

// stillMine makes sure that the connection with the lock lives.
func (s *Store) stillMine(ctx context.Context, conn *sql.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	_, err := conn.ExecContext(ctx, `SELECT 1`)
	return err
}

// Tell tells the other processes that the log has grown. It does nothing on SQLite.
func (s *Store) Tell(ctx context.Context) error {
	if s.o.Driver != Postgres {
		return nil
	}
	return s.View(ctx, func(tx *Tx) error {
		_, err := tx.exec(ctx, `SELECT pg_notify($1, '')`, logChannel)
		return err
	})
}

// Hear calls told whenever another process tells, and at least every second, until ctx
// ends. On SQLite nobody else writes, and it only waits.
func (s *Store) Hear(ctx context.Context, told func()) error {
	if s.o.Driver != Postgres {
		<-ctx.Done()
		return nil
	}
	for ctx.Err() == nil {
		if err := s.hear(ctx, told); err != nil && ctx.Err() == nil {
			s.setUnready(unavailability(classify(err)))
			s.o.Logger.Debug("not hearing of the log", "error", err)
		}
		told()
		pause(ctx, time.Second)
	}
	return nil
}

func (s *Store) hear(ctx context.Context, told func()) error {
	conn, err := s.pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Raw(func(driver any) error {
		c := driver.(*stdlib.Conn).Conn()
		// The connection stays a listener, so it does not go back to the pool.
		defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
		if _, err := c.Exec(ctx, `LISTEN `+pgx.Identifier{logChannel}.Sanitize()); err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		s.setUnready(nil)
		for {
			wait, cancel := context.WithTimeout(ctx, time.Second)
			_, err := c.WaitForNotification(wait)
			cancel()
			switch {
			case ctx.Err() != nil:
				return nil
			case err != nil && wait.Err() == nil:
				return fmt.Errorf("wait for notification: %w", err)
			case err != nil:
				if err := c.Ping(ctx); err != nil { // a second of silence: is it still there?
					return fmt.Errorf("ping: %w", err)
				}
			}
			told()
		}
	})
}
