package servertest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net/http"
	"net/mail"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/mailtest"
	"github.com/kuranty/kuranty/internal/server"
	"github.com/kuranty/kuranty/internal/servertest"
)

const mailPassword = "c4n4ry of the mail server"

// mailServer starts a mail server, and returns the flags of a server that uses it.
func mailServer(t *testing.T, o mailtest.Options) (*mailtest.Server, []servertest.Option) {
	t.Helper()
	o.Username, o.Password = "mailer", mailPassword
	s := mailtest.Start(t, o)
	return s, []servertest.Option{
		servertest.Flag("mail.host", s.Host), servertest.Flag("mail.port", strconv.Itoa(s.Port)), servertest.Flag("mail.tls", "none"),
		servertest.Flag("mail.username", "mailer"), servertest.Flag("mail.password", mailPassword),
		servertest.Flag("mail.from", "Example <noreply@example.com>"), servertest.Flag("mail.reset_url", "https://app.example.com/reset#token={token}"),
	}
}

// letter returns the recipient, the subject and the text of the next letter.
func letter(t *testing.T, s *mailtest.Server) (to, subject, text string) {
	t.Helper()
	select {
	case l := <-s.Letters:
		m, err := mail.ReadMessage(strings.NewReader(l.Data))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(l.To, " "), m.Header.Get("Subject"), string(body)
	case <-time.After(10 * time.Second):
		t.Fatal("no letter")
		return "", "", ""
	}
}

// first is what the first group of a pattern matches in text.
func first(t *testing.T, pattern, text string) string {
	t.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if len(found) < 2 {
		t.Fatalf("%s is not in:\n%s", pattern, text)
	}
	return found[1]
}

// mailMetric waits for how many letters had an outcome.
func mailMetric(t *testing.T, in *servertest.Instance, outcome, want string) {
	t.Helper()
	var got string
	for late := time.Now().Add(10 * time.Second); time.Now().Before(late); {
		got = first(t, `kuranty_mail_total\{outcome="`+outcome+`"\} (\d+)`, request(t, in.URL, person{}, http.MethodGet, "/metrics", "", nil).body)
		if got == want {
			return
		}
		<-time.After(10 * time.Millisecond) // the letter is counted after it was taken
	}
	t.Errorf("%s letters %s, want %s", got, outcome, want)
}

