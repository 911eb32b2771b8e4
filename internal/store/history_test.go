package store_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/chat"
)

// TestRandomHistories lets people do anything in a few chats, in any order, and compares
// what the service says with what is counted row by row: numbers (chat-api.md §0.3, I1,
// I2, I6), marks (I5), unread messages (I9), pages, and clients that follow changes only.
func TestRandomHistories(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		for seed := range uint64(2) {
			h := newHistory(t, c, seed)
			for step := range 120 {
				h.step()
				if step%10 == 9 {
					h.check()
				}
				if t.Failed() {
					t.Fatalf("seed %d, step %d; the last steps: %s", seed, step, strings.Join(h.did[max(0, len(h.did)-10):], ", "))
				}
			}
		}
	})
}

// history is a random one.
type history struct {
	*chats
	rnd     *rand.Rand
	folk    []int64
	rooms   []int64
	clients map[[2]int64]*follower // by chat and person
	marks   map[[2]int64][2]int64  // the marks seen last
	did     []string
}

// follower is a client that keeps messages by following changes.
type follower struct {
	since int64
	known map[int64]chat.Message
}

func newHistory(t *testing.T, c *chats, seed uint64) *history {
	c.t = t
	h := &history{
		chats: c, rnd: rand.New(rand.NewPCG(seed, 1)), folk: c.people(4),
		clients: make(map[[2]int64]*follower), marks: make(map[[2]int64][2]int64),
	}
	p := h.folk
	h.rooms = []int64{c.group(p...), c.direct(p[0], p[1]), c.group(p[1:]...)}
	return h
}

// step does one thing. Whether it is allowed is not asked here.
func (h *history) step() {
	h.t.Helper()
	ctx := h.t.Context()
	user, room := h.folk[h.rnd.IntN(len(h.folk))], h.rooms[h.rnd.IntN(len(h.rooms))]
	h.clock.Advance(time.Duration(h.rnd.IntN(2000)-500) * time.Millisecond) // clocks go back too
	message, seq := h.anyMessage(room)
	emoji := []string{"👍", "🎉", "🤔"}[h.rnd.IntN(3)]
	text := fmt.Sprintf("text %d for @user%d", h.rnd.IntN(1000), h.folk[h.rnd.IntN(len(h.folk))])
	var err error
	var name string
	switch n := h.rnd.IntN(100); {
	case n < 35:
		name = "send"
		_, _, err = h.Send(ctx, user, room, chat.Sending{Text: text, ReplyTo: message * int64(h.rnd.IntN(2))})
	case n < 42:
		name = "edit"
		_, err = h.Edit(ctx, user, message, chat.Editing{Text: &text})
	case n < 50:
		name = "delete"
		err = h.Delete(ctx, user, []int64{message}, true)
	case n < 55:
		name = "hide"
		if err = h.Delete(ctx, user, []int64{message}, false); err == nil {
			if client := h.clients[[2]int64{room, user}]; client != nil {
				delete(client.known, message)
			}
		}
	case n < 62:
		name = "react"
		_, err = h.React(ctx, user, message, emoji, h.rnd.IntN(3) > 0)
	case n < 66:
		name = "pin"
		err = h.Pin(ctx, user, message, h.rnd.IntN(3) > 0)
	case n < 78:
		name = "read"
		_, err = h.MarkRead(ctx, user, room, seq)
	case n < 83:
		name = "deliver"
		err = h.MarkDelivered(ctx, user, room, seq)
	case n < 88:
		name = "unread"
		err = h.MarkUnread(ctx, user, room, seq)
	case n < 89:
		name = "read all"
		_, err = h.ReadAll(ctx, user)
	case n < 92:
		name = "forward"
		_, err = h.Forward(ctx, user, []int64{message}, h.rooms[:1+h.rnd.IntN(3)], "")
	case n < 94:
		name = "system"
		_, err = h.SystemMessage(ctx, user, room, text, true)
	case n < 96:
		name = "clear"
		err = h.Clear(ctx, user, room)
	case n < 98:
		name = "leave"
		err = h.Leave(ctx, user, room)
	default:
		name = "add"
		_, _, err = h.AddMembers(ctx, h.folk[h.rnd.IntN(len(h.folk))], room, []int64{user})
	}
	h.did = append(h.did, fmt.Sprintf("%s by %d in %d (%v)", name, user, room, err))
	if err != nil && !expected(err) {
		h.t.Errorf("%s: %v", name, err)
	}
}

