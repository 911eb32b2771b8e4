package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/kuranty/kuranty/event"
)

const maxPos = `SELECT coalesce(max(pos), 0) FROM events`

const appendSQLite = `INSERT INTO events (pos, event_id, type, stream, stream_seq, ref, actor, payload, occurred_at)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`

// The number of the transaction comes along: a commit whose answer is lost is resolved by it.
const appendPostgres = `INSERT INTO events (event_id, type, stream, stream_seq, ref, actor, payload, occurred_at)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id, pg_current_xact_id()::text`

// Append appends e to the log. It is announced once the transaction has been stored.
func (tx *Tx) Append(ctx context.Context, e event.Event) error {
	if mistakenlyLate(tx, e) {
		return nil
	}
	return tx.append(ctx, e)
}

func (tx *Tx) append(ctx context.Context, e event.Event) error {
	stream, seq, ref := nullText(e.Stream), nullNumber(e.Seq), nullNumber(e.Ref)
	if tx.dialect == Postgres {
		var id int64
		err := tx.queryRow(ctx, appendPostgres, args(e.ID, e.Type, stream, seq, ref, e.Actor, string(e.Payload), e.At), &id, &tx.xid)
		if err != nil {
			return fmt.Errorf("append event %s: %w", e.Type, err)
		}
		if e.Pos, err = mistakenlyNumbered(ctx, tx, id); err != nil {
			return err
		}
		tx.events = append(tx.events, e.WithRow(id))
		return nil
	}
	w := tx.store.writer
	e.Pos = w.pos + 1
	if _, err := tx.exec(ctx, appendSQLite, e.Pos, e.ID, e.Type, stream, seq, ref, e.Actor, string(e.Payload), e.At); err != nil {
		return fmt.Errorf("append event %s: %w", e.Type, err)
	}
	w.pos = e.Pos
	tx.events = append(tx.events, e)
	return nil
}

func nullText(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }

func nullNumber(n int64) sql.NullInt64 { return sql.NullInt64{Int64: n, Valid: n != 0} }

const (
	eventColumns = `id, coalesce(pos, 0), event_id, type, coalesce(stream, ''), coalesce(stream_seq, 0), coalesce(ref, 0), actor, payload, occurred_at`

	eventsAfter = `SELECT ` + eventColumns + ` FROM events WHERE pos > $1 ORDER BY pos LIMIT $2`
	eventsOf    = `SELECT ` + eventColumns + ` FROM events WHERE ref = $1 ORDER BY id`
	eventByID   = `SELECT ` + eventColumns + ` FROM events WHERE event_id = $1`
)

func scanEvent(r row, e *event.Event) error {
	var id int64
	var payload []byte
	err := r.Scan(&id, &e.Pos, &e.ID, &e.Type, &e.Stream, &e.Seq, &e.Ref, &e.Actor, &payload, &e.At)
	if err != nil {
		return fmt.Errorf("scan event: %w", err)
	}
	e.Payload = payload
	*e = e.WithRow(id)
	return nil
}

