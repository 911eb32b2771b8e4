package store_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/pgtest"
	"github.com/kuranty/kuranty/internal/store"
)

// cutter stands between a store and PostgreSQL and, when armed, cuts the connection that
// commits next: before the server has the commit, or after the server's answer came,
// which is then kept back.
type cutter struct {
	net.Listener
	server string
	before atomic.Bool // cut when the commit comes
	after  atomic.Bool // cut when its answer comes
	cuts   atomic.Int64
	ended  sync.WaitGroup
}

// newCutter returns a cutter and the address of the database behind it.
func newCutter(t *testing.T, dsn string) (*cutter, string) {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{server: u.Host}
	if c.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	c.ended.Go(func() {
		for {
			conn, err := c.Accept()
			if err != nil {
				return
			}
			c.ended.Go(func() { c.carry(conn) })
		}
	})
	t.Cleanup(func() {
		c.Close()
		c.ended.Wait()
	})
	u.Host = c.Addr().String()
	return c, u.String()
}

// carry carries one connection. What the two sides write are whole messages here: a
// commit is one small write of the client, its answer one of the server.
func (c *cutter) carry(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", c.server)
	if err != nil {
		return
	}
	defer server.Close()
	var committing atomic.Bool
	c.ended.Go(func() {
		defer client.Close()
		defer server.Close()
		relay(client, server, func([]byte) bool {
			if !committing.Load() {
				return true
			}
			c.cuts.Add(1)
			return false
		})
	})
	relay(server, client, func(p []byte) bool {
		if p[0] != 'Q' || !bytes.Contains(bytes.ToLower(p), []byte("commit")) {
			return true
		}
		if c.before.CompareAndSwap(true, false) {
			c.cuts.Add(1)
			return false
		}
		if c.after.CompareAndSwap(true, false) {
			committing.Store(true)
		}
		return true
	})
}

// relay copies from one side to the other while pass says so.
func relay(to io.Writer, from io.Reader, pass func([]byte) bool) {
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if err != nil || !pass(b[:n]) {
			return
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

// Whatever becomes of the connection at the commit, the caller is told what is stored,
// or to come back; and who comes back with the same id has written one message.
func TestR05_LostCommitIsResolved(t *testing.T) {
	cut, dsn := newCutter(t, pgtest.Start(t))
	c := openChatsOn(t, store.Options{Driver: store.Postgres, DSN: dsn}, chat.Options{})
	p := c.people(2)
	g := c.group(p...)
	for round := range int64(6) {
		in := chat.Sending{Text: "text", ClientID: string(rune('a' + round))}
		arm := &cut.before
		if round%2 == 1 {
			arm = &cut.after
		}
		arm.Store(true)
		_, _, err := c.Send(t.Context(), p[0], g, in)
		if cut.cuts.Load() != round+1 {
			t.Fatalf("round %d: %d connections were cut", round, cut.cuts.Load())
		}
		var stored int64
		c.store.MustQuery(t, `SELECT count(*) FROM messages WHERE chat_id = $1`, []any{g}, &stored)
		switch {
		case err == nil && stored != round+1, err != nil && stored != round:
			t.Errorf("round %d: told %v, and %d messages are stored", round, err, stored)
		case err != nil && !errors.Is(err, store.ErrUnavailable):
			t.Errorf("round %d: %v is no retryable error", round, err)
		case round%2 == 1 && err != nil:
			t.Errorf("round %d: what was stored was not acknowledged: %v", round, err)
		}
		m, _, err := c.Send(t.Context(), p[0], g, in)
		if err != nil || m.Seq != round+1 {
			t.Errorf("round %d: repeated = number %d, %v", round, m.Seq, err)
		}
	}
}
