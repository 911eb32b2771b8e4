package realtime_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
	"github.com/kuranty/kuranty/realtime/brokertest"
)

// deaf is a sink that takes nothing.
type deaf struct{}

func (deaf) Publication(string, *protocol.Publication, protocol.StreamPosition) {}
func (deaf) Join(string, *protocol.ClientInfo)                                  {}
func (deaf) Leave(string, *protocol.ClientInfo)                                 {}
func (deaf) Flush(string)                                                       {}

func newMemoryBroker(testing.TB) *realtime.MemoryBroker {
	b := realtime.NewMemoryBroker(realtime.MemoryOptions{})
	b.Attach(deaf{})
	return b
}

func publishTo(t testing.TB, b realtime.Broker, channel string, o realtime.StreamOptions) realtime.Published {
	t.Helper()
	done, err := b.Publish(context.Background(), channel, &protocol.Publication{Data: protocol.Raw(`{"x":1}`)}, o)
	if err != nil {
		t.Fatalf("publish into %s: %v", channel, err)
	}
	return done
}

func pastOf(t testing.TB, b realtime.Broker, channel string) realtime.Past {
	t.Helper()
	past, err := b.History(context.Background(), channel, realtime.HistoryFilter{Limit: -1}, 0)
	if err != nil {
		t.Fatalf("history of %s: %v", channel, err)
	}
	return past
}

func TestMemoryBroker(t *testing.T) {
	brokertest.Test(t, func(*testing.T) realtime.Broker {
		return realtime.NewMemoryBroker(realtime.MemoryOptions{})
	})
}

func TestMemoryBrokerExpiry(t *testing.T) {
	for _, unit := range []time.Duration{time.Second, time.Hour} { // before and after sweeps
		synctest.Test(t, func(t *testing.T) {
			brokertest.TestExpiry(t, unit, func(*testing.T) realtime.Broker {
				return realtime.NewMemoryBroker(realtime.MemoryOptions{})
			})
		})
	}
}

// TestR17_AckMeansAppended: when Publish has returned, history holds the publication,
// and the sink has it.
func TestR17_AckMeansAppended(t *testing.T) {
	b, sink := realtime.NewMemoryBroker(realtime.MemoryOptions{}), &lastSink{}
	b.Attach(sink)
	if err := b.Subscribe(t.Context(), "news"); err != nil {
		t.Fatal(err)
	}
	o := realtime.StreamOptions{HistorySize: 3, HistoryTTL: time.Hour}
	for i := uint64(1); i <= 10; i++ {
		done := publishTo(t, b, "news", o)
		past := pastOf(t, b, "news")
		if newest := past.Publications[len(past.Publications)-1]; newest.Offset != i || done.Position != past.Top || sink.pos != past.Top {
			t.Fatalf("publication %d: newest is %d, top %v, handed over %v", i, newest.Offset, past.Top, sink.pos)
		}
	}
}

type lastSink struct {
	deaf
	pos protocol.StreamPosition
}

func (s *lastSink) Publication(_ string, _ *protocol.Publication, pos protocol.StreamPosition) {
	s.pos = pos
}

func TestIdempotencyKeysLiveFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newMemoryBroker(t)
		o := realtime.StreamOptions{IdempotencyKey: "k"}
		publishTo(t, b, "news", o)
		time.Sleep(5*time.Minute - time.Second)
		if !publishTo(t, b, "news", o).Suppressed {
			t.Error("the key was forgotten within 5 minutes")
		}
		time.Sleep(time.Second)
		if publishTo(t, b, "news", o).Suppressed {
			t.Error("the key was remembered for more than 5 minutes")
		}
		if !publishTo(t, b, "news", o).Suppressed {
			t.Error("the key was not remembered again")
		}
	})
}

func TestIdempotencyKeysAreBounded(t *testing.T) {
	b := realtime.NewMemoryBroker(realtime.MemoryOptions{IdempotencyBytes: 64 << 10})
	b.Attach(deaf{})
	remembered := func(i int) bool {
		return publishTo(t, b, "news", realtime.StreamOptions{IdempotencyKey: fmt.Sprint(i)}).Suppressed
	}
	for i := range 1000 {
		if remembered(i) {
			t.Fatalf("key %d is new and was suppressed", i)
		}
		if !remembered(i) {
			t.Fatalf("key %d was forgotten at once", i)
		}
	}
	if remembered(0) {
		t.Error("1 KiB for a shard holds a thousand keys")
	}
}

func TestSweepForgetsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newMemoryBroker(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.Run(ctx) }()
		o := realtime.StreamOptions{HistorySize: 10, HistoryTTL: time.Minute, HistoryMetaTTL: time.Hour, IdempotencyKey: "k"}
		for i := range 5000 {
			publishTo(t, b, fmt.Sprint("news:", i), o)
			own := protocol.StreamPosition{Offset: 5, Epoch: "e"}
			publishTo(t, b, fmt.Sprint("chat:", i), realtime.StreamOptions{Position: &own, HistoryMetaTTL: time.Hour})
		}
		full := b.Held()
		if full.Channels != 10_000 || full.Streams != 5000 || full.Publications != 5000 || full.IdempotencyKeys != 5000 {
			t.Errorf("before: %+v", full)
		}
		time.Sleep(10 * time.Minute)
		if s := b.Held(); s.Streams != 5000 || s.Publications != 0 || s.IdempotencyKeys != 0 {
			t.Errorf("after the TTL: %+v", s)
		}
		time.Sleep(time.Hour)
		if s := b.Held(); s != (realtime.Held{}) {
			t.Errorf("after the meta TTL: %+v", s)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestR15_SnapshotRestores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := newMemoryBroker(t)
		o := realtime.StreamOptions{HistorySize: 3, HistoryTTL: time.Hour, HistoryMetaTTL: 3 * time.Hour}
		for range 5 {
			publishTo(t, old, "plain", o)
		}
		rich := &protocol.Publication{
			Data: protocol.Raw("\x00\xff"), Binary: true, Tags: map[string]string{"k": "v", "l": ""},
			Info: &protocol.ClientInfo{User: "u", Client: "c", ConnInfo: protocol.Raw(`1`), ChanInfo: protocol.Raw(`{}`)},
		}
		versioned := o
		versioned.Version, versioned.VersionEpoch, versioned.IdempotencyKey = 7, "v", "k"
		first, err := old.Publish(t.Context(), "rich", rich, versioned)
		if err != nil {
			t.Fatal(err)
		}
		own := protocol.StreamPosition{Offset: 9, Epoch: "db"}
		publishTo(t, old, "chat", realtime.StreamOptions{Position: &own})
		unused := pastOf(t, old, "unused")
		if err := old.Subscribe(t.Context(), "subscribed only"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		plain := pastOf(t, old, "plain")

		var file bytes.Buffer
		if err := old.Save(&file); err != nil {
			t.Fatal(err)
		}
		if _, err := old.Publish(t.Context(), "plain", &protocol.Publication{}, o); err == nil {
			t.Error("a saved broker accepted a publication that the snapshot lacks")
		}
		time.Sleep(time.Minute) // the restart
		b := newMemoryBroker(t)
		if err := b.Load(&file); err != nil {
			t.Fatal(err)
		}
		if got := pastOf(t, b, "plain"); fmt.Sprint(got.Top, dump(got)) != fmt.Sprint(plain.Top, dump(plain)) {
			t.Errorf("plain: %v %s, want %v %s", got.Top, dump(got), plain.Top, dump(plain))
		}
		got := pastOf(t, b, "rich")
		if want := pastOf(t, old, "rich"); dump(got) != dump(want) || got.Top != want.Top {
			t.Errorf("rich: %s, want %s", dump(got), dump(want))
		}
		if got := pastOf(t, b, "unused"); got.Top != unused.Top {
			t.Errorf("unused: %v, want %v", got.Top, unused.Top)
		}
		if again := publishTo(t, b, "rich", versioned); again != (realtime.Published{Position: first.Position, Suppressed: true}) {
			t.Errorf("idempotency key: %+v", again)
		}
		versioned.IdempotencyKey = ""
		if again := publishTo(t, b, "rich", versioned); !again.Suppressed {
			t.Error("the version was forgotten")
		}
		if !publishTo(t, b, "chat", realtime.StreamOptions{Position: &own}).Suppressed {
			t.Error("the own position was forgotten")
		}
		if next := publishTo(t, b, "plain", o).Position; next.Offset != 6 || next.Epoch != plain.Top.Epoch {
			t.Errorf("next position is %v", next)
		}
		if s := b.Held(); s.Channels != 4 {
			t.Errorf("channels restored: %+v", s)
		}
		// Times went on: keys for 5 minutes, publications for an hour, meta for three.
		time.Sleep(2 * time.Minute)
		versioned.IdempotencyKey, versioned.Version = "k", 0
		if publishTo(t, b, "rich", versioned).Suppressed {
			t.Error("the key lived for more than 5 minutes")
		}
		time.Sleep(55 * time.Minute)
		if got := pastOf(t, b, "plain"); len(got.Publications) != 4-1 {
			t.Errorf("publications after 55 minutes: %s", dump(got))
		}
	})
}

