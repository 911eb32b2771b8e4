package policy_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/policy"
	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
)

func connecting(req *protocol.ConnectRequest) realtime.Connecting {
	return realtime.Connecting{Client: "c", Request: req}
}

func TestConnectOrder(t *testing.T) {
	header := func(in realtime.Connecting) realtime.Connecting {
		in.Peer.Headers = map[string][]string{"X-User": {"7"}}
		return in
	}
	none := connecting(&protocol.ConnectRequest{})
	good := connecting(&protocol.ConnectRequest{Token: sign(t, claims{"sub": "42", "exp": in(60)})})
	anonymous := connecting(&protocol.ConnectRequest{Token: sign(t, claims{"sub": ""})})
	expired := connecting(&protocol.ConnectRequest{Token: sign(t, claims{"sub": "42", "exp": 1})})
	early := connecting(&protocol.ConnectRequest{Token: sign(t, claims{"sub": "42", "nbf": in(600)})})
	bad := connecting(&protocol.ConnectRequest{Token: good.Request.Token[1:]})
	number := connecting(&protocol.ConnectRequest{Token: sign(t, claims{"sub": 42})})
	subToken := connecting(&protocol.ConnectRequest{Token: sign(t, claims{"sub": "42", "channel": "x"})})
	badInfo := connecting(&protocol.ConnectRequest{Token: sign(t, claims{"b64info": "!"})})
	options := map[string]policy.Options{
		"nothing":   {},
		"anonymous": {AllowAnonymous: true},
		"insecure":  {Insecure: true},
		"header":    {UserIDHeader: "x-user"},
		"all":       {AllowAnonymous: true, Insecure: true, UserIDHeader: "X-User", DisallowAnonymousTokens: true},
	}
	tests := []struct {
		name string
		in   realtime.Connecting
		want map[string]string // by options; "user 42" or an outcome; "" is for the rest
	}{
		{"none", none, map[string]string{"anonymous": "user ", "insecure": "user ", "all": "user ", "": "close 3501"}},
		{"header", header(none), map[string]string{"anonymous": "user ", "insecure": "user ", "all": "user ", "header": "user 7", "": "close 3501"}},
		{"token", good, map[string]string{"": "user 42"}},
		{"token and header", header(good), map[string]string{"": "user 42"}},
		{"anonymous token", anonymous, map[string]string{"all": "close 3507", "": "user "}},
		{"expired", header(expired), map[string]string{"": "109"}},
		{"early", early, map[string]string{"": "109"}},
		{"bad", header(bad), map[string]string{"": "close 3500"}},
		{"number", number, map[string]string{"": "close 3500"}},
		{"subscription token", subToken, map[string]string{"": "close 3500"}},
		{"bad base64", badInfo, map[string]string{"": "100"}},
	}
	for name, o := range options {
		p := newPolicy(t, o)
		for _, tt := range tests {
			want, ok := tt.want[name]
			if !ok {
				want = tt.want[""]
			}
			cred, err := p.Connect(t.Context(), tt.in)
			got := outcome(err)
			if err == nil {
				got = "user " + cred.User
			}
			if got != want {
				t.Errorf("%s with %s: %s, want %s", tt.name, name, got, want)
			}
			if o.Insecure && cred.ExpireAt != 0 {
				t.Errorf("%s with %s expires", tt.name, name)
			}
		}
	}
	// No key at all: every token is invalid.
	for _, tokens := range []*identity.Verifier{nil, {}} {
		p, err := policy.New(policy.Options{Tokens: tokens, AllowAnonymous: true, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Connect(t.Context(), good); outcome(err) != "close 3500" {
			t.Errorf("without keys: %v", err)
		}
		_, err = p.Subscribe(t.Context(), realtime.Client{}, &protocol.SubscribeRequest{Channel: "x", Token: good.Request.Token})
		if outcome(err) != "103" {
			t.Errorf("subscription without keys: %v", err)
		}
	}
}

func TestUnavailableKeysAreTemporary(t *testing.T) {
	v, err := identity.NewVerifier(identity.VerifierOptions{JWKSEndpoint: "http://127.0.0.1:1/keys"})
	if err != nil {
		t.Fatal(err)
	}
	p := newPolicy(t, policy.Options{Tokens: v, AllowAnonymous: true})
	// {"alg":"EdDSA","kid":"a"}.{"sub":"42"}
	token := "eyJhbGciOiJFZERTQSIsImtpZCI6ImEifQ.eyJzdWIiOiI0MiJ9.AAAA"
	c := realtime.Client{ID: "c", User: "42"}
	_, connect := p.Connect(t.Context(), connecting(&protocol.ConnectRequest{Token: token}))
	_, refresh := p.Refresh(t.Context(), c, token)
	_, subscribe := p.Subscribe(t.Context(), c, &protocol.SubscribeRequest{Channel: "x", Token: token})
	_, subRefresh := p.SubRefresh(t.Context(), c, "x", token)
	for i, err := range []error{connect, refresh, subscribe, subRefresh} {
		var refusal *protocol.Error
		if !errors.As(err, &refusal) || refusal.Code != 100 || !refusal.Temporary {
			t.Errorf("command %d: %v", i, err)
		}
	}
}

func TestTokenCredentials(t *testing.T) {
	p := newPolicy(t, policy.Options{
		Namespaces: []policy.Namespace{{
			Name: "ns", Presence: true, HistorySize: 5, HistoryTTL: time.Minute, ForceRecovery: true, ForcePushJoinLeave: true,
		}},
	})
	exp := in(60)
	cred, err := p.Connect(t.Context(), connecting(&protocol.ConnectRequest{Token: sign(t, claims{
		"sub": "42", "exp": exp, "info": claims{"a": 1}, "meta": claims{"b": 2}, "channels": []string{"ignored"},
		"subs": claims{
			"$x#7": claims{"info": 1, "data": 2, "override": claims{"force_positioning": claims{"value": true}}},
			"ns:é": claims{"override": claims{"force_recovery": claims{"value": false}, "presence": claims{"value": false}}},
			"ns:b": nil,
		},
	})}))
	if err != nil {
		t.Fatal(err)
	}
	ns := realtime.ChannelOptions{
		Presence: true, HistorySize: 5, HistoryTTL: time.Minute, HistoryMetaTTL: 720 * time.Hour, ForceRecovery: true, ForcePushJoinLeave: true,
	}
	changed := ns
	changed.Presence, changed.ForceRecovery = false, false
	want := realtime.Credentials{
		User: "42", ExpireAt: exp, Info: []byte(`{"a":1}`), Meta: []byte(`{"b":2}`), TokenSubs: []string{"$x#7", "ns:b", "ns:é"},
		Subs: map[string]realtime.Grant{
			"$x#7": {
				Options: realtime.ChannelOptions{HistoryMetaTTL: 720 * time.Hour, ForcePositioning: true},
				Info:    []byte("1"), Data: []byte("2"), Positioned: true,
			},
			"ns:b": {Options: ns, Positioned: true, Recoverable: true, JoinLeave: true},
			"ns:é": {Options: changed, JoinLeave: true},
		},
	}
	if diff := cmp.Diff(want, cred); diff != "" {
		t.Error(diff)
	}
	for name, tt := range map[string]struct {
		claims claims
		want   string
	}{
		"repeated":          {claims{"channels": []string{"b", "a", "b"}}, "ok"},
		"unknown namespace": {claims{"channels": []string{"nope:x"}}, "102"},
		"unknown in subs":   {claims{"subs": claims{"nope:x": nil}}, "102"},
		"empty name":        {claims{"channels": []string{""}}, "102"},
		"bad base64":        {claims{"subs": claims{"a": claims{"b64info": "!"}}}, "close 3500"},
		"data of bytes":     {claims{"subs": claims{"a": claims{"b64data": "/w=="}}}, "close 3506"},
		"128 channels":      {claims{"channels": many(128)}, "ok"},
		"129 channels":      {claims{"channels": many(129)}, "close 3505"},
		"long name":         {claims{"channels": []string{strings.Repeat("x", 300)}}, "ok"},
	} {
		cred, err := p.Connect(t.Context(), connecting(&protocol.ConnectRequest{Token: sign(t, tt.claims)}))
		if outcome(err) != tt.want {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
		if name == "repeated" && !slices.Equal(cred.TokenSubs, []string{"a", "b"}) {
			t.Errorf("%s: %q", name, cred.TokenSubs)
		}
	}
	// Clients of the binary format may get bytes.
	in := connecting(&protocol.ConnectRequest{Token: sign(t, claims{"subs": claims{"a": claims{"b64data": "/w=="}}})})
	in.Format = protocol.Protobuf
	if cred, err := p.Connect(t.Context(), in); err != nil || !bytes.Equal(cred.Subs["a"].Data, []byte{0xff}) {
		t.Errorf("%+v, %v", cred, err)
	}
}

func many(n int) (channels []string) {
	for i := range n {
		channels = append(channels, fmt.Sprint("c", i))
	}
	return channels
}

func TestPersonalChannel(t *testing.T) {
	ns := policy.Namespace{Name: "me", Presence: true, HistorySize: 1, HistoryTTL: time.Minute, ForceRecovery: true}
	connect := func(t *testing.T, o policy.Options, c claims) realtime.Credentials {
		t.Helper()
		cred, err := newPolicy(t, o).Connect(t.Context(), connecting(&protocol.ConnectRequest{Token: sign(t, c)}))
		if err != nil {
			t.Fatal(err)
		}
		return cred
	}
	o := policy.Options{PersonalChannel: policy.PersonalChannel{Enabled: true}, Namespaces: []policy.Namespace{ns}}
	cred := connect(t, o, claims{"sub": "42"})
	if _, ok := cred.Subs["#42"]; !ok || len(cred.Subs) != 1 || len(cred.TokenSubs) != 0 || cred.OnlyConnection {
		t.Errorf("%+v", cred)
	}
	// A boundary in the user's name does not make a namespace of it.
	if cred = connect(t, o, claims{"sub": "a:b#c"}); len(cred.Subs) != 1 {
		t.Errorf("%+v", cred)
	}
	if _, err := newPolicy(t, o).ChannelOptions("#a:b#c"); err != nil {
		t.Errorf("the personal channel has no options: %v", err)
	}
	if cred = connect(t, o, claims{}); len(cred.Subs) != 0 {
		t.Errorf("anonymous: %+v", cred)
	}
	o.PersonalChannel.Namespace, o.PersonalChannel.SingleConnection = "me", true
	if cred = connect(t, o, claims{"sub": "42"}); !cred.Subs["me:#42"].Recoverable || !cred.OnlyConnection {
		t.Errorf("%+v", cred)
	}
	if cred = connect(t, o, claims{}); cred.OnlyConnection {
		t.Error("the anonymous user may have one connection")
	}
	// What the token says of the channel stays.
	if cred = connect(t, o, claims{"sub": "42", "subs": claims{"me:#42": claims{"data": 1}}}); string(cred.Subs["me:#42"].Data) != "1" {
		t.Errorf("%+v", cred)
	}
	o.ChannelLimit = 1
	_, err := newPolicy(t, o).Connect(t.Context(), connecting(&protocol.ConnectRequest{Token: sign(t, claims{"sub": "42", "channels": []string{"x"}})}))
	if outcome(err) != "close 3505" {
		t.Errorf("one channel too many: %v", err)
	}
}

// A client must not open another user's personal channel, whatever the namespace
// allows and in whatever way it asks.
func TestS18_PersonalChannelsAreTheirUsers(t *testing.T) {
	for _, limited := range []bool{false, true} {
		for _, namespace := range []string{"", "me"} {
			open := policy.Namespace{
				AllowSubscribeForClient: true, AllowSubscribeForAnonymous: true, AllowUserLimitedChannels: limited,
			}
			named := open
			named.Name = "me"
			p := newPolicy(t, policy.Options{
				WithoutNamespace: open, Namespaces: []policy.Namespace{named},
				PersonalChannel: policy.PersonalChannel{Enabled: true, Namespace: namespace},
			})
			prefix := "#"
			if namespace != "" {
				prefix = namespace + ":#"
			}
			for user, names := range map[string]map[string]string{
				"42":  {"42": "ok", "7": "103", "": "103", "7,42": "103", "7#42": "103", "42#": "103", "42:x": "103"},
				"7,8": {"7,8": "103 or ok", "7": "103"},
				"":    {"": "103", "42": "103"},
			} {
				for name, want := range names {
					if got := subscribe(t, p, user, prefix+name); !strings.Contains(want, got) {
						t.Errorf("%q subscribes to %q: %s, want %s (user-limited: %t)", user, prefix+name, got, want, limited)
					}
					cred, err := p.Connect(t.Context(), connecting(&protocol.ConnectRequest{
						Token: sign(t, claims{"sub": user}),
						Subs:  map[string]*protocol.SubscribeRequest{prefix + name: {}},
					}))
					_, in := cred.Subs[prefix+name]
					if err != nil || in != (user != "" && name == user) {
						t.Errorf("%q asks for %q while connecting: %t, %v", user, prefix+name, in, err)
					}
				}
			}
		}
	}
}

func TestRequestedChannels(t *testing.T) {
	o := policy.Options{
		UserIDHeader: "X-User", MaxLength: 20,
		WithoutNamespace: policy.Namespace{HistorySize: 1, HistoryTTL: time.Minute, AllowRecovery: true},
		Namespaces: []policy.Namespace{
			{Name: "open", AllowSubscribeForClient: true, HistorySize: 1, HistoryTTL: time.Minute, ForceRecovery: true},
			{Name: "list", AllowUserLimitedChannels: true},
		},
	}
	asks := map[string]*protocol.SubscribeRequest{
		"x": nil, "open:x": {Recoverable: true, Positioned: true, JoinLeave: true}, "$open:x": {}, "open:é": {}, "": {},
		"list:x#42": {}, "list:x#7": {}, "open:type": {Type: 1}, "open:" + strings.Repeat("x", 16): {}, "given": {},
	}
	token := sign(t, claims{"sub": "42", "channels": []string{"given"}})
	channels := func(o policy.Options, in realtime.Connecting) string {
		in.Request.Subs = asks
		cred, err := newPolicy(t, o).Connect(t.Context(), in)
		if err != nil {
			return outcome(err)
		}
		if g := cred.Subs["open:x"]; len(cred.Subs) > 1 && (!g.Recoverable || g.JoinLeave) {
			t.Errorf("granted %+v", g)
		}
		var names []string
		for c := range cred.Subs {
			names = append(names, c)
		}
		slices.Sort(names)
		return strings.Join(names, " ")
	}
	withToken := connecting(&protocol.ConnectRequest{Token: token})
	if got := channels(o, withToken); got != "given list:x#42 open:x" {
		t.Errorf("with a token: %s", got)
	}
	byHeader := connecting(&protocol.ConnectRequest{})
	byHeader.Peer.Headers = map[string][]string{"X-User": {"42"}}
	if got := channels(o, byHeader); got != "" {
		t.Errorf("user of a header: %s", got)
	}
	o.AllowAnonymous = true
	if got := channels(o, connecting(&protocol.ConnectRequest{})); got != "" {
		t.Errorf("anonymous: %s", got)
	}
	o.Insecure = true
	if got := channels(o, connecting(&protocol.ConnectRequest{})); got != "given list:x#42 list:x#7 open:x x" {
		t.Errorf("insecure: %s", got)
	}
	asks = map[string]*protocol.SubscribeRequest{"nope:x": {}}
	if got := channels(o, withToken); got != "close 3501" {
		t.Errorf("unknown namespace: %s", got)
	}
	// One that the token gives is not looked at again.
	asks = map[string]*protocol.SubscribeRequest{"given": {Type: 7}}
	if got := channels(o, withToken); got != "given" {
		t.Errorf("given: %s", got)
	}
}

func TestRefresh(t *testing.T) {
	p := newPolicy(t, policy.Options{})
	c := realtime.Client{ID: "c", User: "42"}
	exp := in(60)
	cred, err := p.Refresh(t.Context(), c, sign(t, claims{"sub": "42", "exp": exp, "info": 1, "meta": claims{}, "channels": []string{"b", "a"}}))
	want := realtime.Credentials{User: "42", ExpireAt: exp, Info: []byte("1"), Meta: []byte("{}"), TokenSubs: []string{"a", "b"}}
	if diff := cmp.Diff(want, cred); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if cred, err = p.Refresh(t.Context(), c, sign(t, claims{"sub": "42"})); err != nil || cred.ExpireAt != 0 || cred.Info != nil || cred.Meta != nil {
		t.Errorf("%+v, %v", cred, err)
	}
	for want, token := range map[string]string{
		"close 3501":              "",
		"close 3500":              "x",
		"close 3500 ":             sign(t, claims{"sub": "43"}),
		"close 3500  ":            sign(t, claims{}),
		"close 3500   ":           sign(t, claims{"sub": "42", "b64info": "!"}),
		"close 3500    ":          sign(t, claims{"sub": "42", "channel": "x"}),
		"close 3005":              sign(t, claims{"sub": "42", "exp": 1}),
		"close 3005 ":             sign(t, claims{"sub": "42", "nbf": in(600)}),
		"close 3005  other user ": sign(t, claims{"sub": "43", "exp": 1}),
		"102":                     sign(t, claims{"sub": "42", "channels": []string{"nope:x"}}),
	} {
		if _, err := p.Refresh(t.Context(), c, token); !strings.HasPrefix(want, outcome(err)) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestSubRefresh(t *testing.T) {
	p := newPolicy(t, policy.Options{})
	c := realtime.Client{ID: "c", User: "42"}
	exp := in(60)
	g, err := p.SubRefresh(t.Context(), c, "$x", sign(t, claims{"sub": "42", "channel": "$x", "exp": exp, "info": 1}))
	if err != nil || g.ExpireAt != exp || string(g.Info) != "1" {
		t.Errorf("%+v, %v", g, err)
	}
	if g, err = p.SubRefresh(t.Context(), c, "$x", sign(t, claims{"sub": "42", "channel": "$x"})); err != nil || g.ExpireAt != 0 || g.Info != nil {
		t.Errorf("%+v, %v", g, err)
	}
	for want, token := range map[string]string{
		"107":            "",
		"close 3500":     "x",
		"close 3500 ":    sign(t, claims{"sub": "43", "channel": "$x"}),
		"close 3500  ":   sign(t, claims{"sub": "42", "channel": "x"}),
		"close 3500   ":  sign(t, claims{"sub": "42"}),
		"close 3500    ": sign(t, claims{"sub": "42", "channel": "$x", "client": "d"}),
		"close 3006":     sign(t, claims{"sub": "42", "channel": "$x", "exp": 1}),
	} {
		if _, err := p.SubRefresh(t.Context(), c, "$x", token); !strings.HasPrefix(want, outcome(err)) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestSubscriptionTokensHaveTheirOwnKeys(t *testing.T) {
	other, err := identity.NewVerifier(identity.VerifierOptions{HMACSecret: "another"})
	if err != nil {
		t.Fatal(err)
	}
	token := sign(t, claims{"sub": "42", "channel": "x"})
	req := &protocol.SubscribeRequest{Channel: "x", Token: token}
	c := realtime.Client{ID: "c", User: "42"}
	if _, err := newPolicy(t, policy.Options{}).Subscribe(t.Context(), c, req); err != nil {
		t.Error(err)
	}
	p := newPolicy(t, policy.Options{SubscriptionTokens: other})
	if _, err := p.Subscribe(t.Context(), c, req); outcome(err) != "103" {
		t.Error(err)
	}
	if _, err := p.Connect(t.Context(), connecting(&protocol.ConnectRequest{Token: sign(t, claims{})})); err != nil {
		t.Error(err)
	}
}

// S6: why a token was refused is logged, the token is not.
func TestS6_TokensAreNotLogged(t *testing.T) {
	var log bytes.Buffer
	p := newPolicy(t, policy.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	token := sign(t, claims{"sub": "canary-user", "channel": "canary-channel", "info": "canary-info"})
	c := realtime.Client{ID: "client-1", User: "42"}
	for _, raw := range []string{token, token[:len(token)-3] + "AAA", token[5:], "canary." + token} {
		_, _ = p.Connect(t.Context(), realtime.Connecting{Client: "client-1", Request: &protocol.ConnectRequest{Token: raw}})
		_, _ = p.Refresh(t.Context(), c, raw)
		_, _ = p.Subscribe(t.Context(), c, &protocol.SubscribeRequest{Channel: "x", Token: raw})
		_, _ = p.SubRefresh(t.Context(), c, "x", raw)
	}
	if !strings.Contains(log.String(), "client-1") {
		t.Errorf("nothing is logged: %s", &log)
	}
	parts := strings.Split(token, ".")
	for _, canary := range []string{"canary", parts[0], parts[1], parts[2]} {
		if strings.Contains(log.String(), canary) {
			t.Errorf("the log holds %q:\n%s", canary, &log)
		}
	}
}
