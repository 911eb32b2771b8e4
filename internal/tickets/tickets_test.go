package tickets_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/tickets"
)

// TestStatuses goes through what moves a ticket, and who hears of it.
func TestStatuses(t *testing.T) {
	each(t, tickets.Options{}, func(t *testing.T, h *harness) {
		th, err := h.tickets.Open(t.Context(), byAnna, tickets.New{Title: "  Cannot \n pay ", Text: "It says no\r\n", Priority: tickets.High})
		h.must(err)
		id := th.Ticket.ID
		if th.Ticket.Title != "Cannot pay" || th.Messages[0].Text != "It says no" || th.Messages[0].FromOperator || th.Ticket.User != anna {
			t.Errorf("opened %+v", th)
		}
		h.hears(fmt.Sprintf(`ticket.created user:1 {"ticket_id":%d,"user_id":1,"title":"Cannot pay","status":"open","priority":"high","has_media":false}`, id))

		added := func(message int64, admin bool, text, status string) string {
			return fmt.Sprintf(`{"ticket_id":%d,"message_id":%d,"user_id":1,"is_from_admin":%v,"message_text":"%s","has_media":false,"status":"%s"}`, id, message, admin, text, status)
		}
		moved := func(old, status, closed string) string {
			return fmt.Sprintf(`{"ticket_id":%d,"user_id":1,"old_status":"%s","new_status":"%s","closed_at":%s}`, id, old, status, closed)
		}
		first := th.Messages[0].ID

		h.replies(byVera, id, "Try again")
		h.hears("ticket.message_added user:3 "+added(first+1, true, "Try again", "answered"), "ticket.status_changed user:3 "+moved("open", "answered", "null"))
		h.replies(byKey, id, "Really")
		h.hears("ticket.message_added key:k_1 " + added(first+2, true, "Really", "answered"))
		h.replies(byAnna, id, "No")
		h.hears("ticket.message_added user:1 "+added(first+3, false, "No", "open"), "ticket.status_changed user:1 "+moved("answered", "open", "null"))
		h.replies(byAnna, id, "Hello?")
		h.hears("ticket.message_added user:1 " + added(first+4, false, "Hello?", "open"))
		h.changes(byVera, id, tickets.Change{Status: to(tickets.Pending)})
		h.hears("ticket.status_changed user:3 " + moved("open", "pending", "null"))

		h.pass(time.Minute)
		closed := h.changes(byVera, id, tickets.Change{Status: to(tickets.Closed)})
		h.hears("ticket.status_changed user:3 " + moved("pending", "closed", `"2026-05-01T12:01:00Z"`))
		if closed.ClosedAt != h.now.UnixMilli() || closed.UpdatedAt != h.now.UnixMilli() {
			t.Errorf("closed %+v", closed)
		}
		h.changes(byVera, id, tickets.Change{Status: to(tickets.Closed)})
		h.hears()
		h.pass(time.Minute)
		open := h.replies(byAnna, id, "Not yet")
		h.hears("ticket.message_added user:1 "+added(first+5, false, "Not yet", "open"), "ticket.status_changed user:1 "+moved("closed", "open", "null"))
		if open.ClosedAt != 0 || open.Messages != 6 {
			t.Errorf("opened again %+v", open)
		}
		h.changes(byVera, id, tickets.Change{Status: to(tickets.Closed)})
		h.heard()
		answered := h.replies(byVera, id, "Done")
		h.hears("ticket.message_added user:3 "+added(first+6, true, "Done", "answered"), "ticket.status_changed user:3 "+moved("closed", "answered", "null"))
		if answered.ClosedAt != 0 {
			t.Errorf("answered after the end: %+v", answered)
		}
	})
}

