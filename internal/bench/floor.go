package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// floorAddresses is what the floor's process prints when it is ready.
type floorAddresses struct {
	Sinks   string `json:"sinks"`   // to connect the sockets that are written to
	Control string `json:"control"` // to say what is written
	HTTP    string `json:"http"`    // the empty handler
}

// floorChannel makes a frame of 150 bytes with a payload of 100.
const floorChannel = "bench:1"

// pushFrames returns group frames with the publications n, n+1, … as a server
// would push them: the same bytes, so that the floor writes no less.
func pushFrames(dst []byte, channel string, n, at int64, size, group int) []byte {
	text := make([]byte, 0, 256+size)
	for i := range int64(group) {
		text = append(append(append(text[:0], `{"push":{"channel":"`...), channel...), `","pub":{"data":`...)
		text = append(appendPayload(text, n+i, at, size), `}}}`...)
		dst = append(appendHead(dst, opText, false, len(text)), text...)
	}
	return dst
}

// sink is a subscriber of the floor: a client without an upgrade and a greeting.
func newSink(stamped func(n, at int64), opened func()) handler {
	return &sink{client: client{upgraded: true, stamped: stamped}, ready: opened}
}

type sink struct {
	client
	ready func()
}

func (s *sink) opened(c *conn) {
	s.c = c
	s.ready()
}

// control is the floor's control connection.
type control struct {
	c     *conn
	ready func()
	buf   []byte
}

func (ct *control) opened(c *conn)            { ct.c = c; ct.ready() }
func (ct *control) closed(c *conn, err error) { c.l.fail(fmt.Errorf("the floor ended: %w", err)) }
func (ct *control) data(*conn, []byte)        {}
func (ct *control) order(accept int, b []byte) {
	ct.buf = binary.BigEndian.AppendUint32(ct.buf[:0], uint32(accept))
	ct.buf = binary.BigEndian.AppendUint32(ct.buf, uint32(len(b)))
	ct.c.write(append(ct.buf, b...))
}

// startFloor starts the floor's process.
func startFloor(ctx context.Context) (*child, floorAddresses, error) {
	var at floorAddresses
	process, err := startChild("bench", "floor-server")
	if err != nil {
		return nil, at, err
	}
	_, err = process.line(ctx, func(line string) bool { return json.Unmarshal([]byte(line), &at) == nil })
	if err != nil {
		process.stop()
		return nil, at, err
	}
	return process, at, nil
}

// floorShape is one kind of round of the floor.
type floorShape struct {
	Subscribers int     `json:"subscribers"`
	Size        int     `json:"size"`
	Group       int     `json:"group"` // frames in one write
	Publishes   int     `json:"publishes"`
	Rate        float64 `json:"rate"` // 0: each as soon as the last has arrived
}

// work measures rounds of the floor, one per line of in (a floorShape; the number
// of subscribers is that of the first), and prints a round for each, until in ends.
// It is a process of its own because its sockets and the server's do not fit into
// one process, and so that both are read by the same kind of client.
func work(ctx context.Context, in io.Reader, out io.Writer) error {
	l, err := newLoop()
	if err != nil {
		return err
	}
	defer l.close()
	process, at, err := startFloor(ctx)
	if err != nil {
		return err
	}
	defer process.stop()
	var shape floorShape
	r := &rig{l: l, pid: process.cmd.Process.Pid}
	ready := 0
	opened := func() { ready++; l.progress++ }
	ctl := &control{ready: opened}
	if err := l.connect(ctx, at.Control, ctl, &ready, 1); err != nil {
		return err
	}
	var frames []byte
	r.send = func(_ int, n, at int64) {
		frames = pushFrames(frames[:0], floorChannel, n, at, shape.Size, shape.Group)
		ctl.order(0, frames)
	}
	enc := json.NewEncoder(out)
	for s := bufio.NewScanner(in); s.Scan(); {
		if err := json.Unmarshal(s.Bytes(), &shape); err != nil {
			return fmt.Errorf("read order: %w", err)
		}
		if r.fan == 0 {
			r.fan = shape.Subscribers
			if err := raiseFileLimit(r.fan); err != nil {
				return err
			}
			ctl.order(r.fan, nil)
			for i := range r.fan {
				if err := l.connect(ctx, at.Sinks, newSink(r.stamped, opened), &ready, i-64); err != nil {
					return err
				}
			}
			if err := l.until(ctx, func() bool { return ready == r.fan+1 }); err != nil {
				return err
			}
		}
		r.group = max(shape.Group, 1)
		inflight := 1
		if shape.Rate > 0 {
			inflight = maxLate
		}
		got, err := r.round(ctx, shape.Publishes, inflight, shape.Rate)
		if err != nil {
			return err
		}
		if err := enc.Encode(got); err != nil {
			return fmt.Errorf("print round: %w", err)
		}
	}
	return nil
}