// The letters of the server reach a mail server, and what is in them does what it is for.
func TestLettersDoWhatTheyAreFor(t *testing.T) {
	s, options := mailServer(t, mailtest.Options{})
	in := servertest.Start(t, options...)
	do := func(token, path string, body map[string]string, status int) (r reply) {
		t.Helper()
		if r = call(t, in, token, http.MethodPost, path, body); r.status != status {
			t.Fatalf("%s: %d %s", path, r.status, r.body)
		}
		return r
	}
	registered := do("", "/auth/register", map[string]string{
		"username": "anna", "name": "http://evil.example", "email": "anna@example.org", "password": "correct horse battery",
	}, 201)
	to, subject, text := letter(t, s)
	if to != "anna@example.org" || subject != "Confirm your address for Example" || strings.Contains(text, "evil") {
		t.Errorf("%s %s\n%s", to, subject, text)
	}
	verify := first(t, `\r\n\r\n(\S{30,})\r\n`, text)
	do("", "/auth/email/verify", map[string]string{"token": verify}, 204)
	do("", "/auth/email/verify", map[string]string{"token": verify}, 422)

	do("", "/auth/password/forgot", map[string]string{"email": "nobody@example.org"}, 204)
	do("", "/auth/password/forgot", map[string]string{"email": "anna@example.org"}, 204)
	to, subject, text = letter(t, s)
	if to != "anna@example.org" || subject != "New password for Example" {
		t.Errorf("%s %s\n%s", to, subject, text)
	}
	reset := first(t, `https://app\.example\.com/reset#token=(\S+)`, text)
	do("", "/auth/password/reset", map[string]string{"token": reset, "new": "staple wire fence"}, 204)
	do("", "/auth/login", map[string]string{"login": "anna", "password": "correct horse battery"}, 401)
	var grant struct {
		Access string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(do("", "/auth/login", map[string]string{"login": "anna", "password": "staple wire fence"}, 200).body), &grant); err != nil {
		t.Fatal(err)
	}

	do(grant.Access, "/trust/identities", map[string]string{"username": "anna", "public_key": "O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik="}, 201)
	var begun struct{ ID, Status string }
	if err := json.Unmarshal([]byte(do(grant.Access, "/trust/verifications", map[string]string{"type": "email"}, 201).body), &begun); err != nil {
		t.Fatal(err)
	}
	to, subject, text = letter(t, s)
	if to != "anna@example.org" || subject != "Your code for Example" {
		t.Errorf("%s %s\n%s", to, subject, text)
	}
	code := first(t, `\r\n\r\n(\d{6})\r\n`, text)
	do(grant.Access, "/trust/verifications/"+begun.ID+"/confirm", map[string]string{"code": code}, 200)

	mailMetric(t, in, "sent", "3")
	mailMetric(t, in, "failed", "0")
	if scan := call(t, in, in.APIKey, http.MethodPost, "/scans", map[string]string{"type": "full"}); scan.status != 201 || strings.Contains(scan.body, "open-registration") {
		t.Errorf("a scan does not see the mail server: %d %s", scan.status, scan.body)
	}
	for _, secret := range []string{mailPassword, verify, reset, code, "no mailer", "ERROR"} {
		if strings.Contains(in.Log()+registered.body, secret) {
			t.Errorf("the log has %q:\n%s", secret, in.Log())
		}
	}
}

// What a mail server refuses is told with the key, and with nothing secret; who asked
// learns nothing of it.
func TestS6_LettersThatAreRefused(t *testing.T) {
	_, options := mailServer(t, mailtest.Options{Plan: map[string]string{"LETTER": "554 5.7.1 not https://app.example.com/reset for " + mailPassword}})
	in := servertest.Start(t, options...)
	if r := call(t, in, "", http.MethodPost, "/auth/register", map[string]string{
		"username": "anna", "name": "Anna", "email": "anna@example.org", "password": "correct horse battery",
	}); r.status != 201 {
		t.Fatal(r.body)
	}
	if r := call(t, in, "", http.MethodPost, "/auth/password/forgot", map[string]string{"email": "anna@example.org"}); r.status != 204 {
		t.Error(r.body)
	}
	mailMetric(t, in, "failed", "2")
	mailMetric(t, in, "sent", "0")
	log := in.Log()
	if !strings.Contains(log, "mail not sent") || !strings.Contains(log, "mail.from") || !strings.Contains(log, "554 5.7.1 not https") || strings.Contains(log, "c4n4ry") || strings.Contains(log, "anna@") {
		t.Error(log)
	}
}

// The mailer of a program that embeds the server wins over the configuration.
func TestMailerOfTheProgramWins(t *testing.T) {
	s, options := mailServer(t, mailtest.Options{})
	letters := make(chan identity.Mail, 1)
	in := servertest.Start(t, append(options, servertest.With(func(o *server.Options) {
		o.Mailer = func(_ context.Context, m identity.Mail) error { letters <- m; return errors.New("not today") }
	}))...)
	if r := call(t, in, "", http.MethodPost, "/auth/register", map[string]string{
		"username": "anna", "name": "Anna", "email": "anna@example.org", "password": "correct horse battery",
	}); r.status != 201 {
		t.Fatal(r.body)
	}
	select {
	case <-letters:
	case l := <-s.Letters:
		t.Errorf("the mail server got %+v", l)
	case <-time.After(10 * time.Second):
		t.Error("no letter")
	}
	mailMetric(t, in, "failed", "1")
	if said := s.Said(); len(said) > 0 {
		t.Error(fmt.Sprint(said))
	}
}
