package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Gateway measures the event gateway: what connections with subscriptions weigh, what the
// delivery of an event costs beside that of a publication, how late it is, whether
// connections that want something else make it dearer, and how fast the past is given.
type Gateway struct {
	Target       `embed:""`
	Quick        bool          `help:"Fewer rounds and connections: a minute instead of ten; most bars then do not apply."`
	Only         []string      `enum:"idle,delivery,matching,replay" default:"idle,delivery,matching,replay" help:"Parts to measure: idle (memory), delivery (CPU and latency), matching (CPU among others), replay."`
	Connections  int           `default:"10000" help:"Connections that hear nothing, with five subscriptions each; matching compares a tenth of them with all."`
	Matching     int           `default:"200" help:"Connections that hear every event."`
	Rate         int           `default:"500" help:"Events per second."`
	Batch        int           `default:"1" help:"Events in one request."`
	Turn         time.Duration `default:"1s" help:"How long events are produced at a time; five times make a round."`
	Events       int           `default:"100000" help:"Events that are replayed."`
	IdleDuration time.Duration `default:"35s" help:"How long connections idle; 35s holds a ping of each."`
}

// Validate implements the check of the command line's parser.
func (g *Gateway) Validate() error {
	if g.Connections < 10 || g.Matching < 1 || g.Rate < 1 || g.Events < 1 || g.Batch < 1 || g.Batch > maxBatch {
		return fmt.Errorf("--connections must be 10 or more, --batch at most %d, the other numbers 1 or more", maxBatch)
	}
	if g.URL != "" && slices.Contains(g.Only, "matching") {
		return errors.New("--only matching needs two servers and cannot be used with --url")
	}
	return g.Target.Validate()
}

// maxBatch is how many events the API takes at once.
const maxBatch = 500

// Measure runs the command.
func (g *Gateway) Measure(ctx context.Context) ([]Result, error) { return g.measure(ctx, io.Discard) }

func (g *Gateway) measure(ctx context.Context, progress io.Writer) ([]Result, error) {
	run := *g
	if run.Quick {
		run.Rounds, run.Connections, run.Events, run.IdleDuration = min(run.Rounds, 2), min(run.Connections, 1000), min(run.Events, 20_000), 2*time.Second
		run.Turn = min(run.Turn, time.Second/2)
	}
	if err := raiseFileLimit(run.Connections + run.Connections/10 + 3*run.Matching + 2*maxLate); err != nil {
		return nil, err
	}
	return measureParts(ctx, progress, run.Only, []part{{"idle", run.idle}, {"delivery", run.delivery}, {"matching", run.matching}, {"replay", run.replay}})
}

// idle measures the memory of connections, in rounds with a fresh server each.
func (g *Gateway) idle(ctx context.Context) ([]Result, error) {
	rounds := g.Rounds
	if g.URL != "" {
		rounds = 1
	}
	var memory, later, cpu []float64
	for range rounds {
		got, err := g.idleRound(ctx)
		if err != nil {
			return nil, err
		}
		if got.measured {
			// While they idle the server gives back what its start took, so that the growth
			// seems less than the connections are.
			memory, later, cpu = append(memory, max(got.fresh, got.memory)), append(later, got.memory), append(cpu, got.cpu)
		}
	}
	return []Result{newResult(fmt.Sprintf("%d gateway connections with five subscriptions: resident memory of one", g.Connections), "KiB", memory, nil, 10,
		fmt.Sprintf("%.2f KiB after idling", median(later)), fmt.Sprintf("%.2f %% of one core, pings included", median(cpu)))}, nil
}

func (g *Gateway) idleRound(ctx context.Context) (idleRound, error) {
	s, err := g.open(ctx)
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
	warm, err := s.crowd(ctx, l, perKey/2, deaf, func([]byte) {})
	if err != nil {
		return idleRound{}, err
	}
	for _, ls := range warm {
		ls.c.close()
	}
	return idleCost(ctx, l, s.pid, g.Connections, g.IdleDuration, func() error {
		_, err := s.crowd(ctx, l, g.Connections, deaf, func([]byte) {})
		return err
	})
}

// stage is a server with connections to the gateway and one who produces events.
type stage struct {
	*server
	rig

	hearing []*listener
	answers []time.Duration // until an event was stored, in this round
}

