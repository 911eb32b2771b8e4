package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/alerts"
)

// alertTx is what package alerts does in a transaction.
type alertTx struct{ *Tx }

type alertStore struct{ s *Store }

// Alerts returns the store of alerts and scans.
func (s *Store) Alerts() alerts.Store { return alertStore{s} }

func (a alertStore) Update(ctx context.Context, f func(alerts.Tx) error) error {
	return a.s.Update(ctx, func(tx *Tx) error { return f(alertTx{tx}) })
}

func (a alertStore) View(ctx context.Context, f func(alerts.Tx) error) error {
	return a.s.View(ctx, func(tx *Tx) error { return f(alertTx{tx}) })
}

const (
	alertColumns = `id, kind, subject, user_id, title, description, severity, category, source, metadata, status, count,
		created_at, last_seen_at, updated_at, updated_by, acknowledged_at, acknowledged_by, resolved_at, resolved_by, announced, announced_at`

	openAlert = `SELECT ` + alertColumns + ` FROM alerts WHERE kind = $1 AND subject = $2 AND status <> 'resolved'`
	oneAlert  = `SELECT ` + alertColumns + ` FROM alerts WHERE id = $1`

	holdOpenAlert = openAlert + ` FOR UPDATE`
	holdAlert     = oneAlert + ` FOR UPDATE`

	addAlert = `INSERT INTO alerts (kind, subject, user_id, title, description, severity, category, source, metadata, status, count,
			created_at, last_seen_at, updated_at, updated_by, announced)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
		ON CONFLICT (kind, subject) WHERE status <> 'resolved' DO NOTHING RETURNING id`
	saveAlert = `UPDATE alerts SET subject = $1, user_id = $2, title = $3, description = $4, severity = $5, category = $6, source = $7,
			metadata = $8, status = $9, count = $10, last_seen_at = $11, updated_at = $12, updated_by = $13, acknowledged_at = $14,
			acknowledged_by = $15, resolved_at = $16, resolved_by = $17, announced = $18, announced_at = $19
		WHERE id = $20`
	listAlerts = `SELECT ` + alertColumns + ` FROM alerts
		WHERE id < $1 AND ($2 = '' OR status = $2 OR $2 = 'open' AND status <> 'resolved')
			AND ($3 = '' OR severity = $3) AND ($4 = '' OR kind = $4) AND ($5 = 0 OR user_id = $5)
		ORDER BY id DESC LIMIT $6`
	untoldAlerts = `SELECT id FROM alerts WHERE announced < count AND (announced_at <= $1 OR announced_at > $2) ORDER BY announced_at LIMIT $3`
	sweepAlerts  = `DELETE FROM alerts WHERE id IN (SELECT id FROM alerts WHERE updated_at < $1 ORDER BY updated_at LIMIT $2)`
	alertsOf     = `SELECT ` + alertColumns + ` FROM alerts WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3`
	alertEvents  = `SELECT ` + eventColumns + ` FROM events
		WHERE id > $1 AND type IN ('security.alert.created', 'security.alert.updated') ORDER BY id LIMIT $2`
)

func scanAlert(r row, a *alerts.Alert) error {
	var metadata []byte
	err := r.Scan(&a.ID, &a.Kind, &a.Subject, &a.User, &a.Title, &a.Description, &a.Severity, &a.Category, &a.Source, &metadata, &a.Status,
		&a.Count, &a.CreatedAt, &a.LastSeenAt, &a.UpdatedAt, &a.UpdatedBy, &a.AcknowledgedAt, &a.AcknowledgedBy, &a.ResolvedAt, &a.ResolvedBy,
		&a.Announced, &a.AnnouncedAt)
	a.Metadata = metadata
	return err
}

func (tx alertTx) alert(ctx context.Context, query string, a ...any) (found alerts.Alert, err error) {
	if err := classify(scanAlert(tx.row(ctx, query, a...), &found)); err != nil {
		return alerts.Alert{}, noRow(err, alerts.ErrNotFound)
	}
	return found, nil
}

