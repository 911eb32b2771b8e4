package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/kuranty/kuranty/internal/status"
)

// statusTx is what package status does in a transaction.
type statusTx struct{ *Tx }

type statusStore struct{ s *Store }

// StatusPage returns the store of the states of components and of maintenance.
func (s *Store) StatusPage() status.Store { return statusStore{s} }

func (p statusStore) Update(ctx context.Context, f func(status.Tx) error) error {
	return p.s.Update(ctx, func(tx *Tx) error { return f(statusTx{tx}) })
}

func (p statusStore) View(ctx context.Context, f func(status.Tx) error) error {
	return p.s.View(ctx, func(tx *Tx) error { return f(statusTx{tx}) })
}

const tryWrite = `INSERT INTO meta (key, value) VALUES ('last_try', $1) ON CONFLICT (key) DO UPDATE SET value = excluded.value`

// TryWrite writes something that means nothing. Where only a write shows that the database
// is back, as after a full disk, it need not be somebody's.
func (s *Store) TryWrite(ctx context.Context) error {
	return s.Update(ctx, func(tx *Tx) error {
		_, err := tx.exec(ctx, tryWrite, strconv.FormatInt(tx.Now(), 10))
		return err
	})
}

const (
	// A lease that ends later than any can was taken before the clock was set back.
	takeLease = `UPDATE status_lease SET holder = $1, held_until = now() + $2 * interval '1 second'
		WHERE holder = $1 OR held_until <= now() OR held_until > now() + $2 * interval '1 second'`
	giveLease = `UPDATE status_lease SET held_until = now() WHERE holder = $1`
)

// Lead implements status.Store. SQLite has one process, so it asks nobody.
func (p statusStore) Lead(ctx context.Context, holder string) (leads bool, err error) {
	if p.s.o.Driver != Postgres {
		return true, nil
	}
	err = p.s.Update(ctx, func(tx *Tx) error {
		leads, err = statusTx{tx}.Lead(ctx, holder)
		return err
	})
	return leads, err
}

// Resign implements status.Store.
func (p statusStore) Resign(ctx context.Context, holder string) error {
	if p.s.o.Driver != Postgres {
		return nil
	}
	return p.s.Update(ctx, func(tx *Tx) error {
		_, err := tx.exec(ctx, giveLease, holder)
		return err
	})
}

// Lead implements status.Tx.
func (tx statusTx) Lead(ctx context.Context, holder string) (bool, error) {
	if tx.dialect != Postgres {
		return true, nil
	}
	n, err := tx.exec(ctx, takeLease, holder, int64(status.LeaseTime.Seconds()))
	return n > 0, err
}

const (
	componentsAll   = `SELECT name, state, detail, since FROM status_components ORDER BY name`
	clearComponents = `DELETE FROM status_components`
	addComponent    = `INSERT INTO status_components (name, state, detail, since) VALUES ($1, $2, $3, $4)`
)

// Components implements status.Tx.
func (tx statusTx) Components(ctx context.Context) (all []status.Component, err error) {
	err = tx.query(ctx, componentsAll, nil, func(r row) error {
		var c status.Component
		err := r.Scan(&c.Name, &c.State, &c.Detail, &c.Since)
		all = append(all, c)
		return err
	})
	return all, err
}

// SetComponents implements status.Tx.
func (tx statusTx) SetComponents(ctx context.Context, all []status.Component) error {
	if _, err := tx.exec(ctx, clearComponents); err != nil {
		return err
	}
	for _, c := range all {
		if _, err := tx.exec(ctx, addComponent, c.Name, c.State, c.Detail, c.Since); err != nil {
			return fmt.Errorf("store component %s: %w", c.Name, err)
		}
	}
	return nil
}

