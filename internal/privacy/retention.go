package privacy

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// expireEvery is how often old messages are looked for: what is too old is gone within
	// the hour (guarantees.md S37), also where the last look took a while.
	expireEvery = 30 * time.Minute
	// purgeBatch is how many messages one transaction removes, sweepBatch how many rows of
	// other tables.
	purgeBatch = 100
	sweepBatch = 500
	chatBatch  = 100

	readLogAge = 7 * 24 * time.Hour
	replyAge   = 49 * time.Hour // as internal/api keeps them
	jobAge     = 30 * 24 * time.Hour
	day        = 24 * time.Hour
)

// Ageing is a chat with messages that are too old, or that has ended.
type Ageing struct {
	Chat int64
	// Days is how long messages are kept in it.
	Days int64
}

// retentionTx finds what is too old. Lists have up to limit entries, removals remove up
// to limit rows and return how many they were.
type retentionTx interface {
	// AgeingChats returns chats by id, after one, whose oldest message is older than the
	// chat's retention, or than days if that is shorter or the chat has none; and chats that
	// have ended and still have messages. Days 0 is for ever. None is under legal hold, nor
	// anybody who is or was in it.
	AgeingChats(ctx context.Context, after, now, days int64, limit int) ([]Ageing, error)
	DropReadLog(ctx context.Context, before int64, limit int) (int64, error)
	DropReplies(ctx context.Context, before int64, limit int) (int64, error)
	DropJobs(ctx context.Context, before int64, limit int) (int64, error)
	// DropInvites removes invites that nobody can use at now.
	DropInvites(ctx context.Context, now int64, limit int) (int64, error)
}

// expire removes what is too old, and plans the next time.
func (s *Service) expire(ctx context.Context, r *running) error {
	failed := s.expireMessages(ctx, r)
	if errors.Is(failed, errLost) || ctx.Err() != nil {
		return failed
	}
	now := s.now()
	for name, drop := range map[string]func(Tx) (int64, error){
		"read log": func(tx Tx) (int64, error) { return tx.DropReadLog(ctx, now-readLogAge.Milliseconds(), sweepBatch) },
		"replies":  func(tx Tx) (int64, error) { return tx.DropReplies(ctx, now-replyAge.Milliseconds(), sweepBatch) },
		"jobs":     func(tx Tx) (int64, error) { return tx.DropJobs(ctx, now-jobAge.Milliseconds(), sweepBatch) },
		"invites":  func(tx Tx) (int64, error) { return tx.DropInvites(ctx, now, sweepBatch) },
	} {
		for more := true; more; {
			var n int64
			err := s.store.Update(ctx, func(tx Tx) (err error) {
				n, err = drop(tx)
				return err
			})
			if err != nil {
				return fmt.Errorf("remove old rows of %s: %w", name, err)
			}
			more = n == sweepBatch
		}
	}
	s.scrub(ctx)
	if failed != nil {
		return failed
	}
	return &postponed{until: s.now() + expireEvery.Milliseconds(), reason: "until the next time"}
}

// expireMessages purges each chat. One where that fails keeps no other waiting.
func (s *Service) expireMessages(ctx context.Context, r *running) error {
	after := int64(0)
	var failed []error
	for {
		var chats []Ageing
		now := s.now()
		err := s.store.View(ctx, func(tx Tx) (err error) {
			chats, err = tx.AgeingChats(ctx, after, now, int64(s.o.RetentionDays), chatBatch)
			return err
		})
		if err != nil {
			return errors.Join(append(failed, fmt.Errorf("look for old messages: %w", err))...)
		}
		for _, c := range chats {
			before := int64(0) // of chats that have ended all goes
			if c.Days > 0 {
				before = now - c.Days*day.Milliseconds()
			}
			switch err := s.expireChat(ctx, r, c.Chat, before); {
			case errors.Is(err, errLost), err != nil && ctx.Err() != nil:
				return err
			case err != nil:
				failed = append(failed, err)
			}
			after = c.Chat
		}
		if len(chats) < chatBatch {
			return errors.Join(failed...)
		}
	}
}

func (s *Service) expireChat(ctx context.Context, r *running, chat, before int64) (err error) {
	for more := true; more; {
		if more, err = s.purge(ctx, chat, before); err != nil {
			return err
		}
		if err := s.keep(ctx, r, struct{}{}); err != nil {
			return err
		}
	}
	return nil
}

// purge removes some of the oldest messages of a chat and the files that no other message
// has. Files left over by a crash in between are swept a day later.
func (s *Service) purge(ctx context.Context, chat, before int64) (more bool, err error) {
	gone, err := s.o.Chats.Purge(ctx, chat, before, purgeBatch)
	if err != nil {
		return false, fmt.Errorf("purge chat %d: %w", chat, err)
	}
	if gone.Messages > 0 && s.o.Purged != nil {
		s.o.Purged(chat)
	}
	return gone.More, s.o.Files.DeleteUnused(ctx, gone.Files...)
}
