package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"

	"github.com/kuranty/kuranty/internal/search"
)

// rule is a query whose rows are faults: what it is about, in words, and numbers that
// the text says.
type rule struct {
	query string
	text  string // takes the columns
}

const firstKept = `CASE WHEN c.purged_below_seq > 1 THEN c.purged_below_seq ELSE 1 END`

// rules are what must be true of a database between two transactions. Every query has
// text in the first column and numbers in the others.
var rules = []rule{
	{
		`SELECT CAST(c.id AS TEXT), c.last_seq, count(m.id), coalesce(min(m.seq), 0), coalesce(max(m.seq), 0) FROM chats AS c
			LEFT JOIN messages AS m ON m.chat_id = c.id GROUP BY c.id, c.last_seq, c.purged_below_seq
			HAVING count(m.id) <> c.last_seq - ` + firstKept + ` + 1 OR count(m.id) > 0 AND (max(m.seq) <> c.last_seq OR min(m.seq) <> ` + firstKept + `)`,
		"chat %s: its messages should go up to %d without gaps; there are %d, from %d to %d",
	},
	{
		`WITH counted AS (SELECT 'chat:' || id AS name, last_event_seq AS seq FROM chats
				UNION ALL SELECT 'user:' || id, user_seq FROM users UNION ALL SELECT name, seq FROM streams),
			logged AS (SELECT stream AS name, count(*) AS n, min(stream_seq) AS first, max(stream_seq) AS last FROM events
				WHERE stream IS NOT NULL GROUP BY stream)
			SELECT l.name, coalesce(c.seq, 0), l.n, l.first, l.last FROM logged AS l LEFT JOIN counted AS c ON c.name = l.name
			WHERE l.last - l.first + 1 <> l.n OR l.last <> coalesce(c.seq, 0)`,
		"stream %s: its events should go up to %d without gaps; the log has %d, from %d to %d",
	},
	{
		`SELECT 'the log', count(pos), coalesce(min(pos), 0), coalesce(max(pos), 0) FROM events
			HAVING count(pos) > 0 AND max(pos) - min(pos) + 1 <> count(pos)`,
		"%s has %d numbered events, from %d to %d: there are gaps",
	},
	{
		`SELECT c.sink, c.pos, h.pos FROM cursors AS c, (SELECT coalesce(max(pos), 0) AS pos FROM events) AS h WHERE c.pos > h.pos AND h.pos > 0`,
		"sink %s has read up to %d, but the log ends at %d",
	},
	{
		`SELECT CAST(c.id AS TEXT), c.member_count, count(i.user_id) FROM chats AS c LEFT JOIN members AS i ON i.chat_id = c.id AND i.state = 'active'
			WHERE c.state = 'active' GROUP BY c.id, c.member_count HAVING c.member_count <> count(i.user_id)`,
		"chat %s counts %d members and has %d",
	},
	{
		`SELECT CAST(i.chat_id AS TEXT), i.user_id, i.read_seq, i.delivered_seq, c.last_seq FROM members AS i JOIN chats AS c ON c.id = i.chat_id
			WHERE i.read_seq > c.last_seq OR i.delivered_seq > c.last_seq OR i.joined_seq > c.last_seq`,
		"chat %s: user %d has read up to %d and received up to %d, but the last message is %d",
	},
	{
		`SELECT CAST(u.owner_id AS TEXT), u.bytes, coalesce(f.bytes, 0) FROM file_usage AS u LEFT JOIN (SELECT owner_id, sum(size) AS bytes FROM
				(SELECT owner_id, size FROM files UNION ALL SELECT owner_id, size FROM uploads WHERE file_id = '') AS stored GROUP BY owner_id) AS f
			ON f.owner_id = u.owner_id WHERE u.bytes <> coalesce(f.bytes, 0)`,
		"files of user %s: %d bytes are counted, %d are there",
	},
	{
		`SELECT CAST(t.id AS TEXT), t.messages, count(m.id) FROM tickets AS t LEFT JOIN ticket_messages AS m ON m.ticket_id = t.id
			GROUP BY t.id, t.messages HAVING t.messages <> count(m.id)`,
		"ticket %s counts %d messages and has %d",
	},
	{
		`SELECT CAST(u.id AS TEXT), coalesce(b.amount, 0), coalesce(t.amount, 0) FROM users AS u LEFT JOIN balances AS b ON b.user_id = u.id
			LEFT JOIN (SELECT user_id, CAST(sum(effect * amount) AS BIGINT) AS amount FROM transactions WHERE completed_at > 0 GROUP BY user_id) AS t
			ON t.user_id = u.id WHERE coalesce(b.amount, 0) <> coalesce(t.amount, 0)`,
		"user %s: the balance is %d, the completed transactions make %d",
	},
	{`SELECT what, n FROM (` + strays + `) AS s WHERE n > 0`, "%s: %d rows belong to nothing"},
}

