package servertest_test

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/server"
	"github.com/kuranty/kuranty/internal/servertest"
)

// A program that embeds the server gives it a mailer: letters to verify the account and with
// codes go through it. What was proved is there after a restart, and pending codes are good.
func TestTrustWithAMailer(t *testing.T) {
	letters := make(chan identity.Mail, 10)
	options := []servertest.Option{servertest.DataDir(t.TempDir()), servertest.With(func(o *server.Options) {
		o.Mailer = func(_ context.Context, m identity.Mail) error { letters <- m; return nil }
	})}
	letter := func(kind string) identity.Mail {
		t.Helper()
		select {
		case m := <-letters:
			if m.Kind != kind || m.To != "anna@example.org" || m.Name != "Anna" || time.Until(m.Expires) <= 0 {
				t.Fatalf("letter %+v", m)
			}
			return m
		case <-time.After(10 * time.Second):
			t.Fatalf("no letter %s", kind)
			return identity.Mail{}
		}
	}
	in := servertest.Start(t, options...)
	do := func(token, method, path string, body any, status int, into any) {
		t.Helper()
		r := call(t, in, token, method, path, body)
		if err := json.Unmarshal([]byte(r.body), into); err != nil || r.status != status {
			t.Fatalf("%s %s: %d %s", method, path, r.status, r.body)
		}
	}
	var grant struct {
		Access string `json:"access_token"`
	}
	do("", http.MethodPost, "/auth/register", map[string]string{
		"username": "anna", "name": "Anna", "email": "anna@example.org", "password": "correct horse battery",
	}, 201, &grant)
	letter(identity.MailVerify)

	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	var own, begun, mailed struct{ ID, Challenge, Status string }
	do(grant.Access, http.MethodPost, "/trust/identities", map[string]string{
		"username": "anna", "public_key": hex.EncodeToString(key.Public().(ed25519.PublicKey)),
	}, 201, &own)
	do(grant.Access, http.MethodPost, "/trust/verifications", map[string]string{"type": "challenge"}, 201, &begun)
	do(grant.Access, http.MethodPost, "/trust/verifications/"+begun.ID+"/confirm", map[string]string{
		"signature": hex.EncodeToString(ed25519.Sign(key, []byte(begun.Challenge))),
	}, 200, &begun)
	do(grant.Access, http.MethodPost, "/trust/verifications", map[string]string{"type": "email"}, 201, &mailed)
	code := letter(identity.MailCode).Token
	in.Stop()
	if log := in.Log(); strings.Contains(log, code) || strings.Contains(log, "ERROR") {
		t.Errorf("the log is %s", log)
	}

	in = servertest.Start(t, options...)
	do(grant.Access, http.MethodPost, "/trust/verifications/"+mailed.ID+"/confirm", map[string]string{"code": code}, 200, &mailed)
	var after struct{ Reputation float64 }
	do(in.APIKey, http.MethodGet, "/trust/identities/"+own.ID, nil, 200, &after)
	if mailed.Status != "verified" || after.Reputation != 0.5125 {
		t.Errorf("after the restart %+v, %+v", mailed, after)
	}
}
