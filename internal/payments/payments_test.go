package payments_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/payments"
)

// payload decodes the payload of an event, which is as the catalogue wants it.
func (h *harness) payload(e event.Event) (t event.Transaction) {
	h.t.Helper()
	c, err := event.NewCatalogue()
	h.must(err)
	k := c.Kind(e.Type)
	if k == nil || k.Channel != "payments" {
		h.t.Fatalf("event %s is not of the channel payments", e.Type)
	}
	h.must(k.Check(e.Payload))
	h.must(json.Unmarshal(e.Payload, &t))
	return t
}

// Every type does to the balance what is documented, and is announced by one event.
func TestTypes(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		anna := h.user(1)
		h.create(payments.NewTransaction{User: anna, Type: payments.Deposit, Amount: 10_000})
		h.happened()
		balance := int64(10_000)
		for _, c := range []struct {
			typ    string
			effect int64
			event  string
		}{
			{payments.Deposit, 1, event.PaymentCompleted},
			{payments.Withdrawal, -1, event.TransactionCreated},
			{payments.SubscriptionPayment, -1, event.TransactionCreated},
			{payments.Refund, 1, event.TransactionCreated},
			{payments.FailedRefund, 0, event.TransactionCreated},
			{payments.ReferralReward, 1, event.TransactionCreated},
			{payments.PollReward, 1, event.TransactionCreated},
			{payments.GiftPayment, -1, event.TransactionCreated},
		} {
			done := h.create(payments.NewTransaction{User: anna, Type: c.typ, Amount: 101})
			if got, want := h.happened(), []string{fmt.Sprintf("%s %d true", c.event, done.ID)}; !slices.Equal(got, want) {
				t.Errorf("%s: events %q, want %q", c.typ, got, want)
			}
			balance += 101 * c.effect
			h.owns(anna, balance)

			// A pending one counts when it is completed. Only of a deposit nothing is told before.
			pending := h.create(payments.NewTransaction{User: anna, Type: c.typ, Amount: 7, Pending: true})
			h.owns(anna, balance)
			var want []string
			completed := event.PaymentCompleted
			if c.typ != payments.Deposit {
				want, completed = []string{fmt.Sprintf("%s %d false", event.TransactionCreated, pending.ID)}, event.TransactionCompleted
			}
			if got := h.happened(); !slices.Equal(got, want) {
				t.Errorf("pending %s: events %q, want %q", c.typ, got, want)
			}
			h.pass(time.Minute)
			got, changed, err := h.Complete(t.Context(), "user:9", pending.ID)
			if err != nil || !changed || got.CompletedAt-got.CreatedAt != time.Minute.Milliseconds() {
				t.Errorf("complete %s: %+v, %v, %v", c.typ, got, changed, err)
			}
			balance += 7 * c.effect
			h.owns(anna, balance)
			want = []string{fmt.Sprintf("%s %d true", completed, pending.ID)}
			if got := h.happened(); !slices.Equal(got, want) {
				t.Errorf("completed %s: events %q, want %q", c.typ, got, want)
			}
			again, changed, err := h.Complete(t.Context(), "user:9", pending.ID)
			if err != nil || changed || !reflect.DeepEqual(again, got) || len(h.happened()) > 0 {
				t.Errorf("completed %s again: %+v, %v, %v", c.typ, again, changed, err)
			}
			h.owns(anna, balance)
		}
		h.sound()
	})
}

// The event has the documented fields, with null for what is not known, and who did it.
func TestEventTellsAll(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		anna := h.user(1)
		h.create(payments.NewTransaction{User: anna, Type: payments.Deposit, Amount: 15000, Method: "card", ExternalID: "pi_1", Description: "Пополнение <1>"})
		h.create(payments.NewTransaction{User: anna, Type: payments.Withdrawal, Amount: 9950})
		for i, want := range []string{
			`{"transaction_id":1,"user_id":1,"type":"deposit","amount_kopeks":15000,"amount_rubles":150.0,"payment_method":"card","external_id":"pi_1","is_completed":true,"description":"Пополнение \u003c1\u003e"}`,
			`{"transaction_id":2,"user_id":1,"type":"withdrawal","amount_kopeks":9950,"amount_rubles":99.5,"payment_method":null,"external_id":null,"is_completed":true,"description":null}`,
		} {
			e := h.events[i]
			if string(e.Payload) != want || e.Actor != "key:test" || e.At != h.clock().UnixMilli() {
				t.Errorf("event %d by %s at %d: %s\nwant %s", i, e.Actor, e.At, e.Payload, want)
			}
		}
	})
}

