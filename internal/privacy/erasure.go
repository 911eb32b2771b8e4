package privacy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/identity"
)

// Modes of erasure.
const (
	// Anonymize keeps the texts of messages, under "Deleted account".
	Anonymize = "anonymize"
	// Erase deletes the messages and reactions too.
	Erase = "erase"
)

// Erasure is a wish to be erased. Times are in milliseconds since 1970.
type Erasure struct {
	Job   string
	Mode  string
	State string
	// DueAt is when it begins; until then it can be taken back.
	DueAt, CreatedAt int64
}

// Ref is a message of a chat.
type Ref struct{ Chat, Message int64 }

// Reply is a reply that is kept for a repeated request; see chat-api.md §0.12.
type Reply struct{ Principal, Key, Text string }

// FileRef is a file in a message or, with Message 0, the avatar of a chat.
type FileRef struct {
	Chat, Message int64
	File          string
}

// Standing is what matters of a person's account here.
type Standing struct {
	// State is active, suspended or deleted.
	State string
	// OnlyAdmin tells that there is no other active administrator.
	OnlyAdmin bool
	// Held tells that the person is under legal hold.
	Held bool
}

// erasureTx finds what is left of a person, in pieces of up to a limit, and nothing of
// it in chats under legal hold. Each list goes on after a place.
type erasureTx interface {
	Standing(ctx context.Context, user int64) (Standing, error)
	// HeldChatsOf counts the chats under legal hold that user is or was in.
	HeldChatsOf(ctx context.Context, user int64) (int, error)
	// KeysOf returns the API keys that user made and makes their names neutral.
	KeysOf(ctx context.Context, user int64) ([]string, error)
	// PlacesOf returns the chats that user is or was in, by id.
	PlacesOf(ctx context.Context, user, after int64, limit int) ([]int64, error)
	// SentBy returns the messages of user, those deleted too, by chat and id.
	SentBy(ctx context.Context, user, chat, after int64, limit int) ([]Ref, error)
	// ReactedBy, FilesBy and ForwardedFrom return messages that user reacted to, that have
	// files of user, and that are copies of messages of user; by id.
	ReactedBy(ctx context.Context, user, after int64, limit int) ([]Ref, error)
	FilesBy(ctx context.Context, user, after int64, limit int) ([]FileRef, error)
	ForwardedFrom(ctx context.Context, user, after int64, limit int) ([]Ref, error)
	// NamingSystem returns system messages of a chat that name user, by id.
	NamingSystem(ctx context.Context, user, chat, after int64, limit int) ([]Ref, error)
	// AvatarsBy returns the groups with a picture that user uploaded.
	AvatarsBy(ctx context.Context, user int64, limit int) ([]FileRef, error)
	// LooseFilesOf returns files of user that no chat under legal hold shows.
	LooseFilesOf(ctx context.Context, user int64, limit int) ([]string, error)
	// RepliesNaming returns the kept replies that may name user, RemoveReply removes one.
	RepliesNaming(ctx context.Context, user int64) ([]Reply, error)
	RemoveReply(ctx context.Context, r Reply) error
	// ForgetPerson removes the rows that are about user alone, and what other rows say of
	// when and how user did something.
	ForgetPerson(ctx context.Context, user int64) error
	// EventsFrom returns the rows of the log after one, EventAt one of them as it is now,
	// RewriteEvent replaces its payload.
	EventsFrom(ctx context.Context, after int64, limit int) ([]event.Event, error)
	EventAt(ctx context.Context, row int64) (event.Event, error)
	RewriteEvent(ctx context.Context, row int64, payload []byte) error
	// ForgottenEvents returns what is kept of events for webhooks, by when it was kept and id;
	// ErasePayloads removes payloads of those.
	ForgottenEvents(ctx context.Context, at int64, id string, limit int) ([]ForgottenEvent, error)
	ErasePayloads(ctx context.Context, events []string) error
	// ForgetJobs removes the jobs of a kind and user.
	ForgetJobs(ctx context.Context, kind string, user int64) error
}

