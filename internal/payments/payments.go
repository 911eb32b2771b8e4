package payments

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kuranty/kuranty/event"
)

// The types of transactions (webhooks.md §1.7).
const (
	Deposit             = "deposit"
	Withdrawal          = "withdrawal"
	SubscriptionPayment = "subscription_payment"
	Refund              = "refund"
	FailedRefund        = "failed_refund"
	ReferralReward      = "referral_reward"
	PollReward          = "poll_reward"
	GiftPayment         = "gift_payment"
)

// effects are what completed transactions do to the balance: 1 adds to it, -1 takes from
// it. A refund that failed leaves the money where it was: it is on record for whoever looks
// into it.
var effects = map[string]int64{
	Deposit: 1, Refund: 1, ReferralReward: 1, PollReward: 1,
	Withdrawal: -1, SubscriptionPayment: -1, GiftPayment: -1,
	FailedRefund: 0,
}

// Lengths in characters.
const (
	MaxMethod      = 64
	MaxExternalID  = 255
	MaxDescription = 1000
)

// Transaction is money that went one way or the other. Texts are empty if there are none,
// times are milliseconds since 1970.
type Transaction struct {
	ID, User int64
	Type     string
	// Amount is in minor units and not negative.
	Amount                          int64
	Method, ExternalID, Description string
	// BeganPending tells that it was not completed when it was stored.
	BeganPending bool
	CreatedAt    int64
	// CompletedAt is 0 as long as the transaction is pending.
	CompletedAt int64
}

// Completed tells whether the transaction counts.
func (t *Transaction) Completed() bool { return t.CompletedAt != 0 }

var (
	// ErrNotFound means that there is no such transaction or person, or that it is not the
	// caller's to see: which of them is not told.
	ErrNotFound = errors.New("not found")
	// ErrInsufficient means that the transaction takes more than the balance holds.
	ErrInsufficient = errors.New("the balance is too low")
	// ErrOverflow means that the balance would be above what can be counted.
	ErrOverflow = errors.New("the balance would be too high")
	// ErrCursor means that a cursor is not one of [Page].
	ErrCursor = errors.New("not a cursor of this list")
)

// FieldError is about one field of what the caller gave. Reason is "required", "invalid" or
// "too_long"; Limit, if not 0, is how long it may be, in characters.
type FieldError struct {
	Field, Reason string
	Limit         int64
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Reason }

// ConflictError means that the external id was used for another transaction.
type ConflictError struct{ Transaction int64 }

func (e *ConflictError) Error() string {
	return fmt.Sprintf("this external id was used for transaction %d, which is another", e.Transaction)
}

// Store keeps transactions. Update runs f in one transaction of the database, perhaps
// several times; View runs it for reading only.
type Store interface {
	Update(ctx context.Context, f func(Tx) error) error
	View(ctx context.Context, f func(Tx) error) error
}

// Tx is what a transaction of the database can do. What is not there is [ErrNotFound].
type Tx interface {
	// Append appends e to the log, which is announced once the transaction is stored.
	Append(ctx context.Context, e event.Event) error
	// HoldUser makes sure that the account is there and not deleted, and stays so until the
	// end of the transaction.
	HoldUser(ctx context.Context, user int64) error
	// Add stores t with its effect and returns its number, or 0 if there is one with its
	// method and external id.
	Add(ctx context.Context, t *Transaction, effect int64) (int64, error)
	// Find returns the transaction with a method and an external id.
	Find(ctx context.Context, method, external string) (Transaction, error)
	// Hold returns a transaction that nobody else changes until the end.
	Hold(ctx context.Context, id int64) (Transaction, error)
	// Complete notes when a transaction was completed.
	Complete(ctx context.Context, id, at int64) error
	// HoldBalance returns a balance that nobody else changes until the end, SetBalance
	// changes it.
	HoldBalance(ctx context.Context, user int64) (int64, error)
	SetBalance(ctx context.Context, user, amount int64) error

	pageTx
	eraseTx
}

// Options configure a [Service]. Store must be given.
type Options struct {
	Store Store
	// Clock defaults to time.Now.
	Clock func() time.Time
}

// Service is the rules.
type Service struct {
	store Store
	clock func() time.Time
}

// New returns a service with the options o.
func New(o Options) *Service {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return &Service{store: o.Store, clock: o.Clock}
}
