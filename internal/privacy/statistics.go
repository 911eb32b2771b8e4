package privacy

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Statistics are numbers for administrators.
type Statistics struct {
	// Users, Bots, Suspended and Deleted are accounts; Users are people who are active,
	// ActiveDay, ActiveWeek and ActiveMonth those of them seen in the last 1, 7, 30 days.
	Users, Bots, Suspended, Deleted    int64
	ActiveDay, ActiveWeek, ActiveMonth int64
	// Direct, Groups and Saved are chats that have not ended.
	Direct, Groups, Saved int64
	// Messages are those that are neither deleted nor system messages.
	Messages int64
	// Files and FileBytes are what users uploaded, DatabaseBytes the database.
	Files, FileBytes, DatabaseBytes int64
	// Days are the last days of UTC, the oldest first, today last.
	Days []DayCount
	// At is when they were counted, in milliseconds since 1970.
	At int64
}

// DayCount counts one day. Day is when it began, in milliseconds since 1970.
type DayCount struct{ Day, Messages, Users int64 }

const (
	maxDays = 366
	// statisticsAge is how old an answer may be: counting reads whole tables.
	statisticsAge = time.Minute
)

// statisticsTx counts. Counts of days are by the number of the day since 1970.
type statisticsTx interface {
	// Count fills in everything but Days and At.
	Count(ctx context.Context, now int64) (Statistics, error)
	// MessagesByDay and UsersByDay count what was made since a time.
	MessagesByDay(ctx context.Context, since int64) (map[int64]int64, error)
	UsersByDay(ctx context.Context, since int64) (map[int64]int64, error)
}

// statisticsCache holds the last answer, and one caller counts at a time.
type statisticsCache struct {
	mu   sync.Mutex
	days int
	last Statistics
}

// Statistics counts, with up to 366 days; zero means 30. The answer may be a minute old
// and is not to be changed. That it is an administrator who asks, its caller has made sure.
func (s *Service) Statistics(ctx context.Context, days int) (Statistics, error) {
	if days <= 0 {
		days = 30
	}
	days = min(days, maxDays)
	c, now := &s.seen, s.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.days == days && now >= c.last.At && now-c.last.At < statisticsAge.Milliseconds() {
		return c.last, nil
	}
	var n Statistics
	err := s.store.View(ctx, func(tx Tx) (err error) {
		if n, err = tx.Count(ctx, now); err != nil {
			return err
		}
		first := now/day.Milliseconds() - int64(days) + 1
		messages, err := tx.MessagesByDay(ctx, first*day.Milliseconds())
		if err != nil {
			return err
		}
		users, err := tx.UsersByDay(ctx, first*day.Milliseconds())
		if err != nil {
			return err
		}
		for d := first; d < first+int64(days); d++ {
			n.Days = append(n.Days, DayCount{d * day.Milliseconds(), messages[d], users[d]})
		}
		return nil
	})
	if err != nil {
		return Statistics{}, fmt.Errorf("count: %w", err)
	}
	n.At = now
	c.days, c.last = days, n
	return n, nil
}