// RequestErasure asks that user be erased when grace is over; zero is at once. Asked again
// before that, it is about the new mode and grace. That it is the user who asks, its caller
// has made sure. The errors are [ErrMode], [ErrNotFound] and [ErrLastAdmin]; a legal hold
// is no error and not told: the erasure waits for its end.
func (s *Service) RequestErasure(ctx context.Context, user int64, mode string, grace time.Duration) (e Erasure, err error) {
	if mode != Anonymize && mode != Erase {
		return Erasure{}, ErrMode
	}
	detail, err := json.Marshal(progress{Mode: mode})
	if err != nil {
		return Erasure{}, fmt.Errorf("encode detail of job: %w", err)
	}
	err = s.store.Update(ctx, func(tx Tx) error {
		st, err := tx.Standing(ctx, user)
		switch {
		case err != nil:
			return err
		case st.State == identity.StateDeleted:
			return ErrNotFound
		case st.OnlyAdmin:
			return ErrLastAdmin
		}
		now := s.now()
		due := now + max(grace, 0).Milliseconds()
		again, err := tx.AskAgain(ctx, kindErasure, user, string(detail), due)
		if err == nil && !again {
			_, err = tx.AddJob(ctx, &Job{ID: newID("j_"), Kind: kindErasure, User: user, State: Waiting, Detail: string(detail), DueAt: due, CreatedAt: now})
		}
		if err != nil {
			return err
		}
		e, err = erasureOf(ctx, tx, user)
		return err
	})
	if err != nil {
		return Erasure{}, err
	}
	s.call(kindErasure)
	return e, nil
}

func erasureOf(ctx context.Context, tx jobTx, user int64) (Erasure, error) {
	j, err := tx.LiveJob(ctx, kindErasure, user)
	if err != nil {
		return Erasure{}, err
	}
	p, err := progressOf(&j)
	return Erasure{Job: j.ID, Mode: p.Mode, State: j.State, DueAt: j.DueAt, CreatedAt: j.CreatedAt}, err
}

// Erasure returns the erasure that is waiting or under way, or [ErrNotFound].
func (s *Service) Erasure(ctx context.Context, user int64) (e Erasure, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		e, err = erasureOf(ctx, tx, user)
		return err
	})
	return e, err
}

// CancelErasure takes an erasure back. The errors are [ErrNotFound] and, once it has
// begun, [ErrUnderWay].
func (s *Service) CancelErasure(ctx context.Context, user int64) error {
	return s.store.Update(ctx, func(tx Tx) error {
		e, err := erasureOf(ctx, tx, user)
		if err != nil {
			return err
		}
		st, err := tx.Standing(ctx, user)
		if err != nil {
			return err
		}
		if e.State != Waiting || st.State == identity.StateDeleted {
			return ErrUnderWay
		}
		_, err = tx.CancelJob(ctx, kindErasure, user, s.now())
		return err
	})
}

// progress is the detail of an erasure: what was asked for, and the place in the work.
type progress struct {
	Mode string `json:"mode"`
	Step int    `json:"step,omitempty"`
	// At and ID are the place in a list, Chat the chat it is of.
	At   int64 `json:"at,omitempty"`
	ID   int64 `json:"id,omitempty"`
	Chat int64 `json:"chat,omitempty"`
	// Event is the place in a list of events.
	Event string `json:"event,omitempty"`
	// Held is how many chats were left out because of legal holds.
	Held int `json:"held,omitempty"`
}

func progressOf(j *Job) (p progress, err error) {
	if err := json.Unmarshal([]byte(j.Detail), &p); err != nil {
		return p, fmt.Errorf("detail of job %s: %w", j.ID, err)
	}
	return p, nil
}

// holdPause is how often a job looks whether a legal hold has been lifted.
const holdPause = time.Hour

func (s *Service) postpone(reason string) error {
	return &postponed{until: s.now() + holdPause.Milliseconds(), reason: reason}
}

// erase erases a person, piece by piece.
func (s *Service) erase(ctx context.Context, r *running) error {
	p, err := progressOf(&r.Job)
	if err != nil {
		return err
	}
	if p.Held > 0 {
		switch n, err := s.heldChats(ctx, r.User); {
		case err != nil:
			return err
		case n == p.Held:
			return s.postpone("chats under legal hold")
		}
		p = progress{Mode: p.Mode}
	}
	steps := s.steps(p.Mode)
	for p.Step < len(steps) {
		if err := s.mayErase(ctx, r.User); err != nil {
			return err
		}
		more, err := steps[p.Step](ctx, r.User, &p)
		if err != nil {
			return fmt.Errorf("erase user %d, step %d: %w", r.User, p.Step, err)
		}
		if !more {
			p = progress{Mode: p.Mode, Step: p.Step + 1}
		}
		if err := s.keep(ctx, r, p); err != nil {
			return err
		}
	}
	s.scrub(ctx)
	n, err := s.heldChats(ctx, r.User)
	if err != nil || n == 0 {
		return err
	}
	if err := s.keep(ctx, r, progress{Mode: p.Mode, Held: n}); err != nil {
		return err
	}
	return s.postpone("chats under legal hold")
}

