package config_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kuranty/kuranty/internal/config"
)

// R43: unsafe or contradictory configuration stops the start with a message naming the
// key; all mistakes are named at once.
func TestR43_MistakesStopTheStartAndAreAllNamed(t *testing.T) {
	got := problems(t, config.Source{
		File:  "c.yaml",
		Text:  []byte("client:\n  chanel_limit: 5\n  ping_interval: 25\nsse:\n  enabled: true\nforce_recovery: true\n"),
		Env:   []string{"KURANTY_LOG_LEVEL=loud"},
		Flags: [][2]string{{"http_server.address", "0.0.0.0"}, {"http_api.insecure", "true"}},
	})
	want := []string{
		"client.chanel_limit (file c.yaml:2): unknown key",
		"client.ping_interval (file c.yaml:3): needs a unit",
		"sse.enabled (file c.yaml:5): known to Centrifugo, not supported by this version",
		"log.level (env KURANTY_LOG_LEVEL): must be one of",
		"http_api.insecure (flag --http_api.insecure): lets anyone in",
		"channel.without_namespace.force_recovery (file c.yaml:6): needs history_size and history_ttl",
	}
	for _, w := range want {
		if strings.Count(got, w) != 1 {
			t.Errorf("problems =\n%s\nwant once %s", got, w)
		}
	}
	if n := strings.Count(got, "\n") + 1; n != len(want) {
		t.Errorf("%d problems, want %d:\n%s", n, len(want), got)
	}
}

// S5: no switch disables signature or permission checks on a listener others can reach.
func TestS5_InsecureOptionsNeedLoopback(t *testing.T) {
	for _, key := range []string{"client.insecure", "client.insecure_skip_token_signature_verify", "http_api.insecure"} {
		for address, allowed := range map[string]bool{
			"": true, "127.0.0.1": true, "127.1.2.3": true, "::1": true, "localhost": true,
			"0.0.0.0": false, "::": false, "10.0.0.1": false, "example.com": false, "localhost.example.com": false, "127.0.0.1.example.com": false,
		} {
			got := problems(t, config.Source{Flags: [][2]string{{key, "true"}, {"http_server.address", address}}})
			if want := key + " (flag --" + key + "): lets anyone in"; allowed != (got == "") || !allowed && !strings.Contains(got, want) {
				t.Errorf("%s on %q: %q", key, address, got)
			}
		}
	}
	for _, old := range []string{"client_insecure", "client_insecure_skip_token_signature_verify", "api_insecure"} {
		if got := problems(t, yaml(old+": true\naddress: 0.0.0.0")); !strings.Contains(got, "lets anyone in") {
			t.Errorf("%s: %q", old, got)
		}
	}
}

// S13: no default key or secret; those we make are random.
func TestS13_NoDefaultSecrets(t *testing.T) {
	res, err := config.Load(config.Source{})
	if err != nil {
		t.Fatal(err)
	}
	c := res.Config
	if c.HTTPAPI.Key != "" || c.Auth.Secret != "" || c.Auth.FirstAdmin != (config.FirstAdmin{}) || c.Auth.External.HMACSecretKey != "" ||
		c.Chat.Compat.Windi.ProxySecret != "" || c.Webhooks.SecretEncryptionKey != "" || c.Mail != (config.Mail{TLS: "starttls"}) || c.Client.Token != (config.Token{}) || c.Client.SubscriptionToken != (config.SubscriptionToken{}) {
		t.Errorf("defaults hold secrets: %+v", c)
	}
	var secrets []string
	for range 2 {
		var b strings.Builder
		if err := config.Generate(&b); err != nil {
			t.Fatal(err)
		}
		c := load(t, "c.yaml", b.String()).Config
		secrets = append(secrets, c.HTTPAPI.Key, c.Client.Token.HMACSecretKey)
	}
	seen := map[string]bool{}
	for _, s := range secrets {
		if len(s) < 40 || seen[s] {
			t.Errorf("secrets = %q", secrets)
		}
		seen[s] = true
	}
}

// S23: 0 or absent never means unlimited for sizes.
func TestS23_SizesAreNeverUnlimited(t *testing.T) {
	c := load(t, "c.yaml", "client: {channel_limit: 0, queue_max_size: 0, history_max_publication_limit: 0, recovery_max_publication_limit: 0}\nchannel: {max_length: 0}\nhttp_api: {body_size_limit: 0}\nwebsocket: {message_size_limit: 0}").Config
	got := []int{c.Client.ChannelLimit, c.Client.QueueMaxSize, c.Client.HistoryMaxPublicationLimit, c.Client.RecoveryMaxPublications, c.Channel.MaxLength, c.HTTPAPI.BodySizeLimit, c.WebSocket.MessageSizeLimit}
	if diff := cmp.Diff([]int{128, 1 << 20, 300, 300, 255, 1 << 20, 64 << 10}, got); diff != "" {
		t.Error(diff)
	}
}

