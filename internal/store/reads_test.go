package store_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/chat"
)

func TestMarkRead(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		ctx := t.Context()
		p := c.people(2)
		a, b := c.direct(p[0], p[1]), c.group(p...)
		var last chat.Message
		for range 3 {
			last = c.send(p[0], a, "text")
			c.send(p[0], b, "text @user2")
		}
		c.live.take()
		mark, err := c.MarkRead(ctx, p[1], a, 2)
		if want := (chat.ReadMark{Moved: true, ReadSeq: 2, Unread: 1, UnreadChats: 2}); err != nil || mark != want {
			t.Errorf("mark = %+v, %v; want %+v", mark, err, want)
		}
		want := []string{
			fmt.Sprintf("read chat=%d user=%d seq=2 message=%d members=2", a, p[1], last.ID-2),
			fmt.Sprintf("state user=%d chat=%d", p[1], a), fmt.Sprintf("list user=%d", p[1]), fmt.Sprintf("list user=%d", p[0]),
		}
		if got := c.live.take(); !reflect.DeepEqual(got, want) {
			t.Errorf("live heard %q, want %q", got, want)
		}
		mark, err = c.MarkRead(ctx, p[1], a, 1)
		if want := (chat.ReadMark{ReadSeq: 2, Unread: 1, UnreadChats: 2}); err != nil || mark != want {
			t.Errorf("lower mark = %+v, %v; want %+v", mark, err, want)
		}
		if got := c.live.take(); len(got) != 0 {
			t.Errorf("live heard %q of a mark that did not move", got)
		}
		for _, seq := range []int64{4, -1} {
			if _, err := c.MarkRead(ctx, p[1], a, seq); !isField(err, "seq") {
				t.Errorf("mark at %d: %v, want a FieldError of seq", seq, err)
			}
		}
		m, mark, err := c.MarkReadMessage(ctx, p[1], a, last.ID)
		if err != nil || m.ID != last.ID || mark.Unread != 0 || mark.UnreadChats != 1 {
			t.Errorf("mark by message = %+v, %+v, %v", m, mark, err)
		}
		if _, _, err := c.MarkReadMessage(ctx, p[1], b, last.ID); err == nil {
			t.Error("a message of another chat was taken")
		}
		if _, mark, err = c.MarkReadMessage(ctx, p[0], 0, last.ID); err != nil || mark.Moved {
			t.Errorf("mark at one's own message = %+v, %v", mark, err)
		}
		_, read, _ := c.Message(ctx, p[0], last.ID)
		if !read.IsRead(&m, p[0]) {
			t.Errorf("the message is not read for its sender: %+v", read)
		}
		got, _ := c.UnreadTotals(ctx, p[1])
		if want := (chat.Totals{Chats: 1, Messages: 3, Mentions: 3}); got != want {
			t.Errorf("totals = %+v, want %+v", got, want)
		}
		c.setMember(b, p[1], "muted_until", c.clock.Now().Add(time.Hour).UnixMilli())
		got, _ = c.UnreadTotals(ctx, p[1])
		if want := (chat.Totals{Chats: 1, Mentions: 3}); got != want {
			t.Errorf("totals with a muted chat = %+v, want %+v", got, want)
		}
	})
}

func TestMarkUnread(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		ctx := t.Context()
		p := c.people(2)
		d := c.direct(p[0], p[1])
		for i := range 6 {
			c.send(p[i%2], d, "text")
		}
		if _, err := c.MarkRead(ctx, p[0], d, 6); err != nil {
			t.Fatal(err)
		}
		c.live.take()
		if err := c.MarkUnread(ctx, p[0], d, 2); err != nil {
			t.Fatal(err)
		}
		if got, want := c.live.take(), []string{fmt.Sprintf("state user=%d chat=%d", p[0], d), fmt.Sprintf("list user=%d", p[0])}; !reflect.DeepEqual(got, want) {
			t.Errorf("live heard %q, want %q", got, want)
		}
		got, _ := c.UnreadTotals(ctx, p[0])
		if want := (chat.Totals{Chats: 1, Messages: 3}); got != want { // 2, 4 and 6; 3 and 5 are one's own
			t.Errorf("totals = %+v, want %+v", got, want)
		}
		page, _ := c.Messages(ctx, p[1], d, newest)
		if page.Marks[0].ReadSeq != 6 {
			t.Errorf("others see the mark at %d, want 6", page.Marks[0].ReadSeq)
		}
		mark, err := c.MarkRead(ctx, p[0], d, 6)
		if want := (chat.ReadMark{ReadSeq: 6}); err != nil || mark != want {
			t.Errorf("mark = %+v, %v; want %+v", mark, err, want)
		}
		for _, seq := range []int64{0, 7} {
			if err := c.MarkUnread(ctx, p[0], d, seq); !isField(err, "seq") {
				t.Errorf("unread from %d: %v, want a FieldError of seq", seq, err)
			}
		}
	})
}

