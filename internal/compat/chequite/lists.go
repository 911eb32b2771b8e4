package chequite

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kuranty/kuranty/internal/chat"
)

const (
	// listsEvery is the least time between two publications of a user's list
	// (chat-api.md §0.5), retryLists before what failed is tried again.
	listsEvery, retryLists = 200 * time.Millisecond, 2 * time.Second
	// listsParallel is how many lists are made at once, listTimeout how long that may take.
	listsParallel = 4
	listTimeout   = 10 * time.Second
	// maxChats is the most chats of a list (chat-api.md §A.2).
	maxChats = 1000
	// changesKept bounds what waits; beyond it, every list counts as changed.
	changesKept = 10_000
	// interestFor is how long somebody who asks to subscribe counts as subscribed, and how
	// often who is not any more is forgotten.
	interestFor = time.Minute
)

// lists publishes the lists of chats of who is subscribed to theirs. What changes waits
// for the end of the window, so however much happens, a user's list is made once in it.
type lists struct {
	c    *Contract
	wake chan struct{} // something waits

	mu sync.Mutex
	// watching are users with interest, and until when they need not be subscribed.
	watching map[int64]time.Time
	waiting  changes
}

// changes are what makes lists look different.
type changes struct {
	// users have the chats that changed for them alone, 0 meaning one not named.
	users map[int64]map[int64]struct{}
	// chats changed for all members, people for all who see them.
	chats, people map[int64]struct{}
	// all says that there were too many to tell.
	all bool
}

func newLists(c *Contract) *lists {
	return &lists{c: c, wake: make(chan struct{}, 1), watching: make(map[int64]time.Time)}
}

// interested counts user as subscribed for a while.
func (l *lists) interested(user int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watching[user] = l.c.o.Clock().Add(interestFor)
}

// idle tells whether there is nobody to publish for.
func (l *lists) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.watching) == 0
}

// userChanged says that a chat changed for one user; 0 is one not named.
func (l *lists) userChanged(user, id int64) {
	l.note(func(w *changes) {
		if _, ok := l.watching[user]; ok {
			w.user(user, id)
		}
	})
}

// chatChanged says that a chat changed for all members.
func (l *lists) chatChanged(id int64) {
	l.note(func(w *changes) { add(&w.chats, id) })
}

// personChanged says that somebody's name or picture changed.
func (l *lists) personChanged(user int64) {
	l.note(func(w *changes) { add(&w.people, user) })
}

// note lets f add to what waits, if there is anybody to publish for.
func (l *lists) note(f func(*changes)) {
	l.mu.Lock()
	if len(l.watching) == 0 {
		l.mu.Unlock()
		return
	}
	f(&l.waiting)
	l.waiting.bound()
	some := !l.waiting.empty()
	l.mu.Unlock()
	if some {
		select {
		case l.wake <- struct{}{}:
		default: // it knows
		}
	}
}

func add(set *map[int64]struct{}, id int64) {
	if *set == nil {
		*set = make(map[int64]struct{})
	}
	(*set)[id] = struct{}{}
}

func (w *changes) user(user, id int64) {
	if w.users == nil {
		w.users = make(map[int64]map[int64]struct{})
	}
	ids := w.users[user]
	add(&ids, id)
	w.users[user] = ids
}

func (w *changes) empty() bool {
	return len(w.users) == 0 && len(w.chats) == 0 && len(w.people) == 0 && !w.all
}

// bound gives up telling what changed when that is too much.
func (w *changes) bound() {
	if len(w.chats)+len(w.people) > changesKept {
		w.chats, w.people, w.all = nil, nil, true
	}
}

// run publishes until ctx ends.
func (l *lists) run(ctx context.Context) error {
	forget := time.NewTicker(interestFor)
	defer forget.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-forget.C:
			l.forget()
			continue
		case <-l.wake:
		}
		// The trailing edge: what happens meanwhile is in the same publication.
		if !sleep(ctx, listsEvery) {
			return nil
		}
		if err := l.flush(ctx); err != nil && ctx.Err() == nil {
			l.c.o.Logger.Warn("lists of chats wait", "again_in", retryLists, "error", err)
			sleep(ctx, retryLists)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// forget ends the interest of who is not subscribed any more.
func (l *lists) forget() {
	gone := slices.DeleteFunc(l.watchers(), l.subscribed)
	now := l.c.o.Clock()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, user := range gone {
		if now.After(l.watching[user]) {
			delete(l.watching, user)
		}
	}
}

func (l *lists) watchers() []int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.watching))
}

