package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/kuranty/kuranty/internal/config"
	"github.com/kuranty/kuranty/internal/server"
	"github.com/kuranty/kuranty/internal/servertest"
)

// chat is a namespace with recovery, open to users.
const chat = `{"channel": {"namespaces": [{"name": "chat", "presence": true, "history_size": 100, "history_ttl": "1h",
	"force_recovery": true, "allow_subscribe_for_client": true, "allow_publish_for_client": true}]}}`

func TestFirstScreen(t *testing.T) {
	in := servertest.Start(t, servertest.Config(chat))
	in.Stop()
	got := in.Log()
	got = strings.ReplaceAll(got, in.DataDir, "DATA")
	got = regexp.MustCompile(`127\.0\.0\.1:\d+`).ReplaceAllString(got, "127.0.0.1:PORT")
	got = regexp.MustCompile(`(?m)^time=\S+ `).ReplaceAllString(got, "time=NOW ")
	compareGolden(t, "first_screen.txt", got)
}

func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("differs from %s, which UPDATE_GOLDEN=1 rewrites; got\n%s", path, got)
	}
}

func TestReadyLineIsTheOnlyOneAndHasTheRealAddress(t *testing.T) {
	in := servertest.Start(t, servertest.Flag("log.format", "json"), servertest.Flag("log.level", "error"))
	in.Stop()
	checkReadyLine(t, in)
	in = servertest.Start(t, servertest.Flag("log.format", "json"))
	in.Stop()
	checkReadyLine(t, in)
}

func checkReadyLine(t *testing.T, in *servertest.Instance) {
	t.Helper()
	count := 0
	for line := range strings.Lines(in.Log()) {
		var l struct{ Level, Msg, Address string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Errorf("line is not JSON: %s", line)
		}
		if l.Msg != "ready" {
			continue
		}
		count++
		if l.Level != "INFO" || "http://"+l.Address != in.URL || strings.HasSuffix(l.Address, ":0") {
			t.Errorf("ready line %s, server is at %s", line, in.URL)
		}
	}
	if count != 1 {
		t.Errorf("%d ready lines in\n%s", count, in.Log())
	}
}

