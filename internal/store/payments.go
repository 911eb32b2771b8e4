package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/payments"
)

// paymentTx is what package payments does in a transaction.
type paymentTx struct{ *Tx }

type paymentStore struct{ s *Store }

// Payments returns the store of transactions of money.
func (s *Store) Payments() payments.Store { return paymentStore{s} }

func (p paymentStore) Update(ctx context.Context, f func(payments.Tx) error) error {
	return p.s.Update(ctx, func(tx *Tx) error { return f(paymentTx{tx}) })
}

func (p paymentStore) View(ctx context.Context, f func(payments.Tx) error) error {
	return p.s.View(ctx, func(tx *Tx) error { return f(paymentTx{tx}) })
}

const (
	transactionColumns = `id, user_id, type, amount, method, external_id, description, began_pending, created_at, completed_at`

	livingUser = `SELECT id FROM users WHERE id = $1 AND state <> 'deleted'`
	// Whoever deletes the account goes first or waits.
	holdLivingUser = livingUser + ` FOR SHARE`

	addTransaction = `INSERT INTO transactions (user_id, type, effect, amount, method, external_id, description, began_pending, created_at, completed_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		ON CONFLICT (method, external_id) WHERE external_id <> '' DO NOTHING RETURNING id`
	findTransaction     = `SELECT ` + transactionColumns + ` FROM transactions WHERE method = $1 AND external_id = $2 AND external_id <> ''`
	transactionByID     = `SELECT ` + transactionColumns + ` FROM transactions WHERE id = $1`
	holdTransaction     = transactionByID + ` FOR UPDATE`
	completeTransaction = `UPDATE transactions SET completed_at = $1 WHERE id = $2`

	transactionOf   = `SELECT ` + transactionColumns + ` FROM transactions WHERE id = $1 AND (user_id = $2 OR $2 = 0)`
	allTransactions = `SELECT ` + transactionColumns + ` FROM transactions WHERE id < $1 AND ($2 = '' OR type = $2) ORDER BY id DESC LIMIT $3`
	transactionsOf  = `SELECT ` + transactionColumns + ` FROM transactions WHERE user_id = $1 AND id < $2 AND ($3 = '' OR type = $3) ORDER BY id DESC LIMIT $4`

	holdBalance = `INSERT INTO balances (user_id, amount) VALUES ($1, 0) ON CONFLICT (user_id) DO UPDATE SET amount = balances.amount RETURNING amount`
	setBalance  = `UPDATE balances SET amount = $1 WHERE user_id = $2`
	balanceOf   = `SELECT coalesce(b.amount, 0) FROM users AS u LEFT JOIN balances AS b ON b.user_id = u.id WHERE u.id = $1`
)

func scanTransaction(r row, t *payments.Transaction) error {
	return r.Scan(&t.ID, &t.User, &t.Type, &t.Amount, &t.Method, &t.ExternalID, &t.Description, &t.BeganPending, &t.CreatedAt, &t.CompletedAt)
}

func (tx paymentTx) transaction(ctx context.Context, query string, a ...any) (t payments.Transaction, err error) {
	err = payments.ErrNotFound
	found := tx.query(ctx, query, a, func(r row) error {
		err = scanTransaction(r, &t)
		return err
	})
	if found != nil {
		return payments.Transaction{}, found
	}
	return t, err
}

// HoldUser implements payments.
func (tx paymentTx) HoldUser(ctx context.Context, user int64) error {
	var id int64
	return noRow(tx.queryRow(ctx, tx.text(livingUser, holdLivingUser), args(user), &id), payments.ErrNotFound)
}

// Add implements payments.
func (tx paymentTx) Add(ctx context.Context, t *payments.Transaction, effect int64) (id int64, err error) {
	err = tx.queryRow(ctx, addTransaction,
		args(t.User, t.Type, effect, t.Amount, t.Method, t.ExternalID, t.Description, t.BeganPending, t.CreatedAt, t.CompletedAt), &id)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("add transaction: %w", err)
	}
	return id, nil
}

