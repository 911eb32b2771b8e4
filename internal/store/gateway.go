package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/gateway"
)

// Gateway returns the log as the event gateway reads it.
func (s *Store) Gateway() gateway.Store { return gatewayStore{s} }

type gatewayStore struct{ s *Store }

const (
	eventsBetween   = `SELECT ` + eventColumns + ` FROM events WHERE pos > $1 AND pos <= $2 AND type IN `
	betweenSQLite   = eventsBetween + `(SELECT value FROM json_each($3)) ORDER BY pos LIMIT $4`
	betweenPostgres = eventsBetween + `(SELECT jsonb_array_elements_text($3::jsonb)) ORDER BY pos LIMIT $4`
	eventPlace      = `SELECT pos FROM events WHERE event_id = $1 AND pos IS NOT NULL`
	newestPlace     = `SELECT event_id, pos FROM events WHERE pos IS NOT NULL ORDER BY pos DESC LIMIT 1`
	oldestPlace     = `SELECT event_id, pos FROM events WHERE pos IS NOT NULL ORDER BY pos LIMIT 1`
	membersAmong    = `SELECT user_id FROM members WHERE chat_id = $1 AND state = 'active' AND user_id IN `
	amongSQLite     = membersAmong + `(SELECT value FROM json_each($2))`
	amongPostgres   = membersAmong + `(SELECT value::bigint FROM jsonb_array_elements_text($2::jsonb))`
	takeConsumer    = `INSERT INTO consumers (subject, name, holder, pos, used_at) VALUES ($1, $2, $3, -1, $4)
		ON CONFLICT (subject, name) DO UPDATE SET holder = excluded.holder, used_at = excluded.used_at RETURNING pos`
	acknowledge     = `UPDATE consumers SET pos = CASE WHEN pos < $1 THEN $1 ELSE pos END, used_at = $2 WHERE subject = $3 AND name = $4 AND holder = $5`
	holders         = `SELECT c.holder FROM consumers AS c JOIN `
	holdersSQLite   = holders + `json_each($1) AS j ON c.subject = j.value ->> 'subject' AND c.name = j.value ->> 'name'`
	holdersPostgres = holders + `jsonb_array_elements($1::jsonb) AS j(value) ON c.subject = j.value ->> 'subject' AND c.name = j.value ->> 'name'`
	forgetConsumers = `DELETE FROM consumers WHERE used_at < $1`
)

// Between implements gateway.Store.
func (g gatewayStore) Between(ctx context.Context, after, upTo int64, types []string, limit int) (found []event.Event, err error) {
	list, err := json.Marshal(types)
	if err != nil {
		return nil, fmt.Errorf("encode types: %w", err)
	}
	err = g.s.View(ctx, func(tx *Tx) error {
		found, err = tx.readEvents(ctx, tx.text(betweenSQLite, betweenPostgres), after, upTo, string(list), limit)
		return err
	})
	return found, err
}

// Place implements gateway.Store.
func (g gatewayStore) Place(ctx context.Context, id string) (pos int64, known bool, err error) {
	err = g.s.View(ctx, func(tx *Tx) error { return tx.queryRow(ctx, eventPlace, args(id), &pos) })
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	return pos, err == nil, err
}

// Newest implements gateway.Store.
func (g gatewayStore) Newest(ctx context.Context) (string, int64, error) {
	return g.end(ctx, newestPlace)
}

// Oldest implements gateway.Store.
func (g gatewayStore) Oldest(ctx context.Context) (string, int64, error) {
	return g.end(ctx, oldestPlace)
}

func (g gatewayStore) end(ctx context.Context, query string) (id string, pos int64, err error) {
	err = g.s.View(ctx, func(tx *Tx) error { return tx.queryRow(ctx, query, nil, &id, &pos) })
	if errors.Is(err, sql.ErrNoRows) {
		return "", 0, nil
	}
	return id, pos, err
}

// Members implements gateway.Store.
func (g gatewayStore) Members(ctx context.Context, chat int64, users []int64) (in []int64, err error) {
	list, err := idList(users)
	if err != nil {
		return nil, err
	}
	err = g.s.View(ctx, func(tx *Tx) (err error) {
		in, err = column[int64](ctx, tx, tx.text(amongSQLite, amongPostgres), chat, list)
		return err
	})
	return in, err
}

// TakeConsumer implements gateway.Store.
func (g gatewayStore) TakeConsumer(ctx context.Context, subject, name, holder string, now int64) (pos int64, known bool, err error) {
	err = g.s.Update(ctx, func(tx *Tx) error { return tx.queryRow(ctx, takeConsumer, args(subject, name, holder, now), &pos) })
	if err != nil {
		return 0, false, fmt.Errorf("take consumer: %w", err)
	}
	return pos, pos >= 0, nil
}

// Acknowledge implements gateway.Store.
func (g gatewayStore) Acknowledge(ctx context.Context, subject, name, holder string, pos, now int64) (held bool, err error) {
	err = g.s.Update(ctx, func(tx *Tx) error {
		n, err := tx.exec(ctx, acknowledge, pos, now, subject, name, holder)
		held = n > 0
		return err
	})
	return held, err
}

// Holders implements gateway.Store.
func (g gatewayStore) Holders(ctx context.Context, consumers []gateway.ConsumerName) (found []string, err error) {
	list, err := json.Marshal(consumers)
	if err != nil {
		return nil, fmt.Errorf("encode names of consumers: %w", err)
	}
	err = g.s.View(ctx, func(tx *Tx) error {
		found, err = column[string](ctx, tx, tx.text(holdersSQLite, holdersPostgres), string(list))
		return err
	})
	return found, err
}

// ForgetConsumers implements gateway.Store.
func (g gatewayStore) ForgetConsumers(ctx context.Context, since int64) error {
	return g.s.Update(ctx, func(tx *Tx) error {
		_, err := tx.exec(ctx, forgetConsumers, since)
		return err
	})
}
