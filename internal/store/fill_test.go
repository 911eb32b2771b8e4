package store_test

import (
	"strings"
	"testing"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/store"
)

func TestAFilledDatabaseIsAsOneInUse(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		ctx := t.Context()
		guest := c.person("guest")
		if c.dsn != "" { // persons of tests take their ids themselves
			c.store.MustExec(t, `SELECT setval(pg_get_serial_sequence('users', 'id'), 1)`)
		}
		const messages = 1100 // several transactions
		done, err := c.store.Fill(ctx, store.Filling{People: 20, Events: 700, Groups: []store.FilledGroups{
			{Count: 1, Members: 10, Messages: messages, Guest: guest, Unread: 7},
			{Count: 30, Members: 2, Messages: 10, Guest: guest},
			{Count: 1, Members: 20},
		}})
		if err != nil {
			t.Fatal(err)
		}
		if faults, err := c.reader().Check(ctx, nil); err != nil || len(faults) > 0 {
			t.Errorf("faults %q, %v", faults, err)
		}
		list, err := c.Chats(ctx, guest, chat.ChatsQuery{Limit: 50})
		if err != nil || len(list.Views) != 31 {
			t.Fatalf("%d chats, %v; want 31", len(list.Views), err)
		}
		for i := range list.Views {
			v := &list.Views[i]
			if large := v.Chat.ID == done.Groups[0]; large && (v.Unread != 7 || v.Chat.LastSeq != messages) || !large && v.Unread != 0 {
				t.Errorf("chat %d: %d unread of %d", v.Chat.ID, v.Unread, v.Chat.LastSeq)
			}
		}
		found, err := c.SearchMessages(ctx, guest, chat.SearchQuery{Q: store.FilledSeldom})
		if err != nil || found.TotalEstimate != 1 {
			t.Errorf("%d messages found, %v; want 1", found.TotalEstimate, err)
		}
		if m := c.send(guest, done.Groups[0], "после"); m.Seq != messages+1 || m.EventSeq != messages+1 {
			t.Errorf("a message after them has the numbers %d and %d, want %d", m.Seq, m.EventSeq, messages+1)
		}
	})
}

func TestFillTextHasWordsToLookFor(t *testing.T) {
	const texts = 200_000
	count := make(map[string]int)
	for n := range texts {
		for w := range strings.FieldsSeq(store.FillText(n)) {
			count[w]++
		}
	}
	if count[store.FilledCommon] < texts*4/10 || count[store.FilledSeldom] != 198 || count[store.FilledRare] != 2 {
		t.Errorf("%d common, %d seldom, %d rare", count[store.FilledCommon], count[store.FilledSeldom], count[store.FilledRare])
	}
	if len(count) < 5000 {
		t.Errorf("%d different words, want thousands", len(count))
	}
}
