package chat

import (
	"context"
	"errors"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/search"
)

const (
	maxMembers = 200
	maxAdded   = 100
)

// MembersQuery selects members of a chat: the owner first, then admins, then by when
// they joined.
type MembersQuery struct {
	// Cursor is [MemberList.Next] of the page before.
	Cursor string
	// Name, if not empty, selects by a part of the name or user name, Role by the role.
	Name, Role string
	// Limit is 1 to 200; zero means 50.
	Limit int
}

// MemberView is a member and who that is.
type MemberView struct {
	Member Member
	Person PersonView
}

// MemberList is one page of members.
type MemberList struct {
	Members []MemberView
	// Next is the cursor of the next page, empty on the last.
	Next string
	// Total is how many members the query selects.
	Total int
}

// MembersPage is a [MembersQuery] as the store reads it. After is the place after which
// the page begins.
type MembersPage struct {
	State string
	// Name is folded ([search.Fold]).
	Name, Role string
	After      MemberPlace
	Limit      int
}

// MemberPlace is a member's place in the list. Rank is 0 for owners, 1 for admins.
type MemberPlace struct{ Rank, JoinedAt, User int64 }

// Candidate is somebody who may become a member.
type Candidate struct {
	Person Person
	// State is that of their place in the chat, empty if there is none.
	State string
	// Willing tells whether they let the one who adds them do so.
	Willing bool
}

// memberTx is what changing members needs. A chat is held by [roomTx.Lock] before.
type memberTx interface {
	// MembersOf returns a page of the members of a chat in a state, as viewer sees them, and
	// how many all pages have.
	MembersOf(ctx context.Context, viewer, chat int64, q MembersPage) ([]MemberView, int, error)
	// Place returns somebody's place in a chat, in whatever state.
	Place(ctx context.Context, chat, user int64) (Member, error)
	// Candidates returns those of the users who are there, for user to add to a chat.
	Candidates(ctx context.Context, chat, user int64, users []int64) ([]Candidate, error)
	// Join makes users active members, who see messages after c.LastSeq only if the chat
	// is so set, and returns how many members the chat has then.
	Join(ctx context.Context, c *Chat, role string, users []int64, now int64) (members int, err error)
	// Depart gives a member's place another state, and returns how many members are left.
	Depart(ctx context.Context, c *Chat, user int64, state string) (members int, err error)
	// SetRole gives an active member another role.
	SetRole(ctx context.Context, c *Chat, user int64, role string) error
	// RevokeInvitesOf ends the invites that user made to a chat.
	RevokeInvitesOf(ctx context.Context, chat, user, now int64) error
}

// Members returns a page of the members of a chat. The errors are [ErrNotFound],
// [*FieldError] and [*LimitError].
func (s *Service) Members(ctx context.Context, user, chat int64, q MembersQuery) (list MemberList, err error) {
	if err := checkLength("q", q.Name, maxNeedle); err != nil {
		return list, err
	}
	p := MembersPage{State: Active, Name: search.Fold(Normalize(q.Name)), Role: q.Role, Limit: clamp(q.Limit, maxMembers), After: MemberPlace{Rank: -1}}
	switch q.Role {
	case "", Owner, Admin, Plain:
	default:
		return list, &FieldError{"role", "must be owner, admin or member"}
	}
	if q.Cursor != "" && !openCursor(q.Cursor, &p.After.Rank, &p.After.JoinedAt, &p.After.User) {
		return list, errCursor
	}
	p.Limit++
	err = s.store.View(ctx, func(tx Tx) error {
		if _, _, err := tx.MemberOf(ctx, user, chat); err != nil {
			return err
		}
		list.Members, list.Total, err = tx.MembersOf(ctx, user, chat, p)
		return err
	})
	if err != nil {
		return MemberList{}, err
	}
	if len(list.Members) == p.Limit {
		list.Members = list.Members[:p.Limit-1]
		last := &list.Members[p.Limit-2].Member
		list.Next = cursor(rank(last.Role), last.JoinedAt, last.User)
	}
	for i := range list.Members {
		s.present(&list.Members[i].Person, user)
	}
	return list, nil
}