// indexRules say what the full-text index has: of SQLite's, messages up to the last one in it,
// because later ones may be waiting (backlog.go).
var indexRules = map[string]rule{
	SQLite:   indexRule(` AND m.id <= ` + lastIndexed),
	Postgres: indexRule(``),
}

func indexRule(among string) rule {
	return rule{
		`SELECT 'the search index', missing, extra FROM (SELECT
			(SELECT count(*) FROM messages AS m WHERE m.deleted_at = 0 AND m.message_type <> 'system'` + among + `
				AND NOT EXISTS (SELECT 1 FROM message_index AS x WHERE x.rowid = m.id)) AS missing,
			(SELECT count(*) FROM message_index AS x WHERE NOT EXISTS (SELECT 1 FROM messages AS m
				WHERE m.id = x.rowid AND m.deleted_at = 0 AND m.message_type <> 'system')) AS extra) AS n
			WHERE missing > 0 OR extra > 0`,
		"%s lacks %d messages and has %d that are gone; run kuranty db check --reindex",
	}
}

// strays count the rows of tables that name a row that is not there.
const (
	ofNoMessage = ` AS r WHERE NOT EXISTS (SELECT 1 FROM messages AS m WHERE m.id = r.message_id)`
	ofNoChat    = ` AS r WHERE NOT EXISTS (SELECT 1 FROM chats AS c WHERE c.id = r.chat_id)`

	strays = `SELECT 'members' AS what, count(*) AS n FROM members` + ofNoChat + ` OR NOT EXISTS (SELECT 1 FROM users AS u WHERE u.id = r.user_id)
		UNION ALL SELECT 'messages', count(*) FROM messages` + ofNoChat + `
		UNION ALL SELECT 'invites', count(*) FROM invites` + ofNoChat + `
		UNION ALL SELECT 'reactions', count(*) FROM reactions` + ofNoMessage + `
		UNION ALL SELECT 'mentions', count(*) FROM mentions` + ofNoMessage + `
		UNION ALL SELECT 'message_edits', count(*) FROM message_edits` + ofNoMessage + `
		UNION ALL SELECT 'message_hidden', count(*) FROM message_hidden` + ofNoMessage + `
		UNION ALL SELECT 'trust_verifications', count(*) FROM trust_verifications AS r WHERE NOT EXISTS (SELECT 1 FROM trust_identities AS i WHERE i.id = r.identity_id)
		UNION ALL SELECT 'message_files', count(*) FROM message_files` + ofNoMessage + ` OR NOT EXISTS (SELECT 1 FROM files AS f WHERE f.id = r.file_id)
		UNION ALL SELECT 'ticket_messages', count(*) FROM ticket_messages AS r WHERE NOT EXISTS (SELECT 1 FROM tickets AS t WHERE t.id = r.ticket_id)
		UNION ALL SELECT 'ticket_files', count(*) FROM ticket_files AS r WHERE NOT EXISTS (SELECT 1 FROM ticket_messages AS m WHERE m.id = r.message_id)
			OR NOT EXISTS (SELECT 1 FROM files AS f WHERE f.id = r.file_id)
		UNION ALL SELECT 'webhook_deliveries', count(*) FROM webhook_deliveries AS r WHERE NOT EXISTS (SELECT 1 FROM webhooks AS w WHERE w.id = r.webhook_id)
			AND NOT EXISTS (SELECT 1 FROM webhook_removed AS w WHERE w.webhook_id = r.webhook_id)
		UNION ALL SELECT 'webhook_attempts', count(*) FROM webhook_attempts AS r WHERE NOT EXISTS (SELECT 1 FROM webhook_deliveries AS d WHERE d.id = r.id / 10000)`
)

// faultsShown bounds the faults of one kind that are told.
const faultsShown = 20

