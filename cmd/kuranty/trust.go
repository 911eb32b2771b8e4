package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

type trustCmd struct {
	List          trustListCmd          `cmd:"" help:"List identities, the newest first."`
	Show          trustShowCmd          `cmd:"" help:"Print an identity."`
	Create        trustCreateCmd        `cmd:"" help:"Publish an identity of a person."`
	Verifications trustVerificationsCmd `cmd:"" help:"List verifications, the newest first."`
	Begin         trustBeginCmd         `cmd:"" help:"Begin a verification that operators decide."`
	Decide        trustDecideCmd        `cmd:"" help:"Decide a verification, or take one back."`
}

// trustIdentity is what is printed of an identity.
type trustIdentity struct {
	ID              string  `json:"id"`
	UserID          int64   `json:"user_id"`
	Username        string  `json:"username"`
	Fingerprint     string  `json:"fingerprint"`
	KeyVerified     bool    `json:"key_verified"`
	Level           string  `json:"verification_level"`
	Reputation      float64 `json:"reputation"`
	ReputationLevel string  `json:"reputation_level"`
}

// verification is what is printed of a verification.
type verification struct {
	ID         string  `json:"id"`
	IdentityID string  `json:"identity_id"`
	Type       string  `json:"type"`
	Status     string  `json:"status"`
	Confidence float64 `json:"confidence"`
	VerifierID *string `json:"verifier_id"`
	ExpiresAt  *string `json:"expires_at"`
}

// identityArg names an identity.
type identityArg struct {
	Identity string `arg:"" help:"Id or username of the identity."`
}

// find returns the identity's id.
func (i *identityArg) find(s *session) (string, error) {
	if strings.HasPrefix(i.Identity, "idn_") {
		return i.Identity, nil
	}
	var page struct{ Identities []trustIdentity }
	if err := s.get("/trust/identities?username="+url.QueryEscape(i.Identity), &page); err != nil {
		return "", fmt.Errorf("look for identity %s: %w", i.Identity, err)
	}
	if len(page.Identities) == 0 {
		return "", fmt.Errorf("there is no identity %s", i.Identity)
	}
	return page.Identities[0].ID, nil
}

type trustListCmd struct {
	backend
	User        string `placeholder:"USER" help:"Only that of this person."`
	Fingerprint string `placeholder:"SHA256:…" help:"Only those with this key."`
	Limit       most   `short:"n" default:"50" help:"Most identities."`
}

func (c *trustListCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		q := url.Values{}
		if err := s.only(q, "user_id", c.User); err != nil {
			return err
		}
		if c.Fingerprint != "" {
			q.Set("fingerprint", c.Fingerprint)
		}
		objects, err := s.pages("/trust/identities", q, "identities", int(c.Limit))
		if err != nil {
			return fmt.Errorf("list identities: %w", err)
		}
		return s.list("ID USER USERNAME KEY VERIFICATION REPUTATION FINGERPRINT", objects, func(o json.RawMessage) ([]any, error) {
			var i trustIdentity
			err := json.Unmarshal(o, &i)
			key := "claimed"
			if i.KeyVerified {
				key = "verified"
			}
			return []any{i.ID, i.UserID, i.Username, key, i.Level, fmt.Sprintf("%.4f (%s)", i.Reputation, i.ReputationLevel), i.Fingerprint}, err
		})
	})
}

type trustShowCmd struct {
	backend
	identityArg
}

func (c *trustShowCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		id, err := c.find(s)
		if err != nil {
			return err
		}
		var object json.RawMessage
		if err := s.get("/trust/identities/"+url.PathEscape(id), &object); err != nil {
			return fmt.Errorf("show identity %s: %w", c.Identity, err)
		}
		return s.show(object)
	})
}

type trustCreateCmd struct {
	backend
	Name      string `help:"Name that is shown."`
	User      string `arg:"" help:"Number, username or e-mail address of the account."`
	Username  string `arg:"" help:"Username of the identity; it stays."`
	PublicKey string `arg:"" help:"The 32 bytes of an Ed25519 public key, in base64 or hexadecimal."`
}

func (c *trustCreateCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		a, err := s.user(c.User)
		if err != nil {
			return err
		}
		var object json.RawMessage
		body := map[string]any{"user_id": a.ID, "username": c.Username, "display_name": c.Name, "public_key": c.PublicKey}
		if err := s.post("/trust/identities", body, &object); err != nil {
			return fmt.Errorf("create identity: %w", err)
		}
		var i trustIdentity
		if shown, err := s.read(object, &i); shown || err != nil {
			return err
		}
		return s.say("created identity %s with the key %s", i.ID, i.Fingerprint)
	})
}

type trustVerificationsCmd struct {
	backend
	Type   string `enum:"challenge,email,member,document,phone,social,blockchain,any" default:"any" help:"challenge, email, member, document, phone, social or blockchain."`
	Status string `enum:"pending,verified,failed,expired,any" default:"any" help:"pending, verified, failed or expired."`
	Of     string `placeholder:"IDENTITY" help:"Only those of this identity, named by id or username."`
	Limit  most   `short:"n" default:"50" help:"Most verifications."`
}

func (c *trustVerificationsCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		q := url.Values{}
		for name, value := range map[string]string{"type": c.Type, "status": c.Status} {
			if value != "any" {
				q.Set(name, value)
			}
		}
		if c.Of != "" {
			id, err := (&identityArg{c.Of}).find(s)
			if err != nil {
				return err
			}
			q.Set("identity_id", id)
		}
		objects, err := s.pages("/trust/verifications", q, "verifications", int(c.Limit))
		if err != nil {
			return fmt.Errorf("list verifications: %w", err)
		}
		return s.list("ID IDENTITY TYPE STATUS CONFIDENCE VERIFIER EXPIRES", objects, func(o json.RawMessage) ([]any, error) {
			var v verification
			err := json.Unmarshal(o, &v)
			return []any{v.ID, v.IdentityID, v.Type, v.Status, v.Confidence, orDash(v.VerifierID), day(v.ExpiresAt)}, err
		})
	})
}

type trustBeginCmd struct {
	backend
	identityArg
	Type string `arg:"" enum:"document,phone,social,blockchain" help:"document, phone, social or blockchain."`
}

func (c *trustBeginCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		id, err := c.find(s)
		if err != nil {
			return err
		}
		return s.verification("/trust/verifications", s.post, map[string]any{"type": c.Type, "identity_id": id}, "begin verification")
	})
}

type trustDecideCmd struct {
	backend
	Confidence   float64 `default:"1" help:"How sure it is, from 0.0001 to 1 (of what is verified)."`
	Verification string  `arg:"" help:"Id of the verification."`
	Status       string  `arg:"" enum:"verified,failed" help:"verified or failed."`
}

func (c *trustDecideCmd) Run(g *globals) error {
	body := map[string]any{"status": c.Status}
	switch {
	case c.Status == "verified":
		body["confidence"] = c.Confidence
	case c.Confidence != 1:
		return usageError{errors.New("--confidence is only of what is verified")}
	}
	return c.run(g, func(s *session) error {
		return s.verification("/trust/verifications/"+url.PathEscape(c.Verification), s.patch, body, "decide verification "+c.Verification)
	})
}

// verification calls an operation that answers with a verification, and prints its state.
func (s *session) verification(path string, call func(string, any, any) error, body any, what string) error {
	var object json.RawMessage
	if err := call(path, body, &object); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	var v verification
	if shown, err := s.read(object, &v); shown || err != nil {
		return err
	}
	return s.say("verification %s is %s", v.ID, v.Status)
}
