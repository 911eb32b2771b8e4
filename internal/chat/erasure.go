package chat

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/kuranty/kuranty/event"
)

// erasureTx is what erasing a person needs. None of it asks who looks.
type erasureTx interface {
	// HoldFor holds a chat, closed or not, for this transaction. One under legal hold is
	// [ErrNotFound].
	HoldFor(ctx context.Context, chat int64) (c Chat, closed bool, err error)
	// Stored returns a message, whoever may see it, without its reactions.
	Stored(ctx context.Context, message int64) (Message, error)
	// Heir returns the member to whom a group would go if user left: the longest-standing
	// admin whose account is active, else member; people before bots, 0 if there is none.
	Heir(ctx context.Context, chat, user int64) (int64, error)
	// Rewrite stores text, entities, files, forward, version and number of change of a
	// message.
	Rewrite(ctx context.Context, m *Message) error
}

// EraseFrom ends what user, whose account has been deleted, has in a chat: a group goes
// to the longest-standing admin, else member, or ends with its last; a direct chat ends
// when both are deleted, and until then stays as it is for the other; saved messages end.
// Under legal hold nothing changes. It may be repeated.
func (s *Service) EraseFrom(ctx context.Context, user, chat int64) error {
	return s.store.Update(ctx, func(tx Tx) error {
		c, closed, err := tx.HoldFor(ctx, chat)
		if isNotFound(err) || err == nil && closed {
			return nil
		}
		if err != nil {
			return err
		}
		m, err := tx.Place(ctx, chat, user)
		if err != nil {
			return err
		}
		switch {
		case c.Kind == Group && m.State == Active:
			return s.leaveErased(ctx, tx, &c, &m)
		case c.Kind == Group:
			return nil
		case c.Kind == Direct:
			other, err := s.known(ctx, tx, user, c.Companion(user))
			if err != nil && !isNotFound(err) {
				return err
			}
			if other.State != "" && other.State != personDeleted {
				return nil
			}
		}
		return s.closeChat(ctx, tx, &c, user)
	})
}

// leaveErased ends a membership in a group, which gets another owner if need be.
func (s *Service) leaveErased(ctx context.Context, tx Tx, c *Chat, m *Member) error {
	if m.Role == Owner {
		heir, err := tx.Heir(ctx, c.ID, m.User)
		if err != nil {
			return err
		}
		if heir == 0 {
			return s.closeChat(ctx, tx, c, m.User)
		}
		if err := s.inherit(ctx, tx, c, m.User, heir); err != nil {
			return err
		}
	}
	if err := tx.RevokeInvitesOf(ctx, c.ID, m.User, s.now()); err != nil {
		return err
	}
	return s.depart(ctx, tx, c, m.User, m.User, Left, ReasonDeleted)
}

// inherit makes heir the owner of a group.
func (s *Service) inherit(ctx context.Context, tx Tx, c *Chat, from, heir int64) error {
	to, err := s.known(ctx, tx, from, heir)
	if err != nil {
		return err
	}
	was, err := s.known(ctx, tx, from, from)
	if err != nil {
		return err
	}
	c.Owner = heir
	if err := tx.SaveChat(ctx, c, s.now()); err != nil {
		return err
	}
	if err := tx.SetRole(ctx, c, heir, Owner); err != nil {
		return err
	}
	p := MemberPayload{Users: []Person{to}, By: from, Role: Owner}
	if err := s.announceMember(ctx, tx, event.RoomMemberUpdated, c, p); err != nil {
		return err
	}
	return s.record(ctx, tx, c.ID, System{Event: sysOwner, Actor: from, Users: []int64{heir}}, to.Lang, was.Name, to.Name)
}

// EraseMessages deletes messages of one chat for all, in the name of their sender,
// whatever the time for that. Those that are gone, or under legal hold, are none.
func (s *Service) EraseMessages(ctx context.Context, chat int64, messages []int64) error {
	return s.amend(ctx, chat, messages, func(tx Tx, m *Message) error { return s.tombstoneOf(ctx, tx, m) })
}

