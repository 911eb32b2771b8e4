package client_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/kuranty/kuranty/client"
)

// What is sent, to the byte (server-api.md §3).
func TestWhatIsSent(t *testing.T) {
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got = r.Method + " " + r.URL.Path + " " + string(body)
		if r.Header.Get("X-API-Key") != "key" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("header = %v", r.Header)
		}
		_, _ = io.WriteString(w, `{"result":{}}`)
	}))
	defer server.Close()
	c, err := client.New(server.URL, client.Options{APIKey: "key"})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for _, tt := range []struct {
		call func() error
		want string
	}{
		{func() error { return errOf(c.Publish(ctx, "a", "<&>")) }, `publish {"channel":"a","data":"<&>"}`},
		{func() error { return errOf(c.Publish(ctx, "a", nil)) }, `publish {"channel":"a","data":null}`},
		{func() error { return errOf(c.Publish(ctx, "a", []byte("\xff{"))) }, `publish {"channel":"a","b64data":"/3s="}`},
		{func() error {
			return errOf(c.Publish(ctx, "a", 1, client.SkipHistory(), client.Tags(map[string]string{"t": "v"}), client.IdempotencyKey("k"), client.Version(2, "e")))
		}, `publish {"channel":"a","data":1,"skip_history":true,"tags":{"t":"v"},"idempotency_key":"k","version":2,"version_epoch":"e"}`},
		{func() error { _, _ = c.Broadcast(ctx, []string{"a", "b"}, 1, client.SkipHistory()); return nil }, `broadcast {"channels":["a","b"],"data":1,"skip_history":true}`},
		{func() error { return errOf(c.Presence(ctx, "a")) }, `presence {"channel":"a"}`},
		{func() error { return errOf(c.PresenceStats(ctx, "a")) }, `presence_stats {"channel":"a"}`},
		{func() error { return errOf(c.History(ctx, "a", client.HistoryOptions{})) }, `history {"channel":"a"}`},
		{func() error {
			return errOf(c.History(ctx, "a", client.HistoryOptions{Limit: -1, Since: &client.Position{Offset: 7, Epoch: "e"}, Reverse: true}))
		}, `history {"channel":"a","limit":-1,"since":{"offset":7,"epoch":"e"},"reverse":true}`},
		{func() error { return c.Unsubscribe(ctx, "a", "42") }, `unsubscribe {"channel":"a","user":"42"}`},
		{func() error { return c.Disconnect(ctx, "42", client.DisconnectOptions{}) }, `disconnect {"user":"42"}`},
		{func() error {
			return c.Disconnect(ctx, "42", client.DisconnectOptions{Client: "c", Keep: []string{"d"}, Code: 4001, Reason: "r"})
		}, `disconnect {"user":"42","client":"c","whitelist":["d"],"disconnect":{"code":4001,"reason":"r"}}`},
	} {
		if err := tt.call(); err != nil {
			t.Error(err)
		}
		if want := "POST /api/" + tt.want; got != want {
			t.Errorf("sent %s\nwant %s", got, want)
		}
	}
}
