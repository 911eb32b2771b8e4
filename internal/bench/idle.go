package bench

import (
	"context"
	"fmt"
	"time"
)

// Idle measures what connections cost that do nothing but answer pings.
type Idle struct {
	Target       `embed:""`
	Connections  int           `default:"10000" help:"Connections with one subscription each."`
	Channels     int           `default:"1" help:"Channels that the clients are spread over."`
	IdleDuration time.Duration `default:"50s" help:"How long they idle; 50s holds two pings of each."`
}

// Measure runs the command. A server of its own is started anew for each round,
// because memory once used is not given back at once; a server at --url gets one round.
func (d *Idle) Measure(ctx context.Context) ([]Result, error) {
	if err := raiseFileLimit(d.Connections); err != nil {
		return nil, err
	}
	rounds := d.Rounds
	if d.URL != "" {
		rounds = 1
	}
	var memory, fresh, cpu []float64
	for range rounds {
		got, err := d.round(ctx)
		if err != nil {
			return nil, err
		}
		if got.measured {
			memory, fresh, cpu = append(memory, got.memory), append(fresh, got.fresh), append(cpu, got.cpu)
		}
	}
	memoryBar, cpuBar := 7.0, 0.0
	if d.Connections == 10_000 {
		cpuBar = 1.5
	}
	return []Result{
		newResult("idle connection with one subscription: resident memory", "KiB", memory, nil, memoryBar,
			fmt.Sprintf("%.2f KiB just after connecting", median(fresh))),
		newResult(fmt.Sprintf("%d idle connections, pings included: of one core", d.Connections), "%", cpu, nil, cpuBar),
	}, nil
}

// idleRound is per connection in KiB, after the idle time and before it, and
// percent of one core.
type idleRound struct {
	memory, fresh, cpu float64
	measured           bool
}

func (d *Idle) round(ctx context.Context) (idleRound, error) {
	s, err := d.open(ctx)
	if err != nil {
		return idleRound{}, err
	}
	defer s.close()
	l, err := newLoop()
	if err != nil {
		return idleRound{}, err
	}
	defer l.close()
	// What the first connection ever costs (code paged in, pools) is not a connection's.
	warm := s.audience(50, 1, s.plain)
	if err := s.join(ctx, l, warm, 16, nil); err != nil {
		return idleRound{}, err
	}
	if err := hangUp(ctx, l, s.pid, warm); err != nil {
		return idleRound{}, err
	}
	return idleCost(ctx, l, s.pid, d.Connections, d.IdleDuration, func() error {
		return s.join(ctx, l, s.audience(d.Connections, d.Channels, s.plain), 16, nil)
	})
}

// idleCost is what n connections, which connect makes, cost the process while they idle.
func idleCost(ctx context.Context, l *loop, pid, n int, idle time.Duration, connect func() error) (idleRound, error) {
	if err := settle(ctx, l, pid); err != nil {
		return idleRound{}, err
	}
	before, err := readMemory(pid)
	if err != nil {
		return idleRound{}, err
	}
	if err := connect(); err != nil {
		return idleRound{}, err
	}
	if err := settle(ctx, l, pid); err != nil {
		return idleRound{}, err
	}
	fresh, err := readMemory(pid)
	if err != nil {
		return idleRound{}, err
	}
	cpu, err := readCPU(pid)
	if err != nil {
		return idleRound{}, err
	}
	start := time.Now()
	if err := l.pause(ctx, idle); err != nil {
		return idleRound{}, fmt.Errorf("idle: %w", err)
	}
	end, err := readCPU(pid)
	if err != nil {
		return idleRound{}, err
	}
	after, err := readMemory(pid)
	perConnection := func(bytes int64) float64 { return float64(bytes-before) / 1024 / float64(n) }
	return idleRound{
		memory: perConnection(after), fresh: perConnection(fresh),
		cpu: 100 * float64(end-cpu) / float64(time.Since(start)), measured: pid != 0,
	}, err
}

// readMemory is residentBytes, and zero for the unknown process 0.
func readMemory(pid int) (int64, error) {
	if pid == 0 {
		return 0, nil
	}
	return residentBytes(pid)
}
