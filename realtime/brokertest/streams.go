package brokertest

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
)

func testOffsets(t *testing.T, b *bench) {
	b.subscribe("news")
	var epoch string
	for i := uint64(1); i <= 3; i++ {
		done := b.publish("news", fmt.Sprint(i), kept)
		if i == 1 {
			if epoch = done.Position.Epoch; epoch == "" {
				t.Fatal("the stream has no epoch")
			}
		}
		equal(t, "published", done, realtime.Published{Position: protocol.StreamPosition{Offset: i, Epoch: epoch}})
	}
	got := b.await("news", 3)
	for i, x := range got {
		want := protocol.StreamPosition{Offset: uint64(i + 1), Epoch: epoch}
		equal(t, "position handed over", x.pos, want)
		equal(t, "offset of the publication", x.pub.Offset, want.Offset)
		equal(t, "data", string(x.pub.Data), fmt.Sprint(i+1))
		wantEpoch := ""
		if i == 0 {
			wantEpoch = epoch
		}
		equal(t, "epoch of the publication", x.pub.Epoch, wantEpoch)
	}
	if other := b.publish("olds", "1", kept); other.Position.Epoch == epoch || other.Position.Offset != 1 {
		t.Errorf("another channel starts at %v", other.Position)
	}
}

func testOrder(t *testing.T, b *bench) {
	const publishers, each = 8, 50
	o := realtime.StreamOptions{HistorySize: publishers * each, HistoryTTL: time.Hour}
	b.subscribe("news")
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			last := uint64(0)
			for i := range each {
				done := b.publish("news", fmt.Sprintf("%d/%d", p, i), o)
				if done.Position.Offset <= last {
					t.Errorf("publisher %d got offset %d after %d", p, done.Position.Offset, last)
				}
				last = done.Position.Offset
			}
		})
	}
	wg.Wait()
	got := b.await("news", publishers*each)
	past := b.all("news")
	equal(t, "offsets in history", offsets(past.Publications), upTo(publishers*each))
	if len(got) != len(past.Publications) {
		t.Fatalf("%d handed over, %d retained", len(got), len(past.Publications))
	}
	for i, x := range got {
		if want := past.Publications[i]; x.pos.Offset != want.Offset || string(x.pub.Data) != string(want.Data) {
			t.Fatalf("number %d handed over is %s at %d, retained is %s", i+1, x.pub.Data, x.pos.Offset, want.Data)
		}
	}
}

func testAck(t *testing.T, b *bench) {
	for i := 1; i <= 20; i++ {
		done := b.publish("news", "x", kept)
		past := b.history("news", realtime.HistoryFilter{Limit: 1, Reverse: true})
		equal(t, "top", past.Top, done.Position)
		equal(t, "newest", offsets(past.Publications), []uint64{uint64(i)})
	}
}

func testWithoutHistory(t *testing.T, b *bench) {
	b.subscribe("news")
	for name, o := range map[string]realtime.StreamOptions{
		"no options": {},
		"no TTL":     {HistorySize: 10},
		"no size":    {HistoryTTL: time.Hour},
	} {
		equal(t, name, b.publish("news", "live", o), realtime.Published{})
	}
	for _, x := range b.await("news", 3) {
		equal(t, "position handed over", x.pos, protocol.StreamPosition{})
		equal(t, "offset and epoch", fmt.Sprintf("%d%q", x.pub.Offset, x.pub.Epoch), `0""`)
	}
	equal(t, "retained", len(b.all("news").Publications), 0)
	// Between retained ones it disturbs no position.
	b.publish("news", "1", kept)
	b.publish("news", "live", realtime.StreamOptions{})
	done := b.publish("news", "2", kept)
	equal(t, "offset", done.Position.Offset, 2)
	equal(t, "retained", offsets(b.all("news").Publications), upTo(2))
}

func testContent(t *testing.T, b *bench) {
	b.subscribe("news")
	pub := &protocol.Publication{
		Data:   protocol.Raw("{\"b\": 1,\n \"a\":1e2}\x00\xff"),
		Info:   &protocol.ClientInfo{User: "u", Client: "c", ConnInfo: protocol.Raw(`{"n":1}`), ChanInfo: protocol.Raw(`null`)},
		Tags:   map[string]string{"k": "v", "": ""},
		Binary: true,
	}
	if _, err := b.Publish(t.Context(), "news", pub, kept); err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]*protocol.Publication{
		"handed over": b.await("news", 1)[0].pub,
		"retained":    b.all("news").Publications[0],
	} {
		equal(t, name+": data", string(got.Data), "{\"b\": 1,\n \"a\":1e2}\x00\xff")
		equal(t, name+": tags", got.Tags, pub.Tags)
		equal(t, name+": binary", got.Binary, true)
		if got.Info == nil {
			t.Fatalf("%s: the info is lost", name)
		}
		equal(t, name+": info", *got.Info, *pub.Info)
	}
}

