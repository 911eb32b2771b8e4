package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/store"
)

// newest is the query for the newest page.
var newest = chat.PageQuery{Offset: -1, Deleted: true}

func TestEditRules(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		ctx := t.Context()
		p := c.people(4)
		g := c.group(p...)
		m := c.send(p[1], g, "one @user3")
		edit := func(user int64, text string, version int) (chat.Message, error) {
			return c.Edit(ctx, user, m.ID, chat.Editing{Text: &text, Version: version})
		}
		if _, err := edit(p[0], "x", 0); !errors.Is(err, chat.ErrForbidden) {
			t.Errorf("edit of another's message, even by the owner: %v, want ErrForbidden", err)
		}
		if _, err := edit(p[1], " \n", 0); !isField(err, "text") {
			t.Errorf("edit to nothing: %v, want a FieldError of text", err)
		}
		same, err := edit(p[1], "one @user3", 1)
		if err != nil || same.Version != 1 || same.EditedAt != 0 {
			t.Errorf("edit that changes nothing = version %d, edited %d, %v", same.Version, same.EditedAt, err)
		}
		c.clock.Advance(time.Minute)
		got, err := edit(p[1], "two @user3 and @user4", 1)
		if err != nil || got.Version != 2 || got.EditedAt != c.clock.Now().UnixMilli() || got.Seq != m.Seq || !slices.Equal(got.Mentions, []int64{p[2], p[3]}) {
			t.Fatalf("edit = %+v, %v", got, err)
		}
		if _, err := edit(p[1], "three", 1); !errors.Is(err, chat.ErrVersion) {
			t.Errorf("edit of an old version: %v, want ErrVersion", err)
		}
		// Who was mentioned before hears nothing, who is new once.
		for user, want := range map[int64]int{p[2]: 1, p[3]: 1} {
			if n := len(c.events(event.UserStream(user), 0)); n != want {
				t.Errorf("user %d has %d notices, want %d", user, n, want)
			}
		}
		edits, err := c.Edits(ctx, p[1], m.ID)
		if err != nil || len(edits) != 1 || edits[0].Text != "one @user3" || edits[0].Version != 1 || len(edits[0].Entities) != 1 {
			t.Errorf("versions of the message = %+v, %v", edits, err)
		}
		if _, err := c.Edits(ctx, p[2], m.ID); !errors.Is(err, chat.ErrForbidden) {
			t.Errorf("earlier versions for a plain member: %v, want ErrForbidden", err)
		}
		c.settings(g, `{"edits_visible":true}`)
		if _, err := c.Edits(ctx, p[2], m.ID); err != nil {
			t.Errorf("earlier versions where the group shows them: %v", err)
		}
		c.settings(g, `{"who_can_post":"admins"}`)
		if _, err := edit(p[1], "x", 0); !errors.Is(err, chat.ErrForbidden) {
			t.Errorf("edit by who may not post any more: %v, want ErrForbidden", err)
		}
		c.settings(g, `{}`)
		c.clock.Advance(48*time.Hour - time.Minute)
		if _, err := edit(p[1], "just in time", 0); err != nil {
			t.Errorf("edit after exactly the window: %v", err)
		}
		c.clock.Advance(time.Millisecond)
		if _, err := edit(p[1], "x", 0); !errors.Is(err, chat.ErrTooLate) {
			t.Errorf("edit after the window: %v, want ErrTooLate", err)
		}
		var rows int
		c.store.MustQuery(t, `SELECT count(*) FROM mentions WHERE message_id = $1`, []any{m.ID}, &rows)
		if rows != 0 {
			t.Errorf("%d mentions are left of a text that names nobody any more", rows)
		}
	})
}

