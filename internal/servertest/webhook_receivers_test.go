package servertest_test

import (
	"bufio"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/kuranty/kuranty/webhook"
)

// Receivers in Python, with the check of the old documentation and with those of ours, take
// what a running server sends, and nothing that is signed with another secret
// (spec/webhooks.md §7.1).
func TestS32_ReceiversInPythonTakeWhatTheServerSends(t *testing.T) {
	const secret = "a-secret-of-thirty-characters."
	made := webhook.NewSecret().Reveal()
	hooksOnBoth(t, func(t *testing.T, o *orders) {
		documented := "../../webhook/testdata/documented.py"
		ours := "../../docs/examples/webhook.py"
		taking := map[string]int64{}
		refusing := map[string]int64{}
		for name, r := range map[string]struct {
			script, check, secret string
		}{
			"documented": {documented, "", secret}, "documented, made": {documented, "", made},
			"ours": {ours, "", secret}, "ours, made": {ours, "", made}, "ours, of the body": {ours, "body", secret}, "ours, of the body, made": {ours, "body", made},
		} {
			url := program(t, []string{"WEBHOOK_SECRET=" + r.secret, "WEBHOOK_CHECK=" + r.check}, "python3", r.script, "0")
			taking[name] = o.hook(t, url, map[string]any{"secret": r.secret, "retry_schedule": []int{}}).ID
			refusing[name] = o.hook(t, url, map[string]any{"secret": webhook.NewSecret().Reveal(), "retry_schedule": []int{}, "filter": map[string]any{"payload.last": true}}).ID
		}
		payloads := []string{
			`{"username":"testuser","user_id":123,"telegram_id":456789,"first_name":"Test","referred_by_id":null}`,
			`{"user_id":123,"amount_rubles":150.0,"amount_kopeks":15000,"description":"Пополнение баланса","payment_method":"card"}`,
			`{"text":"line1\nline2\t\"quoted\" \\ back / slash <b>&amp;</b> \u007f \u2028 😀","ü":1,"\ue000":2,"😀":3}`,
			`{"z":{},"a":[],"big":12345678901234567890,"f1":0.1,"f2":1e16,"f3":0.00001,"f4":-0.0,"f5":123456789012345678.0,"nested":[{"b":1,"a":2},[1.0,1]]}`,
			`{"last":true}`,
		}
		for _, p := range payloads {
			body := map[string]any{"type": "order.paid", "data": json.RawMessage(p)}
			if _, err := o.call(t.Context(), o.service, "POST", "/v1/events", body, nil); err != nil {
				t.Fatal(err)
			}
		}
		for name, id := range taking {
			o.settled(t, id, len(payloads))
			for _, d := range o.deliveries(t, id) {
				if d.State != "succeeded" {
					t.Errorf("%s: %+v", name, d)
				}
			}
			o.settled(t, refusing[name], 1)
			if d := o.deliveries(t, refusing[name])[0]; d.State != "exhausted" {
				t.Errorf("%s, with another secret: %+v", name, d)
			}
		}
	})
}

// program starts one that prints its URL.
func program(t *testing.T, environment []string, command ...string) (url string) {
	t.Helper()
	if _, err := exec.LookPath(command[0]); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("%v; make test installs it", err)
	}
	c := exec.CommandContext(t.Context(), command[0], command[1:]...)
	c.Env = append(os.Environ(), environment...)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	first := lines.Scan()
	text := lines.Text()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for lines.Scan() { // what it received is not asked for
		}
		_ = c.Wait()
	}()
	t.Cleanup(func() { _ = c.Process.Kill(); <-ended })
	if !first {
		t.Fatalf("%s ended", command[0])
	}
	return text
}