// connect dials addr and serves the loop until at least want connections have
// opened, which bounds how many are under way.
func (l *loop) connect(ctx context.Context, addr string, h handler, opened *int, want int) error {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return fmt.Errorf("read the floor's address: %w", err)
	}
	if _, err := l.dial(to, netip.Addr{}, h); err != nil {
		return err
	}
	return l.until(ctx, func() bool { return *opened >= want })
}

// floor is the floor as a measure sees it: a process that runs rounds when asked.
type floor struct {
	process *child
}

func newFloor() (*floor, error) {
	process, err := startChild("bench", "floor-worker")
	return &floor{process: process}, err
}

func (f *floor) close() { f.process.stop() }

// round has one round measured, serving l meanwhile so that pings are answered.
func (f *floor) round(ctx context.Context, l *loop, shape floorShape) (round, error) {
	order, err := json.Marshal(shape)
	if err != nil {
		return round{}, fmt.Errorf("order a round of the floor: %w", err)
	}
	if _, err := f.process.in.Write(append(order, '\n')); err != nil {
		return round{}, fmt.Errorf("order a round of the floor: %w", err)
	}
	for {
		select {
		case line := <-f.process.lines:
			var got round
			if err := json.Unmarshal([]byte(line), &got); err != nil {
				return round{}, fmt.Errorf("measure the floor: %s", line)
			}
			return got, nil
		case <-f.process.ended:
			return round{}, fmt.Errorf("measure the floor: %s", strings.Join(f.process.tail, "\n"))
		default:
			if err := l.step(ctx, tick); err != nil {
				return round{}, err
			}
		}
	}
}

// Floor measures what no server can beat here: raw writes to many sockets and an
// empty HTTP handler.
type Floor struct {
	Target      `embed:""`
	Subscribers []int   `default:"1000,10000" help:"Numbers of sockets."`
	PerWrite    []int   `default:"1,8,32" help:"Frames that leave in one write."`
	Size        int     `default:"100" help:"Bytes of payload."`
	Rate        float64 `default:"20" help:"Publishes per second for the latency."`
	Publishes   int     `help:"Frames to each socket per round; 0 picks a number for about a second."`
	Requests    int     `default:"10000" help:"Requests to the empty handler per round."`
}

// Measure runs the command.
func (f *Floor) Measure(ctx context.Context) ([]Result, error) {
	if err := checkSize(f.Size); err != nil {
		return nil, err
	}
	l, err := newLoop()
	if err != nil {
		return nil, err
	}
	defer l.close()
	var results []Result
	for _, n := range f.Subscribers {
		got, err := f.sockets(ctx, l, n)
		if err != nil {
			return nil, err
		}
		results = append(results, got...)
	}
	empty, err := f.handler(ctx, l)
	return append(results, empty), err
}

func (f *Floor) sockets(ctx context.Context, l *loop, n int) ([]Result, error) {
	fl, err := newFloor()
	if err != nil {
		return nil, err
	}
	defer fl.close()
	var results []Result
	for _, group := range f.PerWrite {
		publishes := f.Publishes
		if publishes == 0 {
			publishes = publishesFor(n, group)
		}
		shape := floorShape{Subscribers: n, Size: f.Size, Group: group, Publishes: max(publishes/group, 1) * group}
		var cost []float64
		for range f.Rounds {
			got, err := fl.round(ctx, l, shape)
			if err != nil {
				return nil, err
			}
			cost = append(cost, perDelivery(got))
		}
		results = append(results, newResult("floor, "+strconv.Itoa(n)+" sockets, "+strconv.Itoa(group)+" frames a write: per delivery", "µs", cost, nil, 0))
	}
	if f.Rate*float64(n) > 40_000 {
		return results, nil // more than can be written, so the latency would be a queue's
	}
	publishes := f.Publishes
	if publishes == 0 {
		publishes = int(4 * f.Rate)
	}
	var p50 []float64
	for range f.Rounds {
		got, err := fl.round(ctx, l, floorShape{Subscribers: n, Size: f.Size, Group: 1, Publishes: publishes, Rate: f.Rate})
		if err != nil {
			return nil, err
		}
		p50 = append(p50, milliseconds(got.P50))
	}
	return append(results, newResult(fmt.Sprintf("floor, %d sockets, %g publishes/s: p50 latency", n, f.Rate), "ms", p50, nil, 0)), nil
}

func (f *Floor) handler(ctx context.Context, l *loop) (Result, error) {
	p := poster{l: l, body: publishBody(floorChannel, f.Size)}
	process, at, err := startFloor(ctx)
	if err != nil {
		return Result{}, err
	}
	defer process.stop()
	if err := p.dial(ctx, at.HTTP, "", "/api/publish", 1); err != nil {
		return Result{}, err
	}
	p.pid = process.cmd.Process.Pid
	var cost []float64
	for range f.Rounds {
		got, err := p.round(ctx, f.Requests)
		if err != nil {
			return Result{}, err
		}
		cost = append(cost, microseconds(got.CPU)/float64(f.Requests))
	}
	return newResult("empty net/http handler: per request", "µs", cost, nil, 0), nil
}
