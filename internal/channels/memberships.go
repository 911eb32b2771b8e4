package channels

import (
	"context"
	"sync"
	"sync/atomic"
)

// membershipsKept bounds the memberships in memory.
const membershipsKept = 100_000

// memberships remembers who is an active member, so that a storm of reconnecting
// clients asks the database once for each at most. What is remembered ends when the
// event that ends it is handled; who subscribed in between is unsubscribed then.
type memberships struct {
	mu      sync.Mutex
	members map[membership]place
	// changes counts what was forgotten: a look-up that was under way meanwhile is not
	// remembered.
	changes uint64
	// strangers are users without an account here.
	strangers map[int64]struct{}
	// known and asked count look-ups, by whether the database was asked.
	known, asked atomic.Uint64
}

type membership struct{ user, chat int64 }

// place is what is remembered of a membership, as it was when it was looked up: how many
// members the chat had, and the newest message that the user did not see.
type place struct {
	size int
	from int64
}

func newMemberships() *memberships {
	return &memberships{members: make(map[membership]place), strangers: make(map[int64]struct{})}
}

// member returns the place of user in a chat, or [chat.ErrNotFound] for who is not an
// active member.
func (m *memberships) member(ctx context.Context, chats Chats, user, id int64) (place, error) {
	key := membership{user, id}
	m.mu.Lock()
	found, known := m.members[key]
	changes := m.changes
	m.mu.Unlock()
	if known {
		m.known.Add(1)
		return found, nil
	}
	m.asked.Add(1)
	member, c, err := chats.Membership(ctx, user, id)
	if err != nil {
		return place{}, err
	}
	found = place{c.MemberCount, member.VisibleFromSeq}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.changes == changes {
		for old := range m.members {
			if len(m.members) < membershipsKept {
				break
			}
			delete(m.members, old)
		}
		m.members[key] = found
	}
	return found, nil
}

// forget ends what is remembered of users in a chat, or of everybody there.
func (m *memberships) forget(id int64, users ...int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changes++
	if len(users) > 0 {
		for _, user := range users {
			delete(m.members, membership{user, id})
		}
		return
	}
	for key := range m.members {
		if key.chat == id {
			delete(m.members, key)
		}
	}
}

// forgetUser ends what is remembered of a user.
func (m *memberships) forgetUser(user int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changes++
	delete(m.strangers, user)
	for key := range m.members {
		if key.user == user {
			delete(m.members, key)
		}
	}
}

// stranger tells whether user was found to have no account here.
func (m *memberships) stranger(user int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, known := m.strangers[user]
	return known
}

func (m *memberships) noteStranger(user int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.strangers) >= membershipsKept {
		clear(m.strangers)
	}
	m.strangers[user] = struct{}{}
}

// Lookups returns how many memberships were found in memory, and how many the database
// was asked for.
func (c *Channels) Lookups() (known, asked uint64) {
	return c.memberships.known.Load(), c.memberships.asked.Load()
}
