package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/store"
)

func TestAddMembers(t *testing.T) {
	onChats(t, chat.Options{MembersLimit: 6}, func(t *testing.T, c *chats) {
		u := c.people(12)
		ctx := t.Context()
		id := c.group(u[0], u[1])
		c.privacy(u[2], `{"who_can_add":"contacts"}`)
		if err := c.Block(ctx, u[3], u[0]); err != nil {
			t.Fatal(err)
		}
		c.store.MustExec(t, `UPDATE users SET state = 'suspended' WHERE id = $1`, u[4])
		if err := errors.Join(c.Remove(ctx, u[0], id, u[1], true)); err != nil {
			t.Fatal(err)
		}
		added, not, err := c.AddMembers(ctx, u[0], id, []int64{u[6], u[5], u[4], u[3], u[2], u[1], u[5], u[0], 999_999})
		if err != nil || !slices.Equal(added, []int64{u[5], u[6]}) {
			t.Fatalf("added %v, %v", added, err)
		}
		want := []chat.NotAdded{
			{User: u[1], Reason: chat.NotUnbanned},
			{User: u[2], Reason: chat.NotAllowed},
			{User: u[3], Reason: chat.NotAllowed},
			{User: u[4], Reason: chat.NotKnown},
			{User: 999_999, Reason: chat.NotKnown},
		}
		if !slices.Equal(not, want) {
			t.Errorf("not added: %v, want %v", not, want)
		}
		// A contact, or who was written to, may add.
		if err := errors.Join(c.RequestContact(ctx, u[2], u[0]), c.AcceptContact(ctx, u[0], u[2])); err != nil {
			t.Fatal(err)
		}
		added, not, err = c.AddMembers(ctx, u[0], id, []int64{u[2], u[5], u[7], u[8], u[9]})
		if err != nil || !slices.Equal(added, []int64{u[2], u[7], u[8]}) || !slices.Equal(not, []chat.NotAdded{{User: u[5], Reason: chat.AlreadyMember}, {User: u[9], Reason: chat.GroupFull}}) {
			t.Errorf("added %v, not %v, %v", added, not, err)
		}
		list, err := c.Members(ctx, u[0], id, chat.MembersQuery{})
		if err != nil || list.Total != 6 || len(list.Members) != 6 || list.Members[0].Member.Role != chat.Owner {
			t.Errorf("members: %+v, %v", list, err)
		}
		many := make([]int64, 101)
		for i := range many {
			many[i] = int64(10_000 + i)
		}
		if _, _, err := c.AddMembers(ctx, u[0], id, many); fieldOf(err) != "user_ids limit" {
			t.Errorf("101 at once: %v", err)
		}
		c.types(id)
		direct := c.direct(u[0], u[5])
		if _, _, err := c.AddMembers(ctx, u[0], direct, u[6:7]); !errors.Is(err, chat.ErrForbidden) {
			t.Errorf("to a direct chat: %v", err)
		}
	})
}

func TestMembersArePagedAndFound(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		u := c.people(30)
		ctx := t.Context()
		id := c.group(u...)
		c.setMember(id, u[20], "role", chat.Admin)
		want := append([]int64{u[0], u[20]}, slices.DeleteFunc(slices.Clone(u[1:]), func(id int64) bool { return id == u[20] })...)
		var got []int64
		q := chat.MembersQuery{Limit: 7}
		for {
			page, err := c.Members(ctx, u[3], id, q)
			if err != nil || page.Total != 30 {
				t.Fatal(page.Total, err)
			}
			for i := range page.Members {
				got = append(got, page.Members[i].Person.ID)
			}
			if q.Cursor = page.Next; q.Cursor == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages have %v, want %v", got, want)
		}
		if page, err := c.Members(ctx, u[3], id, chat.MembersQuery{Name: "USER21"}); err != nil || page.Total != 1 || page.Members[0].Person.ID != u[20] {
			t.Errorf("by name: %+v, %v", page, err)
		}
		if page, err := c.Members(ctx, u[3], id, chat.MembersQuery{Name: "%"}); err != nil || page.Total != 0 {
			t.Errorf("a sign for anything finds %d, %v", page.Total, err)
		}
		if page, err := c.Members(ctx, u[3], id, chat.MembersQuery{Role: chat.Admin}); err != nil || page.Total != 1 {
			t.Errorf("admins: %+v, %v", page, err)
		}
		if _, err := c.Members(ctx, u[3], id, chat.MembersQuery{Cursor: "x"}); fieldOf(err) != "cursor" {
			t.Errorf("a wrong cursor: %v", err)
		}
		if _, err := c.Members(ctx, u[3], id, chat.MembersQuery{Role: "boss"}); fieldOf(err) != "role" {
			t.Errorf("a wrong role: %v", err)
		}
	})
}