// S6: credentials do not appear in errors, notes and reports, whatever is wrong.
func TestS6_SecretsAreNotRepeated(t *testing.T) {
	const canary = "c4n4ry"
	clean := func(what, text string) {
		t.Helper()
		if strings.Contains(text, canary) {
			t.Errorf("%s repeats a secret:\n%s", what, text)
		}
	}
	res := load(t, "c.json", fmt.Sprintf(`{"api_key":%q,"token_hmac_secret_key":%[1]q,"admin_password":%[1]q,"admin_secret":%[1]q,
		"redis_password":%[1]q,"tls_key":"-----BEGIN %[1]s-----\nAAAA\n-----END %[1]s-----\n","proxy_static_http_headers":{"Authorization":%[1]q},
		"mail":{"host":"localhost","from":"a@example.com","username":"a","password":%[1]q},
		"client":{"token":{"hmac_previous_secret_key":%[1]q},"subscription_token":{"hmac_secret_key":%[1]q}}}`, canary))
	clean("notes", notes(res))
	for _, origin := range []bool{false, true} {
		var b strings.Builder
		if err := res.Show(&b, origin); err != nil {
			t.Fatal(err)
		}
		clean("Show", b.String())
		if n := strings.Count(b.String(), `"***"`); n != 6 {
			t.Errorf("%d masked secrets, want 6:\n%s", n, b.String())
		}
	}
	for _, bad := range []config.Source{
		{File: "c.yaml", Text: []byte("http_api:\n  key: " + canary + "\n bad: [")},
		{File: "c.yaml", Text: []byte("http_api:\n  key: " + canary + ": x")},
		{File: "c.yaml", Text: []byte("http_api:\n  key: \"" + canary)},
		{File: "c.yaml", Text: []byte("http_api:\n  key: 'a'" + canary)},
		{File: "c.yaml", Text: []byte("http_api:\n  key: @" + canary)},
		{File: "c.yaml", Text: []byte("http_api:\n\tkey: " + canary)},
		{File: "c.yaml", Text: []byte("http_api:\n  key: *" + canary)},
		{File: "c.json", Text: []byte(`{"http_api":{"key":"` + canary + `"`)},
		{File: "c.json", Text: []byte(`{"http_api":{"key":` + canary + `}}`)},
		{File: "c.toml", Text: []byte("[http_api]\nkey = " + canary)},
		{File: "c.toml", Text: []byte("[http_api]\nkey = '" + canary)},
		{File: "c.yaml", Text: []byte("http_api: {key: [" + canary + "]}")},
		{File: "c.yaml", Text: []byte("http_api: {kye: " + canary + "}")},
		{File: "c.yaml", Text: []byte("http_api: " + canary)},
		{File: "c.yaml", Text: []byte("client: {channel_limit: " + canary + ", ping_interval: " + canary + ", allowed_origins: {a: " + canary + "}}")},
		{File: "c.yaml", Text: []byte("tls_key: " + canary)},
		{File: "c.yaml", Text: []byte("webhooks: {secret_encryption_key: " + canary + ", previous_encryption_keys: [" + canary + "], egress_proxy: 'a://x:" + canary + "@b'}")},
		{File: "c.yaml", Text: []byte("mail: {password: " + canary + "}")},
		{File: "c.yaml", Text: []byte("mail: {host: mail.example.com, from: a@example.com, tls: none, username: a, password: " + canary + "}")},
		{File: "c.yaml", Text: []byte("mail: {host: mail.example.com, from: a@example.com, username: a, password: \"" + canary + "\\0\"}")},
		{Env: []string{"KURANTY_HTTP_API_KYE=" + canary}},
		{Env: []string{"KURANTY_CHANNEL_NAMESPACES=[{\"name\":\"" + canary}},
		{Flags: [][2]string{{"http_api.kye", canary}}},
	} {
		got := problems(t, bad)
		if got == "" {
			t.Errorf("%s: no problem", bad.Text)
		}
		clean(fmt.Sprintf("problem of %q", bad.Text), got)
	}
}

