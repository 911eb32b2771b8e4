package store_test

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/chat"
)

func TestReactions(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		ctx := t.Context()
		p := c.people(3)
		g := c.group(p...)
		c.settings(g, `{"who_can_post":"admins"}`)
		m := c.send(p[0], g, "text")
		react := func(user int64, emoji string, add bool, want ...chat.Reaction) {
			t.Helper()
			c.clock.Advance(time.Second)
			got, err := c.React(ctx, user, m.ID, emoji, add)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("user %d, %s, %v = %+v, %v; want %+v", user, emoji, add, got, err, want)
			}
		}
		react(p[1], "👍", true, chat.Reaction{Emoji: "👍", Count: 1, Users: []int64{p[1]}})
		react(p[0], "🎉", true, chat.Reaction{Emoji: "👍", Count: 1, Users: []int64{p[1]}}, chat.Reaction{Emoji: "🎉", Count: 1, Users: []int64{p[0]}})
		both := []chat.Reaction{{Emoji: "👍", Count: 2, Users: []int64{p[1], p[0]}}, {Emoji: "🎉", Count: 1, Users: []int64{p[0]}}}
		react(p[0], "👍", true, both...)
		events := len(c.events(event.ChatStream(g), 0))
		react(p[0], "👍", true, both...)
		react(p[2], "👍", false, both...)
		if n := len(c.events(event.ChatStream(g), 0)); n != events {
			t.Errorf("reactions that change nothing made %d events", n-events)
		}
		page, _ := c.Messages(ctx, p[2], g, newest)
		if !reflect.DeepEqual(page.Messages[0].Reactions, both) {
			t.Errorf("reactions in a page = %+v", page.Messages[0].Reactions)
		}
		who, err := c.ReactionsOf(ctx, p[2], m.ID, "👍")
		if err != nil || len(who) != 2 || who[0].Person.ID != p[1] || who[0].Person.Name != "user" || who[1].Person.ID != p[0] {
			t.Errorf("who reacted = %+v, %v", who, err)
		}
		react(p[1], "👍", false, chat.Reaction{Emoji: "🎉", Count: 1, Users: []int64{p[0]}}, chat.Reaction{Emoji: "👍", Count: 1, Users: []int64{p[0]}})
		for _, bad := range []string{"", "a", "👍👍", ":smile:", "1"} {
			if _, err := c.React(ctx, p[0], m.ID, bad, true); !isField(err, "emoji") {
				t.Errorf("reaction %q: %v, want a FieldError", bad, err)
			}
		}
		if err := c.Delete(ctx, p[0], []int64{m.ID}, true); err != nil {
			t.Fatal(err)
		}
		if _, err := c.React(ctx, p[0], m.ID, "👍", true); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("reaction to a deleted message: %v, want ErrNotFound", err)
		}
	})
}

func TestReactionLimits(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		ctx := t.Context()
		p := c.people(8)
		m := c.send(p[0], c.group(p...), "text")
		emoji := []rune("😀😁😂😃😄😅😆😇😈😉😊😋😌😍😎😏😐😑😒😓😔😕")
		for i := range 20 {
			if _, err := c.React(ctx, p[i/3], m.ID, string(emoji[i]), true); err != nil {
				t.Fatalf("reaction %d: %v", i, err)
			}
		}
		if _, err := c.React(ctx, p[0], m.ID, string(emoji[19]), true); !isLimit(err, 3) {
			t.Errorf("fourth reaction of one person: %v", err)
		}
		if _, err := c.React(ctx, p[7], m.ID, string(emoji[20]), true); !isLimit(err, 20) {
			t.Errorf("21st different reaction: %v", err)
		}
		if _, err := c.React(ctx, p[7], m.ID, string(emoji[0]), true); err != nil {
			t.Errorf("reaction others have chosen: %v", err)
		}
	})
}

func TestReactionToWhoBlocksMe(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		p := c.people(2)
		m := c.send(p[0], c.direct(p[0], p[1]), "text")
		if _, err := c.React(t.Context(), p[1], m.ID, "👍", true); err != nil {
			t.Fatal(err)
		}
		c.store.MustExec(t, `INSERT INTO blocks (user_id, blocked_id, created_at) VALUES ($1, $2, 0)`, p[0], p[1])
		if _, err := c.React(t.Context(), p[1], m.ID, "🎉", true); !errors.Is(err, chat.ErrCannotMessage) {
			t.Errorf("reaction: %v, want ErrCannotMessage", err)
		}
		if left, err := c.React(t.Context(), p[1], m.ID, "👍", false); err != nil || len(left) != 0 {
			t.Errorf("taking a reaction back = %v, %v", left, err)
		}
	})
}

func TestPins(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		ctx := t.Context()
		p := c.people(2)
		g := c.group(p...)
		var sent []chat.Message
		for range 51 {
			sent = append(sent, c.send(p[1], g, "text"))
		}
		if err := c.Pin(ctx, p[1], sent[0].ID, true); !errors.Is(err, chat.ErrForbidden) {
			t.Errorf("pin by a plain member: %v, want ErrForbidden", err)
		}
		for _, m := range sent[:50] {
			c.clock.Advance(time.Second)
			for range 2 {
				if err := c.Pin(ctx, p[0], m.ID, true); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := c.Pin(ctx, p[0], sent[50].ID, true); !isLimit(err, 50) {
			t.Errorf("51st pin: %v", err)
		}
		c.settings(g, `{"who_can_edit":"all"}`)
		if err := c.Pin(ctx, p[1], sent[3].ID, false); err != nil {
			t.Errorf("pin taken away by a member who may: %v", err)
		}
		if err := c.Delete(ctx, p[1], []int64{sent[4].ID}, true); err != nil {
			t.Fatal(err)
		}
		page, err := c.Pins(ctx, p[1], g)
		want := slices.Concat(sent[:3], sent[5:50])
		slices.Reverse(want)
		if err != nil || len(page.Messages) != len(want) {
			t.Fatalf("%d pins, %v; want %d", len(page.Messages), err, len(want))
		}
		for i, m := range page.Messages {
			if m.ID != want[i].ID || m.PinnedAt == 0 {
				t.Errorf("pin %d is message %d, want %d", i, m.ID, want[i].ID)
			}
		}
		pinned := 0
		for _, e := range c.events(event.ChatStream(g), 0) {
			if e.Type == event.MessagePinned {
				pinned++
			}
		}
		if pinned != 51 {
			t.Errorf("%d events of pinning, want 51", pinned)
		}
	})
}
