package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/search"
)

// A search begins with what narrows it most, called x or m, and takes of that what the
// searcher, member i, sees: membership is part of the statement (guarantees.md S15).
// Statements differ in how they begin and, between the databases, in how the index and
// lists of ids are read. The sign before m.seq keeps SQLite from the index of numbers: each
// search has a better one.
const (
	findHead = `WITH found AS MATERIALIZED (SELECT m.id FROM `
	findSeen = ` JOIN chats AS c ON c.id = m.chat_id AND c.state = 'active'
		WHERE i.user_id = $1 AND i.state = 'active' AND +m.seq > i.visible_from_seq AND m.deleted_at = 0 AND m.message_type <> 'system'
		AND NOT EXISTS (SELECT 1 FROM message_hidden AS h WHERE h.user_id = i.user_id AND h.chat_id = m.chat_id AND h.seq = m.seq)
		AND (CAST($2 AS TEXT) = '[]' OR i.chat_id IN `
	idsSQLite   = `(SELECT value FROM json_each($2))`
	idsPostgres = `(SELECT value::bigint FROM jsonb_array_elements_text($2::jsonb))`
	findAsked   = `) AND ($3 = 0 OR m.sender_id = $3) AND m.created_at >= $4 AND m.created_at < $5
		AND (NOT $6 OR m.attachments <> '') AND (NOT $7 OR m.attachments LIKE '%"kind":"image"%') AND (NOT $8 OR m.pinned_at > 0)
		AND (NOT $9 OR EXISTS (SELECT 1 FROM mentions AS k WHERE k.user_id IN (0, i.user_id) AND k.chat_id = m.chat_id AND k.seq = m.seq))
		AND m.id < $10 AND `
	findRows = ` LIMIT $12)
		SELECT (SELECT count(*) FROM found), c.kind, CASE WHEN c.kind = 'direct' THEN coalesce(w.name, '') ELSE c.title END, ` + messageColumns + `
		FROM (SELECT id FROM found ORDER BY id DESC LIMIT $13) AS p JOIN messages AS m ON m.id = p.id JOIN chats AS c ON c.id = m.chat_id
		LEFT JOIN members AS o ON c.kind = 'direct' AND o.chat_id = c.id AND o.user_id <> $1 LEFT JOIN users AS w ON w.id = o.user_id` + messageJoins + `
		ORDER BY m.id DESC`

	messageMember = ` JOIN members AS i ON i.chat_id = m.chat_id`
	memberMessage = `members AS i JOIN messages AS m ON m.chat_id = i.chat_id`

	byIndex    = `message_index AS x JOIN messages AS m ON m.id = x.rowid` + messageMember
	byMentions = `mentions AS x JOIN messages AS m ON m.id = x.message_id` + messageMember

	// SQLite would read the chats first and sort all of their messages; the newest of all
	// are soon enough of a chat of who is in many.
	byNewestSQLite = `messages AS m CROSS JOIN members AS i ON i.chat_id = m.chat_id`

	// The index gives its rows in this order, and is read no further than needed.
	indexOrder = ` ORDER BY x.rowid DESC`
	tableOrder = ` ORDER BY m.id DESC`

	// $11 is what the index is asked for, and empty without it.
	inIndexSQLite   = `x.rowid < $10 AND x.message_index MATCH $11`
	inIndexPostgres = `x.rowid < $10 AND x.tsv @@ CAST(CAST($11 AS TEXT) AS tsquery)`
	noIndex         = `CAST($11 AS TEXT) = ''`
	// A message to everybody has a mention of user 0; it may mention the searcher by name too.
	inMentions = `x.user_id IN (0, $1) AND (x.user_id = $1 OR NOT EXISTS
		(SELECT 1 FROM mentions AS y WHERE y.user_id = $1 AND y.chat_id = x.chat_id AND y.seq = x.seq)) AND ` + noIndex
	inPinned = `m.pinned_at > 0 AND ` + noIndex
	inFiles  = `m.attachments <> '' AND ` + noIndex
	inSender = `m.sender_id = $3 AND ` + noIndex

	seenSQLite   = findSeen + idsSQLite + findAsked
	seenPostgres = findSeen + idsPostgres + findAsked
)

