package config_test

import (
	"strings"
	"testing"

	"github.com/kuranty/kuranty/internal/config"
)

func TestEnvironmentForms(t *testing.T) {
	res, err := config.Load(config.Source{Env: []string{
		"KURANTY_CLIENT_TOKEN_HMAC_SECRET_KEY=a=b",
		"KURANTY_CLIENT_ALLOWED_ORIGINS=https://a  https://b",
		"KURANTY_CLIENT_CONNECT_INCLUDE_SERVER_TIME=1",
		"KURANTY_HTTP_API_QUERY_KEY=false",
		"KURANTY_CLIENT_PING_INTERVAL=30s",
		"KURANTY_LOG_LEVEL=", // empty is unset
		"KURANTY_NO_SUCH_THING=",
		`KURANTY_CHANNEL_NAMESPACES=[{"name":"chat","history_size":5},{"name":"my-news.x"},{"name":"chat_room"}]`,
		"KURANTY_CHANNEL_NAMESPACES_CHAT_HISTORY_TTL=60s",
		"KURANTY_CHANNEL_NAMESPACES_MY_NEWS_X_PRESENCE=true",
		"KURANTY_CHANNEL_NAMESPACES_CHAT_ROOM_JOIN_LEAVE=true",
		"KURANTY_CHANNEL_WITHOUT_NAMESPACE_PRESENCE=true",
		"KURANTY_VAR_ANYTHING=x", "KURANTY_URL=http://127.0.0.1:8000", "KURANTY_CONFIG=c.yaml",
	}})
	if err != nil {
		t.Fatal(err)
	}
	c := res.Config
	if c.Client.Token.HMACSecretKey != "a=b" || len(c.Client.AllowedOrigins) != 2 || !c.Client.ConnectIncludeServerTime ||
		c.HTTPAPI.QueryKey || c.Client.PingInterval.Seconds() != 30 || c.Log.Level != "info" || !c.Channel.WithoutNamespace.Presence {
		t.Errorf("configuration = %+v", c)
	}
	ns := c.Channel.Namespaces
	if ns[0].HistorySize != 5 || ns[0].HistoryTTL.Seconds() != 60 || !ns[1].Presence || !ns[2].JoinLeave || ns[0].JoinLeave {
		t.Errorf("namespaces = %+v", ns)
	}
	if got, want := res.Origins["channel.namespaces.my-news.x.presence"], config.Origin("env KURANTY_CHANNEL_NAMESPACES_MY_NEWS_X_PRESENCE"); got != want {
		t.Errorf("origin = %q, want %q", got, want)
	}
	if len(res.Notes) > 0 {
		t.Errorf("notes =\n%s", notes(res))
	}
}

func TestEnvironmentReplacesAndCompletesTheFile(t *testing.T) {
	src := yaml("namespaces: [{name: chat, presence: true}, {name: news}]")
	src.Env = []string{"CENTRIFUGO_CHANNEL_NAMESPACES_CHAT_JOIN_LEAVE=true", "KURANTY_CHANNEL_NAMESPACES_CHAT_PRESENCE=false"}
	src.Flags = [][2]string{{"channel.namespaces.news.presence", "true"}}
	res, err := config.Load(src)
	if err != nil {
		t.Fatal(err)
	}
	if ns := res.Config.Channel.Namespaces; ns[0].Presence || !ns[0].JoinLeave || !ns[1].Presence {
		t.Errorf("namespaces = %+v", ns)
	}

	src.Env = []string{"KURANTY_CHANNEL_NAMESPACES=one two"}
	src.Flags = nil
	if res, err = config.Load(src); err != nil {
		t.Fatal(err)
	}
	if ns := res.Config.Channel.Namespaces; len(ns) != 2 || ns[0].Name != "one" || ns[1].Name != "two" {
		t.Errorf("namespaces = %+v", ns)
	}
	for key := range res.Origins {
		if strings.HasPrefix(key, "channel.namespaces.chat.") {
			t.Errorf("origins still has %s", key)
		}
	}
}

func TestOldNamesInTheEnvironment(t *testing.T) {
	res, err := config.Load(config.Source{Env: []string{
		"CENTRIFUGO_API_KEY=k", "CENTRIFUGO_TOKEN_HMAC_SECRET_KEY=s", "CENTRIFUGO_ADMIN=true", "CENTRIFUGO_ADMIN_PASSWORD=p",
		"CENTRIFUGO_ALLOWED_ORIGINS=https://a https://b", "CENTRIFUGO_NAMESPACES=chat", "CENTRIFUGO_CHANNEL_NAMESPACES_CHAT_PRESENCE=true",
		"CENTRIFUGO_HISTORY_SIZE=5", "CENTRIFUGO_HISTORY_TTL=5s", "CENTRIFUGO_REDIS_ADDRESS=redis://a", "CENTRIFUGO_ENGINE=memory",
		"CENTRIFUGO_PROXIES_MAIN_ENDPOINT=http://a", "CENTRIFUGO_SOCKJS_URL=x", "CENTRIFUGO_TYPO=1", "KURANTY_API_KEY=wins",
	}})
	if err != nil {
		t.Fatal(err)
	}
	c := res.Config
	if c.HTTPAPI.Key != "wins" || c.Client.Token.HMACSecretKey != "s" || len(c.Client.AllowedOrigins) != 2 ||
		c.Channel.WithoutNamespace.HistorySize != 5 || len(c.Channel.Namespaces) != 1 || !c.Channel.Namespaces[0].Presence {
		t.Errorf("configuration = %+v", c)
	}
	got := notes(res)
	for _, want := range []string{
		"http_api.key (env CENTRIFUGO_API_KEY): translated from api_key",
		"CENTRIFUGO_TYPO (env CENTRIFUGO_TYPO): unknown variable, ignored",
		"admin (env CENTRIFUGO_ADMIN): taken, but the operator console comes in a later version",
	} {
		if strings.Count(got, want) != 1 {
			t.Errorf("notes =\n%swant once %s", got, want)
		}
	}
}

