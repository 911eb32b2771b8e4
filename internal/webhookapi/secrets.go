package webhookapi

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/webhooks"
	"github.com/kuranty/kuranty/webhook"
)

// Secret is what a webhook's requests are signed with.
type Secret struct {
	Secret            *string `json:"secret"`
	PreviousSecret    *string `json:"previous_secret" doc:"What is still good beside it"`
	PreviousExpiresAt *string `json:"previous_expires_at" format:"date-time"`
}

func (a *API) secret(r *request) (answer, error) {
	id, err := r.hook()
	if err != nil {
		return answer{}, err
	}
	s, err := a.o.Service.Secret(r.Context(), r.by, id)
	return answer{http.StatusOK, Secret{optional(s.Secret), optional(s.Previous), stamp(s.Until)}, true}, err
}

// Rotated is a new secret.
type Rotated struct {
	Secret            string  `json:"secret"`
	PreviousExpiresAt *string `json:"previous_expires_at" format:"date-time" doc:"Until when the old one is good; null if it is not any more"`
}

func (a *API) rotate(r *request) (answer, error) {
	at, id := r.id("webhook_id")
	in, err := r.fields()
	if err != nil {
		return answer{}, err
	}
	secret := in.Secret("secret")
	grace := in.Integer("grace_seconds", 0, int(webhooks.MaxGrace/time.Second), int(webhooks.DefaultGrace/time.Second))
	if err := delivery.Invalid(at, in); err != nil {
		return answer{}, err
	}
	s, err := a.o.Service.Rotate(r.Context(), r.by, id, secret, time.Duration(grace)*time.Second)
	return answer{http.StatusOK, Rotated{s.Secret, stamp(s.Until)}, true}, err
}

func (a *API) endRotation(r *request) (answer, error) {
	id, err := r.hook()
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, a.o.Service.EndRotation(r.Context(), r.by, id)
}

// typeForm is the form of a type that a request can name in a header.
var typeForm = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

// maxType is the length of a type.
const maxType = 50

func (a *API) test(r *request) (answer, error) {
	at, id := r.id("webhook_id")
	in, err := r.fields()
	if err != nil {
		return answer{}, err
	}
	typ, payload := in.Text("event_type", 0, maxType), in.Object("payload")
	if typ != "" && !typeForm.MatchString(typ) {
		in.Refuse("event_type", "a type is words of letters, digits, _ and - with dots between")
	}
	if err := delivery.Invalid(at, in); err != nil {
		return answer{}, err
	}
	got, err := a.o.Service.Try(r.Context(), r.by, id, typ, payload)
	return answer{status: http.StatusOK, body: newAttempt(&got)}, err
}

// Meta is what owners of receivers and firewalls have to know.
type Meta struct {
	SourceIPs        []string `json:"source_ips" nullable:"false" doc:"Where requests come from; empty if that is not fixed"`
	UserAgent        string   `json:"user_agent"`
	SignatureSchemes []string `json:"signature_schemes" nullable:"false"`
	RetrySchedule    []int64  `json:"retry_schedule" nullable:"false" doc:"Seconds before each further attempt"`
	TimeoutMS        int64    `json:"timeout_ms" doc:"Of a whole attempt, where a webhook has no limit of its own"`
	PublicKey        *string  `json:"public_key" doc:"What Ed25519 signatures are checked with"`
}

func (a *API) meta(*request) (answer, error) {
	m := a.o.Service.Meta()
	out := Meta{
		SourceIPs: make([]string, len(m.SourceIPs)), UserAgent: m.UserAgent, SignatureSchemes: m.SignatureSchemes,
		RetrySchedule: seconds(m.RetrySchedule), TimeoutMS: m.Timeout.Milliseconds(),
	}
	for i, ip := range m.SourceIPs {
		out.SourceIPs[i] = ip.String()
	}
	if m.PublicKey != nil {
		out.PublicKey = optional(webhook.FormatPublicKey(m.PublicKey))
	}
	return answer{status: http.StatusOK, body: out}, nil
}

// Keys are the public keys of the server (RFC 7517).
type Keys struct {
	Keys []Key `json:"keys" nullable:"false"`
}

// Key is an Ed25519 key (RFC 8037).
type Key struct {
	Type  string `json:"kty" enum:"OKP"`
	Curve string `json:"crv" enum:"Ed25519"`
	Use   string `json:"use" enum:"sig"`
	Alg   string `json:"alg" enum:"EdDSA"`
	ID    string `json:"kid" doc:"The key's thumbprint (RFC 7638)"`
	X     string `json:"x"`
	Text  string `json:"whpk" doc:"The same key as libraries of Standard Webhooks take it"`
}

func (a *API) keys(*request) (answer, error) {
	out := Keys{Keys: []Key{}}
	if public := a.o.Service.Meta().PublicKey; public != nil {
		x := base64.RawURLEncoding.EncodeToString(public)
		sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":"Ed25519","kty":"OKP","x":%q}`, x))
		out.Keys = append(out.Keys, Key{"OKP", "Ed25519", "sig", "EdDSA", base64.RawURLEncoding.EncodeToString(sum[:]), x, webhook.FormatPublicKey(public)})
	}
	return answer{status: http.StatusOK, body: out}, nil
}

// Checked says which schemes would accept a captured request.
type Checked struct {
	Accepted bool      `json:"accepted" doc:"Whether any scheme would"`
	Schemes  []Finding `json:"schemes" nullable:"false"`
}

// Finding is what one scheme says.
type Finding struct {
	Scheme   string `json:"scheme"`
	Accepted bool   `json:"accepted"`
	Reason   string `json:"reason"`
}

func (a *API) checkSignature(r *request) (answer, error) {
	in, err := r.fields()
	if err != nil {
		return answer{}, err
	}
	in.Require("webhook_id", "headers", "body")
	id, headers, body, at := in.ID("webhook_id"), in.Headers("headers"), in.Text("body", 0, 0), in.Time("received_at")
	if err := delivery.Invalid(in); err != nil {
		return answer{}, err
	}
	c := webhooks.Captured{Header: http.Header{}, Body: []byte(body), At: at}
	for name, value := range headers {
		c.Header.Set(name, value)
	}
	found, err := a.o.Service.CheckSignature(r.Context(), id, c)
	if err != nil {
		return answer{}, err
	}
	out := Checked{Schemes: make([]Finding, len(found))}
	for i, f := range found {
		out.Schemes[i] = Finding(f)
		out.Accepted = out.Accepted || f.Accepted
	}
	return answer{status: http.StatusOK, body: out}, nil
}