// What was written before somebody joined is theirs to see unless the group is set
// otherwise, and none of it is unread (chat-api.md §C.7).
func TestHistoryForNew(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		for _, test := range []struct {
			setting string
			visible int64
		}{{"all", 0}, {"joined", 3}} {
			u := c.people(2)
			ctx := t.Context()
			id := c.group(u[0])
			c.settings(id, fmt.Sprintf(`{"history_for_new":%q}`, test.setting))
			for range 3 {
				c.send(u[0], id, "раньше")
			}
			if _, _, err := c.AddMembers(ctx, u[0], id, u[1:]); err != nil {
				t.Fatal(err)
			}
			v, err := c.Chat(ctx, u[1], id)
			if err != nil || v.Member.VisibleFromSeq != test.visible || v.Member.JoinedSeq != 3 || v.Unread != 0 {
				t.Errorf("%s: %+v, unread %d, %v", test.setting, v.Member, v.Unread, err)
			}
			c.send(u[0], id, "теперь")
			if v, err = c.Chat(ctx, u[1], id); err != nil || v.Unread != 1 {
				t.Errorf("%s: %d unread, %v, want 1", test.setting, v.Unread, err)
			}
			// What one has cleared stays cleared for who comes back.
			if err := errors.Join(c.Clear(ctx, u[1], id), c.Leave(ctx, u[1], id)); err != nil {
				t.Fatal(err)
			}
			cleared := v.Chat.LastSeq
			c.send(u[0], id, "в отсутствие")
			if _, _, err := c.AddMembers(ctx, u[0], id, u[1:]); err != nil {
				t.Fatal(err)
			}
			if v, err = c.Chat(ctx, u[1], id); err != nil || v.Member.VisibleFromSeq < cleared || v.Unread != 0 || v.Member.ReadSeq < v.Member.VisibleFromSeq {
				t.Errorf("%s, back: %+v, unread %d, %v", test.setting, v.Member, v.Unread, err)
			}
		}
	})
}

// Who is gone, or whose chat is, sends nothing, though still counted a member.
func TestGoneSendNothing(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		for what, gone := range map[string]string{
			"sender": `UPDATE users SET state = 'deleted' WHERE id = $1`,
			"chat":   `UPDATE chats SET state = 'deleted' WHERE created_by = $1`,
		} {
			u := c.people(2)
			id := c.group(u...)
			before := c.types(id)
			c.store.MustExec(t, gone, u[0])
			if _, _, err := c.Send(t.Context(), u[0], id, chat.Sending{Text: "?"}); !errors.Is(err, chat.ErrNotFound) {
				t.Errorf("%s: send: %v", what, err)
			}
			if after := c.types(id); !slices.Equal(before, after) {
				t.Errorf("%s: events are %v", what, after)
			}
		}
	})
}

