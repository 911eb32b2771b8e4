package bench

import (
	"context"
	"fmt"
	"time"
)

// round is what one stretch of publishing cost. CPU is the measured process's, zero
// when it could not be read; the latencies are those of single deliveries.
type round struct {
	Publishes  int           `json:"publishes"`
	Deliveries int           `json:"deliveries"`
	CPU        time.Duration `json:"cpu_ns"`
	Wall       time.Duration `json:"wall_ns"`
	P50        time.Duration `json:"p50_ns"`
	P99        time.Duration `json:"p99_ns"`
	Worst      time.Duration `json:"worst_ns"`
}

// add makes r the sum of itself and a later stretch.
func (r *round) add(later round) {
	later.Publishes += r.Publishes
	later.Deliveries += r.Deliveries
	later.CPU += r.CPU
	later.Wall += r.Wall
	*r = later
}

// turns is how often the sides alternate within one round: the shorter a turn, the
// less the rest of the machine changes between the sides; the sum keeps in what
// happens once in a while, like garbage collection.
const turns = 5

// rig publishes and counts what arrives. A slot is a place for a publication under
// way (for group of them, sent as one): it is free again when all of them have been
// delivered fan times and, with acks, the publish itself has been answered.
type rig struct {
	l     *loop
	pid   int
	fan   int // deliveries of each publication; with 0 it is over when it is answered
	group int // publications sent at once; 0 means 1
	acks  bool
	keep  bool // the next round's percentiles include the latencies so far
	// send publishes group numbers from n on, stamped at, and uses nothing a busy slot owns.
	send func(slot int, n, at int64)

	number   int64 // of the next publication, never used twice
	first    int64 // of this round
	counts   []int
	slotOf   []int
	left     []int // by slot: what it waits for
	free     []int
	launched int
	finished int
	latency  []time.Duration
}

// round sends publishes publications (a multiple of group): with rate 0 one more
// whenever one of inflight slots is free, else rate of them per second.
func (r *rig) round(ctx context.Context, publishes, inflight int, rate float64) (round, error) {
	r.group = max(r.group, 1)
	if r.number == 0 {
		r.number = firstNumber
	}
	r.first, r.launched, r.finished = r.number, 0, 0
	if !r.keep {
		r.latency = r.latency[:0]
	}
	r.counts, r.slotOf = make([]int, publishes), make([]int, publishes)
	r.left, r.free = make([]int, inflight), r.free[:0]
	for slot := range inflight {
		r.free = append(r.free, inflight-1-slot)
	}
	if err := settle(ctx, r.l, r.pid); err != nil {
		return round{}, err
	}
	cpu, err := readCPU(r.pid)
	if err != nil {
		return round{}, err
	}
	start := time.Now()
	if rate > 0 {
		period := time.Duration(float64(time.Second) / rate)
		timer, err := r.l.every(period, func() { r.launch(publishes) })
		if err != nil {
			return round{}, err
		}
		defer timer.close()
	} else {
		for range inflight {
			r.launch(publishes)
		}
	}
	err = r.l.until(ctx, func() bool {
		for rate == 0 && len(r.free) > 0 && r.launched < publishes {
			r.launch(publishes)
		}
		return r.finished == publishes
	})
	if err != nil {
		return round{}, fmt.Errorf("after %d of %d publishes: %w", r.finished, publishes, err)
	}
	out := round{Publishes: publishes, Deliveries: publishes * r.fan, Wall: time.Since(start)}
	if err := settle(ctx, r.l, r.pid); err != nil {
		return round{}, err
	}
	end, err := readCPU(r.pid)
	if err != nil {
		return round{}, err
	}
	out.CPU = end - cpu
	out.P50, out.P99, out.Worst = percentile(r.latency, 50), percentile(r.latency, 99), percentile(r.latency, 100)
	return out, nil
}

// launch sends the next group if there is one and a slot for it.
func (r *rig) launch(total int) {
	if r.launched >= total || len(r.free) == 0 {
		return
	}
	slot := r.free[len(r.free)-1]
	r.free = r.free[:len(r.free)-1]
	r.left[slot] = 0
	if r.fan > 0 {
		r.left[slot] = r.group
	}
	if r.acks {
		r.left[slot]++
	}
	n := r.number
	for i := range r.group {
		r.slotOf[r.launched+i] = slot
	}
	r.number += int64(r.group)
	r.launched += r.group
	r.send(slot, n, now())
}

// stamped counts one delivery; it is what subscribers report to.
func (r *rig) stamped(n, at int64) {
	i := n - r.first
	if i < 0 || i >= int64(r.launched) || r.counts[i] == r.fan {
		r.l.fail(fmt.Errorf("publication %d was delivered too often", n))
		return
	}
	r.latency = append(r.latency, time.Duration(now()-at))
	if r.counts[i]++; r.counts[i] == r.fan {
		r.finished++
		r.l.progress++
		r.release(r.slotOf[i])
	}
}

// acked notes that the publish of slot has been answered.
func (r *rig) acked(slot int) {
	if r.fan == 0 {
		r.finished += r.group
		r.l.progress++
	}
	r.release(slot)
}

func (r *rig) release(slot int) {
	if r.left[slot]--; r.left[slot] == 0 {
		r.free = append(r.free, slot)
	}
}

// settle serves the sockets until the process has finished what it was doing, which
// includes its garbage: until it uses less than a twentieth of a core, at most 2 s.
func settle(ctx context.Context, l *loop, pid int) error {
	return settled(pid, func(d time.Duration) error { return l.pause(ctx, d) })
}

// settled is settle with another way to let time pass.
func settled(pid int, pause func(time.Duration) error) error {
	const slice = 20 * time.Millisecond
	before, err := readCPU(pid)
	if err != nil {
		return err
	}
	for range 100 {
		if err := pause(slice); err != nil {
			return err
		}
		after, err := readCPU(pid)
		if err != nil {
			return err
		}
		if after-before < slice/20 {
			return nil
		}
		before = after
	}
	return nil
}

// readCPU is cpuTime, and zero for the unknown process 0.
func readCPU(pid int) (time.Duration, error) {
	if pid == 0 {
		return 0, nil
	}
	return cpuTime(pid)
}
