package identity_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/identity"
)

func TestS10_PasswordRules(t *testing.T) {
	h := newHarness(t, "sqlite", nil)
	set := func(p string) error {
		_, err := h.Register(t.Context(), identity.NewAccount{Name: "Ann Archer", Username: "ann.archer", Email: "ann@example.com", Password: p})
		return err
	}
	for what, c := range map[string]struct{ password, reason string }{
		"none":                 {"", "required"},
		"7":                    {"aфzjкlm", "too_short"},
		"257":                  {strings.Repeat("aф", 128) + "b", "too_long"},
		"bad UTF-8":            {"abcdefg\xff", "invalid"},
		"common":               {"password", "common"},
		"common in other case": {"PassWord1", "common"},
		"a keyboard walk":      {"1qaz2wsx", "common"},
		"a name":               {"Jennifer", "common"},
		"digits":               {"1234567890", "common"},
		"one letter":           {"aaaaaaaaaaaaaaaaa", "common"},
		"own username":         {"Ann.Archer", "common"},
		"own address":          {"ann@example.com", "common"},
		"own name":             {"ann archer", "common"},
	} {
		h.wantField(what, set(c.password), "password", c.reason)
	}
	for what, p := range map[string]string{
		"8": "xkq wzpv", "256": strings.Repeat("aф", 128), "spaces at the ends": "  пробелы  ",
	} {
		if err := set(p); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		// No truncation: one character less is another password.
		_, err := h.Login(t.Context(), "ann.archer", p[:len(p)-1], identity.Device{})
		h.want(what+" less one", err, identity.ErrInvalidCredentials)
		g, err := h.Login(t.Context(), "ann.archer", p, identity.Device{})
		h.want(what, err, nil)
		if err := h.Delete(t.Context(), identity.Operator("test"), g.Account.ID); err != nil {
			t.Fatal(err)
		}
	}
	// A letter is the same however the keyboard composes it.
	if err := set("ёжики-колючие"); err != nil {
		t.Fatal(err)
	}
	_, err := h.Login(t.Context(), "ann.archer", "е\u0308жики-колючие", identity.Device{})
	h.want("decomposed", err, nil)
}

func TestS10_Argon2idWithRisingCost(t *testing.T) {
	each(t, nil, func(t *testing.T, h *harness) {
		g := h.register("ann")
		if !strings.HasPrefix(g.Account.PasswordHash, "$argon2id$v=19$m=19456,t=2,p=1$") {
			t.Errorf("hash %q", g.Account.PasswordHash)
		}
		stronger := h.node(func(o *identity.Options) { o.Passwords = identity.PasswordOptions{Memory: 20 << 10, Passes: 3} })
		_, err := stronger.Login(t.Context(), "ann", "wrong password", identity.Device{})
		h.want("a wrong password", err, identity.ErrInvalidCredentials)
		if acc, _ := h.Account(t.Context(), 1); acc.PasswordHash != g.Account.PasswordHash {
			t.Error("a wrong password changed the hash")
		}
		if _, err := stronger.Login(t.Context(), "ann", goodPassword, identity.Device{}); err != nil {
			t.Fatal(err)
		}
		acc, err := h.Account(t.Context(), 1)
		if err != nil || !strings.HasPrefix(acc.PasswordHash, "$argon2id$v=19$m=20480,t=3,p=1$") {
			t.Errorf("hash %q, %v", acc.PasswordHash, err)
		}
		h.login("ann") // where costs are lower, it is not lowered
		if again, _ := h.Account(t.Context(), 1); again.PasswordHash != acc.PasswordHash {
			t.Error("the cost has fallen")
		}
	})
}

func TestS10_CostsBelowTheFloorAreRefused(t *testing.T) {
	h := newHarness(t, "sqlite", nil)
	for _, p := range []identity.PasswordOptions{{Memory: 19<<10 - 1}, {Passes: 1}, {Lanes: -1}, {Parallel: -1}, {Memory: 5 << 20}} {
		if _, err := identity.NewAccounts(h.store.Accounts(), identity.Options{Passwords: p}); err == nil {
			t.Errorf("%+v is taken", p)
		}
	}
	if _, err := identity.NewAccounts(h.store.Accounts(), identity.Options{}); err != nil {
		t.Errorf("the zero value: %v", err)
	}
}

func TestS10_HashingIsBounded(t *testing.T) {
	h := newHarness(t, "sqlite", func(o *identity.Options) {
		// One at a time, each of some hundred milliseconds, and hardly any patience.
		o.Passwords = identity.PasswordOptions{Memory: 64 << 10, Passes: 6, Parallel: 1, Wait: time.Millisecond}
		o.Limits.LoginFailures = 1000
	})
	var wg sync.WaitGroup
	results := make(chan error, 4)
	for range 4 {
		wg.Go(func() {
			_, err := h.Login(t.Context(), "nobody", "wrong password", identity.Device{})
			results <- err
		})
	}
	wg.Wait()
	close(results)
	count := map[error]int{}
	for err := range results {
		count[err]++
	}
	if count[identity.ErrInvalidCredentials] == 0 || count[identity.ErrBusy] == 0 || len(count) != 2 {
		t.Errorf("%v", count)
	}
}
