package privacy_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/files"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/privacy"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/storetest"
)

const password = "верная лошадь-скрепка"

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// harness is a server without its surfaces, on a real database.
type harness struct {
	t        testing.TB
	driver   string
	folder   string // of everything that is kept beside the database
	path     string // of SQLite's file
	raw      *sql.DB
	store    *store.Store
	accounts *identity.Accounts
	chats    *chat.Service
	files    *files.Service
	privacy  *privacy.Service
	crash    *crashing
	days     int
	parts    []privacy.Part

	mu     sync.Mutex
	now    time.Time
	purged map[int64]bool
}

// each runs a test on both databases; days is the retention of the server.
func each(t *testing.T, days int, f func(t *testing.T, h *harness)) {
	t.Helper()
	for _, driver := range []string{store.SQLite, store.Postgres} {
		t.Run(driver, func(t *testing.T) { t.Parallel(); f(t, newHarness(t, driver, days)) })
	}
}

func newHarness(t testing.TB, driver string, days int) *harness {
	t.Helper()
	h := &harness{
		t: t, driver: driver, folder: t.TempDir(), days: days,
		now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), purged: make(map[int64]bool),
	}
	o := storetest.Options(t, driver)
	o.Clock, o.Logger = h.clock, quiet
	h.path = o.Path
	var err error
	if driver == store.Postgres {
		h.raw, err = sql.Open("pgx", o.DSN)
	} else {
		h.raw, err = sql.Open("sqlite", o.Path+"?_pragma=busy_timeout(5000)&_pragma=secure_delete(1)")
	}
	h.must(err)
	t.Cleanup(func() { h.raw.Close() })
	h.store, err = store.Open(t.Context(), o)
	h.must(err)
	t.Cleanup(func() { h.store.Close() })
	h.accounts, err = identity.NewAccounts(h.store.Accounts(), identity.Options{
		Now: h.clock, Passwords: identity.PasswordOptions{Memory: 19 << 10}, Secret: strings.Repeat("s", 32), Logger: quiet,
	})
	h.must(err)
	h.chats = chat.New(chat.Options{Store: h.store.Chat(), Clock: h.clock, Limits: chat.Limits{
		SendPerSecond: -1, ChatPerSecond: -1, TypingPerSecond: -1, SearchPerMinute: -1, ChatsPerMinute: -1, ChatsPerDay: -1, UploadsPerMinute: -1,
	}})
	h.files, err = files.New(files.Options{
		Folder: filepath.Join(h.folder, "files"), Store: h.store.Files(), Access: h.store.FileAccess(),
		Secret: []byte(strings.Repeat("s", 32)), Clock: h.clock,
	})
	h.must(err)
	t.Cleanup(func() { h.files.Close() })
	h.start(-1)
	return h
}

// start begins the service anew, as after a crash. It crashes at the n-th time it
// stores something, never if n is negative.
func (h *harness) start(n int) {
	h.t.Helper()
	if h.privacy != nil {
		h.must(h.privacy.Close())
	}
	h.crash = &crashing{Store: h.store.Privacy()}
	h.crash.left.Store(int64(n))
	var err error
	h.privacy, err = privacy.New(privacy.Options{
		Store: h.crash, Chats: h.chats, Accounts: h.accounts, Files: h.files, Parts: h.parts, Folder: filepath.Join(h.folder, "exports"),
		RetentionDays: h.days, Clock: h.clock, Logger: slog.New(slog.NewTextHandler(h.t.Output(), nil)), Purged: func(chat int64) { h.purged[chat] = true },
	})
	h.must(err)
	h.t.Cleanup(func() { h.privacy.Close() })
}

var errCrash = errors.New("planted crash")

// crashing is a store that ends at some moment, for good.
type crashing struct {
	privacy.Store
	left atomic.Int64
}

func (c *crashing) Update(ctx context.Context, f func(privacy.Tx) error) error {
	if c.left.Load() == 0 {
		return errCrash
	}
	if c.left.Load() > 0 {
		c.left.Add(-1)
	}
	return c.Store.Update(ctx, f)
}

func (c *crashing) Scrub(ctx context.Context) error {
	if c.left.Load() == 0 {
		return errCrash
	}
	return c.Store.Scrub(ctx)
}

func (c *crashing) View(ctx context.Context, f func(privacy.Tx) error) error {
	if c.left.Load() == 0 {
		return errCrash
	}
	return c.Store.View(ctx, f)
}

func (h *harness) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *harness) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

func (h *harness) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// work does what is due.
func (h *harness) work() {
	h.t.Helper()
	h.must(h.privacy.Work(h.t.Context()))
}

func (h *harness) exec(query string, args ...any) {
	h.t.Helper()
	if _, err := h.raw.ExecContext(h.t.Context(), query, args...); err != nil {
		h.t.Fatalf("%s: %v", query, err)
	}
}

// count returns the one number of a query.
func (h *harness) count(query string, args ...any) (n int64) {
	h.t.Helper()
	if err := h.raw.QueryRowContext(h.t.Context(), query, args...).Scan(&n); err != nil {
		h.t.Fatalf("%s: %v", query, err)
	}
	return n
}

