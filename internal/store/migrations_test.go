package store_test

import (
	"bufio"
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/kuranty/kuranty/internal/store"
)

// atSchema makes the database that a program whose newest migration was version has made,
// and runs statements in it. It returns the newest version of today; a version of zero is
// only asked for that.
func atSchema(t *testing.T, o store.Options, version int64, statements ...string) (newest int64) {
	t.Helper()
	kind, driver, dsn, dialect := store.SQLite, "sqlite", "file:"+o.Path+"?_pragma=journal_mode(WAL)", goose.DialectSQLite3
	if o.Driver == store.Postgres {
		kind, driver, dsn, dialect = store.Postgres, "pgx", o.DSN, goose.DialectPostgres
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}()
	p, err := goose.NewProvider(dialect, db, os.DirFS(filepath.Join("migrations", kind)), goose.WithTableName("schema_versions"))
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range p.ListSources() {
		newest = max(newest, source.Version)
	}
	if version == 0 {
		return newest
	}
	if _, err := p.UpTo(t.Context(), version); err != nil {
		t.Fatal(err)
	}
	for _, statement := range statements {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("version %d: %s: %v", version, statement, err)
		}
	}
	return newest
}

// earlier are rows that a database of a version since some migration can have, and how
// each is read in the newest.
var earlier = []struct {
	since             int64
	insert, read, row string
}{
	{1, `INSERT INTO meta (key, value) VALUES ('epoch', 'abcd2345')`, `SELECT value FROM meta WHERE key = 'epoch'`, "abcd2345"},
	{
		1, `INSERT INTO events (id, pos, event_id, type, stream, stream_seq, ref, actor, payload, occurred_at)
			VALUES (1, 1, 'evt_1', 'system.notice', 'system', 1, 7, '', '{"text":"Привет"}', 1000)`,
		`SELECT event_id || type || stream || stream_seq || ref || payload || occurred_at FROM events WHERE pos = 1`,
		`evt_1system.noticesystem17{"text":"Привет"}1000`,
	},
	{1, `INSERT INTO streams (name, seq) VALUES ('system', 1)`, `SELECT CAST(seq AS TEXT) FROM streams WHERE name = 'system'`, "1"},
	{1, `INSERT INTO cursors (sink, pos, updated_at) VALUES ('hook', 1, 1000)`, `SELECT sink || pos FROM cursors`, "hook1"},
	{
		2, `INSERT INTO users (id, username, name, role, kind, state, privacy, search_name, created_at, updated_at)
			VALUES (1, 'anna', 'Анна', 'admin', 'human', 'active', '{}', 'анна anna', 1000, 2000)`,
		`SELECT username || name || role || created_at || updated_at || CASE WHEN legal_hold THEN 'held' ELSE 'free' END FROM users WHERE id = 1`, "annaАннаadmin10002000free",
	},
	{
		2, `INSERT INTO account_tokens (hash, purpose, user_id, max_uses, created_at, expires_at) VALUES ('ff', 'reset', 1, 1, 1000, 2000)`,
		`SELECT hash || purpose || user_id FROM account_tokens`, "ffreset1",
	},
	{
		2, `INSERT INTO api_keys (id, hash, name, hint, scopes, created_at, last_used_at) VALUES ('k_1', 'ff', 'CRM', 'kur_a', 'admin', 1000, 2000)`,
		`SELECT name || last_used_at || last_used_ip FROM api_keys`, "CRM2000",
	},
	{
		3, `INSERT INTO chats (id, kind, title, owner_id, last_seq, last_message_at, last_activity_at, member_count, created_by, created_at, updated_at)
			VALUES (1, 'group', 'Дом', 1, 1, 1000, 1000, 1, 1, 1000, 1000)`,
		`SELECT kind || title || owner_id || last_seq || member_count || top_reader || top_read || next_read FROM chats WHERE id = 1`, "groupДом111110",
	},
	{
		3, `INSERT INTO members (chat_id, user_id, role, joined_at, read_seq) VALUES (1, 1, 'owner', 1000, 1)`,
		`SELECT role || state || read_seq FROM members WHERE chat_id = 1 AND user_id = 1`, "owneractive1",
	},
	{
		3, `INSERT INTO messages (id, chat_id, seq, sender_id, message_type, text, client_id, created_at, event_seq)
			VALUES (1, 1, 1, 1, 'text', 'первое', 'c-1', 1000, 0)`,
		`SELECT text || client_id || seq || version FROM messages WHERE id = 1`, "первоеc-111",
	},
	{
		3, `INSERT INTO jobs (id, kind, user_id, state, due_at, created_at) VALUES ('job', 'export', 1, 'waiting', 1000, 1000)`,
		`SELECT kind || state || holder || attempts FROM jobs WHERE id = 'job'`, "exportwaiting0",
	},
	{
		4, `INSERT INTO files (id, owner_id, kind, name, mime, size, sha256, storage_key, created_at) VALUES ('f', 1, 'file', 'a.txt', 'text/plain', 5, '00', 'k', 1000)`,
		`SELECT name || size || storage_key FROM files WHERE id = 'f'`, "a.txt5k",
	},
	{4, `INSERT INTO file_usage (owner_id, bytes) VALUES (1, 5)`, `SELECT CAST(bytes AS TEXT) FROM file_usage WHERE owner_id = 1`, "5"},
	{13, `INSERT INTO maintenance (id, title, phase, created_at) VALUES ('mnt_1', 'Диски', 'planned', 1000)`, `SELECT title || phase || affected || starts_at FROM maintenance`, "Дискиplanned[]0"},
	{
		9, `INSERT INTO transactions (id, user_id, type, effect, amount, method, external_id, description, began_pending, created_at, completed_at)
			VALUES (1, 1, 'deposit', 1, 500, 'card', 'pi_1', 'Пополнение', TRUE, 1000, 2000)`,
		`SELECT type || amount || method || external_id || description || completed_at FROM transactions WHERE id = 1`, "deposit500cardpi_1Пополнение2000",
	},
	{9, `INSERT INTO balances (user_id, amount) VALUES (1, 500)`, `SELECT CAST(amount AS TEXT) FROM balances WHERE user_id = 1`, "500"},
	// Since then whoever reads keeps this; before, the migration counts it.
	{7, `UPDATE chats SET top_reader = 1, top_read = 1 WHERE id = 1`, `SELECT top_reader || '-' || top_read FROM chats WHERE id = 1`, "1-1"},
	{
		8, `INSERT INTO tickets (id, user_id, title, status, priority, messages, created_at, updated_at) VALUES (1, 1, 'Не платится', 'open', 'high', 1, 1000, 1000)`,
		`SELECT title || status || priority || messages || assignee_id || closed_at FROM tickets WHERE id = 1`, "Не платитсяopenhigh100",
	},
	{
		8, `INSERT INTO ticket_messages (id, ticket_id, author_id, from_operator, text, created_at) VALUES (1, 1, 1, FALSE, 'помогите', 1000)`,
		`SELECT text || author_id FROM ticket_messages WHERE ticket_id = 1`, "помогите1",
	},
	{
		10, `INSERT INTO trust_identities (id, user_id, username, display_name, public_key, fingerprint, level, score, created_at, updated_at)
			VALUES ('idn_1', 1, 'anna', 'Анна', 'AAAA', 'SHA256:A', 'basic', 3500, 1000, 2000)`,
		`SELECT username || display_name || public_key || fingerprint || level || score || updated_at FROM trust_identities WHERE user_id = 1`,
		"annaАннаAAAASHA256:Abasic35002000",
	},
	{
		10, `INSERT INTO trust_verifications (id, identity_id, type, status, confidence, verifier, begun_by, challenge, secret, tries, created_at, updated_at, expires_at)
			VALUES ('vrf_1', 'idn_1', 'challenge', 'verified', 10000, '', 'user:1', '', '', 0, 1000, 2000, 3000)`,
		`SELECT type || status || confidence || begun_by || expires_at FROM trust_verifications WHERE identity_id = 'idn_1'`, "challengeverified10000user:13000",
	},
	{
		12, `INSERT INTO alerts (id, kind, subject, title, description, severity, category, source, metadata, status, count, created_at, last_seen_at, updated_at)
			VALUES (1, 'custom', 'диск', 'Диск', '', 'high', '', '', '{}', 'active', 3, 1000, 2000, 2000)`,
		`SELECT subject || severity || status || count || announced FROM alerts WHERE id = 1`, "дискhighactive30",
	},
	{
		11, `INSERT INTO metric_series (id, name, server, unit, metadata, value, updated_at) VALUES (1, 'load', 'web-1', 'percent', '{}', 42.5, 1000)`,
		`SELECT name || server || unit || metadata || updated_at FROM metric_series WHERE id = 1`, "loadweb-1percent{}1000",
	},
	{
		11, `INSERT INTO reports (id, type, format, from_at, to_at, requested_by, status, content, created_at, completed_at)
			VALUES ('rep_1', 'usage', 'csv', 1000, 2000, 'user:1', 'completed', 'x', 2000, 3000)`,
		`SELECT type || format || from_at || to_at || requested_by || status || content || completed_at FROM reports WHERE id = 'rep_1'`, "usagecsv10002000user:1completedx3000",
	},
	{
		15, `INSERT INTO webhooks (id, name, url, event_types, ordering, is_active, settings, sealed, created_at, updated_at, health, circuit)
			VALUES (1, 'Касса', 'https://example.net', '["ticket.*"]', 'none', 1, '{}', 'c2VhbGVk', 1000, 2000, '{}', '{}')`,
		`SELECT name || url || event_types || is_active || sealed || updated_at FROM webhooks WHERE id = 1`, `Кассаhttps://example.net["ticket.*"]1c2VhbGVk2000`,
	},
	{
		15, `INSERT INTO webhook_events (event_id, type, pos, payload, ordering_key, occurred_at, created_at) VALUES ('evt_1', 'ticket.created', 1, '{"a":1}', 'ticket:1', 1000, 1000)`,
		`SELECT type || pos || payload || ordering_key FROM webhook_events WHERE event_id = 'evt_1'`, `ticket.created1{"a":1}ticket:1`,
	},
	{
		15, `INSERT INTO webhook_deliveries (id, webhook_id, event_id, event_type, caused_by, state, phase, cycle_start, created_at)
			VALUES (1, 1, 'evt_1', 'ticket.created', 'event', 'queued', 0, 1000, 1000)`,
		`SELECT event_id || state || attempts FROM webhook_deliveries WHERE webhook_id = 1`, "evt_1queued0",
	},
}

