package identity_test

import (
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/store"
)

// Somebody sets the clock. Who has to wait waits as long as before, nobody is taken for a
// thief, and what is remembered is looked up again when it was to be.
func TestR28_TheDateIsSet(t *testing.T) {
	for _, by := range []time.Duration{time.Hour, -time.Hour, 24 * time.Hour, -24 * time.Hour} {
		t.Run(by.String(), func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, store.SQLite, func(o *identity.Options) { o.AccessTTL = 48 * time.Hour })
			g := h.register("ann")
			far := identity.Device{Address: "198.51.100.1"}
			for range 5 {
				_, err := h.Login(t.Context(), "ann", "wrong password", far)
				h.want("a failure", err, identity.ErrInvalidCredentials)
			}
			elsewhere := h.node(func(o *identity.Options) { o.AccessTTL = 48 * time.Hour })
			lost, err := h.Refresh(t.Context(), g.RefreshToken, identity.Device{})
			if err != nil {
				t.Fatal(err)
			}
			h.caller(lost)

			h.set(by)
			_, err = h.Login(t.Context(), "ann", goodPassword, far)
			if d := limited(err); d != 30*time.Second {
				t.Errorf("after 5 failures the next login waits %v (%v), want 30s", d, err)
			}
			again, err := h.Refresh(t.Context(), g.RefreshToken, identity.Device{})
			if err != nil || again.RefreshToken != lost.RefreshToken {
				t.Errorf("the lost reply to a refresh: %q, %v; want it again", again.RefreshToken, err)
			}
			caller := h.caller(lost)
			if err := elsewhere.Logout(t.Context(), caller); err != nil {
				t.Fatal(err)
			}
			h.pass(5 * time.Second)
			_, err = h.Authenticate(t.Context(), lost.AccessToken)
			h.want("5 s after a logout elsewhere", err, identity.ErrUnauthorized)

			h.pass(25 * time.Second)
			next, err := h.Login(t.Context(), "ann", goodPassword, far)
			if err != nil {
				t.Fatalf("after waiting 30 s: %v", err)
			}
			newest, err := h.Refresh(t.Context(), next.RefreshToken, identity.Device{})
			if err != nil {
				t.Fatal(err)
			}
			h.caller(newest)
			h.pass(31 * time.Second)
			_, err = h.Refresh(t.Context(), next.RefreshToken, identity.Device{})
			h.want("a replaced token after 31 s", err, identity.ErrTokenReused)
		})
	}
}