func TestReceiptsOfSeveralChats(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		ctx := t.Context()
		p := c.people(3)
		a, b, foreign := c.group(p[0], p[1]), c.group(p[0], p[1]), c.group(p[0], p[2])
		for _, id := range []int64{a, b, foreign} {
			c.send(p[0], id, "text")
			c.send(p[0], id, "text")
		}
		c.live.take()
		err := c.Receipts(ctx, p[1], map[int64]int64{a: 1, foreign: 1}, map[int64]int64{a: 2, b: 2, 999: 1})
		if err != nil {
			t.Fatal(err)
		}
		for id, want := range map[int64]string{a: "1/2", b: "0/2"} {
			m, _, _ := c.Membership(ctx, p[1], id)
			if got := fmt.Sprintf("%d/%d", m.ReadSeq, m.DeliveredSeq); got != want {
				t.Errorf("chat %d is read and delivered to %s, want %s", id, got, want)
			}
		}
		told := c.live.take()
		for _, want := range []string{
			fmt.Sprintf("delivered chat=%d user=%d seq=2 members=2", a, p[1]),
			fmt.Sprintf("delivered chat=%d user=%d seq=2 members=2", b, p[1]),
		} {
			if !slices.Contains(told, want) {
				t.Errorf("live heard %q, not %q", told, want)
			}
		}
		if err := c.Receipts(ctx, p[1], map[int64]int64{b: 1, a: 3}, nil); !isField(err, "seq") {
			t.Errorf("receipt above the newest message: %v", err)
		}
		if m, _, _ := c.Membership(ctx, p[1], b); m.ReadSeq != 0 {
			t.Error("receipts that were refused marked a chat")
		}
		if n, err := c.ReadAll(ctx, p[1]); n != 2 || err != nil {
			t.Errorf("read all = %d, %v; want 2", n, err)
		}
		if got, _ := c.UnreadTotals(ctx, p[1]); got != (chat.Totals{}) {
			t.Errorf("after reading all %+v is unread", got)
		}
	})
}

