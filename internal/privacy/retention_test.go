package privacy_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/chat"
)

const day = 24 * time.Hour

// TestS37_RetentionIsEnforced moves the clock over the limits of chats.
func TestS37_RetentionIsEnforced(t *testing.T) {
	each(t, 10, func(t *testing.T, h *harness) {
		ctx := t.Context()
		users := h.users("anna", "boris")
		anna, boris := users[0], users[1]
		days := func(n int) *int { return &n }
		long, short, held, longer := h.group(anna, "Long", boris), h.group(anna, "Short", boris), h.group(anna, "Held", boris), h.group(anna, "Longer", boris)
		for id, n := range map[int64]int{short: 2, longer: 100} {
			_, err := h.chats.UpdateChat(ctx, anna, id, chat.ChatChange{RetentionDays: days(n)})
			h.must(err)
		}
		file := h.upload(anna, "zfilez.txt", "zold content")
		for _, id := range []int64{long, short, held, longer} {
			for i := range 130 { // more than one batch
				h.send(anna, id, fmt.Sprintf("zoldz%d n%d", id, i))
			}
		}
		m := h.post(anna, short, chat.Sending{Text: "zoldz for @boris", Files: []chat.Attachment{{ID: file}}, Mentions: []int64{boris}})
		_, err := h.chats.React(ctx, boris, m.ID, "👍", true)
		h.must(err)
		text := "zoldz edited"
		_, err = h.chats.Edit(ctx, anna, m.ID, chat.Editing{Text: &text})
		h.must(err)
		h.must(h.chats.Delete(ctx, boris, []int64{m.ID}, false))
		h.must(h.privacy.HoldChat(ctx, held, true))
		last := map[int64]int64{}
		for _, id := range []int64{long, short, held, longer} {
			last[id] = h.count(`SELECT last_seq FROM chats WHERE id = $1`, id)
		}
		h.pass(2*day - time.Minute)
		h.work()
		if n := h.count(`SELECT count(*) FROM messages WHERE chat_id = $1`, short); n != last[short] {
			t.Fatalf("before its time %d of %d messages are left", n, last[short])
		}
		answer := h.post(boris, short, chat.Sending{Text: "znewz", ReplyTo: h.send(anna, short, "znewz").ID})
		_ = answer
		h.pass(31 * time.Minute) // within the hour
		h.work()
		if n := h.count(`SELECT count(*) FROM messages WHERE chat_id = $1`, short); n != 2 {
			t.Errorf("%d messages are left, want 2", n)
		}
		if got := h.count(`SELECT purged_below_seq FROM chats WHERE id = $1`, short); got != last[short]+1 {
			t.Errorf("purged below %d, want %d", got, last[short]+1)
		}
		if got := h.count(`SELECT last_seq FROM chats WHERE id = $1`, short); got != last[short]+2 {
			t.Errorf("the last number is %d, want %d", got, last[short]+2)
		}
		h.gone(fmt.Sprintf("zoldz%d n", short))
		h.gone("zoldz for")
		h.gone("zoldz edited")
		h.gone("zold content")
		for _, table := range []string{"message_edits", "reactions", "mentions", "message_files", "message_hidden"} {
			if n := h.count(`SELECT count(*) FROM ` + table); n != 0 {
				t.Errorf("%s has %d rows", table, n)
			}
		}
		if !h.purged[short] || h.purged[long] {
			t.Errorf("told of purges of %v", h.purged)
		}
		// I1: what comes goes on with the numbers, and nothing of it is a gap.
		if m := h.send(anna, short, "znewz"); m.Seq != last[short]+3 {
			t.Errorf("the next message is number %d, want %d", m.Seq, last[short]+3)
		}
		v, err := h.chats.Chat(ctx, boris, short)
		if err != nil || v.Unread != 1 {
			t.Errorf("unread after the purge is %d (%v), want 1", v.Unread, err)
		}
		h.pass(8 * day)
		h.work()
		for id, want := range map[int64]int64{long: 0, short: 0, held: last[held], longer: 0} {
			if n := h.count(`SELECT count(*) FROM messages WHERE chat_id = $1 AND created_at < $2`, id, h.clock().Add(-9*day).UnixMilli()); n != want {
				t.Errorf("chat %d has %d old messages, want %d", id, n, want)
			}
		}
		// The hold ends, and one on a member begins.
		h.must(h.privacy.HoldChat(ctx, held, false))
		h.must(h.privacy.HoldUser(ctx, boris, true))
		h.pass(time.Hour)
		h.work()
		if n := h.count(`SELECT count(*) FROM messages WHERE chat_id = $1`, held); n != last[held] {
			t.Errorf("with a member under hold %d of %d messages are left", n, last[held])
		}
		h.must(h.privacy.HoldUser(ctx, boris, false))
		h.pass(time.Hour)
		h.work()
		if n := h.count(`SELECT count(*) FROM messages WHERE chat_id = $1`, held); n != 0 {
			t.Errorf("after the holds %d messages are left", n)
		}
	})
}

