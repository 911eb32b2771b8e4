package chequite_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/compat/chequite"
)

// lists is a running contract in a bubble of time, where users 1 and 9 are subscribed to
// their lists, and user 3 is not any more.
type lists struct {
	*chequite.Contract
	stage *stage
	pub   *published
}

func inBubble(t *testing.T, o chequite.Options, f func(t *testing.T, l *lists)) {
	synctest.Test(t, func(t *testing.T) {
		s, p := scene(t)
		s.members = map[int64][]int64{137: {1, 9}, 138: {1, 3}, 150: {1}}
		l := &lists{stage: s, pub: new(published)}
		o.Presence, o.Publisher = p, l.pub
		l.Contract = onStage(t, s, o)
		for _, user := range []int64{1, 3, 9} {
			l.Interested(user)
		}
		l.pub.subscribe(chequite.ListChannel(1), 2)
		l.pub.subscribe(chequite.ListChannel(9), 1)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- l.Run(ctx) }()
		f(t, l)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// happen announces an event of a chat.
func (l *lists) happen(t *testing.T, typ, stream string, payload any) {
	t.Helper()
	e, err := event.New(typ, time.Now(), payload)
	if err != nil {
		t.Fatal(err)
	}
	e.Stream = stream
	l.Announced(e)
}

// expect waits and then compares who got how many publications.
func (l *lists) expect(t *testing.T, wait time.Duration, want map[int64]int) []publication {
	t.Helper()
	time.Sleep(wait)
	synctest.Wait()
	all := l.pub.take()
	got := make(map[string]int)
	for _, p := range all {
		got[p.channel]++
	}
	wanted := make(map[string]int)
	for user, n := range want {
		wanted[chequite.ListChannel(user)] = n
	}
	if fmt.Sprint(got) != fmt.Sprint(wanted) {
		t.Errorf("published %v, want %v", got, wanted)
	}
	return all
}

func TestListsAreCoalesced(t *testing.T) {
	inBubble(t, chequite.Options{}, func(t *testing.T, l *lists) {
		for range 50 {
			l.happen(t, event.MessageCreated, event.ChatStream(137), chat.MessagePayload{})
			time.Sleep(3 * time.Millisecond)
		}
		l.expect(t, 0, nil) // the trailing edge is yet to come
		all := l.expect(t, 100*time.Millisecond, map[int64]int{1: 1, 9: 1})
		for _, p := range all {
			var list []map[string]any
			if err := json.Unmarshal(unwrap(t, []byte(p.data)), &list); err != nil || len(list) != 3 {
				t.Errorf("list %s: %v", p.data, err)
			}
		}
		l.expect(t, time.Second, nil)
	})
}

func TestListsAreAtMostEvery200Milliseconds(t *testing.T) {
	inBubble(t, chequite.Options{}, func(t *testing.T, l *lists) {
		for range 1000 {
			l.ChatState(1, 137)
			time.Sleep(5 * time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		all := l.pub.take()
		if n := len(all); n < 20 || n > 25 {
			t.Errorf("%d publications in 5 s", n)
		}
		for i := range len(all) - 1 {
			if gap := all[i+1].at.Sub(all[i].at); gap < 200*time.Millisecond {
				t.Errorf("publications %v apart", gap)
			}
		}
	})
}

func TestWhatChangesLists(t *testing.T) {
	const flush = 300 * time.Millisecond
	notice := func(name string) chat.Notice {
		return chat.Notice{Event: name, Data: json.RawMessage(`{"chat_id":138}`)}
	}
	account := func(user int64, changes ...string) any {
		return map[string]any{"user_id": user, "changes": changes}
	}
	for _, c := range []struct {
		name string
		do   func(t *testing.T, l *lists)
		want map[int64]int
	}{
		{"edit", func(t *testing.T, l *lists) {
			l.happen(t, event.MessageUpdated, event.ChatStream(137), chat.MessagePayload{})
		}, map[int64]int{1: 1, 9: 1}},
		{"deletion in the chat of somebody without interest", func(t *testing.T, l *lists) {
			l.happen(t, event.MessageDeleted, event.ChatStream(138), chat.MessagePayload{})
		}, map[int64]int{1: 1}},
		{"title", func(t *testing.T, l *lists) {
			l.happen(t, event.RoomUpdated, event.ChatStream(150), chat.RoomPayload{})
		}, map[int64]int{1: 1}},
		{"reaction", func(t *testing.T, l *lists) {
			l.happen(t, event.MessageReaction, event.ChatStream(137), chat.MessagePayload{})
		}, nil},
		{"new direct chat, of which the other is not told", func(t *testing.T, l *lists) {
			l.happen(t, event.RoomCreated, event.ChatStream(137), chat.RoomPayload{})
			l.happen(t, event.UserNotice, event.UserStream(1), notice("chat_added"))
		}, map[int64]int{1: 1}},
		{"removal", func(t *testing.T, l *lists) {
			l.happen(t, event.UserNotice, event.UserStream(9), notice("chat_removed"))
		}, map[int64]int{9: 1}},
		{"mention", func(t *testing.T, l *lists) {
			l.happen(t, event.UserNotice, event.UserStream(9), notice("mention"))
		}, nil},
		{"read by one", func(_ *testing.T, l *lists) { l.Read(137, 9, 3, 8119, 2) }, map[int64]int{1: 1, 9: 1}},
		{"read by one of many", func(_ *testing.T, l *lists) { l.Read(137, 9, 3, 8119, 101) }, map[int64]int{9: 1}},
		{"delivered", func(_ *testing.T, l *lists) { l.Delivered(137, 9, 3, 2) }, nil},
		{"own list", func(_ *testing.T, l *lists) { l.ListChanged(1) }, map[int64]int{1: 1}},
		{"own list of who is not subscribed", func(_ *testing.T, l *lists) { l.ListChanged(3); l.ListChanged(77) }, nil},
		{"name", func(t *testing.T, l *lists) {
			l.happen(t, event.UserUpdated, event.UserStream(3), account(3, "about", "name"))
		}, map[int64]int{1: 1, 9: 1}},
		{"language", func(t *testing.T, l *lists) {
			l.happen(t, event.UserUpdated, event.UserStream(3), account(3, "lang"))
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, chequite.Options{}, func(t *testing.T, l *lists) {
				c.do(t, l)
				l.expect(t, flush, c.want)
			})
		})
	}
}

func TestInterestEnds(t *testing.T) {
	inBubble(t, chequite.Options{}, func(t *testing.T, l *lists) {
		l.pub.subscribe(chequite.ListChannel(1), 0)
		l.pub.subscribe(chequite.ListChannel(9), 0)
		l.happen(t, event.MessageCreated, event.ChatStream(137), chat.MessagePayload{})
		l.expect(t, time.Second, nil)
		time.Sleep(2*time.Minute + time.Second) // it is forgotten
		l.stage.members = nil                   // nobody asks who the members are
		l.happen(t, event.MessageCreated, event.ChatStream(137), chat.MessagePayload{})
		l.pub.subscribe(chequite.ListChannel(1), 1)
		l.expect(t, time.Second, nil)
		l.Interested(1)
		l.ListChanged(1)
		l.expect(t, time.Second, map[int64]int{1: 1})
	})
}

func TestListsWaitForTheDatabase(t *testing.T) {
	inBubble(t, chequite.Options{}, func(t *testing.T, l *lists) {
		l.stage.mu.Lock()
		l.stage.err = errStage
		l.stage.mu.Unlock()
		l.happen(t, event.MessageCreated, event.ChatStream(137), chat.MessagePayload{})
		l.expect(t, 5*time.Second, nil)
		l.stage.mu.Lock()
		l.stage.err = nil
		if l.stage.asked > 10 {
			t.Errorf("asked %d times in 5 s", l.stage.asked)
		}
		l.stage.mu.Unlock()
		l.expect(t, 3*time.Second, map[int64]int{1: 1, 9: 1})
	})
}

func TestTooManyChangesAreAllChanges(t *testing.T) {
	inBubble(t, chequite.Options{}, func(t *testing.T, l *lists) {
		for id := range int64(20_000) {
			l.Read(1000+id, 77, 1, 1, 2) // chats of nobody
		}
		l.expect(t, time.Second, map[int64]int{1: 1, 9: 1})
	})
}

func TestItems(t *testing.T) {
	inBubble(t, chequite.Options{Items: true}, func(t *testing.T, l *lists) {
		for range 3 {
			l.happen(t, event.MessageCreated, event.ChatStream(137), chat.MessagePayload{})
		}
		l.ListChanged(1)    // says of no chat what has changed
		l.ChatState(1, 999) // has gone
		l.ChatState(1, 160) // is of a kind that is not shown
		all := l.expect(t, time.Second, map[int64]int{1: 1, 9: 1})
		var item struct {
			ID int64 `json:"id"`
		}
		if err := json.Unmarshal(unwrap(t, []byte(all[0].data)), &item); err != nil || item.ID != 137 {
			t.Errorf("item %s: %v", all[0].data, err)
		}
	})
}