// scrub has what was deleted leave the database's own log. Retention does it again.
func (s *Service) scrub(ctx context.Context) {
	if err := s.store.Scrub(ctx); err != nil && ctx.Err() == nil {
		s.log.Info("what was deleted is in the database's log for a while yet", "error", err)
	}
}

func (s *Service) heldChats(ctx context.Context, user int64) (n int, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		n, err = tx.HeldChatsOf(ctx, user)
		return err
	})
	return n, err
}

func (s *Service) mayErase(ctx context.Context, user int64) error {
	return s.store.View(ctx, func(tx Tx) error {
		st, err := tx.Standing(ctx, user)
		if err == nil && st.Held {
			err = s.postpone("legal hold")
		}
		return err
	})
}

// step does one piece of work, which is one transaction or a few that may be repeated,
// and moves p on; more tells whether there is more of it.
type step func(ctx context.Context, user int64, p *progress) (more bool, err error)

// steps are the work. The account comes first, so that whatever is announced later has no
// name in it any more; the log comes after all that writes to it.
func (s *Service) steps(mode string) []step {
	steps := []step{s.eraseAccount, s.eraseKeys, s.eraseExports, s.erasePlaces}
	if mode == Erase {
		steps = append(steps, s.eraseMessages, s.eraseReactions)
	}
	return append(steps, s.eraseFilesShown, s.eraseAvatars, s.eraseFiles, s.eraseForwards, s.eraseSystem, s.eraseReplies, s.eraseParts, s.forgetPerson, s.eraseLog, s.eraseForgotten)
}

// batch is how many messages one transaction changes, logBatch how many rows of the log
// are read at a time.
const (
	batch    = 50
	logBatch = 500
)

// operator is who makes changes here that only administrators may.
func operator() identity.Caller { return identity.Operator("erasure") }

func (s *Service) eraseAccount(ctx context.Context, user int64, _ *progress) (bool, error) {
	err := s.o.Accounts.Delete(ctx, operator(), user)
	switch {
	case errors.Is(err, identity.ErrNotFound): // deleted before a crash
		return false, nil
	case errors.Is(err, identity.ErrLastAdmin):
		s.log.Warn("the last administrator is not erased; make another one", "user", user)
		return false, s.postpone("last administrator")
	}
	return false, err
}

func (s *Service) eraseKeys(ctx context.Context, user int64, _ *progress) (bool, error) {
	var keys []string
	err := s.store.Update(ctx, func(tx Tx) (err error) {
		keys, err = tx.KeysOf(ctx, user)
		return err
	})
	for _, id := range keys {
		if err == nil {
			err = s.o.Accounts.RevokeKey(ctx, operator(), id)
		}
		if errors.Is(err, identity.ErrNotFound) {
			err = nil // revoked before
		}
	}
	return false, err
}

// erasePlaces ends memberships. Chats that end by it, or have ended, are purged: nobody
// sees their messages.
func (s *Service) erasePlaces(ctx context.Context, user int64, p *progress) (bool, error) {
	var chats []int64
	err := s.store.View(ctx, func(tx Tx) (err error) {
		chats, err = tx.PlacesOf(ctx, user, p.ID, 1)
		return err
	})
	if err != nil || len(chats) == 0 {
		return false, err
	}
	if err := s.o.Chats.EraseFrom(ctx, user, chats[0]); err != nil {
		return false, err
	}
	more, err := s.purge(ctx, chats[0], 0)
	if err == nil && !more {
		p.ID = chats[0]
	}
	return true, err
}

