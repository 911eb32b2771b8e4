package webhook_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/webhook"
)

// vectors are those of webhooks.md §2.3: bodies that are canonical, and their signatures.
const vectorID = "evt_01J9ZQ8T4W6X2N5B7C3D1F0GHK"

var vectorTime = time.Unix(1735689600, 0)

type vector struct{ name, secret, body, documented, standard string }

var vectors = []vector{
	{
		"A", "optional-secret-for-signing",
		`{"first_name": "Test", "last_name": "User", "referral_code": "refABC123", "referred_by_id": null, "telegram_id": 456789, "user_id": 123, "username": "testuser"}`,
		"sha256=c3685e9937835a714ca8f0115f6e227600b0c10d1165aa83ecc9cbcf870db3fd", "v1,pIx0iwLappK0Od/CW3A6VvVhQemcQaiA4hG2OKee/D4=",
	},
	{
		"B", "your-secret",
		`{"amount_kopeks": 15000, "amount_rubles": 150.0, "description": "\u041f\u043e\u043f\u043e\u043b\u043d\u0435\u043d\u0438\u0435 \u0431\u0430\u043b\u0430\u043d\u0441\u0430", "external_id": null, "is_completed": true, "payment_method": "card", "transaction_id": 901, "type": "deposit", "user_id": 123}`,
		"sha256=5bcead6a4063ad115ba54c6bad883bfba1f9827e653c141ece9b5b93b3f8eb76", "v1,qkKHu4rB8IdTGCb3V/PZUqGR+ptiwA0RY3N6MINI9gQ=",
	},
	{
		"C", "your-secret",
		`{"has_media": false, "is_from_admin": false, "message_id": 31, "message_text": "line1\nline2\t\"quoted\" \\ back / slash <b>&amp;</b> \u007f \u2028 \ud83d\ude00", "status": "open", "ticket_id": 7, "user_id": 123}`,
		"sha256=6c9114453a8f99ad56c0ae904e5e3f8fc3340f78279b5d28251e45fb4f24db9b", "v1,r1p1RlfrGo3Qwa8cvEKYQIu0z5TrjVj81Pzoz7wucno=",
	},
	{
		"D", "your-secret",
		`{"a": [], "big": 12345678901234567890, "f1": 0.1, "f2": 1e+16, "f3": 1e-05, "f4": -0.0, "f5": 1.2345678901234568e+17, "f6": 2.5, "neg": -7, "nested": [{"a": 2, "b": 1}, [1.0, 1]], "z": {}}`,
		"sha256=6779b50a577e0a69dde89cf659bae3c74dcbfd1cbc910a1f5b7f0034d5835c3c", "v1,c7Dw/TpMaiN37rc/g+/Zr2tg5zhvpKH9JmeLO5ZrJxw=",
	},
	{
		"E", "your-secret",
		`{"10": 7, "9": 8, "A": 5, "a": 6, "z": 4, "\u00e9": 3, "\ue000": 2, "\ud83d\ude00": 1}`,
		"sha256=54219e16d885f7967fd650b99b7a83584edcf8382554be8ba82700dfb76c15c6", "v1,MT/8Isz1o85FcQHmr2UxbKQ8DIKEB4slClX/cDHaoCY=",
	},
	{
		"F", "k", `{}`,
		"sha256=add853b103fbcc936a194f9eb15e29c4ff08af6e47d5d1bca4f20218e31e4fff", "v1,lhJd/65hRxIdjofbhs2NUb2S+XvKzR4uJ4o/g6pHMYM=",
	},
	{
		"G", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
		`{"auth_type": "email", "email": "a@example.com", "first_name": "Zo\u00eb", "referral_code": "r1", "referred_by_id": null, "user_id": 123}`,
		"sha256=f4ae8ba852958cc9c643033fdcb1a5b41bac966c00254dea5fe4bbbc8245c2b2", "v1,M1Lj66QkCX7U/7lDPeVcU1026BqB6QsX52QJVNhH2ak=",
	},
}

