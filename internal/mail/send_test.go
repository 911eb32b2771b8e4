package mail_test

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/mail"
	"github.com/kuranty/kuranty/internal/mailtest"
)

const (
	user     = "mailer"
	password = "c4n4ry-password"
	token    = "c4n4ry-token"
)

// options are those of a mailer for s.
func options(s *mailtest.Server, security mail.Security) mail.Options {
	return mail.Options{
		Host: s.Host, Port: s.Port, Security: security, Roots: s.Roots, From: "Example <noreply@example.com>",
		Now: func() time.Time { return time.Date(2026, 11, 27, 9, 5, 0, 0, time.UTC) },
	}
}

func signedIn(o mail.Options) mail.Options {
	o.Username, o.Password = user, password
	return o
}

func newMailer(t *testing.T, o mail.Options) *mail.Mailer {
	t.Helper()
	m, err := mail.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// sample is a letter that says what must not get anywhere else.
var sample = mail.Letter{
	Kind: mail.Reset, To: "anna@example.org", Name: "Анна", Token: token, Expires: time.Date(2026, 11, 27, 10, 0, 59, 0, time.UTC),
}

// received is the letter that has come.
func received(t *testing.T, s *mailtest.Server) mailtest.Letter {
	t.Helper()
	select {
	case l := <-s.Letters:
		return l
	case <-time.After(10 * time.Second):
		t.Fatal("no letter")
		return mailtest.Letter{}
	}
}

func TestLettersAreTaken(t *testing.T) {
	for name, tt := range map[string]struct {
		server   mailtest.Options
		security mail.Security
		signIn   bool
	}{
		"starttls by PLAIN":   {mailtest.Options{STARTTLS: true, Username: user, Password: password}, mail.STARTTLS, true},
		"starttls by LOGIN":   {mailtest.Options{STARTTLS: true, Username: user, Password: password, Mechanisms: "XOAUTH2 LOGIN"}, mail.STARTTLS, true},
		"starttls if not set": {mailtest.Options{STARTTLS: true}, "", false},
		"tls":                 {mailtest.Options{TLS: true, Username: user, Password: password}, mail.TLS, true},
		"none":                {mailtest.Options{STARTTLS: true}, mail.None, false},
		"none, on this host":  {mailtest.Options{Username: user, Password: password}, mail.None, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := mailtest.Start(t, tt.server)
			o := options(s, tt.security)
			if tt.signIn {
				o = signedIn(o)
			}
			m := newMailer(t, o)
			if err := m.Send(t.Context(), sample); err != nil {
				t.Fatal(err)
			}
			l := received(t, s)
			if l.From != "noreply@example.com" || !slices.Equal(l.To, []string{"anna@example.org"}) || l.Encrypted != (tt.security != mail.None) || (l.User == user) != tt.signIn {
				t.Errorf("letter %+v", l)
			}
			for _, line := range s.Said() {
				verb, _, _ := strings.Cut(line, " ")
				if clear := !strings.HasSuffix(line, " [tls]"); clear && tt.security != mail.None && verb != "EHLO" && verb != "STARTTLS" {
					t.Errorf("in the clear: %s", line)
				}
			}
			if strings.Contains(m.String(), password) {
				t.Errorf("the mailer is %s", m)
			}
		})
	}
}