func TestExternalIDsAreStoredOnce(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		ctx := t.Context()
		anna, max := h.user(1), h.user(2)
		n := payments.NewTransaction{User: anna, Type: payments.Deposit, Amount: 500, Method: "card", ExternalID: "pi_1", Description: "d"}
		first := h.create(n)
		h.happened()
		again, stored, err := h.Create(ctx, "key:other", n)
		if err != nil || stored || !reflect.DeepEqual(again, first) {
			t.Errorf("the same again: %+v, %v, %v", again, stored, err)
		}
		for name, change := range map[string]func(*payments.NewTransaction){
			"user": func(n *payments.NewTransaction) { n.User = max }, "type": func(n *payments.NewTransaction) { n.Type = payments.Refund },
			"amount": func(n *payments.NewTransaction) { n.Amount++ }, "text": func(n *payments.NewTransaction) { n.Description = "" },
			"state": func(n *payments.NewTransaction) { n.Pending = true },
		} {
			other := n
			change(&other)
			var conflict *payments.ConflictError
			if _, _, err := h.Create(ctx, "key:test", other); !errors.As(err, &conflict) || conflict.Transaction != first.ID {
				t.Errorf("other %s: %v", name, err)
			}
		}
		if got := h.happened(); len(got) > 0 {
			t.Errorf("repetitions were announced: %q", got)
		}
		h.owns(anna, 500)

		// Another method has ids of its own; without an id everything is new.
		n.Method = "bank"
		h.create(n)
		n.Method, n.ExternalID = "", "pi_1"
		h.create(n)
		n.ExternalID = ""
		h.create(n)
		h.create(n)
		h.owns(anna, 2500)

		// A pending one is the same after it was completed.
		p := payments.NewTransaction{User: anna, Type: payments.Deposit, Amount: 1, ExternalID: "pi_2", Pending: true}
		pending := h.create(p)
		_, _, err = h.Complete(ctx, "key:test", pending.ID)
		h.must(err)
		if again, stored, err := h.Create(ctx, "key:test", p); err != nil || stored || again.ID != pending.ID || !again.Completed() {
			t.Errorf("a pending one again: %+v, %v, %v", again, stored, err)
		}
		h.sound()
	})
}

func TestBalancesStayInBounds(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		ctx := t.Context()
		anna := h.user(1)
		taking := []string{payments.Withdrawal, payments.SubscriptionPayment, payments.GiftPayment}
		refused := func(want error, n payments.NewTransaction) {
			t.Helper()
			if _, _, err := h.Create(ctx, "key:test", n); !errors.Is(err, want) {
				t.Errorf("%+v: %v, want %v", n, err, want)
			}
		}
		for _, typ := range taking {
			refused(payments.ErrInsufficient, payments.NewTransaction{User: anna, Type: typ, Amount: 1})
			h.create(payments.NewTransaction{User: anna, Type: typ, Amount: 0})
		}
		h.create(payments.NewTransaction{User: anna, Type: payments.Deposit, Amount: 10})
		h.happened()
		for _, typ := range taking {
			refused(payments.ErrInsufficient, payments.NewTransaction{User: anna, Type: typ, Amount: 11})
			refused(payments.ErrInsufficient, payments.NewTransaction{User: anna, Type: typ, Amount: math.MaxInt64, Pending: true})
		}
		// Two pending ones that the balance covers, each alone.
		one := h.create(payments.NewTransaction{User: anna, Type: payments.Withdrawal, Amount: 6, Pending: true})
		two := h.create(payments.NewTransaction{User: anna, Type: payments.Withdrawal, Amount: 6, Pending: true})
		_, _, err := h.Complete(ctx, "key:test", one.ID)
		h.must(err)
		if _, _, err := h.Complete(ctx, "key:test", two.ID); !errors.Is(err, payments.ErrInsufficient) {
			t.Errorf("completed what is not there: %v", err)
		}
		if got, err := h.Transaction(ctx, 0, two.ID); err != nil || got.Completed() {
			t.Errorf("after a refusal: %+v, %v", got, err)
		}
		h.owns(anna, 4)

		h.create(payments.NewTransaction{User: anna, Type: payments.Deposit, Amount: math.MaxInt64 - 4})
		h.owns(anna, math.MaxInt64)
		for _, typ := range []string{payments.Deposit, payments.Refund, payments.ReferralReward, payments.PollReward} {
			refused(payments.ErrOverflow, payments.NewTransaction{User: anna, Type: typ, Amount: 1})
			refused(payments.ErrOverflow, payments.NewTransaction{User: anna, Type: typ, Amount: math.MaxInt64})
			p := h.create(payments.NewTransaction{User: anna, Type: typ, Amount: math.MaxInt64, Pending: true})
			if _, _, err := h.Complete(ctx, "key:test", p.ID); !errors.Is(err, payments.ErrOverflow) {
				t.Errorf("completed %s above the limit: %v", typ, err)
			}
		}
		h.create(payments.NewTransaction{User: anna, Type: payments.FailedRefund, Amount: math.MaxInt64})
		h.owns(anna, math.MaxInt64)
		h.sound()
	})
}

