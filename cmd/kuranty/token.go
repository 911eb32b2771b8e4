package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/kuranty/kuranty/internal/config"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/server"
)

type tokenCmd struct {
	Create tokenCreateCmd `cmd:"" help:"Make a connection token, or with --channel a subscription token."`
	Check  tokenCheckCmd  `cmd:"" help:"Tell whether the server would accept a token, and what it says."`
	Decode tokenDecodeCmd `cmd:"" help:"Show what a token says without checking it."`
}

// lifetime is a duration that may be given in days.
type lifetime time.Duration

// longest is the longest life of a token (auth-and-channels.md §2).
const longest = 365 * 24 * time.Hour

// UnmarshalText reads "30d", "12h" or anything else Go knows as a duration.
func (l *lifetime) UnmarshalText(text []byte) error {
	days, inDays := strings.CutSuffix(string(text), "d")
	d, err := time.ParseDuration(string(text))
	if inDays {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		d = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || d < time.Second || d > longest {
		return fmt.Errorf("%q is no time span from 1s to 365d; it looks like 30d, 12h or 15m", text)
	}
	*l = lifetime(d)
	return nil
}

type tokenCreateCmd struct {
	User     string   `required:"" help:"User the token is for; \"\" is the anonymous user."`
	Channel  string   `help:"Make a subscription token for this channel."`
	Expires  lifetime `default:"7d" help:"Time the token is valid, as 30d, 12h or 15m; at most 365d."`
	Info     string   `placeholder:"JSON" help:"What others see of the connection, or of the subscription."`
	Meta     string   `placeholder:"JSON" help:"What only your backend sees: an object."`
	Data     string   `placeholder:"JSON" help:"What the client is told when it subscribes (with --channel)."`
	Channels []string `placeholder:"CHANNEL" help:"Channels the server subscribes the connection to."`
}

func (c *tokenCreateCmd) Run(g *globals) error {
	settings, err := g.settings()
	if err != nil {
		return err
	}
	info, err := jsonFlag("info", c.Info)
	if err != nil {
		return err
	}
	meta, err := jsonFlag("meta", c.Meta)
	if err != nil {
		return err
	}
	if len(meta) > 0 && !bytes.HasPrefix(bytes.TrimSpace(meta), []byte("{")) {
		return usageError{errors.New("--meta is not a JSON object")}
	}
	data, err := jsonFlag("data", c.Data)
	if err != nil {
		return err
	}
	var token string
	if c.Channel == "" {
		if c.Data != "" {
			return usageError{errors.New("--data needs --channel")}
		}
		token, err = create(&settings.Client.Token, settings, func(s *identity.Signer) (string, error) {
			return s.CreateConnectionToken(identity.ConnectionTokenOptions{
				User: c.User, TTL: time.Duration(c.Expires), Info: info, Meta: meta, Channels: c.Channels,
			})
		})
	} else {
		if c.Meta != "" || len(c.Channels) > 0 {
			return usageError{errors.New("--meta and --channels are for connection tokens, without --channel")}
		}
		token, err = create(subscriptionKeys(settings), settings, func(s *identity.Signer) (string, error) {
			return s.CreateSubscriptionToken(identity.SubscriptionTokenOptions{
				User: c.User, Channel: c.Channel, TTL: time.Duration(c.Expires), Info: info, Data: data,
			})
		})
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(g.stdout, token)
	return err
}

// create makes a token with the secret of keys.
func create(keys *config.Token, settings *config.Config, with func(*identity.Signer) (string, error)) (string, error) {
	if keys.HMACSecretKey == "" {
		return "", fmt.Errorf("there is no secret to sign with, neither in the configuration (client.token.hmac_secret_key) nor in %s: start the server once, or name its folder with --data-dir", settings.Storage.DataDir)
	}
	s, err := signer(keys)
	if err != nil {
		return "", err
	}
	return with(s)
}

func signer(keys *config.Token) (*identity.Signer, error) {
	return identity.NewSigner(identity.SignerOptions{
		HMACSecret: keys.HMACSecretKey, Audience: keys.Audience, Issuer: keys.Issuer, UserIDClaim: keys.UserIDClaim,
	})
}

// subscriptionKeys are the keys of subscription tokens.
func subscriptionKeys(c *config.Config) *config.Token {
	if c.Client.SubscriptionToken.Enabled {
		return &c.Client.SubscriptionToken.Token
	}
	return &c.Client.Token
}

// jsonFlag is the value of a flag that must be JSON, nil if it is empty.
func jsonFlag(name, value string) ([]byte, error) {
	if value == "" {
		return nil, nil
	}
	if !json.Valid([]byte(value)) {
		return nil, usageError{fmt.Errorf("--%s is not JSON: %s\nPut it into single quotes, as in --%s '{\"name\": \"Ann\"}'", name, excerpt([]byte(value)), name)}
	}
	return []byte(value), nil
}

type tokenCheckCmd struct {
	Token string `arg:"" help:"Token; - reads it from the input."`
}

func (c *tokenCheckCmd) Run(g *globals) error {
	settings, err := g.settings()
	if err != nil {
		return err
	}
	raw, err := argument(c.Token)
	if err != nil {
		return err
	}
	_, payload, err := identity.DecodeToken(string(raw))
	if err != nil {
		return err
	}
	var kind struct {
		Channel string `json:"channel"`
	}
	_ = json.Unmarshal(payload, &kind) // what is no string is found below
	keys := &settings.Client.Token
	if kind.Channel != "" {
		keys = subscriptionKeys(settings)
	}
	v, err := identity.NewVerifier(server.VerifierOptions(keys, settings.Client.InsecureSkipTokenSignatureVerify))
	if err != nil {
		return err
	}
	ctx := context.Background()
	var user string
	var expires int64
	if kind.Channel == "" {
		claims, err := v.ConnectionToken(ctx, string(raw))
		if err != nil {
			return fmt.Errorf("not accepted: %w", err)
		}
		user, expires = claims.User, claims.ExpireAt
	} else {
		claims, err := v.SubscriptionToken(ctx, string(raw))
		if err != nil {
			return fmt.Errorf("not accepted: %w", err)
		}
		user, expires = claims.User, claims.ExpireAt
	}
	text := "valid connection token"
	if kind.Channel != "" {
		text = fmt.Sprintf("valid subscription token for channel %q", kind.Channel)
	}
	if user == "" {
		text += " of the anonymous user"
	} else {
		text += fmt.Sprintf(" of user %q", user)
	}
	if expires > 0 {
		text += ", expires " + time.Unix(expires, 0).UTC().Format(time.RFC3339)
	} else {
		text += ", never expires"
	}
	_, err = fmt.Fprintln(g.stdout, text)
	return err
}

type tokenDecodeCmd struct {
	Token string `arg:"" help:"Token; - reads it from the input."`
}

func (c *tokenDecodeCmd) Run(g *globals) error {
	raw, err := argument(c.Token)
	if err != nil {
		return err
	}
	head, payload, err := identity.DecodeToken(string(raw))
	if err != nil {
		return err
	}
	if err := printIndented(g.stdout, head); err != nil {
		return err
	}
	if err := printIndented(g.stdout, payload); err != nil {
		return err
	}
	_, err = fmt.Fprintln(g.stderr, "the signature was not checked; kuranty token check does that")
	return err
}

func printIndented(w io.Writer, text []byte) error {
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		return fmt.Errorf("show JSON: %w", err)
	}
	_, err := fmt.Fprintf(w, "%s\n", harmless(b.Bytes()))
	return err
}
