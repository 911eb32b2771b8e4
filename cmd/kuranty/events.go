package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/kuranty/kuranty/internal/client"
)

type eventsCmd struct {
	List   eventsListCmd   `cmd:"" help:"Print what happened, the newest last."`
	Schema eventsSchemaCmd `cmd:"" help:"Print the types of events there are, or the schema of one."`
	Tail   tailCmd         `cmd:"" help:"Print events as they happen, like kuranty tail."`
	Send   eventsSendCmd   `cmd:"" help:"Append an event of a type of your own (events.types)."`
}

// gatewayPath is where the log over HTTP is.
const gatewayPath = "/v1"

// log is the way to the event log.
func (s *session) log(method, path string, in, result any) error {
	r := s.REST
	r.Prefix = gatewayPath
	return r.Call(s.ctx, method, path, in, result)
}

// chosen says which events are meant.
type chosen struct {
	Channel []string `placeholder:"CHANNEL" help:"Events of a channel, as tickets; may be repeated."`
	Event   []string `placeholder:"TYPE" help:"Events of a type or pattern, as ticket.*; may be repeated."`
	Filter  string   `placeholder:"JSON" help:"Only events that pass a filter, as {\"data.status\": \"open\"}."`
	After   string   `placeholder:"ID" help:"Events after that one."`
}

func (c *chosen) query() url.Values {
	q := url.Values{}
	for name, list := range map[string][]string{"channels": c.Channel, "events": c.Event} {
		if len(list) > 0 {
			q.Set(name, strings.Join(list, ","))
		}
	}
	if c.Filter != "" {
		q.Set("filter", c.Filter)
	}
	return q
}

// happened is what is printed of an event.
type happened struct {
	ID        string          `json:"id"`
	Timestamp string          `json:"timestamp"`
	Event     string          `json:"event"`
	Data      json.RawMessage `json:"data"`
}

// happened prints an event on a line.
func (g *globals) happened(object []byte, asJSON bool) error {
	if asJSON {
		return printLines(g.stdout, []json.RawMessage{object})
	}
	var e happened
	if err := json.Unmarshal(object, &e); err != nil {
		return fmt.Errorf("read event: %w", err)
	}
	at := e.Timestamp
	if t, err := time.Parse(time.RFC3339, at); err == nil {
		at = t.Local().Format("2006-01-02 15:04:05")
	}
	_, err := fmt.Fprintf(g.stdout, "%s  %s  %s  %s\n", at, plain(e.ID), plain(e.Event), plain(string(e.Data)))
	return err
}

type eventsListCmd struct {
	backend
	chosen
	Limit most `short:"n" default:"20" help:"Most events: the newest, or with --after the first after it."`
}

// Run is called by kong.
func (c *eventsListCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		q := c.query()
		if c.After == "" {
			q.Set("newest", "true")
		} else {
			q.Set("after", c.After)
		}
		for left := int(c.Limit); left > 0; {
			q.Set("limit", strconv.Itoa(min(left, 500)))
			var page struct {
				Events []json.RawMessage `json:"events"`
				Next   string            `json:"next"`
				More   bool              `json:"more"`
			}
			if err := s.log(http.MethodGet, "/events?"+q.Encode(), nil, &page); err != nil {
				return fmt.Errorf("list events: %w", err)
			}
			for _, e := range page.Events {
				if err := g.happened(e, s.json); err != nil {
					return err
				}
			}
			left -= len(page.Events)
			if !page.More || c.After == "" {
				return nil
			}
			q.Set("after", page.Next)
		}
		return nil
	})
}

type eventsSchemaCmd struct {
	backend
	Sample bool   `help:"Print a sample instead of the schema."`
	Type   string `arg:"" optional:"" help:"Type, as ticket.created; all types are listed if not given."`
}