// expected tells whether err is one of the rules.
func expected(err error) bool {
	var field *chat.FieldError
	var limit *chat.LimitError
	for _, rule := range []error{
		chat.ErrNotFound, chat.ErrForbidden, chat.ErrTooLate, chat.ErrCannotMessage, chat.ErrOwnerMustTransfer,
	} {
		if errors.Is(err, rule) {
			return true
		}
	}
	return errors.As(err, &field) || errors.As(err, &limit)
}

func (h *history) anyMessage(room int64) (id, seq int64) {
	all := h.rows(room)
	if len(all) == 0 {
		return 0, 0
	}
	r := all[h.rnd.IntN(len(all))]
	return r.id, r.seq
}

// messageRow is a message as it lies in the database.
type messageRow struct {
	id, seq, sender, created, deleted, eventSeq int64
	kind                                        string
	mentions                                    []int64
}

func (h *history) rows(room int64) (all []messageRow) {
	h.store.MustRows(h.t, `SELECT id, seq, sender_id, created_at, deleted_at, event_seq, message_type, mentions FROM messages WHERE chat_id = $1 ORDER BY seq`, []any{room}, func(scan func(...any)) {
		var r messageRow
		var mentions []byte
		scan(&r.id, &r.seq, &r.sender, &r.created, &r.deleted, &r.eventSeq, &r.kind, &mentions)
		if len(mentions) > 0 {
			var who struct{ Users []int64 }
			if err := json.Unmarshal(mentions, &who); err != nil {
				h.t.Error(err)
			}
			r.mentions = who.Users
		}
		all = append(all, r)
	})
	return all
}

func (h *history) check() {
	h.t.Helper()
	for _, room := range h.rooms {
		rows := h.rows(room)
		h.checkNumbers(room, rows)
		for _, user := range h.folk {
			if _, _, err := h.Membership(h.t.Context(), user, room); err == nil {
				h.checkUnread(room, user, rows)
				h.checkPages(room, user, rows)
				h.checkFollower(room, user)
			}
		}
	}
	for _, user := range h.folk {
		h.checkTotals(user)
	}
}

// checkNumbers checks I1, I2, I5 and I6.
func (h *history) checkNumbers(room int64, rows []messageRow) {
	h.t.Helper()
	var lastSeq, lastEvent, before int64
	h.store.MustQuery(h.t, `SELECT last_seq, last_event_seq FROM chats WHERE id = $1`, []any{room}, &lastSeq, &lastEvent)
	if int64(len(rows)) != lastSeq {
		h.t.Errorf("chat %d has %d messages, the newest has number %d", room, len(rows), lastSeq)
	}
	for i, r := range rows {
		if r.seq != int64(i+1) || r.created < before || r.eventSeq > lastEvent {
			h.t.Errorf("message %d of chat %d has seq %d, time %d after %d, event_seq %d of %d", i+1, room, r.seq, r.created, before, r.eventSeq, lastEvent)
		}
		before = r.created
	}
	events := h.events(event.ChatStream(room), 0)
	if int64(len(events)) != lastEvent {
		h.t.Errorf("chat %d has %d events, the newest has number %d", room, len(events), lastEvent)
	}
	for i, e := range events {
		if e.Seq != int64(i+1) {
			h.t.Errorf("event %d of chat %d has number %d", i+1, room, e.Seq)
		}
	}
	h.store.MustRows(h.t, `SELECT user_id, read_seq, delivered_seq FROM members WHERE chat_id = $1`, []any{room}, func(scan func(...any)) {
		var user, read, delivered int64
		scan(&user, &read, &delivered)
		key := [2]int64{room, user}
		if was := h.marks[key]; read < was[0] || delivered < was[1] || read > lastSeq || delivered < read {
			h.t.Errorf("marks of %d in chat %d are %d, %d; they were %v, the newest message is %d", user, room, read, delivered, was, lastSeq)
		}
		h.marks[key] = [2]int64{read, delivered}
	})
}

