package chat

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/kuranty/kuranty/event"
)

// Levels of notices to everybody.
const (
	Info     = "info"
	Warning  = "warning"
	Critical = "critical"
)

// SystemNotice is news for everybody who is signed in (chat-api.md §B.3). It is the
// payload of [event.SystemNotice].
type SystemNotice struct {
	// ID is "n_" and the ULID of the event that announces it.
	ID string `json:"id"`
	// Level is [Info], which empty means, [Warning] or [Critical].
	Level   string `json:"level"`
	Content string `json:"content"`
	// StartsAt and EndsAt bound what the notice tells of, such as maintenance, in
	// milliseconds since 1970; 0 is open.
	StartsAt int64 `json:"starts_at,omitempty"`
	EndsAt   int64 `json:"ends_at,omitempty"`
	// Seq is its number in the stream, 1, 2, 3, … without gaps; At when it was sent.
	Seq int64 `json:"seq"`
	At  int64 `json:"at"`
}

// noticeTx is what notices to everybody need.
type noticeTx interface {
	// NextInStream takes the next number of a stream that is neither a chat's nor a user's.
	NextInStream(ctx context.Context, stream string) (int64, error)
}

// NotifyAll stores a notice to everybody and announces it on system:notifications. That
// actor, a user or 0 for a service, is an administrator, its caller has made sure. ID, Seq
// and At of the notice given do not count. The errors are [*FieldError] and [*LimitError].
func (s *Service) NotifyAll(ctx context.Context, actor int64, notice SystemNotice) (SystemNotice, error) {
	if err := s.checkNotice(&notice); err != nil {
		return SystemNotice{}, err
	}
	err := s.store.Update(ctx, func(tx Tx) (err error) {
		now := s.o.Clock()
		id := event.NewID(now)
		notice.ID, notice.At = "n_"+strings.TrimPrefix(id, "evt_"), now.UnixMilli()
		if notice.Seq, err = tx.NextInStream(ctx, event.SystemStream); err != nil {
			return err
		}
		e, err := event.New(event.SystemNotice, now, notice)
		if err != nil {
			return err
		}
		e.ID, e.Stream, e.Seq = id, event.SystemStream, notice.Seq
		if actor != 0 {
			e.Actor = event.User(actor)
		}
		return tx.Append(ctx, e)
	})
	if err != nil {
		return SystemNotice{}, err
	}
	return notice, nil
}

func (s *Service) checkNotice(n *SystemNotice) (err error) {
	setDefault(&n.Level, Info)
	if n.Content, err = s.text(n.Content); err != nil {
		if long := (*LimitError)(nil); errors.As(err, &long) {
			long.Field = "content"
		}
		return err
	}
	switch {
	case n.Content == "":
		return &FieldError{"content", "must not be empty"}
	case !slices.Contains([]string{Info, Warning, Critical}, n.Level):
		return &FieldError{"level", "must be info, warning or critical"}
	case n.StartsAt < 0:
		return &FieldError{"starts_at", "must be a time"}
	case n.EndsAt < 0, n.EndsAt != 0 && n.EndsAt <= n.StartsAt:
		return &FieldError{"ends_at", "must be after starts_at"}
	}
	return nil
}
