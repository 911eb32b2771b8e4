package server_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/kuranty/kuranty/internal/config"
	"github.com/kuranty/kuranty/internal/server"
	"github.com/kuranty/kuranty/internal/servertest"
	"github.com/kuranty/kuranty/realtime"
)

func TestURLMap(t *testing.T) {
	in := servertest.Start(t)
	key := []string{"X-API-Key", in.APIKey}
	for _, c := range []struct {
		method, path, body string
		header             []string
		status             int
		contains           string
	}{
		{"GET", "/", "", nil, 200, "This is Kuranty"},
		{"GET", "/", "", []string{"Accept", "text/html"}, 200, "<!doctype html>"},
		{"GET", "/health", "", nil, 200, "{}"},
		{"GET", "/livez", "", nil, 200, "alive"},
		{"GET", "/readyz", "", nil, 200, "ready"},
		{"HEAD", "/health", "", nil, 200, ""},
		{"GET", "/metrics", "", nil, 200, "kuranty_connections 0"},
		{"GET", "/connection/websocket", "", nil, 426, ""},
		{"POST", "/api/publish", `{"channel":"a","data":{}}`, key, 200, `{"result":{}}`},
		{"POST", "/api/publish", `{"channel":"a","data":{}}`, nil, 401, ""},
		{"POST", "/api", `{"method":"publish","params":{"channel":"a","data":{}}}`, key, 200, `{"result":{}}`},
		{"GET", "/api", "", key, 405, ""},
		{"GET", "/api/publish", "", key, 405, ""},
		{"POST", "/api/nothing", `{}`, key, 404, ""},
		{"GET", "/v1/asyncapi.json", "", nil, 200, `"asyncapi": "3.0.0"`},
		{"GET", "/v1/asyncapi.yaml", "", nil, 200, "asyncapi: 3.0.0"},
		{"HEAD", "/v1/asyncapi.json", "", nil, 200, ""},
		{"POST", "/v1/asyncapi.json", "", nil, 405, ""},
		{"GET", "/apis", "", nil, 404, "This is Kuranty"},
		{"GET", "/nothing?token=abc", "", nil, 404, `nothing at "/nothing"`},
		{"GET", "/debug/pprof/", "", nil, 404, ""},
		{"GET", "/admin", "", nil, 404, ""},
	} {
		status, body := request(t, c.method, in.URL+c.path, c.body, c.header...)
		if status != c.status || !strings.Contains(body, c.contains) {
			t.Errorf("%s %s = %d %q, want %d with %q", c.method, c.path, status, body, c.status, c.contains)
		}
	}
}

func TestURLMapWithEverythingOff(t *testing.T) {
	in := servertest.Start(t, servertest.Config(`{"health":{"enabled":false},"prometheus":{"enabled":false},
		"http_api":{"disabled":true},"websocket":{"disabled":true}}`))
	for _, path := range []string{"/health", "/livez", "/readyz", "/metrics", "/api", "/api/publish", "/connection/websocket"} {
		if status, _ := request(t, http.MethodPost, in.URL+path, `{}`); status != http.StatusNotFound {
			t.Errorf("%s = %d, want 404", path, status)
		}
	}
}

func TestDemo(t *testing.T) {
	demo := servertest.With(func(o *server.Options) { o.Demo = true })
	in := servertest.Start(t, demo)
	if status, body := get(t, in.URL+"/"); status != 200 || !strings.Contains(body, "<script") {
		t.Errorf("page: %d %.80q", status, body)
	}
	if status, body := get(t, in.URL+"/nothing"); status != 404 || !strings.Contains(body, "This is Kuranty") {
		t.Errorf("elsewhere: %d %q", status, body)
	}
	status, body := request(t, http.MethodPost, in.URL+"/demo/token", `{"name":"Ann"}`, "Content-Type", "application/json", "Origin", in.URL)
	_, token, found := strings.Cut(body, `"token":"`)
	if status != 200 || !found {
		t.Fatalf("token: %d %q", status, body)
	}
	token, _, _ = strings.Cut(token, `"`)
	connect(t, in.WSURL, token)
}

