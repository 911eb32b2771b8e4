package store

import (
	"context"
	"fmt"
)

const postgresSettings = `SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes')
	UNION ALL SELECT 'ssl', CASE WHEN coalesce((SELECT s.ssl FROM pg_stat_ssl AS s WHERE s.pid = pg_backend_pid()), FALSE) THEN 'on' ELSE 'off' END
	UNION ALL SELECT 'local', CASE WHEN inet_client_addr() IS NULL OR inet_client_addr() = inet_server_addr() THEN 'on' ELSE 'off' END`

// Settings returns settings of PostgreSQL that durability and privacy depend on, by their
// names; "ssl" says whether this connection has TLS, "local" whether it stays on one
// machine. With SQLite, whose settings are made here, it is nil.
func (s *Store) Settings(ctx context.Context) (map[string]string, error) {
	if s.o.Driver != Postgres {
		return nil, nil //nolint:nilnil // there are none
	}
	found := make(map[string]string)
	err := s.View(ctx, func(tx *Tx) error {
		return tx.query(ctx, postgresSettings, nil, func(r row) error {
			var name, value string
			err := r.Scan(&name, &value)
			found[name] = value
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read settings of PostgreSQL: %w", err)
	}
	return found, nil
}

// CountRefused returns how many events are set aside because a sink refused them.
func (s *Store) CountRefused(ctx context.Context) (n int64, err error) {
	err = s.View(ctx, func(tx *Tx) error { return tx.queryRow(ctx, countRefused, nil, &n) })
	return n, err
}
