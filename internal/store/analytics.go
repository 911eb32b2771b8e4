package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/kuranty/kuranty/internal/analytics"
)

// analyticsTx is what package analytics does in a transaction.
type analyticsTx struct{ *Tx }

type analyticsStore struct{ s *Store }

// Analytics returns the store of metrics and reports.
func (s *Store) Analytics() analytics.Store { return analyticsStore{s} }

func (a analyticsStore) Update(ctx context.Context, f func(analytics.Tx) error) error {
	return a.s.Update(ctx, func(tx *Tx) error { return f(analyticsTx{tx}) })
}

func (a analyticsStore) View(ctx context.Context, f func(analytics.Tx) error) error {
	return a.s.View(ctx, func(tx *Tx) error { return f(analyticsTx{tx}) })
}

const (
	findSeries  = `SELECT id FROM metric_series WHERE name = $1 AND server = $2`
	lockSeries  = `LOCK TABLE metric_series IN SHARE ROW EXCLUSIVE MODE`
	countSeries = `SELECT count(*) FROM metric_series`
	addSeries   = `INSERT INTO metric_series (name, server, unit, metadata, value, updated_at) VALUES ($1, $2, '', '{}', 0, 0) RETURNING id`
	tellSeries  = `UPDATE metric_series SET unit = CASE WHEN $1 = '' THEN unit ELSE $1 END, metadata = $2, value = $3, updated_at = $4
		WHERE id = $5 AND updated_at <= $4`
	putPoint = `INSERT INTO metric_points (series_id, step, at, n, total, least, greatest, last, last_at) VALUES ($1, 0, $2, 1, $3, $3, $3, $3, $2)
		ON CONFLICT (series_id, step, at) DO UPDATE SET total = excluded.total, least = excluded.least, greatest = excluded.greatest, last = excluded.last
		WHERE metric_points.last <> excluded.last`
	listSeries = `SELECT id, name, server, unit, metadata, value, updated_at FROM metric_series
		WHERE ($1 = '' OR name = $1) AND ($2 = '' OR server = $2) AND (NOT CAST($3 AS BOOLEAN) OR (name, server) > ($4, $5)) ORDER BY name, server LIMIT $6`

	pointTimes = `p.at - p.at % CAST($1 AS BIGINT)`
	listPoints = `SELECT q.bucket, CAST(sum(q.n) AS BIGINT), sum(q.total), min(q.least), max(q.greatest), max(q.newest), max(q.last_at) FROM (
			SELECT ` + pointTimes + ` AS bucket, p.n, p.total, p.least, p.greatest, p.last_at,
				first_value(p.last) OVER (PARTITION BY ` + pointTimes + ` ORDER BY p.last_at DESC, p.series_id) AS newest
			FROM metric_points AS p JOIN metric_series AS s ON s.id = p.series_id
			WHERE s.name = $2 AND ($3 = '' OR s.server = $3) AND p.step = $4 AND p.at >= $5 AND p.at < $6) AS q
		GROUP BY q.bucket ORDER BY q.bucket`
	summary = `SELECT CAST(coalesce(sum(q.n), 0) AS BIGINT), coalesce(sum(q.total), 0), coalesce(min(q.least), 0), coalesce(max(q.greatest), 0),
			coalesce(max(q.newest), 0), coalesce(max(q.last_at), 0) FROM (
			SELECT p.n, p.total, p.least, p.greatest, p.last_at, first_value(p.last) OVER (ORDER BY p.last_at DESC) AS newest
			FROM metric_points AS p WHERE p.series_id = $1 AND p.step = $2 AND p.at >= $3 AND p.at < $4) AS q`
	settledOf = `SELECT coalesce(min(c.at), $1) FROM metric_changes AS c JOIN metric_series AS s ON s.id = c.series_id WHERE s.name = $2 AND c.step = $3`
	settled   = `SELECT coalesce(min(at), $1) FROM metric_changes WHERE step = $2`

	// Whoever is just taking the note is waited for: it may have read already.
	noteChange   = `INSERT INTO metric_changes (series_id, step, at) VALUES ($1, $2, $3) ON CONFLICT (series_id, step, at) DO UPDATE SET at = excluded.at`
	dueChanges   = `(SELECT series_id, step, at FROM metric_changes WHERE step = $1 AND at < $2 ORDER BY series_id, at LIMIT $3`
	takenChanges = ` RETURNING series_id, at`
	takeChanges  = `DELETE FROM metric_changes WHERE (series_id, step, at) IN ` + dueChanges + `)` + takenChanges
	// Those that somebody is just noting again are left to the next time.
	takeFreeChanges = `DELETE FROM metric_changes WHERE (series_id, step, at) IN ` + dueChanges + ` FOR UPDATE SKIP LOCKED)` + takenChanges
	putSummary      = `INSERT INTO metric_points (series_id, step, at, n, total, least, greatest, last, last_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (series_id, step, at) DO UPDATE SET n = excluded.n, total = excluded.total, least = excluded.least,
			greatest = excluded.greatest, last = excluded.last, last_at = excluded.last_at`
	sweepPoints = `DELETE FROM metric_points WHERE (series_id, step, at) IN (SELECT p.series_id, p.step, p.at FROM metric_points AS p
		WHERE p.step = $1 AND p.at < $2 AND NOT EXISTS (SELECT 1 FROM metric_changes AS c
			WHERE c.series_id = p.series_id AND c.step = CAST($3 AS BIGINT) AND c.at = p.at - p.at % CAST($3 AS BIGINT)) LIMIT $4)`
	sweepSeries = `DELETE FROM metric_series WHERE id IN (SELECT s.id FROM metric_series AS s
		WHERE s.updated_at < $1 AND NOT EXISTS (SELECT 1 FROM metric_points AS p WHERE p.series_id = s.id) LIMIT $2)`
)

