package identity

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/search"
)

// maxPage bounds a list of accounts.
const maxPage = 200

// ListAccounts returns accounts by rising id, at most q.Limit (zero means 50, 200 is the
// most). by must be an administrator.
func (a *Accounts) ListAccounts(ctx context.Context, by Caller, q AccountQuery) (list []Account, err error) {
	if !by.Admin() {
		return nil, ErrForbidden
	}
	if q.Limit <= 0 {
		q.Limit = 50
	}
	q.Limit = min(q.Limit, maxPage)
	q.Search = search.Fold(q.Search)
	err = a.store.View(ctx, func(tx Tx) error {
		list, err = tx.ListAccounts(ctx, q)
		return err
	})
	return list, err
}

// AccountSpec is what an administrator says of an account. Nil keeps what is there; in a
// new account it is empty.
type AccountSpec struct {
	Name, Email, Username, Lang, TZ, Picture *string
	// EmailVerified says that the address is known to be theirs.
	EmailVerified *bool
	// Role and Kind are those of a new account: [RoleUser] and [KindHuman] if empty.
	Role, Kind string
	// Password of a new account; empty lets nobody log in by password.
	Password string
}

// apply changes acc as s says.
func (s *AccountSpec) apply(acc *Account, now int64) error {
	for _, f := range []struct {
		from, to *string
		check    func(string) (string, error)
	}{
		{s.Name, &acc.Name, nameField},
		{s.Username, &acc.Username, usernameField},
		{s.Lang, &acc.Lang, langField},
		{s.TZ, &acc.TZ, tzField},
		{s.Picture, &acc.Picture, pictureField},
	} {
		if f.from == nil {
			continue
		}
		v, err := f.check(*f.from)
		if err != nil {
			return err
		}
		*f.to = v
	}
	if s.Email != nil {
		email, err := emailField(*s.Email)
		if err != nil {
			return err
		}
		if email != acc.Email {
			acc.Email, acc.EmailVerifiedAt = email, 0
		}
	}
	if s.EmailVerified != nil {
		switch {
		case !*s.EmailVerified:
			acc.EmailVerifiedAt = 0
		case acc.Email != "" && acc.EmailVerifiedAt == 0:
			acc.EmailVerifiedAt = now
		}
	}
	if acc.Name == "" {
		return &FieldError{"name", "required"}
	}
	return nil
}

// draft returns a new account of s, not stored. Its password is hashed, so that is done
// outside of any change.
func (a *Accounts) draft(ctx context.Context, s AccountSpec) (Account, error) {
	now := a.now()
	acc := Account{Role: s.Role, Kind: s.Kind, State: StateActive, Privacy: DefaultPrivacy(), CreatedAt: now, UpdatedAt: now}
	setDefault(&acc.Role, RoleUser)
	setDefault(&acc.Kind, KindHuman)
	if err := errors.Join(s.apply(&acc, now), oneOf("role", acc.Role, RoleUser, RoleAdmin), oneOf("kind", acc.Kind, KindHuman, KindBot)); err != nil {
		return Account{}, err
	}
	if s.Password == "" {
		return acc, nil
	}
	password, err := passwordField("password", s.Password, acc.Email, acc.Username, acc.Name)
	if err != nil {
		return Account{}, err
	}
	acc.PasswordHash, err = a.hash.hash(ctx, password)
	return acc, err
}

// CreateAccount makes an account. by must be an administrator. The error is
// [ErrForbidden], a [*FieldError], a [*TakenError] or [ErrBusy].
func (a *Accounts) CreateAccount(ctx context.Context, by Caller, s AccountSpec) (Account, error) {
	if !by.Admin() {
		return Account{}, ErrForbidden
	}
	acc, err := a.draft(ctx, s)
	if err != nil {
		return Account{}, err
	}
	if acc.Email == "" && acc.Username == "" && acc.Kind != KindBot {
		return Account{}, &FieldError{"email", "required"}
	}
	err = a.store.Update(ctx, func(tx Tx) error {
		acc.ID = 0
		return a.add(ctx, tx, &acc, byAdmin, by.Actor())
	})
	return acc, err
}