func TestWrongFields(t *testing.T) {
	h := newHarness(t, "sqlite")
	anna := h.user(1)
	h.exec(`INSERT INTO users (id, name, role, kind, state, privacy, search_name, created_at, updated_at)
		VALUES (2, 'Deleted account', 'user', 'human', 'deleted', '{}', '', 1, 1)`)
	good := payments.NewTransaction{User: anna, Type: payments.Deposit, Amount: 1}
	for _, c := range []struct {
		field, reason string
		change        func(n *payments.NewTransaction)
	}{
		{"user_id", "invalid", func(n *payments.NewTransaction) { n.User = 0 }},
		{"user_id", "invalid", func(n *payments.NewTransaction) { n.User = -1 }},
		{"user_id", "invalid", func(n *payments.NewTransaction) { n.User = 404 }},
		{"user_id", "invalid", func(n *payments.NewTransaction) { n.User = 2 }},
		{"type", "invalid", func(n *payments.NewTransaction) { n.Type = "" }},
		{"type", "invalid", func(n *payments.NewTransaction) { n.Type = "Deposit" }},
		{"amount_kopeks", "invalid", func(n *payments.NewTransaction) { n.Amount = -1 }},
		{"amount_kopeks", "invalid", func(n *payments.NewTransaction) { n.Amount = math.MinInt64 }},
		{"payment_method", "too_long", func(n *payments.NewTransaction) { n.Method = strings.Repeat("ж", payments.MaxMethod+1) }},
		{"payment_method", "invalid", func(n *payments.NewTransaction) { n.Method = "a\nb" }},
		{"external_id", "too_long", func(n *payments.NewTransaction) { n.ExternalID = strings.Repeat("ж", payments.MaxExternalID+1) }},
		{"external_id", "invalid", func(n *payments.NewTransaction) { n.ExternalID = "a\x00" }},
		{"external_id", "invalid", func(n *payments.NewTransaction) { n.ExternalID = "\xff" }},
		{"external_id", "invalid", func(n *payments.NewTransaction) { n.ExternalID = " " }},
		{"payment_method", "invalid", func(n *payments.NewTransaction) { n.Method = "card " }},
		{"description", "too_long", func(n *payments.NewTransaction) { n.Description = strings.Repeat("ж", payments.MaxDescription+1) }},
		{"description", "invalid", func(n *payments.NewTransaction) { n.Description = "\x1b[2J" }},
	} {
		n := good
		c.change(&n)
		var wrong *payments.FieldError
		if _, _, err := h.Create(t.Context(), "key:test", n); !errors.As(err, &wrong) || wrong.Field != c.field || wrong.Reason != c.reason {
			t.Errorf("%+v: %v, want %s %s", n, err, c.field, c.reason)
		}
	}
	good.Method, good.ExternalID = strings.Repeat("ж", payments.MaxMethod), strings.Repeat("ж", payments.MaxExternalID)
	good.Description = strings.Repeat("ж", payments.MaxDescription-1) + "\n"
	if got := h.create(good); got.Description != good.Description {
		t.Errorf("kept %+v", got)
	}
}

// An error after everything was done leaves neither the change nor the event.
func TestChangeAndEventAreOne(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		ctx := t.Context()
		anna := h.user(1)
		pending := h.create(payments.NewTransaction{User: anna, Type: payments.Deposit, Amount: 5, Pending: true})
		h.fail.err = errPlanted
		if _, _, err := h.Create(ctx, "key:test", payments.NewTransaction{User: anna, Type: payments.Deposit, Amount: 7, ExternalID: "x"}); !errors.Is(err, errPlanted) {
			t.Errorf("create: %v", err)
		}
		if _, _, err := h.Complete(ctx, "key:test", pending.ID); !errors.Is(err, errPlanted) {
			t.Errorf("complete: %v", err)
		}
		h.owns(anna, 0)
		page, err := h.List(ctx, payments.Query{User: anna})
		if err != nil || len(page.Transactions) != 1 || page.Transactions[0].Completed() || len(h.happened()) > 0 {
			t.Errorf("left: %+v, %v", page, err)
		}
		log, err := h.store.Events(ctx, 0, 10)
		if err != nil || len(log) > 0 {
			t.Errorf("the log has %v, %v", log, err)
		}
	})
}