func TestRetentionSurvivesCrashes(t *testing.T) {
	each(t, 1, func(t *testing.T, h *harness) {
		users := h.users("anna", "boris")
		id := h.group(users[0], "G", users[1])
		for i := range 250 {
			h.send(users[0], id, fmt.Sprint("zoldz", i))
		}
		h.pass(25 * time.Hour)
		for n := 1; n < 8; n++ {
			h.start(n)
			_ = h.privacy.Work(t.Context())
			h.pass(3 * time.Minute)
			purged := h.count(`SELECT purged_below_seq FROM chats WHERE id = $1`, id)
			if low := h.count(`SELECT coalesce(min(seq), 252) FROM messages WHERE chat_id = $1`, id); low != max(purged, 1) {
				t.Errorf("after a crash messages from %d on are there, purged below %d", low, purged)
			}
		}
		h.start(-1)
		h.work()
		h.gone("zoldz")
	})
}

// TestEndedChatsArePurged deletes a group, of which nothing is left within the hour.
func TestEndedChatsArePurged(t *testing.T) {
	each(t, 0, func(t *testing.T, h *harness) {
		users := h.users("anna", "boris")
		id := h.group(users[0], "Title", users[1])
		h.send(users[0], id, "zendedz")
		stays := h.group(users[0], "Other", users[1])
		h.send(users[0], stays, "zstaysz")
		h.work()
		h.must(h.chats.DeleteChat(t.Context(), users[0], id, true))
		h.pass(31 * time.Minute)
		h.work()
		h.gone("zendedz")
		if len(h.find("zstaysz")) == 0 {
			t.Error("without retention a chat was purged")
		}
	})
}

func TestOldRowsAreRemoved(t *testing.T) {
	each(t, 0, func(t *testing.T, h *harness) {
		now := h.clock().UnixMilli()
		for i, at := range []int64{now, now - (48 * time.Hour).Milliseconds(), now - (50 * time.Hour).Milliseconds()} {
			h.exec(`INSERT INTO idempotency (principal, key, request, status, response, created_at) VALUES ('p', $1, 'r', 200, 'x', $2)`, fmt.Sprint(i), at)
		}
		for i, at := range []int64{now, now - (6 * day).Milliseconds(), now - (8 * day).Milliseconds()} {
			h.exec(`INSERT INTO read_log (chat_id, user_id, seq, at) VALUES (1, 1, $1, $2)`, i, at)
		}
		for i, at := range []int64{0, now - (29 * day).Milliseconds(), now - (31 * day).Milliseconds()} {
			h.exec(`INSERT INTO jobs (id, kind, user_id, state, due_at, created_at, ended_at) VALUES ($1, 'test', $2, 'done', 0, 0, $3)`, fmt.Sprint(i), i, at)
		}
		for i, in := range [][4]int64{{0, 0, 0, 0}, {0, now + 1, 5, 4}, {now, 0, 0, 0}, {0, now, 0, 0}, {0, 0, 5, 5}} {
			h.exec(`INSERT INTO invites (id, chat_id, created_by, created_at, revoked_at, expires_at, max_uses, uses) VALUES ($1, 1, 1, 0, $2, $3, $4, $5)`,
				fmt.Sprint(i), in[0], in[1], in[2], in[3])
		}
		h.work()
		for table, want := range map[string]int64{"idempotency": 2, "read_log": 2, "jobs WHERE kind = 'test'": 2, "invites": 2} {
			if n := h.count(`SELECT count(*) FROM ` + table); n != want {
				t.Errorf("%s: %d rows are left, want %d", table, n, want)
			}
		}
	})
}
