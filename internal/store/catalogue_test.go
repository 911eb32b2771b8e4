package store_test

import (
	"testing"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/chat"
)

// What readers of the log see of whatever people do is as the catalogue describes it.
func TestEventsOfRandomHistoriesAreAsTheCatalogueDescribes(t *testing.T) {
	catalogue, err := event.NewCatalogue()
	if err != nil {
		t.Fatal(err)
	}
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		h := newHistory(t, c, 7)
		for range 200 {
			h.step()
		}
		p := h.folk
		v, _, err := c.CreateGroup(t.Context(), p[0], chat.NewGroup{Title: "Сад", Users: p[1:2]})
		if err != nil {
			t.Fatal(err)
		}
		title := "Огород"
		for _, err := range []error{
			last2(c.AddMembers(t.Context(), p[0], v.Chat.ID, p[2:3])), c.SetRole(t.Context(), p[0], v.Chat.ID, p[1], chat.Admin),
			last(c.UpdateChat(t.Context(), p[0], v.Chat.ID, chat.ChatChange{Title: &title})), c.DeleteChat(t.Context(), p[0], v.Chat.ID, true),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		for given := map[int64]int64{0: 0}; c.dsn != "" && len(given) > 0 && err == nil; {
			given, err = c.store.NumberEvents(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		events, err := c.store.Events(t.Context(), 0, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		seen := make(map[string]int)
		for i := range events {
			e := &events[i]
			k := catalogue.Kind(e.Type)
			if k == nil {
				continue // of one person's own screens
			}
			payload, err := k.Public(e)
			if err == nil {
				err = k.Check(payload)
			}
			if err != nil {
				t.Errorf("%s\nstored %s\nshown %s\n%v", e.Type, e.Payload, payload, err)
			}
			seen[e.Type]++
		}
		for _, typ := range []string{
			event.MessageCreated, event.MessageUpdated, event.MessageDeleted, event.MessageReaction, event.MessagePinned,
			event.RoomCreated, event.RoomUpdated, event.RoomDeleted, event.RoomMemberJoined, event.RoomMemberLeft, event.RoomMemberUpdated,
		} {
			if seen[typ] == 0 {
				t.Errorf("nothing was %s", typ)
			}
		}
	})
}

func last[T any](_ T, err error) error          { return err }
func last2[T, U any](_ T, _ U, err error) error { return err }
