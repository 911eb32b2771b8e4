package payments_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/kuranty/kuranty/internal/payments"
	"github.com/kuranty/kuranty/internal/store"
)

// R40: a backup has transactions and balances, and numbers go on where they were. A balance
// that is not what its transactions make is found by the check of the database.
func TestR40_MoneyIsBackedUp(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		anna := h.user(1)
		h.create(payments.NewTransaction{User: anna, Type: payments.Deposit, Amount: 500, Method: "card", ExternalID: "pi", Description: "d"})
		pending := h.create(payments.NewTransaction{User: anna, Type: payments.Withdrawal, Amount: 20, Pending: true})
		var archive bytes.Buffer
		_, err := h.store.Backup(t.Context(), &archive, nil)
		h.must(err)
		for _, driver := range []string{store.SQLite, store.Postgres} {
			to := newHarness(t, driver)
			_, err := to.store.Restore(t.Context(), bytes.NewReader(archive.Bytes()), int64(archive.Len()), t.TempDir())
			to.must(err)
			to.owns(anna, 500)
			_, _, err = to.Complete(t.Context(), "key:test", pending.ID)
			to.must(err)
			if next := to.create(payments.NewTransaction{User: anna, Type: payments.Deposit, Amount: 1}); next.ID <= pending.ID {
				t.Errorf("a new transaction is %d", next.ID)
			}
			to.owns(anna, 481)
			to.sound()
			to.exec(`UPDATE balances SET amount = 480`)
			faults, err := to.store.Check(t.Context(), nil)
			if err != nil || len(faults) != 1 || !strings.Contains(faults[0], "user 1: the balance is 480, the completed transactions make 481") {
				t.Errorf("check: %q, %v", faults, err)
			}
		}
	})
}
