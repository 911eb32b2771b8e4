package payments

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/kuranty/kuranty/event"
)

// eraseTx takes out what names a person.
type eraseTx interface {
	// Unname removes the texts and external ids of up to limit transactions of a person, and
	// returns of how many.
	Unname(ctx context.Context, user int64, limit int) (int64, error)
	// Announced returns events about transactions of a person from rows of the log after
	// one, in order; HoldEvent one of them, unless it is gone, that nobody else changes.
	Announced(ctx context.Context, user, after int64, limit int) ([]event.Event, error)
	HoldEvent(ctx context.Context, row int64) (e event.Event, there bool, err error)
	RewriteEvent(ctx context.Context, row int64, payload []byte) error
	// ForgetReplies removes replies that are kept to be repeated and show transactions of
	// a person.
	ForgetReplies(ctx context.Context, user int64) error
}

// Part is what payments have of a person, for exports and erasures.
type Part struct{ s *Service }

// Part returns the part.
func (s *Service) Part() Part { return Part{s} }

// Name is the part's folder in exports.
func (Part) Name() string { return "payments" }

// exportedTransaction is a transaction in an export.
type exportedTransaction struct {
	ID          int64      `json:"id"`
	Type        string     `json:"type"`
	Amount      int64      `json:"amount_kopeks"`
	Method      *string    `json:"payment_method"`
	ExternalID  *string    `json:"external_id"`
	Completed   bool       `json:"is_completed"`
	Description *string    `json:"description"`
	CreatedAt   time.Time  `json:"created_at"`
	CompletedAt *time.Time `json:"completed_at"`
}

func exported(t *Transaction) exportedTransaction {
	out := exportedTransaction{
		ID: t.ID, Type: t.Type, Amount: t.Amount, Method: optional(t.Method), ExternalID: optional(t.ExternalID),
		Completed: t.Completed(), Description: optional(t.Description), CreatedAt: time.UnixMilli(t.CreatedAt).UTC(),
	}
	if t.Completed() {
		at := time.UnixMilli(t.CompletedAt).UTC()
		out.CompletedAt = &at
	}
	return out
}

const (
	// perFile bounds the transactions of a file of an export.
	perFile = 10_000
	// perStep bounds what one transaction of the database reads or changes.
	perStep = 200
)

// Export writes the balance, and the transactions, the newest first, to as many files as
// they need.
func (p Part) Export(ctx context.Context, user int64, write func(name string, v any) error) error {
	balance, err := p.s.Balance(ctx, user)
	if err != nil {
		return err
	}
	if err := write("balance", map[string]int64{"balance_kopeks": balance}); err != nil {
		return err
	}
	below := int64(math.MaxInt64)
	for n := 1; ; n++ {
		list := []exportedTransaction{}
		for len(list) < perFile {
			var page []Transaction
			err := p.s.store.View(ctx, func(tx Tx) (err error) {
				page, err = tx.Transactions(ctx, user, "", below, perStep)
				return err
			})
			if err != nil {
				return fmt.Errorf("list transactions: %w", err)
			}
			for i := range page {
				list = append(list, exported(&page[i]))
				below = page[i].ID
			}
			if len(page) < perStep {
				break
			}
		}
		name := "transactions"
		if n > 1 {
			name = fmt.Sprintf("transactions-%d", n)
		}
		if n == 1 || len(list) > 0 {
			if err := write(name, list); err != nil {
				return err
			}
		}
		if len(list) < perFile {
			return nil
		}
	}
}

// Erase removes the descriptions and external ids of a person's transactions, from the log
// too. The sums, which books are kept by, stay under the number. The account is deleted, so
// nothing new comes meanwhile but completions of what is pending.
func (p Part) Erase(ctx context.Context, user int64) error {
	for n := int64(perStep); n == perStep; {
		err := p.s.store.Update(ctx, func(tx Tx) (err error) {
			n, err = tx.Unname(ctx, user, perStep)
			return err
		})
		if err != nil {
			return fmt.Errorf("unname transactions: %w", err)
		}
	}
	if err := p.s.store.Update(ctx, func(tx Tx) error { return tx.ForgetReplies(ctx, user) }); err != nil {
		return fmt.Errorf("forget replies: %w", err)
	}
	// After the transactions: whoever completed one before has appended the event by now.
	return p.eraseLog(ctx, user)
}

func (p Part) eraseLog(ctx context.Context, user int64) error {
	for after := int64(0); ; {
		var events []event.Event
		err := p.s.store.View(ctx, func(tx Tx) (err error) {
			events, err = tx.Announced(ctx, user, after, perStep)
			return err
		})
		if err != nil {
			return fmt.Errorf("find events: %w", err)
		}
		if len(events) == 0 {
			return nil
		}
		after = events[len(events)-1].Row()
		err = p.s.store.Update(ctx, func(tx Tx) error {
			for i := range events {
				if err := unname(ctx, tx, user, events[i].Row()); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("unname events: %w", err)
		}
	}
}

// unname takes the texts out of an event about a transaction of user.
func unname(ctx context.Context, tx Tx, user, row int64) error {
	e, there, err := tx.HoldEvent(ctx, row)
	if err != nil || !there { // the log forgets
		return err
	}
	var t event.Transaction
	if err := json.Unmarshal(e.Payload, &t); err != nil {
		return fmt.Errorf("payload of event %s: %w", e.ID, err)
	}
	if t.UserID != user || t.ExternalID == nil && t.Description == nil {
		return nil
	}
	t.ExternalID, t.Description = nil, nil
	b, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("payload of event %s: %w", e.ID, err)
	}
	return tx.RewriteEvent(ctx, row, b)
}
