package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/kuranty/kuranty/internal/client"
)

// caller is the flags of commands that call the server API.
type caller struct {
	remote
	APIKey string `name:"api-key" env:"KURANTY_API_KEY" placeholder:"KEY" help:"Key of the server API; by default the configured one, or that of the data folder."`
}

// call calls method of the server API.
func (c *caller) call(g *globals, method string, params, result any) error {
	settings, err := g.settings()
	if err != nil {
		return err
	}
	api := client.API{URL: c.address(settings), Prefix: settings.HTTPAPI.HandlerPrefix, Key: settings.HTTPAPI.Key}
	if c.APIKey != "" {
		api.Key = c.APIKey
	}
	return api.Call(context.Background(), method, params, result)
}

// position is where a stream stands; without history it is zero.
type position struct {
	Offset uint64 `json:"offset"`
	Epoch  string `json:"epoch"`
}

type publishCmd struct {
	caller
	Text           bool              `short:"t" help:"DATA is text, not JSON."`
	Tag            map[string]string `placeholder:"NAME=VALUE" help:"Tags of the publication."`
	IdempotencyKey string            `placeholder:"KEY" help:"Publish nothing if this key was used in the last 5 minutes."`
	Channel        string            `arg:"" help:"Channel, as news or chat:room1."`
	Data           string            `arg:"" help:"JSON to publish; - reads it from the input."`
}

func (publishCmd) Help() string {
	return `For example: kuranty publish news '{"text": "hello"}'. The single quotes keep the shell from taking the double ones.`
}

func (c *publishCmd) Run(g *globals) error {
	data, err := argument(c.Data)
	if err != nil {
		return err
	}
	if c.Text {
		data, err = json.Marshal(string(data))
		if err != nil {
			return fmt.Errorf("encode text: %w", err)
		}
	}
	if !json.Valid(data) {
		return usageError{fmt.Errorf("the data is not JSON: %s\nPut it into single quotes, as in '{\"text\": \"hello\"}', or publish it as text with --text", excerpt(data))}
	}
	params := map[string]any{"channel": c.Channel, "data": json.RawMessage(data)}
	if len(c.Tag) > 0 {
		params["tags"] = c.Tag
	}
	if c.IdempotencyKey != "" {
		params["idempotency_key"] = c.IdempotencyKey
	}
	var at position
	if err := c.call(g, "publish", params, &at); err != nil {
		return fmt.Errorf("publish into %s: %w", c.Channel, err)
	}
	if at.Epoch == "" {
		_, err = fmt.Fprintf(g.stdout, "published into %s\n", c.Channel)
	} else {
		_, err = fmt.Fprintf(g.stdout, "published into %s at offset %d of epoch %s\n", c.Channel, at.Offset, at.Epoch)
	}
	return err
}

// argument is value, or the input if that is "-", without white space around it.
func argument(value string) ([]byte, error) {
	if value != "-" {
		return []byte(value), nil
	}
	b, err := io.ReadAll(os.Stdin)
	if err != nil {
		return nil, fmt.Errorf("read input: %w", err)
	}
	return []byte(strings.TrimSpace(string(b))), nil
}

// excerpt is the beginning of data, for an error.
func excerpt(data []byte) string {
	const most = 60
	if len(data) > most {
		return string(data[:most]) + "…"
	}
	return string(data)
}

type historyCmd struct {
	caller
	Limit   int    `short:"n" default:"100" help:"Most publications; -1 is all."`
	Reverse bool   `help:"Newest first."`
	Since   uint64 `placeholder:"OFFSET" help:"Only what came after this offset, or before it with --reverse."`
	Channel string `arg:"" help:"Channel."`
}