// prepare connects those who hear everything; idle others hear nothing.
func (g *Gateway) prepare(ctx context.Context, l *loop, s *server, idle int) (*stage, error) {
	st := &stage{server: s, rig: rig{l: l, pid: s.pid, fan: g.Matching, group: g.Batch, acks: true}}
	if _, err := s.crowd(ctx, l, idle, deaf, func([]byte) {}); err != nil {
		return nil, err
	}
	var err error
	st.hearing, err = s.crowd(ctx, l, g.Matching, attentive, func(b []byte) {
		if n, at, ok := metricStamp(b); ok { // the server tells of metrics of its own, too
			st.stamped(n, at)
		}
	})
	if err != nil {
		return nil, err
	}
	return st, produceThrough(ctx, &st.rig, s, maxLate, func(took time.Duration) { st.answers = append(st.answers, took) })
}

// play produces events for a turn, with all listening or none.
func (g *Gateway) play(ctx context.Context, st *stage, heard bool) (round, error) {
	fan, text := g.Matching, attentive
	if !heard {
		fan, text = 0, deafen
	}
	if fan != st.fan {
		if err := tell(ctx, st.l, st.hearing, text); err != nil {
			return round{}, fmt.Errorf("change subscriptions: %w", err)
		}
		st.fan = fan
	}
	got, err := st.round(ctx, g.perTurn(), maxLate, g.frequency())
	if err != nil {
		return round{}, fmt.Errorf("produce events: %w", err)
	}
	return got, nil
}

// perTurn is how many events are produced in a turn, as whole requests.
func (g *Gateway) perTurn() int { return max(int(g.frequency()*g.Turn.Seconds()), 1) * g.Batch }

// frequency is how many requests are made in a second.
func (g *Gateway) frequency() float64 { return float64(g.Rate) / float64(g.Batch) }

// broadcast prepares the same for a realtime channel: as many subscribers, and payloads as
// large as those of events.
func (g *Gateway) broadcast(ctx context.Context, l *loop, s *server) (*rig, error) {
	r := &rig{l: l, pid: s.pid, fan: g.Matching, group: g.Batch, acks: true}
	channel, size := s.plain+"0", len(appendMetrics(nil, firstNumber, now(), 1))+len(`"timestamp":"2026-03-02T08:16:02.123Z",`)-2
	clients := s.audience(g.Matching, 1, s.plain)
	for _, cl := range clients {
		cl.stamped = r.stamped
	}
	if err := s.join(ctx, l, clients, 64, nil); err != nil {
		return nil, err
	}
	callers, err := s.callers(ctx, l, "/api/batch", maxLate)
	if err != nil {
		return nil, err
	}
	for slot, ca := range callers {
		ca.done = func(body []byte) {
			if err := apiError(body); err != nil {
				l.fail(err)
			}
			r.acked(slot)
		}
	}
	r.send = func(slot int, n, at int64) {
		ca, name := callers[slot], channel
		if r.fan == 0 {
			name = s.plain + "nobody"
		}
		ca.body = appendBatch(ca.body[:0], name, n, at, size, r.group)
		ca.post(ca.body)
	}
	return r, nil
}

// delivery measures what the delivery of an event costs beside that of a publication, in
// turns. What producing costs is measured with nobody who listens, and taken off.
func (g *Gateway) delivery(ctx context.Context) ([]Result, error) {
	s, err := g.open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	l, err := newLoop()
	if err != nil {
		return nil, err
	}
	defer l.close()
	st, err := g.prepare(ctx, l, s, 0)
	if err != nil {
		return nil, err
	}
	r, err := g.broadcast(ctx, l, s)
	if err != nil {
		return nil, err
	}
	publish := func(fan int) (round, error) {
		r.fan = fan
		return r.round(ctx, g.perTurn(), maxLate, g.frequency())
	}
	var events, publications, p50, p99, theirs, making, stored []float64
	for i := range g.Rounds + 1 {
		st.answers = st.answers[:0]
		var heard, unheard, received, unreceived round
		for turn := range turns {
			st.keep, r.keep = turn > 0, turn > 0
			for _, step := range []struct {
				sum *round
				run func() (round, error)
			}{
				{&heard, func() (round, error) { return g.play(ctx, st, true) }},
				{&received, func() (round, error) { return publish(g.Matching) }},
				{&unheard, func() (round, error) { st.keep = true; return g.play(ctx, st, false) }},
				{&unreceived, func() (round, error) { r.keep = true; return publish(0) }},
			} {
				got, err := step.run()
				if err != nil {
					return nil, err
				}
				step.sum.add(got)
			}
		}
		if i == 0 {
			continue // warms up
		}
		p50, p99, theirs = append(p50, milliseconds(heard.P50)), append(p99, milliseconds(heard.P99)), append(theirs, milliseconds(received.P99))
		stored = append(stored, milliseconds(percentile(st.answers, 99)))
		if s.pid != 0 {
			events = append(events, microseconds(heard.CPU-unheard.CPU)/float64(heard.Deliveries))
			publications = append(publications, microseconds(received.CPU-unreceived.CPU)/float64(received.Deliveries))
			making = append(making, microseconds(unheard.CPU)/float64(unheard.Publishes))
		}
	}
	costBar, lateBar := 1.5, 50.0
	if g.Matching != 200 || g.Rate != 500 {
		costBar, lateBar = 0, 0
	}
	shape := fmt.Sprintf("%d connections × %d events/s", g.Matching, g.Rate)
	return []Result{
		newResult(shape+": per event delivered, against a publication", "µs", events, publications, costBar,
			fmt.Sprintf("%.0f µs per event to store it, which is not in the figure", median(making)), "load average "+loadAverage()),
		newResult(shape+": request until received, p99", "ms", p99, nil, lateBar,
			fmt.Sprintf("p50 %.2f ms; p99 until the request was answered, stored and synced, %.2f ms; of publications, which are not stored, %.2f ms", median(p50), median(stored), median(theirs))),
	}, nil
}