// byChat runs f on the messages of each chat.
func byChat(refs []Ref, f func(chat int64, messages []int64) error) error {
	messages := make(map[int64][]int64)
	for _, r := range refs {
		messages[r.Chat] = append(messages[r.Chat], r.Message)
	}
	for chat, ids := range messages {
		if err := f(chat, ids); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) eraseMessages(ctx context.Context, user int64, p *progress) (bool, error) {
	var refs []Ref
	err := s.store.View(ctx, func(tx Tx) (err error) {
		refs, err = tx.SentBy(ctx, user, p.Chat, p.ID, batch)
		return err
	})
	if err != nil || len(refs) == 0 {
		return false, err
	}
	last := refs[len(refs)-1]
	p.Chat, p.ID = last.Chat, last.Message
	return true, byChat(refs, func(chat int64, ids []int64) error { return s.o.Chats.EraseMessages(ctx, chat, ids) })
}

// listed goes through messages by id.
func (s *Service) listed(ctx context.Context, p *progress, list func(tx Tx) ([]Ref, error), f func(chat int64, messages []int64) error) (bool, error) {
	var refs []Ref
	err := s.store.View(ctx, func(tx Tx) (err error) {
		refs, err = list(tx)
		return err
	})
	if err != nil || len(refs) == 0 {
		return false, err
	}
	p.ID = refs[len(refs)-1].Message
	return true, byChat(refs, f)
}

func (s *Service) eraseReactions(ctx context.Context, user int64, p *progress) (bool, error) {
	return s.listed(ctx, p,
		func(tx Tx) ([]Ref, error) { return tx.ReactedBy(ctx, user, p.ID, batch) },
		func(chat int64, ids []int64) error { return s.o.Chats.DropReactions(ctx, user, chat, ids) })
}

func (s *Service) eraseForwards(ctx context.Context, user int64, p *progress) (bool, error) {
	return s.listed(ctx, p,
		func(tx Tx) ([]Ref, error) { return tx.ForwardedFrom(ctx, user, p.ID, batch) },
		func(chat int64, ids []int64) error { return s.o.Chats.Unname(ctx, user, chat, ids) })
}

// eraseSystem rewords what chats tell of user, one chat after the other.
func (s *Service) eraseSystem(ctx context.Context, user int64, p *progress) (bool, error) {
	if p.Chat == 0 {
		var chats []int64
		err := s.store.View(ctx, func(tx Tx) (err error) {
			chats, err = tx.PlacesOf(ctx, user, p.At, 1)
			return err
		})
		if err != nil || len(chats) == 0 {
			return false, err
		}
		p.Chat, p.At, p.ID = chats[0], chats[0], 0
	}
	more, err := s.listed(ctx, p,
		func(tx Tx) ([]Ref, error) { return tx.NamingSystem(ctx, user, p.Chat, p.ID, batch) },
		func(chat int64, ids []int64) error { return s.o.Chats.Unname(ctx, user, chat, ids) })
	if !more {
		p.Chat = 0
	}
	return true, err
}

func (s *Service) eraseFilesShown(ctx context.Context, user int64, p *progress) (bool, error) {
	var shown []FileRef
	err := s.store.View(ctx, func(tx Tx) (err error) {
		shown, err = tx.FilesBy(ctx, user, p.ID, batch)
		return err
	})
	if err != nil || len(shown) == 0 {
		return false, err
	}
	refs, ids := make([]Ref, 0, len(shown)), make([]string, 0, len(shown))
	for _, f := range shown {
		refs, ids = append(refs, Ref{Chat: f.Chat, Message: f.Message}), append(ids, f.File)
	}
	// The files of the last message may go on in the next piece, which begins with it.
	if p.ID = shown[len(shown)-1].Message - 1; len(shown) < batch || shown[0].Message == p.ID+1 {
		p.ID++
	}
	return true, byChat(refs, func(chat int64, messages []int64) error { return s.o.Chats.DropFiles(ctx, chat, messages, ids) })
}

func (s *Service) eraseAvatars(ctx context.Context, user int64, _ *progress) (bool, error) {
	var shown []FileRef
	err := s.store.View(ctx, func(tx Tx) (err error) {
		shown, err = tx.AvatarsBy(ctx, user, batch)
		return err
	})
	for _, f := range shown {
		if err == nil {
			err = s.o.Chats.DropAvatar(ctx, f.Chat, f.File)
		}
	}
	return len(shown) == batch, err
}

// eraseFiles removes the bytes, but for files that a chat under legal hold shows.
func (s *Service) eraseFiles(ctx context.Context, user int64, _ *progress) (bool, error) {
	held, err := s.heldChats(ctx, user)
	if err != nil {
		return false, err
	}
	if held == 0 {
		return false, s.o.Files.Erase(ctx, user)
	}
	var ids []string
	err = s.store.View(ctx, func(tx Tx) (err error) {
		ids, err = tx.LooseFilesOf(ctx, user, batch)
		return err
	})
	if err == nil {
		err = s.o.Files.DeleteOf(ctx, ids...)
	}
	return len(ids) == batch, err
}

func (s *Service) forgetPerson(ctx context.Context, user int64, _ *progress) (bool, error) {
	return false, s.store.Update(ctx, func(tx Tx) error { return tx.ForgetPerson(ctx, user) })
}

// eraseExports removes the person's exports; one that is being made notices.
func (s *Service) eraseExports(ctx context.Context, user int64, _ *progress) (bool, error) {
	var kept []Job
	err := s.store.Update(ctx, func(tx Tx) (err error) {
		if kept, err = tx.JobsOf(ctx, kindExport, user); err != nil {
			return err
		}
		return tx.ForgetJobs(ctx, kindExport, user)
	})
	if err == nil {
		err = s.dropExports(kept)
	}
	return false, err
}
