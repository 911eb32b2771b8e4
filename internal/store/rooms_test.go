package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/chat"
)

// notices returns the notices a user was sent, as "name data".
func (c *chats) notices(user int64) (told []string) {
	c.t.Helper()
	for _, e := range c.store.MustEvents(c.t, event.UserStream(user), 0) {
		var n chat.Notice
		if err := json.Unmarshal(e.Payload, &n); err != nil {
			c.t.Fatal(err)
		}
		told = append(told, n.Event+" "+string(n.Data))
	}
	return told
}

// types returns the types of a chat's events, after checking that their numbers have no
// gap and end with the chat's (chat-api.md §0.3, I6).
func (c *chats) types(id int64) (types []string) {
	c.t.Helper()
	for i, e := range c.store.MustEvents(c.t, event.ChatStream(id), 0) {
		if e.Seq != int64(i+1) {
			c.t.Fatalf("event %d of chat %d has number %d", i+1, id, e.Seq)
		}
		types = append(types, e.Type)
	}
	var last int
	c.store.MustQuery(c.t, `SELECT last_event_seq FROM chats WHERE id = $1`, []any{id}, &last)
	if last != len(types) {
		c.t.Fatalf("chat %d counts %d events, %d are stored", id, last, len(types))
	}
	return types
}

// privacy sets the privacy of a user, given as JSON.
func (c *chats) privacy(user int64, json string) {
	c.t.Helper()
	c.store.MustExec(c.t, `UPDATE users SET privacy = $1 WHERE id = $2`, json, user)
}

func (c *chats) listed(user int64, filter string) (found []int64) {
	c.t.Helper()
	list, err := c.Chats(c.t.Context(), user, chat.ChatsQuery{Filter: filter, Limit: 1000})
	if err != nil {
		c.t.Fatal(err)
	}
	for i := range list.Views {
		found = append(found, list.Views[i].Chat.ID)
	}
	if list.Total != len(found) {
		c.t.Errorf("%s list of user %d has %d chats, its total is %d", filter, user, len(found), list.Total)
	}
	return found
}

// opened is a direct chat that the service made, whose number is not the fixture's.
func (c *chats) opened(a, b int64) int64 {
	c.t.Helper()
	v, _, err := c.OpenDirect(c.t.Context(), a, b)
	if err != nil {
		c.t.Fatal(err)
	}
	return v.Chat.ID
}

func fieldOf(err error) string {
	var field *chat.FieldError
	var limit *chat.LimitError
	switch {
	case errors.As(err, &field):
		return field.Field
	case errors.As(err, &limit):
		return limit.Field + " limit"
	}
	return fmt.Sprint(err)
}

// At most one direct chat per pair, whoever opens it and however many at once
// (chat-api.md I4).
func TestOneDirectChatPerPair(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		u := c.people(2)
		var mu sync.Mutex
		seen := make(map[int64]int)
		made := 0
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				v, created, err := c.OpenDirect(t.Context(), u[i%2], u[1-i%2])
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				seen[v.Chat.ID]++
				if created {
					made++
				}
			})
		}
		wg.Wait()
		if len(seen) != 1 || made != 1 {
			t.Fatalf("40 openings made %d of the chats %v, want one", made, seen)
		}
		for id := range seen {
			if got := c.types(id); !slices.Equal(got, []string{event.RoomCreated}) {
				t.Errorf("events are %v", got)
			}
		}
	})
}

