package payments_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/kuranty/kuranty/internal/payments"
	"github.com/kuranty/kuranty/internal/privacy"
)

var _ privacy.Part = payments.Part{}

// S37: the export has all transactions of the person and no others.
func TestS37_Export(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		anna, max := h.user(1), h.user(2)
		h.create(payments.NewTransaction{User: anna, Type: payments.Deposit, Amount: 500, Method: "card", ExternalID: "pi", Description: "d"})
		h.create(payments.NewTransaction{User: max, Type: payments.Deposit, Amount: 700})
		h.create(payments.NewTransaction{User: anna, Type: payments.Withdrawal, Amount: 20, Pending: true})
		for range 230 { // more than is read at once
			h.create(payments.NewTransaction{User: anna, Type: payments.FailedRefund})
		}
		files := make(map[string]string)
		write := func(name string, v any) error {
			b, err := json.Marshal(v)
			files[name] = string(b)
			return err
		}
		h.must(h.Part().Export(t.Context(), anna, write))
		const tail = `,{"id":3,"type":"withdrawal","amount_kopeks":20,"payment_method":null,"external_id":null,"is_completed":false,"description":null,"created_at":"2026-05-01T12:00:00Z","completed_at":null},` +
			`{"id":1,"type":"deposit","amount_kopeks":500,"payment_method":"card","external_id":"pi","is_completed":true,"description":"d","created_at":"2026-05-01T12:00:00Z","completed_at":"2026-05-01T12:00:00Z"}]`
		got := files["transactions"]
		if len(files) != 2 || files["balance"] != `{"balance_kopeks":500}` || !strings.HasSuffix(got, tail) || strings.Count(got, `"id"`) != 232 {
			t.Errorf("%d files, balance %s, %d transactions: %s", len(files), files["balance"], strings.Count(got, `"id"`), got)
		}
		if err := h.Part().Export(t.Context(), max, func(string, any) error { return errPlanted }); !errors.Is(err, errPlanted) {
			t.Errorf("export that cannot be written: %v", err)
		}
		files = make(map[string]string)
		h.must(h.Part().Export(t.Context(), h.user(3), write))
		if files["transactions"] != "[]" || files["balance"] != `{"balance_kopeks":0}` {
			t.Errorf("export of who has none: %v", files)
		}
	})
}

// S37: after erasure no text or external id of the person is in any table; sums, and what
// is others', stay. It may be repeated, as after a crash.
func TestS37_Erasure(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		anna, max := h.user(4), h.user(42)
		for i := range 220 { // more than is changed at once
			for _, user := range []int64{anna, max} {
				h.create(payments.NewTransaction{
					User: user, Type: payments.Deposit, Amount: 1, ExternalID: fmt.Sprintf("zext%d-%d", user, i), Description: fmt.Sprintf(`zdesc%d- "user_id":4,`, user), Pending: i == 0,
				})
			}
		}
		for _, user := range []int64{anna, max} {
			_, _, err := h.Complete(t.Context(), "key:test", user/40+1) // 1 and 2
			h.must(err)
			h.exec(`INSERT INTO idempotency (principal, key, request, status, response, created_at) VALUES ('key:test', $1, '', 201, $2, 1)`, fmt.Sprint(user),
				fmt.Sprintf(`{"id":1,"user_id":%d,"type":"deposit","amount_kopeks":1,"payment_method":null,"description":"zdesc%d-"}`, user, user))
		}
		h.exec(`UPDATE users SET state = 'deleted' WHERE id = $1`, anna)
		for range 2 {
			h.must(h.Part().Erase(t.Context(), anna))
		}
		for _, c := range []struct {
			text string
			want int
		}{{"zdesc4-", 0}, {"zext4-", 0}, {"zdesc42-", 220 + 220 + 1}, {"zext42-", 220 + 220}} {
			n := 0
			for _, query := range []string{
				`SELECT count(*) FROM events WHERE payload LIKE $1`, `SELECT count(*) FROM transactions WHERE external_id LIKE $1 OR description LIKE $1`,
				`SELECT count(*) FROM idempotency WHERE response LIKE $1`,
			} {
				var more int
				h.must(h.raw.QueryRowContext(t.Context(), query, "%"+c.text+"%").Scan(&more))
				n += more
			}
			if n != c.want {
				t.Errorf("%s is in %d rows, want %d", c.text, n, c.want)
			}
		}
		h.owns(anna, 220)
		h.owns(max, 220)
		var payload string
		h.must(h.raw.QueryRowContext(t.Context(), `SELECT payload FROM events WHERE payload LIKE '%"user_id":4,%' ORDER BY id LIMIT 1`).Scan(&payload))
		if want := `{"transaction_id":3,"user_id":4,"type":"deposit","amount_kopeks":1,"amount_rubles":0.01,"payment_method":null,"external_id":null,"is_completed":true,"description":null}`; payload != want {
			t.Errorf("the event is %s, want %s", payload, want)
		}
		h.sound()
	})
}