func rank(role string) int64 {
	switch role {
	case Owner:
		return 0
	case Admin:
		return 1
	}
	return 2
}

// AddMembers makes up to 100 users members of a group. Who could not be added is
// returned with the reason. The errors are [ErrNotFound], [ErrForbidden], [*LimitError].
func (s *Service) AddMembers(ctx context.Context, user, chat int64, users []int64) (added []int64, notAdded []NotAdded, err error) {
	users = distinct(users, user)
	if len(users) > maxAdded {
		return nil, nil, &LimitError{Field: "user_ids", Got: len(users), Limit: maxAdded, Unit: "users"}
	}
	if len(users) == 0 {
		return nil, nil, &FieldError{"user_ids", "must name somebody else"}
	}
	err = s.store.Update(ctx, func(tx Tx) error {
		c, m, err := tx.Lock(ctx, chat, user)
		if err != nil {
			return err
		}
		if !(&View{Chat: c, Member: m}).Permissions().Add {
			return ErrForbidden
		}
		var people []Person
		if people, notAdded, err = s.addable(ctx, tx, &c, user, users); err != nil {
			return err
		}
		if added = ids(people); len(people) == 0 {
			return nil
		}
		return s.admit(ctx, tx, &c, user, people, ViaAdded)
	})
	if err != nil {
		return nil, nil, err
	}
	return added, notAdded, nil
}

// addable sorts out whom user can add to a chat.
func (s *Service) addable(ctx context.Context, tx Tx, c *Chat, user int64, users []int64) (people []Person, notAdded []NotAdded, err error) {
	if len(users) == 0 {
		return nil, nil, nil
	}
	known, err := tx.Candidates(ctx, c.ID, user, users)
	if err != nil {
		return nil, nil, err
	}
	byID := make(map[int64]*Candidate, len(known))
	for i := range known {
		byID[known[i].Person.ID] = &known[i]
	}
	room := s.o.MembersLimit - max(c.MemberCount, 1)
	for _, id := range users {
		reason := ""
		switch k := byID[id]; {
		case k == nil || k.Person.State != personActive:
			reason = NotKnown
		case k.State == Active:
			reason = AlreadyMember
		case k.State == Banned:
			reason = NotUnbanned
		case !k.Willing:
			reason = NotAllowed
		case len(people) >= room:
			reason = GroupFull
		default:
			people = append(people, k.Person)
			continue
		}
		notAdded = append(notAdded, NotAdded{id, reason})
	}
	return people, notAdded, nil
}

// admit makes people members and tells everybody.
func (s *Service) admit(ctx context.Context, tx Tx, c *Chat, by int64, people []Person, via string) (err error) {
	self, err := s.self(ctx, tx, by)
	if err != nil {
		return err
	}
	if c.MemberCount, err = tx.Join(ctx, c, Plain, ids(people), s.now()); err != nil {
		return err
	}
	p := MemberPayload{Users: people, By: by, Via: via, Role: Plain}
	if err := s.announceMember(ctx, tx, event.RoomMemberJoined, c, p); err != nil {
		return err
	}
	sys := System{Event: sysAdded, Actor: by, Users: ids(people)}
	if via == ViaInvite {
		sys.Event = sysJoined
	}
	if err := s.record(ctx, tx, c.ID, sys, self.Lang, names(&self, people)...); err != nil {
		return err
	}
	return s.tellAdded(ctx, tx, c.ID, by, people)
}

