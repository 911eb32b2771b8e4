package chequite

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/chat"
)

const (
	// facesKept bounds the people remembered, faceFor is for how long.
	facesKept = 10_000
	faceFor   = 10 * time.Second
	// pairsKept bounds the chats of which it is remembered who reads them.
	pairsKept = 50_000
)

// faces remembers what is seen of people in publications: these go to many, and a storm
// of reconnecting clients has many rendered at once.
type faces struct {
	c *Contract

	mu   sync.Mutex
	kept map[sight]face
	// pairs are the two people of direct chats, zeros of others. Neither ever changes.
	pairs map[int64][2]int64
	// changes counts forgettings: what was read before one may be out of date.
	changes uint64
}

// sight is who looks at whom; 0 looks as a stranger.
type sight struct{ viewer, user int64 }

type face struct {
	user  userA
	until time.Time
}

func newFaces(c *Contract) *faces {
	return &faces{c: c, kept: make(map[sight]face), pairs: make(map[int64][2]int64)}
}

// of returns what the readers of a chat see of who wrote there: nothing, if there is no
// such user. A chat of two has one other reader, who may know more than strangers; what
// the members of a group may know differs, so they are shown what strangers see.
func (f *faces) of(ctx context.Context, room, user int64) (userA, error) {
	pair, err := f.pair(ctx, room, user)
	if err != nil {
		return userA{}, err
	}
	look := sight{user: user}
	switch user {
	case pair[0]:
		look.viewer = pair[1]
	case pair[1]:
		look.viewer = pair[0]
	}
	now := f.c.o.Clock()
	f.mu.Lock()
	known, ok := f.kept[look]
	changes := f.changes
	f.mu.Unlock()
	if ok && now.Before(known.until) {
		return known.user, nil
	}
	found, err := f.c.usersByID(ctx, look.viewer, []int64{user}, f.c.o.Location)
	if err != nil {
		return userA{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.changes == changes {
		bound(f.kept, facesKept)
		f.kept[look] = face{found[user], now.Add(faceFor)}
	}
	return found[user], nil
}

// pair returns the two people of a direct chat that user is one of, zeros of another.
func (f *faces) pair(ctx context.Context, room, user int64) ([2]int64, error) {
	f.mu.Lock()
	pair, ok := f.pairs[room]
	f.mu.Unlock()
	if ok {
		return pair, nil
	}
	v, err := f.c.o.Chats.Chat(ctx, user, room)
	switch {
	case errors.Is(err, chat.ErrNotFound): // who wrote has left; nothing is learned of the chat
		return pair, nil
	case err != nil:
		return pair, err
	}
	if other := v.Chat.Companion(user); other != 0 {
		pair = [2]int64{user, other}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	bound(f.pairs, pairsKept)
	f.pairs[room] = pair
	return pair, nil
}

// bound makes room in m for one more.
func bound[K comparable, V any](m map[K]V, most int) {
	for key := range m {
		if len(m) < most {
			return
		}
		delete(m, key)
	}
}

// forget makes the next look at a user a look at the database.
func (f *faces) forget(id int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes++
	maps.DeleteFunc(f.kept, func(look sight, _ face) bool { return look.user == id })
}

// announced forgets whom an event is about.
func (f *faces) announced(e *event.Event) {
	switch e.Type {
	case event.UserUpdated, event.UserSuspended, event.UserDeleted:
		f.forget(subject(e))
	}
}
