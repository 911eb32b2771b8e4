package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kuranty/kuranty/event"
)

// NewAccount is what a person says of itself to get an account. Name and Password are
// required, and one of Email and Username.
type NewAccount struct {
	Name, Email, Username, Password string
	// Invite is the token of an invitation.
	Invite string
	Device Device
}

// clean returns an account of what is said. It is not stored and has no password yet.
func (in *NewAccount) clean(now int64) (Account, error) {
	acc := Account{Role: RoleUser, Kind: KindHuman, State: StateActive, Privacy: DefaultPrivacy(), CreatedAt: now, UpdatedAt: now}
	var errName, errEmail, errUsername, errPassword error
	acc.Name, errName = nameField(in.Name)
	acc.Email, errEmail = emailField(in.Email)
	acc.Username, errUsername = usernameField(in.Username)
	in.Password, errPassword = passwordField("password", in.Password, acc.Email, acc.Username, acc.Name)
	if err := errors.Join(errName, errEmail, errUsername, errPassword); err != nil {
		return Account{}, err
	}
	if acc.Email == "" && acc.Username == "" {
		return Account{}, &FieldError{"email", "required"}
	}
	return acc, nil
}

// Register makes an account and logs it in.
//
// The error is a [*FieldError] (several are joined), a [*TakenError], [ErrRegistration],
// [ErrToken] about the invite, a [*LimitedError], [ErrBusy] or [ErrDisabled]. It is
// [ErrUnverified] when the account has been made but has to confirm its address first:
// registration by domain lets nobody in who only claims to have an address there.
func (a *Accounts) Register(ctx context.Context, in NewAccount) (Grant, error) {
	if err := a.builtin(); err != nil {
		return Grant{}, err
	}
	now := a.now()
	acc, err := in.clean(now)
	if err != nil {
		return Grant{}, err
	}
	invited := in.Invite != "" && (a.o.Registration == ByInvite || a.o.Registration == ByDomain)
	switch {
	case a.o.Registration == Closed, a.o.Registration == ByInvite && !invited:
		return Grant{}, ErrRegistration
	case a.o.Registration == ByDomain && !invited:
		if acc.Email == "" {
			return Grant{}, &FieldError{"email", "required"}
		}
		if !slices.Contains(a.o.Domains, emailDomain(acc.Email)) {
			return Grant{}, ErrRegistration
		}
	}
	if err := a.registrations.allow(addressKey(in.Device.Address), a.ticks()); err != nil {
		return Grant{}, err
	}
	if invited {
		if _, err := a.peek(ctx, purposeInvite, in.Invite); err != nil {
			return Grant{}, err
		}
	}
	if err := a.free(ctx, &acc); err != nil {
		return Grant{}, err
	}
	if acc.PasswordHash, err = a.hash.hash(ctx, in.Password); err != nil {
		return Grant{}, err
	}
	g := newGrant(a, in.Device)
	held := a.mustVerify(acc)
	err = a.store.Update(ctx, func(tx Tx) error {
		acc.ID = 0
		if invited {
			if _, err := tx.UseToken(ctx, purposeInvite, hashSecret(in.Invite), now); err != nil {
				return tokenError(err)
			}
		}
		if err := a.add(ctx, tx, &acc, byPassword, ""); err != nil {
			return err
		}
		if held {
			return nil
		}
		g.Session.User = acc.ID
		return tx.AddSession(ctx, g.Session)
	})
	if err != nil {
		return Grant{}, err
	}
	if acc.Email != "" {
		a.send(letter{kind: MailVerify, account: acc})
	}
	if held {
		return Grant{}, ErrUnverified
	}
	return a.complete(g, acc)
}