func TestChanges(t *testing.T) {
	each(t, tickets.Options{}, func(t *testing.T, h *harness) {
		ctx := t.Context()
		id := h.opens(byAnna, "Title", "text")
		h.heard()
		until := h.now.Add(time.Hour).UnixMilli()
		h.changes(byVera, id, tickets.Change{Priority: to(tickets.Urgent), Assignee: to(vera), BlockedUntil: &until, Status: to(tickets.Closed)})
		h.hears(
			fmt.Sprintf(`ticket.status_changed user:3 {"ticket_id":%d,"user_id":1,"old_status":"open","new_status":"closed","closed_at":"2026-05-01T12:00:00Z"}`, id),
			fmt.Sprintf(`ticket.updated user:3 {"ticket_id":%d,"user_id":1,"changes":["priority","assignee_id","replies_blocked_until"],"title":"Title","status":"closed","priority":"urgent","assignee_id":3,"replies_blocked_until":"2026-05-01T13:00:00Z"}`, id),
		)
		h.changes(byVera, id, tickets.Change{Priority: to(tickets.Urgent), Assignee: to(vera), BlockedUntil: &until})
		h.changes(byVera, id, tickets.Change{})
		h.hears()

		var blocked *tickets.BlockedError
		if _, _, err := h.tickets.Reply(ctx, byAnna, id, "but", nil); !errors.As(err, &blocked) || blocked.Until != until || blocked.RetryAfter != time.Hour {
			t.Errorf("a blocked reply: %v", err)
		}
		h.hears()
		h.replies(byVera, id, "Operators are not blocked")
		h.pass(time.Hour)
		h.replies(byAnna, id, "now")
		h.changes(byVera, id, tickets.Change{BlockedUntil: to(h.now.Add(time.Minute).UnixMilli())})
		h.changes(byKey, id, tickets.Change{BlockedUntil: to(int64(0)), Assignee: to(int64(0))})
		h.replies(byAnna, id, "and now")

		h.changes(byVera, id, tickets.Change{BlockedUntil: to(h.now.Add(time.Minute).UnixMilli())})
		h.pass(time.Hour)
		h.forget()
		h.changes(byVera, id, tickets.Change{BlockedUntil: to(int64(0))})
		h.hears() // it was over

		for name, c := range map[string]tickets.Change{
			"status":                {Status: to("lost")},
			"priority":              {Priority: to("")},
			"assignee_id":           {Assignee: to(anna)},
			"replies_blocked_until": {BlockedUntil: to(int64(1) << 60)},
		} {
			var field *tickets.FieldError
			if _, err := h.tickets.Change(ctx, byVera, id, c); !errors.As(err, &field) || field.Field != name {
				t.Errorf("wrong %s: %v", name, err)
			}
		}
		for _, nobody := range []int64{lena, 99, -1} {
			if _, err := h.tickets.Change(ctx, byVera, id, tickets.Change{Assignee: &nobody}); err == nil {
				t.Errorf("assigned to %d", nobody)
			}
		}
	})
}

