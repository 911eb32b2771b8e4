package channels_test

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kuranty/kuranty/internal/channels"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/storetest"
)

// TestS14_ChannelOperations runs every cell of testdata/operations.txt: who may do what
// in which channel. A cell is ok or the code of the refusal.
func TestS14_ChannelOperations(t *testing.T) {
	var s *stage
	s = start(t, storetest.Options(t, store.SQLite), "one", func(o *channels.Options) {
		o.Publish = func(ctx context.Context, user int64, channel string, data []byte) error {
			id := channels.UserID(strings.TrimPrefix(channel, "chat:"))
			_, _, err := s.chats.Send(ctx, user, id, chat.Sending{Text: string(data)})
			return channels.Refusal(err)
		}
	})
	names := []string{"self", "member", "former", "banned", "stranger", "blocked"}
	people := s.people(len(names))
	who := map[string]int64{"anonymous": 0, "service": -1}
	for i, name := range names {
		who[name] = people[i]
	}
	self := who["self"]
	id := s.group(self, who["member"], who["former"], who["banned"])
	if id != 1 {
		t.Fatalf("the chat is %d", id)
	}
	ctx := t.Context()
	shown := identity.ProfileChange{Privacy: identity.PrivacyChange{LastSeen: ptr("everyone")}}
	_, err := s.accounts.UpdateProfile(ctx, identity.Caller{User: self}, shown)
	for _, err := range []error{
		err, s.chats.Leave(ctx, who["former"], id), s.chats.Remove(ctx, self, id, who["banned"], true), s.chats.Block(ctx, self, who["blocked"]),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	s.announced()
	columns := append(names, "anonymous", "service")
	families := []string{
		fmt.Sprintf("chat:%d", id), fmt.Sprintf("user-%d-messages", id), fmt.Sprintf("chat.%d", id), fmt.Sprintf("user:%d", self),
		fmt.Sprintf("user-%d-chats", self), fmt.Sprintf("user-%d-status", self), fmt.Sprintf("presence:%d", self), "system:notifications",
		"chat:777", "chat:x", "user-01-chats", "$chat:1",
	}
	var got strings.Builder
	fmt.Fprintf(&got, "%-22s %-10s", "channel", "operation")
	for _, c := range columns {
		fmt.Fprintf(&got, " %-9s", c)
	}
	got.WriteByte('\n')
	for _, channel := range families {
		for _, op := range []string{
			`subscribe {"channel":%q}`, `publish {"channel":%q,"data":{"text":"hello"}}`, `history {"channel":%q,"limit":1}`, `presence {"channel":%q}`,
		} {
			name, params, _ := strings.Cut(op, " ")
			fmt.Fprintf(&got, "%-22s %-10s", channel, name)
			for _, column := range columns {
				fmt.Fprintf(&got, " %-9s", s.cell(who[column], name, fmt.Sprintf(params, channel)))
			}
			got.WriteByte('\n')
		}
	}
	text := regexp.MustCompile(` +\n`).ReplaceAllString(got.String(), "\n")
	want, err := os.ReadFile("testdata/operations.txt")
	if err != nil {
		t.Fatal(err, "\n", text)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(text, "\n")); diff != "" {
		t.Errorf("operations differ from the table: %s", diff)
	}
}

// cell is what somebody is answered.
func (s *stage) cell(user int64, operation, params string) string {
	c := s.dial(user)
	defer c.session.Gone()
	c.call(`{"id":1,"connect":{}}`)
	for _, r := range parseUnits(s.t, c.call(fmt.Sprintf(`{"id":2,%q:%s}`, operation, params))) {
		if r.ID == 2 && r.Error != nil {
			return fmt.Sprint(r.Error.Code)
		}
		if r.ID == 2 {
			return "ok"
		}
	}
	return "closed " + c.why()
}
