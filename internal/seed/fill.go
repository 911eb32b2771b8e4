package seed

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/files"
	"github.com/kuranty/kuranty/internal/identity"
)

// Clock is a clock that [Fill] moves. Its zero value stands at the year 1970.
type Clock struct{ ms atomic.Int64 }

// Now is where it stands.
func (c *Clock) Now() time.Time { return time.UnixMilli(c.ms.Load()) }

// Into is what is filled: services on one database, without limits of how often one may
// do something, and the clock all of them were given.
type Into struct {
	Accounts *identity.Accounts
	Chats    *chat.Service
	Files    *files.Service
	Clock    *Clock
}

// Login is who can log in. The password is kept nowhere else.
type Login struct {
	Username, Name, Password string
	Admin                    bool
}

// TakenError says that somebody else has the username of one of the people.
type TakenError struct{ Username string }

func (e *TakenError) Error() string { return "somebody has the username " + e.Username + " already" }

// Check returns a [*TakenError] if [Fill] would fail because of who is there.
func Check(ctx context.Context, accounts *identity.Accounts) error {
	for _, who := range cast {
		for q := (identity.AccountQuery{Search: who.username, Limit: 200}); ; {
			list, err := accounts.ListAccounts(ctx, identity.Operator("demo"), q)
			if err != nil {
				return fmt.Errorf("look for %s: %w", who.username, err)
			}
			if slices.ContainsFunc(list, func(a identity.Account) bool { return a.Username == who.username }) {
				return &TakenError{who.username}
			}
			if len(list) < q.Limit {
				break
			}
			q.After = list[len(list)-1].ID
		}
	}
	return nil
}

