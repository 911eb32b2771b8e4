package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/kuranty/kuranty/internal/server"
)

// What `kuranty bench chat` and `bench webhook` need of the program beside a server: they run
// these hidden commands as their children, because a load generator knows no package of ours.

// benchFillCmd fills a database and prints what is in it.
type benchFillCmd struct {
	Messages int `default:"1000000" help:"Messages of the largest group."`
}

func (c benchFillCmd) Run(ctx context.Context, g *globals) error {
	settings, err := g.settings()
	if err != nil {
		return err
	}
	m, err := server.FillMeasured(ctx, settings, c.Messages)
	if err != nil {
		return err
	}
	return json.NewEncoder(g.stdout).Encode(m) //nolint:gosec // the password of made-up people in a database for measuring
}

// benchDueCmd makes deliveries due of the webhooks in a database.
type benchDueCmd struct {
	Each int `default:"10000" help:"Deliveries of each webhook."`
	Size int `default:"250" help:"Bytes of a payload."`
}

func (c benchDueCmd) Run(ctx context.Context, g *globals) error {
	settings, err := g.settings()
	if err != nil {
		return err
	}
	return server.FillDeliveries(ctx, settings, c.Each, c.Size)
}

// benchSendsCmd sends without a server: for each line of the standard input, an order,
// it prints how long that took.
type benchSendsCmd struct {
	People int    `default:"64" help:"People who send."`
	Script string `help:"Print the pgbench script of sending this text instead."`
}

type sendsOrder struct {
	Sends int    `json:"sends"`
	Text  string `json:"text"`
}

type sendsDone struct {
	Wall time.Duration `json:"wall_ns"`
}

func (c benchSendsCmd) Run(ctx context.Context, g *globals) (err error) {
	settings, err := g.settings()
	if err != nil {
		return err
	}
	s, err := server.OpenSenders(ctx, settings, c.People)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if c.Script != "" {
		_, err := fmt.Fprint(g.stdout, s.Script(c.Script))
		return err
	}
	out := json.NewEncoder(g.stdout)
	if err := out.Encode(sendsDone{}); err != nil { // ready
		return err
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var order sendsOrder
		if err := json.Unmarshal(in.Bytes(), &order); err != nil {
			return fmt.Errorf("read order: %w", err)
		}
		took, err := s.Send(ctx, order.Sends, order.Text)
		if err != nil {
			return err
		}
		if err := out.Encode(sendsDone{took}); err != nil {
			return err
		}
	}
	return nil
}
