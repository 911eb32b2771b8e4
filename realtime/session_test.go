package realtime_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
)

// TestR10_OffsetsRiseByOneAndArriveInOrder publishes from several goroutines at once.
func TestR10_OffsetsRiseByOneAndArriveInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.close()
		var clients []*pipe
		for range 50 {
			c := w.connected("7")
			c.send(`{"id":2,"subscribe":{"channel":"big:1"}}`)
			c.take()
			clients = append(clients, c)
		}
		const publishers, each = 8, 100
		for p := range publishers {
			go func() {
				for i := range each {
					if _, err := w.node.Publish(t.Context(), "big:1", fmt.Appendf(nil, `[%d,%d]`, p, i), realtime.PublishOptions{}); err != nil {
						t.Error(err)
					}
				}
			}()
		}
		synctest.Wait()
		for i, c := range clients {
			offset := uint64(0)
			for _, message := range c.take() {
				for unit := range strings.SplitSeq(message, "\n") {
					offset++
					if got := parse(t, unit).Push.Pub.Offset; got != offset {
						t.Fatalf("client %d: offset = %d, want %d", i, got, offset)
					}
				}
			}
			if offset != publishers*each {
				t.Errorf("client %d got %d publications, want %d", i, offset, publishers*each)
			}
		}
	})
}

func parse(t testing.TB, unit string) protocol.Reply {
	t.Helper()
	dec := protocol.NewReplyDecoder(protocol.JSON, []byte(unit))
	var r protocol.Reply
	if err := dec.Next(&r); err != nil {
		t.Fatalf("%s: %v", unit, err)
	}
	return r
}

// lossy is a broker that swallows publications on their way to the node.
type lossy struct {
	realtime.Broker
	sink realtime.Sink
	lose atomic.Bool
}

func (b *lossy) Attach(sink realtime.Sink) {
	b.sink = sink
	b.Broker.Attach(b)
}

func (b *lossy) Publication(channel string, pub *protocol.Publication, pos protocol.StreamPosition) {
	if !b.lose.Load() {
		b.sink.Publication(channel, pub, pos)
	}
}
func (b *lossy) Join(channel string, info *protocol.ClientInfo)  { b.sink.Join(channel, info) }
func (b *lossy) Leave(channel string, info *protocol.ClientInfo) { b.sink.Leave(channel, info) }
func (b *lossy) Flush(channel string)                            { b.sink.Flush(channel) }

func newLossy() *lossy { return &lossy{Broker: realtime.NewMemoryBroker(realtime.MemoryOptions{})} }

// TestR16_AMissedPublicationIsToldWithinFiveSeconds loses one with nothing after it,
// and one with another after it.
func TestR16_AMissedPublicationIsToldWithinFiveSeconds(t *testing.T) {
	for _, followed := range []bool{false, true} {
		t.Run(fmt.Sprintf("followed=%t", followed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				broker := newLossy()
				w := newWorld(t, func(o *realtime.Options) { o.Broker = broker })
				defer w.close()
				publish := func() {
					if _, err := w.node.Publish(t.Context(), "big:1", []byte(`1`), realtime.PublishOptions{}); err != nil {
						t.Fatal(err)
					}
				}
				client := w.connected("7")
				client.send(`{"id":2,"subscribe":{"channel":"big:1"}}`)
				server := w.dial(protocol.JSON)
				server.send(`{"id":1,"connect":{"token":"{\"subs\":[\"big:1\"]}"}}`)
				bystander := w.connected("9")
				bystander.send(`{"id":2,"subscribe":{"channel":"big:2"}}`)
				publish()
				client.take()
				server.take()
				bystander.take()
				broker.lose.Store(true)
				publish()
				broker.lose.Store(false)
				if followed {
					publish()
				}
				time.Sleep(5 * time.Second)
				synctest.Wait()
				want := `{"push":{"channel":"big:1","unsubscribe":{"code":2500,"reason":"insufficient state"}}}`
				if got := client.take(); len(got) != 1 || got[0] != want {
					t.Errorf("client-side subscription got %q, want %s", got, want)
				}
				want = "\x01close 3010 insufficient state"
				if got := server.take(); len(got) != 1 || got[0] != want {
					t.Errorf("server-side subscription got %q, want %q", got, want)
				}
				if got := bystander.take(); len(got) != 0 {
					t.Errorf("bystander got %q", got)
				}
			})
		})
	}
}