const (
	maintenanceColumns = `id, title, affected, phase, starts_at, ends_at, started_at, ended_at, created_at, created_by, started_by, ended_by`

	maintenanceByID = `SELECT ` + maintenanceColumns + ` FROM maintenance WHERE id = $1`
	lockMaintenance = maintenanceByID + ` FOR UPDATE`

	addMaintenance = `INSERT INTO maintenance (` + maintenanceColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`

	saveMaintenance = `UPDATE maintenance SET title = $1, affected = $2, phase = $3, starts_at = $4, ends_at = $5, started_at = $6, ended_at = $7,
		started_by = $8, ended_by = $9 WHERE id = $10`
	removeMaintenance = `DELETE FROM maintenance WHERE id = $1`

	listMaintenance = `SELECT ` + maintenanceColumns + ` FROM maintenance
		WHERE ($1 = '' OR phase = $1) AND ($2 = '' OR id < $2) ORDER BY id DESC LIMIT $3`
	openMaintenance = `SELECT ` + maintenanceColumns + ` FROM maintenance WHERE phase <> 'ended'
		ORDER BY CASE phase WHEN 'running' THEN 0 ELSE 1 END, CASE starts_at WHEN 0 THEN 1 ELSE 0 END, starts_at, id LIMIT $1`
	dueMaintenance = `SELECT id FROM maintenance WHERE phase <> 'ended'
		AND (phase = 'planned' AND starts_at > 0 AND starts_at <= $1 OR phase = 'running' AND ends_at > 0 AND ends_at <= $1) ORDER BY starts_at, id LIMIT $2`
	countOpen     = `SELECT count(*) FROM maintenance WHERE phase <> 'ended'`
	maintenanceBy = `SELECT ` + maintenanceColumns + ` FROM maintenance WHERE created_by = $1 OR started_by = $1 OR ended_by = $1 ORDER BY id`
)

func scanMaintenance(r row, m *status.Maintenance) error {
	var affected []byte
	err := r.Scan(&m.ID, &m.Title, &affected, &m.Phase, &m.StartsAt, &m.EndsAt, &m.StartedAt, &m.EndedAt, &m.CreatedAt, &m.CreatedBy, &m.StartedBy, &m.EndedBy)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(affected, &m.Affected); err != nil {
		return fmt.Errorf("affected of maintenance %s: %w", m.ID, err)
	}
	return nil
}

func (tx statusTx) maintenance(ctx context.Context, query string, a ...any) (list []status.Maintenance, err error) {
	err = tx.query(ctx, query, a, func(r row) error {
		var m status.Maintenance
		err := scanMaintenance(r, &m)
		list = append(list, m)
		return err
	})
	return list, err
}

// Maintenance implements status.Tx.
func (tx statusTx) Maintenance(ctx context.Context, id string) (status.Maintenance, error) {
	return tx.oneMaintenance(ctx, maintenanceByID, id)
}

// LockMaintenance implements status.Tx.
func (tx statusTx) LockMaintenance(ctx context.Context, id string) (status.Maintenance, error) {
	return tx.oneMaintenance(ctx, tx.text(maintenanceByID, lockMaintenance), id)
}

func (tx statusTx) oneMaintenance(ctx context.Context, query, id string) (status.Maintenance, error) {
	list, err := tx.maintenance(ctx, query, id)
	if err != nil {
		return status.Maintenance{}, err
	}
	if len(list) == 0 {
		return status.Maintenance{}, status.ErrNotFound
	}
	return list[0], nil
}

func affectedText(m *status.Maintenance) (string, error) {
	if m.Affected == nil {
		return "[]", nil
	}
	b, err := json.Marshal(m.Affected)
	return string(b), err
}

// AddMaintenance implements status.Tx.
func (tx statusTx) AddMaintenance(ctx context.Context, m *status.Maintenance) error {
	affected, err := affectedText(m)
	if err != nil {
		return err
	}
	_, err = tx.exec(ctx, addMaintenance, m.ID, m.Title, affected, m.Phase, m.StartsAt, m.EndsAt, m.StartedAt, m.EndedAt, m.CreatedAt, m.CreatedBy, m.StartedBy, m.EndedBy)
	return err
}

// SaveMaintenance implements status.Tx.
func (tx statusTx) SaveMaintenance(ctx context.Context, m *status.Maintenance) error {
	affected, err := affectedText(m)
	if err != nil {
		return err
	}
	_, err = tx.exec(ctx, saveMaintenance, m.Title, affected, m.Phase, m.StartsAt, m.EndsAt, m.StartedAt, m.EndedAt, m.StartedBy, m.EndedBy, m.ID)
	return err
}

// RemoveMaintenance implements status.Tx.
func (tx statusTx) RemoveMaintenance(ctx context.Context, id string) error {
	_, err := tx.exec(ctx, removeMaintenance, id)
	return err
}

// ListMaintenance implements status.Tx.
func (tx statusTx) ListMaintenance(ctx context.Context, phase status.Phase, before string, limit int) ([]status.Maintenance, error) {
	return tx.maintenance(ctx, listMaintenance, string(phase), before, limit)
}

// OpenMaintenance implements status.Tx.
func (tx statusTx) OpenMaintenance(ctx context.Context, limit int) ([]status.Maintenance, error) {
	return tx.maintenance(ctx, openMaintenance, limit)
}

// DueMaintenance implements status.Tx.
func (tx statusTx) DueMaintenance(ctx context.Context, now int64, limit int) ([]string, error) {
	return column[string](ctx, tx.Tx, dueMaintenance, now, limit)
}

// CountOpen implements status.Tx.
func (tx statusTx) CountOpen(ctx context.Context) (n int, err error) {
	err = tx.queryRow(ctx, countOpen, nil, &n)
	return n, err
}

// MaintenanceBy implements status.Tx.
func (tx statusTx) MaintenanceBy(ctx context.Context, actor string) ([]status.Maintenance, error) {
	return tx.maintenance(ctx, maintenanceBy, actor)
}
