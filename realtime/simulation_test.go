package realtime_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
)

// truth is what was published into one channel, by epoch and offset.
type truth map[protocol.StreamPosition]string

// follower is a client that keeps what a recoverable subscription gives it, as the
// official clients do: it believes the server and checks nothing by itself. The test
// checks for it.
type follower struct {
	t       testing.TB
	name    string
	channel string
	truth   truth
	pipe    *pipe
	id      uint32

	subscribed bool
	known      bool // has a position
	pos        protocol.StreamPosition
	reloads    int
}

func (f *follower) fatalf(format string, args ...any) {
	f.t.Helper()
	f.t.Fatalf("%s of %s: %s", f.name, f.channel, fmt.Sprintf(format, args...))
}

// connect opens a connection and subscribes, recovering if there is a position.
func (f *follower) connect(w *world) {
	f.pipe = w.dial(protocol.JSON)
	f.id = 1
	f.pipe.send(`{"id":1,"connect":{}}` + "\n" + f.request())
}

func (f *follower) request() string {
	f.id++
	if !f.known {
		return fmt.Sprintf(`{"id":%d,"subscribe":{"channel":%q,"recoverable":true}}`, f.id, f.channel)
	}
	return fmt.Sprintf(`{"id":%d,"subscribe":{"channel":%q,"recover":true,"recoverable":true,"offset":%d,"epoch":%q}}`,
		f.id, f.channel, f.pos.Offset, f.pos.Epoch)
}

func (f *follower) drop() {
	f.pipe.session.Gone()
	f.pipe, f.subscribed = nil, false
}

// read takes in everything that arrived and checks every step of it.
func (f *follower) read() {
	if f.pipe == nil {
		return
	}
	for _, message := range f.pipe.take() {
		if strings.HasPrefix(message, "\x01") {
			f.drop()
			return
		}
		for unit := range strings.SplitSeq(message, "\n") {
			f.take(parse(f.t, unit))
		}
	}
}

func (f *follower) take(r protocol.Reply) {
	switch {
	case r.Error != nil:
		f.fatalf("error %v", r.Error)
	case r.Subscribe != nil:
		f.begin(r.Subscribe)
	case r.Push == nil:
		if r.ID == 0 {
			f.pipe.send("{}")
		}
	case r.Push.Pub != nil:
		if !f.subscribed {
			f.fatalf("a publication before the subscribe reply")
		}
		f.step(r.Push.Pub)
	case r.Push.Unsubscribe != nil:
		if code := r.Push.Unsubscribe.Code; code != 2500 {
			f.fatalf("unsubscribed with code %d", code)
		}
		f.subscribed = false
		f.pipe.send(f.request())
	}
}

// begin takes a subscribe result. Recovered means that the publications continue what
// the follower has; else it loads the state anew, which is what it was told to do.
func (f *follower) begin(r *protocol.SubscribeResult) {
	if f.subscribed {
		f.fatalf("subscribed twice")
	}
	f.subscribed = true
	if r.Recovered {
		if !f.known || r.Offset != f.pos.Offset || (f.pos.Epoch != "" && r.Epoch != f.pos.Epoch) {
			f.fatalf("recovered from %d of %q, want %+v", r.Offset, r.Epoch, f.pos)
		}
		f.pos.Epoch = r.Epoch
		for _, pub := range r.Publications {
			f.step(pub)
		}
		return
	}
	if len(r.Publications) > 0 {
		f.fatalf("%d publications without recovery", len(r.Publications))
	}
	if f.known {
		f.reloads++
	}
	f.known = true
	f.pos = protocol.StreamPosition{Offset: r.Offset, Epoch: r.Epoch}
}

// step takes the next publication: it must be the one that follows, as it was published.
func (f *follower) step(pub *protocol.Publication) {
	f.t.Helper()
	next := protocol.StreamPosition{Offset: f.pos.Offset + 1, Epoch: f.pos.Epoch}
	if pub.Offset != next.Offset {
		f.fatalf("publication %d follows %d", pub.Offset, f.pos.Offset)
	}
	if want := f.truth[next]; string(pub.Data) != want {
		f.fatalf("publication %+v is %s, want %s", next, pub.Data, want)
	}
	f.pos = next
}

