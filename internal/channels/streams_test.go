package channels_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/storetest"
)

func chatChannel(id int64) string { return fmt.Sprintf("chat:%d", id) }

// texts are offsets with data, as text.
func texts(pubs []pub) (list []string) {
	for _, p := range pubs {
		list = append(list, fmt.Sprintf("%d %s", p.Offset, p.Data))
	}
	return list
}

func onBoth(t *testing.T, test func(t *testing.T, db store.Options)) {
	for _, driver := range []string{store.SQLite, store.Postgres} {
		t.Run(driver, func(t *testing.T) { test(t, storetest.Options(t, driver)) })
	}
}

// TestR12_RecoveryFromMemoryAndFromTheDatabaseAreTheSame recovers from every offset, on
// the node that announced, on it with nothing in memory, on a second node, and after a
// restart.
func TestR12_RecoveryFromMemoryAndFromTheDatabaseAreTheSame(t *testing.T) {
	onBoth(t, func(t *testing.T, db store.Options) {
		s := start(t, db, "one", nil)
		people := s.people(2)
		id := s.group(people...)
		c := s.connect(people[0], "")
		first, refusal := c.subscribe(chatChannel(id), "")
		if refusal != nil {
			t.Fatal(refusal)
		}
		var last chat.Message
		for i := range 30 {
			last = s.say(people[i%2], id, fmt.Sprintf("message %d", i))
		}
		s.announced()
		recovered := func(s *stage, offset uint64) result {
			c := s.connect(people[1], "")
			defer c.session.Gone()
			r, refusal := c.subscribe(chatChannel(id), from(first.Epoch, offset))
			if refusal != nil || !r.Recovered {
				t.Fatalf("recover from %d: %+v %v", offset, r, refusal)
			}
			return r
		}
		top := uint64(last.EventSeq)
		want := map[uint64][]string{}
		for offset := range top + 1 {
			r := recovered(s, offset)
			want[offset] = texts(r.Publications)
			if len(r.Publications) != int(top-offset) {
				t.Fatalf("%d publications after %d of %d", len(r.Publications), offset, top)
			}
		}
		same := func(what string, s *stage, forget bool) {
			for offset := range top + 1 {
				if forget {
					s.GiveUp()
				}
				if diff := cmp.Diff(want[offset], texts(recovered(s, offset).Publications)); diff != "" {
					t.Fatalf("%s, after %d: %s", what, offset, diff)
				}
			}
		}
		same("with nothing in memory", s, true)
		if db.Driver == store.Postgres {
			other := start(t, db, "two", nil)
			same("on another node", other, false)
			s.say(people[0], id, "to both")
			s.announced()
			other.announced()
			top++
			want = map[uint64][]string{top: nil}
			for offset := range top {
				want[offset] = texts(recovered(s, offset).Publications)
			}
			same("on another node", other, false)
			other.stop()
		}
		s.stop()
		same("after a restart", start(t, db, "one", nil), false)
	})
}

// TestHistoryIsBounded asks for the past of channels with more than they keep.
func TestHistoryIsBounded(t *testing.T) {
	s := start(t, storetest.Options(t, store.SQLite), "one", nil)
	people := s.people(2)
	id := s.group(people...)
	for i := range 120 {
		s.say(people[0], id, fmt.Sprint(i))
	}
	s.announced()
	c := s.connect(people[1], "")
	for _, want := range []struct {
		channel string
		n       int
		top     uint64
	}{{chatChannel(id), 100, 0}, {fmt.Sprintf("user-%d-messages", id), 50, 0}} {
		for range 2 { // from the database, then from memory
			got, refusal := c.history(want.channel, "")
			if refusal != nil || len(got.Publications) != want.n || got.Publications[want.n-1].Offset != got.Offset {
				t.Errorf("history of %s: %d up to %d, %v, want %d", want.channel, len(got.Publications), got.Offset, refusal, want.n)
			}
		}
		first, _ := c.history(want.channel, "")
		oldest := first.Publications[0].Offset
		for before, recovers := range map[uint64]bool{oldest - 1: true, oldest - 2: false} {
			r, refusal := c.subscribe(want.channel, from(first.Epoch, before))
			if refusal != nil || r.Recovered != recovers || !recovers && len(r.Publications) > 0 {
				t.Errorf("%s from %d, oldest is %d: recovered %v with %d, want %v", want.channel, before, oldest, r.Recovered, len(r.Publications), recovers)
			}
			c.call(fmt.Sprintf(`{"id":4,"unsubscribe":{"channel":%q}}`, want.channel))
		}
	}
}