func TestEnvironmentMistakes(t *testing.T) {
	for _, tt := range []struct{ env, want string }{
		{"KURANTY_CLIENT_CHANEL_LIMIT=5", "KURANTY_CLIENT_CHANEL_LIMIT (env KURANTY_CLIENT_CHANEL_LIMIT): unknown variable; the nearest known one is KURANTY_CLIENT_CHANNEL_LIMIT"},
		{"KURANTY_CLIENT_CHANNEL_LIMIT=many", "client.channel_limit (env KURANTY_CLIENT_CHANNEL_LIMIT): must be a whole number"},
		{"KURANTY_CLIENT_INSECURE=yes", "client.insecure (env KURANTY_CLIENT_INSECURE): must be true or false"},
		{"CENTRIFUGO_CLIENT_PING_INTERVAL=25", `client.ping_interval (env CENTRIFUGO_CLIENT_PING_INTERVAL): needs a unit, as in "25s"`},
		{"CENTRIFUGO_ENGINE_TYPE=redis", "engine.type (env CENTRIFUGO_ENGINE_TYPE): known to Centrifugo, not supported by this version"},
		{"CENTRIFUGO_PROXY_CONNECT_ENDPOINT=http://a", "client.proxy.connect.enabled (env CENTRIFUGO_PROXY_CONNECT_ENDPOINT): known to Centrifugo, not supported by this version (written as proxy_connect_endpoint)"},
		{"KURANTY_CHANNEL_NAMESPACES=[{]", "channel.namespaces (env KURANTY_CHANNEL_NAMESPACES): not valid JSON"},
		{`KURANTY_CHANNEL_NAMESPACES=[{"name":"chat","presence":"x"}]`, "channel.namespaces.chat.presence (env KURANTY_CHANNEL_NAMESPACES): must be true or false"},
		{"KURANTY_CHANNEL_NAMESPACES_CHAT_PRESENCE=true", "KURANTY_CHANNEL_NAMESPACES_CHAT_PRESENCE (env KURANTY_CHANNEL_NAMESPACES_CHAT_PRESENCE): unknown variable: channel.namespaces has no such namespace"},
		{"CENTRIFUGO_ANONYMOUS=true", "a name of version 3 of Centrifugo; it is translated in files only"},
	} {
		if got := problems(t, config.Source{Env: []string{tt.env}}); !strings.Contains(got, tt.want) || strings.Contains(got, "\n") {
			t.Errorf("%s: %s\nwant %s", tt.env, got, tt.want)
		}
	}
	src := yaml("namespaces: [{name: a-b}, {name: a.b}]")
	src.Env = []string{"KURANTY_CHANNEL_NAMESPACES_A_B_PRESENCE=true"}
	if got, want := problems(t, src), "means both namespaces a-b and a.b"; !strings.Contains(got, want) {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// Kubernetes tells each container about services; one called kuranty or centrifugo must
// not configure the server.
func TestKubernetesServiceVariablesAreIgnored(t *testing.T) {
	var env []string
	for _, prefix := range []string{"KURANTY", "CENTRIFUGO", "KURANTY_HTTP_SERVER", "KURANTY_API"} {
		env = append(env, prefix+"_SERVICE_HOST=10.0.0.1", prefix+"_SERVICE_PORT=8000", prefix+"_SERVICE_PORT_HTTP=8000", prefix+"_PORT=tcp://10.0.0.1:8000",
			prefix+"_PORT_8000_TCP=tcp://10.0.0.1:8000", prefix+"_PORT_8000_TCP_PROTO=tcp", prefix+"_PORT_8000_TCP_PORT=8000", prefix+"_PORT_8000_TCP_ADDR=10.0.0.1")
	}
	res, err := config.Load(config.Source{Env: env})
	if err != nil {
		t.Fatal(err)
	}
	if c := res.Config.HTTPServer; c.Port != 8000 || c.Address != "127.0.0.1" {
		t.Errorf("listener = %+v", c)
	}
	if n := strings.Count(notes(res), "looks like a variable of a Kubernetes service, ignored"); n != len(env) {
		t.Errorf("%d notes for %d variables:\n%s", n, len(env), notes(res))
	}
	if res, err = config.Load(config.Source{Env: []string{"KURANTY_HTTP_SERVER_PORT=9000", "CENTRIFUGO_PORT=9001"}}); err != nil {
		t.Fatal(err)
	}
	if got := res.Config.HTTPServer.Port; got != 9000 {
		t.Errorf("port = %d", got)
	}
}
