package identity

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"time"
)

// letter is a mail to be written: to an account, or to whom an address belongs.
type letter struct {
	kind    string
	account Account // if known
	email   string  // if the account is not
}

// send leaves a letter to Run. When too many wait, it is dropped.
func (a *Accounts) send(l letter) {
	select {
	case a.letters <- l:
	default:
		a.log.Warn("mail dropped, too many wait", "kind", l.kind)
	}
}

// deliver makes the token of a letter and gives it to the mailer.
func (a *Accounts) deliver(ctx context.Context, l letter) {
	defer func() {
		if p := recover(); p != nil {
			a.log.Error("panic", "where", "mail", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, mailTimeout)
	defer cancel()
	if a.o.Mailer == nil {
		a.log.Warn("mail not sent: there is no mailer", "kind", l.kind, "key", "mail.host")
		return
	}
	if err := a.mail(ctx, l); err != nil {
		a.log.Error("mail not sent", "kind", l.kind, "error", err)
	}
}

func (a *Accounts) mail(ctx context.Context, l letter) error {
	acc := l.account
	if l.email != "" {
		err := a.store.View(ctx, func(tx Tx) (err error) {
			acc, err = tx.AccountByEmail(ctx, l.email)
			return err
		})
		if errors.Is(err, ErrNotFound) {
			return nil // who asked does not learn it
		}
		if err != nil {
			return err
		}
	}
	// An account of the external application has no password here to be reset.
	if acc.State != StateActive || acc.ExternalID != "" && acc.PasswordHash == "" {
		return nil
	}
	if wait := a.mails.take(l.kind+" "+strconv.FormatInt(acc.ID, 10), a.ticks()); wait > 0 {
		a.log.Info("mail not sent, the account was sent enough", "kind", l.kind, "user", acc.ID)
		return nil
	}
	purpose, ttl := purposeVerify, maxTokenTTL
	if l.kind == MailReset {
		purpose, ttl = purposeReset, maxResetTTL
	}
	token, t := a.newOneTime(purpose, ttl)
	t.User, t.Email = acc.ID, acc.Email
	if err := a.store.Update(ctx, func(tx Tx) error { return tx.AddToken(ctx, t) }); err != nil {
		return err
	}
	return a.o.Mailer(ctx, Mail{
		Kind: l.kind, To: acc.Email, Name: acc.Name, Lang: acc.Lang, Token: token, Expires: time.UnixMilli(t.ExpiresAt),
	})
}

// ForgotPassword has a reset token sent to the address, if an account has it. It tells
// nobody whether one does: the work is done later, by Run. A malformed address is no
// error, too many from one client address are a [*LimitedError].
func (a *Accounts) ForgotPassword(_ context.Context, email string, d Device) error {
	if err := a.builtin(); err != nil {
		return err
	}
	key := addressKey(d.Address)
	if key != "" {
		key = "forgot " + key
	}
	if err := a.registrations.allow(key, a.ticks()); err != nil {
		return err
	}
	if email, err := emailField(email); err == nil && email != "" {
		a.send(letter{kind: MailReset, email: email})
	}
	return nil
}

// ResetPassword takes a reset token and sets a password. All sessions are revoked, and
// the address the token was sent to is verified. The error is [ErrToken], a
// [*FieldError] about new, after which the token still works, or [ErrBusy].
func (a *Accounts) ResetPassword(ctx context.Context, token, replacement string) error {
	t, err := a.peek(ctx, purposeReset, token)
	if err != nil {
		return err
	}
	acc, err := a.Account(ctx, t.User)
	if err != nil {
		return tokenError(err)
	}
	if replacement, err = passwordField("new", replacement, acc.Email, acc.Username, acc.Name); err != nil {
		return err
	}
	hash, err := a.hash.hash(ctx, replacement)
	if err != nil {
		return err
	}
	return a.change(ctx, t.User, func(tx Tx, acc *Account) error {
		if _, err := tx.UseToken(ctx, purposeReset, t.Hash, a.now()); err != nil {
			return tokenError(err)
		}
		if acc.State == StateDeleted {
			return ErrToken
		}
		if t.Email != "" && t.Email == acc.Email && acc.EmailVerifiedAt == 0 {
			acc.EmailVerifiedAt = a.now()
		}
		return a.setPassword(ctx, tx, acc, hash, "", actorOf(*acc))
	})
}

// VerifyEmail takes a verification token. The error is [ErrToken], also when the account
// has another address by now.
func (a *Accounts) VerifyEmail(ctx context.Context, token string) error {
	t, err := a.peek(ctx, purposeVerify, token)
	if err != nil {
		return err
	}
	return a.change(ctx, t.User, func(tx Tx, acc *Account) error {
		if _, err := tx.UseToken(ctx, purposeVerify, t.Hash, a.now()); err != nil {
			return tokenError(err)
		}
		if acc.State == StateDeleted || acc.Email != t.Email {
			return ErrToken
		}
		if acc.EmailVerifiedAt != 0 {
			return nil
		}
		acc.EmailVerifiedAt, acc.UpdatedAt = a.now(), a.now()
		if err := tx.SaveAccount(ctx, *acc); err != nil {
			return err
		}
		return a.announceUpdated(ctx, tx, *acc, actorOf(*acc), "email_verified")
	})
}
