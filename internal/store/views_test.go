package store_test

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/chat"
)

// row is a chat in somebody's list, by the definitions of chat-api.md §0.7 and §C.3.
type listRow struct {
	id, pin, activity int64
	kind              string
	archived, marked  bool
	unread, mentions  int
	last, others      int64
}

type (
	listedPlace struct {
		chat, user, visible, read, marked, pin int64
		archived, hidden                       bool
	}
	listedMessage struct {
		id, seq, sender int64
		counts, deleted bool
	}
	seen struct{ user, chat, seq int64 }
)

// brute makes everybody's list from all the rows there are, without cleverness.
func (c *chats) brute(users []int64) map[int64][]listRow {
	c.t.Helper()
	rooms := make(map[int64]listRow)
	c.store.MustRows(c.t, `SELECT id, kind, last_activity_at FROM chats WHERE state = 'active'`, nil, func(scan func(...any)) {
		var r listRow
		scan(&r.id, &r.kind, &r.activity)
		rooms[r.id] = r
	})
	messages := make(map[int64][]listedMessage)
	c.store.MustRows(c.t, `SELECT chat_id, id, seq, sender_id, message_type, deleted_at FROM messages ORDER BY chat_id, seq`, nil, func(scan func(...any)) {
		var id, deleted int64
		var kind string
		var m listedMessage
		scan(&id, &m.id, &m.seq, &m.sender, &kind, &deleted)
		m.counts, m.deleted = kind != "system", deleted != 0
		messages[id] = append(messages[id], m)
	})
	hidden, mentioned := make(map[seen]bool), make(map[seen]bool)
	for query, into := range map[string]map[seen]bool{`SELECT user_id, chat_id, seq FROM message_hidden`: hidden, `SELECT user_id, chat_id, seq FROM mentions`: mentioned} {
		c.store.MustRows(c.t, query, nil, func(scan func(...any)) {
			var s seen
			scan(&s.user, &s.chat, &s.seq)
			into[s] = true
		})
	}
	places := make(map[int64][]listedPlace)
	c.store.MustRows(c.t, `SELECT chat_id, user_id, visible_from_seq, read_seq, manual_unread_seq, pin_order, archived, hidden FROM members WHERE state = 'active'`, nil, func(scan func(...any)) {
		var p listedPlace
		scan(&p.chat, &p.user, &p.visible, &p.read, &p.marked, &p.pin, &p.archived, &p.hidden)
		places[p.chat] = append(places[p.chat], p)
	})
	lists := make(map[int64][]listRow)
	for id, room := range rooms {
		for _, p := range places[id] {
			if p.hidden || !slices.Contains(users, p.user) {
				continue
			}
			r := room
			r.pin, r.archived, r.marked = p.pin, p.archived, p.marked > 0
			from := p.read
			if r.marked {
				from = min(from, p.marked-1)
			}
			from = max(from, p.visible)
			for _, m := range messages[id] {
				at := seen{p.user, id, m.seq}
				shown := m.seq > p.visible && !m.deleted && !hidden[at]
				if shown {
					r.last = m.id
				}
				if shown && m.counts && m.seq > from && m.sender != p.user {
					r.unread++
				}
				if mentioned[at] && m.seq > from && !hidden[at] {
					r.mentions++
				}
			}
			for _, o := range places[id] {
				if o.user != p.user {
					r.others = max(r.others, o.read)
				}
			}
			lists[p.user] = append(lists[p.user], r)
		}
	}
	for _, list := range lists {
		slices.SortFunc(list, func(a, b listRow) int {
			pin := func(r listRow) int64 {
				if r.pin == 0 {
					return chat.NotPinned
				}
				return r.pin
			}
			return cmp.Or(cmp.Compare(pin(a), pin(b)), cmp.Compare(b.activity, a.activity), cmp.Compare(b.id, a.id))
		})
	}
	return lists
}

func filtered(list []listRow, filter string) []listRow {
	return slices.DeleteFunc(slices.Clone(list), func(r listRow) bool {
		switch filter {
		case chat.UnreadChats:
			return r.archived || r.unread == 0 && !r.marked
		case chat.DirectChats, chat.GroupChats:
			return r.archived || r.kind != filter
		case chat.ArchivedChats:
			return !r.archived
		}
		return false
	})
}

// pages returns a user's list as the service has it, in pages of n.
func (c *chats) pages(user int64, filter string, n int) (rows []listRow) {
	c.t.Helper()
	q := chat.ChatsQuery{Filter: filter, Limit: n}
	for {
		page, err := c.Chats(c.t.Context(), user, q)
		if err != nil {
			c.t.Fatal(err)
		}
		for i := range page.Views {
			v := &page.Views[i]
			r := listRow{
				id: v.Chat.ID, pin: int64(v.Member.PinOrder), activity: v.Chat.LastActivityAt, kind: v.Chat.Kind, archived: v.Member.Archived,
				marked: v.Member.ManualUnreadSeq > 0, unread: v.Unread, mentions: v.UnreadMentions, others: v.Read.Others,
			}
			if v.LastMessage != nil {
				r.last = v.LastMessage.ID
			}
			rows = append(rows, r)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			if page.Total != len(rows) {
				c.t.Errorf("the total of %s for user %d is %d, the pages have %d", filter, user, page.Total, len(rows))
			}
			return rows
		}
	}
}

