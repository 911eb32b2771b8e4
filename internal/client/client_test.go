package client_test

import (
	"context"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/client"
	"github.com/kuranty/kuranty/internal/servertest"
)

const (
	limit = 30 * time.Second
	rules = `{"channel": {"namespaces": [
		{"name": "chat", "history_size": 10, "history_ttl": "1h", "force_recovery": true, "allow_subscribe_for_client": true},
		{"name": "plain", "allow_subscribe_for_client": true}, {"name": "closed"}]}}`
)

func TestCall(t *testing.T) {
	in := servertest.Start(t, servertest.Config(rules))
	api := client.API{URL: in.URL + "/", Key: in.APIKey}
	var at struct{ Offset uint64 }
	params := map[string]any{"channel": "chat:1", "data": 1}
	if err := api.Call(t.Context(), "publish", params, &at); err != nil || at.Offset != 1 {
		t.Errorf("publish: %+v %v", at, err)
	}
	for name, c := range map[string]struct {
		api     client.API
		method  string
		channel string
		want    string
	}{
		"wrong key":         {client.API{URL: in.URL, Key: "canary-key"}, "publish", "chat:1", "refused the API key"},
		"no key":            {client.API{URL: in.URL}, "publish", "chat:1", "refused the API key"},
		"unknown namespace": {api, "publish", "none:1", "error 102, unknown channel: the configuration has no namespace"},
		"no history":        {api, "history", "plain:1", "error 108"},
		"no presence":       {api, "presence", "plain:1", "error 108"},
		"unknown method":    {api, "fly", "chat:1", "nothing at " + in.URL + "/api/fly"},
		"elsewhere":         {client.API{URL: in.URL, Prefix: "/other"}, "publish", "chat:1", "nothing at"},
		"no server":         {client.API{URL: "http://127.0.0.1:1", Key: "canary-key"}, "publish", "chat:1", "start one with kuranty serve"},
		"no address":        {client.API{URL: "::"}, "publish", "chat:1", `"::" is no address`},
		"no scheme":         {client.API{URL: "localhost"}, "publish", "chat:1", "looks like http://"},
	} {
		err := c.api.Call(t.Context(), c.method, map[string]any{"channel": c.channel, "data": 1}, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if err := client.Healthy(t.Context(), in.URL); err != nil {
		t.Errorf("healthy server: %v", err)
	}
	in.Stop()
	if err := client.Healthy(t.Context(), in.URL); err == nil {
		t.Error("a server that stopped is healthy")
	}
}

func TestSubscribeRefused(t *testing.T) {
	in := servertest.Start(t, servertest.Config(rules))
	token := func() (string, error) { return in.Token("42"), nil }
	for name, c := range map[string]struct {
		o    client.SubscribeOptions
		want string
	}{
		"no token":          {client.SubscribeOptions{URL: in.URL, Channel: "chat:1"}, "3501"},
		"bad token":         {client.SubscribeOptions{URL: in.URL, Channel: "chat:1", Token: func() (string, error) { return "x", nil }}, "3500"},
		"no permission":     {client.SubscribeOptions{URL: in.URL, Channel: "closed:1", Token: token}, "error 103"},
		"unknown namespace": {client.SubscribeOptions{URL: in.URL, Channel: "none:1", Token: token}, "error 102"},
		"no server":         {client.SubscribeOptions{URL: "http://127.0.0.1:1", Channel: "chat:1", Token: token}, "start one with kuranty serve"},
		"no address":        {client.SubscribeOptions{URL: "nonsense", Channel: "chat:1", Token: token}, "looks like http://"},
		"no WebSocket":      {client.SubscribeOptions{URL: in.URL, Path: "/nothing", Channel: "chat:1", Token: token}, "reach " + in.URL},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		err := client.Subscribe(ctx, c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		cancel()
	}
}

// A subscriber lives through a restart that keeps its stream, and one that loses it,
// of which it is told.
func TestSubscribeComesBack(t *testing.T) {
	kept := servertest.DataDir(t.TempDir())
	in := servertest.Start(t, servertest.Config(rules), kept)
	address, err := url.Parse(in.URL)
	if err != nil {
		t.Fatal(err)
	}
	port := servertest.Flag("http_server.port", address.Port())
	secret, err := in.Server.Token("42", nil) // of the first data folder
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	token := secret
	came := make(chan string)
	notices := make(chan string, 100)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- client.Subscribe(ctx, client.SubscribeOptions{
			URL: in.URL, Channel: "chat:1",
			Token:       func() (string, error) { mu.Lock(); defer mu.Unlock(); return token, nil },
			Publication: func(p *client.Publication) error { came <- string(p.Data); return nil },
			Notice:      func(text string) { notices <- text },
		})
	}()
	subscribed := func(in *servertest.Instance) {
		t.Helper()
		api := client.API{URL: in.URL, Key: in.APIKey}
		for late := time.Now().Add(limit); time.Now().Before(late); {
			var r struct{ Channels map[string]any }
			if err := api.Call(ctx, "channels", map[string]any{}, &r); err != nil {
				t.Fatal(err)
			}
			if len(r.Channels) == 1 {
				return
			}
		}
		t.Fatal("not subscribed")
	}
	publish := func(in *servertest.Instance, data string) {
		t.Helper()
		api := client.API{URL: in.URL, Key: in.APIKey}
		if err := api.Call(ctx, "publish", map[string]any{"channel": "chat:1", "data": data}, nil); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want string) {
		t.Helper()
		select {
		case got := <-came:
			if got != `"`+want+`"` {
				t.Errorf("got %s, want %s", got, want)
			}
		case err := <-ended:
			t.Fatalf("ended: %v", err)
		case <-time.After(limit):
			t.Fatalf("%s did not come", want)
		}
	}

	subscribed(in)
	publish(in, "live")
	expect("live")
	in.Stop()
	in = servertest.Start(t, servertest.Config(rules), kept, port)
	publish(in, "missed or live")
	expect("missed or live")
	in.Stop()

	other := servertest.DataDir(t.TempDir())
	in = servertest.Start(t, servertest.Config(rules), other) // makes the secrets of the new folder
	mu.Lock()
	token = in.Token("42")
	mu.Unlock()
	in.Stop()
	in = servertest.Start(t, servertest.Config(rules), other, port)
	subscribed(in)
	publish(in, "of another stream")
	expect("of another stream")
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
	close(notices)
	var all []string
	for n := range notices {
		all = append(all, n)
	}
	if text := strings.Join(all, "\n"); strings.Count(text, "publications were missed") != 1 || !strings.Contains(text, "connecting again") {
		t.Errorf("notices:\n%s", text)
	}
}
