package channels_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/channels"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/storetest"
	"github.com/kuranty/kuranty/protocol"
)

// after is what the messages are called that are stored after a removal.
const after = "AFTER THE REMOVAL"

// TestS16_RemovedMembersGetNothing removes members at random moments of connecting,
// subscribing, recovering and reading history, on the node that announces first and on
// another. What is stored after the removal is never seen (chat-api.md D-7).
func TestS16_RemovedMembersGetNothing(t *testing.T) {
	for driver, rounds := range map[string]int{store.SQLite: 200, store.Postgres: 50} {
		t.Run(driver, func(t *testing.T) {
			db := storetest.Options(t, driver)
			nodes := []*stage{start(t, db, "one", nil)}
			if driver == store.Postgres {
				nodes = append(nodes, start(t, db, "two", nil))
			}
			s := nodes[0]
			owner := s.people(1)[0]
			rnd := rand.New(rand.NewPCG(7, 11))
			for round := range rounds {
				member := s.people(1)[0]
				id := s.group(owner, member)
				s.say(owner, id, "before")
				seed := rnd.Uint64()
				var clients sync.WaitGroup
				removed := make(chan struct{})
				for n, node := range nodes {
					for k := range 2 {
						clients.Go(func() { node.prowl(t, member, id, rand.New(rand.NewPCG(seed, uint64(10*n+k))), removed) })
					}
				}
				wait(rnd.IntN(2000))
				if err := s.chats.Remove(t.Context(), owner, id, member, round%2 == 0); err != nil {
					t.Fatal(err)
				}
				s.say(owner, id, after)
				close(removed)
				clients.Wait()
				if t.Failed() {
					t.Fatalf("in round %d", round)
				}
			}
		})
	}
}

// wait passes about n microseconds without sleeping.
func wait(n int) {
	for begin := time.Now(); time.Since(begin) < time.Duration(n)*time.Microsecond; {
	}
}

// prowl gets at a chat in every way until some time after the removal.
func (s *stage) prowl(t *testing.T, user, id int64, rnd *rand.Rand, removed <-chan struct{}) {
	epoch := s.store.Epoch()
	for left := 3; left > 0; {
		select {
		case <-removed:
			left--
		default:
		}
		c := s.dial(user)
		data := ""
		if rnd.IntN(2) == 0 {
			data = `"data":{"v":2}`
		}
		got := c.call(`{"id":1,"connect":{` + data + `}}`)
		channel := fmt.Sprintf([]string{"chat:%d", "user-%d-messages"}[rnd.IntN(2)], id)
		for range 3 {
			wait(rnd.IntN(300))
			switch rnd.IntN(3) {
			case 0:
				got += c.call(fmt.Sprintf(`{"id":2,"subscribe":{"channel":%q%s}}`, channel, from(epoch, uint64(1+rnd.IntN(2)))))
			case 1:
				got += c.call(fmt.Sprintf(`{"id":3,"history":{"channel":%q,"limit":-1}}`, channel))
			case 2:
				got += c.call(fmt.Sprintf(`{"id":4,"unsubscribe":{"channel":%q}}`, channel))
			}
		}
		got += strings.Join(c.take(), "\n")
		c.session.Gone()
		if strings.Contains(got, after) {
			t.Errorf("user %d got what was stored after the removal: %s", user, got)
			return
		}
	}
}

