package api

import (
	"context"
	"net/http"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/apierror"
	"github.com/kuranty/kuranty/internal/chatjson"
	"github.com/kuranty/kuranty/internal/payments"
)

// The scopes of API keys for transactions and balances of people.
const (
	readPayments  = "payments:read"
	writePayments = "payments:write"
)

// paymentRoutes are transactions of money. People see their own; services with the scope
// and administrators see all, and write them.
func (a *API) paymentRoutes() {
	handle(a, op{get, "/transactions", AnyoneOr(readPayments), "List transactions, the newest first", ok, nil, false}, a.listTransactions)
	handle(a, op{post, "/transactions", FreshAdminsOr(writePayments), "Store a transaction", created, []int{ok}, true}, a.createTransaction)
	handle(a, op{get, "/transactions/{id}", AnyoneOr(readPayments), "Show a transaction", ok, nil, false}, a.getTransaction)
	handle(a, op{patch, "/transactions/{id}", FreshAdminsOr(writePayments), "Complete a pending transaction", ok, nil, false}, a.changeTransaction)
	handle(a, op{post, "/transactions/{id}", FreshAdminsOr(writePayments), "Complete a pending transaction", ok, nil, false}, a.completeTransaction)
	handle(a, op{get, "/balance", People, "Show the own balance", ok, nil, false}, a.ownBalance)
	handle(a, op{get, "/users/{id}/balance", AnyoneOr(readPayments), "Show a person's balance", ok, nil, false}, a.userBalance)
}

// payments returns the service of that name, or the error that it is switched off.
func (a *API) payments() (*payments.Service, error) { return enabled(a.o.Payments) }

// Transaction is money that went one way or the other.
type Transaction struct {
	ID          int64   `json:"id"`
	User        int64   `json:"user_id"`
	Type        string  `json:"type" enum:"deposit,withdrawal,subscription_payment,refund,failed_refund,referral_reward,poll_reward,gift_payment"`
	Amount      int64   `json:"amount_kopeks" minimum:"0" doc:"In minor units"`
	Method      *string `json:"payment_method"`
	ExternalID  *string `json:"external_id"`
	Completed   bool    `json:"is_completed" doc:"Whether it counts"`
	Description *string `json:"description"`
	CreatedAt   string  `json:"created_at" format:"date-time"`
	CompletedAt *string `json:"completed_at" format:"date-time"`
}

func transaction(t *payments.Transaction) Transaction {
	return Transaction{
		ID: t.ID, User: t.User, Type: t.Type, Amount: t.Amount, Method: optional(t.Method), ExternalID: optional(t.ExternalID),
		Completed: t.Completed(), Description: optional(t.Description), CreatedAt: chatjson.Stamp(t.CreatedAt), CompletedAt: chatjson.OptStamp(t.CompletedAt),
	}
}

// TransactionList is a page of transactions, the newest first.
type TransactionList struct {
	Transactions []Transaction `json:"transactions"`
	NextCursor   *string       `json:"next_cursor"`
}

type transactionsInput struct {
	User   ID     `query:"user_id" doc:"Whose they are; people see only their own"`
	Type   string `query:"type" enum:"deposit,withdrawal,subscription_payment,refund,failed_refund,referral_reward,poll_reward,gift_payment"`
	Limit  int    `query:"limit" minimum:"0" maximum:"200" doc:"50 if not given"`
	Cursor string `query:"cursor" maxLength:"40"`
}

