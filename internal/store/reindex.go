package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"github.com/kuranty/kuranty/internal/search"
)

// reindexStep is how many messages one transaction indexes: some milliseconds of the
// writer.
const reindexStep = 100

const (
	// analyzerKey is the version of the analyzer that made the whole index, reindexedKey
	// how far another one has come: "version:message".
	analyzerKey  = "analyzer_version"
	reindexedKey = "reindexed"

	forgetMeta = `DELETE FROM meta WHERE key = $1`

	nextToIndex = `SELECT id, chat_id, text FROM messages WHERE id > $1 AND deleted_at = 0 AND message_type <> 'system' ORDER BY id LIMIT $2`
	// PostgreSQL holds the rows: an edit that is stored meanwhile must not be indexed as it
	// was before.
	nextToIndexPostgres = nextToIndex + ` FOR SHARE`
)

// Reindex builds the full-text index of messages anew if another version of the analyzer
// made it, or nobody, and returns how many messages it indexed. It works in small steps
// beside everything else; messages not yet reached are found as before. When ctx ends it
// stops, and the next call goes on from there.
func (s *Store) Reindex(ctx context.Context) (messages int, err error) {
	for {
		n, done, err := s.reindexSome(ctx)
		messages += n
		if err != nil {
			return messages, fmt.Errorf("index messages anew: %w", err)
		}
		if done {
			return messages, nil
		}
		if err := ctx.Err(); err != nil {
			return messages, fmt.Errorf("index messages anew: %w", err)
		}
	}
}

// reindexSome is one step of Reindex.
func (s *Store) reindexSome(ctx context.Context) (n int, done bool, err error) {
	err = s.Update(ctx, func(tx *Tx) error {
		n, done = 0, false
		version, err := tx.meta(ctx, analyzerKey)
		if err != nil || version == strconv.Itoa(search.Version) {
			done = true
			return err
		}
		progress, err := tx.meta(ctx, reindexedKey)
		if err != nil {
			return err
		}
		var of int
		var last int64
		if _, err := fmt.Sscanf(progress, "%d:%d", &of, &last); err != nil || of != search.Version {
			last = 0
		}
		n, last, err = tx.indexAfter(ctx, last)
		if err != nil {
			return err
		}
		if n == reindexStep {
			_, err = tx.exec(ctx, writeMeta, reindexedKey, fmt.Sprintf("%d:%d", search.Version, last))
			return err
		}
		done = true
		if _, err := tx.exec(ctx, forgetMeta, reindexedKey); err != nil {
			return err
		}
		_, err = tx.exec(ctx, writeMeta, analyzerKey, strconv.Itoa(search.Version))
		return err
	})
	return n, done, err
}

// indexAfter indexes the next messages after one, and returns how many and the last.
func (tx *Tx) indexAfter(ctx context.Context, after int64) (n int, last int64, err error) {
	type message struct {
		id, chat int64
		text     string
	}
	var next []message
	err = tx.query(ctx, tx.text(nextToIndex, nextToIndexPostgres), args(after, reindexStep), func(r row) error {
		var m message
		if err := r.Scan(&m.id, &m.chat, &m.text); err != nil {
			return fmt.Errorf("scan message: %w", err)
		}
		next = append(next, m)
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	for _, m := range next {
		if err := tx.index(ctx, m.id, m.chat, m.text); err != nil {
			return 0, 0, err
		}
		last = m.id
	}
	return len(next), last, nil
}

// meta returns a value of the table meta, empty if there is none.
func (tx *Tx) meta(ctx context.Context, key string) (value string, err error) {
	err = tx.queryRow(ctx, readMeta, args(key), &value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return value, err
}

// forgetIndex makes Reindex build the index from the beginning.
func (tx *Tx) forgetIndex(ctx context.Context) error {
	for _, key := range []string{analyzerKey, reindexedKey} {
		if _, err := tx.exec(ctx, forgetMeta, key); err != nil {
			return err
		}
	}
	return nil
}
