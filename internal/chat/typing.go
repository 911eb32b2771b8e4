package chat

import (
	"context"
	"sync"
	"time"
)

const (
	typingRepeat = 3 * time.Second // how often "is typing" is passed on again
	typingExpiry = 6 * time.Second // after which it ends by itself
	typingKept   = 50_000          // bounds who is remembered; beyond it, new ones are not told
)

// Typist is who is typing where, or no longer.
type Typist struct {
	Chat   int64
	Person Person
	Typing bool
}

// TypingOptions configure a [Typing]; both functions must be set.
type TypingOptions struct {
	// Allowed returns the person if typing is to be told in that chat: an active member,
	// or [ErrNotFound]; tell is false if nobody is to hear of it.
	Allowed func(ctx context.Context, user, chat int64) (p Person, tell bool, err error)
	// Tell passes it on to the chat. It does not block.
	Tell func(Typist)
	// Clock defaults to time.Now.
	Clock func() time.Time
	// PerSecond bounds the calls of one person (2); those beyond it do nothing, but
	// strangers to the chat are told so all the same.
	PerSecond int
}

// Typing knows who is typing (chat-api.md §0.8). Nothing of it is stored. [Typing.Run]
// owns its goroutine. It is safe for concurrent use.
type Typing struct {
	o     TypingOptions
	calls buckets

	mu    sync.Mutex
	known map[typingKey]*typed
}

type typingKey struct{ chat, user int64 }

// typed is a person whose last word was "typing".
type typed struct {
	who  Person
	told time.Time // when it was passed on last
	last time.Time // when it was said last
}

// NewTyping returns a Typing with the options o.
func NewTyping(o TypingOptions) *Typing {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	setDefault(&o.PerSecond, 2)
	return &Typing{o: o, calls: newBuckets(o.PerSecond, time.Second, o.PerSecond), known: make(map[typingKey]*typed)}
}

// Set says that user is typing in chat, or has stopped. The error is [ErrNotFound] for
// who is no member.
func (t *Typing) Set(ctx context.Context, user, chat int64, typing bool) error {
	p, tell, err := t.o.Allowed(ctx, user, chat)
	if err != nil || !tell {
		return err
	}
	now := t.o.Clock()
	if t.calls.take(user, now) != nil {
		return nil //nolint:nilerr // excess calls succeed and do nothing
	}
	key := typingKey{chat, user}
	t.mu.Lock()
	was := t.known[key]
	forward := false
	switch {
	case typing && was == nil:
		if forward = len(t.known) < typingKept; forward {
			t.known[key] = &typed{who: p, told: now, last: now}
		}
	case typing:
		was.last = now
		if forward = now.Sub(was.told) >= typingRepeat; forward {
			was.told = now
		}
	case was != nil:
		forward = true
		delete(t.known, key)
	}
	t.mu.Unlock()
	if forward {
		t.o.Tell(Typist{Chat: chat, Person: p, Typing: typing})
	}
	return nil
}

// Sent ends the typing of who sent a message, without a word.
func (t *Typing) Sent(user, chat int64) {
	t.mu.Lock()
	delete(t.known, typingKey{chat, user})
	t.mu.Unlock()
}

// Run lets typing expire until ctx ends.
func (t *Typing) Run(ctx context.Context) error {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			t.expire()
		case <-ctx.Done():
			return nil
		}
	}
}

func (t *Typing) expire() {
	now := t.o.Clock()
	var over []Typist
	t.mu.Lock()
	for key, who := range t.known {
		if now.Sub(who.last) >= typingExpiry {
			over = append(over, Typist{Chat: key.chat, Person: who.who})
			delete(t.known, key)
		}
	}
	t.mu.Unlock()
	for _, who := range over {
		t.o.Tell(who)
	}
}

// MayType is [TypingOptions.Allowed] by the rules of chats: nobody is told in large
// groups, by people who may not write there, and across a block.
func (s *Service) MayType(ctx context.Context, user, chat int64) (p Person, tell bool, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		v, err := s.view(ctx, tx, user, chat)
		if err != nil {
			return err
		}
		if p, err = s.self(ctx, tx, user); err != nil {
			return err
		}
		switch v.Chat.Kind {
		case Direct:
			tell, err = tx.Writable(ctx, user, v.Chat.Companion(user))
		case Group:
			tell = v.Chat.MemberCount <= s.o.LargeGroup && v.Permissions().Post
		}
		return err
	})
	return p, tell, err
}
