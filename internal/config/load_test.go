package config_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kuranty/kuranty/internal/config"
)

// load loads text as a file of the given name and wants no problem.
func load(t *testing.T, name, text string) *config.Result {
	t.Helper()
	res, err := config.Load(config.Source{File: name, Text: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// problems loads src and returns its problems as text, one per line.
func problems(t *testing.T, src config.Source) string {
	t.Helper()
	res, err := config.Load(src)
	if err == nil {
		return ""
	}
	var e *config.Error
	if !errors.As(err, &e) || res != nil {
		t.Fatalf("result %v with error %T", res, err)
	}
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

func yaml(text string) config.Source { return config.Source{File: "c.yaml", Text: []byte(text)} }

func notes(res *config.Result) string {
	var b strings.Builder
	for _, n := range res.Notes {
		fmt.Fprintln(&b, n)
	}
	return b.String()
}

func TestNothingIsAConfiguration(t *testing.T) {
	res, err := config.Load(config.Source{})
	if err != nil {
		t.Fatal(err)
	}
	c := res.Config
	if c.HTTPServer.Address != "127.0.0.1" || c.HTTPServer.Port != 8000 || !c.HTTPServer.Loopback() {
		t.Errorf("listener = %+v", c.HTTPServer)
	}
	if !c.Health.Enabled || !c.Prometheus.Enabled || c.Channel.WithoutNamespace.ForceRecoveryMode != "stream" {
		t.Errorf("defaults = %+v", c)
	}
	if len(res.Notes) > 0 || res.Origins["http_server.port"] != "default" {
		t.Errorf("notes = %v, origins = %v", res.Notes, res.Origins)
	}
}

// The file in circulation among people who come from the reference server.
func TestSampleInCirculation(t *testing.T) {
	const sample = `{"allow_subscribe_for_client": true,
		"api_key": "k", "token_hmac_secret_key": "s", "admin": true, "admin_password": "p",
		"admin_secret": "as", "allowed_origins": ["http://localhost"]%s}`
	for _, more := range []string{"", `, "port": 9000`, `, "port": "9000"`, `, "namespaces": [{"name": "chat", "presence": true}], "port": 9000`} {
		res := load(t, "config.json", fmt.Sprintf(sample, more))
		c := res.Config
		if c.HTTPAPI.Key != "k" || c.Client.Token.HMACSecretKey != "s" || !c.Channel.WithoutNamespace.AllowSubscribeForClient ||
			!slices.Equal(c.Client.AllowedOrigins, []string{"http://localhost"}) {
			t.Errorf("%s: %+v", more, c)
		}
		if more != "" && c.HTTPServer.Port != 9000 {
			t.Errorf("%s: port = %d", more, c.HTTPServer.Port)
		}
		if strings.Contains(more, "chat") && (len(c.Channel.Namespaces) != 1 || !c.Channel.Namespaces[0].Presence) {
			t.Errorf("%s: namespaces = %+v", more, c.Channel.Namespaces)
		}
		got := notes(res)
		for _, want := range []string{
			"http_api.key (file config.json:2): translated from api_key\n",
			"admin (file config.json:2): taken, but the operator console comes in a later version\n",
		} {
			if strings.Count(got, want) != 1 {
				t.Errorf("%s: notes =\n%swant once %s", more, got, want)
			}
		}
	}
}

// The minimal version 6 file of auth-and-channels.md §9.1.
func TestVersion6FileLoadsAsItIs(t *testing.T) {
	res := load(t, "config.json", `{"client":{"token":{"hmac_secret_key":"S"},"allowed_origins":["https://app.example.com"]},
		"http_api":{"key":"K"},"admin":{"enabled":true,"password":"P","secret":"AS"},
		"channel":{"without_namespace":{"allow_subscribe_for_client":true},
		"namespaces":[{"name":"chat","presence":true,"history_size":100,"history_ttl":"300s","force_recovery":true}]}}`)
	ns := res.Config.Channel.Namespaces[0]
	if ns.Name != "chat" || !ns.Presence || ns.HistorySize != 100 || ns.HistoryTTL.Seconds() != 300 || !ns.ForceRecovery || ns.ForceRecoveryMode != "stream" {
		t.Errorf("namespace = %+v", ns)
	}
	if got := res.Origins["channel.namespaces.chat.history_ttl"]; got != "file config.json:4" {
		t.Errorf("origin of history_ttl = %q", got)
	}
	if got := res.Origins["channel.namespaces.chat.join_leave"]; got != "default" {
		t.Errorf("origin of join_leave = %q", got)
	}
}

func TestFlagsWinOverEnvironmentOverFile(t *testing.T) {
	src := config.Source{
		File: "c.yaml", Text: []byte("client: {channel_limit: 1, queue_max_size: 1, connection_limit: 1, user_connection_limit: 1}"),
		Env:   []string{"CENTRIFUGO_CLIENT_QUEUE_MAX_SIZE=2", "KURANTY_CLIENT_CONNECTION_LIMIT=3", "CENTRIFUGO_CLIENT_CONNECTION_LIMIT=2", "KURANTY_CLIENT_USER_CONNECTION_LIMIT=3", "PATH=/bin"},
		Flags: [][2]string{{"client.user_connection_limit", "5"}, {"client.user_connection_limit", "4"}},
	}
	res, err := config.Load(src)
	if err != nil {
		t.Fatal(err)
	}
	c := res.Config.Client
	if c.ChannelLimit != 1 || c.QueueMaxSize != 2 || c.ConnectionLimit != 3 || c.UserConnectionLimit != 4 {
		t.Errorf("client = %+v", c)
	}
	for key, want := range map[string]config.Origin{
		"client.channel_limit":         "file c.yaml:1",
		"client.queue_max_size":        "env CENTRIFUGO_CLIENT_QUEUE_MAX_SIZE",
		"client.connection_limit":      "env KURANTY_CLIENT_CONNECTION_LIMIT",
		"client.user_connection_limit": "flag --client.user_connection_limit",
		"client.ping_interval":         "default",
	} {
		if got := res.Origins[key]; got != want {
			t.Errorf("origin of %s = %q, want %q", key, got, want)
		}
	}
}

func TestZeroMeansDefault(t *testing.T) {
	res := load(t, "c.json", `{"client":{"channel_limit":0,"ping_interval":"0s"},"channel":{"private_prefix":""},
		"health":{"enabled":false},"http_server":{"port":0}}`)
	c := res.Config
	if c.Client.ChannelLimit != 128 || c.Client.PingInterval.Seconds() != 25 || c.Channel.PrivatePrefix != "$" {
		t.Errorf("zeros are not defaults: %+v", c)
	}
	if c.Health.Enabled || c.HTTPServer.Port != 0 {
		t.Errorf("health = %v, port = %d; want what was written", c.Health.Enabled, c.HTTPServer.Port)
	}
	if got := res.Origins["client.channel_limit"]; got != "default" {
		t.Errorf("origin = %q", got)
	}
}

func TestFormatsAgree(t *testing.T) {
	files := map[string]string{
		"c.json": "{\n\"log\": {\"level\": \"warn\"},\n\"client\": {\"token\": {\n\"hmac_secret_key\": \"a\\nb\"}, \"allowed_origins\": [\"https://a\",\n \"https://b\"]},\n\"channel\": {\"namespaces\": [\n{\"name\": \"one\", \"presence\": true},\n{\"name\": \"two\", \"history_size\": 5, \"history_ttl\": \"5s\"}]}}",
		"c.yaml": "# comment\nlog: {level: warn}\nclient:\n  token: {hmac_secret_key: \"a\\nb\"}\n  allowed_origins:\n  - https://a\n  - https://b\nchannel:\n  namespaces:\n  - name: one\n    presence: true\n  - {name: two, history_size: 0x5, history_ttl: 5s}\n",
		"c.toml": "log.level = 'warn'\n[client]\nallowed_origins = [\n  'https://a',\n  'https://b', # two\n]\n[client.token]\nhmac_secret_key = \"\"\"\na\nb\"\"\"\n[[channel.namespaces]]\nname = 'one'\npresence = true\n[[channel.namespaces]]\nname = 'two'\nhistory_size = 0x5\nhistory_ttl = '5s'\n",
	}
	lines := map[string][2]string{"c.json": {"2", "7"}, "c.yaml": {"2", "11"}, "c.toml": {"1", "13"}}
	want := load(t, "c.json", files["c.json"]).Config
	for name, text := range files {
		for _, as := range []string{name, "config"} { // the second is told by its content
			res := load(t, as, text)
			if diff := cmp.Diff(want, res.Config); diff != "" {
				t.Errorf("%s as %s differs from JSON:\n%s", name, as, diff)
			}
			for i, key := range []string{"log.level", "channel.namespaces.one.presence"} {
				if got, want := string(res.Origins[key]), "file "+as+":"+lines[name][i]; got != want {
					t.Errorf("%s: origin of %s = %q, want %q", name, key, got, want)
				}
			}
		}
	}
}

func TestYAMLAnchorsAndMerges(t *testing.T) {
	res := load(t, "c.yml", "channel:\n  without_namespace: &open\n    presence: true\n    join_leave: true\n  namespaces:\n  - name: chat\n    <<: *open\n    join_leave: false\n")
	ns := res.Config.Channel.Namespaces[0]
	if !ns.Presence || ns.JoinLeave {
		t.Errorf("namespace = %+v", ns)
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	bomb := "a: &a [x]\n"
	for c := 'b'; c < 'z'; c++ {
		bomb += fmt.Sprintf("%c: &%c [*%c, *%c]\n", c, c, c-1, c-1)
	}
	for _, tt := range []struct{ name, text, want string }{
		{"c.json", "{\n\"a\": \n}", "file c.json:3: not valid JSON: "},
		{"c.json", "{\"log\":\n{}", "file c.json:2: not valid JSON: unexpected end of JSON input"},
		{"c.json", "{}\n{}", "file c.json:2: not valid JSON: text after the end of the object"},
		{"c.json", "[1]", "file c.json: the file holds a list instead of keys and values"},
		{"c.json", "\xff", "file c.json: not valid UTF-8"},
		{"c.yaml", "a: b: c", "file c.yaml:1: not valid YAML: "},
		{"c.yaml", "a: *b", "file c.yaml:1: not valid YAML: "},
		{"c.yaml", "log:\n  level: info\n---\nlog: {}", "file c.yaml:4: more than one YAML document"},
		{"c.yaml", bomb, "more than 100000 values"},
		{"c.yaml", strings.Repeat("[", 40) + strings.Repeat("]", 40), "nested deeper than 32"},
		{"c.toml", "a = 1\na = 2", "file c.toml:2: not valid TOML: "},
		{"c.toml", "\n\nlog.level = info", "file c.toml:3: not valid TOML: "},
		{"c.json", strings.Repeat(" ", 1<<20) + "{}", "larger than 1048576 bytes"},
	} {
		if got := problems(t, config.Source{File: tt.name, Text: []byte(tt.text)}); !strings.Contains(got, tt.want) {
			t.Errorf("%.40q: %s\nwant %s", tt.text, got, tt.want)
		}
	}
	missing := filepath.Join(t.TempDir(), "none.yaml")
	if got, want := problems(t, config.Source{File: missing}), "file "+missing+": read: no such file or directory"; got != want {
		t.Errorf("missing file: %s\nwant %s", got, want)
	}
}

func TestUnknownKeyNamesTheNearest(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"client:\n  chanel_limit: 5", "client.chanel_limit (file c.yaml:2): unknown key; the nearest known one is client.channel_limit"},
		{"clients:\n  channel_limit: 5", "clients (file c.yaml:1): unknown key; the nearest known one is"},
		{"channel_limit: 5", "channel_limit (file c.yaml:1): unknown key; the nearest known one is client.channel_limit"},
		{"sse:\n  enabeld: true", "sse.enabeld (file c.yaml:2): unknown key; the nearest known one is sse.enabled"},
		{"token_hmac_secret: x", "token_hmac_secret (file c.yaml:1): unknown key; the nearest known one is token_hmac_secret_key"},
		{"channel: {namespaces: [{name: chat}, {name: chat.x, prezence: true}]}", "channel.namespaces.chat.x.prezence (file c.yaml:1): unknown key; the nearest known one is channel.namespaces.chat.x.presence"},
		{"channel:\n  without_namespace:\n    histroy_size: 5", "the nearest known one is channel.without_namespace.history_size"},
		{"http_api: {apikey: x}", "http_api.apikey (file c.yaml:1): unknown key; the nearest known one is http_api.key"},
		{"client: 5", "client (file c.yaml:1): is a section of keys, not a number"},
	} {
		if got := problems(t, yaml(tt.text)); !strings.Contains(got, tt.want) || strings.Contains(got, "\n") {
			t.Errorf("%s: %s\nwant %s", tt.text, got, tt.want)
		}
	}
	if got, want := problems(t, config.Source{Flags: [][2]string{{"log.levl", "x"}}}), "log.levl (flag --log.levl): unknown key; the nearest known one is log.level"; got != want {
		t.Errorf("flag: %s\nwant %s", got, want)
	}
}

func TestFlagsOfNamespacesInAnyOrder(t *testing.T) {
	res, err := config.Load(config.Source{Flags: [][2]string{{"channel.namespaces.chat.presence", "true"}, {"channel.namespaces", "chat"}}})
	if err != nil || len(res.Config.Channel.Namespaces) != 1 || !res.Config.Channel.Namespaces[0].Presence {
		t.Errorf("%+v, %v", res, err)
	}
	got := problems(t, config.Source{Flags: [][2]string{{"channel.namespaces.chat.presence", "true"}}})
	if want := "channel.namespaces.chat.presence (flag --channel.namespaces.chat.presence): there is no such namespace in channel.namespaces"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestKeySetTwice(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"client:\n  channel_limit: 1\n  channel_limit: 2", "client.channel_limit (file c.yaml:3): set twice, before as client.channel_limit (file c.yaml:2)"},
		{"api_key: a\nhttp_api:\n  key: b", "http_api.key (file c.yaml:3): set twice, before as api_key (file c.yaml:1)"},
		{"http_api:\n  key: b\napi_key: a", "http_api.key (file c.yaml:3): set twice, before as http_api.key (file c.yaml:2) (written as api_key)"},
		{"tls_cert: testdata/cert.pem\ntls_cert_pem: testdata/cert.pem", "before as tls_cert (file c.yaml:1) (written as tls_cert_pem)"},
		{"namespaces:\n- name: ab\n- name: ab", "channel.namespaces.ab (file c.yaml:3): a namespace of this name stands before"},
	} {
		if got := problems(t, yaml(tt.text)); !strings.Contains(got, tt.want) || strings.Contains(got, "\n") {
			t.Errorf("%s:\n%s\nwant\n%s", tt.text, got, tt.want)
		}
	}
	env := []string{"CENTRIFUGO_API_KEY=a", "CENTRIFUGO_HTTP_API_KEY=b"}
	if got, want := problems(t, config.Source{Env: env}), "http_api.key (env CENTRIFUGO_HTTP_API_KEY): set twice, before as api_key (env CENTRIFUGO_API_KEY)"; got != want {
		t.Errorf("environment: %s\nwant %s", got, want)
	}
}

// Every key is in testdata/good.yaml with a value of its own, and in testdata/bad.yaml
// with the problem it must cause on its line.
func TestEachKeyGoodAndBad(t *testing.T) {
	good, err := config.Load(config.Source{File: "testdata/good.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	for key, origin := range good.Origins {
		tokens := strings.HasPrefix(key, "client.token.") || strings.HasPrefix(key, "client.subscription_token.")
		if tokens && (strings.Contains(key, "audience") || strings.Contains(key, "issuer")) {
			continue // two ways that exclude each other
		}
		if origin == "default" {
			t.Errorf("testdata/good.yaml does not set %s", key)
		}
	}

	text, err := os.ReadFile("testdata/bad.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got := problems(t, config.Source{File: "testdata/bad.yaml"})
	wanted := 0
	for i, line := range strings.Split(string(text), "\n") {
		_, want, ok := strings.Cut(line, " # ")
		if !ok {
			continue
		}
		wanted++
		want = fmt.Sprintf("(file testdata/bad.yaml:%d): %s", i+1, want)
		if strings.Count(got, want) != 1 {
			t.Errorf("no problem %s", want)
		}
	}
	if n := strings.Count(got, "\n") + 1; n != wanted {
		t.Errorf("%d problems, want %d:\n%s", n, wanted, got)
	}
	for key := range good.Origins {
		if !strings.Contains(got, key+" (") && !strings.HasPrefix(key, "channel.namespaces.") {
			t.Errorf("testdata/bad.yaml does not set %s", key)
		}
	}
}

func TestRulesAcrossKeys(t *testing.T) {
	const ns = "channel:\n  namespaces:\n  - name: chat\n    "
	for _, tt := range []struct{ bad, want, good string }{
		{ns + "history_size: 5", "channel.namespaces.chat.history_size (file c.yaml:4): needs history_ttl", ns + "history_size: 5\n    history_ttl: 1s"},
		{ns + "history_ttl: 5s", "channel.namespaces.chat.history_ttl (file c.yaml:4): needs history_size", ns + "history_ttl: 0s"},
		{ns + "history_ttl: 1500ms\n    history_size: 1", "chat.history_ttl (file c.yaml:4): must be whole seconds", ns + "history_ttl: 90s\n    history_size: 1"},
		{ns + "history_ttl: 2h\n    history_size: 1\n    history_meta_ttl: 1h", "chat.history_meta_ttl (file c.yaml:6): must not be less than channel.namespaces.chat.history_ttl (2h)", ns + "history_ttl: 2h\n    history_size: 1\n    history_meta_ttl: 2h"},
		{ns + "history_ttl: 721h\n    history_size: 1", "channel.history_meta_ttl (default): must not be less than channel.namespaces.chat.history_ttl (721h)", ns + "history_ttl: 720h\n    history_size: 1"},
		{ns + "force_recovery: true", "chat.force_recovery (file c.yaml:4): needs history_size and history_ttl", ns + "allow_recovery: true"},
		{ns + "auto_cache_recover: true", "chat.auto_cache_recover (file c.yaml:4): needs force_recovery and force_recovery_mode cache", ns + "auto_cache_recover: true\n    force_recovery: true\n    force_recovery_mode: cache\n    history_size: 1\n    history_ttl: 1s"},
		{ns + "channel_regex: '['", "chat.channel_regex (file c.yaml:4): error parsing regexp", ns + "channel_regex: '^[a-z]$'"},
		{"namespaces: [{name: a}]", "channel.namespaces.a.name (file c.yaml:1): must be at least two letters", "namespaces: [{name: a.}]"},
		{"namespaces: [{name: чат}]", "must be at least two letters", "namespaces: [{name: A-9_.}]"},
		{"namespaces: [{presence: true}]", "channel.namespaces (file c.yaml:1): element 1 has no name", "namespaces: []"},
		{"namespaces: [[]]", "element 1 must be a section, not a list", "namespaces: [chat]"},
		{"user_personal_channel_namespace: chat", "personal_channel_namespace (file c.yaml:1): there is no namespace chat", "user_personal_channel_namespace: chat\nnamespaces: [{name: chat}]"},
		{"user_personal_single_connection: true\nuser_subscribe_to_personal: true", "single_connection (file c.yaml:1): needs presence", "user_personal_single_connection: true\nuser_subscribe_to_personal: true\npresence: true"},
		{"pong_timeout: 25s", "client.pong_timeout (file c.yaml:1): must be less than client.ping_interval (25s)", "ping_interval: -1s\npong_timeout: 25s"},
		{"token_audience: a\ntoken_audience_regex: b", "client.token.audience_regex (file c.yaml:2): excludes client.token.audience", "token_audience: a\ntoken_issuer_regex: b"},
		{"client: {token: {hmac_previous_secret_key: a}}", "needs client.token.hmac_secret_key", "client: {token: {hmac_previous_secret_key: a, hmac_secret_key: b}}"},
		{"separate_subscription_token_config: true", "client.subscription_token.enabled (file c.yaml:1): needs a key", "separate_subscription_token_config: true\nsubscription_token_hmac_secret_key: a"},
		{"allowed_origins: ['https://[a.example.com']", "client.allowed_origins (file c.yaml:1): \"https://[a.example.com\" is not a pattern", "allowed_origins: ['https://*.example.com']"},
		{"port: 65536", "http_server.port (file c.yaml:1): must be 0 to 65535", "port: 0"},
		{"address: 127.0.0.1:8000", "http_server.address (file c.yaml:1): must be an address without scheme and port", "address: '::'"},
		{"tls: true", "http_server.tls.enabled (file c.yaml:1): needs http_server.tls.cert_pem", "tls: true\ntls_cert: testdata/cert.pem\ntls_key: testdata/key.pem"},
		{"api_handler_prefix: /live\nwebsocket_handler_prefix: /live", "http_api.handler_prefix (file c.yaml:1): /live is another handler's path", "api_handler_prefix: /live"},
		{"websocket_handler_prefix: /metrics", "/metrics is another handler's path", "websocket_handler_prefix: /metrics2"},
		{"shutdown: {timeout: 10s, drain: 11s}", "shutdown.drain (file c.yaml:1): must not exceed shutdown.timeout", "shutdown: {timeout: 10s}"},
	} {
		if got := problems(t, yaml(tt.bad)); !strings.Contains(got, tt.want) {
			t.Errorf("%s\n%s\nwant %s", tt.bad, got, tt.want)
		}
		if got := problems(t, yaml(tt.good)); got != "" {
			t.Errorf("%s\n%s\nwant no problem", tt.good, got)
		}
	}
	if c := load(t, "c.yaml", "shutdown: {timeout: 10s}").Config; c.Shutdown.Drain.Seconds() != 10 {
		t.Errorf("drain = %v, want no more than the timeout", c.Shutdown.Drain)
	}
}

func TestOriginsThatNeverMatchAreNoted(t *testing.T) {
	got := notes(load(t, "c.yaml", "allowed_origins: ['https://App.example.com', 'app.example.com', '*.example.com', '*', 'null', 'http://localhost:3000']"))
	for _, want := range []string{`"https://App.example.com" never matches`, `"app.example.com" never matches`, `"*.example.com" never matches`} {
		if !strings.Contains(got, want) {
			t.Errorf("notes =\n%swant %s", got, want)
		}
	}
	if strings.Count(got, "never matches") != 3 {
		t.Errorf("notes =\n%s", got)
	}
}

func TestReadPEM(t *testing.T) {
	file, err := os.ReadFile("testdata/cert.pem")
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{"testdata/cert.pem", string(file), encode(file)} {
		if got, err := config.ReadPEM(form); err != nil || !bytes.Equal(got, file) {
			t.Errorf("%.20s…: %v", form, err)
		}
	}
	if _, err := config.ReadPEM("c2VjcmV0"); err == nil || strings.Contains(err.Error(), "c2VjcmV0") {
		t.Errorf("damaged key: %v; want an error that does not repeat it", err)
	}
}

func encode(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