// TestR12_R13_SubscribeMergesThePastAndThePresent publishes at every place where
// subscribing can be interrupted, any number of times, and checks that a recovery
// called complete is complete, that one possible is not refused, and that there is no
// hole and no repeat at the seam.
func TestR12_R13_SubscribeMergesThePastAndThePresent(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		before := rapid.IntRange(0, 12).Draw(rt, "published before")
		seen := rapid.IntRange(0, before).Draw(rt, "seen by the client")
		size := rapid.IntRange(1, 12).Draw(rt, "history size")
		limit := rapid.IntRange(1, 12).Draw(rt, "recovery limit")
		epoch := rapid.SampledFrom([]string{"right", "empty", "foreign"}).Draw(rt, "epoch")
		interrupts := rapid.SliceOfN(rapid.IntRange(0, 3), 5, 5).Draw(rt, "published at each interruption")
		synctest.Test(t, func(t *testing.T) {
			mergeOnce(t, rt, before, seen, size, limit, epoch, interrupts)
		})
	})
}

// interrupted is a broker that publishes more whenever it is asked something.
type interrupted struct {
	realtime.Broker
	before, after map[string]func()
}

func (b *interrupted) Subscribe(ctx context.Context, channel string) error {
	b.before["subscribe"]()
	defer b.after["subscribe"]()
	return b.Broker.Subscribe(ctx, channel)
}

func (b *interrupted) History(ctx context.Context, channel string, f realtime.HistoryFilter, metaTTL time.Duration) (realtime.Past, error) {
	b.before["history"]()
	defer b.after["history"]()
	return b.Broker.History(ctx, channel, f, metaTTL)
}

func mergeOnce(t *testing.T, rt *rapid.T, before, seen, size, limit int, epoch string, interrupts []int) {
	g := gate{options: func(string) (realtime.ChannelOptions, error) {
		return realtime.ChannelOptions{
			HistorySize: size, HistoryTTL: time.Hour, ForceRecovery: true, ForcePositioning: true,
		}, nil
	}}
	quiet := map[string]func(){"subscribe": func() {}, "history": func() {}}
	broker := &interrupted{realtime.NewMemoryBroker(realtime.MemoryOptions{}), quiet, quiet}
	w := newWorld(t, func(o *realtime.Options) {
		o.Broker, o.Channels, o.Authorizer, o.RecoveryLimit = broker, g, g, limit
	})
	defer w.close()
	f := &follower{t: t, name: "client", channel: "x", truth: make(truth)}
	n := 0
	publish := func(times int) {
		for range times {
			n++
			data := fmt.Sprint(n)
			pos, err := w.node.Publish(t.Context(), "x", []byte(data), realtime.PublishOptions{})
			if err != nil {
				rt.Fatal(err)
			}
			f.truth[pos] = data
			f.pos.Epoch = pos.Epoch
		}
	}
	publish(before)
	right := f.pos.Epoch
	f.known, f.pos.Offset = true, uint64(seen)
	switch epoch {
	case "empty":
		f.pos.Epoch = ""
	case "foreign":
		f.pos.Epoch = "foreign"
	}
	missedBeforeRead := before - seen + interrupts[0] + interrupts[1] + interrupts[2]
	at := func(i int) func() {
		return func() {
			asked := f.pos
			publish(interrupts[i])
			f.pos = asked
		}
	}
	broker.before = map[string]func(){"subscribe": at(0), "history": at(2)}
	broker.after = map[string]func(){"subscribe": at(1), "history": at(3)}
	f.connect(w)
	broker.before, broker.after = quiet, quiet
	asked := f.pos
	synctest.Wait()
	f.read()
	possible := missedBeforeRead <= min(size, limit) && (epoch == "empty" || f.pos.Epoch == asked.Epoch)
	if epoch == "right" && right == "" {
		possible = missedBeforeRead <= min(size, limit) // there was no stream yet
	}
	if recovered := f.reloads == 0; recovered != possible {
		rt.Fatalf("recovered = %t, want %t (missed %d, size %d, limit %d)", recovered, possible, missedBeforeRead, size, limit)
	}
	pos := f.pos
	at(4)()
	f.pos = pos
	synctest.Wait()
	f.read()
	if f.pos.Offset != uint64(n) {
		rt.Fatalf("the client is at %d of %d", f.pos.Offset, n)
	}
}

// TestSimulation runs a node with many clients, their connections cut, stalled and
// slow, publications lost on the way, and the broker's memory wiped, in an order that
// the seed decides. After every step each client holds a gapless prefix without
// repeats, or was told to reload; when the faults end, everybody has everything.
func TestSimulation(t *testing.T) {
	seeds := 60
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { simulate(t, uint64(seed)) })
		})
	}
}

// forgetful is a broker whose memory can be wiped, as by a crash or a flush.
type forgetful struct {
	memory atomic.Pointer[realtime.MemoryBroker]
	sink   realtime.Sink
}

func newForgetful() *forgetful {
	b := &forgetful{}
	b.memory.Store(realtime.NewMemoryBroker(realtime.MemoryOptions{}))
	return b
}

