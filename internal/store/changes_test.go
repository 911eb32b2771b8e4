package store_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kuranty/kuranty/internal/chat"
)

func TestChangesOfMembers(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		ctx := t.Context()
		p := c.people(6)
		g := c.group(p[0], p[1])
		c.send(p[0], g, "text")
		if _, _, err := c.AddMembers(ctx, p[0], g, p[2:5]); err != nil {
			t.Fatal(err)
		}
		before, err := c.Changes(ctx, p[0], g, 0, 0)
		if err != nil || !slices.Equal(changed(before), []string{"active", "active", "active"}) {
			t.Fatalf("members changed = %v, %v; want three active ones", changed(before), err)
		}
		if m := before.Members[0]; m.Person.Name != "user" || m.ReadSeq != 0 || m.Draft != nil {
			t.Errorf("a changed member is %+v; only role and state are for others", m)
		}
		if err := c.Leave(ctx, p[3], g); err != nil {
			t.Fatal(err)
		}
		after, err := c.Changes(ctx, p[0], g, before.LastEventSeq, 0)
		if err != nil || !slices.Equal(changed(after), []string{"left"}) || after.Members[0].User != p[3] {
			t.Errorf("members changed = %v, %v; want the one who left", changed(after), err)
		}
		if again, _ := c.Changes(ctx, p[0], g, after.LastEventSeq, 0); len(again.Members)+len(again.Messages) != 0 || again.LastEventSeq != after.LastEventSeq {
			t.Errorf("there are changes after the last: %+v", again)
		}
	})
}

func changed(ch chat.Changes) (states []string) {
	for _, m := range ch.Members {
		states = append(states, m.State)
	}
	return states
}

func TestChangesOfManyMembersAtOnce(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		p := c.people(1)
		g := c.group(p...)
		c.send(p[0], g, "text")
		// 1,200 members came with the changes 11 to 22, a hundred each; message 1 changed last.
		c.store.MustExec(t, `WITH RECURSIVE s(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < 1199)
			INSERT INTO members (chat_id, user_id, joined_at, event_seq) SELECT $1, 1000 + n, 0, 11 + n / 100 FROM s`, g)
		c.store.MustExec(t, `UPDATE messages SET event_seq = 30 WHERE chat_id = $1`, g)
		c.store.MustExec(t, `UPDATE chats SET last_event_seq = 30 WHERE id = $1`, g)
		known := make(map[int64]bool)
		messages, since := 0, int64(0)
		for more := true; more; {
			ch, err := c.Changes(t.Context(), p[0], g, since, 0)
			if err != nil || ch.LastEventSeq <= since {
				t.Fatalf("changes since %d lead to %d, %v", since, ch.LastEventSeq, err)
			}
			for _, m := range ch.Members {
				known[m.User] = true
			}
			messages += len(ch.Messages)
			since, more = ch.LastEventSeq, ch.More
		}
		if len(known) != 1200 || messages != 1 || since != 30 {
			t.Errorf("a client that follows knows %d members and %d messages up to %d; want 1200, 1, 30", len(known), messages, since)
		}
	})
}

func TestChangesFarBehind(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		p := c.people(2)
		g := c.group(p...)
		for range 5 {
			c.send(p[0], g, "text")
		}
		c.store.MustExec(t, `UPDATE chats SET last_event_seq = 20000 WHERE id = $1`, g)
		m := c.send(p[0], g, "text")
		for since, limited := range map[int64]bool{0: true, 10_000: true, 10_001: false} {
			ch, err := c.Changes(t.Context(), p[1], g, since, 3)
			if err != nil || ch.Limited != limited || ch.More || ch.LastEventSeq != m.EventSeq {
				t.Errorf("changes since %d: limited %v, more %v, up to %d, %v", since, ch.Limited, ch.More, ch.LastEventSeq, err)
			}
			want := []int64{6}
			if limited {
				want = []int64{4, 5, 6}
			}
			if !slices.Equal(seqs(ch.Messages), want) {
				t.Errorf("changes since %d are of messages %v, want %v", since, seqs(ch.Messages), want)
			}
		}
	})
}

// TestD04_ChangesBringQuotesUpToDate edits and deletes messages that others quote: who
// follows the changes, in pages of any size, has in the end what is read anew.
func TestD04_ChangesBringQuotesUpToDate(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		ctx := t.Context()
		p := c.people(2)
		g := c.group(p...)
		edited, deleted := c.send(p[0], g, "to be edited"), c.send(p[0], g, "to be deleted")
		for i := range 6 {
			to := []chat.Message{edited, deleted}[i%2]
			if _, _, err := c.Send(ctx, p[1], g, chat.Sending{Text: "answer", ReplyTo: to.ID}); err != nil {
				t.Fatal(err)
			}
		}
		before, err := c.Changes(ctx, p[1], g, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		text := "edited"
		if _, err := c.Edit(ctx, p[0], edited.ID, chat.Editing{Text: &text}); err != nil {
			t.Fatal(err)
		}
		if err := c.Delete(ctx, p[0], []int64{deleted.ID}, true); err != nil {
			t.Fatal(err)
		}
		c.send(p[0], g, "the last")
		now, err := c.Messages(ctx, p[1], g, chat.PageQuery{Offset: -1, Deleted: true})
		if err != nil {
			t.Fatal(err)
		}
		for limit := 1; limit <= 12; limit++ {
			known := make(map[int64]chat.Message)
			for _, m := range before.Messages {
				known[m.ID] = m
			}
			since := before.LastEventSeq
			for more := true; more; {
				ch, err := c.Changes(ctx, p[1], g, since, limit)
				if err != nil || ch.LastEventSeq <= since {
					t.Fatalf("changes since %d lead to %d, %v", since, ch.LastEventSeq, err)
				}
				for _, m := range ch.Messages {
					known[m.ID] = m
				}
				since, more = ch.LastEventSeq, ch.More
			}
			if len(known) != len(now.Messages) {
				t.Fatalf("%d messages are known of %d", len(known), len(now.Messages))
			}
			for _, m := range now.Messages {
				if diff := cmp.Diff(m, known[m.ID]); diff != "" {
					t.Errorf("in pages of %d, message %d (- read anew, + followed): %s", limit, m.Seq, diff)
				}
			}
		}
	})
}