func TestS5_DemoListensOnThisMachineOnly(t *testing.T) {
	res := load(t, `{"http_server":{"address":"0.0.0.0"}}`, t.TempDir())
	if _, err := server.New(res, server.Options{Demo: true}); err == nil || !strings.Contains(err.Error(), "http_server.address") {
		t.Errorf("error = %v", err)
	}
}

func TestS5_InsecureSwitchesNeedLoopback(t *testing.T) {
	for _, key := range []string{"client.insecure", "client.insecure_skip_token_signature_verify", "http_api.insecure"} {
		_, err := config.Load(config.Source{Flags: [][2]string{{key, "true"}, {"http_server.address", "0.0.0.0"}}})
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s on every address: %v", key, err)
		}
		servertest.Start(t, servertest.Flag(key, "true")).Stop()
	}
}

func TestS20_MetricsAreForThisMachine(t *testing.T) {
	open := servertest.Start(t)
	if status, _ := get(t, open.URL+"/metrics", "X-Forwarded-For", "192.0.2.1"); status != http.StatusOK {
		t.Errorf("on loopback: %d", status)
	}
	wide := servertest.Start(t, servertest.Flag("http_server.address", "0.0.0.0"))
	if status, _ := get(t, wide.URL+"/metrics"); status != http.StatusOK {
		t.Errorf("from this machine: %d", status)
	}
	answer := httptest.NewRecorder() // to a request of 192.0.2.1
	server.Front(wide.Server).ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if answer.Code != http.StatusForbidden {
		t.Errorf("from another machine: %d", answer.Code)
	}
	if status, body := get(t, wide.URL+"/metrics", "X-Forwarded-For", "192.0.2.1"); status != http.StatusForbidden {
		t.Errorf("through a proxy: %d %s", status, body)
	}
	asked := servertest.Start(t, servertest.Flag("http_server.address", "0.0.0.0"), servertest.Flag("prometheus.enabled", "true"))
	if status, _ := get(t, asked.URL+"/metrics", "X-Forwarded-For", "192.0.2.1"); status != http.StatusOK {
		t.Errorf("served to all on request: %d", status)
	}
}

// The sample in circulation starts the server as it is.
func TestSampleConfiguration(t *testing.T) {
	const sample = `{"allow_subscribe_for_client": true, "api_key": "k", "token_hmac_secret_key": "s", "admin": true,
		"admin_password": "p", "admin_secret": "s", "allowed_origins": ["http://localhost"]%s}`
	for _, more := range []string{"", `, "port": 0`, `, "namespaces": [{"name": "chat", "presence": true, "history_size": 10, "history_ttl": "60s"}]`} {
		in := servertest.Start(t, servertest.Config(fmt.Sprintf(sample, more)))
		status, body := request(t, http.MethodPost, in.URL+"/api",
			`{"method":"publish","params":{"channel":"news","data":{"text":"hello"}}}`, "Authorization", "apikey k")
		if status != http.StatusOK || body != `{"result":{}}` {
			t.Errorf("publish: %d %s", status, body)
		}
		connect(t, in.WSURL, in.Token("42")).subscribe("news", "")
		if _, err := dial(t, in.WSURL, "http://localhost"); err != nil {
			t.Errorf("allowed origin: %v", err)
		}
		if _, err := dial(t, in.WSURL, "http://elsewhere"); err == nil {
			t.Error("an origin that is not allowed got in")
		}
	}
}

