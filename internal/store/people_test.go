package store_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/search"
)

// named adds a user with a name, a user name and an address.
func (c *chats) named(name, username, email string) int64 {
	c.t.Helper()
	id := c.person(name)
	c.store.MustExec(c.t, `UPDATE users SET username = $1, email = $2, search_name = $3 WHERE id = $4`,
		nilIfEmpty(username), nilIfEmpty(email), search.Fold(name+" "+username), id)
	return id
}

func nilIfEmpty(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func (c *chats) found(viewer int64, needle string) (ids []int64) {
	c.t.Helper()
	people, _, err := c.SearchPeople(c.t.Context(), viewer, needle, 100, "")
	if err != nil {
		c.t.Fatal(err)
	}
	for i := range people {
		ids = append(ids, people[i].ID)
	}
	return ids
}

// The order of chat-api.md A.7, and what it says of letters and wildcards.
func TestSearchPeople(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		me := c.named("Я", "me", "me@example.org")
		substring := c.named("Ульфил", "ulf", "")
		word := c.named("Анна Филатова", "anna", "anna@example.org")
		prefix := c.named("Филипп", "phil", "")
		exact := c.named("Пётр", "фил", "")
		yo := c.named("Алёна Ёлкина", "alena", "")
		sign := c.named("100%_верно!", "sure", "")
		gone := c.named("Филя", "filya", "")
		c.store.MustExec(t, `UPDATE users SET state = 'suspended' WHERE id = $1`, gone)
		for _, test := range []struct {
			needle string
			want   []int64
		}{
			{"фил", []int64{exact, prefix, word, substring}},
			{"ФИЛ", []int64{exact, prefix, word, substring}},
			{"@phil", []int64{prefix}},
			{"елкина", []int64{yo}},
			{"АЛЁНА ёл", []int64{yo}},
			{"%", []int64{sign}},
			{"_", []int64{sign}},
			{"!", []int64{sign}},
			{"0%_в", []int64{sign}},
			{`\`, nil},
			{"anna@example.org", []int64{word}},
			{"Anna@Example.Org", []int64{word}},
			{"anna@example", nil},
			{"me@example.org", nil},
			{"филя", nil},
		} {
			if got := c.found(me, test.needle); !slices.Equal(got, test.want) {
				t.Errorf("%q finds %v, want %v", test.needle, got, test.want)
			}
		}
		if _, _, err := c.SearchPeople(t.Context(), me, "  ", 0, ""); fieldOf(err) != "q" {
			t.Errorf("nothing to search for: %v", err)
		}
		if _, _, err := c.SearchPeople(t.Context(), me, "а", 0, "x"); fieldOf(err) != "cursor" {
			t.Errorf("a wrong cursor: %v", err)
		}
		// Who blocks is not found, who is blocked is.
		if err := c.Block(t.Context(), prefix, me); err != nil {
			t.Fatal(err)
		}
		if got := c.found(me, "филипп"); got != nil {
			t.Errorf("who blocks is found: %v", got)
		}
		if got := c.found(prefix, "me"); !slices.Equal(got, []int64{me}) {
			t.Errorf("who is blocked is found as %v", got)
		}
	})
}

func TestSearchPeopleIsPaged(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		me := c.person("я")
		want := c.people(25)
		var got []int64
		for from := ""; ; {
			people, next, err := c.SearchPeople(t.Context(), me, "user", 10, from)
			if err != nil {
				t.Fatal(err)
			}
			for i := range people {
				got = append(got, people[i].ID)
			}
			if from = next; from == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages have %v, want %v", got, want)
		}
	})
}

func TestDirectoryOfContacts(t *testing.T) {
	onChats(t, chat.Options{DirectoryContacts: true}, func(t *testing.T, c *chats) {
		u := c.people(5)
		c.group(u[0], u[1])
		c.direct(u[0], u[2])
		if err := errors.Join(c.RequestContact(t.Context(), u[0], u[3]), c.AcceptContact(t.Context(), u[3], u[0])); err != nil {
			t.Fatal(err)
		}
		if got := c.found(u[0], "user"); !slices.Equal(got, u[1:4]) {
			t.Errorf("found %v, want %v", got, u[1:4])
		}
	})
}

// Addresses are shown as their owner wishes; what else an account has is nobody's
// (guarantees.md S17).
func TestS17_PeopleShowWhatTheyWish(t *testing.T) {
	onChats(t, chat.Options{EmailVisibility: "self"}, func(t *testing.T, c *chats) {
		viewer := c.named("Кто смотрит", "viewer", "viewer@example.org")
		for i, test := range []struct {
			privacy string
			near    string
			shown   bool
		}{
			{`{}`, "", false},
			{`{}`, "contact", false},
			{`{"email":"everyone"}`, "", true},
			{`{"email":"contacts"}`, "", false},
			{`{"email":"contacts"}`, "group", false},
			{`{"email":"contacts"}`, "direct", true},
			{`{"email":"contacts"}`, "contact", true},
			{`{"email":"self"}`, "contact", false},
		} {
			email := fmt.Sprintf("u%d@example.org", i)
			who := c.named("Человек", fmt.Sprintf("human%d", i), email)
			c.privacy(who, test.privacy)
			c.store.MustExec(t, `UPDATE users SET last_seen_at = 5, lang = 'ru', role = 'admin' WHERE id = $1`, who)
			switch test.near {
			case "group":
				c.group(who, viewer)
			case "direct":
				c.direct(who, viewer)
			case "contact":
				if err := errors.Join(c.RequestContact(t.Context(), viewer, who), c.AcceptContact(t.Context(), who, viewer)); err != nil {
					t.Fatal(err)
				}
			}
			people, err := c.People(t.Context(), viewer, []int64{who})
			if err != nil || len(people) != 1 {
				t.Fatal(people, err)
			}
			p := people[0]
			if p.EmailShown != test.shown || (p.Email == email) != test.shown {
				t.Errorf("%s, %s: shown %v, address %q, want %v", test.privacy, test.near, p.EmailShown, p.Email, test.shown)
			}
			if p.LastSeenAt != 0 || p.Lang != "" || p.Role != "" || p.Contact != (test.near == "contact") {
				t.Errorf("shown too much or wrong: %+v", p)
			}
		}
		if own, err := c.People(t.Context(), viewer, []int64{viewer}); err != nil || own[0].Email != "viewer@example.org" {
			t.Errorf("one's own: %+v, %v", own, err)
		}
		open := c.named("Открытый", "open", "open@example.org")
		c.privacy(open, `{"email":"everyone"}`)
		shut := c.named("Закрытый", "shut", "shut@example.org")
		c.privacy(shut, `{"email":"contacts"}`)
		if seen, err := c.People(t.Context(), 0, []int64{open, shut}); err != nil || len(seen) != 2 || seen[0].Email != "open@example.org" || seen[1].Email != "" {
			t.Errorf("a stranger sees %+v, %v", seen, err)
		}
		gone := c.named("Удалённый", "gone", "gone@example.org")
		c.privacy(gone, `{"email":"everyone"}`)
		c.store.MustExec(t, `UPDATE users SET state = 'deleted', about = 'x' WHERE id = $1`, gone)
		if people, err := c.People(t.Context(), viewer, []int64{gone}); err != nil || people[0].Email != "" || people[0].About != "" || people[0].Username != "" {
			t.Errorf("a deleted account: %+v, %v", people, err)
		}
	})
}

func TestPeopleComeInTheOrderAsked(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		u := c.people(4)
		people, err := c.People(t.Context(), u[0], []int64{u[2], 999_999, u[0], u[2], u[1]})
		if err != nil || len(people) != 3 || people[0].ID != u[2] || people[1].ID != u[0] || people[2].ID != u[1] {
			t.Errorf("%+v, %v", people, err)
		}
		if _, err := c.People(t.Context(), u[0], make([]int64, 201)); fieldOf(err) != "ids limit" {
			t.Errorf("201 at once: %v", err)
		}
	})
}

func TestBlocks(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		u := c.people(4)
		ctx := t.Context()
		group := c.group(u...)
		if err := errors.Join(c.RequestContact(ctx, u[0], u[1]), c.AcceptContact(ctx, u[1], u[0])); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := c.Block(ctx, u[0], u[1]); err != nil {
				t.Fatal(err)
			}
		}
		c.clock.Advance(1)
		if err := c.Block(ctx, u[0], u[0]); fieldOf(err) != "user_id" {
			t.Errorf("oneself: %v", err)
		}
		if err := c.Block(ctx, u[0], 999_999); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("nobody: %v", err)
		}
		people, err := c.Blocks(ctx, u[0])
		if err != nil || len(people) != 1 || people[0].ID != u[1] || !people[0].BlockedByMe || people[0].Contact {
			t.Errorf("blocked: %+v, %v", people, err)
		}
		if theirs, err := c.Blocks(ctx, u[1]); err != nil || len(theirs) != 0 {
			t.Errorf("the other's: %+v, %v", theirs, err)
		}
		// Only one's own devices hear of it, once, and groups go on.
		if got, want := c.notices(u[0]), fmt.Sprintf(`blocked {"user_id":%d,"blocked":true}`, u[1]); !slices.Contains(got, want) || len(got) != 2 {
			t.Errorf("heard %v, want %s", got, want)
		}
		if got := c.notices(u[1]); len(got) != 1 {
			t.Errorf("the other heard %v", got)
		}
		c.send(u[1], group, "в группе")
		if err := c.RequestContact(ctx, u[1], u[0]); !errors.Is(err, chat.ErrCannotMessage) {
			t.Errorf("asks to be a contact: %v", err)
		}
		for _, way := range [][2]int64{{u[0], u[1]}, {u[1], u[0]}} {
			if sees, err := c.SeesStatusOf(ctx, way[0], way[1]); err != nil || sees {
				t.Errorf("%v sees: %v, %v", way, sees, err)
			}
		}
		for range 2 {
			if err := c.Unblock(ctx, u[0], u[1]); err != nil {
				t.Fatal(err)
			}
		}
		if people, err = c.Blocks(ctx, u[0]); err != nil || len(people) != 0 {
			t.Errorf("after unblocking: %+v, %v", people, err)
		}
	})
}

func TestWhoSeesWhoIsThere(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		for _, test := range []struct {
			privacy, near string
			sees          bool
		}{
			{`{"last_seen":"everyone"}`, "", false}, // a stranger: shares nothing
			{`{"last_seen":"everyone"}`, "group", true},
			{`{}`, "group", false},
			{`{}`, "direct", true},
			{`{}`, "contact", true},
			{`{"last_seen":"nobody"}`, "direct", false},
			{`{"last_seen":"nobody"}`, "contact", false},
			{`{"last_seen":"everyone"}`, "left", false},
		} {
			u := c.people(2)
			c.privacy(u[1], test.privacy)
			switch test.near {
			case "group":
				c.group(u...)
			case "left":
				c.setMember(c.group(u...), u[0], "state", chat.Left)
			case "direct":
				c.direct(u[0], u[1])
			case "contact":
				if err := errors.Join(c.RequestContact(t.Context(), u[0], u[1]), c.AcceptContact(t.Context(), u[1], u[0])); err != nil {
					t.Fatal(err)
				}
			}
			if sees, err := c.SeesStatusOf(t.Context(), u[0], u[1]); err != nil || sees != test.sees {
				t.Errorf("%s, %s: sees %v, %v, want %v", test.privacy, test.near, sees, err, test.sees)
			}
			if sees, err := c.SeesStatusOf(t.Context(), u[1], u[1]); err != nil || !sees {
				t.Errorf("oneself: %v, %v", sees, err)
			}
		}
	})
}

func TestContacts(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		u := c.people(4)
		ctx := t.Context()
		state := func(user int64) (all []string) {
			list, err := c.Contacts(ctx, user)
			if err != nil {
				t.Fatal(err)
			}
			for i := range list {
				all = append(all, fmt.Sprintf("%d %s", list[i].Person.ID, list[i].State))
			}
			return all
		}
		for range 2 {
			if err := c.RequestContact(ctx, u[0], u[1]); err != nil {
				t.Fatal(err)
			}
		}
		if a, b := state(u[0]), state(u[1]); !slices.Equal(a, []string{fmt.Sprint(u[1], " outgoing")}) || !slices.Equal(b, []string{fmt.Sprint(u[0], " incoming")}) {
			t.Errorf("asked: %v, %v", a, b)
		}
		if got := c.notices(u[1]); len(got) != 1 || got[0][:14] != "friend_request" {
			t.Errorf("heard %v, want one request", got)
		}
		if err := c.AcceptContact(ctx, u[0], u[1]); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("who asked accepts: %v", err)
		}
		if err := c.AcceptContact(ctx, u[1], u[0]); err != nil {
			t.Fatal(err)
		}
		if got := c.notices(u[0]); len(got) != 1 || got[0][:15] != "friend_accepted" {
			t.Errorf("heard %v, want one answer", got)
		}
		if err := c.AcceptContact(ctx, u[1], u[0]); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("accept again: %v", err)
		}
		// Each asks the other at once: both are contacts.
		for range 10 {
			done := make(chan error, 2)
			go func() { done <- c.RequestContact(ctx, u[2], u[3]) }()
			go func() { done <- c.RequestContact(ctx, u[3], u[2]) }()
			if err := errors.Join(<-done, <-done); err != nil {
				t.Fatal(err)
			}
			if a, b := state(u[2]), state(u[3]); !slices.Equal(a, []string{fmt.Sprint(u[3], " accepted")}) || !slices.Equal(b, []string{fmt.Sprint(u[2], " accepted")}) {
				t.Fatalf("both asked: %v, %v", a, b)
			}
			if err := c.RemoveContact(ctx, u[2], u[3]); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(c.RequestContact(ctx, u[2], u[0]), c.DeclineContact(ctx, u[0], u[2])); err != nil {
			t.Fatal(err)
		}
		if state(u[2]) != nil {
			t.Errorf("declined: %v", state(u[2]))
		}
		if err := c.DeclineContact(ctx, u[0], u[2]); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("decline again: %v", err)
		}
		if err := errors.Join(c.RemoveContact(ctx, u[0], u[1]), c.RemoveContact(ctx, u[0], u[1])); err != nil || state(u[1]) != nil {
			t.Errorf("removed: %v, %v", state(u[1]), err)
		}
		for _, other := range []int64{u[0], 999_999} {
			if err := c.RequestContact(ctx, u[0], other); fieldOf(err) != "user_id" {
				t.Errorf("ask %d: %v", other, err)
			}
		}
	})
}
