package store

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/kuranty/kuranty/internal/search"
)

// FTS5 writes a piece of index at every commit that changes it, and merges the pieces
// later: one piece for the messages of a tenth of a second costs a third of what one for
// each commit does. So new messages wait for it on SQLite. Nobody notices: who searches
// has them indexed first, who changes or takes away a text does at once, and what a
// process that was killed has left out the next one finds after the last message indexed.
const (
	// waitingFor is how long a message waits at most, if nothing fails.
	waitingFor = 100 * time.Millisecond
	// waitingMessages and waitingBytes are how many wait, and how large their words are, when
	// the next commit indexes them.
	waitingMessages = 1024
	waitingBytes    = 1 << 20
)

// mergedPages is how many pages of pieces are merged when one is written, beside one for every
// four messages in it. FTS5 by itself would merge hundreds now and then, in a commit of 80 ms.
const (
	mergedPages = 8
	mergeIndex  = `INSERT INTO message_index (message_index, rank) VALUES ('merge', $1)`
)

// indexing is a statement that changes the full-text index, with a text of some size.
type indexing struct {
	query string
	args  []any
	bytes int
}

// backlog are new messages that are stored and not yet indexed.
type backlog struct {
	waiting []indexing
	// late fires when they have waited long enough.
	late *time.Timer
	// length is how many there are, for others than the writer.
	length atomic.Int64
}

// index writes what operations change in the full-text index, and what waits for it, in the
// order in which it was done; or it returns all that when it may wait. The transaction is
// the operations' own, and does not see the changes itself.
func (w *writer) index(ctx context.Context, group []*operation) (waiting []indexing, err error) {
	waiting = w.behind.waiting
	now := false
	for _, op := range group {
		if op.err == nil {
			waiting = append(waiting, op.tx.indexing...)
			now = now || op.tx.indexNow
		}
	}
	if !now && !enough(waiting) || len(waiting) == 0 {
		return waiting, nil
	}
	for _, c := range waiting {
		if _, err := w.exec(ctx, c.query, c.args...); err != nil {
			return nil, fmt.Errorf("index messages: %w", err)
		}
	}
	if _, err := w.exec(ctx, mergeIndex, mergedPages+len(waiting)/4); err != nil {
		return nil, fmt.Errorf("merge the index of messages: %w", err)
	}
	return nil, nil
}

// enough tells whether so much waits that it waits no longer.
func enough(waiting []indexing) bool {
	bytes := 0
	for _, c := range waiting {
		bytes += c.bytes
	}
	return len(waiting) >= waitingMessages || bytes >= waitingBytes
}

// keep notes what waits after a commit, before anybody is told of it.
func (b *backlog) keep(waiting []indexing) {
	begins := len(b.waiting) == 0
	b.waiting = waiting
	b.length.Store(int64(len(waiting)))
	if begins {
		b.wait()
	}
}

// wait has what waits indexed a little later.
func (b *backlog) wait() {
	if len(b.waiting) > 0 {
		b.late.Reset(waitingFor)
	}
}

// indexNow is an operation that changes nothing but has the index written.
func indexNow(tx *Tx) error {
	tx.indexNow = true
	return nil
}

// indexOperation is the same for nobody who waits.
func indexOperation() *operation {
	return &operation{ctx: context.Background(), do: indexNow, done: make(chan struct{})}
}

// indexed has the index know every message that is stored, for who searches; it is not for
// who writes. If it cannot be written now, what is in it is found.
func (s *Store) indexed(ctx context.Context) {
	if s.writer != nil && s.writer.behind.length.Load() > 0 {
		_ = s.writer.do(ctx, indexNow)
	}
}

const lastIndexed = `coalesce((SELECT rowid FROM message_index ORDER BY rowid DESC LIMIT 1), 0)`

// indexRest has what a process left that did not end well wait for the index: messages after
// the last one in it. If that is not whole, [Store.Reindex] comes to them.
func (s *Store) indexRest(ctx context.Context) error {
	after := int64(-1) // where the index ends
	for {
		n, last := 0, int64(0)
		err := s.Update(ctx, func(tx *Tx) error {
			n = 0
			version, err := tx.meta(ctx, analyzerKey)
			if err != nil || version != strconv.Itoa(search.Version) {
				return err
			}
			from := after
			if from < 0 {
				if err := tx.queryRow(ctx, `SELECT `+lastIndexed, nil, &from); err != nil {
					return err
				}
			}
			n, last, err = tx.indexAfter(ctx, from)
			tx.indexNow = false // they wait as when they were new
			return err
		})
		if err != nil {
			return fmt.Errorf("index the last messages: %w", err)
		}
		if n < reindexStep {
			return nil
		}
		after = last
	}
}
