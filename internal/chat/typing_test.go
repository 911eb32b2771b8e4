package chat_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/chat"
)

// Calls beyond the limit do nothing (chat-api.md §0.8), but who is no member hears so
// however often they call (§A.6).
func TestTypingBeyondTheLimit(t *testing.T) {
	var told int
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	typing := chat.NewTyping(chat.TypingOptions{
		Allowed: func(_ context.Context, _, id int64) (chat.Person, bool, error) {
			if id != 7 {
				return chat.Person{}, false, chat.ErrNotFound
			}
			return chat.Person{ID: 1}, true, nil
		},
		Tell: func(chat.Typist) { told++ }, Clock: func() time.Time { return now }, PerSecond: 2,
	})
	for i := range 5 {
		if err := typing.Set(t.Context(), 1, 7, i%2 == 0); err != nil {
			t.Errorf("call %d: %v", i, err)
		}
		if err := typing.Set(t.Context(), 1, 8, true); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("call %d of a stranger: %v", i, err)
		}
	}
	if told != 2 {
		t.Errorf("%d calls were told, want 2", told)
	}
}
