package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Webhook measures how webhooks are sent: how many there are in a second and how soon after
// an event, what one costs beside a bare POST, whether receivers that hang delay others, and
// what a million that are due weigh. The receivers are in this process.
type Webhook struct {
	Target    `embed:""`
	Quick     bool          `help:"Fewer rounds and deliveries: two minutes instead of a quarter of an hour; the figures are less sure."`
	Only      []string      `enum:"sqlite,postgres,hanging,backlog" default:"sqlite,postgres,hanging,backlog" help:"Parts to measure: sqlite and postgres (speed, CPU and latency), hanging (receivers that never answer), backlog (memory)."`
	Events    int           `default:"20000" help:"Events, with one delivery each, in a round."`
	Webhooks  int           `default:"10" help:"Webhooks they are for, each with a receiver of its own."`
	Batch     int           `default:"25" help:"Events in one request."`
	Window    int           `default:"500" help:"Most events under way: what is not delivered yet holds back what comes next."`
	Size      int           `default:"250" help:"Bytes of a payload."`
	Rate      int           `default:"500" help:"Events per second while latency below saturation is measured, and beside receivers that hang."`
	Turn      time.Duration `default:"4s" help:"How long events are produced at that rate at a time."`
	Endpoints int           `default:"100" help:"Webhooks of the parts hanging and backlog."`
	Hanging   int           `default:"10" help:"Of these, how many receivers never answer."`
	Backlog   int           `default:"1000000" help:"Deliveries that are due in the part backlog."`
	Watch     time.Duration `default:"12s" help:"How long memory is watched while no receiver answers, and again while all do; less than 15s, after which attempts fail."`
	DSN       string        `name:"dsn" placeholder:"URL" help:"PostgreSQL to measure, where databases may be made; by default one that is started for it."`
	Folder    string        `type:"path" placeholder:"DIR" help:"Where databases are put; by default the folder of temporary files. A disk in memory syncs nothing."`
}

// mostEvents is how many events POST /v1/events takes at once.
const mostEvents = 100

// Validate implements the check of the command line's parser.
func (w *Webhook) Validate() error {
	switch {
	case w.URL != "":
		return errors.New("--url: webhooks are measured at a server of one's own only, because receivers are on this machine")
	case min(w.Events, w.Webhooks, w.Batch, w.Window, w.Rate, w.Endpoints, w.Backlog) < 1 || w.Hanging < 0:
		return errors.New("numbers must be 1 or more")
	case w.Batch > min(mostEvents, w.Window):
		return fmt.Errorf("--batch must be at most %d and --window", mostEvents)
	case w.Hanging >= w.Endpoints:
		return errors.New("--hanging must be less than --endpoints")
	case w.Size < minNews:
		return fmt.Errorf("--size must be at least %d", minNews)
	}
	return w.Target.Validate()
}

// Measure runs the command.
func (w *Webhook) Measure(ctx context.Context) ([]Result, error) { return w.measure(ctx, io.Discard) }

