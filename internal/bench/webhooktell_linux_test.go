package bench

import (
	"encoding/json"
	"testing"

	"github.com/kuranty/kuranty/webhook"
)

func TestWebhookCarriesItsNumberAndTime(t *testing.T) {
	var told struct {
		Type string          `json:"type"`
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(appendNews(nil, wanted(3), 1_000_000_042, 1_795_316_768_123_456_789, 250), &told); err != nil || told.Type != "bench.wanted_3" || len(told.Data) != 250 {
		t.Fatalf("told of %+v, %v; want 250 bytes", told, err)
	}
	body, err := webhook.Canonical(told.Data)
	if err != nil {
		t.Fatal(err)
	}
	if n, at, ok := newsStamp(body); !ok || n != 1_000_000_042 || at != 1_795_316_768_123_456_789 {
		t.Errorf("found %d, %d, %t in %s", n, at, ok, body)
	}
	if _, _, ok := newsStamp(body[:40]); ok {
		t.Errorf("a stamp found in %s", body[:40])
	}
}

func TestTallyKnowsWhatIsLate(t *testing.T) {
	var y tally
	y.begin(100, 4)
	b := y.send(100, 1_000, 4, func(n int64) bool { return n != 103 })
	y.arrived(101, 2_000)  // before the answer
	y.arrived(101, 90_000) // a repetition
	y.arrived(99, 90_000)  // of another round
	y.arrived(103, 90_000) // not awaited
	y.answered(b, 100, 3_000, 4)
	y.arrived(100, 4_000)
	select {
	case <-b.over:
		t.Fatal("over before all had arrived")
	default:
	}
	y.arrived(102, 7_000)
	<-b.over
	out := y.result()
	if out.Publishes != 4 || out.Deliveries != 3 || out.P50 != 3_000 || out.P99 != 6_000 || out.afterAnswer != 4_000 || out.stored != 2_000 {
		t.Errorf("%+v", out)
	}
}
