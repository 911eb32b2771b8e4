package store

import (
	"context"
	"fmt"
	"strconv"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/search"
)

const (
	indexSQLite   = `INSERT OR REPLACE INTO message_index (rowid, tokens, facts) VALUES ($1, $2, $3)`
	indexPostgres = `INSERT INTO message_index (rowid, tsv) VALUES ($1, ($2::text || $3::text)::tsvector)
		ON CONFLICT (rowid) DO UPDATE SET tsv = excluded.tsv`
	unindexSQLite   = `DELETE FROM message_index WHERE rowid IN (SELECT value FROM json_each($1))`
	unindexPostgres = `DELETE FROM message_index WHERE rowid IN (SELECT value::bigint FROM jsonb_array_elements_text($1::jsonb))`
)

// Index implements chat's search.
func (tx chatTx) Index(ctx context.Context, m *chat.Message, words string) error {
	if tx.dialect == Postgres {
		return tx.changeIndex(ctx, indexPostgres, m.ID, words, factsTSVector(m.Chat, m.Text))
	}
	tx.indexing = append(tx.indexing, entry(m.ID, m.Chat, m.Text, words))
	return nil
}

// Reindex implements chat's search.
func (tx chatTx) Reindex(ctx context.Context, m *chat.Message) error {
	return tx.index(ctx, m.ID, m.Chat, m.Text)
}

// Unindex implements chat's search.
func (tx chatTx) Unindex(ctx context.Context, messages []int64) error {
	list, err := idList(messages)
	if err != nil {
		return err
	}
	return tx.changeIndex(ctx, tx.text(unindexSQLite, unindexPostgres), list)
}

// index puts a text into the index, in the place of what was there of the message.
func (tx *Tx) index(ctx context.Context, id, chat int64, text string) error {
	if tx.dialect == Postgres {
		return tx.changeIndex(ctx, indexPostgres, id, search.TSVector(text), factsTSVector(chat, text))
	}
	tx.indexing, tx.indexNow = append(tx.indexing, entry(id, chat, text, search.IndexText(text))), true
	return nil
}

// entry puts a message into SQLite's index.
func entry(id, chat int64, text, words string) indexing {
	return indexing{indexSQLite, args(id, words, facts(chat, text)), len(words)}
}

// changeIndex changes the index: at once on PostgreSQL, right before the commit on SQLite.
func (tx *Tx) changeIndex(ctx context.Context, query string, args ...any) error {
	if tx.dialect == SQLite {
		tx.indexing, tx.indexNow = append(tx.indexing, indexing{query: query, args: args}), true
		return nil
	}
	if _, err := tx.exec(ctx, query, args...); err != nil {
		return fmt.Errorf("index message: %w", err)
	}
	return nil
}

// linkFact is what the index says of a message with a link.
const linkFact = "link"

// facts are what the index says of a message beside its words: its chat, and whether
// there is a link. So a search in some chats reads nothing of the others.
func facts(chat int64, text string) string {
	f := strconv.FormatInt(chat, 10)
	if search.HasLink(text) {
		f += " " + linkFact
	}
	return f
}

// factsTSVector is the same for PostgreSQL, where a sign that no word has keeps facts and
// words apart.
func factsTSVector(chat int64, text string) string {
	f := " '#" + strconv.FormatInt(chat, 10) + "'"
	if search.HasLink(text) {
		f += " '#" + linkFact + "'"
	}
	return f
}