// The companion hears of a direct chat with its first message (chat-api.md A.2, A.3).
func TestDirectChatIsHiddenUntilTheFirstMessage(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		u := c.people(2)
		v, created, err := c.OpenDirect(t.Context(), u[0], u[1])
		if err != nil || !created || v.Companion == nil || v.Companion.ID != u[1] || v.Chat.MemberCount != 2 {
			t.Fatal(v, created, err)
		}
		id := v.Chat.ID
		if got := c.listed(u[0], ""); !slices.Equal(got, []int64{id}) {
			t.Errorf("the opener's list is %v", got)
		}
		if got := c.listed(u[1], ""); got != nil {
			t.Errorf("the companion's list is %v", got)
		}
		if got := c.notices(u[1]); got != nil {
			t.Errorf("the companion heard %v", got)
		}
		c.send(u[0], id, "Привет")
		c.send(u[0], id, "Ты здесь?")
		added := fmt.Sprintf(`chat_added {"chat_id":%d}`, id)
		if got := c.notices(u[1]); !slices.Equal(got, []string{added}) {
			t.Errorf("the companion heard %v", got)
		}
		if got := c.listed(u[1], ""); !slices.Equal(got, []int64{id}) {
			t.Errorf("the companion's list is %v after a message", got)
		}
		if v, _, err = c.OpenDirect(t.Context(), u[1], u[0]); err != nil || v.Chat.ID != id || v.Unread != 2 || v.LastMessage.Text != "Ты здесь?" {
			t.Errorf("opened by the companion: %+v, %v", v, err)
		}
	})
}

// Who writes first in a chat that another one opened is told of it on all his devices.
func TestWhoWritesInAHiddenChatHearsOfIt(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		u := c.people(2)
		v, _, err := c.OpenDirect(t.Context(), u[0], u[1])
		if err != nil {
			t.Fatal(err)
		}
		c.send(u[1], v.Chat.ID, "Привет")
		c.send(u[1], v.Chat.ID, "Ты здесь?")
		if got := c.notices(u[1]); !slices.Equal(got, []string{fmt.Sprintf(`chat_added {"chat_id":%d}`, v.Chat.ID)}) {
			t.Errorf("who wrote heard %v", got)
		}
		if got := c.listed(u[1], ""); !slices.Equal(got, []int64{v.Chat.ID}) {
			t.Errorf("who wrote has the list %v", got)
		}
	})
}

func TestWhoCanBeOpened(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		u := c.people(6)
		ctx := t.Context()
		c.store.MustExec(t, `UPDATE users SET state = 'suspended' WHERE id = $1`, u[1])
		c.store.MustExec(t, `UPDATE users SET state = 'deleted' WHERE id = $1`, u[2])
		c.privacy(u[3], `{"who_can_message":"contacts"}`)
		for _, other := range []int64{u[0], u[1], u[2], 999_999} {
			if _, _, err := c.OpenDirect(ctx, u[0], other); fieldOf(err) != "user_id" {
				t.Errorf("open the chat with %d: %v", other, err)
			}
		}
		if _, _, err := c.OpenDirect(ctx, u[0], u[3]); !errors.Is(err, chat.ErrCannotMessage) {
			t.Errorf("who hears contacts only: %v", err)
		}
		if err := errors.Join(c.RequestContact(ctx, u[0], u[3]), c.AcceptContact(ctx, u[3], u[0])); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.OpenDirect(ctx, u[0], u[3]); err != nil {
			t.Errorf("a contact: %v", err)
		}
		// Blocked either way, an existing chat included.
		v, _, err := c.OpenDirect(ctx, u[4], u[5])
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Block(ctx, u[5], u[4]); err != nil {
			t.Fatal(err)
		}
		for _, way := range [][2]int64{{u[4], u[5]}, {u[5], u[4]}} {
			if _, _, err := c.OpenDirect(ctx, way[0], way[1]); !errors.Is(err, chat.ErrCannotMessage) {
				t.Errorf("blocked, %v: %v", way, err)
			}
			if _, _, err := c.Send(ctx, way[0], v.Chat.ID, chat.Sending{Text: "?"}); !errors.Is(err, chat.ErrCannotMessage) {
				t.Errorf("blocked, send %v: %v", way, err)
			}
		}
		// Who asked to be left alone by strangers can be answered by those written to.
		if _, _, err := c.OpenDirect(ctx, u[3], u[5]); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.OpenDirect(ctx, u[5], u[3]); !errors.Is(err, chat.ErrCannotMessage) {
			t.Errorf("before anything was written: %v", err)
		}
		v, _, _ = c.OpenDirect(ctx, u[3], u[5])
		c.send(u[3], v.Chat.ID, "Привет")
		if _, _, err := c.OpenDirect(ctx, u[5], u[3]); err != nil {
			t.Errorf("after being written to: %v", err)
		}
	})
}

