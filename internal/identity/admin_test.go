package identity_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kuranty/kuranty/internal/identity"
)

func TestS13_FirstAdministratorByToken(t *testing.T) {
	each(t, nil, func(t *testing.T, h *harness) {
		in := identity.NewAccount{Username: "root", Password: goodPassword}
		if list, err := h.ListAccounts(t.Context(), identity.Operator("test"), identity.AccountQuery{}); err != nil || len(list) != 0 {
			t.Fatalf("accounts of a new server: %v, %v", list, err)
		}
		token, err := h.FirstAdminToken(t.Context())
		if err != nil || len(token) < 43 {
			t.Fatalf("%q, %v", token, err)
		}
		_, err = h.CreateFirstAdmin(t.Context(), "", in)
		h.want("no token", err, identity.ErrToken)
		_, err = h.CreateFirstAdmin(t.Context(), strings.ToUpper(token), in)
		h.want("another token", err, identity.ErrToken)
		in.Password = "password"
		_, err = h.CreateFirstAdmin(t.Context(), token, in)
		h.wantField("a common password", err, "password", "common")
		in.Password = goodPassword
		h.pass(24 * time.Hour)
		_, err = h.CreateFirstAdmin(t.Context(), token, in)
		h.want("after a day", err, identity.ErrToken)

		// Two nodes printed one each, and many use them at once.
		one, err1 := h.FirstAdminToken(t.Context())
		two, err2 := h.FirstAdminToken(t.Context())
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		var made atomic.Int64
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				in := identity.NewAccount{Username: fmt.Sprint("root", i), Password: goodPassword}
				g, err := h.CreateFirstAdmin(t.Context(), []string{one, two}[i%2], in)
				switch {
				case err == nil:
					made.Add(1)
					if c := h.caller(g); !c.Admin() {
						t.Errorf("%+v", c)
					}
				case !errors.Is(err, identity.ErrToken) && !errors.Is(err, identity.ErrAdminExists):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if made.Load() != 1 {
			t.Errorf("%d first administrators", made.Load())
		}
		if token, err := h.FirstAdminToken(t.Context()); token != "" || err != nil {
			t.Errorf("a token although there is one: %v", err)
		}
		if _, made, err := h.EnsureAdmin(t.Context(), in); made || err != nil {
			t.Errorf("another by command: %v, %v", made, err)
		}
	})
}

func TestS13_FirstAdministratorByCommand(t *testing.T) {
	each(t, nil, func(t *testing.T, h *harness) {
		token, err := h.FirstAdminToken(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var made atomic.Int64
		var wg sync.WaitGroup
		_, _, err = h.EnsureAdmin(t.Context(), identity.NewAccount{Email: "root@example.com", Password: "short"})
		h.wantField("a short password", err, "password", "too_short")
		for range 4 { // as four nodes do that have it in their environment
			wg.Go(func() {
				_, ok, err := h.EnsureAdmin(t.Context(), identity.NewAccount{Email: "root@example.com", Password: goodPassword})
				if err != nil {
					t.Error(err)
				}
				if ok {
					made.Add(1)
				}
			})
		}
		wg.Wait()
		if made.Load() != 1 {
			t.Errorf("made %d times", made.Load())
		}
		_, err = h.CreateFirstAdmin(t.Context(), token, identity.NewAccount{Username: "eve", Password: goodPassword})
		h.want("the printed token", err, identity.ErrToken)
	})
}

func TestOnlyAdministratorsAdminister(t *testing.T) {
	each(t, nil, func(t *testing.T, h *harness) {
		user := h.caller(h.register("ann"))
		admin := h.admin()
		key := func(scopes ...string) identity.Caller {
			raw, _, err := h.CreateKey(t.Context(), admin, "test", scopes, 0)
			if err != nil {
				t.Fatal(err)
			}
			c, err := h.Authenticate(t.Context(), raw)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		for name, c := range map[string]struct {
			by  identity.Caller
			may bool
		}{
			"nobody": {identity.Caller{}, false}, "a user": {user, false}, "a key for events": {key("events:read", "read:*"), false},
			"an administrator": {admin, true}, "a key for it": {key("admin"), true}, "a key for all": {key(), true},
			"a person who claims scopes": {identity.Caller{User: 1, Role: identity.RoleUser, Scopes: []string{"*"}}, false},
		} {
			target, err := h.CreateAccount(t.Context(), admin, identity.AccountSpec{Name: text("x"), Username: text("target")})
			if err != nil {
				t.Fatal(err)
			}
			ctx, by, id := t.Context(), c.by, target.ID
			var errs []error
			do := func(err error) { errs = append(errs, err) }
			_, err = h.ListAccounts(ctx, by, identity.AccountQuery{})
			do(err)
			_, err = h.CreateAccount(ctx, by, identity.AccountSpec{Name: text("y"), Username: text("yyy" + fmt.Sprint(id))})
			do(err)
			_, _, err = h.UpsertExternal(ctx, by, fmt.Sprint(id), identity.AccountSpec{Name: text("z")})
			do(err)
			do(h.Suspend(ctx, by, id))
			do(h.Unsuspend(ctx, by, id))
			do(h.SetRole(ctx, by, id, identity.RoleAdmin))
			do(h.SetPassword(ctx, by, id, goodPassword))
			_, _, err = h.CreateReset(ctx, by, id)
			do(err)
			_, _, err = h.CreateInvite(ctx, by, identity.InviteOptions{})
			do(err)
			_, err = h.Keys(ctx, by)
			do(err)
			_, k, err := h.CreateKey(ctx, by, "test", []string{"admin"}, 0)
			do(err)
			if c.may {
				do(h.RevokeKey(ctx, by, k.ID))
			} else {
				do(h.RevokeKey(ctx, by, by.Key))
			}
			do(h.Delete(ctx, by, id))
			for i, err := range errs {
				if c.may && err != nil || !c.may && !errors.Is(err, identity.ErrForbidden) {
					t.Errorf("%s, operation %d: %v", name, i+1, err)
				}
			}
			if !c.may {
				h.want("clean up", h.Delete(ctx, admin, id), nil)
			}
		}
	})
}

func TestTheLastAdministratorStays(t *testing.T) {
	each(t, nil, func(t *testing.T, h *harness) {
		root := h.admin()
		h.want("suspend", h.Suspend(t.Context(), root, root.User), identity.ErrLastAdmin)
		h.want("demote", h.SetRole(t.Context(), root, root.User, identity.RoleUser), identity.ErrLastAdmin)
		h.want("delete", h.Delete(t.Context(), root, root.User), identity.ErrLastAdmin)
		ann := h.register("ann")
		if err := h.SetRole(t.Context(), root, ann.Account.ID, identity.RoleAdmin); err != nil {
			t.Fatal(err)
		}
		// Each takes the other's role at the same moment.
		for range 10 {
			var wg sync.WaitGroup
			wg.Go(func() { _ = h.SetRole(t.Context(), root, ann.Account.ID, identity.RoleUser) })
			wg.Go(func() { _ = h.SetRole(t.Context(), identity.Operator("ann"), root.User, identity.RoleUser) })
			wg.Wait()
			list, err := h.ListAccounts(t.Context(), identity.Operator("test"), identity.AccountQuery{Role: identity.RoleAdmin})
			if err != nil || len(list) != 1 {
				t.Fatalf("%d administrators are left, %v", len(list), err)
			}
			for _, id := range []int64{root.User, ann.Account.ID} {
				h.want("both again", h.SetRole(t.Context(), identity.Operator("test"), id, identity.RoleAdmin), nil)
			}
		}
	})
}

func TestAdministration(t *testing.T) {
	each(t, nil, func(t *testing.T, h *harness) {
		op := identity.Operator("backend")
		acc, err := h.CreateAccount(t.Context(), op, identity.AccountSpec{
			Name: text("Bot"), Kind: identity.KindBot, Role: identity.RoleUser,
		})
		if err != nil || acc.Kind != identity.KindBot || acc.PasswordHash != "" {
			t.Fatalf("%+v, %v", acc, err)
		}
		_, err = h.CreateAccount(t.Context(), op, identity.AccountSpec{Name: text("Human")})
		h.wantField("nothing to log in with", err, "email", "required")
		_, err = h.CreateAccount(t.Context(), op, identity.AccountSpec{Name: text("x"), Username: text("xyz"), Role: "owner"})
		h.wantField("role", err, "role", "invalid")
		h.take()
		up, created, err := h.UpsertExternal(t.Context(), op, "crm-17", identity.AccountSpec{
			Name: text("Ёлкина Анна"), Email: text("Anna@Example.com"), EmailVerified: new(true), Username: text("anna"),
		})
		if err != nil || !created || up.EmailVerifiedAt == 0 || up.ExternalID != "crm-17" {
			t.Fatalf("%+v, %v, %v", up, created, err)
		}
		again, created, err := h.UpsertExternal(t.Context(), op, "crm-17", identity.AccountSpec{Name: text("Анна Ёлкина"), Role: identity.RoleAdmin})
		if err != nil || created || again.ID != up.ID || again.Role != identity.RoleUser || again.Email != "anna@example.com" {
			t.Errorf("%+v, %v, %v", again, created, err)
		}
		same, _, err := h.UpsertExternal(t.Context(), op, "crm-17", identity.AccountSpec{Name: text("Анна Ёлкина")})
		if err != nil || same.UpdatedAt != again.UpdatedAt {
			t.Error(err)
		}
		moved, _, err := h.UpsertExternal(t.Context(), op, "crm-17", identity.AccountSpec{Email: text("new@example.com")})
		if err != nil || moved.EmailVerifiedAt != 0 {
			t.Errorf("a new address is verified: %+v, %v", moved, err)
		}
		_, _, err = h.UpsertExternal(t.Context(), op, "crm-18", identity.AccountSpec{Name: text("x"), Username: text("anna")})
		h.wantTaken("a username", err, "username")
		_, _, err = h.UpsertExternal(t.Context(), op, "", identity.AccountSpec{Name: text("x")})
		h.wantField("no id", err, "external_id", "required")
		got := h.take()
		for i, want := range []string{
			`user.created #0 key:backend {"user_id":2,"username":"anna","email":"anna@example.com","name":"Ёлкина Анна","auth_type":"external"}`,
			`user.updated user:2#1 key:backend {"user_id":2,"changes":["name"],"username":"anna"`,
			`user.updated user:2#2 key:backend {"user_id":2,"changes":["email","email_verified"],`,
		} {
			if i >= len(got) || !strings.HasPrefix(got[i], want) {
				t.Fatalf("events %q, want %q at %d", got, want, i)
			}
		}

		ann := h.register("ann_100%_x"[:7]) // ann_100
		for search, want := range map[string]int{"": 3, "ЕЛКИНА": 1, "ёлк": 1, "NEW@": 1, "%": 0, "_": 1, "n_1": 1, "nx1": 0, "!": 0} {
			list, err := h.ListAccounts(t.Context(), op, identity.AccountQuery{Search: search})
			if err != nil || len(list) != want {
				t.Errorf("%q finds %d, want %d (%v)", search, len(list), want, err)
			}
		}
		page, err := h.ListAccounts(t.Context(), op, identity.AccountQuery{After: 1, Limit: 1})
		if err != nil || len(page) != 1 || page[0].ID != 2 {
			t.Errorf("%+v, %v", page, err)
		}

		token, expires, err := h.CreateReset(t.Context(), op, ann.Account.ID)
		if err != nil || expires.Sub(h.clock()) > time.Hour {
			t.Fatal(err)
		}
		if err := h.ResetPassword(t.Context(), token, "another password"); err != nil {
			t.Fatal(err)
		}
		if acc := h.loginWith("ann_100", "another password").Account; acc.EmailVerifiedAt != 0 {
			t.Error("a token that was handed over verifies an address")
		}
		if err := h.Delete(t.Context(), op, ann.Account.ID); err != nil {
			t.Fatal(err)
		}
		gone, err := h.Account(t.Context(), ann.Account.ID)
		want := identity.Account{
			ID: ann.Account.ID, Name: "Deleted account", Role: "user", Kind: "human", State: "deleted", Privacy: identity.DefaultPrivacy(),
			Seq: gone.Seq, CreatedAt: ann.Account.CreatedAt, UpdatedAt: gone.UpdatedAt,
		}
		if diff := cmp.Diff(want, gone); diff != "" || err != nil {
			t.Errorf("%s %v", diff, err)
		}
		h.want("delete twice", h.Delete(t.Context(), op, ann.Account.ID), identity.ErrNotFound)
		h.want("suspend nobody", h.Suspend(t.Context(), op, 999), identity.ErrNotFound)
	})
}

func TestProfile(t *testing.T) {
	each(t, nil, func(t *testing.T, h *harness) {
		me := h.caller(h.register("ann"))
		h.register("bob")
		h.take()
		acc, err := h.UpdateProfile(t.Context(), me, identity.ProfileChange{
			Name: text("Анна"), About: text("line\nline "), Lang: text("ru"), TZ: text("Europe/Moscow"),
			Privacy: identity.PrivacyChange{LastSeen: text("nobody"), ReadReceipts: new(false)},
		})
		if err != nil || acc.About != "line\nline" || acc.Privacy.LastSeen != "nobody" || acc.Privacy.ReadReceipts || acc.Privacy.Email != "" {
			t.Fatalf("%+v, %v", acc, err)
		}
		stored, err := h.Account(t.Context(), me.User)
		acc.Seq = stored.Seq
		if diff := cmp.Diff(acc, stored); diff != "" || err != nil {
			t.Errorf("%s %v", diff, err)
		}
		if c, err := h.UserCaller(t.Context(), me.User); err != nil || c.Name != "Анна" {
			t.Errorf("%+v, %v", c, err)
		}
		if acc, err = h.SetAvatar(t.Context(), me, "f_picture"); err != nil || acc.AvatarFile != "f_picture" {
			t.Errorf("%+v, %v", acc, err)
		}
		if _, err := h.UpdateProfile(t.Context(), me, identity.ProfileChange{Name: text("Анна")}); err != nil {
			t.Error(err)
		}
		got := h.take()
		if len(got) != 2 || !strings.HasPrefix(got[0], `user.updated user:1#1 user:1 {"user_id":1,"changes":["name","about","lang","tz","privacy"],`) ||
			!strings.HasPrefix(got[1], `user.updated user:1#2 user:1 {"user_id":1,"changes":["avatar"],`) || !strings.Contains(got[1], `"avatar_file_id":"f_picture"`) {
			t.Errorf("events %q", got)
		}
		if strings.Contains(strings.Join(got, ""), "argon2") {
			t.Error("a password hash in an event")
		}
		for what, c := range map[string]struct {
			change        identity.ProfileChange
			field, reason string
		}{
			"name":     {identity.ProfileChange{Name: text(" ")}, "name", "required"},
			"about":    {identity.ProfileChange{About: text(strings.Repeat("я", 513))}, "about", "too_long"},
			"username": {identity.ProfileChange{Username: text("а")}, "username", "invalid"},
			"lang":     {identity.ProfileChange{Lang: text("russian!")}, "lang", "invalid"},
			"tz":       {identity.ProfileChange{TZ: text("../../etc/passwd")}, "tz", "invalid"},
			"local":    {identity.ProfileChange{TZ: text("Local")}, "tz", "invalid"},
			"privacy":  {identity.ProfileChange{Privacy: identity.PrivacyChange{Email: text("nobody")}}, "privacy.email", "invalid"},
		} {
			_, err := h.UpdateProfile(t.Context(), me, c.change)
			h.wantField(what, err, c.field, c.reason)
		}
		_, err = h.UpdateProfile(t.Context(), me, identity.ProfileChange{Username: text("Bob")})
		h.wantTaken("bob's name", err, "username")
		if acc, err = h.UpdateProfile(t.Context(), me, identity.ProfileChange{Username: text("")}); err != nil || acc.Username != "" {
			t.Errorf("no username: %v", err) // the address is left to log in with
		}
		_, err = h.UpdateProfile(t.Context(), identity.Operator("x"), identity.ProfileChange{})
		h.want("a service", err, identity.ErrForbidden)
		_, err = h.SetAvatar(t.Context(), identity.Operator("x"), "")
		h.want("a service", err, identity.ErrForbidden)
	})
}