// A database of every earlier version is opened, has what it had, and is sound.
func TestR39_EarlierSchemasAreBroughtUpToDate(t *testing.T) {
	newest := atSchema(t, store.Options{Path: filepath.Join(t.TempDir(), "none.db")}, 0)
	for version := int64(1); version < newest; version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			onNew(t, func(t *testing.T, o store.Options) {
				var statements []string
				for _, e := range earlier {
					if e.since <= version {
						statements = append(statements, e.insert)
					}
				}
				atSchema(t, o, version, statements...)
				s := open(t, o)
				if schema, err := s.Schema(t.Context()); err != nil || schema.Version != newest || schema.Newest != newest {
					t.Errorf("the database is of schema %d, the program of %d (%v), want %d", schema.Version, schema.Newest, err, newest)
				}
				for _, e := range earlier {
					if e.since > version {
						continue
					}
					var row string
					s.MustQuery(t, e.read, nil, &row)
					if row != e.row {
						t.Errorf("%s = %q, want %q", e.read, row, e.row)
					}
				}
				if s.Epoch() != "abcd2345" {
					t.Errorf("the epoch is %q", s.Epoch())
				}
				if got, err := s.Events(t.Context(), 0, 10); err != nil || len(got) != 1 || got[0].ID != "evt_1" {
					t.Errorf("the log is %v, %v", got, err)
				}
				if _, err := s.Reindex(t.Context()); err != nil { // as the server does when it starts
					t.Error(err)
				}
				if faults, err := s.Check(t.Context(), nil); err != nil || len(faults) > 0 {
					t.Errorf("check: %q, %v", faults, err)
				}
			})
		})
	}
}

