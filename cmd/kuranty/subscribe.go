package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/kuranty/kuranty/internal/client"
	"github.com/kuranty/kuranty/internal/config"
	"github.com/kuranty/kuranty/internal/identity"
)

type subscribeCmd struct {
	remote
	Token        string `env:"KURANTY_TOKEN" placeholder:"TOKEN" help:"Connection token; by default one is made with the configured secret."`
	ChannelToken string `placeholder:"TOKEN" help:"Subscription token; by default one is made if the connection token is."`
	User         string `default:"cli" help:"User of the tokens that are made."`
	Channel      string `arg:"" help:"Channel."`
}

func (subscribeCmd) Help() string {
	return `Each publication is one line of JSON. A lost connection is made again, and what was missed is fetched where the channel has recovery. Ctrl+C ends it.`
}

func (c *subscribeCmd) Run(g *globals) error {
	settings, err := g.settings()
	if err != nil {
		return err
	}
	o := client.SubscribeOptions{
		URL: c.address(settings), Path: settings.WebSocket.HandlerPrefix, Channel: c.Channel,
		Token:        func() (string, error) { return c.Token, nil },
		ChannelToken: func() (string, error) { return c.ChannelToken, nil },
		Publication:  func(p *client.Publication) error { return printPublication(g, c.Channel, p) },
		Notice:       func(text string) { fmt.Fprintln(g.stderr, "kuranty: "+text) },
	}
	if c.Token == "" && settings.Client.Token.HMACSecretKey != "" {
		c.makeTokens(settings, &o)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := client.Subscribe(ctx, o); err != nil {
		return fmt.Errorf("subscribe to %s: %w", c.Channel, err)
	}
	return nil
}

// madeTTL is how long a token lives that is made for one connection.
const madeTTL = 24 * time.Hour

// makeTokens lets o connect, and subscribe whatever the channel's permissions are.
func (c *subscribeCmd) makeTokens(settings *config.Config, o *client.SubscribeOptions) {
	o.Token = func() (string, error) {
		s, err := signer(&settings.Client.Token)
		if err != nil {
			return "", err
		}
		return s.CreateConnectionToken(identity.ConnectionTokenOptions{User: c.User, TTL: madeTTL})
	}
	keys := subscriptionKeys(settings)
	if c.ChannelToken != "" || keys.HMACSecretKey == "" {
		return
	}
	o.ChannelToken = func() (string, error) {
		s, err := signer(keys)
		if err != nil {
			return "", err
		}
		return s.CreateSubscriptionToken(identity.SubscriptionTokenOptions{User: c.User, Channel: c.Channel, TTL: madeTTL})
	}
}

// printPublication prints p as a line of JSON.
func printPublication(g *globals, channel string, p *client.Publication) error {
	line := struct {
		Channel string            `json:"channel"`
		Offset  uint64            `json:"offset,omitempty"`
		Data    json.RawMessage   `json:"data"`
		User    string            `json:"user,omitempty"`
		Tags    map[string]string `json:"tags,omitempty"`
	}{Channel: channel, Offset: p.Offset, Data: json.RawMessage(p.Data), Tags: p.Tags}
	if p.Info != nil {
		line.User = p.Info.User
	}
	text, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("show publication: %w", err)
	}
	_, err = fmt.Fprintf(g.stdout, "%s\n", text)
	return err
}
