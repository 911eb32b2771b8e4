package identity_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/identity"
)

func TestRegisterAndLogin(t *testing.T) {
	each(t, nil, func(t *testing.T, h *harness) {
		g, err := h.Register(t.Context(), identity.NewAccount{
			Name: "  Пётр \n Петров\u0000 ", Email: "Peter@Example.COM", Username: "Peter.P", Password: goodPassword,
		})
		if err != nil {
			t.Fatal(err)
		}
		a := g.Account
		if a.Name != "Пётр Петров" || a.Email != "peter@example.com" || a.Username != "peter.p" || a.Role != "user" || a.Kind != "human" ||
			a.State != "active" || a.Privacy != identity.DefaultPrivacy() || a.EmailVerifiedAt != 0 {
			t.Errorf("%+v", a)
		}
		if len(g.Session.ID) != 28 || g.Session.ID[:2] != "s_" {
			t.Errorf("session %q", g.Session.ID)
		}
		if got, err := h.Account(t.Context(), a.ID); err != nil || got != a {
			t.Errorf("stored %+v, %v", got, err)
		}
		want := []string{`user.created #0 user:1 {"user_id":1,"username":"peter.p","email":"peter@example.com","name":"Пётр Петров","auth_type":"password"}`}
		if got := h.take(); !slices.Equal(got, want) {
			t.Errorf("events %q", got)
		}
		for _, login := range []string{"peter.p", "PETER.P", " peter@example.com ", "Peter@Example.com"} {
			g, err := h.Login(t.Context(), login, goodPassword, identity.Device{})
			if err != nil || g.Account.ID != a.ID {
				t.Errorf("%q: %v", login, err)
			}
			if c := h.caller(g); c.User != a.ID || c.Role != "user" || c.Service || c.Name != a.Name || c.Session != g.Session.ID || c.LoginAt == 0 || c.Admin() {
				t.Errorf("%+v", c)
			}
		}
		_, err = h.Register(t.Context(), identity.NewAccount{Name: "x", Email: "PETER@example.com", Password: goodPassword})
		h.wantTaken("the same address", err, "email")
		_, err = h.Register(t.Context(), identity.NewAccount{Name: "x", Username: "peter.P", Password: goodPassword})
		h.wantTaken("the same name", err, "username")
	})
}

func TestRegistrationFields(t *testing.T) {
	h := newHarness(t, "sqlite", nil)
	for what, c := range map[string]struct {
		in            identity.NewAccount
		field, reason string
	}{
		"no name":       {identity.NewAccount{Username: "abc"}, "name", "required"},
		"blank name":    {identity.NewAccount{Name: " \t\u0007", Username: "abc"}, "name", "required"},
		"long name":     {identity.NewAccount{Name: fmt.Sprintf("%0101d", 1), Username: "abc"}, "name", "too_long"},
		"no login":      {identity.NewAccount{Name: "x"}, "email", "required"},
		"short user":    {identity.NewAccount{Name: "x", Username: "ab"}, "username", "invalid"},
		"user with @":   {identity.NewAccount{Name: "x", Username: "a@b.c"}, "username", "invalid"},
		"number":        {identity.NewAccount{Name: "x", Username: "12345"}, "username", "invalid"},
		"no at":         {identity.NewAccount{Name: "x", Email: "abc"}, "email", "invalid"},
		"display name":  {identity.NewAccount{Name: "x", Email: "A <a@b.c>"}, "email", "invalid"},
		"two addresses": {identity.NewAccount{Name: "x", Email: "a@b.c,d@e.f"}, "email", "invalid"},
		"header":        {identity.NewAccount{Name: "x", Email: "a@b.c\r\nBcc: d@e.f"}, "email", "invalid"},
		"long address":  {identity.NewAccount{Name: "x", Email: fmt.Sprintf("%0250d@b.cd", 1)}, "email", "too_long"},
	} {
		c.in.Password = goodPassword
		_, err := h.Register(t.Context(), c.in)
		h.wantField(what, err, c.field, c.reason)
	}
}

