package mail

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
)

const (
	// maxAnswers bounds what is read of a server, in bytes, its certificates included.
	maxAnswers = 64 << 10
	// quitTimeout is how long a server may take to say goodbye after it has taken a letter.
	quitTimeout = 2 * time.Second
	// maxQuoted is how many characters of an answer an error repeats.
	maxQuoted = 200
)

// Keys of the configuration that errors name.
const (
	keyServer      = "mail.host, mail.port"
	keyEncryption  = "mail.host, mail.tls"
	keyCredentials = "mail.username, mail.password"
)

// talk is one conversation with the server, about one letter.
type talk struct {
	m         *Mailer
	to, token string
	// stage is what is being done, for errors.
	stage string
}

// send has the server take a letter.
func (t *talk) send(ctx context.Context, text []byte) error {
	t.stage = "connect"
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", t.m.address)
	if err != nil {
		return t.failed(ctx, keyServer, err)
	}
	defer func() { _ = raw.Close() }() // all that matters has been answered
	// Whatever waits for the server stops waiting when ctx ends.
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	c, err := t.greet(ctx, &bounded{raw, maxAnswers})
	if err != nil {
		return err
	}
	if t.m.o.Username != "" {
		if err := t.signIn(ctx, c, raw); err != nil {
			return err
		}
	}
	if err := t.hand(ctx, c, text); err != nil {
		return err
	}
	// The letter is the server's now, however the conversation ends.
	if ctx.Err() == nil {
		_ = raw.SetDeadline(time.Now().Add(quitTimeout))
		_ = c.Quit()
	}
	return nil
}

// greet begins the conversation and encrypts it, as was asked for.
func (t *talk) greet(ctx context.Context, conn net.Conn) (*smtp.Client, error) {
	o := &t.m.o
	encryption := &tls.Config{ServerName: o.Host, RootCAs: o.Roots, MinVersion: tls.VersionTLS12}
	if o.Security == TLS {
		t.stage = "encrypt"
		encrypted := tls.Client(conn, encryption)
		if err := encrypted.HandshakeContext(ctx); err != nil {
			return nil, t.failed(ctx, keyEncryption, err)
		}
		conn = encrypted
	}
	t.stage = "greet"
	c, err := smtp.NewClient(conn, o.Host)
	if err != nil {
		return nil, t.failed(ctx, keyServer, err)
	}
	if err := c.Hello(t.m.domain); err != nil {
		return nil, t.failed(ctx, keyServer, err)
	}
	if o.Security != STARTTLS {
		return c, nil
	}
	t.stage = "encrypt"
	if offered, _ := c.Extension("STARTTLS"); !offered {
		return nil, fmt.Errorf("mail.tls: %s offers no STARTTLS, and nothing is sent without; if it encrypts from the beginning (port 465), set mail.tls to tls", t.m.address)
	}
	if err := c.StartTLS(encryption); err != nil {
		return nil, t.failed(ctx, keyEncryption, err)
	}
	return c, nil
}

// signIn gives the credentials, unless others could read them.
func (t *talk) signIn(ctx context.Context, c *smtp.Client, raw net.Conn) error {
	t.stage = "sign in"
	remote, _ := raw.RemoteAddr().(*net.TCPAddr)
	if _, encrypted := c.TLSConnectionState(); !encrypted && (remote == nil || !remote.IP.IsLoopback()) {
		return fmt.Errorf("mail.tls: the password is not sent to %s, because the connection is not encrypted", t.m.address)
	}
	offered, mechanisms := c.Extension("AUTH")
	list := strings.Fields(strings.ToUpper(mechanisms))
	a := &credentials{username: t.m.o.Username, password: t.m.o.Password}
	switch {
	case !offered:
		return fmt.Errorf("%s: %s takes no credentials on this connection; leave them empty if it lets you send without, or try another mail.port and mail.tls", keyCredentials, t.m.address)
	case slices.Contains(list, "PLAIN"):
		a.mechanism = "PLAIN"
	case slices.Contains(list, "LOGIN"):
		a.mechanism = "LOGIN"
	default:
		return fmt.Errorf("%s: %s takes credentials by %s only, and not by PLAIN or LOGIN", keyCredentials, t.m.address, t.clean(mechanisms))
	}
	err := c.Auth(a)
	var answer *textproto.Error
	if errors.As(err, &answer) {
		// The text is left out: it may repeat in some form what it was given.
		return fmt.Errorf("%s: %s does not let this user in (%s); many providers want a password that is made for applications", keyCredentials, t.m.address, codes(answer))
	}
	return t.failed(ctx, keyCredentials, err)
}

