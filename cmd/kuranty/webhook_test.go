package main

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/webhook"
)

// What may have happened to a request is told in words.
func TestCapturedRequests(t *testing.T) {
	const body = `{"amount": 150.0, "name": "\u0416"}`
	secret, err := webhook.ParseSecret("a long enough secret")
	if err != nil {
		t.Fatal(err)
	}
	other := webhook.NewSecret()
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	request := func() *capturedRequest {
		return &capturedRequest{body: []byte(body), at: at.Add(3 * time.Second), header: http.Header{
			webhook.HeaderID: {"evt_1"}, webhook.HeaderTimestamp: {strconv.FormatInt(at.Unix(), 10)},
			webhook.HeaderSignature: {secret.Sign([]byte(body))}, webhook.HeaderSignatureList: {secret.SignStandard("evt_1", at, []byte(body))},
		}}
	}
	for name, c := range map[string]struct {
		change               func(*capturedRequest)
		secret               webhook.Secret
		standard, documented string
	}{
		"as it was sent": {func(*capturedRequest) {}, secret, "yes: made with this secret or key of this body, 3s before it came", "yes: made with this secret"},
		"old":            {func(r *capturedRequest) { r.at = at.Add(2 * time.Hour) }, secret, "no: the signature is right, but webhook-timestamp is 2h0m0s before it came; receivers allow 5m", "yes"},
		"of the future":  {func(r *capturedRequest) { r.at = at.Add(-time.Hour) }, secret, "no: the signature is right, but webhook-timestamp is 1h0m0s after it came", "yes"},
		"wrong secret":   {func(*capturedRequest) {}, other, "no: not made with this secret of this body: the body looks as it was sent, so the secret", "no: not made with this secret"},
		"other body":     {func(r *capturedRequest) { r.body = []byte(`{"b":1,"a":2}`) }, secret, "no: not made with this secret of this body: the secret is another one, or the body", "no: not made"},
		"parsed body":    {func(r *capturedRequest) { r.body = []byte(`{"name":"Ж","amount":150.0}`) }, secret, "no: the body was parsed and written again", "no: the body was parsed"},
		"line at end":    {func(r *capturedRequest) { r.body = []byte(body + "\n") }, secret, "no: there is white space around the body", "no: there is white space"},
		"other id":       {func(r *capturedRequest) { r.header.Set("webhook-id", "evt_2") }, secret, "no: the secret and the body are right, so webhook-id or webhook-timestamp", "yes"},
		"missing":        {func(r *capturedRequest) { r.header = http.Header{} }, secret, "no: missing: webhook-id, webhook-timestamp, webhook-signature", "no: the header is missing"},
		"no time":        {func(r *capturedRequest) { r.header.Set("webhook-timestamp", "noon") }, secret, "no: a header is missing or malformed: webhook-timestamp", "yes"},
		"no prefix":      {func(r *capturedRequest) { r.header.Set(webhook.HeaderSignature, "abc") }, secret, "yes", "no: the header must begin with sha256="},
		"key pair":       {func(r *capturedRequest) { r.header.Set("webhook-signature", "v1a,abc") }, secret, "no: the signatures are made with a key pair", "yes"},
		"new secret": {
			func(r *capturedRequest) { r.header.Set(webhook.HeaderSignatureNext, other.Sign([]byte(body))) }, other,
			"no: not made with this secret", "no: made with the old secret; this is the new one",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := request()
			c.change(r)
			v := r.judge(webhook.Verifier{Secrets: []webhook.Secret{c.secret}})
			for i, want := range []string{c.standard, c.documented} {
				got := "no: " + v.Schemes[i].Reason
				if v.Schemes[i].Accepted {
					got = "yes: " + v.Schemes[i].Reason
				}
				if !strings.HasPrefix(got, want) {
					t.Errorf("%s: %q, want %q", v.Schemes[i].Scheme, got, want)
				}
			}
			if v.Accepted != (v.Schemes[0].Accepted || v.Schemes[1].Accepted) {
				t.Errorf("accepted %v of %+v", v.Accepted, v.Schemes)
			}
		})
	}
}

func TestReadHeader(t *testing.T) {
	h := http.Header{}
	if err := readHeader(h, "POST /hooks HTTP/1.1\r\nWebhook-Id: evt_1\r\n< x-other:a: b\n\nhost:\n"); err != nil {
		t.Fatal(err)
	}
	if h.Get("webhook-id") != "evt_1" || h.Get("X-Other") != "a: b" || len(h) != 3 {
		t.Errorf("read %v", h)
	}
	for _, wrong := range []string{"nothing", ": x", "two words: x"} {
		if err := readHeader(http.Header{}, wrong); err == nil || !strings.Contains(err.Error(), "is no header") {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

func TestWebhookFlags(t *testing.T) {
	for _, c := range []struct {
		read       func(string) (any, error)
		text, want string
	}{
		{readRetries, "5, 300", `[5,300]`},
		{readRetries, "none", `[]`},
		{readRetries, "default", `""`},
		{readRetries, "", ""},
		{readRetries, "5s", ""},
		{readRate, "100/60", `{"max":100,"per_seconds":60}`},
		{readRate, "none", `""`},
		{readRate, "100", ""},
		{readRate, "/1", ""},
		{readObject, `{"a": 1}`, `{"a":1}`},
		{readObject, "", `""`},
		{readObject, "{", ""},
	} {
		v, err := c.read(c.text)
		got, _ := json.Marshal(v)
		if (err != nil) != (c.want == "") || err == nil && string(got) != c.want {
			t.Errorf("%q: %s, %v, want %s", c.text, got, err, c.want)
		}
	}
}

// Whatever is typed, what is sent is JSON.
func FuzzWebhookFlags(f *testing.F) {
	for _, seed := range []string{"5,300", "none", "default", "100/60", `{"a": 1}`, "POST / HTTP/1.1\na: b", "2h", "2026-05-01 12:00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, read := range []func(string) (any, error){readRetries, readRate, readObject} {
			v, err := read(text)
			if err != nil {
				continue
			}
			if _, err := json.Marshal(v); err != nil {
				t.Errorf("%q: %v", text, err)
			}
		}
		h := http.Header{}
		if err := readHeader(h, text); err == nil && len(h) > strings.Count(text, ":") {
			t.Errorf("%q became %v", text, h)
		}
		var i instant
		if err := i.UnmarshalText([]byte(text)); err == nil && i.String() != "" {
			if _, err := time.Parse(time.RFC3339Nano, i.String()); err != nil {
				t.Errorf("%q: %v", text, err)
			}
		}
	})
}