func TestR15_SnapshotKeepsTTLs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := newMemoryBroker(t)
		o := realtime.StreamOptions{HistorySize: 3, HistoryTTL: time.Hour, HistoryMetaTTL: 3 * time.Hour}
		top := publishTo(t, old, "news", o).Position
		time.Sleep(30 * time.Minute)
		var file bytes.Buffer
		if err := old.Save(&file); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			after    time.Duration
			retained int
			kept     bool
		}{{29 * time.Minute, 1, true}, {2 * time.Minute, 0, true}, {2 * time.Hour, 0, false}} {
			time.Sleep(c.after)
			b := newMemoryBroker(t)
			if err := b.Load(bytes.NewReader(file.Bytes())); err != nil {
				t.Fatal(err)
			}
			past := pastOf(t, b, "news")
			if len(past.Publications) != c.retained || (past.Top == top) != c.kept {
				t.Errorf("%v later: %d retained, top %v of %v", c.after, len(past.Publications), past.Top, top)
			}
		}
	})
}

// TestR28_SnapshotSavedInTheFuture: if the wall clock was set back meanwhile, keys still
// live 5 minutes at most, and nothing is lost.
func TestR28_SnapshotSavedInTheFuture(t *testing.T) {
	o := realtime.StreamOptions{HistorySize: 3, HistoryTTL: time.Hour, IdempotencyKey: "k"}
	var file bytes.Buffer
	var top protocol.StreamPosition
	synctest.Test(t, func(t *testing.T) { // whose clock starts where that of the next one does
		time.Sleep(24 * time.Hour)
		b := newMemoryBroker(t)
		top = publishTo(t, b, "news", o).Position
		if err := b.Save(&file); err != nil {
			t.Fatal(err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		b := newMemoryBroker(t)
		if err := b.Load(&file); err != nil {
			t.Fatal(err)
		}
		if past := pastOf(t, b, "news"); past.Top != top || len(past.Publications) != 1 {
			t.Errorf("%d publications, top %v of %v", len(past.Publications), past.Top, top)
		}
		time.Sleep(5*time.Minute - time.Second)
		if !publishTo(t, b, "news", o).Suppressed {
			t.Error("the key was forgotten within 5 minutes")
		}
		time.Sleep(time.Second)
		if publishTo(t, b, "news", o).Suppressed {
			t.Error("the key was remembered for more than 5 minutes")
		}
	})
}

// TestR14_NewEpochWithoutSnapshot: what was not saved is not continued.
func TestR14_NewEpochWithoutSnapshot(t *testing.T) {
	o := realtime.StreamOptions{HistorySize: 3, HistoryTTL: time.Hour}
	one, other := publishTo(t, newMemoryBroker(t), "news", o), publishTo(t, newMemoryBroker(t), "news", o)
	if one.Position.Epoch == other.Position.Epoch {
		t.Errorf("two lives of a stream have the epoch %s", one.Position.Epoch)
	}
}

func dump(p realtime.Past) string {
	s := ""
	for _, pub := range p.Publications {
		info := ""
		if pub.Info != nil {
			info = fmt.Sprintf("%+v", *pub.Info)
		}
		c := *pub
		c.Info = nil
		s += fmt.Sprintf("%+v %s\n", c, info)
	}
	return s
}

func TestR14_DamagedSnapshotLoadsNothing(t *testing.T) {
	b := newMemoryBroker(t)
	o := realtime.StreamOptions{HistorySize: 3, HistoryTTL: time.Hour, IdempotencyKey: "k"}
	epoch := publishTo(t, b, "news", o).Position.Epoch
	var file bytes.Buffer
	if err := b.Save(&file); err != nil {
		t.Fatal(err)
	}
	refuse := func(name string, data []byte) {
		t.Helper()
		b := newMemoryBroker(t)
		if err := b.Load(bytes.NewReader(data)); err == nil {
			t.Errorf("%s was loaded", name)
		}
		if pastOf(t, b, "news").Top.Epoch == epoch {
			t.Errorf("%s left something behind", name)
		}
	}
	whole := file.Bytes()
	for i := range whole {
		refuse(fmt.Sprintf("the first %d bytes", i), whole[:i])
		bad := bytes.Clone(whole)
		bad[i] ^= 1 << rand.IntN(8)
		refuse(fmt.Sprintf("a snapshot with byte %d changed", i), bad)
	}
	refuse("a snapshot with a byte more", append(bytes.Clone(whole), 0))
}

func TestSaveReportsWriteErrors(t *testing.T) {
	for room := range 5 {
		b := newMemoryBroker(t)
		publishTo(t, b, "news", realtime.StreamOptions{HistorySize: 3, HistoryTTL: time.Hour})
		if err := b.Save(&fullDisk{room}); err == nil {
			t.Errorf("a disk with room for %d writes made no error", room)
		}
	}
}

type fullDisk struct{ room int }

func (d *fullDisk) Write(p []byte) (int, error) {
	if d.room--; d.room < 0 {
		return 0, fmt.Errorf("no space left")
	}
	return len(p), nil
}

// seal appends the checksum, so that fuzzing gets behind it.
func seal(body []byte) []byte {
	sum := sha256.Sum256(body)
	return append(bytes.Clone(body), sum[:]...)
}

func FuzzLoad(f *testing.F) {
	b := newMemoryBroker(f)
	publishTo(f, b, "news", realtime.StreamOptions{HistorySize: 3, HistoryTTL: time.Hour, IdempotencyKey: "k", Version: 5})
	if _, err := b.Publish(context.Background(), "news", &protocol.Publication{
		Data: protocol.Raw("x"), Tags: map[string]string{"k": "v"}, Info: &protocol.ClientInfo{User: "u"},
	}, realtime.StreamOptions{HistorySize: 3, HistoryTTL: time.Hour}); err != nil {
		f.Fatal(err)
	}
	publishTo(f, b, "chat", realtime.StreamOptions{Position: &protocol.StreamPosition{Offset: 5, Epoch: "e"}})
	var file bytes.Buffer
	if err := b.Save(&file); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes()[:file.Len()-32])
	f.Fuzz(func(t *testing.T, body []byte) {
		b := newMemoryBroker(t)
		if err := b.Load(bytes.NewReader(seal(body))); err != nil {
			if s := b.Held(); s != (realtime.Held{}) {
				t.Fatalf("a refused snapshot left %+v", s)
			}
			return
		}
		o := realtime.StreamOptions{HistorySize: 2, HistoryTTL: time.Hour}
		publishTo(t, b, "news", o)
		if n := len(pastOf(t, b, "news").Publications); n < 1 || n > 2 {
			t.Fatalf("%d publications retained", n)
		}
		if err := b.Save(new(bytes.Buffer)); err != nil {
			t.Fatal(err)
		}
	})
}

func TestMemoryPresence(t *testing.T) {
	brokertest.TestPresence(t, func(*testing.T) realtime.PresenceStore { return realtime.NewMemoryPresence() })
}

// TestR19_PresenceEntriesExpire is the part of the store; nodes remove entries at once.
func TestR19_PresenceEntriesExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		brokertest.TestPresenceExpiry(t, func(*testing.T) realtime.PresenceStore { return realtime.NewMemoryPresence() })
	})
}

