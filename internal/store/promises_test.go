package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/chat"
)

// TestR04_ClientIDs sends the same message a hundred times at once (chat-api.md D-1).
func TestR04_ClientIDs(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		p := c.people(2)
		g := c.group(p...)
		in := chat.Sending{ClientID: "01J-once", Text: "hello"}
		var first atomic.Int64
		var fresh, id atomic.Int64
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				m, replayed, err := c.Send(context.Background(), p[0], g, in)
				if err != nil || m.Seq != 1 {
					t.Errorf("send = seq %d, %v", m.Seq, err)
				}
				if !id.CompareAndSwap(0, m.ID) && id.Load() != m.ID {
					t.Errorf("message %d, others got %d", m.ID, id.Load())
				}
				if !replayed {
					fresh.Add(1)
					first.Store(m.ID)
				}
			})
		}
		wg.Wait()
		if fresh.Load() != 1 {
			t.Errorf("%d calls stored the message, want 1", fresh.Load())
		}
		ctx := t.Context()
		other := in
		other.Text = "something else"
		var conflict *chat.ConflictError
		if _, _, err := c.Send(ctx, p[0], g, other); !errors.As(err, &conflict) || conflict.Message != id.Load() {
			t.Errorf("other content: %v, want a ConflictError of message %d", err, id.Load())
		}
		// The id belongs to its sender and chat.
		if _, replayed, err := c.Send(ctx, p[1], g, other); replayed || err != nil {
			t.Errorf("another sender: replayed %v, %v", replayed, err)
		}
		if _, replayed, err := c.Send(ctx, p[0], c.group(p...), other); replayed || err != nil {
			t.Errorf("another chat: replayed %v, %v", replayed, err)
		}
		// After a definite error nothing is stored, and the id is still free.
		c.settings(g, `{"who_can_post":"admins"}`)
		late := chat.Sending{ClientID: "late", Text: "later"}
		if _, _, err := c.Send(ctx, p[1], g, late); !errors.Is(err, chat.ErrForbidden) {
			t.Errorf("send without the right to: %v", err)
		}
		// What was acknowledged stays so when the right is gone.
		if _, replayed, err := c.Send(ctx, p[1], g, other); !replayed || err != nil {
			t.Errorf("repetition without the right to send: replayed %v, %v", replayed, err)
		}
		c.settings(g, `{}`)
		if m, replayed, err := c.Send(ctx, p[1], g, late); replayed || err != nil || m.Seq != 3 {
			t.Errorf("send with the right to = seq %d, %v, %v; want 3", m.Seq, replayed, err)
		}
	})
}