// Run is called by kong.
func (c *eventsSchemaCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		var all struct {
			Types []json.RawMessage `json:"types"`
		}
		if err := s.log(http.MethodGet, "/event-types", nil, &all); err != nil {
			return fmt.Errorf("list types of events: %w", err)
		}
		type eventType struct {
			Type        string          `json:"type"`
			Channel     string          `json:"channel"`
			Summary     string          `json:"summary"`
			Aliases     []string        `json:"aliases"`
			Schema      json.RawMessage `json:"schema"`
			Sample      json.RawMessage `json:"sample"`
			Permissions []string        `json:"permissions"`
		}
		if c.Type == "" {
			return s.list("TYPE CHANNEL PERMISSION SUMMARY", all.Types, func(o json.RawMessage) ([]any, error) {
				var t eventType
				err := json.Unmarshal(o, &t)
				return []any{t.Type, t.Channel, strings.Join(t.Permissions, " or "), t.Summary}, err
			})
		}
		for _, o := range all.Types {
			var t eventType
			if err := json.Unmarshal(o, &t); err != nil {
				return fmt.Errorf("read answer: %w", err)
			}
			switch {
			case t.Type != c.Type && !slices.Contains(t.Aliases, c.Type):
			case c.Sample && len(t.Sample) == 0:
				return fmt.Errorf("type %s has no sample", t.Type)
			case c.Sample:
				return s.show(t.Sample)
			default:
				return s.show(t.Schema)
			}
		}
		return fmt.Errorf("there is no type %q; kuranty events schema lists them", c.Type)
	})
}

type eventsSendCmd struct {
	backend
	ID          string `placeholder:"ID" help:"Your id of the event: sent again, it is stored once."`
	OccurredAt  string `placeholder:"TIME" help:"When it happened, as 2026-03-02T08:16:02Z; now if not given."`
	OrderingKey string `placeholder:"KEY" help:"What it belongs to, as order-7."`
	Type        string `arg:"" help:"Type, as order.created."`
	Data        string `arg:"" optional:"" default:"{}" help:"Payload, a JSON object; - reads it from the input."`
}

// Run is called by kong.
func (c *eventsSendCmd) Run(g *globals) error {
	data, err := argument(c.Data)
	if err != nil {
		return err
	}
	if data = bytes.TrimSpace(data); !json.Valid(data) {
		return usageError{errors.New("the payload is not JSON")}
	}
	return c.run(g, func(s *session) error {
		body := map[string]any{"type": c.Type, "data": json.RawMessage(data)}
		for name, value := range map[string]string{"id": c.ID, "occurred_at": c.OccurredAt, "ordering_key": c.OrderingKey} {
			if value != "" {
				body[name] = value
			}
		}
		var object json.RawMessage
		if err := s.log(http.MethodPost, "/events", body, &object); err != nil {
			return fmt.Errorf("send event: %w", err)
		}
		var sent struct {
			EventID   string `json:"event_id"`
			Duplicate bool   `json:"duplicate"`
		}
		if shown, err := s.read(object, &sent); shown || err != nil {
			return err
		}
		if sent.Duplicate {
			return s.say("event %s was stored before", sent.EventID)
		}
		return s.say("event %s is stored", sent.EventID)
	})
}

type tailCmd struct {
	remote
	APIKey string `name:"api-key" env:"KURANTY_API_KEY" placeholder:"KEY" help:"Key that may read the events; by default the configured one, or that of the data folder."`
	JSON   bool   `name:"json" help:"Print JSON, an object a line."`
	chosen
}

func (tailCmd) Help() string {
	return `Without --channel and --event it prints everything the key may read. A lost connection is made again, and what was missed is fetched. Ctrl+C ends it.`
}

// Run is called by kong.
func (c *tailCmd) Run(g *globals) error {
	settings, err := g.settings()
	if err != nil {
		return err
	}
	o := client.EventsOptions{
		URL: c.address(settings), Key: settings.HTTPAPI.Key, Query: c.query(), LastEventID: c.After,
		Event:  func(_ string, event []byte) error { return g.happened(event, c.JSON) },
		Notice: func(text string) { fmt.Fprintln(g.stderr, "kuranty: "+text) },
	}
	if c.APIKey != "" {
		o.Key = c.APIKey
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := client.Events(ctx, o); err != nil {
		return fmt.Errorf("follow events: %w", err)
	}
	return nil
}
