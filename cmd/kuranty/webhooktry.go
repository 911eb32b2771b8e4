package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
)

type webhookTestCmd struct {
	hooks
	webhookArg
	Event   string `placeholder:"TYPE" help:"Type of the event, with its sample if there is one; webhook.test if not given."`
	Payload string `arg:"" optional:"" help:"Payload, a JSON object; - reads it from the input."`
}

func (webhookTestCmd) Help() string {
	return `It exits with 1 if the receiver did not answer 2xx. Nothing of it is kept, counted or tried again.`
}

// Run is called by kong.
func (c *webhookTestCmd) Run(g *globals) error {
	body := map[string]any{}
	if c.Event != "" {
		body["event_type"] = c.Event
	}
	if err := withPayload(body, c.Payload); err != nil {
		return err
	}
	return c.run(g, c.about("test"), func(s *session) error {
		var object json.RawMessage
		if err := s.post(c.path("/test"), body, &object); err != nil {
			return err
		}
		var a attempt
		if err := json.Unmarshal(object, &a); err != nil {
			return fmt.Errorf("read answer: %w", err)
		}
		if s.json {
			if err := s.show(object); err != nil {
				return err
			}
		} else if err := errors.Join(s.say("%s", plain(a.outcome())), s.sayAnswer(&a)); err != nil {
			return err
		}
		if a.ErrorCode != nil {
			return errors.New("the receiver did not take it")
		}
		return nil
	})
}

// withPayload adds a payload to a body, unless none is given.
func withPayload(body map[string]any, given string) error {
	if given == "" {
		return nil
	}
	payload, err := argument(given)
	if err != nil {
		return err
	}
	if !json.Valid(payload) {
		return usageError{fmt.Errorf("the payload is not JSON: %s", excerpt(payload))}
	}
	body["payload"] = json.RawMessage(payload)
	return nil
}

type webhookMatchCmd struct {
	hooks
	webhookArg
	Type    string `arg:"" help:"Type of the event, as ticket.created."`
	Payload string `arg:"" optional:"" help:"Payload, a JSON object; - reads it from the input."`
}

func (webhookMatchCmd) Help() string {
	return `It exits with 1 if the webhook would not get the event.`
}

// Run is called by kong.
func (c *webhookMatchCmd) Run(g *globals) error {
	body := map[string]any{"type": c.Type}
	if err := withPayload(body, c.Payload); err != nil {
		return err
	}
	return c.run(g, c.about("match"), func(s *session) error {
		var object json.RawMessage
		if err := s.post(c.path("/match"), body, &object); err != nil {
			return err
		}
		var m struct {
			Matches bool
			Reason  string
		}
		if err := json.Unmarshal(object, &m); err != nil {
			return fmt.Errorf("read answer: %w", err)
		}
		switch {
		case s.json:
			if err := s.show(object); err != nil || m.Matches {
				return err
			}
		case m.Matches:
			return s.say("webhook %d gets it: %s", c.Webhook, plain(m.Reason))
		}
		return fmt.Errorf("the webhook does not get it: %s", m.Reason)
	})
}

type webhookStatsCmd struct {
	hooks
	Since   instant `placeholder:"TIME" help:"Attempts since, with a webhook: 2h (ago), 7d, \"2026-05-01 12:00\"; a day if not given."`
	Webhook int64   `arg:"" optional:"" help:"Number of the webhook; totals of all if not given."`
}

// Run is called by kong.
func (c *webhookStatsCmd) Run(g *globals) error {
	since := c.Since.String()
	if c.Webhook == 0 {
		if since != "" {
			return usageError{errors.New("--since goes with a webhook")}
		}
		return c.run(g, "count deliveries", func(s *session) error { return s.totals() })
	}
	q := ""
	if since != "" {
		q = "?" + url.Values{"since": {since}}.Encode()
	}
	about := webhookArg{c.Webhook}
	return c.run(g, about.about("statistics of"), func(s *session) error { return s.outcomes(about.path("/stats" + q)) })
}

// totals prints the figures of all webhooks.
func (s *session) totals() error {
	var object json.RawMessage
	if err := s.get("/stats", &object); err != nil {
		return err
	}
	var t struct {
		Webhooks    int     `json:"total_webhooks"`
		Active      int     `json:"active_webhooks"`
		Deliveries  int     `json:"total_deliveries"`
		Successful  int     `json:"successful_deliveries"`
		Failed      int     `json:"failed_deliveries"`
		SuccessRate float64 `json:"success_rate"`
	}
	if shown, err := s.read(object, &t); shown || err != nil {
		return err
	}
	deliveries := strconv.Itoa(t.Deliveries) + " deliveries"
	if t.Deliveries == 1 {
		deliveries = "1 delivery"
	}
	return s.say("%s, %d active; %s, %d succeeded (%s %%), %d failed",
		count(t.Webhooks, "webhook"), t.Active, deliveries, t.Successful, number(t.SuccessRate), t.Failed)
}

// outcomes prints how the attempts of a webhook went.
func (s *session) outcomes(path string) error {
	var object json.RawMessage
	if err := s.get(path, &object); err != nil {
		return err
	}
	var t struct {
		Since       *string        `json:"since"`
		Attempts    int            `json:"attempts"`
		Succeeded   int            `json:"succeeded"`
		SuccessRate float64        `json:"success_rate"`
		Outcomes    map[string]int `json:"outcomes"`
		DurationMS  struct {
			P50, P95, P99 *int64
		} `json:"duration_ms"`
	}
	if shown, err := s.read(object, &t); shown || err != nil {
		return err
	}
	err := s.say("since %s: %s, %d succeeded (%s %%)", plain(day(t.Since)), count(t.Attempts, "attempt"), t.Succeeded, number(t.SuccessRate))
	if err != nil || t.Attempts == 0 {
		return err
	}
	err = s.say("half of them within %s ms, 95 %% within %s ms, 99 %% within %s ms",
		idOrDash(t.DurationMS.P50), idOrDash(t.DurationMS.P95), idOrDash(t.DurationMS.P99))
	for _, code := range slices.Sorted(maps.Keys(t.Outcomes)) {
		err = errors.Join(err, s.say("%6d  %s", t.Outcomes[code], plain(code)))
	}
	return err
}
