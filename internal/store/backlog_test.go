package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/store"
)

// indexedMessages is how many messages the full-text index has.
func (c *chats) indexedMessages() (n int64) {
	c.t.Helper()
	c.store.MustQuery(c.t, `SELECT count(*) FROM message_index`, nil, &n)
	return n
}

// allIndexed waits until nothing waits for the index any more, which nobody asks it for.
func (c *chats) allIndexed(want int64) {
	c.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); c.store.Stats().Unindexed > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("after 10 s %d messages wait for the index", c.store.Stats().Unindexed)
		}
	}
	if n := c.indexedMessages(); n != want {
		c.t.Errorf("the index has %d messages, want %d", n, want)
	}
}

func TestNewMessagesAreIndexedSoon(t *testing.T) {
	c := openChats(t, store.SQLite, chat.Options{})
	p := c.people(2)
	g := c.group(p...)
	for n := range int64(3) {
		c.send(p[0], g, "снова новое")
		c.allIndexed(n + 1)
	}
}

func TestCloseIndexesWhatWaits(t *testing.T) {
	c := openChats(t, store.SQLite, chat.Options{})
	p := c.people(2)
	g := c.group(p...)
	for range 20 {
		c.send(p[0], g, "последнее")
	}
	if err := c.store.Close(); err != nil {
		t.Fatal(err)
	}
	var n int
	c.reader().MustQuery(t, `SELECT count(*) FROM message_index`, nil, &n)
	if n != 20 {
		t.Errorf("the index has %d messages, want 20", n)
	}
}

// Many messages, or large ones, do not wait in memory.
func TestMuchIsIndexedAtOnce(t *testing.T) {
	for name, sent := range map[string]struct {
		messages int
		words    string
	}{
		"many":  {1024, "слово"},
		"large": {20, strings.Repeat("слово ", 5000)},
	} {
		t.Run(name, func(t *testing.T) {
			c := openChats(t, store.SQLite, chat.Options{})
			if err := c.store.IndexNew(t.Context(), 1, sent.messages, sent.words); err != nil {
				t.Fatal(err)
			}
			if waiting, n := c.store.Stats().Unindexed, c.indexedMessages(); waiting != 0 || n != int64(sent.messages) {
				t.Errorf("right after the commit %d messages wait and %d are indexed", waiting, n)
			}
		})
	}
}

// A process that was killed has left out messages at the end; the next one finds them
// missing before anybody searches.
func TestWhatAKilledProcessLeftIsIndexed(t *testing.T) {
	c := openChats(t, store.SQLite, chat.Options{})
	p := c.people(2)
	g := c.group(p...)
	const stored, indexed = 250, 20
	var last int64
	for n := range stored {
		m := c.send(p[0], g, fmt.Sprint("слово", n))
		if n == indexed-1 {
			last = m.ID
		}
	}
	c.allIndexed(stored)
	c.store.MustExec(t, `DELETE FROM message_index WHERE rowid > `+fmt.Sprint(last))
	if err := c.store.Close(); err != nil {
		t.Fatal(err)
	}
	faults, err := c.reader().Check(t.Context(), nil)
	if err != nil || len(faults) > 0 {
		t.Errorf("what the next start mends is said to be wrong: %q, %v", faults, err)
	}
	s := open(t, store.Options{Path: c.path})
	s.Indexed(t.Context()) // as a search does
	var n int
	s.MustQuery(t, `SELECT count(*) FROM message_index`, nil, &n)
	if n != stored {
		t.Errorf("after the start the index has %d messages, want %d", n, stored)
	}
}

// With a full disk messages that wait are not found, and are indexed when there is room
// again, though nobody writes.
func TestR27_WhatWaitsIsIndexedWhenThereIsRoom(t *testing.T) {
	c := openChats(t, store.SQLite, chat.Options{})
	p := c.person("a")
	c.store.MustExec(t, `PRAGMA max_page_count = 1`) // SQLite makes that what there is
	const messages = 100
	if err := c.store.IndexNew(t.Context(), 1, messages, strings.Repeat("много слов ", 300)); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); c.store.Ready() == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("after 10 s nobody has tried to index what waits")
		}
	}
	if _, err := c.SearchMessages(t.Context(), p, chat.SearchQuery{Q: "слов"}); err != nil {
		t.Errorf("search with a full disk: %v", err)
	}
	c.store.MustExec(t, `PRAGMA max_page_count = 1073741823`)
	c.allIndexed(messages)
}

// Pieces of the index are merged as they are written, and not by FTS5, which would let
// sixteen of a kind come together and merge them in one commit.
func TestPiecesOfTheIndexAreMerged(t *testing.T) {
	c := openChats(t, store.SQLite, chat.Options{})
	const pieces = 255
	for n := range int64(pieces) {
		if err := c.store.IndexNew(t.Context(), n+1, 1, "слово"); err != nil {
			t.Fatal(err)
		}
		c.store.Indexed(t.Context())
	}
	var segments, automerge int
	c.store.MustQuery(t, `SELECT count(DISTINCT segid) FROM message_index_idx`, nil, &segments)
	c.store.MustQuery(t, `SELECT v FROM message_index_config WHERE k = 'automerge'`, nil, &automerge)
	if segments > 10 || automerge != 0 {
		t.Errorf("%d pieces were written and %d are left; FTS5 merges by itself at %d", pieces, segments, automerge)
	}
}