// TestS15_TicketsAreSeenByTheirOwnersAndOperators tries every method as everybody.
func TestS15_TicketsAreSeenByTheirOwnersAndOperators(t *testing.T) {
	each(t, tickets.Options{}, func(t *testing.T, h *harness) {
		ctx := t.Context()
		id := h.opens(byAnna, "Title", "text")
		h.heard()
		for _, stranger := range []tickets.Caller{byBoris, byNobody} {
			for _, n := range []int64{id, 99, -1, 0} {
				_, err := h.tickets.Thread(ctx, stranger, n, 0, 0)
				_, _, err2 := h.tickets.Reply(ctx, stranger, n, "x", nil)
				_, err3 := h.tickets.Change(ctx, stranger, n, tickets.Change{Status: to(tickets.Closed)})
				for _, err := range []error{err, err2, err3} {
					if !errors.Is(err, tickets.ErrNotFound) {
						t.Errorf("%+v and ticket %d: %v", stranger, n, err)
					}
				}
			}
			for _, q := range []tickets.Query{{}, {User: anna}, {Status: tickets.Open}, {Assignee: vera}} {
				if p, err := h.tickets.List(ctx, stranger, q); err != nil || len(p.Tickets) != 0 {
					t.Errorf("%+v lists %v, %v", stranger, p, err)
				}
			}
		}
		if _, err := h.tickets.Change(ctx, byAnna, id, tickets.Change{Status: to(tickets.Closed)}); !errors.Is(err, tickets.ErrForbidden) {
			t.Errorf("the owner changes: %v", err)
		}
		if _, err := h.tickets.Open(ctx, byBoris, tickets.New{User: anna, Title: "x", Text: "y"}); !errors.Is(err, tickets.ErrForbidden) {
			t.Errorf("opened for somebody else: %v", err)
		}
		h.hears()
		th, err := h.tickets.Open(ctx, byKey, tickets.New{User: anna, Title: "x", Text: "y"})
		h.must(err)
		if m := th.Messages[0]; m.Author != anna || m.FromOperator {
			t.Errorf("opened by a service %+v", th)
		}
		for _, nobody := range []int64{0, lena, 99} {
			var field *tickets.FieldError
			if _, err := h.tickets.Open(ctx, byKey, tickets.New{User: nobody, Title: "x", Text: "y"}); !errors.As(err, &field) || field.Field != "user_id" {
				t.Errorf("opened for %d: %v", nobody, err)
			}
		}
		// Who asks is no operator of the own question, whatever the role.
		own := h.opens(byVera, "Mine", "text")
		if got := h.replies(byVera, own, "more"); got.Status != tickets.Open {
			t.Errorf("an administrator's own ticket is %s", got.Status)
		}
	})
}

func TestPaging(t *testing.T) {
	each(t, tickets.Options{}, func(t *testing.T, h *harness) {
		ctx := t.Context()
		var ids []int64
		for i := range 7 {
			by := byAnna
			if i%3 == 2 {
				by = byBoris
			}
			ids = append(ids, h.opens(by, fmt.Sprint("ticket ", i), "text"))
		}
		h.changes(byVera, ids[1], tickets.Change{Status: to(tickets.Closed), Priority: to(tickets.High), Assignee: to(vera)})
		h.changes(byVera, ids[2], tickets.Change{Assignee: to(vera)})
		slices.Reverse(ids) // the newest first
		all := func(by tickets.Caller, q tickets.Query) (found []int64) {
			for {
				p, err := h.tickets.List(ctx, by, q)
				h.must(err)
				if len(p.Tickets) > q.Limit {
					t.Errorf("a page of %d has %d", q.Limit, len(p.Tickets))
				}
				for _, one := range p.Tickets {
					found = append(found, one.ID)
				}
				if q.Cursor = p.Next; q.Cursor == "" {
					return found
				}
			}
		}
		for limit := 1; limit < 9; limit++ {
			for _, c := range []struct {
				by   tickets.Caller
				q    tickets.Query
				want []int64
			}{
				{byVera, tickets.Query{}, ids},
				{byAnna, tickets.Query{}, []int64{ids[0], ids[2], ids[3], ids[5], ids[6]}},
				{byAnna, tickets.Query{User: boris}, nil},
				{byVera, tickets.Query{User: boris}, []int64{ids[1], ids[4]}},
				{byVera, tickets.Query{User: boris, Assignee: vera}, []int64{ids[4]}},
				{byVera, tickets.Query{Assignee: vera}, []int64{ids[4], ids[5]}},
				{byVera, tickets.Query{Assignee: vera, Status: tickets.Open}, []int64{ids[4]}},
				{byVera, tickets.Query{Status: tickets.Closed}, []int64{ids[5]}},
				{byAnna, tickets.Query{Status: tickets.Closed}, []int64{ids[5]}},
				{byVera, tickets.Query{Priority: tickets.High}, []int64{ids[5]}},
				{byVera, tickets.Query{Status: "none"}, nil},
			} {
				if c.q.Limit = limit; !slices.Equal(all(c.by, c.q), c.want) {
					t.Errorf("%+v sees %v, want %v", c.q, all(c.by, c.q), c.want)
				}
			}
		}
		for _, cursor := range []string{"x", "-1", "0", "1e3", strings.Repeat("9", 30)} {
			var field *tickets.FieldError
			if _, err := h.tickets.List(ctx, byVera, tickets.Query{Cursor: cursor}); !errors.As(err, &field) {
				t.Errorf("cursor %q: %v", cursor, err)
			}
		}
	})
}

