package identity

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/kuranty/kuranty/event"
)

// Login checks a login, which is an e-mail address or a username, and a password, and
// begins a session. Whatever is wrong is [ErrInvalidCredentials], after the same time.
// Other errors are a [*LimitedError], [ErrBusy], [ErrDisabled] and, with the right
// password only, [ErrSuspended] and [ErrUnverified].
//
// Failures are counted per account and per address. A device the account is known on, by
// an address it was used from or by a token of an earlier login, is counted apart: no
// stranger can lock it out (guarantees.md S11).
func (a *Accounts) Login(ctx context.Context, login, password string, d Device) (Grant, error) {
	if err := a.builtin(); err != nil {
		return Grant{}, err
	}
	login = strings.ToLower(norm.NFC.String(strings.TrimSpace(login))) // as addresses are stored
	if len(login) > 4*maxEmail || len(password) > 4*maxPassword || strings.ContainsRune(login, 0) || !utf8.ValidString(login) {
		return Grant{}, ErrInvalidCredentials // nobody is called so, and PostgreSQL would not even look
	}
	acc, who, err := a.lookUp(ctx, login, d)
	if err != nil {
		return Grant{}, err
	}
	now := a.ticks()
	if err := a.byAddress.allow(who.address, now); err != nil {
		a.o.Watch.SignInFailed(acc.ID, who.address)
		return Grant{}, err
	}
	if err := a.byAccount.allow(who.account, now); err != nil {
		a.byAddress.undo(who.address)
		a.o.Watch.SignInFailed(acc.ID, who.address)
		return Grant{}, err
	}
	right, weak, err := a.hash.verify(ctx, acc.PasswordHash, password)
	if err != nil {
		a.byAddress.undo(who.address)
		a.byAccount.undo(who.account)
		return Grant{}, err
	}
	if !right {
		a.o.Watch.SignInFailed(acc.ID, who.address)
		return Grant{}, ErrInvalidCredentials
	}
	a.byAddress.undo(who.address)
	a.byAccount.clear(who.account)
	switch {
	case acc.State == StateSuspended:
		return Grant{}, ErrSuspended
	case acc.State != StateActive:
		return Grant{}, ErrInvalidCredentials
	case a.mustVerify(acc):
		a.send(letter{kind: MailVerify, account: acc})
		return Grant{}, ErrUnverified
	}
	return a.begin(ctx, acc, password, weak, d)
}

// begin stores a session of an account whose password has been checked, and the
// password's hash anew if it was weak.
func (a *Accounts) begin(ctx context.Context, checked Account, password string, weak bool, d Device) (Grant, error) {
	stronger := ""
	if weak {
		var err error
		if stronger, err = a.hash.hash(ctx, norm.NFC.String(password)); err != nil && !errors.Is(err, ErrBusy) {
			return Grant{}, err // a busy server does it at the next login
		}
	}
	g := newGrant(a, d)
	g.Session.User = checked.ID
	var acc Account
	err := a.store.Update(ctx, func(tx Tx) (err error) {
		if acc, err = tx.LockAccount(ctx, checked.ID); err != nil {
			return err
		}
		if acc.PasswordHash != checked.PasswordHash || acc.State != StateActive {
			return ErrInvalidCredentials // not any more
		}
		if stronger != "" {
			acc.PasswordHash = stronger
			if err := tx.SaveAccount(ctx, acc); err != nil {
				return err
			}
		}
		return tx.AddSession(ctx, g.Session)
	})
	if err != nil {
		return Grant{}, err
	}
	return a.complete(g, acc)
}

// tries are the keys that an attempt to log in is counted by.
type tries struct{ account, address string }

// lookUp finds the account of a login and how the attempt counts. It asks the same of
// the storage whether or not there is one.
func (a *Accounts) lookUp(ctx context.Context, login string, d Device) (acc Account, who tries, err error) {
	var near bool
	var earlier Session
	err = a.store.View(ctx, func(tx Tx) (err error) {
		find := tx.AccountByUsername
		if strings.Contains(login, "@") {
			find = tx.AccountByEmail
		}
		if acc, err = find(ctx, login); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if near, err = tx.KnownAddress(ctx, acc.ID, d.Address, a.now()-sessionMemory.Milliseconds()); err != nil {
			return err
		}
		if t, ok := parseRefreshToken(d.Earlier); ok {
			if earlier, err = tx.SessionByFamily(ctx, t.familyHash()); err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
		}
		return nil
	})
	who = tries{account: "login " + login, address: addressKey(d.Address)}
	if acc.ID != 0 {
		who.account = "account " + strconv.FormatInt(acc.ID, 10)
		switch {
		case earlier.User == acc.ID:
			who = tries{account: who.account + " device " + earlier.ID} // wherever it is now
		case near && d.Address != "":
			who.account += " at " + d.Address
		}
	}
	return acc, who, err
}

// ChangePassword replaces the caller's password and revokes the other sessions. A wrong
// current one is [ErrInvalidCredentials]; other errors are a [*FieldError] about new, a
// [*LimitedError] and [ErrBusy].
func (a *Accounts) ChangePassword(ctx context.Context, by Caller, current, replacement string) error {
	acc, err := a.own(ctx, by)
	if err != nil {
		return err
	}
	replacement, err = passwordField("new", replacement, acc.Email, acc.Username, acc.Name)
	if err != nil {
		return err
	}
	key := "password " + strconv.FormatInt(acc.ID, 10)
	if err := a.byAccount.allow(key, a.ticks()); err != nil {
		return err
	}
	right, _, err := a.hash.verify(ctx, acc.PasswordHash, current)
	if err != nil {
		a.byAccount.undo(key)
		return err
	}
	if !right {
		a.o.Watch.SignInFailed(acc.ID, "")
		return ErrInvalidCredentials
	}
	a.byAccount.clear(key)
	hash, err := a.hash.hash(ctx, replacement)
	if err != nil {
		return err
	}
	return a.change(ctx, acc.ID, func(tx Tx, now *Account) error {
		if now.PasswordHash != acc.PasswordHash {
			return ErrInvalidCredentials // not any more
		}
		return a.setPassword(ctx, tx, now, hash, by.Session, by.Actor())
	})
}

// setPassword gives a locked account a password, revokes its sessions but one and drops
// the tokens that could replace the password again.
func (a *Accounts) setPassword(ctx context.Context, tx Tx, acc *Account, hash, except, actor string) error {
	acc.PasswordHash, acc.UpdatedAt = hash, a.now()
	if err := tx.SaveAccount(ctx, *acc); err != nil {
		return err
	}
	if err := tx.DropTokens(ctx, purposeReset, acc.ID); err != nil {
		return err
	}
	if _, err := a.revokeAll(ctx, tx, acc.ID, except, actor, ReasonPassword); err != nil {
		return err
	}
	return a.announceUpdated(ctx, tx, *acc, actor, "password")
}

// own returns the caller's own account; services have none.
func (a *Accounts) own(ctx context.Context, by Caller) (Account, error) {
	if by.User == 0 {
		return Account{}, ErrForbidden
	}
	return a.Account(ctx, by.User)
}

// actorOf is the actor of a change that an account makes by a token it was sent.
func actorOf(acc Account) string { return event.User(acc.ID) }
