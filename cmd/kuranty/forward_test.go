package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/kuranty/kuranty/webhook"
)

// forwarding returns what sends to a receiver, and where it writes.
func forwarding(t *testing.T, format webhook.Format, receive http.HandlerFunc) (f *forwarder, stdout, stderr *bytes.Buffer) {
	t.Helper()
	receiver := httptest.NewServer(receive)
	t.Cleanup(receiver.Close)
	to, err := url.Parse(receiver.URL)
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	return &forwarder{
		client: localClient(time.Minute), globals: &globals{stdout: stdout, stderr: stderr}, to: to, secret: webhook.NewSecret(), format: format, describe: true,
		header: map[string]string{"Authorization": "Bearer mine", "webhook-id": "not this"},
	}, stdout, stderr
}

var ticketEvent = &webhook.Event{
	ID: "evt_01JNB3C7Q9V5T2M8K4X6Z0R1WD", Type: "ticket.created", OccurredAt: time.Date(2026, 3, 2, 8, 16, 2, 0, time.UTC),
	Payload: json.RawMessage(`{"b":150.0,"a":123456789012345678901,"t":"Ж"}`), Source: "https://example.com/", Subject: "ticket:55", Sequence: 7,
}

// Requests are those of the server: both signatures are right, numbers are as in the log,
// and what is sent again says so.
func TestForwarded(t *testing.T) {
	type request struct {
		header http.Header
		body   []byte
	}
	for format, body := range map[webhook.Format]string{
		webhook.FormatPlain:   `{"a": 123456789012345678901, "b": 150.0, "t": "\u0416"}`,
		webhook.FormatCompact: `{"b":150,"a":123456789012345678901,"t":"Ж"}`,
		webhook.FormatEnvelope: `{"data": {"a": 123456789012345678901, "b": 150.0, "t": "\u0416"}, "id": "evt_01JNB3C7Q9V5T2M8K4X6Z0R1WD", ` +
			`"timestamp": "2026-03-02T08:16:02Z", "type": "ticket.created"}`,
	} {
		var got []request
		f, stdout, _ := forwarding(t, format, func(_ http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			got = append(got, request{r.Header, b})
		})
		for _, step := range []func() error{
			func() error { return f.press(t.Context(), 'r') }, // nothing yet
			func() error { return f.forward(t.Context(), ticketEvent) },
			func() error { return f.press(t.Context(), 'r') },
			func() error { return f.forward(t.Context(), ticketEvent) },
		} {
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}
		if len(got) != 3 {
			t.Fatalf("%d requests", len(got))
		}
		v := webhook.Verifier{Secrets: []webhook.Secret{f.secret}}
		for i, want := range []struct{ delivery, attempt string }{{"1", "1"}, {"1", "2"}, {"2", "1"}} {
			r := got[i]
			if string(r.body) != body {
				t.Errorf("%s: body %s", format, r.body)
			}
			if err := v.Verify(r.header, r.body); err != nil {
				t.Error(err)
			}
			if err := v.VerifyBody(r.header, r.body); err != nil {
				t.Error(err)
			}
			for name, value := range map[string]string{
				webhook.HeaderEvent: "ticket.created", webhook.HeaderWebhook: "0", webhook.HeaderDelivery: want.delivery, webhook.HeaderAttempt: want.attempt,
				webhook.HeaderID: ticketEvent.ID, "Authorization": "Bearer mine", "Content-Type": "application/json", "Accept-Encoding": "identity",
				"Ce-Subject": map[bool]string{true: "", false: "ticket:55"}[format == webhook.FormatEnvelope],
			} {
				if r.header.Get(name) != value {
					t.Errorf("%s: %s is %q, want %q", format, name, r.header.Get(name), value)
				}
			}
		}
		if lines := strings.Count(stdout.String(), "\n"); lines != 3 || !strings.Contains(stdout.String(), "  ticket.created  "+ticketEvent.ID+"  200  ") {
			t.Errorf("printed %s", stdout)
		}
	}
}

