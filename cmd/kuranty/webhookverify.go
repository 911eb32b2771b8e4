package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/kuranty/kuranty/webhook"
)

type webhookVerifyCmd struct {
	hooks
	Body      string   `placeholder:"FILE" default:"-" help:"Body of the request, byte for byte; the input if not given."`
	Header    []string `sep:"none" placeholder:"'NAME: VALUE'" help:"Header of the request; may be repeated."`
	Headers   string   `placeholder:"FILE" help:"Headers of the request, one a line."`
	Secret    []string `sep:"none" placeholder:"SECRET" help:"Secret that the receiver knows; may be repeated. - reads it from the input."`
	PublicKey string   `placeholder:"KEY" help:"Public key of the server, as whpk_…, for signatures by key pair."`
	At        instant  `placeholder:"TIME" help:"When it came: 2h (ago), \"2026-05-01 12:00\"; now if not given."`
	Webhook   int64    `placeholder:"ID" help:"Ask the server, which knows the secrets of this webhook."`
}

func (webhookVerifyCmd) Help() string {
	return `Without --webhook everything stays on this machine and no server is needed. It exits with 1 if neither signature is right. For example: kuranty webhook verify --body body.json --headers headers.txt --secret whsec_…`
}

// Run is called by kong.
func (c *webhookVerifyCmd) Run(g *globals) error {
	given := len(c.Secret) > 0 || c.PublicKey != ""
	if given == (c.Webhook != 0) {
		return usageError{errors.New("give --secret (or --public-key) to check here, or --webhook to ask the server")}
	}
	if c.Body == "-" && slices.Contains(c.Secret, "-") {
		return usageError{errors.New("the input cannot be both body and secret; give --body FILE")}
	}
	r, err := c.captured()
	if err != nil {
		return err
	}
	if c.Webhook != 0 {
		return c.run(g, fmt.Sprintf("verify a request of webhook %d", c.Webhook), func(s *session) error { return s.askVerdict(c.Webhook, r) })
	}
	var keys webhook.Verifier
	for _, flag := range c.Secret {
		text, err := readSecret(flag)
		if err != nil {
			return err
		}
		secret, err := webhook.ParseSecret(text)
		if err != nil {
			return usageError{fmt.Errorf("--secret: %w", err)}
		}
		keys.Secrets = append(keys.Secrets, secret)
	}
	if c.PublicKey != "" {
		key, err := webhook.ParsePublicKey(c.PublicKey)
		if err != nil {
			return usageError{fmt.Errorf("--public-key: %w", err)}
		}
		keys.Keys = []ed25519.PublicKey{key}
	}
	v := r.judge(keys)
	object, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	s := &session{globals: g, json: c.JSON}
	return s.sayVerdict(object)
}

// captured reads the request that the flags tell of.
func (c *webhookVerifyCmd) captured() (*capturedRequest, error) {
	r := &capturedRequest{header: http.Header{}, at: time.Time(c.At)}
	if r.at.IsZero() {
		r.at = time.Now()
	}
	lines := strings.Join(c.Header, "\n")
	if c.Headers != "" {
		text, err := os.ReadFile(c.Headers)
		if err != nil {
			return nil, fmt.Errorf("read headers: %w", err)
		}
		lines = string(text) + "\n" + lines
	}
	if err := readHeader(r.header, lines); err != nil {
		return nil, usageError{err}
	}
	var err error
	if c.Body == "-" {
		r.body, err = io.ReadAll(os.Stdin)
	} else {
		r.body, err = os.ReadFile(c.Body)
	}
	if err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	return r, nil
}

// readHeader reads lines like "name: value". The first line of a request may be among them,
// and what curl -v and others put before a line.
func readHeader(h http.Header, lines string) error {
	for line := range strings.Lines(lines) {
		line = strings.TrimSpace(strings.TrimLeft(strings.TrimSpace(line), "<> "))
		name, value, ok := strings.Cut(line, ":")
		switch {
		case line == "" || strings.HasPrefix(line, "POST "):
		case !ok || name == "" || strings.ContainsAny(name, " \t"):
			return fmt.Errorf("%q is no header; it looks like webhook-id: evt_…", excerpt([]byte(line)))
		default:
			h.Set(name, strings.TrimSpace(value))
		}
	}
	return nil
}

// verdict is what is said of a captured request, by us or by the server.
type verdict struct {
	Accepted bool      `json:"accepted"`
	Schemes  []finding `json:"schemes"`
}

// finding is what is said of one signature.
type finding struct {
	Scheme   string `json:"scheme"`
	Accepted bool   `json:"accepted"`
	Reason   string `json:"reason"`
}

// askVerdict asks the server.
func (s *session) askVerdict(id int64, r *capturedRequest) error {
	headers := map[string]string{}
	for name := range r.header {
		headers[name] = r.header.Get(name)
	}
	body := map[string]any{"webhook_id": id, "headers": headers, "body": string(r.body), "received_at": instant(r.at).String()}
	var object json.RawMessage
	if err := s.post("/verify-signature", body, &object); err != nil {
		return err
	}
	return s.sayVerdict(object)
}

func (s *session) sayVerdict(object json.RawMessage) error {
	var v verdict
	if err := json.Unmarshal(object, &v); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if s.json {
		if err := s.show(object); err != nil {
			return err
		}
	} else {
		for _, f := range v.Schemes {
			word := "refused"
			if f.Accepted {
				word = "accepted"
			}
			if err := s.say("%-8s  %s: %s", word, plain(f.Scheme), plain(f.Reason)); err != nil {
				return err
			}
		}
	}
	if !v.Accepted {
		return errors.New("a receiver would refuse this request")
	}
	return nil
}

