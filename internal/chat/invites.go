package chat

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"strings"
	"time"
)

const (
	invitePrefix = "i_"
	// inviteTime is how long an invite is good if nothing is said, inviteMost at most.
	inviteTime = 7 * 24 * time.Hour
	inviteMost = 365 * 24 * time.Hour
	// maxInvites bounds the invites of a chat that are good at a time, maxUses the uses of one.
	maxInvites = 100
	maxUses    = 100_000
)

// Invite lets whoever knows its id join a group. The id has 128 random bits and is kept
// as a hash only (guarantees.md S12).
type Invite struct {
	// ID as [Service.CreateInvite] returns it is the secret. Afterwards nobody is shown it
	// any more: [Service.Invites] has names here that are good for [Service.RevokeInvite].
	ID              string
	Chat, CreatedBy int64
	// CreatedAt and ExpiresAt are in milliseconds since 1970.
	CreatedAt, ExpiresAt int64
	// MaxUses is 0 for any number.
	MaxUses, Uses int
}

// inviteTx is what invites need. key is the hash of an id.
type inviteTx interface {
	AddInvite(ctx context.Context, key string, in *Invite) error
	// InvitesOf returns the invites of a chat that are good at the time now, the newest
	// first, with their keys as ids.
	InvitesOf(ctx context.Context, chat, now int64) ([]Invite, error)
	// RevokeInvite ends an invite of a chat that is good.
	RevokeInvite(ctx context.Context, chat int64, key string, now int64) error
	// InviteBy returns the invite with a key, if it is good, and its chat.
	InviteBy(ctx context.Context, key string, now int64) (Invite, Chat, error)
	// UseInvite counts a use of an invite that is good.
	UseInvite(ctx context.Context, key string, now int64) error
	// Hold holds a chat for this transaction, for who is no member.
	Hold(ctx context.Context, chat int64) (Chat, error)
}

// CreateInvite makes an invite to a group, for who may add members. expiresIn is 0 for a
// week, at most a year; maxUses is 0 for any number. The errors are [ErrNotFound],
// [ErrForbidden], [*FieldError] and, for too many at a time, [*LimitError].
func (s *Service) CreateInvite(ctx context.Context, user, chat int64, expiresIn time.Duration, maxUsers int) (in Invite, err error) {
	switch {
	case expiresIn < 0 || expiresIn > inviteMost:
		return in, &FieldError{"expires_in", "must be at most a year"}
	case maxUsers < 0 || maxUsers > maxUses:
		return in, &FieldError{"max_uses", "must be 0 to 100000"}
	case expiresIn == 0:
		expiresIn = inviteTime
	}
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return in, err
	}
	now := s.now()
	in = Invite{
		ID:   invitePrefix + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:])),
		Chat: chat, CreatedBy: user, CreatedAt: now, ExpiresAt: now + expiresIn.Milliseconds(), MaxUses: maxUsers,
	}
	err = s.store.Update(ctx, func(tx Tx) error {
		if err := s.mayInvite(ctx, tx, user, chat); err != nil {
			return err
		}
		good, err := tx.InvitesOf(ctx, chat, now)
		if err != nil {
			return err
		}
		if len(good) >= maxInvites {
			return &LimitError{Field: "invites", Got: len(good) + 1, Limit: maxInvites, Unit: "invites"}
		}
		return tx.AddInvite(ctx, inviteKey(in.ID), &in)
	})
	if err != nil {
		return Invite{}, err
	}
	return in, nil
}

// mayInvite locks the chat and checks that user may add members.
func (s *Service) mayInvite(ctx context.Context, tx Tx, user, chat int64) error {
	c, m, err := tx.Lock(ctx, chat, user)
	if err != nil {
		return err
	}
	if !(&View{Chat: c, Member: m}).Permissions().Invite {
		return ErrForbidden
	}
	return nil
}

// inviteKey is what an invite is kept under.
func inviteKey(id string) string {
	h := sha256.Sum256([]byte(id))
	return hex.EncodeToString(h[:])
}

// Invites returns the invites to a group that are good, the newest first, for who may
// add members.
func (s *Service) Invites(ctx context.Context, user, chat int64) (list []Invite, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		m, c, err := tx.MemberOf(ctx, user, chat)
		if err != nil {
			return err
		}
		if !(&View{Chat: c, Member: m}).Permissions().Invite {
			return ErrForbidden
		}
		list, err = tx.InvitesOf(ctx, chat, s.now())
		return err
	})
	return list, err
}

// RevokeInvite ends an invite, by its secret or by the name that [Service.Invites] has.
// The errors are [ErrNotFound] and [ErrForbidden].
func (s *Service) RevokeInvite(ctx context.Context, user, chat int64, id string) error {
	if strings.HasPrefix(id, invitePrefix) {
		id = inviteKey(id)
	}
	if !validClientID(id) {
		id = ""
	}
	return s.store.Update(ctx, func(tx Tx) error {
		if err := s.mayInvite(ctx, tx, user, chat); err != nil {
			return err
		}
		return tx.RevokeInvite(ctx, chat, id, s.now())
	})
}

// InvitePreview returns an invite and what a stranger may see of its chat: what it is
// called and how many are in it. The errors are [ErrNotFound], also for an invite that
// has expired, is used up or was revoked, and [ErrBanned].
func (s *Service) InvitePreview(ctx context.Context, user int64, id string) (in Invite, c Chat, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		var full Chat
		if in, full, err = tx.InviteBy(ctx, inviteKey(id), s.now()); err != nil {
			return err
		}
		place, err := tx.Place(ctx, full.ID, user)
		if err != nil && !isNotFound(err) {
			return err
		}
		if place.State == Banned {
			return ErrBanned
		}
		in.ID = id
		c = Chat{ID: full.ID, Kind: full.Kind, Title: full.Title, About: full.About, Avatar: full.Avatar, MemberCount: full.MemberCount}
		return nil
	})
	if err != nil {
		return Invite{}, Chat{}, err
	}
	return in, c, nil
}

// Join makes the user a member by an invite, which is used up by that; for who is a
// member already it is not. The errors are [ErrNotFound], as with
// [Service.InvitePreview], [ErrBanned] and, for a full group, [*LimitError].
func (s *Service) Join(ctx context.Context, user int64, id string) (v View, err error) {
	key := inviteKey(id)
	err = s.store.Update(ctx, func(tx Tx) error {
		in, _, err := tx.InviteBy(ctx, key, s.now())
		if err != nil {
			return err
		}
		c, err := tx.Hold(ctx, in.Chat)
		if err != nil {
			return err
		}
		if err := s.joinBy(ctx, tx, &c, user, key); err != nil {
			return err
		}
		v, err = s.view(ctx, tx, user, c.ID)
		return err
	})
	return v, err
}

func (s *Service) joinBy(ctx context.Context, tx Tx, c *Chat, user int64, key string) error {
	place, err := tx.Place(ctx, c.ID, user)
	switch {
	case err != nil && !isNotFound(err):
		return err
	case place.State == Active:
		return nil
	case place.State == Banned:
		return ErrBanned
	case c.MemberCount >= s.o.MembersLimit:
		return &LimitError{Field: "members", Got: c.MemberCount + 1, Limit: s.o.MembersLimit, Unit: "members"}
	}
	if err := tx.UseInvite(ctx, key, s.now()); err != nil {
		return err
	}
	self, err := s.self(ctx, tx, user)
	if err != nil {
		return err
	}
	return s.admit(ctx, tx, c, user, []Person{self}, ViaInvite)
}
