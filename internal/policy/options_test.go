package policy_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/policy"
	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
)

func TestFeatures(t *testing.T) {
	all := protocol.SubscribeRequest{Channel: "x", Positioned: true, Recoverable: true, JoinLeave: true}
	history := policy.Namespace{HistorySize: 1, HistoryTTL: time.Minute}
	with := func(n policy.Namespace, change func(*policy.Namespace)) policy.Namespace {
		n.AllowSubscribeForClient, n.AllowSubscribeForAnonymous = true, true
		change(&n)
		return n
	}
	tests := []struct {
		name string
		n    policy.Namespace
		user string
		req  protocol.SubscribeRequest
		want string // p, r and j of the grant
	}{
		{"nothing allowed", with(history, func(*policy.Namespace) {}), "42", all, ""},
		{"nothing asked", with(history, func(n *policy.Namespace) {
			n.AllowPositioning, n.AllowRecovery, n.AllowHistoryForClient, n.JoinLeave, n.AllowPresenceForClient = true, true, true, true, true
		}), "42", protocol.SubscribeRequest{Channel: "x"}, ""},
		{"allow_positioning", with(history, func(n *policy.Namespace) { n.AllowPositioning = true }), "42", all, "p"},
		{"allow_recovery", with(history, func(n *policy.Namespace) { n.AllowRecovery = true }), "42", all, "pr"},
		{"recovery asked only", with(history, func(n *policy.Namespace) { n.AllowRecovery = true }), "42", protocol.SubscribeRequest{Channel: "x", Recoverable: true}, "pr"},
		{"recover without recoverable", with(history, func(n *policy.Namespace) { n.AllowRecovery = true }), "42", protocol.SubscribeRequest{Channel: "x", Recover: true}, ""},
		{"history for client", with(history, func(n *policy.Namespace) { n.AllowHistoryForClient = true }), "42", all, "pr"},
		{"history for subscriber", with(history, func(n *policy.Namespace) { n.AllowHistoryForSubscriber = true }), "42", all, "pr"},
		{"history for client, anonymous", with(history, func(n *policy.Namespace) { n.AllowHistoryForClient = true }), "", all, ""},
		{"history for anonymous", with(history, func(n *policy.Namespace) { n.AllowHistoryForClient, n.AllowHistoryForAnonymous = true, true }), "", all, "pr"},
		{"no history", with(policy.Namespace{}, func(n *policy.Namespace) { n.AllowRecovery = true }), "42", all, "pr"},
		{"force_positioning", with(history, func(n *policy.Namespace) { n.ForcePositioning = true }), "42", protocol.SubscribeRequest{Channel: "x"}, "p"},
		{"force_recovery", with(history, func(n *policy.Namespace) { n.ForceRecovery = true }), "42", protocol.SubscribeRequest{Channel: "x"}, "pr"},
		{"force_push_join_leave", with(history, func(n *policy.Namespace) { n.ForcePushJoinLeave = true }), "42", protocol.SubscribeRequest{Channel: "x"}, "j"},
		{"join_leave", with(history, func(n *policy.Namespace) { n.JoinLeave = true }), "42", all, ""},
		{"join_leave, presence for subscriber", with(history, func(n *policy.Namespace) { n.JoinLeave, n.AllowPresenceForSubscriber = true, true }), "42", all, "j"},
		{"presence without join_leave", with(history, func(n *policy.Namespace) { n.AllowPresenceForClient = true }), "42", all, ""},
		{"join_leave, presence for client, anonymous", with(history, func(n *policy.Namespace) { n.JoinLeave, n.AllowPresenceForClient = true, true }), "", all, ""},
	}
	letters := func(g realtime.Grant) (s string) {
		if g.Positioned {
			s += "p"
		}
		if g.Recoverable {
			s += "r"
		}
		if g.JoinLeave {
			s += "j"
		}
		return s
	}
	for _, tt := range tests {
		p := newPolicy(t, policy.Options{WithoutNamespace: tt.n})
		g, err := p.Subscribe(t.Context(), realtime.Client{User: tt.user}, &tt.req)
		if err != nil || letters(g) != tt.want {
			t.Errorf("%s: %q, %v, want %q", tt.name, letters(g), err, tt.want)
		}
	}
	// A token's override takes the place of what the namespace forces.
	forced := policy.Namespace{HistorySize: 1, HistoryTTL: time.Minute, Presence: true, ForceRecovery: true, ForcePushJoinLeave: true}
	p := newPolicy(t, policy.Options{WithoutNamespace: forced})
	is := func(on bool) claims { return claims{"value": on} }
	for want, override := range map[string]claims{
		"prj": {}, "j": {"force_recovery": is(false)}, "pj": {"force_recovery": is(false), "force_positioning": is(true)},
		"pr": {"force_push_join_leave": is(false), "presence": is(false)},
	} {
		token := sign(t, claims{"channel": "x", "override": override})
		g, err := p.Subscribe(t.Context(), realtime.Client{}, &protocol.SubscribeRequest{Channel: "x", Token: token})
		if err != nil || letters(g) != want || g.Options.Presence != (override["presence"] == nil) {
			t.Errorf("%v: %q, presence %t, %v, want %q", override, letters(g), g.Options.Presence, err, want)
		}
	}
}