func TestNewChatsHaveARate(t *testing.T) {
	onChats(t, chat.Options{Limits: chat.Limits{ChatsPerMinute: 2, ChatsPerDay: 3}}, func(t *testing.T, c *chats) {
		u := c.people(6)
		open := func(other int64) error { return third(c.OpenDirect(t.Context(), u[0], other)) }
		var limited *chat.RateError
		if err := errors.Join(open(u[1]), open(u[2])); err != nil {
			t.Fatal(err)
		}
		if err := open(u[3]); !errors.As(err, &limited) || limited.Window != time.Minute {
			t.Errorf("the third in a minute: %v", err)
		}
		if err := open(u[1]); err != nil {
			t.Errorf("one that is there: %v", err)
		}
		c.clock.Advance(2 * time.Minute)
		if err := open(u[3]); err != nil {
			t.Errorf("after two minutes: %v", err)
		}
		c.clock.Advance(2 * time.Minute)
		if _, _, err := c.CreateGroup(t.Context(), u[0], chat.NewGroup{Title: "x"}); !errors.As(err, &limited) || limited.Window != 24*time.Hour {
			t.Errorf("the fourth in a day: %v", err)
		}
	})
}

func TestSavedChatIsOnesOwn(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		u := c.people(2)
		v, err := c.Saved(t.Context(), u[0])
		if err != nil || v.Chat.Kind != chat.Saved || v.Companion != nil || v.Chat.MemberCount != 1 {
			t.Fatalf("%+v, %v", v, err)
		}
		again, err := c.Saved(t.Context(), u[0])
		if err != nil || again.Chat.ID != v.Chat.ID {
			t.Errorf("again: chat %d, %v, want %d", again.Chat.ID, err, v.Chat.ID)
		}
		c.send(u[0], v.Chat.ID, "не забыть")
		if err := c.DeleteChat(t.Context(), u[0], v.Chat.ID, false); err != nil {
			t.Fatal(err)
		}
		if again, err = c.Saved(t.Context(), u[0]); err != nil || again.LastMessage != nil || again.Member.Hidden {
			t.Errorf("after deleting: %+v, %v", again, err)
		}
		if _, err := c.Chat(t.Context(), u[1], v.Chat.ID); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("somebody else: %v", err)
		}
	})
}