// Fill adds the people and what they wrote until now, and returns who can log in. It is
// for a database that has none of these people ([Check]).
func Fill(ctx context.Context, into Into, now time.Time) ([]Login, error) {
	p := &player{Into: into, now: now, ids: make(map[string]int64)}
	logins, err := p.meet(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range talks() {
		if err := p.plan(t); err != nil {
			return nil, err
		}
	}
	return logins, p.play(ctx)
}

// player performs the story: every step at its time.
type player struct {
	Into
	now   time.Time
	ids   map[string]int64
	steps []step
}

type step struct {
	at time.Time
	do func(context.Context) error
}

// then plans a step, which is never later than now.
func (p *player) then(at time.Time, do func(context.Context) error) {
	if at.After(p.now) {
		at = p.now
	}
	p.steps = append(p.steps, step{at, do})
}

func (p *player) play(ctx context.Context) error {
	slices.SortStableFunc(p.steps, func(a, b step) int { return a.at.Compare(b.at) })
	for _, s := range p.steps {
		p.Clock.ms.Store(s.at.UnixMilli())
		if err := s.do(ctx); err != nil {
			return err
		}
	}
	return nil
}

// meet makes the accounts, as of some weeks ago.
func (p *player) meet(ctx context.Context) (logins []Login, err error) {
	for i, who := range cast {
		p.Clock.ms.Store(p.now.Add(time.Duration(i-len(cast)-10) * 24 * time.Hour).UnixMilli())
		spec := identity.AccountSpec{Username: &who.username, Name: &who.name, Lang: &who.lang, TZ: &who.tz}
		if bots[who.username] {
			spec.Kind = identity.KindBot
		}
		if who.username == administrator || who.username == guest {
			spec.Password = strings.ToLower(rand.Text()[:14])
			if who.username == administrator {
				spec.Role = identity.RoleAdmin
			}
			logins = append(logins, Login{who.username, who.name, spec.Password, spec.Role == identity.RoleAdmin})
		}
		acc, err := p.Accounts.CreateAccount(ctx, identity.Operator("demo"), spec)
		if err != nil {
			return nil, fmt.Errorf("add %s: %w", who.username, err)
		}
		p.ids[who.username] = acc.ID
		if err := p.introduce(ctx, acc.ID, i, who); err != nil {
			return nil, fmt.Errorf("add %s: %w", who.username, err)
		}
	}
	return logins, nil
}

// introduce adds what people say of themselves: a text and a picture.
func (p *player) introduce(ctx context.Context, id int64, i int, who person) error {
	self := identity.Caller{User: id, Name: who.name}
	if _, err := p.Accounts.UpdateProfile(ctx, self, identity.ProfileChange{About: &who.about}); err != nil {
		return err
	}
	f, err := p.Files.Avatar(ctx, id, bytes.NewReader(portrait(i)))
	if err != nil {
		return err
	}
	_, err = p.Accounts.SetAvatar(ctx, self, f.ID)
	return err
}

// scene is a talk that is being performed.
type scene struct {
	*player
	talk
	chat int64
	sent []chat.Message
}

// plan makes steps of a talk.
func (p *player) plan(t talk) error {
	for _, who := range t.people {
		if p.ids[who] == 0 {
			return fmt.Errorf("nobody is called %s", who)
		}
	}
	s := &scene{player: p, talk: t, sent: make([]chat.Message, len(t.lines))}
	now := t.begins(p.now)
	if t.group != "" {
		p.then(now.Add(-2*time.Minute), s.open)
	}
	for i, l := range t.lines {
		if i > 0 {
			now = now.Add(l.wait)
		}
		p.then(now, func(ctx context.Context) error { return s.say(ctx, i) })
		s.planReactions(now, i)
	}
	p.then(now.Add(4*time.Minute), s.read)
	return nil
}

// planReactions plans what becomes of line i, which is written at now.
func (s *scene) planReactions(now time.Time, i int) {
	l := s.lines[i]
	late := now
	for _, like := range l.likes {
		for _, who := range like.who {
			late = late.Add(17 * time.Second)
			s.then(late, func(ctx context.Context) error {
				_, err := s.Chats.React(ctx, s.ids[who], s.sent[i].ID, like.emoji, true)
				return wrap(err, "react to", l.text)
			})
		}
	}
	if l.edit != "" {
		s.then(now.Add(time.Minute), func(ctx context.Context) error {
			_, err := s.Chats.Edit(ctx, s.ids[l.who], s.sent[i].ID, chat.Editing{Text: &l.edit})
			return wrap(err, "edit", l.text)
		})
	}
	if l.pin {
		s.then(now.Add(90*time.Second), func(ctx context.Context) error {
			return wrap(s.Chats.Pin(ctx, s.ids[s.people[0]], s.sent[i].ID, true), "pin", l.text)
		})
	}
}

func wrap(err error, did, text string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %q: %w", did, text, err)
}

// open makes the group.
func (s *scene) open(ctx context.Context) error {
	var others []int64
	for _, who := range s.people[1:] {
		others = append(others, s.ids[who])
	}
	v, left, err := s.Chats.CreateGroup(ctx, s.ids[s.people[0]], chat.NewGroup{Title: s.group, About: s.about, Users: others})
	if err == nil && len(left) > 0 {
		err = errors.New("somebody could not be added")
	}
	if err != nil {
		return fmt.Errorf("make group %s: %w", s.group, err)
	}
	s.chat = v.Chat.ID
	return nil
}

// say sends line i.
func (s *scene) say(ctx context.Context, i int) (err error) {
	l := s.lines[i]
	in := chat.Sending{Text: l.text}
	if l.back > 0 {
		in.ReplyTo = s.sent[i-l.back].ID
	}
	if l.picture != "" {
		f, err := s.Files.Upload(ctx, s.ids[l.who], l.picture+".png", files.KindImage, bytes.NewReader(pictures[l.picture]()))
		if err != nil {
			return wrap(err, "draw for", l.text)
		}
		in.Files = []chat.Attachment{{ID: f.ID}}
	}
	if s.group != "" {
		s.sent[i], _, err = s.Chats.Send(ctx, s.ids[l.who], s.chat, in)
		return wrap(err, "send", l.text)
	}
	other := s.people[0]
	if other == l.who {
		other = s.people[1]
	}
	s.sent[i], _, err = s.Chats.SendToUser(ctx, s.ids[l.who], s.ids[other], in)
	s.chat = s.sent[i].Chat
	return wrap(err, "send", l.text)
}

// read marks as read what everybody has read.
func (s *scene) read(ctx context.Context) error {
	for _, who := range s.people {
		last := len(s.sent) - 1 - s.unread[who]
		if last < 0 {
			continue
		}
		if _, err := s.Chats.MarkRead(ctx, s.ids[who], s.chat, s.sent[last].Seq); err != nil {
			return fmt.Errorf("read for %s: %w", who, err)
		}
	}
	return nil
}
