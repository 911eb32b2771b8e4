package identity_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/store"
)

// outside are options of a server whose people log in elsewhere.
func outside(t *testing.T, mode identity.Mode, numeric bool) func(*identity.Options) {
	return func(o *identity.Options) {
		o.Mode = mode
		o.External.NumericIDs = numeric
		o.External.Verifier = newVerifier(t, identity.VerifierOptions{HMACSecret: secret, RequireExp: true, Issuer: "app"})
	}
}

// foreign is a token of the operator's application with more claims.
func foreign(t *testing.T, h *harness, sub, more string) string {
	t.Helper()
	return hs(t, fmt.Sprintf(`{"sub":%s,"iss":"app","iat":%d,"exp":%d%s}`, sub, h.clock().Unix(), h.clock().Unix()+3600, more))
}

func TestExternalFirstContact(t *testing.T) {
	each(t, outside(t, identity.External, false), func(t *testing.T, h *harness) {
		raw := foreign(t, h, `"u-1"`, `,"name":" Анна ","email":"Anna@Example.com","email_verified":true,"picture":"https://app.example/a.png"`)
		c, err := h.Authenticate(t.Context(), raw)
		if err != nil || c.User != 1 || c.Role != "user" || c.Name != "Анна" || c.Session != "" || c.LoginAt/1000 != h.clock().Unix() {
			t.Fatalf("%+v, %v", c, err)
		}
		acc, err := h.Account(t.Context(), 1)
		if err != nil || acc.ExternalID != "u-1" || acc.Email != "anna@example.com" || acc.EmailVerifiedAt == 0 || acc.Picture != "https://app.example/a.png" {
			t.Errorf("%+v, %v", acc, err)
		}
		if got := h.take(); len(got) != 1 || got[0] != `user.created #0 user:1 {"user_id":1,"username":null,"email":"anna@example.com","name":"Анна","auth_type":"external"}` {
			t.Errorf("events %q", got)
		}
		if c, err := h.Authenticate(t.Context(), raw); err != nil || c.User != 1 {
			t.Errorf("again: %+v, %v", c, err)
		}
		// What does not fit is left out.
		c, err = h.Authenticate(t.Context(), foreign(t, h, `42`, `,"name":{"a":1},"email":"no address","picture":"javascript:alert(1)"`))
		if err != nil || c.Name != "42" {
			t.Errorf("%+v, %v", c, err)
		}
		if acc, _ := h.Account(t.Context(), c.User); acc.Email != "" || acc.Picture != "" || acc.ExternalID != "42" {
			t.Errorf("%+v", acc)
		}
		now := h.clock().Unix()
		for what, raw := range map[string]string{
			"another issuer": hs(t, fmt.Sprintf(`{"sub":"x","iss":"evil","exp":%d}`, now+60)),
			"no exp":         hs(t, `{"sub":"x","iss":"app"}`),
			"expired":        hs(t, fmt.Sprintf(`{"sub":"x","iss":"app","exp":%d}`, now)),
			"no sub":         foreign(t, h, `null`, ``),
			"empty sub":      foreign(t, h, `""`, ``),
			"object sub":     foreign(t, h, `{}`, ``),
			"subscription":   foreign(t, h, `"x"`, `,"channel":"chat:1"`),
			"connection":     foreign(t, h, `"x"`, `,"aud":"kuranty"`),
			"another key":    token(t, "HS256", []byte("other"), `{"alg":"HS256"}`, `{"sub":"x","iss":"app","exp":99999999999}`),
		} {
			_, err := h.Authenticate(t.Context(), raw)
			h.want(what, err, identity.ErrUnauthorized)
			if field := new(identity.FieldError); errors.As(err, &field) {
				t.Errorf("%s: %v is about a field that nobody sent", what, err)
			}
		}
		if err := h.Suspend(t.Context(), identity.Operator("x"), 1); err != nil {
			t.Fatal(err)
		}
		_, err = h.Authenticate(t.Context(), raw)
		h.want("suspended", err, identity.ErrSuspended)
		if err := h.Delete(t.Context(), identity.Operator("x"), 1); err != nil {
			t.Fatal(err)
		}
		_, err = h.Authenticate(t.Context(), raw)
		h.want("deleted stays deleted", err, identity.ErrUnauthorized)
	})
}