// tombstoneOf deletes a message of a chat that is held.
func (s *Service) tombstoneOf(ctx context.Context, tx Tx, m *Message) (err error) {
	gone := m.tombstone()
	gone.DeletedAt, gone.DeletedBy = max(s.now(), m.CreatedAt), m.Sender.ID
	if gone.EventSeq, err = tx.NextEvent(ctx, m.Chat); err != nil {
		return err
	}
	if err := tx.Erase(ctx, &gone); err != nil {
		return err
	}
	if err := tx.Unindex(ctx, []int64{m.ID}); err != nil {
		return err
	}
	if err := s.redact(ctx, tx, &gone); err != nil {
		return err
	}
	return s.announce(ctx, tx, event.MessageDeleted, m.Chat, gone.EventSeq, m.ID, m.Sender.ID, MessagePayload{Message: gone, By: m.Sender.ID})
}

// amend runs f on messages of one chat, which is held; not on those deleted.
func (s *Service) amend(ctx context.Context, chat int64, messages []int64, f func(Tx, *Message) error) error {
	messages = slices.Clone(messages)
	slices.Sort(messages)
	return s.store.Update(ctx, func(tx Tx) error {
		if _, _, err := tx.HoldFor(ctx, chat); isNotFound(err) {
			return nil
		} else if err != nil {
			return err
		}
		for _, id := range messages {
			m, err := tx.Stored(ctx, id)
			if isNotFound(err) || err == nil && (m.Deleted() || m.Chat != chat) {
				continue
			}
			if err == nil {
				err = f(tx, &m)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// DropFiles takes files out of messages of one chat, and out of what events show of them.
// A message of which nothing is left is deleted.
func (s *Service) DropFiles(ctx context.Context, chat int64, messages []int64, gone []string) error {
	return s.amend(ctx, chat, messages, func(tx Tx, m *Message) error {
		drop := func(f Attachment) bool { return f.ID != "" && slices.Contains(gone, f.ID) }
		left := slices.DeleteFunc(slices.Clone(m.Files), drop)
		if len(left) == 0 && m.Text == "" {
			return s.tombstoneOf(ctx, tx, m)
		}
		m.Files = left
		if err := tx.Detach(ctx, m.ID); err != nil {
			return err
		}
		if ids := fileIDs(left); len(ids) > 0 {
			if err := tx.Attach(ctx, m.ID, ids); err != nil {
				return err
			}
		}
		return s.rewrite(ctx, tx, m, "attachments", func(old *Message) { old.Files = slices.DeleteFunc(old.Files, drop) })
	})
}

// Unname takes the name of an erased person out of messages of one chat: of system
// messages, which are worded anew, and of the heads of forwarded ones.
func (s *Service) Unname(ctx context.Context, user, chat int64, messages []int64) error {
	return s.amend(ctx, chat, messages, func(tx Tx, m *Message) error {
		who, err := s.known(ctx, tx, user, user)
		if err != nil {
			return err
		}
		text, forward := m.Text, m.Forward
		if m.System != nil {
			if m.Text, err = s.reword(ctx, tx, m, user); err != nil {
				return err
			}
		}
		if m.Forward != nil && m.Forward.Sender == user {
			f := *m.Forward
			f.Name = who.Name
			m.Forward = &f
		}
		if m.Text == text && (forward == nil || forward.Name == m.Forward.Name) {
			return nil
		}
		return s.rewrite(ctx, tx, m, "text", func(old *Message) { old.Text, old.Forward = m.Text, m.Forward })
	})
}

// rewrite stores a message that was changed by nobody's edit, and does the same to the
// events that show it as it was.
func (s *Service) rewrite(ctx context.Context, tx Tx, m *Message, changed string, same func(*Message)) (err error) {
	if m.EventSeq, err = tx.NextEvent(ctx, m.Chat); err != nil {
		return err
	}
	m.Version++
	if err := tx.Rewrite(ctx, m); err != nil {
		return err
	}
	err = tx.Redact(ctx, m.ID, func(e event.Event) ([]byte, error) { return rewritten(&e, m.ID, same) })
	if err != nil {
		return err
	}
	if m.System != nil {
		if err := s.requote(ctx, tx, m); err != nil {
			return err
		}
	}
	if err := withReactions(ctx, tx, m); err != nil {
		return err
	}
	return s.announce(ctx, tx, event.MessageUpdated, m.Chat, m.EventSeq, m.ID, 0, MessagePayload{Message: *m, Changes: []string{changed}})
}

// requote gives the events about answers to m the text that m has now.
func (s *Service) requote(ctx context.Context, tx Tx, m *Message) error {
	answers, err := tx.Answers(ctx, m.ID)
	if err != nil {
		return err
	}
	for _, id := range answers {
		err := tx.Redact(ctx, id, func(e event.Event) ([]byte, error) {
			return rewritten(&e, id, func(old *Message) {
				if old.ReplyTo != nil && old.ReplyTo.ID == m.ID {
					old.ReplyTo.Text = Excerpt(m.Text, excerptLength)
				}
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// rewritten is the payload of an event about a message with the message changed.
func rewritten(e *event.Event, message int64, change func(*Message)) ([]byte, error) {
	if e.Type == event.UserNotice {
		return e.Payload, nil
	}
	var p MessagePayload
	if err := json.Unmarshal(e.Payload, &p); err != nil {
		return nil, fmt.Errorf("payload of %s: %w", e.Type, err)
	}
	if p.Message.ID != message || p.Message.Deleted() {
		return e.Payload, nil
	}
	change(&p.Message)
	return json.Marshal(p)
}

// reword makes the text of a system message anew if it names user, in the language it is in.
func (s *Service) reword(ctx context.Context, tx Tx, m *Message, user int64) (string, error) {
	sys := *m.System
	both, known := wordings[sys.Event]
	if !known || sys.Actor != user && !slices.Contains(sys.Users, user) {
		return m.Text, nil
	}
	wanted := append([]int64{sys.Actor}, sys.Users[:min(len(sys.Users), namedUsers+1)]...)
	people, err := tx.PeopleOf(ctx, user, wanted)
	if err != nil {
		return "", err
	}
	names := make([]string, len(wanted))
	for i, id := range wanted {
		at := slices.IndexFunc(people, func(p PersonView) bool { return p.ID == id })
		if at >= 0 {
			names[i] = people[at].Name
		}
	}
	lang := "en"
	if strings.Contains(m.Text, longestPart(both[1])) {
		lang = "ru"
	}
	return wording(sys, lang, names), nil
}

// longestPart is the longest piece of a sentence without the places for names and values.
func longestPart(sentence string) (longest string) {
	parts := strings.FieldsFunc(strings.NewReplacer("%a", "\x00", "%u", "\x00", "%v", "\x00").Replace(sentence), func(r rune) bool { return r == 0 })
	for _, p := range parts {
		if len(p) > len(longest) {
			longest = p
		}
	}
	return longest
}

// DropReactions takes the reactions of user away from messages of one chat.
func (s *Service) DropReactions(ctx context.Context, user, chat int64, messages []int64) error {
	return s.amend(ctx, chat, messages, func(tx Tx, m *Message) error {
		if err := withReactions(ctx, tx, m); err != nil {
			return err
		}
		for _, r := range m.Reactions {
			if !slices.Contains(r.Users, user) {
				continue
			}
			if err := s.dropReaction(ctx, tx, m, user, r.Emoji); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Service) dropReaction(ctx context.Context, tx Tx, m *Message, user int64, emoji string) (err error) {
	if err := tx.DropReaction(ctx, m.ID, user, emoji); err != nil {
		return err
	}
	if m.EventSeq, err = tx.NextEvent(ctx, m.Chat); err != nil {
		return err
	}
	if err := tx.Touch(ctx, m.ID, m.EventSeq); err != nil {
		return err
	}
	left := Message{ID: m.ID}
	if err := withReactions(ctx, tx, &left); err != nil {
		return err
	}
	return s.announce(ctx, tx, event.MessageReaction, m.Chat, m.EventSeq, 0, user, ReactionPayload{
		Message: m.ref(), User: user, Emoji: emoji, Action: "remove", Reactions: left.Reactions,
	})
}

// DropAvatar takes a picture away from a group whose picture it is.
func (s *Service) DropAvatar(ctx context.Context, chat int64, avatar string) error {
	return s.store.Update(ctx, func(tx Tx) error {
		c, _, err := tx.HoldFor(ctx, chat)
		if isNotFound(err) || err == nil && c.Avatar != avatar {
			return nil
		}
		if err != nil {
			return err
		}
		c.Avatar = ""
		if err := tx.SaveChat(ctx, &c, s.now()); err != nil {
			return err
		}
		return s.announceRoom(ctx, tx, event.RoomUpdated, &c, 0, map[string]any{"avatar": ""}, nil)
	})
}