// guarantees.md S33: what a receiver answers does not move the cursor, and is not followed anywhere.
func TestAnswersOnATerminal(t *testing.T) {
	f, stdout, _ := forwarding(t, webhook.FormatCompact, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "/elsewhere")
		w.Header().Set("X-Odd", "a\u009bb")
		w.WriteHeader(http.StatusFound)
		_, _ = io.WriteString(w, "\x1b[2Joh no\r\n\u202eevil\x07"+strings.Repeat("x", maxAnswer))
	})
	odd := *ticketEvent
	odd.Payload = json.RawMessage("{\"t\":\"\u009b31m\u202e\"}")
	if err := f.forward(t.Context(), &odd); err != nil {
		t.Fatal(err)
	}
	line := stdout.String()
	if err := f.press(t.Context(), 'd'); err != nil {
		t.Fatal(err)
	}
	for _, r := range stdout.String() {
		if r != '\n' && unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			t.Errorf("printed %q", stdout.String())
			break
		}
	}
	if strings.Count(line, "\n") != 1 || len(line) > 500 || !strings.Contains(line, "  302  ") || !strings.Contains(line, "oh no") {
		t.Errorf("printed %s", line)
	}
	for _, want := range []string{"302 Found after", "Location: /elsewhere\n", `{"t":"\u009b31m\u202e"}`, "Webhook-Id: " + odd.ID, "more than 65536 bytes"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("details have no %s", want)
		}
	}
}

// A receiver that is away, or breaks off, is told in one line, and listening goes on.
func TestReceiversThatFail(t *testing.T) {
	f, stdout, stderr := forwarding(t, webhook.FormatPlain, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(webhook.HeaderDelivery) == "1" {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "half")
	})
	for range 2 {
		if err := f.forward(t.Context(), ticketEvent); err != nil {
			t.Fatal(err)
		}
	}
	f.to = &url.URL{Scheme: "http", Host: "127.0.0.1:1"}
	if err := f.forward(t.Context(), ticketEvent); err != nil {
		t.Fatal(err)
	}
	large := *ticketEvent
	large.Payload = json.RawMessage(`{"t":"` + strings.Repeat("x", webhook.MaxPayload) + `"}`)
	if err := f.forward(t.Context(), &large); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
	for i, want := range []string{"no answer: EOF", "the answer breaks off: unexpected EOF", "connection refused"} {
		if len(lines) != 3 || !strings.HasSuffix(lines[i], want) {
			t.Errorf("line %d of %q is not %s", i, lines, want)
		}
	}
	if !strings.Contains(stderr.String(), "cannot be sent: a payload of more than") {
		t.Errorf("of a large event: %s", stderr)
	}
}

func TestKeptSecret(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", folder)
	file := filepath.Join(folder, "kuranty", "listen-secret")
	first, err := keptSecret(false)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info, err)
	}
	if again, err := keptSecret(false); err != nil || again.Reveal() != first.Reveal() {
		t.Errorf("the second time it is another: %v", err)
	}
	second, err := keptSecret(true)
	if err != nil || second.Reveal() == first.Reveal() {
		t.Errorf("a new one is the old: %v", err)
	}
	if again, err := keptSecret(false); err != nil || again.Reveal() != second.Reveal() {
		t.Errorf("the new one is not kept: %v", err)
	}
	if err := os.WriteFile(file, []byte("whsec_canary\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := keptSecret(false); err == nil || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), "canary") {
		t.Errorf("of a broken file: %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestKeys(t *testing.T) {
	for _, c := range []struct {
		read  func(io.Reader, func(rune))
		input string
		want  string
	}{
		{readKeys, "rdq\n x", "rdqx"},
		{readLetters, "r\n\n  d and more\nq", "rdq"},
		{readLetters, "", ""},
	} {
		var got []rune
		c.read(strings.NewReader(c.input), func(key rune) { got = append(got, key) })
		if string(got) != c.want {
			t.Errorf("%q is read as %q", c.input, string(got))
		}
	}
}