// migrated is the environment of the child that [TestR39_AMigrationKilledIsCompleted]
// kills: the file it opens.
const migrated = "KURANTY_TEST_MIGRATED"

// The test runs itself as a child, which migrates a file of the first version and is
// killed while it does.
func TestR39_AMigrationKilledIsCompleted(t *testing.T) {
	if path := os.Getenv(migrated); path != "" {
		fmt.Println("opening")
		open(t, store.Options{Path: path})
		select {} // until killed
	}
	first := filepath.Join(t.TempDir(), "first.db")
	newest := atSchema(t, store.Options{Path: first}, 1, earlier[0].insert, earlier[1].insert, earlier[2].insert)
	file, err := os.ReadFile(filepath.Clean(first))
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]int{} // how often how much was left to do
	for range 20 {
		path := filepath.Join(t.TempDir(), "kuranty.db")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		after := rand.N(20 * time.Millisecond)
		killMigrating(t, path, after)

		var log bytes.Buffer
		s := open(t, store.Options{Path: path, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		_, migrations, _ := strings.Cut(log.String(), " migrations=")
		migrations, _, _ = strings.Cut(migrations, " ")
		left[migrations]++
		if schema, err := s.Schema(t.Context()); err != nil || schema.Version != newest {
			t.Errorf("killed after %v the schema is %d, %v; want %d", after, schema.Version, err, newest)
		}
		if faults, err := s.Check(t.Context(), nil); err != nil || len(faults) > 0 { // with PRAGMA integrity_check
			t.Errorf("killed after %v: %q, %v", after, faults, err)
		}
		if got, err := s.Events(t.Context(), 0, 10); err != nil || len(got) != 1 || got[0].ID != "evt_1" || s.Epoch() != "abcd2345" {
			t.Errorf("killed after %v the log is %v, %v, the epoch %s", after, got, err, s.Epoch())
		}
	}
	t.Logf("migrations left by those killed, and how often: %v", left)
}

// killMigrating runs the child and kills it some time after it has begun to open the file.
func killMigrating(t *testing.T, path string, after time.Duration) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestR39_AMigrationKilledIsCompleted$")
	child.Env = append(os.Environ(), migrated+"="+path)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		<-time.After(after) // of the real clock: the child has no other
	}
	killed := child.Process.Kill()
	var exit *exec.ExitError
	if ended := child.Wait(); line != "opening\n" || killed != nil || !errors.As(ended, &exit) || exit.Exited() {
		t.Fatalf("the child says %q, %v; killed: %v, it ended: %v", line, err, killed, ended)
	}
}

