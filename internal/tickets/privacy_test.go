package tickets_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/kuranty/kuranty/internal/privacy"
	"github.com/kuranty/kuranty/internal/tickets"
)

var _ privacy.Part = tickets.Personal{}

func (h *harness) exports(user int64) map[string]string {
	h.t.Helper()
	out := make(map[string]string)
	err := h.tickets.Personal().Export(h.t.Context(), user, func(name string, v any) error {
		b, err := json.Marshal(v)
		if out[name] != "" {
			return errors.New(name + " is written twice")
		}
		out[name] = string(b)
		return err
	})
	h.must(err)
	return out
}

// TestS37_Tickets exports and erases tickets of a person, more than one page of them.
func TestS37_Tickets(t *testing.T) {
	each(t, tickets.Options{RepliesPerMinute: -1, TicketsPerHour: -1}, func(t *testing.T, h *harness) {
		ctx := t.Context()
		part := h.tickets.Personal()
		long, other := h.opens(byAnna, "ztitlez", "zsecretz"), h.opens(byBoris, "Of boris", "zborisz")
		for range 205 {
			h.replies(byAnna, long, "zsecretz again")
		}
		shot := h.upload(vera, "answer.txt")
		_, _, err := h.tickets.Reply(ctx, byVera, long, "zanswerz", []tickets.File{shot})
		h.must(err)
		h.replies(byVera, other, "zhelpz")
		h.changes(byVera, other, tickets.Change{Assignee: to(vera)})
		h.changes(byVera, long, tickets.Change{Priority: to(tickets.Low)})

		h.exec(`INSERT INTO idempotency (principal, key, request, status, response, created_at) VALUES
			('key:k', 'a', '', 201, $1, 1), ('key:k', 'b', '', 201, $2, 1), ('key:k', 'c', '', 201, '{"text":"zsecretz"}', 1)`,
			fmt.Sprintf(`{"id":1,"messages":[{"id":1,"ticket_id":%d,"text":"zsecretz"}]}`, long), fmt.Sprintf(`{"id":2,"ticket_id":%d,"text":"zborisz"}`, other))

		got := h.exports(anna)
		first, second := fmt.Sprint(long), fmt.Sprint(long, "-2")
		if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, []string{first, second}) {
			t.Errorf("the export has %v", names)
		}
		if all := got[first] + got[second]; strings.Count(all, "zsecretz") != 206 || !strings.Contains(all, "zanswerz") || strings.Contains(all, "zborisz") {
			t.Errorf("the export is %.300s", all)
		}
		if ids, err := part.Files(ctx, anna); err != nil || !slices.Equal(ids, []string{shot.ID}) {
			t.Errorf("files of others: %v, %v", ids, err)
		}
		if got := h.exports(vera); len(got) != 1 || !strings.Contains(got["answers"], "zhelpz") || !strings.Contains(got["answers"], "zanswerz") {
			t.Errorf("the export of who answers is %v", got)
		}

		for range 2 { // a crash repeats it
			h.must(part.Erase(ctx, anna))
		}
		if got := h.exports(anna); len(got) != 0 {
			t.Errorf("after the erasure there is %v", got)
		}
		if _, err := h.tickets.Thread(ctx, byVera, long, 0, 0); !errors.Is(err, tickets.ErrNotFound) {
			t.Errorf("after the erasure: %v", err)
		}
		for _, query := range []string{`SELECT count(*) FROM events WHERE payload LIKE $1`, `SELECT count(*) FROM ticket_messages WHERE text LIKE $1`} {
			for text, kept := range map[string]bool{"%zsecretz%": false, "%ztitlez%": false, "%zanswerz%": false, "%zborisz%": strings.Contains(query, "text"), "%zhelpz%": true} {
				var n int
				h.must(h.raw.QueryRowContext(ctx, query, text).Scan(&n))
				if (n > 0) != kept {
					t.Errorf("%s: %s is there %d times", query, text, n)
				}
			}
		}
		var kept string
		h.must(h.raw.QueryRowContext(ctx, `SELECT min(key) || max(key) FROM idempotency`).Scan(&kept))
		if kept != "bc" {
			t.Errorf("the replies %s are kept", kept)
		}
		h.heard()
		h.must(part.Erase(ctx, vera))
		h.hears(fmt.Sprintf(`ticket.updated  {"ticket_id":%d,"user_id":2,"changes":["assignee_id"],"title":"Of boris","status":"answered","priority":"normal","assignee_id":null,"replies_blocked_until":null}`, other))
		if th, err := h.tickets.Thread(ctx, byBoris, other, 0, 0); err != nil || len(th.Messages) != 2 || th.Ticket.Assignee != 0 {
			t.Errorf("what vera answered boris: %+v, %v", th, err)
		}
		faults, err := h.store.Check(ctx, nil)
		h.must(err)
		if len(faults) > 0 {
			t.Errorf("the database has faults: %v", faults)
		}
	})
}