// While a secret takes another's place, receivers with either and of either kind take what
// comes, through the whole of that time; then only the new one counts (spec/webhooks.md
// §7.8).
func TestS32_RotationIsSeamlessForEveryReceiver(t *testing.T) {
	hooksOnBoth(t, func(t *testing.T, o *orders) {
		in := newInbox(t, nil)
		before := webhook.NewSecret()
		hook := o.hook(t, in.URL, map[string]any{"secret": before.Reveal(), "signature_scheme": "both"})
		path := fmt.Sprintf("/webhooks/%d", hook.ID)
		got := func() parcel {
			t.Helper()
			n := len(in.all())
			if err := o.insist(t.Context(), o.prepare(0, n)); err != nil {
				t.Fatal(err)
			}
			until(t, "the event comes", func() bool { return len(in.all()) > n })
			return in.all()[n]
		}
		// Each way of checking, with one secret, and the header that it looks at.
		standard := func(s webhook.Secret) func(p parcel) error {
			v := webhook.Verifier{Secrets: []webhook.Secret{s}}
			return func(p parcel) error { return v.Verify(p.header, []byte(p.body)) }
		}
		legacy := func(s webhook.Secret, header string) func(p parcel) error {
			return func(p parcel) error {
				if got := p.header.Get(header); got != s.Sign([]byte(p.body)) {
					return fmt.Errorf("%s is %q", header, got)
				}
				return nil
			}
		}
		const current, next = "X-Webhook-Signature", "X-Webhook-Signature-Next"
		expect := func(when string, p parcel, accept bool, check func(p parcel) error) {
			t.Helper()
			if err := check(p); (err == nil) != accept {
				t.Errorf("%s: %v", when, err)
			}
		}
		p := got()
		expect("at first, standard", p, true, standard(before))
		expect("at first, legacy", p, true, legacy(before, current))
		if p.header.Get(next) != "" {
			t.Error("there is a next signature before there is a next secret")
		}

		var rotated struct {
			Secret  string
			Expires string `json:"previous_expires_at"`
		}
		if _, err := o.call(t.Context(), o.service, "POST", path+"/secret/rotate", map[string]any{"grace_seconds": 3600}, &rotated); err != nil {
			t.Fatal(err)
		}
		after := parsed(t, rotated.Secret)
		if rotated.Expires == "" || len(bytesOf(t, rotated.Secret)) != 32 {
			t.Errorf("%+v", rotated)
		}
		for i := range 3 {
			when := fmt.Sprintf("during the rotation, %d", i)
			p := got()
			expect(when+", standard, old", p, true, standard(before))
			expect(when+", standard, new", p, true, standard(after))
			expect(when+", legacy, old", p, true, legacy(before, current))
			expect(when+", legacy, new", p, true, legacy(after, next))
			if list := strings.Fields(p.header.Get("webhook-signature")); len(list) != 3 || !strings.HasPrefix(list[2], "v1a,") {
				t.Errorf("%s: signatures %q", when, list)
			}
		}
		if status, _ := o.call(t.Context(), o.service, "POST", path+"/secret/rotate", map[string]any{}, nil); status != http.StatusConflict {
			t.Errorf("a rotation during a rotation: %d", status)
		}

		if _, err := o.call(t.Context(), o.service, "DELETE", path+"/secret/previous", nil, nil); err != nil {
			t.Fatal(err)
		}
		p = got()
		expect("afterwards, standard, old", p, false, standard(before))
		expect("afterwards, standard, new", p, true, standard(after))
		expect("afterwards, legacy, old", p, false, legacy(before, current))
		expect("afterwards, legacy, new", p, true, legacy(after, current))
		if p.header.Get(next) != "" {
			t.Error("there is still a next signature")
		}
		// Who has no secret checks with the server's public key.
		var set struct {
			Keys []struct{ X string }
		}
		if _, err := o.call(t.Context(), person{}, "GET", "/.well-known/webhook-keys", nil, &set); err != nil || len(set.Keys) != 1 {
			t.Fatalf("%+v, %v", set, err)
		}
		raw, err := base64.RawURLEncoding.DecodeString(set.Keys[0].X)
		if err != nil {
			t.Fatal(err)
		}
		v := webhook.Verifier{Keys: []ed25519.PublicKey{raw}}
		expect("by the public key", p, true, func(p parcel) error { return v.Verify(p.header, []byte(p.body)) })
	})
}

// Ids of events are unique, also of those that are sent by hand, and a delivery that is asked
// for anew has another only if its owner wants that.
func TestR22_IDsOfRepetitions(t *testing.T) {
	hooksOnBoth(t, func(t *testing.T, o *orders) {
		in := newInbox(t, nil)
		hook := o.hook(t, in.URL, nil)
		id := o.prepare(0, 0)
		if err := o.post(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		o.settled(t, hook.ID, 1)
		path := fmt.Sprintf("/webhooks/%d/deliveries/%d/redeliver", hook.ID, o.deliveries(t, hook.ID)[0].ID)
		for i, body := range []map[string]any{{}, {"new_id": true}} {
			if _, err := o.call(t.Context(), o.service, "POST", path, body, nil); err != nil {
				t.Fatal(err)
			}
			until(t, "it comes again", func() bool { return len(in.all()) == i+2 })
		}
		got := in.all()
		if got[0].event != id || got[1].event != id || got[2].event == id || len(got[2].event) != len(id) {
			t.Errorf("ids %s, %s, %s", got[0].event, got[1].event, got[2].event)
		}
		if got[0].body != got[1].body || got[0].body != got[2].body {
			t.Errorf("bodies %s\n%s\n%s", got[0].body, got[1].body, got[2].body)
		}
	})
}