func TestR35_PanickingHandlerEndsOnlyItsCall(t *testing.T) {
	in := servertest.Start(t, servertest.Config(chat), servertest.With(func(o *server.Options) {
		o.RPC = func(context.Context, realtime.Client, string, []byte) ([]byte, error) { panic("out of cheese") }
	}))
	bystander := connect(t, in.WSURL, in.Token("1"))
	bystander.subscribe("chat:1", "")
	p := connect(t, in.WSURL, in.Token("2"))
	p.send(`{"id":5,"rpc":{"method":"boom"}}`)
	unit, err := p.read()
	if err == nil && (!strings.Contains(unit, `"error"`) || strings.Contains(unit, "cheese")) {
		t.Errorf("answer to the call that panicked: %s", unit)
	}
	publish(t, in.URL, in.APIKey, "chat:1", `"still here"`)
	if got := bystander.next(); !strings.Contains(got, "still here") {
		t.Errorf("bystander got %s", got)
	}
	_, metrics := get(t, in.URL+"/metrics")
	if !strings.Contains(metrics, `kuranty_panics_total{in="session"} 1`) && !strings.Contains(metrics, `kuranty_panics_total{in="connection"} 1`) {
		t.Errorf("the panic is not counted:\n%s", grep(metrics, "panics"))
	}
	if !strings.Contains(in.Log(), "out of cheese") {
		t.Errorf("the panic is not logged:\n%s", in.Log())
	}
}

func TestR42_Metrics(t *testing.T) {
	in := servertest.Start(t, servertest.Config(chat))
	p := connect(t, in.WSURL, in.Token("42"))
	p.subscribe("chat:1", "")
	publish(t, in.URL, in.APIKey, "chat:1", `1`)
	p.next()
	if _, err := dial(t, in.WSURL, "https://evil.example"); err == nil {
		t.Error("a foreign origin got in")
	}
	_, metrics := get(t, in.URL+"/metrics")
	for _, want := range []string{
		"kuranty_connections 1", "kuranty_users 1", "kuranty_subscriptions 1", "kuranty_channels 1", "kuranty_queue_bytes 0",
		"kuranty_connects_total 1", "kuranty_publications_total 1", "kuranty_deliveries_total 1", "kuranty_accepted_total 1",
		`kuranty_recoveries_total{recovered="true"} 0`, `kuranty_recoveries_total{recovered="false"} 0`,
		"kuranty_insufficient_state_closes_total 0", "kuranty_slow_closes_total 0", `kuranty_refused_total{reason="origin"} 1`,
		`kuranty_panics_total{in="request"} 0`, `kuranty_build_info{go="go1`, "go_goroutines", "process_resident_memory_bytes",
	} {
		if !strings.Contains(metrics, "\n"+want) {
			t.Errorf("no %q in\n%s", want, grep(metrics, "kuranty_"))
		}
	}
}