// A server that fails is named with the key that may be wrong, and what it says repeats
// nothing secret or personal (guarantees.md S6).
func TestS6_FailuresSayWhatToDoAndNoSecret(t *testing.T) {
	echo := token + " " + password + " " + base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00"+password)) + " anna@example.org\x1b[2J"
	for name, tt := range map[string]struct {
		server   mailtest.Options
		security mail.Security
		change   func(*mail.Options)
		want     string
	}{
		"wrong password":       {mailtest.Options{Username: user, Password: "x"}, mail.STARTTLS, nil, "mail.username, mail.password: {server} does not let this user in (535 5.7.8)"},
		"refused as it echoes": {mailtest.Options{Username: user, Password: password, Plan: map[string]string{"AUTH": "535 " + echo}}, mail.STARTTLS, nil, "does not let this user in (535)"},
		"only OAuth":           {mailtest.Options{Username: user, Mechanisms: "XOAUTH2"}, mail.STARTTLS, nil, "mail.username, mail.password: {server} takes credentials by XOAUTH2 only"},
		"no AUTH":              {mailtest.Options{}, mail.STARTTLS, nil, "mail.username, mail.password: {server} takes no credentials"},
		"asks on":              {mailtest.Options{Username: user, Plan: map[string]string{"AUTH": "334 ", "REFUSAL": "334 "}, Mechanisms: "PLAIN"}, mail.STARTTLS, nil, "asks for more than name and password"},
		"busy":                 {mailtest.Options{Plan: map[string]string{"GREETING": "421 4.3.2 try later " + echo}}, mail.STARTTLS, nil, "mail.host, mail.port: {server} refuses (greet): 421 4.3.2 try later [hidden]"},
		"no greeting":          {mailtest.Options{Plan: map[string]string{"GREETING": mailtest.Close}}, mail.STARTTLS, nil, "mail.host, mail.port: {server} closed the connection (greet)"},
		"not SMTP":             {mailtest.Options{Plan: map[string]string{"GREETING": "HTTP/1.1 400 " + echo}}, mail.STARTTLS, nil, "mail.host, mail.port: {server}: greet"},
		"closed in the middle": {mailtest.Options{Username: user, Password: password, Plan: map[string]string{"MAIL": mailtest.Close}}, mail.STARTTLS, nil, "closed the connection (name the sender)"},
		"sender refused":       {mailtest.Options{Username: user, Password: password, Plan: map[string]string{"MAIL": "550 5.7.1 not as this"}}, mail.STARTTLS, nil, "mail.from, mail.username: {server} refuses (name the sender): 550 5.7.1 not as this"},
		"recipient refused":    {mailtest.Options{Username: user, Password: password, Plan: map[string]string{"RCPT": "550 5.1.1 <anna@example.org> unknown"}}, mail.STARTTLS, nil, "refuses (name the recipient): 550 5.1.1 <[hidden]> unknown"},
		"letter refused":       {mailtest.Options{Username: user, Password: password, Plan: map[string]string{"LETTER": "554 5.7.1 spam: " + echo}}, mail.STARTTLS, nil, "mail.from, or what the mail server permits: {server} refuses (send the letter): 554 5.7.1 spam: [hidden] [hidden] [hidden] [hidden]"},
		"letter not answered":  {mailtest.Options{Username: user, Password: password, Plan: map[string]string{"LETTER": mailtest.Close}}, mail.STARTTLS, nil, "closed the connection (send the letter)"},
		"stranger's certificate": {
			mailtest.Options{},
			mail.STARTTLS, func(o *mail.Options) { o.Roots = nil },
			"mail.host, mail.tls: {server}: encrypt: tls: failed to verify certificate",
		},
		"another host's certificate": {mailtest.Options{}, mail.STARTTLS, func(o *mail.Options) { o.Host = "localhost" }, "mail.host, mail.tls: {server}: encrypt: tls: failed to verify certificate"},
		"TLS where STARTTLS is":      {mailtest.Options{}, mail.TLS, nil, "mail.host, mail.tls: {server}: encrypt"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.server.STARTTLS = true
			s := mailtest.Start(t, tt.server)
			o := signedIn(options(s, tt.security))
			o.Timeout = 20 * time.Second
			if tt.change != nil {
				tt.change(&o)
			}
			m := newMailer(t, o)
			err := m.Send(t.Context(), sample)
			if err == nil {
				t.Fatal("no error")
			}
			server, _, _ := strings.Cut(m.String(), " ")
			if want := strings.ReplaceAll(tt.want, "{server}", server); !strings.Contains(err.Error(), want) {
				t.Errorf("error = %v\nwant     %s", err, want)
			}
			if text := err.Error(); strings.Contains(text, "c4n4ry") || strings.Contains(text, "anna") || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(password))[:8]) || strings.ContainsRune(text, 0x1b) {
				t.Errorf("error repeats: %s", text)
			}
		})
	}
}

// Whoever takes STARTTLS out of the server's offer gets nothing.
func TestNoFallingBackToTheClear(t *testing.T) {
	s := mailtest.Start(t, mailtest.Options{Username: user, Password: password})
	err := newMailer(t, signedIn(options(s, mail.STARTTLS))).Send(t.Context(), sample)
	if err == nil || !strings.Contains(err.Error(), "mail.tls: ") || !strings.Contains(err.Error(), "offers no STARTTLS") {
		t.Errorf("error = %v", err)
	}
	s2 := mailtest.Start(t, mailtest.Options{STARTTLS: true, Username: user, Password: password, Plan: map[string]string{"STARTTLS": "454 4.7.0 not now"}})
	if err := newMailer(t, signedIn(options(s2, mail.STARTTLS))).Send(t.Context(), sample); err == nil || !strings.Contains(err.Error(), "mail.host, mail.tls: ") {
		t.Errorf("error = %v", err)
	}
	for _, line := range append(s.Said(), s2.Said()...) {
		if !strings.HasPrefix(line, "EHLO") && line != "STARTTLS" && line != "QUIT" {
			t.Errorf("in the clear: %s", line)
		}
	}
}

