package identity

import "context"

// ProfileChange says what of a profile to change; nil keeps what is there. Nothing else
// of an account can be changed by its owner (guarantees.md S17).
type ProfileChange struct {
	Name, Username, About, Lang, TZ *string
	Privacy                         PrivacyChange
}

// PrivacyChange is the part of [ProfileChange] about [Privacy].
type PrivacyChange struct {
	LastSeen, Email, WhoCanMessage, WhoCanAdd *string
	ReadReceipts                              *bool
}

// UpdateProfile changes the caller's own profile and returns the account. The error is a
// [*FieldError], a [*TakenError] or, for services, [ErrForbidden].
func (a *Accounts) UpdateProfile(ctx context.Context, by Caller, c ProfileChange) (Account, error) {
	if by.User == 0 {
		return Account{}, ErrForbidden
	}
	return a.edit(ctx, by.User, by.Actor(), func(acc *Account) error { return c.apply(acc) })
}

// SetAvatar makes a file the caller's avatar; empty removes it. That the file exists and
// is the caller's picture is for who stores files to know.
func (a *Accounts) SetAvatar(ctx context.Context, by Caller, file string) (Account, error) {
	if by.User == 0 {
		return Account{}, ErrForbidden
	}
	return a.edit(ctx, by.User, by.Actor(), func(acc *Account) error {
		acc.AvatarFile = file
		if file == "" {
			acc.Picture = "" // removed is removed, wherever it came from
		}
		return nil
	})
}

// edit changes an account that is not deleted and announces what has changed, if
// anything has.
func (a *Accounts) edit(ctx context.Context, id int64, actor string, f func(*Account) error) (after Account, err error) {
	err = a.change(ctx, id, func(tx Tx, acc *Account) error {
		if acc.State == StateDeleted {
			return ErrNotFound
		}
		before := *acc
		if err := f(acc); err != nil {
			return err
		}
		changes := differences(before, *acc)
		if after = *acc; len(changes) == 0 {
			return nil
		}
		acc.UpdatedAt = a.now()
		if err := tx.SaveAccount(ctx, *acc); err != nil {
			return err
		}
		after = *acc
		return a.announceUpdated(ctx, tx, *acc, actor, changes...)
	})
	return after, err
}

// differences names the fields, as in the API, that differ.
func differences(x, y Account) (names []string) {
	for _, f := range []struct {
		name string
		same bool
	}{
		{"name", x.Name == y.Name},
		{"username", x.Username == y.Username},
		{"email", x.Email == y.Email},
		{"email_verified", x.EmailVerifiedAt == y.EmailVerifiedAt},
		{"about", x.About == y.About},
		{"avatar", x.AvatarFile == y.AvatarFile && x.Picture == y.Picture},
		{"role", x.Role == y.Role},
		{"state", x.State == y.State},
		{"lang", x.Lang == y.Lang},
		{"tz", x.TZ == y.TZ},
		{"privacy", x.Privacy == y.Privacy},
	} {
		if !f.same {
			names = append(names, f.name)
		}
	}
	return names
}

func (c *ProfileChange) apply(acc *Account) error {
	for _, f := range []struct {
		from  *string
		to    *string
		check func(string) (string, error)
	}{
		{c.Name, &acc.Name, nameField},
		{c.Username, &acc.Username, usernameField},
		{c.About, &acc.About, aboutField},
		{c.Lang, &acc.Lang, langField},
		{c.TZ, &acc.TZ, tzField},
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
	if acc.Username == "" && acc.Email == "" && acc.ExternalID == "" {
		return &FieldError{"username", "required"} // nothing would be left to log in with
	}
	p, n := c.Privacy, &acc.Privacy
	for _, f := range []struct{ from, to *string }{
		{p.LastSeen, &n.LastSeen}, {p.Email, &n.Email}, {p.WhoCanMessage, &n.WhoCanMessage}, {p.WhoCanAdd, &n.WhoCanAdd},
	} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	if p.ReadReceipts != nil {
		n.ReadReceipts = *p.ReadReceipts
	}
	return n.check()
}