// TestR09_GaplessNumbers lets many write to one chat at once, some of it in vain.
func TestR09_GaplessNumbers(t *testing.T) {
	const senders, each = 16, 25
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		p := c.people(senders + 1)
		stranger := p[senders]
		g := c.group(p[:senders]...)
		var acked atomic.Int64 // the highest number acknowledged
		var wg sync.WaitGroup
		for _, user := range p[:senders] {
			wg.Go(func() {
				for i := range each {
					ctx := context.Background()
					before := acked.Load()
					m, _, err := c.Send(ctx, user, g, chat.Sending{Text: "text", ClientID: fmt.Sprint(i)})
					if err != nil {
						t.Error(err)
						return
					}
					if m.Seq <= before {
						t.Errorf("number %d was given after %d had been acknowledged", m.Seq, before)
					}
					for was := acked.Load(); was < m.Seq && !acked.CompareAndSwap(was, m.Seq); was = acked.Load() {
					}
					// None of this may leave a gap.
					_, _, _ = c.Send(ctx, user, g, chat.Sending{Text: "text", ClientID: fmt.Sprint(i)})
					_, _, _ = c.Send(ctx, stranger, g, chat.Sending{Text: "text"})
					_, _, _ = c.Send(ctx, user, g, chat.Sending{Text: "text", ReplyTo: 1 << 40})
					if _, err := c.React(ctx, user, m.ID, "👍", true); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		var count, lowest, highest, events int64
		c.store.MustQuery(t, `SELECT count(*), min(seq), max(seq) FROM messages WHERE chat_id = $1`, []any{g}, &count, &lowest, &highest)
		if count != senders*each || lowest != 1 || highest != count {
			t.Errorf("%d messages are numbered %d to %d, want 1 to %d", count, lowest, highest, senders*each)
		}
		found := c.events(event.ChatStream(g), 0)
		for i, e := range found {
			if e.Seq != int64(i+1) {
				t.Fatalf("event %d has number %d", i+1, e.Seq)
			}
		}
		c.store.MustQuery(t, `SELECT last_event_seq FROM chats WHERE id = $1`, []any{g}, &events)
		if int64(len(found)) != events || events != 2*senders*each {
			t.Errorf("%d events, the newest number is %d, want %d", len(found), events, 2*senders*each)
		}
	})
}

// TestS15_StrangersFindNothing calls everything about messages for people who are not in
// the chat, and for a chat that is not there: the answer is the same.
func TestS15_StrangersFindNothing(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		ctx := t.Context()
		p := c.people(6)
		member, stranger, left, banned, hidden, late := p[0], p[1], p[2], p[3], p[4], p[5]
		g := c.group(member, left, banned, hidden, late)
		own := c.group(p...)
		m := c.send(member, g, "text")
		foreign := c.send(left, g, "text of who left")
		c.setMember(g, left, "state", chat.Left)
		c.setMember(g, banned, "state", chat.Banned)
		c.setMember(g, late, "visible_from_seq", 2)
		for _, message := range []int64{m.ID, foreign.ID} {
			if err := c.Delete(ctx, hidden, []int64{message}, false); err != nil {
				t.Fatal(err)
			}
		}
		text := "x"
		for name, call := range map[string]func(user, id, message int64) error{
			"Message": func(user, _, message int64) error { _, _, err := c.Message(ctx, user, message); return err },
			"Edits":   func(user, _, message int64) error { _, err := c.Edits(ctx, user, message); return err },
			"Edit": func(user, _, message int64) error {
				_, err := c.Edit(ctx, user, message, chat.Editing{Text: &text})
				return err
			},
			"Delete":          func(user, _, message int64) error { return c.Delete(ctx, user, []int64{message}, true) },
			"Hide":            func(user, _, message int64) error { return c.Delete(ctx, user, []int64{message}, false) },
			"React":           func(user, _, message int64) error { _, err := c.React(ctx, user, message, "👍", true); return err },
			"ReactionsOf":     func(user, _, message int64) error { _, err := c.ReactionsOf(ctx, user, message, ""); return err },
			"Pin":             func(user, _, message int64) error { return c.Pin(ctx, user, message, true) },
			"MessageReceipts": func(user, _, message int64) error { _, err := c.MessageReceipts(ctx, user, message); return err },
			"Forward": func(user, _, message int64) error {
				_, err := c.Forward(ctx, user, []int64{message}, []int64{own}, "")
				return err
			},
			"MarkReadMessage": func(user, _, message int64) error { _, _, err := c.MarkReadMessage(ctx, user, 0, message); return err },
			"Reply": func(user, _, message int64) error {
				_, _, err := c.Send(ctx, user, own, chat.Sending{Text: "x", ReplyTo: message})
				if isField(err, "reply_to_id") {
					return chat.ErrNotFound
				}
				return err
			},
			// About the chat.
			"Send":          func(user, id, _ int64) error { _, _, err := c.Send(ctx, user, id, chat.Sending{Text: "x"}); return err },
			"SystemMessage": func(user, id, _ int64) error { _, err := c.SystemMessage(ctx, user, id, "x", false); return err },
			"Messages":      func(user, id, _ int64) error { _, err := c.Messages(ctx, user, id, newest); return err },
			"Pins":          func(user, id, _ int64) error { _, err := c.Pins(ctx, user, id); return err },
			"Changes":       func(user, id, _ int64) error { _, err := c.Changes(ctx, user, id, 0, 0); return err },
			"MarkRead":      func(user, id, _ int64) error { _, err := c.MarkRead(ctx, user, id, 1); return err },
			"MarkDelivered": func(user, id, _ int64) error { return c.MarkDelivered(ctx, user, id, 1) },
			"MarkUnread":    func(user, id, _ int64) error { return c.MarkUnread(ctx, user, id, 1) },
			"Forward to": func(user, id, _ int64) error {
				_, err := c.Forward(ctx, user, []int64{c.send(user, own, "x").ID}, []int64{id}, "")
				return err
			},
		} {
			ofChat := map[string]bool{
				"Send": true, "SystemMessage": true, "Messages": true, "Pins": true, "Changes": true,
				"MarkRead": true, "MarkDelivered": true, "MarkUnread": true, "Forward to": true,
			}[name]
			for _, who := range []struct {
				name              string
				user, id, message int64
				inChat            bool
			}{
				{"stranger", stranger, g, m.ID, false},
				{"who left", left, g, foreign.ID, false},
				{"banned", banned, g, m.ID, false},
				{"nothing there", member, 999, 999, false},
				{"who hid it", hidden, g, m.ID, true},
				{"who came later", late, g, m.ID, true},
			} {
				if ofChat && who.inChat || name == "Hide" && who.user == hidden {
					continue // hidden twice is hidden
				}
				if err := call(who.user, who.id, who.message); err == nil || err.Error() != chat.ErrNotFound.Error() {
					t.Errorf("%s by %s: %v, want exactly %q", name, who.name, err, chat.ErrNotFound)
				}
			}
		}
		if page, err := c.Messages(ctx, late, g, newest); err != nil || len(page.Messages) != 0 {
			t.Errorf("who came later sees %d messages, %v", len(page.Messages), err)
		}
		if ch, err := c.Changes(ctx, hidden, g, 0, 0); err != nil || len(ch.Messages) != 0 {
			t.Errorf("who hid everything is told of %d messages, %v", len(ch.Messages), err)
		}
		now, _, err := c.Message(ctx, member, m.ID)
		if err != nil || now.Text != "text" || now.EventSeq != m.EventSeq {
			t.Errorf("after all that the message is %+v, %v", now, err)
		}
	})
}
