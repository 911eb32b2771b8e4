package chat

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

const (
	// maxForwarded messages go to maxTargets chats at most (chat-api.md §C.4).
	maxForwarded = 50
	maxTargets   = 10
	// forwardTries is how often a forward is begun anew because the same one was running
	// at the same time.
	forwardTries = 3
)

// Forward sends copies of messages that the user sees to chats, in the order of ids in
// each, all or none. With a clientID each copy has the client id
// "clientID:message:chat", so that a repetition returns the copies made before. A copy
// names the first author and mentions nobody. The errors are those of [Service.Send].
func (s *Service) Forward(ctx context.Context, user int64, ids, to []int64, clientID string) (copies []Message, err error) {
	// Chats are held in the order of their ids, so that two forwards cannot block each other.
	to = slices.Clone(to)
	slices.Sort(to)
	to = slices.Compact(to)
	if err := checkForward(ids, to, clientID); err != nil {
		return nil, err
	}
	now := s.o.Clock()
	for _, chat := range to {
		if err := s.mayPostNow(user, chat, now); err != nil {
			return nil, err
		}
	}
	for range forwardTries {
		err = s.store.Update(ctx, func(tx Tx) error {
			copies, err = s.forward(ctx, tx, user, ids, to, clientID)
			return err
		})
		if !errors.Is(err, errReplayed) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	return copies, nil
}

func checkForward(ids, to []int64, clientID string) error {
	switch {
	case len(ids) == 0:
		return &FieldError{"ids", "must not be empty"}
	case len(ids) > maxForwarded:
		return &LimitError{Field: "ids", Got: len(ids), Limit: maxForwarded, Unit: "messages"}
	case len(to) == 0:
		return &FieldError{"to", "must not be empty"}
	case len(to) > maxTargets:
		return &LimitError{Field: "to", Got: len(to), Limit: maxTargets, Unit: "chats"}
	case clientID != "" && (len(clientID) > 60 || !validClientID(clientID)):
		// Two ids of up to 16 digits are added to it.
		return &FieldError{"client_id", "must be 1 to 60 printable ASCII characters"}
	}
	for i, id := range ids {
		if slices.Contains(ids[:i], id) {
			return &FieldError{"ids", "must be different messages"}
		}
	}
	return nil
}

func (s *Service) forward(ctx context.Context, tx Tx, user int64, ids, to []int64, clientID string) ([]Message, error) {
	sources := make([]Message, 0, len(ids))
	for _, id := range ids {
		m, err := tx.Seen(ctx, user, id)
		switch {
		case err != nil:
			return nil, err
		case m.Deleted():
			return nil, ErrNotFound
		case m.Type != TextMessage:
			return nil, &FieldError{"ids", "must not be system messages"}
		}
		sources = append(sources, m)
	}
	copies := make([]Message, 0, len(ids)*len(to))
	for _, chat := range to {
		for i := range sources {
			m, err := s.forwardOne(ctx, tx, user, chat, &sources[i], clientID)
			if err != nil {
				return nil, err
			}
			copies = append(copies, m)
		}
	}
	return copies, nil
}

// forwardOne sends a copy of a message, or returns the one sent before.
func (s *Service) forwardOne(ctx context.Context, tx Tx, user, chat int64, m *Message, prefix string) (Message, error) {
	in := Sending{Text: m.Text, words: s.store.Words(m.Text), Files: m.Files, Metadata: m.Metadata, Silent: m.Silent, Forward: m.Forward, copied: true}
	if in.Forward == nil {
		in.Forward = &Forward{Name: m.Sender.Name, Sender: m.Sender.ID, CreatedAt: m.CreatedAt}
	}
	// The source may be edited between two tries of the same forward; it stays the same copy.
	hash := fmt.Sprintf("forward:%d", m.ID)
	if prefix != "" {
		in.ClientID = fmt.Sprintf("%s:%d:%d", prefix, m.ID, chat)
		sent, was, err := tx.Sent(ctx, chat, user, in.ClientID)
		switch {
		case err == nil && was != hash:
			return Message{}, &ConflictError{Message: sent.ID}
		case err == nil:
			return sent, nil
		case !errors.Is(err, ErrNotFound):
			return Message{}, err
		}
	}
	return s.post(ctx, tx, user, chat, in, hash)
}
