package delivery_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/webhook"
)

var now = time.Date(2026, 3, 2, 8, 15, 30, 0, time.UTC)

// with returns a body that is right but for the members given, "" for one left out.
func with(members ...string) string {
	m := map[string]json.RawMessage{"name": json.RawMessage(`"CRM"`), "url": json.RawMessage(`"https://example.net/in"`), "event_type": json.RawMessage(`"ticket.created"`)}
	for i := 0; i < len(members); i += 2 {
		if members[i+1] == "" {
			delete(m, members[i])
		} else {
			m[members[i]] = json.RawMessage(members[i+1])
		}
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func create(t testing.TB, body string) delivery.Create {
	t.Helper()
	c, err := delivery.ParseCreate([]byte(body), delivery.Rules{})
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return c
}

// mistakes returns what a body is refused for, as the API answers it without input.
func mistakes(t testing.TB, body string) []string {
	t.Helper()
	_, err := delivery.ParseCreate([]byte(body), delivery.Rules{})
	return told(t, err)
}

func told(t testing.TB, err error) (all []string) {
	t.Helper()
	var invalid *delivery.InvalidError
	if err != nil && !errors.As(err, &invalid) {
		t.Fatalf("error is %T: %v", err, err)
	}
	if err == nil {
		return nil
	}
	for _, f := range invalid.Fields {
		f.Input = nil
		b, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(b))
	}
	return all
}

func chars(n int) string { return `"` + strings.Repeat("ё", n) + `"` }

func listOf(n int, element string) string {
	return "[" + strings.TrimSuffix(strings.Repeat(element+",", n), ",") + "]"
}

// §1.2: the types, messages and contexts that clients of the reference know.
func TestSection1_2_Errors(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{with("name", ""), `{"type":"missing","loc":["body","name"],"msg":"Field required"}`},
		{with("name", "null"), `{"type":"string_type","loc":["body","name"],"msg":"Input should be a valid string"}`},
		{with("name", "7"), `{"type":"string_type","loc":["body","name"],"msg":"Input should be a valid string"}`},
		{with("name", `""`), `{"type":"string_too_short","loc":["body","name"],"msg":"String should have at least 1 character","ctx":{"min_length":1}}`},
		{with("name", chars(256)), `{"type":"string_too_long","loc":["body","name"],"msg":"String should have at most 255 characters","ctx":{"max_length":255}}`},
		{with("url", ""), `{"type":"missing","loc":["body","url"],"msg":"Field required"}`},
		{with("url", `""`), `{"type":"string_too_short","loc":["body","url"],"msg":"String should have at least 1 character","ctx":{"min_length":1}}`},
		{with("event_type", ""), `{"type":"missing","loc":["body","event_type"],"msg":"Field required"}`},
		{with("event_type", chars(51)), `{"type":"string_too_long","loc":["body","event_type"],"msg":"String should have at most 50 characters","ctx":{"max_length":50}}`},
		{with("secret", chars(129)), `{"type":"string_too_long","loc":["body","secret"],"msg":"String should have at most 128 characters","ctx":{"max_length":128}}`},
		{with("description", "[]"), `{"type":"string_type","loc":["body","description"],"msg":"Input should be a valid string"}`},
		{with("timeout_ms", `"soon"`), `{"type":"int_parsing","loc":["body","timeout_ms"],"msg":"Input should be a valid integer, unable to parse string as an integer"}`},
		{with("timeout_ms", "999"), `{"type":"greater_than_equal","loc":["body","timeout_ms"],"msg":"Input should be greater than or equal to 1000","ctx":{"ge":1000}}`},
		{with("timeout_ms", "30001"), `{"type":"less_than_equal","loc":["body","timeout_ms"],"msg":"Input should be less than or equal to 30000","ctx":{"le":30000}}`},
		{with("ce_headers", `"maybe"`), `{"type":"bool_parsing","loc":["body","ce_headers"],"msg":"Input should be a valid boolean, unable to interpret input"}`},
		{`{"name": `, `{"type":"json_invalid","loc":["body",9],"msg":"JSON decode error"}`},
		{``, `{"type":"missing","loc":["body"],"msg":"Field required"}`},
		{`[]`, `{"type":"model_attributes_type","loc":["body"],"msg":"Input should be a valid dictionary or object to extract fields from"}`},
	} {
		if diff := cmp.Diff([]string{c.want}, mistakes(t, c.body)); diff != "" {
			t.Errorf("%.80s (-want +got):\n%s", c.body, diff)
		}
	}
}

