package bench

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"time"
)

// appendPublish appends the body of a publish.
func appendPublish(dst []byte, channel string, n, at int64, size int) []byte {
	dst = append(strconv.AppendQuote(append(dst, `{"channel":`...), channel), `,"data":`...)
	return append(appendPayload(dst, n, at, size), '}')
}

func publishBody(channel string, size int) []byte {
	return appendPublish(nil, channel, firstNumber, now(), size)
}

func batchBody(channel string, size, commands int) []byte {
	return appendBatch(nil, channel, firstNumber, now(), size, commands)
}

// appendBatch appends a batch of publishes with the numbers from n on.
func appendBatch(dst []byte, channel string, n, at int64, size, commands int) []byte {
	dst = append(dst, `{"commands":[`...)
	for i := range int64(commands) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendPublish(append(dst, `{"publish":`...), channel, n+i, at, size), '}')
	}
	return append(dst, `]}`...)
}

// poster sends the same request again and again over its connections, each of
// which waits for its answer.
type poster struct {
	l       *loop
	pid     int
	body    []byte
	callers []*caller
}

func (p *poster) dial(ctx context.Context, hostport, key, path string, connections int) error {
	addr, err := netip.ParseAddrPort(hostport)
	if err != nil {
		return fmt.Errorf("read address: %w", err)
	}
	p.callers, err = dialCallers(ctx, p.l, addr, hostport, path, key, connections)
	return err
}

// round sends requests requests and returns what they cost.
func (p *poster) round(ctx context.Context, requests int) (round, error) {
	sent, answered := 0, 0
	next := func(ca *caller) {
		if sent < requests {
			sent++
			ca.post(p.body)
		}
	}
	for _, ca := range p.callers {
		ca.done = func(body []byte) {
			if err := apiError(body); err != nil {
				p.l.fail(err)
				return
			}
			answered++
			next(ca)
		}
	}
	return timed(ctx, p.l, p.pid, func() error {
		for _, ca := range p.callers {
			next(ca)
		}
		return p.l.until(ctx, func() bool { return answered == requests })
	})
}

// timed returns the time that f takes and the CPU time that it costs process pid.
func timed(ctx context.Context, l *loop, pid int, f func() error) (round, error) {
	if err := settle(ctx, l, pid); err != nil {
		return round{}, err
	}
	before, err := readCPU(pid)
	if err != nil {
		return round{}, err
	}
	start := time.Now()
	if err := f(); err != nil {
		return round{}, err
	}
	wall := time.Since(start)
	if err := settle(ctx, l, pid); err != nil {
		return round{}, err
	}
	after, err := readCPU(pid)
	return round{CPU: after - before, Wall: wall}, err
}

// busy is how many requests are under way where the cost of one is measured: enough
// that the server works rather than goes to sleep and is woken for each.
const busy = 32

// Publish measures publishing to a channel that nobody listens to: plain and with
// history against an empty handler, in batches, or by a service over a WebSocket.
type Publish struct {
	Target      `embed:""`
	Batch       int  `help:"Publishes in one batch request; 0 sends each alone."`
	WS          bool `name:"ws" help:"Publish over one WebSocket connection, pipelined, instead of HTTP."`
	Connections int  `help:"HTTP connections, each with one request at a time; 0 means 32."`
	Frames      int  `default:"16" help:"With --ws: frames of 64 commands under way."`
	Size        int  `default:"100" help:"Bytes of payload."`
	Requests    int  `help:"Requests (with --ws: frames) per round; 0 picks a number."`
}

// Measure runs the command.
func (p *Publish) Measure(ctx context.Context) ([]Result, error) {
	if err := checkSize(p.Size); err != nil {
		return nil, err
	}
	if p.Connections == 0 {
		p.Connections = busy
	}
	s, err := p.open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	l, err := newLoop()
	if err != nil {
		return nil, err
	}
	defer l.close()
	switch {
	case p.WS:
		return p.pipelined(ctx, l, s)
	case p.Batch > 0:
		return p.batched(ctx, l, s)
	default:
		return p.single(ctx, l, s)
	}
}

