package trust

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/kuranty/kuranty/event"
)

// identityTx is what a transaction can do with identities.
type identityTx interface {
	// AddIdentity stores i, unless its user has one ([ErrExists]) or its username is
	// another's ([*TakenError]).
	AddIdentity(ctx context.Context, i *Identity) error
	// Identity and IdentityOf return one by its id and by whose it is.
	Identity(ctx context.Context, id string) (Identity, error)
	IdentityOf(ctx context.Context, user int64) (Identity, error)
	// LockIdentity is Identity, and lets nobody else change it, or its verifications, until
	// the end of the transaction.
	LockIdentity(ctx context.Context, id string) (Identity, error)
	// SaveIdentity stores what can change of one.
	SaveIdentity(ctx context.Context, i *Identity) error
	// Identities returns those with ids below one that q selects, the newest first.
	Identities(ctx context.Context, q *IdentityQuery, below string) ([]Identity, error)
}

// NewIdentity is what somebody publishes of themselves. PublicKey is the key as text. User
// is whose it is, 0 the caller's; that of others is published by operators.
type NewIdentity struct {
	User                             int64
	Username, DisplayName, PublicKey string
}

// IdentityQuery selects identities; empty fields select all. User, Username and Fingerprint
// are exact, and one of them is looked at.
type IdentityQuery struct {
	User                  int64
	Username, Fingerprint string
	Limit                 int // 50 if it is 0
	Cursor                string
}

// IdentityPage is a part of a list; Next is the cursor of the next, empty at the end.
type IdentityPage struct {
	Identities []Identity
	Next       string
}