// §1.2: all fields are reported together, one entry each, in their order.
func TestSection1_2_AllTogether(t *testing.T) {
	_, err := delivery.ParseCreate([]byte(`{"event_types":[1,""],"max_in_flight":0,"secret":7,"timeout_ms":1}`), delivery.Rules{})
	var invalid *delivery.InvalidError
	if !errors.As(err, &invalid) {
		t.Fatal(err)
	}
	var got []string
	for _, f := range invalid.Fields {
		got = append(got, fmt.Sprint(f.Loc))
	}
	want := []string{"[body name]", "[body url]", "[body event_types 0]", "[body secret]", "[body timeout_ms]", "[body max_in_flight]"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// §1.2: what may hold a secret is not repeated, neither alone nor in the body that
// an absent field is told with.
func TestS33_SecretsOfWebhooksAreNotRepeated(t *testing.T) {
	const canary = "canary-4711"
	for _, body := range []string{
		with("secret", `"`+strings.Repeat(canary, 20)+`"`),
		with("secret", `"whsec_`+canary+`"`),
		with("headers", `{"Authorization":"`+canary+`\n"}`),
		with("headers", `["`+canary+`"]`),
		with("tls", `{"client_cert":"x","client_key":"`+canary+`"}`),
		with("tls", `"`+canary+`"`),
		with("name", "", "secret", `"`+canary+`"`, "headers", `{"A":"`+canary+`"}`, "tls", `{"client_key":"`+canary+`"}`),
	} {
		_, err := delivery.ParseCreate([]byte(body), delivery.Rules{})
		var invalid *delivery.InvalidError
		if !errors.As(err, &invalid) {
			t.Errorf("%s: %v", body, err)
			continue
		}
		answer, err := json.Marshal(invalid.Fields)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(answer)+invalid.Error(), canary) {
			t.Errorf("%s is answered with %s", body, answer)
		}
	}
	_, err := delivery.ParseCreate([]byte(with("name", "7")), delivery.Rules{})
	var invalid *delivery.InvalidError
	if !errors.As(err, &invalid) || string(invalid.Fields[0].Input) != "7" {
		t.Errorf("input of a harmless field is left out: %v", err)
	}
}

// An answer is text, whatever it repeats.
func TestWhatIsRepeatedIsText(t *testing.T) {
	_, err := delivery.ParseCreate([]byte("{\"name\":\"\xff\"}"), delivery.Rules{})
	var invalid *delivery.InvalidError
	if !errors.As(err, &invalid) {
		t.Fatal(err)
	}
	if b, err := json.Marshal(invalid.Fields); err != nil || !utf8.Valid(b) || !strings.Contains(string(b), `"name":"�"`) {
		t.Errorf("%q, %v", b, err)
	}
}

// §1.3, §4.1, §4.16: the limits at their exact values; lengths are in code points.
func TestSection4_1_LimitsAreExact(t *testing.T) {
	nested := func(n int) string { return strings.Repeat(`{"$not":`, n) + `{"type":1}` + strings.Repeat("}", n) }
	manyHeaders := func(n int) string {
		m := map[string]string{}
		for i := range n {
			m[fmt.Sprintf("X-%d", i)] = "v"
		}
		b, _ := json.Marshal(m)
		return string(b)
	}
	for _, c := range []struct{ field, good, bad string }{
		{"name", chars(255), chars(256)},
		{"url", `"https://example.net/` + strings.Repeat("a", 2028) + `"`, `"https://example.net/` + strings.Repeat("a", 2029) + `"`},
		{"event_type", chars(50), chars(51)},
		{"event_types", listOf(50, `"a.b"`), listOf(51, `"a.b"`)},
		{"event_types", `["a.*"]`, `[]`},
		{"event_types", `[` + chars(50) + `]`, `[` + chars(51) + `]`},
		{"secret", chars(128), chars(129)},
		{"headers", manyHeaders(20), manyHeaders(21)},
		{"headers", `{"A":"` + strings.Repeat("v", 4096) + `"}`, `{"A":"` + strings.Repeat("v", 4097) + `"}`},
		{"headers", `{"` + strings.Repeat("a", 256) + `":"v"}`, `{"` + strings.Repeat("a", 257) + `":"v"}`},
		{"timeout_ms", "1000", "999"},
		{"timeout_ms", "30000", "30001"},
		{"timeout_ms", `"1500"`, `"1500ms"`},
		{"timeout_ms", "1500", "1500.5"},
		{"max_in_flight", "1", "0"},
		{"max_in_flight", "100", "101"},
		{"max_in_flight", "100", "99999999999999999999"},
		{"rate_limit", `{"max":1,"per_seconds":1}`, `{"max":0,"per_seconds":1}`},
		{"rate_limit", `{"max":10,"per_seconds":86400}`, `{"max":10,"per_seconds":86401}`},
		{"rate_limit", `{}`, `{"max":10}`},
		{"retry_schedule", listOf(20, "1"), listOf(21, "1")},
		{"retry_schedule", "[]", "[0]"},
		{"retry_schedule", "[86400]", "[86401]"},
		{"metadata", `{"a":"` + strings.Repeat("x", 4096-8) + `"}`, `{"a":"` + strings.Repeat("x", 4096-7) + `"}`},
		{"metadata", `{}`, `[]`},
		{"filter", `{"payload.a":"` + strings.Repeat("x", 2048-16) + `"}`, `{"payload.a":"` + strings.Repeat("x", 2048-15) + `"}`},
		{"filter", `{"$or":` + listOf(32, `{"type":1}`) + `}`, `{"$or":` + listOf(33, `{"type":1}`) + `}`},
		{"filter", nested(8), nested(9)},
		{"filter", `{}`, `{"type":{"$regex":"x"}}`},
		{"filter", `{"payload.a":{"$gt":1,"$lt":2}}`, `7`},
		{"filter", `{"$or":[{"payload.a":1}]}`, `{"$or":[{"payloads.a":1}]}`},
		{"payload_format", `"envelope"`, `"xml"`},
		{"signature_scheme", `"both"`, `"rsa"`},
		{"ordering", `"key"`, `"loose"`},
		{"on_exhausted", `"block"`, `"stop"`},
		{"verify", `"ping"`, `"dns"`},
		{"ce_headers", "true", `[]`},
		{"ce_headers", `"Off"`, `2`},
		{"name", `"a"`, `"a\u0000"`},
		{"generate_secret", "false", `"x"`},
	} {
		if got := mistakes(t, with(c.field, c.good)); got != nil {
			t.Errorf("%s %.60s: %v", c.field, c.good, got)
		}
		got := mistakes(t, with(c.field, c.bad))
		if len(got) != 1 || !strings.Contains(got[0], `"loc":["body","`+c.field+`"`) {
			t.Errorf("%s %.60s is not refused for it: %v", c.field, c.bad, got)
		}
	}
	if got := mistakes(t, `{"metadata":`+strings.Repeat("[", 40)+strings.Repeat("]", 40)+`}`); len(got) != 1 || !strings.Contains(got[0], "deeper than 32") {
		t.Errorf("a deep body: %v", got)
	}
}

// §4.1: names of headers are tokens, and not those that are ours.
func TestSection4_1_Headers(t *testing.T) {
	for _, name := range []string{
		"Host", "content-length", "Content-Type", "connection", "Transfer-Encoding", "TE", "Upgrade", "trailer", "USER-AGENT", "Accept-Encoding",
		"X-Webhook-Event", "webhook-id", "Webhook-Anything", "ce-id", "Proxy-Authorization", "", "a b", "a:", "заголовок", "a\r\nb",
	} {
		b, _ := json.Marshal(map[string]string{name: "v"})
		if mistakes(t, with("headers", string(b))) == nil {
			t.Errorf("header %q is taken", name)
		}
	}
	for _, value := range []string{"a\r\nHost: b", "a\n", "\x01", "\x7f", " a", "a\t"} {
		b, _ := json.Marshal(map[string]string{"X-A": value})
		if mistakes(t, with("headers", string(b))) == nil {
			t.Errorf("value %q is taken", value)
		}
	}
	if mistakes(t, with("headers", `{"X-A":"1","x-a":"2"}`)) == nil {
		t.Error("one header in two spellings is taken")
	}
	if mistakes(t, with("headers", `{"X-A":7}`)) == nil {
		t.Error("a number is taken")
	}
	c := create(t, with("headers", `{"Authorization":"Bearer x","X_Y.z":"ё\tb","Empty":""}`))
	if diff := cmp.Diff(map[string]string{"Authorization": "Bearer x", "X_Y.z": "ё\tb", "Empty": ""}, c.Headers); diff != "" {
		t.Error(diff)
	}
}

// §4.4: the prefix decides what a secret is; what is behind it must be 24 to 64 bytes.
func TestSection4_4_Secrets(t *testing.T) {
	for _, bad := range []string{"whsec_", "whsec_!!!", "whsec_AAAA", "whsec_" + strings.Repeat("AAAA", 7), "whsec_" + strings.Repeat("AAAA", 22)} {
		if mistakes(t, with("secret", `"`+bad+`"`)) == nil { // 7 groups are 21 bytes, 22 are 66
			t.Errorf("%s is taken", bad)
		}
	}
	for _, good := range []string{"a", "whsec", "whsec_" + strings.Repeat("AAAA", 8), "whsec_" + strings.Repeat("AAAA", 21)} {
		c := create(t, with("secret", `"`+good+`"`))
		if c.Secret.Reveal() != good || !c.HasSecret() {
			t.Errorf("secret %q is %q", good, c.Secret.Reveal())
		}
	}
	for _, none := range []string{`""`, "null", ""} {
		if c := create(t, with("secret", none)); c.HasSecret() || c.SecretHint() != "" {
			t.Errorf("secret %s is one", none)
		}
	}
	c := create(t, with("generate_secret", "true"))
	if s := c.Secret.Reveal(); !c.GenerateSecret || !strings.HasPrefix(s, "whsec_") || c.SecretHint() != s[len(s)-4:] {
		t.Errorf("generated %q, hint %q", s, c.SecretHint())
	}
	if again := create(t, with("generate_secret", "true")); again.Secret.Reveal() == c.Secret.Reveal() {
		t.Error("two webhooks have one secret")
	}
	if got := mistakes(t, with("generate_secret", "true", "secret", `"mine"`)); len(got) != 1 {
		t.Errorf("given and generated: %v", got)
	}
	if c := create(t, with("secret", `"short"`)); c.SecretHint() != "" {
		t.Error("the hint tells most of a short secret")
	}
}

// §4.1: certificates are a pair, and PEM.
func TestSection4_1_TLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{}, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	rawKey, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	body := func(parts ...string) string {
		m := map[string]string{}
		for i := 0; i < len(parts); i += 2 {
			m[parts[i]] = parts[i+1]
		}
		b, _ := json.Marshal(m)
		return with("tls", string(b))
	}
	certPEM := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	keyPEM := string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: rawKey}))
	c := create(t, body("client_cert", certPEM, "client_key", keyPEM, "ca", certPEM))
	if diff := cmp.Diff(&delivery.TLS{ClientCert: certPEM, ClientKey: keyPEM, CA: certPEM}, c.TLS); diff != "" {
		t.Error(diff)
	}
	if c := create(t, with("tls", "{}")); c.TLS != nil {
		t.Error("an empty tls is one")
	}
	for _, bad := range []string{
		body("client_cert", certPEM), body("client_key", keyPEM), body("client_cert", certPEM, "client_key", certPEM),
		body("ca", "no certificate"), body("ca", strings.Repeat("a", 32<<10+1)),
	} {
		if mistakes(t, bad) == nil {
			t.Errorf("%.80s is taken", bad)
		}
	}
}