func TestWhoMayRegister(t *testing.T) {
	in := func(email, invite string) identity.NewAccount {
		return identity.NewAccount{Name: "x", Email: email, Password: goodPassword, Invite: invite}
	}
	t.Run("closed", func(t *testing.T) {
		h := newHarness(t, "sqlite", func(o *identity.Options) { o.Registration = identity.Closed })
		_, err := h.Register(t.Context(), in("a@b.cd", ""))
		h.want("anybody", err, identity.ErrRegistration)
	})
	t.Run("external", func(t *testing.T) {
		h := newHarness(t, "sqlite", func(o *identity.Options) {
			o.Mode, o.External.Verifier = identity.External, newVerifier(t, identity.VerifierOptions{HMACSecret: secret})
		})
		_, err := h.Register(t.Context(), in("a@b.cd", ""))
		h.want("registration", err, identity.ErrDisabled)
		_, err = h.Login(t.Context(), "a@b.cd", goodPassword, identity.Device{})
		h.want("login", err, identity.ErrDisabled)
		_, err = h.Refresh(t.Context(), "kr_x", identity.Device{})
		h.want("refresh", err, identity.ErrDisabled)
	})
	each(t, func(o *identity.Options) { o.Registration = identity.ByInvite }, func(t *testing.T, h *harness) {
		admin := h.admin()
		_, err := h.Register(t.Context(), in("a@b.cd", ""))
		h.want("uninvited", err, identity.ErrRegistration)
		_, err = h.Register(t.Context(), in("a@b.cd", "made up"))
		h.want("a made up invite", err, identity.ErrToken)
		token, _, err := h.CreateInvite(t.Context(), admin, identity.InviteOptions{MaxUses: 2})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []error{nil, nil, identity.ErrToken} {
			_, err = h.Register(t.Context(), in(fmt.Sprint(i, "@b.cd"), token))
			h.want(fmt.Sprint("invited ", i), err, want)
		}
		token, expires, err := h.CreateInvite(t.Context(), admin, identity.InviteOptions{})
		if err != nil || expires.Sub(h.clock()) > 24*time.Hour {
			t.Fatal(expires, err)
		}
		g, err := h.Register(t.Context(), in("0@b.cd", token))
		h.wantTaken("an address that is taken", err, "email") // and the invite is not used up
		_, err = h.Register(t.Context(), in("9@b.cd", token))
		h.want("the other address", err, nil)
		_ = g
		_, _, err = h.CreateInvite(t.Context(), identity.Caller{User: 2, Role: identity.RoleUser}, identity.InviteOptions{})
		h.want("an invite by a user", err, identity.ErrForbidden)
	})
	t.Run("domain", func(t *testing.T) {
		h := newHarness(t, "sqlite", func(o *identity.Options) {
			o.Registration, o.Domains = identity.ByDomain, []string{"Corp.example"}
		})
		h.run()
		_, err := h.Register(t.Context(), in("a@evil.example", ""))
		h.want("a foreign domain", err, identity.ErrRegistration)
		_, err = h.Register(t.Context(), in("a@x.corp.example", ""))
		h.want("a subdomain", err, identity.ErrRegistration)
		_, err = h.Register(t.Context(), identity.NewAccount{Name: "x", Username: "xyz", Password: goodPassword})
		h.wantField("no address", err, "email", "required")
		_, err = h.Register(t.Context(), in("a@corp.example", ""))
		h.want("before the address is confirmed", err, identity.ErrUnverified)
		_, err = h.Login(t.Context(), "a@corp.example", goodPassword, identity.Device{})
		h.want("login before", err, identity.ErrUnverified)
		m := <-h.mail
		if m.Kind != identity.MailVerify || m.To != "a@corp.example" {
			t.Fatalf("%+v", m)
		}
		if err := h.VerifyEmail(t.Context(), m.Token); err != nil {
			t.Fatal(err)
		}
		_, err = h.Login(t.Context(), "a@corp.example", goodPassword, identity.Device{})
		h.want("login after", err, nil)
	})
}

func TestS09_AccountStateAppliesToEveryWayIn(t *testing.T) {
	each(t, nil, func(t *testing.T, h *harness) {
		admin := h.admin()
		g := h.register("ann")
		if err := h.Suspend(t.Context(), admin, g.Account.ID); err != nil {
			t.Fatal(err)
		}
		_, err := h.Login(t.Context(), "ann", goodPassword, identity.Device{})
		h.want("login", err, identity.ErrSuspended)
		_, err = h.Login(t.Context(), "ann", "wrong password", identity.Device{})
		h.want("login with a wrong password tells nothing", err, identity.ErrInvalidCredentials)
		_, err = h.Refresh(t.Context(), g.RefreshToken, identity.Device{})
		h.want("refresh", err, identity.ErrSuspended)
		_, err = h.Authenticate(t.Context(), g.AccessToken)
		h.want("access token", err, identity.ErrSuspended)
		_, err = h.SessionCaller(t.Context(), g.Session.ID)
		h.want("connection", err, identity.ErrSuspended)
		_, err = h.UserCaller(t.Context(), g.Account.ID)
		h.want("connection without session", err, identity.ErrSuspended)
		if err := h.Unsuspend(t.Context(), admin, g.Account.ID); err != nil {
			t.Fatal(err)
		}
		h.login("ann")
		if err := h.Delete(t.Context(), admin, g.Account.ID); err != nil {
			t.Fatal(err)
		}
		for _, login := range []string{"ann", "ann@example.com"} {
			_, err = h.Login(t.Context(), login, goodPassword, identity.Device{})
			h.want("login of a deleted account", err, identity.ErrInvalidCredentials)
		}
		_, err = h.UserCaller(t.Context(), g.Account.ID)
		h.want("connection of a deleted account", err, identity.ErrUnauthorized)
		h.register("ann") // the name is free again
	})
}