// SetRole makes a member of a group an admin or a plain member; only the owner may. The
// errors are [ErrNotFound], [ErrForbidden], also for the owner's own role, and
// [*FieldError].
func (s *Service) SetRole(ctx context.Context, user, chat, member int64, role string) error {
	if role != Admin && role != Plain {
		return &FieldError{"role", "must be admin or member"}
	}
	return s.store.Update(ctx, func(tx Tx) error {
		c, m, err := tx.Lock(ctx, chat, user)
		if err != nil {
			return err
		}
		if m.Role != Owner || c.Kind != Group {
			return ErrForbidden
		}
		other, who, err := s.other(ctx, tx, chat, user, member)
		if err != nil {
			return err
		}
		if other.Role == Owner {
			return ErrForbidden
		}
		if other.Role == role {
			return nil
		}
		return s.setRole(ctx, tx, &c, user, who, role, System{Event: sysRole, Actor: user, Users: []int64{member}, Value: role})
	})
}

// other returns an active member and who that is.
func (s *Service) other(ctx context.Context, tx Tx, chat, user, member int64) (Member, Person, error) {
	m, err := tx.Place(ctx, chat, member)
	if err != nil {
		return m, Person{}, err
	}
	if m.State != Active {
		return m, Person{}, ErrNotFound
	}
	who, err := s.known(ctx, tx, user, member)
	return m, who, err
}

// known returns who somebody is, whatever has become of the account.
func (s *Service) known(ctx context.Context, tx personTx, viewer, user int64) (Person, error) {
	people, err := tx.PeopleOf(ctx, viewer, []int64{user})
	if err != nil {
		return Person{}, err
	}
	if len(people) == 0 {
		return Person{}, ErrNotFound
	}
	return people[0].Person, nil
}

func (s *Service) setRole(ctx context.Context, tx Tx, c *Chat, by int64, who Person, role string, sys System) error {
	if err := tx.SetRole(ctx, c, who.ID, role); err != nil {
		return err
	}
	p := MemberPayload{Users: []Person{who}, By: by, Role: role}
	if err := s.announceMember(ctx, tx, event.RoomMemberUpdated, c, p); err != nil {
		return err
	}
	if sys.Event == "" {
		return nil
	}
	self, err := s.self(ctx, tx, by)
	if err != nil {
		return err
	}
	return s.record(ctx, tx, c.ID, sys, self.Lang, self.Name, who.Name)
}

// Remove takes a member out of a group, and with ban keeps the user out; somebody who
// has left can be banned too. Removing oneself is leaving. Invites made by who is removed
// end. The errors are [ErrNotFound] and [ErrForbidden].
func (s *Service) Remove(ctx context.Context, user, chat, member int64, ban bool) error {
	if user == member {
		return s.Leave(ctx, user, chat)
	}
	return s.store.Update(ctx, func(tx Tx) error {
		c, m, err := tx.Lock(ctx, chat, user)
		if err != nil {
			return err
		}
		if c.Kind != Group || m.Role != Owner && m.Role != Admin {
			return ErrForbidden
		}
		place, err := tx.Place(ctx, chat, member)
		switch {
		case err != nil:
			return err
		case place.State == Active && (place.Role == Owner || place.Role == Admin && m.Role != Owner):
			return ErrForbidden
		case place.State != Active && !ban:
			return ErrNotFound
		case place.State == Banned:
			return nil
		}
		if err := tx.RevokeInvitesOf(ctx, chat, member, s.now()); err != nil {
			return err
		}
		state, reason := Removed, ReasonRemoved
		if ban {
			state, reason = Banned, ReasonBanned
		}
		if place.State != Active {
			_, err := tx.Depart(ctx, &c, member, state)
			return err
		}
		return s.depart(ctx, tx, &c, user, member, state, reason)
	})
}

// depart ends a membership and tells everybody.
func (s *Service) depart(ctx context.Context, tx Tx, c *Chat, by, member int64, state, reason string) error {
	who, err := s.known(ctx, tx, by, member)
	if err != nil {
		return err
	}
	self := who
	if by != member {
		if self, err = s.self(ctx, tx, by); err != nil {
			return err
		}
	}
	if c.MemberCount, err = tx.Depart(ctx, c, member, state); err != nil {
		return err
	}
	p := MemberPayload{Users: []Person{who}, By: by, Reason: reason}
	if err := s.announceMember(ctx, tx, event.RoomMemberLeft, c, p); err != nil {
		return err
	}
	sys := System{Event: sysRemoved, Actor: by, Users: []int64{member}}
	if by == member {
		sys.Event = sysLeft
	}
	if err := s.record(ctx, tx, c.ID, sys, self.Lang, self.Name, who.Name); err != nil {
		return err
	}
	return s.notify(ctx, tx, member, "chat_removed", 0, by, ChatRemoved{c.ID, reason})
}