// Connection tokens that we make for a configured audience, with the key that the
// application has too, are no access tokens.
func TestS02_ConnectionTokensAreNoForeignTokens(t *testing.T) {
	signer, err := identity.NewSigner(identity.SignerOptions{HMACSecret: secret, Audience: "realtime"})
	if err != nil {
		t.Fatal(err)
	}
	h := newHarness(t, "sqlite", func(o *identity.Options) {
		o.Mode, o.Signer = identity.External, signer
		o.External.Verifier = newVerifier(t, identity.VerifierOptions{HMACSecret: secret, RequireExp: true})
	})
	raw, err := signer.CreateConnectionToken(identity.ConnectionTokenOptions{User: "7"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.Authenticate(t.Context(), raw)
	h.want("connection token", err, identity.ErrUnauthorized)
}

func TestExternalFirstContactOfMany(t *testing.T) {
	for _, numeric := range []bool{false, true} {
		each(t, outside(t, identity.External, numeric), func(t *testing.T, h *harness) {
			raw := foreign(t, h, `"7"`, `,"name":"Anna"`)
			other := h.node(outside(t, identity.External, numeric))
			var mu sync.Mutex
			users := map[int64]bool{}
			var wg sync.WaitGroup
			for i := range 20 {
				wg.Go(func() {
					a := []*identity.Accounts{h.Accounts, other}[i%2]
					c, err := a.Authenticate(t.Context(), raw)
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					users[c.User] = true
				})
			}
			wg.Wait()
			if len(users) != 1 || numeric != users[7] {
				t.Errorf("users %v", users)
			}
			if got := h.take(); len(got) != 1 {
				t.Errorf("events %q", got)
			}
		})
	}
}

func TestExternalNumericIDs(t *testing.T) {
	each(t, outside(t, identity.Both, true), func(t *testing.T, h *harness) {
		ann := h.register("ann") // accounts made here are numbered past all of theirs
		if ann.Account.ID != 1<<52+1 {
			t.Errorf("ann is %d", ann.Account.ID)
		}
		contact := func(sub string) (identity.Caller, error) { return h.Authenticate(t.Context(), foreign(t, h, sub, ``)) }
		for sub, want := range map[string]int64{`"40"`: 40, `41`: 41, `"1000"`: 1000} {
			if c, err := contact(sub); err != nil || c.User != want {
				t.Errorf("%s is %d, %v", sub, c.User, err)
			}
		}
		if c, err := contact(`"1"`); err != nil || c.User != 1 {
			t.Errorf("their first is %d, %v", c.User, err)
		}
		if g := h.register("bob"); g.Account.ID != ann.Account.ID+1 {
			t.Errorf("bob is %d", g.Account.ID)
		}
		for _, sub := range []string{`"042"`, `"0"`, `"-5"`, `"9007199254740991"`, `"1e3"`, `"abc"`} {
			if c, err := contact(sub); err != nil || c.User <= ann.Account.ID+1 || c.User > ann.Account.ID+100 {
				t.Errorf("%s is %d, %v", sub, c.User, err)
			}
		}
		if acc, created, err := h.UpsertExternal(t.Context(), identity.Operator("x"), "500", identity.AccountSpec{Name: text("x")}); err != nil || !created || acc.ID != 500 {
			t.Errorf("%+v, %v, %v", acc, created, err)
		}
		// The number of an account from before they were numbered lets nobody in.
		if err := h.store.Accounts().Update(t.Context(), func(tx identity.Tx) error {
			return tx.AddAccount(t.Context(), &identity.Account{ID: 2, Name: "old", Role: "admin", Kind: "human", State: "active"})
		}); err != nil {
			t.Fatal(err)
		}
		_, err := contact(`"2"`)
		h.want("another's number", err, identity.ErrUnauthorized)
		if taken := new(identity.TakenError); errors.As(err, &taken) {
			t.Errorf("it is told which field is taken: %v", err)
		}
	})
}

func TestS12_ExternalIdentitiesAreNotLinkedByAddress(t *testing.T) {
	each(t, outside(t, identity.Both, false), func(t *testing.T, h *harness) {
		ann := h.register("ann")
		c, err := h.Authenticate(t.Context(), foreign(t, h, `"evil"`, `,"email":"ann@example.com","email_verified":true`))
		if err != nil || c.User == ann.Account.ID {
			t.Fatalf("%+v, %v", c, err)
		}
		if acc, _ := h.Account(t.Context(), c.User); acc.Email != "" {
			t.Errorf("%+v", acc)
		}
		// Nor can who has an account there log in here.
		_, err = h.Login(t.Context(), "ann@example.com", "", identity.Device{})
		h.want("an empty password", err, identity.ErrInvalidCredentials)
		h.caller(ann) // and ours are taken beside theirs
	})
}

func TestExternalKeysUnavailable(t *testing.T) {
	h := newHarness(t, "sqlite", func(o *identity.Options) {
		o.Mode = identity.External
		o.External.Verifier = newVerifier(t, identity.VerifierOptions{JWKSEndpoint: "http://127.0.0.1:1/keys"})
	})
	_, err := h.Authenticate(t.Context(), token(t, "EdDSA", keys()["ed"], `{"alg":"EdDSA","kid":"a"}`, `{"sub":"x","exp":99999999999}`))
	if !errors.Is(err, identity.ErrKeysUnavailable) || errors.Is(err, identity.ErrUnauthorized) {
		t.Errorf("%v", err)
	}
}

func TestExternalAlgorithms(t *testing.T) {
	k := keys()
	for alg, o := range map[string]identity.VerifierOptions{
		"RS256": {RSAPublicKey: publicPEM(t, k["rsa"])}, "ES256": {ECDSAPublicKey: publicPEM(t, k["p256"])}, "EdDSA": {EdDSAPublicKey: publicPEM(t, k["ed"])},
	} {
		h := newHarness(t, "sqlite", func(opts *identity.Options) {
			opts.Mode = identity.External
			opts.External = identity.ExternalOptions{Verifier: newVerifier(t, o), UserClaim: "uid", NameClaim: "nick"}
		})
		key := map[string]any{"RS256": k["rsa"], "ES256": k["p256"], "EdDSA": k["ed"]}[alg]
		claims := fmt.Sprintf(`{"uid":17,"nick":"Анна","sub":"other","exp":%d}`, time.Now().Unix()+600)
		c, err := h.Authenticate(t.Context(), token(t, alg, key, `{"alg":"`+alg+`"}`, claims))
		if err != nil || c.Name != "Анна" {
			t.Errorf("%s: %+v, %v", alg, c, err)
		}
		if acc, _ := h.Account(t.Context(), c.User); acc.ExternalID != "17" {
			t.Errorf("%s: %+v", alg, acc)
		}
		_, err = h.Authenticate(t.Context(), token(t, "HS256", []byte(publicPEM(t, k["rsa"])), `{"alg":"HS256"}`, claims))
		h.want("confusion", err, identity.ErrUnauthorized)
	}
}

// event-gateway.md §1, rule 5. What a token grants counts at the gateway only: the caller is
// the same person, with the role that the account has.
func TestExternalPermissions(t *testing.T) {
	h := newHarness(t, store.SQLite, outside(t, identity.External, false))
	for more, want := range map[string]string{
		``: "[]",
		`,"permissions":["read:messages","read:analytics","read:messages"]`: "[read:messages read:analytics]",
		`,"permissions":[]`:                                     "[]",
		`,"permissions":[1]`:                                    "[]",
		`,"permissions":"read:messages"`:                        "[read:messages]",
		`,"scope":"openid email"`:                               "[]",
		`,"scope":"openid read:trust_network read:*"`:           "[read:trust_network read:*]",
		`,"roles":["user"],"scope":"read:users"`:                "[read:users]",
		`,"roles":["super_admin"],"permissions":["read:users"]`: "[*]",
		`,"roles":"admin"`:                                      "[*]",
		`,"roles":{"admin":true}`:                               "[]",
	} {
		c, err := h.Authenticate(t.Context(), foreign(t, h, `"u-1"`, more))
		if err != nil || fmt.Sprint(c.Granted) != want {
			t.Errorf("%s: %v, %v; want %s", more, c.Granted, err, want)
		}
		if c.Admin() || c.Can("admin") || c.Can("users:read") || c.Role != identity.RoleUser {
			t.Errorf("%s: %+v has more than what the gateway goes by", more, c)
		}
	}
}

// guarantees.md S2: no token of ours grants anything by a claim that only others' may have.
func TestS2_OwnTokensGrantNothing(t *testing.T) {
	h := newHarness(t, store.SQLite, outside(t, identity.Both, false))
	c, err := h.Authenticate(t.Context(), h.register("anna").AccessToken)
	if err != nil || c.Granted != nil {
		t.Errorf("%+v, %v", c, err)
	}
	connection := foreign(t, h, `"1"`, `,"aud":"kuranty","permissions":["*"]`)
	if c, err := h.Authenticate(t.Context(), connection); err == nil {
		t.Errorf("a token for connections opened %+v", c)
	}
}
