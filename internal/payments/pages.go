package payments

import (
	"context"
	"fmt"
	"math"
	"strconv"
)

// Query selects transactions, the newest first. Zero values select all.
type Query struct {
	// User is whose they are.
	User int64
	Type string
	// Cursor is [Page.Next] of the page before.
	Cursor string
	// Limit is 1 to 200; zero means 50.
	Limit int
}

// Page is one page of transactions.
type Page struct {
	Transactions []Transaction
	// Next is the cursor of the next page, empty on the last.
	Next string
}

// pageTx reads. A user of 0 is anybody.
type pageTx interface {
	// Transaction returns one, if it is the user's.
	Transaction(ctx context.Context, user, id int64) (Transaction, error)
	// Transactions returns those with numbers below one, the newest first.
	Transactions(ctx context.Context, user int64, typ string, below int64, limit int) ([]Transaction, error)
	// Balance returns the balance of an account, of a deleted one too.
	Balance(ctx context.Context, user int64) (int64, error)
}

// Transaction returns a transaction; if of is not 0, only one of that person. The error may
// be [ErrNotFound].
func (s *Service) Transaction(ctx context.Context, of, id int64) (t Transaction, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		t, err = tx.Transaction(ctx, of, id)
		return err
	})
	if err != nil {
		return Transaction{}, fmt.Errorf("read transaction %d: %w", id, err)
	}
	return t, nil
}

// List returns a page of transactions. The error may be [ErrCursor].
func (s *Service) List(ctx context.Context, q Query) (p Page, err error) {
	if q.Limit <= 0 {
		q.Limit = 50
	}
	q.Limit = min(q.Limit, 200)
	below := int64(math.MaxInt64)
	if q.Cursor != "" {
		if below, err = strconv.ParseInt(q.Cursor, 10, 64); err != nil || below < 1 {
			return p, ErrCursor
		}
	}
	err = s.store.View(ctx, func(tx Tx) error {
		p.Transactions, err = tx.Transactions(ctx, q.User, q.Type, below, q.Limit+1)
		return err
	})
	if err != nil {
		return Page{}, fmt.Errorf("list transactions: %w", err)
	}
	if len(p.Transactions) > q.Limit {
		p.Transactions = p.Transactions[:q.Limit]
		p.Next = strconv.FormatInt(p.Transactions[q.Limit-1].ID, 10)
	}
	return p, nil
}

// Balance returns what a person has, in minor units. The error may be [ErrNotFound].
func (s *Service) Balance(ctx context.Context, user int64) (amount int64, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		amount, err = tx.Balance(ctx, user)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("balance of user %d: %w", user, err)
	}
	return amount, nil
}