func TestWrongOptionsAreNamed(t *testing.T) {
	n := func(n policy.Namespace) policy.Options { return policy.Options{WithoutNamespace: n} }
	tests := []struct {
		o    policy.Options
		want string
	}{
		{n(policy.Namespace{HistorySize: 1}), "channel.without_namespace.history_size"},
		{n(policy.Namespace{HistoryTTL: 1}), "channel.without_namespace.history_size"},
		{n(policy.Namespace{HistorySize: -1}), "history_size"},
		{n(policy.Namespace{HistorySize: 1, HistoryTTL: time.Hour, HistoryMetaTTL: time.Minute}), "history_meta_ttl"},
		{policy.Options{HistoryMetaTTL: time.Minute, WithoutNamespace: policy.Namespace{HistorySize: 1, HistoryTTL: time.Hour}}, "history_meta_ttl"},
		{n(policy.Namespace{ForceRecovery: true}), "force_recovery"},
		{n(policy.Namespace{ForceRecoveryMode: "all"}), "force_recovery_mode"},
		{n(policy.Namespace{AutoCacheRecover: true}), "auto_cache_recover"},
		{n(policy.Namespace{AutoCacheRecover: true, HistorySize: 1, HistoryTTL: time.Minute, ForceRecovery: true}), "auto_cache_recover"},
		{n(policy.Namespace{ChannelRegex: "("}), "channel_regex"},
		{n(policy.Namespace{PublicationDataFormat: "xml"}), "publication_data_format"},
		{policy.Options{PublicationDataFormat: "xml"}, "publication_data_format"},
		{policy.Options{Namespaces: []policy.Namespace{{Name: "a"}}}, "two or more"},
		{policy.Options{Namespaces: []policy.Namespace{{Name: "a:b"}}}, "two or more"},
		{policy.Options{Namespaces: []policy.Namespace{{Name: "aé"}}}, "two or more"},
		{policy.Options{Namespaces: []policy.Namespace{{}}}, "two or more"},
		{policy.Options{Namespaces: []policy.Namespace{{Name: "aa"}, {Name: "aa"}}}, `channel.namespaces["aa"].name`},
		{policy.Options{Namespaces: []policy.Namespace{{Name: "aa", HistorySize: 1}}}, `channel.namespaces["aa"].history_size`},
		{policy.Options{PrivatePrefix: ":"}, "channel.private_prefix and channel.namespace_boundary"},
		{policy.Options{UserSeparator: "#"}, "channel.user_separator"},
		{policy.Options{PersonalChannel: policy.PersonalChannel{Enabled: true, Namespace: "me"}}, "personal_channel_namespace"},
		{policy.Options{PersonalChannel: policy.PersonalChannel{Enabled: true, SingleConnection: true}}, "single_connection"},
	}
	for _, tt := range tests {
		p, err := policy.New(tt.o)
		if err == nil || p != nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error = %v, want %q in it", err, tt.want)
		}
	}
	_, err := policy.New(policy.Options{WithoutNamespace: policy.Namespace{HistorySize: 1}, Namespaces: []policy.Namespace{{Name: "?"}}})
	if err == nil || !strings.Contains(err.Error(), "history_size") || !strings.Contains(err.Error(), `"?"`) {
		t.Errorf("not all mistakes are named: %v", err)
	}
	good := []policy.Options{
		n(policy.Namespace{AutoCacheRecover: true, HistorySize: 1, HistoryTTL: time.Minute, ForceRecovery: true, ForceRecoveryMode: "cache"}),
		{PersonalChannel: policy.PersonalChannel{Namespace: "off"}},
		{WithoutNamespace: policy.Namespace{ForceRecovery: true}, Sources: func(string) realtime.Source { return nil }},
	}
	for _, o := range good {
		if _, err := policy.New(o); err != nil {
			t.Error(err)
		}
	}
}

