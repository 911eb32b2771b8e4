package channels_test

import (
	"context"
	"slices"
	"testing"

	"github.com/kuranty/kuranty/internal/channels"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/storetest"
)

// TestSendingEndsTyping says nothing of who stops typing by sending, and tells at once
// when the same one types on.
func TestSendingEndsTyping(t *testing.T) {
	var told []bool
	typing := chat.NewTyping(chat.TypingOptions{
		PerSecond: -1,
		Allowed: func(_ context.Context, user, _ int64) (chat.Person, bool, error) {
			return chat.Person{ID: user}, true, nil
		},
		Tell: func(who chat.Typist) { told = append(told, who.Typing) },
	})
	s := start(t, storetest.Options(t, store.SQLite), "one", func(o *channels.Options) { o.Typing = typing })
	people := s.people(2)
	id := s.group(people...)
	set := func(is bool) {
		t.Helper()
		if err := typing.Set(t.Context(), people[1], id, is); err != nil {
			t.Fatal(err)
		}
	}
	set(true)
	s.say(people[0], id, "another's message changes nothing")
	s.announced()
	set(true) // told less than 3 s ago
	s.say(people[1], id, "done")
	s.announced()
	set(false)
	set(true)
	if want := []bool{true, true}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
}