// What somebody in between adds to the answer that begins encryption is not taken for the
// server's (CVE-2011-0411 and its kind).
func TestNothingSaidInTheClearCounts(t *testing.T) {
	s := mailtest.Start(t, mailtest.Options{STARTTLS: true, Plan: map[string]string{"STARTTLS": "220 go on\r\n250-mail.test\r\n250 AUTH PLAIN"}})
	if err := newMailer(t, signedIn(options(s, mail.STARTTLS))).Send(t.Context(), sample); err == nil {
		t.Error("no error")
	}
	for _, line := range s.Said() {
		if strings.HasPrefix(line, "AUTH") {
			t.Errorf("the password was sent: %s", line)
		}
	}
}

func TestPasswordsStayOnThisMachineOrEncrypted(t *testing.T) {
	for host, allowed := range map[string]bool{
		"localhost": true, "127.0.0.1": true, "127.1.2.3": true, "::1": true,
		"mail.example.com": false, "10.0.0.1": false, "0.0.0.0": false, "localhost.example.com": false,
	} {
		_, err := mail.New(signedIn(mail.Options{Host: host, Security: mail.None, From: "a@example.com"}))
		if (err == nil) != allowed || err != nil && (!strings.HasPrefix(err.Error(), "mail.tls: ") || strings.Contains(err.Error(), password)) {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// A server that hangs at any step holds nobody longer than the context says.
func TestContextEndsSending(t *testing.T) {
	for _, verb := range []string{"GREETING", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "LETTER"} {
		t.Run(verb, func(t *testing.T) {
			s := mailtest.Start(t, mailtest.Options{STARTTLS: true, Username: user, Password: password, Plan: map[string]string{verb: mailtest.Hang}})
			o := signedIn(options(s, mail.STARTTLS))
			o.Timeout = time.Minute
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			begun := time.Now()
			err := newMailer(t, o).Send(ctx, sample)
			if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "mail.host, mail.port: ") || strings.Contains(err.Error(), "c4n4ry") {
				t.Errorf("error = %v", err)
			}
			if took := time.Since(begun); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestTimeoutEndsSending(t *testing.T) {
	s := mailtest.Start(t, mailtest.Options{TLS: true, Plan: map[string]string{"GREETING": mailtest.Hang}})
	o := options(s, mail.TLS)
	o.Timeout = 50 * time.Millisecond
	if err := newMailer(t, o).Send(t.Context(), sample); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error = %v", err)
	}
}

// A letter that was taken is sent, whatever the server does then.
func TestTakenIsSent(t *testing.T) {
	s := mailtest.Start(t, mailtest.Options{STARTTLS: true, Plan: map[string]string{"QUIT": mailtest.Close}})
	if err := newMailer(t, options(s, mail.STARTTLS)).Send(t.Context(), sample); err != nil {
		t.Error(err)
	}
	received(t, s)
}

func TestServerThatTalksWithoutEnd(t *testing.T) {
	s := mailtest.Start(t, mailtest.Options{Plan: map[string]string{"GREETING": "220 " + strings.Repeat("x", 1<<20)}})
	err := newMailer(t, options(s, mail.STARTTLS)).Send(t.Context(), sample)
	if err == nil || !strings.Contains(err.Error(), "said more than 64 KiB") || len(err.Error()) > 1000 {
		t.Errorf("error = %.2000v", err)
	}
}

func TestNobodyListens(t *testing.T) {
	s, err := mailtest.Listen(mailtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := newMailer(t, options(s, mail.TLS)).Send(t.Context(), sample); err == nil || !strings.HasPrefix(err.Error(), "mail.host, mail.port: ") {
		t.Errorf("error = %v", err)
	}
}

func TestAddressesInOtherScripts(t *testing.T) {
	l := sample
	l.To = "анна@пример.рф"
	s := mailtest.Start(t, mailtest.Options{STARTTLS: true})
	if err := newMailer(t, options(s, mail.STARTTLS)).Send(t.Context(), l); err == nil || !strings.Contains(err.Error(), "SMTPUTF8") || strings.Contains(err.Error(), "анна") {
		t.Errorf("error = %v", err)
	}
	s = mailtest.Start(t, mailtest.Options{STARTTLS: true, UTF8: true})
	if err := newMailer(t, options(s, mail.STARTTLS)).Send(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	if got := received(t, s); !slices.Equal(got.To, []string{l.To}) {
		t.Errorf("letter %+v", got)
	}
}
