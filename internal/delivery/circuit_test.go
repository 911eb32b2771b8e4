package delivery_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kuranty/kuranty/internal/delivery"
)

var (
	down   = delivery.Judge(delivery.Result{Code: "connect"})
	up     = delivery.Judge(delivery.Result{Status: 200})
	absent = delivery.Judge(delivery.Result{Code: "http_404", Status: 404})
)

// §4.7: ten failures in a row within five minutes open the circuit.
func TestSection4_7_CircuitOpens(t *testing.T) {
	for _, c := range []struct {
		name  string
		every time.Duration
		what  []delivery.Verdict
		open  bool
	}{
		{"nine", 0, repeat(9, down), false},
		{"ten at once", 0, repeat(10, down), true},
		{"ten in five minutes", 5 * time.Minute / 9, repeat(10, down), true},
		{"slower", 5*time.Minute/9 + 1, repeat(30, down), false},
		{"a success between", 0, append(append(repeat(9, down), up), repeat(9, down)...), false},
		{"an answer between", 0, append(append(repeat(9, down), absent), repeat(9, down)...), false},
		{"other failures", 0, repeat(50, absent), false},
	} {
		var circuit delivery.Circuit
		at := now
		for i, v := range c.what {
			if i > 0 {
				at = at.Add(c.every)
			}
			circuit.Done(at, circuit.Begin(), v, 10)
		}
		if circuit.Open() != c.open {
			t.Errorf("%s: open is %v", c.name, circuit.Open())
		}
		if room := circuit.Room(at, 0, 10); (room == 0) != c.open {
			t.Errorf("%s: room for %d", c.name, room)
		}
	}
}

func repeat(n int, v delivery.Verdict) (all []delivery.Verdict) {
	for range n {
		all = append(all, v)
	}
	return all
}

func opened(t *testing.T) (c delivery.Circuit) {
	t.Helper()
	for range 10 {
		c.Done(now, c.Begin(), down, 10)
	}
	if !c.Open() || c.OpenUntil.Sub(now) != 30*time.Second {
		t.Fatalf("open until %v", c.OpenUntil)
	}
	return c
}

// §4.7: one probe at the end of each opening, which doubles from 30 s to ten minutes.
func TestSection4_7_ProbesDoubleTheOpening(t *testing.T) {
	c := opened(t)
	at := now
	for _, want := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 10 * time.Minute, 10 * time.Minute} {
		if got := c.OpenUntil.Sub(at); got != want {
			t.Fatalf("open for %v, want %v", got, want)
		}
		if c.Room(c.OpenUntil.Add(-1), 0, 10) != 0 {
			t.Error("room before the time")
		}
		at = c.OpenUntil
		if c.Room(at, 0, 10) != 1 || c.Room(at, 1, 1) != 0 {
			t.Error("there is not room for one probe")
		}
		if !c.Begin() || c.Room(at, 1, 10) != 0 {
			t.Error("room for a second probe")
		}
		c.Done(at, true, down, 10)
	}
	at = c.OpenUntil
	c.Begin()
	c.Restart()
	if c.Room(at, 0, 10) != 1 {
		t.Error("no probe after a restart")
	}
	c.Done(at, c.Begin(), up, 10)
	if c.Open() {
		t.Error("a success does not close it")
	}
}

// §4.7: what began before the circuit opened says nothing afterwards.
func TestSection4_7_LateResultsAreIgnored(t *testing.T) {
	c := opened(t)
	until := c.OpenUntil
	c.Done(now.Add(time.Second), false, up, 10)
	for range 20 {
		c.Done(now.Add(time.Second), false, down, 10)
	}
	if !c.OpenUntil.Equal(until) {
		t.Errorf("open until %v, want %v", c.OpenUntil, until)
	}
}

// §4.7: after closing the held deliveries go out one at a time, twice as many after ten successes each.
func TestSection4_7_Drain(t *testing.T) {
	c := opened(t)
	at := c.OpenUntil
	c.Done(at, c.Begin(), up, 10)
	for _, want := range []int{1, 2, 4, 8, 10, 10} {
		if got := c.Room(at, 0, 10); got != want {
			t.Fatalf("room for %d, want %d", got, want)
		}
		if got := c.Room(at, want, 10); got != 0 {
			t.Fatalf("room for %d more than %d", got, want)
		}
		for range 9 {
			c.Done(at, c.Begin(), up, 10)
		}
		if got := c.Room(at, 0, 10); got != want {
			t.Fatalf("room for %d after nine successes, want %d", got, want)
		}
		c.Done(at, c.Begin(), up, 10)
	}
}

// Whatever happens: never more than the webhook allows, one probe at a time, an opening of 30 s
// to 10 min, and a receiver that is up again gets everything again.
func TestSection4_7_CircuitInvariants(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var c delivery.Circuit
		at, limit := now, rapid.IntRange(1, 100).Draw(rt, "limit")
		var flying []bool // whether each is the probe
		for range rapid.IntRange(1, 200).Draw(rt, "steps") {
			at = at.Add(time.Duration(rapid.IntRange(0, 60).Draw(rt, "wait")) * time.Second)
			room := c.Room(at, len(flying), limit)
			if room < 0 || room > 0 && len(flying)+room > limit {
				rt.Fatalf("room for %d with %d of %d in flight", room, len(flying), limit)
			}
			if room > 0 && rapid.Bool().Draw(rt, "begin") {
				flying = append(flying, c.Begin())
			} else if len(flying) > 0 {
				i := rapid.IntRange(0, len(flying)-1).Draw(rt, "which")
				v := rapid.SampledFrom([]delivery.Verdict{up, down, down, down, absent}).Draw(rt, "verdict")
				c.Done(at, flying[i], v, limit)
				flying = append(flying[:i], flying[i+1:]...)
			}
			probes := 0
			for _, probe := range flying {
				if probe {
					probes++
				}
			}
			if probes > 1 || (probes == 1) != c.Probing {
				rt.Fatalf("%d probes, probing is %v", probes, c.Probing)
			}
			if c.Open() && (c.Opening < 30*time.Second || c.Opening > 10*time.Minute) {
				rt.Fatalf("open for %v", c.Opening)
			}
		}
		for _, probe := range flying {
			c.Done(at, probe, up, limit)
		}
		at = at.Add(10 * time.Minute)
		for range 100 {
			if c.Room(at, 0, limit) == 0 {
				rt.Fatalf("nothing goes out to a receiver that is up: %+v", c)
			}
			c.Done(at, c.Begin(), up, limit)
		}
		if got := c.Room(at, 0, limit); got != limit {
			rt.Fatalf("room for %d, want %d", got, limit)
		}
	})
}