func TestCreateGroup(t *testing.T) {
	onChats(t, chat.Options{MembersLimit: 5}, func(t *testing.T, c *chats) {
		u := c.people(8)
		ctx := t.Context()
		c.privacy(u[2], `{"who_can_add":"contacts"}`)
		if err := c.Block(ctx, u[3], u[0]); err != nil {
			t.Fatal(err)
		}
		v, not, err := c.CreateGroup(ctx, u[0], chat.NewGroup{Title: "  Наша   команда ", About: "О проекте", Users: []int64{u[1], u[2], u[3], u[1], u[0]}})
		if err != nil {
			t.Fatal(err)
		}
		if want := []chat.NotAdded{{User: u[2], Reason: chat.NotAllowed}, {User: u[3], Reason: chat.NotAllowed}}; !slices.Equal(not, want) {
			t.Errorf("not added: %v, want %v", not, want)
		}
		if v.Chat.Title != "Наша команда" || v.Chat.Owner != u[0] || v.Member.Role != chat.Owner || v.Chat.MemberCount != 2 {
			t.Errorf("the group is %+v", v)
		}
		if got := c.types(v.Chat.ID); !slices.Equal(got, []string{event.RoomCreated, event.MessageCreated}) {
			t.Errorf("events are %v", got)
		}
		if sys := v.LastMessage.System; sys == nil || sys.Event != "chat_created" || !slices.Equal(sys.Users, u[1:2]) {
			t.Errorf("the first message is %+v", v.LastMessage)
		}
		if got := c.notices(u[1]); len(got) != 1 || !strings.HasPrefix(got[0], "chat_added") {
			t.Errorf("the member heard %v", got)
		}
		if got := c.notices(u[2]); got != nil {
			t.Errorf("who was not added heard %v", got)
		}
		bad := map[string]chat.NewGroup{
			"title":                    {},
			"title limit":              {Title: strings.Repeat("я", 129)},
			"about limit":              {Title: "x", About: strings.Repeat("я", 513)},
			"user_ids limit":           {Title: "x", Users: u[1:6]},
			"avatar_file_id":           {Title: "x", Avatar: "f_somebodys"},
			"settings.who_can_post":    {Title: "x", Settings: chat.Settings{WhoCanPost: "friends"}},
			"settings.history_for_new": {Title: "x", Settings: chat.Settings{HistoryForNew: "some"}},
			"settings.slow_mode_s":     {Title: "x", Settings: chat.Settings{SlowMode: 3601}},
		}
		for want, in := range bad {
			if _, _, err := c.CreateGroup(ctx, u[0], in); fieldOf(err) != want {
				t.Errorf("%+v: %v, want an error of %s", in, err, want)
			}
		}
		_, _, err = c.CreateGroup(ctx, u[0], chat.NewGroup{Title: "x", Users: []int64{u[1], 999_999, 888_888}})
		var missing *chat.UnknownUsersError
		if !errors.As(err, &missing) || !slices.Equal(missing.Users, []int64{888_888, 999_999}) {
			t.Errorf("a group with people who are not there: %v", err)
		}
		if got := c.listed(u[0], chat.GroupChats); len(got) != 1 {
			t.Errorf("refused groups are there: %v", got)
		}
		if _, _, err := c.CreateGroup(ctx, u[0], chat.NewGroup{Title: strings.Repeat("я", 128), About: strings.Repeat("я", 512), Users: u[4:8]}); err != nil {
			t.Errorf("everything at its limit: %v", err)
		}
	})
}

func TestUpdateChatTellsWhatChanged(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		u := c.people(2)
		ctx := t.Context()
		id := c.group(u...)
		title, about, rule, none := "Новое", "Описание", chat.Admins, ""
		c.store.MustExec(t, `INSERT INTO files (id, owner_id, kind, name, mime, size, sha256, storage_key, created_at) VALUES ('f_mine', $1, 'avatar', '', '', 1, '', 'k1', 0), ('f_other', $2, 'avatar', '', '', 1, '', 'k2', 0)`, u[0], u[1])
		mine, others := "f_mine", "f_other"
		if _, err := c.UpdateChat(ctx, u[0], id, chat.ChatChange{Avatar: &others}); fieldOf(err) != "avatar_file_id" {
			t.Errorf("somebody else's picture: %v", err)
		}
		change := chat.ChatChange{Title: &title, About: &about, Avatar: &mine, Settings: &chat.SettingsChange{WhoCanPost: &rule}, RetentionDays: new(30)}
		v, err := c.UpdateChat(ctx, u[0], id, change)
		if err != nil || v.Chat.Title != title || v.Chat.About != about || v.Chat.Avatar != mine || v.Chat.Settings.WhoCanPost != rule || v.Chat.RetentionDays != 30 {
			t.Fatalf("%+v, %v", v.Chat, err)
		}
		events := c.store.MustEvents(t, event.ChatStream(id), 0)
		var p chat.RoomPayload
		if err := json.Unmarshal(events[0].Payload, &p); err != nil || len(p.Changes) != 5 || p.Changes["title"] != title || p.By != u[0] {
			t.Errorf("the event tells %+v, %v", p, err)
		}
		if got := c.types(id); !slices.Equal(got, []string{event.RoomUpdated, event.MessageCreated, event.MessageCreated}) {
			t.Errorf("events are %v", got)
		}
		if _, err := c.UpdateChat(ctx, u[0], id, change); err != nil || len(c.types(id)) != 3 {
			t.Errorf("the same again: %v, events %v, want no new one", err, c.types(id))
		}
		if v, err = c.UpdateChat(ctx, u[0], id, chat.ChatChange{Avatar: &none}); err != nil || v.Chat.Avatar != "" {
			t.Errorf("without a picture: %+v, %v", v.Chat, err)
		}
		direct := c.direct(u[0], u[1])
		if _, err := c.UpdateChat(ctx, u[0], direct, chat.ChatChange{Title: &title}); !errors.Is(err, chat.ErrForbidden) {
			t.Errorf("the title of a direct chat: %v", err)
		}
	})
}