// A program opens a database that a later one has migrated, works in it and takes nothing
// of it back.
func TestR39_ALaterSchemaIsLeftAlone(t *testing.T) {
	onNew(t, func(t *testing.T, o store.Options) {
		newest := atSchema(t, o, 0)
		later := newest + 1
		atSchema(t, o, newest,
			`ALTER TABLE meta ADD COLUMN note TEXT NOT NULL DEFAULT ''`,
			`INSERT INTO meta (key, value, note) VALUES ('epoch', 'abcd2345', 'later')`,
			fmt.Sprintf(`INSERT INTO schema_versions (version_id, is_applied) VALUES (%d, TRUE)`, later))
		for range 2 {
			s, err := store.Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Update(t.Context(), func(tx *store.Tx) error { return appendEvent(t.Context(), tx, "kept") }); err != nil {
				t.Error(err)
			}
			var note string
			s.MustQuery(t, `SELECT value || note FROM meta WHERE key = 'epoch'`, nil, &note)
			if note != "abcd2345later" || s.Epoch() != "abcd2345" {
				t.Errorf("the row of the later program is %q, the epoch %q", note, s.Epoch())
			}
			if schema, err := s.Schema(t.Context()); err != nil || schema.Version != later || schema.Newest != newest {
				t.Errorf("the schema is %+v, %v; want %d and %d", schema, err, later, newest)
			}
			if faults, err := s.Check(t.Context(), nil); err != nil || len(faults) > 0 {
				t.Errorf("check: %q, %v", faults, err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}