// UpsertExternal makes the account of a person of the operator's application, or changes
// it; created tells which. by must be an administrator. Role, Kind and Password are
// those of a new account only. The errors are those of CreateAccount.
func (a *Accounts) UpsertExternal(ctx context.Context, by Caller, externalID string, s AccountSpec) (acc Account, created bool, err error) {
	if !by.Admin() {
		return Account{}, false, ErrForbidden
	}
	if externalID, err = externalField(externalID); err != nil {
		return Account{}, false, err
	}
	for range 3 { // somebody may make the same account in between
		err = a.store.View(ctx, func(tx Tx) (err error) {
			acc, err = accountOf(ctx, tx, externalID)
			return err
		})
		if err == nil {
			now := a.now()
			acc, err = a.edit(ctx, acc.ID, by.Actor(), func(acc *Account) error { return s.apply(acc, now) })
			return acc, false, err
		}
		if !errors.Is(err, ErrNotFound) {
			return Account{}, false, err
		}
		if acc, err = a.draft(ctx, s); err != nil {
			return Account{}, false, err
		}
		acc.ExternalID = externalID
		err = a.store.Update(ctx, func(tx Tx) error {
			acc.ID = a.numericID(externalID)
			return a.add(ctx, tx, &acc, byExternal, by.Actor())
		})
		if !isTaken(err, "external_id") && !isTaken(err, "id") {
			break
		}
	}
	return acc, err == nil, err
}

func isTaken(err error, field string) bool {
	var taken *TakenError
	return errors.As(err, &taken) && taken.Field == field
}

// keepAdmin refuses a change of the last active administrator, whose id it is given. It
// comes before the account is locked.
func keepAdmin(ctx context.Context, tx Tx, id int64) error {
	admins, err := tx.LockAdmins(ctx)
	if err != nil {
		return err
	}
	if len(admins) == 1 && admins[0] == id {
		return ErrLastAdmin
	}
	return nil
}

// administer runs f on a locked account that is not deleted, for an administrator. With
// keep the account must not be the last of them.
func (a *Accounts) administer(ctx context.Context, by Caller, id int64, keep bool, f func(Tx, *Account) error) error {
	if !by.Admin() {
		return ErrForbidden
	}
	err := a.store.Update(ctx, func(tx Tx) error {
		if keep {
			if err := keepAdmin(ctx, tx, id); err != nil {
				return err
			}
		}
		acc, err := tx.LockAccount(ctx, id)
		if err != nil {
			return err
		}
		if acc.State == StateDeleted {
			return ErrNotFound
		}
		acc.UpdatedAt = a.now()
		return f(tx, &acc)
	})
	a.ForgetUser(id)
	return err
}

// Suspend keeps an account out and revokes its sessions. The error is [ErrForbidden],
// [ErrNotFound] or [ErrLastAdmin].
func (a *Accounts) Suspend(ctx context.Context, by Caller, id int64) error {
	return a.administer(ctx, by, id, true, func(tx Tx, acc *Account) error {
		if acc.State == StateSuspended {
			return nil
		}
		acc.State = StateSuspended
		if err := tx.SaveAccount(ctx, *acc); err != nil {
			return err
		}
		if _, err := a.revokeAll(ctx, tx, id, "", by.Actor(), ReasonSuspended); err != nil {
			return err
		}
		return a.append(ctx, tx, event.UserSuspended, by.Actor(), 0, userGone{id})
	})
}

// Unsuspend lets an account in again.
func (a *Accounts) Unsuspend(ctx context.Context, by Caller, id int64) error {
	return a.administer(ctx, by, id, false, func(tx Tx, acc *Account) error {
		if acc.State == StateActive {
			return nil
		}
		acc.State = StateActive
		if err := tx.SaveAccount(ctx, *acc); err != nil {
			return err
		}
		return a.announceUpdated(ctx, tx, *acc, by.Actor(), "state")
	})
}

