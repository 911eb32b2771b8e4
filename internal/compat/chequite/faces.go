package chequite

import (
	"context"
	"sync"
	"time"

	"github.com/kuranty/kuranty/event"
)

const (
	// facesKept bounds the people remembered, faceFor is for how long.
	facesKept = 10_000
	faceFor   = 10 * time.Second
)

// faces remembers what strangers see of people, for publications: these go to many, and
// a storm of reconnecting clients has many rendered at once.
type faces struct {
	c *Contract

	mu   sync.Mutex
	kept map[int64]face
	// changes counts forgettings: what was read before one may be out of date.
	changes uint64
}

type face struct {
	user  userA
	until time.Time
}

func newFaces(c *Contract) *faces { return &faces{c: c, kept: make(map[int64]face)} }

// of returns what strangers see of a user: nothing, if there is no such user.
func (f *faces) of(ctx context.Context, id int64) (userA, error) {
	now := f.c.o.Clock()
	f.mu.Lock()
	known, ok := f.kept[id]
	changes := f.changes
	f.mu.Unlock()
	if ok && now.Before(known.until) {
		return known.user, nil
	}
	found, err := f.c.usersByID(ctx, 0, []int64{id}, f.c.o.Location)
	if err != nil {
		return userA{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.changes == changes {
		for old := range f.kept {
			if len(f.kept) < facesKept {
				break
			}
			delete(f.kept, old)
		}
		f.kept[id] = face{found[id], now.Add(faceFor)}
	}
	return found[id], nil
}

// forget makes the next look at a user a look at the database.
func (f *faces) forget(id int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes++
	delete(f.kept, id)
}

// announced forgets whom an event is about.
func (f *faces) announced(e *event.Event) {
	switch e.Type {
	case event.UserUpdated, event.UserSuspended, event.UserDeleted:
		f.forget(subject(e))
	}
}