func TestStateIsOnesOwn(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		u := c.people(2)
		ctx := t.Context()
		id := c.group(u...)
		draft := json.RawMessage(`{"text":"недописано"}`)
		v, err := c.SetState(ctx, u[1], id, chat.StateChange{MutedUntil: new(int64(5000)), PinOrder: new(3), Archived: new(true), Draft: &draft})
		if err != nil || v.Member.MutedUntil != 5000 || v.Member.PinOrder != 3 || !v.Member.Archived || string(v.Member.Draft) != string(draft) {
			t.Fatalf("%+v, %v", v.Member, err)
		}
		if got := c.live.take(); !slices.Contains(got, fmt.Sprintf("state user=%d chat=%d", u[1], id)) {
			t.Errorf("told: %v", got)
		}
		if v, err = c.Chat(ctx, u[0], id); err != nil || v.Member.PinOrder != 0 || v.Member.Archived || v.Member.Draft != nil {
			t.Errorf("the other's is %+v, %v", v.Member, err)
		}
		none := json.RawMessage(`null`)
		if v, err = c.SetState(ctx, u[1], id, chat.StateChange{Draft: &none}); err != nil || v.Member.Draft != nil || v.Member.PinOrder != 3 {
			t.Errorf("without a draft: %+v, %v", v.Member, err)
		}
		list, huge := json.RawMessage(`[1]`), json.RawMessage(`{"text":"`+strings.Repeat("x", 64<<10)+`"}`)
		for want, in := range map[string]chat.StateChange{
			"muted_until": {MutedUntil: new(int64(-1))}, "pin_order": {PinOrder: new(-1)}, "draft": {Draft: &list}, "draft limit": {Draft: &huge},
		} {
			if _, err := c.SetState(ctx, u[1], id, in); fieldOf(err) != want {
				t.Errorf("%v, want an error of %s", err, want)
			}
		}
		if got := c.types(id); got != nil {
			t.Errorf("what is one's own was announced: %v", got)
		}
	})
}

