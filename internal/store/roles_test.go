package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/kuranty/kuranty/internal/chat"
)

// cell is a group in which one user stands in some relation, for one test of the matrix.
type cell struct {
	*chats
	id int64
	// user acts; owner, admin and plain are members beside, outside is nobody, gone was
	// banned.
	user, owner, admin, plain, outside, gone int64
}

// relations are what somebody can be to a group.
var relations = []string{chat.Owner, chat.Admin, chat.Plain, "stranger", chat.Left, chat.Removed, chat.Banned}

// cell makes a group of six users in which the first stands in a relation.
func (c *chats) cell(u []int64, relation, settings string) cell {
	c.t.Helper()
	c.made++
	x := cell{chats: c, id: c.made, user: u[0], owner: u[1], admin: u[2], plain: u[3], outside: u[4], gone: u[5]}
	role, state, first, count := chat.Plain, chat.Active, chat.Owner, 4
	switch relation {
	case chat.Owner:
		role, first, x.owner = chat.Owner, chat.Plain, x.user
	case chat.Admin:
		role = chat.Admin
	case chat.Left, chat.Removed, chat.Banned:
		state, count = relation, 3
	}
	c.store.MustExec(c.t, `INSERT INTO chats (id, kind, title, owner_id, settings, last_activity_at, member_count, created_by, created_at, updated_at)
		VALUES ($1, 'group', 'Группа', $2, $3, 0, $4, $2, 0, 0)`, x.id, x.owner, settings, count)
	c.store.MustExec(c.t, `INSERT INTO members (chat_id, user_id, role, state, joined_at) VALUES
		($1, $2, $3, 'active', 0), ($1, $4, 'admin', 'active', 0), ($1, $5, 'member', 'active', 0), ($1, $6, 'member', 'banned', 0), ($1, $7, $8, $9, 0)`,
		x.id, u[1], first, x.admin, x.plain, x.gone, x.user, role, state)
	if relation == "stranger" {
		c.store.MustExec(c.t, `DELETE FROM members WHERE chat_id = $1 AND user_id = $2`, x.id, x.user)
		c.store.MustExec(c.t, `UPDATE chats SET member_count = 3 WHERE id = $1`, x.id)
	}
	return x
}

