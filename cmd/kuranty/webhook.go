package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/kuranty/kuranty/internal/client"
)

type webhookCmd struct {
	Create       webhookCreateCmd       `cmd:"" help:"Make a webhook: tell a server of events."`
	List         webhookListCmd         `cmd:"" help:"List webhooks, the newest first."`
	Show         webhookShowCmd         `cmd:"" help:"Print all of a webhook, without its secrets."`
	Update       webhookUpdateCmd       `cmd:"" help:"Change a webhook, switch it on or off."`
	Delete       webhookDeleteCmd       `cmd:"" help:"Remove a webhook and all its deliveries."`
	Test         webhookTestCmd         `cmd:"" help:"Send an event at once and print what the receiver answers."`
	Match        webhookMatchCmd        `cmd:"" help:"Say whether a webhook would get an event, and why."`
	Stats        webhookStatsCmd        `cmd:"" help:"Print how the attempts of a webhook went, or the totals of all."`
	Verify       webhookVerifyCmd       `cmd:"" help:"Say what is right and what is wrong with a captured request."`
	RotateSecret webhookRotateSecretCmd `cmd:"" help:"Give a webhook a new secret; the old one stays good for a while."`
	RevealSecret webhookRevealSecretCmd `cmd:"" help:"Print the secret of a webhook, which is audited."`
	Deliveries   webhookDeliveriesCmd   `cmd:"" help:"List deliveries of a webhook, the newest first."`
	Delivery     webhookDeliveryCmd     `cmd:"" help:"Print a delivery with its attempts."`
	Redeliver    webhookRedeliverCmd    `cmd:"" help:"Send a delivery again, whatever its state."`
	Cancel       webhookCancelCmd       `cmd:"" help:"Do not try a delivery any more."`
	Erase        webhookEraseCmd        `cmd:"" help:"Erase what the event of a delivery says, here and for other webhooks."`
	Recover      webhookRecoverCmd      `cmd:"" help:"Send again what was given up in a time."`
	Replay       webhookReplayCmd       `cmd:"" help:"Send what happened in a time, from the event log."`
	Job          webhookJobCmd          `cmd:"" help:"Print how far a recovery or replay is, or stop it."`
}

// hooks is the flags of commands about webhooks. Those of backend but for the server's
// address: --url is a receiver's here.
type hooks struct {
	Server string `env:"KURANTY_URL" placeholder:"URL" help:"Address of the Kuranty server; by default the one that uses the data folder."`
	APIKey string `name:"api-key" env:"KURANTY_API_KEY" placeholder:"KEY" help:"Key with scopes of webhooks; by default the configured one, or that of the data folder."`
	JSON   bool   `name:"json" help:"Print JSON, an object a line."`
}

// run calls do with a way to /webhooks; what says in an error what was wanted.
func (c *hooks) run(g *globals, what string, do func(*session) error) error {
	b := backend{remote: remote{URL: c.Server}, APIKey: c.APIKey, JSON: c.JSON}
	return b.run(g, func(s *session) error {
		s.Prefix = "/webhooks"
		err := do(s)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, client.ErrNothing):
			return fmt.Errorf("%s: the server has no webhooks: webhooks.enabled is false there, or it is another server", what)
		}
		return fmt.Errorf("%s: %w", what, err)
	})
}

// webhookArg names a webhook.
type webhookArg struct {
	Webhook int64 `arg:"" help:"Number of the webhook."`
}

func (a *webhookArg) path(more string) string { return "/" + strconv.FormatInt(a.Webhook, 10) + more }

// about is what a command does to the webhook.
func (a *webhookArg) about(what string) string { return fmt.Sprintf("%s webhook %d", what, a.Webhook) }

// hook is what is printed of a webhook.
type hook struct {
	ID              int64    `json:"id"`
	Name            string   `json:"name"`
	URL             string   `json:"url"`
	EventTypes      []string `json:"event_types"`
	IsActive        bool     `json:"is_active"`
	Health          string   `json:"health"`
	DisabledReason  *string  `json:"disabled_reason"`
	Pending         int64    `json:"pending_deliveries"`
	SuccessCount    int64    `json:"success_count"`
	FailureCount    int64    `json:"failure_count"`
	LastTriggeredAt *string  `json:"last_triggered_at"`
	Warnings        []string `json:"warnings"`
	Secret          string   `json:"secret"`
}

// state is a word for whether and how it works.
func (h *hook) state() string {
	switch {
	case h.IsActive:
		return h.Health
	case h.DisabledReason != nil:
		return "off: " + *h.DisabledReason
	}
	return "off"
}

