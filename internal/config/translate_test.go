package config_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kuranty/kuranty/internal/config"
)

// What the keys of testdata/flat.txt need beside them, by present name.
var companions = map[string]any{
	"channel.without_namespace.history_size":    5,
	"channel.without_namespace.history_ttl":     "5s",
	"channel.without_namespace.presence":        true,
	"channel.namespaces":                        []any{map[string]any{"name": "none"}},
	"client.token.hmac_secret_key":              "a",
	"client.subscription_token.hmac_secret_key": "a",
	"http_server.tls.cert_pem":                  "testdata/cert.pem",
	"http_server.tls.key_pem":                   "testdata/key.pem",
}

// file is a JSON file of one key and its companions.
func file(t *testing.T, key string, v any, path string) config.Source {
	t.Helper()
	all := map[string]any{key: v}
	for k, c := range companions {
		if k != path {
			all[k] = c
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return config.Source{File: "c.json", Text: text}
}

// Every flat key has the effect of the present one; those we do not support are refused
// by name or, if that is right, change nothing. testdata/flat.txt has them all.
func TestEveryFlatKey(t *testing.T) {
	table, err := os.ReadFile("testdata/flat.txt")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := config.Load(file(t, "log.level", "info", ""))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(strings.TrimSpace(line), " | ")
		old, path, outcome := f[0], f[2], f[3]
		var v any
		if err := json.Unmarshal([]byte(f[1]), &v); err != nil {
			t.Fatalf("%s: %v", old, err)
		}
		res, err := config.Load(file(t, old, v, path))
		switch outcome {
		case "set":
			want, err2 := config.Load(file(t, path, v, path))
			if err != nil || err2 != nil {
				t.Errorf("%s: %v, %s: %v", old, err, path, err2)
				continue
			}
			got, want2 := *res.Config, *want.Config
			if old == "history_meta_ttl" {
				want2.Channel.HistoryMetaTTL = got.Channel.WithoutNamespace.HistoryMetaTTL // both, §10.2
			}
			if diff := cmp.Diff(want2, got); diff != "" {
				t.Errorf("%s is not %s:\n%s", old, path, diff)
			}
			if cmp.Equal(got, *plain.Config) && f[1] != "true" {
				t.Errorf("%s changes nothing", old)
			}
			if res.Origins[path] != "file c.json:1" {
				t.Errorf("%s: origin of %s = %q", old, path, res.Origins[path])
			}
			if n := fmt.Sprintf("%s (file c.json:1): translated from %s\n", path, old); strings.Count(notes(res), n) != 1 {
				t.Errorf("%s: notes =\n%swant once %s", old, notes(res), n)
			}
		case "refused":
			if err == nil {
				t.Errorf("%s: taken", old)
				continue
			}
			want := path + " (file c.json:1): known to Centrifugo, not supported by this version"
			if old != path {
				want += " (written as " + old + ")"
			}
			if got := err.Error(); got != "configuration: "+want {
				t.Errorf("%s: %s\nwant %s", old, got, want)
			}
		case "debug":
			if err != nil || res.Config.Log.Level != "debug" || notes(res) != "log.level (file c.json:1): translated from debug\n" {
				t.Errorf("%s: %v, %+v", old, err, res)
			}
		case "ignored", "console":
			if err != nil {
				t.Errorf("%s: %v", old, err)
				continue
			}
			if diff := cmp.Diff(plain.Config, res.Config); diff != "" {
				t.Errorf("%s changes something:\n%s", old, diff)
			}
			want := old + " (file c.json:1): known to Centrifugo, changes nothing in this version\n"
			if outcome == "console" {
				want = "admin (file c.json:1): taken, but the operator console comes in a later version\n"
			}
			if notes(res) != want {
				t.Errorf("%s: notes =\n%swant %s", old, notes(res), want)
			}
		default:
			t.Errorf("%s: outcome %q", old, outcome)
		}
	}
}

// Channels of version 3 were open unless closed (auth-and-channels.md §10.3).
func TestVersion3Channels(t *testing.T) {
	type options = config.ChannelOptions
	for _, tt := range []struct {
		old  string // options, beside publish: false which marks the version
		want options
	}{
		{``, options{AllowSubscribeForClient: true}},
		{`protected: true`, options{}},
		{`anonymous: true`, options{AllowSubscribeForClient: true, AllowSubscribeForAnonymous: true}},
		{`publish: true`, options{AllowSubscribeForClient: true, AllowPublishForClient: true}},
		{`publish: true, anonymous: true`, options{AllowSubscribeForClient: true, AllowSubscribeForAnonymous: true, AllowPublishForClient: true, AllowPublishForAnonymous: true}},
		{`publish: true, subscribe_to_publish: true`, options{AllowSubscribeForClient: true, AllowPublishForSubscriber: true}},
		{`subscribe_to_publish: true`, options{AllowSubscribeForClient: true}},
		{`presence: true`, options{Presence: true, AllowSubscribeForClient: true, AllowPresenceForSubscriber: true}},
		{`presence: true, anonymous: true`, options{Presence: true, AllowSubscribeForClient: true, AllowSubscribeForAnonymous: true, AllowPresenceForSubscriber: true, AllowPresenceForAnonymous: true}},
		{`presence: true, presence_disable_for_client: true`, options{Presence: true, AllowSubscribeForClient: true}},
		{`history_size: 5, history_ttl: 5s`, options{HistorySize: 5, HistoryTTL: 5e9, AllowSubscribeForClient: true, AllowHistoryForSubscriber: true}},
		{`history_size: 5, history_lifetime: 5`, options{HistorySize: 5, HistoryTTL: 5e9, AllowSubscribeForClient: true, AllowHistoryForSubscriber: true}},
		{`history_size: 5, history_ttl: 5s, history_disable_for_client: true, recover: true`, options{HistorySize: 5, HistoryTTL: 5e9, AllowSubscribeForClient: true, ForceRecovery: true}},
		{`position: true, join_leave: true`, options{JoinLeave: true, ForcePushJoinLeave: true, ForcePositioning: true, AllowSubscribeForClient: true}},
		{`allow_subscribe_for_client: false`, options{}},
	} {
		tt.want.AllowUserLimitedChannels, tt.want.ForceRecoveryMode = true, "stream"
		old := strings.TrimSuffix("publish: false, "+tt.old, ", ")
		if strings.Contains(old, "publish: true") {
			old = tt.old
		}
		top := load(t, "c.yaml", "{"+old+"}").Config.Channel.WithoutNamespace
		if diff := cmp.Diff(tt.want, top); diff != "" {
			t.Errorf("top level, %s:\n%s", tt.old, diff)
		}
		res := load(t, "c.yaml", "namespaces: [{name: chat, "+old+"}]")
		if diff := cmp.Diff(tt.want, res.Config.Channel.Namespaces[0].ChannelOptions); diff != "" {
			t.Errorf("namespace, %s:\n%s", tt.old, diff)
		}
		if n := strings.Count(notes(res), "channel.namespaces.chat.allow_user_limited_channels (file c.yaml:1): set to true"); n != 1 {
			t.Errorf("%s: notes =\n%s", tt.old, notes(res))
		}
	}

	res := load(t, "c.yaml", "secret: s\nclient_anonymous: true\nnamespaces:\n- name: chat\n- name: news\n  protected: true\n")
	c := res.Config
	if c.Client.Token.HMACSecretKey != "s" || !c.Client.AllowAnonymousConnectWithoutToken || !c.Channel.WithoutNamespace.AllowSubscribeForClient ||
		!c.Channel.Namespaces[0].AllowSubscribeForClient || c.Channel.Namespaces[1].AllowSubscribeForClient {
		t.Errorf("configuration = %+v", c)
	}
	if got := res.Origins["channel.namespaces.chat.allow_subscribe_for_client"]; got != "file c.yaml:4" {
		t.Errorf("origin = %q", got)
	}
	if got, want := problems(t, yaml("anonymous: perhaps")), "anonymous (file c.yaml:1): must be true or false"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// Later versions deny by default, so the same file without the marks grants nothing.
func TestLaterFlatFilesDenyByDefault(t *testing.T) {
	c := load(t, "c.yaml", "token_hmac_secret_key: s\npresence: true\nhistory_size: 5\nhistory_ttl: 5s\nnamespaces: [{name: chat}]").Config
	want := config.ChannelOptions{Presence: true, HistorySize: 5, HistoryTTL: 5e9, ForceRecoveryMode: "stream"}
	if diff := cmp.Diff(want, c.Channel.WithoutNamespace); diff != "" {
		t.Error(diff)
	}
}

func TestGlobalHistoryMetaTTLWins(t *testing.T) {
	for text, want := range map[string]string{
		"history_meta_ttl: 1h":                              "1h0m0s 1h0m0s",
		"history_meta_ttl: 1h\nglobal_history_meta_ttl: 2h": "1h0m0s 2h0m0s",
		"global_history_meta_ttl: 2h\nhistory_meta_ttl: 1h": "1h0m0s 2h0m0s",
		"channel: {history_meta_ttl: 2h}\npresence: true":   "0s 2h0m0s",
		"history_meta_ttl: 1h\nchannel: {max_length: 5}":    "1h0m0s 1h0m0s",
	} {
		c := load(t, "c.yaml", text).Config.Channel
		if got := fmt.Sprint(c.WithoutNamespace.HistoryMetaTTL, " ", c.HistoryMetaTTL); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// The guide's engine.debug and CENTRIFUGO_DEBUG are a level of the log (chat-api.md §B.10),
// unless that is written too, anywhere; they never stop the start.
func TestDebug(t *testing.T) {
	for _, tt := range []struct {
		text, env, flag string
		want            string
	}{
		{text: `debug: true`, want: "debug"},
		{text: `debug: false`, want: "info"},
		{text: `engine: {type: memory, debug: true}`, want: "debug"},
		{env: "CENTRIFUGO_DEBUG=true", want: "debug"},
		{env: "KURANTY_DEBUG=1", want: "debug"},
		{env: "CENTRIFUGO_ENGINE_DEBUG=true", want: "debug"},
		{flag: "engine.debug", want: "debug"},
		{text: `debug: true`, env: "CENTRIFUGO_DEBUG=false", want: "info"},
		{text: `log: {level: warn}`, env: "CENTRIFUGO_DEBUG=true", want: "warn"},
		{text: `debug: true`, env: "CENTRIFUGO_LOG_LEVEL=error", want: "error"},
	} {
		src := yaml(tt.text)
		if tt.env != "" {
			src.Env = []string{tt.env}
		}
		if tt.flag != "" {
			src.Flags = [][2]string{{tt.flag, "true"}}
		}
		res, err := config.Load(src)
		if err != nil {
			t.Errorf("%+v: %v", tt, err)
			continue
		}
		if got := res.Config.Log.Level; got != tt.want {
			t.Errorf("%+v: level %q", tt, got)
		}
	}
	if got := problems(t, yaml("debug: maybe")); !strings.Contains(got, "engine.debug (") || !strings.Contains(got, "must be true or false (written as debug)") {
		t.Error(got)
	}
}

// Values that ask for nothing are taken in silence, so a generated file loads.
func TestSwitchesThatAreOffSayNothing(t *testing.T) {
	res := load(t, "c.json", `{"sse":{"enabled":false},"engine":{"type":"memory"},"broker":{"enabled":false,"type":"memory"},"debug":{"enabled":false},
		"client":{"concurrency":0,"channel_position_max_time_lag":"0s","proxy":{"connect":{"enabled":false,"endpoint":""}}},
		"channel":{"without_namespace":{"subscription_type":"stream","allowed_delta_types":[],"map":{"mode":""}}},
		"proxies":[],"consumers":[],"health":{"handler_prefix":"/health"},"log":{"file":""},"rpc":null,"admin":null}`)
	if len(res.Notes) > 0 {
		t.Errorf("notes =\n%s", notes(res))
	}
	got := notes(load(t, "c.json", `{"engine":{"redis":{"address":"redis://a"}},"namespaces":[{"name":"chat","subscribe_cel":"true","map":{"mode":"x"}}]}`))
	for _, want := range []string{
		"engine.redis (file c.json:1): known to Centrifugo, changes nothing in this version",
		"channel.namespaces.chat.subscribe_cel (file c.json:1): an option of Centrifugo's commercial edition, ignored",
		"channel.namespaces.chat.map (file c.json:1): known to Centrifugo, changes nothing in this version",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("notes =\n%swant %s", got, want)
		}
	}
}