const (
	findByIndexSQLite      = findHead + byIndex + seenSQLite + inIndexSQLite + indexOrder + findRows
	findByIndexPostgres    = findHead + byIndex + seenPostgres + inIndexPostgres + indexOrder + findRows
	findByMentionsSQLite   = findHead + byMentions + seenSQLite + inMentions + tableOrder + findRows
	findByMentionsPostgres = findHead + byMentions + seenPostgres + inMentions + tableOrder + findRows
	findPinnedSQLite       = findHead + memberMessage + seenSQLite + inPinned + tableOrder + findRows
	findPinnedPostgres     = findHead + memberMessage + seenPostgres + inPinned + tableOrder + findRows
	findFilesSQLite        = findHead + memberMessage + seenSQLite + inFiles + tableOrder + findRows
	findFilesPostgres      = findHead + memberMessage + seenPostgres + inFiles + tableOrder + findRows
	findBySenderSQLite     = findHead + memberMessage + seenSQLite + inSender + tableOrder + findRows
	findBySenderPostgres   = findHead + memberMessage + seenPostgres + inSender + tableOrder + findRows
	findNewestSQLite       = findHead + byNewestSQLite + seenSQLite + noIndex + tableOrder + findRows
	findNewestPostgres     = findHead + memberMessage + seenPostgres + noIndex + tableOrder + findRows
)

// indexedChats is up to how many chats the index is asked for by name; above it, what it
// finds in other chats is passed over. A name costs 0.06 ms in every search, passing over a
// message 4 µs (BenchmarkSearch).
const indexedChats = 256

