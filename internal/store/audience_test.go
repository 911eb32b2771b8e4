package store_test

import (
	"slices"
	"testing"

	"github.com/kuranty/kuranty/internal/chat"
)

func TestMemberIDsAreThoseOfActiveMembers(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		users := c.people(4)
		id := c.group(users...)
		c.group(users[3])
		for i, state := range []string{chat.Left, chat.Banned} {
			c.setMember(id, users[i+1], "state", state)
		}
		got, err := c.MemberIDs(t.Context(), id)
		if want := []int64{users[0], users[3]}; err != nil || !slices.Equal(got, want) {
			t.Errorf("MemberIDs = %v, %v; want %v", got, err, want)
		}
		if got, err := c.MemberIDs(t.Context(), 999_999); err != nil || len(got) != 0 {
			t.Errorf("of no chat: %v, %v", got, err)
		}
	})
}
