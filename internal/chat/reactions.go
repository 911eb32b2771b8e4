package chat

import (
	"context"
	"slices"

	"github.com/kuranty/kuranty/event"
)

// reactionTx is what reacting needs.
type reactionTx interface {
	// AddReaction stores a reaction, DropReaction takes it away.
	AddReaction(ctx context.Context, message, user int64, emoji string, now int64) error
	DropReaction(ctx context.Context, message, user int64, emoji string) error
	// Touch stores the number of the newest change to a message.
	Touch(ctx context.Context, message, eventSeq int64) error
	// Reacted returns who reacted to a message, oldest first, with one emoji or, if it is
	// empty, with any.
	Reacted(ctx context.Context, message int64, emoji string) ([]Reacted, error)
}

// Reacted is one person's reaction; At is in milliseconds since 1970.
type Reacted struct {
	Person Person
	Emoji  string
	At     int64
}

// ReactionPayload is the payload of [event.MessageReaction].
type ReactionPayload struct {
	Message MessageRef `json:"message"`
	User    int64      `json:"user_id"`
	Emoji   string     `json:"emoji"`
	// Action is "add" or "remove"; Reactions are all there are now.
	Action    string     `json:"action"`
	Reactions []Reaction `json:"reactions"`
}

// React adds the user's reaction to a message, or takes it away, and returns all
// reactions to it. What is so already is no error and announced to nobody. The errors
// are [ErrNotFound], also for a deleted message, [ErrForbidden] for a system message,
// [ErrCannotMessage], [*FieldError] for what is no emoji, and [*LimitError].
func (s *Service) React(ctx context.Context, user, message int64, emoji string, add bool) (all []Reaction, err error) {
	if !isEmoji(emoji) {
		return nil, &FieldError{"emoji", "must be one emoji"}
	}
	err = s.store.Update(ctx, func(tx Tx) error {
		all, err = s.react(ctx, tx, user, message, emoji, add)
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

func (s *Service) react(ctx context.Context, tx Tx, user, message int64, emoji string, add bool) ([]Reaction, error) {
	g, err := s.holdMessage(ctx, tx, user, message)
	switch {
	case err != nil:
		return nil, err
	case g.Deleted():
		return nil, ErrNotFound
	case g.Type != TextMessage:
		return nil, ErrForbidden
	}
	if err := withReactions(ctx, tx, &g.Message); err != nil {
		return nil, err
	}
	if has(g.Reactions, emoji, user) == add {
		return g.Reactions, nil
	}
	action := "remove"
	if add {
		action = "add"
		if err := s.mayReact(ctx, tx, &g, user, emoji); err != nil {
			return nil, err
		}
		err = tx.AddReaction(ctx, message, user, emoji, s.now())
	} else {
		err = tx.DropReaction(ctx, message, user, emoji)
	}
	if err != nil {
		return nil, err
	}
	if g.EventSeq, err = tx.NextEvent(ctx, g.Chat); err != nil {
		return nil, err
	}
	if err := tx.Touch(ctx, message, g.EventSeq); err != nil {
		return nil, err
	}
	if err := withReactions(ctx, tx, &g.Message); err != nil {
		return nil, err
	}
	return g.Reactions, s.announce(ctx, tx, event.MessageReaction, g.Chat, g.EventSeq, 0, user, ReactionPayload{
		Message: g.ref(), User: user, Emoji: emoji, Action: action, Reactions: g.Reactions,
	})
}

// mayReact checks limits and, in direct chats, blocks. In a group even who may not post
// may react.
func (s *Service) mayReact(ctx context.Context, tx Tx, g *changing, user int64, emoji string) error {
	own := 0
	known := false
	for _, r := range g.Reactions {
		known = known || r.Emoji == emoji
		if slices.Contains(r.Users, user) {
			own++
		}
	}
	switch {
	case own >= s.o.Sizes.OwnReactions:
		return &LimitError{Field: "emoji", Got: own + 1, Limit: s.o.Sizes.OwnReactions, Unit: "reactions of one person"}
	case !known && len(g.Reactions) >= s.o.Sizes.Reactions:
		return &LimitError{Field: "emoji", Got: len(g.Reactions) + 1, Limit: s.o.Sizes.Reactions, Unit: "different reactions"}
	case g.chat.Kind == Direct:
		return s.mayWrite(ctx, tx, &g.chat, &g.member)
	}
	return nil
}

func has(reactions []Reaction, emoji string, user int64) bool {
	return slices.ContainsFunc(reactions, func(r Reaction) bool { return r.Emoji == emoji && slices.Contains(r.Users, user) })
}

// ReactionsOf returns who reacted to a message, oldest first, with the emoji, or with
// any if it is empty.
func (s *Service) ReactionsOf(ctx context.Context, user, message int64, emoji string) (found []Reacted, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		m, err := tx.Seen(ctx, user, message)
		if err != nil {
			return err
		}
		if m.Deleted() {
			return ErrNotFound
		}
		found, err = tx.Reacted(ctx, message, emoji)
		return err
	})
	return found, err
}
