package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"github.com/kuranty/kuranty/internal/mail"
	"github.com/kuranty/kuranty/internal/server"
)

type mailCmd struct {
	Test mailTestCmd `cmd:"" help:"Send a test letter by the mail server of the configuration."`
}

type mailTestCmd struct {
	Lang    string `enum:"en,ru" default:"en" help:"Language of the letter, en or ru."`
	Address string `arg:"" help:"Where to send it, as you@example.com."`
}

func (mailTestCmd) Help() string {
	return `It uses mail.host and the other keys of the section mail as the server would, needs no running server, and says what went wrong with the key that may be why. That a mail server took a letter does not mean that it arrives: look at the mailbox, also among spam.`
}

func (c *mailTestCmd) Run(g *globals) error {
	settings, err := g.settings()
	if err != nil {
		return err
	}
	if settings.Mail.Host == "" {
		return usageError{errors.New("mail.host is not set, so no letters are sent; see the section mail of kuranty config docs")}
	}
	m, err := mail.New(server.MailOptions(settings))
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := m.Send(ctx, mail.Letter{Kind: mail.Test, To: c.Address, Lang: c.Lang}); err != nil {
		return fmt.Errorf("no letter was sent: %w", err)
	}
	_, err = fmt.Fprintf(g.stdout, "%s took a letter to %s; look whether it arrives, also among spam\n", m, plain(c.Address))
	return err
}
