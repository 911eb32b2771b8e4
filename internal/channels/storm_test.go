package channels_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/channels"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/storetest"
)

// TestR34_AReconnectStormAsksTheDatabaseOncePerClient lets 500 clients come back after a
// restart, and again while the server runs. Nobody is told that they were away.
func TestR34_AReconnectStormAsksTheDatabaseOncePerClient(t *testing.T) {
	const clients = 500
	for _, way := range []string{"modern", "plain"} {
		t.Run(way, func(t *testing.T) {
			db := storetest.Options(t, store.SQLite)
			s := start(t, db, "one", nil)
			people := s.people(clients)
			id := s.group(people...)
			for range 5 {
				s.say(people[0], id, "before")
			}
			s.announced()
			s.stop()

			var changes atomic.Int64
			s = start(t, db, "one", func(o *channels.Options) {
				o.Presence = chat.NewPresence(chat.PresenceOptions{Changed: func(int64, bool, int64) { changes.Add(1) }, Grace: time.Hour})
			})
			storm := func() []*client {
				var open []*client
				for _, user := range people {
					if way == "modern" {
						open = append(open, s.connect(user, `"data":{"v":2},"subs":{"`+chatChannel(id)+`":{"recover":true,"epoch":"`+s.store.Epoch()+`","offset":3}}`))
						continue
					}
					c := s.connect(user, "")
					if got, refusal := c.subscribe(chatChannel(id), from(s.store.Epoch(), 3)); refusal != nil || !got.Recovered {
						t.Fatalf("user %d: %+v %v", user, got, refusal)
					}
					open = append(open, c)
				}
				return open
			}
			first := storm()
			asked := s.asked.places.Load() + s.asked.members.Load()
			if _, counted := s.Lookups(); asked > clients || way == "plain" && counted != uint64(asked) {
				t.Errorf("%d questions for %d clients after a restart, %d counted", asked, clients, counted)
			}
			if n := s.Windows(); n > 1 && way == "plain" {
				t.Errorf("%d windows were read for one chat", n)
			}
			before := changes.Load()
			for _, c := range first {
				c.session.Gone()
			}
			second := storm()
			again := s.asked.places.Load() + s.asked.members.Load() - asked
			if again > clients || way == "plain" && again != 0 {
				t.Errorf("%d questions for %d clients that came back", again, clients)
			}
			if before != clients || changes.Load() != before {
				t.Errorf("%d changes of presence at first, %d after the storm", before, changes.Load())
			}
			s.say(people[0], id, "to all")
			s.announced()
			for _, c := range second {
				until(t, "the message", func() bool { return strings.Contains(strings.Join(c.take(), ""), "to all") })
			}
		})
	}
}
