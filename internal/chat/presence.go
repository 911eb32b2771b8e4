package chat

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	restPresence  = 3 * time.Minute // how long a call without a connection counts as being there
	lastSeenEvery = time.Minute     // how often a last-seen time is stored for one person
	presenceKept  = 200_000         // bounds who is remembered for calls without a connection
)

// Status is whether somebody is there, for one viewer.
type Status struct {
	Online bool
	// Hidden says that the viewer may not know; the rest is then zero.
	Hidden bool
	// LastSeen is in milliseconds since 1970, 0 while online and if never.
	LastSeen int64
}

// presenceTx is what presence reads and writes.
type presenceTx interface {
	// SetLastSeen stores when people were last there, in milliseconds since 1970; a time
	// before the stored one changes nothing.
	SetLastSeen(ctx context.Context, at map[int64]int64) error
	// LastSeen returns when people were last there, of those whose status viewer may know.
	LastSeen(ctx context.Context, viewer int64, users []int64) (map[int64]int64, error)
}

// PresenceOptions configure a [Presence].
type PresenceOptions struct {
	Store Store
	// Grace is how long after the last connection somebody still counts as there; zero
	// means 15 s.
	Grace time.Duration
	// Changed is told of who came or went; at is when, in milliseconds since 1970. It does
	// not block.
	Changed func(user int64, online bool, at int64)
	// Clock defaults to time.Now, Logger to slog.Default().
	Clock  func() time.Time
	Logger *slog.Logger
}

// Presence knows who is there: who has a connection to this node, or called it lately
// (chat-api.md §0.9). A reconnect within the grace changes nothing and tells nobody.
// [Presence.Run] owns its goroutine. It is safe for concurrent use.
type Presence struct {
	o PresenceOptions

	mu     sync.Mutex
	people map[int64]*presence
	seen   map[int64]int64 // last-seen times to be stored
}

// presence is one person's.
type presence struct {
	connections int
	online      bool
	// until is when who has no connection is gone, at is what last-seen then is.
	until time.Time
	at    int64
}

// NewPresence returns a Presence with the options o.
func NewPresence(o PresenceOptions) *Presence {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	setDefault(&o.Grace, 15*time.Second)
	return &Presence{o: o, people: make(map[int64]*presence), seen: make(map[int64]int64)}
}

// Connected counts a connection of user, Disconnected its end.
func (p *Presence) Connected(user int64) { p.count(user, 1) }

// Disconnected counts the end of a connection.
func (p *Presence) Disconnected(user int64) { p.count(user, -1) }

func (p *Presence) count(user int64, n int) {
	now := p.o.Clock()
	p.mu.Lock()
	who := p.person(user)
	who.connections += n
	came := who.connections > 0 && !who.online
	if who.connections > 0 {
		who.online, who.until = true, time.Time{} // calls no longer count
	} else {
		who.at = now.UnixMilli()
		if until := now.Add(p.o.Grace); until.After(who.until) {
			who.until = until
		}
		if !who.online && who.connections == 0 {
			delete(p.people, user)
		}
	}
	p.mu.Unlock()
	if came {
		p.o.Changed(user, true, now.UnixMilli())
	}
}

// Active says that user called without a connection.
func (p *Presence) Active(user int64) {
	now := p.o.Clock()
	p.mu.Lock()
	if len(p.people) >= presenceKept && p.people[user] == nil {
		p.mu.Unlock()
		return
	}
	who := p.person(user)
	came := !who.online
	if who.connections <= 0 {
		who.online, who.at, who.until = true, now.UnixMilli(), now.Add(restPresence)
	}
	p.mu.Unlock()
	if came {
		p.o.Changed(user, true, now.UnixMilli())
	}
}

// person returns the entry of user, made if need be; p.mu is held.
func (p *Presence) person(user int64) *presence {
	who := p.people[user]
	if who == nil {
		who = new(presence)
		p.people[user] = who
	}
	return who
}

// Online tells whether user is there.
func (p *Presence) Online(user int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	who := p.people[user]
	return who != nil && who.online
}

// Status returns the status of people for viewer.
func (p *Presence) Status(ctx context.Context, viewer int64, users []int64) (map[int64]Status, error) {
	var stored map[int64]int64
	err := p.o.Store.View(ctx, func(tx Tx) (err error) {
		stored, err = tx.LastSeen(ctx, viewer, users)
		return err
	})
	if err != nil {
		return nil, err
	}
	all := make(map[int64]Status, len(users))
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, user := range users {
		at, allowed := stored[user]
		switch who := p.people[user]; {
		case !allowed:
			all[user] = Status{Hidden: true}
		case who != nil && who.online:
			all[user] = Status{Online: true}
		default:
			all[user] = Status{LastSeen: max(at, p.seen[user])}
		}
	}
	return all, nil
}

// Run tells who has gone, and stores when people were last there, until ctx ends.
func (p *Presence) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	stored := p.o.Clock()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			p.leaving()
			p.store(last)
			return nil
		}
		p.expire()
		if now := p.o.Clock(); now.Sub(stored) >= lastSeenEvery {
			stored = now
			p.store(ctx)
		}
	}
}

// expire tells who has been gone for the grace.
func (p *Presence) expire() {
	now := p.o.Clock()
	gone := make(map[int64]int64)
	p.mu.Lock()
	for user, who := range p.people {
		if who.connections <= 0 && who.online && !now.Before(who.until) {
			gone[user] = who.at
			p.seen[user] = max(p.seen[user], who.at)
			delete(p.people, user)
		}
	}
	p.mu.Unlock()
	for user, at := range gone {
		p.o.Changed(user, false, at)
	}
}

// leaving notes that everybody who is there was last seen now: the server stops, which
// is nothing to tell anybody, for they come back.
func (p *Presence) leaving() {
	now := p.o.Clock().UnixMilli()
	p.mu.Lock()
	defer p.mu.Unlock()
	for user, who := range p.people {
		at := who.at
		if who.connections > 0 {
			at = now
		}
		p.seen[user] = max(p.seen[user], at)
	}
}

// store writes the last-seen times that wait; what fails waits on.
func (p *Presence) store(ctx context.Context) {
	p.mu.Lock()
	waiting := p.seen
	p.seen = make(map[int64]int64)
	p.mu.Unlock()
	if len(waiting) == 0 {
		return
	}
	err := p.o.Store.Update(ctx, func(tx Tx) error { return tx.SetLastSeen(ctx, waiting) })
	if err == nil {
		return
	}
	p.o.Logger.Warn("store when people were last seen", "people", len(waiting), "error", err)
	p.mu.Lock()
	defer p.mu.Unlock()
	for user, at := range waiting {
		if len(p.seen) < presenceKept {
			p.seen[user] = max(p.seen[user], at)
		}
	}
}
