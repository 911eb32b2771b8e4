package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"time"
)

type metricCmd struct {
	Push metricPushCmd `cmd:"" help:"Store a value of a metric."`
	List metricListCmd `cmd:"" help:"List metrics with what they were last."`
	Show metricShowCmd `cmd:"" help:"Print the past of a metric."`
}

type metricPushCmd struct {
	backend
	Unit   string            `placeholder:"UNIT" help:"Unit of the value, as percent."`
	Server string            `placeholder:"SERVER" help:"Server it is of; each has a past of its own."`
	Meta   map[string]string `placeholder:"NAME=VALUE" help:"What else there is to say, as region=eu."`
	At     stamp             `placeholder:"TIME" help:"When it was so, as 2026-05-01T12:00:00Z; now if not given."`
	Name   string            `arg:"" help:"Name of the metric, as queue_length."`
	Value  float64           `arg:"" help:"Its value; put -- before a negative one."`
}

func (c *metricPushCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		meta := map[string]any{}
		for name, value := range c.Meta {
			meta[name] = value
		}
		if c.Server != "" {
			meta["server"] = c.Server
		}
		body := map[string]any{"name": c.Name, "value": c.Value, "metadata": meta}
		if c.Unit != "" {
			body["unit"] = c.Unit
		}
		if c.At != "" {
			body["timestamp"] = c.At
		}
		if err := s.post("/metrics", body, nil); err != nil {
			return fmt.Errorf("push metric %s: %w", c.Name, err)
		}
		return s.say("stored %s", c.Name)
	})
}

// stamp is a time as RFC 3339 has it.
type stamp string

// Validate implements kong's check.
func (t stamp) Validate() error {
	if t == "" {
		return nil
	}
	if _, err := time.Parse(time.RFC3339, string(t)); err != nil {
		return errors.New("must be a time as 2026-05-01T12:00:00Z")
	}
	return nil
}

type metricListCmd struct {
	backend
	Server string `placeholder:"SERVER" help:"Only of this server."`
	Limit  most   `short:"n" default:"1000" help:"Most metrics."`
}

func (c *metricListCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		q := url.Values{}
		if c.Server != "" {
			q.Set("server", c.Server)
		}
		objects, err := s.pages("/metrics", q, "metrics", int(c.Limit))
		if err != nil {
			return fmt.Errorf("list metrics: %w", err)
		}
		return s.list("NAME SERVER VALUE UNIT LAST", objects, func(o json.RawMessage) ([]any, error) {
			var m struct {
				Name         string
				Server, Unit *string
				Value        float64
				Timestamp    *string
			}
			err := json.Unmarshal(o, &m)
			return []any{m.Name, orDash(m.Server), number(m.Value), orDash(m.Unit), day(m.Timestamp)}, err
		})
	})
}

// number writes what is neither huge nor tiny without an exponent.
func number(v float64) string {
	if a := math.Abs(v); a >= 1e15 || a < 1e-4 && a != 0 {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

type metricShowCmd struct {
	backend
	Server    string `placeholder:"SERVER" help:"Only of this server; of all together if not given."`
	From      string `placeholder:"TIME" help:"An hour before --to if not given."`
	To        string `placeholder:"TIME" help:"Now if not given."`
	Step      string `placeholder:"TIME" help:"Time of a point, as 30s, 5m, 1h, 1d; chosen by itself if not given."`
	Aggregate string `enum:"avg,min,max,sum,last" default:"avg" help:"avg, min, max, sum or last."`
	Name      string `arg:"" help:"Name of the metric."`
}

func (c *metricShowCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		q := url.Values{"name": {c.Name}, "aggregate": {c.Aggregate}}
		for name, value := range map[string]string{"server": c.Server, "from": c.From, "to": c.To, "step": c.Step} {
			if value != "" {
				q.Set(name, value)
			}
		}
		var past struct{ Points []json.RawMessage }
		if err := s.get("/metrics?"+q.Encode(), &past); err != nil {
			return fmt.Errorf("show metric %s: %w", c.Name, err)
		}
		return s.list("TIME VALUE COUNT", past.Points, func(o json.RawMessage) ([]any, error) {
			var p struct {
				Timestamp string
				Value     float64
				Count     int64
			}
			err := json.Unmarshal(o, &p)
			return []any{p.Timestamp, number(p.Value), p.Count}, err
		})
	})
}
