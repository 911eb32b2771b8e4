package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
)

// window is the flags of a time whose deliveries are sent again.
type window struct {
	Since instant `required:"" placeholder:"TIME" help:"Beginning: 2h (ago), 7d, \"2026-05-01 12:00\"."`
	Until instant `placeholder:"TIME" help:"End; now if not given."`
}

func (w *window) body() map[string]any {
	body := map[string]any{"since": w.Since.String()}
	if until := w.Until.String(); until != "" {
		body["until"] = until
	}
	return body
}

// sayJob prints how far a job is.
func (s *session) sayJob(object json.RawMessage) error {
	var j struct {
		ID        string  `json:"id"`
		Kind      string  `json:"kind"`
		WebhookID int64   `json:"webhook_id"`
		State     string  `json:"state"`
		Matched   int     `json:"matched"`
		Queued    int     `json:"queued"`
		Succeeded int     `json:"succeeded"`
		Failed    int     `json:"failed"`
		Error     *string `json:"error"`
	}
	if shown, err := s.read(object, &j); shown || err != nil {
		return err
	}
	err := s.say("job %s, %s of webhook %d, is %s: %d found, %d queued, %d succeeded, %d failed",
		plain(j.ID), plain(j.Kind), j.WebhookID, plain(j.State), j.Matched, j.Queued, j.Succeeded, j.Failed)
	switch {
	case err != nil:
		return err
	case j.Error != nil:
		return fmt.Errorf("the job failed: %s", *j.Error)
	case j.State == "running":
		_, err = fmt.Fprintf(s.stderr, "kuranty webhook job %s tells how far it is, and stops it with --cancel\n", plain(j.ID))
	}
	return err
}

// startJob makes a call that answers with a job.
func (s *session) startJob(path string, body map[string]any) error {
	var object json.RawMessage
	if err := s.post(path, body, &object); err != nil {
		return err
	}
	return s.sayJob(object)
}

type webhookRecoverCmd struct {
	hooks
	webhookArg
	window
	ErrorCode []string `placeholder:"CODE" help:"Only those that failed so, as timeout or http_500; may be repeated."`
}

// Run is called by kong.
func (c *webhookRecoverCmd) Run(g *globals) error {
	return c.run(g, c.about("recover"), func(s *session) error {
		body := c.body()
		if len(c.ErrorCode) > 0 {
			body["error_codes"] = c.ErrorCode
		}
		return s.startJob(c.path("/recover"), body)
	})
}

type webhookReplayCmd struct {
	hooks
	webhookArg
	window
	Event []string `placeholder:"TYPE" help:"Only events of a type or pattern; may be repeated."`
	All   bool     `help:"Also what the webhook got already."`
}

// Run is called by kong.
func (c *webhookReplayCmd) Run(g *globals) error {
	return c.run(g, c.about("replay"), func(s *session) error {
		body := c.body()
		body["only_missing"] = !c.All
		if len(c.Event) > 0 {
			body["event_types"] = c.Event
		}
		return s.startJob(c.path("/replay"), body)
	})
}

type webhookJobCmd struct {
	hooks
	Job    string `arg:"" help:"Id of the job."`
	Cancel bool   `help:"Stop it; what it queued stays queued."`
}

// Run is called by kong.
func (c *webhookJobCmd) Run(g *globals) error {
	return c.run(g, "job "+c.Job, func(s *session) error {
		method := http.MethodGet
		if c.Cancel {
			method = http.MethodDelete
		}
		var object json.RawMessage
		if err := s.Call(s.ctx, method, "/jobs/"+url.PathEscape(c.Job), nil, &object); err != nil {
			return err
		}
		return s.sayJob(object)
	})
}
