package store_test

import (
	"bytes"
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/store"
)

// TestS37_DeletedTextIsNotInTheFile looks for the text of a deleted message in the bytes
// of SQLite's file, where rows that are let go of would leave it in free space.
func TestS37_DeletedTextIsNotInTheFile(t *testing.T) {
	const canary = "zebrafinch"
	c := openChats(t, store.SQLite, chat.Options{})
	g := c.group(c.people(2)...)
	m := c.send(1, g, canary+" @user2")
	for range 300 { // so that pages are full and nothing moves into what is let go
		c.send(1, g, "other text")
	}
	if n := c.inFile(canary); n == 0 {
		t.Fatal("the text is not found where it is")
	}
	if err := c.Delete(t.Context(), 1, []int64{m.ID}, true); err != nil {
		t.Fatal(err)
	}
	if n := c.inFile(canary); n != 0 {
		t.Errorf("the deleted text is in the file %d times", n)
	}
}

// inFile counts a text in the database file, with the log of changes written into it.
func (c *chats) inFile(text string) int {
	c.t.Helper()
	db, err := sql.Open("sqlite", c.path)
	if err != nil {
		c.t.Fatal(err)
	}
	defer db.Close()
	var busy, frames, moved int
	if err := db.QueryRow(`PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &frames, &moved); err != nil || busy != 0 {
		c.t.Fatalf("checkpoint: busy %d, %v", busy, err)
	}
	b, err := os.ReadFile(filepath.Clean(c.path))
	if err != nil {
		c.t.Fatal(err)
	}
	return bytes.Count(b, []byte(text))
}
