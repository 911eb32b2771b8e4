package bench

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"time"
)

// sentText follows the number and the time in each message.
const sentText = "встретимся завтра в десять у фонтана, возьми карту"

// office is people who send to the groups they are all in.
type office struct {
	s       *server
	l       *loop
	people  []person
	chats   []int64
	callers []*caller // one for each of the people
	rig     rig       // for the latency
	number  int64
	own     time.Duration // CPU time of this process in rounds
}

// gather makes n people, and as many groups of all of them.
func (s *server) gather(ctx context.Context, l *loop, n int) (*office, error) {
	o := &office{s: s, l: l, number: firstNumber}
	var err error
	if o.people, err = s.people(ctx, n); err != nil {
		return nil, err
	}
	ids := make([]int64, 0, len(o.people))
	for _, p := range o.people {
		ids = append(ids, p.ID)
	}
	for i, p := range o.people {
		chat, err := s.group(ctx, p, "Group "+strconv.Itoa(i), ids)
		if err != nil {
			return nil, err
		}
		o.chats = append(o.chats, chat)
	}
	if o.callers, err = dialCallers(ctx, l, s.addr, s.host, "", "", n); err != nil {
		return nil, err
	}
	return o, nil
}

// appendRequest appends the head of a request up to the value of Content-Length.
func (s *server) appendRequest(dst []byte, method, path, token string) []byte {
	dst = append(append(append(append(dst, method...), ' '), path...), " HTTP/1.1\r\nHost: "...)
	dst = append(append(dst, s.host...), "\r\nAuthorization: Bearer "...)
	return append(append(dst, token...), "\r\nContent-Type: application/json\r\nContent-Length: "...)
}

// appendSending appends the body of a message that carries its number and the time.
func appendSending(dst []byte, n, at int64) []byte {
	dst = appendDigits(append(dst, `{"client_id":"c`...), n, 10)
	dst = appendDigits(append(dst, `","text":"`...), n, 10)
	dst = appendDigits(append(dst, ' '), at, 19)
	return append(append(append(dst, ' '), sentText...), `"}`...)
}

// textStamp finds the number and the time in a message's text.
func textStamp(b []byte) (n, at int64, ok bool) { return stampAfter(`"text":"`, b) }

// stampAfter finds the number and the time that follow the first mark.
func stampAfter(mark string, b []byte) (n, at int64, ok bool) {
	i := bytes.Index(b, []byte(mark))
	if i < 0 || len(b) < i+len(mark)+10+1+19 {
		return 0, 0, false
	}
	b = b[i+len(mark):]
	n, ok = parseDigits(b[:10])
	at, okTime := parseDigits(b[11:30])
	return n, at, ok && okTime && b[10] == ' '
}

// send sends the message number n to a chat for the person of that index.
func (o *office) send(i int, chat, n, at int64) {
	ca := o.callers[i]
	ca.head = o.s.appendRequest(ca.head[:0], "POST", "/api/v2/chats/"+strconv.FormatInt(chat, 10)+"/messages", o.people[i].Token)
	ca.body = appendSending(ca.body[:0], n, at)
	ca.post(ca.body)
}

// round sends n messages, each of the people one at a time, to groups at random.
func (o *office) round(ctx context.Context, n int) (round, error) {
	sent, answered := 0, 0
	next := func(i int) {
		if sent < n {
			sent++
			o.number++
			o.send(i, o.chats[rand.IntN(len(o.chats))], o.number, now())
		}
	}
	for i, ca := range o.callers {
		ca.done = func([]byte) {
			answered++
			next(i)
		}
	}
	return timed(ctx, o.l, o.s.pid, func() error {
		own, err := readCPU(os.Getpid())
		if err != nil {
			return err
		}
		for i := range o.callers {
			next(i)
		}
		if err := o.l.until(ctx, func() bool { return answered == n }); err != nil {
			return err
		}
		end, err := readCPU(os.Getpid())
		o.own += end - own
		return err
	})
}

// latencyRate is how many messages per second are sent while their latency is measured.
const latencyRate = 500

// latency measures the time from sending a message until a subscriber of its chat has it.
// Each chat has one subscriber.
func (c *Chat) latency(ctx context.Context, o *office) ([]Result, error) {
	r := &o.rig
	*r = rig{l: o.l, pid: o.s.pid, fan: 1, acks: true, number: o.number + 1}
	clients := make([]*client, len(o.chats))
	for i, chat := range o.chats {
		hello, n := greeting(o.people[i].Connection, "chat:"+strconv.FormatInt(chat, 10), nil)
		clients[i] = &client{request: o.s.upgradeRequest(), hello: hello, awaited: n, stamped: r.stamped, find: textStamp}
	}
	if err := o.s.join(ctx, o.l, clients, 16, nil); err != nil {
		return nil, err
	}
	for slot, ca := range o.callers {
		ca.done = func([]byte) { r.acked(slot) }
	}
	r.send = func(slot int, n, at int64) { o.send(slot, o.chats[int(n)%len(o.chats)], n, at) }
	sends := min(4*latencyRate, c.Sends)
	var p50, p99, rate []float64
	var cost costs
	for i := range c.Rounds + 1 {
		got, err := r.round(ctx, sends, len(o.callers), latencyRate)
		if err != nil {
			return nil, fmt.Errorf("latency: %w", err)
		}
		if i > 0 {
			p50, p99 = append(p50, milliseconds(got.P50)), append(p99, milliseconds(got.P99))
			rate = append(rate, perSecond(sends, got.Wall))
			cost.add("server", sends, got.CPU)
		}
	}
	o.number = r.number
	if err := hangUp(ctx, o.l, o.s.pid, clients); err != nil {
		return nil, err
	}
	notes := append(cost.notes(), fmt.Sprintf("%.0f sends per second came about", median(rate)))
	return []Result{
		newResult("send until received, 500 messages/s: p50", "ms", p50, nil, 6, notes...),
		newResult("send until received, 500 messages/s: p99", "ms", p99, nil, 25),
	}, nil
}

func perSecond(n int, d time.Duration) float64 { return float64(n) / d.Seconds() }

// costs is CPU time per message by who used it, in the order of the first.
type costs struct {
	names  []string
	values map[string][]float64
}

func (c *costs) add(name string, n int, cpu time.Duration) {
	if cpu == 0 {
		return // of a process that cannot be seen
	}
	if c.values == nil {
		c.values = make(map[string][]float64)
	}
	if c.values[name] == nil {
		c.names = append(c.names, name)
	}
	c.values[name] = append(c.values[name], microseconds(cpu)/float64(n))
}

func (c *costs) notes() (notes []string) {
	for _, name := range c.names {
		notes = append(notes, fmt.Sprintf("CPU per send, %s: %.0f µs", name, median(c.values[name])))
	}
	return append(notes, "load average "+loadAverage())
}
