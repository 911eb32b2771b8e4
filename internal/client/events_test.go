package client_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/client"
	"github.com/kuranty/kuranty/internal/servertest"
)

// A stream goes on after the last event when its server comes back.
func TestEventsSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	start := func(port string) *servertest.Instance {
		return servertest.Start(t, servertest.DataDir(dir), servertest.Config(`{"events": {"types": ["order.paid"]}}`), servertest.Flag("http_server.port", port))
	}
	in := start("0")
	address, err := url.Parse(in.URL)
	if err != nil {
		t.Fatal(err)
	}
	rest := client.REST{URL: in.URL, Key: in.APIKey, Prefix: "/v1"}
	send := func(n int) {
		t.Helper()
		if err := rest.Call(t.Context(), "POST", "/events", map[string]any{"type": "order.paid", "data": map[string]int{"n": n}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	send(0)
	var page struct{ Next string }
	if err := rest.Call(t.Context(), "GET", "/events?newest=true", nil, &page); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	got, ended := make(chan string, 10), make(chan error, 1)
	go func() {
		ended <- client.Events(ctx, client.EventsOptions{
			URL: in.URL, Key: in.APIKey, Query: url.Values{"events": {"order.*"}}, LastEventID: page.Next,
			Event: func(typ string, event []byte) error { got <- typ + " " + string(event); return nil },
		})
	}()
	want := func(data string) {
		t.Helper()
		select {
		case e := <-got:
			if !strings.HasPrefix(e, "order.paid ") || !strings.HasSuffix(e, `"data":`+data+"}") {
				t.Fatalf("%s, want %s", e, data)
			}
		case err := <-ended:
			t.Fatal(err)
		case <-ctx.Done():
			t.Fatal("no event", data)
		}
	}
	send(1)
	want(`{"n":1}`)
	in.Stop()
	in = start(address.Port())
	send(2)
	want(`{"n":2}`)
	send(3)
	want(`{"n":3}`)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}

	ctx, cancel = context.WithTimeout(t.Context(), limit)
	defer cancel()
	go func() {
		ended <- client.Events(ctx, client.EventsOptions{
			URL: in.URL, Key: in.APIKey, Query: url.Values{"events": {"order.*"}}, LastEventID: client.Beginning,
			Event:  func(typ string, event []byte) error { got <- typ + " " + string(event); return nil },
			Notice: func(text string) { t.Errorf("from the beginning: %s", text) },
		})
	}()
	for n := range 4 {
		want(fmt.Sprintf(`{"n":%d}`, n))
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestEventsRefused(t *testing.T) {
	in := servertest.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, c := range []struct{ url, key, events, want string }{
		{in.URL, "canary-key", "", "refused the API key"},
		{in.URL, in.APIKey, "no.such", "events name nothing that exists"},
		{"http://127.0.0.1:1", in.APIKey, "", "start one with kuranty serve"},
	} {
		err := client.Events(ctx, client.EventsOptions{URL: c.url, Key: c.key, Query: url.Values{"events": {c.events}}, Event: func(string, []byte) error { return nil }})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}