func (tx *Tx) readEvents(ctx context.Context, query string, a ...any) ([]event.Event, error) {
	var found []event.Event
	err := tx.query(ctx, query, a, func(r row) error {
		var e event.Event
		if err := scanEvent(r, &e); err != nil {
			return err
		}
		found = append(found, e)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	return found, nil
}

// Events returns up to limit numbered events after a position, in order.
func (s *Store) Events(ctx context.Context, after int64, limit int) (found []event.Event, err error) {
	err = s.View(ctx, func(tx *Tx) error {
		found, err = tx.readEvents(ctx, eventsAfter, after, limit)
		return err
	})
	return found, err
}

// Head returns the position of the newest numbered event, 0 if there is none.
func (s *Store) Head(ctx context.Context) (pos int64, err error) {
	err = s.View(ctx, func(tx *Tx) error { return tx.queryRow(ctx, maxPos, nil, &pos) })
	return pos, err
}

const nextInStream = `INSERT INTO streams (name, seq) VALUES ($1, 1) ON CONFLICT (name) DO UPDATE SET seq = streams.seq + 1 RETURNING seq`

// NextInStream takes the next number of a stream that is neither a chat's nor a user's.
func (tx *Tx) NextInStream(ctx context.Context, stream string) (seq int64, err error) {
	if err := tx.queryRow(ctx, nextInStream, args(stream), &seq); err != nil {
		return 0, fmt.Errorf("take a number of %s: %w", stream, err)
	}
	return seq, nil
}

const rewritePayload = `UPDATE events SET payload = $1 WHERE id = $2`

// RewriteEvent replaces the payload of an event, for the erasing of all packages, and what
// webhooks have of it.
func (tx *Tx) RewriteEvent(ctx context.Context, row int64, payload []byte) error {
	if _, err := tx.exec(ctx, rewritePayload, string(payload), row); err != nil {
		return err
	}
	return tx.rewriteKept(ctx, row)
}

// Redact passes every event whose payload shows a message through redact and keeps what
// that returns (event.Event.Ref).
func (tx *Tx) Redact(ctx context.Context, ref int64, redact func(event.Event) ([]byte, error)) error {
	shown, err := tx.readEvents(ctx, eventsOf, ref)
	if err != nil {
		return err
	}
	for _, e := range shown {
		payload, err := redact(e)
		if err != nil {
			return fmt.Errorf("redact event %s: %w", e.ID, err)
		}
		if err := tx.RewriteEvent(ctx, e.Row(), payload); err != nil {
			return fmt.Errorf("redact event %s: %w", e.ID, err)
		}
	}
	_, err = tx.exec(ctx, eraseForgotten, ref)
	return err
}

const (
	readCursor  = `SELECT pos FROM cursors WHERE sink = $1`
	writeCursor = `INSERT INTO cursors (sink, pos, updated_at) VALUES ($1, $2, $3)
		ON CONFLICT (sink) DO UPDATE SET pos = excluded.pos, updated_at = excluded.updated_at`
	refuseEvent = `INSERT INTO refused_events (sink, event_id, type, pos, error, refused_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (sink, event_id) DO UPDATE SET error = excluded.error, refused_at = excluded.refused_at`
)

// Cursor returns up to where a sink has read the log; known is false if it never did.
func (s *Store) Cursor(ctx context.Context, sink string) (pos int64, known bool, err error) {
	err = s.View(ctx, func(tx *Tx) error { return tx.queryRow(ctx, readCursor, args(sink), &pos) })
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	return pos, err == nil, err
}

// SaveCursor remembers up to where a sink has read the log.
func (s *Store) SaveCursor(ctx context.Context, sink string, pos int64) error {
	return s.Update(ctx, func(tx *Tx) error {
		_, err := tx.exec(ctx, writeCursor, sink, pos, tx.Now())
		return err
	})
}

// Refuse sets an event aside that a sink refused for good, with the reason.
func (s *Store) Refuse(ctx context.Context, sink string, e event.Event, reason error) error {
	return s.Update(ctx, func(tx *Tx) error {
		_, err := tx.exec(ctx, refuseEvent, sink, e.ID, e.Type, e.Pos, reason.Error(), tx.Now())
		return err
	})
}

// Refused is an event that a sink refused for good.
type Refused struct {
	Sink, ID, Type, Error string
	Pos                   int64
	// At is when, in milliseconds since 1970.
	At int64
}

const refusedEvents = `SELECT sink, event_id, type, pos, error, refused_at FROM refused_events ORDER BY refused_at DESC LIMIT $1`

// Refused returns the newest refused events.
func (s *Store) Refused(ctx context.Context, limit int) (found []Refused, err error) {
	err = s.View(ctx, func(tx *Tx) error {
		return tx.query(ctx, refusedEvents, args(limit), func(r row) error {
			var e Refused
			if err := r.Scan(&e.Sink, &e.ID, &e.Type, &e.Pos, &e.Error, &e.At); err != nil {
				return fmt.Errorf("scan refused event: %w", err)
			}
			found = append(found, e)
			return nil
		})
	})
	return found, err
}

const (
	// An abandoned cursor, of a node that is no more, holds nothing back after three days.
	pruneTo = `SELECT least_pos FROM (SELECT coalesce(min(pos), $1) AS least_pos FROM cursors WHERE updated_at > $2) AS c`
	prune   = `DELETE FROM events WHERE pos IN (SELECT pos FROM events WHERE pos <= $1 AND occurred_at < $2 ORDER BY pos LIMIT $3)`
)

// PruneEvents removes up to limit events that are older than age, not among the keep
// newest, and passed by every cursor. It returns how many there were.
func (s *Store) PruneEvents(ctx context.Context, age time.Duration, keep int64, limit int) (n int64, err error) {
	err = s.Update(ctx, func(tx *Tx) error {
		var head, passed int64
		if err := tx.queryRow(ctx, maxPos, nil, &head); err != nil {
			return err
		}
		if err := tx.queryRow(ctx, pruneTo, args(head, tx.Now()-(72*time.Hour).Milliseconds()), &passed); err != nil {
			return err
		}
		n, err = tx.exec(ctx, prune, min(head-keep, passed), tx.Now()-age.Milliseconds(), limit)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("prune events: %w", err)
	}
	return n, nil
}

// ByID returns the event with that id.
func (s *Store) ByID(ctx context.Context, id string) (e event.Event, found bool, err error) {
	err = s.View(ctx, func(tx *Tx) error { return scanEvent(tx.row(ctx, eventByID, id), &e) })
	if errors.Is(err, sql.ErrNoRows) {
		return event.Event{}, false, nil
	}
	return e, err == nil, classify(err)
}