func (tx alertTx) alerts(ctx context.Context, query string, a ...any) (list []alerts.Alert, err error) {
	err = tx.query(ctx, query, a, func(r row) error {
		var one alerts.Alert
		err := scanAlert(r, &one)
		list = append(list, one)
		return err
	})
	return list, err
}

// OpenAlert implements alerts' storage.
func (tx alertTx) OpenAlert(ctx context.Context, kind, subject string) (alerts.Alert, error) {
	return tx.alert(ctx, tx.text(openAlert, holdOpenAlert), kind, subject)
}

// LockAlert implements alerts' storage.
func (tx alertTx) LockAlert(ctx context.Context, id int64) (alerts.Alert, error) {
	return tx.alert(ctx, tx.text(oneAlert, holdAlert), id)
}

// Alert implements alerts' storage.
func (tx alertTx) Alert(ctx context.Context, id int64) (alerts.Alert, error) {
	return tx.alert(ctx, oneAlert, id)
}

// AddAlert implements alerts' storage.
func (tx alertTx) AddAlert(ctx context.Context, a *alerts.Alert) (bool, error) {
	err := tx.queryRow(ctx, addAlert, args(a.Kind, a.Subject, a.User, a.Title, a.Description, a.Severity, a.Category, a.Source,
		string(a.Metadata), a.Status, a.Count, a.CreatedAt, a.LastSeenAt, a.UpdatedAt, a.UpdatedBy, a.Announced), &a.ID)
	if err = noRow(err, alerts.ErrNotFound); errors.Is(err, alerts.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("add alert: %w", err)
	}
	return true, nil
}

// SaveAlert implements alerts' storage.
func (tx alertTx) SaveAlert(ctx context.Context, a *alerts.Alert) error {
	_, err := tx.exec(ctx, saveAlert, a.Subject, a.User, a.Title, a.Description, a.Severity, a.Category, a.Source, string(a.Metadata),
		a.Status, a.Count, a.LastSeenAt, a.UpdatedAt, a.UpdatedBy, a.AcknowledgedAt, a.AcknowledgedBy, a.ResolvedAt, a.ResolvedBy,
		a.Announced, a.AnnouncedAt, a.ID)
	if err != nil {
		return fmt.Errorf("save alert %d: %w", a.ID, err)
	}
	return nil
}

// Alerts implements alerts' storage.
func (tx alertTx) Alerts(ctx context.Context, q alerts.Query, below int64, limit int) ([]alerts.Alert, error) {
	return tx.alerts(ctx, listAlerts, below, q.Status, q.Severity, q.Kind, q.User, limit)
}

// Untold implements alerts' storage.
func (tx alertTx) Untold(ctx context.Context, after, now int64, limit int) ([]int64, error) {
	return column[int64](ctx, tx.Tx, untoldAlerts, after, now, limit)
}

// SweepAlerts implements alerts' storage.
func (tx alertTx) SweepAlerts(ctx context.Context, before int64, limit int) (int64, error) {
	return tx.exec(ctx, sweepAlerts, before, limit)
}

// AlertsOf implements alerts' storage.
func (tx alertTx) AlertsOf(ctx context.Context, user, above int64, limit int) ([]alerts.Alert, error) {
	return tx.alerts(ctx, alertsOf, user, above, limit)
}

// AlertEvents implements alerts' storage.
func (tx alertTx) AlertEvents(ctx context.Context, above int64, limit int) ([]event.Event, error) {
	return tx.readEvents(ctx, alertEvents, above, limit)
}

// ForgetReplies implements alerts' storage. Replies are JSON that only we write, without
// blanks.
func (tx alertTx) ForgetReplies(ctx context.Context, user int64) error {
	_, err := tx.exec(ctx, forgetRepliesLike, `{"id":"alr%"user_id":`+strconv.FormatInt(user, 10)+`,"title":%`)
	return err
}

