package store_test

import (
	"errors"
	"testing"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/store"
)

// PostgreSQL refuses texts with a NUL even where one is only looked for, and that is the
// fault of who sent it.
func TestTextsThatPostgreSQLCannotHold(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		ann := c.person("Ann")
		room := c.group(ann)
		var field *chat.FieldError
		_, _, err := c.Send(t.Context(), ann, room, chat.Sending{Text: "x", Files: []chat.Attachment{{ID: "f_\x00"}}})
		if !errors.As(err, &field) || field.Field != "attachments" {
			t.Errorf("a file with a NUL in its id: %v", err)
		}
		err = c.store.Accounts().View(t.Context(), func(tx identity.Tx) error {
			_, err := tx.AccountByEmail(t.Context(), "a\x00@example.org")
			return err
		})
		if !errors.Is(err, identity.ErrNotFound) && !errors.Is(err, store.ErrText) {
			t.Errorf("an address with a NUL: %v", err)
		}
	})
}
