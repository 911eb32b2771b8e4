package store_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
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

// later is when what waited for the index now has been written, or tried; in a bubble of synctest.
func later() {
	time.Sleep(store.WaitingFor)
	synctest.Wait()
}

func TestNewMessagesAreIndexedSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openChats(t, store.SQLite, chat.Options{})
		p := c.people(2)
		g := c.group(p...)
		for n := range int64(3) {
			c.send(p[0], g, "снова новое")
			if waiting := c.store.Stats().Unindexed; waiting != 1 {
				t.Errorf("after message %d %d messages wait", n+1, waiting)
			}
			later()
			if waiting, indexed := c.store.Stats().Unindexed, c.indexedMessages(); waiting != 0 || indexed != n+1 {
				t.Errorf("%v after message %d %d messages wait and %d are indexed", store.WaitingFor, n+1, waiting, indexed)
			}
		}
	})
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
	c.store.Indexed(t.Context())
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
	synctest.Test(t, func(t *testing.T) {
		c := openChats(t, store.SQLite, chat.Options{})
		p := c.person("a")
		c.store.MustExec(t, `PRAGMA max_page_count = 1`) // SQLite makes that what there is
		const messages = 100
		if err := c.store.IndexNew(t.Context(), 1, messages, strings.Repeat("много слов ", 300)); err != nil {
			t.Fatal(err)
		}
		later()
		if c.store.Ready() == nil {
			t.Error("nobody has tried to index what waits")
		}
		if _, err := c.SearchMessages(t.Context(), p, chat.SearchQuery{Q: "слов"}); err != nil {
			t.Errorf("search with a full disk: %v", err)
		}
		c.store.MustExec(t, `PRAGMA max_page_count = 1073741823`)
		later()
		if waiting, indexed := c.store.Stats().Unindexed, c.indexedMessages(); waiting != 0 || indexed != messages {
			t.Errorf("with room again %d messages wait and %d are indexed", waiting, indexed)
		}
	})
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