func (h *history) hidden(room, user int64) map[int64]bool {
	found := make(map[int64]bool)
	h.store.MustRows(h.t, `SELECT seq FROM message_hidden WHERE chat_id = $1 AND user_id = $2`, []any{room, user}, func(scan func(...any)) {
		var seq int64
		scan(&seq)
		found[seq] = true
	})
	return found
}

// bruteUnread counts unread messages by the rule (chat-api.md §0.7).
func (h *history) bruteUnread(room, user int64, rows []messageRow) (messages, mentions int) {
	m, c, err := h.Membership(h.t.Context(), user, room)
	if err != nil {
		h.t.Fatal(err)
	}
	from := m.ReadSeq
	if m.ManualUnreadSeq != 0 {
		from = min(from, m.ManualUnreadSeq-1)
	}
	from = max(from, m.VisibleFromSeq, c.PurgedBelowSeq-1)
	hidden := h.hidden(room, user)
	for _, r := range rows {
		if r.seq <= from || r.deleted != 0 || hidden[r.seq] || r.kind == chat.SystemMessage || r.sender == user {
			continue
		}
		messages++
		if slices.Contains(r.mentions, user) {
			mentions++
		}
	}
	return messages, mentions
}

func (h *history) checkUnread(room, user int64, rows []messageRow) {
	h.t.Helper()
	want, wantMentions := h.bruteUnread(room, user, rows)
	view, err := h.Chat(h.t.Context(), user, room)
	if err != nil || view.Unread != want || view.UnreadMentions != wantMentions {
		h.t.Errorf("chat %d has %d unread, %d mentions for %d, %v; counted %d, %d", room, view.Unread, view.UnreadMentions, user, err, want, wantMentions)
	}
}

func (h *history) checkTotals(user int64) {
	h.t.Helper()
	var want chat.Totals
	for _, room := range h.rooms {
		m, _, err := h.Membership(h.t.Context(), user, room)
		if err != nil || m.Hidden {
			continue
		}
		messages, mentions := h.bruteUnread(room, user, h.rows(room))
		want.Messages += messages
		want.Mentions += mentions
		if messages > 0 || m.ManualUnreadSeq != 0 {
			want.Chats++
		}
	}
	if got, err := h.UnreadTotals(h.t.Context(), user); err != nil || got != want {
		h.t.Errorf("totals of %d = %+v, %v; counted %+v", user, got, err, want)
	}
}