// sayHook prints a webhook that was made or changed, its secret if it is new, and what the
// server warns of.
func (s *session) sayHook(done string, object json.RawMessage) error {
	var h hook
	if err := json.Unmarshal(object, &h); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	for _, w := range h.Warnings {
		if _, err := fmt.Fprintf(s.stderr, "warning: %s\n", plain(w)); err != nil {
			return err
		}
	}
	if s.json {
		return errors.Join(s.show(object), s.once(h.ID, h.Secret))
	}
	err := s.say("%s webhook %d (%s): %s to %s, %s", done, h.ID, plain(h.Name), plain(strings.Join(h.EventTypes, ",")), plain(h.URL), plain(h.state()))
	if err != nil || h.Secret == "" {
		return err
	}
	return errors.Join(s.say("secret: %s", plain(h.Secret)), s.once(h.ID, h.Secret))
}

// once says of a secret that was shown that it will not be again.
func (s *session) once(id int64, secret string) error {
	if secret == "" {
		return nil
	}
	_, err := fmt.Fprintf(s.stderr, "the secret is shown this once: give it to the receiver now. Later kuranty webhook reveal-secret %d prints it, which is audited\n", id)
	return err
}

type webhookListCmd struct {
	hooks
	Event   string `placeholder:"TYPE" help:"Only those whose first event is this type or pattern."`
	Matches string `placeholder:"TYPE" help:"Only those that would get events of this type."`
	Active  string `enum:"yes,no,any" default:"any" help:"yes, no or any."`
	Limit   most   `short:"n" default:"50" help:"Most webhooks."`
}

// Run is called by kong.
func (c *webhookListCmd) Run(g *globals) error {
	return c.run(g, "list webhooks", func(s *session) error {
		q := url.Values{}
		for name, value := range map[string]string{"event_type": c.Event, "matches": c.Matches} {
			if value != "" {
				q.Set(name, value)
			}
		}
		if c.Active != "any" {
			q.Set("is_active", c.Active)
		}
		objects, err := s.items("", q, int(c.Limit))
		if err != nil {
			return err
		}
		return s.list("ID STATE WAITING SUCCEEDED FAILED LAST EVENTS URL NAME", objects, func(o json.RawMessage) ([]any, error) {
			var h hook
			err := json.Unmarshal(o, &h)
			return []any{h.ID, h.state(), h.Pending, h.SuccessCount, h.FailureCount, day(h.LastTriggeredAt), strings.Join(h.EventTypes, ","), h.URL, h.Name}, err
		})
	})
}

// items collects up to limit objects of a list that goes on by cursor, or else by offset.
func (s *session) items(path string, q url.Values, limit int) (all []json.RawMessage, err error) {
	for limit > len(all) {
		q.Set("limit", strconv.Itoa(min(limit-len(all), 200)))
		var page struct {
			Items  []json.RawMessage `json:"items"`
			Total  *int              `json:"total"`
			Cursor *string           `json:"next_cursor"`
		}
		if err := s.get(path+"?"+q.Encode(), &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		switch {
		case len(page.Items) == 0:
			return all, nil
		case page.Cursor != nil:
			q.Set("cursor", *page.Cursor)
		case page.Total == nil || *page.Total <= len(all):
			return all, nil
		default:
			q.Set("offset", strconv.Itoa(len(all)))
		}
	}
	return all, nil
}

type webhookShowCmd struct {
	hooks
	webhookArg
}

// Run is called by kong.
func (c *webhookShowCmd) Run(g *globals) error {
	return c.run(g, c.about("show"), func(s *session) error {
		var object json.RawMessage
		if err := s.get(c.path(""), &object); err != nil {
			return err
		}
		return s.show(object)
	})
}

type webhookDeleteCmd struct {
	hooks
	webhookArg
	confirmed
}

// Run is called by kong.
func (c *webhookDeleteCmd) Run(g *globals) error {
	if err := c.check(fmt.Sprintf("remove webhook %d with all its deliveries", c.Webhook)); err != nil {
		return err
	}
	return c.run(g, c.about("delete"), func(s *session) error {
		if err := s.del(c.path("")); err != nil {
			return err
		}
		return s.say("webhook %d is removed", c.Webhook)
	})
}

// instant is a time as people write it, or how long ago that was.
type instant time.Time

// UnmarshalText reads "2h" or "7d", "2026-05-01 12:00", or RFC 3339.
func (i *instant) UnmarshalText(text []byte) error {
	var ago lifetime
	if ago.UnmarshalText(text) == nil {
		*i = instant(time.Now().Add(-time.Duration(ago)))
		return nil
	}
	var at moment
	if at.UnmarshalText(text) != nil {
		return fmt.Errorf(`%q is no time; it looks like 2h or 7d (ago), "2026-05-01 12:00" or 2026-05-01T12:00:00+03:00`, text)
	}
	*i = instant(at)
	return nil
}

// String is the time as the API takes it, "" if none is given.
func (i instant) String() string {
	if t := time.Time(i); !t.IsZero() {
		return t.UTC().Format(time.RFC3339Nano)
	}
	return ""
}