func TestReplace(t *testing.T) {
	o := policy.Options{WithoutNamespace: policy.Namespace{AllowSubscribeForClient: true}}
	p := newPolicy(t, o)
	if err := p.Replace(policy.Options{Namespaces: []policy.Namespace{{Name: "?"}}}); err == nil {
		t.Error("wrong options are taken")
	}
	if got := subscribe(t, p, "42", "x"); got != "ok" {
		t.Errorf("after a failed replacement: %s", got)
	}
	// While the options change, every decision is by one of them.
	shut := policy.Options{Namespaces: []policy.Namespace{{Name: "ns", HistorySize: 1, HistoryTTL: time.Second}}}
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for range 2 {
		wg.Go(func() {
			for ctx.Err() == nil {
				_ = p.Replace(shut)
				_ = p.Replace(o)
			}
		})
	}
	for range 5000 {
		if opts, err := p.ChannelOptions("ns:x"); outcome(err) != "102" && opts.HistorySize != 1 {
			t.Fatalf("%+v, %v", opts, err)
		}
		if got := subscribe(t, p, "42", "x"); got != "ok" && got != "103" {
			t.Fatal(got)
		}
	}
	cancel()
	wg.Wait()
}

type source struct{ realtime.Source }

func TestSources(t *testing.T) {
	chat := &source{}
	p := newPolicy(t, policy.Options{
		WithoutNamespace: policy.Namespace{AllowSubscribeForClient: true, AllowHistoryForClient: true},
		Sources: func(channel string) realtime.Source {
			if channel == "chat" {
				return chat
			}
			return nil
		},
	})
	c := realtime.Client{User: "42"}
	if o, err := p.ChannelOptions("chat"); err != nil || o.Source != chat {
		t.Errorf("%+v, %v", o, err)
	}
	if g, err := p.Subscribe(t.Context(), c, &protocol.SubscribeRequest{Channel: "chat"}); err != nil || g.Options.Source != chat {
		t.Errorf("%+v, %v", g, err)
	}
	if err := p.History(t.Context(), c, "chat", false); err != nil {
		t.Error(err)
	}
	if err := p.History(t.Context(), c, "other", false); outcome(err) != "108" {
		t.Error(err)
	}
}

func FuzzChannel(f *testing.F) {
	for _, c := range []string{"", "x", "$chat:x", "#42", "me:#42", "dialog:x#1,2", ":", "$", "#", "\xff:#"} {
		f.Add(c, "42")
	}
	on := policy.Namespace{AllowSubscribeForClient: true, AllowUserLimitedChannels: true, HistorySize: 1, HistoryTTL: time.Minute}
	named := on
	named.Name = "me"
	p := newPolicy(f, policy.Options{
		WithoutNamespace: on, Namespaces: []policy.Namespace{named, {Name: "dialog", AllowUserLimitedChannels: true}},
		PersonalChannel: policy.PersonalChannel{Enabled: true},
	})
	f.Fuzz(func(t *testing.T, channel, user string) {
		_, unknown := p.ChannelOptions(channel)
		got := subscribe(t, p, user, channel)
		switch {
		case (unknown != nil) != (got == "102"):
			t.Fatalf("%q: %v, but %s", channel, unknown, got)
		case got == "ok" && (user == "" || strings.HasPrefix(channel, "$") || strings.HasPrefix(channel, "#") && channel != "#"+user):
			t.Fatalf("%q may subscribe to %q", user, channel)
		}
		_ = p.Publish(t.Context(), realtime.Client{User: user}, channel, []byte("1"), true)
		_, _ = p.Connect(t.Context(), connecting(&protocol.ConnectRequest{Subs: map[string]*protocol.SubscribeRequest{channel: nil}}))
	})
}

func BenchmarkChannelOptions(b *testing.B) {
	p := newPolicy(b, policy.Options{Namespaces: []policy.Namespace{{Name: "chat"}, {Name: "news"}}})
	for _, channel := range []string{"index", "chat:index", "$chat:index"} {
		b.Run("channel="+channel, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.ChannelOptions(channel); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSubscribe(b *testing.B) {
	p := newPolicy(b, policy.Options{Namespaces: []policy.Namespace{{Name: "chat", AllowSubscribeForClient: true}}})
	c := realtime.Client{ID: "c", User: "42"}
	for name, req := range map[string]*protocol.SubscribeRequest{
		"none":  {Channel: "chat:index"},
		"HS256": {Channel: "chat:index", Token: sign(b, claims{"sub": "42", "channel": "chat:index"})},
	} {
		b.Run("token="+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Subscribe(b.Context(), c, req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkConnect(b *testing.B) {
	for _, n := range []int{0, 1} {
		b.Run(fmt.Sprint("token=HS256,subs=", n), func(b *testing.B) {
			p := newPolicy(b, policy.Options{})
			in := connecting(&protocol.ConnectRequest{Token: sign(b, claims{"sub": "42", "exp": in(3600), "channels": many(n)})})
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Connect(b.Context(), in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
