package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
)

type paymentCmd struct {
	Add      paymentAddCmd      `cmd:"" help:"Store a transaction."`
	Complete paymentCompleteCmd `cmd:"" help:"Complete a pending transaction."`
	List     paymentListCmd     `cmd:"" help:"List transactions, the newest first."`
	Show     paymentShowCmd     `cmd:"" help:"Print a transaction."`
	Balance  paymentBalanceCmd  `cmd:"" help:"Print the balance of somebody."`
}

// payment is what commands need of a transaction.
type payment struct {
	ID         int64   `json:"id"`
	User       int64   `json:"user_id"`
	Type       string  `json:"type"`
	Amount     int64   `json:"amount_kopeks"`
	Method     *string `json:"payment_method"`
	ExternalID *string `json:"external_id"`
	Completed  bool    `json:"is_completed"`
	CreatedAt  *string `json:"created_at"`
}

func (p *payment) state() string {
	if p.Completed {
		return "completed"
	}
	return "pending"
}

// sayPayment prints what became of a transaction.
func (s *session) sayPayment(object json.RawMessage) error {
	var p payment
	if shown, err := s.read(object, &p); shown || err != nil {
		return err
	}
	return s.say("transaction %d of user %d: %s of %d, %s", p.ID, p.User, p.Type, p.Amount, p.state())
}

type paymentAddCmd struct {
	backend
	Method      string `placeholder:"METHOD" help:"How it was paid, as card."`
	ExternalID  string `name:"external-id" placeholder:"ID" help:"Id of the payment at its provider: with the same method it is stored once."`
	Description string `placeholder:"TEXT" help:"What it was for."`
	Pending     bool   `help:"It does not count until it is completed."`
	User        string `arg:"" help:"Number, username or e-mail address."`
	Type        string `arg:"" enum:"deposit,withdrawal,subscription_payment,refund,failed_refund,referral_reward,poll_reward,gift_payment" help:"deposit, refund, referral_reward and poll_reward add to the balance; withdrawal, subscription_payment and gift_payment take from it; failed_refund does neither."`
	Amount      int64  `arg:"" help:"In minor units, as 15000 for 150.00."`
}

func (paymentAddCmd) Help() string {
	return `For example: kuranty payment add anna deposit 15000 --method card --external-id pi_3`
}

func (c *paymentAddCmd) Run(g *globals) error {
	if c.Amount < 0 {
		return usageError{errors.New("AMOUNT must be 0 or more: the type says whether it adds or takes")}
	}
	return c.run(g, func(s *session) error {
		a, err := s.user(c.User)
		if err != nil {
			return err
		}
		body := map[string]any{
			"user_id": a.ID, "type": c.Type, "amount_kopeks": c.Amount, "payment_method": c.Method, "external_id": c.ExternalID,
			"description": c.Description, "is_completed": !c.Pending,
		}
		var object json.RawMessage
		if err := s.post("/transactions", body, &object); err != nil {
			return fmt.Errorf("store transaction of %s: %w", &a, err)
		}
		return s.sayPayment(object)
	})
}

// paymentArg names a transaction.
type paymentArg struct {
	ID int64 `arg:"" help:"Number of the transaction."`
}

func (c *paymentArg) path() string { return fmt.Sprintf("/transactions/%d", c.ID) }

type paymentCompleteCmd struct {
	backend
	paymentArg
}

func (c *paymentCompleteCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		var object json.RawMessage
		if err := s.patch(c.path(), map[string]any{"is_completed": true}, &object); err != nil {
			return fmt.Errorf("complete transaction %d: %w", c.ID, err)
		}
		return s.sayPayment(object)
	})
}

type paymentListCmd struct {
	backend
	User  string `placeholder:"USER" help:"Only transactions of this person."`
	Type  string `placeholder:"TYPE" help:"Only transactions of this type, as deposit."`
	Limit most   `short:"n" default:"50" help:"Most transactions."`
}

func (c *paymentListCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		q := url.Values{}
		if c.Type != "" {
			q.Set("type", c.Type)
		}
		if err := s.only(q, "user_id", c.User); err != nil {
			return err
		}
		objects, err := s.pages("/transactions", q, "transactions", int(c.Limit))
		if err != nil {
			return fmt.Errorf("list transactions: %w", err)
		}
		return s.list("ID CREATED USER TYPE AMOUNT STATE METHOD EXTERNAL", objects, func(o json.RawMessage) ([]any, error) {
			var p payment
			err := json.Unmarshal(o, &p)
			return []any{p.ID, day(p.CreatedAt), p.User, p.Type, p.Amount, p.state(), orDash(p.Method), orDash(p.ExternalID)}, err
		})
	})
}

type paymentShowCmd struct {
	backend
	paymentArg
}

func (c *paymentShowCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		var object json.RawMessage
		if err := s.get(c.path(), &object); err != nil {
			return fmt.Errorf("show transaction %d: %w", c.ID, err)
		}
		return s.show(object)
	})
}

type paymentBalanceCmd struct {
	backend
	User string `arg:"" help:"Number, username or e-mail address."`
}

func (c *paymentBalanceCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		a, err := s.user(c.User)
		if err != nil {
			return err
		}
		var object json.RawMessage
		if err := s.get(fmt.Sprintf("/users/%d/balance", a.ID), &object); err != nil {
			return fmt.Errorf("balance of %s: %w", &a, err)
		}
		var b struct {
			Amount int64 `json:"balance_kopeks"`
		}
		if shown, err := s.read(object, &b); shown || err != nil {
			return err
		}
		return s.say("%d", b.Amount)
	})
}