func TestS11_FailuresAreLimitedPerAccount(t *testing.T) {
	each(t, nil, func(t *testing.T, h *harness) {
		h.register("ann")
		stranger := func(i int) identity.Device { return identity.Device{Address: fmt.Sprintf("198.51.100.%d", i)} }
		for _, login := range []string{"ann", "nobody"} { // both alike
			for i := range 5 {
				_, err := h.Login(t.Context(), login, "wrong password", stranger(i))
				h.want("a failure", err, identity.ErrInvalidCredentials)
			}
			_, err := h.Login(t.Context(), login, "wrong password", stranger(6))
			if d := limited(err); d != 30*time.Second {
				t.Errorf("%s: the 6th waits %v (%v), want 30s", login, d, err)
			}
		}
		// No stranger locks out the owner where the owner has been before.
		owner := identity.Device{Address: "192.0.2.3"}
		if _, err := h.Login(t.Context(), "ann", goodPassword, owner); err != nil {
			t.Errorf("from a known address: %v", err)
		}
		// But it is limited there too.
		for range 5 {
			_, err := h.Login(t.Context(), "ann", "wrong password", owner)
			h.want("a failure at home", err, identity.ErrInvalidCredentials)
		}
		if _, err := h.Login(t.Context(), "ann", goodPassword, owner); limited(err) == 0 {
			t.Errorf("after 5 failures at home: %v", err)
		}
		// The delay grows, and within 15 minutes there are at most 10 tries.
		h.pass(15 * time.Minute)
		tries, end := 0, h.clock().Add(15*time.Minute)
		var waits []time.Duration
		for h.clock().Before(end) {
			_, err := h.Login(t.Context(), "ann", "wrong password", stranger(100+tries))
			if d := limited(err); d > 0 {
				waits = append(waits, d)
				h.pass(d)
				continue
			}
			tries++
		}
		if tries > 10 || !slices.IsSorted(waits) || waits[0] >= waits[len(waits)-1] {
			t.Errorf("%d tries in 15 minutes, waits %v", tries, waits)
		}
	})
}

func TestS11_FailuresAreLimitedPerAddress(t *testing.T) {
	h := newHarness(t, "sqlite", nil)
	g := h.register("ann")
	const address = "2001:db8:1:2:" // one /64 is one attacker
	for i := range 20 {
		_, err := h.Login(t.Context(), fmt.Sprint("user", i), "wrong password", identity.Device{Address: fmt.Sprint(address, ":", i)})
		h.want("a failure", err, identity.ErrInvalidCredentials)
	}
	d := identity.Device{Address: address + ":ffff"}
	if _, err := h.Login(t.Context(), "ann", goodPassword, d); limited(err) == 0 {
		t.Errorf("the 21st: %v", err)
	}
	// Who shares the address with the attacker, but proves to have been here before.
	d.Earlier = g.RefreshToken
	if _, err := h.Login(t.Context(), "ann", goodPassword, d); err != nil {
		t.Errorf("a known device: %v", err)
	}
	d.Address = "2001:db8:1:3::1"
	d.Earlier = ""
	if _, err := h.Login(t.Context(), "ann", goodPassword, d); err != nil {
		t.Errorf("from elsewhere: %v", err)
	}
}

func TestS11_ManyAtOnceAreNotLetThroughTogether(t *testing.T) {
	h := newHarness(t, "sqlite", nil)
	h.register("ann")
	var wg sync.WaitGroup
	results := make(chan error, 40)
	for i := range 40 {
		wg.Go(func() {
			_, err := h.Login(t.Context(), "ann", "wrong password", identity.Device{Address: fmt.Sprintf("198.51.100.%d", i)})
			results <- err
		})
	}
	wg.Wait()
	close(results)
	checked := 0
	for err := range results {
		if limited(err) == 0 {
			checked++
		}
	}
	if checked != 5 {
		t.Errorf("%d of 40 passwords were checked, want 5", checked)
	}
}

