package identity

import (
	"cmp"
	"context"
	"errors"
	"strings"
)

// FirstAdminToken returns a token that makes the first administrator, to be printed at
// the start; it is valid for 24 h. It is empty if there is an administrator, or if
// accounts are those of the external application only (guarantees.md S13).
func (a *Accounts) FirstAdminToken(ctx context.Context) (token string, err error) {
	if a.o.Mode == External {
		return "", nil
	}
	token, t := a.newOneTime(purposeFirstAdmin, maxTokenTTL)
	err = a.store.Update(ctx, func(tx Tx) error {
		if err := noAdmin(ctx, tx); err != nil {
			return err
		}
		return tx.AddToken(ctx, t)
	})
	if errors.Is(err, ErrAdminExists) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return token, nil
}

func noAdmin(ctx context.Context, tx Tx) error {
	have, err := tx.AnyAdmin(ctx)
	if err == nil && have {
		err = ErrAdminExists
	}
	return err
}

// CreateFirstAdmin takes a token of FirstAdminToken, makes the first administrator and
// logs it in. The error is [ErrToken], [ErrAdminExists], a [*FieldError] or [ErrBusy].
func (a *Accounts) CreateFirstAdmin(ctx context.Context, token string, in NewAccount) (Grant, error) {
	t, err := a.peek(ctx, purposeFirstAdmin, token)
	if err != nil {
		return Grant{}, err
	}
	acc, err := a.newAdmin(ctx, in)
	if err != nil {
		return Grant{}, err
	}
	g := newGrant(a, in.Device)
	err = a.store.Update(ctx, func(tx Tx) error {
		acc.ID = 0
		// All tokens go at once: of two who have one each, one makes an administrator.
		taken, err := tx.TakeTokens(ctx, purposeFirstAdmin, a.now())
		if err != nil {
			return err
		}
		found := false
		for _, other := range taken {
			found = found || EqualSecret(other.Hash, t.Hash)
		}
		if !found {
			return ErrToken
		}
		if err := noAdmin(ctx, tx); err != nil {
			return err
		}
		if err := a.add(ctx, tx, &acc, byPassword, ""); err != nil {
			return err
		}
		g.Session.User = acc.ID
		return tx.AddSession(ctx, g.Session)
	})
	if err != nil {
		return Grant{}, err
	}
	return a.complete(g, acc)
}

func (a *Accounts) newAdmin(ctx context.Context, in NewAccount) (Account, error) {
	if in.Name == "" {
		in.Name, _, _ = strings.Cut(cmp.Or(in.Username, in.Email), "@")
	}
	acc, err := in.clean(a.now())
	if err != nil {
		return Account{}, err
	}
	acc.Role = RoleAdmin
	acc.PasswordHash, err = a.hash.hash(ctx, in.Password)
	return acc, err
}

// EnsureAdmin makes an administrator unless there is one; made tells whether it did. It
// is for whom the machine belongs to: a command, or the configuration of the first start.
func (a *Accounts) EnsureAdmin(ctx context.Context, in NewAccount) (acc Account, made bool, err error) {
	err = a.store.View(ctx, func(tx Tx) error { return noAdmin(ctx, tx) })
	if errors.Is(err, ErrAdminExists) {
		return Account{}, false, nil
	}
	if err != nil {
		return Account{}, false, err
	}
	if acc, err = a.newAdmin(ctx, in); err != nil {
		return Account{}, false, err
	}
	err = a.store.Update(ctx, func(tx Tx) error {
		acc.ID = 0
		if _, err := tx.TakeTokens(ctx, purposeFirstAdmin, a.now()); err != nil {
			return err
		}
		if err := noAdmin(ctx, tx); err != nil {
			return err
		}
		return a.add(ctx, tx, &acc, byAdmin, "")
	})
	var taken *TakenError
	if errors.As(err, &taken) { // perhaps another node, which does the same now, was faster
		if again := a.store.View(ctx, func(tx Tx) error { return noAdmin(ctx, tx) }); errors.Is(again, ErrAdminExists) {
			err = again
		}
	}
	if errors.Is(err, ErrAdminExists) {
		return Account{}, false, nil
	}
	return acc, err == nil, err
}
