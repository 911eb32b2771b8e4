package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
)

type triggerCmd struct {
	backend
	Override    []string `sep:"none" placeholder:"FIELD=VALUE" help:"Another value of a field of the sample, as title=Hello or findings.high=2; FIELD:=JSON for what is neither text nor number nor boolean. May be repeated."`
	OrderingKey string   `placeholder:"KEY" help:"What the event belongs to, for webhooks that keep the order."`
	List        bool     `help:"List the types there are samples of."`
	Type        string   `arg:"" optional:"" help:"Type, as ticket.created."`
}

func (triggerCmd) Help() string {
	return `The event is in the log and goes to everybody who reads it, webhooks, the gateway and kuranty listen, but it tells of nothing that happened. For example: kuranty trigger ticket.created --override title="Cannot pay"`
}

// sampled is what has to be known of a type.
type sampled struct {
	Type    string          `json:"type"`
	Channel string          `json:"channel"`
	Summary string          `json:"summary"`
	Aliases []string        `json:"aliases"`
	Samples bool            `json:"samples"`
	Schema  json.RawMessage `json:"schema"`
	Sample  json.RawMessage `json:"sample"`
}

// Run is called by kong.
func (c *triggerCmd) Run(g *globals) error {
	if c.List == (c.Type != "") {
		return usageError{errors.New("give the type of an event, as ticket.created, or --list")}
	}
	return c.run(g, func(s *session) error {
		var all struct {
			Types []json.RawMessage `json:"types"`
		}
		if err := s.log(http.MethodGet, "/event-types", nil, &all); err != nil {
			return fmt.Errorf("list types of events: %w", err)
		}
		types, objects := make([]sampled, 0, len(all.Types)), all.Types[:0]
		for _, o := range all.Types {
			var t sampled
			if err := json.Unmarshal(o, &t); err != nil {
				return fmt.Errorf("read answer: %w", err)
			}
			types = append(types, t)
			if t.Samples {
				objects = append(objects, o)
			}
		}
		if c.List {
			return s.list("TYPE CHANNEL SUMMARY", objects, func(o json.RawMessage) ([]any, error) {
				var t sampled
				err := json.Unmarshal(o, &t)
				return []any{t.Type, t.Channel, t.Summary}, err
			})
		}
		at := slices.IndexFunc(types, func(t sampled) bool { return t.Type == c.Type || slices.Contains(t.Aliases, c.Type) })
		switch {
		case at < 0:
			return fmt.Errorf("there is no type %q; kuranty trigger --list lists them", c.Type)
		case !types[at].Samples:
			return fmt.Errorf("the server acts upon %s itself, so only what really happens can bring it about; kuranty webhook test WEBHOOK --event %s sends its sample to one receiver", types[at].Type, types[at].Type)
		}
		return c.send(s, &types[at])
	})
}

// send appends the sample of a type.
func (c *triggerCmd) send(s *session, t *sampled) error {
	var schema payloadSchema
	if len(t.Schema) > 0 {
		if err := json.Unmarshal(t.Schema, &schema); err != nil {
			schema = payloadSchema{} // an operator's, of a form that we do not read: the server checks by it
		}
	}
	if len(t.Sample) == 0 {
		t.Sample = json.RawMessage("{}")
	}
	payload, err := overridden(t.Sample, &schema, c.Override)
	if err != nil {
		return usageError{err}
	}
	body := map[string]any{"type": t.Type, "data": payload, "sample": true}
	if c.OrderingKey != "" {
		body["ordering_key"] = c.OrderingKey
	}
	var object json.RawMessage
	if err := s.log(http.MethodPost, "/events", body, &object); err != nil {
		return fmt.Errorf("trigger %s: %w", t.Type, err)
	}
	var sent struct {
		EventID string `json:"event_id"`
	}
	if shown, err := s.read(object, &sent); shown || err != nil {
		return err
	}
	return s.say("event %s is stored", sent.EventID)
}