// single measures the empty handler, plain and history in turns.
func (p *Publish) single(ctx context.Context, l *loop, s *server) ([]Result, error) {
	process, at, err := startFloor(ctx)
	if err != nil {
		return nil, err
	}
	defer process.stop()
	plain, history := publishBody(s.plain+"1", p.Size), publishBody(s.history+"1", p.Size)
	empty := poster{l: l, pid: process.cmd.Process.Pid, body: plain}
	if err := empty.dial(ctx, at.HTTP, s.key, "/api/publish", p.Connections); err != nil {
		return nil, err
	}
	ours := poster{l: l, pid: s.pid}
	if ours.callers, err = s.callers(ctx, l, "/api/publish", p.Connections); err != nil {
		return nil, err
	}
	requests := p.Requests
	if requests == 0 {
		requests = 10_000
	}
	requests = max(requests/turns, 1)
	var floors, plains, histories, speed []float64
	for i := range p.Rounds + 1 {
		var sum [3]round
		for range turns {
			for k, body := range [][]byte{plain, plain, history} {
				on := &ours
				if k == 0 {
					on = &empty
				}
				on.body = body
				got, err := on.round(ctx, requests)
				if err != nil {
					return nil, err
				}
				sum[k].add(got)
			}
		}
		if i == 0 {
			continue // warms up
		}
		cost := func(r round) float64 { return microseconds(r.CPU) / float64(requests*turns) }
		floors = append(floors, cost(sum[0]))
		speed = append(speed, float64(requests*turns)/sum[1].Wall.Seconds())
		if s.pid != 0 {
			plains, histories = append(plains, cost(sum[1])), append(histories, cost(sum[2]))
		}
	}
	note := fmt.Sprintf("%.0f publishes/s over %d connections", median(speed), p.Connections)
	return []Result{
		newResult("HTTP publish, plain: per publish", "µs", plains, floors, p.bar(1.1), note),
		newResult("HTTP publish, history 100: per publish", "µs", histories, floors, p.bar(1.2)),
	}, nil
}

func (p *Publish) bar(b float64) float64 {
	if p.Size != 100 {
		return 0
	}
	return b
}

func (p *Publish) batched(ctx context.Context, l *loop, s *server) ([]Result, error) {
	on := poster{l: l, pid: s.pid, body: batchBody(s.plain+"1", p.Size, p.Batch)}
	var err error
	if on.callers, err = s.callers(ctx, l, "/api/batch", p.Connections); err != nil {
		return nil, err
	}
	requests := p.Requests
	if requests == 0 {
		requests = 1000
	}
	bar := 0.0
	if p.Batch == 100 {
		bar = p.bar(2)
	}
	return p.rounds(s.pid, fmt.Sprintf("batch of %d publishes: per publish", p.Batch), bar, requests*p.Batch,
		func() (round, error) { return on.round(ctx, requests) })
}

// commandsPerFrame keeps a frame of publishes below the 64 KiB a server accepts.
const commandsPerFrame = 64

func (p *Publish) pipelined(ctx context.Context, l *loop, s *server) ([]Result, error) {
	if p.Size > 800 {
		return nil, fmt.Errorf("--size %d: with --ws at most 800, so that %d commands fit into a frame", p.Size, commandsPerFrame)
	}
	cl := s.newClient("service", "", nil)
	if err := s.join(ctx, l, []*client{cl}, 1, nil); err != nil {
		return nil, err
	}
	var text []byte
	for i := range commandsPerFrame {
		if i > 0 {
			text = append(text, '\n')
		}
		text = strconv.AppendInt(append(text, `{"id":`...), int64(i+2), 10)
		text = append(appendPublish(append(text, `,"publish":`...), s.plain+"1", firstNumber+int64(i), now(), p.Size), '}')
	}
	frame := appendMasked(nil, opText, text)
	requests := p.Requests
	if requests == 0 {
		requests = 2000
	}
	bar := p.bar(2.5)
	return p.rounds(s.pid, "publish over one WebSocket, pipelined: per publish", bar, requests*commandsPerFrame, func() (round, error) {
		sent, answered := 0, 0
		cl.replied = func(line []byte) {
			if err := apiError(line); err != nil {
				l.fail(err)
				return
			}
			if answered++; answered%commandsPerFrame == 0 {
				l.progress++
				if sent < requests {
					sent++
					cl.c.write(frame)
				}
			}
		}
		return timed(ctx, l, s.pid, func() error {
			for ; sent < min(p.Frames, requests); sent++ {
				cl.c.write(frame)
			}
			return l.until(ctx, func() bool { return answered == requests*commandsPerFrame })
		})
	})
}

// rounds runs one round to warm up and Rounds that count.
func (t *Target) rounds(pid int, measure string, bar float64, publishes int, run func() (round, error)) ([]Result, error) {
	var cost, speed []float64
	for i := range t.Rounds + 1 {
		got, err := run()
		if err != nil {
			return nil, err
		}
		if i == 0 {
			continue
		}
		speed = append(speed, float64(publishes)/got.Wall.Seconds())
		if pid != 0 {
			cost = append(cost, microseconds(got.CPU)/float64(publishes))
		}
	}
	return []Result{newResult(measure, "µs", cost, nil, bar, fmt.Sprintf("%.0f per second", median(speed)))}, nil
}