func TestThreads(t *testing.T) {
	each(t, tickets.Options{}, func(t *testing.T, h *harness) {
		ctx := t.Context()
		f := h.upload(anna, "a.txt")
		th, err := h.tickets.Open(ctx, byAnna, tickets.New{Title: "Title", Files: []tickets.File{f}})
		h.must(err)
		id := th.Ticket.ID
		if got := h.heard(); !strings.Contains(got[0], `"has_media":true`) {
			t.Errorf("heard %s", got)
		}
		for i := range 5 {
			h.replies(byVera, id, fmt.Sprint("answer ", i))
		}
		shot := h.upload(vera, "b.txt")
		_, m, err := h.tickets.Reply(ctx, byVera, id, "", []tickets.File{shot})
		h.must(err)
		var texts []string
		before := int64(0)
		for {
			th, err := h.tickets.Thread(ctx, byAnna, id, before, 2)
			h.must(err)
			for i := len(th.Messages) - 1; i >= 0; i-- {
				texts = append(texts, th.Messages[i].Text)
			}
			if !th.Before {
				break
			}
			before = th.Messages[0].ID
		}
		if got := strings.Join(texts, "|"); got != "|answer 4|answer 3|answer 2|answer 1|answer 0|" {
			t.Errorf("backwards there is %q", got)
		}
		th, err = h.tickets.Thread(ctx, byAnna, id, 0, 0)
		h.must(err)
		if last := th.Messages[6]; th.Before || last.ID != m.ID || len(last.Files) != 1 || last.Files[0].Name != "b.txt" || last.Files[0].Caption != shot.Caption {
			t.Errorf("the thread is %+v", th)
		}

		// Who sees the ticket sees its files, and they stay.
		for user, want := range map[int64]bool{anna: true, vera: true, boris: false} {
			for _, file := range []string{f.ID, shot.ID} {
				if _, err := h.files.Get(ctx, user, file); (err == nil) != want {
					t.Errorf("user %d and file %s: %v", user, file, err)
				}
			}
		}
		h.pass(48 * time.Hour)
		loose := h.upload(anna, "loose.txt")
		h.pass(48 * time.Hour)
		_, err = h.files.Sweep(ctx)
		h.must(err)
		if _, err := h.files.Get(ctx, anna, f.ID); err != nil {
			t.Errorf("a file of a ticket was swept: %v", err)
		}
		if _, err := h.files.Get(ctx, anna, loose.ID); err == nil {
			t.Error("a loose file was not swept")
		}
		h.must(h.files.DeleteOf(ctx, f.ID))
		th, err = h.tickets.Thread(ctx, byAnna, id, 0, 0)
		h.must(err)
		if len(th.Messages[0].Files) != 0 {
			t.Errorf("a file that is gone is shown: %+v", th.Messages[0])
		}
		faults, err := h.store.Check(ctx, nil)
		h.must(err)
		if len(faults) > 0 {
			t.Errorf("the database has faults: %v", faults)
		}
	})
}

