package chat

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/kuranty/kuranty/event"
)

const (
	// maxDraft is in bytes: a text of the greatest length, escaped.
	maxDraft = 64 << 10
	// maxPins bounds pin orders; they are places in a list that a person arranges.
	maxPins = 10_000
	// toldMembers is up to how many members each is told that a chat was deleted; who is
	// connected hears it in the chat.
	toldMembers = 1000
)

// stateTx is what changing what is one's own needs.
type stateTx interface {
	// SaveState stores what a member keeps for himself: mute, pin, archive, draft.
	SaveState(ctx context.Context, m *Member) error
	// ClearFor hides all messages so far from a member, and the chat from the list if
	// hide is true.
	ClearFor(ctx context.Context, chat, user int64, hide bool, now int64) error
}

// StateChange says what to change of what a member keeps for himself about a chat; nil
// keeps what is there.
type StateChange struct {
	// MutedUntil is in milliseconds since 1970, 0 for not muted.
	MutedUntil *int64
	// PinOrder is the place among the pinned chats from 1 on, 0 for not pinned.
	PinOrder *int
	Archived *bool
	// Draft is a JSON object, or null for none.
	Draft *json.RawMessage
}

// SetState changes what the user keeps for himself about a chat; the user's own
// devices are told. The errors are [ErrNotFound], [*FieldError] and [*LimitError].
func (s *Service) SetState(ctx context.Context, user, chat int64, in StateChange) (v View, err error) {
	if err := in.check(); err != nil {
		return View{}, err
	}
	err = s.store.Update(ctx, func(tx Tx) error {
		_, m, err := tx.Lock(ctx, chat, user)
		if err != nil {
			return err
		}
		set(&m.MutedUntil, in.MutedUntil)
		set(&m.PinOrder, in.PinOrder)
		set(&m.Archived, in.Archived)
		set(&m.Draft, in.Draft)
		if err := tx.SaveState(ctx, &m); err != nil {
			return err
		}
		v, err = s.view(ctx, tx, user, chat)
		return err
	})
	if err != nil {
		return View{}, err
	}
	s.o.Live.ChatState(user, chat)
	s.o.Live.ListChanged(user)
	return v, nil
}

// check also puts what is not text out of a draft.
func (in *StateChange) check() error {
	if t := in.MutedUntil; t != nil && (*t < 0 || *t >= 1<<53) {
		return &FieldError{"muted_until", "must be a time"}
	}
	if n := in.PinOrder; n != nil && (*n < 0 || *n > maxPins) {
		return &FieldError{"pin_order", "must be 0 to 10000"}
	}
	if in.Draft == nil {
		return nil
	}
	d := json.RawMessage(strings.ToValidUTF8(string(*in.Draft), "\uFFFD"))
	in.Draft = &d
	switch {
	case len(d) > maxDraft:
		return &LimitError{Field: "draft", Got: len(d), Limit: maxDraft, Unit: "bytes"}
	case len(d) == 0 || string(d) == "null":
		none := json.RawMessage(nil)
		in.Draft = &none
	case d[0] != '{' || !json.Valid(d):
		return &FieldError{"draft", "must be a JSON object or null"}
	}
	return nil
}

// Clear hides all messages so far from the user.
func (s *Service) Clear(ctx context.Context, user, chat int64) error {
	err := s.store.Update(ctx, func(tx Tx) error {
		if _, _, err := tx.Lock(ctx, chat, user); err != nil {
			return err
		}
		return tx.ClearFor(ctx, chat, user, false, s.now())
	})
	if err != nil {
		return err
	}
	s.o.Live.ChatState(user, chat)
	s.o.Live.ListChanged(user)
	return nil
}

// DeleteChat deletes a chat. A group is deleted for all, by its owner; a saved chat has
// nobody else. A direct chat is cleared and hidden for the user or, with forAll, deleted
// for both, if each takes messages of the other: who opens it again gets a new one. What
// is deleted for all is nobody's to see from then on, and its messages are purged. The
// errors are [ErrNotFound] and [ErrForbidden].
func (s *Service) DeleteChat(ctx context.Context, user, chat int64, forAll bool) error {
	err := s.store.Update(ctx, func(tx Tx) error {
		c, m, err := tx.Lock(ctx, chat, user)
		switch {
		case err != nil:
			return err
		case c.Kind == Group && m.Role != Owner:
			return ErrForbidden
		case c.Kind != Direct:
			return s.closeChat(ctx, tx, &c, user)
		case forAll:
			if err := s.mutual(ctx, tx, user, c.Companion(user)); err != nil {
				return err
			}
			return s.closeChat(ctx, tx, &c, user)
		}
		if err := tx.ClearFor(ctx, chat, user, true, s.now()); err != nil {
			return err
		}
		return s.notify(ctx, tx, user, "chat_removed", 0, user, ChatRemoved{chat, ReasonDeleted})
	})
	if err != nil {
		return err
	}
	s.o.Live.ListChanged(user)
	return nil
}

// mutual checks that two take messages of each other.
func (s *Service) mutual(ctx context.Context, tx Tx, a, b int64) error {
	for _, way := range [][2]int64{{a, b}, {b, a}} {
		if ok, err := tx.Writable(ctx, way[0], way[1]); err != nil || !ok {
			return or(err, ErrForbidden)
		}
	}
	return nil
}

// closeChat ends a chat for all.
func (s *Service) closeChat(ctx context.Context, tx Tx, c *Chat, user int64) error {
	if c.MemberCount <= toldMembers {
		members, _, err := tx.MembersOf(ctx, user, c.ID, MembersPage{State: Active, Limit: toldMembers, After: MemberPlace{Rank: -1}})
		if err != nil {
			return err
		}
		for i := range members {
			if err := s.notify(ctx, tx, members[i].Member.User, "chat_removed", 0, user, ChatRemoved{c.ID, ReasonDeleted}); err != nil {
				return err
			}
		}
	}
	if err := s.announceRoom(ctx, tx, event.RoomDeleted, c, user, nil, nil); err != nil {
		return err
	}
	return tx.CloseChat(ctx, c.ID, s.now())
}