func TestClearAndDelete(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		u := c.people(3)
		ctx := t.Context()
		id := c.opened(u[0], u[1])
		c.send(u[0], id, "раз")
		c.send(u[0], id, "два")
		if err := c.Clear(ctx, u[1], id); err != nil {
			t.Fatal(err)
		}
		if v, err := c.Chat(ctx, u[1], id); err != nil || v.LastMessage != nil || v.Unread != 0 || v.Member.VisibleFromSeq != 2 {
			t.Errorf("cleared: %+v, %v", v, err)
		}
		if v, err := c.Chat(ctx, u[0], id); err != nil || v.LastMessage == nil {
			t.Errorf("the other's: %+v, %v", v, err)
		}
		if err := c.DeleteChat(ctx, u[1], id, false); err != nil {
			t.Fatal(err)
		}
		if c.listed(u[1], "") != nil || len(c.listed(u[0], "")) != 1 {
			t.Error("a chat deleted for oneself is gone for oneself only")
		}
		c.send(u[0], id, "три")
		if v, err := c.Chat(ctx, u[1], id); err != nil || v.Unread != 1 || v.LastMessage.Text != "три" || len(c.listed(u[1], "")) != 1 {
			t.Errorf("after another message: %+v, %v", v, err)
		}
		if err := c.DeleteChat(ctx, u[1], id, true); err != nil {
			t.Fatal(err)
		}
		for _, who := range u[:2] {
			if _, err := c.Chat(ctx, who, id); !errors.Is(err, chat.ErrNotFound) || c.listed(who, "") != nil {
				t.Errorf("deleted for both, user %d: %v", who, err)
			}
		}
		v, created, err := c.OpenDirect(ctx, u[0], u[1])
		if err != nil || !created || v.Chat.ID == id || v.LastMessage != nil {
			t.Fatalf("opened again: %+v, %v", v, err)
		}
		id = v.Chat.ID
		if err := c.Block(ctx, u[0], u[1]); err != nil {
			t.Fatal(err)
		}
		if err := c.DeleteChat(ctx, u[1], id, true); !errors.Is(err, chat.ErrForbidden) {
			t.Errorf("for both by who is blocked: %v", err)
		}
		g, _, err := c.CreateGroup(ctx, u[0], chat.NewGroup{Title: "Группа", Users: u[2:]})
		if err != nil {
			t.Fatal(err)
		}
		group := g.Chat.ID
		c.send(u[2], group, "привет")
		if err := c.DeleteChat(ctx, u[0], group, false); err != nil {
			t.Fatal(err)
		}
		for _, who := range []int64{u[0], u[2]} {
			if _, err := c.Chat(ctx, who, group); !errors.Is(err, chat.ErrNotFound) {
				t.Errorf("a deleted group, user %d: %v", who, err)
			}
			if got := c.notices(who); !slices.Contains(got, fmt.Sprintf(`chat_removed {"chat_id":%d,"reason":"deleted"}`, group)) {
				t.Errorf("user %d heard %v", who, got)
			}
		}
		if got := c.types(group); got[len(got)-1] != event.RoomDeleted {
			t.Errorf("events are %v", got)
		}
	})
}

// Bytes that are no text are nothing that a database must see: each call is answered by
// a rule, on either.
func TestHostileText(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		u := c.people(2)
		ctx := t.Context()
		id := c.group(u...)
		for _, bad := range []string{"a\x00b", "a\xffb", "\x00", "\xff", "\u202e\x00%", `'; DROP TABLE users; --`, strings.Repeat("я", 100)} {
			draft := json.RawMessage(`{"text":"` + strings.ReplaceAll(bad, "\x00", `\u0000`) + `"}`)
			_, _, errSearch := c.SearchPeople(ctx, u[0], bad, 10, "")
			_, errMembers := c.Members(ctx, u[0], id, chat.MembersQuery{Name: bad, Cursor: ""})
			_, errCursor := c.Members(ctx, u[0], id, chat.MembersQuery{Cursor: bad})
			_, errUpdate := c.UpdateChat(ctx, u[0], id, chat.ChatChange{Title: &bad, About: &bad})
			_, errAvatar := c.UpdateChat(ctx, u[0], id, chat.ChatChange{Avatar: &bad})
			_, errState := c.SetState(ctx, u[0], id, chat.StateChange{Draft: &draft})
			_, _, errPreview := c.InvitePreview(ctx, u[0], bad)
			errRevoke := c.RevokeInvite(ctx, u[0], id, bad)
			_, _, errGroup := c.CreateGroup(ctx, u[0], chat.NewGroup{Title: "x", Avatar: bad})
			for name, err := range map[string]error{
				"search": errSearch, "members": errMembers, "cursor": errCursor, "update": errUpdate, "avatar": errAvatar, "state": errState,
				"preview": errPreview, "revoke": errRevoke, "group": errGroup,
			} {
				var field *chat.FieldError
				if err != nil && !errors.Is(err, chat.ErrNotFound) && !errors.As(err, &field) {
					t.Errorf("%s with %q: %v", name, bad, err)
				}
			}
		}
	})
}