// TestR19_PresenceEndsWithTheConnection closes cleanly, by losing the peer, and by no
// pong, the last of which is the network's death.
func TestR19_PresenceEndsWithTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.close()
		present := func() int {
			clients, _, err := w.node.PresenceStats(t.Context(), "people:1")
			if err != nil {
				t.Fatal(err)
			}
			return clients
		}
		var clients []*pipe
		for range 3 {
			c := w.connected("7")
			c.send(`{"id":2,"subscribe":{"channel":"people:1"}}`)
			clients = append(clients, c)
		}
		if got := present(); got != 3 {
			t.Fatalf("present = %d, want 3", got)
		}
		clients[0].session.Gone()
		clients[1].session.Close(protocol.CloseForceDisconnect)
		time.Sleep(time.Second)
		synctest.Wait()
		if got := present(); got != 1 {
			t.Errorf("present 1 s after two closed = %d, want 1", got)
		}
		time.Sleep(59 * time.Second) // clients[2] answers no ping
		synctest.Wait()
		if got := present(); got != 0 {
			t.Errorf("present 60 s after the network died = %d, want 0", got)
		}
	})
}

// TestR30_ASlowReaderIsClosedAtItsBound and everybody else gets everything.
func TestR30_ASlowReaderIsClosedAtItsBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound = 10_000
		w := newWorld(t, func(o *realtime.Options) { o.QueueBytes = bound })
		defer w.close()
		slow, fast := w.connected("7"), w.connected("8")
		for _, c := range []*pipe{slow, fast} {
			c.send(`{"id":2,"subscribe":{"channel":"plain:1"}}`)
			c.take()
		}
		slow.limit(150) // one publication and a half
		const publications = 200
		for range publications {
			if _, err := w.node.Publish(t.Context(), "plain:1", []byte(`"`+strings.Repeat("x", 50)+`"`), realtime.PublishOptions{}); err != nil {
				t.Fatal(err)
			}
			if got := w.node.Stats().QueuedBytes; got > bound {
				t.Fatalf("queued %d bytes, bound %d", got, bound)
			}
		}
		synctest.Wait()
		got := 0
		for _, message := range fast.take() {
			got += strings.Count(message, `"pub"`)
		}
		if got != publications {
			t.Errorf("the fast reader got %d publications, want %d", got, publications)
		}
		slow.limit(-1) // reads again: what was on the wire is completed, then the close
		synctest.Wait()
		messages := slow.take()
		if len(messages) < 2 || messages[len(messages)-1] != "\x01close 3008 slow" {
			t.Fatalf("the slow reader got %q, want a close 3008 at the end", messages)
		}
		for _, message := range messages[:len(messages)-1] {
			parse(t, strings.Split(message, "\n")[0])
		}
		if got := w.node.Stats(); got.SlowCloses != 1 || got.QueuedBytes != 0 {
			t.Errorf("stats = %+v, want one slow close and nothing queued", got)
		}
	})
}

// TestStalledReaderIsClosed is about a reader who takes nothing at all.
func TestStalledReaderIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.close()
		stuck := w.connected("7")
		stuck.send(`{"id":2,"subscribe":{"channel":"plain:1"}}`)
		stuck.take()
		stuck.limit(0)
		if _, err := w.node.Publish(t.Context(), "plain:1", []byte(`1`), realtime.PublishOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		stuck.session.Stalled() // the transport's write timeout
		stuck.session.Stalled() // and no room for the close frame either
		synctest.Wait()
		if !stuck.closed || stuck.graceful {
			t.Errorf("closed = %t, gracefully = %t; want a hard close", stuck.closed, stuck.graceful)
		}
	})
}

// TestPartialWrites feeds a connection that takes a few bytes at a time.
func TestPartialWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.close()
		c := w.connected("7")
		c.send(`{"id":2,"subscribe":{"channel":"big:1"}}`)
		c.take()
		const publications = 100
		c.limit(0)
		for i := range publications {
			if _, err := w.node.Publish(t.Context(), "big:1", fmt.Appendf(nil, `%d`, i), realtime.PublishOptions{}); err != nil {
				t.Fatal(err)
			}
			c.limit(i % 7)
		}
		for range 10_000 {
			c.limit(13)
		}
		synctest.Wait()
		offset := uint64(0)
		for _, message := range c.take() {
			for unit := range strings.SplitSeq(message, "\n") {
				offset++
				if got := parse(t, unit).Push.Pub.Offset; got != offset {
					t.Fatalf("offset = %d, want %d", got, offset)
				}
			}
		}
		if offset != publications {
			t.Errorf("got %d publications, want %d", offset, publications)
		}
	})
}