func testSize(t *testing.T, b *bench) {
	size := func(n int) realtime.StreamOptions {
		return realtime.StreamOptions{HistorySize: n, HistoryTTL: time.Hour}
	}
	for i := 1; i <= 25; i++ {
		b.publish("news", fmt.Sprint(i), size(10))
		equal(t, "retained", offsets(b.all("news").Publications), upTo(i)[max(0, i-10):])
	}
	b.publish("news", "26", size(3))
	equal(t, "retained after the size shrank", offsets(b.all("news").Publications), []uint64{24, 25, 26})
	for i := 27; i <= 60; i++ {
		b.publish("news", fmt.Sprint(i), size(20))
	}
	past := b.all("news")
	equal(t, "retained after the size grew", offsets(past.Publications), upTo(60)[40:])
	for _, p := range past.Publications {
		equal(t, "data", string(p.Data), fmt.Sprint(p.Offset))
	}
	b.publish("news", "61", size(1))
	equal(t, "retained with size 1", offsets(b.all("news").Publications), []uint64{61})
}

func testHistory(t *testing.T, b *bench) {
	// Offsets 4 to 8 are retained.
	var top protocol.StreamPosition
	for i := range 8 {
		top = b.publish("news", fmt.Sprint(i), realtime.StreamOptions{HistorySize: 5, HistoryTTL: time.Hour}).Position
	}
	since := func(offset uint64) *protocol.StreamPosition {
		return &protocol.StreamPosition{Offset: offset, Epoch: top.Epoch}
	}
	for _, c := range []struct {
		f    realtime.HistoryFilter
		want []uint64
	}{
		{realtime.HistoryFilter{}, nil},
		{realtime.HistoryFilter{Reverse: true}, nil},
		{realtime.HistoryFilter{Since: since(4)}, nil},
		{realtime.HistoryFilter{Limit: -1}, []uint64{4, 5, 6, 7, 8}},
		{realtime.HistoryFilter{Limit: 2}, []uint64{4, 5}},
		{realtime.HistoryFilter{Limit: 100}, []uint64{4, 5, 6, 7, 8}},
		{realtime.HistoryFilter{Limit: -1, Reverse: true}, []uint64{8, 7, 6, 5, 4}},
		{realtime.HistoryFilter{Limit: 1, Reverse: true}, []uint64{8}},
		{realtime.HistoryFilter{Limit: -1, Since: since(0)}, []uint64{4, 5, 6, 7, 8}},
		{realtime.HistoryFilter{Limit: 3, Since: since(2)}, []uint64{4, 5, 6}},
		{realtime.HistoryFilter{Limit: -1, Since: since(3)}, []uint64{4, 5, 6, 7, 8}},
		{realtime.HistoryFilter{Limit: -1, Since: since(5)}, []uint64{6, 7, 8}},
		{realtime.HistoryFilter{Limit: 2, Since: since(5)}, []uint64{6, 7}},
		{realtime.HistoryFilter{Limit: -1, Since: since(7)}, []uint64{8}},
		{realtime.HistoryFilter{Limit: -1, Since: since(8)}, nil},
		{realtime.HistoryFilter{Limit: -1, Since: since(9)}, nil},
		{realtime.HistoryFilter{Limit: -1, Since: since(math.MaxUint64)}, nil},
		{realtime.HistoryFilter{Limit: -1, Since: since(7), Reverse: true}, []uint64{6, 5, 4}},
		{realtime.HistoryFilter{Limit: 2, Since: since(7), Reverse: true}, []uint64{6, 5}},
		{realtime.HistoryFilter{Limit: -1, Since: since(5), Reverse: true}, []uint64{4}},
		{realtime.HistoryFilter{Limit: -1, Since: since(4), Reverse: true}, nil},
		{realtime.HistoryFilter{Limit: -1, Since: since(1), Reverse: true}, nil},
		{realtime.HistoryFilter{Limit: -1, Since: since(0), Reverse: true}, nil},
		{realtime.HistoryFilter{Limit: -1, Since: since(8), Reverse: true}, []uint64{7, 6, 5, 4}},
		// The epoch of Since is the caller's business.
		{realtime.HistoryFilter{Limit: -1, Since: &protocol.StreamPosition{Offset: 6, Epoch: "other"}}, []uint64{7, 8}},
		// All are before an offset that does not exist yet.
		{realtime.HistoryFilter{Limit: -1, Since: since(9), Reverse: true}, []uint64{8, 7, 6, 5, 4}},
		{realtime.HistoryFilter{Limit: 1, Since: since(math.MaxUint64), Reverse: true}, []uint64{8}},
	} {
		name := fmt.Sprintf("limit %d reverse %t", c.f.Limit, c.f.Reverse)
		if c.f.Since != nil {
			name += fmt.Sprintf(" since %d", c.f.Since.Offset)
		}
		past := b.history("news", c.f)
		equal(t, name, offsets(past.Publications), c.want)
		equal(t, name+": top", past.Top, top)
	}
}

