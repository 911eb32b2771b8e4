package identity_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/identity"
)

// forgot asks for a reset token and returns the one that is mailed.
func (h *harness) forgot(email string) identity.Mail {
	h.t.Helper()
	if err := h.ForgotPassword(h.t.Context(), email, identity.Device{}); err != nil {
		h.t.Fatal(err)
	}
	select {
	case m := <-h.mail:
		return m
	case <-time.After(20 * time.Second):
		h.t.Fatal("no mail")
		return identity.Mail{}
	}
}

func TestS12_ResetToken(t *testing.T) {
	each(t, nil, func(t *testing.T, h *harness) {
		h.run()
		g := h.register("ann")
		<-h.mail // to verify the address
		m := h.forgot("Ann@example.com")
		if m.Kind != identity.MailReset || m.To != "ann@example.com" || len(m.Token) < 43 || m.Expires.Sub(h.clock()) > time.Hour {
			t.Errorf("%+v", m)
		}
		h.want("as a verification", h.VerifyEmail(t.Context(), m.Token), identity.ErrToken)
		_, err := h.CreateFirstAdmin(t.Context(), m.Token, identity.NewAccount{Username: "eve", Password: goodPassword})
		h.want("as a first administrator", err, identity.ErrToken)
		h.wantField("a bad password", h.ResetPassword(t.Context(), m.Token, "password"), "new", "common")
		if err := h.ResetPassword(t.Context(), m.Token, "another password"); err != nil {
			t.Fatal(err)
		}
		h.want("twice", h.ResetPassword(t.Context(), m.Token, "a third password"), identity.ErrToken)
		_, err = h.Authenticate(t.Context(), g.AccessToken)
		h.want("sessions are over", err, identity.ErrUnauthorized)
		after, err := h.Login(t.Context(), "ann", "another password", identity.Device{})
		if err != nil || after.Account.EmailVerifiedAt == 0 {
			t.Errorf("%+v, %v", after.Account, err)
		}

		late, old := h.forgot("ann@example.com"), h.forgot("ann@example.com")
		h.pass(time.Hour)
		h.want("after an hour", h.ResetPassword(t.Context(), late.Token, "a third password"), identity.ErrToken)
		fresh := h.forgot("ann@example.com")
		if err := h.ChangePassword(t.Context(), h.caller(h.loginWith("ann", "another password")), "another password", "a third password"); err != nil {
			t.Fatal(err)
		}
		for _, m := range []identity.Mail{old, fresh} {
			h.want("after a change of password", h.ResetPassword(t.Context(), m.Token, "a fourth password"), identity.ErrToken)
		}
	})
}

func (h *harness) loginWith(login, password string) identity.Grant {
	h.t.Helper()
	g, err := h.Login(h.t.Context(), login, password, identity.Device{})
	if err != nil {
		h.t.Fatal(err)
	}
	return g
}

func TestS12_SingleUseAmongAHundred(t *testing.T) {
	each(t, func(o *identity.Options) { o.Passwords.Parallel, o.Passwords.Wait = 4, time.Minute }, func(t *testing.T, h *harness) {
		h.run()
		h.register("ann")
		m := <-h.mail
		var used, busy atomic.Int64
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				switch err := h.VerifyEmail(t.Context(), m.Token); {
				case err == nil:
					used.Add(1)
				case errors.Is(err, identity.ErrToken):
				default:
					busy.Add(1) // the database, told to come back
				}
			})
		}
		wg.Wait()
		if used.Load() != 1 || busy.Load() == 100 {
			t.Errorf("used %d times (%d were told to come back)", used.Load(), busy.Load())
		}
	})
}

func TestS12_InviteUsesAreExact(t *testing.T) {
	each(t, func(o *identity.Options) {
		o.Registration, o.Limits.Registrations, o.Passwords.Wait = identity.ByInvite, 1000, time.Minute
	}, func(t *testing.T, h *harness) {
		token, _, err := h.CreateInvite(t.Context(), h.admin(), identity.InviteOptions{MaxUses: 7})
		if err != nil {
			t.Fatal(err)
		}
		var used atomic.Int64
		var wg sync.WaitGroup
		for i := range 30 { // each hashes a password
			wg.Go(func() {
				_, err := h.Register(t.Context(), identity.NewAccount{Name: "x", Username: fmt.Sprint("user", i), Password: goodPassword, Invite: token})
				if err == nil {
					used.Add(1)
				}
			})
		}
		wg.Wait()
		if used.Load() != 7 {
			t.Errorf("used %d times, want 7", used.Load())
		}
	})
}

func TestS12_NothingTellsWhetherAnAddressIsKnown(t *testing.T) {
	h := newHarness(t, "sqlite", nil)
	h.register("ann")
	for _, email := range []string{"ann@example.com", "nobody@example.com", "no address", ""} {
		h.want(email, h.ForgotPassword(t.Context(), email, identity.Device{}), nil)
	}
	for range 20 { // one address cannot make us send without end
		if err := h.ForgotPassword(t.Context(), "ann@example.com", identity.Device{Address: "192.0.2.1"}); limited(err) > 0 {
			return
		}
	}
	t.Error("not limited")
}

func TestMailIsBoundedPerAccount(t *testing.T) {
	h := newHarness(t, "sqlite", nil)
	h.run()
	h.register("ann")
	<-h.mail
	for range 5 {
		h.forgot("ann@example.com")
	}
	if err := h.ForgotPassword(t.Context(), "ann@example.com", identity.Device{}); err != nil {
		t.Fatal(err)
	}
	h.register("bob") // whose mail comes after what ann would get
	if m := <-h.mail; m.To != "bob@example.com" {
		t.Errorf("a sixth mail: %+v", m)
	}
}

func TestS06_WithoutMailerTheSecretIsNotLogged(t *testing.T) {
	h := newHarness(t, "sqlite", nil)
	lines := make(chan string, 100)
	h.Accounts = h.node(func(o *identity.Options) {
		o.Mailer, o.Logger = nil, slog.New(slog.NewTextHandler(writer(func(b []byte) { lines <- string(b) }), nil))
	})
	h.run()
	h.register("ann")
	h.want("forgot", h.ForgotPassword(t.Context(), "ann@example.com", identity.Device{}), nil)
	for range 2 {
		if line := <-lines; !strings.Contains(line, "no mailer") || strings.Contains(line, "ann") {
			t.Errorf("logged: %s", line)
		}
	}
}

type writer func([]byte)

func (w writer) Write(b []byte) (int, error) { w(b); return len(b), nil }

// mailer is a mailer that always succeeds.
func mailer(f func(identity.Mail)) func(context.Context, identity.Mail) error {
	return func(_ context.Context, m identity.Mail) error { f(m); return nil }
}

func TestMailerPanics(t *testing.T) {
	mails := make(chan string, 10)
	h := newHarness(t, "sqlite", nil)
	first := true
	h.Accounts = h.node(func(o *identity.Options) {
		o.Mailer = mailer(func(m identity.Mail) {
			if first {
				first = false
				panic("boom")
			}
			mails <- m.To
		})
	})
	h.run()
	h.register("ann")
	h.register("bob")
	if to := <-mails; to != "bob@example.com" {
		t.Errorf("mail to %s", to)
	}
}