func (c *historyCmd) Run(g *globals) error {
	params := map[string]any{"channel": c.Channel, "limit": c.Limit, "reverse": c.Reverse}
	if c.Since > 0 {
		params["since"] = map[string]any{"offset": c.Since}
	}
	var past struct {
		Publications []json.RawMessage `json:"publications"`
		position
	}
	if err := c.call(g, "history", params, &past); err != nil {
		return fmt.Errorf("history of %s: %w", c.Channel, err)
	}
	if err := printLines(g.stdout, past.Publications); err != nil {
		return err
	}
	_, err := fmt.Fprintf(g.stderr, "%d shown; the stream is at offset %d of epoch %s\n", len(past.Publications), past.Offset, past.Epoch)
	return err
}

type presenceCmd struct {
	caller
	Channel string `arg:"" help:"Channel."`
}

func (c *presenceCmd) Run(g *globals) error {
	var result struct {
		Presence map[string]json.RawMessage `json:"presence"`
	}
	if err := c.call(g, "presence", map[string]any{"channel": c.Channel}, &result); err != nil {
		return fmt.Errorf("presence of %s: %w", c.Channel, err)
	}
	var lines []json.RawMessage
	for _, id := range slices.Sorted(maps.Keys(result.Presence)) {
		lines = append(lines, result.Presence[id])
	}
	return printLines(g.stdout, lines)
}

type channelsCmd struct {
	caller
	Pattern string `arg:"" optional:"" help:"Only channels that match, as 'chat:*'."`
}

func (c *channelsCmd) Run(g *globals) error {
	var result struct {
		Channels map[string]struct {
			Clients int `json:"num_clients"`
		} `json:"channels"`
	}
	if err := c.call(g, "channels", map[string]any{"pattern": c.Pattern}, &result); err != nil {
		return fmt.Errorf("channels: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(result.Channels)) {
		if _, err := fmt.Fprintf(g.stdout, "%d\t%s\n", result.Channels[name].Clients, name); err != nil {
			return err
		}
	}
	return nil
}

type disconnectCmd struct {
	caller
	Client string `placeholder:"ID" help:"Only this connection of the user."`
	Code   uint32 `placeholder:"CODE" help:"Code the clients see, 3000 to 4999; without one they do not come back."`
	Reason string `help:"Reason the clients see, with a code."`
	User   string `arg:"" help:"User; \"\" is every anonymous connection."`
}

func (c *disconnectCmd) Run(g *globals) error {
	params := map[string]any{"user": c.User, "client": c.Client}
	switch {
	case c.Code != 0 && (c.Code < 3000 || c.Code > 4999):
		return usageError{errors.New("--code must be 3000 to 4999")}
	case c.Code != 0:
		params["disconnect"] = map[string]any{"code": c.Code, "reason": c.Reason}
	case c.Reason != "":
		return usageError{errors.New("--reason needs --code")}
	}
	if err := c.call(g, "disconnect", params, nil); err != nil {
		return fmt.Errorf("disconnect %q: %w", c.User, err)
	}
	_, err := fmt.Fprintf(g.stdout, "connections of %q are being closed\n", c.User)
	return err
}

type healthcheckCmd struct{ remote }

func (c *healthcheckCmd) Run(g *globals) error {
	settings, err := g.settings()
	if err != nil {
		return err
	}
	if err := client.Healthy(context.Background(), c.address(settings)); err != nil {
		return err
	}
	_, err = fmt.Fprintln(g.stdout, "ready")
	return err
}

type apiKeyCmd struct{}

func (apiKeyCmd) Run(g *globals) error {
	settings, err := g.settings()
	if err != nil {
		return err
	}
	if settings.HTTPAPI.Key == "" {
		return fmt.Errorf("there is no key in the configuration (http_api.key) nor in %s: start the server once, or name its folder with --data-dir", settings.Storage.DataDir)
	}
	_, err = fmt.Fprintln(g.stdout, settings.HTTPAPI.Key)
	return err
}

// printLines prints each value, which is JSON, as a line.
func printLines(w io.Writer, lines []json.RawMessage) error {
	for _, line := range lines {
		if _, err := fmt.Fprintf(w, "%s\n", harmless(line)); err != nil {
			return err
		}
	}
	return nil
}