// TestMessagesAreNumberedByThemselves compares user-{chat}-messages with the messages.
func TestMessagesAreNumberedByThemselves(t *testing.T) {
	s := start(t, storetest.Options(t, store.SQLite), "one", nil)
	people := s.people(2)
	id := s.group(people...)
	c := s.connect(people[1], "")
	channel := fmt.Sprintf("user-%d-messages", id)
	s.announced()
	begin, refusal := c.subscribe(channel, "")
	if refusal != nil {
		t.Fatal(refusal)
	}
	first := s.say(people[0], id, "one")
	if _, err := s.chats.React(t.Context(), people[1], first.ID, "👍", true); err != nil {
		t.Fatal(err)
	}
	second := s.say(people[0], id, "two")
	s.announced()
	if begin.Offset+1 != uint64(first.Seq) || second.Seq != first.Seq+1 {
		t.Errorf("began at %d, messages %d and %d", begin.Offset, first.Seq, second.Seq)
	}
	var offsets []uint64
	for _, u := range parseUnits(t, strings.Join(c.take(), "\n")) {
		if u.Push.Pub != nil {
			offsets = append(offsets, u.Push.Pub.Offset)
		}
	}
	if diff := cmp.Diff([]uint64{uint64(first.Seq), uint64(second.Seq)}, offsets); diff != "" {
		t.Errorf("live offsets: %s", diff)
	}
	other := s.connect(people[0], "")
	got, refusal := other.subscribe(channel, from(begin.Epoch, begin.Offset))
	if refusal != nil || !got.Recovered || len(got.Publications) != 2 {
		t.Errorf("recovered %+v %v", got, refusal)
	}
}

// TestDeletedMessagesAreNotRecovered deletes a message that is in memory as a
// publication, as a notice and as a quote.
func TestDeletedMessagesAreNotRecovered(t *testing.T) {
	s := start(t, storetest.Options(t, store.SQLite), "one", nil)
	people := s.people(2)
	id := s.group(people...)
	s.announced()
	c := s.connect(people[1], "")
	channels := []string{chatChannel(id), fmt.Sprintf("user:%d", people[1]), fmt.Sprintf("user-%d-messages", id)}
	for _, channel := range channels {
		if _, refusal := c.subscribe(channel, ""); refusal != nil {
			t.Fatal(refusal)
		}
	}
	const secret = "тайна-7391"
	m, _, err := s.chats.Send(t.Context(), people[0], id, chat.Sending{Text: secret, Mentions: people[1:]})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.chats.Send(t.Context(), people[1], id, chat.Sending{Text: "answer", ReplyTo: m.ID}); err != nil {
		t.Fatal(err)
	}
	s.announced()
	seen := func() (found []string) {
		for _, channel := range channels {
			got, refusal := c.history(channel, "")
			if refusal != nil {
				t.Fatal(refusal)
			}
			if strings.Contains(strings.Join(texts(got.Publications), "\n"), secret) {
				found = append(found, channel)
			}
		}
		return found
	}
	if diff := cmp.Diff(channels, seen()); diff != "" {
		t.Fatalf("where the message is seen: %s", diff)
	}
	if err := s.chats.Delete(t.Context(), people[0], []int64{m.ID}, true); err != nil {
		t.Fatal(err)
	}
	s.announced()
	if found := seen(); found != nil {
		t.Errorf("the deleted message is still in %v", found)
	}
}

// TestR14_AnotherEpochIsNotRecovered offers an epoch that is not the database's.
func TestR14_AnotherEpochIsNotRecovered(t *testing.T) {
	s := start(t, storetest.Options(t, store.SQLite), "one", nil)
	people := s.people(1)
	id := s.group(people...)
	s.say(people[0], id, "one")
	s.announced()
	c := s.connect(people[0], "")
	got, refusal := c.subscribe(chatChannel(id), from("other", 1))
	if refusal != nil || got.Recovered || len(got.Publications) > 0 || got.Epoch != s.store.Epoch() {
		t.Errorf("got %+v %v", got, refusal)
	}
}

// TestR12_AClientAheadOfTheNodeWaits has seen on one node what the other is told of later.
func TestR12_AClientAheadOfTheNodeWaits(t *testing.T) {
	s := start(t, storetest.Options(t, store.SQLite), "one", nil)
	people := s.people(1)
	id := s.group(people...)
	m := s.say(people[0], id, "one")
	s.announced()
	c := s.connect(people[0], "")
	answered := make(chan result)
	go func() {
		got, _ := c.subscribe(chatChannel(id), from(s.store.Epoch(), uint64(m.EventSeq)+1))
		answered <- got
	}()
	s.say(people[0], id, "two")
	if got := <-answered; !got.Recovered || len(got.Publications) != 0 {
		t.Errorf("got %+v", got)
	}
	// What nobody will ever tell is not waited for long.
	late := s.connect(people[0], "")
	if got, refusal := late.subscribe(chatChannel(id), from(s.store.Epoch(), 1000)); refusal != nil || got.Recovered {
		t.Errorf("got %+v %v", got, refusal)
	}
}

// TestWhatNobodyWatchesIsNotRendered counts the work for chats without subscribers.
func TestWhatNobodyWatchesIsNotRendered(t *testing.T) {
	s := start(t, storetest.Options(t, store.SQLite), "one", nil)
	people := s.people(2)
	id := s.group(people...)
	for range 20 {
		s.say(people[0], id, "unheard")
	}
	s.announced()
	if n := s.rendered.Load(); n != 0 || s.Windows() != 0 {
		t.Errorf("%d events were rendered and %d windows kept for nobody", n, s.Windows())
	}
	c := s.connect(people[1], "")
	if _, refusal := c.subscribe(chatChannel(id), ""); refusal != nil {
		t.Fatal(refusal)
	}
	before := s.rendered.Load()
	s.say(people[0], id, "heard")
	s.announced()
	if n := s.rendered.Load() - before; n != 1 {
		t.Errorf("a message was rendered %d times, want once", n)
	}
}