// SetRole makes an account one of [RoleUser] or [RoleAdmin]. Its sessions are revoked: a
// change of privilege needs a new login (guarantees.md S7).
func (a *Accounts) SetRole(ctx context.Context, by Caller, id int64, role string) error {
	if err := oneOf("role", role, RoleUser, RoleAdmin); err != nil {
		return err
	}
	return a.administer(ctx, by, id, role == RoleUser, func(tx Tx, acc *Account) error {
		if acc.Role == role {
			return nil
		}
		acc.Role = role
		if err := tx.SaveAccount(ctx, *acc); err != nil {
			return err
		}
		if _, err := a.revokeAll(ctx, tx, id, "", by.Actor(), ReasonRole); err != nil {
			return err
		}
		return a.announceUpdated(ctx, tx, *acc, by.Actor(), "role")
	})
}

// SetPassword gives an account a password and revokes its sessions.
func (a *Accounts) SetPassword(ctx context.Context, by Caller, id int64, password string) error {
	if !by.Admin() {
		return ErrForbidden
	}
	acc, err := a.Account(ctx, id)
	if err != nil {
		return err
	}
	if password, err = passwordField("password", password, acc.Email, acc.Username, acc.Name); err != nil {
		return err
	}
	hash, err := a.hash.hash(ctx, password)
	if err != nil {
		return err
	}
	return a.administer(ctx, by, id, false, func(tx Tx, acc *Account) error {
		return a.setPassword(ctx, tx, acc, hash, "", by.Actor())
	})
}

// CreateReset returns a token with which the account's owner sets a password, for an
// administrator to hand over; it is valid for an hour.
func (a *Accounts) CreateReset(ctx context.Context, by Caller, id int64) (token string, expires time.Time, err error) {
	token, t := a.newOneTime(purposeReset, maxResetTTL)
	t.User, t.CreatedBy = id, by.User // no e-mail address: handing it over verifies none
	err = a.administer(ctx, by, id, false, func(tx Tx, _ *Account) error { return tx.AddToken(ctx, t) })
	if err != nil {
		return "", time.Time{}, err
	}
	return token, time.UnixMilli(t.ExpiresAt), nil
}

// Delete removes what is known of a person and keeps the account's number, which
// messages refer to, and a hash of its external id, so that it stays deleted. The error is
// [ErrForbidden], [ErrNotFound] or [ErrLastAdmin].
func (a *Accounts) Delete(ctx context.Context, by Caller, id int64) error {
	return a.administer(ctx, by, id, true, func(tx Tx, acc *Account) error {
		if _, err := a.revokeAll(ctx, tx, id, "", by.Actor(), ReasonDeleted); err != nil {
			return err
		}
		for _, purpose := range []string{purposeReset, purposeVerify} {
			if err := tx.DropTokens(ctx, purpose, id); err != nil {
				return err
			}
		}
		*acc = Account{
			ID: id, ExternalID: deletedExternal(acc.ExternalID), Name: "Deleted account", Role: RoleUser, Kind: acc.Kind,
			State: StateDeleted, Privacy: DefaultPrivacy(), UpdatedAt: acc.UpdatedAt,
		}
		if err := tx.SaveAccount(ctx, *acc); err != nil {
			return err
		}
		return a.append(ctx, tx, event.UserDeleted, by.Actor(), 0, userGone{id})
	})
}

// numericID is the account id that an external id is itself, 0 if it is none.
func (a *Accounts) numericID(externalID string) int64 {
	n, err := strconv.ParseInt(externalID, 10, 64)
	if !a.numbersElsewhere() || err != nil || n < 1 || n > maxNumericID || fmt.Sprint(n) != externalID {
		return 0
	}
	return n
}

// numbersElsewhere tells whether the operator's application numbers its people here too.
func (a *Accounts) numbersElsewhere() bool { return a.o.External.NumericIDs && a.o.Mode != Builtin }

// maxNumericID leaves room above for the accounts that are numbered here.
const maxNumericID = 1 << 52
