package store_test

import (
	"errors"
	"testing"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/store"
)

// Where nobody writes, trying shows that the database is back.
func TestTryWriteShowsThatTheDatabaseIsBack(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		c.people(1)
		for range 2 {
			c.must(c.store.TryWrite(t.Context()))
		}
		if c.store.Driver() != store.SQLite {
			return
		}
		c.store.MustExec(t, `CREATE TRIGGER stuck BEFORE UPDATE ON meta BEGIN SELECT RAISE(FAIL, 'stuck'); END`)
		if err := c.store.TryWrite(t.Context()); err == nil {
			t.Error("written")
		}
		c.store.MustExec(t, `DROP TRIGGER stuck`)
		c.must(errors.Join(c.store.TryWrite(t.Context()), c.store.Ready()))
	})
}