func testUnused(t *testing.T, b *bench) {
	past := b.all("news")
	if past.Top.Epoch == "" || past.Top.Offset != 0 || len(past.Publications) != 0 {
		t.Fatalf("an unused channel has %+v", past)
	}
	equal(t, "asked again", b.all("news").Top, past.Top)
	done := b.publish("news", "1", kept)
	equal(t, "first publication", done.Position, protocol.StreamPosition{Offset: 1, Epoch: past.Top.Epoch})
	if other := b.all("olds"); other.Top.Epoch == past.Top.Epoch {
		t.Errorf("two channels have the epoch %s", other.Top.Epoch)
	}
}

func testRemoveHistory(t *testing.T, b *bench) {
	if err := b.RemoveHistory(t.Context(), "olds"); err != nil {
		t.Errorf("remove the history of an unused channel: %v", err)
	}
	b.publish("news", "1", kept)
	top := b.publish("news", "2", kept).Position
	if err := b.RemoveHistory(t.Context(), "news"); err != nil {
		t.Fatal(err)
	}
	past := b.all("news")
	equal(t, "retained", len(past.Publications), 0)
	equal(t, "top", past.Top, top)
	equal(t, "next", b.publish("news", "3", kept).Position, protocol.StreamPosition{Offset: 3, Epoch: top.Epoch})
	equal(t, "retained", offsets(b.all("news").Publications), []uint64{3})
}

func testIdempotency(t *testing.T, b *bench) {
	b.subscribe("news")
	b.subscribe("live")
	once := kept
	once.IdempotencyKey = "k"
	first := b.publish("news", "a", once)
	equal(t, "first is suppressed", first.Suppressed, false)
	b.publish("news", "b", kept)
	want := realtime.Published{Position: first.Position, Suppressed: true}
	equal(t, "repeated", b.publish("news", "a again", once), want)
	equal(t, "another key", b.publish("news", "c", realtime.StreamOptions{
		HistorySize: 100, HistoryTTL: time.Hour, IdempotencyKey: "k2",
	}).Position.Offset, 3)
	equal(t, "in another channel", b.publish("olds", "a", once).Suppressed, false)
	equal(t, "delivered", b.delivered("news"), []string{"a", "b", "c"})
	equal(t, "retained", offsets(b.all("news").Publications), upTo(3))

	once = realtime.StreamOptions{IdempotencyKey: "k"}
	equal(t, "without history", b.publish("live", "a", once), realtime.Published{})
	equal(t, "repeated without history", b.publish("live", "a", once), realtime.Published{Suppressed: true})
	equal(t, "delivered without history", b.delivered("live"), []string{"a"})
}

func testConcurrentDuplicates(t *testing.T, b *bench) {
	b.subscribe("news")
	const keys, repeats = 20, 8
	done := make([][repeats]realtime.Published, keys)
	var wg sync.WaitGroup
	for r := range repeats {
		wg.Go(func() {
			for k := range keys {
				o := kept
				o.IdempotencyKey = fmt.Sprint(k)
				done[k][r] = b.publish("news", fmt.Sprint(k), o)
			}
		})
	}
	wg.Wait()
	for k, all := range done {
		published := 0
		for _, d := range all {
			equal(t, fmt.Sprintf("position of key %d", k), d.Position, all[0].Position)
			if !d.Suppressed {
				published++
			}
		}
		equal(t, fmt.Sprintf("times that key %d was published", k), published, 1)
	}
	equal(t, "delivered", len(b.delivered("news")), keys)
	equal(t, "retained", offsets(b.all("news").Publications), upTo(keys))
}

