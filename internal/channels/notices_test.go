package channels_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/channels"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/storetest"
)

// TestNoticeOfAChatForgetsADeletedMessage reads one's own past after the newest message of
// a chat, which the notice of the chat showed, has been deleted for all.
func TestNoticeOfAChatForgetsADeletedMessage(t *testing.T) {
	var s *stage
	s = start(t, storetest.Options(t, store.SQLite), "one", func(o *channels.Options) {
		plain := o.Render
		o.Render = func(e event.Event) ([]byte, error) {
			if _, user := event.StreamOf(e.Stream); user != 0 {
				v, err := s.chats.Chat(t.Context(), user, 1)
				if err != nil || v.LastMessage == nil {
					return plain(e)
				}
				last := map[string]any{"id": v.LastMessage.ID, "text": v.LastMessage.Text}
				return json.Marshal(map[string]any{"event": "chat_added", "data": map[string]any{"chat": map[string]any{"last_message": last}}})
			}
			return plain(e)
		}
	})
	people := s.people(2)
	v, _, err := s.chats.OpenDirect(t.Context(), people[0], people[1])
	if err != nil || v.Chat.ID != 1 {
		t.Fatal(v.Chat.ID, err)
	}
	c := s.connect(people[1], "")
	own := fmt.Sprintf(`{"id":2,"history":{"channel":"user:%d","limit":-1}}`, people[1])
	c.call(own)
	m := s.say(people[0], 1, "to be deleted")
	s.announced()
	if got := c.call(own); !strings.Contains(got, m.Text) {
		t.Fatalf("the notice does not show the message: %s", got)
	}
	if err := s.chats.Delete(t.Context(), people[0], []int64{m.ID}, true); err != nil {
		t.Fatal(err)
	}
	s.announced()
	if got := c.call(own); strings.Contains(got, m.Text) {
		t.Errorf("a deleted message is still shown: %s", got)
	}
}

// TestPresenceOfAHundredPeople subscribes one connection to more people than it may.
func TestPresenceOfAHundredPeople(t *testing.T) {
	s := start(t, storetest.Options(t, store.SQLite), "one", nil)
	people := s.people(103)
	for _, p := range people[1:] {
		v, _, err := s.chats.OpenDirect(t.Context(), people[0], p)
		if err != nil {
			t.Fatal(err)
		}
		s.say(people[0], v.Chat.ID, "hello")
	}
	s.announced()
	c := s.connect(people[0], "")
	for i, p := range people[1:] {
		_, refusal := c.subscribe(fmt.Sprintf("presence:%d", p), "")
		if refused := refusal != nil; refused != (i >= 100) || refused && refusal.Code != 106 {
			t.Fatalf("subscription %d: %v", i+1, refusal)
		}
	}
	c.call(fmt.Sprintf(`{"id":4,"unsubscribe":{"channel":"presence:%d"}}`, people[1]))
	if _, refusal := c.subscribe(fmt.Sprintf("presence:%d", people[102]), ""); refusal != nil {
		t.Errorf("there is room again, but: %v", refusal)
	}
	if _, refusal := c.subscribe(fmt.Sprintf("user:%d", people[0]), ""); refusal != nil {
		t.Errorf("only presence is limited, but: %v", refusal)
	}
}