func (w *Webhook) measure(ctx context.Context, progress io.Writer) (results []Result, err error) {
	if err := w.Validate(); err != nil {
		return nil, err
	}
	if err := raiseFileLimit(2000); err != nil {
		return nil, err
	}
	run := *w
	if run.Quick {
		run.Rounds, run.Events, run.Backlog = min(run.Rounds, 2), min(run.Events, 5000), min(run.Backlog, 100_000)
		run.Turn, run.Watch = min(run.Turn, time.Second), min(run.Watch, 5*time.Second)
	}
	if run.Folder, err = os.MkdirTemp(w.Folder, "kuranty-bench-"); err != nil {
		return nil, fmt.Errorf("make a directory for databases: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(run.Folder)) }()
	backlog := func(ctx context.Context) ([]Result, error) { return run.backlog(ctx, progress) }
	return measureParts(ctx, progress, run.Only, []part{{"sqlite", run.sqlite}, {"postgres", run.postgres}, {"hanging", run.hanging}, {"backlog", backlog}})
}

func (w *Webhook) sqlite(ctx context.Context) ([]Result, error) {
	return w.speed(ctx, "SQLite", nil, 2500)
}

func (w *Webhook) postgres(ctx context.Context) ([]Result, error) {
	p, err := openPostgres(ctx, w.DSN, w.Folder)
	if err != nil {
		return nil, err
	}
	defer p.close()
	dsn, err := p.database(ctx)
	if err != nil {
		return nil, err
	}
	return w.speed(ctx, "PostgreSQL", map[string]any{"driver": "postgres", "dsn": dsn}, 2000)
}

// speed measures a server with a database: deliveries as fast as they go, what they cost
// beside a bare POST, and how late they are when they come slowly. What producing events
// costs is measured with events that no webhook wants, at the same rate.
func (w *Webhook) speed(ctx context.Context, name string, storage map[string]any, bar float64) ([]Result, error) {
	st, err := w.prepare(ctx, filepath.Join(w.Folder, name), storage, w.Webhooks)
	if err != nil {
		return nil, err
	}
	defer st.close()
	poster, err := startPosts(ctx)
	if err != nil {
		return nil, err
	}
	defer poster.stop()
	var v speeds
	for i := range w.Rounds + 1 {
		heard, err := st.teller.produce(ctx, w.volley(0))
		if err != nil {
			return nil, err
		}
		quiet := w.volley(perSecond(heard.Publishes, heard.Wall))
		quiet.to = func(int) (string, bool) { return unwanted, false }
		unheard, err := st.teller.produce(ctx, quiet)
		if err != nil {
			return nil, err
		}
		bare, err := poster.round(ctx, st.receivers, w.Webhooks, w.Events)
		if err != nil {
			return nil, err
		}
		alone, err := poster.round(ctx, st.receivers, 1, w.Events/4+1)
		if err != nil {
			return nil, err
		}
		slow, err := st.teller.produce(ctx, w.slowly())
		if err != nil {
			return nil, err
		}
		if i > 0 { // the first warms up
			v.add(heard, unheard, bare, alone, slow)
		}
	}
	return w.results(name, &v, bar), nil
}

// speeds are figures by round.
type speeds struct {
	rate, cost, whole, bare, alone []float64
	p99, p50, after                []float64 // under the load
	slowP99, slowP50, slowAfter    []float64 // at a rate below it
	storing, slowStoring, posts    []float64
}

func (v *speeds) add(heard, unheard, bare, alone, slow told) {
	v.rate = append(v.rate, perSecond(heard.Deliveries, heard.Wall))
	v.cost = append(v.cost, microseconds(heard.CPU-unheard.CPU)/float64(heard.Deliveries))
	v.whole = append(v.whole, microseconds(heard.CPU)/float64(heard.Deliveries))
	v.storing = append(v.storing, microseconds(unheard.CPU)/float64(unheard.Publishes))
	v.bare = append(v.bare, microseconds(bare.CPU)/float64(bare.Deliveries))
	v.alone = append(v.alone, microseconds(alone.CPU)/float64(alone.Deliveries))
	v.posts = append(v.posts, perSecond(bare.Deliveries, bare.Wall))
	v.p99, v.p50, v.after = append(v.p99, milliseconds(heard.P99)), append(v.p50, milliseconds(heard.P50)), append(v.after, milliseconds(heard.afterAnswer))
	v.slowP99, v.slowP50, v.slowAfter = append(v.slowP99, milliseconds(slow.P99)), append(v.slowP50, milliseconds(slow.P50)), append(v.slowAfter, milliseconds(slow.afterAnswer))
	v.slowStoring = append(v.slowStoring, milliseconds(slow.stored))
}

func (w *Webhook) results(name string, v *speeds, bar float64) []Result {
	late, cost := 500.0, 2.5
	if w.Webhooks != 10 || w.Window != 500 || w.Size != 250 {
		bar, late, cost = 0, 0, 0
	}
	lateness := func(p50, after []float64) string {
		return fmt.Sprintf("p50 %.1f ms; p99 from when the request was answered, which is after the commit, %.1f ms", median(p50), median(after))
	}
	return []Result{
		newResult(fmt.Sprintf("deliveries on %s, %d webhooks", name, w.Webhooks), "/s", v.rate, nil, bar,
			fmt.Sprintf("at most %d under way, %d events in a request; a bare POST by one process: %.0f /s; load average %s", w.Window, w.Batch, median(v.posts), loadAverage())).atLeast(),
		newResult("the same: request that tells of an event until the first attempt, p99", "ms", v.p99, nil, late, lateness(v.p50, v.after)),
		newResult(fmt.Sprintf("the same at %d events/s, p99", w.Rate), "ms", v.slowP99, nil, late, lateness(v.slowP50, v.slowAfter),
			fmt.Sprintf("p99 until the request was answered, stored and synced, %.1f ms", median(v.slowStoring))),
		newResult(fmt.Sprintf("CPU of a delivery on %s, against a bare POST", name), "µs", v.cost, v.bare, cost,
			fmt.Sprintf("%.0f µs more to take and store the event, %.0f µs together; a POST costs %.0f µs with one at a time and %.0f µs with one to each receiver, which is what it is held against",
				median(v.storing), median(v.whole), median(v.alone), median(v.bare))),
	}
}

// volley is a round of events, each for one of the webhooks in turn.
func (w *Webhook) volley(rate float64) volley {
	return volley{
		events: w.Events, batch: w.Batch, requests: w.Window / w.Batch, rate: rate, size: w.Size,
		to: func(i int) (string, bool) { return wanted(i % w.Webhooks), true },
	}
}

// slowly is one of single events at a rate.
func (w *Webhook) slowly() volley {
	v := w.volley(float64(w.Rate))
	v.events, v.batch, v.requests = max(int(float64(w.Rate)*w.Turn.Seconds()), 1), 1, maxLate
	return v
}
