package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// sent is what is printed of a delivery.
type sent struct {
	ID             int64           `json:"id"`
	WebhookID      int64           `json:"webhook_id"`
	EventType      string          `json:"event_type"`
	EventID        string          `json:"event_id"`
	Payload        json.RawMessage `json:"payload"`
	State          string          `json:"state"`
	AttemptNumber  int             `json:"attempt_number"`
	ResponseStatus *int            `json:"response_status"`
	ErrorMessage   *string         `json:"error_message"`
	CreatedAt      *string         `json:"created_at"`
	NextRetryAt    *string         `json:"next_retry_at"`
	Attempts       []attempt       `json:"attempts"`
}

// attempt is what is printed of one.
type attempt struct {
	AttemptNumber     int     `json:"attempt_number"`
	Trigger           string  `json:"trigger"`
	StartedAt         *string `json:"started_at"`
	DurationMS        *int64  `json:"duration_ms"`
	ResponseStatus    *int    `json:"response_status"`
	ResponseBody      *string `json:"response_body"`
	ResponseTruncated bool    `json:"response_truncated"`
	ErrorCode         *string `json:"error_code"`
	ErrorMessage      *string `json:"error_message"`
}

// outcome says in words how the attempt went.
func (a *attempt) outcome() string {
	text := "no answer"
	if a.ResponseStatus != nil {
		text = fmt.Sprintf("answered %d %s", *a.ResponseStatus, http.StatusText(*a.ResponseStatus))
	}
	if a.DurationMS != nil {
		text = fmt.Sprintf("%s after %d ms", strings.TrimSpace(text), *a.DurationMS)
	}
	if a.ErrorCode != nil {
		text += fmt.Sprintf(", failed: %s (%s)", orDash(a.ErrorMessage), *a.ErrorCode)
	}
	return text
}

type webhookDeliveriesCmd struct {
	hooks
	webhookArg
	Status    string  `enum:"pending,success,failed,any" default:"any" help:"pending, success or failed."`
	State     string  `enum:"queued,sending,retrying,succeeded,exhausted,paused,canceled,any" default:"any" help:"queued, sending, retrying, succeeded, exhausted, paused or canceled."`
	Event     string  `placeholder:"TYPE" help:"Only events of this type."`
	EventID   string  `placeholder:"ID" help:"Only this event, as evt_…."`
	ErrorCode string  `placeholder:"CODE" help:"Only those whose last attempt failed so, as timeout or http_500."`
	Since     instant `placeholder:"TIME" help:"Only those made since: 2h (ago), 7d, \"2026-05-01 12:00\"."`
	Until     instant `placeholder:"TIME" help:"Only those made until."`
	Limit     most    `short:"n" default:"50" help:"Most deliveries."`
}

// Run is called by kong.
func (c *webhookDeliveriesCmd) Run(g *globals) error {
	return c.run(g, c.about("list deliveries of"), func(s *session) error {
		q := url.Values{}
		for name, value := range map[string]string{
			"status": c.Status, "state": c.State, "event_type": c.Event, "event_id": c.EventID, "error_code": c.ErrorCode,
			"since": c.Since.String(), "until": c.Until.String(),
		} {
			if value != "any" && value != "" {
				q.Set(name, value)
			}
		}
		objects, err := s.items(c.path("/deliveries"), q, int(c.Limit))
		if err != nil {
			return err
		}
		return s.list("ID STATE ATTEMPT ANSWER MADE NEXT EVENT ERROR", objects, func(o json.RawMessage) ([]any, error) {
			var d sent
			err := json.Unmarshal(o, &d)
			answer := "-"
			if d.ResponseStatus != nil {
				answer = strconv.Itoa(*d.ResponseStatus)
			}
			return []any{d.ID, d.State, d.AttemptNumber, answer, day(d.CreatedAt), day(d.NextRetryAt), d.EventType, orDash(d.ErrorMessage)}, err
		})
	})
}

// deliveryArg names a delivery of a webhook.
type deliveryArg struct {
	webhookArg
	Delivery int64 `arg:"" help:"Number of the delivery."`
}

