package webhook_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/webhook"
)

func TestS32_StandardWebhooksVector(t *testing.T) {
	s := secret(t, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	got := s.SignStandard("msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestSecretsThatAreNone(t *testing.T) {
	bytes := func(n int) string { return "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, n)) }
	for _, text := range []string{"", "whsec_", "whsec_%%%", "whsec_AAA", bytes(23), bytes(65), strings.TrimSuffix(bytes(32), "="), bytes(32) + "\n"} {
		_, err := webhook.ParseSecret(text)
		if !errors.Is(err, webhook.ErrSecret) {
			t.Errorf("%q: %v", text, err)
		} else if rest := strings.TrimPrefix(text, "whsec_"); rest != "" && strings.Contains(err.Error(), rest) {
			t.Errorf("%q is repeated in %q", text, err)
		}
	}
	for _, text := range []string{"k", "whsec", "WHSEC_x", bytes(24), bytes(64)} {
		if got := secret(t, text).Reveal(); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestS32_SecretsWeMakeHave32Bytes(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		text := webhook.NewSecret().Reveal()
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "whsec_"))
		if err != nil || len(key) != 32 || seen[text] {
			t.Fatalf("%q: %d bytes, %v", text, len(key), err)
		}
		seen[text] = true
		if again := secret(t, text); again.Sign(nil) == "" {
			t.Fatal("cannot be read again")
		}
	}
}

func TestSecretsDoNotPrintThemselves(t *testing.T) {
	s := secret(t, "very-secret")
	text := fmt.Sprintf("%v %+v %#v %s", s, s, s, struct{ S webhook.Secret }{s})
	if strings.Contains(text, "very") {
		t.Error(text)
	}
}

// request is how a vector's request looks to who receives it.
func request(v vector) http.Header {
	h := http.Header{}
	h.Set("webhook-id", vectorID)
	h.Set("webhook-timestamp", strconv.FormatInt(vectorTime.Unix(), 10))
	h.Set("webhook-signature", v.standard)
	h.Set("X-Webhook-Signature", v.documented)
	return h
}

func TestS32_VerifierTakesWhatIsSigned(t *testing.T) {
	at := func() time.Time { return vectorTime.Add(time.Minute) }
	for _, vec := range vectors {
		right, other := secret(t, vec.secret), secret(t, "another")
		for name, v := range map[string]webhook.Verifier{
			"one":        {Secrets: []webhook.Secret{right}, Now: at},
			"two":        {Secrets: []webhook.Secret{other, right}, Now: at},
			"tolerance":  {Secrets: []webhook.Secret{right}, Now: func() time.Time { return vectorTime.Add(time.Hour) }, Tolerance: time.Hour},
			"in advance": {Secrets: []webhook.Secret{right}, Now: func() time.Time { return vectorTime.Add(-5 * time.Minute) }},
		} {
			if err := v.Verify(request(vec), []byte(vec.body)); err != nil {
				t.Errorf("%s, %s: %v", vec.name, name, err)
			}
			if err := v.VerifyBody(request(vec), []byte(vec.body)); err != nil {
				t.Errorf("%s, %s, documented: %v", vec.name, name, err)
			}
		}
	}
}

func TestS32_VerifierTakesOneOfSeveralSignatures(t *testing.T) {
	vec := vectors[0]
	older, newer := secret(t, vec.secret), webhook.NewSecret()
	h := request(vec)
	h.Set("webhook-signature", newer.SignStandard(vectorID, vectorTime, []byte(vec.body))+" v9,unknown "+vec.standard)
	for _, s := range []webhook.Secret{older, newer} {
		v := webhook.Verifier{Secrets: []webhook.Secret{s}, Now: func() time.Time { return vectorTime }}
		if err := v.Verify(h, []byte(vec.body)); err != nil {
			t.Error(err)
		}
	}
}

func TestS32_VerifierRefuses(t *testing.T) {
	vec := vectors[0]
	good := webhook.Verifier{Secrets: []webhook.Secret{secret(t, vec.secret)}, Now: func() time.Time { return vectorTime }}
	later := good
	later.Now = func() time.Time { return vectorTime.Add(5*time.Minute + time.Second) }
	earlier := good
	earlier.Now = func() time.Time { return vectorTime.Add(-5*time.Minute - time.Second) }
	wrong := good
	wrong.Secrets = []webhook.Secret{secret(t, "another"), {}}

	for _, c := range []struct {
		name   string
		v      webhook.Verifier
		change func(http.Header)
		body   string
		want   error
	}{
		{"another body", good, nil, vec.body + " ", webhook.ErrSignature},
		{"another secret", wrong, nil, vec.body, webhook.ErrSignature},
		{"no secret", webhook.Verifier{Now: good.Now}, nil, vec.body, webhook.ErrSignature},
		{"old", later, nil, vec.body, webhook.ErrTimestamp},
		{"of the future", earlier, nil, vec.body, webhook.ErrTimestamp},
		{"another id", good, func(h http.Header) { h.Set("webhook-id", "evt_x") }, vec.body, webhook.ErrSignature},
		{"another time", good, func(h http.Header) { h.Set("webhook-timestamp", "1735689601") }, vec.body, webhook.ErrSignature},
		{"no id", good, func(h http.Header) { h.Del("webhook-id") }, vec.body, webhook.ErrHeader},
		{"no time", good, func(h http.Header) { h.Del("webhook-timestamp") }, vec.body, webhook.ErrHeader},
		{"no number", good, func(h http.Header) { h.Set("webhook-timestamp", "1735689600.0") }, vec.body, webhook.ErrHeader},
		{"a huge time", good, func(h http.Header) { h.Set("webhook-timestamp", "9223372036854775807") }, vec.body, webhook.ErrTimestamp},
		{"no signature", good, func(h http.Header) { h.Del("webhook-signature") }, vec.body, webhook.ErrHeader},
		{"no scheme", good, func(h http.Header) { h.Set("webhook-signature", strings.TrimPrefix(vec.standard, "v1,")) }, vec.body, webhook.ErrSignature},
		{"a key where there is none", good, func(h http.Header) { h.Set("webhook-signature", "v1a,AAAA v1a,%") }, vec.body, webhook.ErrSignature},
	} {
		h := request(vec)
		if c.change != nil {
			c.change(h)
		}
		if err := c.v.Verify(h, []byte(c.body)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}

	h := request(vec)
	if err := good.VerifyBody(h, []byte(vec.body+" ")); !errors.Is(err, webhook.ErrSignature) {
		t.Error("documented, another body:", err)
	}
	if err := wrong.VerifyBody(h, []byte(vec.body)); !errors.Is(err, webhook.ErrSignature) {
		t.Error("documented, another secret:", err)
	}
	h.Del("X-Webhook-Signature")
	if err := good.VerifyBody(h, []byte(vec.body)); !errors.Is(err, webhook.ErrHeader) {
		t.Error("documented, no signature:", err)
	}
}

func TestEd25519(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	body := []byte(vectors[0].body)
	h := request(vectors[0])
	h.Set("webhook-signature", webhook.SignEd25519(private, vectorID, vectorTime, body))
	read, err := webhook.ParsePublicKey(webhook.FormatPublicKey(public))
	if err != nil {
		t.Fatal(err)
	}
	v := webhook.Verifier{Keys: []ed25519.PublicKey{read}, Now: func() time.Time { return vectorTime }}
	if err := v.Verify(h, body); err != nil {
		t.Error(err)
	}
	if err := v.Verify(h, append(body, ' ')); !errors.Is(err, webhook.ErrSignature) {
		t.Error(err)
	}
	v.Keys = []ed25519.PublicKey{{1, 2, 3}}
	if err := v.Verify(h, body); !errors.Is(err, webhook.ErrSignature) {
		t.Error(err)
	}
	for _, text := range []string{"", "whpk_", "whpk_AAAA", strings.TrimPrefix(webhook.FormatPublicKey(public), "whpk_")} {
		if _, err := webhook.ParsePublicKey(text); err == nil {
			t.Errorf("%q is taken for a key", text)
		}
	}
}

func TestFormats(t *testing.T) {
	e := &webhook.Event{
		ID: vectorID, Type: "ticket.created", OccurredAt: time.Date(2026, 3, 2, 11, 16, 5, 412e6, time.FixedZone("", 3*3600)),
		Payload: json.RawMessage(`{"ticket_id":55,"n":1.0,"title":"é"}`), Source: "https://chat.example.org", Subject: "ticket:55", Sequence: 7,
	}
	for format, want := range map[webhook.Format]string{
		webhook.FormatPlain:    `{"n": 1.0, "ticket_id": 55, "title": "\u00e9"}`,
		webhook.FormatCompact:  `{"ticket_id":55,"n":1,"title":"é"}`,
		webhook.FormatEnvelope: `{"data": {"n": 1.0, "ticket_id": 55, "title": "\u00e9"}, "id": "evt_01J9ZQ8T4W6X2N5B7C3D1F0GHK", "timestamp": "2026-03-02T08:16:05.412Z", "type": "ticket.created"}`,
		webhook.FormatCloudEvents: `{"data": {"n": 1.0, "ticket_id": 55, "title": "\u00e9"}, "datacontenttype": "application/json", "id": "evt_01J9ZQ8T4W6X2N5B7C3D1F0GHK", ` +
			`"sequence": "00000000000000000007", "source": "https://chat.example.org", "specversion": "1.0", "subject": "ticket:55", "time": "2026-03-02T08:16:05.412Z", "type": "ticket.created"}`,
	} {
		if body, err := format.Body(e); err != nil || string(body) != want {
			t.Errorf("%s: %s, %v\nwant %s", format, body, err, want)
		}
	}
	if _, err := webhook.Format("xml").Body(e); !errors.Is(err, webhook.ErrFormat) {
		t.Error(err)
	}
	bare := *e
	bare.Sequence, bare.Subject, bare.Payload = 0, "", json.RawMessage(`[]`)
	for _, f := range []webhook.Format{webhook.FormatPlain, webhook.FormatCompact, webhook.FormatEnvelope, webhook.FormatCloudEvents} {
		if _, err := f.Body(&bare); !errors.Is(err, webhook.ErrPayload) {
			t.Errorf("%s of a list: %v", f, err)
		}
	}
	bare.Payload = json.RawMessage(`{}`)
	if body, _ := webhook.FormatCloudEvents.Body(&bare); strings.Contains(string(body), "sequence") || strings.Contains(string(body), "subject") {
		t.Errorf("%s", body)
	}
}

// CloudEvents HTTP binding 1.0.2, section 3.1.3.2.
func TestAttributesInHeaders(t *testing.T) {
	for subject, want := range map[string]string{"ticket:55": "ticket:55", `заказ "7"%`: "%D0%B7%D0%B0%D0%BA%D0%B0%D0%B7%20%227%22%25", "~!": "~!"} {
		h := http.Header{}
		(&webhook.Event{ID: vectorID, Type: "ticket.created", Source: "https://chat.example.org", Subject: subject, Sequence: 7}).Describe(h)
		if got := h.Get("ce-subject"); got != want || h.Get("ce-id") != vectorID || h.Get("ce-sequence") != "00000000000000000007" {
			t.Errorf("%s: %v", subject, h)
		}
	}
}

func TestTimesHaveNoFractionOrThreeOrSixDigits(t *testing.T) {
	for nanoseconds, want := range map[int]string{
		0: "2026-03-02T08:15:30Z", 999: "2026-03-02T08:15:30Z", 120e6: "2026-03-02T08:15:30.120Z", 123456789: "2026-03-02T08:15:30.123456Z",
	} {
		if got := webhook.FormatTime(time.Date(2026, 3, 2, 8, 15, 30, nanoseconds, time.UTC)); got != want {
			t.Errorf("%d: %s, want %s", nanoseconds, got, want)
		}
	}
}