func (b *forgetful) wipe(subscribed map[string]int) {
	memory := realtime.NewMemoryBroker(realtime.MemoryOptions{})
	memory.Attach(b.sink)
	for channel := range subscribed {
		_ = memory.Subscribe(context.Background(), channel)
	}
	b.memory.Store(memory)
}

func (b *forgetful) Attach(sink realtime.Sink) {
	b.sink = sink
	b.memory.Load().Attach(sink)
}

func (b *forgetful) Run(ctx context.Context) error { return b.memory.Load().Run(ctx) }

func (b *forgetful) Subscribe(ctx context.Context, channel string) error {
	return b.memory.Load().Subscribe(ctx, channel)
}

func (b *forgetful) Unsubscribe(ctx context.Context, channel string) error {
	return b.memory.Load().Unsubscribe(ctx, channel)
}

func (b *forgetful) Publish(ctx context.Context, channel string, pub *protocol.Publication, o realtime.StreamOptions) (realtime.Published, error) {
	return b.memory.Load().Publish(ctx, channel, pub, o)
}

func (b *forgetful) PublishJoin(ctx context.Context, channel string, info *protocol.ClientInfo) error {
	return b.memory.Load().PublishJoin(ctx, channel, info)
}

func (b *forgetful) PublishLeave(ctx context.Context, channel string, info *protocol.ClientInfo) error {
	return b.memory.Load().PublishLeave(ctx, channel, info)
}

func (b *forgetful) History(ctx context.Context, channel string, f realtime.HistoryFilter, metaTTL time.Duration) (realtime.Past, error) {
	return b.memory.Load().History(ctx, channel, f, metaTTL)
}

func (b *forgetful) RemoveHistory(ctx context.Context, channel string) error {
	return b.memory.Load().RemoveHistory(ctx, channel)
}

func simulate(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 0))
	memory := newForgetful()
	broker := &lossy{Broker: memory}
	w := newWorld(t, func(o *realtime.Options) { o.Broker, o.QueueBytes = broker, 4096 })
	defer w.close()
	channels := []string{"big:1", "big:2", "chat:3"} // chat keeps 10 only
	truths := map[string]truth{}
	for _, channel := range channels {
		truths[channel] = make(truth)
	}
	var clients []*follower
	for i := range 12 {
		channel := channels[i%len(channels)]
		clients = append(clients, &follower{t: t, name: fmt.Sprintf("seed %d: client %d", seed, i), channel: channel, truth: truths[channel]})
	}
	n := 0
	publish := func(channel string) {
		n++
		data := fmt.Sprint(n)
		pos, err := w.node.Publish(t.Context(), channel, []byte(data), realtime.PublishOptions{})
		if err != nil {
			t.Fatal(err)
		}
		truths[channel][pos] = data
	}
	settle := func() {
		synctest.Wait()
		for _, c := range clients {
			c.read()
		}
		synctest.Wait()
	}
	for range 400 {
		c := clients[rnd.IntN(len(clients))]
		switch rnd.IntN(20) {
		case 0:
			memory.wipe(w.node.Channels(nil))
		case 1:
			broker.lose.Store(true)
			publish(channels[rnd.IntN(len(channels))])
			broker.lose.Store(false)
		case 2:
			time.Sleep(time.Duration(rnd.IntN(5000)) * time.Millisecond)
		case 3, 4:
			if c.pipe != nil {
				c.drop()
			}
		case 5, 6, 7, 8:
			if c.pipe == nil {
				c.connect(w)
			}
		case 9, 10:
			if c.pipe != nil {
				c.pipe.limit(rnd.IntN(200))
			}
		case 11, 12:
			if c.pipe != nil {
				c.pipe.limit(-1)
			}
		case 13: // a burst while somebody subscribes
			go func() {
				for range rnd.IntN(20) {
					publish(c.channel)
				}
			}()
			if c.pipe == nil {
				c.connect(w)
			}
			synctest.Wait()
		default:
			publish(channels[rnd.IntN(len(channels))])
		}
		settle()
	}
	// The faults end.
	for _, c := range clients {
		if c.pipe != nil {
			c.pipe.limit(-1)
		}
	}
	for range 15 {
		time.Sleep(time.Second)
		settle()
		for _, c := range clients {
			if c.pipe == nil {
				c.connect(w)
			}
		}
		settle()
	}
	for _, c := range clients {
		o, _ := namespaces(c.channel)
		past, err := broker.History(t.Context(), c.channel, realtime.HistoryFilter{}, o.HistoryMetaTTL)
		if err != nil {
			t.Fatal(err)
		}
		if !c.subscribed || c.pos != past.Top {
			t.Errorf("%s stands at %+v (subscribed: %t), the stream at %+v", c.name, c.pos, c.subscribed, past.Top)
		}
	}
}