const (
	scanColumns = `id, type, target, status, error, findings, started_by, started_at, completed_at`

	addScan    = `INSERT INTO scans (type, target, status, started_by, started_at) VALUES ($1, $2, $3, $4, $5) RETURNING id`
	saveScan   = `UPDATE scans SET status = $1, error = $2, findings = $3, completed_at = $4 WHERE id = $5`
	oneScan    = `SELECT ` + scanColumns + ` FROM scans WHERE id = $1`
	holdScan   = oneScan + ` FOR UPDATE`
	listScans  = `SELECT ` + scanColumns + ` FROM scans WHERE id < $1 ORDER BY id DESC LIMIT $2`
	unfinished = `SELECT id FROM scans WHERE status = 'running' AND started_at < $1 ORDER BY started_at LIMIT 100`
	sweepScans = `DELETE FROM scans WHERE id IN (SELECT id FROM scans WHERE started_at < $1 ORDER BY started_at LIMIT $2)`
)

func scanScan(r row, s *alerts.Scan) error {
	var findings []byte
	if err := r.Scan(&s.ID, &s.Type, &s.Target, &s.Status, &s.Error, &findings, &s.StartedBy, &s.StartedAt, &s.CompletedAt); err != nil {
		return err
	}
	if err := fromJSON(findings, &s.Findings); err != nil {
		return fmt.Errorf("findings of scan %d: %w", s.ID, err)
	}
	return nil
}

func (tx alertTx) scan(ctx context.Context, query string, id int64) (found alerts.Scan, err error) {
	if err := classify(scanScan(tx.row(ctx, query, id), &found)); err != nil {
		return alerts.Scan{}, noRow(err, alerts.ErrNotFound)
	}
	return found, nil
}

// AddScan implements alerts' storage.
func (tx alertTx) AddScan(ctx context.Context, s *alerts.Scan) error {
	if err := tx.queryRow(ctx, addScan, args(s.Type, s.Target, s.Status, s.StartedBy, s.StartedAt), &s.ID); err != nil {
		return fmt.Errorf("add scan: %w", err)
	}
	return nil
}

// SaveScan implements alerts' storage.
func (tx alertTx) SaveScan(ctx context.Context, s *alerts.Scan) error {
	findings, err := json.Marshal(s.Findings)
	if err != nil {
		return fmt.Errorf("findings of scan %d: %w", s.ID, err)
	}
	if _, err := tx.exec(ctx, saveScan, s.Status, s.Error, string(findings), s.CompletedAt, s.ID); err != nil {
		return fmt.Errorf("save scan %d: %w", s.ID, err)
	}
	return nil
}

// Scan implements alerts' storage.
func (tx alertTx) Scan(ctx context.Context, id int64) (alerts.Scan, error) {
	return tx.scan(ctx, oneScan, id)
}

// LockScan implements alerts' storage.
func (tx alertTx) LockScan(ctx context.Context, id int64) (alerts.Scan, error) {
	return tx.scan(ctx, tx.text(oneScan, holdScan), id)
}

// Scans implements alerts' storage.
func (tx alertTx) Scans(ctx context.Context, below int64, limit int) (list []alerts.Scan, err error) {
	err = tx.query(ctx, listScans, args(below, limit), func(r row) error {
		var s alerts.Scan
		err := scanScan(r, &s)
		list = append(list, s)
		return err
	})
	return list, err
}

// Unfinished implements alerts' storage.
func (tx alertTx) Unfinished(ctx context.Context, before int64) ([]int64, error) {
	return column[int64](ctx, tx.Tx, unfinished, before)
}

// SweepScans implements alerts' storage.
func (tx alertTx) SweepScans(ctx context.Context, before int64, limit int) (int64, error) {
	return tx.exec(ctx, sweepScans, before, limit)
}
