package policy_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kuranty/kuranty/internal/policy"
	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
)

var update = flag.Bool("update", false, "write testdata/permissions.txt anew")

// situation is one cell of the table, less the channel's name.
type situation struct {
	user                                              string
	insecure, personal, limited                       bool // options
	forClient, forSubscriber, forAnonymous, featureOn bool // options of the namespace
	subscribed                                        bool
	operation, channel, token                         string
}

// String is the situation as the table shows it, less operation, channel and token.
func (s situation) String() string {
	var b strings.Builder
	if s.user == "" {
		b.WriteString("anonymous")
	} else {
		b.WriteString("user " + s.user)
	}
	for _, f := range []struct {
		on   bool
		name string
	}{
		{s.insecure, "insecure"},
		{s.personal, "personal"},
		{s.limited, "user-limited"},
		{s.forClient, "for_client"},
		{s.forSubscriber, "for_subscriber"},
		{s.forAnonymous, "for_anonymous"},
		{s.subscribed, "subscribed"},
	} {
		if f.on {
			b.WriteString(" " + f.name)
		}
	}
	return b.String()
}

// rule is a sentence of auth-and-channels.md §6: if it applies, it decides.
type rule struct {
	applies bool
	then    string
}

// model says what auth-and-channels.md §6 says, in its words and nothing of the
// package under test.
func model(s situation) string {
	mayTry := s.user != "" || s.forAnonymous
	if s.operation != "subscribe" {
		return first([]rule{
			{!s.featureOn, "108"},                             // §6.3: feature off
			{s.forClient && mayTry, "ok"},                     // _for_client [user or anonymous]
			{s.forSubscriber && s.subscribed && mayTry, "ok"}, // _for_subscriber [and subscribed]
			{s.insecure, "ok"},
			{true, "103"},
		})
	}
	private := s.channel[0] == '$'
	userLimited := s.limited && strings.Contains(s.channel, "#")
	named := slices.Contains(strings.Split(s.channel[strings.LastIndex(s.channel, "#")+1:], ","), s.user)
	// The anonymous user owns no personal channel, so "#" is nobody's.
	owner := s.user != "" && s.channel == "#"+s.user
	notOwners := s.personal && s.channel[0] == '#' && !owner
	return first([]rule{
		{private && s.token == "none", "103"},         // 2
		{s.token == "valid", "ok"},                    // 3
		{s.token == "bad", "103"},                     // §3, in its order
		{s.token == "expired", "109"},                 //
		{s.token == "other channel", "close 3500"},    //
		{s.token == "other user", "close 3500"},       //
		{notOwners && !s.insecure, "103"},             // the trap of §6.1
		{userLimited && named && s.user != "", "ok"},  // 4, anonymous never matches
		{s.forClient && mayTry && !userLimited, "ok"}, // 7
		{s.insecure, "ok"},                            // 8
		{true, "103"},                                 // 9
	})
}

func first(rules []rule) string {
	for _, r := range rules {
		if r.applies {
			return r.then
		}
	}
	return "no rule applies"
}

// decide asks the policy.
func decide(t *testing.T, s situation, tokens map[string]string) string {
	t.Helper()
	n := policy.Namespace{AllowUserLimitedChannels: s.limited}
	switch s.operation {
	case "subscribe":
		n.AllowSubscribeForClient, n.AllowSubscribeForAnonymous = s.forClient, s.forAnonymous
	case "publish":
		n.AllowPublishForClient, n.AllowPublishForSubscriber, n.AllowPublishForAnonymous = s.forClient, s.forSubscriber, s.forAnonymous
	case "presence":
		n.Presence = s.featureOn
		n.AllowPresenceForClient, n.AllowPresenceForSubscriber, n.AllowPresenceForAnonymous = s.forClient, s.forSubscriber, s.forAnonymous
	case "history":
		if s.featureOn {
			n.HistorySize, n.HistoryTTL = 1, time.Minute
		}
		n.AllowHistoryForClient, n.AllowHistoryForSubscriber, n.AllowHistoryForAnonymous = s.forClient, s.forSubscriber, s.forAnonymous
	}
	p := newPolicy(t, policy.Options{
		Insecure: s.insecure, WithoutNamespace: n, PersonalChannel: policy.PersonalChannel{Enabled: s.personal},
	})
	c := realtime.Client{ID: "c", User: s.user}
	switch s.operation {
	case "publish":
		return outcome(p.Publish(t.Context(), c, s.channel, []byte("{}"), s.subscribed))
	case "presence":
		return outcome(p.Presence(t.Context(), c, s.channel, s.subscribed))
	case "history":
		return outcome(p.History(t.Context(), c, s.channel, s.subscribed))
	}
	_, err := p.Subscribe(t.Context(), c, &protocol.SubscribeRequest{Channel: s.channel, Token: tokens[s.user+" "+s.channel+" "+s.token]})
	return outcome(err)
}