// TestS16_RemovalWhileItIsBeingAnswered removes a member just after the membership was
// read, and waits for all effects before the answer goes on.
func TestS16_RemovalWhileItIsBeingAnswered(t *testing.T) {
	for _, way := range []string{"subscribe", "recover", "history", "connect", "modern", "modern recover"} {
		t.Run(way, func(t *testing.T) {
			s := start(t, storetest.Options(t, store.SQLite), "one", nil)
			people := s.people(2)
			owner, member := people[0], people[1]
			id := s.group(people...)
			s.say(owner, id, "before")
			s.announced()
			var once sync.Once
			s.asked.before = func(user, _ int64) {
				if user == member {
					once.Do(func() {
						if err := s.chats.Remove(t.Context(), owner, id, member, false); err != nil {
							t.Error(err)
						}
						s.say(owner, id, after)
						s.announced()
					})
				}
			}
			var c *client
			var got string
			channel := chatChannel(id)
			position := fmt.Sprintf(`{%q:{"recover":true,"epoch":%q,"offset":1}}`, channel, s.store.Epoch())
			switch way {
			case "subscribe", "recover", "history":
				c = s.connect(member, "")
				got = c.call(map[string]string{
					"subscribe": fmt.Sprintf(`{"id":2,"subscribe":{"channel":%q}}`, channel),
					"recover":   fmt.Sprintf(`{"id":2,"subscribe":{"channel":%q%s}}`, channel, from(s.store.Epoch(), 1)),
					"history":   fmt.Sprintf(`{"id":2,"history":{"channel":%q,"limit":-1}}`, channel),
				}[way])
			default:
				c = s.dial(member)
				got = c.call(map[string]string{
					"connect":        `{"id":1,"connect":{"subs":` + position + `}}`,
					"modern":         `{"id":1,"connect":{"data":{"v":2}}}`,
					"modern recover": `{"id":1,"connect":{"data":{"v":2},"subs":` + position + `}}`,
				}[way])
			}
			s.say(owner, id, after)
			s.announced()
			got += strings.Join(c.take(), "\n")
			if strings.Contains(got, after) {
				t.Errorf("the removed member got %s", got)
			}
			if n := s.node.Subscribers(channel); n != 0 {
				t.Errorf("%d subscribers, the only member has been removed; got %s %s", n, got, c.why())
			}
		})
	}
}

// TestS08_AccountsThatEndWhileTheyConnect suspends somebody between the look at the
// account and the end of connecting.
func TestS08_AccountsThatEndWhileTheyConnect(t *testing.T) {
	s := start(t, storetest.Options(t, store.SQLite), "one", nil)
	user := s.people(1)[0]
	s.asked.before = func(int64, int64) {
		if err := s.accounts.Suspend(t.Context(), identity.Operator("test"), user); err != nil {
			t.Error(err)
		}
		s.announced()
	}
	c := s.dial(user)
	c.call(`{"id":1,"connect":{"data":{"v":2}}}`)
	if c.why() == "" {
		t.Error("the connection of a suspended account is open")
	}
	s.asked.before = nil
	c = s.dial(user)
	c.call(`{"id":1,"connect":{}}`)
	if !strings.HasPrefix(c.why(), "3507") {
		t.Errorf("a suspended account was answered %q, want 3507", c.why())
	}
}

// TestS08_StatusEndsWithTheLastSharedChat watches how somebody comes and goes.
func TestS08_StatusEndsWithTheLastSharedChat(t *testing.T) {
	for _, end := range []string{"remove watcher", "remove watched", "leave", "delete", "block", "hide"} {
		t.Run(end, func(t *testing.T) {
			s := start(t, storetest.Options(t, store.SQLite), "one", nil)
			people := s.people(3)
			owner, watched, watcher := people[0], people[1], people[2]
			id := s.group(people...)
			shown := identity.ProfileChange{Privacy: identity.PrivacyChange{LastSeen: ptr("everyone")}}
			if _, err := s.accounts.UpdateProfile(t.Context(), identity.Caller{User: watched}, shown); err != nil {
				t.Fatal(err)
			}
			s.announced()
			c := s.connect(watcher, "")
			for _, channel := range []string{fmt.Sprintf("presence:%d", watched), fmt.Sprintf("user-%d-status", watched), chatChannel(id)} {
				if _, refusal := c.subscribe(channel, ""); refusal != nil {
					t.Fatalf("subscribe to %s: %v", channel, refusal)
				}
			}
			c.take()
			ctx := t.Context()
			var err error
			switch end {
			case "remove watcher":
				err = s.chats.Remove(ctx, owner, id, watcher, false)
			case "remove watched":
				err = s.chats.Remove(ctx, owner, id, watched, true)
			case "leave":
				err = s.chats.Leave(ctx, watched, id)
			case "delete":
				err = s.chats.DeleteChat(ctx, owner, id, true)
			case "block":
				err = s.chats.Block(ctx, watched, watcher)
			case "hide":
				hidden := identity.ProfileChange{Privacy: identity.PrivacyChange{LastSeen: ptr("nobody")}}
				_, err = s.accounts.UpdateProfile(ctx, identity.Caller{User: watched}, hidden)
			}
			if err != nil {
				t.Fatal(err)
			}
			s.announced()
			s.StatusChanged(watched, false, time.Now().UnixMilli())
			for _, u := range parseUnits(t, strings.Join(c.take(), "\n")) {
				if u.Push.Pub != nil && u.Push.Channel != chatChannel(id) {
					t.Errorf("still told in %s: %s", u.Push.Channel, u.Push.Pub.Data)
				}
			}
			for _, channel := range []string{fmt.Sprintf("presence:%d", watched), fmt.Sprintf("user-%d-status", watched)} {
				if s.node.Subscribers(channel) != 0 {
					t.Errorf("still subscribed to %s", channel)
				}
			}
		})
	}
}

