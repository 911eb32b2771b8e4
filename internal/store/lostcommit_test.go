package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/pgtest"
	"github.com/kuranty/kuranty/internal/store"
)

// cutter stands between a store and PostgreSQL and cuts the connection of one transaction,
// once, at its commit.
type cutter struct {
	net.Listener
	server string
	mu     sync.Mutex
	mark   string // what a client says within the transaction, empty if none is to be cut
	at     moment
	cuts   atomic.Int64
	ended  sync.WaitGroup
}

// moment is when a connection is cut.
type moment string

const (
	beforeCommit moment = "before the server has the commit"
	duringCommit moment = "while the server commits"
	afterCommit  moment = "when the server has answered"
)

// arm has the connection cut that says mark and then commits.
func (c *cutter) arm(mark string, at moment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mark, c.at = mark, at
}

// marked tells whether p says what is waited for.
func (c *cutter) marked(p []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mark != "" && bytes.Contains(p, []byte(c.mark))
}

// fire returns when the connection that commits now is to be cut.
func (c *cutter) fire() moment {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mark = ""
	c.cuts.Add(1)
	return c.at
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

// cancelRequest begins what the driver sends on another connection after it lost one
// (PostgreSQL, "Message Formats"). It is lost as well: a commit is cancelled only by chance.
var cancelRequest = []byte{0, 0, 0, 16, 4, 210, 22, 46}

// carry carries one connection. What the two sides write are whole messages here: a
// commit is one small write of the client, its answer one of the server.
func (c *cutter) carry(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", c.server)
	if err != nil {
		return
	}
	defer server.Close()
	var mute atomic.Bool // the answer is kept back
	c.ended.Go(func() {
		defer client.Close()
		defer server.Close()
		relay(client, server, func([]byte) bool { return !mute.Load() })
	})
	marked := false
	relay(server, client, func(p []byte) bool {
		if bytes.HasPrefix(p, cancelRequest) {
			return false
		}
		marked = marked || c.marked(p)
		if !marked || p[0] != 'Q' || !bytes.Contains(bytes.ToLower(p), []byte("commit")) {
			return true
		}
		marked = false
		switch c.fire() {
		case beforeCommit:
			return false
		case duringCommit:
			client.Close() // what was read is sent on
		case afterCommit:
			mute.Store(true)
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

// Whatever becomes of the connection at the commit, who wrote is told what is stored: nil
// if it is, else that they should come back.
func TestR05_LostCommitIsResolved(t *testing.T) {
	cut, dsn := newCutter(t, pgtest.Start(t))
	var announced []event.Event
	s := open(t, store.Options{
		Driver: store.Postgres, DSN: dsn,
		Committed: func(e []event.Event) { announced = append(announced, e...) },
	})
	// A commit that takes long is still on its way when it is asked for.
	s.MustExec(t, `CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.1); RETURN NULL; END'`)
	s.MustExec(t, `CREATE CONSTRAINT TRIGGER linger AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION linger()`)
	for _, at := range []moment{beforeCommit, duringCommit, afterCommit} {
		t.Run(string(at), func(t *testing.T) {
			e, err := event.New("test.written", time.Now(), struct{}{})
			if err != nil {
				t.Fatal(err)
			}
			cuts, known := cut.cuts.Load(), len(announced)
			cut.arm(e.ID, at)
			err = s.Update(t.Context(), func(tx *store.Tx) error { return tx.Append(t.Context(), e) })
			if n := cut.cuts.Load() - cuts; n != 1 {
				t.Fatalf("%d connections were cut", n)
			}
			var rows int
			s.MustQuery(t, `SELECT count(*) FROM events WHERE event_id = $1`, []any{e.ID}, &rows)
			if at == beforeCommit {
				if rows != 0 || !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("told %v, and %d events are stored", err, rows)
				}
			} else if rows != 1 || err != nil {
				t.Errorf("told %v, and %d events are stored", err, rows)
			}
			if n := len(announced) - known; n != rows {
				t.Errorf("%d events announced, %d stored", n, rows)
			}
		})
	}
}

// Who comes back with the same id after a lost commit has written one message.
func TestR05_LostCommitIsRepeated(t *testing.T) {
	cut, dsn := newCutter(t, pgtest.Start(t))
	c := openChatsOn(t, store.Options{Driver: store.Postgres, DSN: dsn}, chat.Options{})
	p := c.people(2)
	g := c.group(p...)
	for i, at := range []moment{beforeCommit, duringCommit, afterCommit} {
		seq := int64(i + 1)
		in := chat.Sending{Text: "text", ClientID: fmt.Sprintf("sent in round %d", i)}
		cut.arm(in.ClientID, at)
		if _, _, err := c.Send(t.Context(), p[0], g, in); err != nil && !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("cut %s: %v is no retryable error", at, err)
		}
		if cut.cuts.Load() != seq {
			t.Fatalf("cut %s: %d connections were cut", at, cut.cuts.Load())
		}
		m, _, err := c.Send(t.Context(), p[0], g, in)
		if err != nil || m.Seq != seq {
			t.Errorf("cut %s: repeated = number %d, %v", at, m.Seq, err)
		}
	}
}