func TestDeleteRules(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		ctx := t.Context()
		p := c.people(4)
		owner, admin, other, plain := p[0], p[1], p[2], p[3]
		g := c.group(p...)
		for _, user := range []int64{admin, other} {
			c.setMember(g, user, "role", chat.Admin)
		}
		for _, test := range []struct {
			author, by int64
			later      time.Duration
			want       error
		}{
			{plain, plain, 0, nil},
			{plain, plain, 48 * time.Hour, nil},
			{plain, plain, 48*time.Hour + time.Millisecond, chat.ErrTooLate},
			{admin, plain, 0, chat.ErrForbidden},
			{plain, admin, 100 * time.Hour, nil},
			{other, admin, 0, chat.ErrForbidden},
			{owner, admin, 0, chat.ErrForbidden},
			{admin, admin, 100 * time.Hour, nil},
			{admin, owner, 100 * time.Hour, nil},
		} {
			m := c.send(test.author, g, "text")
			c.clock.Advance(test.later)
			err := c.Delete(ctx, test.by, []int64{m.ID}, true)
			if !errors.Is(err, test.want) {
				t.Errorf("user %d deletes a message of %d after %v: %v, want %v", test.by, test.author, test.later, err, test.want)
			}
			now, _, _ := c.Message(ctx, owner, m.ID)
			if now.Deleted() != (err == nil) {
				t.Errorf("after %v the message is deleted: %v", err, now.Deleted())
			}
		}
		// A bulk deletes all or nothing, and does not mind what is deleted already.
		a, b := c.send(plain, g, "a"), c.send(admin, g, "b")
		if err := c.Delete(ctx, plain, []int64{a.ID, b.ID}, true); !errors.Is(err, chat.ErrForbidden) {
			t.Errorf("bulk with another's message: %v, want ErrForbidden", err)
		}
		if m, _, _ := c.Message(ctx, plain, a.ID); m.Deleted() {
			t.Error("a bulk that was refused deleted a message")
		}
		for range 2 {
			if err := c.Delete(ctx, plain, []int64{a.ID, a.ID}, true); err != nil {
				t.Errorf("delete: %v", err)
			}
		}
		for range 2 { // for oneself just as well
			if err := c.Delete(ctx, plain, []int64{b.ID}, false); err != nil {
				t.Errorf("delete for oneself: %v", err)
			}
		}
		if err := c.DeleteIn(ctx, plain, g+1, []int64{b.ID}, false); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("delete what is hidden, in another chat: %v, want ErrNotFound", err)
		}
		if err := c.Delete(ctx, plain, make([]int64, 0), true); err == nil {
			t.Error("deleting nothing is no error")
		}
		text := "x"
		if _, err := c.Edit(ctx, plain, a.ID, chat.Editing{Text: &text}); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("edit of a deleted message: %v, want ErrNotFound", err)
		}
		if err := c.Pin(ctx, owner, a.ID, true); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("pin of a deleted message: %v, want ErrNotFound", err)
		}
	})
}

func TestDeleteForOneself(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		ctx := t.Context()
		p := c.people(2)
		g := c.group(p...)
		m := c.send(p[0], g, "text @user2")
		before := len(c.events(event.ChatStream(g), 0))
		if err := c.Delete(ctx, p[1], []int64{m.ID}, false); err != nil {
			t.Fatal(err)
		}
		if got := c.live.take(); !slices.Contains(got, fmt.Sprintf("state user=%d chat=%d", p[1], g)) {
			t.Errorf("live heard %q", got)
		}
		if _, _, err := c.Message(ctx, p[1], m.ID); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("the message for who hid it: %v, want ErrNotFound", err)
		}
		if _, _, err := c.Message(ctx, p[0], m.ID); err != nil {
			t.Errorf("the message for the other: %v", err)
		}
		if n := len(c.events(event.ChatStream(g), 0)); n != before {
			t.Errorf("hiding announced %d events to all", n-before)
		}
		got, err := c.UnreadTotals(ctx, p[1])
		if err != nil || got != (chat.Totals{}) {
			t.Errorf("unread after hiding the only message = %+v, %v", got, err)
		}
		page, _ := c.Messages(ctx, p[1], g, newest)
		hidden, _ := c.Messages(ctx, p[1], g, chat.PageQuery{Offset: -1, Hidden: true})
		if len(page.Messages) != 0 || len(hidden.Messages) != 1 {
			t.Errorf("page has %d messages, with hidden ones %d; want 0 and 1", len(page.Messages), len(hidden.Messages))
		}
	})
}

