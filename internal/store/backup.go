package store

import (
	"archive/zip"
	"bufio"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// A backup is a zip archive: manifest.json, tables/NAME.jsonl with one JSON array per
// row, and files/… with what users uploaded. It is the same from both databases, so
// that one can be restored into the other.
const (
	manifestName  = "manifest.json"
	tablesFolder  = "tables/"
	filesFolder   = "files/"
	backupVersion = 1
)

// Manifest says what a backup holds.
type Manifest struct {
	Format    int       `json:"format"`
	Driver    string    `json:"driver"`
	Schema    int64     `json:"schema"`
	Epoch     string    `json:"epoch"`
	CreatedAt time.Time `json:"created_at"`
	Tables    []Table   `json:"tables"`
	Files     int       `json:"files"`
	FileBytes int64     `json:"file_bytes"`
}

// Table is one table of a backup; SHA256 is of its lines.
type Table struct {
	Name    string   `json:"name"`
	Columns []string `json:"columns"`
	Rows    int64    `json:"rows"`
	SHA256  string   `json:"sha256"`
}

// backedUp are the tables of a backup, in the order of their references. What can be
// made anew is not among them: the search index, and who migrated when. Of the cursors
// only that of webhooks is kept when one is restored: the others begin at the end.
var backedUp = []string{
	"meta", "users", "sessions", "account_tokens", "api_keys",
	"events", "streams", "refused_events",
	"chats", "members", "messages", "message_edits", "message_hidden", "reactions", "mentions",
	"blocks", "contacts", "invites", "read_log", "idempotency", "jobs", "audit_log",
	"files", "uploads", "message_files", "file_usage",
	"status_components", "maintenance",
	"alerts", "scans",
	"transactions", "balances",
	"tickets", "ticket_messages", "ticket_files",
	"trust_identities", "trust_verifications",
	"metric_series", "metric_points", "metric_changes", "reports",
	"cursors", "webhooks", "webhook_removed", "webhook_events", "webhook_deliveries", "webhook_attempts", "webhook_jobs",
}

// Backup writes a consistent copy of the database and of the files to w while writing
// goes on (guarantees.md R40).
func (s *Store) Backup(ctx context.Context, w io.Writer, files fs.FS) (*Manifest, error) {
	schema, err := s.Schema(ctx)
	if err != nil {
		return nil, err
	}
	m := &Manifest{Format: backupVersion, Driver: s.o.Driver, Schema: schema.Version, Epoch: s.epoch, CreatedAt: s.o.Clock().UTC()}
	z := zip.NewWriter(w)
	err = s.snapshot(ctx, func(db *sql.Conn) error {
		for _, name := range backedUp {
			columns, err := s.columns(ctx, db, name)
			if err != nil {
				return err
			}
			if len(columns) == 0 { // of a later schema than the database's
				continue
			}
			t, err := copyTable(ctx, db, z, Table{Name: name, Columns: columns})
			if err != nil {
				return fmt.Errorf("back up table %s: %w", name, err)
			}
			m.Tables = append(m.Tables, t)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	// After the rows: a file is on disk before the row that names it, and stays for a
	// while after the row is gone.
	if err := copyFiles(z, files, m); err != nil {
		return nil, fmt.Errorf("back up files: %w", err)
	}
	f, err := z.Create(manifestName)
	if err != nil {
		return nil, fmt.Errorf("back up: %w", err)
	}
	enc := json.NewEncoder(f)
	enc.SetIndent("", "  ")
	if err := errors.Join(enc.Encode(m), z.Close()); err != nil {
		return nil, fmt.Errorf("back up: %w", err)
	}
	return m, nil
}

// snapshot runs f on a connection that sees the database as it is at one moment.
func (s *Store) snapshot(ctx context.Context, f func(*sql.Conn) error) error {
	conn, err := s.pool.Conn(ctx)
	if err != nil {
		return fmt.Errorf("read database: %w", classify(err))
	}
	defer conn.Close()
	begin := `BEGIN`
	if s.o.Driver == Postgres {
		begin = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`
	}
	if _, err := conn.ExecContext(ctx, begin); err != nil {
		return fmt.Errorf("read database: %w", classify(err))
	}
	err = f(conn)
	_, end := conn.ExecContext(context.WithoutCancel(ctx), `COMMIT`)
	return errors.Join(err, end)
}

// columns returns the names of a table's columns, none if there is no such table. The
// table's name is one of ours.
func (s *Store) columns(ctx context.Context, db *sql.Conn, table string) (names []string, err error) {
	query := `SELECT name FROM pragma_table_info($1) ORDER BY cid`
	if s.o.Driver == Postgres {
		query = `SELECT column_name FROM information_schema.columns
			WHERE table_schema = current_schema() AND table_name = $1 AND column_name <> 'tsv' ORDER BY ordinal_position`
	}
	rows, err := db.QueryContext(ctx, query, table)
	if err != nil {
		return nil, fmt.Errorf("read columns of %s: %w", table, classify(err))
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, fmt.Errorf("read columns of %s: %w", table, err)
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

// selectAll reads a whole table. The names come from the schema, not from anybody.
func selectAll(t Table) string {
	return `SELECT ` + quotedNames(t.Columns) + ` FROM "` + t.Name + `"`
}

func quotedNames(names []string) string {
	return `"` + strings.Join(names, `", "`) + `"`
}

// copyTable writes the rows of a table into the archive.
func copyTable(ctx context.Context, db *sql.Conn, z *zip.Writer, t Table) (Table, error) {
	entry, err := z.Create(tablesFolder + t.Name + ".jsonl")
	if err != nil {
		return t, err
	}
	sum := sha256.New()
	out := bufio.NewWriterSize(io.MultiWriter(entry, sum), 64<<10)
	rows, err := db.QueryContext(ctx, selectAll(t))
	if err != nil {
		return t, classify(err)
	}
	defer rows.Close()
	values, dest := make([]any, len(t.Columns)), make([]any, len(t.Columns))
	for i := range values {
		dest[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return t, err
		}
		for i, v := range values {
			if b, ok := v.([]byte); ok {
				values[i] = string(b)
			}
		}
		line, err := json.Marshal(values)
		if err != nil {
			return t, err
		}
		if _, err := out.Write(append(line, '\n')); err != nil {
			return t, err
		}
		t.Rows++
	}
	if err := errors.Join(rows.Err(), out.Flush()); err != nil {
		return t, err
	}
	t.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return t, nil
}

// copyFiles writes what users uploaded into the archive.
func copyFiles(z *zip.Writer, files fs.FS, m *Manifest) error {
	if files == nil {
		return nil
	}
	return fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && !entry.Type().IsRegular() {
			return nil // nothing was uploaded yet; swept away meanwhile
		}
		if err != nil {
			return err
		}
		f, err := files.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		defer f.Close()
		// Pictures and films do not get smaller.
		out, err := z.CreateHeader(&zip.FileHeader{Name: filesFolder + name, Method: zip.Store})
		if err != nil {
			return err
		}
		n, err := io.Copy(out, f)
		m.Files++
		m.FileBytes += n
		return err
	})
}

// VerifyBackup reads a whole backup and compares it with its manifest.
func VerifyBackup(r io.ReaderAt, size int64) (*Manifest, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("verify backup: %w", err)
	}
	m, err := readManifest(z)
	if err != nil {
		return nil, err
	}
	for _, t := range m.Tables {
		if err := readTable(z, t, nil); err != nil {
			return nil, fmt.Errorf("verify backup: %w", err)
		}
	}
	files, bytes := 0, int64(0)
	for _, f := range z.File {
		if !strings.HasPrefix(f.Name, filesFolder) {
			continue
		}
		in, err := f.Open()
		if err != nil {
			return nil, fmt.Errorf("verify backup: %s: %w", f.Name, err)
		}
		n, err := io.Copy(io.Discard, in) //nolint:gosec // nothing is kept of it; the archive has a checksum of each
		if err := errors.Join(err, in.Close()); err != nil {
			return nil, fmt.Errorf("verify backup: %s: %w", f.Name, err)
		}
		files++
		bytes += n
	}
	if files != m.Files || bytes != m.FileBytes {
		return nil, fmt.Errorf("verify backup: %d files with %d bytes, its manifest says %d with %d", files, bytes, m.Files, m.FileBytes)
	}
	return m, nil
}

// ErrNoBackup means that a file is no backup, or one of a later version.
var ErrNoBackup = errors.New("not a backup that this version can read")

func readManifest(z *zip.Reader) (*Manifest, error) {
	f, err := z.Open(manifestName)
	if err != nil {
		return nil, fmt.Errorf("%w: it has no %s", ErrNoBackup, manifestName)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxLine)) // to its end, where the checksum is
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrNoBackup, manifestName, err)
	}
	var m Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrNoBackup, manifestName, err)
	}
	if m.Format != backupVersion {
		return nil, fmt.Errorf("%w: format %d", ErrNoBackup, m.Format)
	}
	for _, t := range m.Tables {
		if !slices.Contains(backedUp, t.Name) || !plainNames(t.Columns) {
			return nil, fmt.Errorf("%w: table %q", ErrNoBackup, t.Name)
		}
	}
	return &m, nil
}

// plainNames tells whether names are letters and underscores: they go into statements.
func plainNames(names []string) bool {
	for _, n := range names {
		if n == "" || strings.Trim(n, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			return false
		}
	}
	return len(names) > 0
}

// maxLine bounds one row of a backup, in bytes.
const maxLine = 16 << 20

// readTable calls each, unless it is nil, with every row of a table, and checks the rows
// against the manifest at the end.
func readTable(z *zip.Reader, t Table, each func(values []any) error) error {
	f, err := z.Open(tablesFolder + t.Name + ".jsonl")
	if err != nil {
		return fmt.Errorf("table %s: %w", t.Name, err)
	}
	defer f.Close()
	sum := sha256.New()
	lines := bufio.NewScanner(io.TeeReader(f, sum))
	lines.Buffer(make([]byte, 64<<10), maxLine)
	rows := int64(0)
	for lines.Scan() {
		rows++
		dec := json.NewDecoder(strings.NewReader(lines.Text()))
		dec.UseNumber()
		var values []any
		if err := dec.Decode(&values); err != nil || len(values) != len(t.Columns) {
			return fmt.Errorf("table %s: line %d is damaged", t.Name, rows)
		}
		if each == nil {
			continue
		}
		if err := each(values); err != nil {
			return fmt.Errorf("table %s: row %d: %w", t.Name, rows, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("table %s: %w", t.Name, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); rows != t.Rows || got != t.SHA256 {
		return fmt.Errorf("table %s is damaged: %d rows, its manifest says %d", t.Name, rows, t.Rows)
	}
	return nil
}