// bits returns the bit i of n for each i, from the highest of count.
func bits(n, count int) []bool {
	out := make([]bool, count)
	for i := range out {
		out[i] = n>>(count-1-i)&1 == 1
	}
	return out
}

func TestS18_PermissionTable(t *testing.T) {
	users := []string{"", "42"}
	channels := []string{"room", "room#42", "room#7", "room#7,42", "room#", "#42", "#7", "#", "$room", "$room#42"}
	kinds := []string{"none", "valid", "bad", "expired", "other channel", "other user"}
	tokens := make(map[string]string)
	for _, user := range users {
		for _, channel := range channels {
			name := user + " " + channel + " "
			tokens[name+"valid"] = sign(t, claims{"sub": user, "channel": channel})
			tokens[name+"bad"] = tokens[name+"valid"][1:]
			tokens[name+"expired"] = sign(t, claims{"sub": user, "channel": channel, "exp": 1})
			tokens[name+"other channel"] = sign(t, claims{"sub": user, "channel": channel + "x"})
			tokens[name+"other user"] = sign(t, claims{"sub": user + "x", "channel": channel})
		}
	}
	var table strings.Builder
	cells := 0
	cell := func(s situation) {
		cells++
		got, want := decide(t, s, tokens), model(s)
		if got != want {
			t.Errorf("%s %s with token %s: %s: %s, want %s", s.operation, s.channel, s.token, s, got, want)
		}
		fmt.Fprintf(&table, " %-10s", got)
	}
	table.WriteString("Generated by TestS18_PermissionTable: what each caller is told, by options and channel.\n")
	for _, kind := range kinds {
		fmt.Fprintf(&table, "\nsubscribe, token: %s\n%-68s", kind, "")
		for _, channel := range channels {
			fmt.Fprintf(&table, " %-10s", channel)
		}
		for i := range 1 << 6 {
			b := bits(i, 6)
			s := situation{
				user: users[i>>5], insecure: b[1], personal: b[2], limited: b[3], forClient: b[4], forAnonymous: b[5],
				operation: "subscribe", token: kind,
			}
			fmt.Fprintf(&table, "\n%-68s", s)
			for _, s.channel = range channels {
				cell(s)
			}
		}
		table.WriteString("\n")
	}
	fmt.Fprintf(&table, "\n%-68s", "")
	for _, title := range []string{"publish", "publish #7", "publish $x", "presence", "is off", "history", "is off"} {
		fmt.Fprintf(&table, " %-10s", title)
	}
	for i := range 1 << 6 {
		b := bits(i, 6)
		s := situation{
			user: users[i>>5], insecure: b[1], forClient: b[2], forSubscriber: b[3], forAnonymous: b[4], subscribed: b[5], token: "none",
		}
		fmt.Fprintf(&table, "\n%-68s", s)
		s.operation, s.featureOn = "publish", true
		for _, s.channel = range []string{"room", "#7", "$x"} {
			cell(s)
		}
		s.channel = "room"
		for _, s.operation = range []string{"presence", "history"} {
			for _, s.featureOn = range []bool{true, false} {
				cell(s)
			}
		}
	}
	table.WriteString("\n")
	if want := len(kinds)*64*len(channels) + 64*7; cells != want {
		t.Errorf("%d cells, want %d", cells, want)
	}

	var lines []string
	for line := range strings.Lines(table.String()) {
		lines = append(lines, strings.TrimRight(line, " \n"))
	}
	text := strings.Join(lines, "\n") + "\n"
	golden := filepath.Join("testdata", "permissions.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("the table has changed; look at it, then run the test with -update:\n%s", diff)
	}
}
