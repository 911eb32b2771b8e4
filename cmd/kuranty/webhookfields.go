package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/kuranty/kuranty/internal/client"
)

// hookFields is the flags of what a webhook is. What is not given is the default, or stays.
type hookFields struct {
	Name        *string           `help:"What it is called."`
	URL         *string           `placeholder:"URL" help:"Where the requests go."`
	Event       []string          `placeholder:"TYPE" help:"Events of a type or pattern, as ticket.*; may be repeated."`
	Description *string           `help:"More about it."`
	Secret      *string           `placeholder:"SECRET" help:"What requests are signed with; - reads it from the input, where others on the machine do not see it. \"\" is none."`
	Generate    bool              `name:"generate-secret" help:"Have a secret made, printed once."`
	Header      map[string]string `mapsep:"none" placeholder:"NAME=VALUE" help:"Header that the receiver wants; may be repeated. A change replaces all of them."`
	Format      *string           `placeholder:"FORMAT" help:"Body: plain, compact, envelope or cloudevents."`
	CEHeaders   *bool             `name:"ce-headers" negatable:"" help:"Add the attributes of CloudEvents as headers to plain and compact bodies."`
	Filter      *string           `placeholder:"JSON" help:"Only events that pass a filter, as {\"payload.priority\": \"high\"}. \"\" is none."`
	Retry       *string           `placeholder:"SECONDS,…" help:"Waits before each further attempt, as 5,300,1800; none is a single attempt, default what the server does."`
	Ordering    *string           `placeholder:"ORDER" help:"none, key (one after the other of each ticket, user, …) or strict (one after the other)."`
	OnExhausted *string           `placeholder:"WHAT" help:"When an ordered delivery is given up: continue with the next, or block, which switches the webhook off."`
	Rate        *string           `placeholder:"N/SECONDS" help:"Most attempts in a time, as 100/60; none is no limit."`
	MaxInFlight *int              `placeholder:"N" help:"Most attempts at once, 1 to 100."`
	Timeout     *time.Duration    `placeholder:"TIME" help:"Longest time of an attempt, 1s to 30s."`
	Scheme      *string           `placeholder:"SCHEME" help:"Signatures: hmac (the secret), ed25519 (a key pair of the server) or both."`
	ClientCert  string            `placeholder:"FILE" help:"Certificate that the receiver knows the server by, as PEM. A change replaces it together with --client-key and --ca."`
	ClientKey   string            `placeholder:"FILE" help:"Key of that certificate, as PEM."`
	CA          string            `name:"ca" placeholder:"FILE" help:"Certificates that sign the receiver's, as PEM."`
	Metadata    *string           `placeholder:"JSON" help:"An object of your own."`
	Verify      *string           `placeholder:"HOW" help:"Ask the receiver whether it wants this before anything is sent: none, ping or cloudevents."`
}

// body is the fields that are given, as the API takes them.
func (f *hookFields) body() (map[string]any, error) {
	body := map[string]any{}
	for name, value := range map[string]*string{
		"name": f.Name, "url": f.URL, "description": f.Description, "payload_format": f.Format, "ordering": f.Ordering,
		"on_exhausted": f.OnExhausted, "signature_scheme": f.Scheme, "verify": f.Verify,
	} {
		if value != nil {
			body[name] = *value
		}
	}
	if len(f.Event) > 0 {
		body["event_types"] = f.Event
	}
	if f.Generate {
		body["generate_secret"] = true
	}
	if len(f.Header) > 0 {
		body["headers"] = f.Header
	}
	if f.CEHeaders != nil {
		body["ce_headers"] = *f.CEHeaders
	}
	if f.MaxInFlight != nil {
		body["max_in_flight"] = *f.MaxInFlight
	}
	if f.Timeout != nil {
		body["timeout_ms"] = f.Timeout.Milliseconds()
	}
	for _, part := range []struct {
		name, flag string
		value      *string
		read       func(string) (any, error)
	}{
		{"filter", "--filter", f.Filter, readObject},
		{"metadata", "--metadata", f.Metadata, readObject},
		{"retry_schedule", "--retry", f.Retry, readRetries},
		{"rate_limit", "--rate", f.Rate, readRate},
	} {
		if part.value == nil {
			continue
		}
		v, err := part.read(*part.value)
		if err != nil {
			return nil, usageError{fmt.Errorf("%s %w", part.flag, err)}
		}
		body[part.name] = v
	}
	if err := f.certificates(body); err != nil {
		return nil, err
	}
	if f.Secret != nil {
		text, err := readSecret(*f.Secret)
		if err != nil {
			return nil, err
		}
		body["secret"] = text
	}
	return body, nil
}