// usernames are those that accounts may have too (chat-api.md §C.1).
var (
	usernames = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{1,30}[a-z0-9]$`)
	numeral   = regexp.MustCompile(`^[0-9]+$`)
)

// maxDisplayName is in code points.
const maxDisplayName = 100

func checkUsername(name string) (string, error) {
	name = strings.ToLower(strings.TrimSpace(name))
	switch {
	case name == "":
		return "", &FieldError{"username", "is required"}
	case !usernames.MatchString(name) || numeral.MatchString(name):
		return "", &FieldError{"username", "must be 3 to 32 of a-z, 0-9, dot, hyphen and underscore, with a letter or digit at both ends, and not a number"}
	}
	return name, nil
}

// checkDisplayName normalizes a name: NFC, without control characters, and with single
// blanks.
func checkDisplayName(name string) (string, error) {
	if len(name) <= 64*maxDisplayName { // what is longer has no normal form that is short enough
		name = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) && !unicode.IsSpace(r) {
				return -1
			}
			return r
		}, norm.NFC.String(strings.ToValidUTF8(name, "\uFFFD")))
		name = strings.Join(strings.Fields(name), " ")
	}
	if utf8.RuneCountInString(name) > maxDisplayName {
		return "", &FieldError{"display_name", fmt.Sprintf("is too long (at most %d characters)", maxDisplayName)}
	}
	return name, nil
}

// Create publishes an identity, which nothing speaks for yet. The errors are [ErrForbidden],
// [ErrExists], [*TakenError] and [*FieldError].
func (s *Service) Create(ctx context.Context, by Caller, in NewIdentity) (Identity, error) {
	if in.User == 0 {
		in.User = by.User
	}
	switch {
	case in.User == 0:
		return Identity{}, &FieldError{"user_id", "is required"}
	case in.User != by.User && !by.Operator:
		return Identity{}, ErrForbidden
	}
	now := s.now()
	i := Identity{ID: newID(identityPrefix, now), User: in.User, Level: Basic, CreatedAt: now, UpdatedAt: now}
	var errs [3]error
	i.Username, errs[0] = checkUsername(in.Username)
	i.DisplayName, errs[1] = checkDisplayName(in.DisplayName)
	i.Key, errs[2] = parseKey(in.PublicKey)
	if err := errors.Join(errs[:]...); err != nil {
		return Identity{}, err
	}
	err := s.store.Update(ctx, func(tx Tx) error {
		if _, err := tx.Person(ctx, i.User); errors.Is(err, ErrNotFound) {
			return &FieldError{"user_id", "is nobody here"}
		} else if err != nil {
			return err
		}
		if err := tx.AddIdentity(ctx, &i); err != nil {
			return err
		}
		return s.announce(ctx, tx, by.Actor, i.ID, event.TrustIdentityCreated, now, identityPayload(&i))
	})
	if err != nil {
		return Identity{}, fmt.Errorf("create identity: %w", err)
	}
	return i, nil
}

// Change is what may be changed of an identity; nil leaves it. Another key ends what the
// old one proved.
type Change struct{ DisplayName, PublicKey *string }

// Change changes the caller's own identity. The errors are [ErrNotFound], [ErrForbidden]
// and [*FieldError].
func (s *Service) Change(ctx context.Context, by Caller, id string, c Change) (i Identity, err error) {
	var wanted Identity
	var errs [2]error
	if c.DisplayName != nil {
		wanted.DisplayName, errs[0] = checkDisplayName(*c.DisplayName)
	}
	if c.PublicKey != nil {
		wanted.Key, errs[1] = parseKey(*c.PublicKey)
	}
	if err := errors.Join(errs[:]...); err != nil {
		return Identity{}, err
	}
	if !validID(identityPrefix, id) {
		return Identity{}, ErrNotFound
	}
	err = s.store.Update(ctx, func(tx Tx) error {
		if i, err = tx.LockIdentity(ctx, id); err != nil {
			return err
		}
		if by.User == 0 || by.User != i.User {
			return ErrForbidden
		}
		var changes []string
		if c.DisplayName != nil && wanted.DisplayName != i.DisplayName {
			i.DisplayName, changes = wanted.DisplayName, append(changes, "displayName")
		}
		rekeyed := c.PublicKey != nil && !bytes.Equal(wanted.Key, i.Key)
		if rekeyed {
			i.Key, changes = wanted.Key, append(changes, "publicKey")
		}
		if len(changes) == 0 {
			return nil
		}
		i.UpdatedAt = s.now()
		if err := s.identityChanged(ctx, tx, by.Actor, &i, changes...); err != nil || !rekeyed {
			return err
		}
		return s.endProofs(ctx, tx, by.Actor, &i)
	})
	if err != nil {
		return Identity{}, fmt.Errorf("change identity %s: %w", id, err)
	}
	return i, nil
}

// endProofs ends what was proved, or was about to be, with the key before.
func (s *Service) endProofs(ctx context.Context, tx Tx, actor string, i *Identity) error {
	return errors.Join(
		s.endAll(ctx, tx, actor, i, Challenge, Pending, Failed),
		s.endAll(ctx, tx, actor, i, Challenge, Verified, Expired))
}

// endAll gives all verifications of a type and state another.
func (s *Service) endAll(ctx context.Context, tx Tx, actor string, i *Identity, typ, status, end string) error {
	list, err := tx.Current(ctx, i.ID, typ, status)
	if err != nil {
		return err
	}
	for n := range list {
		if err := s.settle(ctx, tx, actor, i, &list[n], end, 0); err != nil {
			return err
		}
	}
	return nil
}

// Identity returns an identity, which everybody with an account may see. The error is
// [ErrNotFound].
func (s *Service) Identity(ctx context.Context, id string) (i Identity, err error) {
	if !validID(identityPrefix, id) {
		return Identity{}, ErrNotFound
	}
	err = s.store.View(ctx, func(tx Tx) error {
		i, err = tx.Identity(ctx, id)
		return err
	})
	return i, err
}

// Identities lists identities, the newest first. The error is a [*FieldError] if the cursor
// is none of ours.
func (s *Service) Identities(ctx context.Context, q IdentityQuery) (p IdentityPage, err error) {
	if q.Cursor != "" && !validID(identityPrefix, q.Cursor) {
		return IdentityPage{}, &FieldError{"cursor", "is none of ours"}
	}
	if q.Username != "" {
		if q.Username, err = checkUsername(q.Username); err != nil {
			return IdentityPage{}, nil // nobody has such a name
		}
	}
	if q.Fingerprint != "" && !fingerprints.MatchString(q.Fingerprint) {
		return IdentityPage{}, nil
	}
	setDefault(&q.Limit, 50)
	limit := q.Limit
	q.Limit++ // whether there are more
	err = s.store.View(ctx, func(tx Tx) error {
		p.Identities, err = tx.Identities(ctx, &q, below(identityPrefix, q.Cursor))
		return err
	})
	if err != nil {
		return IdentityPage{}, fmt.Errorf("list identities: %w", err)
	}
	if len(p.Identities) > limit {
		p.Identities = p.Identities[:limit]
		p.Next = p.Identities[limit-1].ID
	}
	return p, nil
}

var fingerprints = regexp.MustCompile(`^SHA256:[A-Za-z0-9+/]{43}$`)

// below is the id that those of the next page are below of.
func below(prefix, cursor string) string {
	if cursor == "" {
		return prefix + "ZZZZZZZZZZZZZZZZZZZZZZZZZZ" // above all ULIDs, in any collation
	}
	return cursor
}