// checkPages compares every kind of page with what is in the database.
func (h *history) checkPages(room, user int64, rows []messageRow) {
	h.t.Helper()
	m, _, _ := h.Membership(h.t.Context(), user, room)
	hidden := h.hidden(room, user)
	q := chat.PageQuery{Offset: -1, Limit: 1 + h.rnd.IntN(7), Deleted: h.rnd.IntN(2) == 0, Hidden: h.rnd.IntN(2) == 0, Count: true}
	var all []int64 // seqs that the user sees with q
	for _, r := range rows {
		if r.seq > m.VisibleFromSeq && (q.Deleted || r.deleted == 0) && (q.Hidden || !hidden[r.seq]) {
			all = append(all, r.seq)
		}
	}
	at := int64(1 + h.rnd.IntN(len(rows)+1))
	split, _ := slices.BinarySearch(all, at)
	after, _ := slices.BinarySearch(all, at+1)
	offset := h.rnd.IntN(len(all) + 2)
	lastOf := func(seqs []int64) []int64 { return seqs[max(0, len(seqs)-q.Limit):] }
	firstOf := func(seqs []int64) []int64 { return seqs[:min(q.Limit, len(seqs))] }
	for name, test := range map[string]struct {
		set  func(*chat.PageQuery)
		want []int64
	}{
		"newest": {func(*chat.PageQuery) {}, lastOf(all)},
		"before": {func(q *chat.PageQuery) { q.Before = at }, lastOf(all[:split])},
		"after":  {func(q *chat.PageQuery) { q.After = at }, firstOf(all[after:])},
		"offset": {func(q *chat.PageQuery) { q.Offset = offset }, firstOf(all[min(offset, len(all)):])},
	} {
		q := q
		test.set(&q)
		p, err := h.Messages(h.t.Context(), user, room, q)
		if got := seqs(p.Messages); err != nil || !slices.Equal(got, test.want) || p.Total != len(all) {
			h.t.Errorf("page %s at %d, offset %d of %v = %v, total %d, %v; want %v", name, at, offset, all, got, p.Total, err, test.want)
		}
	}
	q.Around = at
	p, err := h.Messages(h.t.Context(), user, room, q)
	got := seqs(p.Messages)
	first := 0
	if len(got) > 0 {
		first, _ = slices.BinarySearch(all, got[0])
	}
	whole := err == nil && len(got) == min(q.Limit, len(all)) && slices.Equal(got, all[first:first+len(got)]) &&
		p.Before == (first > 0) && p.After == (first+len(got) < len(all))
	if near, ok := slices.BinarySearch(all, at); !whole || ok && !slices.Contains(got, all[near]) {
		h.t.Errorf("page around %d of %v = %v, %v, %v, %v", at, all, got, p.Before, p.After, err)
	}
}

func seqs(messages []chat.Message) []int64 {
	found := make([]int64, len(messages))
	for i, m := range messages {
		found[i] = m.Seq
	}
	return found
}

// checkFollower brings a client up to date by changes alone and compares it with the
// whole chat (chat-api.md D-4).
func (h *history) checkFollower(room, user int64) {
	h.t.Helper()
	key := [2]int64{room, user}
	client := h.clients[key]
	if client == nil {
		client = &follower{known: make(map[int64]chat.Message)}
		h.clients[key] = client
	}
	for more := true; more; {
		ch, err := h.Changes(h.t.Context(), user, room, client.since, 3)
		if err != nil || ch.Limited {
			h.t.Fatalf("changes since %d: limited %v, %v", client.since, ch.Limited, err)
		}
		for _, m := range ch.Messages {
			client.known[m.ID] = m
		}
		if ch.More && ch.LastEventSeq <= client.since {
			h.t.Fatalf("changes since %d lead to %d", client.since, ch.LastEventSeq)
		}
		client.since, more = ch.LastEventSeq, ch.More
	}
	m, _, _ := h.Membership(h.t.Context(), user, room)
	maps.DeleteFunc(client.known, func(_ int64, known chat.Message) bool { return known.Seq <= m.VisibleFromSeq })
	have := slices.SortedFunc(maps.Values(client.known), func(a, b chat.Message) int { return cmp.Compare(a.Seq, b.Seq) })
	var want []chat.Message
	for after := int64(-1); ; after = want[len(want)-1].Seq {
		p, err := h.Messages(h.t.Context(), user, room, chat.PageQuery{Offset: -1, After: max(after, m.VisibleFromSeq), Deleted: true, Limit: 200})
		if after < 0 && m.VisibleFromSeq == 0 {
			p, err = h.Messages(h.t.Context(), user, room, chat.PageQuery{Deleted: true, Limit: 200})
		}
		if err != nil {
			h.t.Fatal(err)
		}
		want = append(want, p.Messages...)
		if !p.After {
			break
		}
	}
	for i := range want { // what a message quotes is shown as it is now; that is no change of the answer
		want[i].ReplyTo = nil
	}
	for i := range have {
		have[i].ReplyTo = nil
	}
	if len(have) != len(want) || len(want) > 0 && !reflect.DeepEqual(have, want) {
		h.t.Errorf("user %d following chat %d knows\n%+v\nwant\n%+v", user, room, have, want)
	}
}