func (l *lists) watches(user int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.watching[user]
	return ok
}

func (l *lists) subscribed(user int64) bool {
	return l.c.o.Publisher.Subscribers(ListChannel(user)) > 0
}

// flush publishes what has waited. What fails waits again.
func (l *lists) flush(ctx context.Context) error {
	l.mu.Lock()
	w := l.waiting
	l.waiting = changes{}
	l.mu.Unlock()

	err := l.resolve(ctx, &w)
	var g errgroup.Group
	g.SetLimit(listsParallel)
	var mu sync.Mutex
	for user, ids := range w.users {
		if !l.subscribed(user) {
			continue
		}
		g.Go(func() error {
			if one := l.publish(ctx, user, ids); one != nil {
				mu.Lock()
				defer mu.Unlock()
				err = errors.Join(err, one)
				l.note(func(again *changes) { again.users = merge(again.users, user, ids) })
			}
			return nil
		})
	}
	_ = g.Wait() // errors are collected, so that one does not hold up the others
	return err
}

func merge(into map[int64]map[int64]struct{}, user int64, ids map[int64]struct{}) map[int64]map[int64]struct{} {
	w := changes{users: into}
	for id := range ids {
		w.user(user, id)
	}
	return w.users
}

// resolve finds the watching users whose lists show what changed, and adds them to w.
func (l *lists) resolve(ctx context.Context, w *changes) error {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	if w.all {
		for _, user := range l.watchers() {
			w.user(user, 0)
		}
		return nil
	}
	for person := range w.people {
		ids, err := l.c.o.Chats.ActiveChats(ctx, person, maxChats)
		if err != nil {
			l.again(w)
			return err
		}
		for _, id := range ids {
			add(&w.chats, id)
		}
		delete(w.people, person)
	}
	for id := range w.chats {
		members, err := l.c.o.Chats.MemberIDs(ctx, id)
		if err != nil {
			l.again(w)
			return err
		}
		for _, user := range members {
			if l.watches(user) {
				w.user(user, id)
			}
		}
		delete(w.chats, id)
	}
	return nil
}

// again lets what could not be resolved wait.
func (l *lists) again(w *changes) {
	l.note(func(next *changes) {
		for id := range w.chats {
			add(&next.chats, id)
		}
		for id := range w.people {
			add(&next.people, id)
		}
	})
}

// publish publishes a user's list, or the chats ids of it.
func (l *lists) publish(ctx context.Context, user int64, ids map[int64]struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	if l.c.o.Items {
		for id := range ids {
			if err := l.publishItem(ctx, user, id); err != nil {
				return err
			}
		}
		return nil
	}
	list, err := l.c.list(ctx, user, l.c.o.Location, 0, maxChats)
	if err != nil {
		return err
	}
	return l.send(ctx, user, list)
}

// publishItem publishes one chat of a list, unless it is no longer there; that a chat
// has gone cannot be said in this form.
func (l *lists) publishItem(ctx context.Context, user, id int64) error {
	if id == 0 {
		return nil
	}
	v, err := l.c.o.Chats.Chat(ctx, user, id)
	if errors.Is(err, chat.ErrNotFound) || err == nil && (v.Member.Hidden || !l.c.shows(&v)) {
		return nil
	}
	if err != nil {
		return err
	}
	status, err := l.c.statuses(ctx, user, companions([]chat.View{v}))
	if err != nil {
		return err
	}
	return l.send(ctx, user, l.c.chatsOf([]chat.View{v}, status, l.c.o.Location)[0])
}

func (l *lists) send(ctx context.Context, user int64, payload any) error {
	data, err := encodeString(payload)
	if err != nil {
		return err
	}
	return l.c.o.Publisher.Publish(ctx, ListChannel(user), data)
}
