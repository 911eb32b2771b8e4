package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kuranty/kuranty/client"
	cli "github.com/kuranty/kuranty/internal/client"
	"github.com/kuranty/kuranty/internal/servertest"
)

const (
	// limit bounds everything a test waits for, on a loaded machine.
	limit  = 30 * time.Second
	secret = "a secret of the application"
	rules  = `{"client": {"token": {"hmac_secret_key": "` + secret + `", "issuer": "app", "audience": "here"}}, "channel": {"namespaces": [
		{"name": "room", "history_size": 10, "history_ttl": "1h", "presence": true, "allow_subscribe_for_client": true},
		{"name": "plain"}]}}`
)

// start runs a server and returns its client.
func start(t *testing.T) (*servertest.Instance, *client.Client) {
	t.Helper()
	in := servertest.Start(t, servertest.Config(rules))
	c, err := client.New(in.URL+"/", client.Options{APIKey: in.APIKey, TokenSecret: secret, Issuer: "app", Audience: "here"})
	if err != nil {
		t.Fatal(err)
	}
	return in, c
}

func code(err error) int {
	var e *client.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

func TestPublishAndHistory(t *testing.T) {
	_, c := start(t)
	ctx := t.Context()
	first, err := c.Publish(ctx, "room:1", map[string]string{"text": "<b>&"}, client.Tags(map[string]string{"a": "b"}))
	if err != nil || first.Offset != 1 || first.Epoch == "" {
		t.Fatalf("publish: %+v %v", first, err)
	}
	once, err := c.Publish(ctx, "room:1", []byte(`{ "spaced":  1 }`), client.IdempotencyKey("k"))
	again, err2 := c.Publish(ctx, "room:1", 0, client.IdempotencyKey("k"))
	if err != nil || err2 != nil || once != again || once.Offset != 2 {
		t.Errorf("with a key: %+v %v, %+v %v", once, err, again, err2)
	}
	if at, err := c.Publish(ctx, "room:1", "unseen", client.SkipHistory()); err != nil || at.Offset != 0 {
		t.Errorf("without history: %+v %v", at, err)
	}
	if at, err := c.Publish(ctx, "room:1", nil, client.Version(5, "e")); err != nil || at.Offset != 3 {
		t.Errorf("version 5: %+v %v", at, err)
	}
	if at, err := c.Publish(ctx, "room:1", "old", client.Version(4, "e")); err != nil || at.Offset != 3 {
		t.Errorf("version 4 after 5: %+v %v", at, err)
	}
	if at, err := c.Publish(ctx, "plain:1", json.RawMessage(`[1]`)); err != nil || at != (client.Position{}) {
		t.Errorf("channel without history: %+v %v", at, err)
	}

	h, err := c.History(ctx, "room:1", client.HistoryOptions{Limit: -1})
	if err != nil {
		t.Fatal(err)
	}
	want := client.History{Position: client.Position{Offset: 3, Epoch: first.Epoch}, Publications: []client.Publication{
		{Offset: 1, Data: json.RawMessage(`{"text":"<b>&"}`), Tags: map[string]string{"a": "b"}},
		{Offset: 2, Data: json.RawMessage(`{ "spaced":  1 }`)},
		{Offset: 3, Data: json.RawMessage(`null`)},
	}}
	if diff := cmp.Diff(want, h, sameJSON); diff != "" {
		t.Error(diff)
	}
	offsets := func(o client.HistoryOptions) (all []uint64) {
		h, err := c.History(ctx, "room:1", o)
		if err != nil || h.Position != want.Position {
			t.Errorf("%+v: %+v %v", o, h, err)
		}
		for _, p := range h.Publications {
			all = append(all, p.Offset)
		}
		return all
	}
	for _, tt := range []struct {
		o    client.HistoryOptions
		want []uint64
	}{
		{client.HistoryOptions{}, nil},
		{client.HistoryOptions{Limit: 2}, []uint64{1, 2}},
		{client.HistoryOptions{Limit: 2, Reverse: true}, []uint64{3, 2}},
		{client.HistoryOptions{Limit: -1, Since: &first}, []uint64{2, 3}},
		{client.HistoryOptions{Limit: -1, Since: &want.Position, Reverse: true}, []uint64{2, 1}},
	} {
		if diff := cmp.Diff(tt.want, offsets(tt.o)); diff != "" {
			t.Errorf("%+v:\n%s", tt.o, diff)
		}
	}
	_, err = c.History(ctx, "room:1", client.HistoryOptions{Since: &client.Position{Epoch: "other"}})
	if code(err) != client.CodeUnknownPosition {
		t.Errorf("another epoch: %v", err)
	}
}

// sameJSON compares JSON by what it means: the server may write it with other spaces
// and escapes.
var sameJSON = cmp.Transformer("json", func(raw json.RawMessage) (v any) {
	if len(raw) > 0 && json.Unmarshal(raw, &v) != nil {
		return string(raw)
	}
	return v
})

func TestBroadcast(t *testing.T) {
	_, c := start(t)
	got, err := c.Broadcast(t.Context(), []string{"room:1", "none:1", "plain:1"}, true)
	if err != nil || len(got) != 3 {
		t.Fatalf("%+v %v", got, err)
	}
	if got[0].Err != nil || got[0].Offset != 1 || got[1].Err == nil || got[1].Err.Code != client.CodeUnknownChannel || got[2].Err != nil {
		t.Errorf("results = %+v", got)
	}
	if _, err := c.Broadcast(t.Context(), nil, true); code(err) != client.CodeBadRequest {
		t.Errorf("no channels: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	in, c := start(t)
	ctx := t.Context()
	for name, err := range map[string]error{
		"presence":       errOf(c.Presence(ctx, "plain:1")),
		"presence stats": errOf(c.PresenceStats(ctx, "plain:1")),
		"history":        errOf(c.History(ctx, "plain:1", client.HistoryOptions{})),
	} {
		if code(err) != client.CodeNotAvailable {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.Publish(ctx, "none:1", 1); code(err) != client.CodeUnknownChannel {
		t.Errorf("unknown namespace: %v", err)
	}
	if _, err := c.Publish(ctx, "", 1); code(err) != client.CodeBadRequest {
		t.Errorf("no channel: %v", err)
	}
	if err := c.Disconnect(ctx, "", client.DisconnectOptions{}); !errors.Is(err, client.ErrNoUser) {
		t.Errorf("disconnect nobody: %v", err)
	}
	if err := c.Unsubscribe(ctx, "room:1", ""); !errors.Is(err, client.ErrNoUser) {
		t.Errorf("unsubscribe nobody: %v", err)
	}
	if err := c.Disconnect(ctx, "42", client.DisconnectOptions{Code: 1, Reason: "x"}); code(err) != client.CodeBadRequest {
		t.Errorf("code 1: %v", err)
	}
	var status *client.StatusError
	if err := c.Call(ctx, "fly", struct{}{}, nil); !errors.As(err, &status) || status.Status != 404 {
		t.Errorf("unknown method: %v", err)
	}
	for _, key := range []string{"", "wrong"} {
		other, err := client.New(in.URL, client.Options{APIKey: key})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.Publish(ctx, "room:1", 1); !errors.Is(err, client.ErrUnauthorized) {
			t.Errorf("key %q: %v", key, err)
		}
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := c.Publish(ended, "room:1", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: %v", err)
	}
}

func errOf[T any](_ T, err error) error { return err }

// A user gets in with the tokens made here, is seen with their info, and is put out.
func TestTokensAndPresence(t *testing.T) {
	in, c := start(t)
	ctx := t.Context()
	connection, err := c.ConnectionToken("42", map[string]string{"name": "Ada"}, 0)
	subscription, err2 := c.SubscriptionToken("42", "$room:1", "guest", time.Minute)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- cli.Subscribe(ctx, cli.SubscribeOptions{
			URL: in.URL, Channel: "$room:1",
			Token:        func() (string, error) { return connection, nil },
			ChannelToken: func() (string, error) { return subscription, nil },
			Publication:  func(*cli.Publication) error { return nil },
		})
	}()
	present := func() map[string]client.ClientInfo {
		t.Helper()
		for late := time.Now().Add(limit); time.Now().Before(late); {
			select {
			case err := <-ended:
				t.Fatalf("the subscriber ended: %v", err)
			default:
			}
			who, err := c.Presence(ctx, "$room:1")
			if err != nil {
				t.Fatal(err)
			}
			if len(who) > 0 {
				return who
			}
		}
		t.Fatal("nobody is subscribed")
		return nil
	}
	for id, info := range present() {
		want := client.ClientInfo{User: "42", Client: id, ConnInfo: json.RawMessage(`{"name":"Ada"}`), ChanInfo: json.RawMessage(`"guest"`)}
		if diff := cmp.Diff(want, info, sameJSON); diff != "" {
			t.Error(diff)
		}
		if err := c.Disconnect(ctx, "42", client.DisconnectOptions{Keep: []string{id}}); err != nil {
			t.Error(err)
		}
	}
	if n, err := c.PresenceStats(ctx, "$room:1"); err != nil || n != (client.PresenceStats{Clients: 1, Users: 1}) {
		t.Errorf("stats = %+v %v; a connection to keep was closed", n, err)
	}
	if err := c.Unsubscribe(ctx, "$room:1", "someone else"); err != nil {
		t.Error(err)
	}
	if err := c.Disconnect(ctx, "42", client.DisconnectOptions{Code: 4900, Reason: "enough"}); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err == nil {
			t.Error("the subscriber ended without a reason")
		}
	case <-time.After(limit):
		t.Error("the connection was not closed")
	}
}

func TestTokensAreBounded(t *testing.T) {
	c, err := client.New("http://a", client.Options{TokenSecret: secret})
	if err != nil {
		t.Fatal(err)
	}
	none, err := client.New("http://a", client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]func() (string, error){
		"no secret":       func() (string, error) { return none.ConnectionToken("1", nil, 0) },
		"no channel":      func() (string, error) { return c.SubscriptionToken("1", "", nil, 0) },
		"too short":       func() (string, error) { return c.ConnectionToken("1", nil, time.Millisecond) },
		"past":            func() (string, error) { return c.ConnectionToken("1", nil, -time.Hour) },
		"too long":        func() (string, error) { return c.ConnectionToken("1", nil, 366*24*time.Hour) },
		"too large":       func() (string, error) { return c.ConnectionToken("1", string(make([]byte, 8<<10)), 0) },
		"info of no JSON": func() (string, error) { return c.ConnectionToken("1", func() {}, 0) },
	} {
		if got, err := token(); err == nil || got != "" {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		token, err := c.ConnectionToken("", nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now().Unix()
		want := map[string]any{"sub": "", "aud": "kuranty", "iat": float64(now), "exp": float64(now + 3600)}
		if diff := cmp.Diff(want, claims(t, token)); diff != "" {
			t.Error(diff)
		}
	})
}
