package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Chat measures the chat backend: how many messages it stores in a second, each synced
// before it is answered, how soon they arrive, and what reading costs among a million of
// them. At a server that runs already (--url) only sending is measured.
type Chat struct {
	Target      `embed:""`
	Quick       bool     `help:"Fewer rounds and messages: a minute or two instead of a quarter of an hour; the figures are less sure."`
	Only        []string `enum:"sqlite,postgres,history" default:"sqlite,postgres,history" help:"Parts to measure: sqlite (sends and latency), postgres (sends), history (reading, work per send, start)."`
	Sends       int      `default:"20000" help:"Messages sent in a round."`
	Connections int      `default:"64" help:"People who send, each over a connection of its own, to as many groups of all of them."`
	Messages    int      `default:"1000000" help:"Messages of the largest chat for the part history; there are a tenth as many in 1,000 others."`
	DSN         string   `name:"dsn" placeholder:"URL" help:"PostgreSQL to measure, where databases may be made; by default one that is started for it."`
	Folder      string   `type:"path" placeholder:"DIR" help:"Where databases are put; by default the folder of temporary files. A disk in memory syncs nothing."`
}

// Validate implements the check of the command line's parser.
func (c *Chat) Validate() error {
	if c.Sends < 1 || c.Connections < 1 || c.Messages < 1 {
		return errors.New("--sends, --connections and --messages must be 1 or more")
	}
	return c.Target.Validate()
}

// Measure runs the command.
func (c *Chat) Measure(ctx context.Context) ([]Result, error) { return c.measure(ctx, io.Discard) }