// TestR35_APanicIsContained raises one in a handler of one connection.
func TestR35_APanicIsContained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *realtime.Options) {
			o.RPC = func(_ context.Context, _ realtime.Client, method string, data []byte) ([]byte, error) {
				switch method {
				case "panic":
					panic("on purpose")
				case "fail":
					return nil, errors.New("no database")
				}
				return data, nil
			}
		})
		defer w.close()
		ann, bob := w.connected("7"), w.connected("8")
		ann.send(`{"id":2,"rpc":{"method":"panic"}}`)
		bob.send(`{"id":2,"rpc":{"method":"echo","data":[1]}}` + "\n" + `{"id":3,"rpc":{"method":"fail"}}`)
		synctest.Wait()
		if got := ann.take(); len(got) != 1 || got[0] != "\x01close 3004 internal server error" {
			t.Errorf("ann got %q, want a close 3004", got)
		}
		want := `{"id":2,"rpc":{"data":[1]}}` + `{"id":3,"error":{"code":100,"message":"internal server error","temporary":true}}`
		if got := strings.ReplaceAll(strings.Join(bob.take(), ""), "\n", ""); got != want {
			t.Errorf("bob got %s, want %s", got, want)
		}
		if got := w.node.Stats().Panics; got != 1 {
			t.Errorf("panics = %d, want 1", got)
		}
	})
}

// TestR36_NothingStaysBehind connects and disconnects many and counts goroutines and
// what the node still knows.
func TestR36_NothingStaysBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		synctest.Wait()
		before := runtime.NumGoroutine()
		for range 2000 {
			c := w.connected("7")
			c.send(`{"id":2,"subscribe":{"channel":"chat:1"}}` + "\n" + `{"id":3,"subscribe":{"channel":"people:1"}}`)
			c.session.Gone()
		}
		synctest.Wait()
		if got := runtime.NumGoroutine(); got > before {
			t.Errorf("%d goroutines, %d before", got, before)
		}
		s := w.node.Stats()
		if s.Sessions != 0 || s.Users != 0 || s.Channels != 0 || s.Subscriptions != 0 || s.QueuedBytes != 0 {
			t.Errorf("the node still knows %+v", s)
		}
		w.close()
	})
}

// TestBinaryPayload goes to Protobuf clients only; JSON clients are told.
func TestBinaryPayload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.close()
		text := w.connected("7")
		text.send(`{"id":2,"subscribe":{"channel":"plain:1"}}`)
		text.take()
		binary := w.dial(protocol.Protobuf)
		frame := protocol.AppendCommand(nil, protocol.Protobuf, &protocol.Command{ID: 1, Connect: &protocol.ConnectRequest{}})
		frame = protocol.AppendCommand(frame, protocol.Protobuf, &protocol.Command{ID: 2, Subscribe: &protocol.SubscribeRequest{Channel: "plain:1"}})
		frame = protocol.AppendCommand(frame, protocol.Protobuf, &protocol.Command{ID: 3, Publish: &protocol.PublishRequest{Channel: "plain:1", Data: []byte{0xff}}})
		binary.send(string(frame))
		synctest.Wait()
		if got := text.take(); len(got) != 1 || got[0] != "\x01close 3506 inappropriate protocol" {
			t.Errorf("the JSON client got %q, want a close 3506", got)
		}
		if !strings.Contains(string(binary.got), "\xff") {
			t.Errorf("the Protobuf client did not get the payload: %q", binary.got)
		}
	})
}

// TestCommandLimit counts everything but subscribe, which has a limit of its own.
func TestS23_CommandsPerMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.close()
		rows := func(n int, command string) string {
			var all []string
			for i := range n {
				all = append(all, fmt.Sprintf(command, i+2, i))
			}
			return strings.Join(all, "\n")
		}
		for _, c := range []struct {
			name, message string
			open          bool
		}{
			{"64 commands", rows(64, `{"id":%d,"unsubscribe":{"channel":"plain:%d"}}`), true},
			{"65 commands", rows(65, `{"id":%d,"unsubscribe":{"channel":"plain:%d"}}`), false},
			{"128 subscriptions", rows(128, `{"id":%d,"subscribe":{"channel":"plain:%d"}}`), true},
		} {
			p := w.connected("7")
			if open := p.send(c.message); open != c.open {
				t.Errorf("%s: open = %t, want %t", c.name, open, c.open)
			}
		}
		p := w.connected("7")
		p.send(rows(129, `{"id":%d,"subscribe":{"channel":"plain:%d"}}`))
		got := strings.Join(p.take(), "\n")
		if want := `{"id":130,"error":{"code":106,"message":"limit exceeded"}}`; !strings.HasSuffix(got, want) {
			t.Errorf("subscription 129 is answered %s, want %s", got[max(0, len(got)-100):], want)
		}
	})
}

