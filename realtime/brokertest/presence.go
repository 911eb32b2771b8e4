package brokertest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
)

// TestPresence runs the whole contract of a presence store but for time; open returns
// a new, empty one.
func TestPresence(t *testing.T, open func(t *testing.T) realtime.PresenceStore) {
	t.Run("Entries", func(t *testing.T) {
		p := present{open(t), t}
		p.is("room", 0, 0)
		p.add("room", "c1", "ann")
		p.add("room", "c2", "ann")
		p.add("room", "c3", "")
		p.add("hall", "c1", "ann")
		p.is("room", 3, 2)
		p.is("hall", 1, 1)
		p.add("room", "c1", "ann") // once more refreshes
		p.is("room", 3, 2)
		p.remove("room", "c1")
		p.remove("room", "c1")
		p.remove("room", "nobody")
		p.remove("nowhere", "c1")
		p.is("room", 2, 2)
		p.is("hall", 1, 1)
		p.remove("room", "c2")
		p.remove("room", "c3")
		p.is("room", 0, 0)
	})
	t.Run("Content", func(t *testing.T) {
		p := present{open(t), t}
		info := &protocol.ClientInfo{User: "ann", Client: "c1", ConnInfo: protocol.Raw(`{"a":1}`), ChanInfo: protocol.Raw("\x00\xff")}
		for range 2 {
			if err := p.Add(t.Context(), "room", info); err != nil {
				t.Fatal(err)
			}
			got := p.entries("room")
			equal(t, "entry", *got["c1"], *info)
			delete(got, "c1") // the map is ours
			info = &protocol.ClientInfo{User: "bob", Client: "c1"}
		}
		equal(t, "entry after an update", p.entries("room")["c1"].User, "bob")
	})
	t.Run("Concurrent", func(t *testing.T) {
		p := present{open(t), t}
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for i := range 50 {
					client := fmt.Sprintf("c%d-%d", w, i)
					p.add("room", client, fmt.Sprint(w))
					p.entries("room")
					if i%2 == 1 {
						p.remove("room", client)
					}
				}
			})
		}
		wg.Wait()
		p.is("room", 200, 8)
	})
}

// TestPresenceExpiry checks that an entry nobody refreshes is gone 60 s after it was
// added, which it sleeps for (guarantees.md R19).
func TestPresenceExpiry(t *testing.T, open func(t *testing.T) realtime.PresenceStore) {
	p := present{open(t), t}
	p.add("room", "c1", "ann")
	p.add("room", "c2", "bob")
	p.add("hall", "c1", "ann")
	time.Sleep(27 * time.Second)
	p.is("room", 2, 2)
	p.add("room", "c2", "bob")
	time.Sleep(33 * time.Second)
	p.is("room", 1, 1)
	p.is("hall", 0, 0)
	time.Sleep(27 * time.Second)
	p.is("room", 0, 0)
}

type present struct {
	realtime.PresenceStore
	t *testing.T
}

func (p present) add(channel, client, user string) {
	p.t.Helper()
	if err := p.Add(p.t.Context(), channel, &protocol.ClientInfo{Client: client, User: user}); err != nil {
		p.t.Errorf("add %s to %s: %v", client, channel, err)
	}
}

func (p present) remove(channel, client string) {
	p.t.Helper()
	if err := p.Remove(p.t.Context(), channel, client); err != nil {
		p.t.Errorf("remove %s from %s: %v", client, channel, err)
	}
}

func (p present) entries(channel string) map[string]*protocol.ClientInfo {
	p.t.Helper()
	got, err := p.Presence(p.t.Context(), channel)
	if err != nil {
		p.t.Errorf("presence of %s: %v", channel, err)
	}
	return got
}

// is checks the numbers of connections and users, by both ways to ask.
func (p present) is(channel string, clients, users int) {
	p.t.Helper()
	gotClients, gotUsers, err := p.Stats(p.t.Context(), channel)
	if err != nil {
		p.t.Fatalf("stats of %s: %v", channel, err)
	}
	equal(p.t, "clients and users of "+channel, [2]int{gotClients, gotUsers}, [2]int{clients, users})
	got := p.entries(channel)
	equal(p.t, "entries of "+channel, len(got), clients)
	for client, info := range got {
		equal(p.t, "client of an entry", info.Client, client)
	}
}