// free looks whether the names of a new account are free. Hashing its password is dear: who
// cannot have the account, or cannot be answered because the database is away, learns it
// before (guarantees.md R25). What decides is the row.
func (a *Accounts) free(ctx context.Context, acc *Account) error {
	return a.store.View(ctx, func(tx Tx) error {
		for _, unique := range []struct {
			field, value string
			find         func(context.Context, string) (Account, error)
		}{{"username", acc.Username, tx.AccountByUsername}, {"email", acc.Email, tx.AccountByEmail}} {
			if unique.value == "" {
				continue
			}
			switch _, err := unique.find(ctx, unique.value); {
			case err == nil:
				return &TakenError{Field: unique.field}
			case !errors.Is(err, ErrNotFound):
				return err
			}
		}
		return nil
	})
}

// mustVerify tells whether the account may only log in once its address is verified.
func (a *Accounts) mustVerify(acc Account) bool {
	return a.o.Registration == ByDomain && a.o.Mailer != nil && acc.Role == RoleUser && acc.EmailVerifiedAt == 0 &&
		acc.Email != "" && slices.Contains(a.o.Domains, emailDomain(acc.Email))
}

// add stores an account and announces it; without an actor it made itself.
func (a *Accounts) add(ctx context.Context, tx Tx, acc *Account, how, actor string) error {
	if acc.ID == 0 && a.numbersElsewhere() {
		// Else it takes the number of somebody there, who then could never come in.
		if err := tx.NumberAbove(ctx, maxNumericID); err != nil {
			return err
		}
	}
	if err := tx.AddAccount(ctx, acc); err != nil {
		return err
	}
	if actor == "" {
		actor = event.User(acc.ID)
	}
	return a.announceCreated(ctx, tx, *acc, how, actor)
}

// tokenError makes "there is no such token" what it means to who shows one.
func tokenError(err error) error {
	if errors.Is(err, ErrNotFound) {
		return ErrToken
	}
	return err
}

// peek returns a token that can be used, without using it: what is dear is not done for
// who has none.
func (a *Accounts) peek(ctx context.Context, purpose, token string) (t OneTime, err error) {
	err = a.store.View(ctx, func(tx Tx) error {
		t, err = tx.Token(ctx, purpose, hashSecret(token), a.now())
		return tokenError(err)
	})
	return t, err
}

// maxTokenTTL bounds invites and verification tokens, maxResetTTL those that reset a
// password (guarantees.md S12).
const (
	maxTokenTTL = 24 * time.Hour
	maxResetTTL = time.Hour
)

// InviteOptions say how an invitation may be used.
type InviteOptions struct {
	// MaxUses is how many may register with it; zero means 1, at most 10,000.
	MaxUses int
	// TTL is how long it is valid; zero means 24 h, which is the most.
	TTL time.Duration
}

// CreateInvite returns a token that lets people register. by must be an administrator.
// The error is [ErrForbidden] or a [*FieldError].
func (a *Accounts) CreateInvite(ctx context.Context, by Caller, o InviteOptions) (token string, expires time.Time, err error) {
	if !by.Admin() {
		return "", time.Time{}, ErrForbidden
	}
	setDefault(&o.MaxUses, 1)
	setDefault(&o.TTL, maxTokenTTL)
	if o.MaxUses < 1 || o.MaxUses > 10_000 {
		return "", time.Time{}, &FieldError{"max_uses", "invalid"}
	}
	if o.TTL < time.Second || o.TTL > maxTokenTTL {
		return "", time.Time{}, &FieldError{"ttl", "invalid"}
	}
	token, t := a.newOneTime(purposeInvite, o.TTL)
	t.MaxUses, t.CreatedBy = o.MaxUses, by.User
	err = a.store.Update(ctx, func(tx Tx) error { return tx.AddToken(ctx, t) })
	if err != nil {
		return "", time.Time{}, fmt.Errorf("create invite: %w", err)
	}
	return token, time.UnixMilli(t.ExpiresAt), nil
}

// newOneTime returns a token for one use and what is stored of it.
func (a *Accounts) newOneTime(purpose string, ttl time.Duration) (token string, t OneTime) {
	token = NewSecret()
	now := a.now()
	return token, OneTime{Hash: hashSecret(token), Purpose: purpose, MaxUses: 1, CreatedAt: now, ExpiresAt: now + ttl.Milliseconds()}
}