// However many take at once, there is never more taken than there was, and each that was
// accepted is announced.
func TestWithdrawalsAtOnceNeverOverdraw(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		ctx := t.Context()
		anna := h.user(1)
		h.create(payments.NewTransaction{User: anna, Type: payments.Deposit, Amount: 37})
		h.happened()
		var wg sync.WaitGroup
		var done atomic.Int64
		for range 100 {
			wg.Go(func() {
				switch _, _, err := h.Create(ctx, "key:test", payments.NewTransaction{User: anna, Type: payments.Withdrawal, Amount: 1}); {
				case err == nil:
					done.Add(1)
				case !errors.Is(err, payments.ErrInsufficient):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if done.Load() != 37 || len(h.happened()) != 37 {
			t.Errorf("%d of 37 went through", done.Load())
		}
		h.owns(anna, 0)
		h.sound()
	})
}

// The same request many times at once is one transaction; so is a completion.
func TestRepetitionsAtOnceCountOnce(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		ctx := t.Context()
		anna := h.user(1)
		h.create(payments.NewTransaction{User: anna, Type: payments.Deposit, Amount: 10})
		pending := h.create(payments.NewTransaction{User: anna, Type: payments.Deposit, Amount: 3, Pending: true})
		h.happened()
		var wg sync.WaitGroup
		var stored, completed atomic.Int64
		for range 20 {
			wg.Go(func() {
				// It takes all there is: the others must find it, not an empty balance.
				_, new, err := h.Create(ctx, "key:test", payments.NewTransaction{User: anna, Type: payments.Withdrawal, Amount: 10, ExternalID: "w"})
				if err != nil {
					t.Error(err)
				}
				if new {
					stored.Add(1)
				}
			})
			wg.Go(func() {
				_, changed, err := h.Complete(ctx, "key:test", pending.ID)
				if err != nil {
					t.Error(err)
				}
				if changed {
					completed.Add(1)
				}
			})
		}
		wg.Wait()
		if stored.Load() != 1 || completed.Load() != 1 || len(h.happened()) != 2 {
			t.Errorf("stored %d times, completed %d times", stored.Load(), completed.Load())
		}
		h.owns(anna, 3)
		h.sound()
	})
}

func TestPages(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		ctx := t.Context()
		anna, max := h.user(1), h.user(1<<40)
		for i := range 25 {
			typ := payments.Deposit
			if i%5 == 0 {
				typ = payments.PollReward
			}
			h.create(payments.NewTransaction{User: []int64{anna, max}[i%2], Type: typ, Amount: int64(i)})
		}
		for _, q := range []payments.Query{{}, {User: anna}, {User: max}, {Type: payments.PollReward}, {User: max, Type: payments.PollReward}, {User: 404}} {
			q.Limit = 4
			var got []int64
			for {
				page, err := h.List(ctx, q)
				h.must(err)
				for _, tr := range page.Transactions {
					got = append(got, tr.ID)
					if q.User != 0 && tr.User != q.User || q.Type != "" && tr.Type != q.Type {
						t.Errorf("%+v found %+v", q, tr)
					}
				}
				if q.Cursor = page.Next; q.Cursor == "" {
					break
				}
			}
			want := 0
			for i := range 25 {
				if (q.User == 0 || q.User == []int64{anna, max}[i%2]) && (q.Type == "" || (q.Type == payments.PollReward) == (i%5 == 0)) {
					want++
				}
			}
			if len(got) != want || !slices.IsSortedFunc(got, func(a, b int64) int { return int(b - a) }) {
				t.Errorf("%+v: %v, want %d", q, got, want)
			}
		}
		for _, cursor := range []string{"x", "0", "-1", "99999999999999999999"} {
			if _, err := h.List(ctx, payments.Query{Cursor: cursor}); !errors.Is(err, payments.ErrCursor) {
				t.Errorf("cursor %q: %v", cursor, err)
			}
		}
		if got, err := h.Transaction(ctx, anna, 1); err != nil || got.User != anna {
			t.Errorf("%+v, %v", got, err)
		}
		for _, of := range []int64{max, 404} { // of somebody else, as if absent
			if _, err := h.Transaction(ctx, of, 1); !errors.Is(err, payments.ErrNotFound) {
				t.Errorf("user %d: %v", of, err)
			}
		}
		if _, err := h.Balance(ctx, 404); !errors.Is(err, payments.ErrNotFound) {
			t.Errorf("balance of nobody: %v", err)
		}
		if _, _, err := h.Complete(ctx, "key:test", 404); !errors.Is(err, payments.ErrNotFound) {
			t.Errorf("complete nothing: %v", err)
		}
	})
}