func (a *deliveryArg) path(more string) string {
	return a.webhookArg.path("/deliveries/" + strconv.FormatInt(a.Delivery, 10) + more)
}

func (a *deliveryArg) about(what string) string {
	return fmt.Sprintf("%s delivery %d of webhook %d", what, a.Delivery, a.Webhook)
}

type webhookDeliveryCmd struct {
	hooks
	deliveryArg
}

// Run is called by kong.
func (c *webhookDeliveryCmd) Run(g *globals) error {
	return c.run(g, c.about("show"), func(s *session) error {
		var object json.RawMessage
		if err := s.get(c.path(""), &object); err != nil {
			return err
		}
		var d sent
		if shown, err := s.read(object, &d); shown || err != nil {
			return err
		}
		return s.printDelivery(&d)
	})
}

func (s *session) printDelivery(d *sent) error {
	payload := "not kept any more"
	if string(d.Payload) != "null" {
		payload = string(d.Payload)
	}
	err := s.say("%s\n%s", plain(fmt.Sprintf("delivery %d to webhook %d: %s %s, %s", d.ID, d.WebhookID, d.EventType, d.EventID, d.State)), plain("payload: "+payload))
	if err != nil {
		return err
	}
	for i := range d.Attempts {
		a := &d.Attempts[i]
		if err := s.say("%s", plain(fmt.Sprintf("attempt %d  %s  %s  %s", a.AttemptNumber, day(a.StartedAt), a.Trigger, a.outcome()))); err != nil {
			return err
		}
	}
	if d.NextRetryAt != nil {
		if err := s.say("next attempt %s", plain(day(d.NextRetryAt))); err != nil {
			return err
		}
	}
	if n := len(d.Attempts); n > 0 {
		return s.sayAnswer(&d.Attempts[n-1])
	}
	return nil
}

// sayAnswer prints the body of an answer, if there is one.
func (s *session) sayAnswer(a *attempt) error {
	if a.ResponseBody == nil || *a.ResponseBody == "" {
		return nil
	}
	text := "answer: " + *a.ResponseBody
	if a.ResponseTruncated {
		text += "… (longer)"
	}
	return s.say("%s", plain(text))
}

// deliveryChanged makes a call that answers with a delivery, and says what that is now.
func (s *session) deliveryChanged(path string, body any) error {
	var object json.RawMessage
	if err := s.post(path, body, &object); err != nil {
		return err
	}
	var d sent
	if shown, err := s.read(object, &d); shown || err != nil {
		return err
	}
	return s.say("delivery %d of event %s is %s", d.ID, plain(d.EventID), plain(d.State))
}

type webhookRedeliverCmd struct {
	hooks
	deliveryArg
	NewID bool `name:"new-id" help:"Make a new delivery with a webhook-id of its own, for receivers that drop what they know."`
}

// Run is called by kong.
func (c *webhookRedeliverCmd) Run(g *globals) error {
	return c.run(g, c.about("send again"), func(s *session) error {
		return s.deliveryChanged(c.path("/redeliver"), map[string]any{"new_id": c.NewID})
	})
}

type webhookCancelCmd struct {
	hooks
	deliveryArg
}

// Run is called by kong.
func (c *webhookCancelCmd) Run(g *globals) error {
	return c.run(g, c.about("cancel"), func(s *session) error { return s.deliveryChanged(c.path("/cancel"), nil) })
}

type webhookEraseCmd struct {
	hooks
	deliveryArg
	confirmed
}

// Run is called by kong.
func (c *webhookEraseCmd) Run(g *globals) error {
	if err := c.check(fmt.Sprintf("erase what the event of delivery %d says, with the answers to it", c.Delivery)); err != nil {
		return err
	}
	return c.run(g, c.about("erase"), func(s *session) error {
		if err := s.del(c.path("/payload")); err != nil {
			return err
		}
		return s.say("what the event of delivery %d says is erased; the event log keeps its own", c.Delivery)
	})
}
