package identity_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/identity"
)

func TestS07_RefreshRotatesAndReuseRevokesTheFamily(t *testing.T) {
	each(t, nil, func(t *testing.T, h *harness) {
		g0 := h.register("ann")
		if len(g0.RefreshToken) < 64 || g0.Session.Refresh == g0.RefreshToken || strings.Contains(g0.Session.Refresh+g0.Session.Family, g0.RefreshToken) {
			t.Errorf("refresh token %q, stored %q and %q", g0.RefreshToken, g0.Session.Refresh, g0.Session.Family)
		}
		g1, err := h.Refresh(t.Context(), g0.RefreshToken, identity.Device{})
		if err != nil || g1.RefreshToken == g0.RefreshToken || g1.Session.ID != g0.Session.ID {
			t.Fatalf("refresh: %+v, %v", g1, err)
		}
		// The reply was lost: the same again, as often as it takes.
		h.pass(30 * time.Second)
		for range 3 {
			again, err := h.Refresh(t.Context(), g0.RefreshToken, identity.Device{})
			if err != nil || again.RefreshToken != g1.RefreshToken {
				t.Fatalf("within 30 s: %q, %v, want the same as first", again.RefreshToken, err)
			}
		}
		// Replaced twice within 30 s is still not late.
		g2, err := h.Refresh(t.Context(), g1.RefreshToken, identity.Device{})
		if err != nil {
			t.Fatal(err)
		}
		if again, err := h.Refresh(t.Context(), g0.RefreshToken, identity.Device{}); err != nil || again.RefreshToken != g2.RefreshToken {
			t.Errorf("replaced twice: %v", err)
		}
		h.take()
		h.pass(time.Millisecond)
		caller := h.caller(g2)
		_, err = h.Refresh(t.Context(), g0.RefreshToken, identity.Device{})
		h.want("after 30 s", err, identity.ErrTokenReused)
		if p := h.payloads("session.revoked"); len(p) != 1 || p[0]["reason"] != "token_reused" {
			t.Errorf("events %v", h.take())
		}
		_, err = h.Refresh(t.Context(), g2.RefreshToken, identity.Device{})
		h.want("the thief's or owner's newest token", err, identity.ErrTokenReused)
		_, err = h.Authenticate(t.Context(), g2.AccessToken)
		h.want("its access token", err, identity.ErrUnauthorized)
		if list, err := h.Sessions(t.Context(), caller); err != nil || len(list) != 0 {
			t.Errorf("sessions left: %v, %v", list, err)
		}
	})
}

func TestS07_StrangersRevokeNothing(t *testing.T) {
	each(t, nil, func(t *testing.T, h *harness) {
		ann, bob := h.register("ann"), h.register("bob")
		// The part that changes without the part that only the owner was told, and nonsense.
		for _, raw := range []string{"", "kr_", "kr_AAAA", ann.Session.ID, ann.RefreshToken + "A", ann.RefreshToken[:10] + bob.RefreshToken[10:], "kr_" + strings.Repeat("A", 64)} {
			_, err := h.Refresh(t.Context(), raw, identity.Device{})
			h.want(raw, err, identity.ErrUnauthorized)
		}
		for _, g := range []identity.Grant{ann, bob} {
			if _, err := h.Refresh(t.Context(), g.RefreshToken, identity.Device{}); err != nil {
				t.Error(err)
			}
		}
		h.want("another's session", h.Terminate(t.Context(), h.caller(bob), ann.Session.ID), identity.ErrNotFound)
		h.want("no session", h.Terminate(t.Context(), h.caller(bob), "s_x"), identity.ErrNotFound)
	})
}

func TestS07_SessionsEnd(t *testing.T) {
	each(t, nil, func(t *testing.T, h *harness) {
		g := h.register("ann")
		start := h.clock()
		// Used every 29 days a session lives on, until its absolute end.
		for h.clock().Sub(start) < 360*24*time.Hour {
			h.pass(29 * 24 * time.Hour)
			next, err := h.Refresh(t.Context(), g.RefreshToken, identity.Device{})
			if err != nil {
				if d := h.clock().Sub(start); d < 365*24*time.Hour {
					t.Fatalf("after %v: %v", d, err)
				}
				break
			}
			g = next
		}
		if end := time.UnixMilli(g.Session.ExpiresAt).Sub(start).Round(time.Hour); end > 365*24*time.Hour {
			t.Errorf("it would live %v", end)
		}
		other := h.login("ann")
		h.pass(30 * 24 * time.Hour)
		_, err := h.Refresh(t.Context(), other.RefreshToken, identity.Device{})
		h.want("idle for 30 days", err, identity.ErrUnauthorized)
	})
}

func TestS07_ListedToTheirOwnerAndRevocable(t *testing.T) {
	each(t, nil, func(t *testing.T, h *harness) {
		first := h.register("ann")
		h.pass(time.Second)
		second := h.login("ann")
		h.pass(time.Second)
		third := h.login("ann")
		me := h.caller(third)
		list, err := h.Sessions(t.Context(), me)
		if err != nil || len(list) != 3 || list[0].ID != third.Session.ID || list[2].Device != "phone" || list[2].Platform != "ios" || list[2].Address == "" {
			t.Fatalf("%+v, %v", list, err)
		}
		h.take()
		if err := h.Terminate(t.Context(), me, second.Session.ID); err != nil {
			t.Fatal(err)
		}
		h.want("twice", h.Terminate(t.Context(), me, second.Session.ID), identity.ErrNotFound)
		if n, err := h.LogoutAll(t.Context(), me, true); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		h.caller(third)
		if err := h.Logout(t.Context(), me); err != nil {
			t.Fatal(err)
		}
		if err := h.Logout(t.Context(), me); err != nil {
			t.Errorf("logging out twice: %v", err)
		}
		got := h.payloads("session.revoked")
		if len(got) != 3 || got[0]["reason"] != "terminated" || got[2]["session_ids"].([]any)[0] != third.Session.ID {
			t.Errorf("%v", got)
		}
		for i, e := range h.take() {
			if !strings.Contains(e, "user:1#"+string(rune('1'+i))+" user:1 ") {
				t.Errorf("event %d: %s", i+1, e)
			}
		}
		_, err = h.Refresh(t.Context(), first.RefreshToken, identity.Device{})
		h.want("a revoked session", err, identity.ErrUnauthorized)
	})
}