// Check reads the whole database, as it is at one moment, and returns what is wrong with
// it: files that the database program finds damaged, numbers with gaps, counters that
// differ from what they count, rows and files that are missing. files is the folder of
// what users uploaded, or nil. The database must be of this program's schema.
func (s *Store) Check(ctx context.Context, files fs.FS) (faults []string, err error) {
	schema, err := s.Schema(ctx)
	if err != nil {
		return nil, err
	}
	if schema.Version < schema.Newest {
		return nil, fmt.Errorf("the database is of schema %d, this program of %d: run kuranty db migrate first", schema.Version, schema.Newest)
	}
	err = s.snapshot(ctx, func(db *sql.Conn) error {
		if s.o.Driver == SQLite {
			if faults, err = pragmas(ctx, db); err != nil {
				return err
			}
		}
		for _, r := range append(slices.Clone(rules), indexRules[s.o.Driver]) {
			found, err := r.check(ctx, db)
			if err != nil {
				return err
			}
			faults = append(faults, found...)
		}
		found, err := checkIndexVersion(ctx, db)
		if err != nil {
			return err
		}
		faults = append(faults, found...)
		if files == nil {
			return nil
		}
		found, err = checkFiles(ctx, db, files)
		faults = append(faults, found...)
		return err
	})
	return faults, err
}

// pragmas has SQLite look at its file.
func pragmas(ctx context.Context, db *sql.Conn) (faults []string, err error) {
	err = each(ctx, db, `PRAGMA integrity_check`, func(r *sql.Rows) error {
		var text string
		err := r.Scan(&text)
		if text != "ok" {
			faults = append(faults, "SQLite: "+text)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	err = each(ctx, db, `PRAGMA foreign_key_check`, func(r *sql.Rows) error {
		var table, parent string
		var row, key sql.NullInt64
		err := r.Scan(&table, &row, &parent, &key)
		faults = append(faults, fmt.Sprintf("SQLite: a row of %s names a row of %s that is not there", table, parent))
		return err
	})
	return faults, err
}

// check returns what the rule finds.
func (r *rule) check(ctx context.Context, db *sql.Conn) (faults []string, err error) {
	more := 0
	err = each(ctx, db, r.query, func(rows *sql.Rows) error {
		if len(faults) == faultsShown {
			more++
			return nil
		}
		columns, err := rows.Columns()
		if err != nil {
			return err
		}
		var about string
		numbers := make([]int64, len(columns)-1)
		dest := []any{&about}
		for i := range numbers {
			dest = append(dest, &numbers[i])
		}
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		said := []any{about}
		for _, n := range numbers {
			said = append(said, n)
		}
		faults = append(faults, fmt.Sprintf(r.text, said...))
		return nil
	})
	if more > 0 {
		faults = append(faults, fmt.Sprintf("… and %d more like that", more))
	}
	return faults, err
}

// checkIndexVersion makes sure that this version's analyzer made the index.
func checkIndexVersion(ctx context.Context, db *sql.Conn) ([]string, error) {
	var version string
	var messages int64
	err := errors.Join(
		one(ctx, db, `SELECT coalesce(max(value), '') FROM meta WHERE key = '`+analyzerKey+`'`, &version),
		one(ctx, db, countMessages, &messages))
	if err != nil || version == strconv.Itoa(search.Version) || version == "" && messages == 0 {
		return nil, err
	}
	if version == "" {
		version = "unknown"
	}
	return []string{fmt.Sprintf("the search index is of version %s, this program of %d; run kuranty db check --reindex", version, search.Version)}, nil
}

const storedFiles = `SELECT id, size, storage_key, thumb_key FROM files`

// checkFiles looks whether what rows name is in the folder (guarantees.md R7).
func checkFiles(ctx context.Context, db *sql.Conn, folder fs.FS) (faults []string, err error) {
	more := 0
	fault := func(format string, a ...any) {
		if len(faults) < faultsShown {
			faults = append(faults, fmt.Sprintf(format, a...))
		} else {
			more++
		}
	}
	err = each(ctx, db, storedFiles, func(r *sql.Rows) error {
		var id, key, thumb string
		var size int64
		if err := r.Scan(&id, &size, &key, &thumb); err != nil {
			return err
		}
		switch info, err := fs.Stat(folder, key); {
		case err != nil:
			fault("file %s: %s is missing", id, key)
		case info.Size() != size:
			fault("file %s: %s has %d bytes, not %d", id, key, info.Size(), size)
		}
		if thumb != "" {
			if _, err := fs.Stat(folder, thumb); err != nil {
				fault("file %s: its preview %s is missing", id, thumb)
			}
		}
		return nil
	})
	if more > 0 {
		faults = append(faults, fmt.Sprintf("… and %d more files", more))
	}
	return faults, err
}

// ReindexAll builds the full-text index anew, whatever made it.
func (s *Store) ReindexAll(ctx context.Context) (messages int, err error) {
	err = s.Update(ctx, func(tx *Tx) error {
		if _, err := tx.exec(ctx, `DELETE FROM message_index`); err != nil {
			return fmt.Errorf("empty the search index: %w", err)
		}
		return tx.forgetIndex(ctx)
	})
	if err != nil {
		return 0, err
	}
	return s.Reindex(ctx)
}
