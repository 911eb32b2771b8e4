package store_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/search"
	"github.com/kuranty/kuranty/internal/store"
)

// reader opens the database of c beside it.
func (c *chats) reader() *store.Store {
	c.t.Helper()
	o := store.Options{Driver: c.store.Driver(), Path: c.path, DSN: c.dsn}
	s, err := store.OpenReader(c.t.Context(), o)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { s.Close() })
	return s
}

// busy fills the database with everything that is counted somewhere.
func (c *chats) busy() (group int64) {
	c.people(4)
	ctx := c.t.Context()
	v, _, err := c.CreateGroup(ctx, 1, chat.NewGroup{Title: "Group", Users: []int64{2, 3}})
	c.must(err)
	group = v.Chat.ID
	first := c.send(1, group, "Привет, see https://example.com")
	second := c.send(2, group, "second")
	third := c.send(1, group, "third")
	c.must(c.Delete(ctx, 1, []int64{third.ID}, true))
	c.must(c.Delete(ctx, 2, []int64{first.ID}, false))
	text := "changed"
	if _, err := c.Edit(ctx, 2, second.ID, chat.Editing{Text: &text}); err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.React(ctx, 3, second.ID, "👍", true); err != nil {
		c.t.Fatal(err)
	}
	c.must(c.Pin(ctx, 1, second.ID, true))
	if _, _, err := c.SendToUser(ctx, 1, 4, chat.Sending{Text: "hello @people2"}); err != nil {
		c.t.Fatal(err)
	}
	c.must(c.Leave(ctx, 3, group))
	_, err = c.MarkRead(ctx, 4, 2, 1)
	c.must(err)
	if _, err := c.store.ReindexAll(ctx); err != nil {
		c.t.Fatal(err)
	}
	return group
}

func (c *chats) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func TestReadersSeeWhatIsWrittenAndWriteNothing(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		group := c.busy()
		r := c.reader()
		if r.Epoch() != c.store.Epoch() {
			t.Errorf("epoch %q, not %q", r.Epoch(), c.store.Epoch())
		}
		before, err := r.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c.send(1, group, "meanwhile")
		after, err := r.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		rows := func(s *store.Status, table string) int64 {
			i := slices.IndexFunc(s.Tables, func(t store.TableRows) bool { return t.Name == table })
			return s.Tables[i].Rows
		}
		if got := rows(after, "messages") - rows(before, "messages"); got != 1 {
			t.Errorf("%d messages came", got)
		}
		if after.Schema.Version != after.Schema.Newest || after.Bytes == 0 || after.Server == "" || after.Index == "" {
			t.Errorf("status: %+v", after)
		}
		if err := r.Update(t.Context(), func(*store.Tx) error { return nil }); !errors.Is(err, store.ErrReadOnly) {
			t.Errorf("a reader writes: %v", err)
		}
	})
}

func TestReadersMakeNoDatabase(t *testing.T) {
	onNew(t, func(t *testing.T, o store.Options) {
		if _, err := store.OpenReader(t.Context(), o); !errors.Is(err, store.ErrNoDatabase) {
			t.Errorf("error %v", err)
		}
		if o.Path == "" {
			return
		}
		if _, err := os.Stat(o.Path); err == nil {
			t.Error("there is a file now")
		}
	})
}

func TestStatusOfSinks(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		c.busy()
		for c.store.Driver() == store.Postgres { // SQLite's writer numbers
			given, err := c.store.NumberEvents(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(given) == 0 {
				break
			}
		}
		head, err := c.store.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.store.SaveCursor(t.Context(), "realtime", head-3); err != nil {
			t.Fatal(err)
		}
		s, err := c.reader().Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Sinks) != 1 || s.Sinks[0].Lag != 3 || s.Head != head || s.Unnumbered != 0 {
			t.Errorf("status: %+v", s)
		}
	})
}

// Every fault that is made is found, and a database that people used has none.
func TestCheckFindsWhatIsWrong(t *testing.T) {
	for name, f := range map[string]struct{ make, want string }{
		"nothing":            {`UPDATE chats SET title = title`, ``},
		"gap in messages":    {`DELETE FROM messages WHERE seq = 2`, `its messages should go up to`},
		"gap in events":      {`DELETE FROM events WHERE stream = 'chat:1' AND stream_seq = 3`, `stream chat:1`},
		"lost counter":       {`UPDATE chats SET last_event_seq = last_event_seq + 1 WHERE id = 1`, `stream chat:1: its events should go up to`},
		"wrong member count": {`UPDATE chats SET member_count = 7 WHERE id = 1`, `chat 1 counts 7 members and has 2`},
		"read the future":    {`UPDATE members SET read_seq = 99 WHERE chat_id = 1 AND user_id = 2`, `user 2 has read up to 99`},
		"wrong usage":        {`INSERT INTO file_usage (owner_id, bytes) VALUES (1, 5)`, `files of user 1: 5 bytes are counted, 0 are there`},
		"stray reaction":     {`INSERT INTO reactions (message_id, user_id, emoji, created_at) VALUES (999, 1, '👍', 0)`, `reactions: 1 rows belong to nothing`},
		"member of nothing":  {`INSERT INTO members (chat_id, user_id, joined_at) VALUES (999, 1, 0)`, `members: 1 rows belong to nothing`},
		"index lacks":        {`DELETE FROM message_index WHERE rowid = 2`, `the search index lacks 1 messages`},
		"index version":      {`UPDATE meta SET value = '0' WHERE key = 'analyzer_version'`, `the search index is of version 0`},
		"missing file": {`INSERT INTO files (id, owner_id, kind, name, mime, size, sha256, storage_key, created_at)
			VALUES ('f_1', 1, 'file', 'a', 'text/plain', 3, '', 'ab/cd', 0)`, `file f_1: ab/cd is missing`},
	} {
		t.Run(name, func(t *testing.T) {
			onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
				c.busy()
				c.store.MustExec(t, f.make)
				faults, err := c.reader().Check(t.Context(), fstest.MapFS{})
				if err != nil {
					t.Fatal(err)
				}
				all := strings.Join(faults, "\n")
				if (f.want == "") != (all == "") || !strings.Contains(all, f.want) {
					t.Errorf("found %q, want %q", all, f.want)
				}
			})
		})
	}
}