// chronicle is a source of a channel's past that is not the broker.
type chronicle struct{ pubs []*protocol.Publication }

func (c *chronicle) History(_ context.Context, _ string, f realtime.HistoryFilter) (realtime.Past, error) {
	past := realtime.Past{Top: protocol.StreamPosition{Offset: uint64(len(c.pubs)), Epoch: "database"}}
	for _, pub := range c.pubs {
		if f.Limit != 0 && (f.Since == nil || pub.Offset > f.Since.Offset) {
			past.Publications = append(past.Publications, pub)
		}
	}
	return past, nil
}

func (c *chronicle) add(n int) (*protocol.Publication, realtime.PublishOptions) {
	pub := &protocol.Publication{Data: fmt.Appendf(nil, `%d`, n), Offset: uint64(len(c.pubs) + 1)}
	c.pubs = append(c.pubs, pub)
	return pub, realtime.PublishOptions{Position: &protocol.StreamPosition{Offset: pub.Offset, Epoch: "database"}}
}

// TestPositionsFromElsewhere is the seam for channels whose past is in a database:
// publications bring their position, repeats are dropped, and recovery reads the source.
func TestPositionsFromElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var past chronicle
		g := gate{options: func(string) (realtime.ChannelOptions, error) {
			return realtime.ChannelOptions{Source: &past, ForceRecovery: true, ForcePositioning: true}, nil
		}}
		w := newWorld(t, func(o *realtime.Options) { o.Channels, o.Authorizer = g, g })
		defer w.close()
		announce := func(pub *protocol.Publication, o realtime.PublishOptions) {
			if _, err := w.node.Publish(t.Context(), "chat:7", pub.Data, o); err != nil {
				t.Fatal(err)
			}
		}
		announce(past.add(1))
		ann := w.connected("7")
		ann.send(`{"id":2,"subscribe":{"channel":"chat:7","recover":true}}`)
		pub, o := past.add(2)
		announce(pub, o)
		announce(pub, o) // a sink repeats after a crash
		synctest.Wait()
		want := `{"id":2,"subscribe":{"recoverable":true,"epoch":"database","publications":[{"data":1,"offset":1}],"recovered":true,"positioned":true,"was_recovering":true}}` +
			`{"push":{"channel":"chat:7","pub":{"data":2,"offset":2}}}`
		if got := strings.Join(ann.take(), ""); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		past.add(3) // announced nowhere: a notice in between is not numbered, and the gap is noticed later
		if _, err := w.node.Publish(t.Context(), "chat:7", []byte(`"typing"`), realtime.PublishOptions{}); err != nil {
			t.Fatal(err)
		}
		announce(past.add(4))
		synctest.Wait()
		want = `{"push":{"channel":"chat:7","pub":{"data":"typing"}}}` +
			`{"push":{"channel":"chat:7","unsubscribe":{"code":2500,"reason":"insufficient state"}}}`
		if got := strings.Join(ann.take(), ""); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		ann.send(`{"id":3,"subscribe":{"channel":"chat:7","recover":true,"epoch":"database","offset":2}}`)
		if got := strings.Join(ann.take(), ""); !strings.Contains(got, `"publications":[{"data":3,"offset":3},{"data":4,"offset":4}],"recovered":true,"offset":2`) {
			t.Errorf("recovery = %s", got)
		}
	})
}

// TestOptionsMustBeComplete refuses a node that could not decide anything.
func TestOptionsMustBeComplete(t *testing.T) {
	if _, err := realtime.New(realtime.Options{}); err == nil {
		t.Error("a node without authorizer was made")
	}
}

// TestShutdownIsEven closes half of the connections in half of the time.
func TestR37_ShutdownClosesEvenly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		var clients []*pipe
		for range 100 {
			clients = append(clients, w.connected("7"))
		}
		go func() {
			if err := w.node.Shutdown(context.Background(), 10*time.Second); err != nil {
				t.Error(err)
			}
		}()
		count := func() (n int) {
			for _, c := range clients {
				c.mu.Lock()
				if c.closed {
					n++
				}
				c.mu.Unlock()
			}
			return n
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := count(); got < 40 || got > 60 {
			t.Errorf("%d of 100 closed after half of the drain time", got)
		}
		late := w.dial(protocol.JSON)
		time.Sleep(time.Second)
		if got := late.take(); len(got) != 1 || got[0] != "\x01close 3001 shutdown" {
			t.Errorf("a new connection got %q, want a close 3001", got)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := count(); got != 100 {
			t.Errorf("%d of 100 closed after the drain time", got)
		}
		w.close()
	})
}