// TestR35_HostileInput is refused by name, and nothing is stored or told.
func TestR35_HostileInput(t *testing.T) {
	each(t, tickets.Options{}, func(t *testing.T, h *harness) {
		ctx := t.Context()
		id := h.opens(byAnna, "Title", "text")
		own, foreign := h.upload(anna, "a.txt"), h.upload(boris, "b.txt")
		h.heard()
		many := make([]tickets.File, 11)
		for i := range many {
			many[i].ID = fmt.Sprint("f_", i)
		}
		for _, c := range []struct {
			field string
			in    tickets.New
		}{
			{"title", tickets.New{Text: "x"}},
			{"title", tickets.New{Title: " \n\u0000\u0007 ", Text: "x"}},
			{"title", tickets.New{Title: strings.Repeat("ы", 201), Text: "x"}},
			{"title", tickets.New{Title: strings.Repeat("x", 1<<20), Text: "x"}},
			{"priority", tickets.New{Title: "x", Text: "x", Priority: "highest"}},
			{"text", tickets.New{Title: "x"}},
			{"text", tickets.New{Title: "x", Text: "\u0000"}},
			{"text", tickets.New{Title: "x", Text: strings.Repeat("ы", 4001)}},
			{"text", tickets.New{Title: "x", Text: strings.Repeat("x", 1<<20)}},
			{"attachments", tickets.New{Title: "x", Files: many}},
			{"attachments", tickets.New{Title: "x", Files: []tickets.File{foreign}}},
			{"attachments", tickets.New{Title: "x", Files: []tickets.File{own, own}}},
			{"attachments", tickets.New{Title: "x", Files: []tickets.File{{ID: "f_\u0000"}}}},
			{"attachments", tickets.New{Title: "x", Files: []tickets.File{{}}}},
			{"attachments", tickets.New{Title: "x", Files: []tickets.File{{ID: strings.Repeat("f", 1<<16)}}}},
			{"caption", tickets.New{Title: "x", Files: []tickets.File{{ID: own.ID, Caption: strings.Repeat("x", 1025)}}}},
		} {
			check := func(what string, err error) {
				var field *tickets.FieldError
				var limit *tickets.LimitError
				if !(errors.As(err, &field) && field.Field == c.field || errors.As(err, &limit) && limit.Field == c.field) {
					t.Errorf("%s with wrong %s: %v", what, c.field, err)
				}
			}
			_, err := h.tickets.Open(ctx, byAnna, c.in)
			check("open", err)
			if c.field != "title" && c.field != "priority" {
				_, _, err = h.tickets.Reply(ctx, byAnna, id, c.in.Text, c.in.Files)
				check("reply", err)
			}
		}
		th, err := h.tickets.Open(ctx, byAnna, tickets.New{Title: "a\u0000b\xff'; DROP TABLE tickets; --", Text: "e\u0301\u202e\x00"})
		h.must(err)
		if th.Ticket.Title != "ab\uFFFD'; DROP TABLE tickets; --" || th.Messages[0].Text != "é\u202e" {
			t.Errorf("opened %+v", th)
		}
		h.heard()
		long := strings.Repeat("ы", 300)
		h.replies(byAnna, id, long)
		if got := h.heard(); !strings.Contains(got[0], `"message_text":"`+strings.Repeat("ы", 200)+`"`) {
			t.Errorf("heard %s", got)
		}
	})
}