func TestShowCanBeLoaded(t *testing.T) {
	res, err := config.Load(config.Source{File: "testdata/good.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	for _, origin := range []bool{false, true} {
		var b strings.Builder
		if err := res.Show(&b, origin); err != nil {
			t.Fatal(err)
		}
		want := *res.Config
		for _, s := range []*string{
			&want.Client.Token.HMACSecretKey, &want.Client.Token.HMACPreviousSecretKey, &want.HTTPAPI.Key,
			&want.Client.SubscriptionToken.HMACSecretKey, &want.Client.SubscriptionToken.HMACPreviousSecretKey,
		} {
			*s = "***"
		}
		want.Storage.DSN, want.Auth.External.HMACSecretKey, want.Chat.Compat.Windi.ProxySecret = "***", "***", "***"
		// What is judged by its value is given back; that of mail goes by the same name.
		want.Mail.Password = want.Auth.FirstAdmin.Password
		text := strings.NewReplacer(`key_pem: "***"`, "key_pem: testdata/key.pem",
			`  secret: "***"`, "  secret: "+want.Auth.Secret, `  password: "***"`, "  password: "+want.Auth.FirstAdmin.Password,
			`secret_encryption_key: "***"`, "secret_encryption_key: "+want.Webhooks.SecretEncryptionKey,
			`previous_encryption_keys: ["***"]`, "previous_encryption_keys: ["+want.Webhooks.PreviousEncryptionKeys[0]+"]",
			`egress_proxy: "***"`, "egress_proxy: "+want.Webhooks.EgressProxy).Replace(b.String())
		if diff := cmp.Diff(&want, load(t, "c.yaml", text).Config); diff != "" {
			t.Errorf("what Show wrote means something else:\n%s", diff)
		}
		if strings.Contains(text, " # file testdata/good.yaml:6\n") != origin {
			t.Errorf("origins in\n%s", text)
		}
	}
}

func TestCheckReports(t *testing.T) {
	var b strings.Builder
	if err := config.Check(&b, yaml("api_key: k")); err != nil || b.String() != "http_api.key (file c.yaml:1): translated from api_key\nok\n" {
		t.Errorf("%v, %q", err, b.String())
	}
	b.Reset()
	if err := config.Check(&b, yaml("api_kye: k\nlog: {level: x}")); err == nil || b.String() != err.Error()+"\n" || strings.Count(b.String(), "\n") != 3 {
		t.Errorf("%v, %q", err, b.String())
	}
}

// docs/configuration.md is what Docs writes; UPDATE=1 writes it anew.
func TestDocsAreCurrent(t *testing.T) {
	var b strings.Builder
	if err := config.Docs(&b); err != nil {
		t.Fatal(err)
	}
	const name = "../../docs/configuration.md"
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(name, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b.String(), string(got)); diff != "" {
		t.Errorf("run UPDATE=1 go test ./internal/config:\n%s", diff)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(uint8(0), "auth: {mode: both, registration_domains: [A.b]}\nhttp_server: {public_url: 'http://a', extra_addresses: [':1']}\nchat: {compat: {timezone: Asia/Tomsk}}\nevents: {retention: 1s}\n")
	f.Add(uint8(0), "client:\n  ping_interval: 25\nchannel: {namespaces: [{name: chat, presence: x}]}\n")
	f.Add(uint8(1), `{"api_key":"k","namespaces":[{"name":"chat","publish":true}],"anonymous":true,"port":"tcp://1"}`)
	f.Add(uint8(2), "log.level = 'warn'\n[[channel.namespaces]]\nname = 'one'\nhistory_size = 0x5\n[client.token]\n")
	f.Add(uint8(3), "a: &a [*a]\nb: !!str 5\n<<: *a\n")
	f.Add(uint8(0), "? a\n: b\n--- # x\n|\n  text")
	f.Fuzz(func(t *testing.T, format uint8, text string) {
		name := []string{"c.yaml", "c.json", "c.toml", "c"}[format%4]
		res, err := config.Load(config.Source{File: name, Text: []byte(text)})
		if (res == nil) == (err == nil) {
			t.Fatalf("result %v with error %v", res, err)
		}
		if err != nil {
			return
		}
		var b strings.Builder
		if err := res.Show(&b, true); err != nil {
			t.Fatal(err)
		}
		shown := strings.NewReplacer(`  secret: "***"`, "  secret: "+res.Config.Auth.Secret, `  password: "***"`, "  password: long enough").Replace(b.String())
		if _, err := config.Load(config.Source{File: "c.yaml", Text: []byte(shown)}); err != nil && !strings.Contains(err.Error(), "PEM") {
			t.Fatalf("what Show wrote does not load: %v\n%s", err, b.String())
		}
	})
}
