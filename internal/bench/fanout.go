package bench

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// maxLate bounds how many publishes may be under way when they come at a rate.
const maxLate = 64

// Fanout measures one channel with many subscribers, published to over the HTTP API.
type Fanout struct {
	Target      `embed:""`
	Subscribers int     `default:"1000" help:"Connections subscribed to the channel."`
	Inflight    int     `default:"1" help:"Publishes under way at a time; each is over when every subscriber has it."`
	Size        int     `default:"100" help:"Bytes of payload."`
	Rate        float64 `help:"Publishes per second, to measure latency; 0 publishes whenever the last is over."`
	Publishes   int     `help:"Publishes per round; 0 picks a number for about a second."`
}

// Measure runs the command.
func (f *Fanout) Measure(ctx context.Context) ([]Result, error) {
	if err := checkSize(f.Size); err != nil {
		return nil, err
	}
	if err := raiseFileLimit(f.Subscribers + f.Inflight); err != nil {
		return nil, err
	}
	s, err := f.open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	fl, err := newFloor()
	if err != nil {
		return nil, err
	}
	defer fl.close()
	l, err := newLoop()
	if err != nil {
		return nil, err
	}
	defer l.close()

	channel, inflight := s.plain+"1", max(f.Inflight, 1)
	if f.Rate > 0 {
		inflight = maxLate
	}
	r, err := f.subscribe(ctx, l, s, channel, inflight)
	if err != nil {
		return nil, err
	}
	publishes, perRound := f.Publishes, turns
	if f.Rate > 0 {
		perRound = 1 // percentiles do not add up
		if publishes == 0 {
			publishes = int(4 * f.Rate)
		}
	} else if publishes == 0 {
		publishes = publishesFor(f.Subscribers, f.Inflight)
	}
	publishes = max(publishes/perRound, 1)
	shape := floorShape{Subscribers: f.Subscribers, Size: f.Size, Group: 1, Publishes: publishes, Rate: f.Rate}
	if f.Rate == 0 {
		shape.Publishes = min(publishes, max(publishesFor(f.Subscribers, 1)/turns, 1))
	}

	var floors, rounds []round
	for i := range f.Rounds + 1 {
		var floorRound, serverRound round
		for turn := range perRound {
			got, err := fl.round(ctx, l, shape)
			if err != nil {
				return nil, err
			}
			floorRound.add(got)
			r.keep = turn > 0
			if got, err = r.round(ctx, publishes, inflight, f.Rate); err != nil {
				return nil, fmt.Errorf("fan out: %w", err)
			}
			serverRound.add(got)
		}
		if i > 0 { // the first warms up
			floors, rounds = append(floors, floorRound), append(rounds, serverRound)
		}
	}
	return []Result{f.result(s.pid, rounds, floors)}, nil
}

// subscribe connects the subscribers and the publishers and returns their rig.
func (f *Fanout) subscribe(ctx context.Context, l *loop, s *server, channel string, inflight int) (*rig, error) {
	r := &rig{l: l, pid: s.pid, fan: f.Subscribers, acks: true}
	clients := make([]*client, f.Subscribers)
	for i := range clients {
		clients[i] = s.newClient(strconv.Itoa(i), channel, nil)
		clients[i].stamped = r.stamped
	}
	if err := s.join(ctx, l, clients, 64, nil); err != nil {
		return nil, err
	}
	return r, publishThrough(ctx, r, s, inflight, func(int64) string { return channel }, f.Size)
}

// publishThrough makes r publish over inflight API connections, one per slot.
func publishThrough(ctx context.Context, r *rig, s *server, inflight int, channel func(n int64) string, size int) error {
	callers, err := s.callers(ctx, r.l, "/api/publish", inflight)
	if err != nil {
		return err
	}
	for slot, ca := range callers {
		ca.done = func(body []byte) {
			if err := apiError(body); err != nil {
				r.l.fail(err)
			}
			r.acked(slot)
		}
	}
	r.send = func(slot int, n, at int64) {
		ca := callers[slot]
		ca.body = appendPublish(ca.body[:0], channel(n), n, at, size)
		ca.post(ca.body)
	}
	return nil
}

func (f *Fanout) result(pid int, rounds, floors []round) Result {
	name := fmt.Sprintf("fan-out, %d subscribers", f.Subscribers)
	if f.Rate > 0 {
		var late, floorLate []float64
		var p99, floorP99 []float64
		for i := range rounds {
			late, floorLate = append(late, milliseconds(rounds[i].P50)), append(floorLate, milliseconds(floors[i].P50))
			p99, floorP99 = append(p99, milliseconds(rounds[i].P99)), append(floorP99, milliseconds(floors[i].P99))
		}
		bar := 0.0
		if f.Rate == 20 && f.Subscribers == 1000 && f.Size == 100 {
			bar = 1.2
		}
		return newResult(fmt.Sprintf("%s, %g publishes/s: p50 latency", name, f.Rate), "ms", late, floorLate, bar,
			fmt.Sprintf("p99 %.2f ms, the floor's %.2f ms", median(p99), median(floorP99)))
	}
	var cost, floorCost, speed, p50, p99 []float64
	for i := range rounds {
		if pid != 0 {
			cost = append(cost, perDelivery(rounds[i]))
		}
		floorCost = append(floorCost, perDelivery(floors[i]))
		speed = append(speed, float64(rounds[i].Deliveries)/rounds[i].Wall.Seconds())
		p50, p99 = append(p50, milliseconds(rounds[i].P50)), append(p99, milliseconds(rounds[i].P99))
	}
	return newResult(fmt.Sprintf("%s, %d in flight: per delivery", name, f.Inflight), "µs", cost, floorCost, f.bar(),
		fmt.Sprintf("%.0f deliveries/s; latency p50 %.2f ms, p99 %.2f ms", median(speed), median(p50), median(p99)))
}

func (f *Fanout) bar() float64 {
	switch {
	case f.Size != 100:
	case f.Subscribers == 1000 && f.Inflight == 1:
		return 1.15
	case f.Subscribers == 1000 && f.Inflight == 32:
		return 0.12
	case f.Subscribers == 10_000 && f.Inflight == 1:
		return 1.2
	}
	return 0
}

// publishesFor returns how many publishes make a round of about a second.
func publishesFor(subscribers, inflight int) int {
	return max(16, 100_000*min(max(inflight, 1), 10)/max(subscribers, 1))
}

func perDelivery(r round) float64 { return microseconds(r.CPU) / float64(r.Deliveries) }

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func checkSize(size int) error {
	if size < minPayload || size > 32<<10 {
		return fmt.Errorf("--size %d: want %d to %d bytes", size, minPayload, 32<<10)
	}
	return nil
}
