// Package mail writes the letters that people are sent, and hands them to a mail server
// over SMTP.
//
// What it promises:
//
//   - Nothing that a user wrote is in the text of a letter or its subject. A user's name
//     stands in To alone, and only if it can be nothing but a name; no value can add a
//     header or a recipient (guarantees.md S33).
//   - With [STARTTLS] and [TLS] nothing is sent before the connection is encrypted and the
//     server's certificate has been checked. A server that offers no STARTTLS is refused;
//     there is no falling back. A password goes over an unencrypted connection within this
//     machine only.
//   - Errors name the key of the configuration that may be wrong, and contain neither
//     password nor token nor the recipient's address, whatever the server answers (S6).
//   - [Mailer.Send] ends with its context, or after Options.Timeout. It reads at most
//     64 KiB of what a server says.
//
// A letter is tried once: whoever asked can ask again. Each has a connection of its own,
// which ends with Send; the package keeps no goroutine.
package mail

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Security says how the way to the mail server is encrypted.
type Security string

// The ways of encryption.
const (
	STARTTLS Security = "starttls" // begins in the clear, is encrypted before anything is sent
	TLS      Security = "tls"      // from the first byte
	None     Security = "none"     // not at all
)

// Options configure a [Mailer]. Host and From must be given.
type Options struct {
	// Host is the mail server, a name or an address without port.
	Host string
	// Port is its port; zero means 587, with [TLS] 465 and with [None] 25.
	Port int
	// Security is [STARTTLS] if empty.
	Security Security
	// Username and Password sign in; empty is not to.
	Username, Password string
	// From is the sender, as in Example <noreply@example.com>. The name, or without one the
	// domain, is what letters call the service.
	From string
	// ResetURL and VerifyURL are addresses of pages that take a token, which replaces {token}
	// in them. If empty, letters contain the token itself.
	ResetURL, VerifyURL string
	// Timeout bounds one letter, from dial to the last answer; zero means 30 s.
	Timeout time.Duration
	// Roots are who may vouch for the server's certificate; nil is whom the system trusts.
	Roots *x509.CertPool
	// Now is the clock of letters; nil means time.Now.
	Now func() time.Time
}

// Placeholder is where the token goes in Options.ResetURL and Options.VerifyURL.
const Placeholder = "{token}"

// Mailer sends letters. It is safe for concurrent use.
type Mailer struct {
	o       Options
	from    *mail.Address
	domain  string // of from
	address string // of the server, with port
}

// New returns a mailer. The error names the key of the configuration that is wrong.
func New(o Options) (*Mailer, error) {
	if o.Host == "" {
		return nil, errors.New("mail.host: names no mail server")
	}
	if o.Security == "" {
		o.Security = STARTTLS
	}
	ports := map[Security]int{STARTTLS: 587, TLS: 465, None: 25}
	port, known := ports[o.Security]
	if !known {
		return nil, fmt.Errorf("mail.tls: %q is not starttls, tls or none", o.Security)
	}
	if o.Port == 0 {
		o.Port = port
	}
	if o.Security == None && o.Password != "" && !thisMachine(o.Host) {
		return nil, errors.New("mail.tls: with none the password would be sent unencrypted, which is done within this machine only")
	}
	for key, page := range map[string]string{"mail.reset_url": o.ResetURL, "mail.verify_url": o.VerifyURL} {
		if page != "" && !strings.Contains(page, Placeholder) {
			return nil, fmt.Errorf("%s: has no place for the token: %s", key, Placeholder)
		}
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	from, err := mail.ParseAddress(o.From)
	if err != nil || !isASCII(from.Address) || strings.ContainsFunc(from.Name+from.Address, unicode.IsControl) {
		return nil, fmt.Errorf("mail.from: %q is no address such as Example <noreply@example.com>", o.From)
	}
	from.Name = strings.Join(strings.Fields(from.Name), " ")
	m := &Mailer{o: o, from: from, domain: from.Address[strings.LastIndexByte(from.Address, '@')+1:]}
	m.address = net.JoinHostPort(o.Host, strconv.Itoa(o.Port))
	return m, nil
}

// String says where letters go, for people.
func (m *Mailer) String() string {
	how := map[Security]string{STARTTLS: "encrypted by STARTTLS", TLS: "encrypted by TLS", None: "not encrypted"}[m.o.Security]
	if m.o.Username != "" {
		how += ", signed in as " + m.o.Username
	}
	return m.address + " (" + how + ")"
}

// Send writes l and has the mail server take it. Whether it arrives is then the business
// of mail servers.
func (m *Mailer) Send(ctx context.Context, l Letter) error {
	to, text, err := m.write(&l)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, m.o.Timeout)
	defer cancel()
	t := talk{m: m, to: to, token: l.Token}
	return t.send(ctx, text)
}

// thisMachine tells whether host can only be this machine.
func thisMachine(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
}