// Also S40's modes of the data folder.
func TestS13_SecretsAreMadeForEachDataFolderAndOnlyForItsOwner(t *testing.T) {
	first, second := servertest.Start(t), servertest.Start(t)
	a, err := server.ReadSecrets(first.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := server.ReadSecrets(second.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{server.TokenSecret, server.APIKey} {
		if len(a[name]) < 43 || a[name] == b[name] {
			t.Errorf("%s: %d and %d characters, equal: %v", name, len(a[name]), len(b[name]), a[name] == b[name])
		}
	}
	if runtime.GOOS == "windows" {
		return // modes mean nothing there
	}
	for path, want := range map[string]os.FileMode{first.DataDir: 0o700, filepath.Join(first.DataDir, "secrets.json"): 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", filepath.Base(path), got, want)
		}
	}
	if status, _ := request(t, http.MethodPost, first.URL+"/api/info", `{}`); status != http.StatusUnauthorized {
		t.Errorf("API without a key answers %d", status)
	}
	if status, _ := request(t, http.MethodPost, first.URL+"/api/info", `{}`, "X-API-Key", second.APIKey); status != http.StatusUnauthorized {
		t.Errorf("API with the key of another server answers %d", status)
	}
	p, err := dial(t, first.WSURL, "")
	if err != nil {
		t.Fatal(err)
	}
	p.send(`{"id":1,"connect":{"token":"` + second.Token("42") + `"}}`)
	if code, _ := p.closed(); code != 3500 {
		t.Errorf("token of another server: closed with %d, want 3500", code)
	}
}

func TestSecretsThatOthersCanReadAreRefused(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "secrets.json")
	if err := os.WriteFile(file, []byte(`{"http_api.key":"0123456789abcdef"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	_, err := server.New(load(t, "", dir), server.Options{})
	if err == nil || !strings.Contains(err.Error(), "chmod 600") || strings.Contains(err.Error(), "0123456789abcdef") {
		t.Errorf("error = %v", err)
	}
}

func TestSecretsSurviveARestart(t *testing.T) {
	dir := servertest.DataDir(t.TempDir())
	first := servertest.Start(t, dir)
	token := first.Token("42")
	first.Stop()
	connect(t, servertest.Start(t, dir).WSURL, token)
}

// load loads a configuration for a server that is not started by servertest.
func load(t *testing.T, file, dataDir string) *config.Result {
	t.Helper()
	src := config.Source{Flags: [][2]string{{"http_server.port", "0"}, {"storage.data_dir", dataDir}}}
	if file != "" {
		src.File, src.Text = "config.json", []byte(file)
	}
	res, err := config.Load(src)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func TestDataFolderBelongsToOneServer(t *testing.T) {
	in := servertest.Start(t)
	_, err := server.New(load(t, "", in.DataDir), server.Options{})
	if err == nil || !strings.Contains(err.Error(), "in use by another kuranty") || !strings.Contains(err.Error(), in.DataDir) {
		t.Errorf("second start: %v", err)
	}
}

func TestPortInUseLosesNothing(t *testing.T) {
	dir := servertest.DataDir(t.TempDir())
	first := servertest.Start(t, servertest.Config(chat), dir)
	publish(t, first.URL, first.APIKey, "chat:1", `1`)
	first.Stop()
	other := servertest.Start(t)
	res := load(t, chat, first.DataDir)
	res.Config.HTTPServer.Port = portOf(t, other.URL)
	s, err := server.New(res, server.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "http_server.port") {
		t.Fatalf("Run = %v", err)
	}
	again := servertest.Start(t, servertest.Config(chat), dir)
	if got := publish(t, again.URL, again.APIKey, "chat:1", `2`); !strings.Contains(got, `"offset":2`) {
		t.Errorf("after a start that failed: %s", got)
	}
}

func portOf(t *testing.T, url string) (port int) {
	t.Helper()
	if _, err := fmt.Sscanf(url[strings.LastIndex(url, ":"):], ":%d", &port); err != nil {
		t.Fatal(err)
	}
	return port
}

func TestReloadTakesOverRules(t *testing.T) {
	hup := make(chan os.Signal)
	var mu sync.Mutex
	next := func() (*config.Result, error) { return nil, fmt.Errorf("line 3: no such key") }
	set := func(f func() (*config.Result, error)) { mu.Lock(); next = f; mu.Unlock() }
	in := servertest.Start(t, servertest.Config(chat), servertest.Flag("log.level", "debug"), servertest.With(func(o *server.Options) {
		o.Reload = hup
		o.Load = func() (*config.Result, error) { mu.Lock(); defer mu.Unlock(); return next() }
	}))
	p := connect(t, in.WSURL, in.Token("42"))
	refused := func(channel string) string {
		return p.call(`{"id":3,"subscribe":{"channel":"` + channel + `"}}`)
	}

	hup <- syscall.SIGHUP // a file that does not load changes nothing
	hup <- syscall.SIGHUP // taken up only after the first was dealt with
	if got := refused("news:1"); !strings.Contains(got, `"code":102`) {
		t.Errorf("before: %s", got)
	}
	if !strings.Contains(in.Log(), "line 3: no such key") {
		t.Errorf("the mistake is not logged:\n%s", in.Log())
	}

	set(func() (*config.Result, error) {
		return load(t, `{"channel":{"namespaces":[{"name":"news","allow_subscribe_for_client":true}]},
			"client":{"token":{"hmac_secret_key":"another-secret-of-some-length"}}}`, in.DataDir), nil
	})
	hup <- syscall.SIGHUP
	hup <- syscall.SIGHUP
	p.subscribe("news:1", "")
	if got := refused("chat:1"); !strings.Contains(got, `"code":102`) {
		t.Errorf("after: %s", got)
	}
	get(t, in.URL+"/another-secret-of-some-length")
	if strings.Contains(in.Log(), "another-secret") || !strings.Contains(in.Log(), "path=/[hidden]") {
		t.Errorf("the new secret is not hidden:\n%s", in.Log())
	}
	q, err := dial(t, in.WSURL, "")
	if err != nil {
		t.Fatal(err)
	}
	q.send(`{"id":1,"connect":{"token":"` + in.Token("42") + `"}}`) // with the secret of before
	if code, _ := q.closed(); code != 3500 {
		t.Errorf("token of the old key: closed with %d, want 3500", code)
	}
}

func TestSIGHUPReachesTheServer(t *testing.T) {
	p := servertest.Binary(t, servertest.Config(chat))
	p.Signal(syscall.SIGHUP)
	if _, found := p.Await("configuration reloaded", limit); !found {
		t.Errorf("not reloaded:\n%s", p.Log())
	}
}

func TestR15_GracefulStopKeepsStreams(t *testing.T) {
	dir := servertest.DataDir(t.TempDir())
	first := servertest.Start(t, servertest.Config(chat), dir)
	p := connect(t, first.WSURL, first.Token("42"))
	at := p.subscribe("chat:1", "")
	for i := range 12 {
		publish(t, first.URL, first.APIKey, "chat:1", fmt.Sprint(i))
	}
	publish(t, first.URL, first.APIKey, "chat:2", `"x"`)
	p.leave()
	first.Stop()
	if want := "kept 2 streams with 13 publications in " + first.DataDir; !strings.Contains(first.Log(), want) {
		t.Errorf("no %q in\n%s", want, first.Log())
	}

	second := servertest.Start(t, servertest.Config(chat), dir)
	p = connect(t, second.WSURL, second.Token("42"))
	got := p.subscribe("chat:1", fmt.Sprintf(`,"recover":true,"epoch":%q,"offset":%d`, at.Epoch, at.Offset))
	if !got.Recovered || len(got.Publications) != 12 || got.Epoch != at.Epoch {
		t.Fatalf("after the restart: %+v", got)
	}
	if p, want := string(got.Publications[11]), `"offset":12`; !strings.Contains(p, want) {
		t.Errorf("last publication %s", p)
	}
	if _, err := os.Stat(filepath.Join(second.DataDir, "streams.snapshot")); !os.IsNotExist(err) {
		t.Errorf("what was kept is still there while the server runs: %v", err)
	}
}

func TestR15_CrashBeginsNewEpochs(t *testing.T) {
	dir := servertest.DataDir(t.TempDir())
	first := servertest.Binary(t, servertest.Config(chat), dir)
	publish(t, first.URL, first.APIKey(), "chat:1", `1`)
	first.Stop(syscall.SIGTERM)

	second := servertest.Binary(t, servertest.Config(chat), dir)
	p := connect(t, second.WSURL, second.Token("42"))
	at := p.subscribe("chat:1", "")
	if at.Offset != 1 {
		t.Fatalf("the graceful stop did not keep the stream: %+v", at)
	}
	publish(t, second.URL, second.APIKey(), "chat:1", `2`)
	second.Kill()

	third := servertest.Binary(t, servertest.Config(chat), dir)
	p = connect(t, third.WSURL, third.Token("42"))
	got := p.subscribe("chat:1", fmt.Sprintf(`,"recover":true,"epoch":%q,"offset":%d`, at.Epoch, at.Offset))
	if got.Recovered || got.Epoch == at.Epoch || got.Offset != 0 {
		t.Errorf("after the crash: %+v, epoch before %s", got, at.Epoch)
	}
}

func TestDamagedSnapshotIsReportedAndLeftBehind(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "streams.snapshot")
	if err := os.WriteFile(file, []byte("kuranty streams of some other kind"), 0o600); err != nil {
		t.Fatal(err)
	}
	in := servertest.Start(t, servertest.DataDir(dir))
	if !strings.Contains(in.Log(), "streams were not restored") {
		t.Errorf("not reported:\n%s", in.Log())
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("still there: %v", err)
	}
}

// The real figure is 20 s for any number of clients; 200 are closed within their
// 200 ms, and the whole stop within 10 s on a loaded machine.
func TestR37_StopClosesConnectionsAndExitsCleanly(t *testing.T) {
	const clients = 200
	p := servertest.Binary(t, servertest.Config(chat))
	token := p.Token("42")
	peers := make([]*peer, clients)
	for i := range peers {
		peers[i] = connect(t, p.WSURL, token)
	}
	peers[0].subscribe("chat:1", "")
	publish(t, p.URL, p.APIKey(), "chat:1", `1`)

	began := time.Now()
	p.Signal(syscall.SIGTERM)
	var closing sync.WaitGroup
	codes := make([]int, clients)
	for i, peer := range peers {
		closing.Go(func() { codes[i], _ = peer.closed() })
	}
	closing.Wait()
	select {
	case <-p.Ended():
	case <-time.After(limit):
		t.Fatalf("still running\n%s", p.Log())
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the stop took %v", took)
	}
	p.Stop(syscall.SIGTERM) // checks the exit code
	for i, code := range codes {
		if code != 3001 {
			t.Fatalf("client %d was closed with %d, want 3001 (shutdown, come back)", i, code)
		}
	}
	if !strings.Contains(p.Log(), `"msg":"stopped","streams":1,"publications":1`) {
		t.Errorf("what was kept is not told:\n%s", p.Log())
	}
}

func TestR37_NotReadyAndNoNewConnectionsWhileDraining(t *testing.T) {
	in := servertest.Start(t, servertest.Config(chat))
	if status, body := get(t, in.URL+"/readyz"); status != http.StatusOK {
		t.Errorf("readyz before: %d %s", status, body)
	}
	in.Stop()
	if _, err := dial(t, in.WSURL, ""); err == nil {
		t.Error("a connection was accepted after the stop")
	}
	if server.RunningURL(in.DataDir) != "" {
		t.Error("the data folder still names a running server")
	}
}

// A connection that is being opened when the stop begins is closed like the others.
func TestR37_StopWhileConnecting(t *testing.T) {
	for range 30 {
		in := servertest.Start(t, servertest.Config(chat))
		p, err := dial(t, in.WSURL, "")
		if err != nil {
			t.Fatal(err)
		}
		code := make(chan int, 1)
		go func() {
			c, _ := p.closed()
			code <- c
		}()
		began := time.Now()
		in.Stop()
		if got := <-code; got != 3001 {
			t.Errorf("closed with %d, want 3001", got)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Fatalf("the stop took %v", took)
		}
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	p := servertest.Binary(t, servertest.Config(chat))
	connect(t, p.WSURL, p.Token("42")) // does not read, so the closing handshake waits for it
	p.Signal(os.Interrupt)
	if _, found := p.Await(`"msg":"stopping"`, limit); !found {
		t.Fatalf("not stopping:\n%s", p.Log())
	}
	again := time.NewTicker(50 * time.Millisecond) // signals close to the first one count as the same
	defer again.Stop()
	for running := true; running; {
		select {
		case <-p.Ended():
			running = false
		case <-again.C:
			p.Signal(os.Interrupt)
		}
	}
	p.Kill() // it ended, and not with 0
	if !strings.Contains(p.Log(), "stopped at once") {
		t.Errorf("ended by itself:\n%s", p.Log())
	}
}

// A client that sends without end can neither keep others waiting nor the server running.
func TestR37_FloodDoesNotHoldTheStop(t *testing.T) {
	p := servertest.Binary(t, servertest.Config(chat))
	flood := connect(t, p.WSURL, p.Token("42"))
	flooding := make(chan struct{})
	go func() {
		defer close(flooding)
		for id := 3; ; id++ {
			message := fmt.Sprintf(`{"id":%d,"unsubscribe":{"channel":"x"}}`, id)
			if flood.conn.Write(t.Context(), websocket.MessageText, []byte(message)) != nil {
				return
			}
		}
	}()
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		for {
			if _, err := flood.read(); err != nil {
				return
			}
		}
	}()
	publish(t, p.URL, p.APIKey(), "chat:1", `1`)
	p.Stop(syscall.SIGTERM)
	<-flooding
	<-reading
}