// §1.3, §4.1: what is not given has its default, and what is not known is ignored.
func TestSection4_1_Defaults(t *testing.T) {
	got := create(t, with("colour", `"red"`, "description", "null")).Webhook(now)
	want := delivery.Webhook{
		Settings: delivery.Settings{
			Name: "CRM", URL: "https://example.net/in", EventTypes: []string{"ticket.created"}, SignatureScheme: "hmac", PayloadFormat: "plain",
			Headers: map[string]string{}, MaxInFlight: 10, Ordering: "none", OnExhausted: "continue",
			Metadata: json.RawMessage("{}"), Verify: "none",
		},
		IsActive: true, CreatedAt: now, UpdatedAt: now,
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b webhook.Secret) bool { return a.Reveal() == b.Reveal() })); diff != "" {
		t.Error(diff)
	}
	c := create(t, with("event_type", `"old"`, "event_types", `["ticket.*","user.created"]`))
	if c.EventType() != "ticket.*" || len(c.EventTypes) != 2 {
		t.Errorf("event_types do not supersede event_type: %q", c.EventTypes)
	}
	if c := create(t, with("event_type", "", "event_types", `["a"]`)); c.EventType() != "a" {
		t.Errorf("event_type mirrors %q", c.EventType())
	}
	if s := create(t, with("ordering", `"strict"`)); s.InFlight() != 1 || !s.Ordered() {
		t.Error("a strict webhook has more than one attempt in flight")
	}
}