func (a *API) listTransactions(ctx context.Context, c *call, in *transactionsInput) (*body[TransactionList], error) {
	p, err := a.payments()
	if err != nil {
		return nil, err
	}
	of := int64(in.User)
	if !c.sees(readPayments) {
		if of != 0 && of != c.User { // whether there is such a person is not told
			return reply(TransactionList{Transactions: []Transaction{}}), nil
		}
		of = c.User
	}
	page, err := p.List(ctx, payments.Query{User: of, Type: in.Type, Cursor: in.Cursor, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	out := TransactionList{make([]Transaction, len(page.Transactions)), optional(page.Next)}
	for i := range page.Transactions {
		out.Transactions[i] = transaction(&page.Transactions[i])
	}
	return reply(out), nil
}

type newTransactionInput struct {
	Body struct {
		User        ID            `json:"user_id"`
		Type        string        `json:"type" enum:"deposit,withdrawal,subscription_payment,refund,failed_refund,referral_reward,poll_reward,gift_payment"`
		Amount      int64         `json:"amount_kopeks" minimum:"0" maximum:"9223372036854775807" doc:"In minor units"`
		Method      maybe[string] `json:"payment_method,omitempty" doc:"Up to 64 characters, as card"`
		ExternalID  maybe[string] `json:"external_id,omitempty" doc:"The provider's, up to 255 characters: with the same payment_method it is stored once"`
		Completed   maybe[*bool]  `json:"is_completed,omitempty" doc:"True if not given; a transaction that is not completed does not count yet"`
		Description maybe[string] `json:"description,omitempty" doc:"Up to 1000 characters"`
	}
}

func (a *API) createTransaction(ctx context.Context, c *call, in *newTransactionInput) (*answer[Transaction], error) {
	p, err := a.payments()
	if err != nil {
		return nil, err
	}
	b := &in.Body
	t, stored, err := p.Create(ctx, c.Actor(), payments.NewTransaction{
		User: int64(b.User), Type: b.Type, Amount: b.Amount, Method: b.Method.value, ExternalID: b.ExternalID.value, Description: b.Description.value,
		Pending: b.Completed.value != nil && !*b.Completed.value,
	})
	if err != nil {
		return nil, err
	}
	if !stored {
		return &answer[Transaction]{Status: http.StatusOK, Body: transaction(&t)}, nil
	}
	return &answer[Transaction]{Status: http.StatusCreated, Body: transaction(&t)}, a.recordMoney(ctx, c, "transaction.create", &t)
}

// recordMoney puts on record who moved money.
func (a *API) recordMoney(ctx context.Context, c *call, action string, t *payments.Transaction) error {
	return a.recordOf(ctx, c, action, event.User(t.User), map[string]any{"transaction_id": t.ID, "type": t.Type, "amount_kopeks": t.Amount, "is_completed": t.Completed()})
}

// TransactionPath names a transaction.
type TransactionPath struct {
	ID ID `path:"id"`
}

func (a *API) getTransaction(ctx context.Context, c *call, in *TransactionPath) (*body[Transaction], error) {
	p, err := a.payments()
	if err != nil {
		return nil, err
	}
	of := c.User
	if c.sees(readPayments) {
		of = 0
	}
	t, err := p.Transaction(ctx, of, int64(in.ID))
	if err != nil {
		return nil, err
	}
	return reply(transaction(&t)), nil
}

type changeTransactionInput struct {
	TransactionPath
	Body struct {
		Completed bool `json:"is_completed" enum:"true" doc:"A completed transaction stays so"`
	}
}

func (a *API) changeTransaction(ctx context.Context, c *call, in *changeTransactionInput) (*body[Transaction], error) {
	if !in.Body.Completed {
		return nil, apierror.NewField("is_completed", apierror.Invalid)
	}
	return a.complete(ctx, c, in.ID)
}

type completeTransactionInput struct {
	TransactionPath
	Body *struct {
		Completed *bool `json:"is_completed,omitempty" doc:"True, if it is given"`
	} `required:"false"`
}

func (a *API) completeTransaction(ctx context.Context, c *call, in *completeTransactionInput) (*body[Transaction], error) {
	if b := in.Body; b != nil && b.Completed != nil && !*b.Completed {
		return nil, apierror.NewField("is_completed", apierror.Invalid)
	}
	return a.complete(ctx, c, in.ID)
}

func (a *API) complete(ctx context.Context, c *call, id ID) (*body[Transaction], error) {
	p, err := a.payments()
	if err != nil {
		return nil, err
	}
	t, changed, err := p.Complete(ctx, c.Actor(), int64(id))
	if err != nil {
		return nil, err
	}
	if changed {
		err = a.recordMoney(ctx, c, "transaction.complete", &t)
	}
	return reply(transaction(&t)), err
}

// Balance is what a person has.
type Balance struct {
	User   int64 `json:"user_id"`
	Amount int64 `json:"balance_kopeks" minimum:"0" doc:"In minor units"`
}

func (a *API) balance(ctx context.Context, user int64) (*body[Balance], error) {
	p, err := a.payments()
	if err != nil {
		return nil, err
	}
	amount, err := p.Balance(ctx, user)
	if err != nil {
		return nil, err
	}
	return reply(Balance{user, amount}), nil
}

func (a *API) ownBalance(ctx context.Context, c *call, _ *none) (*body[Balance], error) {
	return a.balance(ctx, c.User)
}

func (a *API) userBalance(ctx context.Context, c *call, in *UserPath) (*body[Balance], error) {
	if int64(in.User) != c.User && !c.sees(readPayments) {
		return nil, apierror.New(apierror.NotFound, nil)
	}
	return a.balance(ctx, int64(in.User))
}
