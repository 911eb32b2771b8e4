package store

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

var (
	// ErrNotEmpty means that a database that is to be restored into has people in it.
	ErrNotEmpty = errors.New("the database is not empty")
	// ErrHalfRestored means that a restore into this database did not end. Restoring
	// again begins anew.
	ErrHalfRestored = errors.New("a restore into this database did not end: run kuranty backup restore again")
)

// restoringKey is in the table meta from the beginning of a restore to its end.
const restoringKey = "restoring"

// Restore fills an empty database, and the folder files, from a backup made by
// [Store.Backup] on either database. It gives the database another epoch: positions
// handed out before the backup was made, or after, mean nothing any more (R14). A
// database whose restore does not end cannot be opened but to restore again.
func (s *Store) Restore(ctx context.Context, r io.ReaderAt, size int64, files string) (*Manifest, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("restore: %w: %w", ErrNoBackup, err)
	}
	m, err := readManifest(z)
	if err != nil {
		return nil, err
	}
	schema, err := s.Schema(ctx)
	if err != nil {
		return nil, err
	}
	if m.Schema > schema.Version {
		return nil, fmt.Errorf("restore: the backup is of schema %d, this version knows %d: use the version that made it, or a later one", m.Schema, schema.Version)
	}
	if err := s.beginRestore(ctx); err != nil {
		return nil, err
	}
	if err := restoreFiles(z, files); err != nil {
		return nil, fmt.Errorf("restore files: %w", err)
	}
	for _, t := range m.Tables {
		if t.Name == "meta" {
			continue // the epoch is new, the rest is of the database it came from
		}
		if err := s.restoreTable(ctx, z, t); err != nil {
			return nil, fmt.Errorf("restore: %w", err)
		}
	}
	if err := s.afterRestore(ctx); err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	if _, err := s.Reindex(ctx); err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	return m, s.NewEpoch(ctx)
}

const anybody = `SELECT (SELECT count(*) FROM users) + (SELECT count(*) FROM events) + (SELECT count(*) FROM chats) + (SELECT count(*) FROM webhooks)`

// beginRestore makes sure that nothing is overwritten, except what an earlier restore
// left behind.
func (s *Store) beginRestore(ctx context.Context) error {
	var rows int64
	var begun string
	err := s.View(ctx, func(tx *Tx) (err error) {
		if begun, err = tx.meta(ctx, restoringKey); err != nil {
			return err
		}
		return tx.queryRow(ctx, anybody, nil, &rows)
	})
	switch {
	case err != nil:
		return fmt.Errorf("restore: %w", err)
	case begun != "":
		return s.Update(ctx, func(tx *Tx) error { return tx.emptyTables(ctx) })
	case rows > 0:
		return ErrNotEmpty
	}
	return s.Update(ctx, func(tx *Tx) error {
		if _, err := tx.exec(ctx, `DELETE FROM cursors`); err != nil { // of who has read nothing
			return err
		}
		_, err := tx.exec(ctx, writeMeta, restoringKey, "1")
		return err
	})
}

// emptyTables removes all that a backup has, except meta.
func (tx *Tx) emptyTables(ctx context.Context) error {
	if tx.dialect == Postgres {
		_, err := tx.exec(ctx, `TRUNCATE `+strings.Join(backedUp[1:], ", "))
		return err
	}
	for _, name := range slices.Backward(backedUp[1:]) {
		if _, err := tx.exec(ctx, `DELETE FROM `+name); err != nil {
			return fmt.Errorf("empty table %s: %w", name, err)
		}
	}
	return nil
}

// checkRestored refuses a database that was only filled in part.
func (s *Store) checkRestored(ctx context.Context) error {
	if s.o.Restoring {
		return nil
	}
	return s.View(ctx, func(tx *Tx) error {
		begun, err := tx.meta(ctx, restoringKey)
		if err == nil && begun != "" {
			err = ErrHalfRestored
		}
		return err
	})
}

// restoreStep is how many rows one transaction restores.
const restoreStep = 500