// §4.12: the URL is checked by rules that are not ours.
func TestSection4_12_URL(t *testing.T) {
	rules := delivery.Rules{CheckURL: func(url string) error {
		if strings.HasPrefix(url, "http:") {
			return errors.New("use https")
		}
		return nil
	}}
	_, err := delivery.ParseCreate([]byte(with("url", `"http://example.net"`)), rules)
	want := []string{`{"type":"value_error","loc":["body","url"],"msg":"Value error, use https","ctx":{"error":"use https"}}`}
	if diff := cmp.Diff(want, told(t, err)); diff != "" {
		t.Error(diff)
	}
	if _, err := delivery.ParsePatch([]byte(`{"url":"http://example.net"}`), rules); err == nil {
		t.Error("a patch takes a URL that is not allowed")
	}
	if _, err := delivery.ParseCreate([]byte(with()), rules); err != nil {
		t.Error(err)
	}
}

// §4.2, §4.4: unknown types and short secrets are taken with a warning.
func TestSection4_2_Warnings(t *testing.T) {
	known, err := event.NewCatalogue()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		body string
		want []string
	}{
		{with(), nil},
		{with("event_type", `"*"`), nil},
		{with("event_type", `"ticket.*"`), nil},
		{with("event_type", `"message.new"`), nil},
		{with("event_type", `"webhook.test"`), nil},
		{with("event_type", `"user.creatd"`), []string{`event type "user.creatd" is not in the registry`}},
		{with("event_type", `"usr.*"`), []string{`event type pattern "usr.*" matches nothing in the registry`}},
		{with("secret", `"0123456789abcdef"`), nil},
		{with("secret", `"ёёёёёёёёё"`), []string{"secret has 9 characters; use at least 16"}},
	} {
		settings := create(t, c.body).Settings
		if diff := cmp.Diff(c.want, settings.Warnings(known)); diff != "" {
			t.Errorf("%s: %s", c.body, diff)
		}
	}
	for _, bad := range []string{`"user*"`, `"*.*a"`, `"a..*"`, `".*"`, `"**"`} {
		if mistakes(t, with("event_type", bad)) == nil {
			t.Errorf("pattern %s is taken", bad)
		}
	}
}