// TestUnknownAndForbiddenChannels compares what is answered with chat-api.md §0.5.
func TestUnknownAndForbiddenChannels(t *testing.T) {
	s := start(t, storetest.Options(t, store.SQLite), "one", nil)
	people := s.people(2)
	id := s.group(people[0])
	c := s.connect(people[1], "")
	want := map[string]*protocol.Error{}
	for _, channel := range []string{
		"user-011-chats", "user-1-other", "user-", "user-x-chats", "chat:abc", "chat:01", "chat:", "user:x", "presence:0", "system:x", "chat.", "chat.01", "chat.x",
	} {
		want[channel] = protocol.ErrUnknownChannel
	}
	for _, channel := range []string{
		chatChannel(id), chatChannel(id + 1000), fmt.Sprintf("chat.%d", id), fmt.Sprintf("user-%d-messages", id), fmt.Sprintf("user:%d", people[0]),
		fmt.Sprintf("user-%d-chats", people[0]), fmt.Sprintf("user-%d-status", people[0]), fmt.Sprintf("presence:%d", people[0]), "presence:987654",
	} {
		want[channel] = protocol.ErrPermissionDenied
	}
	for channel, refusal := range want {
		_, got := c.subscribe(channel, "")
		if got == nil || got.Code != refusal.Code {
			t.Errorf("subscribe to %s: %v, want %v", channel, got, refusal)
		}
		if refusal == protocol.ErrUnknownChannel && strings.Contains(channel, ":") {
			if _, got := c.history(channel, ""); got == nil || got.Code != refusal.Code {
				t.Errorf("history of %s: %v, want %v", channel, got, refusal)
			}
		}
	}
}

// TestModernClientsBeyondTheirChats has more chats than the server subscribes to.
func TestModernClientsBeyondTheirChats(t *testing.T) {
	s := start(t, storetest.Options(t, store.SQLite), "one", func(o *channels.Options) { o.AutoSubscribe = 2 })
	people := s.people(2)
	me, other := people[0], people[1]
	var ids []int64
	for range 4 {
		id := s.group(other, me)
		s.say(other, id, "first")
		ids = append(ids, id)
	}
	s.announced()
	c := s.connect(me, `"data":{"v":2}`)
	for i, id := range ids { // the latest active are the last
		if got, want := s.node.Subscribers(chatChannel(id)), i/2; got != want {
			t.Errorf("chat %d of 4 has %d subscribers, want %d", i+1, got, want)
		}
	}
	if s.node.Subscribers(fmt.Sprintf("user:%d", me)) != 1 || s.node.Subscribers("system:notifications") != 1 {
		t.Error("not subscribed to its own channel and the system's")
	}
	m := s.say(other, ids[0], "psst")
	s.announced()
	var text string
	until(t, "the short notice", func() bool {
		text += strings.Join(c.take(), "\n")
		return strings.Contains(text, `"event":"message"`)
	})
	for _, part := range []string{fmt.Sprintf(`"chat_id":%d`, ids[0]), fmt.Sprintf(`"seq":%d`, m.Seq), `"excerpt":"psst"`, `"unread_count":2`, `"mentioned":false`} {
		if !strings.Contains(text, part) {
			t.Errorf("the notice has no %s: %s", part, text)
		}
	}
	fresh := s.group(other, me)
	s.announced()
	if s.node.Subscribers(chatChannel(fresh)) != 1 {
		t.Error("not subscribed to a chat it was added to")
	}
	if err := s.chats.Remove(t.Context(), other, fresh, me, false); err != nil {
		t.Fatal(err)
	}
	s.announced()
	if s.node.Subscribers(chatChannel(fresh)) != 0 {
		t.Error("still subscribed to a chat it was removed from")
	}
	if c.why() != "" {
		t.Errorf("closed: %s", c.why())
	}
}