// FindSeries implements analytics.
func (tx analyticsTx) FindSeries(ctx context.Context, name, server string) (id int64, err error) {
	err = tx.queryRow(ctx, findSeries, args(name, server), &id)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return id, err
}

// LockSeries implements analytics. SQLite has one writer.
func (tx analyticsTx) LockSeries(ctx context.Context) error {
	if tx.dialect != Postgres {
		return nil
	}
	_, err := tx.exec(ctx, lockSeries)
	return err
}

// CountSeries implements analytics.
func (tx analyticsTx) CountSeries(ctx context.Context) (n int, err error) {
	err = tx.queryRow(ctx, countSeries, nil, &n)
	return n, err
}

// AddSeries implements analytics.
func (tx analyticsTx) AddSeries(ctx context.Context, name, server string) (id int64, err error) {
	if err := tx.queryRow(ctx, addSeries, args(name, server), &id); err != nil {
		return 0, fmt.Errorf("add series: %w", err)
	}
	return id, nil
}

// Tell implements analytics.
func (tx analyticsTx) Tell(ctx context.Context, series int64, unit, metadata string, value float64, at int64) error {
	_, err := tx.exec(ctx, tellSeries, unit, metadata, value, at, series)
	return err
}

// PutPoint implements analytics.
func (tx analyticsTx) PutPoint(ctx context.Context, series, at int64, value float64) (bool, error) {
	n, err := tx.exec(ctx, putPoint, series, at, value)
	if err != nil {
		return false, fmt.Errorf("store value: %w", err)
	}
	return n > 0, nil
}

// Series implements analytics.
func (tx analyticsTx) Series(ctx context.Context, name, server string, after bool, afterName, afterServer string, limit int) (list []analytics.Series, err error) {
	err = tx.query(ctx, listSeries, args(name, server, after, afterName, afterServer, limit), func(r row) error {
		var s analytics.Series
		var metadata string
		err := r.Scan(&s.ID, &s.Name, &s.Server, &s.Unit, &metadata, &s.Value, &s.UpdatedAt)
		s.Metadata = []byte(metadata)
		list = append(list, s)
		return err
	})
	return list, err
}

// Points implements analytics.
func (tx analyticsTx) Points(ctx context.Context, name, server string, step, every, from, to int64) (list []analytics.Point, err error) {
	err = tx.query(ctx, listPoints, args(every, name, server, step, from, to), func(r row) error {
		var p analytics.Point
		err := r.Scan(&p.At, &p.N, &p.Total, &p.Least, &p.Greatest, &p.Last, &p.LastAt)
		list = append(list, p)
		return err
	})
	return list, err
}

// Summary implements analytics.
func (tx analyticsTx) Summary(ctx context.Context, series, step, from, to int64) (p analytics.Point, err error) {
	err = tx.queryRow(ctx, summary, args(series, step, from, to), &p.N, &p.Total, &p.Least, &p.Greatest, &p.Last, &p.LastAt)
	return p, err
}

// Settled implements analytics.
func (tx analyticsTx) Settled(ctx context.Context, name string, step, before int64) (at int64, err error) {
	if name == "" {
		err = tx.queryRow(ctx, settled, args(before, step), &at)
	} else {
		err = tx.queryRow(ctx, settledOf, args(before, name, step), &at)
	}
	return min(at, before), err
}

// Change implements analytics.
func (tx analyticsTx) Change(ctx context.Context, series, step, at int64) error {
	_, err := tx.exec(ctx, noteChange, series, step, at)
	return err
}

// TakeChanges implements analytics.
func (tx analyticsTx) TakeChanges(ctx context.Context, step, before int64, limit int) (list []analytics.Change, err error) {
	err = tx.query(ctx, tx.text(takeChanges, takeFreeChanges), args(step, before, limit), func(r row) error {
		var c analytics.Change
		err := r.Scan(&c.Series, &c.At)
		list = append(list, c)
		return err
	})
	return list, err
}

// PutSummary implements analytics.
func (tx analyticsTx) PutSummary(ctx context.Context, series, step int64, p *analytics.Point) error {
	_, err := tx.exec(ctx, putSummary, series, step, p.At, p.N, p.Total, p.Least, p.Greatest, p.Last, p.LastAt)
	return err
}

// SweepPoints implements analytics.
func (tx analyticsTx) SweepPoints(ctx context.Context, step, coarser, before int64, limit int) (int64, error) {
	return tx.exec(ctx, sweepPoints, step, before, coarser, limit)
}

// SweepSeries implements analytics.
func (tx analyticsTx) SweepSeries(ctx context.Context, before int64, limit int) (int64, error) {
	return tx.exec(ctx, sweepSeries, before, limit)
}

// Size is that of the database, in bytes.
func (s *Store) Size(ctx context.Context) (bytes int64, err error) {
	err = s.View(ctx, func(tx *Tx) error { return tx.queryRow(ctx, tx.text(sizeSQLite, sizePostgres), nil, &bytes) })
	return bytes, err
}