// hand gives the letter to the server.
func (t *talk) hand(ctx context.Context, c *smtp.Client, text []byte) error {
	if offered, _ := c.Extension("SMTPUTF8"); !offered && !isASCII(t.to) {
		return fmt.Errorf("the recipient's address has letters that %s does not take (it offers no SMTPUTF8)", t.m.address)
	}
	t.stage = "name the sender"
	if err := c.Mail(t.m.from.Address); err != nil {
		return t.failed(ctx, "mail.from, mail.username", err)
	}
	t.stage = "name the recipient"
	if err := c.Rcpt(t.to); err != nil {
		return t.failed(ctx, "the recipient, or mail.username", err)
	}
	t.stage = "send the letter"
	w, err := c.Data()
	if err == nil {
		if _, err = w.Write(text); err == nil {
			err = w.Close()
		}
	}
	return t.failed(ctx, "mail.from, or what the mail server permits", err)
}

// failed says what went wrong and which keys may be why; nil stays nil.
func (t *talk) failed(ctx context.Context, keys string, err error) error {
	if err == nil {
		return nil
	}
	var answer *textproto.Error
	if errors.As(err, &answer) {
		return fmt.Errorf("%s: %s refuses (%s): %d %s", keys, t.m.address, t.stage, answer.Code, t.clean(answer.Msg))
	}
	if ended := context.Cause(ctx); ended != nil {
		return fmt.Errorf("%s: %s had not taken the letter when the time for it was over (%s): %w", keyServer, t.m.address, t.stage, ended)
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %s closed the connection (%s)", keys, t.m.address, t.stage)
	}
	return fmt.Errorf("%s: %s: %s: %s", keys, t.m.address, t.stage, t.clean(err.Error())) // as text: an error may quote what the server said
}

// enhanced is the part of an answer that tells the reason by numbers (RFC 3463).
var enhanced = regexp.MustCompile(`^[245]\.\d{1,3}\.\d{1,3}\b`)

// codes are the numbers of an answer.
func codes(answer *textproto.Error) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", answer.Code, enhanced.FindString(answer.Msg)))
}

// clean is text of a server, without what is secret or personal, on one line and not long.
func (t *talk) clean(text string) string {
	o := &t.m.o
	for _, secret := range []string{
		t.token, url.QueryEscape(t.token), o.Password, base64.StdEncoding.EncodeToString([]byte(o.Password)), plain(o.Username, o.Password), t.to,
	} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "[hidden]")
		}
	}
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	if runes := []rune(text); len(runes) > maxQuoted {
		text = string(runes[:maxQuoted]) + "…"
	}
	return text
}

// plain is what the mechanism PLAIN sends, as it looks on the wire.
func plain(username, password string) string {
	if password == "" {
		return ""
	}
	return base64.StdEncoding.EncodeToString([]byte("\x00" + username + "\x00" + password))
}

// credentials sign in by PLAIN (RFC 4616), or by LOGIN, which some large providers offer
// instead. Whether the connection may carry them was asked before.
type credentials struct {
	mechanism, username, password string
	asked                         int // by LOGIN, so far
}

// Start implements [smtp.Auth].
func (c *credentials) Start(*smtp.ServerInfo) (mechanism string, first []byte, err error) {
	if c.mechanism == "PLAIN" {
		first = []byte("\x00" + c.username + "\x00" + c.password)
	}
	return c.mechanism, first, nil
}

// Next implements [smtp.Auth]. LOGIN asks for the name, then for the password; how it words
// that differs between servers.
func (c *credentials) Next(_ []byte, more bool) ([]byte, error) {
	if !more {
		return nil, nil
	}
	c.asked++
	switch {
	case c.mechanism == "LOGIN" && c.asked == 1:
		return []byte(c.username), nil
	case c.mechanism == "LOGIN" && c.asked == 2:
		return []byte(c.password), nil
	}
	return nil, errors.New("the server asks for more than name and password")
}

// bounded is a connection of which only so many bytes are read: a server that goes on
// talking must not fill the memory.
type bounded struct {
	net.Conn
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, fmt.Errorf("the server said more than %d KiB", maxAnswers>>10)
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
