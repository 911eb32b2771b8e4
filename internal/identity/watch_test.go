package identity_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/store"
)

// watch remembers what it is told.
type watch struct {
	mu   sync.Mutex
	told []string
}

func (w *watch) note(format string, a ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, fmt.Sprintf(format, a...))
}

func (w *watch) SignInFailed(user int64, address string) { w.note("failed %d %s", user, address) }
func (w *watch) TokenReused(user int64, address string)  { w.note("reused %d %s", user, address) }
func (w *watch) KeyRefused(key string)                   { w.note("key %s", key) }

// Guesses, those that come too often included, and copied tokens are told; what is right
// is not.
func TestWatcherIsTold(t *testing.T) {
	w := new(watch)
	h := newHarness(t, store.SQLite, func(o *identity.Options) { o.Watch, o.Limits.LoginFailures = w, 2 })
	ctx := t.Context()
	g, err := h.Register(ctx, identity.NewAccount{Name: "Anna", Username: "anna", Password: goodPassword})
	if err != nil {
		t.Fatal(err)
	}
	want := func(told ...string) {
		t.Helper()
		w.mu.Lock()
		defer w.mu.Unlock()
		if !slices.Equal(w.told, told) {
			t.Errorf("told %q, want %q", w.told, told)
		}
		w.told = nil
	}
	far := identity.Device{Address: "2001:db8::1"}
	for range 3 { // the third comes too often
		_, _ = h.Login(ctx, "anna", "guess", far)
	}
	failed := fmt.Sprintf("failed %d 2001:db8::/64", g.Account.ID)
	want(failed, failed, failed)
	_, _ = h.Login(ctx, "nobody", "guess", identity.Device{Address: "192.0.2.1"})
	want("failed 0 192.0.2.1")
	if _, err := h.Login(ctx, "anna", goodPassword, identity.Device{Earlier: g.RefreshToken}); err != nil {
		t.Error(err)
	}
	want()
	anna, err := h.Authenticate(ctx, g.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	h.want("change", h.ChangePassword(ctx, anna, "guess", goodPassword+"!"), identity.ErrInvalidCredentials)
	want(fmt.Sprintf("failed %d ", g.Account.ID))

	if _, err := h.Refresh(ctx, g.RefreshToken, far); err != nil {
		t.Fatal(err)
	}
	want()
	h.pass(time.Minute)
	reused := fmt.Sprintf("reused %d 192.0.2.9", g.Account.ID)
	for range 2 { // the second time its session has been ended already
		_, err = h.Refresh(ctx, g.RefreshToken, identity.Device{Address: "192.0.2.9"})
		h.want("reuse", err, identity.ErrTokenReused)
	}
	want(reused, reused)

	secret, key, err := h.CreateKey(ctx, identity.Operator("test"), "billing", nil, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Authenticate(ctx, secret); err != nil {
		t.Error(err)
	}
	want()
	h.pass(time.Hour)
	_, err = h.Authenticate(ctx, secret)
	h.want("expired", err, identity.ErrUnauthorized)
	want("key " + key.ID)
}