func TestMessageReceipts(t *testing.T) {
	onChats(t, chat.Options{ReceiptsMaxMembers: 5}, func(t *testing.T, c *chats) {
		ctx := t.Context()
		p := c.people(6)
		g := c.group(p[:5]...)
		start := c.clock.Now().UnixMilli()
		m := c.send(p[0], g, "text")
		c.setMember(g, p[4], "visible_from_seq", 1)
		c.clock.Advance(time.Second)
		c.send(p[1], g, "reading it by answering")
		c.clock.Advance(time.Second)
		if _, err := c.MarkRead(ctx, p[2], g, 1); err != nil {
			t.Fatal(err)
		}
		c.clock.Advance(time.Second)
		for _, user := range p[1:3] { // a later mark changes nothing
			c.send(p[0], g, "more")
			if _, err := c.MarkRead(ctx, user, g, 3); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.MarkDelivered(ctx, p[3], g, 1); err != nil {
			t.Fatal(err)
		}
		got, err := c.MessageReceipts(ctx, p[0], m.ID)
		want := chat.MessageReceipts{
			Read:      []chat.Receipt{{User: p[1], At: start + 1000}, {User: p[2], At: start + 2000}},
			Delivered: []chat.Receipt{{User: p[3], At: start + 3000}},
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("receipts = %+v, %v; want %+v", got, err, want)
		}
		c.clock.Advance(8 * 24 * time.Hour)
		got, _ = c.MessageReceipts(ctx, p[0], m.ID)
		if len(got.Read) != 2 || got.Read[0].At != 0 || got.Read[1].At != 0 {
			t.Errorf("after eight days receipts = %+v, want no times", got)
		}
		large := c.group(p...)
		m = c.send(p[0], large, "text")
		if _, err := c.MessageReceipts(ctx, p[0], m.ID); err == nil {
			t.Error("receipts of a large group are shown")
		}
		c.live.take()
		if _, err := c.MarkRead(ctx, p[1], large, 1); err != nil {
			t.Fatal(err)
		}
		for _, told := range c.live.take() {
			if told[:4] == "read" {
				t.Errorf("live heard %q of a large group", told)
			}
		}
		page, _ := c.Messages(ctx, p[0], large, newest)
		if len(page.Marks) != 0 || !page.Read.IsRead(&m, p[0]) {
			t.Errorf("page of a large group has marks %+v and read state %+v", page.Marks, page.Read)
		}
	})
}

func TestReceiptsSwitchedOff(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		ctx := t.Context()
		p := c.people(3)
		d, g := c.direct(p[0], p[1]), c.group(p...)
		c.store.MustExec(t, `UPDATE users SET privacy = '{"read_receipts":false}' WHERE id = $1`, p[1])
		for _, id := range []int64{d, g} {
			m := c.send(p[0], id, "text")
			c.live.take()
			if _, err := c.MarkRead(ctx, p[1], id, 1); err != nil {
				t.Fatal(err)
			}
			shown := id == g
			if told := slices.ContainsFunc(c.live.take(), func(s string) bool { return s[:4] == "read" }); told != shown {
				t.Errorf("chat %d: live heard of it: %v, want %v", id, told, shown)
			}
			page, _ := c.Messages(ctx, p[0], id, newest)
			if got := page.Read.IsRead(&m, p[0]); got != shown || got != page.Read.IsDelivered(&m, p[0]) || (len(page.Marks) > 0) != shown {
				t.Errorf("chat %d: read state %+v, marks %+v; shown should be %v", id, page.Read, page.Marks, shown)
			}
			view, _ := c.Chat(ctx, p[0], id)
			if view.Read != page.Read {
				t.Errorf("the list shows %+v, the page %+v", view.Read, page.Read)
			}
			if r, err := c.MessageReceipts(ctx, p[0], m.ID); err != nil || (len(r.Read) > 0) != shown {
				t.Errorf("chat %d: receipts = %+v, %v", id, r, err)
			}
			if got, _ := c.UnreadTotals(ctx, p[1]); shown && got.Messages != 0 {
				t.Errorf("own state does not work: %+v", got)
			}
		}
	})
}

// TestMessageToEverybodyIsAMention counts a message to all as a mention of each, however it
// names people beside, without a row for each.
func TestMessageToEverybodyIsAMention(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		ctx := t.Context()
		p := c.people(3)
		id := c.group(p...)
		check := func(what string, want ...int) {
			t.Helper()
			for i, user := range p {
				v, err := c.Chat(ctx, user, id)
				totals, totalsErr := c.UnreadTotals(ctx, user)
				if err != nil || totalsErr != nil || v.UnreadMentions != want[i] || totals.Mentions != want[i] {
					t.Errorf("%s: %d mentions of user %d, %+v in all, %v %v; want %d", what, v.UnreadMentions, user, totals, err, totalsErr, want[i])
				}
			}
		}
		m, _, err := c.Send(ctx, p[0], id, chat.Sending{ClientID: "1", Text: "all, and @user2", MentionAll: true})
		if err != nil {
			t.Fatal(err)
		}
		check("sent", 0, 1, 1)
		if err := c.MarkUnread(ctx, p[0], id, m.Seq); err != nil {
			t.Fatal(err)
		}
		text := "all, and @user3"
		if m, err = c.Edit(ctx, p[0], m.ID, chat.Editing{Text: &text}); err != nil || !m.MentionAll {
			t.Fatal(m, err)
		}
		check("edited, and unread for its sender", 0, 1, 1)
		if err := c.Delete(ctx, p[1], []int64{m.ID}, false); err != nil {
			t.Fatal(err)
		}
		check("hidden", 0, 0, 1)
		if _, err := c.MarkRead(ctx, p[2], id, m.Seq); err != nil {
			t.Fatal(err)
		}
		check("read", 0, 0, 0)
		rows := 0
		c.store.MustRows(t, `SELECT count(*) FROM mentions`, nil, func(scan func(...any)) { scan(&rows) })
		if rows != 1 {
			t.Errorf("%d rows for one message", rows)
		}
	})
}