// Leave ends the user's membership in a group. Who is alone in it deletes it by that.
// The errors are [ErrNotFound], [ErrOwnerMustTransfer] and, for chats that are no groups,
// [ErrForbidden].
func (s *Service) Leave(ctx context.Context, user, chat int64) error {
	return s.store.Update(ctx, func(tx Tx) error {
		c, m, err := tx.Lock(ctx, chat, user)
		switch {
		case err != nil:
			return err
		case c.Kind != Group:
			return ErrForbidden
		case m.Role != Owner:
			return s.depart(ctx, tx, &c, user, user, Left, ReasonLeft)
		case c.MemberCount > 1:
			return ErrOwnerMustTransfer
		}
		return s.closeChat(ctx, tx, &c, user)
	})
}

// Bans returns who is banned from a group, for its owner and admins.
func (s *Service) Bans(ctx context.Context, user, chat int64) (banned []MemberView, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		m, c, err := tx.MemberOf(ctx, user, chat)
		if err != nil {
			return err
		}
		if c.Kind != Group || m.Role != Owner && m.Role != Admin {
			return ErrForbidden
		}
		banned, _, err = tx.MembersOf(ctx, user, chat, MembersPage{State: Banned, Limit: s.o.MembersLimit, After: MemberPlace{Rank: -1}})
		return err
	})
	for i := range banned {
		s.present(&banned[i].Person, user)
	}
	return banned, err
}

// Unban lets a banned user be added and invited again. The errors are [ErrNotFound] and
// [ErrForbidden].
func (s *Service) Unban(ctx context.Context, user, chat, member int64) error {
	return s.store.Update(ctx, func(tx Tx) error {
		c, m, err := tx.Lock(ctx, chat, user)
		if err != nil {
			return err
		}
		if c.Kind != Group || m.Role != Owner && m.Role != Admin {
			return ErrForbidden
		}
		place, err := tx.Place(ctx, chat, member)
		if err != nil {
			return err
		}
		if place.State != Banned {
			return ErrNotFound
		}
		_, err = tx.Depart(ctx, &c, member, Removed)
		return err
	})
}

// Transfer makes another member the owner of a group; who was it becomes an admin. The
// errors are [ErrNotFound], [ErrForbidden] and, for oneself, [*FieldError].
func (s *Service) Transfer(ctx context.Context, user, chat, to int64) error {
	return s.store.Update(ctx, func(tx Tx) error {
		c, m, err := tx.Lock(ctx, chat, user)
		if err != nil {
			return err
		}
		if c.Kind != Group || m.Role != Owner {
			return ErrForbidden
		}
		if to == user {
			return &FieldError{"user_id", "must be somebody else"}
		}
		_, heir, err := s.other(ctx, tx, chat, user, to)
		if err == nil && heir.State != personActive {
			err = ErrNotFound
		}
		if errors.Is(err, ErrNotFound) {
			return &FieldError{"user_id", "is no member of this chat"}
		}
		if err != nil {
			return err
		}
		self, err := s.self(ctx, tx, user)
		if err != nil {
			return err
		}
		c.Owner = to
		if err := tx.SaveChat(ctx, &c, s.now()); err != nil {
			return err
		}
		if err := s.setRole(ctx, tx, &c, user, self, Admin, System{}); err != nil {
			return err
		}
		return s.setRole(ctx, tx, &c, user, heir, Owner, System{Event: sysOwner, Actor: user, Users: []int64{to}})
	})
}
