// Package brokertest states what a [realtime.Broker] and a [realtime.PresenceStore]
// must do, as tests that every implementation runs:
//
//	func TestBroker(t *testing.T) { brokertest.Test(t, open) }
//
// [Test] and [TestPresence] do not depend on time. [TestExpiry] and
// [TestPresenceExpiry] sleep, in units that the caller chooses: seconds where the clock is
// real, anything inside testing/synctest.
//
// Each test opens its own broker, runs it in a goroutine and waits for its end before
// it returns.
package brokertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
)

// patience is how long something may take that must happen.
const patience = 20 * time.Second

// Test runs the whole contract of a broker but for time. open returns a new, empty
// broker that is not attached yet; what it needs to be closed it registers as cleanup.
func Test(t *testing.T, open func(t *testing.T) realtime.Broker) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, b *bench)
	}{
		{"Offsets", testOffsets},
		{"OrderOfConcurrentPublishers", testOrder},
		{"AckMeansAppended", testAck},
		{"WithoutHistory", testWithoutHistory},
		{"Content", testContent},
		{"Size", testSize},
		{"History", testHistory},
		{"HistoryOfUnusedChannel", testUnused},
		{"RemoveHistory", testRemoveHistory},
		{"Idempotency", testIdempotency},
		{"ConcurrentDuplicates", testConcurrentDuplicates},
		{"Versions", testVersions},
		{"OwnPositions", testOwnPositions},
		{"JoinLeave", testJoinLeave},
		{"SubscribeConfirms", testSubscribeConfirms},
		{"Resubscribe", testResubscribe},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, start(t, open(t))) })
	}
}

// kept is how tests publish where nothing else matters.
var kept = realtime.StreamOptions{HistorySize: 100, HistoryTTL: time.Hour}

// bench is a running broker on the test bench, with everything its sink took.
type bench struct {
	realtime.Broker
	t *testing.T

	mu      sync.Mutex
	taken   map[string][]taken // by channel
	more    chan struct{}      // closed when something is taken
	busy    sync.Map           // channel → *atomic.Bool: a call of the sink is under way
	flushes atomic.Int64
}

// taken is one call of the sink.
type taken struct {
	pub         *protocol.Publication
	pos         protocol.StreamPosition
	join, leave *protocol.ClientInfo
}

func start(t *testing.T, b realtime.Broker) *bench {
	s := &bench{Broker: b, t: t, taken: make(map[string][]taken), more: make(chan struct{})}
	b.Attach(s)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	return s
}

func (s *bench) take(channel string, x taken) {
	busy, _ := s.busy.LoadOrStore(channel, new(atomic.Bool))
	if !busy.(*atomic.Bool).CompareAndSwap(false, true) {
		s.t.Errorf("channel %s: two calls of the sink at once", channel)
	}
	s.mu.Lock()
	s.taken[channel] = append(s.taken[channel], x)
	close(s.more)
	s.more = make(chan struct{})
	s.mu.Unlock()
	busy.(*atomic.Bool).Store(false)
}

// Publication implements [realtime.Sink].
func (s *bench) Publication(channel string, pub *protocol.Publication, pos protocol.StreamPosition) {
	s.take(channel, taken{pub: pub, pos: pos})
}

// Join implements [realtime.Sink].
func (s *bench) Join(channel string, info *protocol.ClientInfo) { s.take(channel, taken{join: info}) }

// Leave implements [realtime.Sink].
func (s *bench) Leave(channel string, info *protocol.ClientInfo) { s.take(channel, taken{leave: info}) }

// Flush implements [realtime.Sink].
func (s *bench) Flush(string) { s.flushes.Add(1) }

// await returns what the sink took for channel, as soon as it is n things.
func (s *bench) await(channel string, n int) []taken {
	s.t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		s.mu.Lock()
		got, more := slices.Clone(s.taken[channel]), s.more
		s.mu.Unlock()
		if len(got) >= n {
			return got
		}
		select {
		case <-more:
		case <-late.C:
			s.t.Fatalf("channel %s: the sink took %d things, want %d", channel, len(got), n)
		}
	}
}

// delivered publishes a last publication and returns what came before it, so that
// what must not be delivered had its chance.
func (s *bench) delivered(channel string) []string {
	s.t.Helper()
	s.publish(channel, "last", realtime.StreamOptions{})
	for n := 1; ; n++ {
		got := s.await(channel, n)
		if last := got[len(got)-1]; last.pub != nil && string(last.pub.Data) == "last" {
			return texts(got[:len(got)-1])
		}
	}
}

func texts(got []taken) []string {
	all := []string{}
	for _, x := range got {
		switch {
		case x.pub != nil:
			all = append(all, string(x.pub.Data))
		case x.join != nil:
			all = append(all, "join "+x.join.Client)
		default:
			all = append(all, "leave "+x.leave.Client)
		}
	}
	return all
}

func (s *bench) subscribe(channel string) {
	s.t.Helper()
	if err := s.Subscribe(s.t.Context(), channel); err != nil {
		s.t.Fatalf("subscribe to %s: %v", channel, err)
	}
}

func (s *bench) publish(channel, data string, o realtime.StreamOptions) realtime.Published {
	s.t.Helper()
	done, err := s.Publish(context.WithoutCancel(s.t.Context()), channel, &protocol.Publication{Data: protocol.Raw(data)}, o)
	if err != nil {
		s.t.Fatalf("publish into %s: %v", channel, err)
	}
	return done
}

func (s *bench) history(channel string, f realtime.HistoryFilter) realtime.Past {
	s.t.Helper()
	past, err := s.History(context.WithoutCancel(s.t.Context()), channel, f, 0)
	if err != nil {
		s.t.Fatalf("history of %s: %v", channel, err)
	}
	return past
}

// all returns everything retained.
func (s *bench) all(channel string) realtime.Past {
	s.t.Helper()
	return s.history(channel, realtime.HistoryFilter{Limit: -1})
}

func offsets(pubs []*protocol.Publication) []uint64 {
	all := []uint64{}
	for _, p := range pubs {
		all = append(all, p.Offset)
	}
	return all
}

func upTo(n int) []uint64 {
	all := []uint64{}
	for i := range n {
		all = append(all, uint64(i+1))
	}
	return all
}

// equal fails the test if what is not as expected.
func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if g, w := fmt.Sprintf("%v", got), fmt.Sprintf("%v", want); g != w {
		t.Errorf("%s = %s, want %s", what, g, w)
	}
}
