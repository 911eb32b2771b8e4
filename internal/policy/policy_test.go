package policy_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/policy"
	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
)

const secret = "a secret of the tests"

func verifier(tb testing.TB) *identity.Verifier {
	tb.Helper()
	v, err := identity.NewVerifier(identity.VerifierOptions{HMACSecret: secret})
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

func newPolicy(tb testing.TB, o policy.Options) *policy.Policy {
	tb.Helper()
	if o.Tokens == nil {
		o.Tokens = verifier(tb)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	p, err := policy.New(o)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// claims are those of a token.
type claims = jwt.MapClaims

func sign(tb testing.TB, c claims) string {
	tb.Helper()
	raw, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString([]byte(secret))
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

// in is seconds from now.
func in(seconds int64) int64 { return time.Now().Unix() + seconds }

// outcome is what a client is told, in short: "ok", "103", "close 3500".
func outcome(err error) string {
	var refusal *protocol.Error
	var closing *protocol.Close
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &refusal):
		return fmt.Sprint(refusal.Code)
	case errors.As(err, &closing):
		return fmt.Sprint("close ", closing.Code)
	}
	return err.Error()
}

func subscribe(tb testing.TB, p *policy.Policy, user, channel string) string {
	tb.Helper()
	_, err := p.Subscribe(tb.Context(), realtime.Client{ID: "c", User: user}, &protocol.SubscribeRequest{Channel: channel})
	return outcome(err)
}

// Each name has a namespace option of its own, by which a test sees where it belongs.
var sizes = map[string]int{"": 1, "chat": 2, "dialog": 3, "a.b-c_1": 4}

func namespaces() (without policy.Namespace, rest []policy.Namespace) {
	for name, size := range sizes {
		n := policy.Namespace{
			Name: name, HistorySize: size, HistoryTTL: time.Minute,
			AllowSubscribeForClient: name != "dialog", AllowUserLimitedChannels: name == "dialog",
		}
		if name == "" {
			without = n
		} else {
			rest = append(rest, n)
		}
	}
	return without, rest
}

func TestChannelNames(t *testing.T) {
	without, rest := namespaces()
	tests := []struct {
		channel   string // in the default spelling
		namespace string // or "?" if there is none
		user      string
		want      string
	}{
		{"news", "", "42", "ok"},
		{"chat:room1", "chat", "42", "ok"},
		{"chat:", "chat", "42", "ok"},
		{"chat", "", "42", "ok"},
		{":x", "", "42", "ok"},
		{":", "", "42", "ok"},
		{"chat:a:b", "chat", "42", "ok"},
		{"a.b-c_1:x", "a.b-c_1", "42", "ok"},
		{"$chat:secret", "chat", "42", "103"},
		{"$news", "", "42", "103"},
		{"$:x", "", "42", "103"},
		{"$$chat:x", "?", "42", "102"},
		{"nope:x", "?", "42", "102"},
		{"$nope:x", "?", "42", "102"},
		{"Chat:x", "?", "42", "102"},
		{"chat :x", "?", "42", "102"},
		{"#4:2", "?", "42", "102"},
		{"dialog:x#12,57", "dialog", "12", "ok"},
		{"dialog:x#12,57", "dialog", "57", "ok"},
		{"dialog:x#12,57", "dialog", "5", "103"},
		{"dialog:x#12,57", "dialog", "12,57", "103"},
		{"dialog:x#12,57", "dialog", "", "103"},
		{"dialog:x#1#42", "dialog", "42", "ok"},
		{"dialog:x#42#1", "dialog", "42", "103"},
		{"dialog:x#", "dialog", "", "103"},
		{"dialog:x#,", "dialog", "", "103"},
		{"dialog:x#42,", "dialog", "", "103"},
		{"dialog:x#42,", "dialog", "42", "ok"},
		{"dialog:x# 42", "dialog", "42", "103"},
		{"dialog:x", "dialog", "42", "103"},
		{"$dialog:x#42", "dialog", "42", "103"},
		{"chat:x#7", "chat", "42", "ok"}, // there # means nothing
		{"#42", "", "7", "ok"},           // and here, without the personal channel
		{"\x00\x01\x7f\n", "", "42", "ok"},
		{"caf\u00e9", "", "42", "107"},
		{"chat:\xff", "chat", "42", "107"},
		{"nope:\xff", "?", "42", "102"},
		{"$\u00e9", "", "42", "107"},
	}
	spellings := []struct {
		o       policy.Options
		replace []string
	}{
		{policy.Options{}, nil},
		{policy.Options{PrivatePrefix: "!"}, []string{"$", "!"}},
		{policy.Options{NamespaceBoundary: "/"}, []string{":", "/"}},
		{policy.Options{UserBoundary: "@"}, []string{"#", "@"}},
		{policy.Options{UserSeparator: ";"}, []string{",", ";"}},
		{
			policy.Options{PrivatePrefix: "priv-", NamespaceBoundary: "::", UserBoundary: "##", UserSeparator: "&&"},
			[]string{"$", "priv-", ":", "::", "#", "##", ",", "&&"},
		},
	}
	for _, s := range spellings {
		s.o.WithoutNamespace, s.o.Namespaces = without, rest
		p := newPolicy(t, s.o)
		spell := strings.NewReplacer(s.replace...)
		for _, tt := range tests {
			channel, user := spell.Replace(tt.channel), spell.Replace(tt.user)
			o, err := p.ChannelOptions(channel)
			if tt.namespace == "?" {
				if !errors.Is(err, protocol.ErrUnknownChannel) {
					t.Errorf("%q: options %+v, %v", channel, o, err)
				}
			} else if err != nil || o.HistorySize != sizes[tt.namespace] {
				t.Errorf("%q: %v, history_size %d, want that of %q", channel, err, o.HistorySize, tt.namespace)
			}
			if got := subscribe(t, p, user, channel); got != tt.want {
				t.Errorf("%q subscribes to %q: %s, want %s", user, channel, got, tt.want)
			}
		}
	}
	// Changed boundaries leave the default ones without meaning.
	for o, channels := range map[*policy.Options][]string{
		{PrivatePrefix: "!"}: {"$news"}, {NamespaceBoundary: "/"}: {"nope:x"}, {UserBoundary: "@"}: {"x#7"},
	} {
		o.WithoutNamespace = policy.Namespace{AllowSubscribeForClient: true, AllowUserLimitedChannels: true}
		p := newPolicy(t, *o)
		for _, channel := range channels {
			if got := subscribe(t, p, "42", channel); got != "ok" {
				t.Errorf("%q with %+v: %s", channel, o, got)
			}
		}
	}
}

func TestS18_NamesAreValidatedEverywhere(t *testing.T) {
	on := policy.Namespace{
		Presence: true, HistorySize: 1, HistoryTTL: time.Minute,
		AllowSubscribeForClient: true, AllowPublishForClient: true, AllowPresenceForClient: true, AllowHistoryForClient: true,
	}
	digits := on
	digits.Name, digits.ChannelRegex = "digits", `^\d+$`
	anywhere := on
	anywhere.Name, anywhere.ChannelRegex = "anywhere", `\p{Cyrillic}`
	p := newPolicy(t, policy.Options{WithoutNamespace: on, Namespaces: []policy.Namespace{digits, anywhere}})
	whole := on
	whole.ChannelRegex = `^\$?[a-z]+$`
	q := newPolicy(t, policy.Options{WithoutNamespace: whole})
	tests := []struct {
		p       *policy.Policy
		channel string
		want    string
	}{
		{p, "x*", "ok"}, // a name like any other: there are no wildcards
		{p, "ж", "107"},
		{p, "\x80", "107"},
		{p, "digits:1", "ok"},
		{p, "digits:", "107"},
		{p, "digits:x", "107"},
		{p, "digits:1\n", "107"},
		{p, "anywhere:xжx", "ok"},
		{p, "anywhere:x", "107"},
		{p, "nope:ж", "102"},
		{q, "x", "ok"},
		{q, "x1", "107"},
		{q, ":x", "107"},
	}
	c := realtime.Client{ID: "c", User: "42"}
	for _, tt := range tests {
		got := []string{
			subscribe(t, tt.p, c.User, tt.channel),
			outcome(tt.p.Publish(t.Context(), c, tt.channel, []byte("{}"), false)),
			outcome(tt.p.Presence(t.Context(), c, tt.channel, false)),
			outcome(tt.p.History(t.Context(), c, tt.channel, false)),
		}
		for i, g := range got {
			if g != tt.want {
				t.Errorf("%q: operation %d: %s, want %s", tt.channel, i, g, tt.want)
			}
		}
	}
	// A private name is checked as a whole, and before the missing token is missed.
	if got := subscribe(t, q, "42", "$x1"); got != "107" {
		t.Errorf("$x1: %s", got)
	}
	if got := subscribe(t, q, "42", "$x"); got != "103" {
		t.Errorf("$x: %s", got)
	}
}

func TestS18_EverythingIsOffByDefault(t *testing.T) {
	p := newPolicy(t, policy.Options{
		WithoutNamespace: policy.Namespace{Presence: true, HistorySize: 1, HistoryTTL: time.Minute},
		Namespaces:       []policy.Namespace{{Name: "ns"}},
	})
	for _, user := range []string{"", "42"} {
		for _, subscribed := range []bool{false, true} {
			c := realtime.Client{ID: "c", User: user}
			for channel, feature := range map[string]string{"x": "103", "#42": "103", "ns:x": "108", "ns:#42": "108"} {
				if got := subscribe(t, p, user, channel); got != "103" {
					t.Errorf("%q subscribes to %s: %s", user, channel, got)
				}
				if got := outcome(p.Publish(t.Context(), c, channel, []byte("1"), subscribed)); got != "103" {
					t.Errorf("%q publishes to %s: %s", user, channel, got)
				}
				if got := outcome(p.Presence(t.Context(), c, channel, subscribed)); got != feature {
					t.Errorf("%q asks for presence of %s: %s", user, channel, got)
				}
				if got := outcome(p.History(t.Context(), c, channel, subscribed)); got != feature {
					t.Errorf("%q asks for history of %s: %s", user, channel, got)
				}
			}
		}
	}
	// The anonymous user's flags alone grant nothing.
	p = newPolicy(t, policy.Options{WithoutNamespace: policy.Namespace{
		Presence: true, HistorySize: 1, HistoryTTL: time.Minute, AllowSubscribeForAnonymous: true,
		AllowPublishForAnonymous: true, AllowPresenceForAnonymous: true, AllowHistoryForAnonymous: true,
	}})
	c := realtime.Client{ID: "c"}
	for _, got := range []string{
		subscribe(t, p, "", "x"), outcome(p.Publish(t.Context(), c, "x", []byte("1"), true)),
		outcome(p.Presence(t.Context(), c, "x", true)), outcome(p.History(t.Context(), c, "x", true)),
	} {
		if got != "103" {
			t.Errorf("anonymous: %s", got)
		}
	}
}

func TestDataFormats(t *testing.T) {
	for format, want := range map[string]map[string]string{
		"":            {``: "107", `null`: "103", `{}`: "103", `[1]`: "103", `{`: "103"},
		"json":        {``: "107", `null`: "103", `{}`: "103", `[1]`: "103", `{`: "107"},
		"json_object": {``: "107", `null`: "107", ` {}`: "103", `[1]`: "107", `{`: "107"},
		"binary":      {``: "103", `null`: "103", `{}`: "103", `[1]`: "103", `{`: "103"},
	} {
		general := newPolicy(t, policy.Options{PublicationDataFormat: format})
		own := newPolicy(t, policy.Options{PublicationDataFormat: "json", WithoutNamespace: policy.Namespace{PublicationDataFormat: format}})
		for data, want := range want {
			// 103 is behind the format: the format counts also without permission.
			if got := outcome(general.Publish(t.Context(), realtime.Client{}, "x", []byte(data), false)); got != want {
				t.Errorf("%q is %q: %s, want %s", data, format, got, want)
			}
			if got := outcome(own.Publish(t.Context(), realtime.Client{}, "x", []byte(data), false)); format != "" && got != want {
				t.Errorf("%q is %q in the namespace: %s, want %s", data, format, got, want)
			}
		}
	}
}

func TestSubscribeOutcomes(t *testing.T) {
	p := newPolicy(t, policy.Options{
		Namespaces: []policy.Namespace{{Name: "open", AllowSubscribeForClient: true}, {Name: "shut", ChannelRegex: "^x"}},
	})
	c := realtime.Client{ID: "c1", User: "42"}
	ok := claims{"sub": "42", "channel": "shut:x", "exp": in(60)}
	with := func(name string, value any) string {
		out := claims{}
		for k, v := range ok {
			out[k] = v
		}
		out[name] = value
		if value == nil {
			delete(out, name)
		}
		return sign(t, out)
	}
	filter := &protocol.FilterNode{Key: "k", Cmp: "eq", Val: "v"}
	tests := []struct {
		name string
		req  protocol.SubscribeRequest
		want string
	}{
		{"token", protocol.SubscribeRequest{Channel: "shut:x", Token: sign(t, ok)}, "ok"},
		{"no token", protocol.SubscribeRequest{Channel: "shut:x"}, "103"},
		{"garbage", protocol.SubscribeRequest{Channel: "shut:x", Token: "x"}, "103"},
		{"garbage where no token is needed", protocol.SubscribeRequest{Channel: "open:x", Token: "x"}, "103"},
		{"expired", protocol.SubscribeRequest{Channel: "shut:x", Token: with("exp", 1)}, "109"},
		{"not yet valid", protocol.SubscribeRequest{Channel: "shut:x", Token: with("nbf", in(600))}, "109"},
		{"no channel", protocol.SubscribeRequest{Channel: "shut:x", Token: with("channel", nil)}, "103"},
		{"other channel", protocol.SubscribeRequest{Channel: "shut:x", Token: with("channel", "shut:xx")}, "close 3500"},
		{"private twin", protocol.SubscribeRequest{Channel: "$shut:x", Token: sign(t, ok)}, "close 3500"},
		{"unknown namespace in token", protocol.SubscribeRequest{Channel: "shut:x", Token: with("channel", "nope:x")}, "102"},
		{"unknown namespace and bad base64", protocol.SubscribeRequest{Channel: "nope:x", Token: with("b64info", "!")}, "102"},
		{"other user", protocol.SubscribeRequest{Channel: "shut:x", Token: with("sub", "43")}, "close 3500"},
		{"anonymous token", protocol.SubscribeRequest{Channel: "shut:x", Token: with("sub", nil)}, "close 3500"},
		{"own client", protocol.SubscribeRequest{Channel: "shut:x", Token: with("client", "c1")}, "ok"},
		{"other client", protocol.SubscribeRequest{Channel: "shut:x", Token: with("client", "c2")}, "close 3500"},
		{"bad base64", protocol.SubscribeRequest{Channel: "shut:x", Token: with("b64info", "!")}, "103"},
		{"expire_at past", protocol.SubscribeRequest{Channel: "shut:x", Token: with("expire_at", 5)}, "110"},
		{"expire_at past, with filter", protocol.SubscribeRequest{Channel: "shut:x", Token: with("expire_at", 5), TF: filter}, "110"},
		{"expired for another user", protocol.SubscribeRequest{Channel: "shut:x", Token: sign(t, claims{"sub": "43", "channel": "x", "exp": 1})}, "109"},
		{"unknown namespace", protocol.SubscribeRequest{Channel: "nope:x", Token: "x", Type: 1}, "102"},
		{"name", protocol.SubscribeRequest{Channel: "shut:y", Token: "x", Type: 1}, "107"},
		{"type", protocol.SubscribeRequest{Channel: "open:x", Type: 1}, "108"},
		{"type of a private channel", protocol.SubscribeRequest{Channel: "$shut:x", Type: 1}, "108"},
		{"filter", protocol.SubscribeRequest{Channel: "open:x", TF: filter}, "107"},
		{"filter without permission", protocol.SubscribeRequest{Channel: "shut:x", TF: filter}, "103"},
		{"delta", protocol.SubscribeRequest{Channel: "open:x", Delta: "fossil"}, "ok"},
		{"connection token", protocol.SubscribeRequest{Channel: "open:x", Token: sign(t, claims{"sub": "42"})}, "103"},
	}
	for _, tt := range tests {
		if _, err := p.Subscribe(t.Context(), c, &tt.req); outcome(err) != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, outcome(err), tt.want)
		}
	}
	// Anonymous on both sides.
	if _, err := p.Subscribe(t.Context(), realtime.Client{ID: "c"}, &protocol.SubscribeRequest{Channel: "shut:x", Token: with("sub", nil)}); err != nil {
		t.Error(err)
	}
}