// register makes an account; text is in all that a person says of themselves.
func (h *harness) register(username, text string) identity.Caller {
	h.t.Helper()
	g, err := h.accounts.Register(h.t.Context(), identity.NewAccount{
		Name: "Name " + text, Username: username, Email: username + "@example.com", Password: password,
		Device: identity.Device{Name: "phone " + text, Platform: "ios " + text, Address: address(text), UserAgent: "agent " + text},
	})
	h.must(err)
	by := identity.Caller{User: g.Account.ID, Session: g.Session.ID, Role: g.Account.Role}
	about := "about " + text
	_, err = h.accounts.UpdateProfile(h.t.Context(), by, identity.ProfileChange{About: &about})
	h.must(err)
	return by
}

// address is where somebody comes from.
func address(text string) string {
	n := 0
	for _, r := range text {
		n = (n*31 + int(r)) % 65_000
	}
	return fmt.Sprintf("2001:db8::%x:77", n)
}

func (h *harness) users(names ...string) (ids []int64) {
	h.t.Helper()
	for _, name := range names {
		ids = append(ids, h.register(name, name).User)
	}
	return ids
}

func (h *harness) group(owner int64, title string, users ...int64) int64 {
	h.t.Helper()
	v, _, err := h.chats.CreateGroup(h.t.Context(), owner, chat.NewGroup{Title: title, Users: users})
	h.must(err)
	return v.Chat.ID
}

func (h *harness) direct(a, b int64) int64 {
	h.t.Helper()
	v, _, err := h.chats.OpenDirect(h.t.Context(), a, b)
	h.must(err)
	return v.Chat.ID
}

func (h *harness) send(user, id int64, text string) chat.Message {
	h.t.Helper()
	return h.post(user, id, chat.Sending{Text: text})
}

func (h *harness) post(user, id int64, in chat.Sending) chat.Message {
	h.t.Helper()
	m, _, err := h.chats.Send(h.t.Context(), user, id, in)
	h.must(err)
	return m
}

func (h *harness) upload(user int64, name, content string) string {
	h.t.Helper()
	f, err := h.files.Upload(h.t.Context(), user, name, "", strings.NewReader(content))
	h.must(err)
	return f.ID
}

// tables are the names of all tables, those of the full-text index included.
func (h *harness) tables() (names []string) {
	h.t.Helper()
	query := `SELECT name FROM sqlite_master WHERE type = 'table'`
	if h.driver == store.Postgres {
		query = `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'`
	}
	rows, err := h.raw.QueryContext(h.t.Context(), query)
	h.must(err)
	defer rows.Close()
	for rows.Next() {
		var name string
		h.must(rows.Scan(&name))
		names = append(names, name)
	}
	h.must(rows.Err())
	if len(names) < 20 {
		h.t.Fatalf("there are only the tables %v", names)
	}
	return names
}

// find returns where text is: columns of the database, and files beside it by name and
// content.
func (h *harness) find(text string) (places []string) {
	h.t.Helper()
	for _, table := range h.tables() {
		rows, err := h.raw.QueryContext(h.t.Context(), `SELECT * FROM "`+table+`"`)
		h.must(err)
		columns, err := rows.Columns()
		h.must(err)
		for rows.Next() {
			values := make([]any, len(columns))
			for i := range values {
				values[i] = new(any)
			}
			h.must(rows.Scan(values...))
			for i, v := range values {
				value := *v.(*any)
				if b, ok := value.([]byte); ok {
					value = string(b)
				}
				if s := fmt.Sprint(value); strings.Contains(strings.ToLower(s), strings.ToLower(text)) {
					places = append(places, table+"."+columns[i]+": "+s[:min(len(s), 300)])
				}
			}
		}
		h.must(errors.Join(rows.Err(), rows.Close()))
	}
	h.must(filepath.WalkDir(h.folder, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		if err == nil && (strings.Contains(name, text) || strings.Contains(string(b), text)) {
			places = append(places, name)
		}
		return err
	}))
	return places
}

// goneFromFiles looks for text in the bytes of SQLite's files, where what is deleted from
// tables may go on.
func (h *harness) goneFromFiles(text string) {
	h.t.Helper()
	if h.driver != store.SQLite {
		return
	}
	names, err := filepath.Glob(h.path + "*")
	h.must(err)
	if len(names) < 2 {
		h.t.Fatalf("the files of the database are only %q", names)
	}
	for _, name := range names {
		b, err := os.ReadFile(filepath.Clean(name))
		h.must(err)
		for _, at := range regexp.MustCompile(`(?i)`+regexp.QuoteMeta(text)).FindAllIndex(b, 3) {
			h.t.Errorf("%q is in the bytes of %s, in %q", text, filepath.Base(name), b[max(at[0]-100, 0):min(at[1]+100, len(b))])
		}
	}
}

func (h *harness) gone(text string) {
	h.t.Helper()
	if places := h.find(text); len(places) > 0 {
		h.t.Errorf("%q is still in %d places:\n\t%s", text, len(places), strings.Join(places[:min(len(places), 5)], "\n\t"))
	}
}