// readSecret returns the secret that a flag gives, or the input if that is "-".
func readSecret(flag string) (string, error) {
	text, err := argument(flag)
	if err == nil && flag == "-" && len(text) == 0 {
		err = usageError{errors.New("the input has no secret")}
	}
	return string(text), err
}

func (f *hookFields) certificates(body map[string]any) error {
	pem := map[string]string{}
	for name, file := range map[string]string{"client_cert": f.ClientCert, "client_key": f.ClientKey, "ca": f.CA} {
		if file == "" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read certificates: %w", err)
		}
		pem[name] = string(text)
	}
	if len(pem) > 0 {
		body["tls"] = pem
	}
	return nil
}

// empty is the value that takes a setting away (spec/webhooks.md §1.3).
const empty = ""

// readObject reads JSON; what is not given is none.
func readObject(text string) (any, error) {
	if text == "" {
		return empty, nil
	}
	if !json.Valid([]byte(text)) {
		return nil, fmt.Errorf("is not JSON: %s", excerpt([]byte(text)))
	}
	return json.RawMessage(text), nil
}

// readRetries reads seconds with commas between.
func readRetries(text string) (any, error) {
	switch text {
	case "default":
		return empty, nil
	case "none":
		return []int{}, nil
	}
	var waits []int
	for word := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil {
			return nil, fmt.Errorf("must be seconds, as 5,300,1800, or none or default; %q is none of these", word)
		}
		waits = append(waits, n)
	}
	return waits, nil
}

// readRate reads "100/60": a hundred in a minute.
func readRate(text string) (any, error) {
	if text == "none" {
		return empty, nil
	}
	most, seconds, _ := strings.Cut(text, "/")
	n, err := strconv.Atoi(most)
	per, wrong := strconv.Atoi(seconds)
	if err != nil || wrong != nil {
		return nil, fmt.Errorf("must be attempts and seconds, as 100/60, or none, not %q", text)
	}
	return map[string]int{"max": n, "per_seconds": per}, nil
}

type webhookCreateCmd struct {
	hooks
	hookFields
}

func (webhookCreateCmd) Help() string {
	return `For example: kuranty webhook create --name CRM --url https://crm.example.com/hooks --event 'ticket.*' --generate-secret. --url is the receiver's; the Kuranty server is --server.`
}

// Run is called by kong.
func (c *webhookCreateCmd) Run(g *globals) error {
	if c.Name == nil || c.URL == nil || len(c.Event) == 0 {
		return usageError{errors.New("a webhook needs --name, --url and --event")}
	}
	body, err := c.body()
	if err != nil {
		return err
	}
	return c.run(g, "create webhook", func(s *session) error {
		var object json.RawMessage
		if err := s.post("", body, &object); err != nil {
			return err
		}
		return s.sayHook("created", object)
	})
}

type webhookUpdateCmd struct {
	hooks
	webhookArg
	hookFields
	On     bool   `xor:"switch" help:"Switch it on."`
	Off    bool   `xor:"switch" help:"Switch it off; what happens meanwhile is not delivered."`
	Force  bool   `help:"With --on: although it was switched off by itself time and again."`
	Resume string `enum:"all,none" default:"all" help:"With --on: send all that waits since it was switched off by itself, or none of it."`
}

func (webhookUpdateCmd) Help() string {
	return `What is not given stays. A secret that is set here counts at once: rotate-secret gives the receiver time.`
}

// Run is called by kong.
func (c *webhookUpdateCmd) Run(g *globals) error {
	if !c.On && (c.Force || c.Resume != "all") {
		return usageError{errors.New("--force and --resume go with --on")}
	}
	body, err := c.body()
	if err != nil {
		return err
	}
	if c.On || c.Off {
		body["is_active"] = c.On
	}
	if c.Force {
		body["force"] = true
	}
	if c.Resume == "none" {
		body["resume"] = c.Resume
	}
	if len(body) == 0 {
		return usageError{errors.New("nothing to change: give what is to be another way, as --url or --off; see kuranty webhook update --help")}
	}
	return c.run(g, c.about("update"), func(s *session) error {
		var object json.RawMessage
		err := s.patch(c.path(""), body, &object)
		if refused := new(client.RefusedError); errors.As(err, &refused) && refused.Status == http.StatusConflict && c.On && !c.Force {
			return fmt.Errorf("%w\nLook at kuranty webhook deliveries %d first, then repeat this with --force", err, c.Webhook)
		}
		if err != nil {
			return err
		}
		return s.sayHook("changed", object)
	})
}
