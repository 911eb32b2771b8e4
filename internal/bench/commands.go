package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Command is `kuranty bench`, for a parser of struct tags (kong): each field is a
// command with its flags and Run(context.Context). The executable it is part of
// must run it as `bench …`, and a server as `serve --config FILE --data-dir DIR
// --http_server.port 0 --log.format json`, because measures start both as children. Chat
// also needs it to fill databases and to send without a server: see chatchild.go.
type Command struct {
	All     All     `cmd:"" help:"Measure everything and compare with the bars."`
	Floor   Floor   `cmd:"" help:"What no server can beat here: raw writes, an empty HTTP handler."`
	Fanout  Fanout  `cmd:"" help:"One channel with many subscribers: CPU per delivery, or latency with --rate."`
	Pairs   Pairs   `cmd:"" help:"Many clients, each alone in its channel: CPU per publish and delivery."`
	Publish Publish `cmd:"" help:"Publishing without subscribers: alone, with history, --batch, --ws."`
	Connect Connect `cmd:"" help:"CPU of a connection with a token and one subscription."`
	Storm   Storm   `cmd:"" help:"Clients return all together and recover: CPU per client."`
	Idle    Idle    `cmd:"" help:"Memory and CPU of connections that do nothing."`
	Chat    Chat    `cmd:"" help:"The chat backend: durable sends, their latency, and reading of a million messages."`
	Gateway Gateway `cmd:"" help:"The event gateway: memory of connections, cost and latency of delivery, replay."`
	Webhook Webhook `cmd:"" help:"Webhooks: deliveries per second, their cost and latency, receivers that hang, a backlog of a million."`

	FloorServer floorServer `cmd:"" hidden:""`
	FloorWorker floorWorker `cmd:"" hidden:""`
	PostWorker  postWorker  `cmd:"" hidden:""`
}

// All measures every line of the table in docs/performance.md.
type All struct {
	Target `embed:""`
	Quick  bool `help:"Fewer rounds and connections: a minute instead of a quarter of an hour; most bars then do not apply."`
}

// measure runs the command, printing to progress what is being measured.
func (a *All) measure(ctx context.Context, progress io.Writer) ([]Result, error) {
	t, many, some, pairs, idle := a.Target, 10_000, 5000, 5000, 50*time.Second
	if a.Quick {
		t.Rounds, many, some, pairs, idle = min(t.Rounds, 2), 2000, 1000, 1000, 5*time.Second
	}
	var results []Result
	for _, m := range []struct {
		name string
		measurer
	}{
		{"fan-out to 1,000", &Fanout{Target: t, Subscribers: 1000, Inflight: 1, Size: 100}},
		{"fan-out to 1,000 with 32 in flight", &Fanout{Target: t, Subscribers: 1000, Inflight: 32, Size: 100}},
		{"fan-out to many", &Fanout{Target: t, Subscribers: many, Inflight: 1, Size: 100}},
		{"latency", &Fanout{Target: t, Subscribers: 1000, Inflight: 1, Size: 100, Rate: 20}},
		{"pairs", &Pairs{Target: t, Clients: pairs, Inflight: busy, Size: 100, Publishes: 2 * pairs}},
		{"HTTP publish", &Publish{Target: t, Size: 100}},
		{"batches", &Publish{Target: t, Size: 100, Batch: 100}},
		{"publish over a WebSocket", &Publish{Target: t, Frames: 16, Size: 100, WS: true}},
		{"connect", &Connect{Target: t, Connections: some, Parallel: 16, Channels: 1}},
		{"storm", &Storm{Target: t, Clients: many, Channels: 100, Missed: 10, Parallel: 256, Size: 100}},
		{"idle", &Idle{Target: t, Connections: many, Channels: 1, IdleDuration: idle}},
	} {
		if _, err := fmt.Fprintf(progress, "measuring %s …\n", m.name); err != nil {
			return results, fmt.Errorf("print progress: %w", err)
		}
		got, err := m.Measure(ctx)
		if err != nil {
			return results, fmt.Errorf("%s: %w", m.name, err)
		}
		results = append(results, got...)
	}
	return results, nil
}

type measurer interface {
	Measure(ctx context.Context) ([]Result, error)
}

// report measures and prints. A signal ends the measure, and with it the children.
func (t *Target) report(ctx context.Context, m measurer) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	results, err := m.Measure(ctx)
	if err != nil {
		return err
	}
	return write(os.Stdout, t.Output, results)
}

// Run measures and prints to the standard output.
func (a *All) Run(ctx context.Context) error { return a.inParts(ctx, a.measure) }

// Run measures and prints to the standard output.
func (f *Floor) Run(ctx context.Context) error { return f.report(ctx, f) }

// Run measures and prints to the standard output.
func (f *Fanout) Run(ctx context.Context) error { return f.report(ctx, f) }

// Run measures and prints to the standard output.
func (p *Pairs) Run(ctx context.Context) error { return p.report(ctx, p) }

// Run measures and prints to the standard output.
func (p *Publish) Run(ctx context.Context) error { return p.report(ctx, p) }

// Run measures and prints to the standard output.
func (c *Connect) Run(ctx context.Context) error { return c.report(ctx, c) }

// Run measures and prints to the standard output.
func (st *Storm) Run(ctx context.Context) error { return st.report(ctx, st) }

// Run measures and prints to the standard output.
func (d *Idle) Run(ctx context.Context) error { return d.report(ctx, d) }

// Run measures and prints to the standard output.
func (c *Chat) Run(ctx context.Context) error { return c.inParts(ctx, c.measure) }

// Run measures and prints to the standard output.
func (g *Gateway) Run(ctx context.Context) error { return g.inParts(ctx, g.measure) }

// Run measures and prints to the standard output.
func (w *Webhook) Run(ctx context.Context) error { return w.inParts(ctx, w.measure) }

// inParts measures, printing to the standard error what is being measured, and prints
// what came about also if a part fails.
func (t *Target) inParts(ctx context.Context, measure func(context.Context, io.Writer) ([]Result, error)) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	results, err := measure(ctx, os.Stderr)
	if len(results) > 0 {
		if werr := write(os.Stdout, t.Output, results); err == nil {
			err = werr
		}
	}
	return err
}

// floorServer and floorWorker are the child processes of floor.go, postWorker is that of
// webhookpost.go.
type floorServer struct{}

// Run serves until the standard input ends.
func (floorServer) Run() error { return serveFloor(os.Stdin, os.Stdout) }

type floorWorker struct{}

// Run works until the standard input ends.
func (floorWorker) Run(ctx context.Context) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	return work(ctx, os.Stdin, os.Stdout)
}

type postWorker struct{}

// Run posts until the standard input ends.
func (postWorker) Run(ctx context.Context) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	return postThrough(ctx, os.Stdin, os.Stdout)
}
