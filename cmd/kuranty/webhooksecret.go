package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

type webhookRotateSecretCmd struct {
	hooks
	webhookArg
	Grace  *time.Duration `placeholder:"TIME" help:"Time for which the old secret stays good, up to 168h; 0s ends it at once. 24h if not given."`
	Secret string         `placeholder:"SECRET" help:"The new secret; - reads it from the input, where others on the machine do not see it. One is made and printed if not given."`
	End    bool           `help:"End the time of the old secret now, and change nothing else."`
}

// Run is called by kong.
func (c *webhookRotateSecretCmd) Run(g *globals) error {
	if c.End && (c.Grace != nil || c.Secret != "") {
		return usageError{errors.New("--end goes without --grace and --secret")}
	}
	if c.End {
		return c.run(g, c.about("end the old secret of"), func(s *session) error {
			if err := s.del(c.path("/secret/previous")); err != nil {
				return err
			}
			return s.say("webhook %d has one secret", c.Webhook)
		})
	}
	given, err := readSecret(c.Secret)
	if err != nil {
		return err
	}
	body := map[string]any{}
	if given != "" {
		body["secret"] = given
	}
	if c.Grace != nil {
		body["grace_seconds"] = int64(*c.Grace / time.Second)
	}
	return c.run(g, c.about("rotate the secret of"), func(s *session) error {
		var object json.RawMessage
		if err := s.post(c.path("/secret/rotate"), body, &object); err != nil {
			return err
		}
		var r struct {
			Secret string
			Until  *string `json:"previous_expires_at"`
		}
		if err := json.Unmarshal(object, &r); err != nil {
			return fmt.Errorf("read answer: %w", err)
		}
		if given != "" {
			r.Secret = "" // whoever gave it knows it
		}
		if s.json {
			return errors.Join(s.show(object), s.once(c.Webhook, r.Secret))
		}
		old := "the old one is not good any more"
		if r.Until != nil {
			old = "the old one is good until " + day(r.Until)
		}
		if err := s.say("webhook %d has a new secret; %s", c.Webhook, plain(old)); err != nil || r.Secret == "" {
			return err
		}
		return errors.Join(s.say("secret: %s", plain(r.Secret)), s.once(c.Webhook, r.Secret))
	})
}

type webhookRevealSecretCmd struct {
	hooks
	webhookArg
}

// Run is called by kong.
func (c *webhookRevealSecretCmd) Run(g *globals) error {
	return c.run(g, c.about("reveal the secret of"), func(s *session) error {
		var object json.RawMessage
		if err := s.get(c.path("/secret"), &object); err != nil {
			return err
		}
		var r struct {
			Secret   *string `json:"secret"`
			Previous *string `json:"previous_secret"`
			Until    *string `json:"previous_expires_at"`
		}
		if shown, err := s.read(object, &r); shown || err != nil {
			return err
		}
		if r.Secret == nil {
			return errors.New("it has none")
		}
		if err := s.say("%s", plain(*r.Secret)); err != nil || r.Previous == nil {
			return err
		}
		return s.say("%s", plain(fmt.Sprintf("%s  (the old one, good until %s)", *r.Previous, day(r.Until))))
	})
}
