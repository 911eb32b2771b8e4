package payments

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/kuranty/kuranty/event"
)

// NewTransaction is what is known of a transaction that is to be stored.
type NewTransaction struct {
	User                            int64
	Type                            string
	Amount                          int64
	Method, ExternalID, Description string
	// Pending ones count once they are completed.
	Pending bool
}

// check returns everything that is wrong with n.
func (n *NewTransaction) check() error {
	var wrong []error
	if n.User <= 0 {
		wrong = append(wrong, &FieldError{Field: "user_id", Reason: "invalid"})
	}
	if _, known := effects[n.Type]; !known {
		wrong = append(wrong, &FieldError{Field: "type", Reason: "invalid"})
	}
	if n.Amount < 0 {
		wrong = append(wrong, &FieldError{Field: "amount_kopeks", Reason: "invalid"})
	}
	for _, f := range []struct {
		name, text string
		limit      int
		lines      bool
	}{
		{"payment_method", n.Method, MaxMethod, false},
		{"external_id", n.ExternalID, MaxExternalID, false},
		{"description", n.Description, MaxDescription, true},
	} {
		switch {
		case !readable(f.text, f.lines):
			wrong = append(wrong, &FieldError{Field: f.name, Reason: "invalid"})
		case utf8.RuneCountInString(f.text) > f.limit:
			wrong = append(wrong, &FieldError{Field: f.name, Reason: "too_long", Limit: int64(f.limit)})
		}
	}
	return errors.Join(wrong...)
}

// readable tells whether text has no control characters, but for the breaks of lines where
// it may have several; a line has no white space at its ends either.
func readable(text string, lines bool) bool {
	if !lines && strings.TrimSpace(text) != text {
		return false
	}
	for _, r := range text {
		if unicode.IsControl(r) && (!lines || r != '\n' && r != '\r' && r != '\t') {
			return false
		}
	}
	return utf8.ValidString(text)
}

// Create stores a transaction. by is who does it, as events name actors. If there is one
// with its method and external id, that is returned and stored is false.
//
// Errors worth telling apart are [*FieldError], several of them joined, [*ConflictError],
// [ErrInsufficient] and [ErrOverflow]. A pending transaction that takes must be covered
// by the balance too, but leaves it as it is.
func (s *Service) Create(ctx context.Context, by string, n NewTransaction) (t Transaction, stored bool, err error) {
	if err := n.check(); err != nil {
		return t, false, err
	}
	now := s.clock()
	err = s.store.Update(ctx, func(tx Tx) error {
		t, stored, err = s.create(ctx, tx, by, &n, now)
		return err
	})
	if err != nil {
		return Transaction{}, false, fmt.Errorf("store transaction of user %d: %w", n.User, err)
	}
	return t, stored, nil
}

func (s *Service) create(ctx context.Context, tx Tx, by string, n *NewTransaction, now time.Time) (t Transaction, stored bool, err error) {
	if n.ExternalID != "" {
		if t, err = first(ctx, tx, n); !errors.Is(err, ErrNotFound) {
			return t, false, err
		}
	}
	if err := tx.HoldUser(ctx, n.User); errors.Is(err, ErrNotFound) {
		return t, false, &FieldError{Field: "user_id", Reason: "invalid"}
	} else if err != nil {
		return t, false, err
	}
	t = Transaction{
		User: n.User, Type: n.Type, Amount: n.Amount, Method: n.Method, ExternalID: n.ExternalID, Description: n.Description,
		BeganPending: n.Pending, CreatedAt: now.UnixMilli(),
	}
	if !n.Pending {
		t.CompletedAt = t.CreatedAt
	}
	// Before the balance is looked at: of two that are the same, the later waits here for
	// the first, and must not be told that the money is gone.
	if t.ID, err = tx.Add(ctx, &t, effects[t.Type]); err != nil {
		return t, false, err
	}
	if t.ID == 0 {
		t, err = first(ctx, tx, n)
		return t, false, err
	}
	if err := settle(ctx, tx, &t); err != nil {
		return t, false, err
	}
	switch {
	case t.Type != Deposit:
		err = announce(ctx, tx, event.TransactionCreated, by, &t, now)
	case t.Completed():
		err = announce(ctx, tx, event.PaymentCompleted, by, &t, now)
	}
	return t, true, err
}

// first returns the transaction that has the method and the external id of n, if it is the
// same.
func first(ctx context.Context, tx Tx, n *NewTransaction) (Transaction, error) {
	t, err := tx.Find(ctx, n.Method, n.ExternalID)
	if err != nil {
		return Transaction{}, err
	}
	if t.User != n.User || t.Type != n.Type || t.Amount != n.Amount || t.Description != n.Description || t.BeganPending != n.Pending {
		return Transaction{}, &ConflictError{t.ID}
	}
	return t, nil
}

// settle makes sure that the balance bears t, and changes it if t is completed.
func settle(ctx context.Context, tx Tx, t *Transaction) error {
	effect := effects[t.Type]
	if effect == 0 || effect > 0 && !t.Completed() {
		return nil
	}
	balance, err := tx.HoldBalance(ctx, t.User)
	switch {
	case err != nil:
		return err
	case effect < 0 && t.Amount > balance:
		return ErrInsufficient
	case effect > 0 && t.Amount > math.MaxInt64-balance:
		return ErrOverflow
	case !t.Completed():
		return nil
	}
	return tx.SetBalance(ctx, t.User, balance+effect*t.Amount)
}

// Complete completes a pending transaction; one that is completed already stays as it is,
// and changed is false. by is who does it. The error may be [ErrNotFound],
// [ErrInsufficient] or [ErrOverflow].
func (s *Service) Complete(ctx context.Context, by string, id int64) (t Transaction, changed bool, err error) {
	now := s.clock()
	err = s.store.Update(ctx, func(tx Tx) error {
		t, err = tx.Hold(ctx, id)
		if changed = err == nil && !t.Completed(); !changed {
			return err
		}
		t.CompletedAt = now.UnixMilli()
		if err := tx.Complete(ctx, id, t.CompletedAt); err != nil {
			return err
		}
		if err := settle(ctx, tx, &t); err != nil {
			return err
		}
		typ := event.TransactionCompleted
		if t.Type == Deposit {
			typ = event.PaymentCompleted
		}
		return announce(ctx, tx, typ, by, &t, now)
	})
	if err != nil {
		return Transaction{}, false, fmt.Errorf("complete transaction %d: %w", id, err)
	}
	return t, changed, nil
}

// announce appends the event of a type about t.
func announce(ctx context.Context, tx Tx, typ, by string, t *Transaction, now time.Time) error {
	e, err := event.New(typ, now, payload(t))
	if err != nil {
		return err
	}
	e.Actor = by
	return tx.Append(ctx, e)
}

// payload is what events tell of t.
func payload(t *Transaction) event.Transaction {
	return event.Transaction{
		TransactionID: t.ID, UserID: t.User, Type: t.Type,
		AmountKopeks: t.Amount, AmountRubles: event.Amount(float64(t.Amount) / 100), // as documented; we count in the other
		PaymentMethod: optional(t.Method), ExternalID: optional(t.ExternalID),
		IsCompleted: t.Completed(), Description: optional(t.Description),
	}
}

func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
