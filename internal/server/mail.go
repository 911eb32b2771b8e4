package server

import (
	"context"
	"sync/atomic"

	"github.com/kuranty/kuranty/internal/config"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/mail"
)

// letters counts what a mailer does.
type letters struct {
	send         func(context.Context, identity.Mail) error
	sent, failed atomic.Uint64
}

// deliver sends m; a panic of the mailer counts as a failure.
func (l *letters) deliver(ctx context.Context, m identity.Mail) error {
	outcome := &l.failed
	defer func() { outcome.Add(1) }()
	if err := l.send(ctx, m); err != nil {
		return err
	}
	outcome = &l.sent
	return nil
}

// settleMailer chooses who sends mail: the program that embeds the server, or else the mail
// server of the configuration. With neither there is no mailer.
func (s *Server) settleMailer() error {
	s.letters.send = s.o.Mailer
	if s.o.Mailer == nil && s.cfg.Mail.Host != "" {
		m, err := mail.New(MailOptions(s.cfg))
		if err != nil {
			return err
		}
		s.letters.send = func(ctx context.Context, l identity.Mail) error { return m.Send(ctx, letterOf(&l)) }
	}
	if s.letters.send != nil {
		s.o.Mailer = s.letters.deliver
	}
	return nil
}

// MailOptions are those of the mailer of c, which has mail.host.
func MailOptions(c *config.Config) mail.Options {
	m := &c.Mail
	return mail.Options{
		Host: m.Host, Port: m.Port, Security: mail.Security(m.TLS), Username: m.Username, Password: m.Password,
		From: m.From, ResetURL: m.ResetURL, VerifyURL: m.VerifyURL,
	}
}

// letterOf is the letter that carries m.
func letterOf(m *identity.Mail) mail.Letter {
	kinds := map[string]mail.Kind{identity.MailReset: mail.Reset, identity.MailVerify: mail.Verify, identity.MailCode: mail.Code}
	return mail.Letter{Kind: kinds[m.Kind], To: m.To, Name: m.Name, Lang: m.Lang, Token: m.Token, Expires: m.Expires}
}
