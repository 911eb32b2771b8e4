package chat

import (
	"context"
	"errors"
)

// RoomsQuery selects chats of the whole server, by rising id.
type RoomsQuery struct {
	// Kind and Member select by the kind and by an active member; empty and 0 are any.
	Kind   string
	Member int64
	// After is the id after which to begin. Limit is 1 to 200; zero means 50.
	After int64
	Limit int
}

// overviewTx reads chats for who runs the server.
type overviewTx interface {
	// Rooms returns chats that have not ended.
	Rooms(ctx context.Context, q RoomsQuery) ([]Chat, error)
	// Leader returns an active member: the owner, else an admin, else who joined first.
	Leader(ctx context.Context, chat int64) (user int64, err error)
	Room(ctx context.Context, chat int64) (Chat, error)
}

// Rooms returns chats of the whole server. That it is somebody who runs the server who
// asks, its caller has made sure.
func (s *Service) Rooms(ctx context.Context, q RoomsQuery) (list []Chat, err error) {
	if q.Limit <= 0 {
		q.Limit = 50
	}
	q.Limit = min(q.Limit, 200)
	err = s.store.View(ctx, func(tx Tx) error {
		list, err = tx.Rooms(ctx, q)
		return err
	})
	return list, err
}

// Room returns a chat and the member on whose behalf somebody who runs the server acts
// in it: the owner, else an admin, else who joined first; 0 if nobody is left. Who asks,
// its caller has made sure.
func (s *Service) Room(ctx context.Context, chat int64) (c Chat, leader int64, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		if c, err = tx.Room(ctx, chat); err != nil {
			return err
		}
		leader, err = tx.Leader(ctx, chat)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		return err
	})
	return c, leader, err
}

// Pair returns the two users of a direct chat, the lower id first; zeros of other chats.
func (c *Chat) Pair() (a, b int64) { return c.pair[0], c.pair[1] }