func TestCheckComparesFiles(t *testing.T) {
	c := openChats(t, store.SQLite, chat.Options{})
	c.people(1)
	c.store.MustExec(t, `INSERT INTO files (id, owner_id, kind, name, mime, size, sha256, storage_key, created_at)
		VALUES ('f_1', 1, 'file', 'a', 'text/plain', 3, '', 'ab/cd', 0)`)
	c.store.MustExec(t, `INSERT INTO file_usage (owner_id, bytes) VALUES (1, 3)`)
	for content, want := range map[string]string{"abc": "", "ab": "file f_1: ab/cd has 2 bytes, not 3"} {
		faults, err := c.reader().Check(t.Context(), fstest.MapFS{"ab/cd": {Data: []byte(content)}})
		if err != nil || strings.Join(faults, "\n") != want {
			t.Errorf("%q: %q, %v", content, faults, err)
		}
	}
}

func TestADamagedSQLiteFileIsNoticed(t *testing.T) {
	c := openChats(t, store.SQLite, chat.Options{})
	group := c.busy()
	for range 300 {
		c.send(1, group, strings.Repeat("long text ", 50))
	}
	if err := c.store.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(c.path)
	if err != nil {
		t.Fatal(err)
	}
	for at := len(b) / 2 / 4096 * 4096; at < len(b)/2+4096*8; at += 4096 {
		copy(b[at:], bytes.Repeat([]byte{0xa5}, 200))
	}
	if err := os.WriteFile(c.path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	faults, err := c.reader().Check(t.Context(), nil)
	if err == nil && len(faults) == 0 {
		t.Error("no fault was found")
	}
}

func TestReindexAll(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		c.busy()
		c.store.MustExec(t, `DELETE FROM message_index`)
		n, err := c.store.ReindexAll(t.Context())
		if err != nil || n != 3 {
			t.Fatalf("%d messages, %v", n, err)
		}
		st, err := c.store.Status(t.Context())
		if err != nil || st.Index != "1" && search.Version == 1 {
			t.Errorf("status %+v, %v", st, err)
		}
		faults, err := c.store.Check(t.Context(), nil)
		if err != nil || len(faults) > 0 {
			t.Errorf("%q, %v", faults, err)
		}
	})
}

// A restore that did not end leaves a database that only another restore opens.
func TestR40_ARestoreIsWholeOrDoneAgain(t *testing.T) {
	from := openChats(t, store.SQLite, chat.Options{})
	from.busy()
	var archive bytes.Buffer
	if _, err := from.store.Backup(t.Context(), &archive, nil); err != nil {
		t.Fatal(err)
	}
	size := int64(archive.Len())
	backup := func() *bytes.Reader { return bytes.NewReader(archive.Bytes()) }
	onBoth(t, func(t *testing.T, o store.Options) {
		// A folder that cannot be made ends the restore in the middle.
		blocked := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(blocked, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Restore(t.Context(), backup(), size, blocked); err == nil {
			t.Fatal("restored into a file")
		}
		s.MustExec(t, `INSERT INTO users (id, name, role, kind, state, privacy, search_name, created_at, updated_at)
			VALUES (77, 'half', 'user', 'human', 'active', '{}', 'half', 0, 0)`)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Open(t.Context(), o); !errors.Is(err, store.ErrHalfRestored) {
			t.Fatalf("a half restored database opens: %v", err)
		}
		o.Restoring = true
		again := open(t, o)
		if _, err := again.Restore(t.Context(), backup(), size, t.TempDir()); err != nil {
			t.Fatal(err)
		}
		o.Restoring = false
		whole := open(t, o)
		faults, err := whole.Check(t.Context(), nil)
		if err != nil || len(faults) > 0 {
			t.Errorf("%q, %v", faults, err)
		}
		st, err := whole.Status(t.Context())
		if err != nil || st.Tables[0] != (store.TableRows{Name: "users", Rows: 4}) {
			t.Errorf("something of the first restore is left: %+v, %v", st, err)
		}
	})
}