// Whoever is removed has nothing of the chat from then on, and hears why (chat-api.md I8).
func TestRemovedMemberGetsNothing(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		ctx := t.Context()
		for _, test := range []struct {
			reason string
			do     func(owner, id, user int64) error
		}{
			{chat.ReasonLeft, func(_, id, user int64) error { return c.Leave(ctx, user, id) }},
			{chat.ReasonRemoved, func(owner, id, user int64) error { return c.Remove(ctx, owner, id, user, false) }},
			{chat.ReasonBanned, func(owner, id, user int64) error { return c.Remove(ctx, owner, id, user, true) }},
		} {
			u := c.people(3)
			id := c.group(u...)
			if err := test.do(u[0], id, u[1]); err != nil {
				t.Fatal(err)
			}
			c.send(u[0], id, "без тебя")
			if _, err := c.Chat(ctx, u[1], id); !errors.Is(err, chat.ErrNotFound) {
				t.Errorf("%s: the chat: %v", test.reason, err)
			}
			if _, _, err := c.Send(ctx, u[1], id, chat.Sending{Text: "?"}); !errors.Is(err, chat.ErrNotFound) {
				t.Errorf("%s: send: %v", test.reason, err)
			}
			if c.listed(u[1], "") != nil {
				t.Errorf("%s: the chat is in the list", test.reason)
			}
			if got, want := c.notices(u[1]), fmt.Sprintf(`chat_removed {"chat_id":%d,"reason":%q}`, id, test.reason); !slices.Equal(got, []string{want}) {
				t.Errorf("%s: heard %v, want %s", test.reason, got, want)
			}
			var p chat.MemberPayload
			if err := json.Unmarshal(c.store.MustEvents(t, event.ChatStream(id), 0)[0].Payload, &p); err != nil || p.Reason != test.reason || p.Users[0].ID != u[1] || p.MemberCount != 2 {
				t.Errorf("%s: told %+v, %v", test.reason, p, err)
			}
			if got := c.types(id); !slices.Equal(got, []string{event.RoomMemberLeft, event.MessageCreated, event.MessageCreated}) {
				t.Errorf("%s: events are %v", test.reason, got)
			}
			if err := test.do(u[0], id, u[1]); test.reason != chat.ReasonBanned && !errors.Is(err, chat.ErrNotFound) {
				t.Errorf("%s, again: %v", test.reason, err)
			}
		}
	})
}

// Who is removed while waiting to do something does not do it: the place in the chat is
// looked at again once the chat is held (guarantees.md S15). SQLite has one writer, so
// nobody waits there in the middle of something.
func TestS15_RemovedWhileWaiting(t *testing.T) {
	c := openChats(t, store.Postgres, chat.Options{})
	u := c.people(3)
	id := c.group(u[:2]...)
	c.settings(id, `{"who_can_add":"all"}`)
	late := make(chan error, 1)
	waiting := func() {
		go func() { late <- third(c.AddMembers(t.Context(), u[1], id, u[2:])) }()
		for n := 0; n == 0; {
			c.store.MustQuery(t, `SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`, nil, &n)
		}
	}
	err := c.store.ExecThen(t.Context(), waiting, `WITH m AS (UPDATE members SET state = 'kicked' WHERE chat_id = $1 AND user_id = $2)
		UPDATE chats SET member_count = 1 WHERE id = $1`, id, u[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := <-late; !errors.Is(err, chat.ErrNotFound) {
		t.Errorf("adding by who was removed meanwhile: %v, want not found", err)
	}
}

func TestBans(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		u := c.people(3)
		ctx := t.Context()
		id := c.group(u...)
		in, err := c.CreateInvite(ctx, u[0], id, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(c.Leave(ctx, u[1], id), c.Remove(ctx, u[0], id, u[1], true)); err != nil {
			t.Fatalf("ban who has left: %v", err)
		}
		if banned, err := c.Bans(ctx, u[0], id); err != nil || len(banned) != 1 || banned[0].Person.ID != u[1] {
			t.Errorf("banned are %+v, %v", banned, err)
		}
		if _, err := c.Join(ctx, u[1], in.ID); !errors.Is(err, chat.ErrBanned) {
			t.Errorf("join: %v", err)
		}
		if _, _, err := c.InvitePreview(ctx, u[1], in.ID); !errors.Is(err, chat.ErrBanned) {
			t.Errorf("preview: %v", err)
		}
		if err := c.Unban(ctx, u[0], id, u[1]); err != nil {
			t.Fatal(err)
		}
		if err := c.Unban(ctx, u[0], id, u[1]); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("unban again: %v", err)
		}
		if _, err := c.Join(ctx, u[1], in.ID); err != nil {
			t.Errorf("join after the ban: %v", err)
		}
		if err := c.Remove(ctx, u[0], id, 999_999, true); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("ban a stranger: %v", err)
		}
	})
}