// FindMessages implements chat's search.
func (tx chatTx) FindMessages(ctx context.Context, user int64, q chat.SearchPage) (found []chat.Found, count int, err error) {
	tx.store.indexed(ctx)
	inChats := q.Chats
	if inChats == nil {
		if inChats, err = tx.fewChats(ctx, user); err != nil {
			return nil, 0, err
		}
	}
	if err := tx.complete(ctx, &q.Words); err != nil {
		return nil, 0, err
	}
	only, err := idList(q.Chats)
	if err != nil {
		return nil, 0, err
	}
	statement, expression := "", ""
	switch {
	case q.Words.HasText() || q.Link:
		statement, expression = tx.text(findByIndexSQLite, findByIndexPostgres), tx.expression(q, inChats)
	case q.MentionsMe:
		statement = tx.text(findByMentionsSQLite, findByMentionsPostgres)
	case q.Pinned:
		statement = tx.text(findPinnedSQLite, findPinnedPostgres)
	case q.File || q.Image:
		statement = tx.text(findFilesSQLite, findFilesPostgres)
	case q.From != 0:
		statement = tx.text(findBySenderSQLite, findBySenderPostgres)
	case len(inChats) > 0 && len(inChats) <= indexedChats:
		statement, expression = tx.text(findByIndexSQLite, findByIndexPostgres), tx.expression(q, inChats)
	default:
		statement = tx.text(findNewestSQLite, findNewestPostgres)
	}
	err = tx.query(ctx, statement, args(user, only, q.From, q.After, q.Before, q.File, q.Image, q.Pinned, q.MentionsMe,
		q.Below, expression, max(q.Count, q.Limit), q.Limit), func(r row) error {
		var f chat.Found
		mf := messageFields{m: &f.Message}
		if err := r.Scan(append([]any{&count, &f.Chat.Kind, &f.Chat.Title}, mf.dest()...)...); err != nil {
			return fmt.Errorf("scan message found: %w", err)
		}
		if err := mf.finish(); err != nil {
			return err
		}
		f.Chat.ID = f.Message.Chat
		found = append(found, f)
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("search messages: %w", err)
	}
	return found, count, nil
}

const fewChats = `SELECT chat_id FROM members WHERE user_id = $1 AND state = 'active' LIMIT $2`

// fewChats returns the chats of a user, or nil if they are many. It only makes the search
// quicker: who may see what is decided in the search itself.
func (tx chatTx) fewChats(ctx context.Context, user int64) (ids []int64, err error) {
	err = tx.query(ctx, fewChats, args(user, indexedChats+1), func(r row) error {
		var id int64
		if err := r.Scan(&id); err != nil {
			return fmt.Errorf("scan chat: %w", err)
		}
		ids = append(ids, id)
		return nil
	})
	if err != nil || len(ids) > indexedChats {
		return nil, err
	}
	return ids, nil
}

// maxCompletions is how many indexed words that begin alike are looked up: each costs some
// seeks, and its own place in the search.
const maxCompletions = 32

// A word's next one in the index is not before the word with the smallest character there is.
const completions = `WITH RECURSIVE w (term, n) AS (
		SELECT (SELECT term FROM message_words WHERE term >= $1 LIMIT 1), 1
		UNION ALL SELECT (SELECT term FROM message_words WHERE term >= w.term || char(1) LIMIT 1), n + 1 FROM w
			WHERE substr(w.term, 1, length($1)) = $1 AND n <= $2)
	SELECT term FROM w WHERE substr(term, 1, length($1)) = $1`

// complete looks up how the index goes on from the beginning of a word that q asks for,
// unless it does in too many ways.
func (tx chatTx) complete(ctx context.Context, q *search.Query) error {
	begin := q.Unfinished()
	if begin == "" || tx.dialect != SQLite {
		return nil
	}
	var words []string
	err := tx.query(ctx, completions, args(begin, maxCompletions), func(r row) error {
		var word string
		err := r.Scan(&word)
		words = append(words, word)
		return err
	})
	if err != nil {
		return fmt.Errorf("look up words: %w", err)
	}
	if len(words) <= maxCompletions {
		*q = q.Complete(words)
	}
	return nil
}

// expression is what the index is asked for: the words of a query, and the facts that it
// has of messages. Nothing in it is anybody's text: words are letters and digits
// (guarantees.md S30).
func (tx *Tx) expression(q chat.SearchPage, chats []int64) string {
	var of [][]string // one of each
	if len(chats) > 0 && len(chats) <= indexedChats {
		names := make([]string, len(chats))
		for i, id := range chats {
			names[i] = strconv.FormatInt(id, 10)
		}
		of = append(of, names)
	}
	if q.Link {
		of = append(of, []string{linkFact})
	}
	if tx.dialect == Postgres {
		return joined(q.Words.TSQuery(), of, "'#", "'", "", " & ", " | ")
	}
	return joined(q.Words.FTS5(), of, `"`, `"`, "facts : ", " AND ", " OR ")
}

// joined writes an expression: words and one fact of each list.
func joined(words string, of [][]string, open, end, column, and, or string) string {
	var parts []string
	for _, names := range of {
		quoted := make([]string, len(names))
		for i, name := range names {
			quoted[i] = open + name + end
		}
		parts = append(parts, column+"("+strings.Join(quoted, or)+")")
	}
	if words != "" {
		if column != "" {
			words = "tokens : (" + words + ")"
		} else {
			words = "(" + words + ")"
		}
		parts = append(parts, words)
	}
	return strings.Join(parts, and)
}

const chatNames = `SELECT c.id, c.kind, CASE WHEN c.kind = 'direct' THEN coalesce(w.name, '') ELSE c.title END
	FROM members AS i JOIN chats AS c ON c.id = i.chat_id
	LEFT JOIN members AS o ON c.kind = 'direct' AND o.chat_id = c.id AND o.user_id <> i.user_id LEFT JOIN users AS w ON w.id = o.user_id
	WHERE i.user_id = $1 AND i.state = 'active' AND NOT i.hidden AND c.state = 'active'
	ORDER BY c.last_activity_at DESC, c.id DESC`

// ChatNames implements chat's search.
func (tx chatTx) ChatNames(ctx context.Context, user int64) (names []chat.ChatName, err error) {
	err = tx.query(ctx, chatNames, args(user), func(r row) error {
		var n chat.ChatName
		if err := r.Scan(&n.ID, &n.Kind, &n.Title); err != nil {
			return fmt.Errorf("scan chat: %w", err)
		}
		names = append(names, n)
		return nil
	})
	return names, err
}

const userNamed = `SELECT coalesce((SELECT id FROM users WHERE username = $1), 0)`

// UserNamed implements chat's search.
func (tx chatTx) UserNamed(ctx context.Context, username string) (id int64, err error) {
	err = tx.queryRow(ctx, userNamed, args(username), &id)
	return id, err
}