// matching measures whether connections that want something else make delivery dearer.
func (g *Gateway) matching(ctx context.Context) ([]Result, error) {
	l, err := newLoop()
	if err != nil {
		return nil, err
	}
	defer l.close()
	stages := make([]*stage, 2)
	for i, idle := range []int{g.Connections / 10, g.Connections} {
		s, err := g.open(ctx)
		if err != nil {
			return nil, err
		}
		defer s.close()
		if stages[i], err = g.prepare(ctx, l, s, idle); err != nil {
			return nil, err
		}
	}
	var few, many []float64
	for i := range g.Rounds + 1 {
		var sums [2]round
		for range turns {
			for k, st := range stages {
				got, err := g.play(ctx, st, true)
				if err != nil {
					return nil, err
				}
				sums[k].add(got)
			}
		}
		if i > 0 {
			few, many = append(few, perDelivery(sums[0])), append(many, perDelivery(sums[1]))
		}
	}
	bar := 1.1
	if g.Connections != 10_000 || g.Matching != 200 {
		bar = 0
	}
	return []Result{newResult(fmt.Sprintf("per event delivered, beside %d connections that want others, against %d", g.Connections, g.Connections/10), "µs",
		many, few, bar, "storing events and pings of all connections included; load average "+loadAverage())}, nil
}

// replay measures how long it takes until a client has the past.
func (g *Gateway) replay(ctx context.Context) ([]Result, error) {
	s, err := g.open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	l, err := newLoop()
	if err != nil {
		return nil, err
	}
	defer l.close()
	before, err := s.crowd(ctx, l, 1, deaf, func([]byte) {})
	if err != nil {
		return nil, err
	}
	r := &rig{l: l, pid: s.pid, group: min(maxBatch, g.Events), acks: true}
	if err := produceThrough(ctx, r, s, 1, nil); err != nil { // so that the log has them in order
		return nil, err
	}
	events := g.Events / r.group * r.group
	if _, err := r.round(ctx, events, 1, 0); err != nil {
		return nil, fmt.Errorf("fill the log: %w", err)
	}
	keys, err := s.keys(ctx, 1)
	if err != nil {
		return nil, err
	}
	subscribe := `{"type":"subscribe","events":["analytics.metric.updated"],"lastEventId":"` + before[0].cursor + `"}`
	var took, cpu []float64
	for i := range g.Rounds + 1 {
		next := r.first
		ls := s.listen(keys[0], subscribe, func(b []byte) {
			n, _, ok := metricStamp(b)
			if ok && n != next {
				l.fail(fmt.Errorf("event %d came, and %d was due", n, next))
			}
			if ok {
				next++
				l.progress++
			}
		})
		ls.ready = func(*client) {}
		got, err := timed(ctx, l, s.pid, func() error {
			if _, err := l.dial(s.addr, s.source(0), ls); err != nil {
				return err
			}
			return l.until(ctx, func() bool { return next == r.first+int64(events) })
		})
		if err != nil {
			return nil, err
		}
		ls.c.close()
		if i > 0 {
			took, cpu = append(took, got.Wall.Seconds()), append(cpu, microseconds(got.CPU)/float64(events))
		}
	}
	bar := 3.0
	if events != 100_000 {
		bar = 0
	}
	return []Result{newResult(fmt.Sprintf("replay of %d events", events), "s", took, nil, bar,
		fmt.Sprintf("%.1f µs of the server's CPU per event; load average %s", median(cpu), loadAverage()))}, nil
}
