package seed_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/files"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/seed"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/storetest"
)

// open returns services on a new database, as Fill wants them.
func open(t *testing.T, driver string) (*store.Store, seed.Into) {
	t.Helper()
	clock := new(seed.Clock)
	o := storetest.Options(t, driver)
	o.Clock = clock.Now
	st, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	into := seed.Into{Clock: clock, Chats: chat.New(chat.Options{Store: st.Chat(), Clock: clock.Now, Limits: chat.Limits{
		SendPerSecond: -1, ChatPerSecond: -1, ChatsPerMinute: -1, ChatsPerDay: -1, UploadsPerMinute: -1,
	}})}
	if into.Accounts, err = identity.NewAccounts(st.Accounts(), identity.Options{Now: clock.Now, Passwords: identity.PasswordOptions{Memory: 19 << 10}}); err != nil {
		t.Fatal(err)
	}
	into.Files, err = files.New(files.Options{
		Folder: filepath.Join(t.TempDir(), "files"), Store: st.Files(), Access: st.FileAccess(), Secret: []byte(strings.Repeat("s", 32)), Clock: clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { into.Files.Close() })
	return st, into
}

// Who has a name is found behind however many others whose names contain it.
func TestCheckAmongMany(t *testing.T) {
	_, into := open(t, store.SQLite)
	for i := range 201 {
		name := fmt.Sprintf("anna%d", i)
		if i == 200 {
			name = "anna"
		}
		if _, err := into.Accounts.CreateAccount(t.Context(), identity.Operator("test"), identity.AccountSpec{Username: &name, Name: &name}); err != nil {
			t.Fatal(err)
		}
	}
	var taken *seed.TakenError
	if err := seed.Check(t.Context(), into.Accounts); !errors.As(err, &taken) || taken.Username != "anna" {
		t.Errorf("somebody is called anna: %v", err)
	}
}

// What is filled in is what people could have done: nothing is wrong with the database,
// nothing is in the future, and whoever can log in has something to read.
func TestFill(t *testing.T) {
	for _, driver := range []string{store.SQLite, store.Postgres} {
		t.Run(driver, func(t *testing.T) {
			st, into := open(t, driver)
			now := time.Date(2026, 5, 1, 7, 30, 0, 0, time.UTC)
			if err := seed.Check(t.Context(), into.Accounts); err != nil {
				t.Fatal(err)
			}
			logins, err := seed.Fill(t.Context(), into, now)
			if err != nil {
				t.Fatal(err)
			}
			var taken *seed.TakenError
			if err := seed.Check(t.Context(), into.Accounts); !errors.As(err, &taken) {
				t.Errorf("that the people are there is not noticed: %v", err)
			}
			if _, err := seed.Fill(t.Context(), into, now); err == nil {
				t.Error("the same people came twice")
			}
			faults, err := st.Check(t.Context(), nil)
			if err != nil || len(faults) > 0 {
				t.Errorf("%q, %v", faults, err)
			}
			if len(logins) != 2 || !logins[0].Admin || logins[1].Admin || logins[0].Password == logins[1].Password {
				t.Fatalf("logins: %d", len(logins))
			}
			for _, l := range logins {
				g, err := into.Accounts.Login(t.Context(), l.Username, l.Password, identity.Device{Address: "127.0.0.1"})
				if err != nil {
					t.Fatalf("%s cannot log in: %v", l.Username, err)
				}
				list, err := into.Chats.Chats(t.Context(), g.Account.ID, chat.ChatsQuery{})
				if err != nil {
					t.Fatal(err)
				}
				unread, direct, groups := 0, 0, 0
				for _, v := range list.Views {
					unread += v.Unread
					switch v.Chat.Kind {
					case chat.Direct:
						direct++
					case chat.Group:
						groups++
					}
					if v.Chat.LastMessageAt > now.UnixMilli() {
						t.Errorf("chat %d has a message of the future", v.Chat.ID)
					}
				}
				if unread == 0 || direct < 3 || groups < 3 {
					t.Errorf("%s has %d unread messages, %d direct chats and %d groups", l.Username, unread, direct, groups)
				}
			}
			status, err := st.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, table := range status.Tables {
				switch table.Name {
				case "users":
					if table.Rows != 20 {
						t.Errorf("%d people", table.Rows)
					}
				case "reactions", "mentions", "message_edits", "message_files":
					if table.Rows == 0 {
						t.Errorf("there are no %s", table.Name)
					}
				}
			}
		})
	}
}