// Lists show what a look at every row shows, whatever has happened (chat-api.md I9).
func TestListsEqualBruteForce(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		const seed = 20260501
		rnd := rand.New(rand.NewPCG(seed, 1))
		users := c.people(5)
		var ids []int64 // made by the service: the fixture's ids would meet those that PostgreSQL gives
		for _, members := range [][]int64{users, users[:3]} {
			v, _, err := c.CreateGroup(t.Context(), members[0], chat.NewGroup{Title: "Группа", Users: members})
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, v.Chat.ID)
		}
		var sent []chat.Message
		for step := range 600 {
			c.act(rnd, users, &ids, &sent)
			if step%40 != 39 {
				continue
			}
			want := c.brute(users)
			for _, user := range users {
				for _, filter := range []string{"", chat.UnreadChats, chat.DirectChats, chat.GroupChats, chat.ArchivedChats} {
					got, want := c.pages(user, filter, 1+rnd.IntN(4)), filtered(want[user], filter)
					if !slices.Equal(got, want) {
						t.Fatalf("seed %d, step %d, user %d, %q:\n got %+v\nwant %+v", seed, step, user, filter, got, want)
					}
				}
			}
		}
	})
}

// act does something at random; what the rules forbid does nothing.
func (c *chats) act(rnd *rand.Rand, users []int64, ids *[]int64, sent *[]chat.Message) {
	c.t.Helper()
	ctx := c.t.Context()
	user, other := users[rnd.IntN(len(users))], users[rnd.IntN(len(users))]
	id := (*ids)[rnd.IntN(len(*ids))]
	c.clock.Advance(time.Duration(rnd.IntN(3)) * time.Millisecond)
	var err error
	switch n := rnd.IntN(100); {
	case n < 45:
		var m chat.Message
		if m, _, err = c.Send(ctx, user, id, chat.Sending{Text: fmt.Sprintf("@user%d привет", other)}); err == nil {
			*sent = append(*sent, m)
		}
	case n < 55:
		var v chat.View
		if v, err = c.Chat(ctx, user, id); err == nil && v.Chat.LastSeq > 0 {
			_, err = c.MarkRead(ctx, user, id, 1+rnd.Int64N(v.Chat.LastSeq))
		}
	case n < 60:
		var v chat.View
		if v, err = c.Chat(ctx, user, id); err == nil && v.Chat.LastSeq > 0 {
			err = c.MarkUnread(ctx, user, id, 1+rnd.Int64N(v.Chat.LastSeq))
		}
	case n < 68 && len(*sent) > 0:
		m := (*sent)[max(len(*sent)-1-rnd.IntN(12), 0)]
		err = c.Delete(ctx, user, []int64{m.ID}, m.Sender.ID == user && n < 63)
	case n < 74:
		pin, archived := rnd.IntN(3), rnd.IntN(3) == 0
		_, err = c.SetState(ctx, user, id, chat.StateChange{PinOrder: &pin, Archived: &archived})
	case n < 78:
		err = c.Leave(ctx, user, id)
	case n < 86:
		_, _, err = c.AddMembers(ctx, user, id, []int64{other})
	case n < 88:
		err = c.Remove(ctx, user, id, other, false)
	case n < 91:
		err = c.Clear(ctx, user, id)
	case n < 94:
		err = c.DeleteChat(ctx, user, id, rnd.IntN(4) == 0)
	case n < 98:
		var v chat.View
		if v, _, err = c.OpenDirect(ctx, user, other); err == nil && !slices.Contains(*ids, v.Chat.ID) {
			*ids = append(*ids, v.Chat.ID)
		}
	default:
		var v chat.View
		if v, _, err = c.CreateGroup(ctx, user, chat.NewGroup{Title: "Группа", Users: []int64{other}}); err == nil {
			*ids = append(*ids, v.Chat.ID)
		}
	}
	var field *chat.FieldError
	if err != nil && !errors.As(err, &field) && !errors.Is(err, chat.ErrNotFound) && !errors.Is(err, chat.ErrForbidden) && !errors.Is(err, chat.ErrOwnerMustTransfer) {
		c.t.Fatal(err)
	}
}

// Who does not tell what he has read is not told either, in direct chats, and groups of
// any size tell only the highest mark (chat-api.md §0.7).
func TestReceiptsInLists(t *testing.T) {
	onChats(t, chat.Options{ReceiptsMaxMembers: 2}, func(t *testing.T, c *chats) {
		u := c.people(3)
		direct, group, large := c.direct(u[0], u[1]), c.group(u[0], u[1]), c.group(u...)
		for _, id := range []int64{direct, group, large} {
			c.send(u[0], id, "Привет")
			if _, err := c.MarkRead(t.Context(), u[1], id, 1); err != nil {
				t.Fatal(err)
			}
		}
		state := func(user, id int64) [2]int64 {
			v, err := c.Chat(t.Context(), user, id)
			if err != nil {
				t.Fatal(err)
			}
			return [2]int64{v.Read.Others, v.Read.OthersDelivered}
		}
		for _, test := range []struct {
			off  int64
			id   int64
			want [2]int64
		}{
			{0, direct, [2]int64{1, 1}},
			{u[0], direct, [2]int64{0, 0}},
			{u[1], direct, [2]int64{0, 0}},
			{u[1], group, [2]int64{1, 1}},
			{u[1], large, [2]int64{1, 0}},
		} {
			c.privacy(u[0], `{}`)
			c.privacy(u[1], `{}`)
			c.privacy(test.off, `{"last_seen":"contacts","read_receipts":false}`)
			if got := state(u[0], test.id); got != test.want {
				t.Errorf("receipts off for %d, chat %d: read and delivered up to %v, want %v", test.off, test.id, got, test.want)
			}
		}
	})
}