// TestEventsAndChangesAreOne has the log fail after each event: neither the change nor
// anything told remains.
func TestEventsAndChangesAreOne(t *testing.T) {
	each(t, tickets.Options{}, func(t *testing.T, h *harness) {
		ctx := t.Context()
		id := h.opens(byAnna, "Title", "text")
		h.heard()
		before, err := h.tickets.Thread(ctx, byVera, id, 0, 0)
		h.must(err)
		for n := 1; n <= 2; n++ {
			s := tickets.NewService(tickets.Options{Store: &failing{h.store.Tickets(), n}, Clock: h.clock})
			_, _, err := s.Reply(ctx, byVera, id, "answer", nil)
			_, err2 := s.Change(ctx, byVera, id, tickets.Change{Status: to(tickets.Closed), Priority: to(tickets.Low)})
			if !errors.Is(err, errPlanted) || !errors.Is(err2, errPlanted) {
				t.Errorf("failure %d: %v, %v", n, err, err2)
			}
		}
		s := tickets.NewService(tickets.Options{Store: &failing{h.store.Tickets(), 1}, Clock: h.clock})
		if _, err := s.Open(ctx, byAnna, tickets.New{Title: "x", Text: "y"}); !errors.Is(err, errPlanted) {
			t.Errorf("open: %v", err)
		}
		h.hears()
		after, err := h.tickets.Thread(ctx, byVera, id, 0, 0)
		h.must(err)
		p, err := h.tickets.List(ctx, byVera, tickets.Query{})
		h.must(err)
		if fmt.Sprint(before) != fmt.Sprint(after) || len(p.Tickets) != 1 {
			t.Errorf("after failures %+v, and %d tickets", after, len(p.Tickets))
		}
	})
}

// TestConcurrentReplies tells each change of the status once: old and new statuses are a
// chain.
func TestConcurrentReplies(t *testing.T) {
	each(t, tickets.Options{}, func(t *testing.T, h *harness) {
		id := h.opens(byAnna, "Title", "text")
		h.heard()
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				by := byAnna
				if i%2 == 0 {
					by = byVera
				}
				if _, _, err := h.tickets.Reply(t.Context(), by, id, "x", nil); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		th, err := h.tickets.Thread(t.Context(), byAnna, id, 0, 0)
		h.must(err)
		if th.Ticket.Messages != 41 || len(th.Messages) != 41 {
			t.Errorf("%d messages are counted, %d there", th.Ticket.Messages, len(th.Messages))
		}
		rows, err := h.raw.QueryContext(t.Context(), `SELECT type, payload FROM events ORDER BY id`)
		h.must(err)
		defer rows.Close()
		status, n := "open", 0
		for rows.Next() {
			var typ, text string
			h.must(rows.Scan(&typ, &text))
			switch typ {
			case "ticket.status_changed":
				if !strings.Contains(text, `"old_status":"`+status+`"`) {
					t.Errorf("after %s: %s", status, text)
				}
				_, rest, _ := strings.Cut(text, `"new_status":"`)
				status, _, _ = strings.Cut(rest, `"`)
			case "ticket.message_added":
				n++
			}
		}
		h.must(rows.Err())
		if status != th.Ticket.Status || n != 40 {
			t.Errorf("the log ends with %s, the ticket is %s; %d messages were told", status, th.Ticket.Status, n)
		}
	})
}

func TestRates(t *testing.T) {
	each(t, tickets.Options{TicketsPerHour: 2, RepliesPerMinute: 3}, func(t *testing.T, h *harness) {
		ctx := t.Context()
		id := h.opens(byAnna, "Title", "text")
		h.pass(10 * time.Minute)
		h.opens(byAnna, "Title", "text")
		var rate *tickets.RateError
		if _, err := h.tickets.Open(ctx, byAnna, tickets.New{Title: "x", Text: "y"}); !errors.As(err, &rate) || rate.RetryAfter != 50*time.Minute || rate.Limit != 2 {
			t.Errorf("a third ticket: %v %+v", err, rate)
		}
		h.opens(byBoris, "Title", "text")
		_, err := h.tickets.Open(ctx, byKey, tickets.New{User: anna, Title: "x", Text: "y"})
		h.must(err)
		h.pass(time.Hour)
		h.opens(byAnna, "Title", "text")
		h.replies(byAnna, id, "one") // the first message of a ticket counts too
		h.replies(byAnna, id, "two")
		if _, _, err := h.tickets.Reply(ctx, byAnna, id, "three", nil); !errors.As(err, &rate) {
			t.Errorf("a third reply: %v", err)
		}
		for range 10 {
			h.replies(byVera, id, "operators are not counted")
		}
		h.pass(time.Minute)
		h.replies(byAnna, id, "three")
	})
}