// Find implements payments.
func (tx paymentTx) Find(ctx context.Context, method, external string) (payments.Transaction, error) {
	return tx.transaction(ctx, findTransaction, method, external)
}

// Hold implements payments.
func (tx paymentTx) Hold(ctx context.Context, id int64) (payments.Transaction, error) {
	return tx.transaction(ctx, tx.text(transactionByID, holdTransaction), id)
}

// Complete implements payments.
func (tx paymentTx) Complete(ctx context.Context, id, at int64) error {
	_, err := tx.exec(ctx, completeTransaction, at, id)
	return err
}

// HoldBalance implements payments.
func (tx paymentTx) HoldBalance(ctx context.Context, user int64) (amount int64, err error) {
	err = tx.queryRow(ctx, holdBalance, args(user), &amount)
	return amount, err
}

// SetBalance implements payments.
func (tx paymentTx) SetBalance(ctx context.Context, user, amount int64) error {
	_, err := tx.exec(ctx, setBalance, amount, user)
	return err
}

// Transaction implements payments.
func (tx paymentTx) Transaction(ctx context.Context, user, id int64) (payments.Transaction, error) {
	return tx.transaction(ctx, transactionOf, id, user)
}

// Transactions implements payments.
func (tx paymentTx) Transactions(ctx context.Context, user int64, typ string, below int64, limit int) (list []payments.Transaction, err error) {
	query, a := transactionsOf, args(user, below, typ, limit)
	if user == 0 {
		query, a = allTransactions, args(below, typ, limit)
	}
	err = tx.query(ctx, query, a, func(r row) error {
		var t payments.Transaction
		err := scanTransaction(r, &t)
		list = append(list, t)
		return err
	})
	return list, err
}

// Balance implements payments.
func (tx paymentTx) Balance(ctx context.Context, user int64) (amount int64, err error) {
	err = noRow(tx.queryRow(ctx, balanceOf, args(user), &amount), payments.ErrNotFound)
	return amount, err
}

const (
	unnameTransactions = `UPDATE transactions SET external_id = '', description = '' WHERE id IN (
		SELECT id FROM transactions WHERE user_id = $1 AND (external_id <> '' OR description <> '') LIMIT $2)`
	// Payloads are JSON that only we write, without blanks.
	announcedTransactions = `SELECT ` + eventColumns + ` FROM events
		WHERE id > $1 AND type IN ('` + event.PaymentCompleted + `', '` + event.TransactionCreated + `', '` + event.TransactionCompleted + `')
		AND payload LIKE $2 ORDER BY id LIMIT $3`
)

// ofUser matches what we write of a transaction of a person, in events and in replies.
func ofUser(user int64) string {
	return `%"user_id":` + strconv.FormatInt(user, 10) + `,"type":%"amount_kopeks":%`
}

// Unname implements payments' erasing.
func (tx paymentTx) Unname(ctx context.Context, user int64, limit int) (int64, error) {
	return tx.exec(ctx, unnameTransactions, user, limit)
}

// Announced implements payments' erasing.
func (tx paymentTx) Announced(ctx context.Context, user, after int64, limit int) ([]event.Event, error) {
	return tx.readEvents(ctx, announcedTransactions, after, ofUser(user), limit)
}

// HoldEvent implements payments' erasing.
func (tx paymentTx) HoldEvent(ctx context.Context, row int64) (e event.Event, there bool, err error) {
	found, err := tx.readEvents(ctx, tx.text(eventAt, holdEventAt), row)
	if err != nil || len(found) == 0 {
		return event.Event{}, false, err
	}
	return found[0], true, nil
}

// ForgetReplies implements payments' erasing.
func (tx paymentTx) ForgetReplies(ctx context.Context, user int64) error {
	_, err := tx.exec(ctx, forgetRepliesLike, ofUser(user))
	return err
}
