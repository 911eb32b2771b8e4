package channels_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/channels"
	"github.com/kuranty/kuranty/protocol"
)

var names = []struct {
	channel, want string
}{
	{"chat:7", "chat 7"},
	{"chat:9007199254740991", "chat 9007199254740991"},
	{"chat:9007199254740992", "unknown"}, // 2^53
	{"chat:18446744073709551623", "unknown"},
	{"chat:0", "unknown"},
	{"chat:07", "unknown"},
	{"chat:-7", "unknown"},
	{"chat:+7", "unknown"},
	{"chat:7 ", "unknown"},
	{"chat:٧", "unknown"},
	{"chat:7:8", "unknown"},
	{"chat:abc", "unknown"},
	{"chat:", "unknown"},
	{"Chat:7", "other"},
	{"$chat:7", "other"},
	{"user:7", "user 7"},
	{"user:07", "unknown"},
	{"presence:7", "presence 7"},
	{"presence:x", "unknown"},
	{"system:notifications", "system 0"},
	{"system:other", "unknown"},
	{"system:", "unknown"},
	{"chat.7", "typing 7"},
	{"chat.", "other"},
	{"chat.07", "other"},
	{"user-7-chats", "list 7"},
	{"user-7-messages", "messages 7"},
	{"user-7-status", "status 7"},
	{"user-07-chats", "other"},
	{"user-7-other", "other"},
	{"user-7-chats-", "other"},
	{"user--chats", "other"},
	{"user-7", "other"},
	{"chats:7", "other"},
	{"", "other"},
	{":", "other"},
}

func TestNames(t *testing.T) {
	for _, n := range names {
		if got := channels.Understood(n.channel); got != n.want {
			t.Errorf("%q is %s, want %s", n.channel, got, n.want)
		}
	}
}

// FuzzNames checks that each name has one reading and each reading one name.
func FuzzNames(f *testing.F) {
	for _, n := range names {
		f.Add(n.channel)
	}
	forms := map[string]string{
		"chat": "chat:%d", "user": "user:%d", "presence": "presence:%d", "typing": "chat.%d",
		"list": "user-%d-chats", "messages": "user-%d-messages", "status": "user-%d-status",
	}
	f.Fuzz(func(t *testing.T, channel string) {
		family, id, found := strings.Cut(channels.Understood(channel), " ")
		if !found || family == "system" {
			if family == "system" && channel != "system:notifications" {
				t.Errorf("%q is the system's channel", channel)
			}
			return
		}
		if written := fmt.Sprintf(strings.Replace(forms[family], "%d", "%s", 1), id); written != channel {
			t.Errorf("%q is the %s of %s, which is written %q", channel, family, id, written)
		}
		if user := channels.UserID(id); user <= 0 || user >= 1<<53 {
			t.Errorf("%q has the id %s", channel, id)
		}
	})
}

// TestOptions compares with the table of chat-api.md §0.5.
func TestOptions(t *testing.T) {
	c := channels.New(channels.Options{Policy: closed(t)})
	for _, want := range []struct {
		channel  string
		size     int
		ttl      time.Duration
		presence bool
	}{
		{"chat:7", 100, 48 * time.Hour, true},
		{"user:7", 50, 24 * time.Hour, false},
		{"system:notifications", 20, 24 * time.Hour, false},
		{"user-7-messages", 50, 5 * time.Minute, false},
		{"user-7-chats", 0, 0, false},
		{"user-7-status", 0, 0, false},
		{"chat.7", 0, 0, false},
		{"presence:7", 0, 0, false},
	} {
		o, err := c.ChannelOptions(want.channel)
		if err != nil {
			t.Fatal(err)
		}
		size, ttl := c.Retention(want.channel)
		if size != want.size || ttl != want.ttl || o.DefaultHistory != want.size {
			t.Errorf("%s keeps %d for %v and answers with %d, want %d for %v", want.channel, size, ttl, o.DefaultHistory, want.size, want.ttl)
		}
		recovers := want.size > 0
		if o.ForceRecovery != recovers || o.ForcePositioning != recovers || o.History() != recovers {
			t.Errorf("%s: recovery %v, positions %v, history %v, want %v", want.channel, o.ForceRecovery, o.ForcePositioning, o.History(), recovers)
		}
		if o.Presence != want.presence || o.JoinLeave != want.presence || o.ForcePushJoinLeave != want.presence {
			t.Errorf("%s: presence %v, join and leave %v, pushed %v, want %v", want.channel, o.Presence, o.JoinLeave, o.ForcePushJoinLeave, want.presence)
		}
	}
	for _, channel := range []string{"chat:x", "user:0", "presence:", "system:other"} {
		if _, err := c.ChannelOptions(channel); err != protocol.ErrUnknownChannel {
			t.Errorf("options of %s: %v, want %v", channel, err, protocol.ErrUnknownChannel)
		}
	}
}
