package store_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/store"
)

// A backup taken while people write holds all that was acknowledged before it began, and
// is restored into either database.
func TestR40_BackupAndRestore(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		s := c.store
		c.people(2)
		id := c.group(1, 2)
		folder := t.TempDir()
		if err := os.MkdirAll(filepath.Join(folder, "ab"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "ab", "f_1"), []byte("picture"), 0o600); err != nil {
			t.Fatal(err)
		}
		send := func(text string) chat.Message { return c.send(1, id, text) }
		acked := []chat.Message{send("Привет, «мир»"), send("line\nbreak"), send(strings.Repeat("long ", 500))}

		// People go on writing meanwhile.
		var stop atomic.Bool
		var wg sync.WaitGroup
		wg.Go(func() {
			for !stop.Load() {
				send("meanwhile")
			}
		})
		var archive bytes.Buffer
		m, err := s.Backup(t.Context(), &archive, os.DirFS(folder))
		stop.Store(true)
		wg.Wait()
		if err != nil {
			t.Fatal(err)
		}
		if m.Files != 1 || m.Epoch != s.Epoch() {
			t.Errorf("manifest: %+v", m)
		}
		verified, err := store.VerifyBackup(bytes.NewReader(archive.Bytes()), int64(archive.Len()))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(m, verified); diff != "" {
			t.Errorf("the verified manifest differs:\n%s", diff)
		}

		onBoth(t, func(t *testing.T, o store.Options) {
			to := open(t, o)
			restored := t.TempDir()
			if _, err := to.Restore(t.Context(), bytes.NewReader(archive.Bytes()), int64(archive.Len()), restored); err != nil {
				t.Fatal(err)
			}
			if to.Epoch() == s.Epoch() {
				t.Error("the epoch is that of the backup")
			}
			if b, err := os.ReadFile(filepath.Join(restored, "ab", "f_1")); err != nil || string(b) != "picture" {
				t.Errorf("the file is %q (%v)", b, err)
			}
			again := chat.New(chat.Options{Store: to.Chat()})
			page, err := again.Messages(t.Context(), 2, id, chat.PageQuery{Limit: 3}) // the oldest
			if err != nil {
				t.Fatal(err)
			}
			for i, m := range acked {
				if i >= len(page.Messages) || page.Messages[i].Text != m.Text || page.Messages[i].ID != m.ID || page.Messages[i].Seq != m.Seq {
					t.Errorf("message %d was not restored as it was", m.ID)
				}
			}
			// Ids and numbers go on where they were.
			m, _, err := again.Send(t.Context(), 2, id, chat.Sending{Text: "after"})
			if err != nil {
				t.Fatal(err)
			}
			if m.Seq <= acked[2].Seq || m.ID <= acked[2].ID {
				t.Errorf("a new message is %d with number %d", m.ID, m.Seq)
			}
			if _, err := to.Restore(t.Context(), bytes.NewReader(archive.Bytes()), int64(archive.Len()), restored); !errors.Is(err, store.ErrNotEmpty) {
				t.Errorf("a second restore returned %v", err)
			}
		})
	})
}

func TestADamagedBackupIsNoticed(t *testing.T) {
	c := openChats(t, store.SQLite, chat.Options{})
	s := c.store
	c.people(3)
	var archive bytes.Buffer
	if _, err := s.Backup(t.Context(), &archive, nil); err != nil {
		t.Fatal(err)
	}
	whole := archive.Bytes()
	intact, err := store.VerifyBackup(bytes.NewReader(whole), int64(len(whole)))
	if err != nil {
		t.Fatal(err)
	}
	to := open(t, store.Options{Path: filepath.Join(t.TempDir(), "k.db")})
	tried, noticed := 0, 0
	for i := 0; i < len(whole); i += 97 {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 0x20
		tried++
		m, err := store.VerifyBackup(bytes.NewReader(damaged), int64(len(damaged)))
		if err != nil {
			noticed++
		} else if diff := cmp.Diff(intact, m); diff != "" { // a date in the archive may be another, nothing else
			t.Errorf("byte %d: damage was not noticed:\n%s", i, diff)
		}
	}
	if noticed < tried/2 {
		t.Errorf("of %d damaged backups %d were noticed", tried, noticed)
	}
	if _, err := to.Restore(t.Context(), bytes.NewReader(whole[:len(whole)/2]), int64(len(whole)/2), t.TempDir()); !errors.Is(err, store.ErrNoBackup) {
		t.Errorf("half a backup: %v", err)
	}
}