func BenchmarkMemoryPublish(b *testing.B) {
	data := protocol.Raw(bytes.Repeat([]byte("x"), 100))
	for _, size := range []int{0, 100} {
		b.Run(fmt.Sprintf("history=%d", size), func(b *testing.B) {
			broker := newMemoryBroker(b)
			if err := broker.Subscribe(b.Context(), "bench"); err != nil {
				b.Fatal(err)
			}
			o := realtime.StreamOptions{HistorySize: size, HistoryTTL: time.Minute}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := broker.Publish(context.Background(), "bench", &protocol.Publication{Data: data}, o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("history=100/idempotent", func(b *testing.B) {
		broker := newMemoryBroker(b)
		o := realtime.StreamOptions{HistorySize: 100, HistoryTTL: time.Minute}
		i := 0
		b.ReportAllocs()
		for b.Loop() {
			o.IdempotencyKey = fmt.Sprint(i)
			i++
			if _, err := broker.Publish(context.Background(), "bench", &protocol.Publication{Data: data}, o); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("history=100/channels=10000/parallel", func(b *testing.B) {
		broker := newMemoryBroker(b)
		o := realtime.StreamOptions{HistorySize: 100, HistoryTTL: time.Minute}
		channels := make([]string, 10_000)
		for i := range channels {
			channels[i] = fmt.Sprint("bench:", i)
			publishTo(b, broker, channels[i], o)
		}
		var workers sync.Mutex
		next := 0
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			workers.Lock()
			next += 5000
			i := next
			workers.Unlock()
			for pb.Next() {
				i++
				if _, err := broker.Publish(context.Background(), channels[i%len(channels)], &protocol.Publication{Data: data}, o); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}

func BenchmarkMemoryHistory(b *testing.B) {
	broker := newMemoryBroker(b)
	var top protocol.StreamPosition
	for range 100 {
		top = publishTo(b, broker, "bench", realtime.StreamOptions{HistorySize: 100, HistoryTTL: time.Hour}).Position
	}
	for _, missed := range []uint64{0, 10, 100} {
		b.Run(fmt.Sprintf("missed=%d", missed), func(b *testing.B) {
			f := realtime.HistoryFilter{Limit: 300, Since: &protocol.StreamPosition{Offset: top.Offset - missed}}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := broker.History(context.Background(), "bench", f, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