// The matrix of chat-api.md §C.7, every action by everybody. Who is no member is told
// nothing but that there is no such chat (guarantees.md S14, S15).
func TestS14_RolesAndActions(t *testing.T) {
	const (
		no     = "-" // forbidden
		yes    = "+"
		byRule = "?" // plain members where the settings let all
	)
	word := func(s string) *string { return &s }
	actions := []struct {
		name                string
		owner, admin, plain string
		do                  func(ctx context.Context, x cell) error
	}{
		{"post", yes, yes, byRule, func(ctx context.Context, x cell) error {
			_, _, err := x.Send(ctx, x.user, x.id, chat.Sending{Text: "Привет"})
			return err
		}},
		{"add", yes, yes, byRule, func(ctx context.Context, x cell) error {
			_, _, err := x.AddMembers(ctx, x.user, x.id, []int64{x.outside})
			return err
		}},
		{"invite", yes, yes, byRule, func(ctx context.Context, x cell) error {
			_, err := x.CreateInvite(ctx, x.user, x.id, 0, 0)
			return err
		}},
		{"list invites", yes, yes, byRule, func(ctx context.Context, x cell) error {
			_, err := x.Invites(ctx, x.user, x.id)
			return err
		}},
		{"edit title", yes, yes, byRule, func(ctx context.Context, x cell) error {
			_, err := x.UpdateChat(ctx, x.user, x.id, chat.ChatChange{Title: word("Другое")})
			return err
		}},
		{"edit about", yes, yes, byRule, func(ctx context.Context, x cell) error {
			_, err := x.UpdateChat(ctx, x.user, x.id, chat.ChatChange{About: word("О чём это")})
			return err
		}},
		{"remove member", yes, yes, no, func(ctx context.Context, x cell) error { return x.Remove(ctx, x.user, x.id, x.plain, false) }},
		{"ban member", yes, yes, no, func(ctx context.Context, x cell) error { return x.Remove(ctx, x.user, x.id, x.plain, true) }},
		{"remove admin", yes, no, no, func(ctx context.Context, x cell) error { return x.Remove(ctx, x.user, x.id, x.admin, false) }},
		{"list bans", yes, yes, no, func(ctx context.Context, x cell) error {
			_, err := x.Bans(ctx, x.user, x.id)
			return err
		}},
		{"unban", yes, yes, no, func(ctx context.Context, x cell) error { return x.Unban(ctx, x.user, x.id, x.gone) }},
		{"promote", yes, no, no, func(ctx context.Context, x cell) error { return x.SetRole(ctx, x.user, x.id, x.plain, chat.Admin) }},
		{"demote", yes, no, no, func(ctx context.Context, x cell) error { return x.SetRole(ctx, x.user, x.id, x.admin, chat.Plain) }},
		{"settings", yes, no, no, func(ctx context.Context, x cell) error {
			_, err := x.UpdateChat(ctx, x.user, x.id, chat.ChatChange{Settings: &chat.SettingsChange{WhoCanPost: word(chat.Admins)}})
			return err
		}},
		{"retention", yes, no, no, func(ctx context.Context, x cell) error {
			_, err := x.UpdateChat(ctx, x.user, x.id, chat.ChatChange{RetentionDays: new(7)})
			return err
		}},
		{"transfer", yes, no, no, func(ctx context.Context, x cell) error { return x.Transfer(ctx, x.user, x.id, x.plain) }},
		{"delete", yes, no, no, func(ctx context.Context, x cell) error { return x.DeleteChat(ctx, x.user, x.id, true) }},
		{"read", yes, yes, yes, func(ctx context.Context, x cell) error {
			_, err := x.Chat(ctx, x.user, x.id)
			return err
		}},
		{"list members", yes, yes, yes, func(ctx context.Context, x cell) error {
			_, err := x.Members(ctx, x.user, x.id, chat.MembersQuery{})
			return err
		}},
	}
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		u := c.people(6)
		for _, rule := range []string{chat.Everyone, chat.Admins} {
			settings := fmt.Sprintf(`{"who_can_post":%q,"who_can_add":%q,"who_can_edit":%q}`, rule, rule, rule)
			for _, a := range actions {
				for _, relation := range relations {
					want := chat.ErrNotFound
					if may := map[string]string{chat.Owner: a.owner, chat.Admin: a.admin, chat.Plain: a.plain}[relation]; may != "" {
						want = chat.ErrForbidden
						if may == yes || may == byRule && rule == chat.Everyone {
							want = nil
						}
					}
					x := c.cell(u, relation, settings)
					var before string
					if want != nil {
						before = x.state()
					}
					err := a.do(t.Context(), x)
					if !errors.Is(err, want) {
						t.Errorf("%s by %s, %s may: %v, want %v", a.name, relation, rule, err, want)
					}
					if want != nil && x.state() != before {
						t.Errorf("%s by %s, %s may: refused, but something was changed", a.name, relation, rule)
					}
				}
			}
		}
	})
}

// state is everything about the group of a cell that actions change.
func (x *cell) state() string {
	x.t.Helper()
	var all string
	x.store.MustRows(x.t, `SELECT title || '|' || about || '|' || settings || '|' || owner_id || '|' || retention_days || '|' || state || '|' ||
			last_event_seq || '|' || last_seq || '|' || member_count AS line FROM chats WHERE id = $1
		UNION ALL SELECT user_id || '|' || role || '|' || state FROM members WHERE chat_id = $1
		UNION ALL SELECT id || '|' || revoked_at FROM invites WHERE chat_id = $1 ORDER BY line`, []any{x.id}, func(scan func(...any)) {
		var line string
		scan(&line)
		all += line + "\n"
	})
	return all
}