func TestOwnership(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		u := c.people(4)
		ctx := t.Context()
		id := c.group(u[:3]...)
		if err := c.Leave(ctx, u[0], id); !errors.Is(err, chat.ErrOwnerMustTransfer) {
			t.Errorf("the owner leaves: %v", err)
		}
		for _, to := range []int64{u[0], u[3], 999_999} {
			if err := c.Transfer(ctx, u[0], id, to); fieldOf(err) != "user_id" {
				t.Errorf("transfer to %d: %v", to, err)
			}
		}
		if err := c.SetRole(ctx, u[0], id, u[0], chat.Plain); !errors.Is(err, chat.ErrForbidden) {
			t.Errorf("the owner demotes himself: %v", err)
		}
		if err := c.SetRole(ctx, u[0], id, u[1], chat.Owner); fieldOf(err) != "role" {
			t.Errorf("a second owner: %v", err)
		}
		if err := c.Transfer(ctx, u[0], id, u[1]); err != nil {
			t.Fatal(err)
		}
		m0, _, err0 := c.Membership(ctx, u[0], id)
		m1, room, err1 := c.Membership(ctx, u[1], id)
		if err := errors.Join(err0, err1); err != nil || m0.Role != chat.Admin || m1.Role != chat.Owner || room.Owner != u[1] {
			t.Errorf("after the transfer: %s, %s, owner %d, %v", m0.Role, m1.Role, room.Owner, err)
		}
		if err := errors.Join(c.Leave(ctx, u[0], id), c.Leave(ctx, u[2], id)); err != nil {
			t.Fatal(err)
		}
		if err := c.Leave(ctx, u[1], id); err != nil {
			t.Errorf("who is alone leaves: %v", err)
		}
		if got := c.types(id); got[len(got)-1] != event.RoomDeleted {
			t.Errorf("the empty group: %v", got)
		}
	})
}

func TestSlowMode(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		u := c.people(2)
		ctx := t.Context()
		id := c.group(u...)
		if _, err := c.UpdateChat(ctx, u[0], id, chat.ChatChange{Settings: &chat.SettingsChange{SlowMode: new(30)}}); err != nil {
			t.Fatal(err)
		}
		c.send(u[1], id, "раз")
		c.clock.Advance(10 * time.Second)
		var slow *chat.SlowModeError
		if _, _, err := c.Send(ctx, u[1], id, chat.Sending{Text: "два"}); !errors.As(err, &slow) || slow.RetryAfter != 20*time.Second {
			t.Errorf("after 10 s: %v", err)
		}
		c.send(u[0], id, "я владелец")
		c.send(u[0], id, "мне можно")
		c.clock.Advance(20 * time.Second)
		c.send(u[1], id, "два")
	})
}