func secret(t testing.TB, text string) webhook.Secret {
	t.Helper()
	s, err := webhook.ParseSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestVectorsAreCanonicalAndSigned(t *testing.T) {
	for _, v := range vectors {
		body, err := webhook.Canonical([]byte(v.body))
		if err != nil || string(body) != v.body {
			t.Errorf("%s: %s, %v", v.name, body, err)
		}
		s := secret(t, v.secret)
		if got := s.Sign(body); got != v.documented {
			t.Errorf("%s: X-Webhook-Signature %s", v.name, got)
		}
		if got := s.SignStandard(vectorID, vectorTime, body); got != v.standard {
			t.Errorf("%s: webhook-signature %s", v.name, got)
		}
	}
}

func TestCanonicalFromAnyOrderAndSpelling(t *testing.T) {
	for in, want := range map[string]string{
		"{\"user_id\":123,\n\t\"first_name\":\"Z\u00e9\" }": `{"first_name": "Z\u00e9", "user_id": 123}`,
		`{"a":1,"b":2,"a":3}`:                               `{"a": 3, "b": 2}`,
		`{"a":"\/\u0041\u2028"}`:                            `{"a": "/A\u2028"}`,
		`{"a":"\ud83d","b":"\udc00x"}`:                      `{"a": "\ufffd", "b": "\ufffdx"}`,
		"{\"a\":\"\xff\"}":                                  `{"a": "\ufffd"}`,
		"{\"\U0001f600\":1,\"\ue000\":2}":                   `{"\ue000": 2, "\ud83d\ude00": 1}`,
		`{"x":[{"b":1,"a":[ ]},{ }]}`:                       `{"x": [{"a": [], "b": 1}, {}]}`,
		`{"a":"\u0000\u001f\b\f"}`:                          `{"a": "\u0000\u001f\b\f"}`,
	} {
		if got, err := webhook.Canonical([]byte(in)); err != nil || string(got) != want {
			t.Errorf("%s: %s, %v; want %s", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		"1E5": "100000.0", "-0": "0", "-0.0": "-0.0", "1.50": "1.5", "1e15": "1000000000000000.0", "1e16": "1e+16", "0.0001": "0.0001",
		"0.00001": "1e-05", "123456789.123456789": "123456789.12345679", "4.9e-324": "5e-324", "5e-325": "0.0", "150": "150", "150.0": "150.0",
		"1.5e300": "1.5e+300", strings.Repeat("9", 1000): strings.Repeat("9", 1000),
	} {
		got, err := webhook.Canonical([]byte(`{"n":` + in + `}`))
		if err != nil || string(got) != `{"n": `+want+`}` {
			t.Errorf("%s: %s, %v; want %s", in, got, err, want)
		}
	}
}

func nested(depth int) string {
	return `{"a":` + strings.Repeat("[", depth-1) + strings.Repeat("]", depth-1) + "}"
}

func TestPayloadsThatMakeNoBody(t *testing.T) {
	for _, in := range []string{
		"", "null", "[]", `"a"`, "1", "{", `{"a"}`, `{"a":1}{}`, `{"a":1} x`, `{"a":1e400}`, `{"a":-1e400}`, `{"a":NaN}`, `{"a":01}`, `{"a":.5}`,
		`{"a":` + strings.Repeat("1", 1001) + `}`, nested(65), `{"a":1,}`, `{'a':1}`,
	} {
		for name, write := range map[string]func([]byte) ([]byte, error){"canonical": webhook.Canonical, "compact": webhook.Compact} {
			if body, err := write([]byte(in)); !errors.Is(err, webhook.ErrPayload) || body != nil {
				t.Errorf("%s of %.40s: %s, %v", name, in, body, err)
			}
		}
	}
	if _, err := webhook.Canonical([]byte(nested(64))); err != nil {
		t.Error("64 within each other:", err)
	}
	text := func(n int) []byte { return []byte(`{"a": "` + strings.Repeat("x", n-len(`{"a": ""}`)) + `"}`) }
	if body, err := webhook.Canonical(text(webhook.MaxPayload)); err != nil || len(body) != webhook.MaxPayload {
		t.Error("a payload of the most bytes:", err)
	}
	if _, err := webhook.Canonical(text(webhook.MaxPayload + 1)); !errors.Is(err, webhook.ErrTooLarge) {
		t.Error("a payload of one byte more:", err)
	}
}

// TestCanonicalIsWhatPythonWrites compares with CPython over random documents, and with
// what the documented receiver computes: it parses a body and writes it again.
func TestCanonicalIsWhatPythonWrites(t *testing.T) {
	lines := randomDocuments(2000)
	out := run(t, strings.Join(lines, "\n"), "python3", "-c", `
import json, sys
for line in sys.stdin.buffer.read().decode().split("\n"):
    print(json.dumps(json.loads(line), sort_keys=True))`)
	for i, want := range strings.Split(strings.TrimSuffix(out, "\n"), "\n") {
		got, err := webhook.Canonical([]byte(lines[i]))
		if err != nil || string(got) != want {
			t.Fatalf("%s\n got %s, %v\nwant %s", lines[i], got, err, want)
		}
		if again, err := webhook.Canonical(got); err != nil || string(again) != string(got) {
			t.Fatalf("not a fixed point: %s, %v", again, err)
		}
	}
}

func TestCompactIsWhatECMAScriptWrites(t *testing.T) {
	lines := randomDocuments(2000)
	out := run(t, strings.Join(lines, "\n"), "node", "-e", `
const lines = require("fs").readFileSync(0, "utf8").split("\n")
process.stdout.write(lines.map(line => JSON.stringify(JSON.parse(line))).join("\n"))`)
	for i, want := range strings.Split(out, "\n") {
		got, err := webhook.Compact([]byte(lines[i]))
		if err != nil || string(got) != want {
			t.Fatalf("%s\n got %s, %v\nwant %s", lines[i], got, err, want)
		}
	}
}

func TestCompactPutsArrayIndexesFirst(t *testing.T) {
	in := `{"b":0,"4294967295":1,"4294967294":2,"01":3,"1":4,"0":5,"-1":6,"a":7}`
	want := `{"0":5,"1":4,"4294967294":2,"b":0,"4294967295":1,"01":3,"-1":6,"a":7}` // ECMA-262: an index is below 2^32-1
	if got, err := webhook.Compact([]byte(in)); err != nil || string(got) != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
}

func run(t *testing.T, stdin, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("%v; make test installs it", err)
	}
	c := exec.CommandContext(t.Context(), name, args...)
	c.Stdin, c.Stderr = strings.NewReader(stdin), os.Stderr
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// randomDocuments are objects a line each, the same in each run. Their integers are within
// ±2^53, and they have no halves of surrogate pairs: there the two languages differ from us
// on purpose.
func randomDocuments(n int) []string {
	g := generator{rand.New(rand.NewPCG(1, 2))}
	lines := make([]string, n)
	for i := range lines {
		lines[i] = g.object(0)
	}
	return lines
}

type generator struct{ *rand.Rand }

func (g generator) object(depth int) string {
	var b strings.Builder
	b.WriteString("{")
	for i := range g.IntN(6) {
		if i > 0 {
			b.WriteString(", ")
		}
		name := g.text()
		if g.IntN(4) == 0 {
			name = fmt.Sprintf(`"%d"`, g.Uint64()>>g.IntN(64))
		}
		fmt.Fprintf(&b, "%s:%s", name, g.value(depth+1))
	}
	return b.String() + "}"
}

func (g generator) value(depth int) string {
	kinds := 7
	if depth > 4 {
		kinds = 5
	}
	switch g.IntN(kinds) {
	case 0:
		return []string{"true", "false", "null"}[g.IntN(3)]
	case 1:
		return fmt.Sprint(g.Int64N(1<<53) >> g.IntN(53))
	case 2:
		return g.float()
	case 3, 4:
		return g.text()
	case 5:
		parts := make([]string, g.IntN(4))
		for i := range parts {
			parts[i] = g.value(depth + 1)
		}
		return "[" + strings.Join(parts, " ,") + "]"
	}
	return g.object(depth)
}

func (g generator) float() string {
	sign := []string{"", "-"}[g.IntN(2)]
	switch g.IntN(3) {
	case 0:
		return fmt.Sprintf("%s%d.%d", sign, g.IntN(1e6), g.IntN(1e6))
	case 1:
		return fmt.Sprintf("%s%de%d", sign, g.IntN(1e4), g.IntN(60)-30)
	}
	return fmt.Sprintf("%s%d.%dE%+d", sign, g.IntN(10), g.Uint64()>>1, g.IntN(600)-320)
}

// text has characters of each class that is written in its own way.
func (g generator) text() string {
	alphabet := []string{
		"a", "Z", "0", " ", "/", "<", "&", "'", `\"`, `\\`, `\n`, `\b`, `\u0000`, `\u001f`, "\u007f", "\u0080", "é", "Ж", "日", "\u2028", "\ue000", "\uffff", "\U0001f600",
		"\U0010ffff", `\u0416`, `\ud83d\ude00`,
	}
	var b strings.Builder
	for range g.IntN(8) {
		b.WriteString(alphabet[g.IntN(len(alphabet))])
	}
	return `"` + b.String() + `"`
}

func FuzzCanonical(f *testing.F) {
	for _, v := range vectors {
		f.Add([]byte(v.body))
	}
	f.Add([]byte(`{"1":1e21,"0":-0.0,"a":[1,2.50,"\ud800"]}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		body, err := webhook.Canonical(payload)
		compact, compactErr := webhook.Compact(payload)
		if errors.Is(err, webhook.ErrPayload) != errors.Is(compactErr, webhook.ErrPayload) {
			t.Fatalf("canonical %v, compact %v", err, compactErr)
		}
		if err == nil {
			if again, err := webhook.Canonical(body); err != nil || string(again) != string(body) {
				t.Fatalf("%s becomes %s, %v", body, again, err)
			}
		}
		if compactErr == nil {
			if again, err := webhook.Compact(compact); err != nil || string(again) != string(compact) {
				t.Fatalf("%s becomes %s, %v", compact, again, err)
			}
		}
	})
}

func BenchmarkCanonical(b *testing.B) {
	payload := []byte(vectors[1].body)
	for b.Loop() {
		if _, err := webhook.Canonical(payload); err != nil {
			b.Fatal(err)
		}
	}
}