// Permissions say of each role what the matrix lets it do.
func TestPermissionsTellTheMatrix(t *testing.T) {
	view := func(kind, role, rule string) *chat.View {
		return &chat.View{
			Chat:   chat.Chat{Kind: kind, Settings: chat.Settings{WhoCanPost: rule, WhoCanAdd: rule, WhoCanEdit: rule}},
			Member: chat.Member{Role: role},
		}
	}
	all := chat.Permissions{Post: true, Add: true, EditInfo: true, Pin: true, DeleteOthers: true, Ban: true, Invite: true}
	for _, test := range []struct {
		kind, role, rule string
		want             chat.Permissions
	}{
		{chat.Group, chat.Owner, chat.Admins, all},
		{chat.Group, chat.Admin, chat.Admins, all},
		{chat.Group, chat.Plain, chat.Admins, chat.Permissions{}},
		{chat.Group, chat.Plain, chat.Everyone, chat.Permissions{Post: true, Add: true, EditInfo: true, Pin: true, Invite: true}},
		{chat.Group, chat.Plain, "", chat.Permissions{Post: true}},
		{chat.Direct, chat.Plain, "", chat.Permissions{Post: true, Pin: true}},
		{chat.Saved, chat.Plain, "", chat.Permissions{Post: true, Pin: true}},
	} {
		if got := view(test.kind, test.role, test.rule).Permissions(); got != test.want {
			t.Errorf("%s, %s, %q may: %+v, want %+v", test.kind, test.role, test.rule, got, test.want)
		}
	}
}

// Whoever is no member gets the same answer from every method, whether the chat exists
// or not, and nothing of it (guarantees.md S15).
func TestS15_StrangersSeeNoChat(t *testing.T) {
	word := func(s string) *string { return &s }
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		for _, relation := range []string{"stranger", chat.Left, chat.Removed, chat.Banned, "no chat"} {
			u := c.people(6)
			x := c.cell(u, "stranger", `{"who_can_add":"all","who_can_edit":"all"}`)
			switch relation {
			case "no chat":
				x.id += 1_000_000
			case "stranger":
			default:
				x = c.cell(u, relation, `{"who_can_add":"all","who_can_edit":"all"}`)
			}
			ctx, me, id := t.Context(), x.user, x.id
			for name, err := range map[string]error{
				"Chat":         second(c.Chat(ctx, me, id)),
				"Membership":   third(c.Membership(ctx, me, id)),
				"UpdateChat":   second(c.UpdateChat(ctx, me, id, chat.ChatChange{Title: word("x")})),
				"DeleteChat":   c.DeleteChat(ctx, me, id, true),
				"DeleteForMe":  c.DeleteChat(ctx, me, id, false),
				"Clear":        c.Clear(ctx, me, id),
				"SetState":     second(c.SetState(ctx, me, id, chat.StateChange{PinOrder: new(1)})),
				"Members":      second(c.Members(ctx, me, id, chat.MembersQuery{})),
				"AddMembers":   third(c.AddMembers(ctx, me, id, []int64{x.outside})),
				"SetRole":      c.SetRole(ctx, me, id, x.plain, chat.Admin),
				"Remove":       c.Remove(ctx, me, id, x.plain, true),
				"Leave":        c.Leave(ctx, me, id),
				"Bans":         second(c.Bans(ctx, me, id)),
				"Unban":        c.Unban(ctx, me, id, x.gone),
				"Transfer":     c.Transfer(ctx, me, id, x.plain),
				"CreateInvite": second(c.CreateInvite(ctx, me, id, 0, 0)),
				"Invites":      second(c.Invites(ctx, me, id)),
				"RevokeInvite": c.RevokeInvite(ctx, me, id, "i_aaaaaaaaaaaaaaaaaaaaaaaaaa"),
			} {
				if !errors.Is(err, chat.ErrNotFound) {
					t.Errorf("%s by %s: %v, want not found", name, relation, err)
				}
			}
			list, err := c.Chats(ctx, me, chat.ChatsQuery{})
			active, err2 := c.ActiveChats(ctx, me, 10)
			if err != nil || err2 != nil || len(list.Views) != 0 || list.Total != 0 || len(active) != 0 {
				t.Errorf("lists of %s: %v %v %d chats, %v active, want none", relation, err, err2, len(list.Views), active)
			}
		}
	})
}

func second[A any](_ A, err error) error        { return err }
func third[A, B any](_ A, _ B, err error) error { return err }
