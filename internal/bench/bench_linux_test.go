package bench_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/bench"
)

// small keeps a measure short; without a URL it starts the fake server as a process.
var small = bench.Target{Namespace: "bench", HistoryNamespace: "history", Rounds: 1, Output: "table"}

type measurer interface {
	Measure(ctx context.Context) ([]bench.Result, error)
}

func TestEveryMeasureOnAServerOfItsOwn(t *testing.T) {
	for _, c := range []struct {
		name    string
		m       measurer
		results int
		floors  bool
	}{
		{"floor", &bench.Floor{Target: small, Subscribers: []int{5}, PerWrite: []int{1, 8}, Size: 100, Rate: 2000, Publishes: 16, Requests: 20}, 4, false},
		{"fanout", &bench.Fanout{Target: small, Subscribers: 20, Inflight: 1, Size: 100, Publishes: 20}, 1, true},
		{"fanout in flight", &bench.Fanout{Target: small, Subscribers: 20, Inflight: 8, Size: 60, Publishes: 40}, 1, true},
		{"fanout at a rate", &bench.Fanout{Target: small, Subscribers: 10, Inflight: 1, Size: 100, Rate: 200, Publishes: 20}, 1, true},
		{"pairs", &bench.Pairs{Target: small, Clients: 20, Inflight: 2, Size: 100, Publishes: 60}, 1, false},
		{"publish", &bench.Publish{Target: small, Connections: 2, Size: 100, Requests: 40}, 2, true},
		{"publish in batches", &bench.Publish{Target: small, Connections: 1, Size: 100, Batch: 100, Requests: 3}, 1, false},
		{"publish over WebSocket", &bench.Publish{Target: small, WS: true, Frames: 4, Size: 100, Requests: 10}, 1, false},
		{"connect", &bench.Connect{Target: small, Connections: 40, Parallel: 8, Channels: 3}, 1, false},
		{"storm", &bench.Storm{Target: small, Clients: 30, Channels: 3, Missed: 10, Parallel: 8, Size: 100}, 1, false},
		{"idle", &bench.Idle{Target: small, Connections: 20, Channels: 1, IdleDuration: 50 * time.Millisecond}, 2, false},
		{"gateway idle", &bench.Gateway{Target: small, Only: []string{"idle"}, Connections: 20, Matching: 1, Rate: 1, Batch: 1, Events: 1}, 1, false},
		{"gateway matching", &bench.Gateway{Target: small, Only: []string{"matching"}, Connections: 20, Matching: 2, Rate: 500, Batch: 1, Turn: 20 * time.Millisecond, Events: 1}, 1, true},
		{"gateway replay", &bench.Gateway{Target: small, Only: []string{"replay"}, Connections: 20, Matching: 1, Rate: 1, Batch: 1, Events: 1000}, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			results, err := c.m.Measure(t.Context())
			if err != nil || len(results) != c.results {
				t.Fatalf("%d results, %v; want %d", len(results), err, c.results)
			}
			for _, r := range results {
				if len(r.Rounds) != 1 || math.IsNaN(r.Value) || (r.Value <= 0 && c.name != "idle") {
					t.Errorf("%s: value %g of rounds %v", r.Measure, r.Value, r.Rounds)
				}
				if c.floors != (r.Floor > 0 && r.Ratio > 0) {
					t.Errorf("%s: floor %g, ratio %g; want them: %t", r.Measure, r.Floor, r.Ratio, c.floors)
				}
			}
		})
	}
}

// TestDeliveryOfEvents has a test of its own because a difference of two CPU times may
// be anything where so little is delivered.
func TestDeliveryOfEvents(t *testing.T) {
	g := &bench.Gateway{Target: small, Only: []string{"delivery"}, Connections: 20, Matching: 3, Rate: 500, Batch: 2, Turn: 20 * time.Millisecond, Events: 1}
	results, err := g.Measure(t.Context())
	if err != nil || len(results) != 2 {
		t.Fatalf("%d results, %v; want two", len(results), err)
	}
	if cost := results[0]; len(cost.Rounds) != 1 || len(cost.Floors) != 1 {
		t.Errorf("%s: rounds %v, of publications %v; want one each", cost.Measure, cost.Rounds, cost.Floors)
	}
	if late := results[1]; len(late.Rounds) != 1 || late.Value <= 0 {
		t.Errorf("%s: %v; want a time", late.Measure, late.Rounds)
	}
}

// TestServerAlreadyRunning measures a server in this process: found by its socket.
func TestServerAlreadyRunning(t *testing.T) {
	srv := httptest.NewServer(newFake())
	defer srv.Close()
	target := small
	target.URL = srv.URL
	results, err := (&bench.Connect{Target: target, Connections: 10, Parallel: 2}).Measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r := results[0]; r.Value <= 0 || r.Met != nil {
		t.Errorf("value %g, met %v; want a value, and no verdict without a token", r.Value, r.Met)
	}
}

func TestRefusals(t *testing.T) {
	srv := httptest.NewServer(newFake())
	defer srv.Close()
	at := func(url, namespace string) bench.Target {
		target := small
		target.URL, target.Namespace = url, namespace
		return target
	}
	gone := small
	gone.PID = math.MaxInt32
	gone.URL = srv.URL
	for _, c := range []struct {
		want string
		m    measurer
	}{
		{"--url", &bench.Connect{Target: at("no address", "bench")}},
		{"without TLS", &bench.Connect{Target: at("https://127.0.0.1", "bench")}},
		{"103: permission denied", &bench.Connect{Target: at(srv.URL, "forbidden"), Connections: 1, Parallel: 1}},
		{"--size 10", &bench.Pairs{Target: small, Size: 10}},
		{"--missed 101", &bench.Storm{Target: small, Size: 100, Missed: 101}},
		{"limit of", &bench.Idle{Target: small, Connections: 1 << 30}},
		{"CPU clock of process", &bench.Connect{Target: gone, Connections: 1, Parallel: 1}},
	} {
		if _, err := c.m.Measure(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want one with %q", err, c.want)
		}
	}
}

func TestContextEndsAMeasure(t *testing.T) {
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("enough"))
	defer cancel()
	_, err := (&bench.Idle{Target: small, Connections: 5, IdleDuration: time.Hour}).Measure(ctx)
	if err == nil || !strings.Contains(err.Error(), "enough") {
		t.Errorf("error %v, want the context's cause", err)
	}
}

// TestCommandLine runs the command as a person does, and its output as a program reads it.
func TestCommandLine(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		out, err := exec.CommandContext(t.Context(), self, append([]string{"bench"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	table := run("publish", "--rounds=1", "--requests="+strconv.Itoa(20))
	for _, want := range []string{"HTTP publish, plain: per publish", "HTTP publish, history 100: per publish", "≤ 1.1 × floor"} {
		if !strings.Contains(table, want) {
			t.Errorf("table lacks %q:\n%s", want, table)
		}
	}
	var report struct {
		Results []bench.Result `json:"results"`
	}
	if err := json.Unmarshal([]byte(run("connect", "--rounds=1", "--connections=10", "-o", "json")), &report); err != nil {
		t.Fatal(err)
	}
	if len(report.Results) != 1 || report.Results[0].Bar != 110 || report.Results[0].Met == nil {
		t.Errorf("results %+v, want one with the bar of 110 µs and a verdict", report.Results)
	}
}