// capturedRequest is a request that somebody recorded at a receiver.
type capturedRequest struct {
	header http.Header
	body   []byte
	at     time.Time
}

// judge says of both schemes what is right and what is wrong.
func (r *capturedRequest) judge(keys webhook.Verifier) verdict {
	standard, documented := r.standard(&keys), r.documented(&keys)
	if !standard.Accepted && documented.Accepted && strings.HasPrefix(standard.Reason, neither) {
		standard.Reason = "the secret and the body are right, so webhook-id or webhook-timestamp is not as it was sent"
	}
	return verdict{standard.Accepted || documented.Accepted, []finding{standard, documented}}
}

// neither begins the reason if nothing made good the body.
const neither = "not made with this secret of this body"

// likely says which of the two it may be.
func (r *capturedRequest) likely() string {
	if again, err := webhook.Canonical(r.body); err == nil && bytes.Equal(again, r.body) {
		return neither + ": the body looks as it was sent, so the secret may be another one"
	}
	return neither + ": the secret is another one, or the body is not as it was sent"
}

// mended are bodies that this one may have been, each with what was done to it.
func (r *capturedRequest) mended() (all []mended) {
	all = append(all, mended{bytes.TrimSpace(r.body), "there is white space around the body that was not sent"})
	const again = "the body was parsed and written again; check the bytes as they came"
	for _, write := range []func([]byte) ([]byte, error){webhook.Canonical, webhook.Compact} {
		if body, err := write(r.body); err == nil {
			all = append(all, mended{body, again})
		}
	}
	return all
}

type mended struct {
	body []byte
	what string
}

// documented checks X-Webhook-Signature.
func (r *capturedRequest) documented(keys *webhook.Verifier) finding {
	f := finding{Scheme: webhook.HeaderSignature}
	value := r.header.Get(webhook.HeaderSignature)
	switch {
	case value == "":
		f.Reason = "the header is missing"
		return f
	case len(keys.Secrets) == 0:
		f.Reason = "a public key cannot check it; give --secret"
		return f
	case !strings.HasPrefix(value, "sha256="):
		f.Reason = "the header must begin with sha256="
		return f
	case keys.VerifyBody(r.header, r.body) == nil:
		f.Accepted, f.Reason = true, "made with this secret of this body; it says nothing of time"
		return f
	}
	next := http.Header{webhook.HeaderSignature: r.header.Values(webhook.HeaderSignatureNext)}
	if keys.VerifyBody(next, r.body) == nil {
		f.Reason = "made with the old secret; this is the new one, which makes " + webhook.HeaderSignatureNext
		return f
	}
	f.Reason = r.diagnose(func(body []byte) error { return keys.VerifyBody(r.header, body) })
	return f
}

// standard checks webhook-signature.
func (r *capturedRequest) standard(keys *webhook.Verifier) finding {
	f := finding{Scheme: "webhook-signature"}
	var missing []string
	for _, name := range []string{webhook.HeaderID, webhook.HeaderTimestamp, webhook.HeaderSignatureList} {
		if r.header.Get(name) == "" {
			missing = append(missing, strings.ToLower(name))
		}
	}
	if len(missing) > 0 {
		f.Reason = "missing: " + strings.Join(missing, ", ")
		return f
	}
	timeless := *keys
	timeless.Tolerance, timeless.Now = 1<<63-1, func() time.Time { return r.at }
	strict := timeless
	strict.Tolerance = 0
	err := timeless.Verify(r.header, r.body)
	switch {
	case errors.Is(err, webhook.ErrHeader):
		f.Reason = err.Error()
	case err != nil && len(keys.Secrets) == 0 && !strings.Contains(r.header.Get(webhook.HeaderSignatureList), "v1a,"):
		f.Reason = "the signatures are made with a secret; give --secret"
	case err != nil && len(keys.Keys) == 0 && !strings.Contains(r.header.Get(webhook.HeaderSignatureList), "v1,"):
		f.Reason = "the signatures are made with a key pair of the server; give --public-key"
	case err != nil:
		f.Reason = r.diagnose(func(body []byte) error { return timeless.Verify(r.header, body) })
	case strict.Verify(r.header, r.body) != nil:
		f.Reason = fmt.Sprintf("the signature is right, but webhook-timestamp is %s; receivers allow %s. Say when it came with --at", r.age(), webhook.DefaultTolerance)
	default:
		f.Accepted, f.Reason = true, "made with this secret or key of this body, "+r.age()
	}
	return f
}

// age is how far webhook-timestamp is from when the request came.
func (r *capturedRequest) age() string {
	var seconds int64
	_, _ = fmt.Sscan(r.header.Get(webhook.HeaderTimestamp), &seconds) // it was read before
	apart := r.at.Sub(time.Unix(seconds, 0)).Truncate(time.Second)
	if apart < 0 {
		return fmt.Sprintf("%s after it came", -apart)
	}
	return fmt.Sprintf("%s before it came", apart)
}

// diagnose says what may be wrong with a body whose signature is not right.
func (r *capturedRequest) diagnose(verify func([]byte) error) string {
	for _, m := range r.mended() {
		if verify(m.body) == nil {
			return m.what
		}
	}
	return r.likely()
}