// TestS37_DeletedTextIsGone looks for the text of deleted messages in every column of
// the database (chat-api.md D-12).
func TestS37_DeletedTextIsGone(t *testing.T) {
	const canary = "zebrafinch"
	onChats(t, chat.Options{ExternalAttachments: true}, func(t *testing.T, c *chats) {
		ctx := t.Context()
		p := c.people(3)
		g := c.group(p...)
		d := c.direct(p[0], p[1])
		for _, id := range []int64{g, d} {
			m, _, err := c.Send(ctx, p[0], id, chat.Sending{
				ClientID: "once", Text: canary + " @user2", Metadata: []byte(`{"note":"` + canary + `"}`),
				Files: []chat.Attachment{{URL: "https://example.org/" + canary, Name: canary, Kind: "image"}},
			})
			if err != nil {
				t.Fatal(err)
			}
			answer, _, err := c.Send(ctx, p[1], id, chat.Sending{Text: "what?", ReplyTo: m.ID})
			if err != nil || !strings.Contains(answer.ReplyTo.Text, canary) {
				t.Fatalf("answer quotes %+v, %v", answer.ReplyTo, err)
			}
			text := "the " + canary + " sings to @user1 and @user3"
			if _, err := c.Edit(ctx, p[0], m.ID, chat.Editing{Text: &text}); err != nil {
				t.Fatal(err)
			}
			changed := "what do you mean?"
			if _, err := c.Edit(ctx, p[1], answer.ID, chat.Editing{Text: &changed}); err != nil {
				t.Fatal(err)
			}
			if _, err := c.React(ctx, p[1], m.ID, "🦓", true); err != nil {
				t.Fatal(err)
			}
			if err := c.Pin(ctx, p[0], m.ID, true); err != nil {
				t.Fatal(err)
			}
			if n := c.count(canary); n == 0 {
				t.Fatal("the text is not found where it is")
			}
			if err := c.Delete(ctx, p[0], []int64{m.ID}, true); err != nil {
				t.Fatal(err)
			}
			again, replayed, err := c.Send(ctx, p[0], id, chat.Sending{
				ClientID: "once", Text: canary + " @user2", Metadata: []byte(`{"note":"` + canary + `"}`),
				Files: []chat.Attachment{{URL: "https://example.org/" + canary, Name: canary, Kind: "image"}},
			})
			if err != nil || !replayed || !again.Deleted() || again.ID != m.ID {
				t.Errorf("sending it again = %+v, %v, %v; want the tombstone", again, replayed, err)
			}
			if n := c.count(canary); n != 0 {
				t.Errorf("the deleted text is still in %d rows", n)
			}
			if n := c.count("🦓"); n != 1 { // the event of the reaction
				t.Errorf("the reaction is in %d rows, want 1", n)
			}
			got, _, err := c.Message(ctx, p[2], answer.ID)
			if id == d {
				got, _, err = c.Message(ctx, p[1], answer.ID)
			}
			if err != nil || got.ReplyTo == nil || !got.ReplyTo.Deleted || got.ReplyTo.Text != "" {
				t.Errorf("the answer quotes %+v, %v", got.ReplyTo, err)
			}
			for _, e := range c.events(event.ChatStream(id), 0) {
				if strings.Contains(string(e.Payload), `"text":"what?"`) && !strings.Contains(string(e.Payload), `"deleted":true`) {
					t.Errorf("event of the answer does not say that what it quotes is deleted: %s", e.Payload)
				}
			}
			c.store.MustExec(t, `DELETE FROM events WHERE type = 'message.reaction'`)
		}
	})
}

// count counts the rows of all tables with text in any column.
func (c *chats) count(text string) (n int) {
	c.t.Helper()
	tables, columns := `SELECT tablename FROM pg_tables WHERE schemaname = 'public'`, `SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = $1`
	if c.store.Driver() == store.SQLite {
		tables, columns = `SELECT name FROM sqlite_schema WHERE type = 'table'`, `SELECT name FROM pragma_table_info($1)`
	}
	list := func(query string, args ...any) (found []string) {
		c.store.MustRows(c.t, query, args, func(scan func(...any)) {
			var name string
			scan(&name)
			found = append(found, name)
		})
		return found
	}
	for _, table := range list(tables) {
		var where []string
		for _, column := range list(columns, table) {
			where = append(where, `CAST("`+column+`" AS TEXT) LIKE $1`)
		}
		var rows int
		c.store.MustQuery(c.t, `SELECT count(*) FROM "`+table+`" WHERE `+strings.Join(where, " OR "), []any{"%" + text + "%"}, &rows)
		n += rows
	}
	return n
}

