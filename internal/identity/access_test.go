package identity_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/kuranty/kuranty/internal/identity"
)

// withSigner is a server whose secrets are all the same, the worst there is.
func withSigner(t *testing.T, o *identity.Options) {
	t.Helper()
	s, err := identity.NewSigner(identity.SignerOptions{HMACSecret: o.Secret})
	if err != nil {
		t.Fatal(err)
	}
	o.Signer = s
	o.ServiceKeys = []string{"the key of the configuration"}
	o.AvatarURL = func(file string) string { return "/files/" + file }
}

func TestS02_TokenKindsAreNotInterchangeable(t *testing.T) {
	var shared string
	h := newHarness(t, "sqlite", func(o *identity.Options) {
		shared = o.Secret
		withSigner(t, o)
		o.Mode = identity.Both
		o.External.Verifier = newVerifier(t, identity.VerifierOptions{HMACSecret: o.Secret})
	})
	h.run()
	g := h.register("ann")
	verify := <-h.mail
	admin := h.admin()
	conn, _, err := h.ConnectionToken(t.Context(), h.caller(g), 0)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := identity.NewSigner(identity.SignerOptions{HMACSecret: shared})
	if err != nil {
		t.Fatal(err)
	}
	sub, err := signer.CreateSubscriptionToken(identity.SubscriptionTokenOptions{User: "1", Channel: "chat:1"})
	if err != nil {
		t.Fatal(err)
	}
	invite, _, err := h.CreateInvite(t.Context(), admin, identity.InviteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	reset, _, err := h.CreateReset(t.Context(), admin, 1)
	if err != nil {
		t.Fatal(err)
	}
	tokens := map[string]string{
		"access": g.AccessToken, "refresh": g.RefreshToken, "connection": conn, "subscription": sub,
		"invite": invite, "reset": reset, "verify": verify.Token,
	}
	v := newVerifier(t, identity.VerifierOptions{HMACSecret: shared})
	for kind, raw := range tokens {
		uses := map[string]error{}
		_, uses["access"] = h.Authenticate(t.Context(), raw)
		_, uses["refresh"] = h.Refresh(t.Context(), raw, identity.Device{})
		_, uses["connection"] = v.ConnectionToken(t.Context(), raw)
		_, uses["subscription"] = v.SubscriptionToken(t.Context(), raw)
		uses["reset"] = h.ResetPassword(t.Context(), raw, "another password")
		uses["verify"] = h.VerifyEmail(t.Context(), raw)
		_, uses["first admin"] = h.CreateFirstAdmin(t.Context(), raw, identity.NewAccount{Username: "eve", Password: goodPassword})
		for use, err := range uses {
			if use != kind && err == nil {
				t.Errorf("a %s token is taken as %s", kind, use)
			}
		}
	}
}

func TestS02_AccessTokens(t *testing.T) {
	each(t, nil, func(t *testing.T, h *harness) {
		ann, bob := h.register("ann"), h.register("bob")
		claims := jwt.MapClaims{}
		if _, _, err := jwt.NewParser().ParseUnverified(ann.AccessToken, claims); err != nil {
			t.Fatal(err)
		}
		now := h.clock().Unix()
		want := fmt.Sprintf(`{"aud":"kuranty-access","exp":%d,"iat":%d,"role":"user","sid":"%s","sub":"1","typ":"access"}`, now+900, now, ann.Session.ID)
		if got, _ := json.Marshal(claims); string(got) != want {
			t.Errorf("claims %s, want %s", got, want)
		}
		if ann.AccessExpires.Unix() != now+900 {
			t.Errorf("expires %v", ann.AccessExpires)
		}
		parts := strings.Split(ann.AccessToken, ".")
		forged := func(header, claims string) string { return b64(header) + "." + b64(claims) + "." + parts[2] }
		body := fmt.Sprintf(`{"sub":"2","sid":"%s","typ":"access","aud":"kuranty-access","exp":%d}`, bob.Session.ID, now+900)
		for what, raw := range map[string]string{
			"nothing": "", "garbage": "a.b.c", "none": b64(`{"alg":"none"}`) + "." + parts[1] + ".", "other claims": forged(`{"alg":"HS256","typ":"JWT"}`, body),
			"the secret itself": token(t, "HS256", []byte(strings.Repeat("s", 32)), `{"alg":"HS256"}`, body),
			"no signature":      parts[0] + "." + parts[1] + ".", "too long": strings.Repeat("a", 9000),
		} {
			_, err := h.Authenticate(t.Context(), raw)
			h.want(what, err, identity.ErrUnauthorized)
		}
		h.pass(15*time.Minute - time.Second)
		h.caller(ann)
		h.pass(time.Second)
		_, err := h.Authenticate(t.Context(), ann.AccessToken)
		h.want("after 15 minutes", err, identity.ErrUnauthorized)
	})
}

func TestConnectionToken(t *testing.T) {
	each(t, func(o *identity.Options) { withSigner(t, o) }, func(t *testing.T, h *harness) {
		g := h.register("ann")
		me := h.caller(g)
		v := newVerifier(t, identity.VerifierOptions{HMACSecret: strings.Repeat("s", 32), RequireExp: true, Audience: "kuranty"})
		check := func(by identity.Caller, ttl, want time.Duration, info string) {
			t.Helper()
			raw, expires, err := h.ConnectionToken(t.Context(), by, ttl)
			if err != nil {
				t.Fatal(err)
			}
			c, err := v.ConnectionToken(t.Context(), raw)
			if err != nil || c.User != "1" || string(c.Info) != info || identity.SessionOf(c.Meta) != by.Session {
				t.Errorf("%+v, %v", c, err)
			}
			if d := time.Until(time.Unix(c.ExpireAt, 0)) - want; d > time.Second || d < -5*time.Second || expires.Unix() > c.ExpireAt {
				t.Errorf("expires %v, told %v", c.ExpireAt, expires)
			}
		}
		check(me, 0, time.Hour, `{"id":1,"name":"ann","avatar":null}`)
		if _, err := h.SetAvatar(t.Context(), me, "f_x"); err != nil {
			t.Fatal(err)
		}
		check(me, 24*time.Hour, 24*time.Hour, `{"id":1,"name":"ann","avatar":"/files/f_x"}`)
		me.Session = ""
		check(me, 0, time.Hour, `{"id":1,"name":"ann","avatar":"/files/f_x"}`)
		_, _, err := h.ConnectionToken(t.Context(), identity.Operator("x"), 0)
		h.want("a service", err, identity.ErrForbidden)
	})
	h := newHarness(t, "sqlite", nil)
	_, _, err := h.ConnectionToken(t.Context(), h.caller(h.register("ann")), 0)
	h.want("no signer", err, identity.ErrDisabled)
}

func TestS35_APIKeys(t *testing.T) {
	each(t, func(o *identity.Options) { withSigner(t, o) }, func(t *testing.T, h *harness) {
		admin := h.admin()
		h.take()
		raw, k, err := h.CreateKey(t.Context(), admin, " CRM\n", []string{"webhooks:read", "read:*"}, 24*time.Hour)
		if err != nil || !strings.HasPrefix(raw, "kur_") || len(raw) < 4+32 || strings.Contains(k.Hash+k.Hint, raw[8:]) || k.Name != "CRM" {
			t.Fatalf("%q %+v, %v", raw, k, err)
		}
		c, err := h.Authenticate(t.Context(), raw)
		if err != nil || !c.Service || c.Name != "CRM" || c.User != 0 || c.Key != k.ID || c.Actor() != "key:"+k.ID || c.Admin() {
			t.Errorf("%+v, %v", c, err)
		}
		for scope, want := range map[string]bool{
			"webhooks:read": true, "webhooks:write": false, "read:users": true, "read:*": true, "admin": false, "*": false, "read": false, "": false,
		} {
			if c.Can(scope) != want {
				t.Errorf("scope %q: %v", scope, !want)
			}
		}
		// Its last use is shown, once it has been written.
		h.pass(time.Minute)
		for _, ctx := range []context.Context{identity.WithPeer(t.Context(), "[2001:db8::7]:4711"), t.Context()} { // from nowhere that is known
			h.pass(time.Second)
			if _, err := h.Authenticate(ctx, raw); err != nil {
				t.Fatal(err)
			}
			h.flush()
		}
		list, err := h.Keys(t.Context(), admin)
		if err != nil || len(list) != 1 || list[0].LastUsedAt != h.clock().UnixMilli() || list[0].LastUsedIP != "2001:db8::7" || list[0].ExpiresAt != k.ExpiresAt || len(list[0].Scopes) != 2 {
			t.Errorf("%+v, %v", list, err)
		}
		h.pass(24 * time.Hour)
		_, err = h.Authenticate(t.Context(), raw)
		h.want("expired", err, identity.ErrUnauthorized)

		// A key makes no key that may do more than itself.
		limitedKey, _, err := h.CreateKey(t.Context(), admin, "admin", []string{"admin"}, 0)
		if err != nil {
			t.Fatal(err)
		}
		by, err := h.Authenticate(t.Context(), limitedKey)
		if err != nil {
			t.Fatal(err)
		}
		for _, scopes := range [][]string{nil, {"*"}, {"admin", "events:read"}} {
			_, _, err = h.CreateKey(t.Context(), by, "more", scopes, 0)
			h.want(fmt.Sprint("more than its own: ", scopes), err, identity.ErrForbidden)
		}
		for what, scopes := range map[string][]string{"space": {"a b"}, "empty": {""}, "stars": {"**"}, "case": {"Admin"}} {
			_, _, err = h.CreateKey(t.Context(), admin, "x", scopes, 0)
			h.wantField(what, err, "scopes", "invalid")
		}
		if err := h.RevokeKey(t.Context(), admin, by.Key); err != nil {
			t.Fatal(err)
		}
		_, err = h.Authenticate(t.Context(), limitedKey)
		h.want("revoked", err, identity.ErrUnauthorized)
		h.want("twice", h.RevokeKey(t.Context(), admin, by.Key), identity.ErrNotFound)
		for _, bad := range []string{"kur_", "kur_x", raw + "x", raw[:len(raw)-1]} {
			_, err = h.Authenticate(t.Context(), bad)
			h.want(bad, err, identity.ErrUnauthorized)
		}
		events := h.take()
		for i, typ := range []string{"token.created", "token.created", "token.revoked"} {
			if i >= len(events) || !strings.HasPrefix(events[i], typ+" #0 user:1 {\"token_id\":\"k_") || strings.Contains(events[i], raw[4:]) {
				t.Fatalf("events %q", events)
			}
		}

		c, err = h.Authenticate(t.Context(), "the key of the configuration")
		if err != nil || !c.Service || !c.Admin() || !c.Can("anything:here") || c.Actor() != "key:config" {
			t.Errorf("%+v, %v", c, err)
		}
	})
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	h := newHarness(t, "sqlite", nil)
	for key, o := range map[string]identity.Options{
		"auth.mode":                 {Mode: "none"},
		"auth.external":             {Mode: identity.External},
		"auth.registration:":        {Registration: "none"},
		"auth.registration_domains": {Registration: identity.ByDomain},
		"auth.refresh_token_ttl":    {AccessTTL: time.Hour, RefreshTTL: time.Minute},
		"auth.secret":               {Secret: "short"},
		"http_api.key":              {ServiceKeys: []string{""}},
	} {
		if _, err := identity.NewAccounts(h.store.Accounts(), o); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", key, err)
		}
	}

	_, all := identity.NewAccounts(h.store.Accounts(), identity.Options{Mode: "none", Secret: "short"})
	if all == nil || !strings.Contains(all.Error(), "auth.mode") || !strings.Contains(all.Error(), "auth.secret") {
		t.Errorf("not all at once: %v", all)
	}
}