func TestS08_RevocationIsSeenAtOnceHereAndSoonElsewhere(t *testing.T) {
	each(t, nil, func(t *testing.T, h *harness) {
		admin := h.admin()
		other := h.node(nil)
		ways := map[string]func(identity.Grant, identity.Caller) error{
			"logout":  func(_ identity.Grant, c identity.Caller) error { return h.Logout(t.Context(), c) },
			"refresh": func(g identity.Grant, _ identity.Caller) error { return h.LogoutRefresh(t.Context(), g.RefreshToken) },
			"all": func(_ identity.Grant, c identity.Caller) error {
				_, err := h.LogoutAll(t.Context(), c, false)
				return err
			},
			"terminate": func(g identity.Grant, c identity.Caller) error { return h.Terminate(t.Context(), c, g.Session.ID) },
			"suspend":   func(g identity.Grant, _ identity.Caller) error { return h.Suspend(t.Context(), admin, g.Account.ID) },
			"delete":    func(g identity.Grant, _ identity.Caller) error { return h.Delete(t.Context(), admin, g.Account.ID) },
			"promote": func(g identity.Grant, _ identity.Caller) error {
				return h.SetRole(t.Context(), admin, g.Account.ID, identity.RoleAdmin)
			},
			"password": func(g identity.Grant, _ identity.Caller) error {
				return h.SetPassword(t.Context(), admin, g.Account.ID, "another password")
			},
		}
		n := 0
		for name, revoke := range ways {
			n++
			g := h.register("user" + strings.Repeat("x", n))
			c := h.caller(g)
			for _, a := range []*identity.Accounts{h.Accounts, other} {
				if _, err := a.Authenticate(t.Context(), g.AccessToken); err != nil {
					t.Fatal(err)
				}
			}
			h.take()
			if err := revoke(g, c); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			want := identity.ErrUnauthorized
			if name == "suspend" {
				want = identity.ErrSuspended
			}
			_, err := h.Authenticate(t.Context(), g.AccessToken)
			h.want(name+" here", err, want)
			_, err = h.SessionCaller(t.Context(), g.Session.ID)
			h.want(name+" of a connection", err, want)
			// The event names every session, so that their connections can be closed.
			p := h.payloads("session.revoked")
			if len(p) != 1 || !slices.Contains(p[0]["session_ids"].([]any), any(g.Session.ID)) {
				t.Errorf("%s: events %v", name, h.take())
			}
			if n%2 == 0 {
				other.Forget(g.Session.ID)
			} else {
				h.pass(5 * time.Second)
			}
			_, err = other.Authenticate(t.Context(), g.AccessToken)
			h.want(name+" on another node", err, want)
		}
	})
}

func TestS08_NothingOldIsRememberedAcrossARevocation(t *testing.T) {
	// A look-up that began before a revocation must not put its result back after it.
	h := newHarness(t, "sqlite", nil)
	for i := range 10 {
		g := h.register("user" + strings.Repeat("x", i%20+1) + string(rune('a'+i/20)))
		c := h.caller(g)
		h.pass(time.Hour / 3) // limits and memory
		g2, err := h.Refresh(t.Context(), g.RefreshToken, identity.Device{})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() { _, _ = h.Authenticate(t.Context(), g2.AccessToken) })
		}
		if err := h.Logout(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		_, err = h.Authenticate(t.Context(), g2.AccessToken)
		wg.Wait()
		h.want("at once", err, identity.ErrUnauthorized)
		_, err = h.Authenticate(t.Context(), g2.AccessToken)
		h.want("later", err, identity.ErrUnauthorized)
	}
}

func TestRefreshFromManyTabs(t *testing.T) {
	each(t, nil, func(t *testing.T, h *harness) {
		g := h.register("ann")
		var mu sync.Mutex
		got := map[string]int{}
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				next, err := h.Refresh(t.Context(), g.RefreshToken, identity.Device{})
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				got[next.RefreshToken]++
			})
		}
		wg.Wait()
		if len(got) != 1 {
			t.Errorf("%d different tokens", len(got))
		}
	})
}

func TestRefreshIsLimited(t *testing.T) {
	h := newHarness(t, "sqlite", nil)
	g := h.register("ann")
	for range 20 {
		var err error
		if g, err = h.Refresh(t.Context(), g.RefreshToken, identity.Device{}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := h.Refresh(t.Context(), g.RefreshToken, identity.Device{})
	if limited(err) == 0 {
		t.Errorf("the 21st in a moment: %v", err)
	}
	h.pass(31 * time.Second)
	if _, err = h.Refresh(t.Context(), g.RefreshToken, identity.Device{}); err != nil {
		t.Error(err)
	}
}