// grep returns the lines of text that contain part, without comments.
func grep(text, part string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) && !strings.HasPrefix(line, "#") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// Canaries are planted wherever a secret may come in, and looked for wherever the
// server writes something.
func TestS6_SecretsAppearNowhere(t *testing.T) {
	const (
		hmacKey  = "canary-hmac-0123456789"
		previous = "canary-previous-\"quoted\"-0123456789"
		apiKey   = "canary-api-key-0123456789"
		mailing  = "canary-mail-0123456789"
	)
	in := servertest.Start(t, servertest.Config(fmt.Sprintf(`{"log":{"level":"debug"},"http_api":{"key":%q},
		"client":{"token":{"hmac_secret_key":%q,"hmac_previous_secret_key":%q}},
		"mail":{"host":"localhost","from":"a@example.com","username":"a","password":%q}}`, apiKey, hmacKey, previous, mailing)))
	token := in.Token("42")
	var said strings.Builder // everything the server answers

	p := connect(t, in.WSURL+"?token="+token+"&api_key="+apiKey, token)
	said.WriteString(p.call(`{"id":3,"subscribe":{"channel":"x","token":"` + token + `"}}`))
	broken := token[:len(token)-4] + "AAAA"
	q, err := dial(t, in.WSURL, "")
	if err != nil {
		t.Fatal(err)
	}
	q.send(`{"id":1,"connect":{"token":"` + broken + `"}}`)
	_, reason := q.closed()
	said.WriteString(reason)
	for _, path := range []string{
		"/", "/nothing?token=" + token, "/metrics?api_key=" + apiKey, "/api/publish?api_key=" + apiKey,
		"/api/nothing?api_key=" + apiKey, "/api/publish?api_key=" + apiKey + "x", "/" + apiKey, "/" + mailing, "/connection/websocket?token=" + token,
	} {
		for _, header := range [][]string{nil, {"Authorization", "apikey " + apiKey}, {"Authorization", "Bearer " + token}, {"X-API-Key", apiKey}} {
			_, body := request(t, http.MethodPost, in.URL+path, `{"channel":"x","data":`, header...)
			if path != "/"+apiKey && path != "/"+mailing { // told back what was asked for
				said.WriteString(body)
			}
			_, body = get(t, in.URL+path, header...)
			if path != "/"+apiKey && path != "/"+mailing {
				said.WriteString(body)
			}
		}
	}
	p.leave()
	in.Stop()

	signature := token[strings.LastIndex(token, ".")+1:]
	for where, text := range map[string]string{"log": in.Log(), "answers": said.String()} {
		for _, canary := range []string{hmacKey, "canary-previous", apiKey, mailing, token, signature, broken} {
			if strings.Contains(text, canary) {
				t.Errorf("%s: contains %q:\n%s", where, canary, grep(text, canary))
			}
		}
	}
	err = filepath.WalkDir(in.DataDir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if strings.Contains(string(b), "canary") {
			t.Errorf("%s contains a configured secret", entry.Name())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestS33_ErrorsTellNothingOfTheInside(t *testing.T) {
	in := servertest.Start(t)
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/%2e%2e/%2e%2e/etc/passwd", ""},
		{"POST", "/api/publish", "{"},
		{"POST", "/api/history", `{"channel":"x"}`},
		{"GET", "/nothing<script>", ""},
		{"POST", "/api", "[]"},
	} {
		_, body := request(t, c.method, in.URL+c.path, c.body, "X-API-Key", in.APIKey)
		for _, inside := range []string{".go:", "goroutine", "runtime.", in.DataDir, "/root", "/home"} {
			if strings.Contains(body, inside) {
				t.Errorf("%s %s: %q contains %q", c.method, c.path, body, inside)
			}
		}
	}
}

// Every option of a channel reaches the rules: a field that is forgotten would be an
// option without effect.
func TestEveryChannelOptionReachesThePolicy(t *testing.T) {
	var c config.ChannelOptions
	fill(reflect.ValueOf(&c).Elem())
	got := reflect.ValueOf(server.Namespace("chat", &c))
	for i := range got.NumField() {
		if got.Field(i).IsZero() {
			t.Errorf("policy.Namespace.%s is not set", got.Type().Field(i).Name)
		}
	}
}

// fill sets every field of v to something.
func fill(v reflect.Value) {
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.Bool:
			f.SetBool(true)
		case reflect.String:
			f.SetString("x")
		default:
			f.SetInt(1)
		}
	}
}

func TestR35_PanickingRequestIsAnsweredAndCounted(t *testing.T) {
	var log bytes.Buffer
	front, panics := server.FrontOf(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/cut" {
			panic(http.ErrAbortHandler)
		}
		panic("out of cheese")
	}, server.NewLogger(&log, "json", "info", nil))
	srv := httptest.NewServer(front)
	defer srv.Close()
	status, body := get(t, srv.URL+"/boom?token=abc")
	_, id, _ := strings.Cut(strings.TrimSpace(body), "request ")
	if status != http.StatusInternalServerError || len(id) < 8 || strings.Contains(body, "cheese") {
		t.Errorf("answer: %d %q", status, body)
	}
	if got := log.String(); !strings.Contains(got, "out of cheese") || !strings.Contains(got, id) || strings.Contains(got, "token=abc") {
		t.Errorf("log: %s", got)
	}
	if resp, err := http.Get(srv.URL + "/cut"); err == nil {
		_ = resp.Body.Close()
		t.Error("a handler that cuts the connection was answered for")
	}
	if got := panics(); got != 1 {
		t.Errorf("%d panics counted, want 1", got)
	}
}
