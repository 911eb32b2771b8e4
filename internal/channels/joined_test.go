package channels_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/storetest"
)

// TestS16_WhoComesBackSeesNothingFromBetween removes a member of a group whose history is
// not for new members, and adds the same one again: what was sent in between comes by no
// way, but what comes after does.
func TestS16_WhoComesBackSeesNothingFromBetween(t *testing.T) {
	s := start(t, storetest.Options(t, store.SQLite), "one", nil)
	people := s.people(2)
	owner, member := people[0], people[1]
	id := s.group(people...)
	joined := "joined"
	change := chat.ChatChange{Settings: &chat.SettingsChange{HistoryForNew: &joined}}
	if _, err := s.chats.UpdateChat(t.Context(), owner, id, change); err != nil {
		t.Fatal(err)
	}
	s.say(owner, id, "before")
	s.announced()
	early := s.connect(member, "")
	early.history(chatChannel(id), "") // what is remembered from here on must not be believed later
	if err := s.chats.Remove(t.Context(), owner, id, member, false); err != nil {
		t.Fatal(err)
	}
	hidden := s.say(owner, id, after)
	text := after + " edited"
	if _, err := s.chats.Edit(t.Context(), owner, hidden.ID, chat.Editing{Text: &text}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.chats.AddMembers(t.Context(), owner, id, []int64{member}); err != nil {
		t.Fatal(err)
	}
	back := s.say(owner, id, "welcome back")
	s.announced()
	missed := func(channel string, offset uint64) string {
		return fmt.Sprintf(`"subs":{%q:{"recover":true,"epoch":%q,"offset":%d}}`, channel, s.store.Epoch(), offset)
	}
	for channel, newest := range map[string]uint64{
		chatChannel(id): uint64(back.EventSeq), fmt.Sprintf("user-%d-messages", id): uint64(back.Seq),
	} {
		for range 2 { // from the database, then from memory
			c := s.connect(member, "")
			for _, way := range []struct {
				name, got string
				whole     bool
			}{
				{"history", c.call(fmt.Sprintf(`{"id":2,"history":{"channel":%q,"limit":-1}}`, channel)), true},
				{"history from a position", c.call(fmt.Sprintf(`{"id":2,"history":{"channel":%q,"limit":1,"since":{"offset":1,"epoch":%q}}}`, channel, s.store.Epoch())), false},
				{"recover", c.call(fmt.Sprintf(`{"id":2,"subscribe":{"channel":%q%s}}`, channel, from(s.store.Epoch(), 1))), false},
				{"recover the rest", s.connect(member, "").call(fmt.Sprintf(`{"id":2,"subscribe":{"channel":%q%s}}`, channel, from(s.store.Epoch(), newest-1))), true},
				{"connect", s.dial(member).call(`{"id":1,"connect":{` + missed(channel, 1) + `}}`), false},
				{"modern", s.dial(member).call(`{"id":1,"connect":{"data":{"v":2},` + missed(channel, 1) + `}}`), false},
			} {
				if strings.Contains(way.got, after) || strings.Contains(way.got, `"recovered":true`) != (way.name == "recover the rest") {
					t.Errorf("%s of %s: %s", way.name, channel, way.got)
				}
				if way.whole && !strings.Contains(way.got, back.Text) {
					t.Errorf("%s of %s has nothing new: %s", way.name, channel, way.got)
				}
			}
			s.GiveUp()
		}
	}
	if got := s.connect(owner, "").call(fmt.Sprintf(`{"id":2,"history":{"channel":%q,"limit":-1}}`, chatChannel(id))); !strings.Contains(got, after) {
		t.Errorf("the owner no longer sees what was sent: %s", got)
	}
}