// Whatever comes is either taken within the bounds or refused with places in it.
func FuzzParseCreate(f *testing.F) {
	for _, body := range []string{
		with(), with("event_types", `["a.*"]`), with("headers", `{"A":"b"}`), with("filter", `{"$or":[{"payload.a":{"$gt":1}}]}`),
		with("rate_limit", `{"max":1,"per_seconds":2}`), with("retry_schedule", "[1,2]"), with("tls", `{"ca":"x"}`), with("metadata", `{"a":[]}`),
		with("timeout_ms", `"2000"`), with("generate_secret", "true"), `null`, `{}`, `[`, `{"name":null}`, with("secret", `"whsec_"`),
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := delivery.ParseCreate(body, delivery.Rules{})
		if err != nil {
			for _, line := range told(t, err) {
				if !strings.Contains(line, `"loc":["body"`) {
					t.Errorf("no place: %s", line)
				}
			}
		} else if len(c.EventTypes) < 1 || len(c.EventTypes) > 50 || c.Name == "" || c.URL == "" || c.Timeout != 0 && c.Timeout < time.Second || c.MaxInFlight < 1 {
			t.Errorf("taken: %+v", c.Settings)
		} else if _, err := delivery.NewMatcher(&delivery.Webhook{Settings: c.Settings}); err != nil {
			t.Error(err)
		}
		if _, err := delivery.ParsePatch(body, delivery.Rules{}); err != nil {
			told(t, err)
		}
	})
}
