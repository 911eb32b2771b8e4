package chat

import (
	"context"

	"github.com/kuranty/kuranty/event"
)

// NewGroup is a group to be made.
type NewGroup struct {
	// Title is 1 to 128 characters, About at most 512.
	Title, About string
	// Avatar is the id of an avatar that the user uploaded, or empty.
	Avatar string
	// Users become members beside the one who makes the group.
	Users    []int64
	Settings Settings
}

// NotAdded is a person who was not made a member.
type NotAdded struct {
	User   int64
	Reason string
}

// Why people are not made members. [NotAllowed] does not tell a block from a wish.
const (
	NotAllowed    = "privacy"
	NotKnown      = "unknown"
	NotUnbanned   = "banned"
	AlreadyMember = "member"
	GroupFull     = "limit"
)

// CreateGroup makes a group that user owns. People who do not let user add them are
// returned with the reason. The errors are [*FieldError], [*UnknownUsersError],
// [*LimitError] and [*RateError].
func (s *Service) CreateGroup(ctx context.Context, user int64, in NewGroup) (v View, notAdded []NotAdded, err error) {
	if in.Title, err = s.checkTitle(in.Title); err != nil {
		return View{}, nil, err
	}
	if in.About, err = s.checkAbout(in.About); err != nil {
		return View{}, nil, err
	}
	if err := in.Settings.check(); err != nil {
		return View{}, nil, err
	}
	users := distinct(in.Users, user)
	if len(users) >= s.o.MembersLimit {
		return View{}, nil, &LimitError{Field: "user_ids", Got: len(users) + 1, Limit: s.o.MembersLimit, Unit: "members"}
	}
	if err := s.mayMake(user); err != nil {
		return View{}, nil, err
	}
	err = s.store.Update(ctx, func(tx Tx) error {
		v, notAdded, err = s.createGroup(ctx, tx, user, in, users)
		return err
	})
	if err != nil {
		return View{}, nil, err
	}
	return v, notAdded, nil
}

func (s *Service) createGroup(ctx context.Context, tx Tx, user int64, in NewGroup, users []int64) (View, []NotAdded, error) {
	if err := s.checkAvatar(ctx, tx, user, in.Avatar); err != nil {
		return View{}, nil, err
	}
	now := s.now()
	c := Chat{
		Kind: Group, Title: in.Title, About: in.About, Avatar: in.Avatar, Owner: user, Settings: in.Settings,
		CreatedBy: user, CreatedAt: now,
	}
	id, err := tx.AddGroup(ctx, &c, now)
	if err != nil {
		return View{}, nil, err
	}
	c.ID = id
	added, notAdded, err := s.addable(ctx, tx, &c, user, users)
	if err != nil {
		return View{}, nil, err
	}
	var missing []int64
	for _, n := range notAdded {
		if n.Reason == NotKnown {
			missing = append(missing, n.User)
		}
	}
	if len(missing) > 0 {
		return View{}, nil, &UnknownUsersError{missing}
	}
	self, err := s.self(ctx, tx, user)
	if err != nil {
		return View{}, nil, err
	}
	if c.MemberCount, err = tx.Join(ctx, &c, Owner, []int64{user}, now); err != nil {
		return View{}, nil, err
	}
	if len(added) > 0 {
		if c.MemberCount, err = tx.Join(ctx, &c, Plain, ids(added), now); err != nil {
			return View{}, nil, err
		}
	}
	if err := s.announceRoom(ctx, tx, event.RoomCreated, &c, user, nil, added); err != nil {
		return View{}, nil, err
	}
	sys := System{Event: sysCreated, Actor: user, Users: ids(added), Value: c.Title}
	if err := s.record(ctx, tx, id, sys, self.Lang, names(&self, added)...); err != nil {
		return View{}, nil, err
	}
	if err := s.tellAdded(ctx, tx, id, user, append([]Person{self}, added...)); err != nil {
		return View{}, nil, err
	}
	v, err := s.view(ctx, tx, user, id)
	return v, notAdded, err
}