// An invite lets in exactly as many as it is for, also when a hundred come at once
// (guarantees.md S12).
func TestS12_InviteUsesAreExact(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		u := c.people(101)
		ctx := t.Context()
		id := c.group(u[0])
		in, err := c.CreateInvite(ctx, u[0], id, 0, 7)
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		joined, refused := 0, 0
		var wg sync.WaitGroup
		for _, user := range u[1:] {
			wg.Go(func() {
				var err error
				for range 50 { // a database under load may ask to come again
					if _, err = c.Join(ctx, user, in.ID); err == nil || errors.Is(err, chat.ErrNotFound) {
						break
					}
				}
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					joined++
				case errors.Is(err, chat.ErrNotFound):
					refused++
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if joined != 7 || refused != 93 {
			t.Errorf("%d joined and %d were refused, want 7 and 93", joined, refused)
		}
		if _, room, err := c.Membership(ctx, u[0], id); err != nil || room.MemberCount != 8 {
			t.Errorf("the group counts %d members, %v", room.MemberCount, err)
		}
		c.types(id)
	})
}

// An invite is a secret that the database does not know, ends by time, use and
// revocation, and is good for its chat only (guarantees.md S12).
func TestS12_InvitesAreSecretAndEnd(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		u := c.people(6)
		ctx := t.Context()
		id, other := c.group(u[0], u[1]), c.group(u[0])
		in, err := c.CreateInvite(ctx, u[0], id, time.Hour, 2)
		if err != nil || len(in.ID) != 28 {
			t.Fatal(in, err)
		}
		var stored int
		c.store.MustQuery(t, `SELECT count(*) FROM invites WHERE id = $1`, []any{in.ID}, &stored)
		list, err := c.Invites(ctx, u[0], id)
		if err != nil || stored != 0 || len(list) != 1 || list[0].ID == in.ID {
			t.Fatalf("%d stored as they are; listed %+v, %v", stored, list, err)
		}
		if _, err := c.Join(ctx, u[2], list[0].ID); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("join by what the list shows: %v", err)
		}
		got, room, err := c.InvitePreview(ctx, u[2], in.ID)
		if err != nil || got.MaxUses != 2 || room.Title == "" || room.MemberCount != 2 || room.Owner != 0 || room.LastSeq != 0 {
			t.Errorf("preview: %+v %+v, %v", got, room, err)
		}
		if v, err := c.Join(ctx, u[1], in.ID); err != nil || v.Chat.ID != id {
			t.Errorf("a member: %v", err)
		}
		for _, user := range u[2:4] {
			if _, err := c.Join(ctx, user, in.ID); err != nil {
				t.Errorf("join: %v", err)
			}
		}
		for name, err := range map[string]error{
			"used up":             second(c.Join(ctx, u[4], in.ID)),
			"used up, preview":    third(c.InvitePreview(ctx, u[4], in.ID)),
			"never made":          second(c.Join(ctx, u[4], "i_aaaaaaaaaaaaaaaaaaaaaaaaaa")),
			"empty":               second(c.Join(ctx, u[4], "")),
			"revoke once used up": c.RevokeInvite(ctx, u[0], id, in.ID),
		} {
			if !errors.Is(err, chat.ErrNotFound) {
				t.Errorf("%s: %v, want not found", name, err)
			}
		}
		late, _ := c.CreateInvite(ctx, u[0], id, time.Hour, 0)
		gone, _ := c.CreateInvite(ctx, u[0], id, time.Hour, 0)
		if err := c.RevokeInvite(ctx, u[0], other, gone.ID); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("revoke by another chat: %v", err)
		}
		if err := c.RevokeInvite(ctx, u[0], id, gone.ID); err != nil {
			t.Errorf("revoke: %v", err)
		}
		if _, err := c.Join(ctx, u[4], gone.ID); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("join by a revoked one: %v", err)
		}
		c.clock.Advance(time.Hour)
		if _, err := c.Join(ctx, u[4], late.ID); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("join by an expired one: %v", err)
		}
		for want, err := range map[string]error{
			"expires_in": second(c.CreateInvite(ctx, u[0], id, 366*24*time.Hour, 0)),
			"max_uses":   second(c.CreateInvite(ctx, u[0], id, 0, -1)),
		} {
			if fieldOf(err) != want {
				t.Errorf("%v, want an error of %s", err, want)
			}
		}
		// What a removed member handed out is no way back.
		c.settings(id, `{"who_can_add":"all"}`)
		own, err := c.CreateInvite(ctx, u[1], id, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Remove(ctx, u[0], id, u[1], false); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Join(ctx, u[1], own.ID); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("join by one's own invite after removal: %v", err)
		}
	})
}

func TestFullGroupTakesNobody(t *testing.T) {
	onChats(t, chat.Options{MembersLimit: 2}, func(t *testing.T, c *chats) {
		u := c.people(3)
		id := c.group(u[0], u[1])
		in, err := c.CreateInvite(t.Context(), u[0], id, 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Join(t.Context(), u[2], in.ID); fieldOf(err) != "members limit" {
			t.Errorf("join a full group: %v", err)
		}
		if err := c.Leave(t.Context(), u[1], id); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Join(t.Context(), u[2], in.ID); err != nil {
			t.Errorf("join when there is room, by an invite that was not used: %v", err)
		}
	})
}