func TestS11_RegistrationsAreLimitedPerAddress(t *testing.T) {
	h := newHarness(t, "sqlite", nil)
	register := func(i int) error {
		_, err := h.Register(t.Context(), identity.NewAccount{
			Name: "x", Username: fmt.Sprint("user", i), Password: goodPassword, Device: identity.Device{Address: "192.0.2.1"},
		})
		return err
	}
	for i := range 10 {
		h.want("register", register(i), nil)
		h.pass(time.Minute)
	}
	if d := limited(register(10)); d != 50*time.Minute {
		t.Errorf("the 11th waits %v", d)
	}
	h.pass(50 * time.Minute)
	h.want("an hour after the first", register(10), nil)
}

func TestS11_KnownAndUnknownTakeTheSameTime(t *testing.T) {
	h := newHarness(t, "sqlite", func(o *identity.Options) { o.Limits.LoginFailures, o.Limits.LoginFailuresAddress = 1<<20, 1<<20 })
	h.register("ann")
	// The quickest of each, of as many as are needed on a busy machine: what else it does only adds.
	const least, most = 15, 200
	quickest := map[string]time.Duration{}
	for n := 1; ; n++ {
		for _, login := range []string{"ann", "bob", "ann@example.com", "bob@example.com"} {
			start := time.Now()
			_, err := h.Login(t.Context(), login, "wrong password", identity.Device{Address: "192.0.2.77"})
			took := time.Since(start)
			if was, known := quickest[login]; !known || took < was {
				quickest[login] = took
			}
			h.want(login, err, identity.ErrInvalidCredentials)
		}
		alike := true
		for _, pair := range [][2]string{{"ann", "bob"}, {"ann@example.com", "bob@example.com"}} {
			// A ratio, as the machine is shared: without the decoy the unknown one takes a hundredth.
			r := float64(quickest[pair[0]]) / float64(quickest[pair[1]])
			alike = alike && r > 0.7 && r < 1.4
		}
		switch {
		case alike && n >= least:
			return
		case n == most:
			t.Fatalf("the quickest of %d: %v", most, quickest)
		}
	}
}

func TestChangePassword(t *testing.T) {
	each(t, nil, func(t *testing.T, h *harness) {
		first := h.register("ann")
		me := h.caller(first)
		other := h.login("ann")
		h.want("a wrong one", h.ChangePassword(t.Context(), me, "wrong password", "another password"), identity.ErrInvalidCredentials)
		h.wantField("a short one", h.ChangePassword(t.Context(), me, goodPassword, "short"), "new", "too_short")
		h.take()
		if err := h.ChangePassword(t.Context(), me, goodPassword, "another password"); err != nil {
			t.Fatal(err)
		}
		h.caller(first)
		_, err := h.Authenticate(t.Context(), other.AccessToken)
		h.want("the other session", err, identity.ErrUnauthorized)
		_, err = h.Login(t.Context(), "ann", goodPassword, identity.Device{})
		h.want("the old password", err, identity.ErrInvalidCredentials)
		if _, err = h.Login(t.Context(), "ann", "another password", identity.Device{}); err != nil {
			t.Error(err)
		}
		for range 5 {
			h.want("guessing", h.ChangePassword(t.Context(), me, "wrong password", "another one at all"), identity.ErrInvalidCredentials)
		}
		if err := h.ChangePassword(t.Context(), me, "another password", "another one at all"); limited(err) == 0 {
			t.Errorf("guessing with a stolen session: %v", err)
		}
		h.want("a service", h.ChangePassword(t.Context(), identity.Operator("x"), "", "another password"), identity.ErrForbidden)
	})
}

// Nobody has a login with a NUL; PostgreSQL would fail to look for one.
func TestLoginWithANULIsWrong(t *testing.T) {
	each(t, nil, func(t *testing.T, h *harness) {
		for _, login := range []string{"ann\x00", "ann\x00@example.org", "\xff@example.org"} {
			if _, err := h.Login(t.Context(), login, goodPassword, identity.Device{}); !errors.Is(err, identity.ErrInvalidCredentials) {
				t.Errorf("%q: %v", login, err)
			}
		}
	})
}
