package identity

import (
	"context"
	"strconv"
)

// ConfirmPassword checks that it is the caller who asks for something grave, such as the
// end of the account. Whoever has no password, as people of the operator's application,
// has proved with the token who they are, and gives none. A wrong password is
// [ErrInvalidCredentials]; other errors are [ErrForbidden] for services, a
// [*LimitedError] and [ErrBusy].
func (a *Accounts) ConfirmPassword(ctx context.Context, by Caller, password string) error {
	acc, err := a.own(ctx, by)
	if err != nil {
		return err
	}
	if acc.PasswordHash == "" {
		return nil
	}
	key := "password " + strconv.FormatInt(acc.ID, 10) // one count with ChangePassword
	if err := a.byAccount.allow(key, a.ticks()); err != nil {
		return err
	}
	right, _, err := a.hash.verify(ctx, acc.PasswordHash, password)
	if err != nil {
		a.byAccount.undo(key)
		return err
	}
	if !right {
		return ErrInvalidCredentials
	}
	a.byAccount.clear(key)
	return nil
}