// tellAdded tells people that a chat is theirs now.
func (s *Service) tellAdded(ctx context.Context, tx Tx, chat, by int64, people []Person) error {
	for i := range people {
		if err := s.notify(ctx, tx, people[i].ID, "chat_added", 0, by, ChatAdded{chat}); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) checkAvatar(ctx context.Context, tx Tx, user int64, file string) error {
	if file == "" {
		return nil
	}
	own := false
	if validClientID(file) { // anything else is no text that a database must be asked about
		var err error
		if own, err = tx.OwnAvatar(ctx, user, file); err != nil {
			return err
		}
	}
	if !own {
		return &FieldError{"avatar_file_id", "is no avatar that you uploaded"}
	}
	return nil
}

// self returns who acts.
func (s *Service) self(ctx context.Context, tx personTx, user int64) (Person, error) {
	people, err := tx.PeopleOf(ctx, user, []int64{user})
	if err != nil {
		return Person{}, err
	}
	if len(people) == 0 || people[0].State != personActive {
		return Person{}, ErrNotFound
	}
	return people[0].Person, nil
}

// SettingsChange says which settings to change; nil keeps what is there.
type SettingsChange struct {
	WhoCanPost, WhoCanAdd, WhoCanEdit, HistoryForNew *string
	SlowMode                                         *int
	EditsVisible                                     *bool
}

// ChatChange says what of a group to change; nil keeps what is there.
type ChatChange struct {
	Title, About *string
	// Avatar is the id of an avatar that the user uploaded; empty removes it.
	Avatar   *string
	Settings *SettingsChange
	// RetentionDays is how long messages are kept, 0 as the server is configured.
	RetentionDays *int
}

// UpdateChat changes a group. Settings and retention are the owner's to change. The
// errors are [ErrNotFound], [ErrForbidden], [*FieldError] and [*LimitError].
func (s *Service) UpdateChat(ctx context.Context, user, chat int64, in ChatChange) (v View, err error) {
	err = s.store.Update(ctx, func(tx Tx) error {
		c, m, err := tx.Lock(ctx, chat, user)
		if err != nil {
			return err
		}
		if err := s.updateChat(ctx, tx, &c, &m, in); err != nil {
			return err
		}
		v, err = s.view(ctx, tx, user, chat)
		return err
	})
	return v, err
}

func (s *Service) updateChat(ctx context.Context, tx Tx, c *Chat, m *Member, in ChatChange) error {
	may := (&View{Chat: *c, Member: *m}).Permissions()
	owned := in.Settings != nil || in.RetentionDays != nil
	if c.Kind != Group || owned && m.Role != Owner || !may.EditInfo && (in.Title != nil || in.About != nil || in.Avatar != nil) {
		return ErrForbidden
	}
	before := *c
	if err := s.change(ctx, tx, c, m.User, in); err != nil {
		return err
	}
	changes := changesOf(&before, c)
	if len(changes) == 0 {
		return nil
	}
	if err := tx.SaveChat(ctx, c, s.now()); err != nil {
		return err
	}
	if err := s.announceRoom(ctx, tx, event.RoomUpdated, c, m.User, changes, nil); err != nil {
		return err
	}
	return s.recordChanges(ctx, tx, c, m.User, changes)
}

// change puts the wanted values into c.
func (s *Service) change(ctx context.Context, tx Tx, c *Chat, user int64, in ChatChange) (err error) {
	if in.Title != nil {
		if c.Title, err = s.checkTitle(*in.Title); err != nil {
			return err
		}
	}
	if in.About != nil {
		if c.About, err = s.checkAbout(*in.About); err != nil {
			return err
		}
	}
	if in.Avatar != nil && *in.Avatar != c.Avatar {
		if err := s.checkAvatar(ctx, tx, user, *in.Avatar); err != nil {
			return err
		}
		c.Avatar = *in.Avatar
	}
	if days := in.RetentionDays; days != nil {
		if *days < 0 || *days > maxRetentionDays {
			return &FieldError{"retention_days", "must be 0 to 36500"}
		}
		c.RetentionDays = *days
	}
	if in.Settings != nil {
		in.Settings.apply(&c.Settings)
	}
	return c.Settings.check()
}

func (in *SettingsChange) apply(s *Settings) {
	set(&s.WhoCanPost, in.WhoCanPost)
	set(&s.WhoCanAdd, in.WhoCanAdd)
	set(&s.WhoCanEdit, in.WhoCanEdit)
	set(&s.HistoryForNew, in.HistoryForNew)
	set(&s.SlowMode, in.SlowMode)
	set(&s.EditsVisible, in.EditsVisible)
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// changesOf returns the values of b that a has not.
func changesOf(a, b *Chat) map[string]any {
	changes := make(map[string]any)
	if a.Title != b.Title {
		changes["title"] = b.Title
	}
	if a.About != b.About {
		changes["about"] = b.About
	}
	if a.Avatar != b.Avatar {
		changes["avatar"] = b.Avatar
	}
	if a.Settings != b.Settings {
		changes["settings"] = b.Settings
	}
	if a.RetentionDays != b.RetentionDays {
		changes["retention_days"] = b.RetentionDays
	}
	return changes
}

// recordChanges tells in the chat of a new title and a new picture.
func (s *Service) recordChanges(ctx context.Context, tx Tx, c *Chat, user int64, changes map[string]any) error {
	for _, sys := range []System{{Event: sysTitle, Value: c.Title}, {Event: sysAvatar}} {
		if _, changed := changes[sys.Event[:len(sys.Event)-len("_changed")]]; !changed {
			continue
		}
		self, err := s.self(ctx, tx, user)
		if err != nil {
			return err
		}
		sys.Actor = user
		if err := s.record(ctx, tx, c.ID, sys, self.Lang, self.Name); err != nil {
			return err
		}
	}
	return nil
}
