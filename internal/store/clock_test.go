package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/chat"
)

// Slow mode holds nobody up until a clock that was set back has caught up.
func TestR28_SlowModeWithAClockSetBack(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		u := c.people(2)
		id := c.group(u...)
		if _, err := c.UpdateChat(t.Context(), u[0], id, chat.ChatChange{Settings: &chat.SettingsChange{SlowMode: new(30)}}); err != nil {
			t.Fatal(err)
		}
		for _, jump := range []time.Duration{-time.Hour, 24 * time.Hour, -24 * time.Hour} {
			c.send(u[1], id, "before")
			c.clock.Advance(jump + 30*time.Second)
			if _, _, err := c.Send(t.Context(), u[1], id, chat.Sending{Text: "after"}); err != nil {
				t.Errorf("30 s later, the clock set by %v: %v", jump, err)
			}
			c.clock.Advance(25 * time.Hour) // for the next
		}
	})
}

// The clock jumps an hour and a day, forth and back, between messages: none is lost or
// repeated, and their order is that of sending.
func TestR28_ClockJumps(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		p := c.people(2)
		g := c.group(p...)
		jumps := []time.Duration{time.Hour, -time.Hour, 24 * time.Hour, -24 * time.Hour, -24 * time.Hour, -time.Hour, 25 * time.Hour}
		for i, jump := range jumps {
			c.send(p[0], g, fmt.Sprint(i))
			c.clock.Advance(jump)
			in := chat.Sending{Text: "again", ClientID: fmt.Sprint(i)}
			if _, replayed, err := c.Send(t.Context(), p[1], g, in); err != nil || replayed {
				t.Fatalf("after %v: replayed %v, %v", jump, replayed, err)
			}
			c.clock.Advance(-jump)
			if _, replayed, err := c.Send(t.Context(), p[1], g, in); err != nil || !replayed {
				t.Errorf("repeated on the other side of %v: replayed %v, %v", jump, replayed, err)
			}
			c.clock.Advance(jump)
		}
		page, err := c.Messages(t.Context(), p[1], g, newest)
		if err != nil || len(page.Messages) != 2*len(jumps) {
			t.Fatalf("%d messages, %v; want %d", len(page.Messages), err, 2*len(jumps))
		}
		for i, m := range page.Messages {
			if i > 0 && m.CreatedAt < page.Messages[i-1].CreatedAt {
				t.Errorf("message %d is older than the one before it", i+1)
			}
			if want := fmt.Sprint(i / 2); m.Seq != int64(i+1) || i%2 == 0 && m.Text != want {
				t.Errorf("message %d is number %d: %q", i+1, m.Seq, m.Text)
			}
		}
	})
}