// restoreTable fills one table, by columns that both versions have: those that a later
// version added get their defaults.
func (s *Store) restoreTable(ctx context.Context, z *zip.Reader, t Table) error {
	insert := `INSERT INTO "` + t.Name + `" (` + quotedNames(t.Columns) + `) VALUES (` + placeholders(len(t.Columns)) + `)`
	truths, err := s.truths(ctx, t)
	if err != nil {
		return err
	}
	var waiting [][]any
	flush := func() error {
		if len(waiting) == 0 {
			return nil
		}
		rows := waiting
		waiting = nil
		return s.Update(ctx, func(tx *Tx) error {
			for _, values := range rows {
				if _, err := tx.exec(ctx, insert, values...); err != nil {
					return err
				}
			}
			if s.writer != nil {
				return tx.queryRow(ctx, maxPos, nil, &s.writer.pos)
			}
			return nil
		})
	}
	err = readTable(z, t, func(values []any) error {
		for i, v := range values {
			if n, ok := v.(json.Number); ok {
				whole, err := n.Int64()
				if err != nil {
					return fmt.Errorf("column %s: %w", t.Columns[i], err)
				}
				values[i] = whole
				if slices.Contains(truths, t.Columns[i]) {
					values[i] = whole != 0
				}
			}
		}
		if waiting = append(waiting, values); len(waiting) < restoreStep {
			return nil
		}
		return flush()
	})
	return errors.Join(err, flush())
}

// truths returns the columns of a table that are true or false, which SQLite writes as 1
// and 0 and PostgreSQL does not take so.
func (s *Store) truths(ctx context.Context, t Table) (names []string, err error) {
	if s.o.Driver != Postgres {
		return nil, nil
	}
	const booleans = `SELECT column_name FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1 AND data_type = 'boolean'`
	err = s.View(ctx, func(tx *Tx) error {
		return tx.query(ctx, booleans, args(t.Name), func(r row) error {
			var name string
			if err := r.Scan(&name); err != nil {
				return fmt.Errorf("scan column: %w", err)
			}
			names = append(names, name)
			return nil
		})
	})
	return names, err
}

// placeholders is "$1, $2, …".
func placeholders(n int) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		if i > 1 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "$%d", i)
	}
	return b.String()
}

// identities are the tables whose ids PostgreSQL gives.
var identities = []string{"users", "events", "chats", "messages", "audit_log", "alerts", "scans", "tickets", "ticket_messages", "transactions", "metric_series", "webhooks", "webhook_deliveries"}

const otherCursors = `DELETE FROM cursors WHERE sink <> $1`

// afterRestore makes anew what a backup leaves out.
func (s *Store) afterRestore(ctx context.Context) error {
	return s.Update(ctx, func(tx *Tx) error {
		if tx.dialect == Postgres {
			for _, table := range identities {
				var next int64
				err := tx.queryRow(ctx, `SELECT setval(pg_get_serial_sequence('`+table+`', 'id'), (SELECT coalesce(max(id), 0) + 1 FROM `+table+`), FALSE)`, nil, &next)
				if err != nil {
					return err
				}
			}
		}
		if _, err := tx.exec(ctx, recountReads); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, otherCursors, dispatchSink); err != nil {
			return err
		}
		return tx.forgetIndex(ctx)
	})
}

// restoreFiles writes the files of a backup below the folder, and makes them durable.
func restoreFiles(z *zip.Reader, folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, f := range z.File {
		name, ok := strings.CutPrefix(f.Name, filesFolder)
		if !ok || name == "" || strings.HasSuffix(name, "/") {
			continue
		}
		if err := restoreFile(root, f, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func restoreFile(root *os.Root, f *zip.File, name string) error {
	if dir := path.Dir(name); dir != "." {
		if err := root.MkdirAll(filepath.FromSlash(dir), 0o700); err != nil {
			return err
		}
	}
	in, err := f.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := root.OpenFile(filepath.FromSlash(name), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in) //nolint:gosec // a backup is the operator's own, and checked against its manifest
	return errors.Join(err, out.Sync(), out.Close())
}