func testVersions(t *testing.T, b *bench) {
	b.subscribe("news")
	steps := []struct {
		version uint64
		epoch   string
		passes  bool
	}{
		{5, "", true},
		{5, "", false},
		{4, "", false},
		{6, "", true},
		{0, "", true},   // without a version always …
		{6, "", false},  // … and it is not forgotten
		{1, "a", true},  // another epoch starts anew
		{1, "a", false}, // within it as before
		{2, "a", true},
		{2, "", false}, // no epoch is any epoch
		{3, "", true},  // and becomes the stored one
		{3, "a", true}, // so this is another
		{0, "b", true}, // without version the epoch means nothing
		{3, "a", false},
		{math.MaxUint64, "a", true},
		{math.MaxUint64, "a", false},
		{math.MaxUint64 - 1, "a", false},
	}
	var top protocol.StreamPosition
	var want []string
	for i, step := range steps {
		o := kept
		o.Version, o.VersionEpoch = step.version, step.epoch
		done := b.publish("news", fmt.Sprint(i), o)
		if step.passes {
			top.Offset++
			top.Epoch = done.Position.Epoch
			want = append(want, fmt.Sprint(i))
		}
		name := fmt.Sprintf("step %d (version %d, epoch %q)", i, step.version, step.epoch)
		equal(t, name, done, realtime.Published{Position: top, Suppressed: !step.passes})
	}
	equal(t, "delivered", b.delivered("news"), want)

	b.subscribe("live")
	for range 2 {
		equal(t, "without history", b.publish("live", "a", realtime.StreamOptions{Version: 1}), realtime.Published{})
	}
	equal(t, "delivered without history", b.delivered("live"), []string{"a", "a"})
}

func testOwnPositions(t *testing.T, b *bench) {
	b.subscribe("chat")
	steps := []struct {
		offset uint64
		epoch  string
		passes bool
	}{
		{7, "e", true},
		{7, "e", false},
		{6, "e", false},
		{8, "e", true},
		{12, "e", true},
		{1, "f", true},
		{1, "f", false},
		{2, "f", true},
	}
	var want []string
	for i, step := range steps {
		pos := protocol.StreamPosition{Offset: step.offset, Epoch: step.epoch}
		o := kept // of no effect: somebody else retains
		o.Position = &pos
		done := b.publish("chat", fmt.Sprint(i), o)
		equal(t, fmt.Sprint("step ", i), done, realtime.Published{Position: pos, Suppressed: !step.passes})
		if step.passes {
			want = append(want, fmt.Sprint(i))
			got := b.await("chat", len(want))
			last := got[len(got)-1]
			equal(t, "position handed over", last.pos, pos)
			equal(t, "offset of the publication", last.pub.Offset, pos.Offset)
			wantEpoch := ""
			if pos.Offset == 1 {
				wantEpoch = pos.Epoch
			}
			equal(t, "epoch of the publication", last.pub.Epoch, wantEpoch)
		}
	}
	equal(t, "delivered", b.delivered("chat"), want)
	equal(t, "retained", len(b.all("chat").Publications), 0)
}

func testJoinLeave(t *testing.T, b *bench) {
	ctx := t.Context()
	info := &protocol.ClientInfo{User: "u", Client: "c1", ConnInfo: protocol.Raw(`{}`)}
	b.subscribe("news")
	for _, channel := range []string{"news", "olds"} {
		if err := b.PublishJoin(ctx, channel, info); err != nil {
			t.Fatal(err)
		}
		b.publish(channel, "x", kept)
		if err := b.PublishLeave(ctx, channel, info); err != nil {
			t.Fatal(err)
		}
	}
	got := b.await("news", 3)
	equal(t, "taken", texts(got), []string{"join c1", "x", "leave c1"})
	equal(t, "info", *got[0].join, *info)
	equal(t, "info", *got[2].leave, *info)
	equal(t, "retained", offsets(b.all("news").Publications), upTo(1))
}

func testSubscribeConfirms(t *testing.T, b *bench) {
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 50 {
				channel := fmt.Sprintf("news:%d:%d", w, i)
				if err := b.Subscribe(t.Context(), channel); err != nil {
					t.Errorf("subscribe: %v", err)
					return
				}
				b.publish(channel, "x", kept)
				b.await(channel, 1)
				if err := b.Unsubscribe(t.Context(), channel); err != nil {
					t.Errorf("unsubscribe: %v", err)
				}
			}
		})
	}
	wg.Wait()
}

func testResubscribe(t *testing.T, b *bench) {
	if err := b.Unsubscribe(t.Context(), "news"); err != nil {
		t.Errorf("unsubscribe from a channel never subscribed to: %v", err)
	}
	for i := range 10 {
		b.subscribe("news")
		b.publish("news", fmt.Sprint(i), kept)
		b.await("news", i+1)
		if err := b.Unsubscribe(t.Context(), "news"); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "offsets of one stream", offsets(b.all("news").Publications), upTo(10))
	var got []uint64
	for _, x := range b.await("news", 10) {
		got = append(got, x.pos.Offset)
	}
	if !slices.Equal(got, upTo(10)) {
		t.Errorf("handed over %v", got)
	}
}