func (c *Chat) measure(ctx context.Context, progress io.Writer) (results []Result, err error) {
	if err := raiseFileLimit(2*c.Connections + 16); err != nil {
		return nil, err
	}
	run := *c
	if run.Quick {
		run.Rounds, run.Sends, run.Messages = min(run.Rounds, 2), min(run.Sends, 5000), min(run.Messages, 50_000)
	}
	if run.URL != "" {
		return run.running(ctx)
	}
	if run.Folder, err = os.MkdirTemp(c.Folder, "kuranty-bench-"); err != nil {
		return nil, fmt.Errorf("make a directory for databases: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(run.Folder)) }()
	history := func(ctx context.Context) ([]Result, error) { return run.history(ctx, progress) }
	return measureParts(ctx, progress, run.Only, []part{{"sqlite", run.sqlite}, {"postgres", run.postgres}, {"history", history}})
}

// part is one that --only may choose.
type part struct {
	name    string
	measure func(context.Context) ([]Result, error)
}

// measureParts measures those of the parts that only names. What came about before one
// failed is returned with the error.
func measureParts(ctx context.Context, progress io.Writer, only []string, parts []part) (results []Result, err error) {
	for _, part := range parts {
		if !slices.Contains(only, part.name) {
			continue
		}
		if _, err := fmt.Fprintf(progress, "measuring %s (load average %s) …\n", part.name, loadAverage()); err != nil {
			return results, fmt.Errorf("print progress: %w", err)
		}
		got, err := part.measure(ctx)
		results = append(results, got...)
		if err != nil {
			return results, fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return results, nil
}

// loadAverage is how many wanted to run in the last minute, which tells what absolute
// figures are worth.
func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	one, _, _ := strings.Cut(string(b), " ")
	return one
}

// chatKey is the key of the servers that a run starts, on this machine alone.
var chatKey = rand.Text()

// chatConfig is a configuration under which nobody is held up and nothing expires.
// Durability is the default: synchronous=FULL, and what PostgreSQL is set to.
func chatConfig(storage map[string]any) map[string]any {
	const endless = 1_000_000_000
	return map[string]any{
		"storage":  storage,
		"http_api": map[string]any{"key": chatKey},
		"auth":     map[string]any{"access_token_ttl": "24h"},
		"chat": map[string]any{"limits": map[string]any{
			"send_per_second": endless, "send_burst": endless, "chat_per_second": endless, "search_per_minute": endless,
			"chats_per_minute": endless, "chats_per_day": endless, "requests_per_minute": endless, "anonymous_per_minute": endless,
		}},
	}
}

// running measures a server that is there already.
func (c *Chat) running(ctx context.Context) ([]Result, error) {
	s, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	l, err := newLoop()
	if err != nil {
		return nil, err
	}
	defer l.close()
	o, err := s.gather(ctx, l, c.Connections)
	if err != nil {
		return nil, err
	}
	var speed []float64
	var cost costs
	for i := range c.Rounds + 1 {
		got, err := o.round(ctx, c.Sends)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			speed = append(speed, perSecond(c.Sends, got.Wall))
			cost.add("server", c.Sends, got.CPU)
		}
	}
	late, err := c.latency(ctx, o)
	return append([]Result{newResult(fmt.Sprintf("durable sends, %d connections", c.Connections), "/s", speed, nil, 0, cost.notes()...)}, late...), err
}

// sqlite measures the server on its embedded database, in turns with what the same rules
// and store do without a server.
func (c *Chat) sqlite(ctx context.Context) ([]Result, error) {
	alone, err := startSends(ctx, filepath.Join(c.Folder, "alone"), chatConfig(nil), c.Connections)
	if err != nil {
		return nil, err
	}
	defer alone.stop()
	s := server{key: chatKey}
	if err := s.start(ctx, filepath.Join(c.Folder, "sqlite"), chatConfig(nil)); err != nil {
		return nil, err
	}
	defer s.close()
	l, err := newLoop()
	if err != nil {
		return nil, err
	}
	defer l.close()
	o, err := s.gather(ctx, l, c.Connections)
	if err != nil {
		return nil, err
	}
	n := max(c.Sends/turns, 1)
	var speed, floors []float64
	var cost costs
	for i := range c.Rounds + 1 {
		var ours, theirs round
		for range turns {
			got, err := alone.round(ctx, n)
			if err != nil {
				return nil, err
			}
			theirs.add(got)
			if got, err = o.round(ctx, n); err != nil {
				return nil, err
			}
			ours.add(got)
		}
		if i == 0 {
			continue // warms up
		}
		speed, floors = append(speed, perSecond(n*turns, ours.Wall)), append(floors, perSecond(n*turns, theirs.Wall))
		cost.add("server", n*turns, ours.CPU)
		cost.add("without HTTP", n*turns, theirs.CPU)
		cost.add("load generator", n*turns, o.own)
		o.own = 0
	}
	results := []Result{
		newResult(fmt.Sprintf("durable sends on SQLite, %d connections", c.Connections), "/s", speed, nil, c.bar(8000), cost.notes()...).atLeast(),
		newResult("the same against the group commit without HTTP", "/s", speed, floors, c.bar(0.5)).atLeast(),
	}
	late, err := c.latency(ctx, o)
	return append(results, late...), err
}

// postgres measures the server on PostgreSQL against pgbench with the same statements.
func (c *Chat) postgres(ctx context.Context) ([]Result, error) {
	p, err := openPostgres(ctx, c.DSN, c.Folder)
	if err != nil {
		return nil, err
	}
	defer p.close()
	dsn, err := p.database(ctx)
	if err != nil {
		return nil, err
	}
	script, err := p.script(ctx, c.Folder, c.Connections)
	if err != nil {
		return nil, err
	}
	s := server{key: chatKey}
	if err := s.start(ctx, filepath.Join(c.Folder, "postgres"), chatConfig(map[string]any{"driver": "postgres", "dsn": dsn})); err != nil {
		return nil, err
	}
	defer s.close()
	l, err := newLoop()
	if err != nil {
		return nil, err
	}
	defer l.close()
	o, err := s.gather(ctx, l, c.Connections)
	if err != nil {
		return nil, err
	}
	var speed, floors []float64
	var cost costs
	for i := range c.Rounds + 1 {
		floor, err := p.pgbench(ctx, script, c.Connections, c.Sends)
		if err != nil {
			return nil, err
		}
		got, err := o.round(ctx, c.Sends)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			continue // warms up
		}
		speed, floors = append(speed, perSecond(c.Sends, got.Wall)), append(floors, floor)
		cost.add("server", c.Sends, got.CPU)
		cost.add("load generator", c.Sends, o.own)
		o.own = 0
	}
	return []Result{newResult(fmt.Sprintf("durable sends on PostgreSQL, %d connections, against pgbench", c.Connections), "/s", speed, floors, c.bar(0.6), cost.notes()...).atLeast()}, nil
}

// bar is b for as many connections as it was set for.
func (c *Chat) bar(b float64) float64 {
	if c.Connections != 64 {
		return 0
	}
	return b
}
