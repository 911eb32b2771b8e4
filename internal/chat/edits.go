package chat

import (
	"context"
	"slices"
	"time"

	"github.com/kuranty/kuranty/event"
)

// Editing is what an author changes of a message; what is nil stays.
type Editing struct {
	Text  *string
	Files *[]Attachment
	// Version is the version that the author saw; 0 does not ask.
	Version int
}

// editTx is what editing needs.
type editTx interface {
	// KeepVersion keeps the version of m that is about to be replaced.
	KeepVersion(ctx context.Context, m *Message) error
	// SaveEdit stores text, entities, files and mentions of m, its version, its time and
	// its number.
	SaveEdit(ctx context.Context, m *Message) error
	// Detach unties all files from a message.
	Detach(ctx context.Context, message int64) error
	// DropMentions forgets that users were mentioned in a message.
	DropMentions(ctx context.Context, message int64, users []int64) error
}

// Edit changes a message of the user. Those it mentions now and did not before are told;
// its seq stays. The errors are [ErrNotFound], also for a deleted message,
// [ErrForbidden] for another's message, a forwarded one, or without the right to post,
// [ErrCannotMessage], [ErrTooLate], [ErrVersion], [*LimitError] and [*FieldError].
func (s *Service) Edit(ctx context.Context, user, message int64, in Editing) (m Message, err error) {
	if in, err = s.checkEditing(in); err != nil {
		return Message{}, err
	}
	err = s.store.Update(ctx, func(tx Tx) error {
		m, err = s.edit(ctx, tx, user, message, in)
		return err
	})
	if err != nil {
		return Message{}, err
	}
	return m, nil
}

// checkEditing normalizes what is new and checks what can be checked without the message.
func (s *Service) checkEditing(in Editing) (Editing, error) {
	if in.Text != nil {
		text, err := s.text(*in.Text)
		if err != nil {
			return in, err
		}
		in.Text = &text
	}
	if in.Files != nil {
		files := slices.Clone(*in.Files)
		if err := s.checkFiles(files); err != nil {
			return in, err
		}
		in.Files = &files
	}
	return in, nil
}

func (s *Service) edit(ctx context.Context, tx Tx, user, message int64, in Editing) (Message, error) {
	g, err := s.holdMessage(ctx, tx, user, message)
	if err != nil {
		return Message{}, err
	}
	if err := s.mayEdit(ctx, tx, &g, user, in.Version); err != nil {
		return Message{}, err
	}
	before := g.Message
	m := g.Message
	if in.Text != nil {
		m.Text = *in.Text
	}
	if in.Files != nil {
		if m.Files, err = s.attachable(ctx, tx, user, *in.Files); err != nil {
			return Message{}, err
		}
	}
	if m.Text == "" && len(m.Files) == 0 {
		return Message{}, &FieldError{"text", "must not be empty without attachments"}
	}
	var changes []string
	if m.Text != before.Text {
		changes = append(changes, "text")
	}
	if !slices.Equal(m.Files, before.Files) {
		changes = append(changes, "attachments")
	}
	if len(changes) == 0 {
		return m, withReactions(ctx, tx, &m)
	}
	if m.EventSeq, err = tx.NextEvent(ctx, m.Chat); err != nil {
		return Message{}, err
	}
	m.Version++
	m.EditedAt = max(s.now(), before.EditedAt, before.CreatedAt)
	if err := s.remention(ctx, tx, &g, &m); err != nil {
		return Message{}, err
	}
	if err := s.saveEdit(ctx, tx, &before, &m); err != nil {
		return Message{}, err
	}
	if err := withReactions(ctx, tx, &m); err != nil {
		return Message{}, err
	}
	return m, s.announce(ctx, tx, event.MessageUpdated, m.Chat, m.EventSeq, m.ID, user, MessagePayload{Message: m, Changes: changes})
}

// mayEdit checks the rules.
func (s *Service) mayEdit(ctx context.Context, tx Tx, g *changing, user int64, version int) error {
	switch {
	case g.Deleted():
		return ErrNotFound
	case g.Sender.ID != user, g.Type != TextMessage, g.Forward != nil:
		return ErrForbidden
	case expired(s.now()-g.CreatedAt, s.o.EditWindow):
		return ErrTooLate
	case version != 0 && version != g.Version:
		return ErrVersion
	}
	// Who may not write may not write over either.
	return s.mayWrite(ctx, tx, &g.chat, &g.member)
}

// expired tells whether something of that age, in milliseconds, is out of a window.
func expired(age int64, window time.Duration) bool {
	return window >= 0 && age > window.Milliseconds()
}

// remention marks who the new text names. Those mentioned beside the text stay so.
func (s *Service) remention(ctx context.Context, tx Tx, g *changing, m *Message) error {
	before := m.Mentions
	beside := slices.DeleteFunc(slices.Clone(before), func(user int64) bool {
		return slices.ContainsFunc(m.Entities, func(e Entity) bool { return e.User == user })
	})
	m.Mentions, m.Entities = nil, nil
	p := Posted{Chat: g.chat, Member: g.member, Sender: m.Sender}
	if _, err := s.mentioned(ctx, tx, &p, m, beside, false); err != nil {
		return err
	}
	gone := without(before, m.Mentions)
	if len(gone) > 0 {
		if err := tx.DropMentions(ctx, m.ID, gone); err != nil {
			return err
		}
	}
	return s.mention(ctx, tx, m, without(m.Mentions, before))
}

// without returns those of a that are not in b.
func without(a, b []int64) []int64 {
	return slices.DeleteFunc(slices.Clone(a), func(v int64) bool { return slices.Contains(b, v) })
}

// saveEdit stores an edited message and what hangs on it, and keeps what it was before.
func (s *Service) saveEdit(ctx context.Context, tx Tx, before, m *Message) error {
	if err := tx.KeepVersion(ctx, before); err != nil {
		return err
	}
	if err := tx.SaveEdit(ctx, m); err != nil {
		return err
	}
	if err := tx.Detach(ctx, m.ID); err != nil {
		return err
	}
	if ids := fileIDs(m.Files); len(ids) > 0 {
		if err := tx.Attach(ctx, m.ID, ids); err != nil {
			return err
		}
	}
	if err := tx.TouchAnswers(ctx, m.ID, m.EventSeq, maxRequoted); err != nil {
		return err
	}
	return tx.Reindex(ctx, m)
}
