package brokertest

import (
	"testing"
	"time"

	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
)

// TestExpiry checks when streams are forgotten. It sleeps for some ten units; a unit
// must be long compared with the time that a call takes.
func TestExpiry(t *testing.T, unit time.Duration, open func(t *testing.T) realtime.Broker) {
	b := start(t, open(t))
	o := realtime.StreamOptions{HistorySize: 10, HistoryTTL: 2 * unit, HistoryMetaTTL: 5 * unit}
	b.publish("news", "1", o)
	time.Sleep(unit)
	top := b.publish("news", "2", o).Position
	time.Sleep(unit + unit/2)
	// Publishing refreshed what was there.
	past := b.history("news", realtime.HistoryFilter{Limit: -1})
	if n := len(past.Publications); n == 0 {
		t.Error("the newest publication expired before its time")
	}
	time.Sleep(unit)
	past, err := b.History(t.Context(), "news", realtime.HistoryFilter{Limit: -1}, 5*unit)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "retained after the TTL", len(past.Publications), 0)
	equal(t, "top after the TTL", past.Top, top)
	next := b.publish("news", "3", o).Position
	equal(t, "next position", next, protocol.StreamPosition{Offset: 3, Epoch: top.Epoch})
	equal(t, "retained", offsets(b.history("news", realtime.HistoryFilter{Limit: -1}).Publications), []uint64{3})

	b.publish("olds", "1", o)
	time.Sleep(6 * unit)
	again := b.publish("olds", "1", o).Position
	equal(t, "offset after the meta TTL", again.Offset, 1)
	if again.Epoch == "" {
		t.Error("the new stream has no epoch")
	}
	fresh, err := b.History(t.Context(), "fresh", realtime.HistoryFilter{}, unit)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * unit)
	if later := b.history("fresh", realtime.HistoryFilter{}); later.Top == fresh.Top {
		t.Error("the epoch of an unused stream outlived its meta TTL")
	}
}
