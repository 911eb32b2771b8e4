package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"
)

type keyCmd struct {
	Create keyCreateCmd `cmd:"" help:"Make an API key for a service, printed once."`
	List   keyListCmd   `cmd:"" help:"List API keys, without their secrets."`
	Revoke keyRevokeCmd `cmd:"" help:"End a key at once."`
}

type keyCreateCmd struct {
	backend
	Scope   []string `placeholder:"SCOPE" help:"What it may do, as admin or read:*; everything if not given."`
	Expires lifetime `placeholder:"TIME" help:"Time it is valid, as 90d; for ever if not given."`
	Name    string   `arg:"" help:"What the key is for, as billing."`
}

func (keyCreateCmd) Help() string {
	return `The output is the key alone, as in KEY="$(kuranty key create billing --scope admin)". It is kept nowhere else.`
}

func (c *keyCreateCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		body := map[string]any{"name": c.Name}
		if len(c.Scope) > 0 {
			body["scopes"] = c.Scope
		}
		if c.Expires > 0 {
			body["expires_in"] = int64(time.Duration(c.Expires) / time.Second)
		}
		var object json.RawMessage
		if err := s.post("/admin/keys", body, &object); err != nil {
			return fmt.Errorf("create key: %w", err)
		}
		if s.json {
			return s.show(object)
		}
		var key struct{ ID, Key string }
		if err := json.Unmarshal(object, &key); err != nil {
			return fmt.Errorf("read answer: %w", err)
		}
		if _, err := fmt.Fprintf(s.stderr, "created key %s; it is shown this once\n", key.ID); err != nil {
			return err
		}
		return s.say("%s", key.Key)
	})
}

type keyListCmd struct{ backend }

func (c *keyListCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		var page struct {
			Keys []json.RawMessage `json:"keys"`
		}
		if err := s.get("/admin/keys", &page); err != nil {
			return fmt.Errorf("list keys: %w", err)
		}
		return s.list("ID BEGINS NAME SCOPES CREATED EXPIRES USED FROM STATE", page.Keys, func(o json.RawMessage) ([]any, error) {
			var k struct {
				ID         string   `json:"id"`
				Hint       string   `json:"hint"`
				Name       string   `json:"name"`
				Scopes     []string `json:"scopes"`
				CreatedAt  *string  `json:"created_at"`
				ExpiresAt  *string  `json:"expires_at"`
				LastUsedAt *string  `json:"last_used_at"`
				LastUsedIP string   `json:"last_used_ip"`
				RevokedAt  *string  `json:"revoked_at"`
			}
			err := json.Unmarshal(o, &k)
			state := "valid"
			if k.ExpiresAt != nil {
				if at, err := time.Parse(time.RFC3339, *k.ExpiresAt); err == nil && at.Before(time.Now()) {
					state = "expired"
				}
			}
			if k.RevokedAt != nil {
				state = "revoked"
			}
			return []any{k.ID, k.Hint, k.Name, strings.Join(k.Scopes, ","), day(k.CreatedAt), day(k.ExpiresAt), day(k.LastUsedAt), k.LastUsedIP, state}, err
		})
	})
}

type keyRevokeCmd struct {
	backend
	ID string `arg:"" help:"Id of the key, as kuranty key list shows it."`
}

func (c *keyRevokeCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		if err := s.del("/admin/keys/" + url.PathEscape(c.ID)); err != nil {
			return fmt.Errorf("revoke key %s: %w", c.ID, err)
		}
		return s.say("key %s is revoked", c.ID)
	})
}