func TestForward(t *testing.T) {
	onChats(t, chat.Options{ExternalAttachments: true}, func(t *testing.T, c *chats) {
		ctx := t.Context()
		p := c.people(3)
		from, to, closed := c.group(p[0], p[1]), c.group(p[1], p[2]), c.group(p[2], p[1])
		c.settings(closed, `{"who_can_post":"admins"}`)
		a := c.send(p[0], from, "first @user3")
		c.clock.Advance(time.Second)
		b, _, err := c.Send(ctx, p[0], from, chat.Sending{Files: []chat.Attachment{{URL: "https://example.org/b", Name: "b", Kind: "image"}}})
		if err != nil {
			t.Fatal(err)
		}
		var copies []chat.Message
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 5 { // at the same time, again and again
			wg.Go(func() {
				got, err := c.Forward(ctx, p[1], []int64{b.ID, a.ID}, []int64{to, from}, "key")
				mu.Lock()
				defer mu.Unlock()
				if err != nil || len(got) != 4 {
					t.Errorf("forward = %d copies, %v", len(got), err)
					return
				}
				if copies == nil {
					copies = got
				}
				for i := range got {
					if got[i].ID != copies[i].ID {
						t.Errorf("copy %d is message %d, was %d", i, got[i].ID, copies[i].ID)
					}
				}
			})
		}
		wg.Wait()
		if len(copies) != 4 {
			t.FailNow()
		}
		if m := copies[0]; m.Chat != from || m.ClientID != fmt.Sprintf("key:%d:%d", b.ID, from) || len(m.Files) != 1 || m.Forward.CreatedAt != b.CreatedAt || m.Forward.Name != "user" {
			t.Errorf("first copy = %+v", m)
		}
		if m := copies[3]; m.Chat != to || m.Text != a.Text || len(m.Mentions) != 0 || m.Sender.ID != p[1] {
			t.Errorf("last copy = %+v", m)
		}
		text := "not mine"
		if _, err := c.Edit(ctx, p[1], copies[3].ID, chat.Editing{Text: &text}); !errors.Is(err, chat.ErrForbidden) {
			t.Errorf("edit of a forwarded message: %v, want ErrForbidden", err)
		}
		// A copy of a copy names the first author's message.
		c.clock.Advance(time.Second)
		again, err := c.Forward(ctx, p[2], []int64{copies[3].ID}, []int64{to}, "")
		if err != nil || again[0].Forward.CreatedAt != a.CreatedAt {
			t.Errorf("copy of a copy = %+v, %v", again, err)
		}
		if _, err := c.Forward(ctx, p[1], []int64{a.ID}, []int64{to, closed}, ""); !errors.Is(err, chat.ErrForbidden) {
			t.Errorf("forward to a chat one may not post in: %v, want ErrForbidden", err)
		}
		if page, _ := c.Messages(ctx, p[1], to, newest); len(page.Messages) != 3 {
			t.Errorf("the other chat has %d messages, want 3: all or none", len(page.Messages))
		}
	})
}

func TestSystemMessage(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		ctx := t.Context()
		p := c.people(3)
		g, d := c.group(p[0], p[1]), c.direct(p[0], p[1])
		m, err := c.SystemMessage(ctx, p[0], g, "closed at night", false)
		if err != nil || m.Type != chat.SystemMessage || m.Sender.ID != 0 || m.System.Actor != p[0] {
			t.Fatalf("system message = %+v, %v", m, err)
		}
		for name, test := range map[string]struct {
			actor, chat int64
			admin       bool
			want        error
		}{
			"plain member":           {p[1], g, false, chat.ErrForbidden},
			"stranger":               {p[2], g, false, chat.ErrNotFound},
			"direct chat":            {p[0], d, false, chat.ErrForbidden},
			"administrator":          {p[2], g, true, nil},
			"chat that is not there": {p[2], 999, true, chat.ErrNotFound},
		} {
			if _, err := c.SystemMessage(ctx, test.actor, test.chat, "x", test.admin); !errors.Is(err, test.want) {
				t.Errorf("%s: %v, want %v", name, err, test.want)
			}
		}
		if got, _ := c.UnreadTotals(ctx, p[1]); got.Messages != 0 {
			t.Errorf("system messages count as %d unread", got.Messages)
		}
	})
}

func TestSendToUserMakesTheChatOnce(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		p := c.people(3)
		ids := make([]int64, 20)
		var wg sync.WaitGroup
		for i := range ids {
			wg.Go(func() {
				from, to := p[i%2], p[1-i%2]
				m, _, err := c.SendToUser(context.Background(), from, to, chat.Sending{Text: "hello", ClientID: fmt.Sprint(i % 10)})
				if err != nil {
					t.Error(err)
				}
				ids[i] = m.Chat
			})
		}
		wg.Wait()
		if ids = slices.Compact(ids); len(ids) != 1 {
			t.Fatalf("two people have direct chats %v", ids)
		}
		if page, err := c.Messages(t.Context(), p[0], ids[0], newest); err != nil || len(page.Messages) != 10 {
			t.Errorf("the chat has %d messages, %v; want 10", len(page.Messages), err)
		}
		if _, _, err := c.SendToUser(t.Context(), p[0], p[0], chat.Sending{Text: "me"}); !isField(err, "user_id") {
			t.Errorf("to oneself: %v", err)
		}
		c.store.MustExec(t, `INSERT INTO blocks (user_id, blocked_id, created_at) VALUES ($1, $2, 0)`, p[2], p[0])
		if _, _, err := c.SendToUser(t.Context(), p[0], p[2], chat.Sending{Text: "hello"}); !errors.Is(err, chat.ErrCannotMessage) {
			t.Errorf("to who blocks me: %v, want ErrCannotMessage", err)
		}
		var made int
		c.store.MustQuery(t, `SELECT count(*) FROM chats`, nil, &made)
		if made != 1 {
			t.Errorf("%d chats, want 1: a chat was made for a message that was not", made)
		}
	})
}

func isField(err error, name string) bool {
	var field *chat.FieldError
	return errors.As(err, &field) && field.Field == name
}

func isLimit(err error, limit int) bool {
	var over *chat.LimitError
	return errors.As(err, &over) && over.Limit == limit
}
