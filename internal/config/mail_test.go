package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kuranty/kuranty/internal/config"
)

func TestMailIsOffByDefault(t *testing.T) {
	res := load(t, "c.yaml", "")
	if diff := cmp.Diff(config.Mail{TLS: "starttls"}, res.Config.Mail); diff != "" || len(res.Notes) > 0 {
		t.Errorf("%s, notes\n%s", diff, notes(res))
	}
}

func TestMailThatDoesNotFitTogether(t *testing.T) {
	const whole = "host: mail.example.com, from: a@example.com"
	for _, tt := range []struct{ bad, want, good string }{
		{"from: a@example.com", "mail.from (file c.yaml:1): needs mail.host", whole},
		{"username: a, password: b", "mail.username (file c.yaml:1): needs mail.host", whole + ", username: a, password: b"},
		{"reset_url: 'https://a/{token}'", "mail.reset_url (file c.yaml:1): needs mail.host", whole + ", reset_url: 'https://a/{token}'"},
		{"verify_url: 'https://a/{token}'", "mail.verify_url (file c.yaml:1): needs mail.host", whole + ", verify_url: 'http://localhost:3000?t={token}'"},
		{"host: mail.example.com", "mail.from (default): is needed with mail.host", whole},
		{"host: 'smtp://mail.example.com', from: a@example.com", "mail.host (file c.yaml:1): ", "host: '::1', from: a@example.com"},
		{"host: a, from: a@пример.рф", "mail.from (file c.yaml:1): must be an address", "host: a, from: a@xn--e1afmkfd.xn--p1ai"},
		{"host: a, from: \"a@b\\r\\nBcc: c@d\"", "mail.from (file c.yaml:1): must be an address", "host: a, from: 'Пример Inc <a@b>'"},
		{"host: a, from: '=?utf-8?q?a=0d=0aBcc?= <a@b>'", "mail.from (file c.yaml:1): must be an address", "host: a, from: '=?utf-8?q?a?= <a@b>'"},
		{"host: a, from: 'a@b, c@d'", "mail.from (file c.yaml:1): must be an address", "host: a, from: '\"a, c\" <c@d>'"},
		{"host: a, from: 'a@" + strings.Repeat("b", 319) + "'", "mail.from (file c.yaml:1): must be an address", "host: a, from: 'a@" + strings.Repeat("b", 318) + "'"},
		{whole + ", username: a", "mail.username (file c.yaml:1): needs mail.password", whole + ", username: a, password: b"},
		{whole + ", password: a", "mail.password (file c.yaml:1): needs mail.username", whole + ", username: a, password: b, tls: tls, port: 1"},
		{whole + ", username: a, password: b, tls: none", "mail.tls (file c.yaml:1): must be starttls or tls", "host: localhost, from: a@example.com, username: a, password: b, tls: none"},
		{whole + ", reset_url: 'https://a/{token}/{token}'", "mail.reset_url (file c.yaml:1): must have {token} in it once", whole + ", reset_url: 'https://a/?a=b&token={token}#c'"},
		{whole + ", reset_url: 'https://{token}.a/'", "mail.reset_url (file c.yaml:1): must be http://", whole + ", reset_url: 'https://a:8443/{token}'"},
		{whole + ", reset_url: 'https://a{token}'", "mail.reset_url (file c.yaml:1): must be http://", whole + ", reset_url: 'https://a#{token}'"},
		{whole + ", reset_url: 'https://u:p@a/{token}'", "mail.reset_url (file c.yaml:1): must be http://", whole + ", reset_url: 'https://[::1]:3000/{token}'"},
		{whole + ", reset_url: 'javascript:{token}'", "mail.reset_url (file c.yaml:1): must be http://", whole},
		{whole + ", reset_url: \"https://a/\\r\\n{token}\"", "mail.reset_url (file c.yaml:1): must be http://", whole},
		{whole + ", reset_url: 'https://a/я{token}'", "mail.reset_url (file c.yaml:1): must be http://", whole + ", reset_url: 'https://a/%D1%8F{token}'"},
	} {
		if got := problems(t, yaml("mail: {"+tt.bad+"}")); !strings.Contains(got, tt.want) || strings.Contains(got, "\n") && !strings.HasPrefix(tt.bad, "username") {
			t.Errorf("%s\n%s\nwant %s", tt.bad, got, tt.want)
		}
		if got := problems(t, yaml("mail: {"+tt.good+"}")); got != "" {
			t.Errorf("%s\n%s\nwant no problem", tt.good, got)
		}
	}
}

func TestMailThatOthersCanReadIsNoted(t *testing.T) {
	for text, want := range map[string]string{
		"host: mail.example.com, from: a@b, tls: none, reset_url: 'https://a/{token}', verify_url: 'https://a/{token}'": "mail.tls (file c.yaml:1): letters go to mail.example.com unencrypted, and what is in them can be read on the way\n",
		"host: 127.0.0.1, from: a@b, tls: none, reset_url: 'https://a/{token}', verify_url: 'https://a/{token}'":        "",
		"host: a, from: a@b, reset_url: 'http://a/{token}', verify_url: 'https://a/{token}'":                            "mail.reset_url (file c.yaml:1): the page is opened without TLS, and the token can be read on the way unless it stands behind a #\n",
		"host: a, from: a@b, reset_url: 'https://a/{token}'":                                                            "mail.verify_url (default): not set: letters have the token itself, and your application has to ask for it\n",
	} {
		if got := notes(load(t, "c.yaml", "mail: {"+text+"}")); got != want {
			t.Errorf("%s\n%swant %s", text, got, want)
		}
	}
}
