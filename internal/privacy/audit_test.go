package privacy_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/privacy"
)

func TestAuditLogIsReadInPages(t *testing.T) {
	each(t, 0, func(t *testing.T, h *harness) {
		ctx := t.Context()
		for i := range 7 {
			e := privacy.Entry{Actor: "user:1", Action: "user.suspend", Target: fmt.Sprint("user:", i), IP: "192.0.2.1", At: 99}
			if i%3 == 0 {
				e.Action = "content.read"
			}
			h.must(h.privacy.Audit(ctx, e, map[string]int{"n": i}))
			h.pass(time.Second)
		}
		read := func(q privacy.AuditQuery) (targets []string) {
			for {
				p, err := h.privacy.AuditLog(ctx, q)
				h.must(err)
				for _, e := range p.Entries {
					targets = append(targets, e.Target)
				}
				if q.Cursor = p.Next; p.Next == "" {
					return targets
				}
			}
		}
		for _, limit := range []int{1, 2, 3, 7, 50} {
			if got := read(privacy.AuditQuery{Limit: limit}); len(got) != 7 || got[0] != "user:6" || got[6] != "user:0" {
				t.Errorf("in pages of %d the log is %v", limit, got)
			}
		}
		if got := read(privacy.AuditQuery{Action: "content.read", Limit: 2}); !slices.Equal(got, []string{"user:6", "user:3", "user:0"}) {
			t.Errorf("by action the log is %v", got)
		}
		if got := read(privacy.AuditQuery{Target: "user:4", Actor: "user:1"}); !slices.Equal(got, []string{"user:4"}) {
			t.Errorf("by target the log is %v", got)
		}
		if got := read(privacy.AuditQuery{Actor: "user:2"}); len(got) != 0 {
			t.Errorf("of somebody else the log is %v", got)
		}
		p, err := h.privacy.AuditLog(ctx, privacy.AuditQuery{Limit: 1})
		h.must(err)
		if e := p.Entries[0]; string(e.Data) != `{"n":6}` || e.IP != "192.0.2.1" || e.At != h.clock().Add(-time.Second).UnixMilli() {
			t.Errorf("a line is %+v", e)
		}
		for _, cursor := range []string{"x", "0", "-1"} {
			_, err := h.privacy.AuditLog(ctx, privacy.AuditQuery{Cursor: cursor})
			h.mustBe(err, privacy.ErrCursor)
		}
	})
}

func TestStatisticsCount(t *testing.T) {
	each(t, 0, func(t *testing.T, h *harness) {
		ctx := t.Context()
		users := h.users("anna", "boris", "vera")
		id := h.group(users[0], "G", users[1])
		h.direct(users[0], users[1])
		gone := h.send(users[0], id, "gone")
		h.must(h.chats.Delete(ctx, users[0], []int64{gone.ID}, true))
		h.post(users[0], id, chat.Sending{Text: "file", Files: []chat.Attachment{{ID: h.upload(users[0], "a.txt", "12345")}}})
		h.pass(2 * 24 * time.Hour)
		h.users("grisha")
		h.send(users[1], id, "one")
		h.send(users[1], id, "two")
		n, err := h.privacy.Statistics(ctx, 4)
		h.must(err)
		if n.Users != 4 || n.Bots+n.Suspended+n.Deleted != 0 || n.ActiveDay != 1 || n.ActiveWeek != 4 || n.ActiveMonth != 4 {
			t.Errorf("accounts are %+v", n)
		}
		if n.Direct != 1 || n.Groups != 1 || n.Saved != 0 || n.Messages != 3 || n.Files != 1 || n.FileBytes != 5 || n.DatabaseBytes < 10_000 {
			t.Errorf("the rest is %+v", n)
		}
		want := []privacy.DayCount{{0, 0, 0}, {0, 1, 3}, {0, 0, 0}, {0, 2, 1}}
		for i := range want {
			want[i].Day = h.clock().Truncate(24*time.Hour).UnixMilli() - int64(3-i)*24*time.Hour.Milliseconds()
		}
		if !slices.Equal(n.Days, want) {
			t.Errorf("the days are %v, want %v", n.Days, want)
		}
		h.send(users[1], id, "three")
		if again, err := h.privacy.Statistics(ctx, 4); err != nil || again.Messages != 3 {
			t.Errorf("within a minute it is counted again: %+v, %v", again, err)
		}
		h.pass(time.Minute)
		if again, err := h.privacy.Statistics(ctx, 4); err != nil || again.Messages != 4 {
			t.Errorf("after a minute there are %d messages (%v), want 4", again.Messages, err)
		}
	})
}
