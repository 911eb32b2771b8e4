package store_test

import (
	"context"
	"errors"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/files"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/storetest"
)

// attic is a store of files on a real database, with messages beside it.
type attic struct {
	*files.Service
	store *store.Store
	now   time.Time
}

// attics runs a test on each database.
func attics(t *testing.T, f func(t *testing.T, a *attic)) {
	t.Helper()
	for _, driver := range []string{store.SQLite, store.Postgres} {
		t.Run(driver, func(t *testing.T) {
			s, err := store.Open(t.Context(), storetest.Options(t, driver))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			a := &attic{store: s, now: time.Now()}
			a.Service, err = files.New(files.Options{
				Folder: t.TempDir(), Store: s.Files(), Access: s.FileAccess(),
				Secret: []byte(strings.Repeat("s", 32)), Clock: func() time.Time { return a.now },
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { a.Close() })
			f(t, a)
		})
	}
}

func (a *attic) upload(t *testing.T, owner int64) string {
	t.Helper()
	f, err := a.Upload(t.Context(), owner, "a.txt", "", strings.NewReader("text"))
	if err != nil {
		t.Fatal(err)
	}
	return f.ID
}

const (
	insertMember = `INSERT INTO members (chat_id, user_id, state, joined_at, visible_from_seq) VALUES ($1, $2, $3, 1, $4)`
	insertText   = `INSERT INTO messages (id, chat_id, seq, sender_id, message_type, text, created_at, event_seq) VALUES ($1, $2, $3, 1, 'text', 'a', 1, $3)`
	insertPlace  = `INSERT INTO message_files (message_id, file_id, position) VALUES ($1, $2, 0)`
)

// open tells whether a link opens.
func (a *attic) open(t *testing.T, address string) bool {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	link, err := a.Verify(u)
	if err != nil {
		t.Fatal(err)
	}
	rc, _, err := a.OpenLink(t.Context(), link)
	if errors.Is(err, files.ErrNotFound) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	data, err := io.ReadAll(rc)
	return err == nil && string(data) == "text"
}

// S15, D-11: a file is for its owner and for members who see a message that has it, at
// the moment it is read. To all others it is not there.
func TestS15_FilesAreForWhoSeesTheirMessage(t *testing.T) {
	attics(t, func(t *testing.T, a *attic) {
		const owner, member, late, left, kicked, banned, invited, stranger = 1, 2, 3, 4, 5, 6, 7, 8
		id, loose := a.upload(t, owner), a.upload(t, owner)
		for user, state := range map[int64]string{owner: "active", member: "active", left: "left", kicked: "kicked", banned: "banned", invited: "invited"} {
			a.store.MustExec(t, insertMember, 10, user, state, 0)
		}
		a.store.MustExec(t, insertMember, 10, late, "active", 5)     // sees what comes after number 5
		a.store.MustExec(t, insertMember, 11, stranger, "active", 0) // of another chat, with a message of the same number
		a.store.MustExec(t, insertText, 105, 10, 5)
		a.store.MustExec(t, insertText, 205, 11, 5)
		a.store.MustExec(t, insertPlace, 105, id)

		check := func(when string, id string, may ...int64) {
			t.Helper()
			for user := int64(1); user <= 9; user++ {
				want := false
				for _, m := range may {
					want = want || m == user
				}
				f, err := a.Get(t.Context(), user, id)
				if want && (err != nil || f.ID != id) || !want && !errors.Is(err, files.ErrNotFound) {
					t.Errorf("%s, user %d: %+v, %v", when, user, f, err)
				}
				address, _ := a.URL(id, files.Original, user)
				if got := a.open(t, address); got != want {
					t.Errorf("%s, a link of user %d opens: %v", when, user, got)
				}
			}
		}
		check("attached", id, owner, member)
		check("in no message", loose, owner)
		check("unknown", "f_"+strings.Repeat("a", 26))

		a.store.MustExec(t, insertText, 106, 10, 6)
		a.store.MustExec(t, insertPlace, 106, id)
		check("sent once more", id, owner, member, late)
		a.store.MustExec(t, `UPDATE messages SET deleted_at = 1 WHERE id = $1`, 105)
		check("one of two deleted", id, owner, member, late)
		a.store.MustExec(t, `UPDATE members SET state = 'kicked' WHERE chat_id = $1 AND user_id = $2`, 10, member)
		check("a member removed", id, owner, late)
		a.store.MustExec(t, `UPDATE members SET visible_from_seq = 6 WHERE chat_id = $1 AND user_id = $2`, 10, late)
		check("history cleared", id, owner)
		a.store.MustExec(t, `UPDATE members SET visible_from_seq = 0 WHERE chat_id = $1`, 10)
		a.store.MustExec(t, `UPDATE messages SET deleted_at = 1 WHERE id = $1`, 106)
		check("all deleted", id, owner)

		// A link for many lives until it ends or the file is deleted.
		address, _ := a.URL(id, files.Original, 0)
		if !a.open(t, address) {
			t.Error("a link for whoever holds it does not open")
		}
		if err := a.DeleteOf(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if a.open(t, address) {
			t.Error("a link opens a deleted file")
		}
	})
}

// R7: a message has only files that are there, and the sweeper takes none from it, also
// when both happen at once.
func TestR07_SweepingTakesNoFileFromAMessage(t *testing.T) {
	attics(t, func(t *testing.T, a *attic) {
		kept, loose := a.upload(t, 1), a.upload(t, 1)
		a.now = a.now.Add(25 * time.Hour)
		sweep := func() files.Swept {
			t.Helper()
			done, err := a.Sweep(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return done
		}
		if a.store.Driver() == store.Postgres {
			// The message's transaction is open while the sweeper looks.
			err := a.store.ExecThen(t.Context(), func() {
				if done := sweep(); done.Files != 1 {
					t.Errorf("swept %+v beside an open transaction, want the loose file", done)
				}
			}, insertPlace, 1, kept)
			if err != nil {
				t.Fatal(err)
			}
		} else {
			a.store.MustExec(t, insertPlace, 1, kept)
		}
		sweep()
		if _, _, err := a.Open(t.Context(), kept, files.Original); err != nil {
			t.Errorf("the file of a message: %v", err)
		}
		if _, _, err := a.Open(t.Context(), loose, files.Original); !errors.Is(err, files.ErrNotFound) {
			t.Errorf("the loose file: %v", err)
		}
		if err := a.store.ExecThen(t.Context(), func() {}, insertPlace, 2, loose); err == nil {
			t.Error("a message took a file that is gone")
		}
		a.store.MustExec(t, `DELETE FROM message_files WHERE message_id = $1`, 1)
		if done := sweep(); done.Files != 1 {
			t.Errorf("swept %+v after the message was deleted", done)
		}
	})
}

// Sums of the quota are those of the files, whatever happened.
func TestUsageIsTheSumOfFiles(t *testing.T) {
	attics(t, func(t *testing.T, a *attic) {
		ctx := t.Context()
		first, second := a.upload(t, 1), a.upload(t, 1)
		u, err := a.CreateUpload(ctx, 1, "a", 100)
		if err != nil {
			t.Fatal(err)
		}
		used := func() int64 {
			t.Helper()
			usage, err := a.Usage(ctx, 1)
			if err != nil {
				t.Fatal(err)
			}
			return usage.Used
		}
		if got := used(); got != 108 {
			t.Errorf("two files of 4 and an upload of 100 are %d", got)
		}
		steps := []func(context.Context) error{
			func(ctx context.Context) error { return a.DeleteOf(ctx, first, first) },
			func(ctx context.Context) error { return a.Abort(ctx, 1, u.ID) },
			func(ctx context.Context) error { return a.DeleteOf(ctx, second) },
		}
		for i, want := range []int64{104, 4, 0} {
			if err := steps[i](ctx); err != nil {
				t.Fatal(err)
			}
			if got := used(); got != want {
				t.Errorf("after step %d: %d, want %d", i, got, want)
			}
		}
	})
}
