package bench

import (
	"context"
	"fmt"
	"strconv"
)

// Connect measures what a new connection costs: TCP, upgrade, a token signed with
// HS256, one subscription.
type Connect struct {
	Target      `embed:""`
	Connections int `default:"5000" help:"Connections per round; all are closed before the next."`
	Parallel    int `default:"16" help:"Connections being established at a time."`
	Channels    int `default:"1" help:"Channels that the clients are spread over."`
}

// Measure runs the command.
func (c *Connect) Measure(ctx context.Context) ([]Result, error) {
	if err := raiseFileLimit(c.Connections); err != nil {
		return nil, err
	}
	s, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	l, err := newLoop()
	if err != nil {
		return nil, err
	}
	defer l.close()
	bar := 0.0
	if s.secret != "" {
		bar = 110
	}
	return c.rounds(s.pid, "connect with token and one subscribe: per connection", bar, c.Connections, func() (round, error) {
		clients := s.audience(c.Connections, c.Channels, s.plain)
		got, err := timed(ctx, l, s.pid, func() error { return s.join(ctx, l, clients, c.Parallel, nil) })
		if err != nil {
			return round{}, err
		}
		return got, hangUp(ctx, l, s.pid, clients)
	})
}

// audience prepares n clients, each subscribed to one of so many channels.
func (s *server) audience(n, channels int, prefix string) []*client {
	clients := make([]*client, n)
	for i := range clients {
		clients[i] = s.newClient(strconv.Itoa(i), prefix+strconv.Itoa(i%max(channels, 1)), nil)
	}
	return clients
}

// Pairs measures many clients, each alone in its channel, published to in turn
// over the HTTP API.
type Pairs struct {
	Target    `embed:""`
	Clients   int `default:"5000" help:"Clients, each subscribed to a channel of its own."`
	Inflight  int `default:"32" help:"Publishes under way at a time, each until it is answered and delivered."`
	Size      int `default:"100" help:"Bytes of payload."`
	Publishes int `default:"10000" help:"Publishes per round."`
}

// Measure runs the command.
func (p *Pairs) Measure(ctx context.Context) ([]Result, error) {
	if err := checkSize(p.Size); err != nil {
		return nil, err
	}
	if err := raiseFileLimit(p.Clients + p.Inflight); err != nil {
		return nil, err
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
	r := &rig{l: l, pid: s.pid, fan: 1, acks: true}
	clients := s.audience(p.Clients, p.Clients, s.plain)
	channels := make([]string, p.Clients)
	for i, cl := range clients {
		cl.stamped = r.stamped
		channels[i] = s.plain + strconv.Itoa(i)
	}
	if err := s.join(ctx, l, clients, 64, nil); err != nil {
		return nil, err
	}
	channel := func(n int64) string { return channels[(n-firstNumber)%int64(p.Clients)] }
	if err := publishThrough(ctx, r, s, p.Inflight, channel, p.Size); err != nil {
		return nil, err
	}
	bar := 0.0
	if p.Clients == 5000 && p.Size == 100 {
		bar = 38
	}
	measure := fmt.Sprintf("pairs, %d clients: per publish and delivery", p.Clients)
	return p.rounds(s.pid, measure, bar, p.Publishes, func() (round, error) { return r.round(ctx, p.Publishes, p.Inflight, 0) })
}
