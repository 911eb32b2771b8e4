package config

import (
	"net/mail"
	"net/netip"
	"net/url"
	"strings"
	"unicode"
)

// Mail is the mail server that takes letters to people.
type Mail struct {
	Host     string `key:"host" doc:"Mail server that takes letters to people: to reset a password, to verify an address. A name or an address, without a port. Empty: no letters are sent."`
	Port     int    `key:"port" doc:"Port of the mail server; 0 is the usual one: 587 with tls starttls, 465 with tls, 25 with none."`
	TLS      string `key:"tls" default:"starttls" oneof:"starttls|tls|none" doc:"How the connection is encrypted: by STARTTLS, which the server must offer, from the first byte, or not at all; then nobody signs in but to a server of this machine."`
	Username string `key:"username" doc:"Name to sign in with; empty sends without signing in."`
	Password string `key:"password" secret:"yes" doc:"Password to sign in with; many providers want one that is made for applications."`
	From     string `key:"from" doc:"Sender of letters, as in Example <noreply@example.com>; letters call the service by that name, or without one by the domain."`

	ResetURL  string `key:"reset_url" doc:"Page of your application that sets a password, with {token} where the token goes, as in https://app.example.com/reset#token={token}. It gives the token and the password to POST /api/v2/auth/password/reset. Empty: letters have the token itself, for your application to ask for."`
	VerifyURL string `key:"verify_url" doc:"Page of your application that verifies an address, given like reset_url. It gives the token to POST /api/v2/auth/email/verify."`
}

// maxSender bounds a sender with its name, in bytes.
const maxSender = 320

// tokenPlace is where the token goes in addresses of pages.
const tokenPlace = "{token}"

func (l *loader) checkMail(m *Mail) {
	l.checkRange("mail.port", m.Port, 0, 65535)
	if m.Host == "" {
		for _, k := range []struct{ key, value string }{
			{"mail.username", m.Username},
			{"mail.password", m.Password},
			{"mail.from", m.From},
			{"mail.reset_url", m.ResetURL},
			{"mail.verify_url", m.VerifyURL},
		} {
			if k.value != "" {
				l.wrong(k.key, "needs mail.host")
			}
		}
		return
	}
	if _, err := netip.ParseAddr(m.Host); err != nil && !hostName.MatchString(m.Host) {
		l.wrong("mail.host", "%q must be a host such as mail.example.com, without scheme and port", m.Host)
	}
	l.checkSender(m.From)
	l.checkCredentials(m)
	l.checkPage("mail.reset_url", m.ResetURL)
	l.checkPage("mail.verify_url", m.VerifyURL)
	if m.TLS == "none" && !loopback(m.Host) {
		l.note("mail.tls", l.at("mail.tls"), true, "letters go to %s unencrypted, and what is in them can be read on the way", m.Host)
	}
}

// at is the place a value was written at.
func (l *loader) at(key string) place { return place{layer: string(l.origins[key])} }

func (l *loader) checkSender(from string) {
	const key = "mail.from"
	a, err := mail.ParseAddress(from)
	switch {
	case from == "":
		l.wrong(key, "is needed with mail.host")
	case err != nil || len(from) > maxSender || strings.ContainsFunc(a.Name+a.Address, unicode.IsControl) ||
		strings.ContainsFunc(a.Address, func(r rune) bool { return r > unicode.MaxASCII }):
		l.wrong(key, "must be an address such as noreply@example.com or Example <noreply@example.com>, without letters beyond ASCII in the address itself")
	}
}

func (l *loader) checkCredentials(m *Mail) {
	switch {
	case m.Password != "" && m.Username == "":
		l.wrong("mail.password", "needs mail.username")
	case m.Username != "" && m.Password == "":
		l.wrong("mail.username", "needs mail.password")
	case m.Password != "" && m.TLS == "none" && !loopback(m.Host):
		l.wrong("mail.tls", "must be starttls or tls: the password would go to %s unencrypted", m.Host)
	}
	if strings.ContainsRune(m.Username+m.Password, 0) {
		l.wrong("mail.password", "name and password must not have a zero byte in them")
	}
}

// checkPage judges the address of a page that takes a token.
func (l *loader) checkPage(key, address string) {
	if address == "" {
		l.note(key, l.at(key), false, "not set: letters have the token itself, and your application has to ask for it")
		return
	}
	u, err := url.Parse(strings.Replace(address, tokenPlace, "", 1))
	switch {
	case strings.Count(address, tokenPlace) != 1:
		l.wrong(key, "must have %s in it once, where the token goes", tokenPlace)
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || !behind(address, u.Scheme+"://"+u.Host) ||
		strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r > '~' }):
		l.wrong(key, "must be http:// or https:// with a host and the token behind it, as in https://app.example.com/page#token=%s, all in ASCII", tokenPlace)
	case u.Scheme == "http" && !loopback(u.Hostname()):
		l.note(key, l.at(key), true, "the page is opened without TLS, and the token can be read on the way unless it stands behind a #")
	}
}

// behind tells whether address is begin and a path, a query or a fragment.
func behind(address, begin string) bool {
	rest, found := strings.CutPrefix(address, begin)
	return found && rest != "" && strings.ContainsRune("/?#", rune(rest[0]))
}
